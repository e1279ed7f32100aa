//! How far this worker has got in the queue. No I/O, no clock.
//!
//! What was delivered leaves dead entries at the head of the queue, which nobody may remove or skip while an old snapshot
//! is open. So a look begins where the last one has got to. From the beginning, where leases run out and what committed
//! late appears, it begins as seldom as it is dear: at most [`SHARE`] of the time goes into it.

use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Of so much time one part is spent on looking from the beginning.
const SHARE: u32 = 50;
/// However dear it is, it is not put off for longer.
const LONGEST: Duration = Duration::from_secs(10);
/// So many destinations are kept: a look asks for all of them.
const MOST: usize = 500;
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

/// What is known, as `nexus.due_tenants` takes it, and of one tenant `nexus.claim`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// In their order, and then in that of the destinations.
    pub tenants: Vec<Uuid>,
    pub destinations: Vec<Uuid>,
    /// The places to begin at.
    pub since: Vec<Timestamp>,
    pub after: Vec<Uuid>,
}

impl Known {
    fn of<'a>(marks: impl Iterator<Item = (&'a (Uuid, Uuid), &'a Mark)>) -> Self {
        let mut known = Self::default();
        for ((tenant_id, destination_id), mark) in marks {
            let place = if mark.is_anew { BEGINNING } else { mark.place };
            known.tenants.push(*tenant_id);
            known.destinations.push(*destination_id);
            known.since.push(place.due_at);
            known.after.push(place.delivery_id);
        }
        known
    }

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

/// How far a worker has got, by tenant and destination.
#[derive(Debug)]
pub struct Places {
    marks: BTreeMap<(Uuid, Uuid), Mark>,
    began_anew_at: Instant,
    /// What looks from the beginning have taken since then.
    spent: Duration,
}

impl Places {
    /// One that has got nowhere.
    pub fn new(now: Instant) -> Self {
        Self { marks: BTreeMap::new(), began_anew_at: now, spent: Duration::ZERO }
    }

    /// Before a look: whether it is time to begin at the beginning again.
    pub fn begin(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began_anew_at) < (self.spent * SHARE).min(LONGEST) {
            return;
        }
        (self.began_anew_at, self.spent) = (now, Duration::ZERO);
        self.forget_old(now);
        self.marks.values_mut().for_each(|mark| mark.is_anew = true);
    }

    /// A tenant's deliveries are due again that were before.
    pub fn begin_anew(&mut self, tenant_id: Uuid) {
        self.marks.range_mut(all_of(tenant_id)).for_each(|(_, mark)| mark.is_anew = true);
    }

    /// Where to look for tenants.
    pub fn all(&self) -> Known {
        Known::of(self.marks.iter())
    }

    /// Where to look for a tenant's deliveries.
    pub fn of(&self, tenant_id: Uuid) -> Known {
        Known::of(self.marks.range(all_of(tenant_id)))
    }

    /// What a look for tenants took, and which of those known had nothing.
    pub fn looked(&mut self, known: &Known, had_nothing: impl Fn(&Uuid) -> bool, took: Duration) {
        self.spend(known, took);
        for (tenant_id, destination_id) in known.tenants.iter().zip(&known.destinations) {
            if had_nothing(tenant_id) {
                self.pass(*tenant_id, *destination_id);
            }
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
        for destination_id in known.destinations.iter().filter(|id| is_passed(id)) {
            self.pass(tenant_id, *destination_id);
        }
        for (destination_id, place) in furthest {
            self.marks.insert((tenant_id, destination_id), Mark { place, is_anew: false, found_at: now });
        }
    }

    /// There is nothing at the beginning: it goes on where it was.
    fn pass(&mut self, tenant_id: Uuid, destination_id: Uuid) {
        if let Some(mark) = self.marks.get_mut(&(tenant_id, destination_id)) {
            mark.is_anew = false;
        }
    }

    fn forget_old(&mut self, now: Instant) {
        self.marks.retain(|_, mark| now.saturating_duration_since(mark.found_at) < MEMORY);
        if let Some(too_many) = self.marks.len().checked_sub(MOST) {
            let mut times: Vec<Instant> = self.marks.values().map(|mark| mark.found_at).collect();
            times.sort_unstable();
            let oldest: Vec<Instant> = times.into_iter().take(too_many).collect();
            if let Some(last) = oldest.last() {
                self.marks.retain(|_, mark| mark.found_at > *last);
            }
        }
    }

    fn spend(&mut self, known: &Known, took: Duration) {
        if known.begins_anew() {
            self.spent += took;
        }
    }
}

/// The destinations of a tenant.
fn all_of(tenant_id: Uuid) -> RangeInclusive<(Uuid, Uuid)> {
    (tenant_id, Uuid::nil())..=(tenant_id, Uuid::max())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(7);
    const OTHER: Uuid = Uuid::from_u128(8);
    const SOME: Duration = Duration::from_millis(1);

    fn place(second: i64) -> Place {
        let due_at = Timestamp::from_second(second).expect("a time");
        Place { due_at, delivery_id: Uuid::from_u128(second.unsigned_abs().into()) }
    }

    fn destination(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    /// Claims these of a tenant, where there is room for all.
    fn claim(places: &mut Places, tenant_id: Uuid, taken: &[(Uuid, Place)], now: Instant) {
        let known = places.of(tenant_id);
        places.claimed(tenant_id, &known, taken.iter().copied(), |_| true, SOME, now);
    }

    fn since(known: &Known) -> Vec<i64> {
        known.since.iter().map(|at| at.as_second()).collect()
    }

    #[test]
    fn a_look_begins_where_the_last_has_got_to() {
        let now = Instant::now();
        let mut places = Places::new(now);
        assert_eq!((places.all(), places.of(TENANT)), Default::default());
        let (first, second) = (destination(2), destination(1));
        let taken = [(first, place(5)), (first, place(7)), (second, place(6)), (first, place(6))];
        claim(&mut places, TENANT, &taken, now);
        claim(&mut places, OTHER, &[(first, place(4))], now);
        let known = places.of(TENANT);
        assert_eq!(
            (known.destinations, known.after),
            (vec![second, first], vec![place(6).delivery_id, place(7).delivery_id])
        );
        let all = places.all();
        assert_eq!((since(&all), all.tenants), (vec![6, 7, 4], vec![TENANT, TENANT, OTHER]));
    }

    #[test]
    fn from_the_beginning_as_seldom_as_it_is_dear() {
        let mut now = Instant::now();
        let mut places = Places::new(now);
        claim(&mut places, TENANT, &[(destination(1), place(5))], now);
        now += SOME;
        places.begin(now);
        assert_eq!(since(&places.all()), [0], "nothing has been spent");
        claim(&mut places, TENANT, &[(destination(1), place(6))], now);
        places.begin(now + SOME * (SHARE - 1));
        assert_eq!(since(&places.all()), [6]);
        places.begin(now + SOME * SHARE);
        assert_eq!(since(&places.all()), [0]);
        places.looked(&places.all(), |_| true, LONGEST);
        places.begin(now + SOME * SHARE + LONGEST);
        assert_eq!(since(&places.all()), [0], "and no seldomer than that");
    }

    #[test]
    fn where_there_is_nothing_at_the_beginning_it_goes_on() {
        let now = Instant::now();
        let mut places = Places::new(now);
        let (idle, full) = (destination(1), destination(2));
        claim(&mut places, TENANT, &[(idle, place(5)), (full, place(6))], now);
        claim(&mut places, OTHER, &[(idle, place(4))], now);
        places.begin_anew(TENANT);
        assert_eq!(since(&places.all()), [0, 0, 4], "the other tenant's are as they were");
        let known = places.of(TENANT);
        places.claimed(TENANT, &known, std::iter::empty(), |id| *id == idle, SOME, now);
        assert_eq!(since(&places.of(TENANT)), [5, 0], "the full one was not looked at");
        places.looked(&places.all(), |tenant_id| *tenant_id == OTHER, SOME);
        assert_eq!(since(&places.of(TENANT)), [5, 0], "it had something");
        places.looked(&places.all(), |tenant_id| *tenant_id == TENANT, SOME);
        assert_eq!(since(&places.of(TENANT)), [5, 6]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut now = Instant::now();
        let mut places = Places::new(now);
        for n in 1..=MOST as u128 + 50 {
            now += SOME;
            claim(&mut places, Uuid::from_u128(n), &[(destination(1), place(5))], now);
        }
        places.begin(now);
        assert_eq!(places.all().tenants.first(), Some(&Uuid::from_u128(51)), "the newest are kept");
        assert_eq!(places.all().tenants.len(), MOST);
        places.begin(now + MEMORY);
        assert_eq!(places.all(), Known::default());
    }
}
