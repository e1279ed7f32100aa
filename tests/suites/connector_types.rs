//! Manifests and events that are read again, over HTTP and by the command line.

use crate::mapping::{FIRST, SECOND, order};
use crate::mapping_platform::Platform;
use crate::{GATEWAY, site};
use nexus_tests::cluster::RUN;
use nexus_tests::gateway::{admin, try_admin};
use nexus_tests::ingest::ingest;
use nexus_tests::shop::minute;
use nexus_tests::site::Site;
use nexus_tests::tenant::Connector;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;

async fn platform_key(site: &Site<'_>) -> String {
    let made = admin(&GATEWAY.0, &["create-key", "--platform", "--name", "test"], "");
    site.in_force().await;
    made["platform_key"].as_str().unwrap().to_owned()
}

/// Registers a manifest over HTTP; its version.
async fn register(site: &Site<'_>, key: &str, manifest: &Value) -> Value {
    let made = site.call(Method::POST, "/api/v1/connector-types", key, manifest).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["connector_type"], manifest["type"]);
    made.body["version"].clone()
}

async fn order_numbers(site: &Site<'_>) -> Vec<String> {
    let page = site.get("/api/v1/nexus/orders").await;
    let orders = page.body["data"].as_array().unwrap().iter();
    let mut numbers: Vec<String> =
        orders.map(|order| order["order_number"].as_str().unwrap_or("none").to_owned()).collect();
    numbers.sort();
    numbers
}

/// Sends an order by SQL; the event's id and status.
async fn send(site: &Site<'_>, shop: &Connector, id: u32) -> (String, String) {
    let webhook = order(id, minute(1), json!({ "number": id.to_string(), "state": "open" }));
    let taken = ingest(&site.admin, shop, &webhook).await.unwrap();
    (taken.event().to_string(), taken.status)
}

#[tokio::test]
async fn operators_register_manifests_and_go_back() {
    let (site, platform) = (site().await, Platform::new());
    let key = platform_key(&site).await;
    assert_eq!(register(&site, &key, &platform.manifest("$.id", FIRST)).await, 1);
    assert_eq!(register(&site, &key, &platform.manifest("$.id", SECOND)).await, 2);
    let path = format!("/api/v1/connector-types/{}", platform.0);
    assert_eq!(site.get(&path).await.body["version"], 2);

    let back = json!({ "current_version": 1 });
    let refused = site.call(Method::PATCH, &path, &site.api_key, &back).await;
    assert_eq!(refused.status, 401, "it is for the platform: {refused:?}");
    let changed = site.call(Method::PATCH, &path, &key, &back).await;
    assert_eq!((changed.status, &changed.body["version"]), (200, &json!(1)), "{changed:?}");
    let missing = site.call(Method::PATCH, &path, &key, &json!({ "current_version": 3 })).await;
    assert_eq!((missing.status, missing.text("code")), (404, "NX103"), "{missing:?}");

    let mut manifest = platform.manifest("$.id", FIRST);
    manifest["entities"]["order"]["documents"][0]["kind"] = json!("order");
    let refused = site.call(Method::POST, "/api/v1/connector-types", &key, &manifest).await;
    assert_eq!((refused.status, refused.text("code")), (422, "NX101"), "{refused:?}");
    assert!(refused.text("parameter").contains("documents"), "{refused:?}");
}

#[tokio::test]
async fn an_event_is_read_again_by_a_key_of_its_environment() {
    let (site, platform) = (site().await, Platform::new());
    let key = platform_key(&site).await;
    register(&site, &key, &platform.manifest("$.key", FIRST)).await;
    let shop = site.tenant.connector(&site.admin, platform.0).await;
    let (event_id, status) = send(&site, &shop, 7).await;
    assert_eq!(status, "quarantined");
    register(&site, &key, &platform.manifest("$.id", FIRST)).await;

    let path = format!("/api/v1/events/{event_id}/reprocess");
    let elsewhere = site.key("test", "write").await;
    let hidden = site.call(Method::POST, &path, &elsewhere, &json!({})).await;
    assert_eq!((hidden.status, hidden.text("code")), (404, "NX404"), "{hidden:?}");
    let reader = site.key("prod", "read").await;
    assert_eq!(site.call(Method::POST, &path, &reader, &json!({})).await.status, 403);
    assert_eq!(order_numbers(&site).await, Vec::<String>::new());

    let read = site.post(&path, &json!({})).await;
    assert_eq!((read.status, read.text("status"), read.text("event_id")), (200, "accepted", &*event_id));
    assert_eq!(order_numbers(&site).await, ["7"]);
}

#[tokio::test]
async fn a_preview_is_of_the_keys_environment() {
    let (site, platform) = (site().await, Platform::new());
    let key = platform_key(&site).await;
    register(&site, &key, &platform.manifest("$.id", FIRST)).await;
    let shop = site.tenant.connector(&site.admin, platform.0).await;
    send(&site, &shop, 1).await;
    let path = format!("/api/v1/connector-types/{}/preview", platform.0);
    let second = json!({ "manifest": platform.manifest("$.id", SECOND) });
    let shown = site.post(&path, &second).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let lines = shown.body["data"].as_array().unwrap();
    let number = lines.iter().find(|line| line["field"] == "order_number").expect("a line for the number");
    assert_eq!((&number["old"], &number["new"]), (&json!("1"), &json!("N-1")), "{number}");
    assert_eq!(order_numbers(&site).await, ["1"], "nothing is written");
    let elsewhere = site.key("test", "admin").await;
    let nothing = site.call(Method::POST, &path, &elsewhere, &second).await;
    assert_eq!((nothing.status, &nothing.body["data"]), (200, &json!([])), "{nothing:?}");
}

#[tokio::test]
async fn the_command_line_registers_and_reads_everything_again() {
    let (site, platform) = (site().await, Platform::new());
    let tenant = site.tenant.tenant_id.to_string();
    let register = |fields: &str, id: &str| {
        let file = RUN.dir.join(format!("{}.json", platform.0));
        fs::write(&file, platform.manifest(id, fields).to_string()).unwrap();
        try_admin(&GATEWAY.0, &["register-connector-type", file.to_str().unwrap()], "")
    };
    assert_eq!(register(FIRST, "$.key").unwrap()["version"], 1);
    assert!(register("order_number = \"number\"", "$.id").is_err(), "a path begins with $");
    let shop = site.tenant.connector(&site.admin, platform.0).await;
    for id in 1..=5 {
        send(&site, &shop, id).await;
    }
    register(FIRST, "$.id").unwrap();
    let reprocess = |how: &[&str]| {
        admin(&GATEWAY.0, &[&["reprocess", "--tenant", &tenant, "--batch", "2"], how].concat(), "")
    };
    let read = reprocess(&["--status", "quarantined"]);
    assert_eq!(read, json!({ "events": 5, "quarantined": 0, "entities": 5 }));
    register(SECOND, "$.id").unwrap();
    let read = reprocess(&["--connector-type", platform.0]);
    assert_eq!(read, json!({ "events": 5, "quarantined": 0, "entities": 5 }));
    assert_eq!(order_numbers(&site).await, ["N-1", "N-2", "N-3", "N-4", "N-5"]);
    let open = "select count(*) from nexus.reprocessing where tenant_id = $1 and finished_at is null";
    assert_eq!(site.count(open).await, 0);
}

#[tokio::test]
async fn a_flow_tells_its_settings_and_an_event_where_it_went() {
    let site = site().await;
    let flow =
        site.flow("http://127.0.0.1:9/", json!({ "timeout_seconds": 7, "topics": ["orders/paid"] })).await;
    let sent = nexus_tests::shop::shopify(
        "orders/create",
        &nexus_tests::shop::shopify_order(nexus_tests::shop::fresh_id(), minute(1)),
        minute(1),
    );
    let sent = site.send(&sent).await;
    let (settings, routing) = (
        format!("/api/v1/flows/{}/effective-settings", flow.id),
        format!("/api/v1/events/{}/routing", sent.text("event_id")),
    );
    let told = site.get(&settings).await;
    let timeout =
        told.body["settings"].as_array().unwrap().iter().find(|s| s["setting"] == "timeout_seconds");
    assert_eq!(timeout.map(|s| (&s["value"], &s["tier"])), Some((&json!(7), &json!("flow"))), "{told:?}");
    let told = site.get(&routing).await;
    let line = told.body["routing"].as_array().unwrap().iter().find(|line| line["kind"] == "sales_order");
    let line = line.expect("a line for the order");
    assert_eq!(
        (&line["flow_id"], &line["is_wanted"], &line["reason"]),
        (&json!(flow.id), &json!(false), &json!("the flow is for other topics"))
    );
    let elsewhere = site.key("test", "read").await;
    for path in [settings, routing] {
        assert_eq!(site.get_as(&elsewhere, &path).await.status, 404, "{path}");
    }
}
