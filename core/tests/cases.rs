//! The cases of every connector: a composed payload, and the documents that a person says it must give.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::case;
use nexus_core::connector::Connector;
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
    let expected = fs::read(payload.with_extension("expected.json")).unwrap();
    let folder = payload.parent().unwrap().strip_prefix(cases).unwrap().to_str().unwrap();
    let body = fs::read(payload).unwrap();
    let expected = serde_json::from_slice(&expected).unwrap();
    let differences = case::differences(connector, case::topic(folder), &body, &expected);
    (!differences.is_empty()).then(|| format!("{}\n  {}", payload.display(), differences.join("\n  ")))
}

#[test]
fn a_case_tells_where_it_differs() {
    let connector = Connector::from_json(&json!({
        "type": "test", "name": "Test", "version": 1, "ignored": {"moon": "no moons"},
        "entities": {"product": {"topics": ["product"], "documents": [
            {"kind": "product", "external_id": "$.id", "fields": {"title": "$.title"}},
        ]}},
    }));
    let connector = connector.unwrap();
    let differences = |topic, body: &str, expected: Value| {
        case::differences(&connector, case::topic(topic), body.as_bytes(), &expected)
    };
    let document = |title: &str| {
        json!({"documents": [{"kind": "product", "external_id": "7", "snapshot": "full", "source_time": null,
                              "fields": {"title": title}}]})
    };
    let body = r#"{"id": 7, "title": "Tea"}"#;
    assert_eq!(differences("product", body, document("Tea")), [""; 0]);
    assert_eq!(
        differences("product", body, document("Pot")),
        ["documents[0].fields.title: expected \"Pot\", given \"Tea\""]
    );
    assert_eq!(differences("moon", "{}", json!({"ignored": "no moons"})), [""; 0]);
    assert_eq!(differences("product", "{}", json!({"quarantined": "$.id"})), [""; 0]);
    assert_eq!(
        differences("product", "{}", json!({"documents": []})),
        [
            "documents: expected [], given nothing",
            "quarantined: expected nothing, given \"$.id\"",
            "product has no id"
        ]
    );
    assert_eq!(
        differences("product", "[]", json!({})),
        [
            "says nothing: it needs one of documents, ignored, quarantined",
            "documents: expected nothing, given []"
        ]
    );
    assert!(differences("_shape", body, json!({"documents": []}))[1].contains("the shape of no record"));
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
