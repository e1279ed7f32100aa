//! `/hooks/{connector_id}` and `/hooks/{connector_id}/{secret}`: stage 1, validate.
//!
//! A forged request costs no database work, and a caller cannot tell an unknown connector from a bad
//! signature: the answer is the same, and comes after the same time. What is our own fault is never answered
//! with a 4xx, for which some platforms drop their subscription, but with 503: they send again.

mod answer;
pub mod batch;
pub mod keys;

use crate::app::App;
use crate::body;
use crate::configuration::{ActiveConnector, Configuration};
use crate::error::Error;
use crate::metrics;
use crate::secrets::{Owner, random};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use batch::{Received, StoredHeaders};
use jiff::Timestamp;
use nexus_core::connector::{Receive, Scheme, Signature};
use nexus_core::error::Code;
use nexus_core::normalize::Headers;
use nexus_core::signature::{self, HandshakeResponse, Instance, SignedRequest};
use nexus_core::trace::TraceContext;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

/// A refusal takes this long from the moment the body is there, whatever it took to find out: more than any
/// check takes, so that its time tells nothing.
const REFUSAL_TIME: Duration = Duration::from_millis(20);

/// A former secret stays valid beside the one that a handshake brought, in seconds: what was signed before
/// may still be under way.
const HANDSHAKE_OVERLAP: f64 = 3600.0;

/// After this time every gateway knows a secret that was stored. A handshake that stores one is answered
/// then: what the platform sends next may reach another gateway.
const KNOWN_EVERYWHERE: Duration = Duration::from_secs(1);

/// Receives a webhook, or answers a handshake.
pub async fn receive(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let body = read(body, &app.body_limits).await?;
    let received_at = Timestamp::now();
    let decided_at = Instant::now() + REFUSAL_TIME;

    let target = Target::of(parts.uri.path());
    let configuration = app.configuration.current();
    let active = target.connector_id.and_then(|id| Some((id, configuration.connectors.get(&id)?)));
    let headers = headers_of(&parts, target.path);
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
    let receive = active.receive()?;
    // A secret is in the path where the connector's scheme is that, and nowhere else.
    let Some(receive) = receive.filter(|receive| target.has_secret() == is_secret_path(receive)) else {
        verify_for_nothing(&signed);
        return refuse(decided_at).await;
    };
    let name = receive.signature.secret_name();
    let secrets: Vec<&[u8]> = configuration.secrets(active.tenant_id, connector_id, name).collect();
    if let Some(handshake) = handshake(&configuration, connector_id, active, receive, &signed)? {
        return conclude(&app, connector_id, active, handshake, secrets.len(), decided_at).await;
    }
    let is_signed = parts.method == Method::POST
        && match receive.signature.key_source {
            None => signature::verify(receive, &signed, &secrets).is_ok(),
            Some(_) => app.keys.verify(receive, &signed, connector_id, secrets.first().copied()).await?,
        };
    if !is_signed {
        if active.has_unreadable_secret && (secrets.is_empty() || parts.method != Method::POST) {
            return Err(lost_secret());
        }
        return refuse(decided_at).await;
    }

    // Counted after the check: a forger must not use up what the platform may send, nor learn from a 429 that
    // there is such a connector.
    if let Err(refused) = app.hook_limit.admit(connector_id) {
        metrics::hook("limited");
        return Err(refused);
    }

    let (headers, body) = match signature::sends_secret(receive) {
        true => {
            // As it was written in the path as well: proxies repeat that in headers.
            let written = target.secret.map(str::as_bytes);
            let secrets: Vec<&[u8]> = secrets.into_iter().chain(written).collect();
            without_secrets(&headers, body, &secrets)
        }
        false => (headers, body),
    };
    let received = Received {
        connector_id,
        traceparent: traceparent(&headers),
        headers: StoredHeaders::new(headers, &receive.signature),
        body,
        received_at,
    };
    match app.ingest.take(active.tenant_id, received).await {
        // The connector went, or was switched off, since the configuration in memory was read.
        Ok(ingested) if ingested.status == "rejected" => refuse(decided_at).await,
        Ok(ingested) => {
            metrics::hook(&ingested.status);
            Ok(answer::of_webhook(ingested, receive))
        }
        Err(error) => {
            metrics::hook("unavailable");
            Err(error)
        }
    }
}

/// What a request's path names.
struct Target<'a> {
    /// The path without the secret: what may be shown and stored.
    path: &'a str,
    /// `None` if what stands there is no id.
    connector_id: Option<Uuid>,
    /// The secret, as it was sent.
    secret: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Self {
        let beyond = path.strip_prefix("/hooks/").unwrap_or_default();
        let (id, secret) = beyond.split_once('/').map_or((beyond, None), |(id, secret)| (id, Some(secret)));
        let hidden = secret.map_or(0, |secret| secret.len() + 1);
        Self { path: &path[..path.len() - hidden], connector_id: id.parse().ok(), secret }
    }

    fn has_secret(&self) -> bool {
        self.secret.is_some()
    }
}

fn is_secret_path(receive: &Receive) -> bool {
    receive.signature.scheme == Scheme::SecretPath
}

/// The whole body, or 413.
async fn read(body: Body, limits: &body::Limits) -> Result<Bytes, Error> {
    body::read(body, limits).await.inspect_err(|error| {
        if error.code == Code::BodyTooLarge {
            metrics::hook("too_large");
        }
    })
}

/// Headers by lower-case name, and the request's line as pseudo-headers.
fn headers_of(parts: &Parts, path: &str) -> Headers {
    let plain = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let pseudo = [
        (":method", parts.method.as_str().to_owned()),
        (":path", path.to_owned()),
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

/// The answer to a handshake, if the request is one.
fn handshake(
    configuration: &Configuration,
    connector_id: Uuid,
    active: &ActiveConnector,
    receive: &Receive,
    signed: &SignedRequest<'_>,
) -> Result<Option<HandshakeResponse>, Error> {
    if receive.handshakes.is_empty() {
        return Ok(None);
    }
    let secrets: Vec<(&str, &[u8])> = configuration.named_secrets(active.tenant_id, connector_id).collect();
    let instance = Instance { settings: Some(&active.settings), secrets: &secrets, random: Some(random()?) };
    Ok(signature::handshake_of(receive, signed, &instance))
}

/// Stores what a handshake brought, and answers it.
async fn conclude(
    app: &App,
    connector_id: Uuid,
    active: &ActiveConnector,
    handshake: HandshakeResponse,
    secrets: usize,
    decided_at: Instant,
) -> Result<Response, Error> {
    if handshake.status == 401 {
        if active.has_unreadable_secret && secrets == 0 {
            return Err(lost_secret());
        }
        metrics::hook("refused");
        sleep_until(decided_at).await;
        return Ok(answer::of_handshake(handshake));
    }
    if !handshake.store.is_empty() {
        let owner = Owner { tenant_id: active.tenant_id, kind: "connector", id: connector_id };
        let secrets: Vec<(&str, &[u8])> =
            handshake.store.iter().map(|new| (new.name.as_str(), new.secret.as_slice())).collect();
        let actor = format!("connector:{connector_id}");
        app.vault.put_all(&app.database, &actor, owner, &secrets, HANDSHAKE_OVERLAP).await?;
        app.configuration.refresh_now(&app.database).await;
        sleep(KNOWN_EVERYWHERE).await;
    }
    metrics::hook("handshake");
    Ok(answer::of_handshake(handshake))
}

fn lost_secret() -> Error {
    metrics::hook("secret_unreadable");
    let detail = "the connector's secret cannot be opened; the gateway's log says why";
    Error::new(Code::SecretUnreadable, detail).retry_after(60)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart_without_its_secret() {
        let id = "018f3b1c-0000-7000-8000-000000000001";
        for (path, shown, has_id, secret) in [
            (format!("/hooks/{id}"), format!("/hooks/{id}"), true, None),
            (format!("/hooks/{id}/s%20x"), format!("/hooks/{id}"), true, Some("s%20x")),
            ("/hooks/nobody/x".to_owned(), "/hooks/nobody".to_owned(), false, Some("x")),
        ] {
            let target = Target::of(&path);
            assert_eq!((target.path, target.secret), (shown.as_str(), secret));
            assert_eq!(target.connector_id.is_some(), has_id, "{path}");
        }
    }
}
