//! Webhooks a second at full load while a dispatcher of another process listens for the doorbell, against the same
//! with NOTIFY switched off, when that dispatcher polls.

use crate::stage::{Stage, cluster, post, stop};
use crate::{Result, figure, publish};
use nexus_bench::sink::Sink;
use nexus_bench::traffic::send;
use nexus_bench::{Better, Samples, time};
use std::time::{Duration, Instant};

const GOAL: f64 = 0.95;
const PASSES: usize = 6;
const TENANTS: usize = 4;
const CONNECTIONS: usize = 64;
const FIRST: usize = 1_000;

pub async fn run() -> Result<()> {
    let cluster = cluster("doorbell");
    let sink = Sink::start().await?;
    let stage = Stage::begin(&cluster, &sink, "/now", TENANTS, 1).await?;
    let seconds = time(Duration::from_secs(60)).as_secs_f64() / (2 * PASSES) as f64;
    let webhooks = ((pass(&stage, &sink, FIRST, "true").await? * seconds) as usize).max(FIRST);
    let (mut values, mut references) = (Vec::new(), Vec::new());
    for place in 0..PASSES {
        // Turn about also in who comes first.
        for is_rung in [place % 2 == 0, place % 2 != 0] {
            let speed = pass(&stage, &sink, webhooks, if is_rung { "true" } else { "false" }).await?;
            if is_rung { values.push(speed) } else { references.push(speed) }
        }
    }
    let figures = vec![figure("with NOTIFY", Samples::new(values), Samples::new(references), GOAL)];
    publish("doorbell", "without NOTIFY", "webhooks/s", Better::Higher, figures)
}

async fn pass(stage: &Stage, sink: &Sink, webhooks: usize, doorbell: &str) -> Result<f64> {
    let posts = (0..webhooks).map(|place| post(&stage.sites[place % TENANTS]).0).collect();
    sink.begin();
    let setting = ("NEXUS_DOORBELL", doorbell);
    let dispatcher = stage.gateway(&[setting, ("NEXUS_ROLES", "dispatcher")]);
    let api = stage.gateway(&[setting, ("NEXUS_ROLES", "api")]);
    let begin = Instant::now();
    send(&api.base_url, posts, CONNECTIONS, None).await?;
    let took = begin.elapsed();
    // What is left to be delivered would burden the next pass.
    sink.wait_for(webhooks).await?;
    stage.until_empty().await?;
    stop(api).await;
    stop(dispatcher).await;
    Ok(webhooks as f64 / took.as_secs_f64())
}
