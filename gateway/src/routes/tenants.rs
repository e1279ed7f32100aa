//! Tenants, for the platform's operators.

use super::JsonBody;
use crate::app::App;
use crate::auth::Platform;
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A tenant to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    slug: String,
    name: Option<String>,
}

/// Makes a tenant with its dev, test and prod environments.
pub async fn create(
    State(app): State<Arc<App>>,
    _: Platform,
    JsonBody(tenant): JsonBody<NewTenant>,
) -> Result<(StatusCode, Json<Value>), Error> {
    let name = tenant.name.as_deref().unwrap_or(&tenant.slug);
    let parameters: &Parameters<'_> = &[(&tenant.slug, Type::TEXT), (&name, Type::TEXT)];
    let tenant_id: Uuid = app.database.row(sql::CREATE_TENANT, parameters).await?.try_get(0)?;
    let environments = environments(&app, tenant_id).await?;
    let body =
        json!({ "tenant_id": tenant_id, "slug": tenant.slug, "name": name, "environments": environments });
    Ok((StatusCode::CREATED, Json(body)))
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
