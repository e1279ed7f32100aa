//! Receivers that are where they must not be, or do what they must not do: each attempt ends with a class in the log,
//! and nobody else notices.

use crate::{GATEWAY, site};
use nexus_tests::authority::{Authority, Certificate};
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::Gateway;
use nexus_tests::rogue::{Rogue, Then};
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::Sink;
use nexus_tests::site::Site;
use nexus_tests::wait::eventually;
use rcgen::{CertificateParams, date_time_ymd};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Sends an order, of which every flow and subscription of the site hears.
async fn order(site: &Site<'_>) -> String {
    let sent = site.send(&shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1))).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    sent.text("event_id").to_owned()
}

/// A flow to this URL that is tried once.
async fn flow(site: &Site<'_>, url: &str, timeout_seconds: u32) -> Uuid {
    let definition = json!({ "kinds": ["sales_order"], "execution_url": url, "timeout_seconds": timeout_seconds,
                             "retry": { "delays_seconds": [] } });
    let wanted = json!({ "name": Uuid::new_v4().to_string(), "definition": definition });
    let made = site.post("/api/v1/flows", &wanted).await;
    assert_eq!(made.status, 201, "{url}: {made:?}");
    made.text("flow_id").parse().unwrap()
}

/// The one attempt of a flow's one job.
async fn attempt(site: &Site<'_>, flow_id: Uuid, what: &str) -> Value {
    eventually(&format!("an attempt is logged: {what}"), async || {
        let page = site.get(&format!("/api/v1/integrations/webhooks?flow_id={flow_id}")).await;
        page.body["data"].get(0).cloned()
    })
    .await
}

const LONG: u32 = 30;
const SHORT: u32 = 2;

#[tokio::test]
async fn whatever_a_receiver_answers_has_a_class_and_disturbs_nobody() {
    let (site, sink) = (site().await, Sink::start().await);
    site.subscribe(&sink, &["order.created"]).await;
    let head = |status: &str, headers: &str| format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes();
    let many =
        |count: usize, value: &str| (0..count).map(|n| format!("x-{n}: {value}\r\n")).collect::<String>();
    let slowly = |byte: &[u8]| Then::Repeat(byte.to_vec(), Duration::from_millis(20));
    let endless = || Then::Repeat(vec![b'a'; 64 << 10], Duration::ZERO);
    let elsewhere = format!("Location: {}\r\nContent-Length: 0\r\n", sink.url("/elsewhere"));
    // What a decoder would make gigabytes of begins like this.
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03packed".to_vec();
    let bomb = [head("400 Bad Request", "Content-Encoding: gzip\r\nContent-Length: 16\r\n"), packed].concat();
    let mut rogues = Vec::new();
    for (what, beginning, then, timeout, class, status) in [
        ("closes at once", Vec::new(), Then::Close, LONG, "connect", None),
        ("closes half-way", b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(), Then::Close, LONG, "connect", None),
        (
            "speaks another protocol",
            b"220 mail.example.com ESMTP\r\n\r\n".to_vec(),
            Then::Close,
            LONG,
            "http",
            None,
        ),
        ("sends garbage", vec![0xfe; 4096], Then::Close, LONG, "http", None),
        ("never answers", Vec::new(), Then::Wait, SHORT, "timeout", None),
        ("answers by bytes", b"HTTP/1.1 200 OK\r\nx-slow: ".to_vec(), slowly(b"a"), SHORT, "timeout", None),
        ("has an endless header", b"HTTP/1.1 200 OK\r\nx-long: ".to_vec(), endless(), LONG, "http", None),
        (
            "has endless headers",
            b"HTTP/1.1 200 OK\r\n".to_vec(),
            Then::Repeat(many(500, "a").into_bytes(), Duration::ZERO),
            LONG,
            "http",
            None,
        ),
        (
            "has large headers",
            head("503 Busy", &(many(50, &"a".repeat(4_000)) + "Content-Length: 0\r\n")),
            Then::Close,
            LONG,
            "http",
            Some(503),
        ),
        ("redirects", head("307 Elsewhere", &elsewhere), Then::Close, LONG, "http", Some(307)),
        ("has an endless body", head("500 Broken", ""), endless(), LONG, "http", Some(500)),
        (
            "has a slow body",
            head("500 Broken", "Content-Length: 100000\r\n"),
            slowly(b"b"),
            SHORT,
            "http",
            Some(500),
        ),
        (
            "breaks its body off",
            head("500 Broken", "Content-Length: 100000\r\n"),
            Then::Close,
            LONG,
            "http",
            Some(500),
        ),
        ("sends a bomb", bomb, Then::Close, LONG, "http", Some(400)),
    ] {
        let rogue = Rogue::start(beginning, then).await;
        let flow_id = flow(&site, &rogue.url(), timeout).await;
        rogues.push((what, flow_id, class, status));
    }
    order(&site).await;
    for (what, flow_id, class, status) in rogues {
        let attempt = attempt(&site, flow_id, what).await;
        assert_eq!(
            (&attempt["error_class"], &attempt["status_code"], &attempt["outcome"]),
            (&json!(class), &json!(status), &json!("dead")),
            "{what}: {attempt}"
        );
        let logged = |name: &str| attempt[name].to_string().chars().count();
        assert!(logged("response_body") < 10_000 && logged("response_headers") < 10_000, "{what}: {attempt}");
        if what == "sends a bomb" {
            assert!(attempt["response_body"].as_str().unwrap().ends_with("packed"), "as it came: {attempt}");
        }
    }
    sink.wait_for("/webhooks", 1).await;
    order(&site).await;
    sink.wait_for("/webhooks", 2).await;
    assert!(sink.received("/elsewhere").is_empty(), "redirects are not followed");
}

#[tokio::test]
async fn who_never_answers_holds_up_nobody_of_the_same_tenant() {
    let (site, sink) = (site().await, Sink::start().await);
    site.subscribe(&sink, &["order.created"]).await;
    let silent = Rogue::start("", Then::Wait).await;
    flow(&site, &silent.url(), LONG).await;
    let event_id = order(&site).await;
    silent.is_reached().await;
    for count in 2..=20 {
        order(&site).await;
        sink.wait_for("/webhooks", count).await;
    }
    site.job(&event_id, "dispatched").await;
}

/// Where deliveries may not go, whatever the tenant writes.
const INNER: [&str; 14] = [
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://172.16.0.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0.0.0.0:{port}/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b:1::10.0.0.1]/",
    "http://[2002:a00:1::]/",
    "http://[::]:{port}/",
];

/// And, without an operator who allows it, the machine itself.
const OWN: [&str; 10] = [
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
];

/// Whether every one of them is refused, and nothing reaches the receiver at `port`.
async fn are_refused(site: &Site<'_>, targets: &[&str]) {
    let sink = Sink::start().await;
    let port = sink.url("").rsplit(':').next().unwrap().to_owned();
    let mut flows = Vec::new();
    for target in targets {
        let url = target.replace("{port}", &port);
        flows.push((flow(site, &url, LONG).await, url));
    }
    order(site).await;
    for (flow_id, url) in flows {
        let attempt = attempt(site, flow_id, &url).await;
        assert_eq!(
            (&attempt["error_class"], &attempt["outcome"], &attempt["status_code"]),
            (&json!("ssrf"), &json!("dead"), &Value::Null),
            "{url}: {attempt}"
        );
    }
    assert!(sink.received("/").is_empty());
}

#[tokio::test]
async fn inner_addresses_are_not_sent_to_in_any_spelling() {
    let database = SHARED.database();
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_ALLOW_PRIVATE_TARGETS", "")]);
    let site = Site::create(&database, &gateway).await;
    are_refused(&site, &[INNER.as_slice(), &OWN].concat()).await;
}

/// The tests' gateways allow `loopback`, as `make run` and `make up` do.
#[tokio::test]
async fn who_allows_loopback_allows_no_more() {
    let site = Site::create(&GATEWAY.0, &GATEWAY.1).await;
    are_refused(&site, &INNER).await;
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_not_sent_to() {
    let (trusted, unknown) = (Authority::create(), Authority::create());
    let file = trusted.file().to_str().unwrap();
    let database = SHARED.database();
    let gateway = Gateway::start_with(
        &database.gateway_url,
        &[("SSL_CERT_FILE", file), ("NEXUS_ALLOW_PRIVATE_TARGETS", "loopback")],
    );
    let site = Site::create(&database, &gateway).await;
    let mut expired = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (expired.not_before, expired.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let mut flows = Vec::new();
    for (what, certificate, class) in [
        ("good", trusted.certificate("localhost"), Value::Null),
        ("of nobody", Certificate::self_signed("localhost"), json!("tls")),
        ("of somebody unknown", unknown.certificate("localhost"), json!("tls")),
        ("of another name", trusted.certificate("elsewhere.example"), json!("tls")),
        ("expired", trusted.issue(expired), json!("tls")),
    ] {
        let sink = Sink::start_with(&certificate).await;
        let flow_id = flow(&site, &sink.url("/jobs"), LONG).await;
        flows.push((what, flow_id, class, Some(sink)));
    }
    let plain = Sink::start().await.url("/jobs").replace("http://127.0.0.1", "https://localhost");
    flows.push(("none at all", flow(&site, &plain, LONG).await, json!("tls"), None));
    order(&site).await;
    for (what, flow_id, class, sink) in flows {
        let attempt = attempt(&site, flow_id, what).await;
        assert_eq!(attempt["error_class"], class, "{what}: {attempt}");
        if let Some(sink) = sink {
            assert_eq!(sink.received("/jobs").is_empty(), !class.is_null(), "{what}");
        }
    }
}
