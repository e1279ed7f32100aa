//! Sending domain events again, page by page.

use super::Context;
use crate::db::{Failure, Parameters};
use crate::error::StartError;
use crate::sql;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

#[derive(Args)]
pub struct Replay {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// Domain events by their ids
    #[arg(long = "event", value_delimiter = ',')]
    events: Vec<Uuid>,
    /// Types such as order.created, families such as order.*, or * [default: all]
    #[arg(long, value_delimiter = ',')]
    event_types: Vec<String>,
    /// To one subscription [default: every one that wants an event]
    #[arg(long)]
    subscription: Option<Uuid>,
    /// From this time on, such as 2026-01-31T00:00:00Z
    #[arg(long)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long)]
    until: Option<Timestamp>,
    /// Only where the last attempt was the end
    #[arg(long)]
    dead: bool,
    /// Deliveries a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    rate: i32,
    /// Go on where an interrupted run stopped, at the event it named
    #[arg(long)]
    from: Option<Uuid>,
    /// How many events a transaction takes
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    batch: i32,
}

/// What a transaction queued, and where the next goes on.
struct Page {
    deliveries: i32,
    next_event_id: Option<Uuid>,
    next_due_at: Timestamp,
}

impl Replay {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let mut filter = self.filter();
        let mut total = 0_i64;
        loop {
            let Page { deliveries, next_event_id, next_due_at } = self.page(context, &filter).await?;
            total += i64::from(deliveries);
            let Some(next) = next_event_id else {
                return Ok(json!({ "deliveries": total, "last_due_at": next_due_at }));
            };
            eprintln!("nexus: {total} deliveries; --from {next} goes on from here");
            filter.insert("next_event_id".to_owned(), json!(next));
            filter.insert("next_due_at".to_owned(), json!(next_due_at));
        }
    }

    fn filter(&self) -> Map<String, Value> {
        let some = |value: Value, is_given: bool| if is_given { value } else { Value::Null };
        let given = [
            ("event_ids", some(json!(self.events), !self.events.is_empty())),
            ("event_types", some(json!(self.event_types), !self.event_types.is_empty())),
            ("subscription_id", json!(self.subscription)),
            ("since", json!(self.since)),
            ("until", json!(self.until)),
            ("outcome", some(json!("dead"), self.dead)),
            ("rate", json!(self.rate)),
            ("next_event_id", json!(self.from)),
        ];
        given
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    async fn page(&self, context: &Context, filter: &Map<String, Value>) -> Result<Page, StartError> {
        let parameters: &Parameters<'_> =
            &[(&self.tenant, Type::UUID), (&Json(filter), Type::JSONB), (&self.batch, Type::INT4)];
        let row = context.database.row(sql::REPLAY_PAGE, parameters).await;
        let row = row.map_err(|failure| super::failed(&failure))?;
        let broken = |error| super::failed(&Failure::Database(error));
        Ok(Page {
            deliveries: row.try_get(0).map_err(broken)?,
            next_event_id: row.try_get(1).map_err(broken)?,
            next_due_at: row.try_get(2).map_err(broken)?,
        })
    }
}
