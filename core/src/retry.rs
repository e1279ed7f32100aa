//! What follows an attempt: done, waiting, another attempt, or giving up.

use crate::error::{Code, Error};
use serde::{Deserialize, Serialize};

/// When to try again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Seconds between attempts: the first retry comes after the first of them. One attempt more than delays.
    pub delays_seconds: Vec<u32>,
}

/// Why an attempt came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The name was not resolved.
    Dns,
    /// No connection, or one that was closed before the answer.
    Connect,
    /// The certificate or handshake was refused.
    Tls,
    /// No answer in time.
    Timeout,
    /// An answer that is no success, or no HTTP.
    Http,
    /// The address is one we must not send to.
    Ssrf,
    /// The callback did not come in time.
    CallbackTimeout,
    /// There is nowhere to send to, or nothing to sign with.
    Configuration,
}

impl ErrorClass {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Http,
        Self::Ssrf,
        Self::CallbackTimeout,
        Self::Configuration,
    ];

    /// The class as the log and metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorClass::Dns => "dns",
            ErrorClass::Connect => "connect",
            ErrorClass::Tls => "tls",
            ErrorClass::Timeout => "timeout",
            ErrorClass::Http => "http",
            ErrorClass::Ssrf => "ssrf",
            ErrorClass::CallbackTimeout => "callback_timeout",
            ErrorClass::Configuration => "configuration",
        }
    }
}

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A status code, the seconds of `Retry-After` if it came, and the destination's own error code if it
    /// named one.
    Response {
        /// HTTP status code.
        status: u16,
        /// `Retry-After` in seconds from now.
        retry_after: Option<u32>,
        /// Such as `SKU_NOT_FOUND`.
        error_code: Option<&'a str>,
    },
    /// No answer.
    Failure(ErrorClass),
}

/// What an attempt tells of its destination, for the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers, be it with a refusal.
    Up,
    /// It does not answer, or fails.
    Down,
    /// Nothing: it was not sent to.
    Unknown,
}

impl Answer<'_> {
    /// What it tells of the destination. An error code in `permanent` is about what was sent.
    pub fn health(self, permanent: &[String]) -> Health {
        match self {
            Answer::Response { error_code: Some(code), .. } if permanent.iter().any(|p| p == code) => {
                Health::Up
            }
            Answer::Response { status: 500..=599, .. } => Health::Down,
            Answer::Response { .. } => Health::Up,
            Answer::Failure(
                ErrorClass::Dns | ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Timeout,
            ) => Health::Down,
            Answer::Failure(_) => Health::Unknown,
        }
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Delivered.
    Succeeded,
    /// The destination answered 202: its callback decides.
    AwaitingCallback,
    /// Another attempt, after so many milliseconds.
    Retry {
        /// Milliseconds from now.
        after: u64,
    },
    /// No further attempt.
    Dead,
}

impl Policy {
    /// Jobs: 5 attempts, after 60, 300, 900 and 1800 seconds.
    pub fn for_jobs() -> Self {
        Self { delays_seconds: vec![60, 300, 900, 1800] }
    }

    /// Webhooks: the schedule of Standard Webhooks 1.0, ten attempts over three days.
    pub fn for_webhooks() -> Self {
        let hour = 3600;
        Self {
            delays_seconds: vec![
                5,
                300,
                1800,
                2 * hour,
                5 * hour,
                10 * hour,
                14 * hour,
                20 * hour,
                24 * hour,
            ],
        }
    }

    /// Refuses a policy that cannot be followed, with the code and from the place where it stands.
    pub fn check(&self, code: Code, at: &str) -> Result<(), Error> {
        let at = format!("{at}.delays_seconds");
        if self.delays_seconds.len() > 50 {
            return Err(Error::new(code, "at most 50 retries").at(at));
        }
        match self.delays_seconds.iter().position(|delay| *delay > 7 * 24 * 3600) {
            Some(place) => {
                let message =
                    format!("a delay of {} seconds is more than 7 days", self.delays_seconds[place]);
                Err(Error::new(code, message).at(format!("{at}[{place}]")))
            }
            None => Ok(()),
        }
    }

    /// What follows attempt number `attempt` (from 1). `jitter` in 0..1 spreads retries over the tenth after
    /// their delay, so that what failed together does not come back together.
    pub fn next(&self, attempt: u32, answer: Answer<'_>, permanent: &[String], jitter: f64) -> Next {
        let retry_after = match answer {
            Answer::Response { status: 202, .. } => return Next::AwaitingCallback,
            Answer::Response { status: 200..=299, .. } => return Next::Succeeded,
            Answer::Response { error_code: Some(code), .. } if permanent.iter().any(|p| p == code) => {
                return Next::Dead;
            }
            Answer::Response { status: 408 | 425 | 429 | 500..=599, retry_after, .. } => retry_after,
            Answer::Response { .. } | Answer::Failure(ErrorClass::Ssrf) => return Next::Dead,
            Answer::Failure(_) => None,
        };
        let place = usize::try_from(attempt.max(1) - 1).unwrap_or(usize::MAX);
        let Some(delay) = self.delays_seconds.get(place) else { return Next::Dead };
        // The destination may ask for more patience, up to a day; never for less.
        let delay = u64::from((*delay).max(retry_after.unwrap_or(0).min(24 * 3600))) * 1000;
        Next::Retry { after: delay + (delay as f64 / 10.0 * jitter.clamp(0.0, 1.0)) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16) -> Answer<'static> {
        Answer::Response { status, retry_after: None, error_code: None }
    }

    fn next(attempt: u32, answer: Answer<'_>) -> Next {
        Policy::for_jobs().next(attempt, answer, &["SKU_NOT_FOUND".to_owned()], 0.0)
    }

    #[test]
    fn a_destination_that_refuses_is_up_and_one_that_fails_is_down() {
        let health = |answer: Answer<'_>| answer.health(&["SKU_NOT_FOUND".to_owned()]);
        assert_eq!([200, 404, 429].map(|status| health(response(status))), [Health::Up; 3]);
        assert_eq!([500, 503].map(|status| health(response(status))), [Health::Down; 2]);
        let code = Answer::Response { status: 500, retry_after: None, error_code: Some("SKU_NOT_FOUND") };
        assert_eq!(health(code), Health::Up);
        assert_eq!(health(Answer::Failure(ErrorClass::Timeout)), Health::Down);
        assert_eq!(health(Answer::Failure(ErrorClass::CallbackTimeout)), Health::Unknown);
    }

    #[test]
    fn a_policy_that_cannot_be_followed_is_refused_at_its_place() {
        let check =
            |delays: &[u32]| Policy { delays_seconds: delays.to_vec() }.check(Code::InvalidFlow, "$.retry");
        assert_eq!(check(&[0, 7 * 24 * 3600]), Ok(()));
        let place = |delays: &[u32]| check(delays).expect_err("refused").path;
        assert_eq!(place(&[0, 7 * 24 * 3600 + 1]).as_deref(), Some("$.retry.delays_seconds[1]"));
        assert_eq!(place(&[0; 51]).as_deref(), Some("$.retry.delays_seconds"));
    }

    #[test]
    fn success_and_waiting() {
        assert_eq!(next(1, response(200)), Next::Succeeded);
        assert_eq!(next(1, response(204)), Next::Succeeded);
        assert_eq!(next(1, response(202)), Next::AwaitingCallback);
    }

    #[test]
    fn what_may_pass_is_tried_again_on_schedule_and_then_given_up() {
        for (attempt, seconds) in [(1, 60), (2, 300), (3, 900), (4, 1800)] {
            assert_eq!(next(attempt, response(503)), Next::Retry { after: seconds * 1000 });
        }
        assert_eq!(next(5, response(503)), Next::Dead);
        for status in [408, 425, 429, 500, 502] {
            assert!(matches!(next(1, response(status)), Next::Retry { .. }), "{status}");
        }
        assert!(matches!(next(1, Answer::Failure(ErrorClass::Dns)), Next::Retry { .. }));
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        for status in [301, 400, 401, 404, 410, 422] {
            assert_eq!(next(1, response(status)), Next::Dead, "{status}");
        }
        assert_eq!(next(1, Answer::Failure(ErrorClass::Ssrf)), Next::Dead);
        let refused = Answer::Response { status: 500, retry_after: None, error_code: Some("SKU_NOT_FOUND") };
        assert_eq!(next(1, refused), Next::Dead);
    }

    #[test]
    fn retry_after_lengthens_the_wait_and_never_shortens_it() {
        let asking = |seconds| Answer::Response { status: 429, retry_after: Some(seconds), error_code: None };
        assert_eq!(next(1, asking(100)), Next::Retry { after: 100_000 });
        assert_eq!(next(1, asking(1)), Next::Retry { after: 60_000 });
    }

    #[test]
    fn jitter_spreads_over_a_tenth() {
        let policy = Policy::for_jobs();
        assert_eq!(policy.next(1, response(500), &[], 1.0), Next::Retry { after: 66_000 });
    }
}
