//! What a data team asks, and what it is told: the views on a small known history of two shops and an ERP, every
//! query of docs/sql.md as a tenant's own login, and what dbt is told of all that.

use crate::mapping_platform::Platform;
use nexus_tests::cluster::{Database, RUN, SHARED, connect};
use nexus_tests::gateway::admin_command;
use nexus_tests::ingest::accept;
use nexus_tests::shop::{minute, shopify, shopify_product, shopify_stock};
use nexus_tests::tenant::{Connector, Tenant};
use serde_json::{Value, json};
use std::fs;
use std::sync::LazyLock;
use tokio_postgres::Client;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

/// An ERP whose orders name the shop's.
const ERP_ORDER: &str = r#"
    order_number = "$.number"
    external_reference = "$.shop_order"
    financial_status = "$.payment"
    currency = "$.currency"
    total_amount = { path = "$.total", as = "decimal" }
    ordered_at = { path = "$.ordered_at", as = "timestamp" }
    source_created_at = { path = "$.ordered_at", as = "timestamp" }
"#;

static ERP: LazyLock<Platform> = LazyLock::new(Platform::new);

/// A tenant's login after a day of two shops and an ERP.
struct Day {
    shop: Connector,
    outlet: Connector,
    erp: Connector,
    client: Client,
}

fn person(id: i64, email: &str, name: &str, phone: Option<&str>) -> Value {
    json!({ "id": id, "email": email, "first_name": name, "last_name": "Lovelace", "phone": phone,
            "created_at": minute(0), "updated_at": minute(0) })
}

/// A paid order, with whatever else it says.
fn order(id: i64, currency: &str, total: &str, more: Value) -> Value {
    let mut order = json!({
        "id": id, "name": format!("#{id}"), "currency": currency, "total_price": total, "financial_status": "paid",
        "created_at": minute(id), "processed_at": minute(id), "updated_at": minute(id), "refunds": [],
        "customer": person(1, "ada@example.com", "Ada", Some("+31612345678")),
        "line_items": [{ "id": id * 10, "title": "Lamp", "quantity": 1, "price": total, "sku": "LAMP" }],
    });
    order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    order
}

impl Day {
    async fn create() -> Self {
        let admin = DATABASE.admin().await;
        let mut manifest = ERP.manifest("$.id", ERP_ORDER);
        manifest["category"] = json!("erp");
        ERP.register(&admin, &manifest).await;
        let tenant = Tenant::create(&admin).await;
        let shop = tenant.connector(&admin, "shopify").await;
        let outlet = tenant.connector(&admin, "shopify").await;
        let erp = tenant.connector(&admin, ERP.0).await;

        let refund = json!({ "financial_status": "partially_refunded", "refunds": [{
            "id": 41, "created_at": minute(90), "processed_at": minute(90), "refund_line_items": [], "order_adjustments": [],
            "transactions": [{ "id": 42, "kind": "refund", "status": "success", "amount": "5.00", "currency": "EUR" }] }] });
        for body in [
            order(1001, "EUR", "25.00", json!({})),
            order(1002, "EUR", "40.00", json!({})),
            order(1003, "USD", "10.00", json!({ "taxes_included": true, "total_line_items_price": "9.00" })),
            order(1004, "EUR", "30.00", refund),
            order(1005, "EUR", "99.00", json!({ "cancelled_at": minute(95) })),
            order(1006, "EUR", "99.00", json!({ "test": true })),
            // The same day in UTC, the next one in Amsterdam.
            order(
                1400,
                "EUR",
                "7.00",
                json!({ "financial_status": "pending", "created_at": minute(1410),
                                               "processed_at": minute(1410), "updated_at": minute(1410) }),
            ),
        ] {
            accept(&admin, &shop, &shopify("orders/create", &body, minute(1500))).await;
        }
        for (id, total, payment) in
            [(1001, "25.00", "pending"), (1002, "45.00", "paid"), (1004, "30.00", "unknown")]
        {
            let body = json!({ "id": 500 + id, "at": minute(id), "number": format!("SO{id}"), "shop_order": format!("#{id}"),
                               "currency": "EUR", "total": total, "ordered_at": minute(id), "payment": payment });
            accept(&admin, &erp, &shopify("order", &body, minute(1500))).await;
        }
        // The outlet sells the same mug, has the same shelf, and counts it otherwise.
        for (connector, product, available) in [(&shop, 70, 8), (&outlet, 80, 5)] {
            let location = json!({ "id": 5, "name": "Shelf", "active": true, "created_at": minute(0), "updated_at": minute(0) });
            accept(&admin, connector, &shopify("locations/create", &location, minute(1))).await;
            accept(
                &admin,
                connector,
                &shopify("products/create", &shopify_product(product, minute(2)), minute(2)),
            )
            .await;
            let stock = shopify_stock(product, available, minute(3));
            accept(&admin, connector, &shopify("inventory_levels/update", &stock, minute(3))).await;
        }
        // Ada's address with another name; her telephone with another address.
        let mut renamed = person(3, "ada@example.com", "Grace", None);
        renamed["last_name"] = json!("Hopper");
        accept(&admin, &outlet, &shopify("customers/update", &renamed, minute(5))).await;
        let other = person(2, "a.lovelace@example.com", "Ada", Some("+31612345678"));
        accept(&admin, &outlet, &shopify("customers/update", &other, minute(4))).await;
        let shelves = "select nexus.merge($1, 'location', min(l.location_id::text)::uuid, max(l.location_id::text)::uuid, 'one shelf')
                       from nexus.location l where l.tenant_id = $1";
        admin.execute(shelves, &[&tenant.tenant_id]).await.unwrap();

        let client = connect(&tenant.analyst(&DATABASE, &admin, Some(tenant.prod)).await).await;
        Self { shop, outlet, erp, client }
    }

    /// The rows of a query that gives one JSON value each.
    async fn ask(&self, sql: &str) -> Vec<Value> {
        let rows = self.client.query(sql, &[]).await.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// JSON with its numbers digit for digit, as numeric keeps them.
fn exactly(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn revenue_is_per_day_and_currency_and_knows_what_was_given_back() {
    let day = Day::create().await;
    let sql =
        "select jsonb_build_array(day, currency, orders, total_amount, refunded_amount, remaining_amount)
               from nexus.v_revenue_daily order by currency";
    let expected = [
        // 25 + 40 + 30 + 7 of the shop, and 45 of the ERP, which says of #1002 what the shop does not.
        exactly(r#"["2026-01-01", "EUR", 5, 147.00, 5.00, 142.00]"#),
        exactly(r#"["2026-01-01", "USD", 1, 10.00, 0, 10.00]"#),
    ];
    assert_eq!(day.ask(sql).await, expected);
    let sql = "select jsonb_build_array(orders, revenue, refunded, first_order_at < last_order_at)
               from nexus.v_customer_360 where email_key = 'ada@example.com'";
    assert_eq!(day.ask(sql).await, [exactly(r#"[5, {"EUR": 102.00, "USD": 10.00}, {"EUR": 5.00}, true]"#)]);
}

#[tokio::test]
async fn what_the_erp_lacks_or_says_otherwise_is_found() {
    let day = Day::create().await;
    let sql = "select jsonb_build_array(order_number, currency, named_by, age > interval '1 hour')
               from nexus.v_orders_stuck order by order_number";
    let stuck = [json!(["#1002", "EUR", ["1502"], true]), json!(["#1003", "USD", [], true])];
    assert_eq!(day.ask(sql).await, stuck);
    let sql = "select jsonb_build_array(least(order_number, other_order_number), is_joined, differs,
                                        sales_order_id = other_sales_order_id)
               from nexus.v_order_mismatch order by 1";
    let mismatches = [
        json!(["#1001", true, ["financial_status"], true]),
        json!(["#1002", false, ["total_amount"], false]),
    ];
    assert_eq!(day.ask(sql).await, mismatches);
    let sql = "select jsonb_build_array(connector_id, available, other_connector_id, other_available, location_name)
               from nexus.v_stock_mismatch";
    let rows = day.ask(sql).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let mut said = [(&rows[0][0], &rows[0][1]), (&rows[0][2], &rows[0][3])];
    said.sort_by_key(|(_, available)| available.as_i64());
    assert_eq!(
        said,
        [(&json!(day.outlet.connector_id), &json!(5)), (&json!(day.shop.connector_id), &json!(8))]
    );
}

#[tokio::test]
async fn what_people_should_look_at_is_shown() {
    let day = Day::create().await;
    let sql = "select jsonb_build_array(kind, name_a, name_b, pairs) from nexus.v_merge_candidates where kind = 'customer'";
    assert_eq!(day.ask(sql).await, [json!(["customer", "Ada Lovelace", "Ada Lovelace", 1])]);
    let sql = "select jsonb_build_array(kind, names, joined_by, reasons) from nexus.v_suspicious_merges";
    let reasons = ["different names", "joined by e-mail alone"];
    assert_eq!(
        day.ask(sql).await,
        [json!(["customer", ["Ada Lovelace", "Grace Hopper"], ["email"], reasons])]
    );
    let sql = "select jsonb_build_array(kind, finding, detail) from nexus.v_data_quality where kind = 'sales_order'";
    let finding = json!(["sales_order", "amounts_do_not_add_up", "total 10.00, parts 9.00 USD"]);
    assert!(day.ask(sql).await.contains(&finding), "{:?}", day.ask(sql).await);
}

#[tokio::test]
async fn mirrors_say_what_each_source_says() {
    let day = Day::create().await;
    let sql = "select jsonb_build_array(connector_id, financial_status, total_amount, ordered_at, pg_typeof(total_amount)::text)
               from nexus.sales_order_source where external_id in ('1001', '1501') order by external_id";
    let said = |connector: &Connector, status: &str| {
        json!([connector.connector_id, status, exactly("25.00"), "2026-01-01T16:41:00+00:00", "numeric"])
    };
    day.client.batch_execute("set timezone = 'UTC'").await.unwrap();
    assert_eq!(day.ask(sql).await, [said(&day.shop, "paid"), said(&day.erp, "pending")]);
    for kind in nexus_core::canonical::KINDS {
        // Every column of every row, so that every value is cast.
        let sql = format!(
            "select to_jsonb(count(*)) from (select to_jsonb(s) from nexus.{}_source s offset 0) t",
            kind.name
        );
        let mirrored = day.ask(&sql).await;
        let sql = format!("select to_jsonb(count(*)) from nexus.source_record where kind = '{}'", kind.name);
        assert_eq!(mirrored, day.ask(&sql).await, "{}", kind.name);
    }
}

/// The SQL blocks of the page.
fn documented() -> Vec<String> {
    let page = fs::read_to_string(RUN.checkout.join("docs/sql.md")).unwrap();
    page.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_documented_query_runs_as_a_tenants_login() {
    let day = Day::create().await;
    let queries = documented();
    assert!(queries.len() > 10, "{}", queries.len());
    for sql in queries {
        // Nothing but reading: whatever the page shows can be run without care.
        let read_only = format!("begin read only; {sql}; commit");
        let done = day.client.simple_query(&read_only).await;
        let messages = done.unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        let rows =
            messages.iter().filter(|m| matches!(m, tokio_postgres::SimpleQueryMessage::Row(_))).count();
        assert!(rows > 0, "the day has an answer to it:\n{sql}");
    }
}

#[tokio::test]
async fn dbt_is_told_what_the_database_says() {
    let output = admin_command(&DATABASE, &["dbt-sources"], &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let path = RUN.checkout.join("docs/dbt/sources.yml");
    if std::env::var_os("NEXUS_WRITE_SCHEMA").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let published = fs::read_to_string(path).unwrap();
    assert!(
        told == published,
        "docs/dbt/sources.yml is out of date: run the test again with NEXUS_WRITE_SCHEMA=1"
    );
    let named = told.split("- name: ").skip(1);
    let undescribed: Vec<&str> = named.filter(|part| !part.contains("description: \"")).collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
}

#[tokio::test]
async fn vocabularies_explain_every_value_that_a_column_may_have() {
    let client = DATABASE.admin().await;
    let sql = "select value from nexus.vocabulary where vocabulary = 'order_status' order by position";
    let values: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(values, ["draft", "pending", "confirmed", "on_hold", "completed", "cancelled", "unknown"]);
    let sql = "select category, array_agg(connector_type order by connector_type)
               from nexus.connector_type where is_built_in and is_current group by category order by category";
    let rows = client.query(sql, &[]).await.unwrap();
    let categories: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    let known = ["erp", "marketplace", "payment", "shop"].map(|name| Some(name.to_owned()));
    assert_eq!(categories, known, "every connector that comes with Nexus says what it is for");
    let erps: Vec<String> = rows[0].get(1);
    assert!(erps.contains(&"business-central".to_owned()) && erps.contains(&"odoo".to_owned()), "{erps:?}");
}
