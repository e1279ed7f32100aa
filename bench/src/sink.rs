//! A receiver that answers at once, or as slowly as it is told, and keeps the time.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// How long `/slow` takes.
pub const SLOW: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);
/// Nothing came for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(30);

/// The receiver; it serves as long as the runtime lives.
#[derive(Clone)]
pub struct Sink {
    base_url: String,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    arrived: usize,
    signed: usize,
    first: Option<Instant>,
    body: Bytes,
    /// The trace of each request to `/timed`, and when it came.
    times: Vec<(String, Instant)>,
}

impl Sink {
    /// Opens it on a free port of loopback.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let router = Router::new()
            .route("/now", post(now))
            .route("/timed", post(timed))
            .route("/slow", post(slow))
            .with_state(Arc::clone(&kept));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { base_url, kept })
    }

    /// The URL of a path: `/now` and `/timed` answer at once, `/slow` takes [`SLOW`].
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Counts from nothing again.
    pub fn begin(&self) {
        *self.lock() = Kept::default();
    }

    /// Waits until so many have come; when the first of them came.
    pub async fn wait_for(&self, count: usize) -> io::Result<Instant> {
        let mut last = (0, Instant::now());
        loop {
            let (arrived, first) = {
                let kept = self.lock();
                (kept.arrived, kept.first)
            };
            if arrived >= count
                && let Some(first) = first
            {
                return Ok(first);
            }
            if arrived != last.0 {
                last = (arrived, Instant::now());
            } else if last.1.elapsed() > SILENCE {
                return Err(io::Error::other(format!("{arrived} of {count} came, and then nothing more")));
            }
            sleep(PAUSE).await;
        }
    }

    /// Requests that came.
    pub fn arrived(&self) -> usize {
        self.lock().arrived
    }

    /// Those of them that were signed.
    pub fn signed(&self) -> usize {
        self.lock().signed
    }

    /// What came last.
    pub fn body(&self) -> Bytes {
        self.lock().body.clone()
    }

    /// The trace of each request to `/timed`, and when it came.
    pub fn times(&self) -> Vec<(String, Instant)> {
        self.lock().times.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn now(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    take(&kept, &headers, body);
    StatusCode::OK
}

async fn timed(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at = take(&kept, &headers, body);
    let parent = headers.get("traceparent").and_then(|parent| parent.to_str().ok());
    if let Some(trace_id) = parent.and_then(|parent| parent.split('-').nth(1)) {
        lock(&kept).times.push((trace_id.to_owned(), at));
    }
    StatusCode::OK
}

async fn slow() -> StatusCode {
    sleep(SLOW).await;
    StatusCode::OK
}

fn take(kept: &Mutex<Kept>, headers: &HeaderMap, body: Bytes) -> Instant {
    let at = Instant::now();
    let mut kept = lock(kept);
    kept.arrived += 1;
    kept.signed += usize::from(headers.contains_key("webhook-signature"));
    kept.first.get_or_insert(at);
    kept.body = body;
    at
}
