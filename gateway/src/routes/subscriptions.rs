//! Webhook subscriptions: made, changed, paused and removed by administrators of an environment.

mod signing;
mod test;

pub use signing::{SecretRotation, rotate_secret, show};
pub use test::test;

use super::{JsonBody, SHOWN_ONCE, id};
use crate::app::App;
use crate::auth::Administrator;
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use nexus_core::routing::SubscriptionDefinition;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use uuid::Uuid;

/// Subscribes. The secret that signs is shown in this answer and never again, if the receiver is to have it.
pub async fn subscribe(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    JsonBody(wanted): JsonBody<Map<String, Value>>,
) -> Result<impl IntoResponse, Error> {
    // Checked here too, since url and event_types are parameters of their own in SQL.
    let wanted = SubscriptionDefinition::from_json(&Value::Object(wanted))?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&wanted.url, Type::TEXT),
        (&wanted.event_types, Type::TEXT_ARRAY),
        (&wanted.description, Type::TEXT),
        (&SqlJson(&wanted.headers), Type::JSONB),
        (&SqlJson(&wanted), Type::JSONB),
    ];
    let row = app.database.act_for_one(&caller.actor(), sql::CREATE_SUBSCRIPTION, parameters).await?;
    let subscription_id: Uuid = row.try_get(0)?;
    let told = signing::put_secret(&app, &caller, subscription_id, wanted.signature, None).await?;
    let mut made = signing::shown(&app, &caller, &subscription_id.to_string()).await?;
    made["environment"] = caller.environment.as_str().into();
    told.write_to(&mut made);
    Ok((StatusCode::CREATED, SHOWN_ONCE, Json(made)))
}

/// Changes a subscription. Another way of signing needs another secret: as after a rotation, both sign for a day.
pub async fn update(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(subscription_id): Path<String>,
    JsonBody(changes): JsonBody<Map<String, Value>>,
) -> Result<impl IntoResponse, Error> {
    let object_id = id("subscription", &subscription_id)?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&object_id, Type::UUID),
        (&SqlJson(&changes), Type::JSONB),
    ];
    app.database.act(&caller.actor(), sql::UPDATE_SUBSCRIPTION, parameters).await?;
    if changes.get("status").is_some_and(|status| status == "active") {
        app.doorbell.ring();
    }
    let mut changed = signing::shown(&app, &caller, &subscription_id).await?;
    if changes.contains_key("signature") {
        signing::ensure_version(&app, &caller, object_id, &mut changed).await?;
    }
    Ok((SHOWN_ONCE, Json(changed)))
}

/// Removes a subscription, its secrets and what has not been delivered to it.
pub async fn delete(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(subscription_id): Path<String>,
) -> Result<StatusCode, Error> {
    let subscription_id = id("subscription", &subscription_id)?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&subscription_id, Type::UUID),
    ];
    app.database.act(&caller.actor(), sql::DELETE_SUBSCRIPTION, parameters).await?;
    Ok(StatusCode::NO_CONTENT)
}
