//! Signatures and secrets that stand elsewhere than alone in a header.

use super::*;
use serde_json::Value;

#[test]
fn a_header_of_several_parts_is_taken_apart() {
    // Lightspeed: whether hexadecimal or base64 is not known.
    let receive = receive(Signature {
        header_format: HeaderFormat::Parameters,
        encoding: Encoding::Either,
        ..hmac("x-signature")
    });
    let body = b"payload=%7B%22id%22%3A1%7D&type=sale.update";
    let mac = scheme::mac(Algorithm::Sha256, b"secret", body);
    for written in [hex::encode(&mac), BASE64.encode(&mac)] {
        let header = |text: String| vec![("X-Signature".to_owned(), text)];
        let headers = header(format!("signature={written},algorithm=HMAC-SHA256"));
        assert!(check(&receive, &headers, body, &[b"secret"]), "{written}");
        assert!(!check(&receive, &headers, b"payload=", &[b"secret"]));
        assert!(check(&receive, &header(format!("a=b; Signature=\"{written}\"")), body, &[b"secret"]));
        assert!(!check(&receive, &header(written), body, &[b"secret"]));
    }
}

#[test]
fn one_of_several_headers_is_enough() {
    let receive = receive(Signature { more_headers: vec!["new".to_owned()], ..hmac("x-new") });
    let mut headers = sign(&receive, "", "", NOW, b"{}", b"s").unwrap();
    assert!(check(&receive, &headers, b"{}", &[b"s"]));
    headers[0].0 = "New".to_owned();
    assert!(check(&receive, &headers, b"{}", &[b"s"]));
    headers.push(("x-new".to_owned(), "AAAA".to_owned()));
    assert!(check(&receive, &headers, b"{}", &[b"s"]));
}

#[test]
fn a_signed_query_leaves_the_signature_out() {
    let receive = receive(Signature {
        encoding: Encoding::Hex,
        query_parameter: Some("shopware-shop-signature".to_owned()),
        ..hmac("shopware-shop-signature")
    });
    let signature = hex::encode(scheme::mac(Algorithm::Sha256, b"s", b"shop-id=1&language=a%20b"));
    let valid = |method: &str, url: &str| {
        let headers = Headers::default();
        let request = SignedRequest { method, url, headers: &headers, body: b"", now: NOW };
        verify(&receive, &request, &[b"s"]).is_ok()
    };
    let url = |place: &str| {
        let parameter = format!("shopware-shop-signature={signature}");
        format!("https://n.example/m?{}", place.replace("SIGNATURE", &parameter))
    };
    assert!(valid("GET", &url("shop-id=1&language=a%20b&SIGNATURE")));
    assert!(valid("GET", &url("shop-id=1&SIGNATURE&language=a%20b")));
    assert!(!valid("GET", &url("shop-id=2&language=a%20b&SIGNATURE")));
    assert!(!valid("GET", &url("shop-id=1&language=a%20b&x=y&SIGNATURE")));
    assert!(!valid("POST", &url("shop-id=1&language=a%20b&SIGNATURE")), "a POST signs its body");
    assert!(!valid("GET", "https://n.example/m?shop-id=1&language=a%20b"));
}

#[test]
fn a_member_of_the_body_is_signed_as_it_was_written() {
    let receive = receive(Signature {
        scheme: Scheme::Hmac,
        encoding: Encoding::Hex,
        body_member: Some("HashCode".to_owned()),
        content: Some("{body.Content}".to_owned()),
        ..Signature::default()
    });
    let content = r#"{"Topic": "SalesOrders","Division":1, "Key":"\u0041\/b"}"#;
    let mac = hex::encode_upper(scheme::mac(Algorithm::Sha256, b"s", content.as_bytes()));
    let valid = |body: String| check(&receive, &[], body.as_bytes(), &[b"old", b"s"]);
    assert!(valid(format!(r#"{{"Content":{content},"HashCode":"{mac}"}}"#)));
    assert!(valid(format!("{{ \"HashCode\" : \"{mac}\",\n \"Content\" : {content} }}")));
    assert!(!valid(format!(r#"{{"Content":{},"HashCode":"{mac}"}}"#, content.replace(": ", ":"))));
    let twice = format!(r#"{{"Content":{content},"HashCode":"{mac}","Content":{{"Topic":"Items"}}}}"#);
    assert!(!valid(twice), "what is verified is what is mapped: the last of two");
    for body in ["", "{}", "[]", r#"{"HashCode":"00"}"#, r#"{"Content":{},"HashCode":7}"#] {
        assert!(!valid(body.to_owned()), "{body}");
    }
}

#[test]
fn a_body_repeats_the_secret_everywhere_or_is_refused() {
    let receive = receive(Signature {
        scheme: Scheme::BodyToken,
        path: Some("$.value[*].clientState".to_owned()),
        ..Signature::default()
    });
    let valid = |states: Value| {
        let value: Vec<_> =
            states.as_array().unwrap().iter().map(|state| json!({"clientState": state})).collect();
        check(&receive, &[], json!({"value": value}).to_string().as_bytes(), &[b"old", b"new"])
    };
    assert!(valid(json!(["new"])) && valid(json!(["old", "new"])));
    assert!(!valid(json!([])) && !valid(json!(["new", "forged"])) && !valid(json!(["new", null])));
    assert!(!check(&receive, &[], b"{", &[b"new"]));
}

#[test]
fn the_last_part_of_the_path_may_be_the_secret() {
    let receive = receive(Signature { scheme: Scheme::SecretPath, ..Signature::default() });
    let valid = |url: &str, secrets: &[&[u8]]| check_at(&receive, url, NOW, &[], b"{}", secrets);
    let url = "https://n.example/hooks/1/s3cr3t";
    assert!(valid(url, &[b"old", b"s3cr3t"]) && valid(&format!("{url}?a=/b"), &[b"s3cr3t"]));
    assert!(valid("https://n.example/hooks/1/a%2Fb%20+", &[b"a/b +"]), "a secret may be any text");
    assert!(!valid(url, &[b"other"]) && !valid(url, &[]) && !valid("https://n.example/hooks/1/", &[b""]));
    assert!(!valid("https://n.example/hooks/1?x=/s3cr3t", &[b"s3cr3t"]));
}

#[test]
fn what_is_stored_does_not_repeat_the_secret() {
    let body = r#"{"a":"hush/\"1\"","b":"hush\/\"1\"","c":"old"}"#;
    assert_eq!(masked(body, &[b"hush/\"1\"", b"old", b""]), r#"{"a":"***","b":"***","c":"***"}"#);
    assert!(sends_secret(&receive(Signature { scheme: Scheme::SecretPath, ..Signature::default() })));
    assert!(!sends_secret(&receive(hmac("x-signature"))));
}

#[test]
fn an_instance_chooses_among_the_ways_to_sign() {
    let receive = Receive {
        signatures: [("static".to_owned(), Signature { scheme: Scheme::StaticHeader, ..hmac("x-token") })]
            .into(),
        ..receive(hmac("x-signature"))
    };
    let chosen = |settings: Value| receive.of_instance(&settings).map(|chosen| chosen.signature.scheme);
    assert_eq!(chosen(json!({})), Ok(Scheme::Hmac));
    assert_eq!(chosen(json!({"signature": "static"})), Ok(Scheme::StaticHeader));
    let error = chosen(json!({"signature": "statik"})).unwrap_err();
    assert_eq!(error.path.as_deref(), Some("settings.signature"));
}

#[test]
fn what_is_signed_for_somebody_else_is_refused() {
    let recipient = Recipient {
        paths: vec!["$.recipient_client_id".to_owned(), "$.retailerId".to_owned()],
        setting: "client_id".to_owned(),
        value: None,
    };
    let receive = receive(Signature { recipient: Some(recipient), ..hmac("x-signature") });
    let valid = |body: &str, settings: Value| {
        let receive = receive.of_instance(&settings).unwrap();
        let headers = sign(&receive, "", "", NOW, body.as_bytes(), b"s").unwrap();
        check(&receive, &headers, body.as_bytes(), &[b"s"])
    };
    let ours = || json!({"client_id": "1234567"});
    assert!(valid(r#"{"recipient_client_id":"1234567"}"#, ours()));
    assert!(valid(r#"{"retailerId":1234567}"#, ours()));
    assert!(!valid(r#"{"recipient_client_id":"7","retailerId":1234567}"#, ours()));
    assert!(!valid("{}", ours()) && !valid("[", ours()));
    assert!(!valid(r#"{"recipient_client_id":"1234567"}"#, json!({})), "not set: nothing is ours");
}

/// What the manifests of platforms that sign for all with one key say, under a key of our own.
#[test]
fn the_manifests_of_shared_keys_name_the_recipient() {
    let valid = |connector_type: &str, settings: Value, body: Value| {
        let built_in = handshakes::built_in_receive(connector_type);
        let chosen = built_in.of_instance(&settings).unwrap().signature.clone();
        let receive = receive(Signature { recipient: chosen.recipient, ..hmac("x-signature") });
        let body = body.to_string();
        let headers = sign(&receive, "", "", NOW, body.as_bytes(), b"s").unwrap();
        check(&receive, &headers, body.as_bytes(), &[b"s"])
    };
    let adobe = || json!({"site": "https://shop.example", "client_id": "3ce9bc"});
    assert!(valid("magento", adobe(), json!({"event_id": "1", "recipient_client_id": "3ce9bc"})));
    assert!(valid("magento", adobe(), json!({"specversion": "1.0", "recipientclientid": "3ce9bc"})));
    assert!(!valid("magento", adobe(), json!({"recipient_client_id": "another"})));
    assert!(!valid("magento", adobe(), json!({"event_id": "1"})));
    let unset = json!({"site": "https://shop.example"});
    assert!(!valid("magento", unset, json!({"recipient_client_id": "3ce9bc"})));
    let own_module = json!({"signature": "static"});
    assert!(valid("magento", own_module, json!({"event": "a"})), "its token is nobody else's");

    let bol = || json!({"signature": "rsa", "retailer_id": "1234567"});
    assert!(valid("bol", bol(), json!({"retailerId": 1_234_567, "event": {}})));
    assert!(valid("bol", bol(), json!({"retailerId": "1234567", "event": {}})));
    assert!(!valid("bol", bol(), json!({"retailerId": 7_654_321})));
    assert!(valid("bol", json!({}), json!({"retailerId": 7_654_321})), "the URL is nobody else's");
}
