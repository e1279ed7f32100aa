//! SQL logins of tenants.

use super::Context;
use crate::error::{Chain, StartError};
use crate::secrets::random;
use crate::sql;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use postgres_protocol::password::scram_sha_256;
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use url::Url;
use uuid::Uuid;

#[derive(Args)]
pub struct BindRole {
    /// The login
    #[arg(long)]
    role: String,
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// One environment of it: dev, test, prod or an id [default: all]
    #[arg(long)]
    environment: Option<String>,
}

impl BindRole {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let environment_id = match &self.environment {
            Some(environment) => Some(context.environment(self.tenant, environment).await?.0),
            None => None,
        };
        bind(context, &self.role, self.tenant, environment_id).await?;
        Ok(json!({ "role": self.role, "tenant_id": self.tenant, "environment_id": environment_id }))
    }
}

#[derive(Args)]
pub struct CreateAnalyst {
    /// The login's name; it must not exist
    #[arg(long)]
    role: String,
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// One environment of it: dev, test, prod or an id [default: all]
    #[arg(long)]
    environment: Option<String>,
}

impl CreateAnalyst {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let environment_id = match &self.environment {
            Some(environment) => Some(context.environment(self.tenant, environment).await?.0),
            None => None,
        };
        let password = URL_SAFE_NO_PAD.encode(random::<24>()?);
        // The server gets a verifier: the password is in no statement log.
        let verifier = scram_sha_256(password.as_bytes());
        let statement: String =
            context.value(sql::CREATE_LOGIN, &[(&self.role, Type::TEXT), (&verifier, Type::TEXT)]).await?;
        let client = context.database.client().await.map_err(|failure| super::failed(&failure))?;
        client.batch_execute(&statement).await.map_err(|error| {
            StartError::command(format!("the login {} was not made: {}", self.role, Chain(&error)))
        })?;
        drop(client);
        bind(context, &self.role, self.tenant, environment_id).await?;
        let sql_url = sql_url(context, &self.role, &password);
        Ok(json!({ "role": self.role, "tenant_id": self.tenant, "password": password, "sql_url": sql_url }))
    }
}

async fn bind(
    context: &Context,
    role: &str,
    tenant_id: Uuid,
    environment_id: Option<Uuid>,
) -> Result<(), StartError> {
    let parameters =
        &[(&role as _, Type::TEXT), (&tenant_id as _, Type::UUID), (&environment_id as _, Type::UUID)];
    context
        .database
        .rows(sql::BIND_ROLE, parameters)
        .await
        .map(drop)
        .map_err(|failure| super::failed(&failure))
}

/// The database's URL for another login, where it is a URL.
fn sql_url(context: &Context, role: &str, password: &str) -> Option<String> {
    let mut url = Url::parse(context.settings.database_url().ok()?.reveal()).ok()?;
    // A URL without a host, with the socket's folder in its query, cannot carry a user.
    url.set_username(role).ok()?;
    url.set_password(Some(password)).ok()?;
    Some(url.into())
}

/// Who can see what.
pub async fn access_report(context: &Context) -> Result<Value, StartError> {
    let rows = context.database.rows(sql::ACCESS_REPORT, &[]).await;
    let rows = rows.map_err(|failure| super::failed(&failure))?;
    let rows: Result<Vec<Value>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let rows = rows.map_err(crate::error::Error::from)?;
    Ok(json!({ "access": rows }))
}
