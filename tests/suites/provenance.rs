//! Golden entities by REST: by every id they ever had, with where their values come from and what became of them;
//! and which source goes first.

use crate::{GATEWAY, site};
use nexus_tests::ingest::accept;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order, woocommerce};
use nexus_tests::site::{Answer, Site};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

fn data(page: &Answer) -> &Vec<Value> {
    assert_eq!(page.status, 200, "{page:?}");
    page.body["data"].as_array().expect("a page")
}

/// A buyer whom the shop knew first here, and another shop first of all: what they were called, and are.
async fn merged_customer(site: &Site<'_>) -> (String, String) {
    let id = fresh_id();
    let order = shopify("orders/create", &shopify_order(id, minute(1)), minute(1));
    assert_eq!(site.send(&order).await.status, 202);
    let email = format!("buyer.{id}@example.com");
    let found = site.get(&format!("/api/v1/nexus/customers?email={email}")).await;
    let former = data(&found)[0]["customer_id"].as_str().unwrap().to_owned();
    let elsewhere = json!({
        "id": 1, "email": email, "username": "ada", "first_name": "Ada", "last_name": "King", "billing": {},
        "date_created_gmt": "2025-01-01T00:00:00", "date_modified_gmt": "2026-01-02T00:00:00",
    });
    let woo = site.tenant.connector(&site.admin, "woocommerce").await;
    accept(&site.admin, &woo, &woocommerce("customer.updated", &elsewhere, minute(5))).await;
    let found = site.get(&format!("/api/v1/nexus/customers?email={email}")).await;
    let current = data(&found)[0]["customer_id"].as_str().unwrap().to_owned();
    assert_ne!(former, current, "the entity bears the id of the record that is the oldest");
    (former, current)
}

#[tokio::test]
async fn an_id_that_went_into_another_entity_still_leads_there() {
    let site = site().await;
    let (former, current) = merged_customer(&site).await;
    for id in [&former, &current] {
        let customer = site.get(&format!("/api/v1/nexus/customers/{id}")).await;
        assert_eq!((customer.status, customer.text("customer_id")), (200, &*current), "{customer:?}");
        let orders = site.get(&format!("/api/v1/nexus/orders?customer_id={id}")).await;
        assert_eq!(data(&orders).len(), 1, "{orders:?}");
        assert_eq!(data(&orders)[0]["customer_id"], *current);
        for about in ["provenance", "history"] {
            let told = site.get(&format!("/api/v1/nexus/customers/{id}/{about}")).await;
            assert_eq!((told.status, told.text("customer_id")), (200, &*current), "{told:?}");
        }
    }
}

#[tokio::test]
async fn every_claim_is_shown_and_which_of_them_survives() {
    let site = site().await;
    let (_, customer_id) = merged_customer(&site).await;
    let told = site.get(&format!("/api/v1/nexus/customers/{customer_id}/provenance")).await;
    let names: Vec<(&Value, &Value)> = data(&told)
        .iter()
        .filter(|claim| claim["field"] == "last_name")
        .map(|claim| (&claim["value"], &claim["is_winner"]))
        .collect();
    assert_eq!(names, [(&json!("King"), &json!(true)), (&json!("Lovelace"), &json!(false))], "{told:?}");
    for claim in data(&told) {
        let event = site.get(&format!("/api/v1/events/{}", claim["event_id"].as_str().unwrap())).await;
        assert_eq!((event.status, &event.body["connector_id"]), (200, &claim["connector_id"]), "{claim}");
    }
}

#[tokio::test]
async fn what_became_of_an_entity_is_told_in_pages_with_its_reasons() {
    let site = site().await;
    let (former, current) = merged_customer(&site).await;
    let path = format!("/api/v1/nexus/customers/{current}/history");
    let whole = site.get(&path).await;
    let what: Vec<&str> = data(&whole).iter().map(|change| change["what"].as_str().unwrap()).collect();
    assert_eq!(what.iter().filter(|what| **what == "customer.created").count(), 1, "{what:?}");
    assert!(what.contains(&"customer.merged") && what.contains(&"record.moved"), "{what:?}");
    let moved = data(&whole).iter().find(|change| change["what"] == "record.moved").unwrap();
    assert_eq!((&moved["old_entity_id"], &moved["new_entity_id"]), (&json!(former), &json!(current)));
    assert_eq!(moved["because"][0]["key_type"], "email", "{moved}");

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = site.get(&format!("{path}?limit=1{cursor}")).await;
        assert!(data(&page).len() <= 1, "{page:?}");
        seen.extend(data(&page).clone());
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(&seen, data(&whole));
    let refused = site.get(&format!("{path}?limitt=1")).await;
    assert_eq!((refused.status, refused.text("code")), (422, "NX506"), "{refused:?}");
}

#[tokio::test]
async fn other_tenants_environments_and_scopes_see_nothing_of_it() {
    let (site, other) = (site().await, site().await);
    let (former, current) = merged_customer(&site).await;
    let (test_key, writer) = (site.key("test", "read,write,admin").await, site.key("prod", "write").await);
    let nobody = Uuid::new_v4().to_string();
    for about in ["", "/provenance", "/history"] {
        for id in [&former, &current] {
            let path = format!("/api/v1/nexus/customers/{id}{about}");
            for key in [&other.api_key, &test_key] {
                let hidden = site.get_as(key, &path).await;
                assert_eq!((hidden.status, hidden.text("code")), (404, "NX404"), "{path}: {hidden:?}");
            }
            let refused = site.get_as(&writer, &path).await;
            assert_eq!((refused.status, refused.text("code")), (403, "NX502"), "{path}: {refused:?}");
            let elsewhere = site.get(&path.replace("customers", "orders")).await;
            assert_eq!(elsewhere.status, 404, "a customer is no order: {elsewhere:?}");
        }
        let missing = site.get(&format!("/api/v1/nexus/customers/{nobody}{about}")).await;
        assert_eq!((missing.status, missing.text("code")), (404, "NX404"), "{missing:?}");
    }
}

#[tokio::test]
async fn a_source_is_ranked_by_rest() {
    let site = site().await;
    let path = "/api/v1/survivorship-rules";
    let rule = |rank: Value| json!({ "kind": "customer", "field": "name", "connector_id": site.shop.connector_id, "rank": rank });
    let put = async |key: &str, body: &Value| site.call(Method::PUT, path, key, body).await;
    let set = put(&site.api_key, &rule(json!(5))).await;
    assert_eq!((data(&set).len(), &data(&set)[0]["rank"]), (1, &json!(5)), "{set:?}");
    assert_eq!(
        data(&put(&site.api_key, &rule(json!(7))).await)[0]["rank"],
        7,
        "in the place of the one before"
    );
    assert_eq!(data(&site.get(&format!("{path}?kind=customer")).await).len(), 1);
    assert_eq!(data(&put(&site.api_key, &rule(Value::Null)).await).len(), 0);

    let reader = site.key("prod", "read").await;
    assert_eq!(put(&reader, &rule(json!(1))).await.status, 403);
    let (database, gateway) = &*GATEWAY;
    let other = Site::create(database, gateway).await;
    let stolen = other.call(Method::PUT, path, &other.api_key, &rule(json!(1))).await;
    assert_eq!((stolen.status, stolen.text("code")), (404, "NX404"), "{stolen:?}");
    let mut unknown = rule(json!(1));
    unknown["field"] = json!("colour");
    assert_eq!(put(&site.api_key, &unknown).await.status, 422);
    assert_eq!(put(&site.api_key, &rule(json!(1001))).await.status, 422);
    for field in ["kind", "connector_id"] {
        let mut lacking = rule(json!(1));
        lacking.as_object_mut().unwrap().remove(field);
        let refused = put(&site.api_key, &lacking).await;
        assert_eq!((refused.status, refused.text("code")), (422, "NX506"), "{field}: {refused:?}");
    }
}
