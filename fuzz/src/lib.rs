//! What must hold whatever comes in.
//!
//! Each function is a target: it takes any bytes, and panics where something does not hold.
//!
//! ```text
//! cargo +nightly fuzz run engine fuzz/corpus/engine fuzz/seeds/engine
//! ```
//!
//! `core/tests/fuzz.rs` runs the seeds through the same functions, without nightly.

use nexus_core::canonical::Document;
use nexus_core::connector::{
    Algorithm, Connector, Encoding, Handshake, HandshakeKind, HeaderFormat, KeyEncoding, KeySource, Manifest,
    Receive, Scheme, Signature, built_in,
};
use nexus_core::idempotency;
use nexus_core::normalize::{Headers, Outcome, Request, normalize, normalize_payload};
use nexus_core::signature::{self, Instance, SignedRequest};
use serde_json::{Value, json};
use std::sync::LazyLock;

static CONNECTORS: LazyLock<Vec<Connector>> = LazyLock::new(|| {
    let compile = |(name, text): &(&str, &str)| {
        Connector::from_toml(text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    built_in().iter().map(compile).collect()
});

/// A topic, a line break, and a body: through every manifest that comes with Nexus.
pub fn engine(data: &[u8]) {
    let (topic, body) = first_line(data);
    for connector in CONNECTORS.iter() {
        through(connector, &topic, body);
    }
}

/// A manifest in TOML or JSON: refused, or compiled into something that holds as the others do.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = match serde_json::from_str::<Value>(text) {
        Ok(value) => Manifest::from_json(&value),
        Err(_) => Manifest::from_toml(text),
    };
    let Ok(manifest) = read else { return };
    let written = manifest.to_json().expect("what was read can be written");
    assert_eq!(Manifest::from_json(&written).as_ref(), Ok(&manifest));
    let Ok(connector) = Connector::compile(manifest) else { return };
    let _ = connector.settings(&json!({"a": "b"}));
    let _ = connector.check_secrets(&json!({"a": "b"}));
    let body = br#"{"id":1,"title":"x","lines":[{"id":1},{"id":2}],"at":"2026-01-01T00:00:00Z","n":1.50}"#;
    through(&connector, "a", body);
    through(&connector, "a", data);
    if let Some(receive) = connector.receive() {
        let headers = Headers::from_pairs([("x-signature", "AAAA"), ("x-a", "b=c")]);
        let request =
            SignedRequest { method: "POST", url: "https://n.example/h?a=b", headers: &headers, body, now: 0 };
        let _ = signature::verify(receive, &request, &[b"s"]);
        let _ = signature::handshake(receive, &request);
        let _ = signature::key_requests(receive, &request);
    }
}

/// A header, a URL, a secret, each ended by a line break, and a body: through every scheme and handshake.
pub fn signature(data: &[u8]) {
    let (header, rest) = first_line(data);
    let (url, rest) = first_line(rest);
    let (secret, body) = first_line(rest);
    let names =
        ["x-signature", "webhook-signature", "stripe-signature", "webhook-id", "x-key", "x-app-signature"];
    let mut headers = Headers::from_pairs(names.map(|name| (name, header.clone())));
    headers.insert("webhook-timestamp", "1614265330".to_owned());
    for method in ["GET", "POST"] {
        let request = SignedRequest { method, url: &url, headers: &headers, body, now: 1_614_265_330 };
        for receive in receives() {
            let _ = signature::verify(&receive, &request, &[secret.as_bytes(), body, b"another"]);
            for key in signature::key_requests(&receive, &request) {
                assert!(key.url.starts_with("https://keys.example/"), "{key:?}");
            }
            let settings = json!({"app_name": "Nexus"});
            let instance = Instance {
                settings: Some(&settings),
                secrets: &[("app_secret", secret.as_bytes()), ("webhook_secret", b"hush")],
                random: Some([7; 32]),
            };
            let _ = signature::handshake_of(&receive, &request, &instance);
            signed(&receive, &url, &header, body, &secret);
        }
    }
}

/// What was signed verifies.
fn signed(receive: &Receive, url: &str, id: &str, body: &[u8], secret: &str) {
    let elsewhere = matches!(receive.signature.scheme, Scheme::SecretPath | Scheme::BodyToken | Scheme::None);
    if elsewhere || secret.is_empty() {
        return;
    }
    let now = 1_614_265_330;
    let Ok(headers) = signature::sign(receive, url, id, now, body, secret.as_bytes()) else { return };
    let headers = Headers::from_pairs(headers);
    let request = SignedRequest { method: "POST", url, headers: &headers, body, now };
    let is_plain = receive.signature.header_format == HeaderFormat::Plain;
    assert_eq!(signature::verify(receive, &request, &[secret.as_bytes()]).is_ok(), is_plain, "{receive:?}");
}

/// Every scheme, in every way that changes what is done.
fn receives() -> Vec<Receive> {
    let with = |scheme| Signature { scheme, header: Some("x-signature".to_owned()), ..Signature::default() };
    let key_source = |url: &str| KeySource { url: url.to_owned(), ..KeySource::default() };
    let published = Signature {
        header_format: HeaderFormat::Base64Json,
        key_source: Some(key_source("https://keys.example/{key_id}")),
        ..with(Scheme::EcdsaP256)
    };
    let named = Signature {
        header_format: HeaderFormat::Parameters,
        key_source: Some(KeySource {
            key_id_headers: vec!["x-key".to_owned()],
            list: Some("keys".to_owned()),
            ..key_source("https://keys.example{key_id}")
        }),
        ..with(Scheme::Rsa)
    };
    let signatures = [
        with(Scheme::None),
        with(Scheme::Hmac),
        Signature {
            encoding: Encoding::Either,
            header_format: HeaderFormat::Parameters,
            ..with(Scheme::Hmac)
        },
        Signature {
            algorithm: Algorithm::Sha1,
            encoding: Encoding::Hex,
            key: KeyEncoding::Hex,
            ..with(Scheme::Hmac)
        },
        Signature { content: Some("{url}{query}{body_base64}".to_owned()), ..with(Scheme::Hmac) },
        Signature { query_parameter: Some("signature".to_owned()), ..with(Scheme::Hmac) },
        Signature {
            body_member: Some("HashCode".to_owned()),
            content: Some("{body.Content}".to_owned()),
            header: None,
            ..with(Scheme::Hmac)
        },
        Signature { key: KeyEncoding::Base64, ..with(Scheme::StandardWebhooks) },
        with(Scheme::Stripe),
        with(Scheme::EcdsaP256),
        with(Scheme::Rsa),
        published,
        named,
        with(Scheme::Jwt),
        with(Scheme::StaticHeader),
        with(Scheme::SecretPath),
        Signature { path: Some("$.value[*].clientState".to_owned()), ..with(Scheme::BodyToken) },
    ];
    let handshakes = [
        HandshakeKind::FormPing,
        HandshakeKind::QueryEcho,
        HandshakeKind::ChallengeHash,
        HandshakeKind::IntentToReceive,
        HandshakeKind::ShopwareRegistration,
        HandshakeKind::ShopwareConfirmation,
    ];
    // One of each for every signature: they are asked for in turn, and the first that fits answers.
    let handshakes =
        handshakes.map(|kind| Handshake { kind, field: "a".to_owned(), status: 200, ..Handshake::default() });
    let receive = |signature| Receive { signature, handshakes: handshakes.to_vec(), ..Receive::default() };
    signatures.map(receive).to_vec()
}

/// Everything that is asked of a connector when a request comes in.
fn through(connector: &Connector, topic: &str, body: &[u8]) {
    let settings = json!({"timezone": "Europe/Amsterdam", "currency": "EUR"});
    // The headers in which platforms name topics, and one for all other purposes.
    let names = ["x-shopify-topic", "x-wc-webhook-topic", "x-topic", "x-shopify-triggered-at"];
    let headers = Headers::from_pairs(names.map(|name| (name, topic)));
    let request = Request { headers: &headers, body, settings: &settings };
    let normalized = normalize(connector, &request);
    assert_eq!(normalized, normalize(connector, &request), "the same request means the same");
    let key = idempotency::key(connector, &request, &normalized);
    assert_eq!(key, idempotency::key(connector, &request, &normalized));
    check(&normalized.outcome);
    check(&normalize_payload(connector, None, body, &settings));
    let topics = connector.manifest().entities.values().flat_map(|entity| &entity.topics);
    for topic in topics.map(String::as_str).chain([topic]) {
        check(&normalize_payload(connector, Some(topic), body, &settings));
    }
}

/// What the tables demand, and what people are promised.
pub fn check(outcome: &Outcome) {
    match outcome {
        Outcome::Documents(documents) => documents.iter().for_each(check_document),
        Outcome::Ignored { reason } => assert!(!reason.is_empty()),
        Outcome::Quarantined(error) => {
            assert!(!error.message.is_empty());
            assert!(error.path.as_deref().is_none_or(|path| !path.is_empty()), "{error:?}");
        }
    }
}

fn check_document(document: &Document) {
    let length = document.external_id.chars().count();
    assert!((1..=255).contains(&length), "{document:?}");
    assert!(!document.external_id.contains('\0'));
    for (name, value) in &document.fields {
        assert!(is_storable(value), "{}.{name}: {value}", document.kind);
    }
    assert!(document.fields.is_empty() || !document.is_deleted);
}

fn is_storable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(values) => values.iter().all(is_storable),
        Value::Object(members) => {
            members.iter().all(|(name, value)| !name.contains('\0') && is_storable(value))
        }
        _ => true,
    }
}

/// What stands before the first line break, as text, and what after it.
fn first_line(data: &[u8]) -> (String, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let rest = data.get(end + 1..).unwrap_or_default();
    (String::from_utf8_lossy(&data[..end]).into_owned(), rest)
}
