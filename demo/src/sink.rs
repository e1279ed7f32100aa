//! The receiving end: what an ERP and a subscriber would be. It keeps what comes, in memory, for people and
//! programs to look at.
//!
//! | path | |
//! | --- | --- |
//! | `POST /jobs/callback` | takes a job (202), works on it for a moment, and reports its end to `callback_url` |
//! | `POST /jobs/sync` | takes a job and answers with its result at once |
//! | `POST` anything else | takes it: 204 |
//! | `GET /received` | what came, oldest first |
//! | `PUT /secrets` | an array of `whsec_…` secrets to check signatures with |

use anyhow::{Context as _, Result};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use jiff::Timestamp;
use nexus_core::connector::{KeyEncoding, Receive, Scheme, Signature};
use nexus_core::normalize::Headers;
use nexus_core::signature::{self, SignedRequest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// So many of the latest requests are kept.
const KEPT: usize = 1000;
const BODY_BYTES: usize = 1 << 20;
/// What an ERP would need to book an order.
const WORK_TIME: Duration = Duration::from_millis(120);

/// A request that came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received {
    /// When.
    pub at: Timestamp,
    /// Where to.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Map<String, Value>,
    /// Its body: JSON, or a string if it is none.
    pub body: Value,
    /// Whether one of the known secrets signed it; null while none is known.
    pub is_verified: Option<bool>,
}

#[derive(Default)]
struct Sink {
    received: Mutex<VecDeque<Received>>,
    secrets: Mutex<Vec<String>>,
    client: reqwest::Client,
}

/// Serves on a free port of 127.0.0.1 until the process ends; writes the port down once it is open.
pub async fn serve(port_file: &Path) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port can be opened")?;
    let port = listener.local_addr()?.port();
    let unfinished = port_file.with_extension("new");
    std::fs::write(&unfinished, port.to_string())
        .and_then(|()| std::fs::rename(&unfinished, port_file))
        .with_context(|| format!("{} cannot be written", port_file.display()))?;
    println!("receiving on http://127.0.0.1:{port}");
    axum::serve(listener, router()).await.context("serving ended")
}

fn router() -> Router {
    Router::new()
        .route("/received", get(list))
        .route("/secrets", put(learn))
        .fallback(receive)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(Arc::new(Sink::default()))
}

async fn list(State(sink): State<Arc<Sink>>) -> Json<VecDeque<Received>> {
    Json(held(&sink.received).clone())
}

async fn learn(State(sink): State<Arc<Sink>>, Json(secrets): Json<Vec<String>>) -> StatusCode {
    *held(&sink.secrets) = secrets;
    StatusCode::NO_CONTENT
}

async fn receive(
    State(sink): State<Arc<Sink>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    if method != Method::POST {
        return StatusCode::NOT_FOUND.into_response();
    }
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let body: Value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    let received = Received {
        at: Timestamp::now(),
        path: uri.path().to_owned(),
        is_verified: is_verified(&held(&sink.secrets), &headers, &bytes),
        headers: headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
        body: body.clone(),
    };
    {
        let mut kept = held(&sink.received);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(received);
    }
    match uri.path() {
        "/jobs/callback" => {
            tokio::spawn(work_and_report(sink.client.clone(), body));
            StatusCode::ACCEPTED.into_response()
        }
        "/jobs/sync" => Json(booked(&body)).into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

/// By Standard Webhooks, against every secret that is known.
fn is_verified(secrets: &[String], headers: &[(String, String)], body: &[u8]) -> Option<bool> {
    if secrets.is_empty() {
        return None;
    }
    let receive = Receive {
        signature: Signature {
            scheme: Scheme::StandardWebhooks,
            key: KeyEncoding::Base64,
            ..Signature::default()
        },
        ..Receive::default()
    };
    let headers = Headers::from_pairs(headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let request =
        SignedRequest { method: "POST", url: "", headers: &headers, body, now: Timestamp::now().as_second() };
    let secrets: Vec<&[u8]> = secrets.iter().map(String::as_bytes).collect();
    Some(signature::verify(&receive, &request, &secrets).is_ok())
}

/// What an ERP would do: book the order, then tell.
async fn work_and_report(client: reqwest::Client, job: Value) {
    let started = Instant::now();
    let (Some(url), Some(token)) = (job["callback_url"].as_str(), job["callback_token"].as_str()) else {
        eprintln!("a job came without callback_url and callback_token");
        return;
    };
    tokio::time::sleep(WORK_TIME).await;
    let report = json!({
        "callback_token": token,
        "status": "succeeded",
        "duration_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "transformed_output": booked(&job),
    });
    match client.post(url).json(&report).send().await {
        Ok(answer) => println!("job {}: the callback was answered {}", job["job_id"], answer.status()),
        Err(error) => eprintln!("job {}: the callback was not taken: {error}", job["job_id"]),
    }
}

/// The result of booking a job's order.
fn booked(job: &Value) -> Value {
    let order = &job["normalized_payload"];
    json!({
        "booking": order["order_number"].as_str().map(|number| format!("SO-{}", number.trim_start_matches('#'))),
        "lines": order["lines"].as_array().map_or(0, Vec::len),
        "total_amount": order["total_amount"],
        "currency": order["currency"],
    })
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_core::envelope;
    use nexus_core::routing::SignatureVersion;

    #[test]
    fn a_signature_is_checked_once_a_secret_is_known() {
        let secret = envelope::signing_secret(SignatureVersion::V1, [7; 32]);
        let key = envelope::SigningKey::parse(&secret).expect("a key");
        let (id, body, now) = ("msg_1", br#"{"a":1}"#, Timestamp::now().as_second());
        let signed = envelope::sign([&key].into_iter(), id, now, body);
        let headers: Vec<(String, String)> = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signed),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let other = envelope::signing_secret(SignatureVersion::V1, [8; 32]);
        assert_eq!(is_verified(&[], &headers, body), None);
        assert_eq!(is_verified(std::slice::from_ref(&other), &headers, body), Some(false));
        assert_eq!(is_verified(&[other, secret.clone()], &headers, body), Some(true));
        assert_eq!(is_verified(&[secret], &headers, br#"{"a":2}"#), Some(false));
    }

    #[test]
    fn a_booking_names_what_was_booked() {
        let job = json!({ "normalized_payload": { "order_number": "#7", "lines": [{}, {}], "total_amount": "1.50" } });
        let expected = json!({ "booking": "SO-7", "lines": 2, "total_amount": "1.50", "currency": null });
        assert_eq!(booked(&job), expected);
    }
}
