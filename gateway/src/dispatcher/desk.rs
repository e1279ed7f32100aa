//! Which deliveries this worker holds: under way, parked, or waiting to be settled. No I/O.

use super::claim::Claimed;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// How much may be under way.
#[derive(Debug, Clone, Copy)]
pub struct Slots {
    /// Attempts at a time.
    pub all: usize,
    /// Attempts at a time to one destination.
    pub per_destination: usize,
}

/// A tenant with this many parked deliveries is not claimed for: its destinations are slower than the claims.
const PARKED_PER_TENANT: usize = 64;

/// The deliveries held.
#[derive(Debug)]
pub struct Desk<T = Claimed> {
    slots: Slots,
    running: usize,
    destinations: HashMap<(Uuid, Uuid), Destination<T>>,
    parked: HashMap<Uuid, usize>,
    /// Every delivery leased and not yet settled, with its tenant.
    leases: HashMap<Uuid, Uuid>,
}

#[derive(Debug)]
struct Destination<T> {
    running: usize,
    parked: VecDeque<T>,
}

/// What the desk has to know of a delivery.
pub trait Delivery {
    /// Its tenant, destination and own id.
    fn ids(&self) -> (Uuid, Uuid, Uuid);
}

impl Delivery for Claimed {
    fn ids(&self) -> (Uuid, Uuid, Uuid) {
        (self.tenant_id, self.destination_id, self.delivery_id)
    }
}

impl<T: Delivery> Desk<T> {
    /// An empty desk.
    pub fn new(slots: Slots) -> Self {
        Self {
            slots,
            running: 0,
            destinations: HashMap::new(),
            parked: HashMap::new(),
            leases: HashMap::new(),
        }
    }

    /// Attempts that may be started.
    pub fn free(&self) -> usize {
        self.slots.all.saturating_sub(self.running)
    }

    /// Attempts under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Deliveries waiting for a slot of their destination.
    pub fn parked(&self) -> usize {
        self.parked.values().sum()
    }

    /// Whether more of a tenant's deliveries are to be leased.
    pub fn may_claim(&self, tenant_id: Uuid) -> bool {
        self.parked.get(&tenant_id).is_none_or(|parked| *parked < PARKED_PER_TENANT)
    }

    /// Takes a delivery over: gives it back to be started, or parks it while its destination has no slot.
    pub fn admit(&mut self, delivery: T) -> Option<T> {
        let (tenant_id, destination_id, delivery_id) = delivery.ids();
        self.leases.insert(delivery_id, tenant_id);
        let destination = self
            .destinations
            .entry((tenant_id, destination_id))
            .or_insert_with(|| Destination { running: 0, parked: VecDeque::new() });
        if destination.running < self.slots.per_destination {
            destination.running += 1;
            self.running += 1;
            return Some(delivery);
        }
        destination.parked.push_back(delivery);
        *self.parked.entry(tenant_id).or_default() += 1;
        None
    }

    /// An attempt has ended; the delivery, parked until now, that takes its slot. The lease stays until
    /// [`Self::settled`].
    pub fn finished(&mut self, tenant_id: Uuid, destination_id: Uuid) -> Option<T> {
        let destination = self.destinations.get_mut(&(tenant_id, destination_id))?;
        if let Some(next) = destination.parked.pop_front() {
            if let Some(parked) = self.parked.get_mut(&tenant_id) {
                *parked -= 1;
                if *parked == 0 {
                    self.parked.remove(&tenant_id);
                }
            }
            return Some(next);
        }
        self.running -= 1;
        destination.running -= 1;
        if destination.running == 0 {
            self.destinations.remove(&(tenant_id, destination_id));
        }
        None
    }

    /// The database knows what became of these.
    pub fn settled(&mut self, delivery_ids: impl Iterator<Item = Uuid>) {
        for delivery_id in delivery_ids {
            self.leases.remove(&delivery_id);
        }
    }

    /// Gives parked deliveries up: at shutdown they are not begun any more.
    pub fn abandon_parked(&mut self) {
        self.parked.clear();
        for destination in self.destinations.values_mut() {
            destination.parked.clear();
        }
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
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Item(u128, u128, u128);

    impl Delivery for Item {
        fn ids(&self) -> (Uuid, Uuid, Uuid) {
            (Uuid::from_u128(self.0), Uuid::from_u128(self.1), Uuid::from_u128(self.2))
        }
    }

    fn desk() -> Desk<Item> {
        Desk::new(Slots { all: 4, per_destination: 2 })
    }

    const TENANT: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_destination_never_has_more_than_its_slots() {
        let mut desk = desk();
        let started = (0..4).filter_map(|n| desk.admit(Item(1, 1, n))).count();
        assert_eq!((started, desk.running(), desk.parked()), (2, 2, 2));
        assert_eq!(desk.admit(Item(1, 2, 9)), Some(Item(1, 2, 9)), "another destination is not held up");
        assert_eq!(desk.finished(TENANT, Uuid::from_u128(1)), Some(Item(1, 1, 2)), "the oldest parked one");
        assert_eq!((desk.running(), desk.parked()), (3, 1));
    }

    #[test]
    fn a_tenant_with_much_parked_is_not_claimed_for() {
        let mut desk = desk();
        for n in 0..2 + PARKED_PER_TENANT as u128 {
            assert!(desk.may_claim(TENANT));
            desk.admit(Item(1, 1, n));
        }
        assert!(!desk.may_claim(TENANT));
        assert!(desk.may_claim(Uuid::from_u128(2)));
        desk.finished(TENANT, Uuid::from_u128(1));
        assert!(desk.may_claim(TENANT));
    }

    #[test]
    fn a_lease_lasts_until_it_is_settled() {
        let mut desk = desk();
        desk.admit(Item(1, 1, 7));
        assert_eq!(desk.finished(TENANT, Uuid::from_u128(1)), None);
        assert_eq!((desk.free(), desk.leases().len()), (4, 1));
        desk.settled([Uuid::from_u128(7)].into_iter());
        assert!(desk.leases().is_empty());
    }
}
