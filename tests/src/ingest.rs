//! Taking requests in by SQL.

use crate::shop::Webhook;
use crate::tenant::Connector;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{Client, Error, Row};
use uuid::Uuid;

/// What `nexus.ingest` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// `accepted`, `duplicate`, `ignored`, `quarantined`, or in a batch `rejected`.
    pub status: String,
    /// The event.
    pub event_id: Option<Uuid>,
    /// The trace.
    pub trace_id: Option<String>,
    /// The event it repeats.
    pub duplicate_of: Option<Uuid>,
    /// Why it was not accepted.
    pub reason: Option<String>,
}

impl Ingested {
    fn from_row(row: &Row) -> Self {
        Self {
            status: row.get("status"),
            event_id: row.get("event_id"),
            trace_id: row.get("trace_id"),
            duplicate_of: row.get("duplicate_of"),
            reason: row.get("reason"),
        }
    }

    /// The event, which there must be.
    pub fn event(&self) -> Uuid {
        self.event_id.expect("an event")
    }
}

/// Takes a webhook in, as received at the time it was sent.
pub async fn ingest(client: &Client, connector: &Connector, webhook: &Webhook) -> Result<Ingested, Error> {
    let sql = "select * from nexus.ingest($1, $2, $3, $4, $5)";
    let (headers, received_at) = (webhook.headers_as_json(), webhook.sent_at);
    let row = client
        .query_one(
            sql,
            &[&connector.tenant_id, &connector.connector_id, &headers, &webhook.body, &received_at],
        )
        .await?;
    Ok(Ingested::from_row(&row))
}

/// Takes it in; it must be accepted.
pub async fn accept(client: &Client, connector: &Connector, webhook: &Webhook) -> Ingested {
    let ingested = ingest(client, connector, webhook).await.expect("taken in");
    assert_eq!(ingested.status, "accepted", "{ingested:?}");
    ingested
}

/// Takes a batch in.
pub async fn ingest_batch(
    client: &Client,
    tenant_id: Uuid,
    batch: &[(Uuid, &Webhook)],
) -> Result<Vec<Ingested>, Error> {
    let connectors: Vec<Uuid> = batch.iter().map(|(connector_id, _)| *connector_id).collect();
    let headers: Vec<Value> = batch.iter().map(|(_, webhook)| webhook.headers_as_json()).collect();
    let bodies: Vec<&[u8]> = batch.iter().map(|(_, webhook)| webhook.body.as_slice()).collect();
    let times: Vec<Timestamp> = batch.iter().map(|(_, webhook)| webhook.sent_at).collect();
    let traces: Vec<Option<&str>> = vec![None; batch.len()];
    let sql = "select * from nexus.ingest_batch($1, $2, $3, $4, $5, $6)";
    let rows = client.query(sql, &[&tenant_id, &connectors, &headers, &bodies, &times, &traces]).await?;
    Ok(rows.iter().map(Ingested::from_row).collect())
}
