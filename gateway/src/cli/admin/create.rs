//! Making tenants, connectors, flows and subscriptions.

use super::Context;
use crate::configuration::SIGNING;
use crate::error::StartError;
use crate::instance::{self, Secrets};
use crate::secrets::random;
use crate::sql;
use clap::Args;
use nexus_core::envelope::{SigningKey, signing_secret};
use nexus_core::routing::SignatureVersion;
use nexus_core::secret::Place;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use std::fs;
use tokio_postgres::types::Type;
use uuid::Uuid;

#[derive(Args)]
pub struct CreateTenant {
    /// Short name, unique: lower-case letters, digits, hyphens
    slug: String,
    /// Name for people [default: the slug]
    #[arg(long)]
    name: Option<String>,
}

impl CreateTenant {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let name = self.name.as_deref().unwrap_or(&self.slug);
        let tenant_id: Uuid =
            context.value(sql::CREATE_TENANT, &[(&self.slug, Type::TEXT), (&name, Type::TEXT)]).await?;
        let environments = context.environments(tenant_id).await?;
        let environments: Map<String, Value> =
            environments.into_iter().map(|(id, name)| (name, json!({ "environment_id": id }))).collect();
        Ok(json!({ "tenant_id": tenant_id, "slug": self.slug, "environments": environments }))
    }
}

/// The environment something is made in.
#[derive(Args)]
pub struct Within {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// The environment: dev, test, prod or an id
    #[arg(long, default_value = "prod")]
    environment: String,
}

#[derive(Args)]
pub struct CreateConnector {
    #[command(flatten)]
    place: Within,
    /// The platform, such as shopify
    #[arg(long = "type")]
    connector_type: String,
    /// Its name, unique in the environment
    #[arg(long)]
    name: String,
    /// Settings the platform asks for, as JSON or @file
    #[arg(long, default_value = "{}")]
    settings: String,
}

impl CreateConnector {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let (environment_id, environment) =
            context.environment(self.place.tenant, &self.place.environment).await?;
        let settings = json_argument("--settings", &self.settings)?;
        let warnings = match &settings {
            Value::Object(settings) => {
                let none = Secrets::new();
                instance::check_new(&context.database, &self.connector_type, settings, &none).await?
            }
            _ => Vec::new(),
        };
        let connector_id: Uuid = context
            .value(
                sql::CREATE_CONNECTOR,
                &[
                    (&self.place.tenant, Type::UUID),
                    (&environment_id, Type::UUID),
                    (&self.connector_type, Type::TEXT),
                    (&self.name, Type::TEXT),
                    (&settings, Type::JSONB),
                ],
            )
            .await?;
        Ok(json!({
            "connector_id": connector_id,
            "connector_type": self.connector_type,
            "environment": environment,
            "hook_url": format!("{}/hooks/{connector_id}", context.settings.public_url),
            "warnings": warnings,
        }))
    }
}

#[derive(Args)]
pub struct CreateFlow {
    #[command(flatten)]
    place: Within,
    /// Its name, unique in the environment
    #[arg(long)]
    name: String,
    /// What it does, as JSON or @file: kinds, execution_url, …
    #[arg(long)]
    definition: String,
}

impl CreateFlow {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let vault = context.vault()?;
        let (environment_id, environment) =
            context.environment(self.place.tenant, &self.place.environment).await?;
        let definition = json_argument("--definition", &self.definition)?;
        let flow_id: Uuid = context
            .value(
                sql::CREATE_FLOW,
                &[
                    (&self.place.tenant, Type::UUID),
                    (&environment_id, Type::UUID),
                    (&self.name, Type::TEXT),
                    (&definition, Type::JSONB),
                ],
            )
            .await?;
        let secret = signing_secret(SignatureVersion::V1, random()?);
        let place =
            Place { tenant_id: self.place.tenant, owner_kind: "flow", owner_id: flow_id, name: SIGNING };
        vault.put(&context.database, "", &place, secret.as_bytes(), 0.0).await?;
        Ok(json!({ "flow_id": flow_id, "environment": environment, "secret": secret }))
    }
}

#[derive(Args)]
pub struct CreateSubscription {
    #[command(flatten)]
    place: Within,
    /// Where events are sent
    #[arg(long)]
    url: String,
    /// Types such as order.created, families such as order.*, or *
    #[arg(long, value_delimiter = ',', required = true)]
    event_types: Vec<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// What else it asks for, as JSON or @file: filter, ordering, retry, rate_limit, …
    #[arg(long, default_value = "{}")]
    options: String,
}

impl CreateSubscription {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let vault = context.vault()?;
        let (environment_id, environment) =
            context.environment(self.place.tenant, &self.place.environment).await?;
        let options = json_argument("--options", &self.options)?;
        let subscription_id: Uuid = context
            .value(
                sql::CREATE_SUBSCRIPTION,
                &[
                    (&self.place.tenant, Type::UUID),
                    (&environment_id, Type::UUID),
                    (&self.url, Type::TEXT),
                    (&self.event_types, Type::TEXT_ARRAY),
                    (&self.description, Type::TEXT),
                    (&json!({}), Type::JSONB),
                    (&options, Type::JSONB),
                ],
            )
            .await?;
        // The function has refused what is no version.
        let version = SignatureVersion::deserialize(&options["signature"]).unwrap_or_default();
        let secret = signing_secret(version, random()?);
        let place = Place {
            tenant_id: self.place.tenant,
            owner_kind: "webhook_subscription",
            owner_id: subscription_id,
            name: SIGNING,
        };
        vault.put(&context.database, "", &place, secret.as_bytes(), 0.0).await?;
        let mut told = json!({ "subscription_id": subscription_id, "environment": environment });
        match SigningKey::parse(&secret)?.public_key() {
            Some(public_key) => told["public_key"] = public_key.into(),
            None => told["secret"] = secret.into(),
        }
        Ok(told)
    }
}

/// JSON of an argument, or of the file it names after `@`.
fn json_argument(name: &str, argument: &str) -> Result<Value, StartError> {
    let text = match argument.strip_prefix('@') {
        Some(file) => fs::read_to_string(file)
            .map_err(|error| StartError::command(format!("{name}: {file} cannot be read: {error}")))?,
        None => argument.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| StartError::command(format!("{name} is not JSON: {error}")))
}
