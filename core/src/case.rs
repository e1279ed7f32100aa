//! A connector's cases: composed payloads, and what a person says they must give.
//!
//! A case lies in `connectors/<type>/cases/<topic>/`, as `<name>.json` and `<name>.expected.json`. In the folder
//! [`SHAPE`] are payloads that come without a topic. What is expected is one of `documents`, `ignored` (the reason)
//! and `quarantined` (the place), perhaps with the connector's `settings`.

use crate::canonical::{Document, Snapshot};
use crate::connector::Connector;
use crate::normalize::{Outcome, normalize_payload};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The folder of payloads that come without a topic.
pub const SHAPE: &str = "_shape";

/// How the file of what is expected ends, where the payload's ends in `.json`.
pub const EXPECTED: &str = ".expected.json";

/// The topic that a folder's cases are of; `folder` is its path below `cases`.
pub fn topic(folder: &str) -> Option<&str> {
    (folder != SHAPE).then_some(folder)
}

/// Where a payload does not give what is expected of it: the place, what is expected, what is given.
pub fn differences(connector: &Connector, topic: Option<&str>, body: &[u8], expected: &Value) -> Vec<String> {
    let settings = expected.get("settings").unwrap_or(&Value::Null);
    let given = as_expected(&normalize_payload(connector, topic, body, settings));
    let mut found = Vec::new();
    let keys = ["documents", "ignored", "quarantined"];
    if !keys.iter().any(|key| expected.get(key).is_some()) {
        found.push(format!("says nothing: it needs one of {}", keys.join(", ")));
    }
    for key in keys {
        compare(key, expected.get(key), given.get(key), &mut found);
    }
    if let (false, Some(message)) = (found.is_empty(), given["message"].as_str()) {
        found.push(message.to_owned());
    }
    found
}

/// An outcome, as a case's expectation writes it. A quarantine has its `message` in addition.
pub fn as_expected(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Documents(documents) => {
            json!({"documents": documents.iter().map(written).collect::<Vec<_>>()})
        }
        Outcome::Ignored { reason } => json!({"ignored": reason}),
        Outcome::Quarantined(error) => json!({"quarantined": error.path, "message": error.message}),
    }
}

fn written(document: &Document) -> Value {
    let time = document.source_time.and_then(|time| jiff::Timestamp::from_microsecond(time).ok());
    let mut written = json!({
        "kind": document.kind,
        "external_id": document.external_id,
        "snapshot": if document.snapshot == Snapshot::Full { "full" } else { "partial" },
        "source_time": time.map(|time| time.to_string()),
        "fields": document.fields,
    });
    if document.is_deleted {
        written["is_deleted"] = json!(true);
    }
    written
}

fn compare(place: &str, expected: Option<&Value>, given: Option<&Value>, found: &mut Vec<String>) {
    match (expected, given) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                compare(&format!("{place}.{name}"), a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                compare(&format!("{place}[{index}]"), a.get(index), b.get(index), found);
            }
        }
        _ if expected == given => {}
        _ => {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            found.push(format!("{place}: expected {}, given {}", show(expected), show(given)));
        }
    }
}
