//! The outbox: domain events, and deliveries of them to those who subscribed.

use crate::error::{Result, internal};
use crate::functions::{filter_accepts, from_core, to_core};
use crate::jsonb::Jsonb;
use crate::plan::{self, Text, column};
use nexus_core::identity::pair_id;
use nexus_core::routing;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;
use pgrx::{JsonB, Uuid as PgUuid};
use serde::de::{Deserialize as _, Deserializer, Error as _};
use serde_json::Value;
use std::borrow::Cow;
use uuid::Uuid;

/// A domain event to be written.
#[derive(serde::Deserialize)]
pub struct Event<'a> {
    pub domain_event_id: Uuid,
    pub environment_id: Uuid,
    pub event_type: Cow<'a, str>,
    /// The same for the same change, also in a replay.
    pub dedupe_key: Cow<'a, str>,
    #[serde(default)]
    pub entity_kind: Option<Cow<'a, str>>,
    #[serde(default)]
    pub entity_id: Option<Uuid>,
    #[serde(default)]
    pub entity_version: Option<i64>,
    /// The columns in which the entity differs.
    #[serde(default)]
    pub changed: Vec<Cow<'a, str>>,
    pub trace_id: Cow<'a, str>,
    /// The inbound event that caused it.
    #[serde(default)]
    pub event_id: Option<Uuid>,
    #[serde(deserialize_with = "document")]
    pub payload: Jsonb,
}

fn document<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Jsonb, D::Error> {
    Jsonb::of(&Value::deserialize(deserializer)?).map_err(|report| D::Error::custom(report.message()))
}

/// A delivery to be queued.
pub struct Delivery {
    pub delivery_id: Uuid,
    pub environment_id: Uuid,
    /// The flow or the subscription.
    pub destination_id: Uuid,
    pub of: Of,
}

/// What a delivery carries.
pub enum Of {
    Job(Uuid),
    /// A domain event, with the entity within which it goes out in order and its version there.
    DomainEvent(Uuid, Option<(Uuid, i64)>),
}

impl Of {
    fn kind(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::DomainEvent(..) => "webhook",
        }
    }

    fn job(&self) -> Option<Uuid> {
        match self {
            Self::Job(job_id) => Some(*job_id),
            Self::DomainEvent(..) => None,
        }
    }

    fn domain_event(&self) -> Option<Uuid> {
        match self {
            Self::Job(_) => None,
            Self::DomainEvent(domain_event_id, _) => Some(*domain_event_id),
        }
    }

    fn place(&self) -> Option<(Uuid, i64)> {
        match self {
            Self::Job(_) => None,
            Self::DomainEvent(_, place) => *place,
        }
    }
}

/// A subscription that is not disabled: what is for a paused one waits for it.
struct Subscription {
    webhook_subscription_id: Uuid,
    environment_id: Uuid,
    event_types: Vec<String>,
    filter: Option<Value>,
    is_ordered: bool,
}

const SUBSCRIPTIONS: &str = "
    select s.webhook_subscription_id, s.environment_id, s.event_types, s.filter, s.ordering = 'entity'
    from nexus.webhook_subscription s where s.tenant_id = $1 and s.status <> 'disabled'";

const INSERT_EVENTS: &str = "
    insert into nexus.domain_event (tenant_id, domain_event_id, environment_id, event_type, dedupe_key, entity_kind,
                                    entity_id, entity_version, changed, trace_id, event_id, payload, epoch, created_at)
    select $1, r.domain_event_id, r.environment_id, r.event_type, r.dedupe_key, r.entity_kind, r.entity_id,
           r.entity_version, r.changed, r.trace_id, r.event_id, r.payload, $13, now()
    from (select unnest($2) as domain_event_id, unnest($3) as environment_id, unnest($4) as event_type,
                 unnest($5) as dedupe_key, unnest($6) as entity_kind, unnest($7) as entity_id,
                 unnest($8) as entity_version, unnest($9)::text[] as changed, unnest($10) as trace_id,
                 unnest($11) as event_id, unnest($12) as payload) r";

const INSERT_DELIVERIES: &str = "
    insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, job_id, domain_event_id,
                                ordering_key, ordering_version, due_at, created_at)
    select $1, r.*, now(), now()
    from (select unnest($2) as delivery_id, unnest($3) as environment_id, unnest($4) as kind, unnest($5) as destination_id,
                 unnest($6) as job_id, unnest($7) as domain_event_id, unnest($8) as ordering_key,
                 unnest($9) as ordering_version) r";

const EPOCH: &str = "select nexus._epoch()";

/// Writes domain events, given as an array of objects, and queues them for the subscriptions that want them, paused ones
/// too; how many deliveries.
#[pg_extern]
fn _emit(tenant_id: PgUuid, events: JsonB) -> Result<i32> {
    let events: Vec<Event<'_>> = serde_json::from_value(events.0).map_err(internal)?;
    let tenant_id = to_core(tenant_id);
    Spi::connect_mut(|client| {
        let deliveries = write(client, tenant_id, &events)?;
        queue(client, tenant_id, &deliveries)?;
        i32::try_from(deliveries.len()).map_err(internal)
    })
}

/// Writes domain events; the deliveries to the subscriptions that want them.
pub fn write(client: &mut SpiClient<'_>, tenant_id: Uuid, events: &[Event<'_>]) -> Result<Vec<Delivery>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let epoch = plan::run(client, EPOCH, &[])?.first().get_one::<i32>().map_err(internal)?;
    let arguments = [
        from_core(tenant_id).into(),
        column(events, |event| from_core(event.domain_event_id)),
        column(events, |event| from_core(event.environment_id)),
        column(events, |event| &*event.event_type),
        column(events, |event| &*event.dedupe_key),
        column(events, |event| event.entity_kind.as_deref()),
        column(events, |event| event.entity_id.map(from_core)),
        column(events, |event| event.entity_version),
        column(events, |event| Text::list(event.changed.iter().map(|name| &**name))),
        column(events, |event| &*event.trace_id),
        column(events, |event| event.event_id.map(from_core)),
        column(events, |event| &event.payload),
        epoch.into(),
    ];
    plan::run(client, INSERT_EVENTS, &arguments)?;
    let subscriptions = subscriptions(client, tenant_id)?;
    let pairs = events.iter().flat_map(|event| subscriptions.iter().map(move |to| (event, to)));
    let wanted = pairs.filter(|(event, to)| to.wants(event));
    Ok(wanted.map(|(event, to)| to.delivery(event)).collect())
}

/// Queues deliveries, which are due at once.
pub fn queue(client: &mut SpiClient<'_>, tenant_id: Uuid, deliveries: &[Delivery]) -> Result<()> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let arguments = [
        from_core(tenant_id).into(),
        column(deliveries, |delivery| from_core(delivery.delivery_id)),
        column(deliveries, |delivery| from_core(delivery.environment_id)),
        column(deliveries, |delivery| delivery.of.kind()),
        column(deliveries, |delivery| from_core(delivery.destination_id)),
        column(deliveries, |delivery| delivery.of.job().map(from_core)),
        column(deliveries, |delivery| delivery.of.domain_event().map(from_core)),
        column(deliveries, |delivery| delivery.of.place().map(|(entity_id, _)| from_core(entity_id))),
        column(deliveries, |delivery| delivery.of.place().map(|(_, version)| version)),
    ];
    plan::run(client, INSERT_DELIVERIES, &arguments)?;
    Ok(())
}

fn subscriptions(client: &mut SpiClient<'_>, tenant_id: Uuid) -> Result<Vec<Subscription>> {
    let mut subscriptions = Vec::new();
    for row in plan::run(client, SUBSCRIPTIONS, &[from_core(tenant_id).into()])? {
        let (Some(webhook_subscription_id), Some(environment_id), Some(event_types)) = (
            row.get::<PgUuid>(1).map_err(internal)?,
            row.get::<PgUuid>(2).map_err(internal)?,
            row.get::<Vec<String>>(3).map_err(internal)?,
        ) else {
            continue;
        };
        subscriptions.push(Subscription {
            webhook_subscription_id: to_core(webhook_subscription_id),
            environment_id: to_core(environment_id),
            event_types,
            filter: row.get::<JsonB>(4).map_err(internal)?.map(|filter| filter.0),
            is_ordered: row.get::<bool>(5).map_err(internal)?.unwrap_or_default(),
        });
    }
    Ok(subscriptions)
}

impl Subscription {
    fn wants(&self, event: &Event<'_>) -> bool {
        let patterns = || self.event_types.iter().map(String::as_str);
        event.environment_id == self.environment_id
            && routing::matches_event_type(patterns(), &event.event_type)
            && self.filter.as_ref().is_none_or(|filter| {
                let changed: Vec<String> = event.changed.iter().map(|name| name.to_string()).collect();
                let payload = event.payload.read().unwrap_or(Value::Null);
                filter_accepts(filter, &event.event_type, event.entity_version, &changed, payload)
            })
    }

    fn delivery(&self, event: &Event<'_>) -> Delivery {
        let place = event.entity_id.zip(event.entity_version).filter(|_| self.is_ordered);
        Delivery {
            delivery_id: pair_id(event.domain_event_id, self.webhook_subscription_id),
            environment_id: event.environment_id,
            destination_id: self.webhook_subscription_id,
            of: Of::DomainEvent(event.domain_event_id, place),
        }
    }
}
