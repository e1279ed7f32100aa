//! Core's rules as SQL functions.

use crate::error::{Result, report};
use crate::manifest;
use nexus_core::connector::Connector;
use nexus_core::identity::{self, Scope};
use nexus_core::normalize::{Outcome, normalize_payload};
use nexus_core::routing::{self, Flow};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::Value;

/// A new UUIDv7: ids in the order of time, made without a sequence.
#[pg_extern(volatile, parallel_safe)]
fn uuid_v7() -> Uuid {
    from_core(uuid::Uuid::now_v7())
}

/// The id of a source's record, known before the record is.
#[pg_extern(immutable, parallel_safe)]
fn birth_id(
    tenant_id: Uuid,
    environment_id: Uuid,
    connector_id: Uuid,
    kind: &str,
    external_id: &str,
) -> Uuid {
    let scope = Scope {
        tenant_id: to_core(tenant_id),
        environment_id: to_core(environment_id),
        connector_id: to_core(connector_id),
    };
    from_core(scope.birth_id(kind, external_id))
}

/// The id of what exists once for a pair.
#[pg_extern(immutable, parallel_safe)]
fn _derived_id(first: Uuid, second: Uuid) -> Uuid {
    from_core(identity::pair_id(to_core(first), to_core(second)))
}

/// Whether one of a subscription's patterns covers an event type.
#[pg_extern(immutable, parallel_safe)]
fn _matches_event_type(patterns: Vec<String>, event_type: &str) -> bool {
    routing::matches_event_type(patterns.iter().map(String::as_str), event_type)
}

/// Refuses a flow's definition that cannot work, naming the place.
#[pg_extern(immutable, parallel_safe)]
fn _check_flow(definition: JsonB) -> Result<()> {
    Flow::from_json(&definition.0).map(|_| ()).map_err(report)
}

/// Refuses a subscription that cannot work, naming the place.
#[pg_extern(immutable, parallel_safe)]
fn _check_subscription(url: &str, event_types: Vec<String>) -> Result<()> {
    routing::check_subscription(url, &event_types).map_err(report)
}

/// What a payload means: the canonical documents it gives, and nothing written. Without a topic its shape
/// decides. A payload that does not fit its mapping is an error here, where there is nothing to keep it in.
#[pg_extern(stable)]
#[allow(clippy::type_complexity)] // the row type of the function, which pgrx reads from the signature
fn normalize(
    connector_type: &str,
    topic: Option<&str>,
    body: &[u8],
) -> Result<TableIterator<'static, (name!(kind, String), name!(external_id, String), name!(document, JsonB))>>
{
    let connector = Spi::connect(|client| manifest::current(client, connector_type))?;
    let documents = match normalize_payload(&connector, topic, body, &Value::Object(Default::default())) {
        Outcome::Documents(documents) => documents,
        Outcome::Ignored { .. } => Vec::new(),
        Outcome::Quarantined(error) => return Err(report(error)),
    };
    Ok(TableIterator::new(documents.into_iter().map(|document| {
        (document.kind.to_owned(), document.external_id, JsonB(Value::Object(document.fields)))
    })))
}

/// Checks a manifest, makes it the current one of its connector type, and returns its version.
#[pg_extern]
fn _register_manifest(manifest: JsonB) -> Result<i32> {
    let connector = Connector::from_json(&manifest.0).map_err(report)?;
    Spi::connect_mut(|client| {
        manifest::register(client, connector.connector_type(), connector.manifest(), false)
    })
}

/// Refuses settings that cannot be right for a connector type; what is missing yet, or not known, is a warning.
#[pg_extern(stable)]
fn _check_settings(connector_type: &str, settings: JsonB) -> Result<()> {
    let connector = Spi::connect(|client| manifest::current(client, connector_type))?;
    for note in connector.check_settings(&settings.0).map_err(report)? {
        pgrx::warning!("connector type \"{connector_type}\": {note}");
    }
    Ok(())
}

/// A PostgreSQL uuid as core has it.
pub fn to_core(id: Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(*id.as_bytes())
}

/// A core uuid as PostgreSQL has it.
pub fn from_core(id: uuid::Uuid) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}
