//! The REST API: whose data a key opens, and how lists and errors look.

use crate::{GATEWAY, site};
use nexus_tests::gateway::admin;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::site::{Answer, Site, answer};
use nexus_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const LISTS: [&str; 8] = [
    "/api/v1/events",
    "/api/v1/jobs",
    "/api/v1/nexus/orders",
    "/api/v1/nexus/customers",
    "/api/v1/connectors",
    "/api/v1/flows",
    "/api/v1/integrations/events",
    "/api/v1/portal/webhooks",
];

fn data(page: &Answer) -> &Vec<Value> {
    assert_eq!(page.status, 200, "{page:?}");
    page.body["data"].as_array().expect("a page")
}

/// Sends an order; its number and its event.
async fn send_order(site: &Site<'_>) -> (i64, Answer) {
    let id = fresh_id();
    let answer = site.send(&shopify("orders/create", &shopify_order(id, minute(1)), minute(1))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    (id, answer)
}

#[tokio::test]
async fn without_a_key_in_force_nothing_is_shown() {
    let site = site().await;
    for path in LISTS {
        for key in [None, Some("sk_live_wrong"), Some("")] {
            let mut request = site.request(Method::GET, path);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let refused = answer(request).await;
            assert_eq!((refused.status, refused.text("code")), (401, "NX501"), "{path}: {refused:?}");
            assert_eq!(refused.header("content-type"), "application/problem+json");
        }
        let bearer =
            site.request(Method::GET, path).header("authorization", format!("Bearer {}", site.api_key));
        assert_eq!(answer(bearer).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_key_opens_its_environment_of_its_tenant_only() {
    let (acme, globex) = (site().await, site().await);
    let (number, sent) = send_order(&acme).await;
    let test_key = acme.key("test", "read,write,admin").await;
    let order = acme.get(&format!("/api/v1/nexus/orders?order_number={number}")).await;
    let (order, event) = (data(&order)[0]["sales_order_id"].as_str().unwrap(), sent.text("event_id"));
    let singles = [
        format!("/api/v1/nexus/orders/{order}"),
        format!("/api/v1/events/{event}"),
        format!("/api/v1/traces/{}", sent.text("trace_id")),
        format!("/api/v1/connectors/{}", acme.shop.connector_id),
    ];
    for path in &singles {
        assert_eq!(acme.get(path).await.status, 200, "{path}");
        for (whose, key) in [("another tenant's", &globex.api_key), ("another environment's", &test_key)] {
            let hidden = globex.get_as(key, path).await;
            assert_eq!(
                (hidden.status, hidden.text("code")),
                (404, "NX404"),
                "{whose} key at {path}: {hidden:?}"
            );
        }
    }
    for path in
        ["/api/v1/events", "/api/v1/nexus/orders", "/api/v1/nexus/customers", "/api/v1/integrations/events"]
    {
        assert!(!data(&acme.get(path).await).is_empty(), "{path}");
        for key in [&globex.api_key, &test_key] {
            assert!(data(&globex.get_as(key, path).await).is_empty(), "{path}");
        }
        let filtered = globex.get(&format!("/api/v1/events?connector_id={}", acme.shop.connector_id)).await;
        assert!(data(&filtered).is_empty());
    }
}

#[tokio::test]
async fn what_is_revoked_ends_without_a_restart() {
    let site = site().await;
    assert_eq!(site.get("/api/v1/events").await.status, 200);
    let revoke = "select count(*) from nexus.api_key k
                  where k.tenant_id = $1 and 'admin' = any (k.scopes) and nexus.revoke_api_key($1, k.api_key_id)";
    assert_eq!(site.count(revoke).await, 1);
    until("the key is refused", async || site.get("/api/v1/events").await.status == 401).await;
    let switch_off = "update nexus.connector set is_active = false where tenant_id = $1";
    site.admin.execute(switch_off, &[&site.tenant.tenant_id]).await.unwrap();
    until("the connector is unknown", async || {
        let order = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
        site.send(&order).await.status == 401
    })
    .await;
}

#[tokio::test]
async fn scopes_are_respected() {
    let site = site().await;
    let (reader, writer) = (site.key("prod", "read").await, site.key("prod", "write").await);
    let subscribe = json!({ "url": "https://example.com/", "event_types": ["order.*"] });
    let attempt =
        site.request(Method::POST, "/api/v1/portal/webhooks/subscribe").header("x-api-key", &reader);
    let refused = answer(attempt.json(&subscribe)).await;
    assert_eq!((refused.status, refused.text("code")), (403, "NX502"), "{refused:?}");
    let refused = site.get_as(&writer, "/api/v1/events").await;
    assert_eq!((refused.status, refused.text("code")), (403, "NX502"), "{refused:?}");
}

#[tokio::test]
async fn platform_keys_make_tenants_and_tenants_keys_do_not() {
    let site = site().await;
    let made = admin(&GATEWAY.0, &["create-key", "--platform", "--name", "test"], "");
    let platform_key = made["platform_key"].as_str().unwrap();
    site.in_force().await;
    let slug = format!("t-{}", fresh_id());
    let create = |key: &str| {
        let request = site.request(Method::POST, "/api/v1/tenants").header("x-api-key", key);
        request.json(&json!({ "slug": slug, "name": "New" }))
    };
    assert_eq!(answer(create(&site.api_key)).await.status, 401);
    let tenant = answer(create(platform_key)).await;
    assert_eq!((tenant.status, tenant.text("slug")), (201, slug.as_str()), "{tenant:?}");
    assert!(
        ["dev", "test", "prod"]
            .iter()
            .all(|name| tenant.body["environments"][name]["environment_id"].is_string())
    );
    let again = answer(create(platform_key)).await;
    assert_eq!((again.status, again.text("code")), (409, "NX405"), "{again:?}");
    assert_eq!(
        site.get_as(platform_key, "/api/v1/events").await.status,
        401,
        "it acts on tenants, not within one"
    );
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let site = site().await;
    let mut sent = BTreeSet::new();
    for _ in 0..5 {
        sent.insert(format!("#{}", send_order(&site).await.0));
    }
    for (path, name) in [("/api/v1/nexus/orders", "order_number"), ("/api/v1/events", "event_id")] {
        let (mut seen, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = site.get(&format!("{path}?limit=2{cursor}")).await;
            let items = data(&page);
            sizes.push(items.len());
            seen.extend(items.iter().map(|item| item[name].as_str().unwrap().to_owned()));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(sizes, [2, 2, 1], "{path}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 5, "{path}");
        if name == "order_number" {
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), sent);
        }
    }
}

#[tokio::test]
async fn filters_narrow_a_list() {
    let site = site().await;
    let (number, sent) = send_order(&site).await;
    send_order(&site).await;
    site.send(&shopify("carts/update", &json!({ "id": "c" }), minute(1))).await;
    for (path, found) in [
        ("/api/v1/events".to_owned(), 3),
        ("/api/v1/events?status=ignored".to_owned(), 1),
        ("/api/v1/events?status=ignored,accepted".to_owned(), 3),
        ("/api/v1/events?topic=orders/create".to_owned(), 2),
        (format!("/api/v1/events?trace_id={}", sent.text("trace_id")), 1),
        (format!("/api/v1/events?connector_id={}&status=accepted", site.shop.connector_id), 2),
        ("/api/v1/events?until=2020-01-01T00:00:00Z".to_owned(), 0),
        ("/api/v1/nexus/orders".to_owned(), 2),
        (format!("/api/v1/nexus/orders?order_number=%23{number}"), 1),
        (format!("/api/v1/nexus/orders?email=BUYER.{number}@example.com"), 1),
        (format!("/api/v1/nexus/customers?email=buyer.{number}@EXAMPLE.com"), 1),
        ("/api/v1/nexus/orders?financial_status=paid".to_owned(), 0),
        ("/api/nexus/orders?updated_since=2020-01-01T00:00:00Z".to_owned(), 2),
    ] {
        let page = site.get(&path).await;
        assert_eq!(data(&page).len(), found, "{path}: {page:?}");
    }
    let order = site.get(&format!("/api/v1/nexus/orders?order_number={number}")).await;
    let order = site
        .get(&format!("/api/v1/nexus/orders/{}", data(&order)[0]["sales_order_id"].as_str().unwrap()))
        .await;
    let lines = order.body["lines"].as_array().expect("an order has its lines");
    assert_eq!((lines.len(), &lines[0]["sku"]), (3, &json!("MUG")), "{order:?}");
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_with_a_code() {
    let site = site().await;
    for (path, status, code) in [
        ("/api/v1/events?limit=0", 422, "NX506"),
        ("/api/v1/events?limit=201", 422, "NX506"),
        ("/api/v1/events?cursor=x", 422, "NX506"),
        ("/api/v1/events?statuss=accepted", 422, "NX506"),
        ("/api/v1/events?connector_id=1", 422, "NX506"),
        ("/api/v1/events?since=yesterday", 422, "NX506"),
        ("/api/v1/events/1", 404, "NX404"),
        ("/api/v1/traces/1", 404, "NX404"),
        ("/api/v1/nothing", 404, "NX503"),
        ("/nothing", 404, "NX503"),
    ] {
        let problem = site.get(path).await;
        assert_eq!((problem.status, problem.text("code")), (status, code), "{path}: {problem:?}");
        assert_eq!(problem.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(problem.body["status"], status, "{path}");
        assert_eq!(
            (problem.text("trace_id"), problem.text("trace_id").len()),
            (problem.header("trace-id"), 32)
        );
    }
    let unusable = json!({ "url": "ftp://example.com", "event_types": ["order.*"] });
    let problem = site.post("/api/v1/portal/webhooks/subscribe", &unusable).await;
    assert_eq!((problem.status, problem.text("code")), (422, "NX402"), "{problem:?}");
    let malformed =
        site.request(Method::POST, "/api/v1/portal/webhooks/subscribe").header("x-api-key", &site.api_key);
    assert_eq!(answer(malformed.body("{")).await.status, 400);
}

#[tokio::test]
async fn a_subscriptions_secret_is_shown_once() {
    let site = site().await;
    let wanted = json!({ "url": "https://example.com/", "event_types": ["order.*"] });
    let made = site.post("/api/v1/portal/webhooks/subscribe", &wanted).await;
    assert_eq!(made.status, 201);
    assert!(made.text("secret").starts_with("whsec_"), "{made:?}");
    let single = site.get(&format!("/api/v1/portal/webhooks/{}", made.text("subscription_id"))).await;
    assert_eq!((single.status, &single.body["event_types"]), (200, &json!(["order.*"])));
    assert!(!single.body.to_string().contains("whsec_"), "{single:?}");
}

#[tokio::test]
async fn a_gateway_tells_how_it_is() {
    let site = site().await;
    send_order(&site).await;
    let get = async |path| answer(site.request(Method::GET, path)).await;
    assert_eq!((get("/healthz").await.status, get("/readyz").await.status), (200, 200));
    let metrics = get("/metrics").await;
    let text = metrics.body.as_str().expect("text");
    assert!(text.contains("# TYPE nexus_"), "{text}");
    assert!(!text.contains(&site.tenant.tenant_id.to_string()), "no label grows with the tenants");
}
