//! What of a payload no field reads.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::connector::Connector;
use nexus_core::normalize::{Headers, Request, unmapped};
use serde_json::{Value, json};

fn unread(entities: Value, topic: Option<&str>, body: Value) -> Vec<String> {
    let manifest = json!({
        "type": "test", "name": "Test", "version": 1, "null_values": [""],
        "receive": {"signature": {"scheme": "none"}, "topic": "$.topic", "events": ["$.events[*]"]},
        "envelopes": ["data"], "ignored": {"moon": "no moons"}, "entities": entities,
    });
    let connector = Connector::from_json(&manifest).unwrap();
    let (headers, body) = (Headers::default(), body.to_string());
    let request = Request { headers: &headers, body: body.as_bytes(), settings: &Value::Null };
    unmapped(&connector, topic, &request).into_iter().map(|unmapped| unmapped.path).collect()
}

fn order() -> Value {
    json!({"order": {"topics": ["order"], "documents": [
        {
            "kind": "sales_order", "external_id": "$.id",
            "when": {"path": "$.state", "equals": "placed"},
            "fields": {
                "order_number": {"first_of": ["$.number", "$.name"]},
                "currency": "$.currency",
                "custom_fields": {"path": "$.extra", "as": "json"},
                "lines": {
                    "each": "$.lines[*]", "where": {"path": "$.kind", "equals": "item"},
                    "fields": {"external_id": "$.id", "title": "$.product.title"},
                },
            },
        },
        {"kind": "customer", "external_id": "$.customer.id", "when": {"path": "$.customer", "is": "object"},
         "fields": {"first_name": "$.customer.first"}},
    ]}})
}

#[test]
fn what_no_field_reads_is_named_once() {
    let body = json!({
        "topic": "order", "id": 1, "number": "A1", "name": "B1", "state": "placed", "currency": "EUR",
        "extra": {"deep": {"er": 1}},
        "customer": {"id": 2, "first": "Ann", "odd-name": "x", "it's": 1},
        "client": {"agent": {"name": "curl"}},
        "lines": [
            {"id": 1, "kind": "item", "product": {"title": "Tea"}, "vendor": "V"},
            {"id": 2, "kind": "gift", "product": {"title": "Pot", "colour": "red"}, "vendor": "W"},
        ],
    });
    let expected = [
        "$.client",
        "$.customer['it\\'s']",
        "$.customer['odd-name']",
        "$.lines[*].product.colour",
        "$.lines[*].vendor",
    ];
    assert_eq!(unread(order(), None, body), expected);
}

#[test]
fn nothing_is_nothing_to_be_read() {
    let body =
        json!({"topic": "order", "id": 1, "state": "placed", "a": null, "b": "", "c": [], "d": {"e": null}});
    assert_eq!(unread(order(), None, body), [""; 0]);
}

#[test]
fn what_a_document_would_read_that_is_not_given_is_unread() {
    let body = json!({"id": 1, "state": "draft", "number": "A1"});
    assert_eq!(unread(order(), Some("order"), body), ["$.id", "$.number"]);
}

#[test]
fn records_are_found_where_the_mapping_finds_them() {
    let record = |vendor: &str| json!({"id": 1, "state": "placed", "vendor": vendor});
    let enveloped = json!({"data": record("a"), "page": 2});
    assert_eq!(unread(order(), Some("order"), enveloped), ["$.data.vendor", "$.page"]);
    let events = json!({"events": [
        {"topic": "order", "data": record("a")}, {"topic": "moon", "data": {"phase": "full"}},
    ]});
    assert_eq!(unread(order(), None, events), ["$.events[*].data.phase", "$.events[*].data.vendor"]);
    assert_eq!(unread(order(), None, json!({"topic": "moon", "phase": "full"})), ["$.phase"]);
    assert_eq!(unread(order(), Some("order"), json!("text")), ["$"]);
}
