//! One HTTP request, sent safely: to checked addresses, without redirects, bounded in time and size.

use super::target::{Allowed, CheckingResolver, Refused, Unresolved};
use crate::error::{Chain, StartError};
use jiff::Timestamp;
use nexus_core::envelope::masked;
use nexus_core::retry::ErrorClass;
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::{Serialize, Serializer as _};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// Standard Webhooks' header for signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

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

/// What is kept of a request. Its body is not: it is the event's or the job's, of which it was made.
#[derive(Debug, Clone)]
pub struct Sent {
    /// A JSON object, by name; signatures are masked.
    pub headers: String,
    /// The body's length.
    pub bytes: usize,
    /// The body's SHA-256.
    pub sha256: [u8; 32],
}

impl Sent {
    fn of(outgoing: &Outgoing) -> Self {
        let headers = outgoing.headers.iter().map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes());
            (name.as_str(), if name == SIGNATURE_HEADER { Cow::Owned(masked(&text)) } else { text })
        });
        Self {
            headers: json_object(headers),
            bytes: outgoing.body.len(),
            sha256: Sha256::digest(&outgoing.body).into(),
        }
    }
}

/// Texts by name, as a JSON object.
pub fn json_object<'a, T: Serialize>(members: impl IntoIterator<Item = (&'a str, T)>) -> String {
    let mut json = Vec::with_capacity(512);
    // Texts can be written, and memory takes all that is.
    let written = serde_json::Serializer::new(&mut json).collect_map(members);
    written.ok().and_then(|()| String::from_utf8(json).ok()).unwrap_or_else(|| "{}".to_owned())
}

/// An attempt that has been made, or could not be.
#[derive(Debug)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// From resolving the name to the answer's last byte.
    pub took: Duration,
    /// What was sent, or was to be; `None` where there was nothing to send.
    pub sent: Option<Sent>,
    /// What came of it.
    pub result: Result<Answered, NotSent>,
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
        Self::resolving_by(CheckingResolver::new(Arc::clone(&allowed)), allowed)
    }

    fn resolving_by(resolver: CheckingResolver, allowed: Arc<Allowed>) -> Result<Self, StartError> {
        // Answers are not decompressed: what is small on the way stays small.
        let client = reqwest::Client::builder()
            .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(resolver))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| StartError::settings(format!("no HTTP client: {}", Chain(&error))))?;
        Ok(Self { client, allowed })
    }

    /// Makes the attempt that began at `at`, if there is something to send.
    pub async fn attempt(&self, prepared: Result<Outgoing, NotSent>, at: Timestamp) -> Attempt {
        let (started, sent) = (Instant::now(), prepared.as_ref().ok().map(Sent::of));
        let result = match prepared {
            Ok(outgoing) => self.send(outgoing).await,
            Err(not_sent) => Err(not_sent),
        };
        Attempt { at, took: started.elapsed(), sent, result }
    }

    /// Sends a request and reads the beginning of the answer.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Answered, NotSent> {
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
        if error.is::<rustls::Error>() {
            return ErrorClass::Tls;
        }
        // Whoever answers something else than HTTP, or too much of it, was reached.
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return ErrorClass::Http;
        }
        // An I/O error does not name what it wraps as its source, but that one's source.
        cause = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|wrapped| wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        };
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
    use reqwest::header::{HeaderName, HeaderValue};

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().expect("a time");
        let headers = |text| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
        assert_eq!(retry_after(&headers("120"), now), Some(120));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:37 GMT"), now), Some(37));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:40:00 GMT"), now), None, "past");
        assert_eq!(retry_after(&headers("soon"), now), None);
    }

    async fn send(sender: &Sender, url: &str) -> Result<u16, ErrorClass> {
        let outgoing = Outgoing {
            method: Method::POST,
            url: Url::parse(url).expect("a URL"),
            headers: HeaderMap::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(20),
        };
        let answered = sender.send(outgoing).await;
        answered.map(|answered| answered.status).map_err(|not_sent| not_sent.class)
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let sender = |allowed: &str| {
            Sender::new(Allowed::parse([allowed].into_iter()).expect("blocks")).expect("a client")
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

    /// A name that is harmless when it is looked at, and somebody else's address once it is sent to.
    #[tokio::test]
    async fn a_name_that_changes_its_address_is_refused_at_the_next_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = io::Read::read(&mut stream, &mut [0; 4096]);
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            io::Write::write_all(&mut stream, answer).expect("it is taken");
        });
        let allowed = Arc::new(Allowed::parse(["loopback"].into_iter()).expect("blocks"));
        let asked = std::sync::atomic::AtomicU32::new(0);
        let resolver = CheckingResolver::with(Arc::clone(&allowed), move |_| {
            let is_first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            vec![([if is_first { 127 } else { 10 }, 0, 0, 1], 0).into()]
        });
        let sender = Sender::resolving_by(resolver, allowed).expect("a client");
        let url = format!("http://rebinding.example:{port}/");
        assert_eq!(send(&sender, &url).await, Ok(204));
        server.join().expect("it answered");
        assert_eq!(send(&sender, &url).await, Err(ErrorClass::Ssrf));
    }

    #[test]
    fn what_is_kept_of_a_request_is_not_enough_to_send_it_again() {
        let headers = [("webhook-id", "1"), (SIGNATURE_HEADER, "v1,AAAABBBBCCCC")];
        let headers =
            headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let outgoing = Outgoing {
            method: Method::POST,
            url: Url::parse("http://example.com/").expect("a URL"),
            headers: headers.into_iter().collect(),
            body: b"abc".to_vec(),
            timeout: Duration::ZERO,
        };
        let sent = Sent::of(&outgoing);
        assert_eq!(sent.headers, r#"{"webhook-id":"1","webhook-signature":"v1,AAAABBBB…"}"#);
        // FIPS 180-4's example.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((sent.bytes, hex::encode(sent.sha256).as_str()), (3, digest));
    }
}
