//! Taking webhooks in by SQL, against the floor: the same rows, ready, inserted by as many clients in as many
//! transactions. `ingest-sql` takes fifty webhooks a transaction and also tells of the WAL and the disk, `ingest-one` takes one.
//! `ingest-http` has the same webhooks posted to a gateway, signed, against the floor of one a transaction. `growth` has
//! no floor, but two databases.
//!
//! Eight clients, each a shop of its own tenant; over HTTP as many connections as platforms open. In every pass the pipeline
//! comes first, and then the floor inserts what the pipeline left: a row once, in its last state, in the transaction of the webhook that wrote it last.

#[path = "ingest/growth.rs"]
mod growth;
#[path = "ingest/sizes.rs"]
mod sizes;

use futures_util::future::{join_all, try_join_all};
use nexus_bench::traffic::{Post, send};
use nexus_bench::{Better, Figure, Report, Samples, time};
use nexus_tests::cluster::{Cluster, Database, connect};
use nexus_tests::gateway::{Gateway, admin};
use nexus_tests::shop::Webhook;
use nexus_tests::tenant::Connector;
use serde_json::Value;
use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};
use tokio_postgres::Client;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CLIENTS: usize = 8;
const PASSES: u32 = 6;
/// Over HTTP.
const CONNECTIONS: usize = 64;

const SETUP: &str = include_str!("ingest/setup.sql");
const ORDER: &str = include_str!("ingest/order.json");

/// A way of taking in.
struct Way {
    name: &'static str,
    /// Webhooks a transaction.
    size: i64,
    /// `None`: over HTTP.
    statement: Option<&'static str>,
    reference_name: &'static str,
    /// The part of the floor's speed it should reach.
    goal: f64,
    /// Transactions of a client in the first, short pass.
    first: i64,
}

const WAYS: [Way; 3] = [
    Way {
        name: "ingest-sql",
        size: 50,
        statement: Some(
            "select count(*) from bench.batch b, nexus.ingest_batch(b.tenant_id, b.connector_ids, b.headers,
            b.bodies, b.received_at, b.traceparents) r where b.batch = $1",
        ),
        reference_name: "INSERTs of 50",
        goal: 0.7,
        first: 4,
    },
    Way {
        name: "ingest-one",
        size: 1,
        statement: Some(
            "select count(*) from bench.batch b, nexus.ingest(b.tenant_id, b.connector_ids[1], b.headers[1],
            b.bodies[1], b.received_at[1], b.traceparents[1]) r where b.batch = $1",
        ),
        reference_name: "INSERTs of one",
        goal: 0.8,
        first: 50,
    },
    Way {
        name: "ingest-http",
        size: 1,
        statement: None,
        reference_name: "INSERTs of one",
        goal: 1.0,
        first: 50,
    },
];

/// How much WAL a webhook may take, in bodies.
const WAL_GOAL: f64 = 3.0;

/// What a pass of one of the two measured.
struct Pass {
    webhooks_per_second: f64,
    wal_per_webhook: f64,
}

struct Bench<'a> {
    database: Database,
    admin: Client,
    /// The connections of the clients: to the pipeline as gateways, and to the floor.
    pipeline: Vec<Client>,
    floor: Vec<Client>,
    way: &'a Way,
    /// The number of the next batch.
    next: i64,
    /// With the shops it knows, by their connector.
    gateway: Option<(Gateway, HashMap<Uuid, Connector>)>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let cluster = Cluster::start_with("ingest", &nexus_bench::server());
    for way in WAYS.iter().filter(|way| asked.is_empty() || asked.iter().any(|name| name == way.name)) {
        Bench::begin(&cluster, way).await?.measure().await?;
    }
    if asked.is_empty() || asked.iter().any(|name| name == "growth") {
        growth::run(&cluster).await?;
    }
    Ok(())
}

impl<'a> Bench<'a> {
    async fn begin(cluster: &Cluster, way: &'a Way) -> Result<Self> {
        let database = cluster.database();
        let admin = database.admin().await;
        admin.batch_execute(SETUP).await?;
        let pipeline = join_all((0..CLIENTS).map(|_| connect(&database.gateway_url))).await;
        let floor = join_all((0..CLIENTS).map(|_| connect(&database.admin_url))).await;
        let mut bench = Self { database, admin, pipeline, floor, way, next: 1, gateway: None };
        if way.statement.is_none() {
            bench.gateway = Some(bench.open().await?);
        }
        Ok(bench)
    }

    /// A gateway that takes in and does not deliver, and what the shops sign with.
    async fn open(&self) -> Result<(Gateway, HashMap<Uuid, Connector>)> {
        let mut shops = HashMap::new();
        for row in self.admin.query("select tenant_id, connector_id from bench.shop", &[]).await? {
            let (tenant_id, connector_id): (Uuid, Uuid) = (row.get(0), row.get(1));
            let secret = connector_id.to_string();
            let arguments = ["set-secret", "--tenant", &tenant_id.to_string(), "--owner", &secret];
            admin(&self.database, &arguments, &secret);
            shops.insert(
                connector_id,
                Connector { tenant_id, connector_id, connector_type: "shopify", secret },
            );
        }
        let settings = [("NEXUS_ROLES", "api"), ("NEXUS_HOOK_RATE", "0")];
        Ok((Gateway::start_with(&self.database.gateway_url, &settings), shops))
    }

    async fn measure(mut self) -> Result<()> {
        let limit = time(Duration::from_secs(60)) / (2 * PASSES);
        self.pass(self.way.first).await?;
        // As autovacuum does within a minute: plans that were made while the tables were empty are made anew.
        self.admin.batch_execute("vacuum analyze").await?;
        let (warm, _, _) = self.pass(self.way.first).await?;
        let each = warm.webhooks_per_second * limit.as_secs_f64() / (CLIENTS as i64 * self.way.size) as f64;
        let each = (each as i64).max(self.way.first);
        let (mut values, mut references, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PASSES {
            let (value, reference, body) = self.pass(each).await?;
            values.push(value);
            references.push(reference);
            bytes.push(body);
        }
        self.check().await?;

        let speeds = |passes: &[Pass]| Samples::new(passes.iter().map(|pass| pass.webhooks_per_second));
        let wal = |passes: &[Pass]| Samples::new(passes.iter().map(|pass| pass.wal_per_webhook));
        let report = |name, reference_name, unit, better, figure, column| Report {
            name,
            reference_name,
            unit,
            better,
            figures: vec![figure],
            columns: vec![column],
        };
        let figure =
            |name: &str, value, reference, goal| Figure { name: name.to_owned(), value, reference, goal };
        let Way { name, size, reference_name, goal, .. } = *self.way;
        let speed = figure(&format!("{size} a transaction"), speeds(&values), speeds(&references), goal);
        let count = format!("{}", each * CLIENTS as i64 * size);
        let path = report(
            name,
            reference_name,
            "webhooks/s",
            Better::Higher,
            speed,
            ("webhooks a pass", vec![count.clone()]),
        )
        .publish()?;
        println!("\nwritten: {}\n", path.display());
        if size > 1 {
            let figure = figure("of a webhook", wal(&values), Samples::new(bytes), WAL_GOAL);
            let floor = format!("{:.0}", wal(&references).median());
            let path = report("wal", "body", "bytes", Better::Lower, figure, ("the floor's", vec![floor]))
                .publish()?;
            println!("\nwritten: {}\n", path.display());
            sizes::print(&self).await?;
        }
        Ok(())
    }

    /// So many transactions of each client through the pipeline, then the rows they left into the floor's tables; and
    /// the bytes of a webhook's body.
    async fn pass(&mut self, each: i64) -> Result<(Pass, Pass, f64)> {
        let (first, last) = self.compose(each).await?;
        let bodies =
            "select avg(length(body))::float8 from bench.batch, unnest(bodies) body where batch >= $1";
        let bytes = self.admin.query_one(bodies, &[&first]).await?.get(0);

        let value = match self.way.statement {
            Some(statement) => self.run(statement, &self.pipeline, first, each).await?,
            None => self.post(first).await?,
        };
        self.admin.execute("select bench.fill_stage($1, $2)", &[&first, &last]).await?;
        let floor: String = self.admin.query_one("select bench.floor_statement()", &[]).await?.get(0);
        let reference = self.run(&floor, &self.floor, first, each).await?;
        self.admin.batch_execute("truncate bench.batch").await?;
        Ok((value, reference, bytes))
    }

    /// So many transactions of each client, by connections that stay: what a backend does once, such as planning, is
    /// not what a webhook costs.
    async fn run(&self, statement: &str, clients: &[Client], first: i64, each: i64) -> Result<Pass> {
        let prepared = try_join_all(clients.iter().map(|client| client.prepare(statement))).await?;
        let before = self.wal().await?;
        let begin = Instant::now();
        let work = (0..).zip(clients.iter().zip(&prepared)).map(async |(place, (client, statement))| {
            for batch in (first + place * each..).take(usize::try_from(each).unwrap_or_default()) {
                client.query(statement, &[&batch]).await?;
            }
            Ok::<_, tokio_postgres::Error>(())
        });
        try_join_all(work).await?;
        let took = begin.elapsed().as_secs_f64();
        let webhooks = (each * CLIENTS as i64 * self.way.size) as f64;
        Ok(Pass {
            webhooks_per_second: webhooks / took,
            wal_per_webhook: (self.wal().await? - before) / webhooks,
        })
    }

    /// Readies the webhooks of so many transactions of each client; the numbers of the first and the last.
    async fn compose(&mut self, each: i64) -> Result<(i64, i64)> {
        let first = self.next;
        let last = first + each * CLIENTS as i64 - 1;
        self.next = last + 1;
        let template: String = ORDER.lines().map(str::trim).collect();
        let compose = "select bench.compose($1, $2, $3, $4::bigint::integer)";
        self.admin.execute(compose, &[&template, &first, &each, &self.way.size]).await?;
        Ok((first, last))
    }

    /// The same webhooks, posted.
    async fn post(&self, first: i64) -> Result<Pass> {
        let (gateway, shops) = self.gateway.as_ref().ok_or("there is no gateway")?;
        // Turn about between shops, as they come.
        let sql = "select connector_ids[1], headers[1], bodies[1], traceparents[1]
            from bench.batch where batch >= $1 order by row_number() over (partition by tenant_id order by batch)";
        let rows = self.admin.query(sql, &[&first]).await?;
        let posts: Vec<Post> = rows
            .iter()
            .map(|row| {
                let (connector_id, headers, body): (Uuid, Value, Vec<u8>) =
                    (row.get(0), row.get(1), row.get(2));
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let members = headers.as_object().into_iter().flatten();
                let headers = members.map(|(name, value)| (name.clone(), text(value)));
                let headers = headers.chain([("traceparent".to_owned(), row.get(3))]).collect();
                let webhook = Webhook { headers, body, sent_at: jiff::Timestamp::now() };
                let shop = &shops[&connector_id];
                let headers = webhook.signed(shop, &shop.secret);
                Post { path: format!("/hooks/{connector_id}"), headers, body: webhook.body.into() }
            })
            .collect();
        let (count, before) = (posts.len() as f64, self.wal().await?);
        let begin = Instant::now();
        send(&gateway.base_url, posts, CONNECTIONS, None).await?;
        let took = begin.elapsed().as_secs_f64();
        Ok(Pass { webhooks_per_second: count / took, wal_per_webhook: (self.wal().await? - before) / count })
    }

    async fn wal(&self) -> Result<f64> {
        let sql = "select (pg_current_wal_insert_lsn() - '0/0')::float8";
        Ok(self.admin.query_one(sql, &[]).await?.get(0))
    }

    /// Fails unless all stages did their work and the floor holds the same rows.
    async fn check(&self) -> Result<()> {
        let sql = "select status, reason, count(*) from nexus.event where status <> 'accepted' group by 1, 2";
        if let Some(row) = self.admin.query(sql, &[]).await?.first() {
            let (status, reason, count): (String, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
            return Err(format!("{count} events are {status}: {reason:?}").into());
        }
        let sql = "select n.name, n.rows, f.rows from bench.rows('nexus') n join bench.rows('floor') f using (name)";
        for row in self.admin.query(sql, &[]).await? {
            let (name, rows, floor): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
            let is_written =
                ["event", "job", "delivery", "sales_order_line", "activity_log"].contains(&name.as_str());
            if rows != floor || (is_written && rows == 0) {
                return Err(format!("{name}: {rows} rows by the pipeline, {floor} by the floor").into());
            }
        }
        Ok(())
    }
}
