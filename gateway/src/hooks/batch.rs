//! Takes verified webhooks in, in batches: one call of `nexus.ingest_batch`, one transaction, one answer each.

use crate::batches::{Batch, Batches, Limits};
use crate::db::{Database, Failure, Parameters};
use crate::error::{Error, Trouble};
use crate::listen::Doorbell;
use crate::{metrics, sql};
use axum::body::Bytes;
use jiff::Timestamp;
use nexus_core::connector::{Scheme, Signature};
use nexus_core::error::Code;
use nexus_core::normalize::Headers;
use serde::{Serialize, Serializer};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// At most this many requests or bytes in one transaction.
const BATCH_ITEMS: usize = 100;
const BATCH_BYTES: usize = 4 << 20;
/// Of one tenant at a time: a second batch fills while the first commits; more would only be smaller.
const IN_FLIGHT_PER_TENANT: usize = 2;
/// More than this is refused: the platform sends again, and the sooner it is told the better.
const WAITING_ITEMS: usize = 5_000;
const WAITING_BYTES: usize = 64 << 20;

/// A request whose signature is right.
pub struct Received {
    /// The connector it is for.
    pub connector_id: Uuid,
    /// What is stored of its headers.
    pub headers: StoredHeaders,
    /// The body, byte for byte.
    pub body: Bytes,
    /// When it came.
    pub received_at: Timestamp,
    /// The sender's trace, if it is one.
    pub traceparent: Option<String>,
}

/// What became of a request, in the database's words.
#[derive(Debug, Clone)]
pub struct Ingested {
    /// `accepted`, `duplicate`, `ignored` or `quarantined`.
    pub status: String,
    /// The event; a duplicate has none of its own.
    pub event_id: Option<Uuid>,
    /// The trace to follow it by.
    pub trace_id: Option<String>,
    /// The event it repeats.
    pub duplicate_of: Option<Uuid>,
    /// Why it was not accepted.
    pub reason: Option<String>,
}

/// Headers as they are stored: without what opens doors.
pub struct StoredHeaders {
    headers: Headers,
    /// Headers that hold a secret or a token, by the platform's scheme.
    secret_headers: Vec<String>,
}

impl StoredHeaders {
    /// What is to be stored of these headers, for this scheme.
    pub fn new(headers: Headers, signature: &Signature) -> Self {
        let secret_headers = match signature.scheme {
            // A bearer token opens the door for as long as it is in force.
            Scheme::StaticHeader | Scheme::Jwt => {
                signature.header.iter().chain(&signature.more_headers).cloned().collect()
            }
            _ => Vec::new(),
        };
        Self { headers, secret_headers }
    }

    /// Their size in memory, nearly.
    fn bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn is_kept(&self, name: &str) -> bool {
        !matches!(name, "authorization" | "cookie" | "proxy-authorization" | "x-api-key")
            && !self.secret_headers.iter().any(|secret| secret.eq_ignore_ascii_case(name))
    }
}

impl Serialize for StoredHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // JSON of the database holds no NUL; HTTP headers hold none either, so nothing is lost.
        serializer.collect_map(self.headers.iter().filter(|(name, _)| self.is_kept(name)))
    }
}

impl std::fmt::Debug for StoredHeaders {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

struct Waiting {
    received: Received,
    answer: oneshot::Sender<Result<Ingested, Error>>,
}

/// The way in.
pub struct Ingest {
    batches: Batches<Waiting>,
    database: Database,
    doorbell: Arc<Doorbell>,
}

impl Ingest {
    /// A way in over these connections. Nothing is taken in until [`Self::work`] runs.
    pub fn new(database: Database, doorbell: Arc<Doorbell>) -> Self {
        let limits = Limits {
            in_flight_per_lane: IN_FLIGHT_PER_TENANT,
            batch_items: BATCH_ITEMS,
            batch_bytes: BATCH_BYTES,
            waiting_items: WAITING_ITEMS,
            waiting_bytes: WAITING_BYTES,
        };
        Self { batches: Batches::new(limits), database, doorbell }
    }

    /// Takes a request in and waits until it is durable. When the caller stops waiting, it is taken in all
    /// the same.
    pub async fn take(&self, tenant_id: Uuid, received: Received) -> Result<Ingested, Error> {
        let (answer, answered) = oneshot::channel();
        let bytes = received.body.len() + received.headers.bytes();
        if self.batches.push(tenant_id, bytes, Waiting { received, answer }).is_err() {
            return Err(Error::new(Code::Overloaded, "more webhooks are waiting than the gateway holds"));
        }
        metrics::ingest_waiting(self.batches.waiting());
        answered.await.unwrap_or_else(|_| Err(Error::database_unavailable()))
    }

    /// Works on batches, one at a time, until [`Self::close`]. Run one of these per connection.
    pub async fn work(&self) {
        while let Some(batch) = self.batches.next().await {
            let lane = batch.lane;
            self.ingest(batch).await;
            self.batches.done(lane);
        }
    }

    /// Takes no more in, and waits until what was taken has been answered.
    pub async fn close(&self) {
        self.batches.close();
        self.batches.drained().await;
    }

    /// Connections in use and open.
    pub fn connections(&self) -> (usize, usize) {
        self.database.connections()
    }

    async fn ingest(&self, batch: Batch<Waiting>) {
        let started = Instant::now();
        let size = batch.items.len();
        let outcome = self.call(&batch).await;
        metrics::ingest_waiting(self.batches.waiting());
        match outcome {
            Ok(ingested) => {
                metrics::ingested(size, started.elapsed());
                self.doorbell.ring();
                for (waiting, ingested) in batch.items.into_iter().zip(ingested) {
                    // A caller who hung up needs no answer.
                    let _ = waiting.answer.send(Ok(ingested));
                }
            }
            Err(failure) => {
                metrics::ingest_failed(match failure.trouble() {
                    Trouble::Away => "database_away",
                    Trouble::Conflict => "conflict",
                    _ => "unexpected",
                });
                tracing::error!(tenant_id = %batch.lane, size, error = %failure, "webhooks were not taken in; their senders are told to come again");
                for waiting in batch.items {
                    let _ = waiting.answer.send(Err(Error::database_unavailable()));
                }
            }
        }
    }

    /// Of a lost connection nothing is known, and nothing is tried again: the platform sends again, and the ledger tells
    /// the repetition.
    async fn call(&self, batch: &Batch<Waiting>) -> Result<Vec<Ingested>, Failure> {
        let requests = || batch.items.iter().map(|waiting| &waiting.received);
        let connector_ids: Vec<Uuid> = requests().map(|request| request.connector_id).collect();
        let headers: Vec<Json<&StoredHeaders>> = requests().map(|request| Json(&request.headers)).collect();
        let bodies: Vec<&[u8]> = requests().map(|request| request.body.as_ref()).collect();
        let received_at: Vec<Timestamp> = requests().map(|request| request.received_at).collect();
        let traceparents: Vec<Option<&str>> =
            requests().map(|request| request.traceparent.as_deref()).collect();
        let parameters: &Parameters<'_> = &[
            (&batch.lane, Type::UUID),
            (&connector_ids, Type::UUID_ARRAY),
            (&headers, Type::JSONB_ARRAY),
            (&bodies, Type::BYTEA_ARRAY),
            (&received_at, Type::TIMESTAMPTZ_ARRAY),
            (&traceparents, Type::TEXT_ARRAY),
        ];
        let rows = self.database.rows(sql::INGEST_BATCH, parameters).await?;
        let ingested: Vec<Ingested> = rows.iter().map(ingested).collect::<Result<_, _>>()?;
        if ingested.len() != batch.items.len() {
            return Err(Failure::Empty);
        }
        Ok(ingested)
    }
}

fn ingested(row: &Row) -> Result<Ingested, tokio_postgres::Error> {
    Ok(Ingested {
        status: row.try_get(0)?,
        event_id: row.try_get(1)?,
        trace_id: row.try_get(2)?,
        duplicate_of: row.try_get(3)?,
        reason: row.try_get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_stored_without_what_opens_doors() {
        let signature = Signature {
            scheme: Scheme::StaticHeader,
            header: Some("X-Shop-Token".to_owned()),
            ..Signature::default()
        };
        let headers = [
            ("Authorization", "Bearer x"),
            ("Cookie", "x"),
            ("X-Shop-Token", "x"),
            ("X-Shopify-Topic", "orders/create"),
            (":path", "/hooks/1"),
        ];
        let stored = StoredHeaders::new(Headers::from_pairs(headers), &signature);
        let json = serde_json::to_value(stored).expect("JSON");
        assert_eq!(json, serde_json::json!({"x-shopify-topic": "orders/create", ":path": "/hooks/1"}));
    }
}
