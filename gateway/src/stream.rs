//! Domain events over WebSocket.
//!
//! A client is live or catching up. Catching up, it reads the outbox by itself, page by page. Live, it takes what
//! one reader reads for all clients of its tenant's environment (its feed). A page says where it begins and ends,
//! so a client knows from its own position whether a page is the next one; where one is missing, because the
//! client was slower than the feed, it catches up again. Nothing is kept for a client but its position: what it
//! has not taken stays in the database.
//!
//! All feeds share one look at the database, when the doorbell rings and once a second.

mod client;
mod page;

use crate::auth::Caller;
use crate::configuration::Live;
use crate::db::Database;
use crate::error::Error;
use crate::listen::Doorbell;
use crate::shutdown::Stop;
use crate::{metrics, sql};
use axum::extract::ws::WebSocket;
use futures_util::stream::{self, StreamExt as _};
use nexus_core::error::Code;
use nexus_core::outbox::Cursor;
use page::{Outbox, Page};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Correct without the doorbell: what it did not tell of is found by looking.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks, however often the doorbell rings.
const PAUSE: Duration = Duration::from_millis(10);
/// Pages of a feed that its slowest live client may be behind; then it catches up by itself.
const PAGES_BEHIND: usize = 16;
const CONCURRENT_FEEDS: usize = 2;
/// Pages read at a time for clients that catch up: the other connections are for requests.
const CONCURRENT_READS: usize = 2;

/// The streams of this process.
pub struct Streams {
    database: Database,
    configuration: Arc<Live>,
    stop: Stop,
    heartbeat: Duration,
    per_tenant: usize,
    feeds: Mutex<HashMap<(Uuid, Uuid), Feed>>,
    /// A feed has been added.
    joined: Notify,
    reads: Semaphore,
    /// How many are open, by tenant.
    open: watch::Sender<HashMap<Uuid, usize>>,
}

/// What is read once for all live clients of a tenant's environment.
struct Feed {
    environment: String,
    /// Everything before has been read; `None` until it has been looked at once.
    position: Option<Cursor>,
    /// Where the next page begins: everything before has been handed out, or was nothing.
    announced: Cursor,
    pages: broadcast::Sender<Arc<Page>>,
}

/// A stream's place among those that its tenant may have open.
pub struct Ticket {
    streams: Arc<Streams>,
    tenant_id: Uuid,
}

impl Streams {
    /// No streams yet. `heartbeat` is how often a client hears of us at least, and how long it may take nothing.
    pub fn new(
        database: Database,
        configuration: Arc<Live>,
        stop: Stop,
        settings: &crate::config::Settings,
    ) -> Arc<Self> {
        Arc::new(Self {
            database,
            configuration,
            stop,
            heartbeat: settings.stream_heartbeat,
            per_tenant: settings.streams_per_tenant,
            feeds: Mutex::default(),
            joined: Notify::new(),
            reads: Semaphore::new(CONCURRENT_READS),
            open: watch::Sender::default(),
        })
    }

    /// Counts one more stream of a tenant, unless it has as many as it may.
    pub fn admit(self: &Arc<Self>, tenant_id: Uuid) -> Result<Ticket, Error> {
        let is_admitted = self.open.send_if_modified(|open| {
            let count = open.entry(tenant_id).or_default();
            let has_room = self.per_tenant == 0 || *count < self.per_tenant;
            *count += usize::from(has_room);
            has_room
        });
        if !is_admitted {
            let detail = format!("the tenant has {} streams open, as many as it may", self.per_tenant);
            return Err(Error::new(Code::RateLimited, detail)
                .hint("close one, or raise NEXUS_STREAMS_PER_TENANT")
                .retry_after(10));
        }
        self.count();
        Ok(Ticket { streams: Arc::clone(self), tenant_id })
    }

    /// Where a stream begins: at the cursor given, if one can go on from there, else now.
    pub async fn begin(&self, caller: &Caller, after: Option<Cursor>) -> Result<Cursor, Error> {
        let text = after.map(|after| after.to_string());
        let parameters = &[
            (&caller.tenant_id as _, Type::UUID),
            (&caller.environment_id as _, Type::UUID),
            (&text as _, Type::TEXT),
        ];
        let rows = self
            .database
            .read(caller.tenant_id, caller.environment_id, sql::CHECK_CURSOR, parameters)
            .await?;
        let latest = page::cursor(rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default())?;
        match after {
            None => Ok(latest),
            Some(after) if after.epoch > latest.epoch => {
                Err(Error::parameter("after", format!("\"{after}\" is no cursor of this outbox")))
            }
            Some(after) => Ok(after),
        }
    }

    /// Serves a client to its end.
    pub async fn serve(
        self: Arc<Self>,
        socket: WebSocket,
        ticket: Ticket,
        caller: Caller,
        types: Option<Vec<String>>,
        position: Cursor,
    ) {
        client::serve(&self, socket, caller, types, position).await;
        drop(ticket);
    }

    /// Waits until no stream is open.
    pub async fn ended(&self) {
        // The sender is ours, so it is there.
        let _ = self.open.subscribe().wait_for(HashMap::is_empty).await;
    }

    /// Reads what streams wait for, for ever.
    pub async fn feed(&self, doorbell: &Doorbell) {
        let mut rings = doorbell.hear();
        // The latest cursor at which all feeds had everything.
        let mut latest: Option<Cursor> = None;
        let mut told_at = Instant::now();
        loop {
            let joined = self.joined.notified();
            if self.outboxes().is_empty() {
                doorbell.streams_sleep(false);
                joined.await;
                doorbell.streams_sleep(true);
            } else if latest.is_some() {
                tokio::select! {
                    () = rings.rung() => {}
                    () = joined => {}
                    () = sleep(POLL_INTERVAL) => {}
                }
            }
            // Clients that no event concerns hear where they stand, but not at every ring.
            let tells = told_at.elapsed() >= POLL_INTERVAL;
            if tells {
                told_at = Instant::now();
            }
            latest = match self.look(latest, tells).await {
                Ok(latest) => latest,
                Err(error) => {
                    tracing::debug!(%error, "the outbox could not be read for streams");
                    sleep(POLL_INTERVAL).await;
                    None
                }
            };
            sleep(PAUSE).await;
        }
    }

    /// The outboxes that clients wait for; feeds without a client go.
    fn outboxes(&self) -> Vec<(Outbox, Option<Cursor>)> {
        let mut feeds = self.feeds();
        feeds.retain(|_, feed| feed.pages.receiver_count() > 0);
        feeds
            .iter()
            .map(|(&(tenant_id, environment_id), feed)| {
                let environment = feed.environment.clone();
                (Outbox { tenant_id, environment_id, environment }, feed.position)
            })
            .collect()
    }

    /// Hands out what has become readable, a page a feed; the latest cursor if nothing is left before it.
    async fn look(&self, known: Option<Cursor>, tells: bool) -> Result<Option<Cursor>, Error> {
        let (begun, new): (Vec<_>, Vec<_>) =
            self.outboxes().into_iter().partition(|(_, position)| position.is_some());
        let (mut tenant_ids, mut environment_ids, mut cursors) = (Vec::new(), Vec::new(), Vec::new());
        for (outbox, position) in &begun {
            tenant_ids.push(outbox.tenant_id);
            environment_ids.push(outbox.environment_id);
            cursors.push(position.map(|position| position.to_string()));
        }
        let known = known.map(|known| known.to_string());
        let parameters = &[
            (&known as _, Type::TEXT),
            (&tenant_ids as _, Type::UUID_ARRAY),
            (&environment_ids as _, Type::UUID_ARRAY),
            (&cursors as _, Type::TEXT_ARRAY),
        ];
        let row = self.database.row(sql::OUTBOX_NEWS, parameters).await?;
        let latest = page::cursor(row.try_get(0)?)?;
        let news: Vec<i32> = row.try_get(1)?;
        for (outbox, _) in &new {
            self.begin_feed(outbox, latest);
        }
        let mut stirred = Vec::new();
        for (place, (outbox, position)) in (1..).zip(begun) {
            let Some(from) = position else { continue };
            if news.contains(&place) {
                stirred.push((outbox, from));
            } else {
                self.publish(&outbox, Page { from, to: latest, events: Vec::new(), is_last: true }, tells);
            }
        }
        let read = |(outbox, from): (Outbox, Cursor)| async move {
            page::read(&self.database, &outbox, from, None).await.map(|page| (outbox, page))
        };
        let mut pages = stream::iter(stirred.into_iter().map(read)).buffer_unordered(CONCURRENT_FEEDS);
        let mut is_all = true;
        while let Some(read) = pages.next().await {
            let (outbox, page) = read?;
            is_all &= page.is_last;
            self.publish(&outbox, page, true);
        }
        Ok(is_all.then_some(latest))
    }

    /// A feed begins here: its clients read what is before by themselves.
    fn begin_feed(&self, outbox: &Outbox, at: Cursor) {
        if let Some(feed) = self.feeds().get_mut(&outbox.key()) {
            (feed.position, feed.announced) = (Some(at), at);
        }
    }

    /// Hands a page out to a feed's clients; a page without events only if it `tells` them where they stand.
    fn publish(&self, outbox: &Outbox, page: Page, tells: bool) {
        let mut feeds = self.feeds();
        // A feed that was dropped meanwhile and begun anew does not stand where the page begins.
        let Some(feed) = feeds.get_mut(&outbox.key()).filter(|feed| feed.position == Some(page.from)) else {
            return;
        };
        feed.position = Some(page.to);
        if tells {
            // From where the last page ended: in between was nothing.
            let from = std::mem::replace(&mut feed.announced, page.to);
            // Without a receiver nobody has to hear.
            let _ = feed.pages.send(Arc::new(Page { from, ..page }));
        }
    }

    /// The pages of a feed from now on.
    fn join(&self, outbox: &Outbox) -> broadcast::Receiver<Arc<Page>> {
        let mut feeds = self.feeds();
        let feed = feeds.entry(outbox.key()).or_insert_with(|| Feed {
            environment: outbox.environment.clone(),
            position: None,
            announced: Cursor::default(),
            pages: broadcast::Sender::new(PAGES_BEHIND),
        });
        let pages = feed.pages.subscribe();
        drop(feeds);
        self.joined.notify_one();
        pages
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<(Uuid, Uuid), Feed>> {
        // Nothing in a critical section panics half-way, so the map is whole.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) {
        metrics::streams(self.open.borrow().values().sum());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.streams.open.send_modify(|open| {
            if let Some(count) = open.get_mut(&self.tenant_id) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&self.tenant_id);
                }
            }
        });
        self.streams.count();
    }
}
