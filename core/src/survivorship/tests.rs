use super::*;
use crate::canonical::{Document, Snapshot};
use crate::register::{Stamp, Version};
use proptest::prelude::*;
use serde_json::{Map, json};

const MINUTE: i64 = 60_000_000;

fn kind() -> &'static Kind {
    Kind::named("sales_order").expect("a kind")
}

fn scope(connector: u128) -> Scope {
    let (tenant_id, environment_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    Scope { tenant_id, environment_id, connector_id: Uuid::from_u128(connector) }
}

fn record(claims: &[(i64, Value)]) -> Record {
    let mut record = Record::default();
    for (time, fields) in claims {
        let document = Document {
            kind: "sales_order",
            external_id: "1".to_owned(),
            snapshot: Snapshot::Full,
            is_deleted: fields.is_null(),
            source_time: Some(*time),
            fields: fields.as_object().cloned().unwrap_or_default(),
        };
        let version = Version::new(0, Some(*time), *time);
        record.join(kind(), &document, Stamp { version, event_id: Uuid::nil(), manifest_version: 1 });
    }
    record
}

fn claims(record: &Record, connector: u128) -> Claims<'_> {
    let scope = scope(connector);
    Claims { record, scope, external_id: "1", birth_id: scope.birth_id("sales_order", "1") }
}

/// Ranks by field and connector.
fn policy(ranks: &[(Option<&str>, u128, i32)]) -> Policy {
    let rules = ranks.iter().map(|(field, connector, rank)| Rule {
        kind: "sales_order".to_owned(),
        field: field.map(str::to_owned),
        connector_id: Uuid::from_u128(*connector),
        rank: *rank,
    });
    Policy::new(&rules.collect::<Vec<_>>())
}

fn any() -> Policy {
    Policy::default()
}

#[test]
fn a_value_goes_before_none_then_rank_then_recency() {
    let shop = record(&[(0, json!({ "note": null, "email": "shop@x.nl", "channel": "web" }))]);
    let erp = record(&[(MINUTE, json!({ "note": "n", "email": "erp@x.nl", "channel": "erp" }))]);
    let late = record(&[(60 * MINUTE, json!({ "note": "m", "email": null, "channel": "late" }))]);
    let golden =
        project(kind(), &[claims(&late, 3), claims(&erp, 2), claims(&shop, 1)], &policy(&[(None, 1, 0)]))
            .expect("golden");
    assert_eq!(golden.columns["email"], "shop@x.nl", "the best rank");
    assert_eq!(golden.columns["note"], "m", "the best rank is silent; of the others the most recent");
}

#[test]
fn amounts_come_from_one_source_with_their_currency() {
    let euros = json!({ "currency": "EUR", "total_amount": "10", "tax_amount": "2" });
    let shop = record(&[(0, euros)]);
    let erp = record(&[(60 * MINUTE, json!({ "currency": "USD", "total_amount": "12" }))]);
    let golden = project(kind(), &[claims(&shop, 1), claims(&erp, 2)], &any()).expect("golden");
    assert_eq!((&golden.columns["currency"], &golden.columns["tax_amount"]), (&json!("USD"), &Value::Null));
}

#[test]
fn an_order_has_the_lines_of_one_source() {
    let line = |id: &str| json!({ "external_id": id, "quantity": "1", "product_variant_external_id": "v" });
    let sold = json!({
        "lines": [line("a"), line("b"), line("b")], "source_created_at": "2026-01-01T00:00:00Z",
    });
    let booked = json!({
        "lines": [line("c")], "source_created_at": "2026-01-01T00:00:00.5Z", "order_number": "SO1",
    });
    let (shop, erp) = (record(&[(0, sold)]), record(&[(60 * MINUTE, booked)]));
    let both = [claims(&erp, 2), claims(&shop, 1)];
    let golden = project(kind(), &both, &policy(&[(None, 2, 0)])).expect("golden");
    let ids = |golden: &Golden| -> Vec<_> {
        golden.children.iter().map(|child| child["external_id"].as_str().map(str::to_owned)).collect()
    };
    let text = |id: &str| Some(id.to_owned());
    assert_eq!(
        ids(&golden),
        [text("a"), text("b"), text("b")],
        "those of its own channel, whoever goes first"
    );
    assert_eq!(golden.columns["order_number"], "SO1");
    let by_rule = project(kind(), &both, &policy(&[(Some("lines"), 2, 0)])).expect("golden");
    assert_eq!(ids(&by_rule), [text("c")], "unless a rule is about them");
    assert_ne!(golden.children[1]["sales_order_line_id"], golden.children[2]["sales_order_line_id"]);
    let variant = scope(1).birth_id("product_variant", "v").to_string();
    assert_eq!(golden.children[0]["product_variant_birth_id"], variant, "of the source that names it");
}

#[test]
fn a_rule_about_a_field_goes_before_one_about_the_kind() {
    let shop = record(&[(0, json!({ "email": "shop@x.nl", "channel": "web", "currency": "EUR" }))]);
    let erp = record(&[(60 * MINUTE, json!({ "email": "erp@x.nl", "channel": "erp", "currency": "USD" }))]);
    let rules =
        policy(&[(None, 1, 0), (Some("email"), 2, -1), (Some("total_amount"), 2, -1), (Some("no"), 2, 0)]);
    let golden = project(kind(), &[claims(&shop, 1), claims(&erp, 2)], &rules).expect("golden");
    let read = |name: &str| golden.columns[name].as_str();
    assert_eq!((read("email"), read("channel")), (Some("erp@x.nl"), Some("web")));
    assert_eq!(read("currency"), Some("USD"), "a rule about one amount is about all of them");
}

#[test]
fn the_stock_at_a_location_has_one_owner() {
    let level = |connector: u128, policy: &Policy| {
        let mut record = Record::default();
        let document = Document {
            kind: "inventory_level",
            external_id: "1".to_owned(),
            snapshot: Snapshot::Partial,
            is_deleted: false,
            source_time: Some(0),
            fields: Map::from_iter([("location_external_id".to_owned(), json!("L"))]),
        };
        let kind = Kind::named("inventory_level").expect("a kind");
        let version = Version::new(0, Some(0), 0);
        record.join(kind, &document, Stamp { version, event_id: Uuid::nil(), manifest_version: 1 });
        let golden = project(kind, &[claims(&record, connector)], policy).expect("golden");
        golden.columns["is_authoritative"].as_bool()
    };
    let location = |connector: u128, created: i64| SharedLocation {
        entity_id: Uuid::nil(),
        birth_id: scope(connector).birth_id("location", "L"),
        connector_id: Uuid::from_u128(connector),
        source_created_at: Some(created),
    };
    let shared = [location(1, 7), location(2, 5)];
    let owners = |policy: Policy| [1, 2, 3].map(|connector| level(connector, &policy));
    let elder = owners(Policy::default().with_locations(&shared));
    assert_eq!(elder, [Some(false), Some(true), Some(true)], "the third has a location of its own");
    let rule =
        Rule { kind: "inventory_level".to_owned(), field: None, connector_id: Uuid::from_u128(1), rank: 0 };
    let ruled = owners(Policy::new(&[rule]).with_locations(&shared));
    assert_eq!(ruled, [Some(true), Some(false), Some(true)]);
}

#[test]
fn provenance_shows_who_won_and_who_lost() {
    let shop = record(&[(0, json!({ "note": "a", "channel": "web" }))]);
    let erp = record(&[(60 * MINUTE, json!({ "note": "b", "channel": null, "lines": [] }))]);
    let gone = record(&[(0, json!({ "note": "c" })), (MINUTE, Value::Null)]);
    let all = [claims(&shop, 1), claims(&erp, 2), claims(&gone, 3)];
    let rows = provenance(kind(), &all, &policy(&[(Some("note"), 1, 0)]));
    let of = |field: &str| -> Vec<(Value, u128, i64, bool)> {
        let rows = rows.iter().filter(|row| row.field == field);
        rows.map(|row| (row.value.clone(), row.connector_id.as_u128(), row.source_time, row.is_winner))
            .collect()
    };
    assert_eq!(of("note"), [(json!("a"), 1, 0, true), (json!("b"), 2, 60 * MINUTE, false)]);
    assert_eq!(of("channel"), [(json!("web"), 1, 0, true), (Value::Null, 2, 60 * MINUTE, false)]);
    assert_eq!(of("lines"), [(json!([]), 2, 60 * MINUTE, true)]);
    assert_eq!(of("email"), []);
}

#[test]
fn what_every_source_deleted_stays_readable_and_says_so() {
    let gone = record(&[(0, json!({ "note": "n" })), (MINUTE, Value::Null)]);
    let golden = project(kind(), &[claims(&gone, 1)], &any()).expect("golden");
    assert_eq!((&golden.columns["note"], golden.deleted_at), (&json!("n"), Some(MINUTE)));
    let alive = record(&[(0, json!({ "note": "alive" }))]);
    let golden = project(kind(), &[claims(&gone, 1), claims(&alive, 2)], &any()).expect("golden");
    assert_eq!((&golden.columns["note"], golden.deleted_at), (&json!("alive"), None));
    assert_eq!(project(kind(), &[claims(&record(&[(0, Value::Null)]), 1)], &any()), None);
}

#[test]
fn only_real_changes_are_changes() {
    let before = record(&[(0, json!({ "order_number": "#1", "total_amount": "1.0", "lines": [] }))]);
    let after = record(&[(0, json!({ "order_number": "#2", "total_amount": "1.00", "lines": [] }))]);
    let golden = |record: &Record| project(kind(), &[claims(record, 1)], &any()).expect("golden");
    assert_eq!(changed(kind(), Some(&golden(&before)), &golden(&after)), ["order_number"]);
    assert_eq!(changed(kind(), Some(&golden(&before)), &golden(&before)), [""; 0]);
    let lines = record(&[(0, json!({ "lines": [{ "external_id": "1", "quantity": "2" }] }))]);
    assert_eq!(changed(kind(), None, &golden(&lines)), ["lines"]);
}

proptest! {
    /// The order in which an entity's records are given is of no account.
    #[test]
    fn any_order_of_records_gives_the_same_entity(
        times in prop::collection::vec((0i64..20, 0i32..2, prop::option::of("[ab]")), 1..6).prop_shuffle(),
        turn in 0usize..6,
    ) {
        let records: Vec<Record> = times
            .iter()
            .map(|(minutes, _, note)| record(&[(minutes * MINUTE, json!({ "note": note, "channel": note }))]))
            .collect();
        let claims: Vec<Claims<'_>> = records
            .iter()
            .zip(&times)
            .zip(1u128..)
            .map(|((record, _), connector)| claims(record, connector))
            .collect();
        let ranks = times.iter().zip(1u128..).map(|((_, rank, _), connector)| (None, connector, *rank));
        let policy = policy(&ranks.collect::<Vec<_>>());
        let mut turned = claims.clone();
        turned.rotate_left(turn % claims.len());
        prop_assert_eq!(project(kind(), &claims, &policy), project(kind(), &turned, &policy));
    }
}
