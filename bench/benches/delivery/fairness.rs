//! How long the deliveries of one tenant take while another has a hundred thousand jobs for an endpoint that takes five
//! seconds, against when it is alone.

use crate::stage::{Stage, cluster, latencies, order, post, stop};
use crate::{Result, figure, publish};
use nexus_bench::sink::{SLOW, Sink};
use nexus_bench::traffic::send;
use nexus_bench::{Better, Samples, time};
use nexus_tests::gateway::Gateway;
use nexus_tests::site::Site;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

const GOAL: f64 = 2.0;
const PASSES: usize = 4;
const JOBS: i64 = 100_000;
const PER_SECOND: f64 = 50.0;
/// Webhooks of a pass, at least: of fewer there is no hundredth part.
const LEAST: usize = 100;
const CONNECTIONS: usize = 16;

/// The tenant's one job, so many times, each waiting.
const QUEUE: &str = "
    with queued as (
        insert into nexus.job
        select (jsonb_populate_record(j, jsonb_build_object(
            'job_id', gen_random_uuid(), 'status', 'pending', 'attempt', 0, 'finished_at', null, 'result', null))).*
        from nexus.job j, generate_series(1, $2) where j.tenant_id = $1
        returning tenant_id, job_id, environment_id, flow_id
    )
    insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, job_id, due_at, created_at)
    select q.tenant_id, gen_random_uuid(), q.environment_id, 'job', q.flow_id, q.job_id, now(), now() from queued q";

pub async fn run() -> Result<()> {
    let cluster = cluster("fairness");
    let sink = Sink::start().await?;
    let stage = Stage::begin(&cluster, &sink, "/timed", 1, 1).await?;
    let gateway = stage.gateway(&[]);
    let busy = busy(&stage, &gateway, &sink).await?;
    let calm = &stage.sites[0];

    let seconds = time(Duration::from_secs(60)).as_secs_f64() / (2 * PASSES) as f64;
    let webhooks = ((seconds * PER_SECOND) as usize).max(LEAST);
    pass(calm, &gateway, &sink, webhooks).await?;
    let (mut values, mut references) = (Vec::new(), Vec::new());
    // Alone before and after: the jobs are queued once, since that takes longer than a pass.
    for _ in 0..PASSES / 2 {
        references.push(pass(calm, &gateway, &sink, webhooks).await?);
    }
    busy.admin.execute(QUEUE, &[&busy.tenant.tenant_id, &i32::try_from(JOBS)?]).await?;
    busy.admin.batch_execute("vacuum analyze nexus.delivery, nexus.job").await?;
    busy.admin.batch_execute("notify nexus_doorbell").await?;
    until_leased(&busy).await?;
    for _ in 0..PASSES {
        values.push(pass(calm, &gateway, &sink, webhooks).await?);
    }
    let left = busy.count("select count(*) from nexus.delivery where tenant_id = $1").await;
    if left < JOBS * 9 / 10 {
        return Err(format!("of {JOBS} jobs only {left} were left: they did not stand in the way").into());
    }
    clear(&busy).await?;
    for _ in 0..PASSES / 2 {
        references.push(pass(calm, &gateway, &sink, webhooks).await?);
    }
    stop(gateway).await;
    let figures = vec![figure("p99 of a tenant", Samples::new(values), Samples::new(references), GOAL)];
    publish("fairness", "the tenant alone", "ms", Better::Lower, figures)
}

/// The tenant whose endpoint is slow, with one job that has ended.
async fn busy(stage: &Stage, gateway: &Gateway, sink: &Sink) -> Result<Site<'static>> {
    let busy = Site::create(stage.database, gateway).await;
    busy.flow(&sink.url("/slow"), json!({})).await;
    let sent = busy.send(&order()).await;
    busy.job(sent.text("event_id"), "succeeded").await;
    Ok(busy)
}

/// Milliseconds that the slowest of a hundred deliveries takes.
async fn pass(site: &Site<'_>, gateway: &Gateway, sink: &Sink, webhooks: usize) -> Result<f64> {
    let (posts, traces): (Vec<_>, Vec<_>) = (0..webhooks).map(|_| post(site)).unzip();
    sink.begin();
    let answered = send(&gateway.base_url, posts, CONNECTIONS, Some(PER_SECOND)).await?;
    sink.wait_for(webhooks).await?;
    Ok(Samples::new(latencies(&traces, &answered, sink)).quantile(0.99))
}

/// Waits until the gateway is at the slow endpoint's work.
async fn until_leased(busy: &Site<'_>) -> Result<()> {
    let leased = "select count(*) from nexus.delivery where tenant_id = $1 and leased_until > now()";
    while busy.count(leased).await == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Takes the jobs away again, and waits for those under way.
async fn clear(busy: &Site<'_>) -> Result<()> {
    for sql in [
        "delete from nexus.delivery where tenant_id = $1",
        "delete from nexus.job where tenant_id = $1 and status <> 'succeeded'",
    ] {
        busy.admin.execute(sql, &[&busy.tenant.tenant_id]).await?;
    }
    sleep(SLOW + Duration::from_secs(1)).await;
    busy.admin.batch_execute("vacuum analyze nexus.delivery, nexus.job").await?;
    Ok(())
}
