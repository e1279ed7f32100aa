//! The gateway behind pgbouncer in transaction mode, as Debian ships it.

use futures_util::future::join_all;
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::Gateway;
use nexus_tests::pooler::Pooler;
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::Sink;
use nexus_tests::site::Site;
use serde_json::json;

#[tokio::test]
async fn everything_works_through_a_pooler_in_transaction_mode() {
    let database = SHARED.database();
    let pooler = Pooler::start(&database);
    // LISTEN needs a session of its own.
    let gateway = Gateway::start_with(&pooler.url, &[("NEXUS_LISTEN_URL", &database.gateway_url)]);
    let site = Site::create(&database, &gateway).await;
    let sink = Sink::start().await;
    let flow = site.flow(&sink.url("/jobs"), json!({})).await;
    let subscription = site.subscribe(&sink, &["order.created"]).await;

    // More at once than the pooler has connections to the server.
    let order = || shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    let webhooks: Vec<Webhook> = (0..20).map(|_| order()).collect();
    let answers = join_all(webhooks.iter().map(|webhook| site.send(webhook))).await;
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    for answer in &answers {
        site.job(answer.text("event_id"), "succeeded").await;
    }
    assert!(sink.wait_for("/jobs", 20).await.iter().all(|received| received.is_signed_with(&flow.secret)));
    let received = sink.wait_for("/webhooks", 20).await;
    assert!(received.iter().all(|received| received.is_signed_with(&subscription.secret)));

    // Whose rows a transaction may see must not stay behind on a server connection that others use next.
    let other = Site::create(&database, &gateway).await;
    let lists = join_all((0..20).map(|n| {
        if n % 2 == 0 { site.get("/api/v1/nexus/orders") } else { other.get("/api/v1/nexus/orders") }
    }));
    for (n, page) in lists.await.iter().enumerate() {
        assert_eq!(
            page.body["data"].as_array().map(Vec::len),
            Some(if n % 2 == 0 { 20 } else { 0 }),
            "{page:?}"
        );
    }
}
