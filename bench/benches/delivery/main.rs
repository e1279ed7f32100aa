//! What the gateway does, by the real program and over HTTP: `dispatch`, `latency`, `fairness`, `held-snapshot`,
//! `doorbell`, `flood`. Each makes a cluster of its own, and tenants with subscriptions to a sink in this process.

mod dispatch;
mod doorbell;
mod fairness;
mod flood;
mod held_snapshot;
mod latency;
mod peer;
mod stage;

use nexus_bench::{Better, Figure, Report, Samples};
use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    if is_asked("dispatch") {
        dispatch::run().await?;
    }
    if is_asked("latency") {
        latency::run().await?;
    }
    if is_asked("fairness") {
        fairness::run().await?;
    }
    if is_asked("doorbell") {
        doorbell::run().await?;
    }
    if is_asked("flood") {
        flood::run().await?;
    }
    if is_asked("held-snapshot") {
        held_snapshot::run().await?;
    }
    Ok(())
}

/// A figure of this name.
fn figure(name: &str, value: Samples, reference: Samples, goal: f64) -> Figure {
    Figure { name: name.to_owned(), value, reference, goal }
}

/// Writes a report of figures that should be high or low, with no more columns than all have.
fn publish(
    name: &'static str,
    reference_name: &'static str,
    unit: &'static str,
    better: Better,
    figures: Vec<Figure>,
) -> Result<()> {
    let report = Report { name, reference_name, unit, better, figures, columns: Vec::new() };
    let path = report.publish()?;
    println!("\nwritten: {}\n", path.display());
    Ok(())
}
