//! Stage 6: the event itself, with what came of it, and a line for each duplicate.

use super::{Batch, Request, Source};
use crate::error::Result;
use crate::functions::from_core;
use crate::instant::timestamptz;
use crate::plan;
use pgrx::JsonB;
use pgrx::spi::SpiClient;
use serde_json::{Map, Value, json};
use uuid::Uuid;

const INSERT_EVENTS: &str = concat!(
    "insert into nexus.event (tenant_id, event_id, environment_id, connector_id, connector_type, manifest_version, topic,
        status, reason_code, reason, outcome, trace_id, parent_span_id, delivery_key, emitted_at, received_at,
        is_verified, erased_at, headers, body)
    select $1, r.event_id, r.environment_id, r.connector_id, r.connector_type, r.manifest_version, r.topic,
        r.status, r.reason_code, r.reason, r.outcome, r.trace_id, r.parent_span_id, r.delivery_key, ",
    timestamptz!("r.emitted_at"), ", ", timestamptz!("r.received_at"), ", $4, case when r.is_erased then now() end, r.headers, ($3::bytea[])[r.body]
    from jsonb_to_recordset($2) as r(event_id uuid, environment_id uuid, connector_id uuid, connector_type text,
        manifest_version integer, topic text, status text, reason_code text, reason text, outcome jsonb, trace_id text,
        parent_span_id text, delivery_key text, emitted_at bigint, received_at bigint, is_erased boolean, headers jsonb, body integer)"
);

const INSERT_DUPLICATES: &str = "
    insert into nexus.activity_log (tenant_id, activity_log_id, environment_id, stage, action, trace_id, event_id, detail)
    select $1, r.activity_log_id, r.environment_id, 'deduplicate', 'duplicate', r.trace_id, r.event_id,
           jsonb_build_object('duplicate_of', r.event_id, 'connector_id', r.connector_id)
    from jsonb_to_recordset($2) as r(activity_log_id uuid, environment_id uuid, trace_id text, event_id uuid, connector_id uuid)";

pub fn run(client: &mut SpiClient<'_>, batch: &Batch, is_verified: bool) -> Result<()> {
    let tenant_id = from_core(batch.tenant_id);
    let mut bodies: Vec<&[u8]> = Vec::new();
    let mut events = Vec::new();
    for (request, source) in batch.events() {
        bodies.push(if request.is_erased { &[] } else { &request.body });
        let mut event = row(request, source);
        let received = json!({
            "environment_id": source.scope.environment_id,
            "connector_id": request.connector_id,
            "connector_type": source.connector_type,
            "trace_id": request.trace.trace_id,
            "parent_span_id": request.trace.parent_span_id,
            "delivery_key": request.delivery_key,
            "emitted_at": request.emitted_at,
            "received_at": request.received_at,
            "headers": if request.is_erased { json!({}) } else { request.headers.clone() },
            "body": bodies.len(),
        });
        if let (Value::Object(event), Value::Object(received)) = (&mut event, received) {
            event.extend(received);
        }
        events.push(event);
    }
    if !events.is_empty() {
        let bodies: Vec<Vec<u8>> = bodies.into_iter().map(<[u8]>::to_vec).collect();
        let events = JsonB(Value::Array(events));
        plan::run(
            client,
            INSERT_EVENTS,
            &[tenant_id.into(), events.into(), bodies.into(), is_verified.into()],
        )?;
    }
    let duplicates: Vec<Value> = batch
        .requests
        .iter()
        .filter_map(|request| {
            let (original, source) = request.duplicate_of.zip(request.source.as_ref())?;
            Some(json!({
                "activity_log_id": Uuid::now_v7(), "environment_id": source.scope.environment_id,
                "trace_id": request.trace.trace_id, "event_id": original, "connector_id": request.connector_id,
            }))
        })
        .collect();
    if !duplicates.is_empty() {
        plan::run(client, INSERT_DUPLICATES, &[tenant_id.into(), JsonB(Value::Array(duplicates)).into()])?;
    }
    Ok(())
}

const UPDATE_EVENTS: &str = "
    update nexus.event e set manifest_version = r.manifest_version, topic = r.topic, status = r.status,
        reason_code = r.reason_code, reason = r.reason, outcome = r.outcome,
        erased_at = case when r.is_erased then now() else e.erased_at end,
        headers = case when r.is_erased then '{}' else e.headers end,
        body = case when r.is_erased then '' else e.body end
    from jsonb_to_recordset($2) as r(event_id uuid, is_erased boolean, manifest_version integer, topic text, status text,
                                     reason_code text, reason text, outcome jsonb)
    where e.tenant_id = $1 and e.event_id = r.event_id";

/// Notes on events that were read again what came of them now.
pub fn update(client: &mut SpiClient<'_>, batch: &Batch) -> Result<()> {
    let rows: Vec<Value> = batch.events().map(|(request, source)| row(request, source)).collect();
    if !rows.is_empty() {
        let rows = JsonB(Value::Array(rows));
        plan::run(client, UPDATE_EVENTS, &[from_core(batch.tenant_id).into(), rows.into()])?;
    }
    Ok(())
}

/// What an event's row says of what came of it.
fn row(request: &Request, source: &Source) -> Value {
    let (status, reason_code, reason) = request.status();
    json!({
        "event_id": request.event_id,
        "is_erased": request.is_erased,
        "manifest_version": source.version,
        "topic": request.topic,
        "status": status,
        "reason_code": reason_code,
        "reason": reason,
        "outcome": (status == "accepted").then(|| outcome(request)),
    })
}

fn outcome(request: &Request) -> Value {
    let mut results = request.results.clone();
    results.sort_by_key(|result| result["number"].as_u64());
    for result in &mut results {
        if let Some(result) = result.as_object_mut() {
            result.remove("number");
        }
    }
    let mut outcome = Map::from_iter([("documents".to_owned(), Value::Array(results))]);
    if !request.fetch.is_empty() {
        let named =
            request.fetch.iter().map(|fetch| json!({ "kind": fetch.kind, "external_id": fetch.external_id }));
        outcome.insert("fetch".to_owned(), named.collect());
    }
    outcome.extend(request.no_job.map(|reason| ("no_job".to_owned(), json!(reason))));
    Value::Object(outcome)
}
