//! What the views of docs/sql.md take at a million orders, as a login bound to the largest of a thousand tenants, which
//! has a tenth of them: time, pages and indexes, against reading every order of that tenant once.
//!
//! A view that answers a question about a few rows has to be far below that.

mod session;

use nexus_bench::{Better, Figure, Report, Samples, time};
use nexus_tests::cluster::{Cluster, connect};
use session::{answer, explain, load, timed};
use std::error::Error;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Runs of a query that a median takes at least.
const LEAST_RUNS: usize = 3;

const LOAD_SOURCES: &str = include_str!("views/load.sql");
const QUERIES: &str = include_str!("views/queries.sql");

/// Every order of the tenant, read once.
const ALL_ORDERS: &str = "select sum(o.total_amount) from nexus.sales_order o where o.deleted_at is null";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start_with("views", &format!("{}\nautovacuum = off", nexus_bench::server()));
    let database = cluster.database();
    let admin = database.admin().await;
    let tenant = load(&admin, LOAD_SOURCES).await?;
    let bound = connect(&tenant.analyst(&database, &admin, None).await).await;
    let path = measure(&bound).await?.publish()?;
    println!("\nwritten: {}", path.display());
    Ok(())
}

async fn measure(bound: &Client) -> Result<Report, Box<dyn Error>> {
    let some_order = answer(bound, "select sales_order_id from nexus.v_order_mismatch limit 1").await?;
    let some_order = some_order.into_iter().flatten().flatten().next().ok_or("no order differs")?;
    let queries = queries(&some_order);
    let each = time(Duration::from_secs(60)) / u32::try_from(queries.len())?;
    let (mut figures, mut rows, mut pages, mut indexes, mut whole) = (vec![], vec![], vec![], vec![], vec![]);
    for (name, goal, sql) in queries {
        let sql = &*sql;
        let found = answer(bound, sql).await?;
        if found.is_empty() {
            return Err(format!("{name}: no rows, so it shows nothing").into());
        }
        let plan = explain(bound, sql).await?;
        let join = |names: std::collections::BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
        rows.push(found.len().to_string());
        pages.push(plan.pages().to_string());
        indexes.push(join(plan.indexes()));
        whole.push(join(plan.read_whole()));
        let (mut values, mut references) = (Vec::new(), Vec::new());
        let begin = Instant::now();
        while values.len() < LEAST_RUNS || begin.elapsed() < each {
            values.push(timed(bound, sql).await?);
            references.push(timed(bound, ALL_ORDERS).await?);
        }
        let (value, reference) = (Samples::new(values), Samples::new(references));
        figures.push(Figure { name: name.to_owned(), value, reference, goal });
    }
    Ok(Report {
        name: "views",
        reference_name: "all orders",
        unit: "ms",
        better: Better::Lower,
        figures,
        columns: vec![("rows", rows), ("pages", pages), ("indexes", indexes), ("read whole", whole)],
    })
}

/// Each begins with a comment that names it, and says how many times the reading of all orders it may take.
fn queries(some_order: &str) -> Vec<(&'static str, f64, String)> {
    let texts = QUERIES.split(";\n").map(str::trim);
    let named = texts.filter_map(|text| text.strip_prefix("-- ")?.split_once('\n'));
    named
        .filter_map(|(head, sql)| {
            let (name, goal) = head.split_once(" | ")?;
            Some((name, goal.parse().ok()?, sql.replace("{order}", some_order)))
        })
        .collect()
}
