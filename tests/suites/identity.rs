//! One truth from several sources: the same whatever the order of arrival, with eight writers at once; merging,
//! undoing and rebuilding it; and where each value comes from.

use crate::mapping_platform::Platform;
use futures_util::future::join_all;
use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::ingest::{accept, ingest};
use nexus_tests::shop::{Webhook, minute, shopify, woocommerce};
use nexus_tests::tenant::{Connector, Tenant};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tokio_postgres::Client;
use uuid::Uuid;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

const WRITERS: usize = 8;

/// An ERP whose orders name the shop's.
const ERP_ORDER: &str = r#"
    order_number = "$.number"
    external_reference = "$.shop_order"
    currency = "$.currency"
    total_amount = { path = "$.total", as = "decimal" }
    ordered_at = { path = "$.ordered_at", as = "timestamp" }
    source_created_at = { path = "$.ordered_at", as = "timestamp" }
    note = "$.note"
"#;

/// Two shops of one platform, one of another, and an ERP, which is invented.
struct Sources {
    tenant: Tenant,
    connectors: BTreeMap<&'static str, Connector>,
}

static ERP: LazyLock<Platform> = LazyLock::new(Platform::new);

impl Sources {
    async fn create(client: &Client) -> Self {
        ERP.register(client, &ERP.manifest("$.id", ERP_ORDER)).await;
        let tenant = Tenant::create(client).await;
        let mut connectors = BTreeMap::new();
        for (label, connector_type) in
            [("shop", "shopify"), ("outlet", "shopify"), ("woo", "woocommerce"), ("erp", ERP.0)]
        {
            connectors.insert(label, tenant.connector(client, connector_type).await);
        }
        Self { tenant, connectors }
    }

    fn label(&self, connector_id: Uuid) -> &'static str {
        let found = self.connectors.iter().find(|(_, connector)| connector.connector_id == connector_id);
        found.expect("a connector of the tenant").0
    }

    /// Every entity with the records it is made of, as labels, and its golden row without ids.
    async fn entities(&self, client: &Client) -> BTreeMap<Vec<String>, Value> {
        let mut entities = BTreeMap::new();
        for kind in ["customer", "sales_order"] {
            let sql = format!(
                "select array_agg(r.connector_id order by r.birth_id), array_agg(r.external_id order by r.birth_id),
                        (select to_jsonb(g) from nexus.{kind} g where g.tenant_id = $1 and g.{kind}_id = r.entity_id)
                 from nexus.source_record r where r.tenant_id = $1 and r.kind = '{kind}' group by r.entity_id"
            );
            for row in client.query(&sql, &[&self.tenant.tenant_id]).await.unwrap() {
                let (connectors, ids): (Vec<Uuid>, Vec<String>) = (row.get(0), row.get(1));
                let mut members: Vec<String> = connectors
                    .iter()
                    .zip(&ids)
                    .map(|(connector, id)| format!("{kind} {} {id}", self.label(*connector)))
                    .collect();
                members.sort();
                let golden: Option<Value> = row.get(2);
                let golden: Map<String, Value> = golden
                    .expect("an entity has its row")
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(|(name, _)| {
                        !name.ends_with("_id")
                            && !matches!(name.as_str(), "entity_version" | "created_at" | "updated_at")
                    })
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                entities.insert(members, Value::Object(golden));
            }
            // No golden row that is nobody's.
            let strays = format!(
                "select count(*) from nexus.{kind} g where g.tenant_id = $1 and not exists (
                     select from nexus.source_record r where r.tenant_id = $1 and r.entity_id = g.{kind}_id)"
            );
            let strays: i64 = client.query_one(&strays, &[&self.tenant.tenant_id]).await.unwrap().get(0);
            assert_eq!(strays, 0);
        }
        // Every reference leads to the entity of the record that it names.
        let astray = "select count(*) from nexus.sales_order o
            join nexus.source_record r on r.tenant_id = o.tenant_id and r.birth_id = o.customer_birth_id
            where o.tenant_id = $1 and o.customer_id <> r.entity_id";
        let astray: i64 = client.query_one(astray, &[&self.tenant.tenant_id]).await.unwrap().get(0);
        assert_eq!(astray, 0);
        entities
    }
}

fn person(id: i64, email: &str, name: (&str, &str), created: i64, updated: i64) -> Value {
    json!({
        "id": id, "email": email, "first_name": name.0, "last_name": name.1,
        "created_at": minute(created), "updated_at": minute(updated),
    })
}

fn woo_person(id: i64, email: &str, name: (&str, &str), created: i64, updated: i64) -> Value {
    json!({
        "id": id, "email": email, "first_name": name.0, "last_name": name.1,
        "date_created_gmt": minute(created).strftime("%FT%T").to_string(),
        "date_modified_gmt": minute(updated).strftime("%FT%T").to_string(),
        "billing": { "phone": "+31612345678" },
    })
}

fn shop_order(id: i64, number: &str, total: &str, customer: Value, at: i64) -> Value {
    json!({
        "id": id, "name": number, "currency": "EUR", "total_price": total, "email": customer["email"],
        "created_at": minute(at), "processed_at": minute(at), "updated_at": minute(at), "customer": customer,
        "financial_status": "paid",
        "line_items": [{ "id": id * 10, "title": "Lamp", "quantity": 1, "price": total, "sku": "LAMP" }],
    })
}

fn erp_order(id: i64, reference: &str, total: &str, at: i64) -> Value {
    json!({
        "id": id, "at": minute(at), "number": format!("SO{id}"), "shop_order": reference, "currency": "EUR",
        "total": total, "ordered_at": minute(at), "note": format!("booked at {at}"),
    })
}

/// What four systems say of five people and their orders: people who are one and who are not, who move from one
/// address to another, records that come late, again and deleted.
fn history() -> Vec<(&'static str, Webhook)> {
    let (ada, bob, carl) = (("Ada", "Lovelace"), ("Bob", "Ross"), ("Carl", "Linné"));
    let customers = |label, at: i64, body: Value| (label, shopify("customers/update", &body, minute(at)));
    let woo = |at: i64, body: Value| ("woo", woocommerce("customer.updated", &body, minute(at)));
    let order = |label, at: i64, body: Value| (label, shopify("orders/create", &body, minute(at)));
    let erp = |at: i64, body: Value| ("erp", shopify("order", &body, minute(at)));
    vec![
        customers("shop", 10, person(1, "ada@example.com", ada, 1, 10)),
        customers("shop", 30, person(1, "ada@example.com", ada, 1, 30)),
        customers("outlet", 20, person(5, "ADA@example.com", ada, 2, 20)),
        woo(25, woo_person(9, "ada@example.com", ada, 0, 25)),
        woo(40, woo_person(9, "ada@work.example", ada, 0, 40)),
        woo(60, woo_person(9, "ada@example.com", ada, 0, 60)),
        customers("shop", 12, person(2, "bob@example.com", bob, 3, 12)),
        woo(50, woo_person(10, "bob@example.com", bob, 4, 50)),
        customers("outlet", 22, person(6, "info@example.com", bob, 5, 22)),
        customers("shop", 13, person(3, "carl@example.com", carl, 6, 13)),
        customers("outlet", 55, person(7, "carl@example.com", carl, 7, 55)),
        customers("outlet", 70, person(7, "carl@elsewhere.example", carl, 7, 70)),
        order("shop", 31, shop_order(77, "#77", "25.00", person(1, "ada@example.com", ada, 1, 31), 31)),
        order("shop", 33, shop_order(78, "#78", "9.50", person(2, "bob@example.com", bob, 3, 33), 33)),
        order("outlet", 34, shop_order(79, "#79", "5.00", person(7, "carl@example.com", carl, 7, 34), 34)),
        erp(36, erp_order(500, "#77", "25.00", 36)),
        erp(90, erp_order(500, "#77", "25.00", 36)),
        erp(37, erp_order(501, "#78", "19.50", 37)),
        erp(38, erp_order(502, "#79", "5.01", 38)),
    ]
}

/// A shuffle that a number stands for, so that a failure can be had again.
fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for place in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(place, usize::try_from(state % (place as u64 + 1)).unwrap());
    }
    items
}

async fn write_all(sources: &Sources, events: Vec<(&'static str, Webhook)>) {
    let mut hands: Vec<Vec<(&'static str, Webhook)>> = vec![Vec::new(); WRITERS];
    for (place, event) in events.into_iter().enumerate() {
        hands[place % WRITERS].push(event);
    }
    let writers = hands.into_iter().map(async |events| {
        let client = DATABASE.admin().await;
        for (label, webhook) in events {
            let ingested = ingest(&client, &sources.connectors[label], &webhook).await.unwrap();
            assert!(matches!(ingested.status.as_str(), "accepted" | "duplicate"), "{ingested:?}");
        }
    });
    join_all(writers).await;
}

#[tokio::test]
async fn eight_writers_in_any_order_come_to_the_same_truth() {
    let permutations: u64 = std::env::var("NEXUS_PERMUTATIONS").map_or(12, |text| text.parse().unwrap());
    let client = DATABASE.admin().await;
    let in_order = Sources::create(&client).await;
    for (label, webhook) in history() {
        accept(&client, &in_order.connectors[label], &webhook).await;
    }
    let truth = in_order.entities(&client).await;
    let members: Vec<&Vec<String>> = truth.keys().collect();
    let is_one = |labels: &[&str]| members.iter().any(|members| **members == labels);
    assert!(is_one(&["customer outlet 5", "customer shop 1", "customer woo 9"]), "{members:?}");
    assert!(is_one(&["customer shop 2", "customer woo 10"]), "{members:?}");
    assert!(is_one(&["customer outlet 6"]), "a role's address joins nobody: {members:?}");
    assert!(is_one(&["customer outlet 7"]), "he has another address now: {members:?}");
    assert!(is_one(&["sales_order erp 500", "sales_order shop 77"]), "{members:?}");
    assert!(is_one(&["sales_order erp 501"]), "another amount is another sale: {members:?}");
    assert!(is_one(&["sales_order erp 502", "sales_order outlet 79"]), "within two cents: {members:?}");

    for seed in 1..=permutations {
        let sources = Sources::create(&client).await;
        let twice = [history(), history()].concat();
        write_all(&sources, shuffled(twice, seed)).await;
        assert_eq!(sources.entities(&client).await, truth, "permutation {seed}");
        let rebuilt = "select sum(r.changed)::bigint from unnest(array['customer', 'sales_order']) k
                       cross join lateral nexus.rebuild($1, k) r";
        let changed: i64 = client.query_one(rebuilt, &[&sources.tenant.tenant_id]).await.unwrap().get(0);
        assert_eq!(changed, 0, "a rebuild finds nothing to change, permutation {seed}");
    }
}

#[tokio::test]
async fn a_merge_can_be_undone_and_both_are_told() {
    let client = DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    for (label, webhook) in history() {
        accept(&client, &sources.connectors[label], &webhook).await;
    }
    let before = sources.entities(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    let record = async |label: &str, external_id: &str| -> (Uuid, Uuid) {
        let sql = "select birth_id, entity_id from nexus.source_record
                   where tenant_id = $1 and connector_id = $2 and kind = 'customer' and external_id = $3";
        let connector = sources.connectors[label].connector_id;
        let row = client.query_one(sql, &[&tenant_id, &connector, &external_id]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let (carl, carl_entity) = record("shop", "3").await;
    let (_, other_entity) = record("outlet", "7").await;
    let merge = "select nexus.merge($1, 'customer', $2, $3, 'he said so')";
    let merged: Uuid =
        client.query_one(merge, &[&tenant_id, &carl_entity, &other_entity]).await.unwrap().get(0);
    assert_eq!(record("shop", "3").await.1, merged);
    assert_eq!(record("outlet", "7").await.1, merged);
    let events = "select payload -> 'merged_entity_ids' from nexus.domain_event
                  where tenant_id = $1 and event_type = 'customer.merged' and entity_id = $2
                  order by entity_version desc limit 1";
    let told: Value = client.query_one(events, &[&tenant_id, &merged]).await.unwrap().get(0);
    let absorbed = if merged == carl_entity { other_entity } else { carl_entity };
    assert_eq!(told, json!([absorbed]));

    let unmerge = "select nexus.unmerge($1, 'customer', $2, 'he did not')";
    client.execute(unmerge, &[&tenant_id, &carl]).await.unwrap();
    assert_eq!(sources.entities(&client).await, before, "merging and undoing it leaves nothing behind");
    let versions = "select count(*) from (
            select entity_version - lag(entity_version) over (partition by entity_id order by domain_event_id) as step
            from nexus.domain_event where tenant_id = $1 and entity_kind = 'customer') v where v.step <= 0";
    let steps_back: i64 = client.query_one(versions, &[&tenant_id]).await.unwrap().get(0);
    assert_eq!(steps_back, 0, "an entity that comes back goes on counting");
}

#[tokio::test]
async fn every_value_names_its_source_and_the_past_can_be_asked() {
    let client = DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    let start = client.query_one("select clock_timestamp()", &[]).await.unwrap().get::<_, jiff::Timestamp>(0);
    let mut moments = Vec::new();
    for (label, webhook) in history() {
        accept(&client, &sources.connectors[label], &webhook).await;
        moments.push(
            client.query_one("select clock_timestamp()", &[]).await.unwrap().get::<_, jiff::Timestamp>(0),
        );
    }
    let tenant_id = sources.tenant.tenant_id;
    let wrong = "select count(*) from nexus.customer c
        cross join lateral nexus.provenance($1, 'customer', c.customer_id) p
        where c.tenant_id = $1 and p.is_winner and p.value <> 'null' and p.field in ('email', 'phone', 'first_name')
          and to_jsonb(c) -> p.field is distinct from p.value";
    let wrong: i64 = client.query_one(wrong, &[&tenant_id]).await.unwrap().get(0);
    assert_eq!(wrong, 0, "a golden value is its winning claim");
    let losing = "select count(*) from nexus.customer c
        cross join lateral nexus.provenance($1, 'customer', c.customer_id) p
        join nexus.event e on e.tenant_id = $1 and e.event_id = p.event_id
        where c.tenant_id = $1 and not p.is_winner";
    let losing: i64 = client.query_one(losing, &[&tenant_id]).await.unwrap().get(0);
    assert!(losing > 0, "losing claims are shown, and each names an event that is there");

    let sql = "select birth_id from nexus.source_record
               where tenant_id = $1 and connector_id = $2 and kind = 'customer' and external_id = '9'";
    let ada: Uuid =
        client.query_one(sql, &[&tenant_id, &sources.connectors["woo"].connector_id]).await.unwrap().get(0);
    let email_at = async |at: jiff::Timestamp| -> Option<String> {
        let sql = "select nexus.entity_at($1, 'customer', $2, $3) ->> 'email'";
        client.query_one(sql, &[&tenant_id, &ada, &at]).await.unwrap().get(0)
    };
    assert_eq!(email_at(start).await, None);
    assert_eq!(email_at(moments[3]).await.as_deref(), Some("ada@example.com"));
    assert_eq!(email_at(moments[4]).await.as_deref(), Some("ada@work.example"));
    assert_eq!(email_at(moments[5]).await.as_deref(), Some("ada@example.com"));
}

#[tokio::test]
async fn an_address_that_many_share_joins_nobody_and_costs_no_more_than_its_limit() {
    let client = DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    let shared = "everybody@example.com";
    for id in 1..=60 {
        let (label, name) = if id % 2 == 0 { ("shop", "outlet") } else { ("outlet", "shop") };
        let body = person(id, shared, (name, "Shared"), id, id);
        accept(&client, &sources.connectors[label], &shopify("customers/update", &body, minute(id))).await;
    }
    let sql = "select count(distinct entity_id), count(*) from nexus.source_record where tenant_id = $1";
    let row = client.query_one(sql, &[&sources.tenant.tenant_id]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (60, 60));
}

#[tokio::test]
async fn a_rule_decides_which_source_goes_first_once_it_is_applied() {
    let client = DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    let tenant = &sources.tenant;
    let (shop, woo) = (&sources.connectors["shop"], &sources.connectors["woo"]);
    let late = person(1, "x@example.com", ("Ann", "Late"), 1, 900);
    let early = woo_person(2, "x@example.com", ("Anne", "Late"), 2, 100);
    accept(&client, woo, &woocommerce("customer.updated", &early, minute(100))).await;
    accept(&client, shop, &shopify("customers/update", &late, minute(900))).await;
    let name = async || -> String {
        let sql = "select first_name from nexus.customer where tenant_id = $1";
        client.query_one(sql, &[&tenant.tenant_id]).await.unwrap().get(0)
    };
    assert_eq!(name().await, "Ann", "the latest");
    let rule = "select nexus.set_survivorship($1, $2, 'customer', 'first_name', $3, 1)";
    client.execute(rule, &[&tenant.tenant_id, &tenant.prod, &woo.connector_id]).await.unwrap();
    let rebuild = "select changed from nexus.rebuild($1, 'customer')";
    let changed: i32 = client.query_one(rebuild, &[&tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!((name().await.as_str(), changed), ("Anne", 1));
}
