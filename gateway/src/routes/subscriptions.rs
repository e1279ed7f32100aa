//! Webhook subscriptions.

use super::JsonBody;
use crate::app::App;
use crate::auth::Administrator;
use crate::configuration::SIGNING;
use crate::db::Parameters;
use crate::error::Error;
use crate::secrets::random;
use crate::sql;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use nexus_core::envelope::signing_secret;
use nexus_core::secret::Place;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio_postgres::types::Type;
use utoipa::ToSchema;
use uuid::Uuid;

/// What is subscribed to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    url: String,
    event_types: Vec<String>,
    description: Option<String>,
}

/// Subscribes. The secret that signs is shown in this answer and never again.
pub async fn subscribe(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<impl IntoResponse, Error> {
    nexus_core::routing::check_subscription(&wanted.url, &wanted.event_types)?;
    let actor = caller.actor();
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&wanted.url, Type::TEXT),
        (&wanted.event_types, Type::TEXT_ARRAY),
        (&wanted.description, Type::TEXT),
    ];
    let subscription_id: Uuid =
        app.database.act_for_one(&actor, sql::CREATE_SUBSCRIPTION, parameters).await?.try_get(0)?;
    let secret = signing_secret(random()?);
    let place = Place {
        tenant_id: caller.tenant_id,
        owner_kind: "webhook_subscription",
        owner_id: subscription_id,
        name: SIGNING,
    };
    app.vault.put(&app.database, &actor, &place, secret.as_bytes(), 0.0).await?;
    let body = json!({
        "subscription_id": subscription_id,
        "url": wanted.url,
        "event_types": wanted.event_types,
        "description": wanted.description,
        "environment": caller.environment,
        "status": "active",
        "secret": secret,
    });
    Ok((StatusCode::CREATED, super::SHOWN_ONCE, Json(body)))
}
