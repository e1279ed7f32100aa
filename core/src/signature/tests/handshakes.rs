//! Handshakes.

use super::*;
use crate::connector::{Connector, Handshake, HandshakeKind, built_in};
use serde_json::{Value, json};

pub(super) fn built_in_receive(connector_type: &str) -> Receive {
    let (_, manifest) = built_in().iter().find(|(name, _)| *name == connector_type).unwrap();
    Connector::from_toml(manifest).unwrap().receive().unwrap().clone()
}

#[test]
fn woocommerces_ping_is_answered_with_200() {
    let receive = built_in_receive("woocommerce");
    let answer = |method: &str, headers: &Headers, body: &[u8]| {
        let request = SignedRequest { method, url: "https://n.example/hooks/1", headers, body, now: NOW };
        handshake(&receive, &request).map(|response| response.status)
    };
    let plain = Headers::from_pairs([("Content-Type", "application/x-www-form-urlencoded")]);
    assert_eq!(answer("POST", &plain, b"webhook_id=42"), Some(200));
    assert_eq!(answer("GET", &plain, b"webhook_id=42"), None);
    for body in ["", "webhook_id=", "webhook_id=42&x=1", "webhook_id=1e9", "{\"id\":1}", "id=42"] {
        assert_eq!(answer("POST", &plain, body.as_bytes()), None, "{body}");
    }
    let signed = Headers::from_pairs([("X-WC-Webhook-Signature", "abc")]);
    assert_eq!(answer("POST", &signed, b"webhook_id=42"), None, "what is signed is to be verified");
}

#[test]
fn a_validation_token_is_echoed_decoded() {
    let receive = Receive {
        handshakes: vec![Handshake {
            kind: HandshakeKind::QueryEcho,
            field: "validationToken".to_owned(),
            status: 200,
            ..Handshake::default()
        }],
        ..Receive::default()
    };
    let answer = |url: &str| {
        let headers = Headers::default();
        let request = SignedRequest { method: "POST", url, headers: &headers, body: b"", now: NOW };
        handshake(&receive, &request).map(|response| String::from_utf8_lossy(&response.body).into_owned())
    };
    let url = "https://n.example/hooks/1?a=b&validationToken=one%20two%2Bthree+four%#x";
    assert_eq!(answer(url).as_deref(), Some("one two+three four%"));
    assert_eq!(answer("https://n.example/hooks/1?a=validationToken"), None);
}

fn shake(kind: HandshakeKind, field: &str) -> Handshake {
    Handshake { kind, field: field.to_owned(), status: 200, ..Handshake::default() }
}

fn request<'a>(method: &'a str, url: &'a str, headers: &'a Headers, body: &'a [u8]) -> SignedRequest<'a> {
    SignedRequest { method, url, headers, body, now: NOW }
}

/// eBay's answer to a challenge.
pub(super) fn ebay(url: &str, secrets: &[(&str, &[u8])]) -> Option<Value> {
    let receive = Receive {
        handshakes: vec![shake(HandshakeKind::ChallengeHash, "challenge_code")],
        ..Receive::default()
    };
    let headers = Headers::default();
    let instance = Instance { secrets, ..Instance::default() };
    let answer = handshake_of(&receive, &request("GET", url, &headers, b""), &instance)?;
    assert_eq!(answer.headers[0], ("content-type".to_owned(), "application/json".to_owned()));
    Some(serde_json::from_slice(&answer.body).unwrap())
}

#[test]
fn a_challenge_needs_the_token_and_the_parameter() {
    let url = "https://n.example/hooks/1?challenge_code=abc";
    assert!(ebay(url, &[("verification_token", b"t")]).is_some());
    assert_eq!(ebay(url, &[]), None);
    assert_eq!(ebay(url, &[("verification_token", b"")]), None);
    assert_eq!(ebay("https://n.example/hooks/1?x=abc", &[("verification_token", b"t")]), None);
    let long = format!("{url}{}", "x".repeat(5000));
    assert_eq!(ebay(&long, &[("verification_token", b"t")]), None);
}

#[test]
fn xeros_intent_to_receive_is_answered_empty_whatever_the_signature_is() {
    let receive = Receive {
        signature: hmac("x-xero-signature"),
        handshakes: vec![shake(HandshakeKind::IntentToReceive, "events")],
        ..Receive::default()
    };
    let answer = |body: &[u8], secret: &[u8]| {
        let headers = Headers::from_pairs(sign(&receive, "", "", NOW, body, secret).unwrap());
        let instance = Instance { secrets: &[("webhook_secret", b"s3cr3t")], ..Instance::default() };
        let response = handshake_of(&receive, &request("POST", "", &headers, body), &instance);
        response.map(|response| {
            assert!(response.body.is_empty() && response.headers.is_empty());
            response.status
        })
    };
    let intent = br#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"AB"}"#;
    assert_eq!(answer(intent, b"s3cr3t"), Some(200));
    assert_eq!(answer(intent, b"another"), Some(401));
    assert_eq!(answer(br#"{"events":[{"eventType":"UPDATE"}]}"#, b"s3cr3t"), None, "events are events");
    assert_eq!(answer(b"{", b"s3cr3t"), None);
}

const REGISTRATION: &str =
    "https://n.example/hooks/1?shop-id=8f2a&shop-url=https://shop.example&timestamp=1614265330";

fn shopware() -> Receive {
    Receive {
        signature: Signature { encoding: Encoding::Hex, ..hmac("shopware-shop-signature") },
        handshakes: vec![
            shake(HandshakeKind::ShopwareRegistration, ""),
            shake(HandshakeKind::ShopwareConfirmation, "confirmation"),
        ],
        ..Receive::default()
    }
}

fn register(url: &str, signed_with: &[u8], now: i64) -> Option<HandshakeResponse> {
    let (_, query) = url.split_once('?').unwrap();
    let signature = hex::encode(scheme::mac(Algorithm::Sha256, signed_with, query.as_bytes()));
    let headers = Headers::from_pairs([("shopware-app-signature", signature)]);
    let settings = json!({"app_name": "Nexus"});
    let instance = Instance {
        settings: Some(&settings),
        secrets: &[("app_secret", b"app secret")],
        random: Some([7; 32]),
    };
    handshake_of(&shopware(), &SignedRequest { now, ..request("GET", url, &headers, b"") }, &instance)
}

#[test]
fn shopwares_registration_proves_and_hands_out_a_secret() {
    let answer = register(REGISTRATION, b"app secret", NOW).unwrap();
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let proof = scheme::mac(Algorithm::Sha256, b"app secret", b"8f2ahttps://shop.exampleNexus");
    assert_eq!(body["proof"], hex::encode(proof));
    assert_eq!(body["confirmation_url"], "https://n.example/hooks/1?confirmation=1");
    let secret = body["secret"].as_str().unwrap();
    assert_eq!(secret, "07".repeat(32));
    assert_eq!(
        answer.store,
        [NewSecret { name: "pending_webhook_secret".to_owned(), secret: secret.into() }]
    );
    assert!(!format!("{answer:?}").contains("0707"), "nothing prints a secret");

    assert_eq!(register(REGISTRATION, b"another", NOW), None);
    assert_eq!(register(REGISTRATION, b"app secret", NOW + 301), None, "it must not be played again");
    assert_eq!(
        register("https://n.example/hooks/1?shop-id=1&timestamp=1614265330", b"app secret", NOW),
        None
    );
}

#[test]
fn shopwares_confirmation_brings_credentials_and_puts_the_secret_in_force() {
    let receive = shopware();
    let body = br#"{"apiKey":"SWIA","secretKey":"xyz","shopId":"8f2a"}"#;
    let confirm = |url: &str, headers: &[(String, String)], secrets: &[(&str, &[u8])]| {
        let headers = Headers::from_pairs(headers.iter().cloned());
        let instance = Instance { secrets, ..Instance::default() };
        handshake_of(&receive, &request("POST", url, &headers, body), &instance).map(|answer| answer.store)
    };
    let url = "https://n.example/hooks/1?confirmation=1";
    let signed = sign(&receive, url, "", NOW, body, b"new").unwrap();
    let secrets: &[(&str, &[u8])] = &[("webhook_secret", b"old"), ("pending_webhook_secret", b"new")];
    let stored = confirm(url, &signed, secrets).unwrap();
    let of = |name: &str, secret: &[u8]| NewSecret { name: name.to_owned(), secret: secret.to_vec() };
    assert_eq!(stored, [of("webhook_secret", b"new"), of("client_id", b"SWIA"), of("client_secret", b"xyz")]);

    let again: Vec<_> = stored.iter().map(|new| (new.name.as_str(), new.secret.as_slice())).collect();
    let again = [again, vec![("pending_webhook_secret", b"new".as_slice())]].concat();
    assert_eq!(confirm(url, &signed, &again), Some(Vec::new()), "confirmed again, it changes nothing");

    let with_previous = |secret: &[u8]| {
        let mac = hex::encode(scheme::mac(Algorithm::Sha256, secret, body));
        [signed.clone(), vec![("shopware-shop-signature-previous".to_owned(), mac)]].concat()
    };
    assert!(confirm(url, &with_previous(b"old"), secrets).is_some());
    assert!(confirm(url, &with_previous(b"forged"), secrets).is_none());
    assert!(confirm("https://n.example/hooks/1", &signed, secrets).is_none(), "an event");
    assert!(confirm(url, &signed, &[("webhook_secret", b"new")]).is_none(), "nothing is pending");
    let forged = sign(&receive, url, "", NOW, body, b"old").unwrap();
    assert!(confirm(url, &forged, secrets).is_none());
}
