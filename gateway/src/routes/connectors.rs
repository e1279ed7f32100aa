//! Connectors: made, changed and removed by administrators of an environment. Their secrets go in and never out.

use super::page::single_text;
use super::{JsonBody, JsonText, given, id};
use crate::app::App;
use crate::auth::{Administrator, Caller};
use crate::db::Parameters;
use crate::error::Error;
use crate::instance::{self, Changes, Secrets, Standing};
use crate::secrets::Owner;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use utoipa::ToSchema;
use uuid::Uuid;

/// A connector to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnector {
    /// The platform, such as `shopify`; `/connector-types` lists them.
    connector_type: String,
    /// Its name, unique in the environment.
    name: String,
    /// Settings the platform asks for. Never secrets.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// Secrets by name, such as `webhook_secret`. They are sealed, and never shown.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>, write_only)]
    secrets: Secrets,
}

/// Makes a connector. Its `hook_url` is where the platform sends webhooks to; `warnings` say what is missing
/// yet or not known among what was given.
pub async fn create(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    JsonBody(new): JsonBody<NewConnector>,
) -> Result<(StatusCode, Json<Value>), Error> {
    check_names(&new.secrets)?;
    let warnings =
        instance::check_new(&app.database, &new.connector_type, &new.settings, &new.secrets).await?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&new.connector_type, Type::TEXT),
        (&new.name, Type::TEXT),
        (&SqlJson(&new.settings), Type::JSONB),
    ];
    let row = app.database.act_for_one(&caller.actor(), sql::CREATE_CONNECTOR, parameters).await?;
    let connector_id: Uuid = row.try_get(0)?;
    put_secrets(&app, &caller, connector_id, &new.secrets, 0).await?;
    app.configuration.refresh_now(&app.database).await;
    let made = single_text(&app, &caller, &sql::CONNECTORS, &connector_id.to_string()).await?;
    let mut made: Value = serde_json::from_str(&made).unwrap_or_default();
    made["hook_url"] = format!("{}/hooks/{connector_id}", app.public_url).into();
    made["warnings"] = warnings.into();
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes of a connector; what is absent stays.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorChanges {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// All of the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
    /// False refuses what the platform sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
    /// The manifest's version to stay on; null follows the current one.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i32>)]
    pinned_version: Option<Option<i32>>,
    /// Secrets to set, by name. They are sealed, and never shown.
    #[serde(default, skip_serializing)]
    #[schema(value_type = std::collections::BTreeMap<String, String>, write_only)]
    secrets: Secrets,
    /// How long a former secret stays valid beside the one that is set, in seconds; 0, if absent.
    #[serde(default, skip_serializing)]
    secret_overlap_seconds: u32,
}

/// Changes a connector.
pub async fn update(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(connector_id): Path<String>,
    JsonBody(changes): JsonBody<ConnectorChanges>,
) -> Result<JsonText, Error> {
    check_names(&changes.secrets)?;
    let object_id = id("connector", &connector_id)?;
    let standing = Standing {
        tenant_id: caller.tenant_id,
        environment_id: Some(caller.environment_id),
        connector_id: object_id,
    };
    let given = Changes {
        settings: changes.settings.as_ref(),
        pinned_version: changes.pinned_version,
        secrets: &changes.secrets,
    };
    instance::check_changes(&app.database, standing, given).await?;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&object_id, Type::UUID),
        (&SqlJson(&changes), Type::JSONB),
    ];
    app.database.act(&caller.actor(), sql::UPDATE_CONNECTOR, parameters).await?;
    put_secrets(&app, &caller, object_id, &changes.secrets, changes.secret_overlap_seconds).await?;
    app.configuration.refresh_now(&app.database).await;
    single_text(&app, &caller, &sql::CONNECTORS, &connector_id).await.map(JsonText)
}

/// Removes a connector and its secrets. What it brought stays.
pub async fn delete(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(connector_id): Path<String>,
) -> Result<StatusCode, Error> {
    let connector_id = id("connector", &connector_id)?;
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (&caller.environment_id, Type::UUID), (&connector_id, Type::UUID)];
    app.database.act(&caller.actor(), sql::DELETE_CONNECTOR, parameters).await?;
    app.configuration.refresh_now(&app.database).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_secrets(
    app: &App,
    caller: &Caller,
    connector_id: Uuid,
    secrets: &Secrets,
    overlap_seconds: u32,
) -> Result<(), Error> {
    if secrets.is_empty() {
        return Ok(());
    }
    let owner = Owner { tenant_id: caller.tenant_id, kind: "connector", id: connector_id };
    let secrets: Vec<(&str, &[u8])> =
        secrets.iter().map(|(name, secret)| (name.as_str(), secret.reveal().as_bytes())).collect();
    app.vault.put_all(&app.database, &caller.actor(), owner, &secrets, overlap_seconds.into()).await
}

/// Checked before anything is made, so that a bad secret leaves nothing half done.
fn check_names(secrets: &Secrets) -> Result<(), Error> {
    for (name, secret) in secrets {
        let is_name = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            let detail = format!("a secret cannot be called {name:?}: use lower-case letters, digits and _");
            return Err(Error::parameter("secrets", detail));
        }
        if secret.reveal().is_empty() {
            return Err(Error::parameter(&format!("secrets.{name}"), "the secret is empty"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_tell_null_from_absent_and_hold_no_secret() {
        let changes = |text: &str| -> Value {
            let changes: ConnectorChanges = serde_json::from_str(text).expect("changes");
            serde_json::to_value(&changes).expect("JSON")
        };
        assert_eq!(changes("{}"), serde_json::json!({}));
        assert_eq!(changes(r#"{"pinned_version": null}"#), serde_json::json!({"pinned_version": null}));
        let with_secret =
            changes(r#"{"is_active": false, "secrets": {"a": "hush"}, "secret_overlap_seconds": 5}"#);
        assert_eq!(with_secret, serde_json::json!({"is_active": false}));
        assert!(serde_json::from_str::<ConnectorChanges>(r#"{"secret": "hush"}"#).is_err());
    }

    #[test]
    fn secrets_have_names_and_are_not_empty() {
        let secrets = |name: &str, value: &str| Secrets::from([(name.to_owned(), value.to_owned().into())]);
        assert!(check_names(&secrets("webhook_secret", "x")).is_ok());
        for (name, value) in [("", "x"), ("a b", "x"), ("webhook_secret", "")] {
            assert!(check_names(&secrets(name, value)).is_err(), "{name:?}");
        }
    }
}
