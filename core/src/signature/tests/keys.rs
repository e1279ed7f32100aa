//! Public keys. The keys, signatures and the token were made with openssl, and are good for nothing else.

use super::*;
use crate::connector::KeySource;
use serde_json::Value;

const BODY: &[u8] = br#"{"id":1}"#;
const EC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZaKoM+49HIPWuYWsrokCcPD69vfn
OQ3a5FzXQKAK8+TvNJT52pgLkKk71ja4HjSEpF2e9OZPnDKrjRq1YO38VQ==
-----END PUBLIC KEY-----";
const RSA_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzVUD5oKN4mcj+q/EUQRU
nCHaw6AyDckiZehODy4Aa75pUGHf0SBpcVzEGauNmAgSDjzCdWjjX8CCeXs3PwIq
zw/imf1yIaHGOmmn8Y2sJWzeaRtzbdFUF0HU9PmFqFHokzn/5Gfl8YHebA39n/Yi
w/U10qeT0M3tii68LK8en6bg1ODaeZtZ5woqZNwCo5NyiklrX6b316dIwvvEVMUQ
GJ1Xx9OkNcds8WGpYPxpGKfbnFRYfG42rEz7zIoyTOfJo5WXog13SbB5habad8HT
1oJqNjArVN5r1mNxcfzBlUWQBqUbaYpUh9LPsHJKRvg8BFBUn299BWWTR6voiIQK
DwIDAQAB
-----END PUBLIC KEY-----";
const RSA_MODULUS: &str = "\
    zVUD5oKN4mcj-q_EUQRUnCHaw6AyDckiZehODy4Aa75pUGHf0SBpcVzEGauNmAgSDjzCdWjjX8CCeXs3PwIqzw_i\
    mf1yIaHGOmmn8Y2sJWzeaRtzbdFUF0HU9PmFqFHokzn_5Gfl8YHebA39n_Yiw_U10qeT0M3tii68LK8en6bg1ODa\
    eZtZ5woqZNwCo5NyiklrX6b316dIwvvEVMUQGJ1Xx9OkNcds8WGpYPxpGKfbnFRYfG42rEz7zIoyTOfJo5WXog13\
    SbB5habad8HT1oJqNjArVN5r1mNxcfzBlUWQBqUbaYpUh9LPsHJKRvg8BFBUn299BWWTR6voiIQKDw";
/// Over the body.
const EC_SHA1: &str = "\
    MEUCIQCdYDUwwELe1Ajo2h8QiwNjeFPXI4qICWo7JzcKOtgSFgIgYP8Zanl2KzSayUlGPN/l53KYBapUs+JLEYao\
    EkvqCNU=";
const EC_SHA256: &str = "\
    MEQCIEvvz+VVhHywVB2lkG+K4UnkwEOmOT8cD1n1TS4sQm5OAiAoukAU+/PZEaPc9wwTzgTuz6sA3weHr/EHT9Th\
    iQBfXA==";
const RSA_SHA1: &str = "\
    fYxwuZ4miX+2i7BHno99ET0IWJTKFOM3yrScP9+StrnQNLQryyB7UJLCBc9HZu56/eqST9cCTq1Az7JXStIpa3F9\
    LZk9a2l5oFpVHMNhXGrLpvGQQvGQS71afRKvZUdfvpdzdsgqc5CkhLb7e9jxr78+/epaxVx/9/3pZp7wWlriYQCh\
    pPtSFuTRkBIQ8drhmAP/7L+0s5j//xkgi9dpWiPFKESJFfc6it39kDcL/ewWwzNtKI80iLXfUs7UVbjA5YJLtGPB\
    ew3pUMADpEWt+uP8kFUXlcFRUT5fgg5PbFDRE36FMVgB5hdNv8Frj9RneitCfXuQN0Th8TZbpAguBA==";
const RSA_SHA256: &str = "\
    Anvbibm1dYe7X175nkweP8PYw+WXkXKZ3WIFAlC0Ky9ZipgBAyh7V975DokCSYo09r1AK3Znd1fuxtZjIrLNo6n3\
    dv0JxmK3KKa60OmNdhJHNJTOKV0YBL2ri3xOdwavpRQHJAmtxTYDmMq+20jz/diB9sZEHf68h6B2q942sHqgK5B+\
    uNbHOhm49tjf3uyVUTYytgZagapPmErClya6BEKcp7J6syuas7UONcvdY1+ttBzfBLOCTOQEXEsHxwIPX0UMW5cL\
    oTpfu67FUoaMP8xWAv4uE26a1OwVIx39rrhv+riXT3zfdzGGj/iHmR4MGjD/ZNOwe5Dg4dQZheKW/Q==";
/// Over the body's base64.
const RSA_OF_BASE64: &str = "\
    aRyMSnIM+jCCt/MKxomWvifLzjHakL2hDHN/kMz4t90OiFW/EJJblynRoe1uh+0AwvbYS6YK2x6UMrZaLp3E+29m\
    TDYE6/OLdM2yKXiosVIGKTH7egXUe68haXXwsqNKDX8/BZg0cDP0raaHIe5q885297xHnNTvcwzDH4f52SORrd5n\
    oiWbN7rnWcN9Tor4q4yhx4GM/bbZOW+ljD+AZtrCwp6wjUS1nR3S0vuXZg4qNUcTvsiGcLteWepf4HfyYS5Q3IeA\
    qYN9P7XR/fjF8zghyjBbDGrPp72zLLnaNrKHILnadDQfl1N7sLjdFFuRY44gFsl6FA7G5VwErzlTlg==";
/// RS256, `kid` k1, `iss` https://sage.example, `aud` [nexus, x], `exp` 1614265400.
const TOKEN: &str = "\
    eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL3NhZ2UuZXhhbXBs\
    ZSIsImF1ZCI6WyJuZXh1cyIsIngiXSwiZXhwIjoxNjE0MjY1NDAwLCJuYmYiOjE2MTQyNjUwMDAuNX0.sBnWNnV_\
    WZeozXwuhxituoywGAcVZ7IipajYlMWJdwZUwxpx_qHZx13lZ5hyfQbBzUV1p96JqLaBU8kuf5ayIBJUnL4IHvAK\
    W9qVctfZVjyKnIJ0J4o43hJrJQF_ZSg4uCOLIISydjWvcSXEBVY6UPSDTdu_styPRwdC-B54_xRYvaxJNtMDeiL8\
    i6PdMlQLr3O_wtAFohlVDtR4aFLX8UDSFOkMpoYHAYsVmwvVHrlUawWDfUU4oNLlGpy-Cv5osJXzsC3AxyRSCiR3\
    2-mYqPol1W21YfwwKAYi4WSNMja27-H12fapjPxqZC1c_gaIaJuOsF1Gpa7tmQHynmEx7Q";

fn with(scheme: Scheme, header: &str) -> Signature {
    Signature { scheme, ..hmac(header) }
}

fn header(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn requested(receive: &Receive, headers: &[(String, String)]) -> Vec<String> {
    let headers = Headers::from_pairs(headers.iter().cloned());
    let request = SignedRequest { method: "POST", url: "", headers: &headers, body: BODY, now: NOW };
    key_requests(receive, &request).into_iter().map(|request| request.url).collect()
}

#[test]
fn signatures_of_private_keys_are_verified() {
    let adobe = Signature { content: Some("{body_base64}".to_owned()), ..with(Scheme::Rsa, "x-s") };
    let sha1 = |signature| Signature { algorithm: Algorithm::Sha1, ..signature };
    for (signature, written, key) in [
        (with(Scheme::EcdsaP256, "x-s"), EC_SHA256, EC_KEY),
        (sha1(with(Scheme::EcdsaP256, "x-s")), EC_SHA1, EC_KEY),
        (with(Scheme::Rsa, "x-s"), RSA_SHA256, RSA_KEY),
        (sha1(with(Scheme::Rsa, "x-s")), RSA_SHA1, RSA_KEY),
        (adobe, RSA_OF_BASE64, RSA_KEY),
    ] {
        let receive = receive(signature);
        let headers = header("x-s", written);
        let other = if key == EC_KEY { RSA_KEY } else { EC_KEY };
        assert!(check(&receive, &headers, BODY, &[key.as_bytes()]), "{receive:?}");
        assert!(check(&receive, &headers, BODY, &[b"old", other.as_bytes(), key.as_bytes()]));
        assert!(check(&receive, &headers, BODY, &[key.replace('\n', "").as_bytes()]), "without line breaks");
        assert!(!check(&receive, &headers, BODY, &[other.as_bytes()]), "a key of another kind");
        assert!(!check(&receive, &headers, b"{}", &[key.as_bytes()]));
        assert!(!check(&receive, &header("x-s", "AAAA"), BODY, &[key.as_bytes()]));
        assert!(!check(&receive, &headers, BODY, &[b"", b"{}", b"[1]", b"-----BEGIN PUBLIC KEY-----"]));
    }
}

/// eBay: the header names the key; key and hash function come with the answer.
#[test]
fn a_key_is_fetched_as_the_header_says() {
    let receive = receive(Signature {
        header_format: HeaderFormat::Base64Json,
        key_id_part: Some("kid".to_owned()),
        key_source: Some(KeySource {
            url: "https://api.ebay.com/commerce/notification/v1/public_key/{key_id}".to_owned(),
            digest: Some("digest".to_owned()),
            authenticated: true,
            ..KeySource::default()
        }),
        ..with(Scheme::EcdsaP256, "x-ebay-signature")
    });
    let signed = |kid: &str, signature: &str| {
        let parts = json!({"alg": "ecdsa", "kid": kid, "signature": signature, "digest": "SHA1"});
        header("X-EBAY-SIGNATURE", &BASE64.encode(parts.to_string()))
    };
    let urls = requested(&receive, &signed("9936261a-7d7b", EC_SHA1));
    assert_eq!(urls, ["https://api.ebay.com/commerce/notification/v1/public_key/9936261a-7d7b"]);
    for kid in ["", "../../sell", "a?b", "a#b", "a@b", "a b", &"a".repeat(300)] {
        assert_eq!(requested(&receive, &signed(kid, EC_SHA1)), [""; 0], "{kid}");
    }
    let answer = |digest: &str| {
        let answer = json!({"algorithm": "ECDSA", "digest": digest, "key": EC_KEY.replace('\n', "")});
        answer.to_string().into_bytes()
    };
    assert!(check(&receive, &signed("k", EC_SHA1), BODY, &[&answer("SHA1")]));
    assert!(check(&receive, &signed("k", EC_SHA256), BODY, &[&answer("SHA-256")]));
    assert!(!check(&receive, &signed("k", EC_SHA1), BODY, &[&answer("SHA256")]), "the answer decides");
    assert!(!check(&receive, &signed("k", EC_SHA1), BODY, &[&answer("MD5")]));
}

/// Bol: one answer lists all keys.
#[test]
fn of_a_list_of_keys_only_the_named_one_counts() {
    let receive = receive(Signature {
        header_format: HeaderFormat::Parameters,
        key_source: Some(KeySource {
            url: "https://api.bol.com/retailer/subscriptions/signature-keys".to_owned(),
            list: Some("signatureKeys".to_owned()),
            key: Some("publicKey".to_owned()),
            ..KeySource::default()
        }),
        ..with(Scheme::Rsa, "signature")
    });
    let headers = |id: &str| header("Signature", &format!("keyId={id},algorithm=RSA,signature={RSA_SHA256}"));
    assert_eq!(
        requested(&receive, &headers("2")),
        ["https://api.bol.com/retailer/subscriptions/signature-keys"]
    );
    let keys = json!({"signatureKeys": [
        {"id": "1", "type": "RSA", "publicKey": EC_KEY},
        {"id": "2", "type": "RSA", "publicKey": RSA_KEY.split("-----").nth(2).unwrap()},
    ]});
    let keys = keys.to_string().into_bytes();
    assert!(check(&receive, &headers("2"), BODY, &[&keys]));
    assert!(!check(&receive, &headers("1"), BODY, &[&keys]));
    assert!(!check(&receive, &headers("3"), BODY, &[&keys]));
}

/// Adobe I/O: two signatures, two keys, paths of which stand in headers.
#[test]
fn a_path_in_a_header_does_not_lead_to_another_host() {
    let receive = receive(Signature {
        more_headers: vec!["x-adobe-digital-signature-2".to_owned()],
        key_source: Some(KeySource {
            url: "https://static.adobeioevents.com{key_id}".to_owned(),
            key_id_headers: vec![
                "x-adobe-public-key1-path".to_owned(),
                "x-adobe-public-key2-path".to_owned(),
            ],
            ..KeySource::default()
        }),
        ..with(Scheme::Rsa, "x-adobe-digital-signature-1")
    });
    let headers = |path: &str| {
        [
            header("x-adobe-digital-signature-1", "AAAA"),
            header("x-adobe-digital-signature-2", RSA_SHA256),
            header("x-adobe-public-key1-path", path),
            header("x-adobe-public-key2-path", "/prod/keys/pub-key-b.pem"),
        ]
        .concat()
    };
    let second = "https://static.adobeioevents.com/prod/keys/pub-key-b.pem";
    assert_eq!(
        requested(&receive, &headers("/prod/keys/pub-key-a.pem")),
        ["https://static.adobeioevents.com/prod/keys/pub-key-a.pem", second]
    );
    for path in [".evil.example/key.pem", ":8443/key.pem", "@evil.example/key.pem", "/../key.pem"] {
        assert_eq!(requested(&receive, &headers(path)), [second], "{path}");
    }
    assert!(check(&receive, &headers("/a"), BODY, &[EC_KEY.as_bytes(), RSA_KEY.as_bytes()]));
    assert!(!check(&receive, &headers("/a"), BODY, &[EC_KEY.as_bytes()]));
}

#[test]
fn a_bearer_token_is_signed_in_force_and_for_us() {
    let jwt = |issuer: &str, audience: &str| {
        receive(Signature {
            prefix: Some("Bearer ".to_owned()),
            issuer: Some(issuer.to_owned()),
            audience: Some(audience.to_owned()),
            ..with(Scheme::Jwt, "authorization")
        })
    };
    let ours = jwt("https://sage.example", "nexus");
    let headers = header("Authorization", &format!("Bearer {TOKEN}"));
    let at = |now: i64| check_at(&ours, "", now, &headers, BODY, &[RSA_KEY.as_bytes()]);
    assert!(at(NOW) && at(1_614_265_400 + 300) && at(1_614_265_000 - 300));
    assert!(!at(1_614_265_400 + 301) && !at(1_614_265_000 - 301));
    assert!(!check(&ours, &headers, BODY, &[EC_KEY.as_bytes()]));
    assert!(!check(&jwt("https://other.example", "nexus"), &headers, BODY, &[RSA_KEY.as_bytes()]));
    assert!(!check(&jwt("https://sage.example", "other"), &headers, BODY, &[RSA_KEY.as_bytes()]));
    let key_set = |kid: &str| {
        let key = json!({"kty": "RSA", "kid": kid, "n": RSA_MODULUS, "e": "AQAB"});
        json!({"keys": [{"kty": "oct", "kid": "k1", "k": "AAAA"}, key]}).to_string().into_bytes()
    };
    let mut published = ours.clone();
    published.signature.key_source = Some(KeySource {
        url: "https://sage.example/jwks".to_owned(),
        list: Some("keys".to_owned()),
        id: Some("kid".to_owned()),
        ..KeySource::default()
    });
    assert!(check(&published, &headers, BODY, &[&key_set("k1")]));
    assert!(!check(&published, &headers, BODY, &[&key_set("k2")]));
}

#[test]
fn nobody_signs_a_token_with_what_is_public() {
    let encode = |value: Value| base64_url(value.to_string().as_bytes());
    let token = |algorithm: &str, key: &[u8]| {
        let signed = format!("{}.{}", encode(json!({"alg": algorithm})), encode(json!({"exp": NOW})));
        let mac = base64_url(&scheme::mac(Algorithm::Sha256, key, signed.as_bytes()));
        header("x-t", &format!("{signed}.{mac}"))
    };
    let receive = receive(with(Scheme::Jwt, "x-t"));
    assert!(check(&receive, &token("HS256", b"s"), BODY, &[b"s"]), "a secret may");
    assert!(!check(&receive, &token("none", b"s"), BODY, &[b"s"]));
    assert!(!check(&receive, &token("RS256", b"s"), BODY, &[b"s"]));
    for key in [RSA_KEY, EC_KEY] {
        assert!(!check(&receive, &token("HS256", key.as_bytes()), BODY, &[key.as_bytes()]));
    }
    assert!(!check(&receive, &token("HS256", b""), BODY, &[b""]));
}

fn base64_url(bytes: &[u8]) -> String {
    BASE64.encode(bytes).replace('+', "-").replace('/', "_").replace('=', "")
}
