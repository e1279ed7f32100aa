//! Stage 1, over HTTP: who is let in, and what each kind of request is answered.

use crate::site;
use futures_util::future::join_all;
use nexus_tests::shop::{
    Webhook, fresh_id, minute, shopify, shopify_bytes, shopify_order, woocommerce, woocommerce_order,
};
use nexus_tests::site::Answer;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const EVENTS: &str = "select count(*) from nexus.event where tenant_id = $1";

fn order(minutes: i64) -> Webhook {
    shopify("orders/create", &shopify_order(fresh_id(), minute(minutes)), minute(minutes))
}

fn status_and_outcome(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.text("status"))
}

#[tokio::test]
async fn a_signed_webhook_is_accepted_once() {
    let site = site().await;
    let webhook = order(1);
    let first = site.send(&webhook).await;
    assert_eq!(status_and_outcome(&first), (202, "accepted"), "{first:?}");
    assert_eq!(first.header("trace-id"), first.text("trace_id"));
    assert!(first.text("event_id").parse::<Uuid>().is_ok());

    let again = site.send(&webhook).await;
    assert_eq!(status_and_outcome(&again), (200, "duplicate"), "{again:?}");
    assert_eq!(again.text("duplicate_of"), first.text("event_id"));
    assert_eq!(site.count(EVENTS).await, 1);
    let effects =
        "select count(*) from nexus.domain_event where tenant_id = $1 and event_type = 'order.created'";
    assert_eq!(site.count(effects).await, 1);
}

#[tokio::test]
async fn a_forgery_and_an_unknown_connector_are_answered_alike() {
    let site = site().await;
    let webhook = order(1);
    let signed = webhook.signed(&site.shop, &site.shop.secret);
    let shop = site.shop.connector_id.to_string();
    let altered = webhook.body.iter().chain(b" ").copied().collect::<Vec<u8>>();
    let mut answers = vec![
        site.send_to(&site.shop, &webhook, "another secret").await,
        site.send_raw(&shop, &signed, &altered).await,
        site.send_raw(&shop, &webhook.headers, &webhook.body).await,
        site.send_raw(&Uuid::new_v4().to_string(), &signed, &webhook.body).await,
        site.send_raw("no-id", &signed, &webhook.body).await,
    ];
    for answer in &mut answers {
        assert_eq!((answer.status, answer.text("code")), (401, "NX301"), "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("trace-id"), answer.text("trace_id"));
        answer.body["trace_id"] = Value::Null;
    }
    assert!(answers.windows(2).all(|pair| pair[0].body == pair[1].body), "{answers:?}");
    assert_eq!(site.count(EVENTS).await, 0, "a forgery leaves nothing");
    assert_eq!(site.send(&webhook).await.status, 202, "nor does it take the true one's place");
}

#[tokio::test]
async fn an_authentic_request_that_cannot_be_used_is_kept_and_explained() {
    let site = site().await;
    let mut unmappable = shopify_order(fresh_id(), minute(1));
    unmappable["total_price"] = json!("twelve");
    for (webhook, outcome, why) in [
        (shopify_bytes("orders/create", b"{\"id\": 1".to_vec(), minute(1)), "quarantined", "not JSON"),
        (shopify("orders/create", &unmappable, minute(1)), "quarantined", "twelve"),
        (shopify("carts/update", &json!({ "id": "c" }), minute(1)), "ignored", "cart"),
        (shopify("unheard/of", &json!({ "id": 1 }), minute(1)), "ignored", "unheard/of"),
    ] {
        let answer = site.send(&webhook).await;
        assert_eq!(status_and_outcome(&answer), (202, outcome), "{answer:?}");
        assert!(answer.text("reason").contains(why), "{answer:?}");
        let event = site.get(&format!("/api/v1/events/{}", answer.text("event_id"))).await;
        assert_eq!((event.status, event.text("status")), (200, outcome), "{event:?}");
        assert_eq!(event.text("reason"), answer.text("reason"));
        assert_eq!(event.text("body").as_bytes(), webhook.body);
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let site = site().await;
    let mut huge = shopify_order(fresh_id(), minute(1));
    huge["note"] = json!("x".repeat(1 << 20));
    let answer = site.send(&shopify("orders/create", &huge, minute(1))).await;
    assert_eq!((answer.status, answer.text("code")), (413, "NX505"), "{answer:?}");
    assert_eq!(site.count(EVENTS).await, 0);
}

#[tokio::test]
async fn an_update_that_overtakes_its_creation_stands() {
    let site = site().await;
    let id = fresh_id();
    let mut paid = shopify_order(id, minute(9));
    paid["financial_status"] = json!("paid");
    assert_eq!(site.send(&shopify("orders/paid", &paid, minute(9))).await.status, 202);
    assert_eq!(
        site.send(&shopify("orders/create", &shopify_order(id, minute(0)), minute(0))).await.status,
        202
    );
    let found = site.get(&format!("/api/v1/nexus/orders?order_number={id}")).await;
    let orders = found.body["data"].as_array().unwrap();
    assert_eq!((orders.len(), &orders[0]["financial_status"]), (1, &json!("paid")), "{found:?}");
    assert_eq!(orders[0]["entity_version"], 1, "what came late changed nothing");
}

#[tokio::test]
async fn many_at_once_are_all_taken_in() {
    let site = site().await;
    let webhooks: Vec<Webhook> = (0..60).map(order).collect();
    let answers = join_all(webhooks.iter().map(|webhook| site.send(webhook))).await;
    assert!(answers.iter().all(|answer| status_and_outcome(answer) == (202, "accepted")), "{answers:?}");
    assert_eq!(site.count(EVENTS).await, 60);
    assert_eq!(site.count("select count(*) from nexus.sales_order where tenant_id = $1").await, 60);
}

#[tokio::test]
async fn woocommerce_is_answered_as_it_insists() {
    let site = site().await;
    let outlet = site.tenant.connector(&site.admin, "woocommerce").await;
    site.set_secret(&outlet);
    site.in_force().await;
    // Sent unsigned when a webhook is saved there.
    let form = [("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    let ping = site.send_raw(&outlet.connector_id.to_string(), &form, b"webhook_id=17").await;
    assert_eq!(ping.status, 200, "{ping:?}");
    assert_eq!(site.count(EVENTS).await, 0);
    let webhook = woocommerce("order.created", &woocommerce_order(fresh_id(), minute(1)), minute(1));
    let answer = site.send_to(&outlet, &webhook, &outlet.secret).await;
    assert_eq!(status_and_outcome(&answer), (202, "accepted"), "{answer:?}");
}

#[tokio::test]
async fn a_senders_trace_is_continued() {
    let site = site().await;
    let mut webhook = order(1);
    let trace_id = Uuid::new_v4().simple().to_string();
    webhook.headers.push(("traceparent".to_owned(), format!("00-{trace_id}-00f067aa0ba902b7-01")));
    let answer = site.send(&webhook).await;
    assert_eq!((answer.text("trace_id"), answer.header("trace-id")), (trace_id.as_str(), trace_id.as_str()));
}

#[tokio::test]
async fn what_opens_doors_is_not_stored() {
    let site = site().await;
    let mut webhook = order(1);
    webhook.headers.push(("authorization".to_owned(), "Bearer canary".to_owned()));
    webhook.headers.push(("cookie".to_owned(), "session=canary".to_owned()));
    assert_eq!(site.send(&webhook).await.status, 202);
    let stored = "select count(*) from nexus.event where tenant_id = $1 and headers::text like '%canary%'";
    assert_eq!(site.count(stored).await, 0);
}

#[tokio::test]
async fn other_methods_are_no_webhooks() {
    let site = site().await;
    let path = format!("/hooks/{}", site.shop.connector_id);
    for (method, status) in [(Method::GET, 401), (Method::PUT, 405), (Method::DELETE, 405)] {
        let answer = nexus_tests::site::answer(site.request(method.clone(), &path)).await;
        assert_eq!(answer.status, status, "{method}: {answer:?}");
    }
}
