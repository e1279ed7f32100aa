#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod handshakes;
mod keys;
mod places;

use super::*;
use crate::connector::{Algorithm, Encoding, HeaderFormat, KeyEncoding, Recipient, Signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

const NOW: i64 = 1_614_265_330;

fn receive(signature: Signature) -> Receive {
    Receive { signature, ..Receive::default() }
}

fn hmac(header: &str) -> Signature {
    Signature { scheme: Scheme::Hmac, header: Some(header.to_owned()), ..Signature::default() }
}

fn check(receive: &Receive, headers: &[(String, String)], body: &[u8], secrets: &[&[u8]]) -> bool {
    check_at(receive, "https://nexus.example/hooks/1", NOW, headers, body, secrets)
}

fn check_at(
    receive: &Receive,
    url: &str,
    now: i64,
    headers: &[(String, String)],
    body: &[u8],
    secrets: &[&[u8]],
) -> bool {
    let headers = Headers::from_pairs(headers.iter().cloned());
    let request = SignedRequest { method: "POST", url, headers: &headers, body, now };
    verify(receive, &request, secrets).is_ok()
}

/// A signature is refused when anything that it covers is changed, and when the secret is another.
fn refuses_changes(receive: &Receive, headers: &[(String, String)], body: &[u8], secret: &[u8]) {
    assert!(check(receive, headers, body, &[secret]), "{receive:?}");
    assert!(check(receive, headers, body, &[b"another", secret]), "the second secret counts too");
    assert!(!check(receive, headers, body, &[b"another"]));
    assert!(!check(receive, headers, body, &[]));
    assert!(!check(receive, headers, &[body, b" "].concat(), &[secret]));
    assert!(!check(receive, &[], body, &[secret]));
    for (index, (name, value)) in headers.iter().enumerate() {
        let mut changed = headers.to_vec();
        let flipped = if value.ends_with('1') { "2" } else { "1" };
        changed[index] = (name.clone(), format!("{}{flipped}", &value[..value.len() - 1]));
        assert!(!check(receive, &changed, body, &[secret]), "{name} changed");
    }
}

#[test]
fn every_scheme_verifies_what_it_signs_and_nothing_else() {
    let with_time = Signature {
        timestamp_header: Some("x-time".to_owned()),
        id_header: Some("x-id".to_owned()),
        content: Some("{id}:{timestamp}:{body}".to_owned()),
        ..hmac("x-signature")
    };
    let schemes = [
        hmac("x-signature"),
        Signature { algorithm: Algorithm::Sha1, encoding: Encoding::Hex, ..hmac("x-signature") },
        Signature { algorithm: Algorithm::Sha512, ..hmac("x-signature") },
        Signature { prefix: Some("sha256=".to_owned()), encoding: Encoding::Hex, ..hmac("x-signature") },
        Signature { content: Some("{url}{body}".to_owned()), ..hmac("x-signature") },
        Signature { content: Some("{query}&{body}".to_owned()), ..hmac("x-signature") },
        with_time,
        Signature { scheme: Scheme::StandardWebhooks, ..Signature::default() },
        Signature { scheme: Scheme::Stripe, ..Signature::default() },
    ];
    for signature in schemes {
        let receive = receive(signature);
        let body = br#"{"id":1}"#;
        let url = "https://nexus.example/hooks/1";
        let headers = sign(&receive, url, "msg_9", NOW, body, b"s3cr3t").unwrap();
        refuses_changes(&receive, &headers, body, b"s3cr3t");
    }
}

/// Calculated with another implementation of HMAC.
#[test]
fn signatures_are_what_others_calculate() {
    let body = br#"{"id":1}"#;
    let standard =
        Signature { scheme: Scheme::StandardWebhooks, key: KeyEncoding::Base64, ..Signature::default() };
    for (signature, secret, expected) in [
        (hmac("x"), "s3cr3t", "z1PTSunFKhGV0B2iDV3egGE8TThlQMRrvLklMBTdxQU="),
        (
            Signature { algorithm: Algorithm::Sha1, encoding: Encoding::Hex, ..hmac("x") },
            "s3cr3t",
            "6342067fac04bc853017a89166d1f93e772cf802",
        ),
        (
            Signature { scheme: Scheme::Stripe, ..Signature::default() },
            "s3cr3t",
            "t=1614265330,v1=785fee2d53411b302847c7418f995c24b0f5430d4f1a71a503ae66cfd378050a",
        ),
        (
            standard,
            "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
            "v1,Qk19l+47JG68AZ1vkNg3AANgNSXcQs76wJjKOmLDMpk=",
        ),
    ] {
        let headers = sign(&receive(signature), "", "msg_1", NOW, body, secret.as_bytes()).unwrap();
        assert!(headers.iter().any(|(_, value)| value == expected), "{expected}: {headers:?}");
    }
}

#[test]
fn a_static_header_holds_the_secret_itself() {
    let receive = receive(Signature {
        scheme: Scheme::StaticHeader,
        prefix: Some("Bearer ".to_owned()),
        ..hmac("authorization")
    });
    let headers = sign(&receive, "", "", NOW, b"", b"token").unwrap();
    assert_eq!(headers, [("authorization".to_owned(), "Bearer token".to_owned())]);
    assert!(check(&receive, &headers, b"", &[b"other", b"token"]));
    assert!(!check(&receive, &headers, b"", &[b"other"]));
    let bare = [("authorization".to_owned(), "Bearer ".to_owned())];
    assert!(!check(&receive, &bare, b"", &[b""]), "an empty secret opens nothing");
}

#[test]
fn an_empty_secret_verifies_nothing() {
    use ::hmac::{Hmac, Mac};
    let receive = receive(Signature { encoding: Encoding::Hex, ..hmac("x-signature") });
    let mac = Hmac::<sha2::Sha256>::new_from_slice(b"").unwrap().chain_update(b"{}").finalize();
    let forged = [("x-signature".to_owned(), hex::encode(mac.into_bytes()))];
    assert!(!check(&receive, &forged, b"{}", &[b""]));
    assert!(sign(&receive, "", "", NOW, b"{}", b"").is_err());
}

#[test]
fn timestamps_may_be_off_by_the_tolerance_either_way() {
    let receive = receive(Signature { scheme: Scheme::Stripe, tolerance: Some(60), ..Signature::default() });
    let headers = sign(&receive, "", "", NOW, b"{}", b"s").unwrap();
    let at = |now| check_at(&receive, "", now, &headers, b"{}", &[b"s"]);
    assert!(at(NOW + 60) && at(NOW - 60));
    assert!(!at(NOW + 61) && !at(NOW - 61) && !at(i64::MIN) && !at(i64::MAX));
}

#[test]
fn one_good_signature_among_several_is_enough() {
    let standard = receive(Signature { scheme: Scheme::StandardWebhooks, ..Signature::default() });
    let mut headers = sign(&standard, "", "msg_1", NOW, b"{}", b"new").unwrap();
    headers[2].1 = format!("v1,b2xk v1a,c29tZXRoaW5n {}", headers[2].1);
    assert!(check(&standard, &headers, b"{}", &[b"new"]));

    let stripe = receive(Signature { scheme: Scheme::Stripe, ..Signature::default() });
    let mut headers = sign(&stripe, "", "", NOW, b"{}", b"new").unwrap();
    headers[0].1 = headers[0].1.replace("v1=", "v1=00ff,v0=11,v1=");
    assert!(check(&stripe, &headers, b"{}", &[b"new"]));
}

/// Vectors that the platforms or their libraries publish.
#[test]
fn agrees_with_published_vectors() {
    let folder = std::env::var("NEXUS_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").to_owned());
    let Ok(file) = std::fs::read(format!("{folder}/signatures.json")) else {
        eprintln!("no signature vectors at {folder}: skipped (NEXUS_VECTORS names another place)");
        return;
    };
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let mut seen = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        let standard = |key| Signature { scheme: Scheme::StandardWebhooks, key, ..Signature::default() };
        let signature = match text("scheme") {
            "standard-webhooks" => standard(KeyEncoding::Base64),
            "bigcommerce" => standard(KeyEncoding::Utf8),
            "stripe" => Signature { scheme: Scheme::Stripe, ..Signature::default() },
            "shopify" | "woocommerce" => hmac(text("header")),
            "square" => Signature { content: Some("{url}{body}".to_owned()), ..hmac(text("header")) },
            "shopware" => Signature { encoding: Encoding::Hex, ..hmac(text("header")) },
            "shopware-registration" => Signature {
                content: Some("{query}".to_owned()),
                encoding: Encoding::Hex,
                ..hmac("shopware-app-signature")
            },
            "shopware-proof" => {
                let proof = scheme::mac(Algorithm::Sha256, b"test", text("content").as_bytes());
                assert_eq!(hex::encode(proof), text("expected"));
                seen += 1;
                continue;
            }
            "ebay-challenge" => {
                let url = format!("{}?challenge_code={}", text("url"), text("challenge_code"));
                let token = [("verification_token", text("verification_token").as_bytes())];
                let answer = handshakes::ebay(&url, &token).unwrap();
                assert_eq!(answer, json!({"challengeResponse": text("expected")}));
                seen += 1;
                continue;
            }
            other => panic!("the vectors have a scheme that this test does not know: {other}"),
        };
        let receive = receive(signature);
        let timestamp = vector["timestamp"].as_i64().unwrap_or(NOW);
        let url = match text("query") {
            "" => text("url").to_owned(),
            query => format!("https://nexus.example/hooks/1?{query}"),
        };
        let (url, id, body) = (url.as_str(), text("id"), text("body").as_bytes());
        let headers = sign(&receive, url, id, timestamp, body, text("secret").as_bytes()).unwrap();
        let written = headers.iter().find(|(_, value)| value == text("expected"));
        assert!(written.is_some(), "{}: {headers:?}", text("scheme"));
        let secret = text("secret").as_bytes();
        assert!(check_at(&receive, url, timestamp, &headers, body, &[secret]));
        assert!(check_at(&receive, url, timestamp, &headers, body, &[b"b3RoZXI=", secret]));
        assert!(!check_at(&receive, url, timestamp, &headers, body, &[b"b3RoZXI="]));
        let changed = [body, b" "].concat();
        assert_eq!(
            check_at(&receive, url, timestamp, &headers, &changed, &[secret]),
            text("scheme") == "shopware-registration",
            "{}: only a registration has no body",
            text("scheme")
        );
        let is_timed = vector["timestamp"].is_number();
        assert_eq!(check_at(&receive, url, timestamp + 301, &headers, body, &[secret]), !is_timed);
        seen += 1;
    }
    assert_eq!(seen, 10);
}
