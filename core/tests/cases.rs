//! The cases of every connector: a composed payload, and the documents that a person says it must give.
//!
//! A case lies in `connectors/<type>/cases/<topic>/`, as `<name>.json` and `<name>.expected.json`. In the
//! folder `_shape` are payloads that come without a topic. What is expected is one of `documents`,
//! `ignored` (the reason) and `quarantined` (the place), perhaps with the connector's `settings`.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::canonical::{Document, Snapshot};
use nexus_core::connector::Connector;
use nexus_core::normalize::{Outcome, normalize_payload};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_case_gives_what_is_expected() {
    let connectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors");
    let mut count = 0;
    let mut wrong = Vec::new();
    for folder in folders(&connectors) {
        let manifest = fs::read_to_string(folder.join("connector.toml")).unwrap();
        let connector = Connector::from_toml(&manifest).unwrap_or_else(|error| panic!("{error}"));
        let cases = folder.join("cases");
        for payload in payloads(&cases) {
            count += 1;
            wrong.extend(check(&connector, &cases, &payload));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 0, "there are cases in {}", connectors.display());
}

/// What is wrong with a case, if anything.
fn check(connector: &Connector, cases: &Path, payload: &Path) -> Option<String> {
    let expected: Value =
        serde_json::from_slice(&fs::read(payload.with_extension("expected.json")).unwrap()).unwrap();
    let topic = payload.parent().unwrap().strip_prefix(cases).unwrap().to_str().unwrap();
    let topic = (topic != "_shape").then_some(topic);
    let settings = expected.get("settings").cloned().unwrap_or_default();
    let outcome = normalize_payload(connector, topic, &fs::read(payload).unwrap(), &settings);
    let given = match outcome {
        Outcome::Documents(documents) => {
            json!({"documents": documents.iter().map(shown).collect::<Vec<_>>()})
        }
        Outcome::Ignored { reason } => json!({"ignored": reason}),
        Outcome::Quarantined(error) => json!({"quarantined": error.path, "message": error.message}),
    };
    let mut differences = Vec::new();
    for key in ["documents", "ignored", "quarantined"] {
        compare(key, expected.get(key), given.get(key), &mut differences);
    }
    let message = given["message"].as_str().unwrap_or_default();
    (!differences.is_empty())
        .then(|| format!("{} {message}\n  {}", payload.display(), differences.join("\n  ")))
}

/// Lists where two values differ.
fn compare(place: &str, expected: Option<&Value>, given: Option<&Value>, found: &mut Vec<String>) {
    match (expected, given) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
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

fn shown(document: &Document) -> Value {
    let time = document.source_time.map(|time| jiff::Timestamp::from_microsecond(time).unwrap().to_string());
    let mut shown = json!({
        "kind": document.kind,
        "external_id": document.external_id,
        "snapshot": if document.snapshot == Snapshot::Full { "full" } else { "partial" },
        "source_time": time,
        "fields": document.fields,
    });
    if document.is_deleted {
        shown["is_deleted"] = json!(true);
    }
    shown
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

fn payloads(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
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
