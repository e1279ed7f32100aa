//! What the batch puts into the outbox.

use super::Entity;
use crate::error::Result;
use crate::functions::from_core;
use crate::golden::Payload;
use crate::ingest::{Batch, Request};
use crate::plan::{self, Text, column};
use nexus_core::survivorship::Golden;
use pgrx::spi::SpiClient;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// A row of the outbox.
struct Event<'a> {
    environment_id: Uuid,
    event_type: String,
    dedupe_key: String,
    /// The entity that changed, with its version.
    entity: Option<(&'a Entity, i64)>,
    payload: serde_json::Result<Text<'static>>,
    request: Option<&'a Request>,
}

const EMIT: &str = "select nexus._emit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// Puts the changes of golden entities into the outbox, and what went into quarantine.
pub fn run(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    entities: &[Entity],
    versions: &HashMap<Uuid, i64>,
) -> Result<()> {
    let gone: BTreeSet<Uuid> =
        entities.iter().filter(|entity| entity.after.is_none()).map(|entity| entity.entity_id).collect();
    let mut events: Vec<Event<'_>> =
        entities.iter().filter_map(|entity| changed(batch, entity, versions, &gone)).collect();
    events.extend(quarantined(batch));
    if events.is_empty() {
        return Ok(());
    }
    let arguments = [
        from_core(batch.tenant_id).into(),
        column(&events, |_| from_core(Uuid::now_v7())),
        column(&events, |event| from_core(event.environment_id)),
        column(&events, |event| &*event.event_type),
        column(&events, |event| &*event.dedupe_key),
        column(&events, |event| event.entity.map(|(entity, _)| entity.kind.name)),
        column(&events, |event| event.entity.map(|(entity, _)| from_core(entity.entity_id))),
        column(&events, |event| event.entity.map(|(_, version)| version)),
        column(&events, |event| {
            Text::list(event.entity.iter().flat_map(|(entity, _)| entity.changed.iter().map(String::as_str)))
        }),
        column(&events, |event| {
            event.request.map_or(&batch.trace, |request| &request.trace).trace_id.as_str()
        }),
        column(&events, |event| event.request.map(|request| from_core(request.event_id))),
        column(events.iter_mut(), |event| std::mem::replace(&mut event.payload, Ok(Text::new("")))),
    ];
    plan::run(client, EMIT, &arguments)?;
    Ok(())
}

fn changed<'a>(
    batch: &'a Batch,
    entity: &'a Entity,
    versions: &HashMap<Uuid, i64>,
    gone: &BTreeSet<Uuid>,
) -> Option<Event<'a>> {
    let (golden, version) = (entity.after.as_ref()?, *versions.get(&entity.entity_id)?);
    let Entity { kind, entity_id, environment_id, .. } = *entity;
    let (what, related) = what_happened(entity, golden, version, gone);
    Some(Event {
        environment_id,
        event_type: format!("{}.{what}", kind.event_family),
        dedupe_key: format!("{entity_id}:{version}"),
        entity: Some((entity, version)),
        payload: Text::json(&Payload { kind, entity_id, version, golden, related }),
        request: entity.changed_by.map(|place| &batch.requests[place]),
    })
}

fn quarantined(batch: &Batch) -> impl Iterator<Item = Event<'_>> {
    let events =
        batch.events().filter(|(request, _)| request.former_status.as_deref() != Some("quarantined"));
    events.filter_map(|(request, source)| {
        let ("quarantined", code, reason) = request.status() else { return None };
        let payload = json!({
            "event_id": request.event_id, "connector_id": request.connector_id,
            "connector_type": source.connector_type, "topic": request.topic, "code": code, "reason": reason,
        });
        Some(Event {
            environment_id: source.scope.environment_id,
            event_type: "event.quarantined".to_owned(),
            dedupe_key: format!("{}:quarantined", request.event_id),
            entity: None,
            payload: Text::json(&payload),
            request: Some(request),
        })
    })
}

/// The second word of the event's type, and the other entities that were part of it.
fn what_happened(
    entity: &Entity,
    after: &Golden,
    version: i64,
    gone: &BTreeSet<Uuid>,
) -> (&'static str, Option<(&'static str, Vec<Uuid>)>) {
    let (absorbed, split): (Vec<Uuid>, Vec<Uuid>) = entity.from.iter().partition(|id| gone.contains(id));
    match &entity.before {
        _ if !absorbed.is_empty() => ("merged", Some(("merged_entity_ids", absorbed))),
        None if !split.is_empty() => ("unmerged", Some(("unmerged_from_entity_ids", split))),
        // Its row was there, and was mended.
        None if version > 1 => ("updated", None),
        None => ("created", None),
        Some(before) if before.deleted_at.is_none() && after.deleted_at.is_some() => ("deleted", None),
        Some(_) => ("updated", None),
    }
}
