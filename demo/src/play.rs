//! Sends real webhooks to a running gateway, waits for what follows from them, and reports it.

mod admin;
mod gateway;
mod report;
mod setup;
mod story;
mod text;
mod wait;

use admin::Admin;
use anyhow::{Context as _, Result};
use clap::Args;
use gateway::Gateway;
use std::path::PathBuf;
use tokio_postgres::{Client, NoTls};

/// What the demo plays with.
#[derive(Args)]
pub struct Surroundings {
    /// The gateway
    #[arg(long, env = "NEXUS_BASE_URL")]
    base_url: String,
    /// The database, as a superuser
    #[arg(long, env = "NEXUS_ADMIN_DATABASE_URL", hide_env_values = true)]
    admin_database_url: String,
    /// The file with the gateway's master key
    #[arg(long, env = "NEXUS_MASTER_KEY_FILE")]
    master_key_file: PathBuf,
    /// Where `nexus-demo sink` receives
    #[arg(long, env = "NEXUS_DEMO_SINK_URL")]
    sink_url: String,
    /// Where to write what was set up
    #[arg(long, env = "NEXUS_DEMO_FILE")]
    demo_file: PathBuf,
    /// A key that acts on tenants
    #[arg(long, env = "NEXUS_PLATFORM_KEY", hide_env_values = true)]
    platform_key: String,
}

impl Surroundings {
    fn base_url(&self) -> String {
        self.base_url.trim_end_matches('/').to_owned()
    }

    fn sink_url(&self) -> String {
        self.sink_url.trim_end_matches('/').to_owned()
    }
}

/// Plays. An error says which step did not happen.
pub async fn play(surroundings: Surroundings) -> Result<()> {
    let admin = Admin::new(
        &surroundings.admin_database_url,
        &surroundings.master_key_file,
        &surroundings.base_url(),
    )?;
    let gateway = Gateway::new(&surroundings.base_url)?;
    let database = connect(&surroundings.admin_database_url).await.context("the database does not answer")?;
    let file =
        setup::set_up(&surroundings, &admin, &gateway, &database).await.context("setting up two tenants")?;
    file.write(&surroundings.demo_file)?;
    let secrets = file.tenants.iter().flat_map(|tenant| {
        let flows = tenant.flows.iter().map(|flow| flow.secret.as_str());
        flows.chain(tenant.subscriptions.iter().map(|subscription| subscription.secret.as_str()))
    });
    gateway.teach(&file.sink_url, &secrets.collect::<Vec<_>>()).await?;

    let told = story::tell(&file, &gateway).await?;
    report::print(&file, &surroundings.demo_file, &told);
    Ok(())
}

/// A session as the login that the URL names.
async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
