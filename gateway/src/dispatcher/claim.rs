//! What `nexus.claim` leases to this worker.

use super::desk::Held;
use super::places::Place;
use jiff::Timestamp;
use nexus_core::retry::Policy;
use nexus_core::routing::{Envelope, Flow};
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as UnknownName;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type, accepts};
use uuid::Uuid;

/// A delivery of which an attempt is to be made.
#[derive(Debug)]
pub struct Claimed {
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The delivery: the same on every attempt.
    pub delivery_id: Uuid,
    /// Its environment.
    pub environment_id: Uuid,
    /// `dev`, `test` or `prod`.
    pub environment: String,
    /// The flow or subscription it goes to.
    pub destination_id: Uuid,
    /// The attempt's number, from 1.
    pub attempt: i32,
    /// Attempts before a person had the job tried again: the retry policy does not count them.
    pub former_attempts: i32,
    /// Others of its entity wait for its end.
    pub is_ordered: bool,
    /// When the flow or subscription was last changed; `None` when it is gone.
    pub destination_changed_at: Option<Timestamp>,
    /// Attempts a second that its destination may be sent.
    pub rate_limit: Option<u32>,
    /// The trace it belongs to.
    pub trace_id: String,
    /// Where to; `None` when the flow or subscription is gone.
    pub url: Option<String>,
    /// What is delivered.
    pub work: Work,
}

/// What is delivered.
#[derive(Debug)]
pub enum Work {
    /// A job, for a flow's execution URL.
    Job(Box<Job>),
    /// A domain event, for a subscription.
    Webhook(Box<Webhook>),
    /// A made-up event, for a subscription that is tried out: sent once, queued nowhere.
    Test(Box<Webhook>),
}

/// A job.
#[derive(Debug)]
pub struct Job {
    pub job_id: Uuid,
    pub event_id: Uuid,
    pub entity_kind: String,
    pub entity_id: Uuid,
    pub normalized_payload: Value,
    /// The flow's definition; `None` when the flow is gone or its definition cannot be read.
    pub flow: Option<Flow>,
    /// The callback did not come: nothing is sent, the waiting ends.
    pub is_callback_timeout: bool,
}

/// A domain event.
#[derive(Debug)]
pub struct Webhook {
    pub domain_event_id: Uuid,
    pub event_type: String,
    pub schema_version: i32,
    pub entity_version: Option<i64>,
    pub dedupe_key: String,
    pub changed: Vec<String>,
    pub payload: Arc<RawValue>,
    pub created_at: Timestamp,
    /// Kind and id of what changed, if the event is an entity's.
    pub entity: Option<(String, Uuid)>,
    /// What the subscription wants it wrapped in.
    pub envelope: Envelope,
    /// The subscription's own headers, by name.
    pub headers: Value,
    /// The subscription's own, if it has one that can be read.
    pub retry: Option<Policy>,
}

/// A document that comes as text.
struct JsonText(Box<RawValue>);

impl FromSql<'_> for JsonText {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    accepts!(TEXT);
}

/// Payloads by domain event.
pub type Payloads = HashMap<Uuid, Arc<RawValue>>;

/// The payloads in rows of [`crate::sql::CLAIM`]: an event's stands in one of its deliveries' rows alone.
pub fn payloads(rows: &[Row]) -> Payloads {
    let payload = |row: &Row| -> Option<(Uuid, Arc<RawValue>)> {
        let payload = row.try_get::<_, Option<JsonText>>("payload").ok()??.0;
        Some((row.try_get("domain_event_id").ok()?, payload.into()))
    };
    rows.iter().filter_map(payload).collect()
}

/// The destination of a row of [`crate::sql::CLAIM`], and its place in that one's queue.
pub fn place(row: &Row) -> Option<(Uuid, Place)> {
    let place = Place { due_at: row.try_get("due_at").ok()?, delivery_id: row.try_get("delivery_id").ok()? };
    Some((row.try_get("destination_id").ok()?, place))
}

impl Claimed {
    /// Reads a row of [`crate::sql::CLAIM`].
    pub fn from_row(tenant_id: Uuid, row: &Row, payloads: &Payloads) -> Result<Self, tokio_postgres::Error> {
        let kind: &str = row.try_get("kind")?;
        let work = match kind {
            "job" => Work::Job(Box::new(Job::from_row(row)?)),
            _ => Work::Webhook(Box::new(Webhook::from_row(row, payloads)?)),
        };
        Ok(Self {
            tenant_id,
            delivery_id: row.try_get("delivery_id")?,
            environment_id: row.try_get("environment_id")?,
            environment: row.try_get("environment")?,
            destination_id: row.try_get("destination_id")?,
            attempt: row.try_get("attempt")?,
            former_attempts: row.try_get("former_attempts")?,
            is_ordered: row.try_get("is_ordered")?,
            destination_changed_at: row.try_get("destination_changed_at")?,
            rate_limit: row.try_get::<_, Option<i32>>("rate_limit")?.and_then(|limit| limit.try_into().ok()),
            trace_id: row.try_get("trace_id")?,
            url: row.try_get("url")?,
            work,
        })
    }

    /// As the desk knows it.
    pub fn held(&self) -> Held {
        Held {
            tenant_id: self.tenant_id,
            destination_id: self.destination_id,
            delivery_id: self.delivery_id,
            destination_changed_at: self.destination_changed_at,
            rate_limit: self.rate_limit,
        }
    }

    /// `job`, `webhook` or `test`.
    pub fn kind(&self) -> &'static str {
        match self.work {
            Work::Job(_) => "job",
            Work::Webhook(_) => "webhook",
            Work::Test(_) => "test",
        }
    }
}

impl Job {
    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let definition: Option<Value> = row.try_get("definition")?;
        let flow = definition.and_then(|definition| match Flow::from_json(&definition) {
            Ok(flow) => Some(flow),
            Err(error) => {
                tracing::error!(%error, "a flow's definition cannot be used");
                None
            }
        });
        Ok(Self {
            job_id: row.try_get("job_id")?,
            event_id: row.try_get("event_id")?,
            entity_kind: row.try_get("entity_kind")?,
            entity_id: row.try_get("entity_id")?,
            normalized_payload: row.try_get("normalized_payload")?,
            flow,
            is_callback_timeout: row.try_get("is_callback_timeout")?,
        })
    }
}

impl Webhook {
    fn from_row(row: &Row, payloads: &Payloads) -> Result<Self, tokio_postgres::Error> {
        let domain_event_id = row.try_get("domain_event_id")?;
        let payload = match payloads.get(&domain_event_id) {
            Some(payload) => Arc::clone(payload),
            // Which is then an error that says so.
            None => row.try_get::<_, JsonText>("payload")?.0.into(),
        };
        Ok(Self {
            domain_event_id,
            event_type: row.try_get("event_type")?,
            schema_version: row.try_get("schema_version")?,
            entity_version: row.try_get("entity_version")?,
            dedupe_key: row.try_get("dedupe_key")?,
            changed: row.try_get("changed")?,
            payload,
            created_at: row.try_get("event_created_at")?,
            entity: row
                .try_get::<_, Option<String>>("entity_kind")?
                .zip(row.try_get::<_, Option<Uuid>>("entity_id")?),
            headers: row.try_get::<_, Option<Value>>("headers")?.unwrap_or_default(),
            retry: row
                .try_get::<_, Option<Value>>("retry")?
                .and_then(|policy| Policy::deserialize(policy).ok()),
            envelope: named(row.try_get("envelope")?),
        })
    }
}

/// A value by its name in the database. Without one, which is so when the subscription is gone, the default.
pub fn named<'a, T: Deserialize<'a> + Default>(name: Option<&'a str>) -> T {
    let read = |name: &'a str| T::deserialize(name.into_deserializer()).map_err(|_: UnknownName| ()).ok();
    name.and_then(read).unwrap_or_default()
}
