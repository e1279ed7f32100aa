//! Secrets of platforms that sign nothing, and what happens when a secret is replaced.

use super::{EVENTS, connect, header};
use crate::site;
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::Gateway;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::site::{Site, answer};
use reqwest::Method;
use serde_json::{Value, json};

const PARTNER: &str = r#"{"_action":"Send","_id":7,"_model":"res.partner","id":7,"name":"Ada","write_date":"2026-01-01 10:00:00"}"#;

async fn patch(site: &Site<'_>, id: &str, changes: &Value) {
    let request = site.request(Method::PATCH, &format!("/api/v1/connectors/{id}"));
    let changed = answer(request.header("x-api-key", &site.api_key).json(changes)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

/// The tables of Nexus in which a text stands, as it is or as bytes.
async fn tables_with(site: &Site<'_>, text: &str) -> Vec<String> {
    let tables = "select c.oid::regclass::text from pg_catalog.pg_class c
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p')";
    let mut found = Vec::new();
    for row in site.admin.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let sql = format!(
            "select exists (select from {table} t where strpos(t::text, $1) > 0
                or strpos(t::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0)"
        );
        if site.admin.query_one(&sql, &[&text]).await.unwrap().get(0) {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn a_secret_in_the_path_opens_and_is_written_down_nowhere() {
    let database = SHARED.database();
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_LOG_LEVEL", "trace")]);
    let site = Site::create(&database, &gateway).await;
    let settings = json!({ "url": "https://odoo.example", "database": "acme" });
    let id = connect(&site, "odoo", settings, json!({ "webhook_secret": "canary/in a+path" })).await;
    let written = "canary%2Fin%20a+path";
    let repeated = [
        ("x-forwarded-uri".to_owned(), format!("/hooks/{id}/{written}")),
        ("x-note".to_owned(), "canary/in a+path".to_owned()),
        ("x-kept".to_owned(), "kept".to_owned()),
    ];
    for path in [id.clone(), format!("{id}/guess"), format!("{id}/{id}")] {
        let refused = site.send_raw(&path, &[], PARTNER.as_bytes()).await;
        assert_eq!((refused.status, refused.text("code")), (401, "NX301"), "{path}: {refused:?}");
    }
    for path in [format!("{id}/"), format!("{id}/{written}/"), format!("{id}/{written}/more")] {
        assert_eq!(site.send_raw(&path, &[], PARTNER.as_bytes()).await.status, 404, "{path}");
    }
    let unknown = format!("{}/{written}", uuid::Uuid::new_v4());
    assert_eq!(site.send_raw(&unknown, &[], PARTNER.as_bytes()).await.status, 401);
    assert_eq!(site.count(EVENTS).await, 0);

    let taken = site.send_raw(&format!("{id}/{written}"), &repeated, PARTNER.as_bytes()).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    let event = site.get(&format!("/api/v1/events/{}", taken.text("event_id"))).await;
    assert_eq!(event.body["headers"][":path"], format!("/hooks/{id}"), "{event:?}");
    assert_eq!(event.body["headers"]["x-kept"], "kept");
    let metrics = answer(site.request(Method::GET, "/metrics")).await;
    assert!(metrics.body.as_str().unwrap().contains("/hooks/{connector_id}/{secret}"), "{metrics:?}");
    let trace = site.get(&format!("/api/v1/traces/{}", taken.text("trace_id"))).await;
    for secret in [written, "canary/in a+path"] {
        assert_eq!(tables_with(&site, secret).await, Vec::<String>::new());
        for (place, text) in
            [("log", gateway.log()), ("metrics", metrics.body.to_string()), ("trace", trace.body.to_string())]
        {
            assert!(!text.contains(secret), "{place}");
        }
    }
    assert!(!tables_with(&site, "/hooks/").await.is_empty(), "the search finds what is there");
}

#[tokio::test]
async fn a_static_header_opens_and_is_not_stored() {
    let site = site().await;
    let settings = json!({ "site": "https://shop.example", "signature": "static" });
    let id = connect(&site, "magento", settings, json!({ "webhook_secret": "static-canary" })).await;
    let body = r#"{"event":{"type":"observer.customer_login"}}"#;
    for headers in [vec![], header("x-nexus-token", "guess"), header("authorization", "static-canary")] {
        assert_eq!(site.send_raw(&id, &headers, body.as_bytes()).await.status, 401);
    }
    let taken = site.send_raw(&id, &header("X-Nexus-Token", "static-canary"), body.as_bytes()).await;
    assert_eq!(
        (taken.status, &taken.body),
        (200, &json!({ "op": "success" })),
        "as a synchronous webhook waits for"
    );
    assert_eq!(site.count(EVENTS).await, 1);
    assert_eq!(tables_with(&site, "static-canary").await, Vec::<String>::new());
}

#[tokio::test]
async fn settings_choose_how_a_connector_is_proven() {
    let site = site().await;
    let secrets = json!({ "webhook_secret": "token" });
    let id = connect(&site, "vendure", json!({ "site": "https://shop.example" }), secrets).await;
    let mut number = 0;
    let mut send = async |path: &str, headers: &[(String, String)]| {
        number += 1;
        let body = format!(r#"{{"event":"ProductEvent","id":{number}}}"#);
        site.send_raw(path, headers, body.as_bytes()).await.status
    };
    let (in_path, in_header) = (format!("{id}/token"), header("x-nexus-token", "token"));
    assert_eq!((send(&id, &in_header).await, send(&in_path, &[]).await), (202, 401));
    assert_eq!(send(&in_path, &in_header).await, 401, "a secret in the URL where none belongs is refused");
    patch(&site, &id, &json!({ "settings": { "site": "https://shop.example", "signature": "path" } })).await;
    assert_eq!((send(&id, &in_header).await, send(&in_path, &[]).await), (401, 202));
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_are_valid() {
    let site = site().await;
    let id = site.shop.connector_id.to_string();
    let send = async |secret: &str| {
        let webhook = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
        site.send_to(&site.shop, &webhook, secret).await.status
    };
    let first = site.shop.secret.clone();
    let replace = async |secret: &str, overlap: u32| {
        patch(
            &site,
            &id,
            &json!({ "secrets": { "webhook_secret": secret }, "secret_overlap_seconds": overlap }),
        )
        .await;
    };
    replace("second", 600).await;
    assert_eq!((send(&first).await, send("second").await), (202, 202));
    replace("third", 0).await;
    assert_eq!((send(&first).await, send("second").await, send("third").await), (401, 401, 202));
}
