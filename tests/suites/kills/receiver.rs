//! A receiver that survives everybody, and fails now and then.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use nexus_tests::random::Random;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Of so many requests one is answered 503.
const FAILS_ONE_IN: u64 = 10;

/// The receiver.
#[derive(Clone)]
pub struct Receiver {
    base_url: String,
    state: Arc<Mutex<Kept>>,
}

struct Kept {
    random: Random,
    /// Jobs by their event's id, domain events by their own: whether one of the requests with it was answered 200.
    arrived: HashMap<Uuid, bool>,
    count: u64,
}

impl Receiver {
    /// Opens it on a free port of loopback.
    pub async fn start(random: Random) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Kept { random, arrived: HashMap::new(), count: 0 }));
        let router = Router::new().fallback(receive).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base_url, state }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Requests that came.
    pub fn count(&self) -> u64 {
        self.state.lock().unwrap().count
    }

    /// Whether the job of an event, or a domain event, came.
    pub fn has_seen(&self, id: Uuid) -> bool {
        self.state.lock().unwrap().arrived.contains_key(&id)
    }

    /// Whether it came and was answered 200.
    pub fn has_taken(&self, id: Uuid) -> bool {
        self.state.lock().unwrap().arrived.get(&id).is_some_and(|is_taken| *is_taken)
    }
}

async fn receive(State(state): State<Arc<Mutex<Kept>>>, uri: Uri, bytes: Bytes) -> StatusCode {
    let body: Value = serde_json::from_slice(&bytes).expect("a JSON body");
    let name = if uri.path() == "/jobs" { "event_id" } else { "id" };
    let id = body[name].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let mut state = state.lock().unwrap();
    state.count += 1;
    let is_taken = state.random.below(FAILS_ONE_IN) != 0;
    *state.arrived.entry(id).or_default() |= is_taken;
    if is_taken { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
