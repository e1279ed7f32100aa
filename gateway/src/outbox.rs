//! Watches the outbox: whether readers are held back, and whether deliveries wait for an operator.

use crate::db::{Database, Failure};
use crate::{metrics, sql};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_secs(1);
/// Looks that are remembered at most; beyond, every other one is forgotten.
const LOOKS: usize = 1024;

/// Where the outbox stands.
struct Status {
    epoch: i32,
    is_accepted: bool,
    /// The oldest transaction that has not ended: readers go no further.
    readable_before: i64,
    /// The transaction that begins next.
    next_xact_id: i64,
}

/// Looks every second, for ever.
pub async fn watch(database: Database) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut lag, mut accepted) = (Lag::default(), None);
    loop {
        ticks.tick().await;
        match status(&database).await {
            Ok(status) => {
                let held = lag.look(Instant::now(), status.readable_before, status.next_xact_id);
                metrics::outbox(held, status.is_accepted);
                if accepted.replace((status.epoch, status.is_accepted))
                    != Some((status.epoch, status.is_accepted))
                {
                    tell(&status);
                }
            }
            Err(failure) => tracing::debug!(error = %failure, "the outbox could not be looked at"),
        }
    }
}

fn tell(status: &Status) {
    if status.is_accepted {
        tracing::info!(epoch = status.epoch, "deliveries may be sent");
    } else {
        tracing::warn!(
            epoch = status.epoch,
            "nothing is delivered: the database was restored, or a standby promoted, and what waits may have been sent before; run nexus admin accept-epoch"
        );
    }
}

async fn status(database: &Database) -> Result<Status, Failure> {
    let row = database.row(sql::OUTBOX_STATUS, &[]).await?;
    Ok(Status {
        epoch: row.try_get("epoch")?,
        is_accepted: row.try_get("is_accepted")?,
        readable_before: row.try_get("readable_before")?,
        next_xact_id: row.try_get("next_xact_id")?,
    })
}

/// For how long readers have been held back.
///
/// PostgreSQL shows the beginnings of other roles' transactions to nobody but monitors. So it is told by what was
/// seen before: the oldest transaction had begun when its id was no longer the next one.
#[derive(Debug, Default)]
struct Lag {
    /// When, and which transaction was next then; the first look is the earliest at which the oldest one had begun.
    looks: VecDeque<(Instant, i64)>,
}

impl Lag {
    fn look(&mut self, now: Instant, readable_before: i64, next_xact_id: i64) -> Duration {
        self.looks.push_back((now, next_xact_id));
        while self.looks.front().is_some_and(|(_, next)| *next <= readable_before) {
            self.looks.pop_front();
        }
        if self.looks.len() > LOOKS {
            let mut place = 0;
            self.looks.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
        self.looks.front().map_or(Duration::ZERO, |(since, _)| now - *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_oldest_transaction() {
        let start = Instant::now();
        let mut lag = Lag::default();
        let mut at = |seconds, readable_before, next| {
            lag.look(start + Duration::from_secs(seconds), readable_before, next).as_secs()
        };
        assert_eq!(at(0, 100, 100), 0);
        // 100 has begun, and short ones come and go after it.
        assert_eq!(at(1, 100, 101), 0);
        assert_eq!(at(2, 100, 500), 1);
        assert_eq!(at(3, 100, 900), 2);
        // It has ended; 600 has been running since some time before the look at three seconds.
        assert_eq!(at(4, 600, 950), 1);
        assert_eq!(at(5, 1000, 1000), 0);
    }

    #[test]
    fn a_long_watch_forgets_looks_and_not_the_first() {
        let start = Instant::now();
        let mut lag = Lag::default();
        let last = LOOKS as u64 * 4;
        for second in 0..=last {
            let held = lag.look(start + Duration::from_secs(second), 7, 8 + second as i64);
            assert_eq!(held, Duration::from_secs(second));
        }
        assert!(lag.looks.len() <= LOOKS);
    }
}
