//! Public keys of platforms that publish theirs: fetched when a request names one, kept for a while.
//!
//! Anybody can send a request that names keys. So what is fetched is bounded: only from the host that the
//! manifest names (and by the same rules as deliveries), a few at a time, a few a second for keys that were
//! never answered, each once however many requests wait for it, and failures are remembered. What cannot be
//! fetched says nothing about a request: it is answered 503, and the platform sends it again.

use crate::dispatcher::send::{Outgoing, Sender};
use crate::error::Error;
use crate::metrics;
use crate::rate::Limiter;
use futures_util::future::join_all;
use nexus_core::connector::Receive;
use nexus_core::error::Code;
use nexus_core::signature::{self, KeyRequest, SignedRequest};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A platform waits a few seconds for its answer, and this is only a part of it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Fetched at a time.
const FETCHES: usize = 16;
/// New keys a second that the requests to one connector may name; ten seconds' worth at once.
const NEW_KEYS: u32 = 1;
/// Answers kept. What failed goes first, then the oldest.
const ANSWERS: usize = 1_000;
/// The longest time an answer is kept, whatever the manifest says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// An answer older than this is asked for again when a signature does not fit it: the platform may have
/// replaced its key.
const SURE: Duration = Duration::from_secs(60);
/// A failure is remembered so long, and a key that the platform does not know so long.
const FAILED: Duration = Duration::from_secs(10);
const UNKNOWN: Duration = Duration::from_secs(60);

/// Fetches keys and keeps them.
pub struct Keys {
    sender: Sender,
    new_keys: Limiter,
    fetches: Semaphore,
    slots: StdMutex<HashMap<Name, Arc<Slot>>>,
}

/// What an answer is kept under. One that was fetched with a connector's token is this connector's alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    url: String,
    connector_id: Option<Uuid>,
}

/// A key's place.
#[derive(Default)]
struct Slot {
    known: StdMutex<Known>,
    /// Held while the key is fetched, so that others wait for the same answer.
    fetching: Mutex<()>,
}

/// What is known of a key.
#[derive(Default)]
struct Known {
    answer: Option<(Arc<[u8]>, Instant)>,
    /// The last fetch failed, and is not tried again until then.
    failed_until: Option<Instant>,
}

/// Why a key was not fetched, and how long that is remembered.
struct Failed {
    reason: String,
    pause: Duration,
}

impl Keys {
    /// Fetches through this sender.
    pub fn new(sender: Sender) -> Self {
        Self {
            sender,
            new_keys: Limiter::new("connector", NEW_KEYS),
            fetches: Semaphore::new(FETCHES),
            slots: StdMutex::default(),
        }
    }

    /// Whether a request is signed with one of the keys that it names. The error is of a key that could not
    /// be fetched, where no other one fits.
    pub async fn verify(
        &self,
        receive: &Receive,
        request: &SignedRequest<'_>,
        connector_id: Uuid,
        token: Option<&[u8]>,
    ) -> Result<bool, Error> {
        let wanted = signature::key_requests(receive, request);
        for oldest in [LONGEST, SURE] {
            let get = |wanted| self.get(wanted, connector_id, token, oldest);
            let (mut answers, mut failure) = (Vec::new(), None);
            for got in join_all(wanted.iter().map(get)).await {
                match got {
                    Ok(answer) => answers.push(answer),
                    Err(error) => failure = Some(error),
                }
            }
            let answers: Vec<&[u8]> = answers.iter().map(AsRef::as_ref).collect();
            if signature::verify(receive, request, &answers).is_ok() {
                return Ok(true);
            }
            if let Some(failure) = failure {
                metrics::hook("key_unavailable");
                return Err(failure);
            }
        }
        Ok(false)
    }

    /// An answer that is no older than this, nor than the manifest allows.
    async fn get(
        &self,
        wanted: &KeyRequest,
        connector_id: Uuid,
        token: Option<&[u8]>,
        oldest: Duration,
    ) -> Result<Arc<[u8]>, Error> {
        let oldest = oldest.min(Duration::from_secs(wanted.cache_seconds.into()));
        let owner = wanted.is_authenticated.then_some(connector_id);
        let slot = self.slot(Name { url: wanted.url.clone(), connector_id: owner });
        if let Some(known) = slot.known().as_of(oldest) {
            return known;
        }
        let _fetching = slot.fetching.lock().await;
        if let Some(known) = slot.known().as_of(oldest) {
            return known;
        }
        // A key that was there before is no stranger's invention, and may always be fetched again.
        if slot.known().answer.is_none()
            && let Err(refused) = self.new_keys.admit(connector_id)
        {
            return Err(unavailable(refused.retry_after.unwrap_or(1)));
        }
        match self.fetch(wanted, token).await {
            Ok(answer) => {
                *slot.known() =
                    Known { answer: Some((Arc::clone(&answer), Instant::now())), failed_until: None };
                Ok(answer)
            }
            Err(Failed { reason, pause }) => {
                tracing::warn!(%connector_id, url = wanted.url, reason, "a platform's public key cannot be fetched");
                slot.known().failed_until = Some(Instant::now() + pause);
                Err(unavailable(whole_seconds(pause)))
            }
        }
    }

    fn slot(&self, name: Name) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= ANSWERS && !slots.contains_key(&name) {
            // `None`, which never was answered, is the least.
            let age = |slot: &Arc<Slot>| slot.known().answer.as_ref().map(|(_, at)| *at);
            let oldest = slots.iter().min_by_key(|(_, slot)| age(slot)).map(|(name, _)| name.clone());
            oldest.map(|oldest| slots.remove(&oldest));
        }
        Arc::clone(slots.entry(name).or_default())
    }

    async fn fetch(&self, wanted: &KeyRequest, token: Option<&[u8]>) -> Result<Arc<[u8]>, Failed> {
        let failed = |reason: String| Failed { reason, pause: FAILED };
        let url = Url::parse(&wanted.url).map_err(|error| failed(error.to_string()))?;
        let headers = headers(wanted, token).map_err(failed)?;
        let outgoing =
            Outgoing { method: Method::GET, url, headers, body: Vec::new(), timeout: FETCH_TIMEOUT };
        let sent = timeout(FETCH_TIMEOUT, async {
            // Never closed, so there is no error to meet.
            let _permit = self.fetches.acquire().await;
            self.sender.send(outgoing).await
        });
        let answered = match sent.await {
            Ok(Ok(answered)) => answered,
            Ok(Err(not_sent)) => return Err(failed(not_sent.message)),
            Err(_) => return Err(failed("no answer in time".to_owned())),
        };
        match answered.status {
            200 if answered.is_whole => Ok(answered.body.into()),
            200 => Err(failed("the answer is too long, or broke off".to_owned())),
            // A key that is not there may be one that is not there yet; or our manifest may be wrong. Neither
            // says that the request is a forgery.
            status @ (404 | 410) => Err(Failed { reason: format!("status {status}"), pause: UNKNOWN }),
            status => {
                let asked = answered.retry_after.map(|seconds| Duration::from_secs(seconds.into()));
                Err(Failed {
                    reason: format!("status {status}"),
                    pause: asked.unwrap_or(FAILED).clamp(FAILED, UNKNOWN),
                })
            }
        }
    }
}

impl Slot {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The answer, if it is young enough; or that there is none, if that was found out just now.
    fn as_of(&self, oldest: Duration) -> Option<Result<Arc<[u8]>, Error>> {
        if let Some((answer, _)) = self.answer.as_ref().filter(|(_, at)| at.elapsed() < oldest) {
            return Some(Ok(Arc::clone(answer)));
        }
        let left = self.failed_until?.checked_duration_since(Instant::now())?;
        Some(Err(unavailable(whole_seconds(left))))
    }
}

fn headers(wanted: &KeyRequest, token: Option<&[u8]>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let accept = wanted.accept.as_deref().unwrap_or("*/*");
    headers.insert(ACCEPT, HeaderValue::from_str(accept).map_err(|error| error.to_string())?);
    if wanted.is_authenticated {
        let token = token.ok_or("the connector has no access token to fetch it with")?;
        let bearer = Zeroizing::new([b"Bearer ", token].concat());
        let mut value = HeaderValue::from_bytes(&bearer).map_err(|_| "the access token is no text")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn unavailable(seconds: u32) -> Error {
    Error::new(Code::KeyUnavailable, "the public key that the request names cannot be fetched now")
        .hint("send the request again; the gateway's log says why the key cannot be fetched")
        .retry_after(seconds)
}

/// Rounded up: earlier is too early.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::target::Allowed;
    use axum::Router;
    use axum::http::{HeaderMap as Headers, StatusCode, Uri};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const CONNECTOR: Uuid = Uuid::from_u128(1);

    /// A platform that counts: `/good` is a key, anything else is not there; it asks for a token at `/mine`.
    async fn platform() -> (String, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let router = Router::new().fallback(async move |uri: Uri, headers: Headers| {
            count.fetch_add(1, Ordering::SeqCst);
            let token = headers.get("authorization").and_then(|value| value.to_str().ok());
            match uri.path() {
                "/good" => (StatusCode::OK, "a key".to_owned()),
                "/mine" => (StatusCode::OK, token.unwrap_or_default().to_owned()),
                "/huge" => (StatusCode::OK, "k".repeat(65 << 10)),
                _ => (StatusCode::NOT_FOUND, String::new()),
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, asked)
    }

    fn keys(allowed: &str) -> Keys {
        Keys::new(Sender::new(Allowed::parse([allowed].into_iter()).expect("blocks")).expect("a client"))
    }

    fn wanted(url: String) -> KeyRequest {
        KeyRequest { url, is_authenticated: false, accept: None, cache_seconds: 3600 }
    }

    #[tokio::test]
    async fn a_key_is_fetched_once_for_all_who_wait_and_then_kept() {
        let ((url, asked), keys) = (platform().await, keys("loopback"));
        let good = wanted(format!("{url}/good"));
        let got = join_all((0..20).map(|_| keys.get(&good, CONNECTOR, None, LONGEST))).await;
        assert!(got.iter().all(|answer| answer.as_deref().is_ok_and(|answer| answer == b"a key")));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(keys.get(&good, CONNECTOR, None, Duration::ZERO).await.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 2, "a newer one was wanted");
    }

    #[tokio::test]
    async fn a_failure_is_remembered_and_says_when_to_come_again() {
        let ((url, asked), keys) = (platform().await, keys("loopback"));
        for path in ["/none", "/huge"] {
            for _ in 0..3 {
                let error = keys.get(&wanted(format!("{url}{path}")), CONNECTOR, None, LONGEST).await;
                let error = error.expect_err(path);
                assert_eq!(error.code, Code::KeyUnavailable);
                assert!(error.retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{error:?}");
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn keys_that_nobody_has_are_asked_for_a_few_times_only() {
        let ((url, asked), keys) = (platform().await, keys("loopback"));
        let good = wanted(format!("{url}/good"));
        assert!(keys.get(&good, CONNECTOR, None, LONGEST).await.is_ok());
        for n in 0..ANSWERS + 100 {
            let invented = wanted(format!("{url}/{n}"));
            assert!(keys.get(&invented, CONNECTOR, None, LONGEST).await.is_err());
        }
        assert!(asked.load(Ordering::SeqCst) < 40, "ten at once, and one a second");
        assert!(keys.slots.lock().expect("slots").len() <= ANSWERS);
        let before = asked.load(Ordering::SeqCst);
        assert!(keys.get(&good, CONNECTOR, None, LONGEST).await.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), before, "the true one is still kept");
        assert!(keys.get(&good, CONNECTOR, None, Duration::ZERO).await.is_ok(), "and can be renewed");
    }

    #[tokio::test]
    async fn a_token_is_sent_along_and_its_answer_not_shared() {
        let ((url, _), keys) = (platform().await, keys("loopback"));
        let mine = KeyRequest { is_authenticated: true, ..wanted(format!("{url}/mine")) };
        let get = async |connector, token: &'static str| {
            let token = (!token.is_empty()).then_some(token.as_bytes());
            keys.get(&mine, Uuid::from_u128(connector), token, LONGEST).await.map(|answer| answer.to_vec())
        };
        assert_eq!(get(1, "one").await.expect("an answer"), b"Bearer one");
        assert_eq!(get(2, "two").await.expect("an answer"), b"Bearer two");
        assert!(get(3, "").await.is_err(), "no token");
    }

    #[tokio::test]
    async fn a_private_address_is_not_asked() {
        let ((url, asked), keys) = (platform().await, keys(""));
        assert!(keys.get(&wanted(format!("{url}/good")), CONNECTOR, None, LONGEST).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}
