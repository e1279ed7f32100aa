//! The doorbell: it says that there may be work, never which.
//!
//! A dispatcher looks at the database when it rings and every second besides. For others it is rung only while one of
//! them sleeps: docs/adr/0007-a-doorbell-for-sleepers.md says how, and why nobody is left asleep.

use crate::db::{Database, Target};
use crate::error::Chain;
use crate::sql;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_postgres::Client;

/// Others are rung for this seldom, however much comes in.
const RING_INTERVAL: Duration = Duration::from_millis(10);
/// How long one who falls asleep waits before it asks once more whether all know.
const NAP_FIRST: Duration = Duration::from_millis(2);
const NAP_LAST: Duration = Duration::from_millis(100);
const RECONNECT_FIRST: Duration = Duration::from_millis(500);
const RECONNECT_LAST: Duration = Duration::from_secs(30);

/// Wakes who waits in this process at once, and in others soon.
#[derive(Debug, Default)]
pub struct Doorbell {
    /// How often it has rung.
    here: watch::Sender<u64>,
    elsewhere: Notify,
    sleepers: watch::Sender<Sleepers>,
}

/// Who in this process sleeps, and wants to hear what others do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sleepers {
    dispatcher: bool,
    streams: bool,
}

impl Sleepers {
    fn are_any(&self) -> bool {
        self.dispatcher || self.streams
    }
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

    /// Whether the dispatcher sleeps until it is rung for. Awake, it looks by itself; when it says that it sleeps it
    /// need not look first, since it is rung for once when everybody knows.
    pub fn dispatcher_sleeps(&self, sleeps: bool) {
        self.set_sleepers(|sleepers| sleepers.dispatcher = sleeps);
    }

    /// Whether there are streams that wait for events.
    pub fn streams_sleep(&self, sleep: bool) {
        self.set_sleepers(|sleepers| sleepers.streams = sleep);
    }

    fn set_sleepers(&self, change: impl FnOnce(&mut Sleepers)) {
        self.sleepers.send_if_modified(|sleepers| {
            let before = *sleepers;
            change(sleepers);
            before != *sleepers
        });
    }

    /// Rings for other processes, for ever: once for all rings of an interval, and only if one of them sleeps.
    pub async fn ring_elsewhere(&self, database: &Database) {
        loop {
            self.elsewhere.notified().await;
            if let Err(error) = database.rows(sql::RING_DOORBELL, &[]).await {
                // They poll as well.
                tracing::debug!(%error, "the doorbell was not rung for others");
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
                .listen(
                    || self.ring_here(),
                    async |client| {
                        heard.store(true, std::sync::atomic::Ordering::Relaxed);
                        self.attend(client).await
                    },
                )
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

    /// Tells others whether somebody here sleeps, by a listening session, for as long as it stands.
    async fn attend(&self, session: &Client) -> Result<(), tokio_postgres::Error> {
        let mut sleepers = self.sleepers.subscribe();
        // What was rung before we listened is found by looking once.
        self.ring_here();
        // The sender is ours, so it is there.
        while sleepers.wait_for(Sleepers::are_any).await.is_ok() {
            let (mut is_asleep, mut nap) = (false, NAP_FIRST);
            loop {
                is_asleep = is_asleep || ask(session, sql::FALL_ASLEEP).await?;
                let is_known = is_asleep && ask(session, sql::IS_KNOWN_ASLEEP).await?;
                // What was written by those who did not know is there now, or by the next time.
                self.ring_here();
                if is_known {
                    break;
                }
                sleep(nap).await;
                nap = (nap * 2).min(NAP_LAST);
            }
            if sleepers.wait_for(|sleepers| !sleepers.are_any()).await.is_ok() {
                ask(session, sql::WAKE_UP).await?;
            }
        }
        Ok(())
    }
}

async fn ask(session: &Client, question: &str) -> Result<bool, tokio_postgres::Error> {
    session.query_typed(question, &[]).await?.first().map_or(Ok(false), |row| row.try_get(0))
}
