//! Dispatchers that sleep are rung for, those that are awake are not, and none sleeps through a webhook.

use crate::attack::session::Session;
use futures_util::future::join_all;
use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::gateway::Gateway;
use nexus_tests::ingest::accept;
use nexus_tests::random::Random;
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::Site;
use nexus_tests::wait::until;
use tokio_postgres::Client;

fn order() -> Webhook {
    shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1))
}

async fn ask(client: &Client, function: &str) -> bool {
    client.query_one(&format!("select nexus.{function}()"), &[]).await.unwrap().get(0)
}

/// A dispatcher that looks once an hour, unless it is rung for.
fn dispatcher(database: &Database, slots: &str) -> Gateway {
    let settings = [
        ("NEXUS_LISTEN_URL", database.gateway_url.as_str()),
        ("NEXUS_ROLES", "dispatcher"),
        ("NEXUS_POLL_SECONDS", "3600"),
        ("NEXUS_DISPATCH_SLOTS", slots),
    ];
    Gateway::start_with(&database.gateway_url, &settings)
}

fn api(database: &Database) -> Gateway {
    Gateway::start_with(&database.gateway_url, &[("NEXUS_ROLES", "api")])
}

#[tokio::test]
async fn who_falls_asleep_knows_of_transactions_that_do_not_ring() {
    let database = SHARED.database();
    let (writer, sleeper) = (database.admin().await, database.admin().await);
    writer.batch_execute("begin").await.unwrap();
    assert!(!ask(&writer, "ring_doorbell").await, "nobody sleeps");
    assert!(ask(&sleeper, "fall_asleep").await);
    assert!(!ask(&sleeper, "is_known_asleep").await, "the writer has not ended");
    writer.batch_execute("commit").await.unwrap();
    assert!(ask(&sleeper, "is_known_asleep").await);

    writer.batch_execute("begin").await.unwrap();
    assert!(ask(&writer, "ring_doorbell").await);
    writer.batch_execute("rollback").await.unwrap();
    assert!(ask(&sleeper, "wake_up").await);
    assert!(!ask(&writer, "ring_doorbell").await);

    assert!(ask(&sleeper, "fall_asleep").await);
    drop(sleeper);
    until("a session's end is waking up", async || !ask(&writer, "ring_doorbell").await).await;
}

/// Writers beside each other keep a dispatcher awake, and it falls asleep while the last of them commit, again and
/// again. Nothing rings after them, and its next look is an hour away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_webhook_is_slept_through() {
    let database = SHARED.database();
    let (api, _dispatcher) = (api(&database), dispatcher(&database, "256"));
    // Of tenants of their own, so that they do not wait for each other's rows.
    let begin = async || {
        let (site, sink) = (Site::create(&database, &api).await, Sink::start().await);
        site.subscribe(&sink, &["order.created"]).await;
        (site, sink)
    };
    let writers = join_all((0..4).map(|_| begin())).await;
    let mut random = Random::new(6);
    for round in 1..=60 {
        let write = async |number: usize, (site, sink): &(Site<'_>, Sink), rest: u64| {
            for _ in 0..3 {
                if number.is_multiple_of(2) {
                    assert_eq!(site.send(&order()).await.status, 202);
                    continue;
                }
                // By SQL the transaction goes on for a while after the doorbell.
                site.admin.batch_execute("begin").await.unwrap();
                accept(&site.admin, &site.shop, &order()).await;
                let rest = format!("select pg_sleep({}); commit", rest as f64 / 1000.0);
                site.admin.batch_execute(&rest).await.unwrap();
            }
            sink.wait_for("/webhooks", 3 * round).await;
        };
        let rests: Vec<u64> = writers.iter().map(|_| random.below(30)).collect();
        join_all(writers.iter().enumerate().zip(rests).map(|((n, writer), rest)| write(n, writer, rest)))
            .await;
    }
}

#[tokio::test]
async fn nobody_rings_for_a_dispatcher_that_is_awake() {
    let database = SHARED.database();
    let (api, _dispatcher) = (api(&database), dispatcher(&database, "1"));
    let (site, sink) = (Site::create(&database, &api).await, Sink::start().await);
    site.subscribe(&sink, &["order.created"]).await;
    let (reply, gate) = Reply::status(200).held();
    sink.answer("/webhooks", reply);
    assert_eq!(site.send(&order()).await.status, 202);
    sink.wait_for("/webhooks", 1).await;
    // All it can do is under way; it looks by itself when that has ended.
    until("the dispatcher is awake", async || !ask(&site.admin, "ring_doorbell").await).await;

    let mut listener = Session::open(&database.admin_url).await;
    assert_eq!(listener.ask("listen nexus_doorbell").await.failure, None);
    for _ in 0..10 {
        assert_eq!(site.send(&order()).await.status, 202);
        accept(&site.admin, &site.shop, &order()).await;
    }
    let answer = listener.ask("select 1").await;
    assert!(!answer.said.contains("nexus_doorbell"), "{answer:?}");

    gate.open();
    sink.wait_for("/webhooks", 21).await;
    until("the dispatcher sleeps", async || ask(&site.admin, "ring_doorbell").await).await;
    accept(&site.admin, &site.shop, &order()).await;
    sink.wait_for("/webhooks", 22).await;
    let answer = listener.ask("select 1").await;
    assert!(answer.said.contains("nexus_doorbell"), "{answer:?}");
}
