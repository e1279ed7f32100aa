//! All of a batch that concerns one record.

use crate::error::{Result, internal};
use crate::ingest::record::Stored;
use crate::ingest::route::Flows;
use crate::ingest::{Batch, Source};
use crate::jsonb::Jsonb;
use nexus_core::canonical::{Document, Kind};
use nexus_core::register::{Joined, Record, Stamp, Version};
use std::collections::{BTreeMap, btree_map};
use uuid::Uuid;

/// A document of the batch.
pub struct Claim {
    /// The request's place in the batch, and the document's in the request.
    pub place: usize,
    pub number: usize,
    pub stamp: Stamp,
}

/// What a claim did to its record.
pub struct Outcome {
    pub place: usize,
    pub number: usize,
    pub result: &'static str,
    pub heard: Option<Heard>,
}

/// A change that flows hear of.
pub struct Heard {
    /// The record as joined then, unless it stayed so.
    pub document: Option<Jsonb>,
    pub flows: Vec<Uuid>,
}

/// A record, and what the batch claims of it.
pub struct Merge {
    /// The record, with the claims that have been joined into it.
    pub stored: Stored,
    /// As it was before; `None` if it is new.
    pub before: Option<Record>,
    /// The entity it contributed to then.
    pub former_entity_id: Uuid,
    /// Whether others did as well.
    pub had_siblings: bool,
    pub claims: Vec<Claim>,
    /// What each did, once they are joined.
    pub outcomes: Vec<Outcome>,
    /// Whether the batch inserted it.
    pub is_new: bool,
    /// The request that last changed the record's content, by place.
    pub changed_by: Option<usize>,
}

/// The batch's documents by the record they claim, in the order in which records are locked.
pub fn collect(batch: &Batch) -> Result<BTreeMap<Uuid, Merge>> {
    let mut merges: BTreeMap<Uuid, Merge> = BTreeMap::new();
    for (request, source) in batch.events() {
        for (number, document) in request.documents().iter().enumerate() {
            let birth_id = source.scope.birth_id(document.kind, &document.external_id);
            let merge = match merges.entry(birth_id) {
                btree_map::Entry::Occupied(entry) => entry.into_mut(),
                btree_map::Entry::Vacant(entry) => entry.insert(Merge::new(birth_id, source, document)?),
            };
            merge.claims.push(Claim {
                place: request.place,
                number,
                stamp: Stamp {
                    version: Version::new(source.generation, document.source_time, request.observed_at()),
                    event_id: request.event_id,
                    manifest_version: source.version,
                },
            });
        }
    }
    // A document that claims nothing makes no record.
    let says = |document: &Document| document.is_deleted || !document.fields.is_empty();
    merges.retain(|_, merge| merge.claims.iter().any(|claim| says(claim.document(batch))));
    Ok(merges)
}

impl Merge {
    fn new(birth_id: Uuid, source: &Source, document: &Document) -> Result<Self> {
        let stored = Stored {
            kind: Kind::named(document.kind).map_err(internal)?,
            scope: source.scope,
            birth_id,
            external_id: document.external_id.clone(),
            // Its own until identity joins it with another source's.
            entity_id: birth_id,
            has_siblings: false,
            record: Record::default(),
        };
        Ok(Self {
            stored,
            before: None,
            former_entity_id: birth_id,
            had_siblings: false,
            claims: Vec::new(),
            outcomes: Vec::new(),
            is_new: false,
            changed_by: None,
        })
    }

    /// A record that is known, of which the batch need not claim anything.
    pub fn of(stored: Stored) -> Self {
        Self {
            before: Some(stored.record.clone()),
            former_entity_id: stored.entity_id,
            had_siblings: stored.has_siblings,
            stored,
            claims: Vec::new(),
            outcomes: Vec::new(),
            is_new: false,
            changed_by: None,
        }
    }

    /// Puts the record that is known in the place of the new one.
    pub fn found(&mut self, stored: Stored) {
        self.before = Some(stored.record.clone());
        self.former_entity_id = stored.entity_id;
        self.had_siblings = stored.has_siblings;
        self.stored = stored;
        self.changed_by = None;
        self.outcomes.clear();
    }

    /// Whether its row is another than before.
    pub fn is_changed(&self) -> bool {
        self.before.as_ref() != Some(&self.stored.record)
            || self.former_entity_id != self.stored.entity_id
            || self.had_siblings != self.stored.has_siblings
    }

    /// Whether it says what it said, and belongs where it did: if its row is another at all, then by its versions.
    pub fn says_the_same(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.fields == self.stored.record.fields)
            && self.former_entity_id == self.stored.entity_id
            && self.had_siblings == self.stored.has_siblings
    }

    /// Joins every claim into the record, and tells each what it did.
    pub fn join(&mut self, batch: &Batch, mut each: impl FnMut(&Claim, &Document, Joined, &Record)) {
        for claim in &self.claims {
            let document = claim.document(batch);
            let joined = self.stored.record.join(self.stored.kind, document, claim.stamp);
            if joined == Joined::Changed {
                self.changed_by = Some(claim.place);
            }
            each(claim, document, joined, &self.stored.record);
        }
    }

    /// The same, noting what each did and which flows hear of it.
    pub fn join_heard(&mut self, batch: &Batch, flows: &Flows) -> Result<()> {
        let mut is_first = self.before.is_none();
        let (kind, scope, mut left) = (self.stored.kind, self.stored.scope, self.claims.len());
        let mut outcomes = Vec::with_capacity(left);
        self.join(batch, |claim, document, joined, record| {
            let result = match joined {
                Joined::Changed if document.is_deleted => "deleted",
                Joined::Changed if std::mem::take(&mut is_first) => "created",
                Joined::Changed => "changed",
                Joined::Raised => "unchanged",
                Joined::Stale => "stale",
            };
            let request = &batch.requests[claim.place];
            let wanting = match joined == Joined::Changed && request.makes_jobs() {
                true => flows.wanting(scope, kind.name, request.topic.as_deref(), &record.fields),
                false => Vec::new(),
            };
            left -= 1;
            // The last one is in the record's row.
            let document = (left > 0 && !wanting.is_empty()).then(|| Jsonb::of(&record.fields)).transpose();
            outcomes.push(document.map(|document| {
                let heard = (!wanting.is_empty()).then_some(Heard { document, flows: wanting });
                Outcome { place: claim.place, number: claim.number, result, heard }
            }));
        });
        self.outcomes = outcomes.into_iter().collect::<Result<_>>()?;
        Ok(())
    }
}

impl Claim {
    fn document<'a>(&self, batch: &'a Batch) -> &'a Document {
        &batch.requests[self.place].documents()[self.number]
    }
}
