//! Domain events once more: for a receiver that lost them, or that subscribed later.

use super::{JsonBody, id};
use crate::app::App;
use crate::auth::{Caller, Writer};
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use nexus_core::error::Code;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use utoipa::ToSchema;
use uuid::Uuid;

/// How many events one call replays; the next goes on after them.
const EVENTS: i32 = 1000;

/// To whom an event is sent again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// One subscription; every one that wants the event, if absent.
    subscription_id: Option<Uuid>,
}

/// Queues a domain event once more: new deliveries of the same event, under its id and dedupe key.
pub async fn replay(
    State(app): State<Arc<App>>,
    Writer(caller): Writer,
    Path(event_id): Path<String>,
    JsonBody(wanted): JsonBody<Replay>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let event_id = id("domain event", &event_id)?;
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (&caller.environment_id, Type::UUID), (&event_id, Type::UUID)];
    let found =
        app.database.read(caller.tenant_id, caller.environment_id, sql::HAS_DOMAIN_EVENT, parameters).await?;
    if found.is_empty() {
        return Err(Error::not_found("domain event", event_id));
    }
    let mut filter = json!({ "event_ids": [event_id], "environment_id": caller.environment_id });
    if let Some(subscription_id) = wanted.subscription_id {
        filter["subscription_id"] = json!(subscription_id);
    }
    let row = page(&app, &caller, &filter).await?;
    let deliveries: i32 = row.try_get(0)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "event_id": event_id, "deliveries": deliveries }))))
}

/// Which events are sent again, to whom and how fast.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Events by their ids; otherwise all that the other members choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_ids: Option<Vec<Uuid>>,
    /// Types, families such as `order.*`, or `*`; all, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_types: Option<Vec<String>>,
    /// One subscription; every one that wants an event, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<Uuid>,
    /// From this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// `dead`: only where the last attempt was the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// Deliveries a second, from 1 to 10000; 100, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    /// Where the call before stopped, by its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_event_id: Option<Uuid>,
    /// When its last delivery is due, by its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_due_at: Option<Timestamp>,
}

/// Queues the first thousand of the events chosen once more, oldest first, and says where the next call goes on.
pub async fn replay_all(
    State(app): State<Arc<App>>,
    Writer(caller): Writer,
    JsonBody(selection): JsonBody<Selection>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let unwritable = |error| Error::new(Code::Internal, format!("a filter cannot be written: {error}"));
    let mut filter = serde_json::to_value(&selection).map_err(unwritable)?;
    filter["environment_id"] = json!(caller.environment_id);
    let row = page(&app, &caller, &filter).await?;
    let (deliveries, next_event_id, next_due_at): (i32, Option<Uuid>, Timestamp) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let answer =
        json!({ "deliveries": deliveries, "next_event_id": next_event_id, "next_due_at": next_due_at });
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

async fn page(app: &App, caller: &Caller, filter: &Value) -> Result<Row, Error> {
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (filter, Type::JSONB), (&EVENTS, Type::INT4)];
    let row = app.database.act_for_one(&caller.actor(), sql::REPLAY_PAGE, parameters).await?;
    app.doorbell.ring();
    Ok(row)
}
