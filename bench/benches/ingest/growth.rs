//! Taking in, claiming and reading lists in a database of five million events, against the same in an empty one.
//!
//! The events are not taken in: they are copies of what a few webhooks left, with ids of their own. What they carry
//! (bodies, documents) is left out, so that they fit onto a small disk; indexes are as large as they would be.

use super::{Bench, CLIENTS, Pass, Result, WAYS};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use nexus_bench::{Better, Figure, Report, Samples, time};
use nexus_tests::cluster::Cluster;
use nexus_tests::gateway::{Gateway, admin};
use reqwest::Client;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use uuid::Uuid;

const GOAL: f64 = 0.9;
const PASSES: u32 = 6;
/// Of them, right after a checkpoint.
const AFTER_CHECKPOINT: u32 = 2;
/// Pages that are written for the first time after a checkpoint go into the log whole, and a larger database has more of
/// them. Between checkpoints they are rare: a webhook's log is at most so many times what it is in the empty database.
const BETWEEN_CHECKPOINTS: f64 = 1.1;
/// Passes in which it has to come to that.
const MOST_PASSES: usize = 60;
/// `BENCH_EVENTS` for a quicker, lesser run.
const EVENTS: i64 = 5_000_000;
/// Transactions of each client that leave what is copied: 8 times 4 times 50 webhooks.
const SEED: i64 = 4;
/// Deliveries that are claimed in a pass, and at a time.
const CLAIMED: usize = 8_000;
const CLAIM: i32 = 100;
/// What is copied.
const TABLES: [&str; 8] = [
    "sales_order",
    "source_record",
    "event",
    "domain_event",
    "job",
    "idempotency_key",
    "identity_key",
    "customer",
];
/// Lists of the REST API, and how often each is read in a pass: its first page, and the page after it.
const LISTS: [&str; 4] =
    ["/api/v1/events", "/api/v1/jobs", "/api/v1/nexus/orders", "/api/v1/nexus/customers"];
const READS: usize = 20;
/// The outbox begins with its oldest events, which carry nothing where they are copies: its time would say too much.
const OUTBOX: &str = "/api/v1/integrations/events";
/// After this time what a backend has read is in the statistics.
const STATISTICS: Duration = Duration::from_secs(2);

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
    let speed = take_in(&mut empty, SEED).await?.webhooks_per_second;
    let each = ((speed * limit.as_secs_f64()) as i64 / (CLIENTS as i64 * way.size)).max(SEED);
    take_in(&mut grown, SEED).await?;
    let readers = [Reader::begin(&grown).await?, Reader::begin(&empty).await?];
    let scanned = "select bench.scanned()";
    sleep(STATISTICS).await;
    let before: i64 = grown.admin.query_one(scanned, &[]).await?.get(0);

    grown.admin.batch_execute("checkpoint").await?;
    let (mut after_checkpoint, mut between) = (Taken::default(), Taken::default());
    for _ in 0..AFTER_CHECKPOINT {
        after_checkpoint.pass(&mut grown, &mut empty, each).await?;
    }
    let most = after_checkpoint.wal().1 * BETWEEN_CHECKPOINTS;
    for count in 0.. {
        if take_in(&mut grown, each).await?.wal_per_webhook <= most {
            break;
        }
        if count == MOST_PASSES {
            return Err(format!(
                "{count} passes after a checkpoint a webhook still logs more than {most} bytes"
            )
            .into());
        }
    }
    let (mut claimed, mut read) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..PASSES {
        between.pass(&mut grown, &mut empty, each).await?;
    }
    for _ in 0..PASSES {
        for (place, bench) in [&grown, &empty].into_iter().enumerate() {
            claimed[place].push(claim(bench).await?);
            read[place].push(readers[place].read().await?);
        }
    }
    sleep(STATISTICS).await;
    let rows = grown.admin.query_one(scanned, &[]).await?.get::<_, i64>(0) - before;
    if rows > 0 {
        return Err(format!("{rows} rows of large tables were read by scans, and not by an index").into());
    }
    let figure = |name: &str, [value, reference]: [Vec<f64>; 2]| Figure {
        name: name.to_owned(),
        value: Samples::new(value),
        reference: Samples::new(reference),
        goal: GOAL,
    };
    let logged = |taken: &Taken| {
        let (grown, empty) = taken.wal();
        format!("{:.0}, {:.0}", grown / 1024.0, empty / 1024.0)
    };
    let logged = vec![logged(&between), logged(&after_checkpoint), String::new(), String::new()];
    let report = Report {
        name: "growth",
        reference_name: "at none",
        unit: "a second",
        better: Better::Higher,
        figures: vec![
            figure("webhooks taken in", between.speeds),
            figure("right after a checkpoint", after_checkpoint.speeds),
            figure("deliveries claimed", claimed),
            figure("pages of lists", read),
        ],
        columns: vec![("events", vec![events.to_string(); 4]), ("KB of WAL, and at none", logged)],
    };
    println!("\nwritten: {}\n", report.publish()?.display());
    Ok(())
}

/// What was measured of taking in, by the grown database and by the empty one.
#[derive(Default)]
struct Taken {
    speeds: [Vec<f64>; 2],
    wal: [Vec<f64>; 2],
}

impl Taken {
    async fn pass<'a>(&mut self, grown: &mut Bench<'a>, empty: &mut Bench<'a>, each: i64) -> Result<()> {
        // Turn about, and neither always first.
        let mut both = [(0, grown), (1, empty)];
        both.rotate_left(self.speeds[0].len() % 2);
        for (place, bench) in both {
            let pass = take_in(bench, each).await?;
            self.speeds[place].push(pass.webhooks_per_second);
            self.wal[place].push(pass.wal_per_webhook);
        }
        Ok(())
    }

    /// The bytes of a webhook's log.
    fn wal(&self) -> (f64, f64) {
        let [grown, empty] = &self.wal;
        (Samples::new(grown.iter().copied()).median(), Samples::new(empty.iter().copied()).median())
    }
}

/// So many transactions of each client.
async fn take_in(bench: &mut Bench<'_>, each: i64) -> Result<Pass> {
    let (first, _) = bench.compose(each).await?;
    let statement = bench.way.statement.ok_or("growth is of what is taken in by SQL")?;
    let pass = bench.run(statement, &bench.pipeline, first, each).await?;
    bench.admin.batch_execute("truncate bench.batch").await?;
    Ok(pass)
}

/// A gateway, and a key of the first shop.
struct Reader {
    gateway: Gateway,
    http: Client,
    api_key: String,
}

impl Reader {
    async fn begin(bench: &Bench<'_>) -> Result<Self> {
        let tenant_id: Uuid =
            bench.admin.query_one("select tenant_id from bench.shop where n = 0", &[]).await?.get(0);
        let tenant = tenant_id.to_string();
        let arguments = ["create-key", "--tenant", &tenant, "--environment", "prod", "--scopes", "read"];
        let api_key =
            admin(&bench.database, &arguments, "")["api_key"].as_str().unwrap_or_default().to_owned();
        let settings = [("NEXUS_ROLES", "api"), ("NEXUS_API_RATE", "0")];
        let gateway = Gateway::start_with(&bench.database.gateway_url, &settings);
        Ok(Self { gateway, http: Client::new(), api_key })
    }

    /// Reads each list; pages a second.
    async fn read(&self) -> Result<f64> {
        let begin = Instant::now();
        for list in LISTS.iter().cycle().take(LISTS.len() * READS) {
            self.two_pages(list).await?;
        }
        let took = begin.elapsed().as_secs_f64();
        self.two_pages(OUTBOX).await?;
        Ok((2 * LISTS.len() * READS) as f64 / took)
    }

    async fn two_pages(&self, list: &str) -> Result<()> {
        let page = self.page(&format!("{list}?limit=50")).await?;
        let cursor = page["next_cursor"].as_str().ok_or_else(|| format!("{list} has one page: {page}"))?;
        self.page(&format!("{list}?limit=50&cursor={cursor}")).await.map(drop)
    }

    async fn page(&self, path: &str) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.gateway.base_url));
        let answer = request.header("x-api-key", &self.api_key).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
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
    let (mut claimed, mut took) = (0, Duration::ZERO);
    for place in 0..CLAIMED / usize::try_from(CLAIM)? {
        let begin = Instant::now();
        let some: i64 = bench.admin.query_one(sql, &[&tenant_id, &CLAIM]).await?.get(0);
        // The first makes its plans anew, since the table is another.
        if place > 0 {
            (claimed, took) = (claimed + some, took + begin.elapsed());
        }
        if some == 0 {
            return Err(format!("{claimed} of {CLAIMED} deliveries were claimed, and then no more").into());
        }
        // As if they had been settled: a worker holds no more than it has slots for.
        let ended = "delete from nexus.delivery where tenant_id = $1 and leased_by = 'bench'";
        bench.admin.execute(ended, &[&tenant_id]).await?;
    }
    Ok(claimed as f64 / took.as_secs_f64())
}

/// Copies what is there until there are so many events.
async fn grow(bench: &mut Bench<'_>, events: i64) -> Result<()> {
    bench.admin.batch_execute(GROW).await?;
    let begin = Instant::now();
    let there: i64 = bench.admin.query_one("select count(*) from nexus.event", &[]).await?.get(0);
    let copies = i32::try_from(events / there)?;
    let tables = TABLES.map(async |name| {
        let session = bench.database.admin().await;
        // What is copied has been checked: foreign keys need not be looked up for every copy.
        session
            .batch_execute("set session_replication_role = replica; set maintenance_work_mem = '512MB'")
            .await?;
        session.batch_execute(&format!("call bench.grow('{name}', {copies})")).await?;
        session.batch_execute(&format!("reindex table nexus.{name}")).await
    });
    // Less of the log is kept meanwhile, for small disks.
    settings(bench, "alter system set max_wal_size = '2GB'").await?;
    stream::iter(tables).buffer_unordered(2).try_collect::<()>().await?;
    settings(bench, "alter system reset max_wal_size").await?;
    bench.admin.batch_execute("vacuum analyze").await?;
    bench.admin.batch_execute("checkpoint").await?;
    let there: i64 = bench.admin.query_one("select count(*) from nexus.event", &[]).await?.get(0);
    let size = "select pg_size_pretty(pg_database_size(current_database()))";
    let size: String = bench.admin.query_one(size, &[]).await?.get(0);
    println!("{there} events, {size}, loaded in {} s\n", begin.elapsed().as_secs());
    Ok(())
}

async fn settings(bench: &Bench<'_>, change: &str) -> Result<()> {
    bench.admin.batch_execute(change).await?;
    bench.admin.execute("select pg_reload_conf()", &[]).await?;
    Ok(())
}
