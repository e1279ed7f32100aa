//! The request of an attempt: body, signature, headers.

use super::claim::{Claimed, Job, Webhook, Work};
use super::send::{NotSent, Outgoing, SIGNATURE_HEADER};
use crate::configuration::{Configuration, SIGNING};
use crate::secrets::random;
use jiff::Timestamp;
use nexus_core::envelope::{EntityReference, JobBody, Message, SigningKey, WebhookBody, sign};
use nexus_core::retry::ErrorClass;
use nexus_core::{callback, trace};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

const TIMEOUT_SECONDS: u32 = 30;

/// What is to be sent for a delivery, or why it cannot be.
pub fn prepare(
    claimed: &Claimed,
    configuration: &Configuration,
    public_url: &str,
    now: Timestamp,
) -> Result<Outgoing, NotSent> {
    let thing = match claimed.work {
        Work::Job(_) => "flow",
        Work::Webhook(_) | Work::Test(_) => "subscription",
    };
    let url = claimed.url.as_deref().ok_or_else(|| {
        unusable(format!("{thing} {} does not exist any more, or is disabled", claimed.destination_id))
    })?;
    let url = Url::parse(url).map_err(|error| unusable(format!("{url:?} is no URL: {error}")))?;
    let keys = signing_keys(configuration, claimed.tenant_id, claimed.destination_id);
    if keys.is_empty() {
        let message = format!(
            "{thing} {} has no usable signing secret; set one: nexus admin set-secret",
            claimed.destination_id
        );
        return Err(unusable(message));
    }
    let span = random().map_err(|error| unusable(error.to_string()))?;
    let traceparent = trace::traceparent(&claimed.trace_id, span);
    let (message, timeout_seconds) = match &claimed.work {
        Work::Job(job) => {
            let timeout = job.flow.as_ref().map(|flow| flow.definition().timeout_seconds);
            (job_message(claimed, job, configuration, public_url)?, timeout)
        }
        Work::Webhook(webhook) | Work::Test(webhook) => {
            (webhook_message(claimed, webhook, &traceparent)?, None)
        }
    };
    let headers = headers(claimed, &keys, &message, traceparent, now)?;
    Ok(Outgoing {
        method: Method::POST,
        url,
        headers,
        body: message.body,
        timeout: Duration::from_secs(timeout_seconds.unwrap_or(TIMEOUT_SECONDS).into()),
    })
}

/// The keys that sign for a flow or subscription: the current one first, the former beside it during a rotation.
pub fn signing_keys(configuration: &Configuration, tenant_id: Uuid, owner_id: Uuid) -> Vec<SigningKey> {
    configuration
        .secrets(tenant_id, owner_id, SIGNING)
        .filter_map(|secret| SigningKey::parse(std::str::from_utf8(secret).ok()?).ok())
        .collect()
}

fn job_message(
    claimed: &Claimed,
    job: &Job,
    configuration: &Configuration,
    public_url: &str,
) -> Result<Message, NotSent> {
    let key = configuration
        .data_keys(claimed.tenant_id)
        .next()
        .ok_or_else(|| unusable(format!("tenant {} has no data key that opens", claimed.tenant_id)))?;
    let payload = match &job.flow {
        Some(flow) => flow.payload(&job.entity_kind, &job.normalized_payload).map_err(|error| {
            unusable(format!("the field mapping of flow {} fails: {error}", claimed.destination_id))
        })?,
        None => Cow::Borrowed(&job.normalized_payload),
    };
    let body = serde_json::to_vec(&JobBody {
        job_id: job.job_id,
        tenant_id: claimed.tenant_id,
        environment: &claimed.environment,
        flow_id: claimed.destination_id,
        event_id: job.event_id,
        trace_id: &claimed.trace_id,
        attempt: claimed.attempt,
        entity: EntityReference { kind: &job.entity_kind, entity_id: job.entity_id },
        normalized_payload: &payload,
        callback_url: &format!("{public_url}/api/v1/jobs/{}/callback", job.job_id),
        callback_token: &callback::token(key, claimed.tenant_id, job.job_id, claimed.attempt),
    });
    Ok(Message {
        content_type: "application/json",
        headers: Vec::new(),
        body: body.map_err(|error| unwritable(&error))?,
    })
}

fn webhook_message(claimed: &Claimed, webhook: &Webhook, traceparent: &str) -> Result<Message, NotSent> {
    let body = WebhookBody {
        id: webhook.domain_event_id,
        event_type: &webhook.event_type,
        schema_version: webhook.schema_version,
        entity_version: webhook.entity_version,
        dedupe_key: &webhook.dedupe_key,
        timestamp: &webhook.created_at.to_string(),
        tenant_id: claimed.tenant_id,
        environment: &claimed.environment,
        trace_id: &claimed.trace_id,
        changed: &webhook.changed,
        data: &webhook.payload,
        entity: webhook
            .entity
            .as_ref()
            .map(|(kind, entity_id)| EntityReference { kind, entity_id: *entity_id }),
    };
    body.in_envelope(webhook.envelope, traceparent).map_err(|error| unwritable(&error))
}

/// Standard Webhooks 1.0; every secret in force signs, so that receivers may change theirs in their own time.
fn headers(
    claimed: &Claimed,
    keys: &[SigningKey],
    message: &Message,
    traceparent: String,
    now: Timestamp,
) -> Result<HeaderMap, NotSent> {
    let id = claimed.delivery_id.to_string();
    let signature = sign(keys.iter(), &id, now.as_second(), &message.body);
    let mut headers = own_headers(claimed)?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(message.content_type));
    let ours = [
        ("webhook-id", id),
        ("webhook-timestamp", now.as_second().to_string()),
        (SIGNATURE_HEADER, signature),
        ("traceparent", traceparent),
    ];
    let of_message = message.headers.iter().map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in ours.into_iter().chain(of_message) {
        let written = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(name), Ok(value)) = written else {
            return Err(unusable(format!("the header {name} cannot be written")));
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What a subscription asks for beside ours, which are inserted after them and so prevail.
fn own_headers(claimed: &Claimed) -> Result<HeaderMap, NotSent> {
    let mut headers = HeaderMap::new();
    let (Work::Webhook(webhook) | Work::Test(webhook)) = &claimed.work else { return Ok(headers) };
    for (name, value) in webhook.headers.as_object().into_iter().flatten() {
        let written = (HeaderName::try_from(name), HeaderValue::try_from(value.as_str().unwrap_or_default()));
        let (Ok(name), Ok(value)) = written else {
            return Err(unusable(format!("the subscription's header {name} cannot be written")));
        };
        headers.insert(name, value);
    }
    Ok(headers)
}

fn unwritable(error: &serde_json::Error) -> NotSent {
    unusable(format!("the body cannot be written: {error}"))
}

fn unusable(message: String) -> NotSent {
    NotSent { class: ErrorClass::Configuration, message }
}
