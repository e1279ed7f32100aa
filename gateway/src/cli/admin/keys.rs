//! Making keys: each is shown once.

use super::Context;
use crate::auth::hash_key;
use crate::error::StartError;
use crate::secrets::random;
use crate::sql;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{ArgGroup, Args};
use nexus_core::secret::MasterKey;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// How much of a key is kept to recognise it by.
const PREFIX_LENGTH: usize = 14;

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
        let id = self.id.unwrap_or_else(|| format!("m{}", jiff::Timestamp::now().as_second()));
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
        let key = new_key(match environment.as_str() {
            "prod" => "live",
            other => other,
        })?;
        let api_key_id: Uuid = context
            .value(
                sql::PUT_API_KEY,
                &[
                    (&tenant_id, Type::UUID),
                    (&environment_id, Type::UUID),
                    (&self.name, Type::TEXT),
                    (&self.scopes, Type::TEXT_ARRAY),
                    (&prefix(&key), Type::TEXT),
                    (&hash_key(key.as_bytes()).as_slice(), Type::BYTEA),
                ],
            )
            .await?;
        Ok(
            json!({ "api_key_id": api_key_id, "environment": environment, "scopes": self.scopes, "api_key": key }),
        )
    }

    async fn for_platform(self, context: &Context) -> Result<Value, StartError> {
        let key = new_key("platform")?;
        let platform_key_id: Uuid = context
            .value(
                sql::PUT_PLATFORM_KEY,
                &[
                    (&self.name, Type::TEXT),
                    (&prefix(&key), Type::TEXT),
                    (&hash_key(key.as_bytes()).as_slice(), Type::BYTEA),
                ],
            )
            .await?;
        Ok(json!({ "platform_key_id": platform_key_id, "platform_key": key }))
    }
}

fn new_key(kind: &str) -> Result<String, StartError> {
    Ok(format!("sk_{kind}_{}", URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

fn prefix(key: &str) -> &str {
    key.get(..PREFIX_LENGTH).unwrap_or(key)
}
