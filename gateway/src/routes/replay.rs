//! Domain events once more: for a receiver that lost them, or that subscribed later.

use super::{JsonBody, id};
use crate::app::App;
use crate::auth::Writer;
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use utoipa::ToSchema;
use uuid::Uuid;

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
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (&SqlJson(&filter), Type::JSONB), (&1_i32, Type::INT4)];
    let row = app.database.act_for_one(&caller.actor(), sql::REPLAY_PAGE, parameters).await?;
    let deliveries: i32 = row.try_get(0)?;
    app.doorbell.ring();
    Ok((StatusCode::ACCEPTED, Json(json!({ "event_id": event_id, "deliveries": deliveries }))))
}
