//! How far this worker has got in the queue. No I/O, no clock.
//!
//! What was delivered leaves dead entries at the head of the queue, which nobody may remove or skip while an old snapshot
//! is open. So a look begins where the last one has got to. From the beginning, where leases run out and what committed
//! late appears, it begins as seldom as it is dear: at most [`SHARE`] of the time goes into it.

use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Of so much time one part is spent on looking from the beginning.
const SHARE: u32 = 50;
/// However dear it is, it is not put off for longer.
const LONGEST: Duration = Duration::from_secs(10);
/// So many tenants, and destinations of each, are kept: a look asks for all of them.
const MOST: usize = 200;
/// For how long one is kept of which nothing came.
const MEMORY: Duration = Duration::from_secs(600);

/// A place in the queue: a delivery and when it was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub due_at: Timestamp,
    pub delivery_id: Uuid,
}

/// Before all of them.
const BEGINNING: Place = Place { due_at: Timestamp::UNIX_EPOCH, delivery_id: Uuid::nil() };

/// What is known, as `nexus.due_tenants` and `nexus.claim` take it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Tenants, or destinations, in the order of their ids.
    pub ids: Vec<Uuid>,
    /// The places to begin at.
    pub since: Vec<Timestamp>,
    pub after: Vec<Uuid>,
}

impl Known {
    fn begins_anew(&self) -> bool {
        self.since.contains(&BEGINNING.due_at)
    }
}

#[derive(Debug)]
struct Mark {
    place: Place,
    /// The next look is to begin at the beginning. What is kept is where it goes on if there is nothing.
    is_anew: bool,
    found_at: Instant,
}

#[derive(Debug, Default)]
struct Marks(BTreeMap<Uuid, Mark>);

impl Marks {
    fn known(&self) -> Known {
        let place = |mark: &Mark| if mark.is_anew { BEGINNING } else { mark.place };
        Known {
            ids: self.0.keys().copied().collect(),
            since: self.0.values().map(|mark| place(mark).due_at).collect(),
            after: self.0.values().map(|mark| place(mark).delivery_id).collect(),
        }
    }

    fn found(&mut self, id: Uuid, place: Place, now: Instant) {
        self.0.insert(id, Mark { place, is_anew: false, found_at: now });
    }

    fn found_nothing(&mut self, id: Uuid) {
        if let Some(mark) = self.0.get_mut(&id) {
            mark.is_anew = false;
        }
    }

    fn begin_anew(&mut self) {
        self.0.values_mut().for_each(|mark| mark.is_anew = true);
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|_, mark| now.saturating_duration_since(mark.found_at) < MEMORY);
        if let Some(too_many) = self.0.len().checked_sub(MOST) {
            let mut times: Vec<Instant> = self.0.values().map(|mark| mark.found_at).collect();
            times.sort_unstable();
            let oldest: Vec<Instant> = times.into_iter().take(too_many).collect();
            if let Some(last) = oldest.last() {
                self.0.retain(|_, mark| mark.found_at > *last);
            }
        }
    }
}

/// How far a worker has got, by tenant and by destination.
#[derive(Debug)]
pub struct Places {
    tenants: Marks,
    destinations: HashMap<Uuid, Marks>,
    began_anew_at: Instant,
    /// What looks from the beginning have taken since then.
    spent: Duration,
}

impl Places {
    /// One that has got nowhere.
    pub fn new(now: Instant) -> Self {
        Self {
            tenants: Marks::default(),
            destinations: HashMap::new(),
            began_anew_at: now,
            spent: Duration::ZERO,
        }
    }

    /// Before a look: whether it is time to begin at the beginning again.
    pub fn begin(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began_anew_at) < (self.spent * SHARE).min(LONGEST) {
            return;
        }
        (self.began_anew_at, self.spent) = (now, Duration::ZERO);
        self.tenants.forget_old(now);
        self.tenants.begin_anew();
        self.destinations.retain(|tenant_id, _| self.tenants.0.contains_key(tenant_id));
        for marks in self.destinations.values_mut() {
            marks.forget_old(now);
            marks.begin_anew();
        }
    }

    /// A tenant's deliveries are due again that were before.
    pub fn begin_anew(&mut self, tenant_id: Uuid) {
        if let Some(mark) = self.tenants.0.get_mut(&tenant_id) {
            mark.is_anew = true;
        }
        if let Some(marks) = self.destinations.get_mut(&tenant_id) {
            marks.begin_anew();
        }
    }

    /// Where to look for tenants.
    pub fn tenants(&self) -> Known {
        self.tenants.known()
    }

    /// Where to look for a tenant's deliveries.
    pub fn destinations(&self, tenant_id: Uuid) -> Known {
        self.destinations.get(&tenant_id).map(Marks::known).unwrap_or_default()
    }

    /// What a look for tenants came to: the first due delivery of each, and whether these are all.
    pub fn found(
        &mut self,
        known: &Known,
        due: &[(Uuid, Place)],
        are_all: bool,
        took: Duration,
        now: Instant,
    ) {
        self.spend(known, took);
        if are_all {
            known.ids.iter().for_each(|tenant_id| self.tenants.found_nothing(*tenant_id));
        }
        for (tenant_id, place) in due {
            self.tenants.found(*tenant_id, *place, now);
        }
    }

    /// What a claim came to: what was taken of each destination. `is_passed` says of a destination that nothing was
    /// taken of whether there was nothing to take.
    pub fn claimed(
        &mut self,
        tenant_id: Uuid,
        known: &Known,
        taken: impl Iterator<Item = (Uuid, Place)>,
        is_passed: impl Fn(&Uuid) -> bool,
        took: Duration,
        now: Instant,
    ) {
        self.spend(known, took);
        let mut furthest: BTreeMap<Uuid, Place> = BTreeMap::new();
        for (destination_id, place) in taken {
            let so_far = furthest.entry(destination_id).or_insert(place);
            *so_far = place.max(*so_far);
        }
        if furthest.is_empty() && known.ids.is_empty() {
            return;
        }
        let marks = self.destinations.entry(tenant_id).or_default();
        known.ids.iter().filter(|id| is_passed(id)).for_each(|id| marks.found_nothing(*id));
        for (destination_id, place) in furthest {
            marks.found(destination_id, place, now);
        }
    }

    fn spend(&mut self, known: &Known, took: Duration) {
        if known.begins_anew() {
            self.spent += took;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(1);
    const SOME: Duration = Duration::from_millis(1);

    fn place(second: i64) -> Place {
        let due_at = Timestamp::from_second(second).expect("a time");
        Place { due_at, delivery_id: Uuid::from_u128(second.unsigned_abs().into()) }
    }

    fn destination(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// Claims these of the tenant, where there is room for all.
    fn claim(places: &mut Places, taken: &[(Uuid, Place)], now: Instant) {
        let known = places.destinations(TENANT);
        places.claimed(TENANT, &known, taken.iter().copied(), |_| true, SOME, now);
    }

    fn since(known: &Known) -> Vec<i64> {
        known.since.iter().map(|at| at.as_second()).collect()
    }

    #[test]
    fn a_look_begins_where_the_last_has_got_to() {
        let now = Instant::now();
        let mut places = Places::new(now);
        assert_eq!((places.tenants(), places.destinations(TENANT)), Default::default());
        places.found(&Known::default(), &[(TENANT, place(5))], true, SOME, now);
        let (first, second) = (destination(2), destination(1));
        claim(
            &mut places,
            &[(first, place(5)), (first, place(7)), (second, place(6)), (first, place(6))],
            now,
        );
        assert_eq!(since(&places.tenants()), [5]);
        let known = places.destinations(TENANT);
        assert_eq!(
            (known.ids, known.after),
            (vec![second, first], vec![place(6).delivery_id, place(7).delivery_id])
        );
    }

    #[test]
    fn from_the_beginning_as_seldom_as_it_is_dear() {
        let mut now = Instant::now();
        let mut places = Places::new(now);
        places.found(&Known::default(), &[(TENANT, place(5))], true, SOME, now);
        now += SOME;
        places.begin(now);
        assert_eq!(since(&places.tenants()), [0], "nothing has been spent");
        places.found(&places.tenants(), &[(TENANT, place(6))], true, SOME, now);
        places.begin(now + SOME * (SHARE - 1));
        assert_eq!(since(&places.tenants()), [6]);
        places.begin(now + SOME * SHARE);
        assert_eq!(since(&places.tenants()), [0]);
        places.found(&places.tenants(), &[(TENANT, place(6))], true, LONGEST, now);
        places.begin(now + SOME * SHARE + LONGEST);
        assert_eq!(since(&places.tenants()), [0], "and no seldomer than that");
    }

    #[test]
    fn where_there_is_nothing_at_the_beginning_it_goes_on() {
        let now = Instant::now();
        let mut places = Places::new(now);
        places.found(&Known::default(), &[(TENANT, place(5))], true, SOME, now);
        let (idle, full) = (destination(1), destination(2));
        claim(&mut places, &[(idle, place(5)), (full, place(6))], now);
        places.begin_anew(TENANT);
        assert_eq!((since(&places.tenants()), since(&places.destinations(TENANT))), (vec![0], vec![0, 0]));
        let known = places.destinations(TENANT);
        places.claimed(TENANT, &known, std::iter::empty(), |id| *id == idle, SOME, now);
        assert_eq!(since(&places.destinations(TENANT)), [5, 0], "the full one was not looked at");
        places.found(&places.tenants(), &[], false, SOME, now);
        assert_eq!(since(&places.tenants()), [0], "there may have been more");
        places.found(&places.tenants(), &[], true, SOME, now);
        assert_eq!(since(&places.tenants()), [5]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut now = Instant::now();
        let mut places = Places::new(now);
        for n in 1..=MOST as u128 + 50 {
            now += SOME;
            places.found(&Known::default(), &[(Uuid::from_u128(n), place(5))], true, SOME, now);
        }
        places.begin(now);
        assert_eq!(places.tenants().ids.first(), Some(&Uuid::from_u128(51)), "the newest are kept");
        assert_eq!(places.tenants().ids.len(), MOST);
        places.begin(now + MEMORY);
        assert_eq!(places.tenants(), Known::default());
    }
}
