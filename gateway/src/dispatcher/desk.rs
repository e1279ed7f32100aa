//! Which deliveries this worker holds, and how much it has room for. No I/O, no clock.
//!
//! A claim costs about as much for one delivery as for twenty. So for destinations that answer fast it is made for more
//! than can begin at once: the others wait here for a slot, no longer than about [`AHEAD`].

mod breaker;
mod bucket;

use breaker::Breaker;
use bucket::Bucket;
use jiff::Timestamp;
use nexus_core::retry::Health;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// How long a delivery may wait here for a slot.
const AHEAD: Duration = Duration::from_millis(50);
/// As many times the slots may wait, however fast the destination is.
const MOST_AHEAD: usize = 7;
/// For how long it is known how fast a destination is.
const PACE_MEMORY: Duration = Duration::from_secs(10);
/// How often the configuration is asked for because of one destination.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// How much may be under way.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// Deliveries held at a time.
    pub all: usize,
    /// Attempts at a time to one destination.
    pub per_destination: usize,
}

/// The deliveries held, and what is known of their destinations.
#[derive(Debug)]
pub struct Desk {
    slots: Slots,
    running: usize,
    /// By tenant. One that is not here has all its slots, a full bucket and no failures.
    destinations: HashMap<Uuid, HashMap<Uuid, Destination>>,
    /// Every delivery leased and not yet settled, with its tenant.
    leases: HashMap<Uuid, Uuid>,
}

/// A delivery as the desk knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub tenant_id: Uuid,
    pub destination_id: Uuid,
    pub delivery_id: Uuid,
    /// When its destination was last changed: what was found of it before says nothing any more.
    pub destination_changed_at: Option<Timestamp>,
    /// Attempts a second that its destination may be sent.
    pub rate_limit: Option<u32>,
}

/// What may be taken over now for those of a tenant's destinations that something is known of.
#[derive(Debug, Default)]
pub struct Room {
    /// Deliveries, by destination.
    pub deliveries: BTreeMap<Uuid, usize>,
    /// Those whose breaker is open, as of when: once they have been changed, they are not known any more.
    pub as_of: BTreeMap<Uuid, Timestamp>,
}

#[derive(Debug)]
struct Destination {
    changed_at: Option<Timestamp>,
    /// Attempts under way, and deliveries that wait for one of its slots.
    running: usize,
    breaker: Breaker,
    bucket: Option<Bucket>,
    /// Its slots. Who has none waits, first come, first served.
    turns: Arc<Semaphore>,
    /// How long its attempts take, and when the last one ended.
    pace: Option<(Duration, Instant)>,
    /// When the configuration was last asked for because of it.
    asked_at: Option<Instant>,
}

impl Destination {
    fn new(slots: usize) -> Self {
        let turns = Arc::new(Semaphore::new(slots));
        Self {
            changed_at: None,
            running: 0,
            breaker: Breaker::default(),
            bucket: None,
            turns,
            pace: None,
            asked_at: None,
        }
    }

    /// Deliveries that may wait for a slot.
    fn ahead(&self, slots: usize) -> usize {
        match (self.pace, &self.bucket) {
            (Some((pace, _)), None) => {
                let turns = AHEAD.as_micros() / pace.as_micros().max(1);
                slots * usize::try_from(turns).unwrap_or(MOST_AHEAD).min(MOST_AHEAD)
            }
            _ => 0,
        }
    }

    fn note_pace(&mut self, took: Duration, now: Instant) {
        let before = self.pace.map_or(took, |(pace, _)| pace);
        self.pace = Some(((before * 7 + took) / 8, now));
    }

    /// Deliveries that may be taken over now.
    fn room(&self, slots: usize, now: Instant) -> usize {
        let ahead = self.ahead(slots);
        // While enough wait for a slot there is no hurry: the next claim is a large one.
        let free = if self.running > slots + ahead / 2 { 0 } else { slots + ahead - self.running };
        let tokens = self.bucket.as_ref().map_or(usize::MAX, |bucket| bucket.tokens(now));
        let allowed = self.breaker.allows(now).map_or(usize::MAX, |all| all.saturating_sub(self.running));
        free.min(tokens).min(allowed)
    }

    /// Whether nothing would change if it were forgotten.
    fn is_as_new(&self, now: Instant) -> bool {
        self.running == 0
            && self.breaker.is_as_new(now)
            && self.pace.is_none_or(|(_, at)| now.saturating_duration_since(at) > PACE_MEMORY)
            && self.bucket.as_ref().is_none_or(|bucket| bucket.is_full(now))
            && self.asked_lately(now).is_none()
    }

    fn asked_lately(&self, now: Instant) -> Option<Instant> {
        self.asked_at.filter(|at| now.saturating_duration_since(*at) < ASK_INTERVAL)
    }
}

impl Desk {
    /// An empty desk.
    pub fn new(slots: Slots) -> Self {
        Self { slots, running: 0, destinations: HashMap::new(), leases: HashMap::new() }
    }

    /// Deliveries that may be taken over. As many as may be held may wait beside them for the database to take their
    /// outcome, and no more: while it cannot, nothing is sent.
    pub fn free(&self) -> usize {
        let held = (2 * self.slots.all).saturating_sub(self.leases.len());
        self.slots.all.saturating_sub(self.running).min(held)
    }

    /// Deliveries taken over whose attempts have not ended.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Destinations that are not sent to, or only to see whether they answer again.
    pub fn broken(&self) -> usize {
        self.destinations.values().flat_map(HashMap::values).filter(|d| d.breaker.is_open()).count()
    }

    /// What may be taken over now for a tenant.
    pub fn room(&mut self, tenant_id: Uuid, now: Instant) -> Room {
        let Some(destinations) = self.destinations.get_mut(&tenant_id) else { return Room::default() };
        destinations.retain(|_, destination| !destination.is_as_new(now));
        let slots = self.slots.per_destination;
        let deliveries = destinations.iter().map(|(id, destination)| (*id, destination.room(slots, now)));
        let broken = destinations.iter().filter(|(_, destination)| destination.breaker.is_open());
        let as_of = broken.filter_map(|(id, destination)| Some((*id, destination.changed_at?)));
        let room = Room { deliveries: deliveries.collect(), as_of: as_of.collect() };
        if destinations.is_empty() {
            self.destinations.remove(&tenant_id);
        }
        room
    }

    /// Takes a delivery over. Its attempt begins when it has one of these turns, if it [may](Self::may_begin) then.
    pub fn admit(&mut self, held: Held, now: Instant) -> Arc<Semaphore> {
        let slots = self.slots.per_destination;
        self.leases.insert(held.delivery_id, held.tenant_id);
        self.running += 1;
        let destinations = self.destinations.entry(held.tenant_id).or_default();
        let destination = destinations.entry(held.destination_id).or_insert_with(|| Destination::new(slots));
        destination.running += 1;
        if destination.changed_at != held.destination_changed_at {
            destination.changed_at = held.destination_changed_at;
            destination.breaker = Breaker::default();
        }
        destination.bucket = held.rate_limit.map(|limit| {
            let mut bucket = destination.bucket.take().unwrap_or_default();
            bucket.take(limit, now);
            bucket
        });
        Arc::clone(&destination.turns)
    }

    /// Whether an attempt may begin whose turn has come: not if the destination has gone down while it waited.
    pub fn may_begin(&self, held: Held, now: Instant) -> bool {
        let destination =
            self.destinations.get(&held.tenant_id).and_then(|all| all.get(&held.destination_id));
        destination.is_none_or(|of| of.breaker.allows(now).is_none_or(|all| of.running <= all))
    }

    /// A delivery has been given back without an attempt.
    pub fn withdrawn(&mut self, held: Held) {
        self.leases.remove(&held.delivery_id);
        self.running = self.running.saturating_sub(1);
        let destinations = self.destinations.get_mut(&held.tenant_id);
        if let Some(destination) = destinations.and_then(|all| all.get_mut(&held.destination_id)) {
            destination.running = destination.running.saturating_sub(1);
        }
    }

    /// An attempt has ended. Whether there is room now that there was not before: then look for more. The lease
    /// stays until [`Self::settled`].
    pub fn finished(&mut self, held: Held, health: Health, took: Duration, now: Instant) -> bool {
        let was_full = self.free() == 0;
        let slots = self.slots.per_destination;
        let destination = self.destinations.get_mut(&held.tenant_id);
        let Some(destination) = destination.and_then(|all| all.get_mut(&held.destination_id)) else {
            return was_full;
        };
        let had_none = destination.room(slots, now) == 0;
        destination.running = destination.running.saturating_sub(1);
        // One that began before its destination was changed says nothing of what it is now.
        if destination.changed_at == held.destination_changed_at {
            destination.breaker.record(health, now);
            destination.note_pace(took, now);
        }
        self.running = self.running.saturating_sub(1);
        let has_room_now = had_none && destination.room(slots, now) > 0;
        self.free() > 0 && (was_full || has_room_now)
    }

    /// As of when the configuration has to be for an attempt whose destination it does not know: asked for once in a
    /// while, however many attempts there are.
    pub fn configuration_as_of(&mut self, held: Held, now: Instant) -> Instant {
        let slots = self.slots.per_destination;
        let destinations = self.destinations.entry(held.tenant_id).or_default();
        let destination = destinations.entry(held.destination_id).or_insert_with(|| Destination::new(slots));
        *destination.asked_at.insert(destination.asked_lately(now).unwrap_or(now))
    }

    /// How long until a destination may be sent to again that may not be now, by its breaker or its rate.
    pub fn waits(&self, now: Instant) -> Option<Duration> {
        let of = |destination: &Destination| {
            let opens = destination.breaker.probes_at().filter(|at| *at > now);
            let fills = destination.bucket.as_ref().and_then(|bucket| bucket.wakes_at(now));
            opens.into_iter().chain(fills).min()
        };
        let earliest = self.destinations.values().flat_map(HashMap::values).filter_map(of).min();
        earliest.map(|at| at.saturating_duration_since(now))
    }

    /// The database knows what became of these, or will see their leases run out. Whether there is room now that there
    /// was not before.
    pub fn settled(&mut self, delivery_ids: impl Iterator<Item = Uuid>) -> bool {
        let was_full = self.free() == 0;
        for delivery_id in delivery_ids {
            self.leases.remove(&delivery_id);
        }
        was_full && self.free() > 0
    }

    /// What is leased, by tenant.
    pub fn leases(&self) -> HashMap<Uuid, Vec<Uuid>> {
        let mut by_tenant: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for (delivery_id, tenant_id) in &self.leases {
            by_tenant.entry(*tenant_id).or_default().push(*delivery_id);
        }
        by_tenant
    }
}

#[cfg(test)]
mod tests;
