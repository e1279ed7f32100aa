//! What a subscription asks for: shown as it was given, refused with its place, and kept to.

use super::{change, event_of, order, path, subscribe_with};
use crate::site;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::wait::until;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_asked_for_is_shown_changed_and_refused_at_its_place() {
    let site = site().await;
    let asked = json!({
        "url": "https://example.com/", "event_types": ["order.*"], "description": "for the ERP",
        "headers": { "X-Route": "eu" }, "filter": { "path": "$.data.currency", "equals": "EUR" },
        "payload_version": 1, "ordering": "entity", "retry": { "delays_seconds": [1, 60] }, "rate_limit": 20,
        "envelope": "cloudevents-structured", "signature": "v1",
    });
    let made = site.post("/api/v1/portal/webhooks/subscribe", &asked).await;
    assert_eq!(
        (made.status, made.text("environment"), made.text("status")),
        (201, "prod", "active"),
        "{made:?}"
    );
    let id = made.text("subscription_id").parse().unwrap();
    let is_shown = |shown: &Value, expected: &Value| {
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{name}");
        }
    };
    is_shown(&made.body, &asked);
    is_shown(&site.get(&path(id, "")).await.body, &asked);
    let changes =
        json!({ "filter": null, "ordering": "none", "retry": null, "rate_limit": null, "envelope": "nexus" });
    let changed = change(&site, id, changes.clone()).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    is_shown(&changed.body, &changes);
    is_shown(&changed.body, &json!({ "description": "for the ERP", "headers": { "X-Route": "eu" } }));

    for (members, place) in [
        (json!({ "filter": { "all": [{ "path": "$.data.total[" , "is": "set" }] } }), "$.filter.all[0].path"),
        (json!({ "payload_version": 9 }), "$.payload_version"),
        (json!({ "ordering": "tenant" }), "$.ordering"),
        (json!({ "retry": { "delays_seconds": [5, 1_000_000] } }), "$.retry.delays_seconds[1]"),
        (json!({ "rate_limit": 0 }), "$.rate_limit"),
        (json!({ "envelope": "xml" }), "$.envelope"),
        (json!({ "colour": "red" }), "$.colour"),
    ] {
        let refused = change(&site, id, members.clone()).await;
        assert_eq!((refused.status, refused.text("parameter")), (422, place), "{refused:?}");
        let mut new = asked.clone();
        new.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let refused = site.post("/api/v1/portal/webhooks/subscribe", &new).await;
        let told = (refused.status, refused.text("code"), refused.text("parameter"));
        assert_eq!(told, (422, "NX402", place), "{refused:?}");
    }
    let unknown = change(&site, id, json!({ "payload_version": 9 })).await;
    assert!(unknown.text("hint").ends_with(": 1"), "it lists what there is: {unknown:?}");
}

#[tokio::test]
async fn a_filter_decides_about_new_events_and_replayed_ones() {
    let (site, sink) = (site().await, Sink::start().await);
    let id = fresh_id();
    let filter = json!({ "all": [{ "path": "$.data.order_number", "equals": format!("#{id}") },
                                 { "path": "$.entity_version", "equals": 1 }] });
    let filtered = subscribe_with(&site, &sink.url("/filtered"), json!({ "filter": filter })).await;
    let all = subscribe_with(&site, &sink.url("/all"), json!({})).await;
    order(&site).await;
    let unwanted = event_of(&site, "order.created").await;
    site.send(&shopify("orders/create", &shopify_order(id, minute(1)), minute(1))).await;
    let mut paid = shopify_order(id, minute(5));
    paid["financial_status"] = json!("paid");
    site.send(&shopify("orders/paid", &paid, minute(5))).await;
    sink.wait_for("/all", 3).await;
    let sent = sink.wait_for("/filtered", 1).await.remove(0).json();
    assert_eq!(
        (&sent["type"], &sent["data"]["order_number"]),
        (&json!("order.created"), &json!(format!("#{id}")))
    );

    let replay = "select nexus.replay($1, jsonb_build_object('event_types', array['order.*'], 'subscription_id', $2::text))";
    for (subscription, expected) in [(filtered, 1), (all, 3)] {
        let row =
            site.admin.query_one(replay, &[&site.tenant.tenant_id, &subscription.to_string()]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), expected);
    }
    let one = format!("/api/v1/integrations/events/{unwanted}/replay");
    let asked = site.post(&one, &json!({ "subscription_id": filtered })).await;
    assert_eq!(
        (asked.status, &asked.body["deliveries"]),
        (202, &json!(0)),
        "not even when asked for: {asked:?}"
    );
    sink.wait_for("/all", 6).await;
    until("the queue is empty", async || site.count(super::QUEUED).await == 0).await;
    assert_eq!(sink.received("/filtered").len(), 2);
}

#[tokio::test]
async fn a_subscription_is_tried_again_by_its_own_policy() {
    let (site, sink) = (site().await, Sink::start().await);
    let retry = json!({ "retry": { "delays_seconds": [0] } });
    let id = subscribe_with(&site, &sink.url("/webhooks"), retry).await;
    [500, 500].into_iter().for_each(|status| sink.answer("/webhooks", Reply::status(status)));
    order(&site).await;
    let log = format!("/api/v1/integrations/webhooks?subscription_id={id}");
    until("two attempts and no third", async || {
        let attempts = site.get(&log).await.body["data"].clone();
        let outcomes: Vec<&str> =
            attempts.as_array().unwrap().iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
        outcomes == ["dead", "retry"]
    })
    .await;
}
