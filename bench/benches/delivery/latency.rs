//! From a webhook's 202 to its deliveries, at half the speed that the dispatcher is capable of.

use crate::stage::{Stage, cluster, latencies, post, stop};
use crate::{Result, figure, publish};
use nexus_bench::sink::Sink;
use nexus_bench::{Better, Samples, time};
use std::time::Duration;

/// Milliseconds.
const P50: f64 = 5.0;
const P99: f64 = 25.0;
const PASSES: usize = 5;
const TENANTS: usize = 4;
/// Taking webhooks in costs more than delivering them: each has so many deliveries, that half the dispatcher's capacity
/// is reached with few webhooks.
const SUBSCRIPTIONS: usize = 10;
const CONNECTIONS: usize = 32;
/// Events of each tenant that the capacity is measured with.
const EVENTS: usize = 300;

pub async fn run() -> Result<()> {
    let cluster = cluster("latency");
    let sink = Sink::start().await?;
    let stage = Stage::begin(&cluster, &sink, "/timed", TENANTS, SUBSCRIPTIONS).await?;
    stage.drain(&sink, EVENTS / 4).await?;
    let capacity = stage.drain(&sink, EVENTS).await?;
    let pace = capacity / 2.0 / SUBSCRIPTIONS as f64;
    println!("{capacity:.0} deliveries/s at most; {pace:.0} webhooks/s of {SUBSCRIPTIONS} deliveries each\n");

    let seconds = time(Duration::from_secs(60)).as_secs_f64() / PASSES as f64;
    let webhooks = ((pace * seconds) as usize).max(TENANTS * CONNECTIONS);
    let gateway = stage.gateway(&[]);
    let (mut medians, mut worst) = (Vec::new(), Vec::new());
    // The first pass warms up.
    for pass in 0..=PASSES {
        let (posts, traces): (Vec<_>, Vec<_>) =
            (0..webhooks).map(|place| post(&stage.sites[place % TENANTS])).unzip();
        sink.begin();
        let answered = nexus_bench::traffic::send(&gateway.base_url, posts, CONNECTIONS, Some(pace)).await?;
        sink.wait_for(webhooks * SUBSCRIPTIONS).await?;
        stage.until_empty().await?;
        let latencies = Samples::new(latencies(&traces, &answered, &sink));
        if latencies.count() != webhooks * SUBSCRIPTIONS {
            return Err(format!("{} latencies of {webhooks} webhooks", latencies.count()).into());
        }
        if pass > 0 {
            medians.push(latencies.median());
            worst.push(latencies.quantile(0.99));
        }
    }
    stop(gateway).await;
    let figures = vec![
        figure("p50", Samples::new(medians), Samples::new([P50]), 1.0),
        figure("p99", Samples::new(worst), Samples::new([P99]), 1.0),
    ];
    publish("latency", "what it may be", "ms", Better::Lower, figures)
}
