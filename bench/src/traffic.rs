//! Webhooks sent over HTTP: as fast as they are answered, or at a pace.

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// What can go wrong between sender and gateway.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A webhook to be sent.
#[derive(Debug, Clone)]
pub struct Post {
    /// `/hooks/{connector_id}`.
    pub path: String,
    /// Headers, with the signature.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Sends all over so many connections, each its next when the last was answered; with a pace (a second), not before
/// its time. When each was answered; that it was not taken in is an error.
pub async fn send(
    base_url: &str,
    posts: Vec<Post>,
    connections: usize,
    pace: Option<f64>,
) -> Result<Vec<Instant>, Failure> {
    let address: Arc<str> = base_url.trim_start_matches("http://").into();
    let (posts, next) = (Arc::new(posts), Arc::new(AtomicUsize::new(0)));
    let begin = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        senders.spawn(send_some(Arc::clone(&address), Arc::clone(&posts), Arc::clone(&next), begin, pace));
    }
    let mut answered = vec![begin; posts.len()];
    while let Some(sent) = senders.join_next().await {
        for (place, at) in sent?? {
            answered[place] = at;
        }
    }
    Ok(answered)
}

async fn send_some(
    address: Arc<str>,
    posts: Arc<Vec<Post>>,
    next: Arc<AtomicUsize>,
    begin: Instant,
    pace: Option<f64>,
) -> Result<Vec<(usize, Instant)>, Failure> {
    let stream = TcpStream::connect(&*address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut answered = Vec::new();
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(post) = posts.get(place) else { return Ok(answered) };
        if let Some(pace) = pace {
            sleep_until((begin + Duration::from_secs_f64(place as f64 / pace)).into()).await;
        }
        let mut request = Request::post(&post.path).header("host", &*address);
        for (name, value) in &post.headers {
            request = request.header(name, value);
        }
        sender.ready().await?;
        let response = sender.send_request(request.body(Full::new(post.body.clone()))?).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
        answered.push((place, Instant::now()));
        if !status.is_success() {
            return Err(format!("a webhook was answered {status}: {}", String::from_utf8_lossy(&body)).into());
        }
    }
}
