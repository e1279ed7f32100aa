//! From a canonical document to what a destination wants.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::error::{Code, Error};
use nexus_core::mapping::{Condition, FieldMapping};
use serde_json::{Value, json};

fn order() -> Value {
    json!({
        "order_number": "#1001", "ordered_at": "2026-03-29T18:00:27Z", "currency": "EUR", "note": null,
        "total_amount": "0042.50", "financial_status": "paid", "is_test": false,
        "billing_address": {"city": "Gouda", "company": null},
        "lines": [
            {"external_id": "1", "sku": "A-1", "quantity": "2", "unit_price": "10.00", "title": "a"},
            {"external_id": "2", "sku": null, "quantity": "1", "unit_price": "22.50", "title": "b"},
        ],
    })
}

fn evaluate(fields: Value, settings: Value) -> Result<Value, Error> {
    FieldMapping::from_json(&fields, "$.field_mapping").unwrap().evaluate(&order(), &settings)
}

fn of_order(fields: Value) -> Value {
    evaluate(fields, Value::Null).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_document_becomes_what_a_destination_wants() {
    let given = of_order(json!({
        "No": {"path": "$.order_number", "strip_prefix": "#"},
        "Day": {"path": "$.ordered_at", "before_first": "T"},
        "Total": {"path": "$.total_amount", "as": "number"},
        "TotalCents": {"product": ["$.total_amount", {"constant": "100"}], "as": "integer"},
        "State": {"path": "$.financial_status", "map": {"paid": "P"}, "default": "O"},
        "City": "$.billing_address.city",
        "Who": {"template": "{n} ({c})", "with": {"n": "$.order_number", "c": "$.currency"}},
        "Skus": {"each": "$.lines[*]", "where": {"path": "$.sku", "is": "set"}, "fields": {
            "Sku": "$.sku", "Price": {"path": "$.unit_price", "as": "number"}, "Order": {"record": "$.order_number"},
        }},
        "Address": {"path": "$.billing_address", "fields": {"Town": "$.city"}},
        "Test": "$.is_test",
        "Whole": "$.billing_address",
    }));
    let expected = r##"{
        "No": "1001", "Day": "2026-03-29", "Total": 42.50, "TotalCents": 4250, "State": "P", "City": "Gouda",
        "Who": "#1001 (EUR)", "Skus": [{"Sku": "A-1", "Price": 10.00, "Order": "#1001"}],
        "Address": {"Town": "Gouda"}, "Test": false, "Whole": {"city": "Gouda", "company": null}
    }"##;
    assert_eq!(given, serde_json::from_str::<Value>(expected).unwrap(), "digits and all");
}

#[test]
fn null_is_told_and_absence_is_not() {
    let given = of_order(json!({
        "note": "$.note",
        "colour": "$.colour",
        "greeting": {"path": "$.note", "if_null": "-"},
        "hue": {"path": "$.colour", "if_null": "-"},
        "paid": {"when": {"path": "$.financial_status", "equals": "paid"}, "constant": true},
        "void": {"when": {"path": "$.financial_status", "equals": "voided"}, "constant": true},
        "lines": {"each": "$.lines[*]", "fields": {"sku": "$.sku", "hue": "$.hue"}},
        "address": {"path": "$.billing_address", "fields": {"company": "$.company", "hue": "$.hue"}},
    }));
    let lines = json!([{"sku": "A-1"}, {"sku": null}]);
    let expected = json!({"note": null, "greeting": "-", "hue": "-", "paid": true, "lines": lines,
                          "address": {"company": null}});
    assert_eq!(given, expected);
}

#[test]
fn the_destinations_settings_are_a_source() {
    let fields = json!({"company": {"setting": "company"}});
    assert_eq!(evaluate(fields, json!({"company": "NL01"})), Ok(json!({"company": "NL01"})));
}

#[test]
fn numbers_keep_their_digits() {
    for (text, number) in
        [("007.50", "7.50"), ("-0.10", "-0.10"), ("9007199254740993.10", "9007199254740993.10")]
    {
        let mapping = FieldMapping::from_json(&json!({"n": {"path": "$.n", "as": "number"}}), "$").unwrap();
        let given = mapping.evaluate(&json!({"n": text}), &Value::Null).unwrap();
        assert_eq!(given.to_string(), format!("{{\"n\":{number}}}"));
    }
}

#[test]
fn what_cannot_be_mapped_names_member_place_and_reason() {
    for (expression, path, message) in [
        (
            json!({"path": "$.order_number", "as": "number"}),
            "$.order_number",
            "out: \"#1001\" is not a decimal number of at most 60 digits",
        ),
        (
            json!({"each": "$.lines[*]", "fields": {"n": {"path": "$.title", "as": "integer"}}}),
            "$.lines[0].title",
            "out: \"a\" is not a whole number within ±2^53",
        ),
    ] {
        let error = evaluate(json!({"out": expression}), Value::Null).unwrap_err();
        assert_eq!(error.code, Code::MappingFailed);
        assert_eq!((error.path.as_deref(), &*error.message), (Some(path), message));
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (fields, path, reason) in [
        (json!(7), "$.field_mapping", "invalid type"),
        (json!({"a": 7}), "$.field_mapping.a", "invalid type"),
        (json!({"a": "name"}), "$.field_mapping.a", "is not a JSONPath"),
        (json!({"a": {"path": "$.n", "colour": 1}}), "$.field_mapping.a.colour", "unknown field"),
        (json!({"a": {"each": "$.l[*]", "fields": {"b": "x"}}}), "$.field_mapping.a.fields.b", "JSONPath"),
        (json!({"a": {"header": "x-topic"}}), "$.field_mapping.a", "there is no request here"),
        (json!({"a": {"use": "address"}}), "$.field_mapping.a.use", "no shape \"address\""),
    ] {
        let error = FieldMapping::from_json(&fields, "$.field_mapping").map(|_| ()).unwrap_err();
        assert_eq!((error.code, error.path.as_deref()), (Code::InvalidManifest, Some(path)), "{error}");
        assert!(error.message.contains(reason), "{error}");
    }
}

#[test]
fn a_filter_is_about_a_document() {
    let holds = |predicate: Value| Condition::from_json(&predicate, "$.filter").unwrap().holds_for(&order());
    assert!(holds(json!({"path": "$.financial_status", "in": ["paid", "refunded"]})));
    assert!(holds(json!({"path": "$.total_amount", "more_than": {"constant": "42.4"}})));
    assert!(!holds(json!({"path": "$.note", "is": "set"})));
    assert!(!holds(json!({"path": "$.order_number", "more_than": {"constant": "1"}})), "no number");
    for (predicate, path) in [
        (json!({"path": "$.a"}), "$.filter"),
        (json!({"all": [{"path": "a", "is": "set"}]}), "$.filter.all[0].path"),
        (json!({"value": {"header": "x"}, "is": "set"}), "$.filter.value"),
        (json!({"path": "$.a", "matches": "("}), "$.filter.matches"),
        (json!({"path": "$.a", "matches": "[a-z]{1000}{1000}"}), "$.filter.matches"),
        (json!({"hue": 1}), "$.filter.hue"),
    ] {
        let error = Condition::from_json(&predicate, "$.filter").map(|_| ()).unwrap_err();
        assert_eq!((error.code, error.path.as_deref()), (Code::InvalidManifest, Some(path)), "{error}");
    }
}
