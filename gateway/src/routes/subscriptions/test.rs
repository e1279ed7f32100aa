//! A test delivery: made at once, once, and answered with what came back. It is neither queued nor logged.

use super::super::id;
use super::super::page::single_text;
use crate::app::App;
use crate::auth::Administrator;
use crate::dispatcher::claim::{Claimed, Webhook, Work, named};
use crate::dispatcher::request;
use crate::dispatcher::settle::Report;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use nexus_core::error::Code;
use nexus_core::trace::TraceContext;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const EVENT_TYPE: &str = "subscription.test";

/// Sends an event of type `subscription.test`, signed and with the subscription's headers as any other.
pub async fn test(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(subscription_id): Path<String>,
) -> Result<Json<Value>, Error> {
    let subscription = single_text(&app, &caller, &sql::SUBSCRIPTIONS, &subscription_id).await?;
    let subscription: Value = serde_json::from_str(&subscription).unwrap_or_default();
    let subscription_id = id("subscription", &subscription_id)?;
    let now = Timestamp::now();
    let domain_event_id = Uuid::now_v7();
    let claimed = Claimed {
        tenant_id: caller.tenant_id,
        delivery_id: Uuid::now_v7(),
        environment_id: caller.environment_id,
        environment: caller.environment,
        destination_id: subscription_id,
        attempt: 1,
        former_attempts: 0,
        trace_id: TraceContext::begin(Uuid::new_v4().into_bytes()).trace_id,
        url: subscription["url"].as_str().map(str::to_owned),
        work: Work::Webhook(Box::new(Webhook {
            domain_event_id,
            event_type: EVENT_TYPE.to_owned(),
            schema_version: 1,
            entity_version: None,
            dedupe_key: format!("{domain_event_id}:test"),
            changed: Vec::new(),
            payload: json!({ "subscription_id": subscription_id }),
            created_at: now,
            headers: subscription["headers"].clone(),
            payload_version: 1,
            envelope: named(subscription["envelope"].as_str()),
            signature: named(subscription["signature"].as_str()),
        })),
    };
    let (result, took) = match request::prepare(&claimed, &app.configuration.current(), &app.public_url, now)
    {
        Ok(outgoing) => app.sender.send(outgoing).await,
        Err(not_sent) => (Err(not_sent), Duration::ZERO),
    };
    let report = Report::new(&claimed, now, took, &result, 0.0);
    let told = serde_json::to_value(&report)
        .map_err(|error| Error::new(Code::Internal, format!("a report cannot be written: {error}")))?;
    Ok(Json(json!({
        "delivered": report.outcome == "succeeded",
        "delivery_id": claimed.delivery_id,
        "url": claimed.url,
        "status_code": told["status_code"],
        "latency_ms": told["latency_ms"],
        "error_class": told["error_class"],
        "error": told["error"],
        "response_headers": told["response_headers"],
        "response_body": told["response_body"],
    })))
}
