use super::*;

const TENANT: Uuid = Uuid::from_u128(1);
/// So long that nothing is claimed ahead.
const SLOW: Duration = Duration::from_secs(1);

fn desk() -> Desk {
    Desk::new(Slots { all: 4, per_destination: 2 })
}

fn held(destination: u128, delivery: u128) -> Held {
    Held {
        tenant_id: TENANT,
        destination_id: Uuid::from_u128(destination),
        delivery_id: Uuid::from_u128(delivery),
        destination_changed_at: Some(Timestamp::UNIX_EPOCH),
        rate_limit: None,
    }
}

fn room(desk: &mut Desk, destination: u128, now: Instant) -> Option<usize> {
    desk.room(TENANT, now).deliveries.get(&Uuid::from_u128(destination)).copied()
}

#[test]
fn a_destination_has_its_slots_and_all_have_the_desks() {
    let (mut desk, now) = (desk(), Instant::now());
    assert_eq!(room(&mut desk, 1, now), None, "nothing is known of it");
    desk.admit(held(1, 1), now);
    assert_eq!(room(&mut desk, 1, now), Some(1));
    desk.admit(held(1, 2), now);
    assert_eq!((room(&mut desk, 1, now), desk.free()), (Some(0), 2));
    assert!(desk.finished(held(1, 1), Health::Up, SLOW, now), "it was full");
    assert!(!desk.finished(held(1, 2), Health::Up, SLOW, now), "there was room already");
    assert_eq!((room(&mut desk, 1, now), desk.running()), (Some(2), 0));
    assert_eq!(room(&mut desk, 1, now + PACE_MEMORY * 2), None, "and now it is forgotten");
}

#[test]
fn for_a_fast_destination_more_is_taken_over_than_can_begin() {
    let (mut desk, now) = (Desk::new(Slots { all: 100, per_destination: 4 }), Instant::now());
    let turns = desk.admit(held(1, 1), now);
    assert_eq!((turns.available_permits(), room(&mut desk, 1, now)), (4, Some(3)));
    desk.finished(held(1, 1), Health::Up, Duration::from_millis(1), now);
    let half = 4 * MOST_AHEAD / 2;
    assert_eq!(room(&mut desk, 1, now), Some(4 + 2 * half));
    (0..=4 + half as u128).for_each(|n| drop(desk.admit(held(1, n), now)));
    assert_eq!(room(&mut desk, 1, now), Some(0), "enough wait");
    assert!(desk.finished(held(1, 0), Health::Up, Duration::from_millis(1), now), "and now they do not");
    assert_eq!(room(&mut desk, 1, now), Some(half));
    assert_eq!(room(&mut desk, 2, now), None, "that is known of this one alone");
    (0..4 + half as u128).for_each(|n| {
        desk.finished(held(1, n), Health::Up, SLOW, now);
    });
    assert_eq!(room(&mut desk, 1, now), Some(4), "it is fast no more");
}

#[test]
fn what_waits_for_a_destination_that_goes_down_does_not_begin() {
    let (mut desk, now) = (Desk::new(Slots { all: 100, per_destination: 4 }), Instant::now());
    (0..12).for_each(|n| drop(desk.admit(held(1, n), now)));
    assert!(desk.may_begin(held(1, 11), now));
    (0..10).for_each(|n| {
        desk.finished(held(1, n), Health::Down, SLOW, now);
    });
    assert!(!desk.may_begin(held(1, 11), now));
    desk.withdrawn(held(1, 10));
    desk.withdrawn(held(1, 11));
    assert_eq!((desk.running(), desk.free()), (0, 100));
    let probed_at = now + desk.waits(now).expect("a time to probe");
    desk.admit(held(1, 12), probed_at);
    assert!(desk.may_begin(held(1, 12), probed_at), "the probe");
}

#[test]
fn a_full_desk_looks_for_more_when_anything_ends() {
    let (mut desk, now) = (desk(), Instant::now());
    (1..5).for_each(|n| drop(desk.admit(held(n, n), now)));
    assert_eq!(desk.free(), 0);
    assert!(desk.finished(held(3, 3), Health::Up, SLOW, now));
}

#[test]
fn a_lease_lasts_until_it_is_settled() {
    let (mut desk, now) = (desk(), Instant::now());
    desk.admit(held(1, 7), now);
    desk.finished(held(1, 7), Health::Up, SLOW, now);
    assert_eq!((desk.free(), desk.leases().len()), (4, 1));
    desk.settled([Uuid::from_u128(7)].into_iter());
    assert!(desk.leases().is_empty());
}

#[test]
fn what_waits_to_be_settled_is_bounded() {
    let (mut desk, now) = (desk(), Instant::now());
    for delivery in 1..=8 {
        assert!(desk.free() > 0, "{delivery}");
        desk.admit(held(delivery, delivery), now);
        assert!(!desk.finished(held(delivery, delivery), Health::Up, SLOW, now));
    }
    assert_eq!((desk.running(), desk.free()), (0, 0), "nothing runs, and nothing was settled");
    assert!(desk.settled([Uuid::from_u128(3), Uuid::from_u128(4)].into_iter()), "there is room again");
    assert_eq!(desk.free(), 2);
    assert!(!desk.settled([Uuid::from_u128(5)].into_iter()), "there was room already");
}

#[test]
fn the_configuration_is_asked_for_once_a_second_for_a_destination() {
    let (mut desk, first) = (desk(), Instant::now());
    desk.admit(held(1, 1), first);
    assert_eq!(desk.configuration_as_of(held(1, 1), first), first);
    desk.finished(held(1, 1), Health::Unknown, SLOW, first);
    let (soon, later) = (first + ASK_INTERVAL / 2, first + ASK_INTERVAL);
    desk.room(TENANT, soon);
    assert_eq!(desk.configuration_as_of(held(1, 2), soon), first, "the same answer will do");
    assert_eq!(desk.configuration_as_of(held(2, 3), soon), soon);
    assert_eq!(desk.configuration_as_of(held(1, 4), later), later);
    assert!(desk.room(TENANT, later + 2 * PACE_MEMORY).deliveries.is_empty(), "it is forgotten");
}

#[test]
fn a_destination_that_is_down_has_no_room_until_it_is_probed() {
    let (mut desk, mut now) = (desk(), Instant::now());
    let mut deliveries = 0;
    while desk.broken() == 0 {
        deliveries += 1;
        desk.admit(held(1, deliveries), now);
        desk.finished(held(1, deliveries), Health::Down, SLOW, now);
        desk.settled([Uuid::from_u128(deliveries)].into_iter());
    }
    assert_eq!(room(&mut desk, 1, now), Some(0));
    now += desk.waits(now).expect("a time to probe");
    assert_eq!(room(&mut desk, 1, now), Some(1), "one probe");
    desk.admit(held(1, 99), now);
    assert_eq!(room(&mut desk, 1, now), Some(0), "and no second beside it");
    assert!(desk.finished(held(1, 99), Health::Up, SLOW, now), "it is up: look for what waited");
    assert_eq!((desk.broken(), room(&mut desk, 1, now)), (0, Some(2)));
}

#[test]
fn a_destination_that_was_changed_is_not_held_to_what_it_was() {
    let (mut desk, now) = (desk(), Instant::now());
    let (old, slow) = (held(1, 1), held(1, 2));
    let new = Held { destination_changed_at: Some(Timestamp::MAX), ..held(1, 3) };
    desk.admit(slow, now);
    while desk.broken() == 0 {
        desk.admit(old, now);
        desk.finished(old, Health::Down, SLOW, now);
    }
    let as_of = desk.room(TENANT, now).as_of;
    assert_eq!(as_of.into_iter().collect::<Vec<_>>(), [(old.destination_id, Timestamp::UNIX_EPOCH)]);
    desk.admit(new, now);
    assert_eq!((desk.broken(), room(&mut desk, 1, now)), (0, Some(0)), "its slots are those it had");
    assert!(desk.finished(slow, Health::Down, SLOW, now), "a slot is free");
    assert!(desk.room(TENANT, now).as_of.is_empty(), "and the straggler's failure is not the new one's");
}

#[test]
fn a_limited_destination_has_room_for_what_its_rate_allows() {
    let (mut desk, mut now) = (Desk::new(Slots { all: 100, per_destination: 50 }), Instant::now());
    let limited = Held { rate_limit: Some(10), ..held(1, 1) };
    desk.admit(limited, now);
    desk.finished(limited, Health::Up, SLOW, now);
    while room(&mut desk, 1, now).is_some_and(|room| room > 0) {
        desk.admit(limited, now);
        desk.finished(limited, Health::Up, SLOW, now);
    }
    let wait = desk.waits(now).expect("a time when there is room again");
    now += wait;
    assert!(room(&mut desk, 1, now).is_none_or(|room| room > 0), "after {wait:?}");
}
