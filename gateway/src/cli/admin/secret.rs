//! Setting secrets.

use super::Context;
use crate::configuration::SIGNING;
use crate::error::StartError;
use crate::instance::{self, Changes, Secrets, Standing};
use clap::{Args, ValueEnum};
use nexus_core::connector::WEBHOOK_SECRET;
use nexus_core::secret::Place;
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Whose secret it is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OwnerKind {
    Connector,
    Flow,
    Subscription,
}

#[derive(Args)]
pub struct SetSecret {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// Whose secret it is
    #[arg(long, default_value = "connector")]
    owner_kind: OwnerKind,
    /// The id of the connector, flow or subscription
    #[arg(long)]
    owner: Uuid,
    /// The secret's name [default: webhook_secret of a connector, signing of a flow or subscription]
    #[arg(long)]
    name: Option<String>,
    /// How long the former secret stays valid beside it, in seconds
    #[arg(long, default_value_t = 0)]
    overlap_seconds: u32,
    /// A file that holds the secret; without it or --value it is read from standard input
    #[arg(long, conflicts_with = "value")]
    value_file: Option<PathBuf>,
    /// The secret; NEXUS_SECRET_VALUE is better, since other users of the machine see a command's arguments
    #[arg(long, env = "NEXUS_SECRET_VALUE", hide_env_values = true)]
    value: Option<String>,
}

impl SetSecret {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let secret = self.read()?;
        if secret.is_empty() {
            return Err(StartError::command("the secret is empty; nothing was set"));
        }
        let (owner_kind, usual) = match self.owner_kind {
            OwnerKind::Connector => ("connector", WEBHOOK_SECRET),
            OwnerKind::Flow => ("flow", SIGNING),
            OwnerKind::Subscription => ("webhook_subscription", SIGNING),
        };
        let name = self.name.as_deref().unwrap_or(usual);
        if let OwnerKind::Connector = self.owner_kind {
            let standing =
                Standing { tenant_id: self.tenant, environment_id: None, connector_id: self.owner };
            let secrets = Secrets::from([(name.to_owned(), secret.as_str().to_owned().into())]);
            let changes = Changes { settings: None, pinned_version: None, secrets: &secrets };
            instance::check_changes(&context.database, standing, changes).await?;
        }
        let place = Place { tenant_id: self.tenant, owner_kind, owner_id: self.owner, name };
        context
            .vault()?
            .put(&context.database, "", &place, secret.as_bytes(), self.overlap_seconds.into())
            .await?;
        Ok(json!({ "owner_kind": owner_kind, "owner_id": self.owner, "name": name, "set": true }))
    }

    /// The secret, without the line end that editors and `echo` add.
    fn read(&self) -> Result<Zeroizing<String>, StartError> {
        let text = match (&self.value, &self.value_file) {
            (Some(value), _) => {
                if std::env::args()
                    .any(|argument| argument.starts_with("--value") && !argument.starts_with("--value-file"))
                {
                    eprintln!(
                        "nexus: --value is visible to other users of this machine while the command runs"
                    );
                }
                Zeroizing::new(value.clone())
            }
            (None, Some(file)) => fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
                StartError::command(format!("{} cannot be read: {error}", file.display()))
            })?,
            (None, None) => {
                let mut text = Zeroizing::new(String::new());
                std::io::stdin().read_to_string(&mut text).map_err(|error| {
                    StartError::command(format!("standard input cannot be read: {error}"))
                })?;
                text
            }
        };
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}
