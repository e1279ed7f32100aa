//! `POST /hooks/{connector_id}`: stage 1, validate.
//!
//! A forged request costs no database work, and a caller cannot tell an unknown connector from a bad
//! signature: the answer is the same, and comes after the same time.

pub mod batch;

use crate::app::App;
use crate::body;
use crate::configuration::{ActiveConnector, WEBHOOK};
use crate::error::Error;
use crate::metrics;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use batch::{Ingested, Received, StoredHeaders};
use jiff::Timestamp;
use nexus_core::connector::{Receive, Scheme, Signature};
use nexus_core::error::Code;
use nexus_core::normalize::Headers;
use nexus_core::signature::{self, SignedRequest};
use nexus_core::trace::TraceContext;
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// A refusal takes this long from the moment the body is there, whatever it took to find out: more than any
/// check takes, so that its time tells nothing.
const REFUSAL_TIME: Duration = Duration::from_millis(20);

/// Receives a webhook.
pub async fn receive(
    State(app): State<Arc<App>>,
    Path(connector_id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let body = read(body, app.body_limits).await?;
    let received_at = Timestamp::now();
    let decided_at = Instant::now() + REFUSAL_TIME;

    let configuration = app.configuration.current();
    let connector_id: Option<Uuid> = connector_id.parse().ok();
    let active = connector_id.and_then(|id| configuration.connectors.get(&id).map(|active| (id, active)));
    let headers = headers_of(&parts);
    let url = format!("{}{}", app.public_url, parts.uri.path_and_query().map_or("/", |path| path.as_str()));
    let signed = SignedRequest {
        method: parts.method.as_str(),
        url: &url,
        headers: &headers,
        body: &body,
        now: received_at.as_second(),
    };

    let Some((connector_id, active)) = active else {
        verify_for_nothing(&signed);
        return refuse(decided_at).await;
    };
    let Some(connector) = active.connector.as_deref() else {
        return Err(Error::new(Code::NotReady, "the connector's manifest cannot be used").retry_after(60));
    };
    let Some(receive) = connector.receive() else {
        verify_for_nothing(&signed);
        return refuse(decided_at).await;
    };
    if let Some(handshake) = signature::handshake(receive, &signed) {
        metrics::hook("handshake");
        return Ok(answer_handshake(handshake));
    }
    let secrets: Vec<&[u8]> = configuration.secrets(active.tenant_id, connector_id, WEBHOOK).collect();
    if parts.method != axum::http::Method::POST || signature::verify(receive, &signed, &secrets).is_err() {
        if has_lost_its_secret(active, secrets.len()) {
            metrics::hook("secret_unreadable");
            let detail = "the connector's secret cannot be opened; the gateway's log says why";
            return Err(Error::new(Code::SecretUnreadable, detail).retry_after(60));
        }
        return refuse(decided_at).await;
    }

    // Counted after the check: a forger must not use up what the platform may send, nor learn from a 429 that
    // there is such a connector.
    if let Err(refused) = app.hook_limit.admit(connector_id) {
        metrics::hook("limited");
        return Err(refused);
    }

    // A bearer token opens the door for as long as it is in force.
    let secret_header = match receive.signature.scheme {
        Scheme::StaticHeader | Scheme::Jwt => receive.signature.header.clone(),
        _ => None,
    };
    let (headers, body) = match signature::sends_secret(receive) {
        true => without_secrets(&headers, body, &secrets),
        false => (headers, body),
    };
    let status = connector.response_status();
    let tenant_id = active.tenant_id;
    let received = Received {
        connector_id,
        traceparent: traceparent(&headers),
        headers: StoredHeaders { headers, secret_header },
        body,
        received_at,
    };
    drop(configuration);
    match app.ingest.take(tenant_id, received).await {
        // The connector went, or was switched off, since the configuration in memory was read.
        Ok(ingested) if ingested.status == "rejected" => refuse(decided_at).await,
        Ok(ingested) => {
            metrics::hook(&ingested.status);
            Ok(answer(ingested, status))
        }
        Err(error) => {
            metrics::hook("unavailable");
            Err(error)
        }
    }
}

/// The whole body, or 413.
async fn read(body: Body, limits: body::Limits) -> Result<Bytes, Error> {
    body::read(body, limits).await.inspect_err(|error| {
        if error.code == Code::BodyTooLarge {
            metrics::hook("too_large");
        }
    })
}

/// Headers by lower-case name, and the request's line as pseudo-headers.
fn headers_of(parts: &Parts) -> Headers {
    let plain = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let pseudo = [
        (":method", parts.method.as_str().to_owned()),
        (":path", parts.uri.path().to_owned()),
        (":query", parts.uri.query().unwrap_or_default().to_owned()),
    ];
    Headers::from_pairs(plain.chain(pseudo))
}

/// What is stored of a request that repeats the secret.
fn without_secrets(headers: &Headers, body: Bytes, secrets: &[&[u8]]) -> (Headers, Bytes) {
    let masked = |(name, value)| (name, signature::masked(value, secrets));
    let body = match std::str::from_utf8(&body) {
        Ok(text) => signature::masked(text, secrets).into(),
        Err(_) => body,
    };
    (Headers::from_pairs(headers.iter().map(masked)), body)
}

/// The work of a check whose result is known.
fn verify_for_nothing(request: &SignedRequest<'_>) {
    const HEADER: &str = "nexus-signature";
    static RECEIVE: LazyLock<Receive> = LazyLock::new(|| Receive {
        signature: Signature {
            scheme: Scheme::Hmac,
            header: Some(HEADER.to_owned()),
            ..Signature::default()
        },
        ..Receive::default()
    });
    let headers = Headers::from_pairs([(HEADER, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]);
    let request = SignedRequest { headers: &headers, ..*request };
    // The result is not used, and must not be left out for that reason.
    let _ = std::hint::black_box(signature::verify(&RECEIVE, &request, &[b"no connector has this secret"]));
}

fn has_lost_its_secret(active: &ActiveConnector, opened: usize) -> bool {
    active.has_unreadable_secret && opened == 0
}

async fn refuse(at: Instant) -> Result<Response, Error> {
    metrics::hook("refused");
    sleep_until(at).await;
    Err(Error::new(
        Code::InvalidSignature,
        "the signature is missing, wrong or too old, or there is no such connector",
    )
    .hint("check the URL and the connector's secret, and that the body reaches Nexus unchanged"))
}

/// The sender's `traceparent`, if it is one.
fn traceparent(headers: &Headers) -> Option<String> {
    headers.get("traceparent").filter(|header| TraceContext::parse(header).is_some()).map(str::to_owned)
}

fn answer_handshake(handshake: signature::HandshakeResponse) -> Response {
    let status = StatusCode::from_u16(handshake.status).unwrap_or(StatusCode::OK);
    let mut response = (status, handshake.body).into_response();
    for (name, value) in handshake.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn answer(ingested: Ingested, status: u16) -> Response {
    let status = match ingested.status.as_str() {
        "duplicate" => StatusCode::OK,
        _ => StatusCode::from_u16(status).unwrap_or(StatusCode::ACCEPTED),
    };
    let mut body = Map::new();
    body.insert("status".to_owned(), ingested.status.into());
    body.insert("event_id".to_owned(), ingested.event_id.map_or(Value::Null, |id| id.to_string().into()));
    body.insert("trace_id".to_owned(), ingested.trace_id.clone().map_or(Value::Null, Value::String));
    if let Some(duplicate_of) = ingested.duplicate_of {
        body.insert("duplicate_of".to_owned(), duplicate_of.to_string().into());
    }
    if let Some(reason) = ingested.reason {
        body.insert("reason".to_owned(), reason.into());
    }
    let mut response = (status, Json(Value::Object(body))).into_response();
    if let Some(trace_id) = ingested.trace_id.and_then(|id| HeaderValue::try_from(id).ok()) {
        response.headers_mut().insert(crate::router::TRACE_ID, trace_id);
    }
    response
}
