//! What flows hear of and send, which settings apply, and that one can ask.

use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::ingest::accept;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::tenant::Tenant;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use uuid::Uuid;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

fn definition(extra: Value) -> Value {
    let mut definition = json!({ "kinds": ["sales_order"], "execution_url": "http://127.0.0.1:9" });
    definition.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    definition
}

#[tokio::test]
async fn routing_explains_what_it_did() {
    let client = DATABASE.admin().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let flows = [
        ("all", definition(json!({}))),
        ("paid", definition(json!({ "status_filters": { "financial_status": ["paid"] } }))),
        ("voided", definition(json!({ "status_filters": { "financial_status": ["voided"] } }))),
        ("in euros", definition(json!({ "when": { "path": "$.currency", "equals": "EUR" } }))),
        ("in yen", definition(json!({ "when": { "path": "$.currency", "equals": "JPY" } }))),
        ("products", json!({ "kinds": ["product"], "execution_url": "http://127.0.0.1:9" })),
        ("updates", definition(json!({ "topics": ["orders/updated"] }))),
    ];
    let create = "select nexus.create_flow($1, $2, $3, $4)";
    for (name, definition) in &flows {
        client.execute(create, &[&tenant.tenant_id, &tenant.prod, name, definition]).await.unwrap();
    }
    let mut order = shopify_order(fresh_id(), minute(1));
    order["financial_status"] = json!("paid");
    let accepted = accept(&client, &shop, &shopify("orders/create", &order, minute(1))).await;

    let made =
        "select f.name from nexus.job j join nexus.flow f using (tenant_id, flow_id) where j.event_id = $1";
    let rows = client.query(made, &[&accepted.event()]).await.unwrap();
    let mut got_jobs: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    got_jobs.sort();
    assert_eq!(got_jobs, ["all", "in euros", "paid"]);

    // The tenant itself may ask.
    let analyst = tenant.analyst(&DATABASE, &client, None).await;
    let analyst = nexus_tests::cluster::connect(&analyst).await;
    let explain =
        "select flow_name, is_wanted, reason from nexus.explain_routing($1, $2) where kind = 'sales_order'";
    let rows = analyst.query(explain, &[&tenant.tenant_id, &accepted.event()]).await.unwrap();
    let told: BTreeMap<String, (bool, String)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    assert_eq!(told.len(), flows.len());
    for (name, (is_wanted, reason)) in &told {
        assert_eq!(*is_wanted, got_jobs.contains(name), "{name}: {reason}");
    }
    assert_eq!(told["voided"].1, "financial_status is paid, and the flow is for voided");
    assert_eq!(told["updates"].1, "the flow is for other topics");
}

#[tokio::test]
async fn every_setting_says_where_it_comes_from() {
    let client = DATABASE.admin().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "woocommerce").await;
    let flow = tenant.flow(&client, &definition(json!({ "timeout_seconds": 7 }))).await;
    client.execute("select nexus.set_setting('job_retention_days', '45')", &[]).await.unwrap();
    let sql = "select setting, tier, value, is_default, connector_id from nexus.effective_settings($1, $2)";
    let rows = client.query(sql, &[&tenant.tenant_id, &flow]).await.unwrap();
    let of = |name: &str| -> (String, Value, bool, Option<Uuid>) {
        let of: Vec<_> = rows.iter().filter(|row| row.get::<_, &str>(0) == name).collect();
        assert_eq!(of.len(), 1, "{name} stands in one place");
        (of[0].get(1), of[0].get(2), of[0].get(3), of[0].get(4))
    };
    assert_eq!(of("timeout_seconds"), ("flow".to_owned(), json!(7), false, None));
    assert_eq!(of("pricing_mode"), ("flow".to_owned(), json!("payload"), true, None));
    assert_eq!(of("currency"), ("connector".to_owned(), json!("EUR"), false, Some(shop.connector_id)));
    assert_eq!(of("timezone"), ("connector".to_owned(), json!("UTC"), true, Some(shop.connector_id)));
    assert_eq!(of("job_retention_days"), ("platform".to_owned(), json!(45), false, None));
    assert_eq!(of("event_retention_days"), ("platform".to_owned(), json!(90), true, None));
    for (name, value) in [("job_retention_days", json!(0)), ("no_such", json!(1))] {
        assert!(
            client.execute("select nexus.set_setting($1, $2)", &[&name, &value]).await.is_err(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn lineage_names_the_places_of_a_field() {
    let client = DATABASE.admin().await;
    let sql = "select source from nexus.field_lineage('shopify') where kind = 'sales_order' and field = $1 and entity = 'order'";
    let rows = client.query(sql, &[&"order_number"]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["$.name"]);
}
