//! Manifests: read, checked, refused with place and reason, written back.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::connector::{Connector, Manifest, built_in};
use nexus_core::error::Code;
use serde_json::{Value, json};

fn minimal() -> Value {
    json!({
        "type": "test", "name": "Test", "version": 1,
        "receive": {
            "signature": {"scheme": "hmac", "header": "x-signature"},
            "topic": {"header": "x-topic"},
        },
        "pull": {"base_url": "https://shop.example", "endpoints": {"order": {"list": "/orders"}}},
        "shapes": {"name": {"title": "$.title"}},
        "entities": {"product": {
            "topics": ["product"],
            "documents": [{"kind": "product", "external_id": "$.id", "use": "name",
                           "fields": {"status": {"path": "$.s", "map": {"on": "active"}}}}],
        }},
    })
}

#[test]
fn the_built_in_manifests_compile_and_survive_json() {
    let names: Vec<_> = built_in().iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&"shopify") && names.contains(&"woocommerce"), "{names:?}");
    for (name, toml) in built_in() {
        let manifest = Manifest::from_toml(toml).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(manifest.connector_type, *name, "a folder bears its connector's type");
        let again = Manifest::from_json(&manifest.to_json().unwrap()).unwrap();
        assert_eq!(manifest, again);
        Connector::compile(again).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_topic_ignored_by_a_part_of_its_name_is_known() {
    let mut manifest = minimal();
    manifest["ignored"] = json!({"moon/*": "no moons", "sun": "no sun", "star/*/rise": "no stars"});
    let connector = Connector::from_json(&manifest).unwrap();
    assert_eq!(connector.ignored_reason("moon/rise"), Some("no moons"));
    assert_eq!(connector.ignored_reason("sun"), Some("no sun"));
    assert_eq!(connector.ignored_reason("sun/set"), None);
    assert_eq!(connector.ignored_reason("star/7/rise"), Some("no stars"));
    assert_eq!(connector.ignored_reason("star/rise"), None);
}

#[test]
fn mistakes_are_named_with_their_place() {
    Connector::from_json(&minimal()).unwrap();
    let document = "/entities/product/documents/0";
    for (pointer, value, place, reason) in [
        ("/colour", json!(1), "colour", "unknown field `colour`"),
        ("/version", json!("one"), "version", "invalid type"),
        ("/type", json!("Test Shop"), "type", "lower-case letters"),
        ("/receive/signature", json!({"scheme": "hmac"}), "receive.signature", "lacks header"),
        ("/receive/signature/scheme", json!("rot13"), "receive.signature.scheme", "unknown variant"),
        ("/receive/signature/content", json!("{id}.{body}"), "receive.signature.content", "{id}"),
        ("/receive/signature/content", json!("{url}"), "receive.signature.content", "does not sign"),
        ("/receive/signature/scheme", json!("body_token"), "receive.signature", "lacks path"),
        ("/receive/signature/body_member", json!("a"), "receive.signature.content", "its own signature"),
        (
            "/receive/signature/key_source",
            json!({"url": "https://keys.example"}),
            "receive.signature.key_source",
            "public key",
        ),
        (
            "/receive/signature",
            json!({"scheme": "rsa", "header": "x", "key_source": {"url": "https://{key_id}/key"}}),
            "receive.signature.key_source.url",
            "HTTPS URL",
        ),
        (
            "/receive/signature",
            json!({"scheme": "rsa", "header": "x", "key_source": {"url": "http://keys.example"}}),
            "receive.signature.key_source.url",
            "HTTPS URL",
        ),
        ("/receive/signatures", json!({"b": {"scheme": "jwt"}}), "receive.signatures.b", "lacks header"),
        (
            "/receive/signature/recipient",
            json!({"paths": [], "setting": "client_id"}),
            "receive.signature.recipient.paths",
            "must not be empty",
        ),
        (
            "/pull/endpoints/order/body",
            json!({"since": "{since}"}),
            "pull.endpoints.order.body",
            "is for the method POST",
        ),
        ("/pull/endpoints/order/colour", json!(1), "pull.endpoints.order.colour", "unknown field"),
        ("/receive/handshakes", json!([{"kind": "query_echo"}]), "receive.handshakes[0]", "lacks field"),
        (
            "/receive/handshakes",
            json!([{"kind": "shopware_registration"}]),
            "receive.handshakes[0]",
            "shopware_confirmation",
        ),
        ("/receive/json_fields", json!(["a"]), "receive.json_fields", "form"),
        ("/receive/events", json!(["value"]), "receive.events[0]", "is not a JSONPath"),
        ("/receive/idempotency", json!(["delivery_id"]), "receive.idempotency[0]", "says nothing about"),
        ("/receive/response_status", json!(404), "receive.response_status", "2xx"),
        ("/receive/topic", json!("topic"), "receive.topic", "is not a JSONPath"),
        (
            "/entities/other",
            json!({"topics": ["product"], "documents": [{"kind": "product", "external_id": "$.id"}]}),
            "entities.product.topics",
            "also belongs to other",
        ),
        ("/entities/product/documents", json!([]), "entities.product", "gives no documents"),
        ("/entities/product/detect", json!({"path": "$.a"}), "entities.product.detect", "needs comparisons"),
        (
            &format!("{document}/kind"),
            json!("gadget"),
            "entities.product.documents[0].kind",
            "no entity kind \"gadget\"",
        ),
        (
            &format!("{document}/deleted"),
            json!(true),
            "entities.product.documents[0]",
            "of a record that is gone",
        ),
        (&format!("{document}/use"), json!("none"), "entities.product.documents[0].use", "no shape \"none\""),
        (
            &format!("{document}/fields/colour"),
            json!("$.c"),
            "entities.product.documents[0].fields.colour",
            "no field \"colour\"",
        ),
        (
            &format!("{document}/fields/status/map/off"),
            json!("asleep"),
            "entities.product.documents[0].fields.status",
            "\"asleep\" is not a word",
        ),
        (
            &format!("{document}/fields/status/colour"),
            json!(1),
            "entities.product.documents[0].fields.status.colour",
            "unknown field",
        ),
        ("/shapes/name/title", json!("title"), "shapes.name.title", "is not a JSONPath"),
    ] {
        let mut manifest = minimal();
        set(&mut manifest, pointer, value);
        let error = Connector::from_json(&manifest).map(|_| ()).expect_err(pointer);
        assert_eq!(error.code, Code::InvalidManifest, "{error}");
        assert_eq!(error.path.as_deref(), Some(place), "{error}");
        assert!(error.message.contains(reason), "{pointer}: {error}");
    }
    assert!(Manifest::from_toml("type = ").unwrap_err().message.contains("line 1"));
}

#[test]
fn child_rows_need_an_id_and_known_fields() {
    let with_lines = |lines: Value| {
        let mut manifest = minimal();
        manifest["entities"]["product"]["documents"] = json!([
            {"kind": "sales_order", "external_id": "$.id", "fields": {"lines": lines}},
        ]);
        Connector::from_json(&manifest).map(|_| ()).map_err(|error| error.message)
    };
    assert_eq!(with_lines(json!({"each": "$.l[*]", "fields": {"external_id": "$.id"}})), Ok(()));
    for (lines, reason) in [
        (json!("$.l"), "must be a list"),
        (json!({"each": "$.l[*]"}), "each without fields"),
        (json!({"each": "$.l[*]", "fields": {"title": "$.t"}}), "lacks external_id"),
        (json!({"each": "$.l[*]", "fields": {"external_id": "$.id", "hue": "$.h"}}), "no field \"hue\""),
    ] {
        let message = with_lines(lines).unwrap_err();
        assert!(message.contains(reason), "{message}");
    }
}

/// Sets a member, making the last step of the pointer if it is not there.
fn set(manifest: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    manifest.pointer_mut(parent).unwrap()[name] = value;
}

#[test]
fn what_an_instance_has_to_set_is_among_its_settings() {
    let with = |settings: Value, pointer: &str, value: Value| {
        let mut manifest = minimal();
        manifest["auth"] = json!({"settings": {
            "type": "object", "additionalProperties": false, "properties": settings,
        }, "secrets": {"type": "object", "properties": {"token": {"type": "string"}}}});
        set(&mut manifest, pointer, value);
        Connector::from_json(&manifest).map(|_| ()).map_err(|error| error.path.unwrap_or_default())
    };
    let static_header = json!({"static": {"scheme": "static_header", "header": "x"}});
    let chosen = |settings| with(settings, "/receive/signatures", static_header.clone());
    assert_eq!(chosen(json!({"signature": {"enum": ["static"]}})), Ok(()));
    let place = "auth.settings.properties.signature";
    assert_eq!(chosen(json!({"signature": {"enum": ["path"]}})), Err(place.to_owned()));
    assert_eq!(chosen(json!({})), Err(place.to_owned()));

    let recipient = json!({"paths": ["$.to"], "setting": "client_id"});
    let received = |settings| with(settings, "/receive/signature/recipient", recipient.clone());
    assert_eq!(received(json!({"client_id": {"type": "string"}})), Ok(()));
    assert_eq!(received(json!({})), Err("receive.signature.recipient.setting".to_owned()));

    let posted = |name: &str| json!({"list": "/search", "method": "POST", "body": {"a": [name]}});
    let body = |name| with(json!({"shop": {}}), "/pull/endpoints/order", posted(name));
    for known in ["{since}", "{size}", "{shop}", "{ a } of a query"] {
        assert_eq!(body(known), Ok(()), "{known}");
    }
    assert_eq!(body("{sinze}"), Err("pull.endpoints.order.body".to_owned()));
    let header = |text: &str| with(json!({}), "/pull/headers", json!({"x-token": text}));
    assert_eq!(header("Bearer {token}"), Ok(()));
    assert_eq!(header("Bearer {tokin}"), Err("pull.headers.x-token".to_owned()));
    let url = |text: &str| with(json!({"shop": {}}), "/pull/base_url", json!(text));
    assert_eq!(url("https://{shop}/api"), Ok(()));
    assert_eq!(url("https://{token}/api"), Err("pull.base_url".to_owned()), "a secret is not for a URL");
}
