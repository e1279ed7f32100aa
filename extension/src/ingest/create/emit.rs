//! What the batch puts into the outbox.

use super::Entity;
use crate::error::Result;
use crate::golden::Payload;
use crate::ingest::Batch;
use crate::jsonb::Jsonb;
use crate::outbox::{self, Deliveries, Event, Subscriptions};
use nexus_core::survivorship::Golden;
use pgrx::spi::SpiClient;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// Puts the changes of golden entities into the outbox, and what went into quarantine; the deliveries to those who
/// subscribed to it.
pub fn run(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    entities: &[Entity],
    versions: &HashMap<Uuid, i64>,
    subscriptions: &Subscriptions,
) -> Result<Deliveries> {
    let gone: BTreeSet<Uuid> =
        entities.iter().filter(|entity| entity.after.is_none()).map(|entity| entity.entity_id).collect();
    let changed = entities.iter().filter_map(|entity| changed(batch, entity, versions, &gone));
    let events: Vec<Event<'_>> = changed.chain(quarantined(batch)).collect::<Result<_>>()?;
    outbox::write(client, batch.tenant_id, &events, subscriptions)
}

fn changed<'a>(
    batch: &'a Batch,
    entity: &'a Entity,
    versions: &HashMap<Uuid, i64>,
    gone: &BTreeSet<Uuid>,
) -> Option<Result<Event<'a>>> {
    let (golden, version) = (entity.after.as_ref()?, *versions.get(&entity.entity_id)?);
    let Entity { kind, entity_id, environment_id, .. } = *entity;
    let (what, related) = what_happened(entity, golden, version, gone);
    let request = entity.changed_by.map(|place| &batch.requests[place]);
    let event = |payload| Event {
        domain_event_id: Uuid::now_v7(),
        environment_id,
        event_type: format!("{}.{what}", kind.event_family).into(),
        dedupe_key: format!("{entity_id}:{version}").into(),
        entity_kind: Some(kind.name.into()),
        entity_id: Some(entity_id),
        entity_version: Some(version),
        changed: entity.changed.iter().map(Into::into).collect(),
        trace_id: request.map_or(&batch.trace, |request| &request.trace).trace_id.as_str().into(),
        event_id: request.map(|request| request.event_id),
        payload,
    };
    Some(Jsonb::of(&Payload { kind, entity_id, version, golden, related }).map(event))
}

fn quarantined(batch: &Batch) -> impl Iterator<Item = Result<Event<'_>>> {
    let events =
        batch.events().filter(|(request, _)| request.former_status.as_deref() != Some("quarantined"));
    events.filter_map(|(request, source)| {
        let ("quarantined", code, reason) = request.status() else { return None };
        let payload = json!({
            "event_id": request.event_id, "connector_id": request.connector_id,
            "connector_type": source.connector_type, "topic": request.topic, "code": code, "reason": reason,
        });
        let event = |payload| Event {
            domain_event_id: Uuid::now_v7(),
            environment_id: source.scope.environment_id,
            event_type: "event.quarantined".into(),
            dedupe_key: format!("{}:quarantined", request.event_id).into(),
            entity_kind: None,
            entity_id: None,
            entity_version: None,
            changed: Vec::new(),
            trace_id: request.trace.trace_id.as_str().into(),
            event_id: Some(request.event_id),
            payload,
        };
        Some(Jsonb::of(&payload).map(event))
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
