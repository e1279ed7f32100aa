//! Stage 4: records joined, golden entities projected, and what follows from their changes.
//!
//! Only what differs is written. A record's claims are joined under its lock; the golden entity is projected
//! before and after, so that the change is known without reading the golden row.

mod emit;
pub mod merge;

use super::record::{self, Stored};
use super::route::{self, Flows};
use super::{Batch, fetch};
use crate::error::Result;
use crate::golden::{self, Change};
use merge::Merge;
use nexus_core::canonical::Kind;
use nexus_core::register::{Joined, Record};
use nexus_core::survivorship::{Golden, changed};
use pgrx::spi::SpiClient;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// A golden entity that is another than before.
pub struct Entity {
    pub kind: &'static Kind,
    pub entity_id: Uuid,
    pub environment_id: Uuid,
    pub before: Option<Golden>,
    pub after: Golden,
    /// The columns in which it differs.
    pub changed: Vec<String>,
    /// The request that changed it, by place; `None` if none did by itself.
    pub changed_by: Option<usize>,
}

/// A record changed by a request: what a flow may want to hear of.
pub struct Changed {
    pub place: usize,
    pub kind: &'static Kind,
    pub entity_id: Uuid,
    pub birth_id: Uuid,
    /// The record as joined then.
    pub document: Map<String, Value>,
    /// The flows that hear of it.
    pub flows: Vec<Uuid>,
}

/// Joins, projects and writes what the batch claims. Returns how many golden entities changed.
pub fn run(client: &mut SpiClient<'_>, batch: &mut Batch) -> Result<usize> {
    let mut merges = merge::collect(batch)?;
    let inserted = insert_or_lock(client, batch.tenant_id, &mut merges)?;
    join_and_write(client, batch, merges, &inserted)
}

/// The rest of [`run`], for records that are locked.
pub fn join_and_write(
    client: &mut SpiClient<'_>,
    batch: &mut Batch,
    mut merges: BTreeMap<Uuid, Merge>,
    inserted: &HashSet<Uuid>,
) -> Result<usize> {
    let flows = route::flows(client, batch)?;
    let changes = join(batch, &flows, &mut merges);
    let raised: Vec<&Stored> = merges
        .values()
        .filter(|merge| !inserted.contains(&merge.stored.birth_id))
        .filter(|merge| merge.before.as_ref() != Some(&merge.stored.record))
        .map(|merge| &merge.stored)
        .collect();
    record::update(client, batch.tenant_id, &raised)?;
    let mut entities = project(&merges, batch.at);
    let versions = write_golden(client, batch.tenant_id, &merges, &mut entities)?;
    emit::run(client, batch, &entities, &versions)?;
    fetch::run(client, batch)?;
    route::enqueue(client, batch, &flows, &changes)?;
    Ok(entities.len())
}

/// Writes the records that are new, and locks and reads the others. The ids of the new ones.
pub fn insert_or_lock(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    merges: &mut BTreeMap<Uuid, Merge>,
) -> Result<HashSet<Uuid>> {
    if merges.is_empty() {
        return Ok(HashSet::new());
    }
    // What the records would be if none of them were known; most of a first import is not.
    let mut all = Vec::with_capacity(merges.len());
    for merge in merges.values_mut() {
        merge.join(|_, _, _| {});
        all.push(&merge.stored);
    }
    let inserted: HashSet<Uuid> = record::insert_or_lock(client, tenant_id, &all)?.into_iter().collect();
    let known: Vec<Uuid> = merges.keys().filter(|id| !inserted.contains(*id)).copied().collect();
    for merge in merges.values_mut() {
        merge.stored.record = Record::default();
        merge.changed_by = None;
    }
    if !known.is_empty() {
        for stored in record::read(client, tenant_id, &known)? {
            if let Some(merge) = merges.get_mut(&stored.birth_id) {
                merge.found(stored);
            }
        }
    }
    Ok(inserted)
}

/// Joins every claim into its record and notes on the requests what it did. Returns the changes that flows want
/// to hear of.
fn join(batch: &mut Batch, flows: &Flows, merges: &mut BTreeMap<Uuid, Merge>) -> Vec<Changed> {
    let mut changes = Vec::new();
    for (birth_id, merge) in merges.iter_mut() {
        if merge.stored.record.is_erased() {
            merge.claims.iter().for_each(|claim| batch.requests[claim.place].is_erased = true);
        }
        let mut is_first = merge.before.is_none();
        let mut results = Vec::new();
        let (kind, scope) = (merge.stored.kind, merge.stored.scope);
        merge.join(|claim, joined, record| {
            let result = match joined {
                Joined::Changed if claim.document.is_deleted => "deleted",
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
            let heard = (!wanting.is_empty()).then(|| (record.fields.clone(), wanting));
            results.push((claim.place, claim.number, result, heard));
        });
        for (place, number, result, heard) in results {
            let stored = &merge.stored;
            batch.requests[place].results.push(json!({
                "number": number, "kind": kind.name, "external_id": stored.external_id,
                "entity_id": stored.entity_id, "result": result,
            }));
            changes.extend(heard.map(|(document, flows)| Changed {
                place,
                kind,
                entity_id: stored.entity_id,
                birth_id: *birth_id,
                document,
                flows,
            }));
        }
    }
    changes
}

/// The golden entities that the joined records change, at a time in microseconds since 1970.
pub fn project(merges: &BTreeMap<Uuid, Merge>, at: i64) -> Vec<Entity> {
    let mut entities = Vec::new();
    for merge in merges.values() {
        let Merge { stored, before, changed_by, .. } = merge;
        let before = before.as_ref().and_then(|record| stored.project(record));
        let after =
            stored.project(&stored.record).or_else(|| before.as_ref().map(|golden| golden.withdrawn(at)));
        let Some(after) = after else { continue };
        let changed = changed(stored.kind, before.as_ref(), &after);
        if !changed.is_empty() {
            entities.push(Entity {
                kind: stored.kind,
                entity_id: stored.entity_id,
                environment_id: stored.scope.environment_id,
                before,
                after,
                changed,
                changed_by: *changed_by,
            });
        }
    }
    entities
}

fn write_golden(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    merges: &BTreeMap<Uuid, Merge>,
    entities: &mut [Entity],
) -> Result<HashMap<Uuid, i64>> {
    let mut aliases = Vec::new();
    for merge in merges.values() {
        let Stored { kind, scope, birth_id, entity_id, record, .. } = &merge.stored;
        let named = record.fields.get("aliases");
        if named == merge.before.as_ref().and_then(|record| record.fields.get("aliases")) {
            continue;
        }
        for alias in named.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            aliases.push((scope.birth_id(kind.name, alias), *birth_id, *entity_id));
        }
    }
    let moved = golden::put_aliases(client, tenant_id, &aliases)?;
    let mut changes: Vec<Change<'_>> = entities
        .iter_mut()
        .map(|entity| Change {
            kind: entity.kind,
            entity_id: entity.entity_id,
            environment_id: entity.environment_id,
            before: entity.before.as_ref(),
            after: &mut entity.after,
        })
        .collect();
    golden::resolve_references(client, tenant_id, &mut changes)?;
    let versions = golden::write(client, tenant_id, &changes)?;
    golden::move_references(client, tenant_id, &moved)?;
    Ok(versions)
}
