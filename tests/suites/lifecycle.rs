//! Starting, stopping, and the database going away in between.

use nexus_tests::cluster::{Cluster, SHARED, free_port};
use nexus_tests::gateway::{Gateway, serve_in_vain};
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::{Site, answer};
use nexus_tests::wait::{eventually, until};
use reqwest::Method;
use serde_json::json;
use std::process::Output;

fn order() -> Webhook {
    shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1))
}

#[tokio::test]
async fn the_database_may_go_and_come_back() {
    let cluster = Cluster::start("away");
    let database = cluster.database();
    let gateway = Gateway::start(&database);
    let mut site = Site::create(&database, &gateway).await;
    let sink = Sink::start().await;
    site.flow(&sink.url("/jobs"), json!({})).await;
    let webhook = order();
    cluster.stop();

    let refused = site.send(&webhook).await;
    assert_eq!((refused.status, refused.text("code")), (503, "NX509"), "{refused:?}");
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{refused:?}");
    let get = async |path| answer(site.request(Method::GET, path)).await.status;
    until("the gateway says that it is not ready", async || get("/readyz").await == 503).await;
    assert_eq!(get("/healthz").await, 200);
    assert_eq!(site.get("/api/v1/events").await.status, 503);
    let forged = site.send_to(&site.shop, &order(), "wrong").await;
    assert_eq!(forged.status, 401, "forgeries are refused without the database: {forged:?}");

    cluster.start_again();
    let accepted = eventually("a webhook is taken in again", async || {
        let answer = site.send(&webhook).await;
        (answer.status != 503).then_some(answer)
    })
    .await;
    // Had the refused one been stored, this would be a duplicate.
    assert_eq!((accepted.status, accepted.text("status")), (202, "accepted"), "{accepted:?}");
    until("the gateway says that it is ready", async || get("/readyz").await == 200).await;
    site.admin = database.admin().await;
    site.job(accepted.text("event_id"), "succeeded").await;
    sink.wait_for("/jobs", 1).await;
}

#[tokio::test]
async fn a_stop_lets_deliveries_under_way_end() {
    let database = SHARED.database();
    let mut gateway = Gateway::start(&database);
    let site = Site::create(&database, &gateway).await;
    let sink = Sink::start().await;
    site.flow(&sink.url("/jobs"), json!({})).await;
    let (reply, gate) = Reply::status(200).held();
    sink.answer("/jobs", reply);
    site.send(&order()).await;
    sink.wait_for("/jobs", 1).await;

    gateway.terminate();
    until("no more requests are taken", async || site.request(Method::GET, "/healthz").send().await.is_err())
        .await;
    assert!(gateway.ended().is_none(), "it waits for the delivery");
    gate.open();
    let status = eventually("the gateway has stopped", async || gateway.ended()).await;
    assert!(status.success(), "{status}");
    let ended = "select count(*) from nexus.job where tenant_id = $1 and status = 'succeeded'";
    assert_eq!(site.count(ended).await, 1);
}

#[tokio::test]
async fn a_stop_gives_back_what_does_not_end() {
    let database = SHARED.database();
    let mut gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_SHUTDOWN_SECONDS", "1")]);
    let site = Site::create(&database, &gateway).await;
    let sink = Sink::start().await;
    site.flow(&sink.url("/jobs"), json!({})).await;
    let (reply, _gate) = Reply::status(200).held();
    sink.answer("/jobs", reply);
    site.send(&order()).await;
    sink.wait_for("/jobs", 1).await;
    gateway.terminate();
    let status = eventually("the gateway has stopped", async || gateway.ended()).await;
    assert!(status.success(), "{status}");
    let free = "select count(*) from nexus.delivery where tenant_id = $1 and leased_until is null";
    assert_eq!(site.count(free).await, 1, "another gateway need not wait for the lease to run out");
}

/// Ended with a code, and said why in one line that contains this.
fn assert_refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code != 0), "{:?}: {said}", output.status);
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains(why), "{said:?} does not say {why:?}");
}

#[tokio::test]
async fn a_gateway_that_cannot_work_says_why_in_a_line() {
    let database = SHARED.database();
    let url = &database.gateway_url;
    assert_refused(&serve_in_vain(&[]), "DATABASE_URL is not set");
    let nobody = format!("postgres://nexus@127.0.0.1:{}/nexus", free_port());
    assert_refused(&serve_in_vain(&[("DATABASE_URL", &nobody)]), "check DATABASE_URL");
    assert_refused(&serve_in_vain(&[("DATABASE_URL", "nonsense")]), "database URL");
    assert_refused(
        &serve_in_vain(&[("DATABASE_URL", &database.url_of("nexus_gateway_login", "wrong"))]),
        "password",
    );
    let missing = SHARED.empty_database();
    assert_refused(&serve_in_vain(&[("DATABASE_URL", &missing.gateway_url)]), "create extension nexus");
    assert_refused(
        &serve_in_vain(&[("DATABASE_URL", url), ("NEXUS_MASTER_KEY_FILE", "/nowhere")]),
        "/nowhere",
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();
    assert_refused(&serve_in_vain(&[("DATABASE_URL", url), ("NEXUS_PORT", &taken)]), "NEXUS_PORT");

    // As after an upgrade of the extension that brought a migration.
    let admin = database.admin().await;
    let forget = "delete from nexus.schema_migration where schema_migration_id = (select max(schema_migration_id) from nexus.schema_migration)";
    admin.batch_execute(forget).await.unwrap();
    assert_refused(&serve_in_vain(&[("DATABASE_URL", url)]), "nexus.migrate()");
}

#[tokio::test]
async fn an_extension_without_its_tables_asks_to_be_migrated() {
    let database = SHARED.empty_database();
    database.admin().await.batch_execute("create extension nexus").await.unwrap();
    assert_refused(&serve_in_vain(&[("DATABASE_URL", &database.gateway_url)]), "nexus.migrate()");
}
