//! The outbox: domain events, and deliveries of them to those who subscribed.

use crate::configuration::Configuration;
use crate::error::{Result, internal};
use crate::functions::{filter_accepts, from_core, to_core};
use crate::jsonb::Jsonb;
use crate::plan::{self, Text, column};
use nexus_core::identity::pair_id;
use nexus_core::routing;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{SpiClient, SpiHeapTupleData};
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

/// Deliveries that are yet to be queued.
#[must_use = "what is not queued is never sent"]
#[derive(Default)]
pub struct Deliveries(Vec<Delivery>);

impl FromIterator<Delivery> for Deliveries {
    fn from_iter<I: IntoIterator<Item = Delivery>>(deliveries: I) -> Self {
        Self(deliveries.into_iter().collect())
    }
}

impl Deliveries {
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Queues them, due at once; how many.
    pub fn queue(self, client: &mut SpiClient<'_>, tenant_id: Uuid) -> Result<usize> {
        let Self(deliveries) = &self;
        if deliveries.is_empty() {
            return Ok(0);
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
        Ok(deliveries.len())
    }
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

/// A tenant's subscriptions that are not disabled.
#[derive(Default)]
pub struct Subscriptions(Vec<Subscription>);

struct Subscription {
    webhook_subscription_id: Uuid,
    environment_id: Uuid,
    event_types: Vec<String>,
    filter: Option<Value>,
    is_ordered: bool,
}

const INSERT_EVENTS: &str = "
    insert into nexus.domain_event (tenant_id, domain_event_id, environment_id, event_type, dedupe_key, entity_kind,
                                    entity_id, entity_version, changed, trace_id, event_id, payload, epoch, created_at)
    select $1, r.domain_event_id, r.environment_id, r.event_type, r.dedupe_key, r.entity_kind, r.entity_id,
           r.entity_version, r.changed, r.trace_id, r.event_id, r.payload, (select nexus._epoch()), now()
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

/// The timeline that the cluster writes; an error on a standby. `pg_control_checkpoint()` tells that of the last checkpoint,
/// minutes after a promotion still the one before.
#[pg_extern(stable)]
fn _timeline() -> Result<i32> {
    // SAFETY: the first reads a flag in shared memory. The second is for a server that is not in recovery, which it will
    // never be again.
    #[allow(unsafe_code)]
    let timeline = unsafe { (!pg_sys::RecoveryInProgress()).then(|| pg_sys::GetWALInsertionTimeLine()) };
    let is_standby = || {
        let sqlstate = PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
        ErrorReport::new(sqlstate, "a standby writes no timeline", "nexus")
            .set_hint("Ask the primary, or wait for the promotion to end.")
    };
    timeline.map(u32::cast_signed).ok_or_else(is_standby)
}

/// Writes domain events, given as an array of objects, and queues them for the subscriptions that want them, paused ones
/// too; how many deliveries.
#[pg_extern]
fn _emit(tenant_id: PgUuid, events: JsonB) -> Result<i32> {
    let events: Vec<Event<'_>> = serde_json::from_value(events.0).map_err(internal)?;
    let tenant_id = to_core(tenant_id);
    Spi::connect_mut(|client| {
        let Configuration { subscriptions, .. } = Configuration::load(client, tenant_id)?;
        let queued = write(client, tenant_id, &events, &subscriptions)?.queue(client, tenant_id)?;
        i32::try_from(queued).map_err(internal)
    })
}

/// Writes domain events; the deliveries to the subscriptions that want them.
pub fn write(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    events: &[Event<'_>],
    subscriptions: &Subscriptions,
) -> Result<Deliveries> {
    if events.is_empty() {
        return Ok(Deliveries::default());
    }
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
    ];
    plan::run(client, INSERT_EVENTS, &arguments)?;
    Ok(subscriptions.deliveries(events))
}

impl Subscriptions {
    /// Adds the subscription of a row: (…, webhook_subscription_id, environment_id, filter, …, event_types, is_ordered).
    pub fn add(&mut self, row: &SpiHeapTupleData<'_>) -> Result<()> {
        if let (Some(webhook_subscription_id), Some(environment_id), Some(event_types)) = (
            row.get::<PgUuid>(2).map_err(internal)?,
            row.get::<PgUuid>(3).map_err(internal)?,
            row.get::<Vec<String>>(6).map_err(internal)?,
        ) {
            self.0.push(Subscription {
                webhook_subscription_id: to_core(webhook_subscription_id),
                environment_id: to_core(environment_id),
                event_types,
                filter: row.get::<JsonB>(4).map_err(internal)?.map(|filter| filter.0),
                is_ordered: row.get::<bool>(7).map_err(internal)?.unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// The deliveries of these events to the subscriptions that want them.
    fn deliveries(&self, events: &[Event<'_>]) -> Deliveries {
        let pairs = events.iter().flat_map(|event| self.0.iter().map(move |to| (event, to)));
        let wanted = pairs.filter(|(event, to)| to.wants(event));
        wanted.map(|(event, to)| to.delivery(event)).collect()
    }
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
