//! What row-level security costs analysts: their queries as a login bound to a tenant, against the same queries of a
//! superuser who names the tenant.
//!
//! Both must give the same rows by the same indexes, and the policies' functions must be called once a table
//! reference: where that does not hold, there is no figure.

mod session;

use nexus_bench::plan::Plan;
use nexus_bench::{Better, Figure, Report, Samples, time};
use nexus_tests::cluster::{Cluster, Database, connect};
use nexus_tests::tenant::Tenant;
use session::{answer, explain, load, timed};
use std::error::Error;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// How many times the time without policies a query may take.
const GOAL: f64 = 1.05;

/// Runs of a query, each way, that a median takes at least.
const LEAST_RUNS: usize = 5;

const QUERIES: &str = include_str!("rls/queries.sql");

/// A query of an analyst.
struct Query {
    name: &'static str,
    /// As a login that sees one tenant writes it.
    bound: String,
    /// As one who sees all of them has to.
    unbound: String,
    /// How often it names a table.
    tables: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start_with("rls", &format!("{}\nautovacuum = off", nexus_bench::server()));
    let database = cluster.database();
    let admin = database.admin().await;
    let tenant = load(&admin, "drop table bench.sale, bench.variant").await?;
    let bound = connect(&tenant.analyst(&database, &admin, None).await).await;
    let report = measure(&bound, &without_policies(&database).await?, &tenant).await?;
    let path = report.publish()?;
    println!("\nwritten: {}", path.display());
    Ok(())
}

/// A superuser's session: policies do not apply to it.
async fn without_policies(database: &Database) -> Result<Client, Box<dyn Error>> {
    let client = database.admin().await;
    client.batch_execute("set search_path to nexus, public").await?;
    Ok(client)
}

async fn measure(bound: &Client, unbound: &Client, tenant: &Tenant) -> Result<Report, Box<dyn Error>> {
    bound.batch_execute("set search_path to nexus, public").await?;
    let queries = queries(tenant);
    let (mut tables, mut indexes, mut pages, mut rows) = (vec![], vec![], vec![], vec![]);
    for query in &queries {
        let plan = compare(query, bound, unbound).await?;
        tables.push(query.tables.to_string());
        indexes.push(plan.indexes().into_iter().collect::<Vec<_>>().join(", "));
        pages.push(plan.pages().to_string());
        rows.push(answer(bound, &query.bound).await?.len().to_string());
    }

    let each = time(Duration::from_secs(120)) / queries.len() as u32;
    let mut figures = Vec::new();
    for query in &queries {
        let (mut values, mut references) = (Vec::new(), Vec::new());
        let begin = Instant::now();
        while values.len() < LEAST_RUNS || begin.elapsed() < each {
            // Turn about, so that what disturbs one disturbs the other.
            if values.len() % 2 == 0 {
                values.push(timed(bound, &query.bound).await?);
                references.push(timed(unbound, &query.unbound).await?);
            } else {
                references.push(timed(unbound, &query.unbound).await?);
                values.push(timed(bound, &query.bound).await?);
            }
        }
        figures.push(Figure {
            name: query.name.to_owned(),
            value: Samples::new(values),
            reference: Samples::new(references),
            goal: GOAL,
        });
    }
    let added = |figure: &Figure| format!("{:.2}", figure.value.median() - figure.reference.median());
    let added = figures.iter().map(added).collect();
    Ok(Report {
        name: "rls",
        reference_name: "without",
        unit: "ms",
        better: Better::Lower,
        figures,
        columns: vec![
            ("added ms", added),
            ("rows", rows),
            ("pages", pages),
            ("tables = calls", tables),
            ("indexes", indexes),
        ],
    })
}

/// Fails where policies change the answer or the indexes, or where anything but one call a table reference asks who it
/// is; else the plan.
async fn compare(query: &Query, bound: &Client, unbound: &Client) -> Result<Plan, Box<dyn Error>> {
    let (mut own, mut all) = (answer(bound, &query.bound).await?, answer(unbound, &query.unbound).await?);
    // Without `order by` any order is right.
    own.sort();
    all.sort();
    let name = query.name;
    if own.is_empty() || own != all {
        return Err(
            format!("{name}: {} rows under row-level security, {} without", own.len(), all.len()).into()
        );
    }
    let (plan, reference) = (explain(bound, &query.bound).await?, explain(unbound, &query.unbound).await?);
    if plan.indexes() != reference.indexes() || plan.read_whole() != reference.read_whole() {
        return Err(format!("{name}: not as without row-level security: {plan:#?} {reference:#?}").into());
    }
    for function in ["current_tenant_id", "current_environment_id"] {
        let calls = plan.calls(function);
        if calls != vec![1; query.tables] {
            let tables = query.tables;
            return Err(
                format!("{name}: calls of {function} {calls:?} for {tables} tables: {plan:#?}").into()
            );
        }
    }
    Ok(plan)
}

/// Each begins with a comment that names it. The comment at the top of the file names none.
fn queries(tenant: &Tenant) -> Vec<Query> {
    let texts = QUERIES.split(";\n").flat_map(|text| text.split("\n\n")).map(str::trim);
    let named = texts.filter_map(|text| text.strip_prefix("-- ")?.split_once('\n'));
    let own = |text: &str, condition: &dyn Fn(&str) -> String| {
        let mut parts = text.split("own(");
        let mut sql = parts.next().unwrap_or_default().replace("prod()", &format!("'{}'", tenant.prod));
        for part in parts {
            let (alias, rest) = part.split_once(')').unwrap_or((part, ""));
            sql += &condition(alias);
            sql += &rest.replace("prod()", &format!("'{}'", tenant.prod));
        }
        sql
    };
    named
        .filter(|(_, text)| text.contains("own("))
        .map(|(name, text)| Query {
            name,
            bound: own(text, &|_| "true".to_owned()),
            unbound: own(text, &|alias| format!("{alias}.tenant_id = '{}'", tenant.tenant_id)),
            tables: text.matches("own(").count(),
        })
        .collect()
}
