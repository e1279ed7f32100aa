//! A circuit breaker: what is down is not hammered, but asked from time to time whether it is up again.

use nexus_core::retry::Health;
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES: u32 = 10;
/// How long it stays open at first; twice as long after each probe that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_secs(300);
/// Failures that are older are forgotten.
const MEMORY: Duration = Duration::from_secs(3600);

/// Closed while `open` is `None`; else open until the probe, half open from then on.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    failed_at: Option<Instant>,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    probe_at: Instant,
    pause: Duration,
}

impl Breaker {
    /// How many attempts may run at a time; `None`: as many as there are slots.
    pub fn allows(&self, now: Instant) -> Option<usize> {
        self.open.map(|open| usize::from(now >= open.probe_at))
    }

    /// Whether it is not closed.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When the destination is to be tried, if it is open.
    pub fn probes_at(&self) -> Option<Instant> {
        self.open.map(|open| open.probe_at)
    }

    /// Takes note of how an attempt went.
    pub fn record(&mut self, health: Health, now: Instant) {
        match health {
            Health::Unknown => {}
            Health::Up => *self = Self::default(),
            Health::Down => {
                self.failures = if self.is_as_new(now) { 1 } else { self.failures.saturating_add(1) };
                self.failed_at = Some(now);
                self.open = match self.open {
                    None if self.failures < FAILURES => None,
                    None => Some(Open { probe_at: now + FIRST_PAUSE, pause: FIRST_PAUSE }),
                    // One that was under way when it opened says nothing new.
                    Some(open) if now < open.probe_at => Some(open),
                    Some(open) => {
                        let pause = (open.pause * 2).min(LAST_PAUSE);
                        Some(Open { probe_at: now + pause, pause })
                    }
                };
            }
        }
    }

    /// Whether it knows nothing that counts.
    pub fn is_as_new(&self, now: Instant) -> bool {
        self.failed_at.is_none_or(|at| now.saturating_duration_since(at) > MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        (0..FAILURES).for_each(|_| breaker.record(Health::Down, now));
        breaker
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            (1..FAILURES).for_each(|_| breaker.record(Health::Down, now));
            assert_eq!(breaker.allows(now), None);
            breaker.record(Health::Up, now);
        }
        assert_eq!(opened(now).allows(now), Some(0));
    }

    #[test]
    fn what_says_nothing_of_the_destination_changes_nothing() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.record(Health::Unknown, now);
        assert_eq!(breaker.allows(now), Some(0));
    }

    #[test]
    fn it_lets_one_through_after_a_pause_that_doubles_and_closes_when_that_succeeds() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            let pause = Duration::from_secs(pause);
            assert_eq!(breaker.probes_at(), Some(now + pause));
            assert_eq!(breaker.allows(now + pause - Duration::from_millis(1)), Some(0));
            now += pause;
            assert_eq!(breaker.allows(now), Some(1));
            breaker.record(Health::Down, now);
            // A straggler from before does not lengthen the pause.
            breaker.record(Health::Down, now);
        }
        breaker.record(Health::Up, now);
        assert!(!breaker.is_open() && breaker.is_as_new(now));
    }

    #[test]
    fn old_failures_are_forgotten() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        (1..FAILURES).for_each(|_| breaker.record(Health::Down, now));
        let later = now + MEMORY + Duration::from_secs(1);
        assert!(breaker.is_as_new(later) && !breaker.is_as_new(now));
        breaker.record(Health::Down, later);
        assert!(!breaker.is_open());
    }
}
