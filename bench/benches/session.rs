//! An analyst's session: the orders it asks about, and its queries, timed and explained.

use nexus_bench::plan::Plan;
use nexus_tests::tenant::Tenant;
use std::error::Error;
use std::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Orders of all tenants; `BENCH_ORDERS` for a quicker, lesser run.
const ORDERS: u32 = 1_000_000;

const LOAD: &str = include_str!("rls/load.sql");

/// Loads the orders, and what else is to be loaded with them. The largest of a thousand tenants, which has a tenth of all.
pub async fn load(admin: &Client, more: &str) -> Result<Tenant, Box<dyn Error>> {
    let orders = std::env::var("BENCH_ORDERS").ok().and_then(|orders| orders.parse().ok()).unwrap_or(ORDERS);
    let begin = Instant::now();
    admin.batch_execute(&format!("set bench.orders = {orders}; {LOAD}")).await?;
    admin.batch_execute(more).await?;
    admin.batch_execute("vacuum analyze").await?;
    println!("{orders} orders of 1000 tenants, loaded in {} s\n", begin.elapsed().as_secs());
    let row = admin.query_one("select tenant_id, environment_id from bench.tenant where n = 1", &[]).await?;
    Ok(Tenant { tenant_id: row.get(0), prod: row.get(1), test: row.get(1) })
}

/// How long it takes to the last row, in milliseconds.
pub async fn timed(client: &Client, sql: &str) -> Result<f64, tokio_postgres::Error> {
    let begin = Instant::now();
    client.simple_query(sql).await?;
    Ok(begin.elapsed().as_secs_f64() * 1000.0)
}

/// The rows, as text.
pub async fn answer(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    };
    Ok(client.simple_query(sql).await?.into_iter().filter_map(row).collect())
}

pub async fn explain(client: &Client, sql: &str) -> Result<Plan, Box<dyn Error>> {
    let rows = answer(client, &format!("explain (analyze, verbose, buffers, format json) {sql}")).await?;
    let text: Vec<String> = rows.into_iter().flatten().flatten().collect();
    Ok(Plan::parse(&text.join("\n"))?)
}
