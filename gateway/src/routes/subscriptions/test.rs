//! A test delivery: made at once, once, answered with what came back, and logged. It is not queued.

use super::super::id;
use super::super::page::single_text;
use crate::app::App;
use crate::auth::Administrator;
use crate::dispatcher::claim::{Claimed, Webhook, Work, named};
use crate::dispatcher::request;
use crate::dispatcher::settle::{Report, settle};
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use nexus_core::error::Code;
use nexus_core::trace::TraceContext;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

const EVENT_TYPE: &str = "subscription.test";
/// Holds no lease: there is no delivery of it.
const WORKER: &str = "test";

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
    let payload = to_raw_value(&json!({ "subscription_id": subscription_id }))
        .map_err(|error| Error::new(Code::Internal, format!("the payload cannot be written: {error}")))?;
    let claimed = Claimed {
        tenant_id: caller.tenant_id,
        delivery_id: Uuid::now_v7(),
        environment_id: caller.environment_id,
        environment: caller.environment,
        destination_id: subscription_id,
        attempt: 1,
        former_attempts: 0,
        is_ordered: false,
        destination_changed_at: None,
        rate_limit: None,
        trace_id: TraceContext::begin(Uuid::new_v4().into_bytes()).trace_id,
        url: subscription["url"].as_str().map(str::to_owned),
        work: Work::Test(Box::new(Webhook {
            domain_event_id,
            event_type: EVENT_TYPE.to_owned(),
            schema_version: 1,
            entity_version: None,
            dedupe_key: format!("{domain_event_id}:test"),
            changed: Vec::new(),
            payload: payload.into(),
            created_at: now,
            entity: None,
            headers: subscription["headers"].clone(),
            retry: None,
            envelope: named(subscription["envelope"].as_str()),
        })),
    };
    let prepared = request::prepare(&claimed, &app.configuration.current(), &app.public_url, now);
    let attempt = app.sender.attempt(prepared, now).await;
    let report = Report::new(&claimed, attempt, 0.0);
    // It was made, whatever becomes of the log.
    let logged = settle(&app.database, claimed.tenant_id, WORKER, std::slice::from_ref(&report)).await;
    if let Err(error) = logged {
        tracing::error!(%error, delivery_id = %claimed.delivery_id, "a test delivery could not be logged");
    }
    let mut told = report.told();
    told["delivered"] = (report.outcome == "succeeded").into();
    told["delivery_id"] = claimed.delivery_id.to_string().into();
    told["trace_id"] = claimed.trace_id.into();
    told["url"] = claimed.url.into();
    Ok(Json(told))
}
