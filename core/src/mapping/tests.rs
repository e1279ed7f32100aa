#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use super::*;
use crate::canonical::{Field, Kind};
use crate::normalize::Headers;
use serde_json::json;

/// The field of the order that an expression is mapped to decides its conversion.
fn field(name: &str) -> &'static Field {
    ["sales_order", "product", "customer", "product_variant"]
        .iter()
        .find_map(|kind| Kind::named(kind).unwrap().field(name))
        .unwrap()
}

fn compile(expression: Value, expected: Expected) -> Result<Mapping, crate::error::Error> {
    let expression: Expression = serde_json::from_value(expression).unwrap();
    let shapes = BTreeMap::from([(
        "pair".to_owned(),
        Fields::from([("a".to_owned(), Expression::Path("$.a".to_owned()))]),
    )]);
    Compiler::new(&shapes).mapping(&expression, expected, "test", 0)
}

/// What an expression gives for a payload: a value, `null`, or `"(absent)"`; a failure's text.
fn eval(expected: Expected, expression: Value, payload: Value) -> Value {
    let mapping =
        compile(expression.clone(), expected).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let headers = Headers::from_pairs([("X-Topic", "orders/create")]);
    let settings = json!({"timezone": "Europe/Amsterdam", "broken": "Mars/Olympus", "currency": "EUR"});
    let nulls = [json!("")];
    let context = Context::new(&payload, &headers, &settings, &nulls);
    match mapping.find(context.scope()) {
        Ok(Found::Absent) => json!("(absent)"),
        Ok(found) => found.into_value().unwrap_or(Value::Null),
        Err(error) => json!(error.to_string()),
    }
}

fn raw(expression: Value, payload: Value) -> Value {
    eval(Expected::Raw, expression, payload)
}

fn as_field(name: &str, payload: &str) -> Value {
    let payload = serde_json::from_str(&format!("{{\"v\": {payload}}}")).unwrap();
    eval(Expected::Field(field(name)), json!("$.v"), payload)
}

#[test]
fn the_canonical_field_decides_the_conversion() {
    for (name, payload, expected) in [
        ("total_amount", "10.49999998929", json!("10.49999998929")),
        ("total_amount", "9007199254740993.10", json!("9007199254740993.10")),
        ("total_amount", "\"598.94\"", json!("598.94")),
        ("total_amount", "1.5e2", json!("150")),
        ("order_number", "\"#1001\"", json!("#1001")),
        ("order_number", "820982911946154508", json!("820982911946154508")),
        ("order_number", "\"a\\u0000b\"", json!("ab")),
        ("order_number", "true", json!("true")),
        ("customer_external_id", "115310627314723954", json!("115310627314723954")),
        ("customer_external_id", "\"  \"", json!(null)),
        ("is_test", "true", json!(true)),
        ("is_test", "\"no\"", json!(false)),
        ("is_test", "1", json!(true)),
        ("currency", "\" eur\"", json!("EUR")),
        ("ordered_at", "\"2021-12-31T19:00:00-05:00\"", json!("2022-01-01T00:00:00Z")),
        ("ordered_at", "\"2021-12-31T19:00:00.120-05:00\"", json!("2022-01-01T00:00:00.12Z")),
        ("financial_status", "\"paid\"", json!("paid")),
        ("financial_status", "\"split\"", json!("unknown")),
        ("tags", "[\" a \", \"b\", \"a\", \"\", null, 7]", json!(["a", "b", "7"])),
        ("tags", "\"one\"", json!(["one"])),
        ("position", "3", json!(3)),
        ("position", "\"3.0\"", json!(3)),
        (
            "custom_fields",
            "{\"a\\u0000\": [1.10, \"x\\u0000\"]}",
            serde_json::from_str("{\"a\": [1.10, \"x\"]}").unwrap(),
        ),
        ("custom_fields", "1e+999999999", json!("1e+999999999")),
        ("total_amount", "null", json!(null)),
        ("total_amount", "\"\"", json!(null)),
    ] {
        assert_eq!(as_field(name, payload), expected, "{name} of {payload}");
    }
    assert_eq!(eval(Expected::Field(field("tags")), json!("$.none"), json!({})), json!("(absent)"));
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    for (name, payload, expected) in [
        ("total_amount", "\"1,50\"", "$.v: \"1,50\" is not a decimal number of at most 60 digits"),
        ("total_amount", "[1]", "$.v: a list is not a decimal number of at most 60 digits"),
        ("total_amount", "1e+99", "$.v: 1e+99 is not a decimal number of at most 60 digits"),
        ("order_number", "{\"a\": 1}", "$.v: an object is not text"),
        (
            "ordered_at",
            "\"yesterday\"",
            "$.v: \"yesterday\" is not a time that can be read (RFC 3339, or with a known zone)",
        ),
        (
            "ordered_at",
            "\"2021-12-31T19:00:00\"",
            "$.v: \"2021-12-31T19:00:00\" is not a time that can be read (RFC 3339, or with a known zone)",
        ),
        ("currency", "\"euro\"", "$.v: \"euro\" is not a currency code of three letters"),
        ("is_test", "\"maybe\"", "$.v: \"maybe\" is not true or false"),
        ("position", "9007199254740993", "$.v: 9007199254740993 is not a whole number within ±2^53"),
        ("position", "1.5", "$.v: 1.5 is not a whole number within ±2^53"),
    ] {
        assert_eq!(as_field(name, payload), json!(expected), "{name} of {payload}");
    }
    let long = format!("\"{}\"", "x".repeat(65 * 1024));
    assert_eq!(
        as_field("note", &long),
        json!(format!("$.v: \"{}… is longer than 65536 bytes", "x".repeat(59)))
    );
    assert_eq!(as_field("description_html", &long).as_str().map(str::len), Some(65 * 1024));
    let id = format!("\"{}\"", "é".repeat(256));
    assert!(as_field("customer_external_id", &id).as_str().unwrap().ends_with("255 characters"));
    let id = "é".repeat(255);
    assert_eq!(as_field("customer_external_id", &format!("\"{id}\"")), json!(id));
}

#[test]
fn times_of_other_kinds() {
    let at = |expression, payload| eval(Expected::Time, expression, payload);
    let noon = json!({"t": "2018-04-03T12:00:00", "s": 1522756800, "ms": "1522756800123", "d": "2018-04-03"});
    assert_eq!(at(json!({"path": "$.t", "zone": "UTC"}), noon.clone()), json!("2018-04-03T12:00:00Z"));
    let local = json!({"path": "$.t", "zone": {"setting": "timezone"}});
    assert_eq!(at(local, noon.clone()), json!("2018-04-03T10:00:00Z"));
    let unset = json!({"path": "$.t", "zone": {"setting": "none"}});
    assert_eq!(at(unset, noon.clone()), json!("2018-04-03T12:00:00Z"));
    let broken = json!({"path": "$.t", "zone": {"setting": "broken"}});
    let reason = "$.t: the connector's setting \"broken\" is not the name of a time zone";
    assert_eq!(at(broken, noon.clone()), json!(reason));
    assert_eq!(at(json!({"path": "$.s", "as": "unix"}), noon.clone()), json!("2018-04-03T12:00:00Z"));
    assert_eq!(at(json!({"path": "$.ms", "as": "unix_ms"}), noon.clone()), json!("2018-04-03T12:00:00.123Z"));
    assert_eq!(at(json!({"path": "$.d", "zone": "Europe/Amsterdam"}), noon), json!("2018-04-02T22:00:00Z"));
}

#[test]
fn minor_units_follow_the_currency() {
    let rule = json!({"path": "$.cents", "as": "minor_units", "currency": "$.currency"});
    for (cents, currency, expected) in [
        (json!(1999), json!("EUR"), json!("19.99")),
        (json!(5), json!("usd"), json!("0.05")),
        (json!(-1999), json!("EUR"), json!("-19.99")),
        (json!(1999), json!("JPY"), json!("1999")),
        (json!("1999"), json!("KWD"), json!("1.999")),
        (json!(1999), json!(null), json!("$.cents: 1999 is not an amount in a known currency")),
    ] {
        let payload = json!({"cents": cents, "currency": currency});
        assert_eq!(raw(rule.clone(), payload), expected, "{cents} {currency}");
    }
}

#[test]
fn texts_change_in_a_fixed_order() {
    let payload = json!({"e": "  Jon@Example.COM ", "g": "gid://shopify/Order/7", "t": "a, b,,c", "b": "  "});
    assert_eq!(
        raw(json!({"path": "$.e", "trim": true, "lower": true}), payload.clone()),
        json!("jon@example.com")
    );
    assert_eq!(raw(json!({"path": "$.e", "upper": true}), payload.clone()), json!("  JON@EXAMPLE.COM "));
    assert_eq!(raw(json!({"path": "$.g", "after_last": "/"}), payload.clone()), json!("7"));
    let middle = json!({"path": "$.g", "after_first": "//", "before_first": "/"});
    assert_eq!(raw(middle, payload.clone()), json!("shopify"));
    assert_eq!(raw(json!({"path": "$.g", "before_first": "?"}), payload.clone()), payload["g"]);
    assert_eq!(
        raw(json!({"path": "$.g", "strip_prefix": "gid://"}), payload.clone()),
        json!("shopify/Order/7")
    );
    assert_eq!(raw(json!({"path": "$.b", "trim": true}), payload.clone()), json!(null));
    let tags = json!({"path": "$.t", "split": ","});
    assert_eq!(eval(Expected::Field(field("tags")), tags, payload), json!(["a", "b", "c"]));
}

#[test]
fn maps_defaults_and_nulls() {
    let rule =
        json!({"path": "$.s", "map": {"a": "one", "true": "yes"}, "default": "other", "if_null": "none"});
    for (payload, expected) in [
        (json!({"s": "a"}), json!("one")),
        (json!({"s": true}), json!("yes")),
        (json!({"s": "b"}), json!("other")),
        (json!({"s": null}), json!("none")),
        (json!({"s": ""}), json!("none")),
        (json!({}), json!("none")),
    ] {
        assert_eq!(raw(rule.clone(), payload.clone()), expected, "{payload}");
    }
    assert_eq!(raw(json!({"path": "$.s", "map": {"a": "one"}}), json!({"s": "b"})), json!("b"));
    assert_eq!(raw(json!({"path": "$.s", "null_if": [0, "0"]}), json!({"s": 0})), json!(null));
}

#[test]
fn absent_is_not_null() {
    let first = json!({"first_of": ["$.a", "$.b"]});
    assert_eq!(raw(first.clone(), json!({})), json!("(absent)"));
    assert_eq!(raw(first.clone(), json!({"a": null})), json!(null));
    assert_eq!(raw(first.clone(), json!({"a": "", "b": 0})), json!(0));
    let guarded = json!({"constant": 1, "when": {"path": "$.a", "is": "set"}});
    assert_eq!(raw(guarded, json!({"a": null})), json!("(absent)"));
    let template = json!({"template": "{a}:{b}", "with": {"a": "$.a", "b": "$.b"}});
    assert_eq!(raw(template.clone(), json!({"a": 1, "b": "x"})), json!("1:x"));
    assert_eq!(raw(template.clone(), json!({"a": 1, "b": null})), json!(null));
    assert_eq!(raw(template, json!({"a": 1})), json!("(absent)"));
    let join = json!({"join": ["$.a", "$.b"]});
    assert_eq!(raw(join.clone(), json!({"a": "Jon", "b": null})), json!("Jon"));
    assert_eq!(raw(join, json!({})), json!("(absent)"));
    assert_eq!(raw(json!({"each": "$.a[*]", "use": "pair"}), json!({"a": null})), json!("(absent)"));
    assert_eq!(raw(json!({"each": "$.a[*]", "use": "pair"}), json!({"a": []})), json!([]));
}

#[test]
fn sums_and_products_are_exact() {
    let payload = json!({"lines": [{"p": "0.10", "q": 3}, {"p": 0.2, "q": 1}, {"p": null}], "none": [], "one": [{"p": "7.5"}]});
    let over = |list: &str| json!({"each": format!("$.{list}[*]"), "sum": ["$.p"]});
    assert_eq!(raw(over("lines"), payload.clone()), json!("0.30"));
    assert_eq!(raw(over("one"), payload.clone()), json!("7.5"), "a single term keeps its digits");
    assert_eq!(raw(over("none"), payload.clone()), json!(null));
    assert_eq!(raw(over("absent"), payload.clone()), json!("(absent)"));
    assert_eq!(
        raw(
            json!({"sum": ["$.lines[*].p", {"path": "$.one[0].p", "negate": true, "as": "decimal"}]}),
            payload.clone()
        ),
        json!("-7.20")
    );
    assert_eq!(raw(json!({"product": ["$.lines[0].p", "$.lines[0].q"]}), payload.clone()), json!("0.30"));
    assert_eq!(raw(json!({"product": ["$.lines[0].p", "$.lines[2].p"]}), payload), json!(null));
    assert_eq!(
        raw(json!({"sum": ["$.x"]}), json!({"x": "lots"})),
        json!("$.x: \"lots\" is not a decimal number of at most 60 digits")
    );
}

#[test]
fn the_latest_of_several_times() {
    let latest = json!({"latest": ["$.all[*].at", "$.one"]});
    let all = json!([{"at": "2026-01-01T01:30:00+01:00"}, {"at": null}, {}]);
    let times = json!({"all": all, "one": "2026-01-01T00:00:00Z"});
    assert_eq!(raw(latest.clone(), times), json!("2026-01-01T00:30:00Z"));
    assert_eq!(raw(latest.clone(), json!({"one": null})), json!(null));
    assert_eq!(raw(latest.clone(), json!({})), json!("(absent)"));
    let failure = raw(latest, json!({"one": "2026-01-01T00:00:00"}));
    assert!(failure.as_str().unwrap().contains("is not a time with an offset"), "{failure}");
}

#[test]
fn items_are_mapped_filtered_and_matched() {
    let payload = json!({
        "lines": [{"id": 1, "k": "a"}, null, {"id": 2, "k": "b"}],
        "refunds": [{"line": "1", "q": 2}, {"line": 2, "q": 1, "void": true}, {"line": 1, "q": 3}],
        "name": "whole",
    });
    let refunded = json!({
        "each": {"record": "$.refunds[*]"}, "matching": {"item": "$.line", "own": "$.id"},
        "where": {"path": "$.void", "is": "absent"}, "sum": ["$.q"],
    });
    let lines = json!({"each": "$.lines[*]", "fields": {
        "id": "$.id", "whole": {"record": "$.name"}, "refunded": refunded, "nothing": "$.none",
    }});
    assert_eq!(
        raw(lines, payload.clone()),
        json!([
            {"id": 1, "whole": "whole", "refunded": "5"}, {"id": 2, "whole": "whole"},
        ])
    );
    let of = json!({"path": "$.parts[1]", "fields": {"whole": {
        "each": {"record": "$.wholes[*]"}, "matching": {"item": "$.parts[*]", "own": "$.id"}, "pick": "$.id",
    }}});
    let wholes = json!({"parts": [{"id": 1}, {"id": 2}], "wholes": [{"id": 8, "parts": [3]}, {"id": 9, "parts": [1, 2]}]});
    assert_eq!(raw(of, wholes), json!({"whole": 9}));
    let pick = json!({"each": "$.lines[*]", "where": {"path": "$.k", "equals": "b"}, "pick": "$.id"});
    assert_eq!(raw(pick, payload.clone()), json!(2));
    let object = json!({"path": "$.lines[0]", "fields": {"k": "$.k"}});
    assert_eq!(raw(object, payload.clone()), json!({"k": "a"}));
    let failing = json!({"each": "$.lines[*]", "fields": {"k": {"path": "$.k", "as": "integer"}}});
    assert_eq!(raw(failing, payload), json!("$.lines[0].k: \"a\" is not a whole number within ±2^53"));
}

#[test]
fn predicates_answer() {
    let payload = json!({"n": null, "e": "", "s": "shop-1", "d": "10.50", "l": [], "o": {"a": 1}});
    for (predicate, expected) in [
        (json!({"path": "$.n", "is": "present"}), true),
        (json!({"path": "$.n", "is": "unset"}), true),
        (json!({"path": "$.e", "is": "set"}), false),
        (json!({"path": "$.x", "is": "absent"}), true),
        (json!({"path": "$.l", "is": "array"}), true),
        (json!({"path": "$.o", "is": "object"}), true),
        (json!({"path": "$.s", "is": "text"}), true),
        (json!({"path": "$.o.a", "equals": "1"}), true),
        (json!({"path": "$.s", "in": ["x", "shop-1"]}), true),
        (json!({"path": "$.s", "starts_with": "shop-", "is": "set"}), true),
        (json!({"path": "$.s", "starts_with": "shop-", "is": "unset"}), false),
        (json!({"path": "$.s", "matches": "shop-[0-9]"}), true),
        (json!({"path": "$.s", "matches": "shop"}), false),
        (json!({"path": "$.s", "matches": "a|shop-1"}), true),
        (json!({"path": "$.d", "matches": "[0-9.]+", "is": "set"}), true),
        (json!({"path": "$.o", "matches": ".*"}), false),
        (json!({"path": "$.d", "at_least": {"constant": "10.5"}}), true),
        (json!({"path": "$.d", "more_than": {"constant": "10.5"}}), false),
        (json!({"path": "$.s", "more_than": {"constant": "1"}}), false),
        (json!({"path": "$.o.a", "same_as": {"constant": "1"}}), true),
        (json!({"all": [{"path": "$.s", "is": "set"}, {"not": {"path": "$.x", "is": "set"}}]}), true),
        (json!({"any": [{"path": "$.x", "is": "set"}, {"path": "$.l", "is": "text"}]}), false),
    ] {
        let parsed: Predicate = serde_json::from_value(predicate.clone()).unwrap();
        let condition = Compiler::new(&BTreeMap::new()).condition(&parsed, "test", 0).unwrap();
        let headers = Headers::default();
        let nulls = [json!("")];
        let context = Context::new(&payload, &headers, &Value::Null, &nulls);
        assert_eq!(condition.holds(context.scope()), expected, "{predicate}");
    }
}

#[test]
fn headers_and_settings_are_sources() {
    assert_eq!(raw(json!({"header": "x-TOPIC"}), json!({})), json!("orders/create"));
    assert_eq!(raw(json!({"setting": "currency"}), json!({})), json!("EUR"));
    assert_eq!(raw(json!({"setting": "none"}), json!({})), json!("(absent)"));
}

#[test]
fn work_is_bounded() {
    let items: Vec<Value> = (0..4000).map(|id| json!({"id": id})).collect();
    let rule = json!({"each": "$.a[*]", "fields": {"n": {
        "each": {"record": "$.a[*]"}, "sum": [{"path": "$.id", "as": "decimal"}],
    }}});
    let answer = raw(rule, json!({"a": items}));
    assert!(answer.as_str().is_some_and(|text| text.contains("steps to map")), "{answer}");
}

#[test]
fn mistakes_are_found_when_compiling() {
    let status = Expected::Field(field("financial_status"));
    for (expected, expression, place, reason) in [
        (Expected::Raw, json!("total"), "test", "is not a JSONPath"),
        (Expected::Raw, json!({}), "test", "has no source"),
        (Expected::Raw, json!({"path": "$.a", "constant": 1}), "test", "several sources: path, constant"),
        (Expected::Raw, json!({"first_of": ["$.a", "$["]}), "test.first_of[1]", "is not a JSONPath"),
        (Expected::Raw, json!({"path": "$.a", "use": "none"}), "test.use", "no shape \"none\""),
        (Expected::Raw, json!({"template": "{a}"}), "test", "which with lacks"),
        (Expected::Raw, json!({"path": "$.a", "separator": ","}), "test", "separator needs join"),
        (Expected::Raw, json!({"path": "$.a", "default": 1}), "test", "default needs map"),
        (Expected::Raw, json!({"path": "$.a", "as": "minor_units"}), "test", "needs the currency"),
        (Expected::Raw, json!({"path": "$.a", "zone": "Mars/Olympus"}), "test.zone", "no time zone"),
        (Expected::Raw, json!({"path": "$.a", "when": {"path": "$.b"}}), "test.when", "needs comparisons"),
        (Expected::Raw, json!({"path": "$.a", "when": {}}), "test.when", "exactly one of"),
        (status, json!({"path": "$.a", "map": {"x": "payed"}}), "test", "\"payed\" is not a word"),
        (status, json!({"first_of": [{"constant": "settled"}]}), "test.first_of[0]", "not a word"),
        (
            Expected::Field(field("total_amount")),
            json!({"path": "$.a", "if_null": "nil"}),
            "test.if_null",
            "not what this field holds",
        ),
    ] {
        let error = compile(expression.clone(), expected).expect_err(&expression.to_string());
        assert_eq!(error.path.as_deref(), Some(place), "{expression}: {error}");
        assert!(error.message.contains(reason), "{expression}: {error}");
    }
}
