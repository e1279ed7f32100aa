//! The doorbell: it says that there may be work, never which.
//!
//! A dispatcher looks at the database when it rings and every second besides, so a ring that is lost costs a
//! second and no delivery.

use crate::db::{Database, Target};
use crate::error::Chain;
use crate::sql;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// NOTIFY takes a lock on the whole instance at commit, so it is sent this seldom, however much comes in.
const RING_INTERVAL: Duration = Duration::from_millis(10);
const RECONNECT_FIRST: Duration = Duration::from_millis(500);
const RECONNECT_LAST: Duration = Duration::from_secs(30);

/// Wakes the dispatcher of this process at once, and those of others soon.
#[derive(Debug, Default)]
pub struct Doorbell {
    here: Notify,
    elsewhere: Notify,
}

impl Doorbell {
    /// There may be work, for any dispatcher.
    pub fn ring(&self) {
        self.here.notify_one();
        self.elsewhere.notify_one();
    }

    /// There may be work for the dispatcher of this process.
    pub fn ring_here(&self) {
        self.here.notify_one();
    }

    /// Waits for a ring. One that came before counts.
    pub async fn rung(&self) {
        self.here.notified().await;
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
