//! What the batch puts into the outbox.

use super::Entity;
use crate::error::Result;
use crate::functions::from_core;
use crate::ingest::Batch;
use crate::{golden, plan};
use nexus_core::survivorship::Golden;
use pgrx::JsonB;
use pgrx::spi::SpiClient;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// Puts the changes of golden entities into the outbox, and what went into quarantine.
pub fn run(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    entities: &[Entity],
    versions: &HashMap<Uuid, i64>,
) -> Result<()> {
    let mut events = Vec::new();
    let gone: BTreeSet<Uuid> =
        entities.iter().filter(|entity| entity.after.is_none()).map(|entity| entity.entity_id).collect();
    for entity in entities {
        let (Some(after), Some(version)) = (&entity.after, versions.get(&entity.entity_id)) else {
            continue;
        };
        let (what, related) = what_happened(entity, after, &gone);
        let mut payload = golden::payload(entity.kind, entity.entity_id, *version, after);
        if let (Value::Object(payload), Some((name, ids))) = (&mut payload, related) {
            payload.insert(name.to_owned(), json!(ids));
        }
        let request = entity.changed_by.map(|place| &batch.requests[place]);
        events.push(json!({
            "domain_event_id": Uuid::now_v7(),
            "environment_id": entity.environment_id,
            "event_type": format!("{}.{what}", entity.kind.event_family),
            "dedupe_key": format!("{}:{version}", entity.entity_id),
            "entity_kind": entity.kind.name,
            "entity_id": entity.entity_id,
            "entity_version": version,
            "changed": entity.changed,
            "payload": payload,
            "trace_id": request.map_or(&batch.trace, |request| &request.trace).trace_id,
            "event_id": request.map(|request| request.event_id),
        }));
    }
    for (request, source) in
        batch.events().filter(|(request, _)| request.former_status.as_deref() != Some("quarantined"))
    {
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

/// The second word of the event's type, and the other entities that were part of it.
fn what_happened<'a>(
    entity: &'a Entity,
    after: &Golden,
    gone: &'a BTreeSet<Uuid>,
) -> (&'static str, Option<(&'static str, Vec<&'a Uuid>)>) {
    let absorbed: Vec<&Uuid> = entity.from.intersection(gone).collect();
    let split: Vec<&Uuid> = entity.from.difference(gone).collect();
    match &entity.before {
        _ if !absorbed.is_empty() => ("merged", Some(("merged_entity_ids", absorbed))),
        None if !split.is_empty() => ("unmerged", Some(("unmerged_from_entity_ids", split))),
        None => ("created", None),
        Some(before) if before.deleted_at.is_none() && after.deleted_at.is_some() => ("deleted", None),
        Some(_) => ("updated", None),
    }
}
