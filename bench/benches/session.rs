//! Queries of an analyst's session, timed and explained.

use nexus_bench::plan::Plan;
use std::error::Error;
use std::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};

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
