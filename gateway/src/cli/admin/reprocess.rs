//! Reading events again, until all that were meant have been.
//!
//! Each call is a transaction of its own. Interrupted, what was done is done, and the next run of the same
//! command goes on where a connector's reading stopped.

use super::Context;
use crate::db::{Failure, Parameters};
use crate::error::StartError;
use crate::sql;
use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

#[derive(Args)]
pub struct Reprocess {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// One connector's events [default: every connector's]
    #[arg(long, conflicts_with = "connector_type")]
    connector: Option<Uuid>,
    /// The events of connectors of this type
    #[arg(long)]
    connector_type: Option<String>,
    /// Events of this status alone; without it, all of them are a new reading that replaces the one before
    #[arg(long, value_parser = PossibleValuesParser::new(["quarantined", "ignored", "accepted"]))]
    status: Option<String>,
    /// From this time on, such as 2026-01-31T00:00:00Z [default: all]
    #[arg(long)]
    since: Option<Timestamp>,
    /// How many events a transaction reads
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    batch: i32,
}

impl Reprocess {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let mut filter = self.filter();
        // Beginning a reading waits for ingest that is under way, and ingest for it: so it is a transaction that
        // does nothing else.
        if self.status.is_none() {
            self.read(context, &filter, 0).await?;
        }
        let mut total = Counts::default();
        loop {
            let (counts, next_event_id) = self.read(context, &filter, self.batch).await?;
            total.add(counts);
            match next_event_id {
                None => break,
                // A reading of whole connectors knows by itself how far it has come.
                Some(next) if self.status.is_some() => {
                    filter.insert("next_event_id".to_owned(), json!(next));
                }
                Some(_) => {}
            }
        }
        Ok(json!({
            "events": total.events,
            "quarantined": total.quarantined,
            "entities": total.entities,
        }))
    }

    fn filter(&self) -> Map<String, Value> {
        let given = [
            ("connector_id", json!(self.connector)),
            ("connector_type", json!(self.connector_type)),
            ("status", json!(self.status)),
            ("since", json!(self.since)),
        ];
        given
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// One call, and where the next begins. Not bounded in time: it may wait for ingest.
    async fn read(
        &self,
        context: &Context,
        filter: &Map<String, Value>,
        most: i32,
    ) -> Result<(Counts, Option<Uuid>), StartError> {
        let broken = |error| super::failed(&Failure::Database(error));
        let parameters: &Parameters<'_> =
            &[(&self.tenant, Type::UUID), (&Json(filter), Type::JSONB), (&most, Type::INT4)];
        let rows = context.database.rows_unbounded(sql::REPROCESS, parameters).await;
        let rows = rows.map_err(|failure| super::failed(&failure))?;
        let row = rows.first().ok_or_else(|| super::failed(&Failure::Empty))?;
        let count = |place: usize| row.try_get::<_, i32>(place).map(i64::from).map_err(broken);
        let counts = Counts { events: count(0)?, quarantined: count(1)?, entities: count(2)? };
        Ok((counts, row.try_get(3).map_err(broken)?))
    }
}

#[derive(Default)]
struct Counts {
    events: i64,
    quarantined: i64,
    entities: i64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.quarantined += other.quarantined;
        self.entities += other.entities;
    }
}
