//! Stages 2 to 4 and 6, by SQL: what each request becomes, and that the order of arrival does not matter.

use crate::golden;
use futures_util::future::join_all;
use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::ingest::{accept, ingest, ingest_batch};
use nexus_tests::random::Random;
use nexus_tests::shop::{
    Webhook, fresh_id, minute, shopify, shopify_bytes, shopify_line, shopify_order, shopify_product,
    shopify_stock, woocommerce, woocommerce_order,
};
use nexus_tests::tenant::{Connector, Tenant};
use serde_json::{Value, json};
use std::sync::LazyLock;
use tokio_postgres::Client;
use uuid::Uuid;

/// No gateway works on this one: what is queued stays.
static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

async fn session() -> Client {
    DATABASE.admin().await
}

async fn count(client: &Client, sql: &str, id: Uuid) -> i64 {
    client.query_one(sql, &[&id]).await.unwrap().get(0)
}

const EVENTS_OF_TENANT: &str = "select count(*) from nexus.event where tenant_id = $1";

#[tokio::test]
async fn each_input_ends_in_one_explained_state() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let order = shopify_order(fresh_id(), minute(1));

    let first = shopify("orders/create", &order, minute(1));
    let accepted = accept(&client, &shop, &first).await;
    assert_eq!((accepted.duplicate_of, &accepted.reason), (None, &None));
    assert_eq!(accepted.trace_id.map(|id| id.len()), Some(32));

    let again = ingest(&client, &shop, &first).await.unwrap();
    assert_eq!((again.status.as_str(), again.duplicate_of), ("duplicate", accepted.event_id));

    for (webhook, status, why) in [
        (shopify("app/uninstalled", &json!({}), minute(2)), "ignored", "about the app"),
        (shopify("no/such_topic", &json!({}), minute(2)), "ignored", "no/such_topic"),
        (shopify_bytes("orders/create", b"{\"id\": 1,".to_vec(), minute(2)), "quarantined", "not JSON"),
        (shopify_bytes("orders/create", vec![0xff, 0xfe], minute(2)), "quarantined", "UTF-8"),
        (shopify("orders/create", &with(&order, "id", Value::Null), minute(2)), "quarantined", "has no id"),
        (
            shopify("orders/create", &with(&order, "total_price", json!("12,50 €")), minute(2)),
            "quarantined",
            "12,50 €",
        ),
    ] {
        let ingested = ingest(&client, &shop, &webhook).await.unwrap();
        let reason = ingested.reason.clone().unwrap_or_default();
        assert_eq!(ingested.status, status, "{reason}");
        assert!(reason.contains(why), "{reason:?} does not say {why:?}");
        let kept = "select status, reason, body from nexus.event where event_id = $1";
        let row = client.query_one(kept, &[&ingested.event()]).await.unwrap();
        assert_eq!(
            (row.get::<_, String>(0), row.get::<_, Option<String>>(1)),
            (ingested.status, ingested.reason)
        );
        assert_eq!(row.get::<_, Vec<u8>>(2), webhook.body, "the body is kept byte for byte");
    }
    assert_eq!(count(&client, EVENTS_OF_TENANT, tenant.tenant_id).await, 7, "a duplicate is no event");
    let quarantined =
        "select count(*) from nexus.domain_event where tenant_id = $1 and event_type = 'event.quarantined'";
    assert_eq!(count(&client, quarantined, tenant.tenant_id).await, 4);
}

#[tokio::test]
async fn an_unknown_connector_is_an_error_with_a_code() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let stranger = Tenant::create(&client).await.connector(&client, "shopify").await;
    let unknown = Connector { tenant_id: tenant.tenant_id, ..stranger };
    let webhook = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    let error = ingest(&client, &unknown, &webhook).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.detail()), ("P0002", Some(r#"{"code": "NX404"}"#)));
}

#[tokio::test]
async fn a_bad_request_does_not_fail_its_batch() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await.connector_id;
    let order =
        |minutes| shopify("orders/create", &shopify_order(fresh_id(), minute(minutes)), minute(minutes));
    let (good, better) = (order(1), order(2));
    let malformed = shopify_bytes("orders/create", b"{".to_vec(), minute(1));
    // More than the database's numeric holds.
    let enormous = with(&shopify_order(fresh_id(), minute(1)), "total_price", json!("1e200000"));
    let unstorable = shopify("orders/create", &enormous, minute(1));
    let batch = [
        (shop, &good),
        (shop, &malformed),
        (shop, &good),
        (Uuid::nil(), &better),
        (shop, &unstorable),
        (shop, &better),
    ];
    let answers = ingest_batch(&client, tenant.tenant_id, &batch).await.unwrap();
    let statuses: Vec<&str> = answers.iter().map(|answer| answer.status.as_str()).collect();
    assert_eq!(statuses, ["accepted", "quarantined", "duplicate", "rejected", "quarantined", "accepted"]);
    assert_eq!(answers[2].duplicate_of, answers[0].event_id);
    let orders = "select count(*) from nexus.sales_order where tenant_id = $1";
    assert_eq!(count(&client, orders, tenant.tenant_id).await, 2);
}

#[tokio::test]
async fn updates_of_a_shopify_order_give_one_state_in_every_order_of_arrival() {
    let id = fresh_id();
    let placed = shopify_order(id, minute(0));
    let paid = with(&with(&placed, "updated_at", json!(minute(5))), "financial_status", json!("paid"));
    // The same second as `paid`, another content: neither is later than the other.
    let noted = with(&with(&placed, "updated_at", json!(minute(5))), "note", json!("ring twice"));
    let lines = json!([shopify_line(id + 3, "KETTLE", "90.00", 1)]);
    let reduced = with(&with(&paid, "updated_at", json!(minute(9))), "line_items", lines);
    let history = [
        shopify("orders/create", &placed, minute(0)),
        shopify("orders/paid", &paid, minute(5)),
        shopify("orders/updated", &noted, minute(5)),
        shopify("orders/updated", &reduced, minute(9)),
        shopify("orders/delete", &json!({ "id": id }), minute(12)),
    ];
    same_in_every_order("shopify", &history[..4]).await;
    // With its end, in the orders that matter: the end first, in between, and last.
    for end in 0..4 {
        let mut ended = history[1..4].to_vec();
        ended.insert(end, history[4].clone());
        assert_eq!(state_after("shopify", &ended).await, state_after("shopify", &history[1..]).await);
    }
}

#[tokio::test]
async fn updates_of_a_woocommerce_order_give_one_state_in_every_order_of_arrival() {
    let id = fresh_id();
    let placed = woocommerce_order(id, minute(0));
    let paid = with(&woocommerce_order(id, minute(5)), "status", json!("processing"));
    let completed = with(&woocommerce_order(id, minute(9)), "status", json!("completed"));
    let trashed = with(&woocommerce_order(id, minute(12)), "status", json!("trash"));
    let history = [
        woocommerce("order.created", &placed, minute(0)),
        woocommerce("order.updated", &paid, minute(5)),
        woocommerce("order.updated", &completed, minute(9)),
        woocommerce("order.deleted", &trashed, minute(12)),
    ];
    same_in_every_order("woocommerce", &history).await;
}

/// Takes a history in by a connector of its own for every permutation, and compares what it comes to.
async fn same_in_every_order(connector_type: &'static str, history: &[Webhook]) {
    let expected = state_after(connector_type, history).await;
    assert_eq!(expected["golden"]["sales_order"].as_array().map(Vec::len), Some(1));
    for permutation in permutations(history.len()) {
        let shuffled: Vec<Webhook> = permutation.iter().map(|at| history[*at].clone()).collect();
        let state = state_after(connector_type, &shuffled).await;
        assert_eq!(state, expected, "arrived in the order {permutation:?}");
    }
}

async fn state_after(connector_type: &'static str, history: &[Webhook]) -> Value {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, connector_type).await;
    for webhook in history {
        accept(&client, &shop, webhook).await;
    }
    golden::state(&client, &shop).await
}

#[tokio::test]
async fn a_redelivery_is_an_event_and_changes_nothing() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let flow = json!({ "kinds": ["sales_order", "customer"], "execution_url": "https://example.com/" });
    tenant.flow(&client, &flow).await;
    let webhook = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    let first = accept(&client, &shop, &webhook).await;
    let written = "select jsonb_agg(to_jsonb(t)) from (
            select xmin::text, sales_order_id as id, entity_version from nexus.sales_order where tenant_id = $1
            union all select xmin::text, customer_id, entity_version from nexus.customer where tenant_id = $1
            union all select xmin::text, sales_order_line_id, 0 from nexus.sales_order_line where tenant_id = $1
            order by id) t";
    let rows = async || client.query_one(written, &[&tenant.tenant_id]).await.unwrap().get::<_, Value>(0);
    let before = rows().await;

    let second = accept(&client, &shop, &webhook.delivered_again()).await;
    assert_ne!(first.event_id, second.event_id);
    assert_eq!(rows().await, before, "no golden row was written again");
    let domain_events = "select count(*) from nexus.domain_event where event_id = $1";
    let jobs = "select count(*) from nexus.job where event_id = $1";
    let effects = [
        count(&client, domain_events, first.event()).await,
        count(&client, jobs, first.event()).await,
        count(&client, domain_events, second.event()).await,
        count(&client, jobs, second.event()).await,
    ];
    assert_eq!(effects, [2, 2, 0, 0]);
    let why = "select outcome ->> 'no_job' from nexus.event where event_id = $1";
    let why: String = client.query_one(why, &[&second.event()]).await.unwrap().get(0);
    assert!(why.contains("nothing changed"), "{why}");
}

#[tokio::test]
async fn an_update_from_before_a_deletion_does_not_bring_the_order_back() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let id = fresh_id();
    let deleted = "select deleted_at is not null from nexus.sales_order where tenant_id = $1";
    let is_deleted =
        async || client.query_one(deleted, &[&tenant.tenant_id]).await.unwrap().get::<_, bool>(0);

    accept(&client, &shop, &shopify("orders/create", &shopify_order(id, minute(0)), minute(0))).await;
    assert!(!is_deleted().await);
    accept(&client, &shop, &shopify("orders/delete", &json!({ "id": id }), minute(10))).await;
    assert!(is_deleted().await);
    accept(&client, &shop, &shopify("orders/updated", &shopify_order(id, minute(5)), minute(5))).await;
    assert!(is_deleted().await, "the update is older");
    accept(&client, &shop, &shopify("orders/updated", &shopify_order(id, minute(15)), minute(15))).await;
    assert!(!is_deleted().await, "a deletion is a claim like any other: a later one says that it is there");
}

#[tokio::test]
async fn stock_finds_its_variant_whichever_comes_first() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let (early, late) = (fresh_id(), fresh_id());
    let product = |id| shopify("products/create", &shopify_product(id, minute(1)), minute(1));
    let stock = |id| shopify("inventory_levels/update", &shopify_stock(id, 7, minute(2)), minute(2));
    for webhook in [stock(early), product(early), product(late), stock(late)] {
        accept(&client, &shop, &webhook).await;
    }
    let joined = "select v.sku, i.available::text from nexus.inventory_level i
                  join nexus.product_variant v using (tenant_id, product_variant_id)
                  where i.tenant_id = $1 order by v.sku";
    let rows = client.query(joined, &[&tenant.tenant_id]).await.unwrap();
    let found: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut expected = [early, late].map(|id| (format!("MUG-{id}"), "7".to_owned()));
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_change_that_a_later_one_of_its_batch_told_of_names_that_trace() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let id = fresh_id();
    let created = shopify("orders/create", &shopify_order(id, minute(0)), minute(0));
    let updated =
        shopify("orders/updated", &with(&shopify_order(id, minute(1)), "note", json!("gift")), minute(1));
    let batch = [(shop.connector_id, &created), (shop.connector_id, &updated)];
    let ingested = ingest_batch(&client, tenant.tenant_id, &batch).await.unwrap();
    let [first, last] = [0, 1].map(|place: usize| ingested[place].trace_id.clone().unwrap());

    let sql = "select t.detail ->> 'emitted_in_trace' from nexus.trace($1, $2) t
               where t.stage = 'create' and t.detail ->> 'kind' = 'sales_order'";
    let told_in = async |trace: &String| {
        client.query_one(sql, &[&tenant.tenant_id, trace]).await.unwrap().get::<_, Option<String>>(0)
    };
    assert_eq!((told_in(&first).await, told_in(&last).await), (Some(last.clone()), None));
    let emitted = "select count(*) from nexus.trace($1, $2) t
                   where t.outcome = 'emitted' and t.detail ->> 'entity_kind' = 'sales_order'";
    let emitted: i64 = client.query_one(emitted, &[&tenant.tenant_id, &last]).await.unwrap().get(0);
    assert_eq!(emitted, 1);
}

#[tokio::test]
async fn batches_that_claim_what_the_other_refers_to_do_not_block_each_other() {
    let (one, other) = (session().await, session().await);
    let tenant = Tenant::create(&one).await;
    let shop = tenant.connector(&one, "shopify").await;
    let product = |id| {
        let mut product = shopify_product(id, minute(1));
        // Else its number would have both batches wait for each other before.
        product["variants"][0]["barcode"] = Value::Null;
        shopify("products/create", &product, minute(1))
    };
    let stock = |id| shopify("inventory_levels/update", &shopify_stock(id, 7, minute(2)), minute(2));
    const ROUNDS: i64 = 25;
    for _ in 0..ROUNDS {
        let (a, b) = (fresh_id(), fresh_id());
        let batches = [[product(a), stock(b)], [product(b), stock(a)]];
        let [first, second] =
            batches.each_ref().map(|batch| [(shop.connector_id, &batch[0]), (shop.connector_id, &batch[1])]);
        let (first, second) = tokio::join!(
            ingest_batch(&one, tenant.tenant_id, &first),
            ingest_batch(&other, tenant.tenant_id, &second)
        );
        for ingested in first.unwrap().into_iter().chain(second.unwrap()) {
            assert_eq!(ingested.status, "accepted", "{ingested:?}");
        }
    }
    let joined = "select count(*) from nexus.inventory_level i
                  join nexus.product_variant v using (tenant_id, product_variant_id) where i.tenant_id = $1";
    let joined: i64 = one.query_one(joined, &[&tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(joined, 2 * ROUNDS, "all stock finds its variant");
}

#[tokio::test]
async fn a_line_that_an_update_leaves_out_is_gone() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let id = fresh_id();
    let lines = "select string_agg(coalesce(sku, line_type), ' ' order by position) from nexus.sales_order_line where tenant_id = $1";
    let lines = async || client.query_one(lines, &[&tenant.tenant_id]).await.unwrap().get::<_, String>(0);

    accept(&client, &shop, &shopify("orders/create", &shopify_order(id, minute(0)), minute(0))).await;
    assert_eq!(lines().await, "MUG KETTLE shipping");
    let other = json!([shopify_line(id + 3, "KETTLE", "90.00", 1), shopify_line(id + 5, "TRAY", "12.00", 1)]);
    let edited = with(&shopify_order(id, minute(3)), "line_items", other);
    accept(&client, &shop, &shopify("orders/updated", &edited, minute(3))).await;
    assert_eq!(lines().await, "KETTLE TRAY shipping");
}

#[tokio::test]
async fn money_is_kept_digit_for_digit() {
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let (shopify_shop, woocommerce_shop) =
        (tenant.connector(&client, "shopify").await, tenant.connector(&client, "woocommerce").await);
    for digits in ["10.49999998929", "0.10", "1234567890123456789.123456789", "0", "7", "100.00"] {
        let id = fresh_id();
        // As text, as Shopify writes amounts.
        let order = with(&shopify_order(id, minute(0)), "total_price", json!(digits));
        accept(&client, &shopify_shop, &shopify("orders/create", &order, minute(0))).await;
        let total =
            "select total_amount::text from nexus.sales_order where tenant_id = $1 and order_number = $2";
        let kept: String =
            client.query_one(total, &[&tenant.tenant_id, &format!("#{id}")]).await.unwrap().get(0);
        assert_eq!(kept, digits);
        // As a number, as WooCommerce writes a line's price.
        let id = fresh_id();
        let text = woocommerce_order(id, minute(0))
            .to_string()
            .replace("\"price\":12.5", &format!("\"price\":{digits}"));
        assert!(text.contains(digits));
        let mut webhook = woocommerce("order.created", &Value::Null, minute(0));
        webhook.body = text.into_bytes();
        accept(&client, &woocommerce_shop, &webhook).await;
        let price =
            "select unit_price::text from nexus.sales_order_line where tenant_id = $1 and external_id = $2";
        let kept: String =
            client.query_one(price, &[&tenant.tenant_id, &(id + 2).to_string()]).await.unwrap().get(0);
        assert_eq!(kept, digits);
    }
}

/// Eight sessions take the same history of the same orders in, each in an order of its own, in batches.
#[tokio::test]
async fn concurrent_writers_of_the_same_orders_agree() {
    const WRITERS: u64 = 8;
    let client = session().await;
    let tenant = Tenant::create(&client).await;
    let contended = tenant.connector(&client, "shopify").await;
    // Of another tenant, or its people would be those of the first.
    let alone = Tenant::create(&client).await.connector(&client, "shopify").await;
    let mut history = Vec::new();
    for order in 0..12 {
        let id = fresh_id();
        for version in 0..3_i64 {
            let mut body = shopify_order(id, minute(version * 10));
            body["note"] = json!(format!("version {version}"));
            // All of them bought by one customer: the hottest record.
            body["customer"]["id"] = json!(4711);
            body["customer"]["updated_at"] = json!(minute(order * 10 + version));
            body["customer"]["first_name"] = json!(format!("Ada {order}.{version}"));
            history.push(shopify("orders/updated", &body, minute(version * 10)));
        }
    }
    let writers = (0..WRITERS).map(|seed| {
        let (history, contended) = (&history, &contended);
        async move {
            let client = session().await;
            // Deliveries of their own: none is a duplicate of another writer's.
            let own: Vec<Webhook> =
                Random::new(seed).shuffled(history.to_vec()).iter().map(own_delivery).collect();
            for batch in own.chunks(5) {
                let batch: Vec<(Uuid, &Webhook)> =
                    batch.iter().map(|webhook| (contended.connector_id, webhook)).collect();
                let answers = ingest_batch(&client, contended.tenant_id, &batch).await.expect("no deadlock");
                assert!(answers.iter().all(|answer| answer.status == "accepted"));
            }
        }
    });
    join_all(writers).await;
    for webhook in &history {
        accept(&client, &alone, webhook).await;
    }
    let state = golden::state(&client, &contended).await;
    assert_eq!(state["golden"]["sales_order"].as_array().map(Vec::len), Some(12));
    assert_eq!(state, golden::state(&client, &alone).await);
    let events = "select count(*) from nexus.event where connector_id = $1";
    assert_eq!(count(&client, events, contended.connector_id).await, 8 * 36);
}

/// The same webhook, sent at the same time, under a delivery id of its own.
fn own_delivery(webhook: &Webhook) -> Webhook {
    Webhook { sent_at: webhook.sent_at, ..webhook.delivered_again() }
}

/// All orders of the numbers below `length`.
fn permutations(length: usize) -> Vec<Vec<usize>> {
    if length == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(length - 1);
    let insert = |rest: &Vec<usize>, at: usize| [&rest[..at], &[length - 1], &rest[at..]].concat();
    shorter.iter().flat_map(|rest| (0..length).map(move |at| insert(rest, at))).collect()
}

fn with(body: &Value, member: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[member] = value;
    body
}
