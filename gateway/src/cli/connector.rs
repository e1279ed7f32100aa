//! `nexus connector`: for those who write connectors. Needs no database; the rules are core's.

mod attempt;
mod check;
mod scaffold;

use crate::error::StartError;
use clap::{Args, Subcommand};
use nexus_core::connector::{Connector, Mistake, built_in};
use std::fs;
use std::path::{Path, PathBuf};

/// The file of a connector's folder that holds its manifest.
const MANIFEST: &str = "connector.toml";

/// Where connectors lie, unless said otherwise.
const FOLDER: &str = "connectors";

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Begin a connector: a manifest with explanations, and a first case
    New(scaffold::New),
    /// Check manifests and run their cases; names all that is wrong
    Check(check::Check),
    /// Run one payload through a connector: the documents it gives, and what of it is left unmapped
    Try(attempt::Try),
    /// Print a manifest as JSON, for nexus.register_connector_type
    Show(Show),
}

#[derive(Args)]
struct Show {
    /// A connector type, its folder, or a manifest
    connector: String,
}

/// Runs a command and prints what came of it.
pub fn run(arguments: Arguments) -> Result<(), StartError> {
    match arguments.command {
        Command::New(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Try(command) => command.run(),
        Command::Show(command) => {
            let manifest = named(&command.connector)?.manifest().to_json();
            let manifest = manifest.map_err(|error| StartError::command(error.to_string()))?;
            super::print(&format!("{manifest:#}"))
        }
    }
}

/// The connector that is meant: a folder or manifest, a type below `connectors/`, or one that comes with Nexus.
pub(super) fn named(name: &str) -> Result<Connector, StartError> {
    let local = Path::new(FOLDER).join(name);
    let manifest = [Path::new(name), &local].into_iter().find_map(manifest_at);
    let text = match &manifest {
        Some(path) => read(path)?,
        None => {
            let known = built_in().iter().find(|(connector_type, _)| *connector_type == name);
            let (_, text) = known.ok_or_else(|| {
                let types: Vec<_> = built_in().iter().map(|(connector_type, _)| *connector_type).collect();
                let message = format!("there is no connector \"{name}\": no such folder, and none of these");
                StartError::command(format!("{message}: {}", types.join(", ")))
            })?;
            (*text).to_owned()
        }
    };
    Connector::check_toml(&text).map_err(|mistakes| {
        let file = manifest.map_or_else(|| name.to_owned(), |path| path.display().to_string());
        let first = mistakes.first().map(|mistake| told(&file, mistake)).unwrap_or_default();
        let more = match mistakes.len() {
            0 | 1 => String::new(),
            count => format!(", and {} more (nexus connector check)", count - 1),
        };
        StartError::command(format!("{first}{more}"))
    })
}

/// The manifest that a path means: itself, or the one in the folder.
fn manifest_at(path: &Path) -> Option<PathBuf> {
    let within = path.join(MANIFEST);
    if within.is_file() {
        return Some(within);
    }
    path.is_file().then(|| path.to_owned())
}

/// `file:line: place: reason (what to do)`.
fn told(file: &str, mistake: &Mistake) -> String {
    let line = mistake.line.map(|line| format!(":{line}")).unwrap_or_default();
    let hint = mistake.error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{file}{line}: {}{hint}", mistake.error)
}

fn read(path: &Path) -> Result<String, StartError> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> StartError {
    StartError::command(format!("{} cannot be read: {error}", path.display()))
}
