//! Core's rules as SQL functions.

use crate::error::{Result, internal, report};
use crate::guc;
use crate::jsonb::Jsonb;
use crate::manifest;
use nexus_core::canonical::Kind;
use nexus_core::connector::Connector;
use nexus_core::identity::{self, Scope};
use nexus_core::normalize::{Outcome, normalize_payload};
use nexus_core::outbox;
use nexus_core::resolution;
use nexus_core::routing::{self, Filter, Flow, SubscriptionDefinition};
use nexus_core::setting;
use nexus_core::survivorship::Policy;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

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

/// Whether the step from one timeline to a later one was a promotion, by the history that PostgreSQL keeps, and
/// the operator lets promotions pass.
#[pg_extern(volatile)]
fn _accepts_promotion(from: i32, to: i32) -> bool {
    // A backend's working directory is the data directory.
    let history = || std::fs::read_to_string(format!("pg_wal/{to:08X}.history"));
    guc::accepts_promotions()
        && u32::try_from(from).is_ok_and(|from| history().is_ok_and(|text| outbox::is_promotion(&text, from)))
}

/// A document as JSON text without blanks, in half the time that PostgreSQL takes to print it.
#[pg_extern(immutable, parallel_safe)]
fn _json_text(document: Jsonb) -> Result<String> {
    document.text()
}

/// Refuses a flow's definition that cannot work, naming the place.
#[pg_extern(immutable, parallel_safe)]
fn _check_flow(definition: JsonB) -> Result<()> {
    Flow::from_json(&definition.0).map(|_| ()).map_err(report)
}

/// A subscription's definition with the defaults of what it does not say. One that cannot work is refused, naming
/// the place.
#[pg_extern(immutable, parallel_safe)]
fn _subscription(definition: JsonB) -> Result<JsonB> {
    let definition = SubscriptionDefinition::from_json(&definition.0).map_err(report)?;
    serde_json::to_value(&definition).map(JsonB).map_err(internal)
}

thread_local! {
    /// Filters by their text, compiled once in the life of a backend.
    static FILTERS: RefCell<HashMap<String, Option<Rc<Filter>>>> = RefCell::default();
}

/// Beyond so many the filters of a backend are compiled anew.
const FILTERS_KEPT: usize = 1000;

/// Whether a subscription's filter lets an event pass.
#[pg_extern(immutable, parallel_safe, cost = 1000)]
fn _filter_accepts(
    filter: JsonB,
    event_type: &str,
    entity_version: Option<i64>,
    changed: Vec<String>,
    payload: JsonB,
) -> bool {
    filter_accepts(&filter.0, event_type, entity_version, &changed, payload.0)
}

/// The same. One that an older version took and this one cannot read lets everything pass: what is not sent could be
/// missed, and an error would hold up ingest.
pub fn filter_accepts(
    filter: &Value,
    event_type: &str,
    entity_version: Option<i64>,
    changed: &[String],
    payload: Value,
) -> bool {
    let text = filter.to_string();
    let compiled = FILTERS.with_borrow_mut(|filters| {
        if filters.len() >= FILTERS_KEPT {
            filters.clear();
        }
        let compile = || Filter::from_json(filter).map(Rc::new);
        let unreadable = |error| pgrx::warning!("a subscription's filter lets everything pass: {error}");
        filters.entry(text).or_insert_with(|| compile().map_err(unreadable).ok()).clone()
    });
    compiled
        .is_none_or(|filter| filter.accepts(&routing::event(event_type, entity_version, changed, payload)))
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

/// Which places of a platform's payloads feed which canonical field, by its current manifest or another version.
#[pg_extern(stable)]
#[allow(clippy::type_complexity)] // the row type of the function, which pgrx reads from the signature
fn field_lineage(
    connector_type: &str,
    version: default!(Option<i32>, "null"),
) -> Result<
    TableIterator<
        'static,
        (name!(kind, String), name!(field, String), name!(entity, String), name!(source, String)),
    >,
> {
    let connector = Spi::connect(|client| match version {
        Some(version) => manifest::compiled(client, connector_type, version),
        None => manifest::current(client, connector_type),
    })?;
    let lineage = connector.lineage().into_iter();
    Ok(TableIterator::new(lineage.map(|line| (line.kind.to_owned(), line.field, line.entity, line.source))))
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

/// Refuses a platform setting that there is not, or a value that it cannot have.
#[pg_extern(immutable, parallel_safe)]
fn _check_setting(name: &str, value: JsonB) -> Result<()> {
    setting::check(name, &value.0).map_err(report)
}

/// Refuses what a connector's identifiers cannot mean, naming the place.
#[pg_extern(immutable, parallel_safe)]
fn _check_identity(identity: JsonB) -> Result<()> {
    resolution::Settings::from_json(&identity.0).map(|_| ()).map_err(report)
}

/// Refuses the name of no entity kind.
#[pg_extern(immutable, parallel_safe)]
fn _check_kind(kind: &str) -> Result<()> {
    Kind::named(kind).map(|_| ()).map_err(report)
}

/// Refuses a survivorship rule about what there is not.
#[pg_extern(immutable, parallel_safe)]
fn _check_survivorship(kind: &str, field: Option<&str>) -> Result<()> {
    Policy::check(kind, field).map_err(report)
}

/// Why a flow does not hear of a change; null if it does.
#[pg_extern(immutable, parallel_safe)]
fn _flow_refusal(
    definition: JsonB,
    kind: &str,
    connector_id: Uuid,
    topic: Option<&str>,
    document: JsonB,
) -> Result<Option<String>> {
    let flow = Flow::from_json(&definition.0).map_err(report)?;
    let nothing = Map::new();
    let document = document.0.as_object().unwrap_or(&nothing);
    let change = routing::Change { kind, connector_id: to_core(connector_id), topic, document };
    Ok(flow.wants(&change).err())
}

/// A flow's settings as they apply, and whether its definition says so or they are defaults.
#[pg_extern(immutable, parallel_safe)]
fn _flow_settings(
    definition: JsonB,
) -> Result<TableIterator<'static, (name!(setting, String), name!(value, JsonB), name!(is_default, bool))>> {
    let flow = Flow::from_json(&definition.0).map_err(report)?;
    let settings = flow.effective(&definition.0).into_iter();
    Ok(TableIterator::new(settings.map(|setting| (setting.name, JsonB(setting.value), setting.is_default))))
}

/// An instance's settings with the defaults of its connector type's manifest.
#[pg_extern(stable)]
fn _connector_settings(connector_type: &str, version: i32, settings: JsonB) -> Result<JsonB> {
    let connector = Spi::connect(|client| manifest::compiled(client, connector_type, version))?;
    Ok(JsonB(connector.with_default_settings(&settings.0)))
}

/// A PostgreSQL uuid as core has it.
pub fn to_core(id: Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(*id.as_bytes())
}

/// A core uuid as PostgreSQL has it.
pub fn from_core(id: uuid::Uuid) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}
