use super::*;
use crate::canonical::Snapshot;
use proptest::prelude::*;
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};

fn order() -> &'static Kind {
    Kind::named("sales_order").expect("a kind")
}

fn document(source_time: i64, is_deleted: bool, fields: Value) -> Document {
    let Value::Object(fields) = fields else { panic!("an object") };
    Document {
        kind: "sales_order",
        external_id: "1".to_owned(),
        snapshot: Snapshot::Partial,
        is_deleted,
        source_time: Some(source_time),
        fields,
    }
}

fn joined(claims: &[(Document, i64)]) -> Record {
    let mut record = Record::default();
    for (document, observed) in claims {
        record.join(order(), document, stamp(document.source_time, *observed));
    }
    record
}

/// Of another event each time, as redeliveries are.
fn stamp(source_time: Option<i64>, observed: i64) -> Stamp {
    static EVENTS: AtomicU64 = AtomicU64::new(1);
    let event_id = Uuid::from_u128(u128::from(EVENTS.fetch_add(1, Ordering::Relaxed)));
    Stamp { version: Version::new(0, source_time, observed), event_id, manifest_version: 1 }
}

fn of_event(event: u128, generation: i32, time: i64) -> Stamp {
    let version = Version::new(generation, Some(time), time);
    Stamp { version, event_id: Uuid::from_u128(event), manifest_version: generation + 1 }
}

#[test]
fn an_older_update_that_comes_later_changes_nothing() {
    let newer = document(200, false, json!({ "order_status": "completed" }));
    let older = document(100, false, json!({ "order_status": "confirmed" }));
    let mut record = joined(&[(newer, 300)]);
    assert_eq!(record.join(order(), &older, stamp(Some(100), 400)), Joined::Stale);
    assert_eq!(record.fields["order_status"], "completed");
}

#[test]
fn a_redelivery_raises_the_version_and_no_more() {
    let claim = document(100, false, json!({ "order_status": "confirmed" }));
    let mut record = joined(&[(claim.clone(), 100)]);
    assert_eq!(record.join(order(), &claim, stamp(Some(100), 150)), Joined::Raised);
    assert_eq!(record.join(order(), &claim, stamp(Some(100), 150)), Joined::Stale);
}

#[test]
fn a_number_spelled_otherwise_is_the_same_number() {
    let claim = document(100, false, json!({ "currency": "EUR", "total_amount": "10.50" }));
    let other = document(200, false, json!({ "currency": "EUR", "total_amount": "10.5" }));
    let mut record = joined(&[(claim, 100)]);
    assert_eq!(record.join(order(), &other, stamp(Some(200), 200)), Joined::Raised);
}

#[test]
fn a_group_survives_whole() {
    let first = document(100, false, json!({ "currency": "EUR", "total_amount": "10", "tax_amount": "2" }));
    let second = document(200, false, json!({ "currency": "USD", "total_amount": "12" }));
    let record = joined(&[(first, 100), (second, 200)]);
    assert_eq!(record.fields["tax_amount"], Value::Null);
    assert_eq!(record.fields["currency"], "USD");
}

#[test]
fn a_clock_that_is_ahead_pins_a_field_for_five_minutes_at_most() {
    let hour = 3_600_000_000;
    let ahead = document(hour, false, json!({ "order_status": "cancelled" }));
    let truth = document(400_000_000, false, json!({ "order_status": "completed" }));
    let record = joined(&[(ahead, 0), (truth, 400_000_000)]);
    assert_eq!(record.fields["order_status"], "completed");
}

#[test]
fn a_deleted_record_comes_back_with_a_later_claim_only() {
    let claim = document(100, false, json!({ "order_status": "confirmed" }));
    let delete = document(200, true, json!({}));
    let later = document(300, false, json!({ "order_status": "completed" }));
    let mut record = joined(&[(delete, 200), (claim, 250)]);
    assert!(record.is_deleted());
    assert_eq!(record.join(order(), &later, stamp(Some(300), 300)), Joined::Changed);
    assert!(!record.is_deleted());
    assert!(record.is_live("order_status"));
}

#[test]
fn what_was_erased_never_comes_back() {
    let claim = document(100, false, json!({ "email": "jan@example.com", "order_status": "confirmed" }));
    let later = document(900, false, json!({ "email": "jan@example.com", "order_status": "completed" }));
    let mut record = joined(&[(claim.clone(), 100)]);
    record.erase(order(), 500);
    for claim in [claim, later] {
        record.join(order(), &claim, stamp(claim.source_time, 900));
    }
    assert_eq!(
        (&record.fields["email"], &record.fields["order_status"]),
        (&Value::Null, &json!("completed"))
    );
    assert!(record.is_erased() && !record.is_deleted());
    let customer = Kind::named("customer").expect("a kind");
    let mut person = Record::default();
    person.erase(customer, 500);
    assert!(person.is_deleted());
}

#[test]
fn a_new_reading_of_the_events_stands_above_the_one_before_in_any_order() {
    let first = document(100, false, json!({ "order_status": "confirmed", "note": "n" }));
    let second = document(200, false, json!({ "order_status": "completed", "note": "m" }));
    let mut record = Record::default();
    record.join(order(), &first, of_event(1, 0, 100));
    record.join(order(), &second, of_event(2, 0, 200));
    // The new mapping knows no notes and another status.
    let first = document(100, false, json!({ "order_status": "pending" }));
    let second = document(200, false, json!({ "order_status": "cancelled" }));
    record.join(order(), &second, of_event(2, 1, 200));
    assert_eq!(record.join(order(), &first, of_event(1, 1, 100)), Joined::Stale);
    assert!(record.forget(order(), |claim| claim.version.generation < 1));
    let mut anew = Record::default();
    anew.join(order(), &first, of_event(1, 1, 100));
    anew.join(order(), &second, of_event(2, 1, 200));
    assert_eq!(record, anew);
}

#[test]
fn an_event_mapped_anew_replaces_its_own_claim() {
    for (before, after) in [("confirmed", "completed"), ("completed", "confirmed")] {
        let mut record = Record::default();
        record.join(order(), &document(1, false, json!({ "order_status": before })), of_event(1, 0, 1));
        record.join(order(), &document(1, false, json!({ "order_status": after })), of_event(1, 0, 1));
        assert_eq!(record.fields["order_status"], after);
    }
}

fn claims() -> impl Strategy<Value = Vec<(Document, i64)>> {
    let status = prop_oneof![Just("confirmed"), Just("completed"), Just("cancelled")];
    let amount = prop_oneof![Just("1"), Just("1.0"), Just("2"), Just("-0")];
    let claim = (0i64..4, 0i64..4, any::<bool>(), 0..4u8, status, amount).prop_map(
        |(source_time, observed, is_deleted, which, status, amount)| {
            let fields = match which {
                0 => json!({ "order_status": status }),
                1 => json!({ "total_amount": amount, "currency": "EUR" }),
                2 => json!({ "order_status": status, "total_amount": amount }),
                _ => json!({ "lines": [{ "external_id": "1", "quantity": amount }] }),
            };
            let is_deleted = is_deleted && which == 0;
            let fields = if is_deleted { json!({}) } else { fields };
            (document(source_time, is_deleted, fields), observed)
        },
    );
    prop::collection::vec(claim, 1..12)
}

proptest! {
    /// Shuffled and repeated, a source's claims give the same record.
    #[test]
    fn any_order_gives_the_same_record(
        (claims, shuffled) in claims().prop_flat_map(|claims| {
            let twice = [claims.clone(), claims.clone()].concat();
            (Just(claims), Just(twice).prop_shuffle())
        })
    ) {
        let (record, other) = (joined(&claims), joined(&shuffled));
        let versions = |record: &Record| -> Vec<Version> {
            record.groups.values().chain(&record.tombstone).map(|stamp| stamp.version).collect()
        };
        prop_assert_eq!(&record.fields, &other.fields);
        prop_assert_eq!(versions(&record), versions(&other));
    }
}
