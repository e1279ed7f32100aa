//! The demo: what a new user sees first. `make run` starts both commands; see scripts/local.sh.

mod demo_file;
mod play;
mod shop;
mod sink;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows Nexus at work
#[derive(Parser)]
#[command(name = "nexus-demo", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Receive jobs and webhooks on a free port of 127.0.0.1; GET /received lists what came
    Sink {
        /// Where to write the port once it is open
        #[arg(long)]
        port_file: PathBuf,
    },
    /// Send signed webhooks to a running gateway and report what came of each
    Play(play::Surroundings),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Sink { port_file } => sink::serve(&port_file).await,
        Command::Play(surroundings) => play::play(surroundings).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
