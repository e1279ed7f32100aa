//! `nexus admin`: what an operator sets up by hand or by script.

mod connector_type;
mod create;
mod keys;
mod master_key;
mod replay;
mod reprocess;
mod roles;
mod secret;
mod tenant;

use crate::config::{Given, Masked, Settings};
use crate::db::Database;
use crate::error::StartError;
use crate::secrets::Vault;
use crate::sql;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio_postgres::types::Type;
use uuid::Uuid;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// The settings that commands need.
#[derive(Args)]
struct Connection {
    /// Where the database is; the login's rights decide what may be done
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<Masked>,
    /// Certificate authorities for the database, PEM, beside the system's own
    #[arg(long, global = true, env = "NEXUS_DATABASE_CA_FILE")]
    database_ca_file: Option<PathBuf>,
    /// A file with master keys, one a line; or NEXUS_MASTER_KEY
    #[arg(long, global = true, env = "NEXUS_MASTER_KEY_FILE")]
    master_key_file: Option<PathBuf>,
    /// How others reach the gateway, for the URLs that are printed
    #[arg(long, global = true, env = "NEXUS_PUBLIC_URL")]
    public_url: Option<url::Url>,
    /// The settings file [default: nexus.toml in the working directory, if there is one]
    #[arg(long, global = true, env = "NEXUS_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Make a master key, which seals all secrets; keep a copy of it apart from the database's backups
    GenerateMasterKey(keys::GenerateMasterKey),
    /// Make a tenant with dev, test and prod environments
    CreateTenant(create::CreateTenant),
    /// Connect a shop, marketplace or ERP
    CreateConnector(create::CreateConnector),
    /// Make a flow and its signing secret, which is shown once
    CreateFlow(create::CreateFlow),
    /// Subscribe to domain events; the signing secret is shown once
    CreateSubscription(create::CreateSubscription),
    /// Make an API key, or a platform key; it is shown once
    CreateKey(keys::CreateKey),
    /// Set a secret of a connector, flow or subscription
    SetSecret(secret::SetSecret),
    /// Let a SQL login see one tenant
    BindRole(roles::BindRole),
    /// Make a SQL login that sees one tenant; its password is shown once
    CreateAnalyst(roles::CreateAnalyst),
    /// List who can see what: every role with the group it holds, and whoever row-level security does not bind
    AccessReport,
    /// Replace an API key by a new one, which is shown once; the former expires after an overlap
    RotateKey(keys::RotateKey),
    /// End an API key or a platform key, within a second on every gateway
    RevokeKey(keys::RevokeKey),
    /// Wrap all data keys by the first of the master keys, while traffic flows; can be interrupted and resumed
    RotateMasterKey(master_key::RotateMasterKey),
    /// Write a copy of all of a tenant's data, keys and secrets aside, as JSON lines
    ExportTenant(tenant::ExportTenant),
    /// Delete a tenant and everything of it
    DeleteTenant(tenant::DeleteTenant),
    /// Take a customer out of everything: the right to be forgotten
    EraseCustomer(tenant::EraseCustomer),
    /// Register a connector type's manifest and make it the current one
    RegisterConnectorType(connector_type::RegisterConnectorType),
    /// Read events again with the mappings as they are now; can be interrupted and resumed
    Reprocess(reprocess::Reprocess),
    /// Send domain events again, under the same ids and dedupe keys
    Replay(replay::Replay),
    /// Let deliveries go on after a restore or a promotion: also what may have been sent before it
    AcceptEpoch,
    /// Print sources.yml for dbt: tables and views with their descriptions and tests
    DbtSources,
    /// Run the regular upkeep now
    Maintain,
}

/// What a command works with.
struct Context {
    settings: Settings,
    database: Database,
}

/// Runs a command and prints what came of it.
pub async fn run(arguments: Arguments) -> Result<(), StartError> {
    let Arguments { connection, json, command } = arguments;
    let result = match command {
        // The one command that needs no database.
        Command::GenerateMasterKey(command) => command.run()?,
        command => command.run(&Context::new(connection).await?).await?,
    };
    if result.is_null() {
        return Ok(()); // the command has written its output itself
    }
    let text = if json { result.to_string() } else { as_lines(&result) };
    super::print(&text)
}

impl Command {
    async fn run(self, context: &Context) -> Result<Value, StartError> {
        match self {
            Self::GenerateMasterKey(command) => command.run(),
            Self::CreateTenant(command) => command.run(context).await,
            Self::CreateConnector(command) => command.run(context).await,
            Self::CreateFlow(command) => command.run(context).await,
            Self::CreateSubscription(command) => command.run(context).await,
            Self::CreateKey(command) => command.run(context).await,
            Self::SetSecret(command) => command.run(context).await,
            Self::BindRole(command) => command.run(context).await,
            Self::CreateAnalyst(command) => command.run(context).await,
            Self::AccessReport => roles::access_report(context).await,
            Self::RotateKey(command) => command.run(context).await,
            Self::RevokeKey(command) => command.run(context).await,
            Self::RotateMasterKey(command) => command.run(context).await,
            Self::ExportTenant(command) => command.run(context).await,
            Self::DeleteTenant(command) => command.run(context).await,
            Self::EraseCustomer(command) => command.run(context).await,
            Self::RegisterConnectorType(command) => command.run(context).await,
            Self::Reprocess(command) => command.run(context).await,
            Self::Replay(command) => command.run(context).await,
            Self::AcceptEpoch => accept_epoch(context).await,
            Self::DbtSources => dbt_sources(context).await,
            Self::Maintain => maintain(context).await,
        }
    }
}

impl Context {
    async fn new(connection: Connection) -> Result<Self, StartError> {
        let given = Given {
            database_url: connection.database_url,
            database_ca_file: connection.database_ca_file,
            master_key_file: connection.master_key_file,
            public_url: connection.public_url,
            ..Given::default()
        };
        let settings = given.complete(connection.config.as_deref())?;
        let database = Database::new(&settings, 1)?;
        database.check().await?;
        Ok(Self { settings, database })
    }

    fn vault(&self) -> Result<Vault, StartError> {
        self.settings.master_keys().map(Vault::new)
    }

    /// An environment by its name or id, and its name.
    async fn environment(&self, tenant_id: Uuid, given: &str) -> Result<(Uuid, String), StartError> {
        let environments = self.environments(tenant_id).await?;
        environments
            .into_iter()
            .find(|(id, name)| name == given || given.parse() == Ok(*id))
            .ok_or_else(|| StartError::command(format!("tenant {tenant_id} has no environment {given}")))
    }

    async fn environments(&self, tenant_id: Uuid) -> Result<Vec<(Uuid, String)>, StartError> {
        let rows =
            self.database.read_tenant(tenant_id, sql::ENVIRONMENTS, &[(&tenant_id, Type::UUID)]).await?;
        let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let environments: Result<Vec<(Uuid, String)>, tokio_postgres::Error> =
            rows.iter().map(read).collect();
        Ok(environments.map_err(crate::error::Error::from)?)
    }

    /// A statement that gives one value.
    async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(
        &self,
        sql: &str,
        parameters: &crate::db::Parameters<'_>,
    ) -> Result<T, StartError> {
        let row = self.database.row(sql, parameters).await.map_err(|failure| failed(&failure))?;
        row.try_get(0)
            .map_err(|error| StartError::command(format!("the database answers strangely: {error}")))
    }
}

/// An operator may see the database's own words.
fn failed(failure: &crate::db::Failure) -> StartError {
    let hint = match failure {
        crate::db::Failure::Database(error) => error.as_db_error().and_then(|raised| raised.hint()),
        _ => None,
    };
    StartError::command(match hint {
        Some(hint) => format!("{failure}; {hint}"),
        None => failure.to_string(),
    })
}

/// Written by itself: it is a file's content, in JSON as well.
async fn dbt_sources(context: &Context) -> Result<Value, StartError> {
    let text: String = context.value(sql::DBT_SOURCES, &[]).await?;
    super::print(text.trim_end())?;
    Ok(Value::Null)
}

async fn accept_epoch(context: &Context) -> Result<Value, StartError> {
    let epoch: i32 = context.value(sql::ACCEPT_EPOCH, &[]).await?;
    Ok(json!({ "epoch": epoch }))
}

async fn maintain(context: &Context) -> Result<Value, StartError> {
    let mut done = Vec::new();
    loop {
        let now = context.database.maintain().await.map_err(|failure| failed(&failure))?;
        if now.is_empty() {
            return Ok(json!({ "done": done }));
        }
        done.extend(now.into_iter().map(|(action, detail)| {
            let detail: Value =
                detail.and_then(|detail| serde_json::from_str(&detail).ok()).unwrap_or(Value::Null);
            json!({ "action": action, "detail": detail })
        }));
    }
}

/// `name: value`, a line each; of lists an item a line; objects in objects on one line.
fn as_lines(result: &Value) -> String {
    let line = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.iter().map(|item| format!("{name}: {item}")).collect::<Vec<_>>().join("\n")
        }
        other => format!("{name}: {other}"),
    };
    match result {
        Value::Object(members) => members.iter().map(line).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}
