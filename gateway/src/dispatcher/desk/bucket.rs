//! A token bucket for a destination's rate: the generic cell rate algorithm, as in [`crate::rate`], with a small
//! bucket, so that a receiver meets no bursts.

use std::time::{Duration, Instant};

/// A bucket holds what comes in during this time, and one token at least.
const WINDOW: Duration = Duration::from_millis(200);

/// Full while nothing was taken of it.
#[derive(Debug, Default)]
pub struct Bucket {
    level: Option<Level>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    /// When it is full again.
    full_at: Instant,
    /// Time in which one token comes in.
    interval: Duration,
}

impl Level {
    fn window(&self) -> Duration {
        WINDOW.max(self.interval)
    }
}

impl Bucket {
    /// Takes a token of a bucket into which so many come in a second.
    pub fn take(&mut self, per_second: u32, now: Instant) {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let full_at = self.level.map_or(now, |level| level.full_at.max(now));
        self.level = Some(Level { full_at: full_at + interval, interval });
    }

    /// Tokens there are; as many as one likes, if it was never taken of.
    pub fn tokens(&self, now: Instant) -> usize {
        let Some(level) = self.level else { return usize::MAX };
        let missing = level.full_at.saturating_duration_since(now);
        let there = level.window().saturating_sub(missing).as_nanos() / level.interval.as_nanos().max(1);
        usize::try_from(there).unwrap_or(usize::MAX)
    }

    /// Whether nothing of what was taken is missing any more.
    pub fn is_full(&self, now: Instant) -> bool {
        self.level.is_none_or(|level| level.full_at <= now)
    }

    /// When to come back to an empty one: with the first token, or when it is half full.
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let level = self.level.filter(|_| self.tokens(now) == 0)?;
        let first = level.full_at + level.interval - level.window();
        Some(first.max(level.full_at - level.window() / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all there is whenever the bucket says, for ten seconds; how many.
    fn taken(per_second: u32) -> u32 {
        let begin = Instant::now();
        let (mut bucket, mut now, mut taken) = (Bucket::default(), begin, 1);
        bucket.take(per_second, now);
        while now < begin + Duration::from_secs(10) {
            while bucket.tokens(now) > 0 {
                bucket.take(per_second, now);
                taken += 1;
            }
            now = bucket.wakes_at(now).expect("it is empty");
        }
        taken
    }

    #[test]
    fn the_rate_is_kept_and_used() {
        for per_second in [1, 3, 5, 10, 64, 1000] {
            let (least, most) = (per_second * 10 - per_second / 10, per_second * 10 + per_second / 5 + 1);
            let taken = taken(per_second);
            assert!((least..=most).contains(&taken), "{taken} in ten seconds at {per_second} a second");
        }
    }

    #[test]
    fn a_slow_rate_has_no_burst() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        bucket.take(2, now);
        assert_eq!((bucket.tokens(now), bucket.is_full(now)), (0, false));
        assert_eq!(bucket.wakes_at(now), Some(now + Duration::from_millis(500)));
        assert_eq!(bucket.tokens(now + Duration::from_millis(500)), 1);
    }
}
