//! Keys: made, replaced and ended. Each is shown once.

use super::Context;
use crate::error::StartError;
use crate::key::NewKey;
use crate::secrets::random;
use crate::sql;
use clap::{ArgGroup, Args};
use jiff::{Span, Timestamp};
use nexus_core::secret::MasterKey;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use tokio_postgres::types::Type;
use uuid::Uuid;

#[derive(Args)]
pub struct GenerateMasterKey {
    /// The file to write, readable by its owner only; it must not exist
    #[arg(long)]
    out: PathBuf,
    /// The key's id [default: from the time]
    #[arg(long)]
    id: Option<String>,
}

impl GenerateMasterKey {
    pub fn run(self) -> Result<Value, StartError> {
        let id = self.id.unwrap_or_else(|| format!("m{}", Timestamp::now().as_second()));
        let key = MasterKey::new(id.as_str(), random()?).to_text();
        // What cannot be read back must not be kept.
        MasterKey::parse_all(&key)?;
        let unwritable =
            |error| StartError::command(format!("{} cannot be written: {error}", self.out.display()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.out)
            .map_err(unwritable)?;
        writeln!(file, "{}", key.as_str()).and_then(|()| file.sync_all()).map_err(unwritable)?;
        Ok(json!({ "master_key_id": id, "file": self.out.display().to_string() }))
    }
}

#[derive(Args)]
#[command(group = ArgGroup::new("whose").required(true).args(["tenant", "platform"]))]
pub struct CreateKey {
    /// The tenant's id
    #[arg(long)]
    tenant: Option<Uuid>,
    /// The environment: dev, test, prod or an id
    #[arg(long, default_value = "prod", conflicts_with = "platform")]
    environment: String,
    /// What it may do: read, write, admin
    #[arg(long, value_delimiter = ',', default_value = "read", conflicts_with = "platform")]
    scopes: Vec<String>,
    /// A platform key, which acts on tenants
    #[arg(long)]
    platform: bool,
    /// For people, to tell keys apart
    #[arg(long, default_value = "key")]
    name: String,
    /// When it ends, in days from now [default: never]
    #[arg(long)]
    expires_in_days: Option<u32>,
}

impl CreateKey {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        match self.tenant {
            Some(tenant_id) => self.for_tenant(context, tenant_id).await,
            None => self.for_platform(context).await,
        }
    }

    async fn for_tenant(self, context: &Context, tenant_id: Uuid) -> Result<Value, StartError> {
        let (environment_id, environment) = context.environment(tenant_id, &self.environment).await?;
        let key = NewKey::of_environment(&environment)?;
        let expires_at = end(self.expires_in_days)?;
        let parameters: &crate::db::Parameters<'_> = &[
            (&tenant_id, Type::UUID),
            (&environment_id, Type::UUID),
            (&self.name, Type::TEXT),
            (&self.scopes, Type::TEXT_ARRAY),
            (&key.prefix(), Type::TEXT),
            (&key.hash.as_slice(), Type::BYTEA),
            (&expires_at, Type::TIMESTAMPTZ),
        ];
        let api_key_id: Uuid = context.value(sql::PUT_API_KEY, parameters).await?;
        Ok(json!({
            "api_key_id": api_key_id,
            "environment": environment,
            "scopes": self.scopes,
            "expires_at": expires_at,
            "api_key": key.text,
        }))
    }

    async fn for_platform(self, context: &Context) -> Result<Value, StartError> {
        let key = NewKey::of_platform()?;
        let expires_at = end(self.expires_in_days)?;
        let parameters: &crate::db::Parameters<'_> = &[
            (&self.name, Type::TEXT),
            (&key.prefix(), Type::TEXT),
            (&key.hash.as_slice(), Type::BYTEA),
            (&expires_at, Type::TIMESTAMPTZ),
        ];
        let platform_key_id: Uuid = context.value(sql::PUT_PLATFORM_KEY, parameters).await?;
        Ok(json!({ "platform_key_id": platform_key_id, "expires_at": expires_at, "platform_key": key.text }))
    }
}

fn end(days: Option<u32>) -> Result<Option<Timestamp>, StartError> {
    let Some(days) = days else { return Ok(None) };
    // Hours, because a moment without a time zone has no days.
    let end = Span::new().try_hours(i64::from(days) * 24).and_then(|span| Timestamp::now().checked_add(span));
    end.map(Some).map_err(|_| StartError::command(format!("{days} days is too long; leave it out for never")))
}

#[derive(Args)]
pub struct RotateKey {
    /// The key's id, as create-key and the API list it
    api_key_id: Uuid,
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// How long the former key stays valid beside the new one, in seconds
    #[arg(long, default_value_t = 86_400)]
    overlap_seconds: u32,
    /// When the new key ends, in days from now [default: never]
    #[arg(long)]
    expires_in_days: Option<u32>,
}

impl RotateKey {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let environment: Option<String> = context
            .value(sql::ENVIRONMENT_OF_API_KEY, &[(&self.tenant, Type::UUID), (&self.api_key_id, Type::UUID)])
            .await?;
        let environment = environment.ok_or_else(|| {
            StartError::command(format!("tenant {} has no API key {}", self.tenant, self.api_key_id))
        })?;
        let key = NewKey::of_environment(&environment)?;
        let expires_at = end(self.expires_in_days)?;
        let parameters: &crate::db::Parameters<'_> = &[
            (&self.tenant, Type::UUID),
            (&self.api_key_id, Type::UUID),
            (&key.prefix(), Type::TEXT),
            (&key.hash.as_slice(), Type::BYTEA),
            (&f64::from(self.overlap_seconds), Type::FLOAT8),
            (&expires_at, Type::TIMESTAMPTZ),
            (&None::<Uuid>, Type::UUID),
        ];
        let new_id: Uuid = context.value(sql::ROTATE_API_KEY, parameters).await?;
        Ok(json!({
            "api_key_id": new_id,
            "former_api_key_id": self.api_key_id,
            "former_valid_for_seconds": self.overlap_seconds,
            "environment": environment,
            "api_key": key.text,
        }))
    }
}

#[derive(Args)]
#[command(group = ArgGroup::new("whose").required(true).args(["tenant", "platform"]))]
pub struct RevokeKey {
    /// The key's id
    key_id: Uuid,
    /// The tenant's id
    #[arg(long)]
    tenant: Option<Uuid>,
    /// It is a platform key
    #[arg(long)]
    platform: bool,
}

impl RevokeKey {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let was_in_force: bool = match self.tenant {
            Some(tenant_id) => {
                let parameters: &crate::db::Parameters<'_> =
                    &[(&tenant_id, Type::UUID), (&self.key_id, Type::UUID), (&None::<Uuid>, Type::UUID)];
                context.value(sql::REVOKE_API_KEY, parameters).await?
            }
            None => context.value(sql::REVOKE_PLATFORM_KEY, &[(&self.key_id, Type::UUID)]).await?,
        };
        if !was_in_force {
            return Err(StartError::command(format!("there is no key {} in force", self.key_id)));
        }
        Ok(json!({ "key_id": self.key_id, "revoked": true }))
    }
}
