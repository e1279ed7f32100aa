//! `nexus connector new`.

use super::{FOLDER, MANIFEST};
use crate::error::StartError;
use clap::Args;
use nexus_core::case::EXPECTED;
use nexus_core::connector::Connector;
use std::fs;
use std::path::{Path, PathBuf};

/// What a new connector begins with. It is valid at once, so that every step from here can be checked.
const TEMPLATE: &str = include_str!("scaffold/connector.toml");
const PAYLOAD: &str = include_str!("scaffold/example.json");
const DOCUMENTS: &str = include_str!("scaffold/example.expected.json");
const TOPIC: &str = "order.created";

#[derive(Args)]
pub struct New {
    /// The connector type, and its folder's name: lower-case letters, digits and dashes
    connector_type: String,
    /// The folder of connectors
    #[arg(long, default_value = FOLDER)]
    dir: PathBuf,
}

impl New {
    pub fn run(self) -> Result<(), StartError> {
        let manifest =
            TEMPLATE.replace("{type}", &self.connector_type).replace("{name}", &name(&self.connector_type));
        Connector::from_toml(&manifest).map_err(|error| StartError::command(error.to_string()))?;
        let folder = self.dir.join(&self.connector_type);
        let cases = folder.join("cases").join(TOPIC);
        if folder.exists() {
            return Err(StartError::command(format!("{} exists; nothing was written", folder.display())));
        }
        fs::create_dir_all(&cases).map_err(|error| unwritable(&cases, &error))?;
        let files = [
            (folder.join(MANIFEST), manifest.as_str()),
            (cases.join("example.json"), PAYLOAD),
            (cases.join(format!("example{EXPECTED}")), DOCUMENTS),
        ];
        for (path, text) in files {
            fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
            crate::cli::print(&path.display().to_string())?;
        }
        Ok(())
    }
}

/// A name for people, to begin with: `tea-shop` is Tea Shop.
fn name(connector_type: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    connector_type.split('-').map(capital).collect::<Vec<_>>().join(" ")
}

fn unwritable(path: &Path, error: &std::io::Error) -> StartError {
    StartError::command(format!("{} cannot be written: {error}", path.display()))
}
