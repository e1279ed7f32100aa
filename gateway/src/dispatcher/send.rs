//! One HTTP request, sent safely: to checked addresses, without redirects, bounded in time and size.

use super::target::{Allowed, CheckingResolver, Refused, Unresolved};
use crate::error::{Chain, StartError};
use jiff::Timestamp;
use nexus_core::retry::ErrorClass;
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// More of an answer is not read.
const ANSWER_BYTES: usize = 64 << 10;

/// What is sent.
pub struct Outgoing {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// For the whole attempt, from resolving the name to the answer's last byte.
    pub timeout: Duration,
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most 64 KiB.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// Seconds from now.
    pub retry_after: Option<u32>,
}

/// Why nothing came back.
#[derive(Debug)]
pub struct NotSent {
    pub class: ErrorClass,
    pub message: String,
}

/// Sends. Connections are kept and used again.
#[derive(Debug, Clone)]
pub struct Sender {
    client: reqwest::Client,
    allowed: Arc<Allowed>,
}

impl Sender {
    /// A sender to public addresses and those allowed beside them.
    pub fn new(allowed: Allowed) -> Result<Self, StartError> {
        let allowed = Arc::new(allowed);
        let client = reqwest::Client::builder()
            .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(CheckingResolver(Arc::clone(&allowed))))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| StartError::settings(format!("no HTTP client: {}", Chain(&error))))?;
        Ok(Self { client, allowed })
    }

    /// Makes one attempt, and says how long it took.
    pub async fn send(&self, outgoing: Outgoing) -> (Result<Answered, NotSent>, Duration) {
        let started = Instant::now();
        let result = self.attempt(outgoing).await;
        (result, started.elapsed())
    }

    async fn attempt(&self, outgoing: Outgoing) -> Result<Answered, NotSent> {
        let Outgoing { method, url, headers, body, timeout } = outgoing;
        self.allowed
            .check(&url)
            .map_err(|refused| NotSent { class: ErrorClass::Ssrf, message: refused.to_string() })?;
        let request = self.client.request(method, url).headers(headers).body(body).timeout(timeout);
        let mut response = request.send().await.map_err(not_sent)?;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        // A body that breaks off does not undo the status that was answered.
        let is_whole = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = ANSWER_BYTES - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    if chunk.len() > room {
                        break false;
                    }
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let retry_after = retry_after(&headers, Timestamp::now());
        Ok(Answered { status, headers, body, is_whole, retry_after })
    }
}

fn not_sent(error: reqwest::Error) -> NotSent {
    let error = error.without_url();
    NotSent { class: class_of(&error), message: Chain(&error).to_string() }
}

/// The class of a failure, by the causes it holds.
fn class_of(error: &reqwest::Error) -> ErrorClass {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Refused>() {
            return ErrorClass::Ssrf;
        }
        if error.is::<Unresolved>() {
            return ErrorClass::Dns;
        }
        // An I/O error does not name what it wraps as its source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| wrapped.is::<rustls::Error>()) {
            return ErrorClass::Tls;
        }
        cause = error.source();
    }
    if error.is_timeout() { ErrorClass::Timeout } else { ErrorClass::Connect }
}

/// `Retry-After` in seconds from now, written as such or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<u32> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    u32::try_from(at.as_second() - now.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().expect("a time");
        let headers = |text| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        assert_eq!(retry_after(&headers("120"), now), Some(120));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT"), now), Some(37));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:40:00 GMT"), now), None, "past");
        assert_eq!(retry_after(&headers("soon"), now), None);
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let sender = |allowed: &str| {
            Sender::new(Allowed::parse([allowed].into_iter()).expect("blocks")).expect("a client")
        };
        let send = async |sender: &Sender, url: &str| {
            let outgoing = Outgoing {
                method: Method::POST,
                url: Url::parse(url).expect("a URL"),
                headers: HeaderMap::new(),
                body: Vec::new(),
                timeout: Duration::from_secs(20),
            };
            sender.send(outgoing).await.0.map(|answered| answered.status).map_err(|not_sent| not_sent.class)
        };
        // Bound and closed again: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port")
            .port();
        let strict = sender("");
        assert_eq!(send(&strict, "http://127.0.0.1:9/").await, Err(ErrorClass::Ssrf));
        assert_eq!(send(&strict, &format!("http://localhost:{port}/")).await, Err(ErrorClass::Ssrf));
        assert_eq!(send(&strict, "http://name.invalid/").await, Err(ErrorClass::Dns));
        let lenient = sender("loopback");
        assert_eq!(send(&lenient, &format!("http://127.0.0.1:{port}/")).await, Err(ErrorClass::Connect));
        assert_eq!(send(&lenient, &format!("http://localhost:{port}/")).await, Err(ErrorClass::Connect));
    }
}
