//! How many requests a connector or an API key may make: a token bucket each, in memory.
//!
//! The generic cell rate algorithm keeps one moment a bucket: when it will be full again. Each gateway counts
//! by itself, so that a limit costs no round trip; several gateways together let through as many times more.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use nexus_core::error::Code;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::error::Error;

/// A bucket holds what comes in during this time: a burst of it passes at once.
const WINDOW: Duration = Duration::from_secs(10);
/// Beyond so many buckets the full ones are forgotten: a full one and none are the same.
const BUCKETS: usize = 10_000;

/// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers.
pub const HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit"), HeaderName::from_static("ratelimit-policy")];

/// The buckets of one kind of caller.
#[derive(Debug)]
pub struct Limiter {
    /// What is limited, as the headers name it: `api-key`, `connector`.
    name: &'static str,
    /// Time in which one request's worth comes in; `None`: no limit.
    interval: Option<Duration>,
    started: Instant,
    /// When each bucket is full again, since the start.
    full_at: Mutex<HashMap<Uuid, Duration>>,
}

/// What a bucket says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    name: &'static str,
    quota: u64,
    remaining: u64,
    full_in: Duration,
    /// How long to wait, if the request does not pass.
    wait: Option<Duration>,
}

impl Limiter {
    /// A limit of so many requests a second, and ten seconds' worth at once; 0 is none.
    pub fn new(name: &'static str, per_second: u32) -> Self {
        let interval = (per_second > 0).then(|| Duration::from_secs(1) / per_second);
        Self { name, interval, started: Instant::now(), full_at: Mutex::default() }
    }

    /// Counts a request; `None` where there is no limit.
    pub fn count(&self, id: Uuid) -> Option<Verdict> {
        self.count_at(id, self.started.elapsed())
    }

    /// The same, refusing what is too much.
    pub fn admit(&self, id: Uuid) -> Result<Option<Verdict>, Error> {
        match self.count(id) {
            Some(verdict) if verdict.wait.is_some() => Err(verdict.refusal()),
            verdict => Ok(verdict),
        }
    }

    fn count_at(&self, id: Uuid, now: Duration) -> Option<Verdict> {
        let interval = self.interval?;
        let mut buckets = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS && !buckets.contains_key(&id) {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.entry(id).or_default();
        let after = (*full_at).max(now) + interval;
        let wait = (after - now).checked_sub(WINDOW).filter(|wait| !wait.is_zero());
        if wait.is_none() {
            *full_at = after;
        }
        let full_in = full_at.saturating_sub(now);
        let in_intervals = |time: Duration| u64::try_from(time.as_nanos() / interval.as_nanos()).unwrap_or(0);
        Some(Verdict {
            name: self.name,
            quota: in_intervals(WINDOW),
            remaining: in_intervals(WINDOW.saturating_sub(full_in)),
            full_in,
            wait,
        })
    }
}

impl Verdict {
    /// Writes the headers that tell how much is left.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Self { name, quota, remaining, full_in, .. } = self;
        let values = [
            format!("\"{name}\";r={remaining};t={}", whole_seconds(*full_in)),
            format!("\"{name}\";q={quota};w={}", WINDOW.as_secs()),
        ];
        for (name, value) in HEADERS.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        if let Some(wait) = self.wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
    }

    fn refusal(self) -> Error {
        let mut error = Error::new(Code::RateLimited, format!("too many requests of this {}", self.name))
            .hint("come again after Retry-After; RateLimit tells how much is left");
        error.retry_after = self.wait.map(whole_seconds);
        error.rate = Some(Box::new(self));
        error
    }
}

/// Rounded up: earlier is too early.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = Limiter::new("api-key", 2);
        let at = |millis| limiter.count_at(ID, Duration::from_millis(millis)).expect("a limit");
        for left in (0..20).rev() {
            let verdict = at(0);
            assert_eq!((verdict.wait, verdict.remaining, verdict.quota), (None, left, 20));
        }
        assert_eq!(at(0).wait, Some(Duration::from_millis(500)));
        assert_eq!(at(499).wait, Some(Duration::from_millis(1)));
        assert_eq!(at(500).wait, None);
        assert_eq!(at(500).wait, Some(Duration::from_millis(500)));
        // What is refused is not counted, and others are not concerned.
        assert_eq!(at(1000).wait, None);
        assert_eq!(limiter.count_at(Uuid::nil(), Duration::ZERO).map(|verdict| verdict.remaining), Some(19));
    }

    #[test]
    fn no_limit_is_no_bucket() {
        assert_eq!(Limiter::new("connector", 0).count(ID), None);
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let limiter = Limiter::new("connector", 1);
        for _ in 0..10 {
            assert_eq!(limiter.count_at(ID, Duration::ZERO).and_then(|verdict| verdict.wait), None);
        }
        let verdict = limiter.count_at(ID, Duration::ZERO);
        let mut headers = HeaderMap::new();
        verdict.expect("a limit").write(&mut headers);
        let text = |name: &str| headers[name].to_str().expect("text").to_owned();
        assert_eq!(text("ratelimit"), "\"connector\";r=0;t=10");
        assert_eq!(text("ratelimit-policy"), "\"connector\";q=10;w=10");
        assert_eq!(text("retry-after"), "1");
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let limiter = Limiter::new("connector", 1);
        for id in 0..=BUCKETS as u128 {
            let _ = limiter.count_at(Uuid::from_u128(id), Duration::from_secs(2 * id as u64));
        }
        assert!(limiter.full_at.lock().expect("unpoisoned").len() < BUCKETS);
    }
}
