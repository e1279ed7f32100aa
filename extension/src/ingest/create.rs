//! Stage 4: records joined, golden entities projected, and what follows from their changes.
//!
//! Only what differs is written. A record's claims are joined under its lock; the golden entity is projected
//! before and after, so that the change is known without reading the golden row.

mod emit;
pub mod entity;
pub mod identity;
pub mod merge;

use super::record::{self, Stored};
use super::route::{self, Flows};
use super::{Batch, Told, fetch};
use crate::advisory;
use crate::configuration::Configuration;
use crate::error::Result;
use crate::golden::{self, Alias, Change};
use crate::jsonb::Jsonb;
pub use entity::Entity;
use merge::{Heard, Merge, Outcome};
use nexus_core::canonical::Kind;
use pgrx::spi::SpiClient;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// A record changed by a request: what a flow may want to hear of.
pub struct Changed {
    pub place: usize,
    pub kind: &'static Kind,
    pub entity_id: Uuid,
    pub birth_id: Uuid,
    /// The record as joined then, where it is another by now.
    pub document: Option<Jsonb>,
    /// The flows that hear of it.
    pub flows: Vec<Uuid>,
}

/// Joins, projects and writes what the batch claims. Returns how many golden entities changed.
pub fn run(client: &mut SpiClient<'_>, batch: &mut Batch) -> Result<usize> {
    if batch.events().next().is_none() {
        return Ok(0);
    }
    let configuration = Configuration::load(client, batch.tenant_id)?;
    let mut merges = merge::collect(batch)?;
    let nothing = BTreeSet::new();
    if batch.is_wide {
        add_related(client, batch, &configuration, &mut merges, &nothing)?;
    }
    insert_or_lock(client, batch, &configuration.flows, &mut merges)?;
    join_and_write(client, batch, &configuration, merges, &nothing)
}

/// The rest of [`run`], for records that are locked. The entities of those that are to be looked at `anew` are
/// resolved whatever changed.
pub fn join_and_write(
    client: &mut SpiClient<'_>,
    batch: &mut Batch,
    configuration: &Configuration,
    mut merges: BTreeMap<Uuid, Merge>,
    anew: &BTreeSet<Uuid>,
) -> Result<usize> {
    let Configuration { flows, subscriptions, identifiers } = configuration;
    for merge in merges.values_mut().filter(|merge| !merge.is_new) {
        merge.join_heard(batch, flows)?;
    }
    identity::run(client, batch, &mut merges, anew, identifiers)?;
    let changes = note(batch, &mut merges);
    let is_other = |merge: &&Merge| match merge.is_new {
        // Written before it was known where it belongs.
        true => merge.stored.entity_id != merge.stored.birth_id || merge.stored.has_siblings,
        false => merge.is_changed(),
    };
    let others = merges.values().filter(is_other);
    let (raised, others): (Vec<&Merge>, Vec<&Merge>) = others.partition(|merge| merge.says_the_same());
    record::update(client, batch.tenant_id, &stored(&others))?;
    record::raise(client, batch.tenant_id, &stored(&raised))?;
    let mut entities = entity::changed_by(client, batch, &merges)?;
    let versions = write_golden(client, batch.tenant_id, &merges, &mut entities)?;
    let deliveries = emit::run(client, batch, &entities, &versions, subscriptions)?;
    note_traces(batch, &entities);
    fetch::run(client, batch)?;
    deliveries.and(route::enqueue(client, batch, flows, &changes)?).queue(client, batch.tenant_id)?;
    Ok(entities.len())
}

fn stored<'a>(merges: &[&'a Merge]) -> Vec<&'a Stored> {
    merges.iter().map(|merge| &merge.stored).collect()
}

/// Writes records that were changed by hand, under their locks, and their entities: no domain event follows.
pub fn rewrite(client: &mut SpiClient<'_>, batch: &Batch, merges: &BTreeMap<Uuid, Merge>) -> Result<()> {
    let stored: Vec<&Stored> = merges.values().map(|merge| &merge.stored).collect();
    record::update(client, batch.tenant_id, &stored)?;
    let mut entities = entity::changed_by(client, batch, merges)?;
    write_golden(client, batch.tenant_id, merges, &mut entities)?;
    Ok(())
}

/// Mends the golden rows of these records' entities where they are not what the records make; how many.
pub fn repair(client: &mut SpiClient<'_>, batch: &Batch, birth_ids: &[Uuid]) -> Result<usize> {
    let entities: BTreeSet<Uuid> =
        record::read(client, batch.tenant_id, birth_ids)?.iter().map(|stored| stored.entity_id).collect();
    let entities: Vec<Uuid> = entities.into_iter().collect();
    let records = record::of_entities(client, batch.tenant_id, &entities)?;
    let policy = entity::policy_of(client, batch.tenant_id, &records)?;
    advisory::share(&references_of(batch.tenant_id));
    let mut standing = entity::standing(&records, &policy);
    let mut changes: Vec<Change<'_>> =
        standing.iter_mut().filter_map(|entity| entity.change(None, false)).collect();
    golden::resolve_references(client, batch.tenant_id, &mut changes, &[])?;
    let versions = golden::repair(client, batch.tenant_id, &changes)?;
    standing.retain(|entity| versions.contains_key(&entity.entity_id));
    let Configuration { subscriptions, .. } = Configuration::load(client, batch.tenant_id)?;
    emit::run(client, batch, &standing, &versions, &subscriptions)?.queue(client, batch.tenant_id)?;
    Ok(standing.len())
}

/// Puts the records that may be concerned beside those of the batch, so that they are locked with them.
pub fn add_related(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    configuration: &Configuration,
    merges: &mut BTreeMap<Uuid, Merge>,
    anew: &BTreeSet<Uuid>,
) -> Result<()> {
    let ids: Vec<Uuid> = merges.keys().copied().collect();
    for stored in record::read(client, batch.tenant_id, &ids)? {
        if let Some(merge) = merges.get_mut(&stored.birth_id) {
            merge.found(stored);
        }
    }
    for merge in merges.values_mut() {
        merge.join(batch, |_, _, _, _| {});
    }
    let related = identity::related(client, batch, merges, anew, &configuration.identifiers)?;
    let missing: Vec<Uuid> = related.into_iter().filter(|id| !merges.contains_key(id)).collect();
    for stored in record::read(client, batch.tenant_id, &missing)? {
        merges.insert(stored.birth_id, Merge::of(stored));
    }
    // What was joined was to find them; it is joined again once all are locked.
    for merge in merges.values_mut() {
        merge.stored.record = merge.before.clone().unwrap_or_default();
    }
    Ok(())
}

/// Writes the records that are new, joined, and locks and reads the others, yet to be joined.
pub fn insert_or_lock(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    flows: &Flows,
    merges: &mut BTreeMap<Uuid, Merge>,
) -> Result<()> {
    if merges.is_empty() {
        return Ok(());
    }
    // As if none of the records were known; most of a first import is not.
    for merge in merges.values_mut() {
        merge.join_heard(batch, flows)?;
    }
    let all: Vec<&Stored> = merges.values().map(|merge| &merge.stored).collect();
    let inserted = record::insert_or_lock(client, batch.tenant_id, &all)?;
    for merge in merges.values_mut() {
        merge.is_new = inserted.contains(&merge.stored.birth_id);
    }
    let known: Vec<Uuid> = merges.keys().filter(|id| !inserted.contains(*id)).copied().collect();
    if !known.is_empty() {
        for stored in record::read(client, batch.tenant_id, &known)? {
            if let Some(merge) = merges.get_mut(&stored.birth_id) {
                merge.found(stored);
            }
        }
    }
    Ok(())
}

/// Notes on the requests what their claims did. Returns the changes that flows want to hear of.
fn note(batch: &mut Batch, merges: &mut BTreeMap<Uuid, Merge>) -> Vec<Changed> {
    let mut changes = Vec::new();
    for Merge { stored, claims, outcomes, .. } in merges.values_mut() {
        // What names a person who was forgotten is not kept.
        if stored.record.is_erased() {
            claims.iter().for_each(|claim| batch.requests[claim.place].is_erased = true);
        }
        for Outcome { place, number, result, heard } in outcomes.drain(..) {
            batch.requests[place].results.push(Told {
                number,
                kind: stored.kind.name,
                external_id: stored.external_id.clone(),
                entity_id: stored.entity_id,
                result,
                emitted_in_trace: None,
            });
            changes.extend(heard.map(|Heard { document, flows }| Changed {
                place,
                kind: stored.kind,
                entity_id: stored.entity_id,
                birth_id: stored.birth_id,
                document,
                flows,
            }));
        }
    }
    for request in &mut batch.requests {
        request.results.sort_by_key(|told| told.number);
    }
    changes
}

/// Notes on the requests whose change was told of together with a later one's where it was told of.
fn note_traces(batch: &mut Batch, entities: &[Entity]) {
    let last = |entity: &Entity| Some((entity.entity_id, entity.changed_by?));
    let last: HashMap<Uuid, usize> = entities.iter().filter_map(last).collect();
    for place in 0..batch.requests.len() {
        let mut results = std::mem::take(&mut batch.requests[place].results);
        for told in results.iter_mut().filter(|told| told.has_changed()) {
            let other = last.get(&told.entity_id).filter(|last| **last != place);
            told.emitted_in_trace = other.map(|last| batch.requests[*last].trace.trace_id.clone());
        }
        batch.requests[place].results = results;
    }
}

/// Who resolves a reference while its record moves to another entity would write down where it was.
fn references_of(tenant_id: Uuid) -> String {
    format!("{tenant_id} references")
}

/// Keeps everybody from resolving the tenant's references, until the transaction ends.
pub fn lock_references(tenant_id: Uuid) {
    advisory::lock(std::iter::once(&*references_of(tenant_id)))
}

fn write_golden(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    merges: &BTreeMap<Uuid, Merge>,
    entities: &mut [Entity],
) -> Result<HashMap<Uuid, i64>> {
    let moves = |merge: &Merge| merge.former_entity_id != merge.stored.entity_id;
    match merges.values().any(&moves) {
        true => lock_references(tenant_id),
        false if entities.is_empty() => {}
        false => advisory::share(&references_of(tenant_id)),
    }
    let mut aliases = Vec::new();
    for merge in merges.values() {
        let Stored { kind, scope, birth_id, entity_id, record, .. } = &merge.stored;
        let named = record.fields.get("aliases");
        if named == merge.before.as_ref().and_then(|record| record.fields.get("aliases")) {
            continue;
        }
        for alias in named.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let alias_id = scope.birth_id(kind.name, alias);
            aliases.push(Alias { alias_id, birth_id: *birth_id, entity_id: *entity_id });
        }
    }
    let gone = entities.iter().filter(|entity| entity.after.is_none());
    golden::remove(client, tenant_id, gone.map(|entity| (entity.kind, entity.entity_id)))?;
    // One that comes back goes on counting where it ended: consumers drop what is older than what they have.
    let back = entities.iter().filter(|entity| entity.before.is_none() && !entity.from.is_empty());
    let back: Vec<Uuid> = back.map(|entity| entity.entity_id).collect();
    let ended = golden::last_versions(client, tenant_id, &back)?;
    let mut changes: Vec<Change<'_>> = entities
        .iter_mut()
        .filter_map(|entity| {
            let first_version = ended.get(&entity.entity_id).map(|version| version + 1);
            let is_new = merges.get(&entity.entity_id).is_some_and(|merge| merge.is_new);
            entity.change(first_version, is_new)
        })
        .collect();
    let moved = golden::resolve_references(client, tenant_id, &mut changes, &aliases)?;
    let versions = golden::write(client, tenant_id, &changes)?;
    golden::move_references(client, tenant_id, &moved)?;
    let moved: Vec<&Stored> =
        merges.values().filter(|merge| moves(merge)).map(|merge| &merge.stored).collect();
    identity::follow::run(client, tenant_id, &moved)?;
    Ok(versions)
}
