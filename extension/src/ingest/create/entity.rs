//! The golden entities that a batch changes: each projected from all of its records, before and after.

use super::merge::Merge;
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::golden::Change;
use crate::ingest::Batch;
use crate::ingest::record::{self, Stored};
use crate::{advisory, plan};
use nexus_core::canonical::Kind;
use nexus_core::register::Record;
use nexus_core::survivorship::{Claims, Golden, Policy, Rule, SharedLocation, changed, project};
use pgrx::Uuid as PgUuid;
use pgrx::spi::SpiClient;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A golden entity that is another than before.
pub struct Entity {
    pub kind: &'static Kind,
    pub entity_id: Uuid,
    pub environment_id: Uuid,
    pub before: Option<Golden>,
    /// `None` once no record contributes to it any more: it went into others.
    pub after: Option<Golden>,
    /// The columns in which it differs.
    pub changed: Vec<String>,
    /// The request that changed it, by place; `None` if none did by itself.
    pub changed_by: Option<usize>,
    /// The entities that its records came from, beside itself.
    pub from: BTreeSet<Uuid>,
}

impl Entity {
    /// What its golden row is to be, unless it is to go. The version that the row begins with, where that is not 1, and
    /// whether the batch inserted the record whose id it bears.
    pub fn change(&mut self, first_version: Option<i64>, is_new: bool) -> Option<Change<'_>> {
        Some(Change {
            is_new: is_new && self.from.is_empty(),
            kind: self.kind,
            entity_id: self.entity_id,
            environment_id: self.environment_id,
            before: self.before.as_ref(),
            after: self.after.as_mut()?,
            first_version,
        })
    }
}

/// An entity's records, with what they say before and after.
struct Records<'a> {
    kind: &'static Kind,
    environment_id: Uuid,
    before: Vec<Claims<'a>>,
    after: Vec<Claims<'a>>,
    changed_by: Option<usize>,
    is_touched: bool,
    from: BTreeSet<Uuid>,
}

/// The entities that the records of a batch change. The records are locked; entities that other records
/// contribute to as well are locked here, and then those records are read.
pub fn changed_by(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    merges: &BTreeMap<Uuid, Merge>,
) -> Result<Vec<Entity>> {
    let shared: BTreeSet<Uuid> = merges
        .values()
        .filter(|merge| merge.is_changed() && (merge.had_siblings || merge.stored.has_siblings))
        .flat_map(|merge| [merge.former_entity_id, merge.stored.entity_id])
        .collect();
    let names: Vec<String> = shared.iter().map(|id| format!("{} {id}", batch.tenant_id)).collect();
    advisory::lock(names.iter().map(String::as_str));
    // A statement of its own: it sees what the locks waited for.
    let shared: Vec<Uuid> = shared.into_iter().collect();
    let siblings = match shared.is_empty() {
        true => Vec::new(),
        false => record::of_entities(client, batch.tenant_id, &shared)?,
    };
    let policy = policy(client, batch.tenant_id, merges, !siblings.is_empty())?;
    Ok(project_all(merges, &siblings, &policy, batch.at))
}

/// The same without locks, for what is only tried.
pub fn tried(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    merges: &BTreeMap<Uuid, Merge>,
) -> Result<Vec<Entity>> {
    let shared: BTreeSet<Uuid> = merges
        .values()
        .filter(|merge| merge.stored.has_siblings)
        .map(|merge| merge.stored.entity_id)
        .collect();
    let shared: Vec<Uuid> = shared.into_iter().collect();
    let siblings = record::of_entities(client, batch.tenant_id, &shared)?;
    let policy = policy(client, batch.tenant_id, merges, !siblings.is_empty())?;
    Ok(project_all(merges, &siblings, &policy, batch.at))
}

fn project_all(merges: &BTreeMap<Uuid, Merge>, siblings: &[Stored], policy: &Policy, at: i64) -> Vec<Entity> {
    let mut groups: BTreeMap<Uuid, Records<'_>> = BTreeMap::new();
    for merge in merges.values() {
        let Merge { stored, former_entity_id, .. } = merge;
        let is_changed = merge.is_changed() || merge.before.is_none();
        if let Some(before) = &merge.before {
            let group = records(&mut groups, *former_entity_id, stored);
            group.before.push(stored.claims(before));
            group.is_touched |= is_changed;
        }
        let group = records(&mut groups, stored.entity_id, stored);
        group.after.push(stored.claims(&stored.record));
        group.is_touched |= is_changed;
        group.changed_by = group.changed_by.max(merge.changed_by);
        if merge.before.is_some() && former_entity_id != &stored.entity_id {
            group.from.insert(*former_entity_id);
        }
    }
    for stored in siblings.iter().filter(|stored| !merges.contains_key(&stored.birth_id)) {
        let group = records(&mut groups, stored.entity_id, stored);
        group.before.push(stored.claims(&stored.record));
        group.after.push(stored.claims(&stored.record));
    }
    let touched = groups.into_iter().filter(|(_, group)| group.is_touched);
    touched.filter_map(|(entity_id, group)| group.project(entity_id, policy, at)).collect()
}

fn records<'a, 'g>(
    groups: &'g mut BTreeMap<Uuid, Records<'a>>,
    entity_id: Uuid,
    stored: &Stored,
) -> &'g mut Records<'a> {
    groups.entry(entity_id).or_insert_with(|| Records {
        kind: stored.kind,
        environment_id: stored.scope.environment_id,
        before: Vec::new(),
        after: Vec::new(),
        changed_by: None,
        is_touched: false,
        from: BTreeSet::new(),
    })
}

impl Records<'_> {
    /// The entity, if it differs.
    fn project(self, entity_id: Uuid, policy: &Policy, at: i64) -> Option<Entity> {
        let before = project(self.kind, &self.before, policy);
        let after = project(self.kind, &self.after, policy);
        let after = match (&before, after) {
            // Its records are there and say nothing any more.
            (Some(before), None) if !self.after.is_empty() => Some(before.withdrawn(at)),
            (_, after) => after,
        };
        let changed = match &after {
            Some(after) => changed(self.kind, before.as_ref(), after),
            None => Vec::new(),
        };
        let is_gone = before.is_some() && after.is_none();
        let is_joined = after.is_some() && !self.from.is_empty();
        (is_gone || is_joined || !changed.is_empty()).then_some(Entity {
            kind: self.kind,
            entity_id,
            environment_id: self.environment_id,
            before,
            after,
            changed,
            changed_by: self.changed_by,
            from: self.from,
        })
    }
}

/// The entities that these records make, all of them of each.
pub fn standing(records: &[Stored], policy: &Policy) -> Vec<Entity> {
    let mut groups: BTreeMap<Uuid, Records<'_>> = BTreeMap::new();
    for stored in records {
        let group = self::records(&mut groups, stored.entity_id, stored);
        group.after.push(stored.claims(&stored.record));
    }
    let entities = groups.into_iter();
    entities.filter_map(|(entity_id, group)| group.project(entity_id, policy, 0)).collect()
}

/// The rules for entities of these records.
pub fn policy_of(client: &mut SpiClient<'_>, tenant_id: Uuid, records: &[Stored]) -> Result<Policy> {
    let stock = records.iter().filter(|stored| stored.kind.is_per_source);
    let places = stock.flat_map(|stored| places(stored.scope, std::iter::once(&stored.record))).collect();
    load_policy(client, tenant_id, places)
}

const RULES: &str = "
    select r.kind, r.field, r.connector_id, r.rank from nexus.survivorship_rule r where r.tenant_id = $1";

const SHARED_LOCATIONS: &str = "
    select s.entity_id, s.birth_id, s.connector_id,
           (extract(epoch from (s.document ->> 'source_created_at')::timestamptz) * 1000000)::bigint
    from nexus.source_record s
    where s.tenant_id = $1 and s.entity_id = any (array(
        select l.entity_id from nexus.source_record l
        where l.tenant_id = $1 and l.birth_id = any ($2) and l.has_siblings))";

/// The tenant's rules, where they can matter: an entity of one source has nothing to choose from.
fn policy(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    merges: &BTreeMap<Uuid, Merge>,
    has_siblings: bool,
) -> Result<Policy> {
    let places: BTreeSet<Uuid> = merges
        .values()
        .filter(|merge| merge.stored.kind.is_per_source && merge.is_changed())
        .flat_map(|merge| places(merge.stored.scope, merge.before.iter().chain([&merge.stored.record])))
        .collect();
    if !has_siblings && places.is_empty() {
        return Ok(Policy::default());
    }
    load_policy(client, tenant_id, places)
}

/// The tenant's rules, with the owners of the stock at these locations.
pub fn load_policy(client: &mut SpiClient<'_>, tenant_id: Uuid, places: BTreeSet<Uuid>) -> Result<Policy> {
    let mut rules = Vec::new();
    for row in plan::run(client, RULES, &[from_core(tenant_id).into()])? {
        if let (Some(kind), Some(connector_id), Some(rank)) = (
            row.get::<String>(1).map_err(internal)?,
            row.get::<PgUuid>(3).map_err(internal)?,
            row.get::<i32>(4).map_err(internal)?,
        ) {
            let field = row.get::<String>(2).map_err(internal)?;
            rules.push(Rule { kind, field, connector_id: to_core(connector_id), rank });
        }
    }
    let policy = Policy::new(&rules);
    if places.is_empty() {
        return Ok(policy);
    }
    let ids: Vec<PgUuid> = places.into_iter().map(from_core).collect();
    let mut locations = Vec::new();
    for row in plan::run(client, SHARED_LOCATIONS, &[from_core(tenant_id).into(), ids.into()])? {
        if let (Some(entity_id), Some(birth_id), Some(connector_id)) = (
            row.get::<PgUuid>(1).map_err(internal)?,
            row.get::<PgUuid>(2).map_err(internal)?,
            row.get::<PgUuid>(3).map_err(internal)?,
        ) {
            let (entity_id, birth_id) = (to_core(entity_id), to_core(birth_id));
            let source_created_at = row.get::<i64>(4).map_err(internal)?;
            let connector_id = to_core(connector_id);
            locations.push(SharedLocation { entity_id, birth_id, connector_id, source_created_at });
        }
    }
    Ok(policy.with_locations(&locations))
}

/// The records of the locations that stock is at.
fn places<'a>(scope: nexus_core::identity::Scope, records: impl Iterator<Item = &'a Record>) -> Vec<Uuid> {
    let named = records.filter_map(|record| record.fields.get("location_external_id")?.as_str());
    named.map(|external_id| scope.birth_id("location", external_id)).collect()
}
