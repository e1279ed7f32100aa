//! What identity costs: bounded, whatever many records have in common, and nothing where nothing changed. Counted in
//! rows, by the statistics of the transaction.

use super::history::{at, history, order, partner, person, redeliveries, rest, woo_order, woo_person};
use super::sources::Sources;
use nexus_tests::cluster::SHARED;
use nexus_tests::ingest::{accept, ingest_batch};
use nexus_tests::shop::{Webhook, shopify, woocommerce};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use uuid::Uuid;

/// How many webhooks a batch has.
const BATCH: usize = 500;

/// What a transaction did to a table: rows read, inserted, updated and deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cost {
    read: i64,
    inserted: i64,
    updated: i64,
    deleted: i64,
}

type Costs = BTreeMap<String, Cost>;

/// What this session has done since its statistics were last handed over, which is never within a transaction.
async fn costs(client: &Client) -> Costs {
    // Partitions of one table are that table.
    let sql = "select regexp_replace(s.relname, '_\\d{4}_\\d{2}$', ''),
                      sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::bigint,
                      sum(s.n_tup_ins)::bigint, sum(s.n_tup_upd)::bigint, sum(s.n_tup_del)::bigint
               from pg_stat_xact_all_tables s where s.schemaname = 'nexus' group by 1";
    let cost = |row: &tokio_postgres::Row| {
        (
            row.get(0),
            Cost { read: row.get(1), inserted: row.get(2), updated: row.get(3), deleted: row.get(4) },
        )
    };
    client.query(sql, &[]).await.unwrap().iter().map(cost).collect()
}

/// Takes a batch in, in a transaction of its own; what that cost.
async fn cost_of(client: &Client, tenant_id: Uuid, batch: &[(Uuid, &Webhook)]) -> Costs {
    client.batch_execute("begin").await.unwrap();
    let before = costs(client).await;
    for ingested in ingest_batch(client, tenant_id, batch).await.unwrap() {
        assert_eq!(ingested.status, "accepted", "{ingested:?}");
    }
    let mut after = costs(client).await;
    client.batch_execute("commit").await.unwrap();
    for (table, cost) in &mut after {
        let before = before.get(table).copied().unwrap_or_default();
        cost.read -= before.read;
        cost.inserted -= before.inserted;
        cost.updated -= before.updated;
        cost.deleted -= before.deleted;
    }
    after
}

fn sum(costs: &Costs, of: impl Fn(&Cost) -> i64) -> i64 {
    costs.values().map(of).sum()
}

/// Orders of two shops that all bear one e-mail address: in one every order has a customer of its own, in the
/// other nobody has an account.
fn of_one_mailbox(number: usize) -> Vec<(&'static str, Webhook)> {
    const MAILBOX: &str = "till@example.com";
    let one = |place: i64| match place % 2 {
        0 => {
            let customer = person(place, MAILBOX, ("Walk", "In"), place, place);
            let body = order(10_000 + place, &format!("#{place}"), "5.00", &customer, (101, "MUG"), 200);
            ("shop", shopify("orders/create", &body, at(200)))
        }
        _ => {
            let mut body = woo_order(50_000 + place, "processing", "5.00", (100, 200), false);
            body["billing"]["email"] = json!(MAILBOX);
            ("woo", woocommerce("order.created", &body, at(200)))
        }
    };
    (1..=i64::try_from(number).unwrap()).map(one).collect()
}

#[tokio::test]
async fn ten_thousand_orders_of_one_mailbox_cost_the_last_batch_what_they_cost_the_second() {
    let client = SHARED.database().admin().await;
    let sources = Sources::create(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    let orders = of_one_mailbox(10_000);
    let mut batches = Vec::new();
    for batch in orders.chunks(BATCH) {
        let batch: Vec<_> =
            batch.iter().map(|(label, webhook)| (sources.connectors[label].connector_id, webhook)).collect();
        batches.push(cost_of(&client, tenant_id, &batch).await);
    }
    let (second, last) = (&batches[1], &batches[batches.len() - 1]);
    for (what, of) in [
        ("read", (|cost: &Cost| cost.read) as fn(&Cost) -> i64),
        ("written", |cost| cost.inserted + cost.updated + cost.deleted),
    ] {
        let (early, late) = (sum(second, of), sum(last, of));
        assert!(late <= early + early / 10, "rows {what}: {early}, then {late}: {second:#?} {last:#?}");
    }
    for table in ["customer", "sales_order", "source_record"] {
        assert_eq!((last[table].updated, last[table].deleted), (0, 0), "{table}: others are left alone");
    }
    assert_eq!(last["customer"].inserted, i64::try_from(BATCH / 2).unwrap());

    // Another system that knows the mailbox pays no more for how many share it.
    let (label, webhook) =
        rest("odoo", 300, partner(7, json!({ "name": "Walk In", "email": "till@example.com" }), 300, 300));
    let cost = cost_of(&client, tenant_id, &[(sources.connectors[label].connector_id, &webhook)]).await;
    let (read, written) = (sum(&cost, |cost| cost.read), sum(&cost, |cost| cost.inserted + cost.updated));
    assert!(read < 500 && written < 20, "{read} rows read, {written} written: {cost:#?}");

    let largest = "select max(n) from (select count(*) n from nexus.source_record r
                   where r.tenant_id = $1 group by r.kind, r.entity_id) e";
    let largest: i64 = client.query_one(largest, &[&tenant_id]).await.unwrap().get(0);
    assert_eq!(largest, 1, "an address on thousands of records joins nobody");
    let suggested = "select count(*) from nexus.merge_candidate c where c.tenant_id = $1";
    let suggested: i64 = client.query_one(suggested, &[&tenant_id]).await.unwrap().get(0);
    assert!(suggested < 500, "{suggested} suggestions");
}

#[tokio::test]
async fn a_tenant_that_came_after_the_last_analyze_costs_its_last_batch_what_it_cost_the_second() {
    // What was never analyzed, the planner takes for ten pages; what was vacuumed while it was empty, for none.
    tokio::join!(late_tenants("select 1"), late_tenants("vacuum analyze"));
}

async fn late_tenants(before: &str) {
    let database = SHARED.database();
    let client = database.admin().await;
    client.batch_execute(before).await.unwrap();
    let flow = json!({ "kinds": ["sales_order"], "execution_url": "https://example.com/" });
    // New orders of customers who are known.
    let batch = |number: i64| -> Vec<Webhook> {
        let order = |place: i64| {
            let buyer = person(place, &format!("{place}@example.com"), ("Ada", "Lovelace"), 1, 100 + number);
            let id = 100_000 + number * 100 + place;
            let body = order(id, &format!("#{id}"), "5.00", &buyer, (200 + place, "MUG"), 200);
            shopify("orders/create", &body, at(200 + number))
        };
        (0..50).map(order).collect()
    };
    let take_in = async |batches: i64| {
        let sources = Sources::create(&client).await;
        sources.tenant.flow(&client, &flow).await;
        let connector_id = sources.connectors["shop"].connector_id;
        let mut costs = Vec::new();
        for number in 0..batches {
            let webhooks = batch(number);
            let requests: Vec<_> = webhooks.iter().map(|webhook| (connector_id, webhook)).collect();
            costs.push(cost_of(&client, sources.tenant.tenant_id, &requests).await);
        }
        costs
    };
    // In empty tables, and then for a tenant that the statistics know nothing of, with the plans of then and new ones.
    let first = take_in(30).await;
    client.batch_execute("analyze").await.unwrap();
    for costs in [first, take_in(30).await] {
        let (second, last) = (&costs[1], &costs[costs.len() - 1]);
        let (early, late) = (sum(second, |cost| cost.read), sum(last, |cost| cost.read));
        assert!(late <= early + early / 10, "rows read: {early}, then {late}: {second:#?} {last:#?}");
    }
}

#[tokio::test]
async fn a_redelivery_writes_the_event_and_no_golden_row_of_an_entity_of_several_sources_either() {
    let client = SHARED.database().admin().await;
    let sources = Sources::create(&client).await;
    let flow = json!({ "kinds": ["sales_order", "customer"], "execution_url": "https://example.com/" });
    sources.tenant.flow(&client, &flow).await;
    for (label, webhook) in [history(), redeliveries()].concat() {
        accept(&client, &sources.connectors[label], &webhook).await;
    }
    let again = redeliveries();
    let batch: Vec<_> =
        again.iter().map(|(label, webhook)| (sources.connectors[label].connector_id, webhook)).collect();
    let cost = cost_of(&client, sources.tenant.tenant_id, &batch).await;
    let written: Vec<&str> = cost
        .iter()
        .filter(|(_, cost)| cost.inserted + cost.updated + cost.deleted > 0)
        .map(|(table, _)| table.as_str())
        .collect();
    let allowed = ["event", "idempotency_key", "source_record"];
    assert!(written.iter().all(|table| allowed.contains(table)), "{written:?}: {cost:#?}");
    assert_eq!(cost["event"].inserted, i64::try_from(batch.len()).unwrap());
    assert_eq!(cost["source_record"].inserted, 0);
}

#[tokio::test]
async fn what_refers_to_a_merged_entity_follows_it_a_thousand_rows_at_a_time() {
    let client = SHARED.database().admin().await;
    let sources = Sources::create(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    let buyer = person(1, "buyer@example.com", ("Ada", "Lovelace"), 50, 50);
    let orders: Vec<Webhook> = (0..2500)
        .map(|n| {
            let body = order(10_000 + n, &format!("#{n}"), "5.00", &buyer, (101, "MUG"), 60);
            shopify("orders/create", &body, at(60))
        })
        .collect();
    for batch in orders.chunks(BATCH) {
        let batch: Vec<_> =
            batch.iter().map(|webhook| (sources.connectors["shop"].connector_id, webhook)).collect();
        ingest_batch(&client, tenant_id, &batch).await.unwrap();
    }
    let older = woo_person(9, "other@example.com", ("Ada", "Lovelace"), 1, 70);
    accept(&client, &sources.connectors["woo"], &woocommerce("customer.updated", &older, at(70))).await;
    let (buyer_id, _) = sources.record(&client, "customer", "shop", "1").await;
    let (older_id, _) = sources.record(&client, "customer", "woo", "9").await;
    let merge = "select nexus.merge($1, 'customer', $2, $3, 'one person')";
    let merged: Uuid = client.query_one(merge, &[&tenant_id, &buyer_id, &older_id]).await.unwrap().get(0);
    assert_eq!(merged, older_id, "the older one's id stands");
    let behind = async || -> i64 {
        let sql = "select count(*) from nexus.sales_order o where o.tenant_id = $1 and o.customer_id = $2";
        client.query_one(sql, &[&tenant_id, &buyer_id]).await.unwrap().get(0)
    };
    let follow =
        async || -> i64 { client.query_one("select nexus.follow_moves()", &[]).await.unwrap().get(0) };
    let mut left = vec![behind().await];
    while follow().await > 0 {
        left.push(behind().await);
    }
    assert_eq!(left, [1500, 500, 0]);
    let unsettled = "select count(*) from nexus.entity_change c where c.tenant_id = $1 and not c.is_settled";
    let unsettled: i64 = client.query_one(unsettled, &[&tenant_id]).await.unwrap().get(0);
    assert_eq!(unsettled, 0);
}

#[tokio::test]
async fn stock_at_locations_that_become_one_has_one_owner_and_two_again_once_they_part() {
    let client = SHARED.database().admin().await;
    let sources = Sources::create(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    let place = |id: i64, created: i64| {
        json!({ "id": id, "name": "Main", "address1": null, "legacy": false, "active": true, "country_code": "NL",
                "created_at": at(created), "updated_at": at(20) })
    };
    let subscribe =
        "select nexus.create_subscription($1, $2, 'https://example.com', array['inventory.updated'])";
    client.execute(subscribe, &[&tenant_id, &sources.tenant.prod]).await.unwrap();
    for (label, created) in [("shop", 1), ("outlet", 2)] {
        let connector = &sources.connectors[label];
        accept(&client, connector, &shopify("locations/update", &place(5, created), at(20))).await;
        for item in [102, 202] {
            let level =
                json!({ "inventory_item_id": item, "location_id": 5, "available": 3, "updated_at": at(21) });
            accept(&client, connector, &shopify("inventory_levels/update", &level, at(21))).await;
        }
    }
    let authoritative = async || -> Vec<(&'static str, i64)> {
        let sql = "select l.connector_id, count(*) from nexus.inventory_level l
                   where l.tenant_id = $1 and l.is_authoritative group by 1";
        let rows = client.query(sql, &[&tenant_id]).await.unwrap();
        let mut owners: Vec<_> = rows.iter().map(|row| (sources.label(row.get(0)), row.get(1))).collect();
        owners.sort_unstable();
        owners
    };
    let follow = async || {
        while client.query_one("select nexus.follow_moves()", &[]).await.unwrap().get::<_, i64>(0) > 0 {}
    };
    assert_eq!(authoritative().await, [("outlet", 2), ("shop", 2)]);
    let (ours, _) = sources.record(&client, "location", "shop", "5").await;
    let (theirs, _) = sources.record(&client, "location", "outlet", "5").await;
    client
        .execute("select nexus.merge($1, 'location', $2, $3, 'one room')", &[&tenant_id, &ours, &theirs])
        .await
        .unwrap();
    follow().await;
    assert_eq!(authoritative().await, [("shop", 2)], "the source that had it first");
    let told = "select jsonb_agg(distinct to_jsonb(v.changed)) from nexus.domain_event v
                where v.tenant_id = $1 and v.event_type = 'inventory.updated'";
    let told: Value = client.query_one(told, &[&tenant_id]).await.unwrap().get(0);
    assert_eq!(told, json!([["is_authoritative"]]));
    let queued =
        "select count(*) from nexus.delivery d join nexus.domain_event v using (tenant_id, domain_event_id)
                  where d.tenant_id = $1 and v.changed = array['is_authoritative']";
    let queued: i64 = client.query_one(queued, &[&tenant_id]).await.unwrap().get(0);
    assert_eq!(queued, 2, "and who subscribed to it is told");
    client
        .execute("select nexus.unmerge($1, 'location', $2, 'two rooms')", &[&tenant_id, &theirs])
        .await
        .unwrap();
    follow().await;
    assert_eq!(authoritative().await, [("outlet", 2), ("shop", 2)]);
    assert_eq!(sources.rebuild(&client).await, 0);
}

#[tokio::test]
async fn a_suggestion_goes_with_its_reason() {
    let client = super::DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    let customer = async |label: &str, id: i64, phone: &str, slot: i64| {
        let mut body = person(id, &format!("{id}.{label}@example.com"), ("Ada", "Lovelace"), 1, slot);
        body["phone"] = json!(phone);
        accept(&client, &sources.connectors[label], &shopify("customers/update", &body, at(slot))).await;
    };
    let suggested = async || -> i64 {
        let sql = "select count(*) from nexus.merge_candidate c where c.tenant_id = $1";
        client.query_one(sql, &[&tenant_id]).await.unwrap().get(0)
    };
    customer("shop", 1, "+31612345678", 10).await;
    customer("outlet", 2, "+31612345678", 11).await;
    assert_eq!(suggested().await, 1);
    customer("outlet", 2, "+31687654321", 12).await;
    assert_eq!(suggested().await, 0, "they have another number each");
    customer("outlet", 2, "+31612345678", 13).await;
    assert_eq!(suggested().await, 1);
    let gone = shopify("customers/delete", &json!({ "id": 1 }), at(14));
    accept(&client, &sources.connectors["shop"], &gone).await;
    assert_eq!(suggested().await, 0, "who is gone is no question");
}

#[tokio::test]
async fn what_guards_refused_stays_a_question_when_something_else_changes() {
    let client = super::DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    // Two of one household: the address does not join them, and nothing changes that but the address.
    let customer = async |label: &str, first_name: &str, phone: &str, slot: i64| {
        let mut body = person(1, "family@example.com", (first_name, "Lovelace"), 1, slot);
        body["phone"] = json!(phone);
        accept(&client, &sources.connectors[label], &shopify("customers/update", &body, at(slot))).await;
    };
    let suggested = async || -> i64 {
        let sql = "select count(*) from nexus.merge_candidate c where c.tenant_id = $1";
        client.query_one(sql, &[&tenant_id]).await.unwrap().get(0)
    };
    customer("shop", "Ada", "+31612345678", 10).await;
    customer("outlet", "Byron", "+31600000001", 11).await;
    assert_eq!(suggested().await, 1);
    customer("outlet", "Byron", "+31600000002", 12).await;
    assert_eq!(suggested().await, 1);
}

/// A company's mailbox is no person's, so that nothing names him but what was written when they were two.
#[tokio::test]
async fn who_was_two_customers_is_forgotten_as_both() {
    let client = super::DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    let flow = json!({ "kinds": ["customer", "sales_order"], "execution_url": "http://127.0.0.1:9" });
    sources.tenant.flow(&client, &flow).await;
    for (label, id, created) in [("shop", 1, 1), ("outlet", 2, 2)] {
        let connector = &sources.connectors[label];
        let him = person(id, &format!("info@{label}.example"), ("Zebulon", "Quixholm"), created, 10);
        accept(&client, connector, &shopify("customers/update", &him, at(10))).await;
        let his = order(10_000 + id, &format!("#{id}"), "5.00", &him, (101, "MUG"), 60);
        accept(&client, connector, &shopify("orders/create", &his, at(60))).await;
    }
    let other = person(3, "info@third.example", ("Bertil", "Nordqvist"), 3, 10);
    accept(&client, &sources.connectors["shop"], &shopify("customers/update", &other, at(10))).await;
    let (one, _) = sources.record(&client, "customer", "shop", "1").await;
    let (two, _) = sources.record(&client, "customer", "outlet", "2").await;
    let merge = "select nexus.merge($1, 'customer', $2, $3, 'one person')";
    let merged: Uuid = client.query_one(merge, &[&tenant_id, &one, &two]).await.unwrap().get(0);
    let places = async |name: &str| -> Value {
        let sql = "select jsonb_object_agg(p.place, p.count) from (
                select p.place, count(*) from (
                    select 'event' as place, convert_from(e.body, 'UTF8') as text from nexus.event e where e.tenant_id = $1
                    union all select 'domain_event', v.payload::text from nexus.domain_event v where v.tenant_id = $1
                    union all select 'job', j.normalized_payload::text from nexus.job j where j.tenant_id = $1
                    union all select 'source_record', s.document::text from nexus.source_record s where s.tenant_id = $1
                    union all select 'customer', to_jsonb(c)::text from nexus.customer c where c.tenant_id = $1
                    union all select 'identity_key', k.key_value from nexus.identity_key k where k.tenant_id = $1
                    union all select 'entity_change', c.because::text from nexus.entity_change c where c.tenant_id = $1
                ) p where p.text ilike '%' || $2 || '%' group by 1) p";
        client
            .query_one(sql, &[&tenant_id, &name])
            .await
            .unwrap()
            .get::<_, Option<Value>>(0)
            .unwrap_or_default()
    };
    let others = places("Nordqvist").await;
    assert_eq!(others, json!({ "event": 1, "domain_event": 1, "job": 1, "source_record": 1, "customer": 1 }));
    assert_eq!(places("Quixholm").await["event"], 4);
    client.execute("select nexus.erase_customer($1, $2)", &[&tenant_id, &merged]).await.unwrap();
    assert_eq!(places("Quixholm").await, Value::Null);
    assert_eq!(places("Nordqvist").await, others);
}
