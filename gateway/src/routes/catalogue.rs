//! What there is to choose from: connector types, their manifests and versions.

use super::page::page_of;
use super::{JsonBody, JsonText};
use crate::app::App;
use crate::auth::{Administrator, Identity, Platform, Reader};
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use utoipa::ToSchema;

/// Every platform that can be connected, on one page.
pub async fn connector_types(State(app): State<Arc<App>>, _: Identity) -> Result<JsonText, Error> {
    let rows = app.database.rows(sql::CONNECTOR_TYPES, &[]).await?;
    let items = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    Ok(page_of(&items, None))
}

/// One of them, with its manifest.
pub async fn connector_type(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(connector_type): Path<String>,
) -> Result<JsonText, Error> {
    show(&app, &connector_type).await
}

/// A manifest, as docs/connectors.md describes it.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub struct ConnectorManifest(Map<String, Value>);

/// Registers a manifest and makes it the current one of its type.
pub async fn register(
    State(app): State<Arc<App>>,
    platform: Platform,
    JsonBody(ConnectorManifest(manifest)): JsonBody<ConnectorManifest>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let parameters: &Parameters<'_> = &[(&SqlJson(&manifest), Type::JSONB)];
    let row = app.database.act_for_one(&platform.actor(), sql::REGISTER_CONNECTOR_TYPE, parameters).await?;
    let version: i32 = row.try_get(0)?;
    app.configuration.refresh_now(&app.database).await;
    Ok((StatusCode::CREATED, Json(json!({ "connector_type": manifest.get("type"), "version": version }))))
}

/// Changes of a connector type.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorTypeChanges {
    /// The version that serves every connector that pins none.
    current_version: i32,
}

/// Makes a version the current one, such as the one before. What is stored changes when events are read again.
pub async fn update(
    State(app): State<Arc<App>>,
    platform: Platform,
    Path(connector_type): Path<String>,
    JsonBody(changes): JsonBody<ConnectorTypeChanges>,
) -> Result<JsonText, Error> {
    let connector_type = named(connector_type)?;
    let parameters: &Parameters<'_> =
        &[(&connector_type, Type::TEXT), (&changes.current_version, Type::INT4)];
    app.database.act(&platform.actor(), sql::USE_CONNECTOR_TYPE_VERSION, parameters).await?;
    app.configuration.refresh_now(&app.database).await;
    show(&app, &connector_type).await
}

/// A manifest that is only tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Preview {
    /// The manifest, as docs/connectors.md describes it.
    #[schema(value_type = Object)]
    manifest: Map<String, Value>,
    /// The time from which on events are read; all of them, if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
}

/// What another manifest would change in the key's environment, were the events of its connectors of the type
/// read again with it. Nothing is written.
pub async fn preview(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(connector_type): Path<String>,
    JsonBody(preview): JsonBody<Preview>,
) -> Result<JsonText, Error> {
    let connector_type = named(connector_type)?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&connector_type, Type::TEXT),
        (&SqlJson(&preview.manifest), Type::JSONB),
        (&preview.since, Type::TIMESTAMPTZ),
    ];
    let rows = app.database.rows(sql::PREVIEW_MAPPING, parameters).await?;
    let items = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    Ok(page_of(&items, None))
}

async fn show(app: &App, connector_type: &str) -> Result<JsonText, Error> {
    let connector_type = named(connector_type.to_owned())?;
    let rows = app.database.rows(sql::CONNECTOR_TYPE, &[(&connector_type, Type::TEXT)]).await?;
    Ok(JsonText(rows.first().ok_or_else(|| unknown(&connector_type))?.try_get(0)?))
}

/// A name that the database can be asked for.
fn named(connector_type: String) -> Result<String, Error> {
    if connector_type.contains('\0') { Err(unknown(&connector_type)) } else { Ok(connector_type) }
}

fn unknown(connector_type: &str) -> Error {
    Error::not_found("connector type", format!("{connector_type:?}"))
}
