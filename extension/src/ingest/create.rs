//! Stage 4: records joined, golden entities projected, and what follows from their changes.
//!
//! Only what differs is written. A record's claims are joined under its lock; the golden entity is projected
//! before and after, so that the change is known without reading the golden row.

use super::record::{self, Stored};
use super::route::{self, Flows};
use super::{Batch, Source};
use crate::error::{Result, internal};
use crate::functions::from_core;
use crate::golden::{self, Change};
use crate::plan;
use nexus_core::canonical::{Document, Kind};
use nexus_core::register::{Joined, Record, Version};
use nexus_core::survivorship::{Golden, changed};
use pgrx::JsonB;
use pgrx::spi::SpiClient;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// A document of the batch, with where it came from.
struct Claim {
    /// The request's place in the batch, and the document's in the request.
    place: usize,
    number: usize,
    document: Document,
    version: Version,
}

/// All of the batch that concerns one record.
struct Merge {
    stored: Stored,
    claims: Vec<Claim>,
    before: Option<Golden>,
    after: Option<Golden>,
    /// The columns in which the golden entity differs from before.
    changed: Vec<String>,
    /// The requests that last changed the record's content and last raised its version, by place.
    changed_by: usize,
    raised_by: usize,
}

/// A record changed by a request: what a flow may want to hear of.
pub struct Changed {
    pub place: usize,
    pub kind: &'static Kind,
    pub entity_id: Uuid,
    pub birth_id: Uuid,
    /// The record as joined then.
    pub document: Map<String, Value>,
}

pub fn run(client: &mut SpiClient<'_>, batch: &mut Batch) -> Result<()> {
    let flows = route::flows(client, batch)?;
    let mut merges = collect(batch)?;
    let changes = join(client, batch, &flows, &mut merges)?;
    let versions = write_golden(client, batch.tenant_id, &mut merges)?;
    emit(client, batch, &merges, &versions)?;
    route::enqueue(client, batch, &flows, &changes)
}

/// The batch's documents by the record they claim, in the order in which records are locked.
fn collect(batch: &Batch) -> Result<BTreeMap<Uuid, Merge>> {
    let mut merges: BTreeMap<Uuid, Merge> = BTreeMap::new();
    for (request, source) in batch.events() {
        for (number, document) in request.documents().iter().enumerate() {
            let birth_id = source.scope.birth_id(document.kind, &document.external_id);
            let merge = match merges.entry(birth_id) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(Merge::new(birth_id, source, document, request.event_id)?)
                }
            };
            merge.claims.push(Claim {
                place: request.place,
                number,
                document: document.clone(),
                version: Version::new(document.source_time, request.observed_at()),
            });
        }
    }
    // A document that claims nothing makes no record.
    merges.retain(|_, merge| {
        merge.claims.iter().any(|claim| claim.document.is_deleted || !claim.document.fields.is_empty())
    });
    Ok(merges)
}

/// Joins every claim into its record, under the records' locks, and writes the records that rose. Returns
/// the changes that flows want to hear of.
fn join(
    client: &mut SpiClient<'_>,
    batch: &mut Batch,
    flows: &Flows,
    merges: &mut BTreeMap<Uuid, Merge>,
) -> Result<Vec<Changed>> {
    if merges.is_empty() {
        return Ok(Vec::new());
    }
    // What the records would be if none of them were known; most of a first import is not.
    for merge in merges.values_mut() {
        merge.join_claims(|_, _, _| {});
        merge.stamp(batch);
    }
    let all: Vec<&Stored> = merges.values().map(|merge| &merge.stored).collect();
    let inserted: HashSet<Uuid> =
        record::insert_or_lock(client, batch.tenant_id, &all)?.into_iter().collect();
    let known: Vec<Uuid> = merges.keys().filter(|id| !inserted.contains(*id)).copied().collect();
    if !known.is_empty() {
        for stored in record::locked(client, batch.tenant_id, &known)? {
            if let Some(merge) = merges.get_mut(&stored.birth_id) {
                merge.stored = stored;
            }
        }
    }
    let mut changes = Vec::new();
    let mut raised = Vec::new();
    for (birth_id, merge) in merges.iter_mut() {
        let is_new = inserted.contains(birth_id);
        if is_new {
            merge.stored.record = Record::default();
        } else {
            merge.before = merge.stored.project();
        }
        let mut rose = false;
        let mut is_first = is_new;
        let mut results = Vec::new();
        let (kind, scope) = (merge.stored.kind, merge.stored.scope);
        merge.join_claims(|claim, joined, record| {
            rose |= joined != Joined::Stale;
            let result = match joined {
                Joined::Changed if claim.document.is_deleted => "deleted",
                Joined::Changed if std::mem::take(&mut is_first) => "created",
                Joined::Changed => "changed",
                Joined::Raised => "unchanged",
                Joined::Stale => "stale",
            };
            let topic = batch.requests[claim.place].topic.as_deref();
            let is_wanted = joined == Joined::Changed && flows.want(scope, kind.name, topic);
            let document = is_wanted.then(|| record.fields.clone());
            results.push((claim.place, claim.number, result, document));
        });
        merge.after = merge.stored.project();
        merge.changed = match &merge.after {
            Some(after) => changed(kind, merge.before.as_ref(), after),
            None => Vec::new(),
        };
        for (place, number, result, document) in results {
            let stored = &merge.stored;
            let request = &mut batch.requests[place];
            request.results.push(json!({
                "number": number, "kind": kind.name, "external_id": stored.external_id,
                "entity_id": stored.entity_id, "result": result,
            }));
            changes.extend(document.map(|document| Changed {
                place,
                kind,
                entity_id: stored.entity_id,
                birth_id: *birth_id,
                document,
            }));
        }
        if rose {
            merge.stamp(batch);
        }
        if rose && !is_new {
            raised.push(*birth_id);
        }
    }
    let raised: Vec<&Stored> =
        raised.iter().filter_map(|id| merges.get(id)).map(|merge| &merge.stored).collect();
    record::update(client, batch.tenant_id, &raised)?;
    Ok(changes)
}

fn write_golden(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    merges: &mut BTreeMap<Uuid, Merge>,
) -> Result<HashMap<Uuid, i64>> {
    let mut aliases = Vec::new();
    for merge in merges.values().filter(|merge| merge.changed.iter().any(|name| name == "aliases")) {
        let Stored { kind, scope, birth_id, entity_id, record, .. } = &merge.stored;
        let named = record.fields.get("aliases").and_then(Value::as_array).into_iter().flatten();
        for alias in named.filter_map(Value::as_str) {
            aliases.push((scope.birth_id(kind.name, alias), *birth_id, *entity_id));
        }
    }
    let moved = golden::put_aliases(client, tenant_id, &aliases)?;
    let mut changes: Vec<Change<'_>> = merges
        .values_mut()
        .filter(|merge| !merge.changed.is_empty())
        .filter_map(|merge| {
            let Merge { stored, before, after, .. } = merge;
            after.as_mut().map(|after| Change {
                kind: stored.kind,
                entity_id: stored.entity_id,
                environment_id: stored.scope.environment_id,
                before: before.as_ref(),
                after,
            })
        })
        .collect();
    golden::resolve_references(client, tenant_id, &mut changes)?;
    let versions = golden::write(client, tenant_id, &changes)?;
    golden::move_references(client, tenant_id, &moved)?;
    Ok(versions)
}

/// Puts the changes into the outbox, and what went into quarantine.
fn emit(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    merges: &BTreeMap<Uuid, Merge>,
    versions: &HashMap<Uuid, i64>,
) -> Result<()> {
    let mut events = Vec::new();
    for merge in merges.values().filter(|merge| !merge.changed.is_empty()) {
        let (Some(after), Some(version)) = (&merge.after, versions.get(&merge.stored.entity_id)) else {
            continue;
        };
        let (stored, request) = (&merge.stored, &batch.requests[merge.changed_by]);
        let what = match &merge.before {
            None => "created",
            Some(before) if before.deleted_at.is_none() && after.deleted_at.is_some() => "deleted",
            Some(_) => "updated",
        };
        events.push(json!({
            "domain_event_id": Uuid::now_v7(),
            "environment_id": stored.scope.environment_id,
            "event_type": format!("{}.{what}", stored.kind.event_family),
            "dedupe_key": format!("{}:{version}", stored.entity_id),
            "entity_kind": stored.kind.name,
            "entity_id": stored.entity_id,
            "entity_version": version,
            "changed": merge.changed,
            "payload": golden::payload(stored.kind, stored.entity_id, *version, after),
            "trace_id": request.trace.trace_id,
            "event_id": request.event_id,
        }));
    }
    for (request, source) in batch.events() {
        if let ("quarantined", code, reason) = request.status() {
            events.push(json!({
                "domain_event_id": Uuid::now_v7(),
                "environment_id": source.scope.environment_id,
                "event_type": "event.quarantined",
                "dedupe_key": format!("{}:quarantined", request.event_id),
                "changed": [],
                "payload": {
                    "event_id": request.event_id, "connector_id": request.connector_id,
                    "connector_type": source.connector_type, "topic": request.topic, "code": code, "reason": reason,
                },
                "trace_id": request.trace.trace_id,
                "event_id": request.event_id,
            }));
        }
    }
    if !events.is_empty() {
        let arguments = [from_core(batch.tenant_id).into(), JsonB(Value::Array(events)).into()];
        plan::run(client, "select nexus._emit($1, $2)", &arguments)?;
    }
    Ok(())
}

impl Merge {
    fn new(birth_id: Uuid, source: &Source, document: &Document, event_id: Uuid) -> Result<Self> {
        let stored = Stored {
            kind: Kind::named(document.kind).map_err(internal)?,
            scope: source.scope,
            birth_id,
            external_id: document.external_id.clone(),
            // Its own until identity joins it with another source's.
            entity_id: birth_id,
            record: Record::default(),
            event_id,
            manifest_version: source.version,
        };
        let (before, after) = (None, None);
        Ok(Self {
            stored,
            claims: Vec::new(),
            before,
            after,
            changed: Vec::new(),
            changed_by: 0,
            raised_by: 0,
        })
    }

    fn join_claims(&mut self, mut each: impl FnMut(&Claim, Joined, &Record)) {
        for claim in &self.claims {
            let joined = self.stored.record.join(self.stored.kind, &claim.document, claim.version);
            if joined == Joined::Changed {
                self.changed_by = claim.place;
            }
            if joined != Joined::Stale {
                self.raised_by = claim.place;
            }
            each(claim, joined, &self.stored.record);
        }
    }

    /// Names the event that raised the record.
    fn stamp(&mut self, batch: &Batch) {
        let request = &batch.requests[self.raised_by];
        self.stored.event_id = request.event_id;
        if let Some(source) = &request.source {
            self.stored.manifest_version = source.version;
        }
    }
}
