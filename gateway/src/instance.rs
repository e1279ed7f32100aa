//! What is given for a connector, held to its platform's manifest before anything is written.
//!
//! The database checks settings as well. Secrets are checked here alone: their text never reaches it.

use crate::config::Masked;
use crate::db::{Database, Parameters};
use crate::error::Error;
use crate::sql;
use nexus_core::connector::Connector;
use nexus_core::error as core;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Secrets by name; `webhook_secret` is what most platforms sign with.
pub type Secrets = BTreeMap<String, Masked>;

/// Which connector.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Its tenant.
    pub tenant_id: Uuid,
    /// Its environment, if that is to be looked at.
    pub environment_id: Option<Uuid>,
    /// Its id.
    pub connector_id: Uuid,
}

/// What is to be changed of it.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// Its settings, all of them.
    pub settings: Option<&'a Map<String, Value>>,
    /// The manifest's version to stay on; `None` follows the current one.
    pub pinned_version: Option<Option<i32>>,
    /// Secrets to set beside those that it has.
    pub secrets: &'a Secrets,
}

/// Checks a new connector. What is missing yet is returned to be told: secrets may be set later, or come by a
/// handshake.
pub async fn check_new(
    database: &Database,
    connector_type: &str,
    settings: &Map<String, Value>,
    secrets: &Secrets,
) -> Result<Vec<String>, Error> {
    let rows = database.rows(sql::CURRENT_MANIFEST, &[(&connector_type, Type::TEXT)]).await?;
    // Of a type that does not exist, making the connector says so.
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let connector = compiled(row)?;
    let mut told = connector.check_settings(&Value::Object(settings.clone())).map_err(refused)?;
    told.extend(connector.check_secrets(&revealed(secrets)).map_err(refused)?);
    Ok(told.iter().map(ToString::to_string).collect())
}

/// Checks changes of a connector, and returns what its settings lack.
pub async fn check_changes(
    database: &Database,
    standing: Standing,
    changes: Changes<'_>,
) -> Result<Vec<String>, Error> {
    let Changes { settings, pinned_version, secrets } = changes;
    if settings.is_none() && pinned_version.is_none() && secrets.is_empty() {
        return Ok(Vec::new());
    }
    let parameters: &Parameters<'_> = &[
        (&standing.tenant_id, Type::UUID),
        (&standing.environment_id, Type::UUID),
        (&standing.connector_id, Type::UUID),
        (&pinned_version.is_some(), Type::BOOL),
        (&pinned_version.flatten(), Type::INT4),
    ];
    let rows = database.read_tenant(standing.tenant_id, sql::MANIFEST_OF_CONNECTOR, parameters).await?;
    // Of a connector or a version that does not exist, changing it says so.
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let connector = compiled(row)?;
    // The other secrets it may have already.
    connector.check_secrets(&revealed(secrets)).map_err(refused)?;
    let told = match settings {
        Some(settings) => connector.check_settings(&Value::Object(settings.clone())).map_err(refused)?,
        None if pinned_version.is_some() => connector.check_settings(&row.try_get(1)?).map_err(refused)?,
        None => Vec::new(),
    };
    Ok(told.iter().map(ToString::to_string).collect())
}

fn compiled(row: &Row) -> Result<Connector, Error> {
    let manifest: Value = row.try_get(0)?;
    Ok(Connector::from_json(&manifest)?)
}

/// As JSON, for the check alone.
fn revealed(secrets: &Secrets) -> Value {
    secrets.iter().map(|(name, secret)| (name.clone(), Value::from(secret.reveal()))).collect()
}

/// The place stands in the text as well, for who reads only that.
fn refused(error: core::Error) -> Error {
    let detail = error.to_string();
    Error { detail, ..error.into() }
}
