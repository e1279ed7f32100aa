//! Registering manifests.

use super::Context;
use crate::cli::connector::named;
use crate::error::StartError;
use crate::sql;
use clap::Args;
use nexus_core::connector::Connector;
use serde_json::{Value, json};
use std::fs;
use tokio_postgres::types::Type;

#[derive(Args)]
pub struct RegisterConnectorType {
    /// The manifest, TOML or (*.json) JSON, or its folder; nexus connector check tells all that is wrong with one
    manifest: String,
}

impl RegisterConnectorType {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let connector = match self.manifest.ends_with(".json") {
            true => from_json(&self.manifest)?,
            false => named(&self.manifest)?,
        };
        let manifest = connector.manifest().to_json()?;
        let version: i32 = context.value(sql::REGISTER_CONNECTOR_TYPE, &[(&manifest, Type::JSONB)]).await?;
        Ok(json!({ "connector_type": connector.connector_type(), "version": version }))
    }
}

fn from_json(file: &str) -> Result<Connector, StartError> {
    let unusable = |error: &dyn std::fmt::Display| StartError::command(format!("{file}: {error}"));
    let text = fs::read_to_string(file).map_err(|error| unusable(&error))?;
    let manifest = serde_json::from_str(&text).map_err(|error| unusable(&error))?;
    Connector::from_json(&manifest).map_err(|error| unusable(&error))
}
