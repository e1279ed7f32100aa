//! What leaves Nexus: the bodies of jobs and webhooks, and their signatures by Standard Webhooks 1.0.

mod cloudevents;
mod signing;

pub use cloudevents::CloudEvent;
pub use signing::{SigningKey, masked, sign, signing_secret};

use crate::routing::Envelope;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

/// A body, and the headers that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The body's media type.
    pub content_type: &'static str,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The bytes that are signed.
    pub body: Vec<u8>,
}

/// The body of a job, as an execution URL receives it.
#[derive(Debug, Clone, Serialize)]
pub struct JobBody<'a> {
    /// The job.
    pub job_id: Uuid,
    /// The tenant.
    pub tenant_id: Uuid,
    /// `dev`, `test` or `prod`.
    pub environment: &'a str,
    /// The flow it executes.
    pub flow_id: Uuid,
    /// The inbound event that caused it.
    pub event_id: Uuid,
    /// The trace it belongs to.
    pub trace_id: &'a str,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// What changed.
    pub entity: EntityReference<'a>,
    /// The joined source record: a canonical document.
    pub normalized_payload: &'a Value,
    /// Where to report the end after a 202.
    pub callback_url: &'a str,
    /// The token to report it with.
    pub callback_token: &'a str,
}

/// A golden entity, by kind and id.
#[derive(Debug, Clone, Serialize)]
pub struct EntityReference<'a> {
    /// Such as `sales_order`.
    pub kind: &'a str,
    /// Its `<kind>_id`.
    pub entity_id: Uuid,
}

/// The body of a webhook: a domain event.
#[derive(Debug, Clone, Serialize)]
pub struct WebhookBody<'a> {
    /// The domain event's id, the same in every delivery of it.
    pub id: Uuid,
    /// Such as `order.updated`.
    #[serde(rename = "type")]
    pub event_type: &'a str,
    /// The version of `data`'s shape.
    pub schema_version: i32,
    /// Rises with every change of the entity: drop what is older than what you have.
    pub entity_version: Option<i64>,
    /// The same for the same change, also in a replay.
    pub dedupe_key: &'a str,
    /// When it happened, RFC 3339 in UTC.
    pub timestamp: &'a str,
    /// The tenant.
    pub tenant_id: Uuid,
    /// `dev`, `test` or `prod`.
    pub environment: &'a str,
    /// The trace it belongs to.
    pub trace_id: &'a str,
    /// The fields that changed.
    pub changed: &'a [String],
    /// The entity as it is now: JSON that nobody here looks into, as the outbox holds it.
    pub data: &'a RawValue,
    /// Which entity that is, if it is one.
    #[serde(skip)]
    pub entity: Option<EntityReference<'a>>,
}

impl WebhookBody<'_> {
    /// The event as it is sent in a request with this `traceparent`.
    pub fn in_envelope(&self, envelope: Envelope, traceparent: &str) -> serde_json::Result<Message> {
        let cloud_event = CloudEvent { event: self, traceparent };
        let (content_type, body) = match envelope {
            Envelope::Nexus => ("application/json", serde_json::to_vec(self)?),
            Envelope::CloudeventsStructured => (cloudevents::MEDIA_TYPE, serde_json::to_vec(&cloud_event)?),
            Envelope::CloudeventsBinary => (cloudevents::DATA_MEDIA_TYPE, serde_json::to_vec(self.data)?),
        };
        let headers = match envelope {
            Envelope::CloudeventsBinary => cloud_event.headers().collect(),
            Envelope::Nexus | Envelope::CloudeventsStructured => Vec::new(),
        };
        Ok(Message { content_type, headers, body })
    }
}
