//! What holds for every connector: outcomes, limits, keys, and that nothing makes it panic.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::canonical::Snapshot;
use nexus_core::connector::{Connector, built_in};
use nexus_core::error::Code;
use nexus_core::idempotency::key;
use nexus_core::normalize::{Headers, Normalized, Outcome, Request, normalize, normalize_payload};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;

static CONNECTORS: LazyLock<Vec<Connector>> = LazyLock::new(|| {
    let compile = |(_, manifest): &(&str, &str)| Connector::from_toml(manifest).unwrap();
    built_in().iter().map(compile).collect()
});

fn connector(connector_type: &str) -> &'static Connector {
    CONNECTORS.iter().find(|connector| connector.connector_type() == connector_type).unwrap()
}

fn shopify(headers: &[(&str, &str)], body: &[u8]) -> (Normalized, [u8; 32]) {
    of("shopify", headers, body)
}

fn of(connector_type: &str, headers: &[(&str, &str)], body: &[u8]) -> (Normalized, [u8; 32]) {
    let headers = Headers::from_pairs(headers.iter().copied());
    let request = Request { headers: &headers, body, settings: &Value::Null };
    let normalized = normalize(connector(connector_type), &request);
    let key = key(connector(connector_type), &request, &normalized);
    (normalized, key)
}

#[test]
fn a_request_says_what_it_is() {
    let headers = [
        ("X-Shopify-Topic", "orders/delete"),
        ("X-Shopify-Webhook-Id", "b54557e4"),
        ("X-Shopify-Triggered-At", "2026-03-29T18:00:27.877041743Z"),
        ("X-Shopify-Shop-Domain", "acme.myshopify.com"),
    ];
    let (normalized, _) = shopify(&headers, br#"{"id": 7}"#);
    assert_eq!(normalized.topic.as_deref(), Some("orders/delete"));
    assert_eq!(normalized.delivery_id.as_deref(), Some("b54557e4"));
    assert_eq!(normalized.emitted_at, Some(1_774_807_227_877_041));
    assert_eq!(normalized.shop.as_deref(), Some("acme.myshopify.com"));
    let Outcome::Documents(documents) = normalized.outcome else { panic!("{normalized:?}") };
    assert_eq!(documents[0].external_id, "7");
    assert!(documents[0].is_deleted);
    assert_eq!(documents[0].to_json(), json!({"is_deleted": true}));
}

#[test]
fn what_cannot_be_normalized_is_kept_with_its_reason() {
    let outcome = |topic: &str, body: &[u8]| shopify(&[("x-shopify-topic", topic)], body).0.outcome;
    let quarantined = |topic: &str, body: &[u8]| match outcome(topic, body) {
        Outcome::Quarantined(error) => (error.code, error.path.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    assert_eq!(quarantined("orders/create", b"{"), (Code::MalformedBody, "line 1 column 1".into()));
    assert_eq!(quarantined("orders/create", b"\xff"), (Code::MalformedBody, "byte 0".into()));
    let deep = [b"[".repeat(65), b"]".repeat(65)].concat();
    assert_eq!(quarantined("orders/create", &deep), (Code::MalformedBody, "byte 64".into()));
    assert_eq!(quarantined("orders/create", b"{}"), (Code::MappingFailed, "$.id".into()));
    assert_eq!(quarantined("orders/create", b"7"), (Code::MappingFailed, "$.id".into()));
    let body = br#"{"id": 1, "customer": {"id": 2, "updated_at": "soon"}}"#;
    let place = "$.customer.updated_at".into();
    assert_eq!(quarantined("orders/create", body), (Code::MappingFailed, place));
    // A body that nobody wants need not be mended.
    assert!(matches!(outcome("shop/update", b"{"), Outcome::Ignored { .. }));
    let Outcome::Ignored { reason } = outcome("moons/rise", b"{}") else { panic!() };
    assert_eq!(reason, "the manifest of \"shopify\" has no topic \"moons/rise\"");
}

#[test]
fn a_topic_finds_its_records_in_envelopes_too() {
    let ids = |topic: Option<&str>, body: Value| {
        let body = body.to_string();
        match normalize_payload(connector("shopify"), topic, body.as_bytes(), &Value::Null) {
            Outcome::Documents(documents) => {
                documents.into_iter().map(|document| document.external_id).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let level = json!({"inventory_item_id": 1, "location_id": 2, "available": 3});
    for topic in [None, Some("inventory_levels/update")] {
        assert_eq!(ids(topic, level.clone()), ["1:2"]);
        assert_eq!(ids(topic, json!([level, level])), ["1:2", "1:2"]);
        assert_eq!(ids(topic, json!({"inventory_level": level})), ["1:2"]);
        assert_eq!(ids(topic, json!({"notice": "x", "inventory_levels": [level]})), ["1:2"]);
        assert_eq!(ids(topic, json!({"inventory_levels": []})), [""; 0]);
    }
}

#[test]
fn an_event_with_an_id_of_its_own_wraps_its_record_and_names_its_topic() {
    let outcome = |topic: Option<&str>, body: &Value| {
        let body = body.to_string();
        normalize_payload(connector("stripe"), topic, body.as_bytes(), &Value::Null)
    };
    let customer = json!({"id": "cus_1", "object": "customer", "email": "a@example.com"});
    let event = |event_type: &str| {
        let data = json!({"object": customer});
        json!({"id": "evt_1", "object": "event", "created": 1, "type": event_type, "data": data})
    };
    for (topic, body, is_deleted) in [
        (None, customer.clone(), false),
        (None, event("customer.updated"), false),
        (None, event("customer.deleted"), true),
        (Some("customer.updated"), event("customer.updated"), false),
        (Some("customer.updated"), customer.clone(), false),
    ] {
        let Outcome::Documents(documents) = outcome(topic, &body) else { panic!("{topic:?} {body}") };
        assert_eq!((&*documents[0].external_id, documents[0].is_deleted), ("cus_1", is_deleted), "{body}");
    }
    let Outcome::Ignored { reason } = outcome(None, &event("moons.rise")) else { panic!() };
    assert_eq!(reason, "the manifest of \"stripe\" has no topic \"moons.rise\"");
}

#[test]
fn a_stub_asks_for_its_record_and_a_list_can_be_one_record() {
    let manifest = json!({
        "type": "test", "name": "Test", "version": 1,
        "entities": {
            "told": {
                "topics": ["shop/*/changed"], "stub": true,
                "documents": [{"kind": "sales_order", "external_id": "$.id",
                               "deleted_when": {"path": "$.gone", "equals": true}}],
            },
            "rows": {
                "detect": {"path": "$[0].order", "is": "set"},
                "documents": [{"kind": "sales_order", "external_id": "$[0].order", "snapshot": "partial",
                               "fields": {"lines": {"each": "$[*]", "fields": {"external_id": "$.row"}}}}],
            },
        },
    });
    let connector = Connector::from_json(&manifest).unwrap();
    let outcome = |topic: Option<&str>, body: Value| {
        normalize_payload(&connector, topic, body.to_string().as_bytes(), &Value::Null)
    };
    let stub = outcome(Some("shop/3/changed"), json!([{"id": 1}, {"id": 2}]));
    assert_eq!(stub, Outcome::Ignored { reason: "a stub: fetch sales_order 1, sales_order 2".into() });
    let Outcome::Documents(gone) = outcome(Some("shop/3/changed"), json!({"id": 1, "gone": true})) else {
        panic!("what a stub says is gone is gone")
    };
    assert!(gone[0].is_deleted);
    let Outcome::Documents(rows) = outcome(None, json!([{"order": 7, "row": 1}, {"order": 7, "row": 2}]))
    else {
        panic!("the rows are known")
    };
    assert_eq!((rows.len(), rows[0].external_id.as_str()), (1, "7"));
    assert_eq!(rows[0].fields["lines"].as_array().unwrap().len(), 2);
}

#[test]
fn a_part_of_a_record_claims_only_what_it_says() {
    let body = br#"{"id": 1, "tags": null, "note": "hello"}"#;
    let (normalized, _) = shopify(&[("x-shopify-topic", "orders/updated")], body);
    let Outcome::Documents(documents) = normalized.outcome else { panic!() };
    assert_eq!(documents[0].snapshot, Snapshot::Partial);
    assert_eq!(Value::Object(documents[0].fields.clone()), json!({"note": "hello", "tags": []}));
}

#[test]
fn keys_tell_deliveries_apart_as_each_platform_needs() {
    let shop = |id: &str, body: &str| {
        let headers = [("x-shopify-topic", "orders/updated"), ("x-shopify-webhook-id", id)];
        shopify(&headers, body.as_bytes()).1
    };
    assert_eq!(shop("a", "{\"id\":1}"), shop("a", "{\"id\":2}"), "the id alone decides");
    assert_ne!(shop("a", "{\"id\":1}"), shop("b", "{\"id\":1}"));

    let woo = |id: &str, body: &str| {
        let headers = [("x-wc-webhook-topic", "order.updated"), ("x-wc-webhook-delivery-id", id)];
        of("woocommerce", &headers, body.as_bytes()).1
    };
    assert_eq!(woo("a", "{\"id\":1}"), woo("a", "{\"id\":1}"));
    assert_ne!(woo("a", "{\"id\":1}"), woo("a", "{\"id\":2}"), "two deliveries of one second");
    assert_ne!(woo("a", "{\"id\":1}"), woo("b", "{\"id\":1}"));

    // Without the platform's id: topic, time and body.
    let bare = |topic: &str, body: &str| shopify(&[("x-shopify-topic", topic)], body.as_bytes()).1;
    assert_eq!(bare("orders/paid", "{\"id\":1}"), bare("orders/paid", "{\"id\":1}"));
    assert_ne!(bare("orders/paid", "{\"id\":1}"), bare("orders/updated", "{\"id\":1}"));
    assert_ne!(bare("orders/paid", "{\"id\":1}"), bare("orders/paid", "{\"id\":2}"));
}

#[test]
fn rows_never_share_an_id() {
    let line = |id: Value| json!({"id": id, "title": "x", "quantity": 1, "price": "1.00"});
    let body = json!({
        "id": 1, "created_at": "2026-01-01T00:00:00Z", "financial_status": "paid",
        "line_items": [line(json!(5)), line(json!(5)), line(json!(null)), line(json!("position:2"))],
        "shipping_lines": [line(json!(5))],
    });
    let (normalized, _) = shopify(&[("x-shopify-topic", "orders/create")], body.to_string().as_bytes());
    let Outcome::Documents(documents) = normalized.outcome else { panic!() };
    let lines = documents[0].fields["lines"].as_array().unwrap();
    let ids: Vec<_> = lines.iter().map(|line| line["external_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["5", "position:2", "position:3", "position:4", "shipping:5"]);
}

/// JSON of the sort that platforms send, with their names and with values of any type.
fn any_payload() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "id",
        "order",
        "orders",
        "customer",
        "customers",
        "product",
        "products",
        "variants",
        "data",
        "line_items",
        "shipping_lines",
        "refunds",
        "fulfillments",
        "transactions",
        "billing",
        "meta_data",
        "attributes",
        "tags",
        "status",
        "price",
        "total",
        "total_price",
        "amount",
        "updated_at",
        "created_at",
        "date_created_gmt",
        "email",
        "quantity",
        "currency",
        "financial_status",
        "inventory_item_id",
        "location_id",
        "available",
        "manage_stock",
        "stock_quantity",
        "regular_price",
        "number",
        "username",
        "verified_email",
        "first_name",
        "presentment_money",
        "total_price_set",
        "tax_lines",
        "key",
        "value",
        "customer_id",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?[0-9]{1,70}(\\.[0-9]{1,70})?(e[+-]?[0-9]{1,12})?"
            .prop_map(|text| serde_json::from_str(&text).unwrap_or(Value::from(text))),
        "\\PC{0,300}".prop_map(Value::from),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{0,8}Z?".prop_map(Value::from),
        Just(json!("a\0b")),
        Just(json!("x".repeat(70_000))),
    ];
    leaf.prop_recursive(6, 120, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..9).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

fn topics(connector: &Connector) -> Vec<String> {
    connector.manifest().entities.values().flat_map(|entity| entity.topics.clone()).collect()
}

/// What the tables demand of any document.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(values) => values.iter().all(is_storable),
        Value::Object(members) => {
            members.iter().all(|(name, value)| !name.contains('\0') && is_storable(value))
        }
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_json_has_an_outcome(payload in any_payload()) {
        let body = payload.to_string();
        for connector in CONNECTORS.iter() {
            let topics = topics(connector).into_iter().map(Some).chain([None]);
            for topic in topics {
                let outcome = || normalize_payload(connector, topic.as_deref(), body.as_bytes(), &Value::Null);
                let first = outcome();
                prop_assert_eq!(&first, &outcome());
                if let Outcome::Documents(documents) = first {
                    for document in documents {
                        let length = document.external_id.chars().count();
                        prop_assert!((1..=255).contains(&length));
                        prop_assert!(is_storable(&Value::Object(document.fields)));
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_have_an_outcome(body in prop::collection::vec(any::<u8>(), 0..200), topic in "\\PC{0,40}") {
        for connector in CONNECTORS.iter() {
            normalize_payload(connector, None, &body, &Value::Null);
            for name in ["x-shopify-topic", "x-wc-webhook-topic"] {
                of(connector.connector_type(), &[(name, topic.as_str()), ("x-shopify-triggered-at", &topic)], &body);
            }
        }
    }

    #[test]
    fn any_settings_have_an_outcome(settings in any_payload()) {
        let body = br#"{"id":1,"status":"x","date_created":"2026-01-01T00:00:00","line_items":[],"total":"1","customer_id":1}"#;
        normalize_payload(connector("woocommerce"), Some("order.created"), body, &settings);
    }
}
