//! Bad input, through every manifest: never a panic, always a named outcome.
//!
//! The bodies are the connectors' own cases, spoilt: cut off, with values of the wrong type, with numbers,
//! texts and dates that no platform sends.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[allow(dead_code)] // The other targets are those of tests/fuzz.rs.
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use nexus_core::connector::{Connector, built_in};
use nexus_core::error::Code;
use nexus_core::normalize::{Outcome, normalize_payload};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What stands in the place of one value at a time.
fn spoilt() -> Vec<Value> {
    let number = |digits: &str| serde_json::from_str(digits).unwrap();
    vec![
        Value::Null,
        json!(true),
        json!(""),
        json!([]),
        json!({}),
        json!([[{}], null]),
        json!("a\0b"),
        json!("x".repeat(100_000)),
        json!("-271821-04-20T00:00:00Z"),
        json!("9999-12-31T23:59:60.999999999+23:59"),
        json!("2026-02-30"),
        json!("1e999999999"),
        number("9007199254740993"),
        number("123456789012345678901234567890.123456789012345678901234567890"),
        number("-1E+2147483648"),
        number(&"9".repeat(1000)),
    ]
}

/// A case's topic, if it has one, and its body.
fn cases(connector_type: &str) -> Vec<(Option<String>, Vec<u8>)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors").join(connector_type).join("cases");
    let of = |path: PathBuf| {
        let topic = path.parent().unwrap().strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        ((topic != "_shape").then_some(topic), fs::read(path).unwrap())
    };
    payloads(&folder).into_iter().map(of).collect()
}

fn payloads(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            found.extend(payloads(&path));
        } else if name.ends_with(".json") && !name.ends_with(".expected.json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn outcome(connector: &Connector, topic: &Option<String>, body: &[u8]) -> Outcome {
    let outcome = normalize_payload(connector, topic.as_deref(), body, &Value::Null);
    targets::check(&outcome);
    outcome
}

#[test]
fn a_body_that_is_cut_off_is_quarantined_with_its_place() {
    for (name, text) in built_in() {
        let connector = Connector::from_toml(text).unwrap();
        for (topic, body) in cases(name) {
            let is_ignored = matches!(outcome(&connector, &topic, &body), Outcome::Ignored { .. });
            let whole = body.trim_ascii_end().len();
            for end in (0..whole).step_by(whole / 24 + 1) {
                match outcome(&connector, &topic, &body[..end]) {
                    Outcome::Quarantined(error) => {
                        assert_eq!(error.code, Code::MalformedBody, "{name} {topic:?} {end}");
                        assert!(error.path.is_some());
                    }
                    // Of a topic that carries no record, not even a body is needed.
                    other => assert!(is_ignored, "{name} {topic:?} cut off at {end}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn no_value_in_any_place_makes_a_body_nameless() {
    let spoilt = spoilt();
    for (name, text) in built_in() {
        let connector = Connector::from_toml(text).unwrap();
        for (number, (topic, body)) in cases(name).into_iter().enumerate() {
            let Ok(whole) = serde_json::from_slice::<Value>(&body) else { continue };
            let mut pointers = Vec::new();
            list(&whole, String::new(), &mut pointers);
            for (place, pointer) in pointers.iter().enumerate() {
                // Every value gets into many places, and every place is spoilt twice.
                for step in 0..2 {
                    let value = &spoilt[(number + place * 2 + step) % spoilt.len()];
                    let mut changed = whole.clone();
                    *changed.pointer_mut(pointer).unwrap() = value.clone();
                    outcome(&connector, &topic, changed.to_string().as_bytes());
                }
            }
        }
    }
}

#[test]
fn members_that_come_twice_count_once() {
    for (name, text) in built_in() {
        let connector = Connector::from_toml(text).unwrap();
        for (topic, body) in cases(name) {
            let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(&body) else { continue };
            let first = members.keys().map(|name| format!("{}:\"first\",", json!(name)));
            let rest = Value::Object(members.clone()).to_string();
            let twice = format!("{{{}{}", first.collect::<String>(), &rest[1..]);
            assert_eq!(
                outcome(&connector, &topic, twice.as_bytes()),
                outcome(&connector, &topic, rest.as_bytes()),
                "{name} {topic:?}: the last of two counts"
            );
        }
    }
}

#[test]
fn a_body_of_a_megabyte_is_within_bounds() {
    for (name, text) in built_in() {
        let connector = Connector::from_toml(text).unwrap();
        let Some((topic, body)) = cases(name).into_iter().max_by_key(|(_, body)| body.len()) else {
            continue;
        };
        // A list of a hundred such records, and one record whose longest list is a thousand times as long.
        let Ok(whole) = serde_json::from_slice::<Value>(&body) else { continue };
        outcome(&connector, &topic, json!(vec![&whole; 100]).to_string().as_bytes());
        let mut pointers = Vec::new();
        list(&whole, String::new(), &mut pointers);
        let length = |pointer: &String| whole.pointer(pointer).and_then(Value::as_array).map(Vec::len);
        let Some(longest) = pointers.iter().max_by_key(|pointer| length(pointer)) else { continue };
        let mut changed = whole.clone();
        if let Some(Value::Array(items)) = changed.pointer_mut(longest) {
            *items = items.iter().cycle().take(items.len() * 1000).cloned().collect();
        }
        outcome(&connector, &topic, changed.to_string().as_bytes());
    }
}

#[test]
fn every_malady_has_its_name() {
    let connector = Connector::from_json(&json!({
        "type": "test", "name": "Test", "version": 1,
        "entities": {"order": {"topics": ["order"], "documents": [{
            "kind": "sales_order", "external_id": "$.id",
            "fields": {"ordered_at": "$.at", "total_amount": "$.total", "currency": "$.currency", "note": "$.note",
                       "custom_fields": {"path": "$.n", "as": "integer"}},
        }]}},
    }));
    let connector = connector.unwrap();
    let named = |body: &[u8]| match outcome(&connector, &Some("order".to_owned()), body) {
        Outcome::Documents(documents) => {
            documents.iter().map(|document| document.to_json().to_string()).collect()
        }
        Outcome::Quarantined(error) => {
            format!("{} at {}", error.code.as_str(), error.path.unwrap_or_default())
        }
        Outcome::Ignored { reason } => reason,
    };
    let nested = format!("{{\"id\": 1, \"n\": {}{}}}", "[".repeat(64), "]".repeat(64));
    let digits = format!("{{\"id\": 1, \"total\": {}}}", "9".repeat(61));
    let id = format!("{{\"id\": \"{}\"}}", "i".repeat(256));
    for (body, expected) in [
        (&b"{\"id\": 1, \"note\": \"a\xff\"}"[..], "NX201 at byte 20"),
        (br#"{"id": 1, "note": "a"#, "NX201 at line 1 column 20"),
        (nested.as_bytes(), "NX201 at byte 78"),
        (br#"{"id": 1, "at": "99999-99-99T99:99:99Z"}"#, "NX202 at $.at"),
        (br#"{"id": 1, "at": "-9999-01-01T00:00:00Z"}"#, "NX202 at $.at"),
        (br#"{"id": 1, "at": "2026-01-01T00:00:00"}"#, "NX202 at $.at"),
        (br#"{"id": 1, "total": 1e400}"#, "NX202 at $.total"),
        (digits.as_bytes(), "NX202 at $.total"),
        (br#"{"id": 1, "n": 9007199254740993}"#, "NX202 at $.n"),
        (br#"{"id": 1, "currency": {"code": "EUR"}}"#, "NX202 at $.currency"),
        (id.as_bytes(), "NX202 at $.id"),
        (br#"{"id": {"a": 1}}"#, "NX202 at $.id"),
    ] {
        assert_eq!(named(body), expected, "{}", String::from_utf8_lossy(body));
    }
    let note = |body: &str| serde_json::from_str::<Value>(&named(body.as_bytes())).unwrap()["note"].clone();
    assert_eq!(note(r#"{"id": 1, "note": "a", "note": "b"}"#), json!("b"), "the last of two counts");
    assert_eq!(note(r#"{"id": 1, "note": "a\u0000b"}"#), json!("ab"), "jsonb holds no NUL");
    assert_eq!(
        note(r#"{"id": 1, "note": 9007199254740993.10}"#),
        json!("9007199254740993.10"),
        "digits are kept"
    );
}

/// All places in a value.
fn list(value: &Value, pointer: String, found: &mut Vec<String>) {
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| list(item, format!("{pointer}/{index}"), found))
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, item)| list(item, format!("{pointer}/{}", escape(name)), found));
        }
        _ => {}
    }
    if !pointer.is_empty() {
        found.push(pointer);
    }
}
