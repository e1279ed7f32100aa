//! Per-entity order: an entity's deliveries go out one after the other, while others run beside them.

use super::{status, subscribe_with};
use crate::site;
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::Gateway;
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::Site;
use nexus_tests::wait::{eventually, until};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The order as of a version of it.
fn version(id: i64, version: i64) -> Webhook {
    let mut order = shopify_order(id, minute(version));
    order["total_price"] = json!(format!("{version}.00"));
    shopify(if version == 1 { "orders/create" } else { "orders/updated" }, &order, minute(version))
}

/// The versions that came to the path, in the order in which they came, by order number.
fn versions(sink: &Sink, path: &str) -> BTreeMap<String, Vec<i64>> {
    let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in sink.received(path).iter().map(|received| received.json()) {
        let number = event["data"]["order_number"].as_str().unwrap().to_owned();
        versions.entry(number).or_default().push(event["entity_version"].as_i64().unwrap());
    }
    versions
}

#[tokio::test]
async fn four_dispatchers_and_retries_keep_an_entitys_order() {
    const ORDERS: i64 = 8;
    const VERSIONS: i64 = 6;
    let database = SHARED.database();
    let gateways: Vec<Gateway> = (0..4).map(|_| Gateway::start(&database)).collect();
    let mut site = Site::create(&database, &gateways[0]).await;
    let sink = Sink::start().await;
    let members = json!({ "ordering": "entity", "retry": { "delays_seconds": vec![0; 30] } });
    subscribe_with(&site, &sink.url("/ordered"), members).await;
    for gateway in &gateways {
        site.move_to(gateway);
        site.in_force().await;
    }
    // About a third of the first requests fails, another third each time.
    for _ in 0..3 {
        for byte in Uuid::new_v4().into_bytes() {
            sink.answer("/ordered", Reply::status(if byte < 80 { 500 } else { 200 }));
        }
    }
    let ids: Vec<i64> = (0..ORDERS).map(|_| fresh_id()).collect();
    for n in 1..=VERSIONS {
        site.move_to(&gateways[usize::try_from(n).unwrap() % 4]);
        for id in &ids {
            let sent = site.send(&version(*id, n)).await;
            assert_eq!(sent.status, 202, "{sent:?}");
        }
    }
    let queued = super::QUEUED;
    until("everything is delivered", async || site.count(queued).await == 0).await;
    let came = versions(&sink, "/ordered");
    assert_eq!(came.len(), ids.len());
    for (number, versions) in came {
        assert!(versions.is_sorted(), "{number}: {versions:?}");
        let mut once = versions.clone();
        once.dedup();
        assert_eq!(once, (1..=VERSIONS).collect::<Vec<_>>(), "{number}: {versions:?}");
    }
}

#[tokio::test]
async fn what_is_stuck_holds_up_its_own_entity_until_it_is_given_up() {
    let (site, sink) = (site().await, Sink::start().await);
    let retry = json!({ "delays_seconds": [3600] });
    let ordered =
        subscribe_with(&site, &sink.url("/ordered"), json!({ "ordering": "entity", "retry": retry })).await;
    subscribe_with(&site, &sink.url("/any"), json!({ "retry": retry })).await;
    let (stuck, other) = (fresh_id(), fresh_id());
    for path in ["/ordered", "/any"] {
        sink.answer(path, Reply::status(500));
    }
    site.send(&version(stuck, 1)).await;
    sink.wait_for("/ordered", 1).await;
    sink.wait_for("/any", 1).await;
    site.send(&version(stuck, 2)).await;
    site.send(&version(other, 1)).await;

    // Without order everything runs past what is stuck; with it, other entities do.
    sink.wait_for("/any", 3).await;
    sink.wait_for("/ordered", 2).await;
    let waiting = "select count(*) from nexus.delivery where tenant_id = $1 and due_at = 'infinity'";
    until("the second version waits", async || site.count(waiting).await == 1).await;
    let came = versions(&sink, "/ordered");
    assert_eq!((&came[&format!("#{stuck}")], &came[&format!("#{other}")]), (&vec![1], &vec![1]));

    sink.answer("/ordered", Reply::status(400));
    let now = "update nexus.delivery set due_at = now() where tenant_id = $1 and destination_id = $2 and due_at < 'infinity' and leased_until is null";
    eventually("the first attempt is settled", async || {
        (site.admin.execute(now, &[&site.tenant.tenant_id, &ordered]).await.unwrap() == 1).then_some(())
    })
    .await;
    sink.wait_for("/ordered", 4).await;
    assert_eq!(versions(&sink, "/ordered")[&format!("#{stuck}")], [1, 1, 2], "given up, it makes way");
    assert_eq!(status(&site, ordered).await, "active");
    let outcomes =
        site.get(&format!("/api/v1/integrations/webhooks?subscription_id={ordered}&outcome=dead")).await;
    assert_eq!(outcomes.body["data"].as_array().map(Vec::len), Some(1), "{outcomes:?}");
}

#[tokio::test]
async fn paused_and_resumed_they_are_still_in_order() {
    let (site, sink) = (site().await, Sink::start().await);
    let id = subscribe_with(&site, &sink.url("/ordered"), json!({ "ordering": "entity" })).await;
    super::change(&site, id, json!({ "status": "paused" })).await;
    let number = fresh_id();
    for n in 1..=4 {
        site.send(&version(number, n)).await;
    }
    let laid_aside = "select count(*) from nexus.delivery where tenant_id = $1 and due_at = 'infinity'";
    until("all are laid aside", async || site.count(laid_aside).await == 4).await;
    super::change(&site, id, json!({ "status": "active" })).await;
    sink.wait_for("/ordered", 4).await;
    assert_eq!(versions(&sink, "/ordered").into_values().collect::<Vec<_>>(), [[1, 2, 3, 4]]);
}
