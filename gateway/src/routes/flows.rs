//! Flows: made, changed and removed by administrators of an environment.

use super::page::single_text;
use super::{JsonBody, JsonText, SHOWN_ONCE, id};
use crate::app::App;
use crate::auth::{Administrator, Reader};
use crate::configuration::SIGNING;
use crate::db::Parameters;
use crate::error::Error;
use crate::secrets::random;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use nexus_core::envelope::signing_secret;
use nexus_core::routing::SignatureVersion;
use nexus_core::secret::Place;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use utoipa::ToSchema;
use uuid::Uuid;

/// A flow to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFlow {
    /// Its name, unique in the environment.
    name: String,
    /// What it does: kinds, execution_url, …; docs/flows.md describes it.
    #[schema(value_type = Object)]
    definition: Map<String, Value>,
}

/// Makes a flow. The secret that signs its requests is shown in this answer and never again.
pub async fn create(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    JsonBody(new): JsonBody<NewFlow>,
) -> Result<impl IntoResponse, Error> {
    let actor = caller.actor();
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&new.name, Type::TEXT),
        (&SqlJson(&new.definition), Type::JSONB),
    ];
    let flow_id: Uuid = app.database.act_for_one(&actor, sql::CREATE_FLOW, parameters).await?.try_get(0)?;
    let secret = signing_secret(SignatureVersion::V1, random()?);
    let place = Place { tenant_id: caller.tenant_id, owner_kind: "flow", owner_id: flow_id, name: SIGNING };
    app.vault.put(&app.database, &actor, &place, secret.as_bytes(), 0.0).await?;
    app.configuration.refresh_now(&app.database).await;
    let made = single_text(&app, &caller, &sql::FLOWS, &flow_id.to_string()).await?;
    let mut made: Value = serde_json::from_str(&made).unwrap_or_default();
    made["secret"] = secret.as_str().into();
    Ok((StatusCode::CREATED, SHOWN_ONCE, Json(made)))
}

/// Changes of a flow; what is absent stays.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowChanges {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// All of the definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    definition: Option<Map<String, Value>>,
    /// False makes no more jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
}

/// Changes a flow.
pub async fn update(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(flow_id): Path<String>,
    JsonBody(changes): JsonBody<FlowChanges>,
) -> Result<JsonText, Error> {
    let object_id = id("flow", &flow_id)?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&object_id, Type::UUID),
        (&SqlJson(&changes), Type::JSONB),
    ];
    app.database.act(&caller.actor(), sql::UPDATE_FLOW, parameters).await?;
    single_text(&app, &caller, &sql::FLOWS, &flow_id).await.map(JsonText)
}

/// Every setting that applies to a flow, and whence: its own, its connectors', the platform's.
pub async fn effective_settings(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    Path(flow_id): Path<String>,
) -> Result<JsonText, Error> {
    let flow_id: Uuid = id("flow", &flow_id)?;
    let parameters: &Parameters<'_> = &[(&caller.tenant_id, Type::UUID), (&flow_id, Type::UUID)];
    let rows = app
        .database
        .read(caller.tenant_id, caller.environment_id, sql::EFFECTIVE_SETTINGS, parameters)
        .await?;
    let row = rows.first().ok_or_else(|| Error::not_found("flow", flow_id))?;
    let settings: &str = row.try_get(0)?;
    Ok(JsonText(format!("{{\"flow_id\":\"{flow_id}\",\"settings\":{settings}}}")))
}

/// Removes a flow and its secrets, and cancels its jobs that have not ended.
pub async fn delete(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(flow_id): Path<String>,
) -> Result<StatusCode, Error> {
    let flow_id = id("flow", &flow_id)?;
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (&caller.environment_id, Type::UUID), (&flow_id, Type::UUID)];
    app.database.act(&caller.actor(), sql::DELETE_FLOW, parameters).await?;
    Ok(StatusCode::NO_CONTENT)
}
