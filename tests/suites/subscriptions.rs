//! The life of a subscription: changed, paused, rotated, tried, disabled; and events that are sent again.

mod definition;
mod ordering;
mod queue;
mod rate_and_breaker;

use crate::site;
use jiff::{SignedDuration, Timestamp};
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::{Answer, Signed, Site};
use nexus_tests::wait::{eventually, until};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const QUEUED: &str = "select count(*) from nexus.delivery where tenant_id = $1";

/// Sends an order, of which order.created tells.
async fn order(site: &Site<'_>) {
    let sent = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    assert_eq!(site.send(&sent).await.status, 202);
}

async fn change(site: &Site<'_>, subscription: Uuid, changes: Value) -> Answer {
    site.call(Method::PATCH, &path(subscription, ""), &site.api_key, &changes).await
}

fn path(subscription: Uuid, action: &str) -> String {
    format!("/api/v1/portal/webhooks/{subscription}{action}")
}

async fn status(site: &Site<'_>, subscription: Uuid) -> String {
    site.get(&path(subscription, "")).await.text("status").to_owned()
}

async fn subscribe_at(site: &Site<'_>, url: &str, event_types: &[&str]) -> Uuid {
    subscribe_with(site, url, json!({ "event_types": event_types })).await
}

/// Subscribes to orders, with these members beside.
async fn subscribe_with(site: &Site<'_>, url: &str, members: Value) -> Uuid {
    let mut wanted = json!({ "url": url, "event_types": ["order.*"] });
    wanted.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let made = site.post("/api/v1/portal/webhooks/subscribe", &wanted).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.text("subscription_id").parse().unwrap()
}

#[tokio::test]
async fn a_change_is_in_force_for_the_next_delivery() {
    let (site, sink) = (site().await, Sink::start().await);
    let Signed { id, secret } = site.subscribe(&sink, &["customer.*"]).await;
    let changes = json!({ "url": sink.url("/elsewhere"), "event_types": ["order.created"],
                          "description": "new", "headers": { "X-Route": "eu west" } });
    let test_key = site.key("test", "admin").await;
    let hidden = site.call(Method::PATCH, &path(id, ""), &test_key, &changes).await;
    assert_eq!((hidden.status, hidden.text("code")), (404, "NX404"), "{hidden:?}");
    let changed = change(&site, id, changes).await;
    assert_eq!((changed.status, changed.text("description")), (200, "new"), "{changed:?}");
    order(&site).await;
    let received = sink.wait_for("/elsewhere", 1).await.remove(0);
    assert_eq!((received.header("x-route"), received.is_signed_with(&secret)), ("eu west", true));
    assert!(sink.received("/webhooks").is_empty());

    for (changes, place) in [
        (json!({ "headers": { "Authorization": "Bearer x" } }), r#"$.headers["Authorization"]"#),
        (json!({ "event_types": ["or*der"] }), "$.event_types[0]"),
        (json!({ "url": "ftp://example.com" }), "$.url"),
        (json!({ "status": "disabled" }), "$.status"),
    ] {
        let refused = change(&site, id, changes).await;
        assert_eq!((refused.status, refused.text("parameter")), (422, place), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_paused_waits_goes_on_when_resumed_and_goes_with_its_subscription() {
    let (site, sink) = (site().await, Sink::start().await);
    let id = site.subscribe(&sink, &["order.created"]).await.id;
    let laid_aside = "select count(*) from nexus.delivery where tenant_id = $1 and due_at = 'infinity'";
    assert_eq!(change(&site, id, json!({ "status": "paused" })).await.text("status"), "paused");
    order(&site).await;
    until("the delivery is laid aside", async || site.count(laid_aside).await == 1).await;
    assert!(sink.received("/webhooks").is_empty());
    assert_eq!(change(&site, id, json!({ "status": "active" })).await.text("status"), "active");
    sink.wait_for("/webhooks", 1).await;
    until("the queue is empty", async || site.count(QUEUED).await == 0).await;

    change(&site, id, json!({ "status": "paused" })).await;
    order(&site).await;
    until("the next is laid aside", async || site.count(laid_aside).await == 1).await;
    let deleted = site.call(Method::DELETE, &path(id, ""), &site.api_key, &json!({})).await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!((site.count(QUEUED).await, site.get(&path(id, "")).await.status), (0, 404));
    let secrets =
        "select count(*) from nexus.secret where tenant_id = $1 and owner_kind = 'webhook_subscription'";
    assert_eq!(site.count(secrets).await, 0);
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_sign() {
    let (site, sink) = (site().await, Sink::start().await);
    let Signed { id, secret: first } = site.subscribe(&sink, &["order.created"]).await;
    let rotate = async |body: Value| {
        let rotated = site.post(&path(id, "/rotate-secret"), &body).await;
        assert_eq!((rotated.status, rotated.header("cache-control")), (200, "no-store"), "{rotated:?}");
        let until: Timestamp = rotated.text("previous_valid_until").parse().unwrap();
        (rotated.text("secret").to_owned(), until.duration_since(Timestamp::now()))
    };
    let (second, overlap) = rotate(json!({})).await;
    assert!(overlap > SignedDuration::from_hours(23) && overlap <= SignedDuration::from_hours(24));
    let signed_by = async |secrets: &[&str], others: &[&str]| {
        // A gateway knows of a new secret in a moment: a few deliveries may still be signed as before.
        for _ in 0..20 {
            let before = sink.received("/webhooks").len();
            order(&site).await;
            let received = sink.wait_for("/webhooks", before + 1).await.remove(before);
            let is_expected = secrets.iter().all(|secret| received.is_signed_with(secret))
                && !others.iter().any(|secret| received.is_signed_with(secret));
            if is_expected {
                return true;
            }
        }
        false
    };
    assert!(signed_by(&[&first, &second], &[]).await, "both sign");

    let (third, _) = rotate(json!({ "overlap_seconds": 0 })).await;
    assert!(signed_by(&[&third], &[&first, &second]).await, "without overlap it ends");
}

#[tokio::test]
async fn a_test_delivery_tells_what_came_back() {
    let (site, sink) = (site().await, Sink::start().await);
    let Signed { id, secret } = site.subscribe(&sink, &["order.created"]).await;
    sink.answer("/webhooks", Reply::json(503, &json!({ "why": "moving" })));
    let test = async || site.post(&path(id, "/test"), &json!({})).await.body;
    let refused = test().await;
    assert_eq!(
        (&refused["delivered"], &refused["status_code"], &refused["error_class"], &refused["response_body"]),
        (&json!(false), &json!(503), &json!("http"), &json!(r#"{"why":"moving"}"#))
    );
    let taken = test().await;
    assert_eq!((&taken["delivered"], &taken["status_code"]), (&json!(true), &json!(200)), "{taken}");
    let received = sink.received("/webhooks");
    assert_eq!(received.len(), 2, "once each");
    assert!(received.iter().all(|received| received.is_signed_with(&secret)));
    assert_eq!(received[1].json()["type"], "subscription.test");
    assert_eq!(received[1].header("webhook-id"), taken["delivery_id"].as_str().unwrap());

    let log = site.get(&format!("/api/v1/integrations/webhooks?subscription_id={id}")).await;
    let attempts = log.body["data"].as_array().unwrap();
    let logged: Vec<_> = attempts.iter().map(|a| (&a["kind"], &a["outcome"], &a["status_code"])).collect();
    let test = json!("test");
    assert_eq!(logged, [(&test, &json!("succeeded"), &json!(200)), (&test, &json!("dead"), &json!(503))]);
    let shown = site.get(&path(id, "")).await;
    assert_eq!(shown.body["failing_since"], Value::Null, "it counts for nothing else: {shown:?}");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_sent_to_and_somebody_hears_of_it() {
    let (site, sink) = (site().await, Sink::start().await);
    site.subscribe(&sink, &["subscription.disabled"]).await;
    let gone = subscribe_at(&site, &sink.url("/gone"), &["order.created"]).await;
    sink.answer("/gone", Reply::status(410));
    order(&site).await;
    let told = sink.wait_for("/webhooks", 1).await[0].json();
    assert_eq!(told["data"]["subscription_id"], json!(gone));
    assert_eq!(told["data"]["reason"], "the receiver answered 410 Gone");
    let shown = site.get(&path(gone, "")).await;
    assert_eq!(
        (shown.text("status"), shown.text("disabled_reason")),
        ("disabled", "the receiver answered 410 Gone")
    );
    order(&site).await;
    until("only the listener's deliveries were queued", async || site.count(QUEUED).await == 0).await;
    assert_eq!(sink.received("/gone").len(), 1);
    let resumed = change(&site, gone, json!({ "status": "active" })).await;
    assert_eq!((resumed.text("status"), &resumed.body["disabled_reason"]), ("active", &Value::Null));
    order(&site).await;
    sink.wait_for("/gone", 2).await;
}

#[tokio::test]
async fn five_days_of_failure_disable_and_one_success_forgets_them() {
    let (site, sink) = (site().await, Sink::start().await);
    let id = site.subscribe(&sink, &["order.created"]).await.id;
    let failed = async |first_days_ago: i32, last_hours_ago: i32| {
        let sql = "update nexus.webhook_subscription set failing_since = now() - make_interval(days => $2),
                   last_failed_at = now() - make_interval(hours => $3) where tenant_id = $1";
        site.admin.execute(sql, &[&site.tenant.tenant_id, &first_days_ago, &last_hours_ago]).await.unwrap();
    };
    failed(6, 24).await;
    order(&site).await;
    let forgotten =
        "select count(*) from nexus.webhook_subscription where tenant_id = $1 and failing_since is null";
    until("a success forgets them", async || site.count(forgotten).await == 1).await;

    // Two failures with days of silence between them are not days of failure.
    for (attempt, first_days_ago, last_hours_ago, expected) in
        [(1, 4, 24, "active"), (2, 6, 48, "active"), (3, 6, 24, "disabled")]
    {
        failed(first_days_ago, last_hours_ago).await;
        sink.answer("/webhooks", Reply::status(500));
        order(&site).await;
        let logged =
            "select count(*) from nexus.webhook_delivery_log where tenant_id = $1 and outcome = 'retry'";
        until("the failure is noted", async || site.count(logged).await == attempt).await;
        let found = status(&site, id).await;
        assert_eq!(found, expected, "after {first_days_ago} days, the last {last_hours_ago} hours ago");
        // Its next attempt would be a success.
        let later = "update nexus.delivery set due_at = now() + interval '1 day' where tenant_id = $1";
        site.admin.execute(later, &[&site.tenant.tenant_id]).await.unwrap();
    }
    assert_eq!(site.count(QUEUED).await, 0, "its deliveries are gone");
    let reason = site.get(&path(id, "")).await;
    assert!(reason.text("disabled_reason").starts_with("every attempt has failed since"), "{reason:?}");
}

/// The one domain event of this type.
async fn event_of(site: &Site<'_>, event_type: &str) -> String {
    eventually("the outbox can be read", async || {
        let page = site.get("/api/v1/integrations/events").await;
        let events = page.body["data"].as_array().unwrap();
        let event = events.iter().find(|event| event["event_type"] == event_type)?;
        Some(event["domain_event_id"].as_str().unwrap().to_owned())
    })
    .await
}

#[tokio::test]
async fn an_event_is_sent_again_as_the_same_event() {
    let (site, sink) = (site().await, Sink::start().await);
    site.subscribe(&sink, &["order.created"]).await;
    order(&site).await;
    sink.wait_for("/webhooks", 1).await;
    let event_id = event_of(&site, "order.created").await;
    let replay = format!("/api/v1/integrations/events/{event_id}/replay");
    let test_key = site.key("test", "write").await;
    assert_eq!(site.call(Method::POST, &replay, &test_key, &json!({})).await.status, 404);

    let queued = site.post(&replay, &json!({})).await;
    assert_eq!((queued.status, &queued.body["deliveries"]), (202, &json!(1)), "{queued:?}");
    let received = sink.wait_for("/webhooks", 2).await;
    let (first, second) = (received[0].json(), received[1].json());
    assert_eq!((&first["id"], &first["dedupe_key"]), (&second["id"], &second["dedupe_key"]));
    assert_ne!(received[0].header("webhook-id"), received[1].header("webhook-id"), "a new delivery");

    // One who subscribes later is sent what was before, and nobody else is.
    let later = subscribe_at(&site, &sink.url("/later"), &["order.*"]).await;
    let queued = site.post(&replay, &json!({ "subscription_id": later })).await;
    assert_eq!(queued.body["deliveries"], 1, "{queued:?}");
    assert_eq!(sink.wait_for("/later", 1).await[0].json()["id"], first["id"]);
    let unknown = site.post(&replay, &json!({ "subscription_id": Uuid::new_v4() })).await;
    assert_eq!((unknown.status, unknown.text("code")), (404, "NX404"), "{unknown:?}");
    assert_eq!(sink.received("/webhooks").len(), 2);
}

#[tokio::test]
async fn what_was_given_up_is_replayed_until_it_was_taken_and_in_pages() {
    let (site, sink) = (site().await, Sink::start().await);
    site.subscribe(&sink, &["order.created"]).await;
    for _ in 0..3 {
        sink.answer("/webhooks", Reply::status(400));
        order(&site).await;
    }
    let ended = async |outcome: &str, count: i64| {
        let sql = format!(
            "select count(*) from nexus.webhook_delivery_log where tenant_id = $1 and outcome = '{outcome}'"
        );
        until(&format!("{count} are {outcome}"), async || site.count(&sql).await == count).await;
    };
    ended("dead", 3).await;
    let filter = json!({ "outcome": "dead", "event_types": ["order.*"] });
    let replay = async |filter: &Value| -> i32 {
        let sql = "select nexus.replay($1, $2)";
        site.admin.query_one(sql, &[&site.tenant.tenant_id, filter]).await.unwrap().get(0)
    };
    let mut page = filter.clone();
    let mut deliveries = Vec::new();
    loop {
        let sql = "select deliveries, next_event_id from nexus.replay_page($1, $2, 2)";
        let row = site.admin.query_one(sql, &[&site.tenant.tenant_id, &page]).await.unwrap();
        deliveries.push(row.get::<_, i32>(0));
        match row.get::<_, Option<Uuid>>(1) {
            Some(next) => page["next_event_id"] = json!(next),
            None => break,
        }
    }
    assert_eq!(deliveries, [2, 1]);
    ended("succeeded", 3).await;
    assert_eq!(replay(&filter).await, 0, "they were taken");
    let all = json!({ "event_types": ["order.*"] });
    assert_eq!(replay(&all).await, 3);
    let over_http = site.post("/api/v1/integrations/replay", &all).await;
    assert_eq!((over_http.status, &over_http.body["deliveries"]), (202, &json!(3)), "{over_http:?}");
    assert_eq!(over_http.body["next_event_id"], Value::Null);
    let unbounded = site.post("/api/v1/integrations/replay", &json!({ "rate": 0 })).await;
    assert_eq!((unbounded.status, unbounded.text("parameter")), (422, "$.rate"), "{unbounded:?}");
    let unknown = json!({ "evnt_types": ["order.*"] });
    let refused = site.admin.query("select nexus.replay($1, $2)", &[&site.tenant.tenant_id, &unknown]).await;
    assert!(refused.is_err(), "a filter that does not filter is none");
}
