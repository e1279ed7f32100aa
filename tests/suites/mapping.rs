//! Changing a mapping on live data: versions, preview, reading events again, and going back.

use crate::golden;
use crate::mapping_platform::Platform;
use jiff::Timestamp;
use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::ingest::{accept, ingest};
use nexus_tests::shop::{Webhook, minute, shopify, shopify_bytes};
use nexus_tests::tenant::{Connector, Tenant};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tokio_postgres::Client;
use uuid::Uuid;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

pub const FIRST: &str = r#"
    order_number = "$.number"
    order_status = { path = "$.state", map = { open = "confirmed", done = "completed" }, default = "unknown" }
    note = "$.remark"
    email = "$.mail"
"#;

/// Other words for the states, another place for the number, and no notes.
pub const SECOND: &str = r#"
    order_number = { template = "N-{number}", with = { number = "$.number" } }
    order_status = { path = "$.state", map = { open = "pending", done = "completed", lost = "cancelled" }, default = "unknown" }
    email = "$.mail"
"#;

pub fn order(id: u32, at: Timestamp, fields: Value) -> Webhook {
    let mut body = json!({ "id": id, "at": at });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    shopify("order", &body, at)
}

/// Three orders in several states, one of them told of late and one only in parts.
fn history() -> Vec<Webhook> {
    vec![
        order(
            1,
            minute(1),
            json!({ "number": "1", "state": "open", "remark": "a", "mail": "one@example.com" }),
        ),
        order(1, minute(9), json!({ "state": "done" })),
        order(1, minute(5), json!({ "state": "lost", "remark": "late" })),
        order(2, minute(2), json!({ "number": "2", "state": "lost" })),
        order(3, minute(3), json!({ "number": "3", "state": "open", "other_id": 30 })),
    ]
}

/// Reads everything again, in batches of two events; the golden entities that changed.
async fn reprocess(client: &Client, connector: &Connector) -> i64 {
    let (sql, filter) = (
        "select entities, next_event_id from nexus.reprocess($1, $2, 2)",
        json!({ "connector_id": connector.connector_id }),
    );
    let mut changed = 0;
    loop {
        let row = client.query_one(sql, &[&connector.tenant_id, &filter]).await.unwrap();
        changed += i64::from(row.get::<_, i32>(0));
        if row.get::<_, Option<Uuid>>(1).is_none() {
            return changed;
        }
    }
}

type Diff = BTreeMap<(String, String), (Value, Value)>;

/// The fields in which two states of a connector's golden orders differ, by order.
fn difference(before: &Value, after: &Value) -> Diff {
    let rows = |state: &Value| -> BTreeMap<String, Value> {
        let rows = state.as_array().unwrap().iter();
        rows.map(|row| (row["sales_order_id"].as_str().unwrap().to_owned(), row.clone())).collect()
    };
    let (before, after) = (rows(before), rows(after));
    let mut diff = Diff::new();
    for (id, row) in &after {
        for (field, new) in row.as_object().unwrap() {
            let old = before.get(id).map_or(&Value::Null, |row| &row[field]);
            let is_content = !matches!(field.as_str(), "entity_version" | "updated_at" | "created_at")
                && !field.ends_with("_id")
                && !field.ends_with("_key");
            if is_content && old != new {
                diff.insert((id.clone(), field.clone()), (old.clone(), new.clone()));
            }
        }
    }
    diff
}

async fn orders(client: &Client, connector: &Connector) -> Value {
    let sql = "select coalesce(jsonb_agg(to_jsonb(o) || jsonb_build_object('deleted_at', o.deleted_at is not null)), '[]')
        from nexus.sales_order o where o.tenant_id = $1";
    client.query_one(sql, &[&connector.tenant_id]).await.unwrap().get(0)
}

async fn preview(client: &Client, connector: &Connector, manifest: &Value) -> Diff {
    let sql = "select kind, entity_id::text, field, old, new from nexus.preview_mapping($1, $2, $3)";
    let rows = client.query(sql, &[&connector.tenant_id, &connector.connector_type, manifest]).await.unwrap();
    let value = |value: Option<Value>| value.unwrap_or_default();
    rows.iter()
        .filter(|row| row.get::<_, &str>(0) == "sales_order")
        .map(|row| {
            let is_flag = row.get::<_, &str>(2) == "deleted_at";
            let old = value(row.get(3));
            let old = if is_flag && old.is_null() { json!(false) } else { old };
            ((row.get(1), row.get(2)), (old, value(row.get(4))))
        })
        .collect()
}

#[tokio::test]
async fn a_preview_tells_what_reprocessing_then_does_and_rollback_is_as_if_nothing_had_been() {
    let client = DATABASE.admin().await;
    let (changing, steady) = (Platform::new(), Platform::new());
    changing.register(&client, &changing.manifest("$.id", FIRST)).await;
    steady.register(&client, &steady.manifest("$.id", FIRST)).await;
    let shop = Tenant::create(&client).await.connector(&client, changing.0).await;
    let untouched = Tenant::create(&client).await.connector(&client, steady.0).await;
    for webhook in history() {
        accept(&client, &shop, &webhook).await;
        accept(&client, &untouched, &webhook).await;
    }
    let first = orders(&client, &shop).await;

    // The second mapping, and one under which records have other ids: order 3 becomes another one.
    for (id, fields) in [("$.id", SECOND), ("$.number", SECOND)] {
        let before = orders(&client, &shop).await;
        let manifest = changing.manifest(id, fields);
        let expected = preview(&client, &shop, &manifest).await;
        assert!(!expected.is_empty());
        assert_eq!(orders(&client, &shop).await, before, "a preview writes nothing");
        changing.register(&client, &manifest).await;
        reprocess(&client, &shop).await;
        assert_eq!(difference(&before, &orders(&client, &shop).await), expected);
        assert_eq!(reprocess(&client, &shop).await, 0, "a second reading finds nothing to change");
    }

    let rolled_back = "select nexus.use_connector_type_version($1, 1)";
    client.execute(rolled_back, &[&changing.0]).await.unwrap();
    reprocess(&client, &shop).await;
    let state = golden::state(&client, &shop).await;
    let expected = golden::state(&client, &untouched).await;
    let claimed = |state: &Value| -> Vec<Value> {
        let records = state["records"].as_array().unwrap().iter();
        records.filter(|record| record["document"] != json!({})).cloned().collect()
    };
    assert_eq!(claimed(&state), claimed(&expected));
    let live = |rows: Value| -> Vec<Value> {
        let rows = rows.as_array().unwrap().iter();
        rows.filter(|row| row["deleted_at"] == json!(false)).cloned().collect()
    };
    assert_eq!(difference(&first, &json!(live(orders(&client, &shop).await))), Diff::new());
}

#[tokio::test]
async fn what_comes_in_while_events_are_read_again_is_not_lost() {
    let client = DATABASE.admin().await;
    let platform = Platform::new();
    platform.register(&client, &platform.manifest("$.id", FIRST)).await;
    let shop = Tenant::create(&client).await.connector(&client, platform.0).await;
    for webhook in history() {
        accept(&client, &shop, &webhook).await;
    }
    platform.register(&client, &platform.manifest("$.id", SECOND)).await;
    let writer = {
        let (shop, client) = (shop.clone(), DATABASE.admin().await);
        tokio::spawn(async move {
            for number in 10..40u32 {
                let at = minute(i64::from(number));
                accept(&client, &shop, &order(number % 5, at, json!({ "state": "open", "number": number })))
                    .await;
            }
        })
    };
    while !writer.is_finished() {
        reprocess(&client, &shop).await;
    }
    writer.await.unwrap();
    // Another with the same history that never knew the first mapping.
    let other = Platform::new();
    other.register(&client, &other.manifest("$.id", SECOND)).await;
    let fresh = Tenant::create(&client).await.connector(&client, other.0).await;
    for webhook in history() {
        accept(&client, &fresh, &webhook).await;
    }
    for number in 10..40u32 {
        let at = minute(i64::from(number));
        accept(&client, &fresh, &order(number % 5, at, json!({ "state": "open", "number": number }))).await;
    }
    assert_eq!(golden::state(&client, &shop).await, golden::state(&client, &fresh).await);
}

#[tokio::test]
async fn what_was_in_quarantine_is_taken_up_once_its_mapping_is_mended() {
    let client = DATABASE.admin().await;
    let platform = Platform::new();
    platform.register(&client, &platform.manifest("$.key", FIRST)).await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, platform.0).await;
    tenant.flow(&client, &json!({ "kinds": ["sales_order"], "execution_url": "http://127.0.0.1:9" })).await;
    let good = ingest(&client, &shop, &order(7, minute(1), json!({ "number": "7" }))).await.unwrap();
    let broken = ingest(&client, &shop, &shopify_bytes("order", b"{".to_vec(), minute(1))).await.unwrap();
    assert_eq!((good.status.as_str(), broken.status.as_str()), ("quarantined", "quarantined"));

    platform.register(&client, &platform.manifest("$.id", FIRST)).await;
    let sql = "select events, quarantined, entities from nexus.reprocess($1, $2)";
    let filter = json!({ "status": "quarantined" });
    let row = client.query_one(sql, &[&tenant.tenant_id, &filter]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, i32>(2)), (2, 1, 1));
    let sql = "select status, reason_code from nexus.event where event_id = $1";
    let status = async |event_id| {
        let row = client.query_one(sql, &[&event_id]).await.unwrap();
        (row.get::<_, String>(0), row.get::<_, Option<String>>(1))
    };
    assert_eq!(status(good.event()).await, ("accepted".to_owned(), None));
    assert_eq!(status(broken.event()).await, ("quarantined".to_owned(), Some("NX201".to_owned())));
    let jobs = "select count(*) from nexus.job where event_id = $1";
    let made = async || client.query_one(jobs, &[&good.event()]).await.unwrap().get::<_, i64>(0);
    assert_eq!(made().await, 1, "flows hear of it at last");
    let filter = json!({ "event_ids": [good.event()] });
    let again = "select entities from nexus.reprocess($1, $2)";
    let row = client.query_one(again, &[&tenant.tenant_id, &filter]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), made().await), (0, 1), "and once");
}

#[tokio::test]
async fn a_pinned_connector_stays_on_its_version() {
    let client = DATABASE.admin().await;
    let platform = Platform::new();
    assert_eq!(platform.register(&client, &platform.manifest("$.id", FIRST)).await, 1);
    let tenant = Tenant::create(&client).await;
    let pinned = tenant.connector(&client, platform.0).await;
    let following = tenant.connector(&client, platform.0).await;
    let changes = json!({ "pinned_version": 1 });
    let pin = "select nexus.update_connector($1, $2, $3, $4)";
    client.execute(pin, &[&tenant.tenant_id, &tenant.prod, &pinned.connector_id, &changes]).await.unwrap();
    assert_eq!(platform.register(&client, &platform.manifest("$.id", SECOND)).await, 2);
    assert_eq!(
        platform.register(&client, &platform.manifest("$.id", SECOND)).await,
        2,
        "the same is no other"
    );
    for (connector, number) in [(&pinned, "1"), (&following, "N-1")] {
        accept(&client, connector, &order(1, minute(1), json!({ "number": "1" }))).await;
        let sql = "select document ->> 'order_number' from nexus.source_record where connector_id = $1";
        let row = client.query_one(sql, &[&connector.connector_id]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), number);
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_used_is_refused_with_the_place() {
    let client = DATABASE.admin().await;
    let mut manifest = Platform::new().manifest("$.id", FIRST);
    manifest["entities"]["order"]["documents"][0]["kind"] = json!("order");
    let error = client.execute("select nexus.register_connector_type($1)", &[&manifest]).await.unwrap_err();
    let detail: Value = serde_json::from_str(error.as_db_error().unwrap().detail().unwrap()).unwrap();
    assert_eq!(detail["code"], "NX101");
    assert!(detail["path"].as_str().unwrap().contains("documents"), "{detail}");
}

#[tokio::test]
async fn a_payload_that_only_names_a_record_asks_for_it() {
    let client = DATABASE.admin().await;
    let shop = Tenant::create(&client).await.connector(&client, "bigcommerce").await;
    let body = json!({
        "scope": "store/order/created", "store_id": "1", "data": { "type": "order", "id": 250 },
        "hash": Uuid::new_v4(), "created_at": 1_767_225_600, "producer": "stores/abc",
    });
    let stub = ingest(&client, &shop, &shopify("", &body, minute(0))).await.unwrap();
    assert_eq!(
        (stub.status.as_str(), stub.reason.as_deref()),
        ("ignored", Some("a stub: fetch sales_order 250"))
    );
    let sql = "select kind, external_id, event_id from nexus.fetch_request where tenant_id = $1";
    let row = client.query_one(sql, &[&shop.tenant_id]).await.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("sales_order", "250"));
    assert_eq!(row.get::<_, Uuid>(2), stub.event());
}

const LINES: &str = r#"
    order_number = "$.number"
    lines = { each = "$.items[*]", use = "line" }
    [shapes.line]
    external_id = "$.id"
    quantity = "$.count"
"#;

/// Whose records said nothing meanwhile kept its row and its lines: when they speak again, of fewer lines, the others go.
#[tokio::test]
async fn lines_that_an_order_no_longer_has_when_it_comes_back_are_gone() {
    let client = DATABASE.admin().await;
    let platform = Platform::new();
    let (good, bad) = (platform.manifest("$.id", LINES), platform.manifest("$.number", LINES));
    platform.register(&client, &good).await;
    let shop = Tenant::create(&client).await.connector(&client, platform.0).await;
    let lines = async || -> i64 {
        let sql = "select count(*) from nexus.sales_order_line l
                   join nexus.source_record r on r.tenant_id = l.tenant_id and r.entity_id = l.sales_order_id
                   where l.tenant_id = $1 and r.external_id = '1'";
        client.query_one(sql, &[&shop.tenant_id]).await.unwrap().get(0)
    };
    let with = |items: Value| json!({ "number": "N1", "items": items });
    let (one, two) = (json!({ "id": 1, "count": "1" }), json!({ "id": 2, "count": "1" }));
    accept(&client, &shop, &order(1, minute(1), with(json!([one, two])))).await;
    assert_eq!(lines().await, 2);
    platform.register(&client, &bad).await;
    reprocess(&client, &shop).await;
    accept(&client, &shop, &order(1, minute(2), with(json!([one])))).await;
    platform.register(&client, &good).await;
    reprocess(&client, &shop).await;
    assert_eq!(lines().await, 1);
}

/// What a transaction registers may be rolled back, and its version become another manifest's.
#[tokio::test]
async fn a_manifest_that_was_rolled_back_is_forgotten() {
    let client = DATABASE.admin().await;
    let platform = Platform::new();
    let number = async || -> Value {
        let sql = "select n.document -> 'order_number' from nexus.normalize($1, 'order', $2) n";
        let body = serde_json::to_vec(&json!({ "id": 1, "at": minute(1), "number": "7" })).unwrap();
        client.query_one(sql, &[&platform.0, &body]).await.unwrap().get(0)
    };
    client.batch_execute("begin").await.unwrap();
    platform.register(&client, &platform.manifest("$.id", r#"order_number = "$.id""#)).await;
    assert_eq!(number().await, json!("1"));
    client.batch_execute("rollback").await.unwrap();
    platform.register(&client, &platform.manifest("$.id", r#"order_number = "$.number""#)).await;
    assert_eq!(number().await, json!("7"));
}
