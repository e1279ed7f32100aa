//! Dispatching while a REPEATABLE READ transaction stays open, so that no dead row can be removed, against without.

use crate::stage::{Stage, cluster, stop};
use crate::{Result, figure, publish};
use nexus_bench::sink::Sink;
use nexus_bench::{Better, Samples, time};
use std::time::{Duration, Instant};
use uuid::Uuid;

const GOAL: f64 = 0.95;
const TENANTS: usize = 4;
/// Deliveries that each side makes at least; `BENCH_DELIVERIES` for a quicker, lesser run.
const DELIVERIES: usize = 200_000;
/// Deliveries that are queued at a time.
const ROUND: usize = 10_000;
/// It goes on no longer than this, once it has made as many.
const LONGEST: Duration = Duration::from_secs(600);

pub async fn run() -> Result<()> {
    let cluster = cluster("held-snapshot");
    let sink = Sink::start().await?;
    // Two databases: a snapshot holds back the removal of dead rows in its own.
    let held = Stage::begin(&cluster, &sink, "/now", TENANTS, 1).await?;
    let free = Stage::begin(&cluster, &sink, "/now", TENANTS, 1).await?;
    let snapshot = held.database.admin().await;
    snapshot
        .batch_execute("begin isolation level repeatable read; select count(*) from nexus.delivery")
        .await?;
    let gateways = [held.gateway(&[]), free.gateway(&[])];

    let wanted =
        std::env::var("BENCH_DELIVERIES").ok().and_then(|count| count.parse().ok()).unwrap_or(DELIVERIES);
    let (begin, least) = (Instant::now(), time(Duration::from_secs(120)).min(LONGEST));
    let (mut values, mut references) = (Vec::new(), Vec::new());
    while values.len() * ROUND < wanted || begin.elapsed() < least {
        values.push(round(&held, &sink).await?);
        references.push(round(&free, &sink).await?);
    }
    for gateway in gateways {
        stop(gateway).await;
    }
    let count = values.len() * ROUND;
    for (name, speeds) in [("with", &values), ("without", &references)] {
        let speeds: Vec<String> = speeds.iter().map(|speed| format!("{speed:.0}")).collect();
        println!("round by round, {name}: {}", speeds.join(" "));
    }
    // What it comes to in the end is the figure, not what it was before anything had piled up.
    let later = |speeds: Vec<f64>| Samples::new(speeds.split_at(speeds.len() / 2).1.iter().copied());
    println!(
        "{count} deliveries a side in {:.0} s; the second half of the rounds counts\n",
        begin.elapsed().as_secs_f64()
    );
    snapshot.batch_execute("commit").await?;
    let figures = vec![figure("with an open snapshot", later(values), later(references), GOAL)];
    publish("held-snapshot", "without it", "deliveries/s", Better::Higher, figures)
}

/// Queues some, which the gateway that runs delivers at once.
async fn round(stage: &Stage, sink: &Sink) -> Result<f64> {
    let since = Uuid::now_v7();
    sink.begin();
    stage.fill(ROUND / TENANTS).await?;
    stage.drained(sink, ROUND, since).await
}
