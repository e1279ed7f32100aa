//! Stage 5, dispatch: claims what is due, delivers it by HTTP, and reports what came of it.
//!
//! Several dispatchers may run beside each other: what one has leased no other claims, and a lease that is
//! not renewed, because its worker died, runs out. At least once, therefore; `webhook-id` and `job_id` are the
//! same on every attempt, so that receivers can tell a repetition.

pub mod claim;
mod desk;
mod look;
mod places;
pub mod request;
pub mod send;
pub mod settle;
pub mod target;

use crate::configuration::Live;
use crate::db::Database;
use crate::listen::Doorbell;
use crate::secrets::random;
use crate::{metrics, sql};
use claim::{Claimed, Work};
use desk::{Desk, Held, Slots};
use futures_util::future::ready;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use nexus_core::retry::{ErrorClass, Health};
use places::Places;
use send::{NotSent, Sender};
use settle::{Report, Settling};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// After a look that found something the next one is not at once, so that a claim finds more than the last one left. The
/// busier the machine is, the longer a look takes, and the pause after it is as long within these.
const PAUSE: RangeInclusive<Duration> = Duration::from_millis(2)..=Duration::from_millis(20);
/// Looks in a row that found something, after which the dispatcher is awake: it looks by itself, and need not be rung for.
const FINDS: u32 = 3;
const CONCURRENT_SETTLES: usize = 2;
/// Tenants whose leases are renewed at a time.
const CONCURRENT_RENEWALS: usize = 4;

/// What a look for due deliveries came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing that could be begun.
    Nothing,
    /// Something, and all that could be begun was.
    Some,
    /// No slot is free. What ends later rings, where it makes room.
    Full,
}

/// What a dispatcher needs.
pub struct Dispatcher {
    database: Database,
    configuration: Arc<Live>,
    doorbell: Arc<Doorbell>,
    sender: Sender,
    settling: Settling,
    /// Unlike any other worker's, so that a lease tells whose it is.
    worker: String,
    /// The beginning of callback URLs.
    public_url: String,
    lease: Duration,
    /// Correct without the doorbell: due retries and what others queued are found by looking.
    poll: Duration,
    /// Attempts at a time to one destination.
    per_destination: i32,
    desk: Mutex<Desk>,
    places: Mutex<Places>,
    /// Tenants of whom the last renewal of leases failed.
    unrenewed: Mutex<Vec<Uuid>>,
    /// A slot is free where there was none. Not the doorbell, which others hear as well.
    has_room: Notify,
    idle: Notify,
}

impl Dispatcher {
    /// A dispatcher that has not begun.
    pub fn new(
        database: Database,
        configuration: Arc<Live>,
        doorbell: Arc<Doorbell>,
        sender: Sender,
        settings: &crate::config::Settings,
    ) -> Arc<Self> {
        let worker = format!("nexus-{}", Uuid::new_v4().simple());
        let slots = Slots { all: settings.dispatch_slots, per_destination: settings.destination_slots };
        Arc::new(Self {
            settling: Settling::new(database.clone(), worker.clone()),
            database,
            configuration,
            doorbell,
            sender,
            worker,
            public_url: settings.public_url.clone(),
            lease: settings.lease,
            poll: settings.poll,
            per_destination: i32::try_from(slots.per_destination).unwrap_or(i32::MAX),
            desk: Mutex::new(Desk::new(slots)),
            unrenewed: Mutex::default(),
            places: Mutex::new(Places::new(std::time::Instant::now())),
            has_room: Notify::new(),
            idle: Notify::new(),
        })
    }

    /// Dispatches until `stop` says so; then waits for attempts under way, `grace` at most, settles what has
    /// ended and gives back the rest.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CONCURRENT_SETTLES {
            let this = Arc::clone(&self);
            tasks.spawn(async move { this.settling.work(|reports, due| this.settled(reports, due)).await });
        }
        let this = Arc::clone(&self);
        tasks.spawn(async move { this.renew_leases().await });

        let mut rings = self.doorbell.hear();
        let mut finds = 0;
        while !*stop.borrow() {
            let began = Instant::now();
            let found = self.look(&stop).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "nothing could be claimed");
                Found::Nothing
            });
            let pause = began.elapsed().clamp(*PAUSE.start(), *PAUSE.end());
            finds = if found == Found::Some { finds + 1 } else { 0 };
            self.doorbell.dispatcher_sleeps(found != Found::Full && finds < FINDS);
            if found != Found::Some {
                let wait = self.desk().waits(Instant::now().into_std()).unwrap_or(self.poll);
                tokio::select! {
                    () = rings.rung() => {}
                    () = self.has_room.notified() => {}
                    () = sleep(wait.min(self.poll)) => {}
                    _ = stop.wait_for(|stopped| *stopped) => {}
                }
            }
            if found != Found::Nothing {
                sleep(pause).await;
            }
        }
        self.doorbell.dispatcher_sleeps(false);
        self.finish(grace).await;
        tasks.abort_all();
    }

    fn start(self: &Arc<Self>, delivery: Claimed) {
        let held = delivery.held();
        let turns = self.desk().admit(held, Instant::now().into_std());
        let mut begun =
            Begun { dispatcher: Arc::clone(self), held, at: Instant::now(), ending: Ending::Unknown };
        tokio::spawn(async move {
            // It is never closed, so there is always a turn.
            let turn = turns.acquire_owned().await;
            if begun.may_go_on() {
                let report = begun.dispatcher.attempt(&delivery).await;
                drop((delivery, turn));
                begun.ended(Ending::Reported(Box::new(report)));
            } else {
                begun.dispatcher.release(held.tenant_id, &[held.delivery_id]).await;
                begun.ended(Ending::GivenBack);
            }
        });
        self.count();
    }

    async fn attempt(&self, claimed: &Claimed) -> Report {
        let now = Timestamp::now();
        let mut prepared = self.prepare(claimed, now);
        let is_unknown = |not_sent: &NotSent| matches!(not_sent.class, ErrorClass::Configuration);
        if claimed.url.is_some() && prepared.as_ref().is_err_and(is_unknown) {
            // A destination that was made a moment ago, at another gateway: its secret may not be known here yet.
            let as_of = self.desk().configuration_as_of(claimed.held(), Instant::now().into_std());
            self.configuration.refresh_as_of(as_of, &self.database).await;
            prepared = self.prepare(claimed, now);
        }
        let attempt = self.sender.attempt(prepared, now).await;
        // Only spread, not secret: without random bytes there is no jitter.
        let jitter = random().map_or(0.0, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX));
        let took = attempt.took;
        let report = Report::new(claimed, attempt, jitter);
        tracing::debug!(
            trace_id = claimed.trace_id, delivery_id = %claimed.delivery_id, attempt = claimed.attempt,
            outcome = report.outcome, took_ms = took.as_millis() as u64, "attempted"
        );
        report
    }

    fn prepare(&self, claimed: &Claimed, now: Timestamp) -> Result<send::Outgoing, NotSent> {
        if let Work::Job(job) = &claimed.work
            && job.is_callback_timeout
        {
            let message = "the callback did not come in time".to_owned();
            return Err(NotSent { class: ErrorClass::CallbackTimeout, message });
        }
        request::prepare(claimed, &self.configuration.current(), &self.public_url, now)
    }

    fn settled(&self, reports: &[Report], others_are_due: bool) {
        if self.desk().settled(reports.iter().map(|report| report.delivery_id)) {
            self.has_room.notify_one();
        }
        if others_are_due {
            self.doorbell.ring();
        }
    }

    /// Renews leases long before they run out, and soon again what could not be renewed. One tenant that has to be waited
    /// for holds up no other.
    async fn renew_leases(&self) {
        loop {
            let regularly = self.lease / 3;
            let soon = self.poll.min(regularly);
            let wait = if self.unrenewed().is_empty() { regularly } else { soon };
            sleep(wait).await;
            let leases = self.desk().leases();
            let renewals = leases.into_iter().map(|(tenant_id, ids)| self.renew(tenant_id, ids));
            let failed = stream::iter(renewals).buffer_unordered(CONCURRENT_RENEWALS);
            let failed: Vec<Uuid> = failed.filter_map(ready).collect().await;
            *self.unrenewed() = failed;
        }
    }

    /// Renews a tenant's leases; the tenant, if that failed.
    async fn renew(&self, tenant_id: Uuid, delivery_ids: Vec<Uuid>) -> Option<Uuid> {
        let lease = self.lease.as_secs_f64();
        let parameters = &[
            (&tenant_id as _, Type::UUID),
            (&self.worker as _, Type::TEXT),
            (&delivery_ids as _, Type::UUID_ARRAY),
            (&lease as _, Type::FLOAT8),
        ];
        let failure = self.database.rows(sql::RENEW_LEASES, parameters).await.err()?;
        tracing::warn!(%tenant_id, error = %failure, "leases were not renewed");
        Some(tenant_id)
    }

    async fn finish(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let idle = async {
            loop {
                let ended = self.idle.notified();
                if self.desk().running() == 0 {
                    return;
                }
                ended.await;
            }
        };
        let _ = timeout_at(deadline, idle).await;
        // What ended is settled even when the grace is over: it costs one statement.
        if timeout(Duration::from_secs(5), self.settling.close()).await.is_err() {
            tracing::warn!("outcomes could not be stored; those deliveries will be made again");
        }
        let leases = self.desk().leases();
        for (tenant_id, delivery_ids) in leases {
            tracing::info!(%tenant_id, deliveries = delivery_ids.len(), "giving back what was not delivered");
            self.release(tenant_id, &delivery_ids).await;
        }
    }

    async fn release(&self, tenant_id: Uuid, delivery_ids: &[Uuid]) {
        let parameters = &[
            (&tenant_id as _, Type::UUID),
            (&self.worker as _, Type::TEXT),
            (&delivery_ids as _, Type::UUID_ARRAY),
        ];
        let released = self.database.rows(sql::RELEASE_LEASES, parameters);
        if !matches!(timeout(Duration::from_secs(5), released).await, Ok(Ok(_))) {
            tracing::warn!(%tenant_id, "leases were not given back; they run out by themselves");
        }
        self.places().begin_anew(tenant_id);
    }

    fn count(&self) {
        let desk = self.desk();
        metrics::dispatching(desk.running(), desk.broken());
    }

    fn unrenewed(&self) -> MutexGuard<'_, Vec<Uuid>> {
        self.unrenewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing in a critical section panics half-way, so a poisoned desk is still whole.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery taken over. However its task ends, the slot is free afterwards; and if it ends without an outcome, which
/// only a defect does, its lease runs out and the delivery is made again.
struct Begun {
    dispatcher: Arc<Dispatcher>,
    held: Held,
    /// When its attempt began.
    at: Instant,
    ending: Ending,
}

/// What became of a delivery taken over.
enum Ending {
    Unknown,
    Reported(Box<Report>),
    /// Its attempt did not begin.
    GivenBack,
}

impl Begun {
    /// Whether the attempt may begin now that it has its turn.
    fn may_go_on(&mut self) -> bool {
        self.at = Instant::now();
        self.dispatcher.desk().may_begin(self.held, self.at.into_std())
    }

    fn ended(&mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (dispatcher, held) = (&self.dispatcher, self.held);
        let health = match std::mem::replace(&mut self.ending, Ending::Unknown) {
            Ending::GivenBack => None,
            Ending::Reported(report) => {
                let health = report.health;
                dispatcher.settling.report(held.tenant_id, *report);
                Some(health)
            }
            Ending::Unknown => {
                tracing::error!(delivery_id = %held.delivery_id, "an attempt ended without an outcome; it is made again");
                dispatcher.desk().settled(std::iter::once(held.delivery_id));
                Some(Health::Unknown)
            }
        };
        let now = Instant::now();
        let has_room = match health {
            Some(health) => dispatcher.desk().finished(held, health, now - self.at, now.into_std()),
            None => {
                dispatcher.desk().withdrawn(held);
                false
            }
        };
        dispatcher.count();
        if has_room {
            dispatcher.has_room.notify_one();
        }
        dispatcher.idle.notify_waiters();
    }
}
