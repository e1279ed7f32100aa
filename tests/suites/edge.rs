//! What the gateway's door holds off: too much, too large, too slow, too deep, and twice.

use crate::{GATEWAY, site};
use futures_util::future::join_all;
use nexus_tests::authority::Authority;
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::{Gateway, admin};
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_bytes, shopify_order};
use nexus_tests::site::{Answer, Site, answer};
use nexus_tests::wait::{DEADLINE, eventually, until};
use reqwest::{Certificate, Client, Method, StatusCode, Version};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Asks until it is refused, which it must be after one burst of ten, or a few more where the machine is slow.
async fn until_refused(mut ask: impl AsyncFnMut() -> Answer) -> (u32, Answer) {
    for passed in 0..100 {
        let answer = ask().await;
        if answer.status == 429 {
            return (passed, answer);
        }
        assert!(answer.status < 300, "{answer:?}");
        assert!(answer.status != 200 || answer.header("ratelimit").starts_with('"'), "{answer:?}");
    }
    panic!("a hundred requests passed where one a second may");
}

fn assert_tells_when(refused: &Answer, whose: &str) {
    assert_eq!((refused.text("code"), refused.header("retry-after")), ("NX512", "1"), "{refused:?}");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.header("ratelimit").starts_with(&format!("\"{whose}\";r=0;t=")), "{refused:?}");
    assert_eq!(refused.header("ratelimit-policy"), format!("\"{whose}\";q=10;w=10"));
}

#[tokio::test]
async fn each_key_and_each_connector_has_a_limit_of_its_own() {
    let database = SHARED.database();
    let limits = [("NEXUS_API_RATE", "1"), ("NEXUS_HOOK_RATE", "1")];
    let gateway = Gateway::start_with(&database.gateway_url, &limits);
    let site = Site::create(&database, &gateway).await;
    let (passed, refused) = until_refused(async || site.get("/api/v1/flows").await).await;
    assert!(passed >= 5, "{passed} passed at once");
    assert_tells_when(&refused, "api-key");
    let other = site.key("prod", "read").await;
    assert_eq!(site.get_as(&other, "/api/v1/flows").await.status, 200, "another key has its own");

    let order = || shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    for _ in 0..15 {
        assert_eq!(
            site.send_to(&site.shop, &order(), "wrong").await.status,
            401,
            "forgeries are not counted"
        );
    }
    let (passed, refused) = until_refused(async || site.send(&order()).await).await;
    assert!(passed >= 10, "{passed} passed at once");
    assert_tells_when(&refused, "connector");
    assert_eq!(site.send_to(&site.shop, &order(), "wrong").await.status, 401, "nor do they learn of it");
    let outlet = site.tenant.connector_in(&site.admin, site.tenant.test, "shopify").await;
    site.set_secret(&outlet);
    eventually("another connector has its own", async || {
        (site.send_to(&outlet, &order(), &outlet.secret).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn json_that_is_nested_too_deep_is_kept_from_a_platform_and_refused_from_a_caller() {
    let site = site().await;
    let deep = format!("{{\"id\":{}}}", "[".repeat(5_000) + &"]".repeat(5_000));
    let kept = site.send(&shopify_bytes("orders/create", deep.clone().into_bytes(), minute(1))).await;
    assert_eq!((kept.status, kept.text("status")), (202, "quarantined"), "{kept:?}");
    let event = site.get(&format!("/api/v1/events/{}", kept.text("event_id"))).await;
    assert_eq!((event.text("reason_code"), event.text("body")), ("NX201", deep.as_str()), "{event:?}");
    let request = site.request(Method::POST, "/api/v1/flows").header("x-api-key", &site.api_key).body(deep);
    let refused = answer(request).await;
    assert_eq!((refused.status, refused.text("code")), (400, "NX507"), "{refused:?}");
}

#[tokio::test]
async fn headers_are_bounded() {
    let site = site().await;
    let large = site.request(Method::GET, "/api/v1/flows").header("x-large", "x".repeat(40 << 10));
    let refused = answer(large).await;
    assert_eq!((refused.status, refused.text("code")), (431, "NX513"), "{refused:?}");
    let huge = site.request(Method::GET, "/api/v1/flows").header("x-huge", "x".repeat(1 << 20));
    // It may break off the connection while the header is still being sent.
    assert!(
        huge.send()
            .await
            .map_or(true, |response| response.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    );
}

#[tokio::test]
async fn who_is_slow_is_cut_off_and_holds_nobody_up() {
    let database = SHARED.database();
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_READ_SECONDS", "1")]);
    let site = Site::create(&database, &gateway).await;
    let address = gateway.base_url.strip_prefix("http://").unwrap();
    let head = format!("POST /hooks/{} HTTP/1.1\r\nHost: {address}\r\n", site.shop.connector_id);
    let trickle = async |beginning: String| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let mut heard = Vec::new();
        tokio::select! {
            ended = read.read_to_end(&mut heard) => drop(ended),
            // A byte now and then, for as long as it is taken.
            () = async { while write.write_all(b"a").await.is_ok() { tokio::time::sleep(Duration::from_millis(50)).await } }
                => drop(read.read_to_end(&mut heard).await),
        }
        String::from_utf8_lossy(&heard).into_owned()
    };
    let slow_headers = join_all((0..50).map(|_| trickle(format!("{head}X-Slow: "))));
    let slow_bodies = join_all(
        (0..50).map(|_| trickle(format!("{head}Connection: close\r\nContent-Length: 100000\r\n\r\n"))),
    );
    let others = async {
        for _ in 0..10 {
            let order = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
            assert_eq!(site.send(&order).await.status, 202);
        }
    };
    // Neither says which protocol it is going to speak.
    let silent = join_all(["", "PRI * HTTP/2.0\r\n"].map(async |beginning| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.is_ok()
    }));
    let (headers, bodies, silent, ()) = futures_util::join!(slow_headers, slow_bodies, silent, others);
    assert_eq!(silent, [true, true], "who says nothing is cut off");
    assert!(headers.iter().all(|heard| heard.is_empty() || heard.starts_with("HTTP/1.1 408")), "{headers:?}");
    assert!(
        bodies.iter().all(|heard| heard.starts_with("HTTP/1.1 408") && heard.contains("NX514")),
        "{bodies:?}"
    );
}

#[tokio::test]
async fn one_idempotency_key_is_one_effect_and_one_answer() {
    let (acme, globex) = (site().await, site().await);
    let write = async |site: &Site<'_>, name: &str| {
        let request = site.request(Method::POST, "/api/v1/api-keys").header("x-api-key", &site.api_key);
        answer(request.header("idempotency-key", "\"once\"").json(&json!({ "name": name }))).await
    };
    let answers = join_all((0..10).map(|_| write(&acme, "one"))).await;
    let (done, refused): (Vec<Answer>, Vec<Answer>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert!(
        refused.iter().all(|refused| (refused.status, refused.text("code")) == (409, "NX516")),
        "{refused:?}"
    );
    let first = eventually("the answer is kept", async || {
        let again = write(&acme, "one").await;
        (again.header("idempotency-replayed") == "true").then_some(again)
    })
    .await;
    assert!(!done.is_empty() && done.iter().all(|answer| answer.body == first.body), "{done:?} {first:?}");
    let conflict = write(&acme, "another").await;
    assert_eq!((conflict.status, conflict.text("code")), (422, "NX515"), "{conflict:?}");
    let named = "select count(*) from nexus.api_key where tenant_id = $1 and name in ('one', 'another')";
    assert_eq!(acme.count(named).await, 1);
    let other = write(&globex, "one").await;
    assert_eq!(
        (other.status, other.header("idempotency-replayed")),
        (201, ""),
        "another tenant's is another"
    );
    assert_ne!(other.body["api_key"], first.body["api_key"]);

    let arguments = [
        "create-key",
        "--tenant",
        &acme.tenant.tenant_id.to_string(),
        "--environment",
        "prod",
        "--scopes",
        "read",
    ];
    let reader = admin(acme.database, &arguments, "")["api_key"].as_str().unwrap().to_owned();
    let spied = eventually("the gateway knows the key", async || {
        let request = acme.request(Method::POST, "/api/v1/api-keys").header("x-api-key", &reader);
        let spied =
            answer(request.header("idempotency-key", "\"once\"").json(&json!({ "name": "one" }))).await;
        (spied.status != 401).then_some(spied)
    })
    .await;
    assert_eq!(
        (spied.status, spied.text("code")),
        (422, "NX515"),
        "what is shown once is not shown to a reader: {spied:?}"
    );
}

#[tokio::test]
async fn the_gateway_ends_tls_by_itself() {
    let authority = Authority::create();
    let (certificate, key) = authority.certificate("127.0.0.1").files();
    let settings =
        [("NEXUS_TLS_CERT", certificate.to_str().unwrap()), ("NEXUS_TLS_KEY", key.to_str().unwrap())];
    let gateway = Gateway::start_with(&GATEWAY.0.gateway_url, &settings);
    let root = Certificate::from_pem(&fs::read(authority.file()).unwrap()).unwrap();
    let trusting = Client::builder().no_proxy().add_root_certificate(root).build().unwrap();
    let ready = format!("{}/readyz", gateway.base_url);
    until("it is ready", async || {
        trusting.get(&ready).send().await.is_ok_and(|response| response.status() == StatusCode::OK)
    })
    .await;
    assert_eq!(trusting.get(&ready).send().await.unwrap().version(), Version::HTTP_2);
    let strict = Client::builder().no_proxy().build().unwrap();
    assert!(strict.get(&ready).send().await.is_err(), "the certificate is nobody's we know");
    assert!(strict.get(ready.replace("https", "http")).send().await.is_err(), "nothing is said in the clear");
    let described: Value = trusting
        .get(format!("{}/openapi.json", gateway.base_url))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(described["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
}
