//! Webhooks sent over HTTP: as fast as they are answered, at a pace, or all at once.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

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
    let mut connection = Connection::open(address).await?;
    let mut answered = Vec::new();
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(post) = posts.get(place) else { return Ok(answered) };
        if let Some(pace) = pace {
            sleep_until((begin + Duration::from_secs_f64(place as f64 / pace)).into()).await;
        }
        let answer = connection.post(post).await?;
        answered.push((place, Instant::now()));
        if !answer.status().is_success() {
            return Err(refused(&answer));
        }
    }
}

/// Sends all at once, each over a connection of its own that stands already, and again after a pause whenever it is told to
/// come again: by 503 with Retry-After, which `refusals` counts. What each was answered in the end; another answer than
/// 202 is an error.
pub async fn flood(
    base_url: &str,
    posts: Vec<Post>,
    pause: Duration,
    refusals: Arc<AtomicUsize>,
) -> Result<Vec<Bytes>, Failure> {
    let address: Arc<str> = base_url.trim_start_matches("http://").into();
    // Not all of them at a time: the system's queue before a listener is short.
    let connections = (0..posts.len()).map(|_| async {
        let mut connection = Connection::open(Arc::clone(&address)).await?;
        let request = Request::get("/healthz").header("host", &*address).body(Full::default())?;
        connection.ask(request).await?;
        Ok::<_, Failure>(connection)
    });
    let connections: Vec<_> = stream::iter(connections).buffer_unordered(64).try_collect().await?;
    let mut senders = JoinSet::new();
    for (post, mut connection) in posts.into_iter().zip(connections) {
        let refusals = Arc::clone(&refusals);
        senders.spawn(async move {
            loop {
                let answer = connection.post(&post).await?;
                match answer.status() {
                    StatusCode::ACCEPTED => return Ok(answer.into_body()),
                    StatusCode::SERVICE_UNAVAILABLE if answer.headers().contains_key(RETRY_AFTER) => {
                        refusals.fetch_add(1, Ordering::Relaxed);
                        sleep(pause).await;
                    }
                    _ => return Err(refused(&answer)),
                }
            }
        });
    }
    let mut taken_in = Vec::with_capacity(senders.len());
    while let Some(sent) = senders.join_next().await {
        taken_in.push(sent??);
    }
    Ok(taken_in)
}

fn refused(answer: &Response<Bytes>) -> Failure {
    let body = String::from_utf8_lossy(answer.body());
    format!("a webhook was answered {}: {body}", answer.status()).into()
}

/// A connection that stays.
struct Connection {
    address: Arc<str>,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(address: Arc<str>) -> Result<Self, Failure> {
        let stream = TcpStream::connect(&*address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Sends a webhook; the whole answer.
    async fn post(&mut self, post: &Post) -> Result<Response<Bytes>, Failure> {
        let mut request = Request::post(&post.path).header("host", &*self.address);
        for (name, value) in &post.headers {
            request = request.header(name, value);
        }
        self.ask(request.body(Full::new(post.body.clone()))?).await
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failure> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}
