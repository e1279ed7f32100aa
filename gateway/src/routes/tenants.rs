//! Tenants, for the platform's operators.

use super::page::{list_of, single_of};
use super::{JsonBody, JsonText, id};
use crate::app::App;
use crate::auth::Platform;
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use utoipa::ToSchema;
use uuid::Uuid;

/// All tenants.
pub async fn tenants(
    State(app): State<Arc<App>>,
    _: Platform,
    RawQuery(query): RawQuery,
) -> Result<JsonText, Error> {
    list_of(&app, Uuid::nil(), Uuid::nil(), &sql::TENANTS, query.as_deref()).await
}

/// One of them, with its environments.
pub async fn tenant(
    State(app): State<Arc<App>>,
    _: Platform,
    Path(tenant_id): Path<String>,
) -> Result<Json<Value>, Error> {
    show(&app, &tenant_id).await.map(Json)
}

/// A tenant to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Short name, unique: lower-case letters, digits, hyphens.
    slug: String,
    /// Name for people; the slug, if absent.
    name: Option<String>,
}

/// Makes a tenant with its dev, test and prod environments.
pub async fn create(
    State(app): State<Arc<App>>,
    platform: Platform,
    JsonBody(tenant): JsonBody<NewTenant>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let name = tenant.name.as_deref().unwrap_or(&tenant.slug);
    let parameters: &Parameters<'_> = &[(&tenant.slug, Type::TEXT), (&name, Type::TEXT)];
    let row = app.database.act_for_one(&platform.actor(), sql::CREATE_TENANT, parameters).await?;
    let tenant_id: Uuid = row.try_get(0)?;
    Ok((StatusCode::CREATED, Json(show(&app, &tenant_id.to_string()).await?)))
}

/// Changes of a tenant; what is absent stays.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChanges {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// False takes nothing in, delivers nothing, and refuses its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
}

/// Changes a tenant.
pub async fn update(
    State(app): State<Arc<App>>,
    platform: Platform,
    Path(tenant_id): Path<String>,
    JsonBody(changes): JsonBody<TenantChanges>,
) -> Result<Json<Value>, Error> {
    let object_id = id("tenant", &tenant_id)?;
    let parameters: &Parameters<'_> = &[(&object_id, Type::UUID), (&SqlJson(&changes), Type::JSONB)];
    app.database.act(&platform.actor(), sql::UPDATE_TENANT, parameters).await?;
    app.configuration.refresh_now(&app.database).await;
    show(&app, &tenant_id).await.map(Json)
}

/// Switches a tenant off, and then deletes it and everything of it. How many rows of each table is answered, since
/// nothing else remains.
///
/// A query may name the tenant's slug, `?slug=acme`, which then has to be this tenant's: whoever deletes by hand guards
/// against an id out of the wrong line of a list.
pub async fn delete(
    State(app): State<Arc<App>>,
    platform: Platform,
    Path(tenant_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Error> {
    let tenant = show(&app, &tenant_id).await?;
    let tenant_id = id("tenant", &tenant_id)?;
    let mut query = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    if query.any(|(name, value)| name == "slug" && tenant["slug"] != *value) {
        return Err(Error::parameter(
            "slug",
            "?slug= names another tenant than the one that is to be deleted",
        ));
    }
    let actor = platform.actor();
    app.database.act(&actor, sql::SWITCH_TENANT_OFF, &[(&tenant_id, Type::UUID)]).await?;
    app.configuration.refresh_now(&app.database).await;
    let rows = app.database.act(&actor, sql::DELETE_TENANT, &[(&tenant_id, Type::UUID)]).await?;
    let mut deleted = Map::new();
    for row in rows {
        let (table, rows): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        if rows > 0 {
            deleted.insert(table, rows.into());
        }
    }
    app.configuration.refresh_now(&app.database).await;
    // The tenant's own activity log is gone with it.
    tracing::warn!(%tenant_id, %actor, "a tenant was deleted");
    Ok(Json(json!({ "tenant_id": tenant_id, "deleted": deleted })))
}

async fn show(app: &App, tenant_id: &str) -> Result<Value, Error> {
    let tenant = single_of(app, Uuid::nil(), Uuid::nil(), &sql::TENANTS, tenant_id).await?;
    let mut tenant: Value = serde_json::from_str(&tenant).unwrap_or_default();
    tenant["environments"] = environments(app, id("tenant", tenant_id)?).await?;
    Ok(tenant)
}

async fn environments(app: &App, tenant_id: Uuid) -> Result<Value, Error> {
    // No environment is named: all of the tenant's are seen.
    let rows = app.database.read_tenant(tenant_id, sql::ENVIRONMENTS, &[(&tenant_id, Type::UUID)]).await?;
    let mut environments = Map::new();
    for row in rows {
        let (id, name): (Uuid, String) = (row.try_get(0)?, row.try_get(1)?);
        environments.insert(name, json!({ "environment_id": id }));
    }
    Ok(Value::Object(environments))
}
