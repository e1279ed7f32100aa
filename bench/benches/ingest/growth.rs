//! Taking in and claiming in a database of five million events, against the same in an empty one.
//!
//! The events are not taken in: they are copies of what a few webhooks left, with ids of their own. What they carry
//! (bodies, documents) is left out, so that they fit onto a small disk; indexes are as large as they would be.

use super::{Bench, CLIENTS, Result, WAYS};
use nexus_bench::{Better, Figure, Report, Samples, time};
use nexus_tests::cluster::Cluster;
use std::time::{Duration, Instant};
use uuid::Uuid;

const GOAL: f64 = 0.9;
const PASSES: u32 = 6;
/// `BENCH_EVENTS` for a quicker, lesser run.
const EVENTS: i64 = 5_000_000;
/// Transactions of each client that leave what is copied: 8 times 4 times 50 webhooks.
const SEED: i64 = 4;
/// Deliveries that are claimed in a pass, and at a time.
const CLAIMED: usize = 8_000;
const CLAIM: i32 = 100;

const GROW: &str = include_str!("growth.sql");
const EMIT: &str = include_str!("../emit.sql");

pub async fn run(cluster: &Cluster) -> Result<()> {
    let way = &WAYS[0];
    let mut empty = Bench::begin(cluster, way).await?;
    let mut grown = Bench::begin(cluster, way).await?;
    for bench in [&mut empty, &mut grown] {
        take_in(bench, SEED).await?;
    }
    let events = std::env::var("BENCH_EVENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(EVENTS);
    grow(&mut grown, events).await?;

    let limit = time(Duration::from_secs(60)) / (3 * PASSES);
    let speed = take_in(&mut empty, SEED).await?;
    let each = ((speed * limit.as_secs_f64()) as i64 / (CLIENTS as i64 * way.size)).max(SEED);
    take_in(&mut grown, SEED).await?;
    let (mut taken, mut claimed) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..PASSES {
        for (place, bench) in [&mut grown, &mut empty].into_iter().enumerate() {
            taken[place].push(take_in(bench, each).await?);
            claimed[place].push(claim(bench).await?);
        }
    }
    let figure = |name: &str, [value, reference]: [Vec<f64>; 2]| Figure {
        name: name.to_owned(),
        value: Samples::new(value),
        reference: Samples::new(reference),
        goal: GOAL,
    };
    let report = Report {
        name: "growth",
        reference_name: "at none",
        unit: "a second",
        better: Better::Higher,
        figures: vec![figure("webhooks taken in", taken), figure("deliveries claimed", claimed)],
        columns: vec![("events", vec![events.to_string(); 2])],
    };
    println!("\nwritten: {}\n", report.publish()?.display());
    Ok(())
}

/// So many transactions of each client; webhooks a second.
async fn take_in(bench: &mut Bench<'_>, each: i64) -> Result<f64> {
    let (first, _) = bench.compose(each).await?;
    let statement = bench.way.statement.ok_or("growth is of what is taken in by SQL")?;
    let pass = bench.run(statement, &bench.pipeline, first, each).await?;
    bench.admin.batch_execute("truncate bench.batch").await?;
    Ok(pass.webhooks_per_second)
}

/// Claims deliveries of a tenant; how many a second.
async fn claim(bench: &Bench<'_>) -> Result<f64> {
    let tenant_id: Uuid =
        bench.admin.query_one("select tenant_id from bench.shop where n = 0", &[]).await?.get(0);
    // What ingest queued would differ from pass to pass.
    bench.admin.batch_execute("truncate nexus.delivery").await?;
    let count = i32::try_from(CLAIMED)?;
    bench.admin.execute(EMIT, &[&tenant_id, &count]).await?;
    bench.admin.batch_execute("analyze nexus.delivery").await?;
    let sql = "select count(*) from nexus.claim($1, 'bench', $2)";
    let (begin, mut claimed) = (Instant::now(), 0);
    while claimed < CLAIMED {
        let some: i64 = bench.admin.query_one(sql, &[&tenant_id, &CLAIM]).await?.get(0);
        if some == 0 {
            return Err(format!("{claimed} of {CLAIMED} deliveries were claimed, and then no more").into());
        }
        claimed += usize::try_from(some)?;
    }
    Ok(claimed as f64 / begin.elapsed().as_secs_f64())
}

/// Copies what is there until there are so many events.
async fn grow(bench: &mut Bench<'_>, events: i64) -> Result<()> {
    bench.admin.batch_execute(GROW).await?;
    let begin = Instant::now();
    let there: i64 = bench.admin.query_one("select count(*) from nexus.event", &[]).await?.get(0);
    let copies = i32::try_from(events / there)?;
    // What is copied has been checked: foreign keys need not be looked up for every copy.
    bench.admin.batch_execute("set session_replication_role = replica").await?;
    bench.admin.execute("call bench.grow($1)", &[&copies]).await?;
    bench.admin.batch_execute("reset session_replication_role").await?;
    bench.admin.batch_execute("vacuum analyze").await?;
    let there: i64 = bench.admin.query_one("select count(*) from nexus.event", &[]).await?.get(0);
    let size = "select pg_size_pretty(pg_database_size(current_database()))";
    let size: String = bench.admin.query_one(size, &[]).await?.get(0);
    println!("{there} events, {size}, loaded in {} s\n", begin.elapsed().as_secs());
    Ok(())
}
