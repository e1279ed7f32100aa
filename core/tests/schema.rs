//! Schemas: of manifests, as published, and of instances' settings and secrets.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::connector::{Connector, Manifest, built_in, manifest_schema};
use serde_json::{Value, json};
use std::fs;

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../connectors/connector.schema.json");

#[test]
fn the_published_schema_is_that_of_the_types() {
    let current = format!("{:#}\n", manifest_schema());
    if std::env::var_os("NEXUS_WRITE_SCHEMA").is_some() {
        fs::write(PUBLISHED, &current).unwrap();
    }
    let published = fs::read_to_string(PUBLISHED).unwrap();
    assert!(published == current, "it is out of date: run the test again with NEXUS_WRITE_SCHEMA=1");
}

#[test]
fn manifests_fit_the_schema_as_they_fit_the_types() {
    let schema = jsonschema::draft202012::new(&manifest_schema()).unwrap();
    let manifests: Vec<Value> = built_in().iter().map(|(_, text)| toml::from_str(text).unwrap()).collect();
    for manifest in &manifests {
        let errors: Vec<_> = schema.iter_errors(manifest).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", manifest["type"]);
    }
    let changed = |pointer: &str, value: Value| {
        let mut manifest = manifests.iter().find(|manifest| manifest["type"] == "shopify").unwrap().clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        manifest.pointer_mut(parent).unwrap()[name] = value;
        manifest
    };
    for (pointer, value) in [
        ("/colour", json!(1)),
        ("/version", json!("one")),
        ("/name", Value::Null),
        ("/receive/signature/scheme", json!("rot13")),
        ("/receive/signature/header", json!(7)),
        ("/receive/topic", json!({"path": "$.a", "colour": 1})),
        ("/entities", json!({"order": {"documents": [{"kind": "sales_order"}]}})),
        ("/auth/methods", json!(["handshake"])),
    ] {
        let manifest = changed(pointer, value);
        assert!(Manifest::from_json(&manifest).is_err(), "{pointer}");
        assert!(!schema.is_valid(&manifest), "{pointer}");
    }
}

#[test]
fn a_signatures_secret_is_one_that_an_instance_can_have() {
    for (name, text) in built_in() {
        let connector = Connector::from_toml(text).unwrap();
        let Some(receive) = connector.receive() else { continue };
        let properties = &connector.manifest().auth.secrets["properties"];
        for signature in std::iter::once(&receive.signature).chain(receive.signatures.values()) {
            let needs_none = signature.scheme == Default::default() || signature.key_source.is_some();
            let secret = signature.secret_name();
            assert!(needs_none || properties.get(secret).is_some(), "{name}: auth.secrets lacks {secret}");
        }
    }
}

fn connector(auth: Value) -> Result<Connector, nexus_core::error::Error> {
    Connector::from_json(&json!({
        "type": "test", "name": "Test", "version": 1, "auth": auth,
        "entities": {"product": {"documents": [{"kind": "product", "external_id": "$.id"}]}},
    }))
}

#[test]
fn settings_are_checked_and_defaults_filled_in() {
    let settings = json!({
        "type": "object", "additionalProperties": false, "required": ["shop"],
        "properties": {
            "shop": {"type": "string", "pattern": "^[a-z]+$"},
            "mode": {"enum": ["live", "test"], "default": "live"},
            "pages": {"type": ["integer", "null"]},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    });
    let connector = connector(json!({"settings": settings})).unwrap();
    assert_eq!(connector.settings(&json!({"shop": "acme"})), Ok(json!({"shop": "acme", "mode": "live"})));
    let whole = json!({"shop": "a", "mode": "test", "pages": null, "labels": {"a": "b"}, "tags": ["x"]});
    assert_eq!(connector.settings(&whole), Ok(whole));
    for (given, place, reason) in [
        (json!(null), "settings.shop", "is required"),
        (json!([]), "settings", "must be of type object"),
        (json!({"shop": 7}), "settings.shop", "must be of type string"),
        (json!({"shop": "ACME"}), "settings.shop", "must match ^[a-z]+$"),
        (json!({"shop": "a", "mode": "off"}), "settings.mode", "must be one of \"live\", \"test\""),
        (json!({"shop": "a", "pages": 1.5}), "settings.pages", "must be of type integer or null"),
        (json!({"shop": "a", "labels": {"a": 1}}), "settings.labels.a", "must be of type string"),
        (json!({"shop": "a", "tags": ["a", 1]}), "settings.tags[1]", "must be of type string"),
        (json!({"shop": "a", "colour": 1}), "settings.colour", "is not known"),
    ] {
        let error = connector.settings(&given).unwrap_err();
        assert_eq!((error.path.as_deref(), &*error.message), (Some(place), reason), "{given}");
    }
}

#[test]
fn what_is_missing_or_unknown_is_told_and_what_does_not_fit_is_refused() {
    let (_, medusa) = built_in().iter().find(|(name, _)| *name == "medusa").unwrap();
    let connector = Connector::from_toml(medusa).unwrap();
    let told = |given: Value| -> Vec<String> {
        connector.check_settings(&given).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(json!({"site": "https://shop.example", "signature": "path"})), Vec::<String>::new());
    let both = ["settings.site: is required", "settings.colour: is not known to the connector type"];
    assert_eq!(told(json!({"colour": "red"})), both);
    for (given, place) in
        [(json!({"site": 7}), "settings.site"), (json!({"signature": "rot13"}), "settings.signature")]
    {
        assert_eq!(connector.check_settings(&given).unwrap_err().path.as_deref(), Some(place));
    }
}

#[test]
fn an_error_tells_nothing_of_a_secret() {
    let secrets = json!({
        "type": "object", "required": ["token"],
        "properties": {"token": {"type": "string", "enum": ["hush"], "pattern": "^hush"}},
    });
    let connector = connector(json!({"secrets": secrets})).unwrap();
    assert_eq!(connector.check_secrets(&json!({"token": "hush"})), Ok(Vec::new()));
    let missing = connector.check_secrets(&json!({})).unwrap();
    assert_eq!(missing[0].to_string(), "secrets.token: is required");
    let error = connector.check_secrets(&json!({"token": "loud"})).unwrap_err();
    assert_eq!(error.path.as_deref(), Some("secrets.token"));
    assert!(!format!("{error:?}").contains("loud") && !format!("{error:?}").contains("hush"));
}

#[test]
fn a_schema_that_is_not_understood_is_refused() {
    for (settings, place) in [
        (json!(7), "auth.settings"),
        (json!({"oneOf": []}), "auth.settings.oneOf"),
        (json!({"properties": {"a": {"type": "text"}}}), "auth.settings.properties.a.type"),
        (json!({"properties": {"a": {"pattern": "("}}}), "auth.settings.properties.a.pattern"),
        (
            json!({"properties": {"a": {"type": "string", "default": 1}}}),
            "auth.settings.properties.a.default",
        ),
        (json!({"required": "a"}), "auth.settings.required"),
    ] {
        let error = connector(json!({"settings": settings})).map(|_| ()).unwrap_err();
        assert_eq!(error.path.as_deref(), Some(place), "{error}");
    }
}
