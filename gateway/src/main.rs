//! `nexus`: the gateway and its command line.
//!
//! Thin on purpose: it carries bytes in and out, holds secrets in memory, batches, and delivers. What must be
//! true together is decided by the database, rules are in `nexus-core`, and every SQL text is in `sql.rs`.

mod app;
mod auth;
mod batches;
mod body;
mod cli;
mod config;
mod configuration;
mod db;
mod dispatcher;
mod error;
mod hooks;
mod http;
mod idempotency;
mod instance;
mod key;
mod key_uses;
mod listen;
mod metrics;
mod openapi;
mod outbox;
mod rate;
mod router;
mod routes;
mod secrets;
mod serve;
mod shutdown;
mod sql;
mod stream;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = cli::Cli::parse();
    match cli::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nexus: {error}");
            ExitCode::from(error.exit_code)
        }
    }
}
