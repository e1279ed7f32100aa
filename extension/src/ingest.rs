//! The way in: a batch of requests of one tenant becomes events, records, golden entities, domain events,
//! jobs and deliveries. The stages stand in files of their own names; each writes in sets.

mod create;
mod decide;
mod deduplicate;
mod erase;
mod fetch;
mod log;
mod normalize;
pub mod record;
mod reprocess;
mod route;

pub use create::identity::Identifiers;
pub use route::Flows;

use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::guc;
use crate::instant::of_timestamptz;
use crate::jsonb::Jsonb;
use crate::plan;
use nexus_core::canonical::Document;
use nexus_core::connector::Connector;
use nexus_core::error::{Code, Error};
use nexus_core::identity::Scope;
use nexus_core::normalize::{FetchRequest, Headers, Outcome};
use nexus_core::trace::TraceContext;
use pgrx::Uuid as PgUuid;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::Value;
use std::rc::Rc;
use std::time::SystemTime;
use uuid::Uuid;

/// One request, on its way through the stages.
struct Request {
    place: usize,
    connector_id: Uuid,
    /// An object, as it came; `None` for an empty one.
    headers: Option<Jsonb>,
    body: Vec<u8>,
    /// Microseconds since 1970.
    received_at: i64,
    trace: TraceContext,
    event_id: Uuid,
    /// `None` where the tenant has no such active connector.
    source: Option<Rc<Source>>,
    /// What normalize found.
    topic: Option<String>,
    delivery_key: Option<String>,
    emitted_at: Option<i64>,
    outcome: Outcome,
    fetch: Vec<FetchRequest>,
    key: [u8; 32],
    /// The event that this one repeats.
    duplicate_of: Option<Uuid>,
    /// The status of an event that is read again; `None` for a new one.
    former_status: Option<String>,
    /// What create made of each document, in their order.
    results: Vec<Told>,
    /// It is about a person who asked to be forgotten: of the event stays that it came.
    is_erased: bool,
    /// Why no job was made, where documents came and none was.
    no_job: Option<&'static str>,
}

/// The connector a request came to.
struct Source {
    scope: Scope,
    connector_type: String,
    /// The manifest's version.
    version: i32,
    settings: Value,
    /// Which reading of its events this is.
    generation: i32,
    connector: Rc<Connector>,
}

/// What create made of a document, for the event's outcome.
#[derive(Serialize)]
struct Told {
    /// The document's place in the request.
    #[serde(skip)]
    number: usize,
    kind: &'static str,
    external_id: String,
    entity_id: Uuid,
    result: &'static str,
    /// The trace that has the domain event, where a later request of the batch changed the entity as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    emitted_in_trace: Option<String>,
}

impl Told {
    fn has_changed(&self) -> bool {
        matches!(self.result, "created" | "changed" | "deleted")
    }
}

/// A batch of one tenant.
struct Batch {
    tenant_id: Uuid,
    requests: Vec<Request>,
    /// Records that may be concerned beside the batch's own are looked for before anything is locked.
    is_wide: bool,
    /// Now, in microseconds since 1970.
    at: i64,
    /// The trace of what no single request did.
    trace: TraceContext,
}

/// Takes in a batch. With a failure given, what the requests mean is not tried: they are kept in quarantine
/// with that reason. In the wide, records of other sources are locked with those of the batch; it is asked for by a
/// serialization failure. Verified requests come from a gateway, which has checked their signatures and rings the
/// doorbell itself.
#[pg_extern]
// The arguments and the row type of the SQL function, which pgrx reads from the signature.
#[allow(clippy::type_complexity, clippy::too_many_arguments)]
fn _ingest_batch(
    tenant_id: PgUuid,
    connector_ids: Array<'_, PgUuid>,
    headers: Array<'_, Jsonb>,
    bodies: Array<'_, &[u8]>,
    received_at: Array<'_, TimestampWithTimeZone>,
    traceparents: Array<'_, &str>,
    is_verified: bool,
    is_wide: bool,
    failure: Option<&str>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(status, String),
            name!(event_id, Option<PgUuid>),
            name!(trace_id, String),
            name!(duplicate_of, Option<PgUuid>),
            name!(reason, Option<String>),
        ),
    >,
> {
    let handed = connector_ids
        .iter()
        .zip(headers.iter())
        .zip(bodies.iter())
        .zip(received_at.iter())
        .zip(traceparents.iter());
    let requests =
        handed.enumerate().map(|(place, ((((connector_id, headers), body), received_at), traceparent))| {
            let connector_id = connector_id.map(to_core).unwrap_or_default();
            let received_at =
                received_at.and_then(of_timestamptz).ok_or_else(|| internal("received_at is no time"))?;
            let trace = traceparent.and_then(TraceContext::parse).unwrap_or_else(begin_trace);
            Ok(Request::new(
                place,
                connector_id,
                headers,
                body.unwrap_or_default().to_vec(),
                received_at,
                trace,
            ))
        });
    let requests = requests.collect::<Result<_>>()?;
    let mut batch = Batch { is_wide, ..Batch::new(to_core(tenant_id), requests) };
    Spi::connect_mut(|client| {
        normalize::run(client, &mut batch, failure)?;
        deduplicate::run(client, &mut batch)?;
        create::run(client, &mut batch)?;
        log::run(client, &batch, is_verified)?;
        if guc::rings_doorbell() && !is_verified {
            plan::run(client, "select nexus.ring_doorbell()", &[])?;
        }
        Ok(())
    })?;
    Ok(TableIterator::new(batch.requests.into_iter().map(Request::into_row)))
}

impl Batch {
    fn new(tenant_id: Uuid, requests: Vec<Request>) -> Self {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        Self { tenant_id, requests, is_wide: false, at, trace: begin_trace() }
    }

    /// The requests that become events, with their connectors.
    fn events(&self) -> impl Iterator<Item = (&Request, &Rc<Source>)> {
        self.requests
            .iter()
            .filter(|request| request.duplicate_of.is_none())
            .filter_map(|request| request.source.as_ref().map(|source| (request, source)))
    }
}

impl Request {
    fn new(
        place: usize,
        connector_id: Uuid,
        headers: Option<Jsonb>,
        body: Vec<u8>,
        received_at: i64,
        trace: TraceContext,
    ) -> Self {
        Self {
            place,
            connector_id,
            headers,
            body,
            received_at,
            trace,
            event_id: Uuid::now_v7(),
            source: None,
            topic: None,
            delivery_key: None,
            emitted_at: None,
            outcome: Outcome::Documents(Vec::new()),
            fetch: Vec::new(),
            key: [0; 32],
            duplicate_of: None,
            former_status: None,
            results: Vec::new(),
            is_erased: false,
            no_job: None,
        }
    }

    /// Whether flows hear of it. What was accepted before has been through them, and a mapping that was mended
    /// is no news from the source.
    fn makes_jobs(&self) -> bool {
        self.former_status.as_deref() != Some("accepted")
    }

    fn headers(&self) -> Headers {
        let headers = self.headers.as_ref().and_then(|headers| headers.read().ok());
        Headers::from_json(&headers.unwrap_or(Value::Null))
    }

    fn documents(&self) -> &[Document] {
        match &self.outcome {
            Outcome::Documents(documents) => documents,
            Outcome::Ignored { .. } | Outcome::Quarantined(_) => &[],
        }
    }

    /// When the source's claim was seen: when the platform sent it, for then a redelivery of it is no later
    /// claim, but never later than we received it.
    fn observed_at(&self) -> i64 {
        self.emitted_at.map_or(self.received_at, |emitted| emitted.min(self.received_at))
    }

    /// The event's status, and the code and reason where it is not `accepted`.
    fn status(&self) -> (&'static str, Option<&'static str>, Option<String>) {
        match &self.outcome {
            Outcome::Documents(documents) if documents.is_empty() => {
                ("ignored", None, Some("it carries no record of the canonical model".to_owned()))
            }
            Outcome::Documents(_) => ("accepted", None, None),
            Outcome::Ignored { reason } => ("ignored", None, Some(reason.clone())),
            Outcome::Quarantined(error) => {
                ("quarantined", Some(error.code.as_str()), Some(error.to_string()))
            }
        }
    }

    fn into_row(self) -> (String, Option<PgUuid>, String, Option<PgUuid>, Option<String>) {
        let (status, event_id, reason) = match (&self.source, self.duplicate_of) {
            (None, _) => ("rejected", None, Some("the tenant has no such active connector".to_owned())),
            (Some(_), Some(original)) => ("duplicate", Some(original), None),
            (Some(_), None) => {
                let (status, _, reason) = self.status();
                (status, Some(self.event_id), reason)
            }
        };
        let duplicate_of = self.duplicate_of.map(from_core);
        (status.to_owned(), event_id.map(from_core), self.trace.trace_id, duplicate_of, reason)
    }
}

fn begin_trace() -> TraceContext {
    TraceContext::begin(*Uuid::new_v4().as_bytes())
}

/// A failure of the database as the reason for quarantine.
fn unstorable(failure: &str) -> Error {
    Error::new(Code::Unstorable, format!("the database refused what the payload gave: {failure}"))
}
