//! The command line: `nexus serve`, `nexus config`, `nexus connector`, `nexus admin`.

mod admin;
mod connector;

use crate::config::{Given, LogFormat, Settings};
use crate::error::StartError;
use crate::serve;
use clap::{Args, Parser, Subcommand};
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Nexus: a commerce data backbone that lives in PostgreSQL
#[derive(Parser)]
#[command(name = "nexus", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Serve(ServeArguments),
    /// Print the settings in force, secrets masked
    Config(ServeArguments),
    /// Write connectors: begin one, check it, try a payload
    Connector(connector::Arguments),
    /// Set things up: tenants, connectors, flows, keys, secrets, roles
    Admin(admin::Arguments),
}

#[derive(Args)]
struct ServeArguments {
    /// The settings file [default: nexus.toml in the working directory, if there is one]
    #[arg(long, env = "NEXUS_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
}

impl ServeArguments {
    fn complete(self) -> Result<Settings, StartError> {
        self.given.complete(self.config.as_deref())
    }
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> Result<(), StartError> {
    match cli.command {
        Command::Serve(arguments) => {
            let settings = arguments.complete()?;
            log(&settings)?;
            runtime()?.block_on(serve::serve(settings))
        }
        Command::Config(arguments) => {
            let settings = arguments.complete()?.masked();
            print(settings.to_string().trim_end())
        }
        Command::Connector(arguments) => connector::run(arguments),
        Command::Admin(arguments) => runtime()?.block_on(admin::run(arguments)),
    }
}

/// A line, or several, on standard output. A reader that went away is not worth a panic.
fn print(text: &str) -> Result<(), StartError> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| StartError::command(format!("standard output cannot be written: {error}")))
}

fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::settings(format!("no threads to work with: {error}")))
}

fn log(settings: &Settings) -> Result<(), StartError> {
    let level = &settings.log_level;
    // At debug these write statements with their parameters, and requests with their headers: secrets, and
    // other people's data. No setting turns that on.
    let directives =
        format!("{level},tokio_postgres=info,hyper=info,hyper_util=info,h2=info,reqwest=info,rustls=info");
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| StartError::settings(format!("NEXUS_LOG_LEVEL cannot be used: {error}")))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.log {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
