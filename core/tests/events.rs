//! Stubs, requests that hold several of the platform's events, and bodies that are forms.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::connector::Connector;
use nexus_core::normalize::{FetchRequest, Headers, Normalized, Outcome, Request, normalize};
use serde_json::{Value, json};

/// A platform that sends stubs of orders, whole products, and words about both being gone.
fn connector(receive: Value) -> Connector {
    let stub = json!({
        "topics": ["order.created", "order.updated"], "stub": true,
        "documents": [
            {"kind": "sales_order", "external_id": "$.id"},
            {"kind": "customer", "when": {"path": "$.customer", "is": "set"}, "external_id": "$.customer"},
        ],
    });
    let gone = json!({
        "topics": ["order.deleted"], "stub": true,
        "documents": [{"kind": "sales_order", "external_id": "$.id", "deleted": true}],
    });
    let whole = json!({
        "topics": ["product.updated"],
        "documents": [{"kind": "product", "external_id": "$.id", "fields": {"title": "$.title"}}],
    });
    let manifest = json!({
        "type": "test", "name": "Test", "version": 1, "receive": receive, "ignored": {"moon.*": "no moons"},
        "entities": {"stub": stub, "gone": gone, "whole": whole},
    });
    Connector::from_json(&manifest).unwrap()
}

/// QuickBooks' two forms, and the paths that lead to their events.
fn batches() -> Connector {
    let topic = json!({"first_of": [
        {"path": "$.type"},
        {"template": "{name}.{operation}", "with": {"name": "$.name", "operation": "$.operation"}, "lower": true},
    ]});
    connector(json!({
        "topic": topic,
        "events": ["$.eventNotifications[*].dataChangeEvent.entities[*]", "$.value[*]", "$[*]"],
    }))
}

fn of(connector: &Connector, body: &[u8]) -> Normalized {
    let headers = Headers::default();
    normalize(connector, &Request { headers: &headers, body, settings: &Value::Null })
}

fn fetched(normalized: &Normalized) -> Vec<(&'static str, &str)> {
    normalized.fetch.iter().map(|request| (request.kind, request.external_id.as_str())).collect()
}

fn ignored(normalized: &Normalized) -> &str {
    match &normalized.outcome {
        Outcome::Ignored { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stub_names_what_is_to_be_fetched() {
    let connector = connector(json!({"topic": "$.topic"}));
    let stub = of(&connector, br#"{"topic":"order.updated","id":7,"customer":9}"#);
    assert_eq!(stub.topic.as_deref(), Some("order.updated"));
    assert_eq!(ignored(&stub), "a stub: fetch sales_order 7, customer 9");
    let request = |kind, id: &str| FetchRequest { kind, external_id: id.to_owned() };
    assert_eq!(stub.fetch, [request("sales_order", "7"), request("customer", "9")]);

    let gone = of(&connector, br#"{"topic":"order.deleted","id":7}"#);
    assert!(matches!(&gone.outcome, Outcome::Documents(documents) if documents[0].is_deleted));
    assert_eq!(gone.fetch, []);
    let whole = of(&connector, br#"{"topic":"product.updated","id":7,"title":"x"}"#);
    assert_eq!(whole.fetch, []);
    let nameless = of(&connector, br#"{"topic":"order.updated"}"#);
    assert!(matches!(nameless.outcome, Outcome::Quarantined(_)));
    assert_eq!(nameless.fetch, []);
}

#[test]
fn one_request_may_hold_several_events() {
    let connector = batches();
    let event = |topic: &str, id: u32| json!({"type": topic, "id": id, "title": "x"});
    let body = |events: Value| events.to_string().into_bytes();

    let mixed = of(
        &connector,
        &body(json!([
            event("order.created", 1),
            event("product.updated", 2),
            event("order.updated", 1),
            event("order.deleted", 3),
            event("moon.rise", 4)
        ])),
    );
    assert_eq!(mixed.topic.as_deref(), Some("batch"));
    assert_eq!(fetched(&mixed), [("sales_order", "1")], "an order that is named twice is fetched once");
    let Outcome::Documents(documents) = &mixed.outcome else { panic!("{mixed:?}") };
    let ids: Vec<_> = documents.iter().map(|document| (document.kind, &*document.external_id)).collect();
    assert_eq!(ids, [("product", "2"), ("sales_order", "3")]);

    let alike =
        of(&connector, &body(json!({"value": [event("order.updated", 1), event("order.updated", 2)]})));
    assert_eq!(alike.topic.as_deref(), Some("order.updated"));
    assert_eq!(ignored(&alike), "a stub: fetch sales_order 1, sales_order 2");

    let legacy = of(
        &connector,
        &body(json!({"eventNotifications": [
            {"realmId": "1", "dataChangeEvent": {"entities": [
                {"name": "Order", "id": "1", "operation": "Updated"},
                {"name": "Order", "id": "2", "operation": "Created"},
            ]}},
            {"realmId": "2", "dataChangeEvent": {"entities": [
                {"name": "Order", "id": "3", "operation": "Updated"},
            ]}},
        ]})),
    );
    assert_eq!(legacy.topic.as_deref(), Some("batch"));
    assert_eq!(fetched(&legacy), [("sales_order", "1"), ("sales_order", "2"), ("sales_order", "3")]);

    let single = of(&connector, &body(event("order.created", 5)));
    assert_eq!(
        (single.topic.as_deref(), fetched(&single)),
        (Some("order.created"), vec![("sales_order", "5")])
    );
}

#[test]
fn a_batch_without_records_says_why() {
    let connector = batches();
    let of = |body: Value| of(&connector, body.to_string().as_bytes());
    assert_eq!(ignored(&of(json!({"value": []}))), "the request holds no events");
    let moons = of(json!([{"type": "moon.rise"}, {"type": "moon.set"}]));
    assert_eq!((ignored(&moons), moons.topic.as_deref()), ("no moons", Some("batch")));
    let odd = of(json!([{"type": "moon.rise"}, {"type": "sun"}, {"a": 1}]));
    assert_eq!(
        ignored(&odd),
        "no moons; the manifest of \"test\" has no topic \"sun\"; \
         the payload has the shape of no record that the manifest of \"test\" maps"
    );
    let many: Vec<_> = (0..100).map(|id| json!({"type": "order.updated", "id": id})).collect();
    let many = of(json!(many));
    assert_eq!(many.fetch.len(), 100);
    assert!(ignored(&many).ends_with("sales_order 19 and 80 more"), "{many:?}");
}

#[test]
fn one_event_that_is_not_understood_keeps_the_whole_request() {
    let body = json!([{"type": "order.updated", "id": 1}, {"type": "product.updated", "title": "x"}]);
    let normalized = of(&batches(), body.to_string().as_bytes());
    let Outcome::Quarantined(error) = &normalized.outcome else { panic!("{normalized:?}") };
    assert_eq!(error.message, "event 2 of 2: product has no id");
    assert_eq!((normalized.topic.as_deref(), normalized.fetch.len()), (Some("batch"), 0));
}

#[test]
fn a_form_is_an_object_whose_fields_may_hold_json() {
    let receive = json!({"body": "form", "json_fields": ["payload"], "topic": "$.type"});
    let connector = connector(receive);
    let whole = of(&connector, b"type=order.updated&domain_prefix=ac%26me&id=a+b%20c");
    assert_eq!(ignored(&whole), "a stub: fetch sales_order a b c");

    let connector = Connector::from_json(&{
        let mut manifest = connector.manifest().to_json().unwrap();
        manifest["envelopes"] = json!(["payload"]);
        manifest
    })
    .unwrap();
    let body = br#"payload=%7B%22id%22%3A%22x%22%2C%22title%22%3A%22%C3%A9%22%7D&type=product.updated"#;
    let Outcome::Documents(documents) = of(&connector, body).outcome else { panic!() };
    assert_eq!((&*documents[0].external_id, &documents[0].fields["title"]), ("x", &json!("é")));
    let Outcome::Documents(documents) =
        of(&connector, br#"{"type":"product.updated","id":1,"title":"x"}"#).outcome
    else {
        panic!()
    };
    assert_eq!(documents[0].external_id, "1", "an answer of the API is JSON");

    for (body, place) in [
        (&b"type=order.updated&payload=%7B"[..], "field payload, line 1 column 1"),
        (b"type=order.updated&id=%FF", "field id"),
        (b"type=order.updated&id=\xff", "body"),
        (b"%FF=1", "body"),
    ] {
        let Outcome::Quarantined(error) = of(&connector, body).outcome else { panic!("{body:?}") };
        assert_eq!(error.path.as_deref(), Some(place));
    }
}
