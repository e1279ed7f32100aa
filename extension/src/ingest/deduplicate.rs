//! Stage 3: which requests are new.

use super::Batch;
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::instant::timestamptz;
use crate::plan;
use pgrx::spi::SpiClient;
use pgrx::{JsonB, Uuid as PgUuid};
use serde_json::{Value, json};
use std::collections::HashMap;
use uuid::Uuid;

/// Sorted, so that two batches with the same keys wait for each other in one order.
const CLAIM_KEYS: &str = concat!(
    "with claimed as (
        insert into nexus.idempotency_key (tenant_id, connector_id, key_sha256, event_id, first_seen_at)
        select $1, r.connector_id, decode(r.key, 'hex'), r.event_id, ",
    timestamptz!("r.received_at"),
    " from jsonb_to_recordset($2) as r(connector_id uuid, key text, event_id uuid, received_at bigint)
        order by r.connector_id, r.key
        on conflict (tenant_id, connector_id, key_sha256) do nothing
        returning event_id)
    select c.event_id from claimed c"
);

const STANDING_KEYS: &str = "
    select k.connector_id, encode(k.key_sha256, 'hex'), k.event_id
    from jsonb_to_recordset($2) as r(connector_id uuid, key text)
    join nexus.idempotency_key k
      on k.tenant_id = $1 and k.connector_id = r.connector_id and k.key_sha256 = decode(r.key, 'hex')";

pub fn run(client: &mut SpiClient<'_>, batch: &mut Batch) -> Result<()> {
    let mut first: HashMap<(Uuid, [u8; 32]), Uuid> = HashMap::new();
    for request in batch.requests.iter_mut().filter(|request| request.source.is_some()) {
        let key = (request.connector_id, request.key);
        // Repeated within the batch: the first of them is the event.
        request.duplicate_of = first.get(&key).copied();
        first.entry(key).or_insert(request.event_id);
    }
    let tenant_id = from_core(batch.tenant_id);
    let rows: Vec<Value> = batch.events().map(|(request, _)| row(request)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut claimed = Vec::new();
    for row in plan::run(client, CLAIM_KEYS, &[tenant_id.into(), JsonB(Value::Array(rows)).into()])? {
        claimed.extend(row.get::<PgUuid>(1).map_err(internal)?.map(to_core));
    }
    let lost: Vec<Value> = batch
        .events()
        .filter(|(request, _)| !claimed.contains(&request.event_id))
        .map(|(request, _)| row(request))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    // A statement of its own: it sees what the insert waited for.
    let mut standing: HashMap<(Uuid, String), Uuid> = HashMap::new();
    for row in plan::run(client, STANDING_KEYS, &[tenant_id.into(), JsonB(Value::Array(lost)).into()])? {
        if let (Some(connector_id), Some(key), Some(event_id)) = (
            row.get::<PgUuid>(1).map_err(internal)?,
            row.get::<String>(2).map_err(internal)?,
            row.get::<PgUuid>(3).map_err(internal)?,
        ) {
            standing.insert((to_core(connector_id), key), to_core(event_id));
        }
    }
    for request in batch.requests.iter_mut().filter(|request| request.source.is_some()) {
        if let Some(event_id) = standing.get(&(request.connector_id, hex(&request.key))) {
            request.duplicate_of = Some(*event_id);
        }
    }
    Ok(())
}

fn row(request: &super::Request) -> Value {
    json!({
        "connector_id": request.connector_id,
        "key": hex(&request.key),
        "event_id": request.event_id,
        "received_at": request.received_at,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
