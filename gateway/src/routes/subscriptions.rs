//! Webhook subscriptions: made, changed, paused and removed by administrators of an environment.

mod test;

pub use test::test;

use super::page::single_text;
use super::{JsonBody, JsonText, SHOWN_ONCE, id};
use crate::app::App;
use crate::auth::{Administrator, Caller};
use crate::configuration::SIGNING;
use crate::db::Parameters;
use crate::error::Error;
use crate::secrets::random;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::{SignedDuration, Timestamp};
use nexus_core::envelope::signing_secret;
use nexus_core::routing::SubscriptionDefinition;
use nexus_core::secret::Place;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use utoipa::ToSchema;
use uuid::Uuid;

const OVERLAP_SECONDS: u32 = 24 * 3600;

/// Subscribes. The secret that signs is shown in this answer and never again.
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
    let secret = put_secret(&app, &caller, subscription_id, 0).await?;
    let made = single_text(&app, &caller, &sql::SUBSCRIPTIONS, &subscription_id.to_string()).await?;
    let mut made: Value = serde_json::from_str(&made).unwrap_or_default();
    made["environment"] = caller.environment.as_str().into();
    made["secret"] = secret.into();
    Ok((StatusCode::CREATED, SHOWN_ONCE, Json(made)))
}

/// Changes a subscription.
pub async fn update(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(subscription_id): Path<String>,
    JsonBody(changes): JsonBody<Map<String, Value>>,
) -> Result<JsonText, Error> {
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
    single_text(&app, &caller, &sql::SUBSCRIPTIONS, &subscription_id).await.map(JsonText)
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

/// How a signing secret is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRotation {
    /// How long the former secret signs beside the new one, in seconds; a day, if absent.
    overlap_seconds: Option<u32>,
}

/// Replaces the signing secret. The new one is shown in this answer and never again; both sign for the overlap.
pub async fn rotate_secret(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(subscription_id): Path<String>,
    JsonBody(rotation): JsonBody<SecretRotation>,
) -> Result<impl IntoResponse, Error> {
    // Of another environment it is not there.
    single_text(&app, &caller, &sql::SUBSCRIPTIONS, &subscription_id).await?;
    let subscription_id = id("subscription", &subscription_id)?;
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let secret = put_secret(&app, &caller, subscription_id, overlap).await?;
    let valid_until = Timestamp::now() + SignedDuration::from_secs(overlap.into());
    let body = json!({
        "subscription_id": subscription_id,
        "secret": secret,
        "previous_valid_until": valid_until,
    });
    Ok((SHOWN_ONCE, Json(body)))
}

/// A new signing secret, in force when this returns.
async fn put_secret(
    app: &App,
    caller: &Caller,
    subscription_id: Uuid,
    overlap_seconds: u32,
) -> Result<String, Error> {
    let secret = signing_secret(random()?);
    let place = Place {
        tenant_id: caller.tenant_id,
        owner_kind: "webhook_subscription",
        owner_id: subscription_id,
        name: SIGNING,
    };
    app.vault.put(&app.database, &caller.actor(), &place, secret.as_bytes(), overlap_seconds.into()).await?;
    app.configuration.refresh_now(&app.database).await;
    Ok(secret)
}
