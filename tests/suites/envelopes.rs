//! What a request to a subscriber looks like: its envelope, what signs it, and what the log keeps of it.

use crate::site;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Received, Reply, Sink};
use nexus_tests::site::{Answer, Site};
use nexus_tests::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

async fn order(site: &Site<'_>) {
    let sent = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    assert_eq!(site.send(&sent).await.status, 202);
}

/// Subscribes a path of the sink to new orders, with these members beside.
async fn subscribe(site: &Site<'_>, sink: &Sink, path: &str, members: Value) -> Answer {
    let mut wanted = json!({ "url": sink.url(path), "event_types": ["order.created"] });
    wanted.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let made = site.post("/api/v1/portal/webhooks/subscribe", &wanted).await;
    assert_eq!((made.status, made.header("cache-control")), (201, "no-store"), "{made:?}");
    made
}

fn path(subscription: &Answer, action: &str) -> String {
    format!("/api/v1/portal/webhooks/{}{action}", subscription.text("subscription_id"))
}

/// Sends orders until a delivery is as expected: a gateway knows of a new secret in a moment.
async fn until_delivered(site: &Site<'_>, sink: &Sink, path: &str, is_expected: impl Fn(&Received) -> bool) {
    for _ in 0..20 {
        let before = sink.received(path).len();
        order(site).await;
        if is_expected(&sink.wait_for(path, before + 1).await[before]) {
            return;
        }
    }
    panic!("no delivery is as expected: {:?}", sink.received(path).last());
}

#[tokio::test]
async fn one_event_in_each_envelope() {
    let (site, sink) = (site().await, Sink::start().await);
    let mut secrets = Vec::new();
    for envelope in ["nexus", "cloudevents-structured", "cloudevents-binary"] {
        let made = subscribe(&site, &sink, &format!("/{envelope}"), json!({ "envelope": envelope })).await;
        assert_eq!(made.text("envelope"), envelope);
        secrets.push(made.text("secret").to_owned());
    }
    order(&site).await;
    let ours = sink.wait_for("/nexus", 1).await.remove(0);
    let structured = sink.wait_for("/cloudevents-structured", 1).await.remove(0);
    let binary = sink.wait_for("/cloudevents-binary", 1).await.remove(0);
    for (received, secret) in [&ours, &structured, &binary].into_iter().zip(&secrets) {
        assert!(received.is_signed_with(secret), "{received:?}");
    }
    let types = [&ours, &structured, &binary].map(|received| received.header("content-type"));
    assert_eq!(types, ["application/json", "application/cloudevents+json", "application/json"]);

    let (ours, event) = (ours.json(), structured.json());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changed: Vec<String> = ours["changed"].as_array().unwrap().iter().map(text).collect();
    let entity = format!("sales_order/{}", text(&ours["data"]["sales_order_id"]));
    let source = format!("urn:nexus:tenant:{}:prod", site.tenant.tenant_id);
    for (attribute, value) in [
        ("specversion", json!("1.0")),
        ("id", ours["id"].clone()),
        ("source", json!(source)),
        ("type", json!("order.created")),
        ("subject", json!(entity)),
        ("time", ours["timestamp"].clone()),
        ("datacontenttype", json!("application/json")),
        ("schemaversion", ours["schema_version"].clone()),
        ("entityversion", json!("1")),
        ("dedupekey", ours["dedupe_key"].clone()),
        ("tenantid", json!(site.tenant.tenant_id)),
        ("environment", json!("prod")),
        ("traceid", ours["trace_id"].clone()),
        ("traceparent", json!(structured.header("traceparent"))),
        ("changed", json!(changed.join(","))),
        ("data", ours["data"].clone()),
    ] {
        assert_eq!(event[attribute], value, "{attribute}");
        // Of binary mode attributes are headers, and the data is the body.
        match attribute {
            "data" => assert_eq!(binary.json(), value),
            "datacontenttype" => assert_eq!(binary.header("ce-datacontenttype"), ""),
            "traceparent" => assert_eq!(binary.header("ce-traceparent"), binary.header("traceparent")),
            "schemaversion" => assert_eq!(binary.header("ce-schemaversion"), value.to_string()),
            _ => assert_eq!(binary.header(&format!("ce-{attribute}")), value, "{attribute}"),
        }
    }
}

#[tokio::test]
async fn a_private_key_signs_what_its_public_key_verifies_and_is_never_shown() {
    let (site, sink) = (site().await, Sink::start().await);
    let made = subscribe(&site, &sink, "/v1a", json!({ "signature": "v1a" })).await;
    let first = made.text("public_key").to_owned();
    assert!(first.starts_with("whpk_") && made.body["secret"].is_null(), "{made:?}");
    let shown = site.get(&path(&made, "")).await;
    assert_eq!((shown.text("signature"), &shown.body["public_keys"]), ("v1a", &json!([first])));
    assert!(shown.body["public_key"].is_null(), "{shown:?}");
    until_delivered(&site, &sink, "/v1a", |received| received.is_verified_by(&first)).await;

    let rotated = site.post(&path(&made, "/rotate-secret"), &json!({})).await;
    let second = rotated.text("public_key").to_owned();
    assert!(second != first && rotated.body["secret"].is_null(), "{rotated:?}");
    assert_eq!(site.get(&path(&made, "")).await.body["public_keys"], json!([second, first]));
    let by_both = |received: &Received| received.is_verified_by(&first) && received.is_verified_by(&second);
    until_delivered(&site, &sink, "/v1a", by_both).await;

    let change = async |signature: &str| {
        let changes = json!({ "signature": signature });
        site.call(Method::PATCH, &path(&made, ""), &site.api_key, &changes).await
    };
    let same = change("v1a").await;
    assert_eq!(
        (same.status, &same.body["public_key"], &same.body["secret"]),
        (200, &Value::Null, &Value::Null)
    );
    let changed = change("v1").await;
    let secret = changed.text("secret").to_owned();
    assert!(secret.starts_with("whsec_") && changed.body["public_key"].is_null(), "{changed:?}");
    assert!(changed.body["previous_valid_until"].is_string(), "{changed:?}");
    let by_all = |received: &Received| received.is_signed_with(&secret) && received.is_verified_by(&second);
    until_delivered(&site, &sink, "/v1a", by_all).await;

    let ended = site.post(&path(&made, "/rotate-secret"), &json!({ "overlap_seconds": 0 })).await;
    assert_eq!(site.get(&path(&made, "")).await.body["public_keys"], json!([]));
    let by_one = |received: &Received| {
        received.is_signed_with(ended.text("secret")) && !received.header("webhook-signature").contains("v1a")
    };
    until_delivered(&site, &sink, "/v1a", by_one).await;
    for answer in [&made, &shown, &rotated, &same, &changed, &ended] {
        assert!(!answer.body.to_string().contains("whsk_"), "{answer:?}");
    }
    let wrong = change("v2").await;
    assert_eq!((wrong.status, wrong.text("parameter")), (422, "$.signature"), "{wrong:?}");
}

/// What the log keeps of requests that came, found by the subscription.
async fn logged(site: &Site<'_>, subscription: &Answer, count: usize) -> Vec<Value> {
    let list =
        format!("/api/v1/integrations/webhooks?subscription_id={}", subscription.text("subscription_id"));
    eventually(&format!("{count} attempts are logged"), async || {
        let page = site.get(&list).await;
        let attempts = page.body["data"].as_array().unwrap().clone();
        (attempts.len() == count).then_some(attempts)
    })
    .await
}

/// Whether the log tells of the request as it came, without what could be used to send it again.
fn assert_tells_of(attempt: &Value, received: &Received) {
    assert_eq!(attempt["request_bytes"], json!(received.bytes.len()));
    let digest: String = Sha256::digest(&received.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(attempt["request_sha256"], json!(digest));
    let headers = attempt["request_headers"].as_object().unwrap();
    for name in ["content-type", "webhook-id", "webhook-timestamp", "traceparent", "x-route"] {
        assert_eq!(headers[name], json!(received.header(name)), "{name}");
    }
    let signature = received.header("webhook-signature");
    assert_eq!(headers["webhook-signature"], json!(format!("{}…", &signature[.."v1,".len() + 8])));
    assert!(!attempt.to_string().contains(signature), "{attempt}");
    assert!(attempt["latency_ms"].is_u64(), "{attempt}");
}

#[tokio::test]
async fn the_log_tells_what_was_sent() {
    let (site, sink) = (site().await, Sink::start().await);
    let members = json!({ "headers": { "X-Route": "eu west" }, "envelope": "cloudevents-binary" });
    let subscription = subscribe(&site, &sink, "/logged", members).await;
    sink.answer("/logged", Reply::status(400));
    order(&site).await;
    let received = sink.wait_for("/logged", 1).await.remove(0);
    let attempt = logged(&site, &subscription, 1).await.remove(0);
    assert_tells_of(&attempt, &received);
    assert_eq!(attempt["request_headers"]["ce-type"], "order.created");
    // The body itself is the domain event.
    assert_eq!(attempt["domain_event_id"], json!(received.header("ce-id")));
    assert_eq!((&attempt["kind"], &attempt["outcome"]), (&json!("webhook"), &json!("dead")));
}

#[tokio::test]
async fn a_test_delivery_is_logged_and_counts_for_nothing() {
    let (site, sink) = (site().await, Sink::start().await);
    let members = json!({ "headers": { "X-Route": "eu" }, "envelope": "cloudevents-structured" });
    let subscription = subscribe(&site, &sink, "/tried", members).await;
    sink.answer("/tried", Reply::status(503));
    let told = site.post(&path(&subscription, "/test"), &json!({})).await.body;
    let attempt = logged(&site, &subscription, 1).await.remove(0);
    let received = sink.received("/tried").remove(0);
    assert_tells_of(&attempt, &received);
    assert_eq!(received.json()["type"], "subscription.test");
    let expected = json!(["test", "dead", "http", 503, null]);
    let found =
        ["kind", "outcome", "error_class", "status_code", "domain_event_id"].map(|name| &attempt[name]);
    assert_eq!(json!(found), expected);
    for name in ["delivery_id", "trace_id", "request_headers", "request_sha256", "latency_ms"] {
        assert_eq!(told[name], attempt[name], "{name}");
    }
    assert_eq!(site.get(&path(&subscription, "")).await.body["failing_since"], Value::Null);
}
