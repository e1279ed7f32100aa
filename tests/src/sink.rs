//! A receiver of jobs and webhooks that keeps what comes and answers as told.

use crate::authority::Certificate;
use crate::wait::eventually;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use nexus_core::connector::{KeyEncoding, Receive, Scheme, Signature};
use nexus_core::normalize::Headers;
use nexus_core::signature::{self, SignedRequest};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The receiver; it serves as long as the test's runtime lives.
#[derive(Clone)]
pub struct Sink {
    base_url: String,
    state: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    received: Vec<Received>,
    replies: HashMap<String, VecDeque<Reply>>,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// Where to.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub bytes: Bytes,
}

/// An answer to come.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    body: String,
    /// Answers what it was sent.
    is_echo: bool,
    /// Answers only once this has been opened.
    gate: Option<Arc<Semaphore>>,
}

impl Reply {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self { status, body: String::new(), is_echo: false, gate: None }
    }

    /// A status with JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self { body: body.to_string(), ..Self::status(status) }
    }

    /// A status with what came, as chatty receivers answer.
    pub fn echo(status: u16) -> Self {
        Self { is_echo: true, ..Self::status(status) }
    }

    /// An answer that waits until [`Gate::open`].
    pub fn held(mut self) -> (Self, Gate) {
        let gate = Arc::new(Semaphore::new(0));
        self.gate = Some(Arc::clone(&gate));
        (self, Gate(gate))
    }
}

/// What holds an answer back.
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// Lets the answer out.
    pub fn open(&self) {
        self.0.add_permits(1);
    }
}

impl Sink {
    /// Opens a receiver on a free port of loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, base_url)
    }

    /// The same behind TLS, at `localhost`, whatever the certificate says.
    pub async fn start_with(certificate: &Certificate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        Self::serve(certificate.listen(listener), base_url)
    }

    fn serve(listener: impl Listener<Addr = SocketAddr>, base_url: String) -> Self {
        let state: Arc<Mutex<Kept>> = Arc::default();
        let router = Router::new().fallback(receive).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base_url, state }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Answers the next request to the path so; without answers left it is 200.
    pub fn answer(&self, path: &str, reply: Reply) {
        self.state.lock().unwrap().replies.entry(path.to_owned()).or_default().push_back(reply);
    }

    /// What came to a path.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let state = self.state.lock().unwrap();
        state.received.iter().filter(|received| received.path == path).cloned().collect()
    }

    /// Waits until so many have come to a path.
    pub async fn wait_for(&self, path: &str, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests came to {path}"), async || {
            let received = self.received(path);
            (received.len() >= count).then_some(received)
        })
        .await
    }
}

impl Received {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("a JSON body")
    }

    /// A header's text; empty if it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether a private key signed it of which this is the public one, by Standard Webhooks' `v1a`.
    pub fn is_verified_by(&self, public_key: &str) -> bool {
        let key = STANDARD.decode(public_key.strip_prefix("whpk_").expect("whpk_")).expect("base64");
        let key = UnparsedPublicKey::new(&ED25519, key);
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let content = [format!("{id}.{timestamp}.").as_bytes(), &self.bytes].concat();
        let signatures = self.header("webhook-signature").split(' ');
        let mut signatures =
            signatures.filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1a,")?).ok());
        signatures.any(|signature| key.verify(&content, &signature).is_ok())
    }

    /// Whether the secret signed it, by Standard Webhooks 1.0.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let signature =
            Signature { scheme: Scheme::StandardWebhooks, key: KeyEncoding::Base64, ..Signature::default() };
        let receive = Receive { signature, ..Receive::default() };
        let pairs =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap().to_owned()));
        let headers = Headers::from_pairs(pairs);
        let now = Timestamp::now().as_second();
        let request = SignedRequest { method: "POST", url: "", headers: &headers, body: &self.bytes, now };
        signature::verify(&receive, &request, &[secret.as_bytes()]).is_ok()
    }
}

async fn receive(
    State(state): State<Arc<Mutex<Kept>>>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let reply = {
        let mut state = state.lock().unwrap();
        let path = uri.path().to_owned();
        let reply = state.replies.get_mut(&path).and_then(VecDeque::pop_front);
        let mut reply = reply.unwrap_or_else(|| Reply::status(200));
        if reply.is_echo {
            reply.body = String::from_utf8_lossy(&bytes).into_owned();
        }
        state.received.push(Received { at: Instant::now(), path, headers, bytes });
        reply
    };
    if let Some(gate) = &reply.gate {
        // Never closed, so there is no error to meet.
        let _ = gate.acquire().await.map(tokio::sync::SemaphorePermit::forget);
    }
    (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response()
}
