//! Deliveries a second to a sink that answers at once, signed and with their attempts logged, against queues that do
//! one plain POST a job with the same body.

use crate::peer::Peer;
use crate::stage::{Stage, cluster};
use crate::{Result, figure, publish};
use nexus_bench::sink::Sink;
use nexus_bench::{Better, Samples, time};
use nexus_tests::cluster::RUN;
use std::fs;
use std::time::Duration;

const GOAL: f64 = 2.0;
const PASSES: usize = 3;
const TENANTS: usize = 4;
/// Deliveries in the first, short pass.
const FIRST: usize = 2_000;

pub async fn run() -> Result<()> {
    let cluster = cluster("dispatch");
    let sink = Sink::start().await?;
    let stage = Stage::begin(&cluster, &sink, "/now", TENANTS, 1).await?;
    let body = RUN.dir.join("body.json");
    fs::write(&body, sink.body())?;
    let peers = Peer::all(&cluster).await?;

    // As long as each contender may take, by what the first pass says of its speed.
    let each = time(Duration::from_secs(90)).as_secs_f64() / (PASSES * (1 + peers.len())) as f64;
    let enough = |speed: f64| ((speed * each) as usize).max(FIRST);
    let mut own = enough(stage.drain(&sink, FIRST / TENANTS).await?);
    own -= own % TENANTS;
    let mut counts = Vec::new();
    for peer in &peers {
        counts.push(enough(peer.drain(&sink, &body, FIRST).await?));
    }
    let mut values = Vec::new();
    let mut references = vec![Vec::new(); peers.len()];
    for _ in 0..PASSES {
        values.push(stage.drain(&sink, own / TENANTS).await?);
        for ((peer, count), speeds) in peers.iter().zip(&counts).zip(&mut references) {
            speeds.push(peer.drain(&sink, &body, *count).await?);
        }
    }
    let figures = peers
        .iter()
        .zip(references)
        .map(|(peer, speeds)| {
            figure(
                &format!("against {}", peer.name),
                Samples::new(values.clone()),
                Samples::new(speeds),
                GOAL,
            )
        })
        .collect();
    publish("dispatch", "jobs/s of the peer", "deliveries/s", Better::Higher, figures)
}
