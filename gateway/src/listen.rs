//! The doorbell: it says that there may be work, never which.
//!
//! A dispatcher looks at the database when it rings and every second besides, so a ring that is lost costs a
//! second and no delivery.

use crate::db::{Database, Target};
use crate::error::Chain;
use crate::sql;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// NOTIFY takes a lock on the whole instance at commit, so it is sent this seldom, however much comes in.
const RING_INTERVAL: Duration = Duration::from_millis(10);
const RECONNECT_FIRST: Duration = Duration::from_millis(500);
const RECONNECT_LAST: Duration = Duration::from_secs(30);

/// Wakes who waits in this process at once, and in others soon.
#[derive(Debug, Default)]
pub struct Doorbell {
    /// How often it has rung.
    here: watch::Sender<u64>,
    elsewhere: Notify,
}

/// What somebody who waits hears of the doorbell.
pub struct Rings(watch::Receiver<u64>);

impl Rings {
    /// Waits for a ring. One that came since the last time counts; the first time does not wait.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            // Without a doorbell nothing rings: whoever waits polls.
            std::future::pending().await
        }
    }
}

impl Doorbell {
    /// There may be work, for anybody.
    pub fn ring(&self) {
        self.ring_here();
        self.elsewhere.notify_one();
    }

    /// There may be work for this process.
    pub fn ring_here(&self) {
        self.here.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Hears it from now on.
    pub fn hear(&self) -> Rings {
        let mut rings = self.here.subscribe();
        rings.mark_changed();
        Rings(rings)
    }

    /// Rings for other processes, for ever: one empty NOTIFY for all rings of an interval.
    pub async fn ring_elsewhere(&self, database: &Database) {
        loop {
            self.elsewhere.notified().await;
            if let Ok(client) = database.client().await
                && let Err(error) = client.batch_execute(sql::NOTIFY).await
            {
                // They poll as well.
                tracing::debug!(error = %Chain(&error), "the doorbell was not rung for others");
            }
            sleep(RING_INTERVAL).await;
        }
    }

    /// Hears other processes, for ever; a lost connection is made again.
    pub async fn listen(self: Arc<Self>, target: Target) {
        let mut wait = RECONNECT_FIRST;
        loop {
            let heard = std::sync::atomic::AtomicBool::new(false);
            let ended = target
                .listen(|| {
                    heard.store(true, std::sync::atomic::Ordering::Relaxed);
                    self.ring_here();
                })
                .await;
            if heard.into_inner() {
                wait = RECONNECT_FIRST;
            }
            match ended {
                Ok(()) => {
                    tracing::warn!("the listening connection was closed; polling until it stands again")
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "not listening; polling until a connection stands");
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(RECONNECT_LAST);
        }
    }
}
