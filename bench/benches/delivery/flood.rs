//! The memory of a gateway that is sent far more than its database takes, against what its limits come to.
//!
//! The database takes nothing at all for a while: the table of events is locked. All webhooks come at once, each over a
//! connection of its own, and come again as often as they are refused. In the end each must have been taken in, once.

use crate::Result;
use crate::stage::{Stage, cluster, order, stop};
use nexus_bench::sink::Sink;
use nexus_bench::traffic::{Post, flood};
use nexus_bench::{Better, Figure, Report, Samples, time};
use nexus_tests::gateway::Gateway;
use nexus_tests::site::Site;
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

/// Buffers that grow by doubling are up to twice as large as what is in them.
const GOAL: f64 = 1.5;
const PASSES: u32 = 3;
const MEGABYTE: f64 = (1 << 20) as f64;
/// Bodies that may be held, in megabytes (`gateway/src/body.rs`).
const BODIES: f64 = 128.0;
/// Four connections to the database, each with a batch of four megabytes and three copies of it: as parameters, as a message,
/// as the socket takes it.
const BATCHES: f64 = 4.0 * 4.0 * 3.0;
/// A connection with a request that waits: buffers, headers, its task.
const CONNECTION: f64 = 40.0 / 1024.0;
/// From a refusal until it is sent again.
const PAUSE: Duration = Duration::from_millis(500);
/// An order as it is.
const SMALL: usize = 5_600;
/// The gateway gives a statement up that takes thirty seconds.
const LONGEST: Duration = Duration::from_secs(20);

/// Webhooks of one size: more than the gateway may hold by their bytes, or by their number, which is 5,000.
struct Wave {
    name: &'static str,
    count: usize,
    bytes: usize,
}

const WAVES: [Wave; 2] = [
    Wave { name: "of 256 KB", count: 1_000, bytes: 256 << 10 },
    Wave { name: "of 5 KB", count: 7_000, bytes: 0 },
];

impl Wave {
    /// What the gateway's limits come to in megabytes, for so many connections.
    fn bound(&self) -> f64 {
        let bodies = self.count as f64 * (self.bytes + SMALL) as f64 / MEGABYTE;
        bodies.min(BODIES) + BATCHES + self.count as f64 * CONNECTION
    }
}

/// What a pass found.
struct Pass {
    grown_mb: f64,
    at_rest_mb: f64,
    refusals: usize,
}

pub async fn run() -> Result<()> {
    let cluster = cluster("flood");
    let sink = Sink::start().await?;
    let stage = Stage::begin(&cluster, &sink, "/now", 1, 1).await?;
    let hold = (time(Duration::from_secs(30)) / (PASSES * WAVES.len() as u32)).min(LONGEST);
    let (mut figures, mut columns) = (Vec::new(), [const { Vec::new() }; 3]);
    for wave in &WAVES {
        let mut passes = Vec::new();
        for _ in 0..PASSES {
            passes.push(pass(&stage, wave, hold).await?);
        }
        let median = |of: fn(&Pass) -> f64| format!("{:.0}", Samples::new(passes.iter().map(of)).median());
        columns[0].push(median(|pass| pass.at_rest_mb));
        columns[1].push(wave.count.to_string());
        columns[2].push(median(|pass| pass.refusals as f64));
        figures.push(Figure {
            name: wave.name.to_owned(),
            value: Samples::new(passes.iter().map(|pass| pass.grown_mb)),
            reference: Samples::new([wave.bound()]),
            goal: GOAL,
        });
    }
    let [at_rest, taken_in, refusals] = columns;
    let report = Report {
        name: "flood",
        reference_name: "its limits",
        unit: "MB more",
        better: Better::Lower,
        figures,
        columns: vec![("MB at rest", at_rest), ("answered 202", taken_in), ("503 before", refusals)],
    };
    println!("\nwritten: {}\n", report.publish()?.display());
    Ok(())
}

async fn pass(stage: &Stage, wave: &Wave, hold: Duration) -> Result<Pass> {
    let site = &stage.sites[0];
    let gateway = stage.gateway(&[("NEXUS_ROLES", "api")]);
    flood(&gateway.base_url, posts(site, 100, 0), PAUSE, Arc::default()).await?;
    let (at_rest, _) = memory(&gateway)?;
    let posts = posts(site, wave.count, wave.bytes);

    site.admin.batch_execute("begin; lock table nexus.event in exclusive mode").await?;
    let refusals = Arc::new(AtomicUsize::new(0));
    let (base_url, counted) = (gateway.base_url.clone(), Arc::clone(&refusals));
    let sent = tokio::spawn(async move { flood(&base_url, posts, PAUSE, counted).await });
    sleep(hold).await;
    let refused = refusals.load(Ordering::Relaxed);
    site.admin.batch_execute("commit").await?;
    let answers = sent.await??;

    let (_, peak) = memory(&gateway)?;
    stop(gateway).await;
    if refused == 0 {
        return Err(format!("nothing was refused within {hold:?}: it was no flood").into());
    }
    check(site, &answers).await?;
    Ok(Pass { grown_mb: peak - at_rest, at_rest_mb: at_rest, refusals: refusals.load(Ordering::Relaxed) })
}

/// Fails unless each was taken in and is an event of its own.
async fn check(site: &Site<'_>, answers: &[impl AsRef<[u8]>]) -> Result<()> {
    let mut event_ids = Vec::with_capacity(answers.len());
    for answer in answers {
        let answer: Value = serde_json::from_slice(answer.as_ref())?;
        let event_id = answer["event_id"].as_str().ok_or_else(|| format!("no event: {answer}"))?;
        event_ids.push(event_id.parse::<Uuid>()?);
    }
    let sql = "select count(*) from nexus.event where tenant_id = $1 and event_id = any ($2) and status = 'accepted'";
    let stored: i64 = site.admin.query_one(sql, &[&site.tenant.tenant_id, &event_ids]).await?.get(0);
    match usize::try_from(stored)? == answers.len() {
        true => Ok(()),
        false => {
            Err(format!("{} webhooks were answered 202, and {stored} of them are events", answers.len())
                .into())
        }
    }
}

/// New orders, made larger by so many bytes of a member that nobody maps.
fn posts(site: &Site<'_>, count: usize, bytes: usize) -> Vec<Post> {
    let padding = format!("{{\"padding\":\"{}\",", "tea ".repeat(bytes / 4));
    let post = |_| {
        let mut order = order();
        if bytes > 0 {
            order.body = [padding.as_bytes(), &order.body[1..]].concat();
        }
        let headers = order.signed(&site.shop, &site.shop.secret);
        Post { path: format!("/hooks/{}", site.shop.connector_id), headers, body: order.body.into() }
    };
    (0..count).map(post).collect()
}

/// Resident memory of a gateway, now and at its highest, in megabytes.
fn memory(gateway: &Gateway) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id()))?;
    let kilobytes = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number =
            line.and_then(|line| line.split_whitespace().next()).ok_or("this kernel does not tell")?;
        Ok(number.parse::<f64>()? * 1024.0 / MEGABYTE)
    };
    Ok((kilobytes("VmRSS")?, kilobytes("VmHWM")?))
}
