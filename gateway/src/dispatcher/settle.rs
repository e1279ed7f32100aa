//! Outcomes on their way to the database: whatever ended while the last batch committed forms the next.

mod columns;

use super::claim::{Claimed, Work};
use super::send::{Answered, Attempt, NotSent, json_object};
use crate::batches::{Batch, Batches, Limits};
use crate::db::{Database, Failure};
use crate::error::Trouble;
use crate::routes::jobs::{storable, storable_text};
use crate::{metrics, sql};
use columns::Columns;
use jiff::{SignedDuration, Timestamp};
use nexus_core::retry::{Answer, ErrorClass, Health, Next, Policy};
use nexus_core::routing::Flow;
use reqwest::header::{HeaderMap, SET_COOKIE};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The beginning of an answer, for people to read.
const LOGGED_CHARACTERS: usize = 4 << 10;
/// Of all its headers together, names and values.
const LOGGED_HEADER_CHARACTERS: usize = 8 << 10;
const CALLBACK_TIMEOUT_SECONDS: u32 = 3600;
/// After a batch of more than so many, the tenant's next is left to grow for a while: settling many costs little more
/// than settling one, and nobody waits for it unless it makes something due.
const FEW: usize = 4;
const PAUSE: Duration = Duration::from_millis(25);

/// One attempt, as `nexus.settle` takes it.
#[derive(Debug, Clone)]
pub struct Report {
    log_id: Uuid,
    environment_id: Uuid,
    /// Which delivery.
    pub delivery_id: Uuid,
    kind: &'static str,
    destination_id: Uuid,
    job_id: Option<Uuid>,
    domain_event_id: Option<Uuid>,
    trace_id: String,
    attempt: i32,
    /// `succeeded`, `awaiting_callback`, `retry` or `dead`.
    pub outcome: &'static str,
    url: Option<String>,
    status_code: Option<u16>,
    latency_ms: u64,
    error_class: Option<&'static str>,
    error: Option<String>,
    error_code: Option<String>,
    /// A JSON object, as those of the response are.
    request_headers: Option<String>,
    request_bytes: Option<usize>,
    request_sha256: Option<[u8; 32]>,
    response_headers: Option<String>,
    response_body: Option<String>,
    result: Option<Value>,
    next_attempt_at: Option<Timestamp>,
    attempted_at: Timestamp,
    domain_event_id_for_job: Option<Uuid>,
    /// What the attempt tells of its destination.
    pub health: Health,
    /// Its end makes something due: a job's event, or the delivery that waited for it.
    makes_due: bool,
}

impl Report {
    /// What follows from an attempt. `jitter` is in 0..1.
    pub fn new(claimed: &Claimed, attempt: Attempt, jitter: f64) -> Self {
        let Attempt { at: attempted_at, took, sent, result: attempt } = attempt;
        let answered = attempt.as_ref().ok();
        let body: Option<Value> = answered.and_then(|answered| serde_json::from_slice(&answered.body).ok());
        let error_code = body.as_ref().and_then(error_code).map(storable_text);
        let (next, health) = judge(claimed, &attempt, error_code.as_deref(), jitter);
        let (outcome, next_attempt_at) = outcome(claimed, next, attempted_at + as_signed(took));
        let is_failure = matches!(outcome, "retry" | "dead");
        let (error_class, error) = match &attempt {
            Err(not_sent) => (Some(not_sent.class.as_str()), Some(not_sent.message.clone())),
            Ok(answered) if is_failure => {
                (Some(ErrorClass::Http.as_str()), Some(format!("the answer was HTTP {}", answered.status)))
            }
            Ok(_) => (None, None),
        };
        let (job_id, domain_event_id) = match &claimed.work {
            Work::Job(job) => (Some(job.job_id), None),
            Work::Webhook(webhook) => (None, Some(webhook.domain_event_id)),
            // Its event is in no outbox.
            Work::Test(_) => (None, None),
        };
        metrics::delivery(claimed.kind(), outcome, error_class, took);
        Self {
            log_id: Uuid::now_v7(),
            environment_id: claimed.environment_id,
            delivery_id: claimed.delivery_id,
            kind: claimed.kind(),
            destination_id: claimed.destination_id,
            job_id,
            domain_event_id,
            trace_id: claimed.trace_id.clone(),
            attempt: claimed.attempt,
            outcome,
            url: claimed.url.clone(),
            status_code: answered.map(|answered| answered.status),
            latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            error_class,
            error: error.as_deref().map(storable_text),
            error_code: error_code.filter(|_| is_failure),
            request_bytes: sent.as_ref().map(|sent| sent.bytes),
            request_sha256: sent.as_ref().map(|sent| sent.sha256),
            request_headers: sent.map(|sent| sent.headers),
            response_headers: answered.map(|answered| headers_as_json(&answered.headers)),
            response_body: answered.map(|answered| beginning(&answered.body)),
            result: body.filter(|_| job_id.is_some() && outcome == "succeeded").map(storable),
            next_attempt_at,
            attempted_at,
            domain_event_id_for_job: job_id.map(|_| Uuid::now_v7()),
            health,
            makes_due: (job_id.is_some() || claimed.is_ordered) && matches!(outcome, "succeeded" | "dead"),
        }
    }

    /// What whoever tried a subscription out is told.
    pub fn told(&self) -> Value {
        let headers =
            |json: &Option<String>| json.as_deref().and_then(|json| serde_json::from_str(json).ok());
        json!({
            "request_headers": headers(&self.request_headers).unwrap_or(Value::Null),
            "request_bytes": self.request_bytes,
            "request_sha256": self.request_sha256.map(hex::encode),
            "status_code": self.status_code,
            "latency_ms": self.latency_ms,
            "error_class": self.error_class,
            "error": self.error,
            "response_headers": headers(&self.response_headers).unwrap_or(Value::Null),
            "response_body": self.response_body,
        })
    }

    /// Without what the destination wrote: should the database refuse it, the outcome still counts.
    fn bare(mut self) -> Self {
        self.error = self.error.map(|_| "the answer could not be stored".to_owned());
        (self.response_headers, self.response_body, self.result, self.error_code) = (None, None, None, None);
        self
    }
}

/// What follows from an attempt, and what it tells of the destination.
fn judge(
    claimed: &Claimed,
    attempt: &Result<Answered, NotSent>,
    error_code: Option<&str>,
    jitter: f64,
) -> (Next, Health) {
    let answer = match attempt {
        Ok(answered) => {
            // Only jobs are reported by a callback; to a subscriber 202 is as good as 200.
            let status = match (&claimed.work, answered.status) {
                (Work::Webhook(_) | Work::Test(_), 202) => 200,
                (_, status) => status,
            };
            Answer::Response { status, retry_after: answered.retry_after, error_code }
        }
        Err(not_sent) => Answer::Failure(not_sent.class),
    };
    let (policy, permanent) = match &claimed.work {
        Work::Job(job) => match job.flow.as_ref().map(Flow::definition) {
            Some(flow) => (Cow::Borrowed(&flow.retry), flow.permanent_error_codes.as_slice()),
            None => (Cow::Owned(Policy::for_jobs()), [].as_slice()),
        },
        Work::Webhook(webhook) => (
            webhook.retry.as_ref().map_or_else(|| Cow::Owned(Policy::for_webhooks()), Cow::Borrowed),
            [].as_slice(),
        ),
        // Once.
        Work::Test(_) => (Cow::Owned(Policy { delays_seconds: Vec::new() }), [].as_slice()),
    };
    let number = u32::try_from(claimed.attempt - claimed.former_attempts).unwrap_or(1);
    let next = match claimed.url {
        // The destination is gone for good.
        None => Next::Dead,
        Some(_) => policy.next(number, answer, permanent, jitter),
    };
    (next, answer.health(permanent))
}

fn outcome(claimed: &Claimed, next: Next, ended_at: Timestamp) -> (&'static str, Option<Timestamp>) {
    match next {
        Next::Succeeded => ("succeeded", None),
        Next::Dead => ("dead", None),
        Next::Retry { after } => ("retry", Some(ended_at + as_signed(Duration::from_millis(after)))),
        Next::AwaitingCallback => {
            let given = match &claimed.work {
                Work::Job(job) => job.flow.as_ref().map(|flow| flow.definition().callback_timeout_seconds),
                Work::Webhook(_) | Work::Test(_) => None,
            };
            let seconds = given.unwrap_or(CALLBACK_TIMEOUT_SECONDS);
            ("awaiting_callback", Some(ended_at + SignedDuration::from_secs(seconds.into())))
        }
    }
}

fn as_signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::ZERO)
}

/// The destination's own error code, where it names one in a usual place.
fn error_code(body: &Value) -> Option<&str> {
    let places = ["/error_code", "/error/code", "/code"];
    places.iter().find_map(|place| body.pointer(place)?.as_str()).filter(|code| code.len() <= 200)
}

/// The headers of an answer, as many as there is room for.
fn headers_as_json(headers: &HeaderMap) -> String {
    let mut kept: Vec<(&str, String)> = Vec::with_capacity(headers.keys_len());
    let mut room = LOGGED_HEADER_CHARACTERS;
    for name in headers.keys().filter(|name| *name != SET_COOKIE) {
        let values: Vec<String> = headers
            .get_all(name)
            .iter()
            .map(|value| storable_text(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let Some(left) = room.checked_sub(name.as_str().len()) else { break };
        let value: String = values.join(", ").chars().take(left).collect();
        room = left - value.chars().count();
        kept.push((name.as_str(), value));
    }
    json_object(kept)
}

fn beginning(body: &[u8]) -> String {
    storable_text(&String::from_utf8_lossy(body)).chars().take(LOGGED_CHARACTERS).collect()
}

/// Reports waiting for the database.
#[derive(Debug)]
pub struct Settling {
    batches: Arc<Batches<Report>>,
    database: Database,
    worker: String,
}

impl Settling {
    /// Reports of this worker.
    pub fn new(database: Database, worker: String) -> Self {
        let limits = Limits {
            // Two batches of a tenant would only wait for each other's rows.
            in_flight_per_lane: 1,
            batch_items: 200,
            batch_bytes: usize::MAX,
            // What is under way bounds what is waiting.
            waiting_items: usize::MAX,
            waiting_bytes: usize::MAX,
        };
        Self { batches: Arc::new(Batches::new(limits)), database, worker }
    }

    /// Takes a report.
    pub fn report(&self, tenant_id: Uuid, report: Report) {
        if self.batches.push(tenant_id, 0, report).is_err() {
            // Closed: the lease runs out, and the delivery is made again.
            tracing::warn!(%tenant_id, "an attempt ended after the dispatcher had");
        }
    }

    /// Settles batches until closed; `settled` hears which deliveries, and whether others are due by their end.
    pub async fn work(&self, settled: impl Fn(&[Report], bool)) {
        while let Some(batch) = self.batches.next().await {
            self.settle_until_known(&batch).await;
            let makes_due = batch.items.iter().any(|report| report.makes_due);
            settled(&batch.items, makes_due);
            if makes_due || batch.items.len() <= FEW {
                self.batches.done(batch.lane);
                continue;
            }
            let batches = Arc::clone(&self.batches);
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                batches.done(batch.lane);
            });
        }
    }

    /// Takes no more, and waits until everything is settled.
    pub async fn close(&self) {
        self.batches.close();
        self.batches.drained().await;
    }

    async fn settle_until_known(&self, batch: &Batch<Report>) {
        let Err(failure) = self.settle_patiently(batch.lane, &batch.items).await else { return };
        tracing::error!(error = %failure, "a batch of outcomes was refused and is stored one by one");
        for report in &batch.items {
            if self.settle_patiently(batch.lane, std::slice::from_ref(report)).await.is_ok() {
                continue;
            }
            if let Err(failure) = self.settle_patiently(batch.lane, &[report.clone().bare()]).await {
                tracing::error!(error = %failure, delivery_id = %report.delivery_id, "an outcome could not be stored; the delivery will be made again");
            }
        }
    }

    /// An outcome is not given up while the process lives, unless the database refuses it: losing it would mean
    /// delivering twice.
    async fn settle_patiently(&self, tenant_id: Uuid, reports: &[Report]) -> Result<(), Failure> {
        let mut wait = Duration::from_millis(100);
        loop {
            let Err(failure) = self.settle(tenant_id, reports).await else { return Ok(()) };
            match failure.trouble() {
                // The log's key is ours: it was stored, and only the answer was lost.
                Trouble::Duplicate => return Ok(()),
                Trouble::Data | Trouble::Other => return Err(failure),
                Trouble::Away | Trouble::Conflict => {
                    tracing::warn!(error = %failure, attempts = reports.len(), "outcomes could not be stored; trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
            }
        }
    }

    async fn settle(&self, tenant_id: Uuid, reports: &[Report]) -> Result<(), Failure> {
        settle(&self.database, tenant_id, &self.worker, reports).await
    }
}

/// Tells the database what came of a tenant's attempts.
pub async fn settle(
    database: &Database,
    tenant_id: Uuid,
    worker: &str,
    reports: &[Report],
) -> Result<(), Failure> {
    let columns = Columns::of(reports);
    let parameters = columns.after([(&tenant_id, Type::UUID), (&worker, Type::TEXT)]);
    database.rows(sql::SETTLE, &parameters).await.map(drop)
}

#[cfg(test)]
mod tests;
