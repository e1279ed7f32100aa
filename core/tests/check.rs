//! What an author is told of a manifest: all that is wrong with it, each with its line.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::connector::{Connector, built_in};
use serde_json::json;

/// Line, place and reason of every mistake.
fn mistakes(toml: &str) -> Vec<(usize, String, String)> {
    let mistakes = Connector::check_toml(toml).map(|_| ()).unwrap_err();
    let shown = mistakes.into_iter().map(|mistake| {
        let place = mistake.error.path.clone().unwrap_or_default();
        (mistake.line.unwrap_or_default(), place, mistake.error.message)
    });
    shown.collect()
}

#[test]
fn all_mistakes_are_told_with_their_lines() {
    let toml = r#"type = "tea"
name = "Tea"
version = "one"

[receive]
signature = { scheme = "rot13", header = "x-signature" }
topic = { header = "x-topic" }

[pull]
base_url = "https://api.example/{shop}"
pagination = { kind = "cursor" }
colour = 1

[shapes.name]
title = "title"

[auth.settings]
additionalProperties = false
properties = { site = { type = "string" } }

[ignored]
"tea.*" = 7

[[entities.product.documents]]
kind = "gadget"
external_id = "$.id"

[[entities.product.documents]]
kind = "product"
external_id = "$.id"
use = "name"
fields.hue = "$.hue"
fields.status = { path = "$.status", map = { on = "awake" } }

[[entities.order.documents]]
kind = "sales_order"
external_id = "$.id"
fields.total_amount = "$.total"
fields.ordered_at = { path = "$.at", zone = { setting = "timezone" } }
"#;
    let expected = [
        (3, "version", "invalid type"),
        (6, "receive.signature.scheme", "unknown variant `rot13`"),
        (10, "pull.base_url", "no setting \"shop\""),
        (11, "pull.pagination", "lacks next"),
        (12, "pull.colour", "unknown field `colour`"),
        (15, "shapes.name.title", "is not a JSONPath"),
        (22, "ignored.tea.*", "invalid type"),
        (25, "entities.product.documents[0].kind", "no entity kind \"gadget\""),
        (32, "entities.product.documents[1].fields.hue", "no field \"hue\""),
        (33, "entities.product.documents[1].fields.status", "\"awake\" is not a word"),
        (35, "entities.order.documents[0]", "claims total_amount without currency"),
        (39, "entities.order.documents[0].fields.ordered_at.zone", "no setting \"timezone\""),
    ];
    let given = mistakes(toml);
    let places: Vec<_> = given.iter().map(|(line, place, _)| (*line, place.as_str())).collect();
    assert_eq!(places, expected.map(|(line, place, _)| (line, place)), "{given:#?}");
    for ((_, place, message), (.., reason)) in given.iter().zip(expected) {
        assert!(message.contains(reason), "{place}: {message}");
    }
}

#[test]
fn what_is_missing_is_told_once() {
    let toml =
        "type = \"tea\"\nname = \"Tea\"\nversion = 1\n[[entities.product.documents]]\nkind = \"product\"\n";
    let given = mistakes(toml);
    assert_eq!(given.len(), 1, "{given:?}");
    assert_eq!((given[0].0, given[0].1.as_str()), (4, "entities.product.documents[0]"));
    assert!(given[0].2.contains("missing field `external_id`"));
    let given = mistakes("colour = 1\nname = \"Tea\"\n");
    let told: Vec<_> =
        given.iter().map(|(line, _, message)| (*line, message.split(',').next().unwrap())).collect();
    assert_eq!(
        told,
        [(0, "missing field `type`"), (0, "missing field `version`"), (1, "unknown field `colour`")]
    );
}

#[test]
fn what_is_not_toml_has_a_line_too() {
    let given = mistakes("type = \"tea\"\nname =\n");
    assert_eq!((given.len(), given[0].0), (1, 2));
    assert!(given[0].2.starts_with("is not TOML: "), "{given:?}");
    let given = mistakes("type = \"tea\"\ntype = \"coffee\"\n");
    assert_eq!((given[0].0, given[0].2.contains("duplicate key")), (2, true), "{given:?}");
}

#[test]
fn the_built_in_manifests_pass() {
    for (name, toml) in built_in() {
        if let Err(mistakes) = Connector::check_toml(toml) {
            panic!("{name}: {mistakes:#?}");
        }
    }
}

#[test]
fn what_no_document_can_do_without() {
    let check = |kind: &str, fields: serde_json::Value| {
        let manifest = json!({"type": "test", "name": "Test", "version": 1, "entities": {"record": {
            "documents": [{"kind": kind, "external_id": "$.id", "fields": fields}],
        }}});
        Connector::check_json(&manifest).map(|_| ()).map_err(|errors| errors[0].message.clone())
    };
    let amount = json!({"amount": "$.amount"});
    assert_eq!(check("payment", amount.clone()), Err("claims amount without currency".to_owned()));
    let of_order = json!({"amount": "$.amount", "sales_order_external_id": "$.order"});
    assert_eq!(check("payment", of_order), Ok(()), "it is in the order's currency");
    assert_eq!(check("refund", json!({"amount": "$.amount", "currency": "$.currency"})), Ok(()));
    assert_eq!(check("product_variant", json!({"sku": "$.sku"})), Ok(()));
    assert_eq!(
        check("product_variant", json!({"unit_cost": "$.cost"})),
        Err("claims unit_cost without cost_currency".to_owned())
    );
    let stock = "lacks product_variant_external_id: stock of what?";
    assert_eq!(check("inventory_level", json!({"available": "$.n"})), Err(stock.to_owned()));
}

#[test]
fn a_push_is_checked_and_can_be_evaluated() {
    let manifest = |push: serde_json::Value| {
        json!({"type": "test", "name": "Test", "version": 1, "push": push,
               "shapes": {"town": {"City": "$.city"}}})
    };
    let request = json!({"method": "POST", "path": "/orders", "id": "$.order.id", "body": {
        "No": "$.order_number", "Address": {"path": "$.billing_address", "use": "town"},
    }});
    let push = json!({"base_url": "https://api.example", "requests": {"sales_order": request}});
    let connector = Connector::from_json(&manifest(push)).unwrap();
    let push = connector.push("sales_order").unwrap();
    let order = json!({"order_number": "7", "billing_address": {"city": "Gouda"}});
    let body = push.body.evaluate(&order, &json!(null));
    assert_eq!(body, Ok(json!({"No": "7", "Address": {"City": "Gouda"}})));
    assert_eq!(push.id_in(&json!({"order": {"id": 12}})).as_deref(), Some("12"));
    assert_eq!(push.id_in(&json!({"order": {}})), None);
    assert!(connector.push("customer").is_none());

    let wrong = json!({"base_url": "http://api.example", "requests": {
        "gadget": {"method": "POST", "path": "/", "body": {}},
        "refund": {"method": "GET", "path": "/", "id": "id", "body": {"a": "a", "b": {"header": "x"}}},
    }});
    let errors = Connector::check_json(&manifest(wrong)).map(|_| ()).unwrap_err();
    let places: Vec<_> = errors.iter().filter_map(|error| error.path.as_deref()).collect();
    let expected = [
        "push.base_url",
        "push.requests.gadget",
        "push.requests.refund.method",
        "push.requests.refund.body.a",
        "push.requests.refund.id",
    ];
    assert_eq!(places, expected);
}
