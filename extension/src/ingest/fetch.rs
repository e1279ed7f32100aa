//! Records that payloads name without saying what is in them: noted down, to be fetched from their source.

use super::Batch;
use crate::error::Result;
use crate::functions::from_core;
use crate::instant::timestamptz;
use crate::plan;
use pgrx::JsonB;
use pgrx::spi::SpiClient;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Sorted, and the latest asking stands.
const ASK: &str = concat!(
    "insert into nexus.fetch_request as f (tenant_id, fetch_request_id, environment_id, connector_id, kind, external_id,
        event_id, requested_at)
    select $1, r.fetch_request_id, r.environment_id, r.connector_id, r.kind, r.external_id, r.event_id, ",
    timestamptz!("r.requested_at"),
    " from jsonb_to_recordset($2) as r(fetch_request_id uuid, environment_id uuid, connector_id uuid, kind text,
        external_id text, event_id uuid, requested_at bigint)
    order by r.fetch_request_id
    on conflict (tenant_id, fetch_request_id) do update set event_id = excluded.event_id,
        requested_at = excluded.requested_at
    where f.requested_at < excluded.requested_at"
);

pub fn run(client: &mut SpiClient<'_>, batch: &Batch) -> Result<()> {
    let mut rows: BTreeMap<Uuid, Value> = BTreeMap::new();
    for (request, source) in batch.events() {
        for fetch in &request.fetch {
            let birth_id = source.scope.birth_id(fetch.kind, &fetch.external_id);
            let row = json!({
                "fetch_request_id": birth_id, "environment_id": source.scope.environment_id,
                "connector_id": request.connector_id, "kind": fetch.kind, "external_id": fetch.external_id,
                "event_id": request.event_id, "requested_at": request.received_at,
            });
            rows.insert(birth_id, row);
        }
    }
    if !rows.is_empty() {
        let rows = JsonB(Value::Array(rows.into_values().collect()));
        plan::run(client, ASK, &[from_core(batch.tenant_id).into(), rows.into()])?;
    }
    Ok(())
}
