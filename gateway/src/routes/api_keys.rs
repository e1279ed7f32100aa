//! API keys: made, replaced and ended by administrators of an environment, and made for tenants by the platform.

use super::page::list;
use super::{JsonBody, JsonText, SHOWN_ONCE, id};
use crate::app::App;
use crate::auth::{Administrator, Identity};
use crate::db::Parameters;
use crate::error::Error;
use crate::key::NewKey;
use crate::sql;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use nexus_core::error::Code;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use tokio_postgres::types::Type;
use utoipa::ToSchema;
use uuid::Uuid;

/// The keys of the caller's environment.
pub async fn keys(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    RawQuery(query): RawQuery,
) -> Result<JsonText, Error> {
    list(&app, &caller, &sql::API_KEYS, query.as_deref()).await
}

/// One of them.
pub async fn key(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(api_key_id): Path<String>,
) -> Result<JsonText, Error> {
    super::page::single(&app, &caller, &sql::API_KEYS, &api_key_id).await
}

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedKey {
    /// For people, to tell keys apart.
    name: String,
    /// `read`, `write`, `admin`; the last includes the others.
    #[serde(default = "read_only")]
    scopes: Vec<String>,
    /// When it ends; never, if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// With a platform key: whose key. Other callers make keys of their own environment.
    tenant_id: Option<Uuid>,
    /// With a platform key: `dev`, `test` or `prod`; the last, if absent.
    environment: Option<String>,
}

fn read_only() -> Vec<String> {
    vec!["read".to_owned()]
}

/// Makes a key, which is shown in this answer and never again.
pub async fn create(
    State(app): State<Arc<App>>,
    identity: Identity,
    JsonBody(wanted): JsonBody<WantedKey>,
) -> Result<impl IntoResponse, Error> {
    let (actor, tenant_id, environment_id, environment) = place(&app, identity, &wanted).await?;
    let key = NewKey::of_environment(&environment)?;
    let parameters: &Parameters<'_> = &[
        (&tenant_id, Type::UUID),
        (&environment_id, Type::UUID),
        (&wanted.name, Type::TEXT),
        (&wanted.scopes, Type::TEXT_ARRAY),
        (&key.prefix(), Type::TEXT),
        (&key.hash.as_slice(), Type::BYTEA),
        (&wanted.expires_at, Type::TIMESTAMPTZ),
    ];
    let api_key_id: Uuid =
        app.database.act_for_one(&actor, sql::PUT_API_KEY, parameters).await?.try_get(0)?;
    app.configuration.refresh_now(&app.database).await;
    let body = json!({
        "api_key_id": api_key_id,
        "tenant_id": tenant_id,
        "environment": environment,
        "name": wanted.name,
        "scopes": wanted.scopes,
        "key_prefix": key.prefix(),
        "expires_at": wanted.expires_at,
        "api_key": key.text,
    });
    Ok((StatusCode::CREATED, SHOWN_ONCE, Json(body)))
}

/// For whom and where a key is made.
async fn place(
    app: &App,
    identity: Identity,
    wanted: &WantedKey,
) -> Result<(String, Uuid, Uuid, String), Error> {
    match identity {
        Identity::Tenant(caller) => {
            if wanted.tenant_id.is_some() || wanted.environment.is_some() {
                let detail = "tenant_id and environment are for platform keys; others make keys of their own environment";
                return Err(Error::parameter("tenant_id", detail));
            }
            let caller = caller.require("admin")?;
            Ok((caller.actor(), caller.tenant_id, caller.environment_id, caller.environment))
        }
        Identity::Platform(platform) => {
            let missing = || Error::parameter("tenant_id", "tenant_id is needed with a platform key");
            let tenant_id = wanted.tenant_id.ok_or_else(missing)?;
            let name = wanted.environment.as_deref().unwrap_or("prod");
            let rows =
                app.database.read_tenant(tenant_id, sql::ENVIRONMENTS, &[(&tenant_id, Type::UUID)]).await?;
            for row in rows {
                let (environment_id, found): (Uuid, String) = (row.try_get(0)?, row.try_get(1)?);
                if found == name {
                    return Ok((platform.actor(), tenant_id, environment_id, found));
                }
            }
            Err(Error::not_found("environment", format!("{name:?} of tenant {tenant_id}")))
        }
    }
}

/// How a key is replaced.
#[derive(Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// How long the former key stays valid beside the new one: a day, if absent; at most 30 days.
    overlap_seconds: Option<u32>,
    /// When the new key ends; never, if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

const OVERLAP_USUAL: u32 = 86_400;
const OVERLAP_LONGEST: u32 = 30 * 86_400;

/// Replaces a key by a new one with its name and scopes; the former expires after the overlap.
pub async fn rotate(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(api_key_id): Path<String>,
    JsonBody(rotation): JsonBody<Rotation>,
) -> Result<impl IntoResponse, Error> {
    let former_id = id("API key", &api_key_id)?;
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP_USUAL);
    if overlap > OVERLAP_LONGEST {
        let detail = format!("overlap_seconds is {overlap}; it must be at most {OVERLAP_LONGEST}");
        return Err(Error::parameter("overlap_seconds", detail));
    }
    let key = NewKey::of_environment(&caller.environment)?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&former_id, Type::UUID),
        (&key.prefix(), Type::TEXT),
        (&key.hash.as_slice(), Type::BYTEA),
        (&f64::from(overlap), Type::FLOAT8),
        (&rotation.expires_at, Type::TIMESTAMPTZ),
        (&caller.environment_id, Type::UUID),
    ];
    let row = app.database.act_for_one(&caller.actor(), sql::ROTATE_API_KEY, parameters).await?;
    let new_id: Uuid = row.try_get(0)?;
    app.configuration.refresh_now(&app.database).await;
    let valid_until = Timestamp::now() + jiff::SignedDuration::from_secs(overlap.into());
    let body = json!({
        "api_key_id": new_id,
        "environment": caller.environment,
        "key_prefix": key.prefix(),
        "expires_at": rotation.expires_at,
        "api_key": key.text,
        "previous_api_key_id": former_id,
        "previous_valid_until": valid_until,
    });
    Ok((StatusCode::CREATED, SHOWN_ONCE, Json(body)))
}

/// Ends a key, within a second on every gateway.
pub async fn revoke(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(api_key_id): Path<String>,
) -> Result<StatusCode, Error> {
    let api_key_id = id("API key", &api_key_id)?;
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (&api_key_id, Type::UUID), (&caller.environment_id, Type::UUID)];
    let row = app.database.act_for_one(&caller.actor(), sql::REVOKE_API_KEY, parameters).await?;
    if !row.try_get::<_, bool>(0)? {
        return Err(Error::new(Code::NotFound, format!("there is no API key {api_key_id} in force")));
    }
    app.configuration.refresh_now(&app.database).await;
    Ok(StatusCode::NO_CONTENT)
}
