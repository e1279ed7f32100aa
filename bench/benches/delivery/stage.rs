//! Tenants that a bench works with: their subscriptions, the queue they fill, the webhooks they are sent.

use crate::Result;
use nexus_bench::sink::Sink;
use nexus_bench::traffic::Post;
use nexus_tests::cluster::{Cluster, Database};
use nexus_tests::gateway::Gateway;
use nexus_tests::shop::{Webhook, fresh_id, shopify_bytes};
use nexus_tests::site::Site;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use uuid::Uuid;

/// The order of `ingest-sql`: 5 KB, four lines.
const ORDER: &str = include_str!("../ingest/order.json");
/// Domain events in one statement.
const CHUNK: i64 = 1000;
const PAUSE: Duration = Duration::from_millis(5);

const EMIT: &str = include_str!("../emit.sql");

/// A cluster as the figures are measured on: as safe as a production one.
pub fn cluster(name: &str) -> Cluster {
    Cluster::start_with(name, &nexus_bench::server())
}

/// Tenants in a database of their own.
pub struct Stage {
    pub database: &'static Database,
    pub sites: Vec<Site<'static>>,
}

impl Stage {
    /// So many tenants, each with so many subscriptions of its orders to a path of the sink, and one order that has
    /// been delivered to all of them.
    pub async fn begin(
        cluster: &Cluster,
        sink: &Sink,
        path: &str,
        tenants: usize,
        subscriptions: usize,
    ) -> Result<Self> {
        // For as long as the process lives, as what is borrowed from it.
        let database: &'static Database = Box::leak(Box::new(cluster.database()));
        let gateway = Self::gateway_of(database, &[]);
        sink.begin();
        let mut sites = Vec::new();
        for _ in 0..tenants {
            let site = Site::create(database, &gateway).await;
            for _ in 0..subscriptions {
                let wanted = json!({ "url": sink.url(path), "event_types": ["order.*"] });
                let made = site.post("/api/v1/portal/webhooks/subscribe", &wanted).await;
                if made.status != 201 {
                    return Err(format!("no subscription was made: {made:?}").into());
                }
            }
            site.in_force().await;
            let sent = site.send(&order()).await;
            if sent.text("status") != "accepted" {
                return Err(format!("the first order was not accepted: {sent:?}").into());
            }
            sites.push(site);
        }
        sink.wait_for(tenants * subscriptions).await?;
        let stage = Self { database, sites };
        stage.until_empty().await?;
        Ok(stage)
    }

    /// A gateway, of as many webhooks a second as it can.
    pub fn gateway(&self, settings: &[(&str, &str)]) -> Gateway {
        Self::gateway_of(self.database, settings)
    }

    fn gateway_of(database: &Database, settings: &[(&str, &str)]) -> Gateway {
        let own = [("NEXUS_LISTEN_URL", database.gateway_url.as_str()), ("NEXUS_HOOK_RATE", "1000000")];
        Gateway::start_with(&database.gateway_url, &[&own, settings].concat())
    }

    /// Queues so many events of each tenant for all its subscriptions, all at one moment; how many deliveries that are.
    pub async fn fill(&self, events: usize) -> Result<usize> {
        let (admin, mut queued) = (&self.sites[0].admin, 0);
        admin.batch_execute("begin").await?;
        for site in &self.sites {
            let mut left = i64::try_from(events)?;
            while left > 0 {
                let count = i32::try_from(left.min(CHUNK))?;
                let row = admin.query_one(EMIT, &[&site.tenant.tenant_id, &count]).await?;
                queued += usize::try_from(row.get::<_, i32>(0))?;
                left -= CHUNK;
            }
        }
        admin.batch_execute("notify nexus_doorbell; commit").await?;
        Ok(queued)
    }

    /// Queues so many events of each tenant and starts a gateway: deliveries a second, from the first that arrives until
    /// the last is settled. All must arrive signed, and be in the log.
    pub async fn drain(&self, sink: &Sink, events: usize) -> Result<f64> {
        let since = Uuid::now_v7();
        let count = self.fill(events).await?;
        sink.begin();
        let gateway = self.gateway(&[]);
        let speed = self.drained(sink, count, since).await?;
        stop(gateway).await;
        let logged = self.logged(since).await?;
        if (sink.signed(), logged) != (count, count) {
            let message =
                format!("of {count} deliveries {} arrived signed, {logged} were logged", sink.signed());
            return Err(message.into());
        }
        Ok(speed)
    }

    /// Deliveries a second, from the first that arrives until all these, which came since then, are settled. It is the log
    /// that is looked at: where no dead row can be removed, a look at the queue is a look at all that ever were in it.
    pub async fn drained(&self, sink: &Sink, count: usize, since: Uuid) -> Result<f64> {
        let first = sink.wait_for(count).await?;
        while self.logged(since).await? < count {
            sleep(PAUSE).await;
        }
        Ok(count as f64 / first.elapsed().as_secs_f64())
    }

    /// Waits until the queue is empty.
    pub async fn until_empty(&self) -> Result<()> {
        let sql = "select exists (select from nexus.delivery)";
        while self.sites[0].admin.query_one(sql, &[]).await?.get(0) {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// How many have succeeded since then.
    async fn logged(&self, since: Uuid) -> Result<usize> {
        let sql = "select count(*) from nexus.webhook_delivery_log
                   where tenant_id = any ($1) and webhook_delivery_log_id >= $2 and outcome = 'succeeded'";
        let tenants: Vec<Uuid> = self.sites.iter().map(|site| site.tenant.tenant_id).collect();
        let row = self.sites[0].admin.query_one(sql, &[&tenants, &since]).await?;
        Ok(usize::try_from(row.get::<_, i64>(0))?)
    }
}

/// Stops a gateway and waits for its end.
pub async fn stop(mut gateway: Gateway) {
    gateway.terminate();
    while gateway.ended().is_none() {
        sleep(PAUSE).await;
    }
}

/// A new order.
pub fn order() -> Webhook {
    let id = fresh_id();
    let text: String = ORDER.lines().map(str::trim).collect();
    let now = jiff::Timestamp::now();
    let text = text
        .replace("@order@", &id.to_string())
        .replace("@customer@", &fresh_id().to_string())
        .replace("@financial@", "pending")
        .replace("@updated@", &now.to_string());
    shopify_bytes("orders/create", text.into_bytes(), now)
}

/// A new order to a tenant's shop, signed, in a trace of its own; and the trace.
pub fn post(site: &Site<'_>) -> (Post, String) {
    let trace_id = Uuid::new_v4().simple().to_string();
    let mut order = order();
    order.headers.push(("traceparent".to_owned(), format!("00-{trace_id}-00f067aa0ba902b7-01")));
    let post = Post {
        path: format!("/hooks/{}", site.shop.connector_id),
        headers: order.signed(&site.shop, &site.shop.secret),
        body: order.body.into(),
    };
    (post, trace_id)
}

/// Milliseconds between the answer to each webhook and each delivery of it, which may come first.
pub fn latencies(traces: &[String], answered: &[Instant], sink: &Sink) -> Vec<f64> {
    let answered: std::collections::HashMap<&str, Instant> =
        traces.iter().map(String::as_str).zip(answered.iter().copied()).collect();
    let took = |(trace_id, at): &(String, Instant)| {
        let answered = answered.get(trace_id.as_str())?;
        Some(at.saturating_duration_since(*answered).as_secs_f64() * 1000.0)
    };
    sink.times().iter().filter_map(took).collect()
}
