//! Whose word on stock counts, where it became known that locations are one, or are not.

use crate::configuration::Configuration;
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::ingest::create::entity::{self, Entity};
use crate::ingest::create::merge::Merge;
use crate::ingest::create::{emit, lock_references, write_golden};
use crate::ingest::{Batch, record};
use crate::plan;
use pgrx::spi::SpiClient;
use pgrx::{JsonB, Uuid as PgUuid};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const IS_AUTHORITATIVE: &str = "is_authoritative";

const MISTAKEN: &str = "
    select l.inventory_level_id
    from jsonb_to_recordset($2) as r(location_birth_id uuid, owner_id uuid)
    join nexus.inventory_level l on l.tenant_id = $1 and l.location_birth_id = r.location_birth_id
    where l.is_authoritative is distinct from coalesce(l.connector_id = r.owner_id, true)
    limit $3";

/// Tells the inventory levels at these locations anew whether they count or mirror another source's, as many as
/// are allowed at a time; how many were told otherwise before.
pub fn redo(client: &mut SpiClient<'_>, batch: &Batch, locations: &[Uuid], most: i64) -> Result<usize> {
    let records = record::of_entities(client, batch.tenant_id, locations)?;
    let places: BTreeSet<Uuid> = records.iter().map(|stored| stored.birth_id).collect();
    let owners = entity::load_policy(client, batch.tenant_id, places.clone())?;
    let rows = places
        .iter()
        .map(|place| json!({ "location_birth_id": place, "owner_id": owners.stock_owner(*place) }));
    let rows = JsonB(rows.collect());
    let mut levels = Vec::new();
    for row in plan::run(client, MISTAKEN, &[from_core(batch.tenant_id).into(), rows.into(), most.into()])? {
        levels.extend(row.get::<PgUuid>(1).map_err(internal)?.map(to_core));
    }
    if levels.is_empty() {
        return Ok(0);
    }
    let levels = record::lock(client, batch.tenant_id, &levels)?;
    // Alone from the beginning: whoever follows records in the same transaction needs it so, and sharing it meanwhile would
    // have others wait who share it as well.
    lock_references(batch.tenant_id);
    let policy = entity::policy_of(client, batch.tenant_id, &levels)?;
    let mut entities: Vec<Entity> =
        entity::standing(&levels, &policy).into_iter().filter_map(as_changed).collect();
    let merges: BTreeMap<Uuid, Merge> =
        levels.into_iter().map(|stored| (stored.birth_id, Merge::of(stored))).collect();
    let versions = write_golden(client, batch.tenant_id, &merges, &mut entities)?;
    let Configuration { subscriptions, .. } = Configuration::load(client, batch.tenant_id)?;
    emit::run(client, batch, &entities, &versions, &subscriptions)?.queue(client, batch.tenant_id)?;
    Ok(entities.len())
}

/// A level that was told the opposite until now.
fn as_changed(mut entity: Entity) -> Option<Entity> {
    let mut before = entity.after.clone()?;
    let was = before.columns.get(IS_AUTHORITATIVE)?.as_bool()?;
    before.columns.insert(IS_AUTHORITATIVE, Value::Bool(!was));
    entity.before = Some(before);
    entity.changed = vec![IS_AUTHORITATIVE.to_owned()];
    Some(entity)
}
