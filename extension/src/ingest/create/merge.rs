//! All of a batch that concerns one record.

use crate::error::{Result, internal};
use crate::ingest::record::Stored;
use crate::ingest::{Batch, Source};
use nexus_core::canonical::{Document, Kind};
use nexus_core::register::{Joined, Record, Stamp, Version};
use std::collections::{BTreeMap, btree_map};
use uuid::Uuid;

/// A document of the batch, with where it came from.
pub struct Claim {
    /// The request's place in the batch, and the document's in the request.
    pub place: usize,
    pub number: usize,
    pub document: Document,
    pub stamp: Stamp,
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
                document: document.clone(),
                stamp: Stamp {
                    version: Version::new(source.generation, document.source_time, request.observed_at()),
                    event_id: request.event_id,
                    manifest_version: source.version,
                },
            });
        }
    }
    // A document that claims nothing makes no record.
    merges.retain(|_, merge| {
        merge.claims.iter().any(|claim| claim.document.is_deleted || !claim.document.fields.is_empty())
    });
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
            changed_by: None,
        }
    }

    /// Puts the record that is known in the place of the new one.
    pub fn found(&mut self, stored: Stored) {
        self.before = Some(stored.record.clone());
        self.former_entity_id = stored.entity_id;
        self.had_siblings = stored.has_siblings;
        self.stored = stored;
    }

    /// Whether its row is another than before.
    pub fn is_changed(&self) -> bool {
        self.before.as_ref() != Some(&self.stored.record)
            || self.former_entity_id != self.stored.entity_id
            || self.had_siblings != self.stored.has_siblings
    }

    /// Joins every claim into the record, and tells each what it did.
    pub fn join(&mut self, mut each: impl FnMut(&Claim, Joined, &Record)) {
        for claim in &self.claims {
            let joined = self.stored.record.join(self.stored.kind, &claim.document, claim.stamp);
            if joined == Joined::Changed {
                self.changed_by = Some(claim.place);
            }
            each(claim, joined, &self.stored.record);
        }
    }
}
