//! One truth from several sources: the same whatever the order of arrival, with eight writers at once; merging,
//! undoing and rebuilding it; and where each value comes from.

mod bounds;
mod history;
mod sources;

use futures_util::future::join_all;
use history::{Event, history, person, redeliveries, woo_person};
use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::ingest::{accept, ingest_batch};
use nexus_tests::random::Random;
use nexus_tests::shop::{minute, shopify, woocommerce};
use nexus_tests::tenant::Tenant;
use nexus_tests::wait::{pid, until_blocked_by};
use serde_json::{Value, json};
use sources::Sources;
use std::sync::LazyLock;
use tokio_postgres::Client;
use uuid::Uuid;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

const WRITERS: usize = 8;

/// Hands the events out to writers, who take them in by batches of one to five.
async fn write_all(sources: &Sources, events: Vec<Event>) {
    let mut hands: Vec<Vec<Event>> = vec![Vec::new(); WRITERS];
    for (place, event) in events.into_iter().enumerate() {
        hands[place % WRITERS].push(event);
    }
    let writers = hands.into_iter().enumerate().map(async |(hand, events)| {
        let client = DATABASE.admin().await;
        let mut rest = &events[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(1 + (rest.len() + hand) % 5));
            take_in(&client, sources, batch).await;
            rest = later;
        }
    });
    join_all(writers).await;
}

async fn take_in(client: &Client, sources: &Sources, events: &[Event]) {
    let batch: Vec<_> =
        events.iter().map(|(label, webhook)| (sources.connectors[label].connector_id, webhook)).collect();
    for (ingested, (label, webhook)) in
        ingest_batch(client, sources.tenant.tenant_id, &batch).await.unwrap().iter().zip(events)
    {
        let body = String::from_utf8_lossy(&webhook.body);
        assert!(matches!(&*ingested.status, "accepted" | "duplicate"), "{label}: {ingested:?} {body}");
    }
}

#[tokio::test]
async fn eight_writers_in_any_order_come_to_the_same_truth() {
    let permutations: u64 = std::env::var("NEXUS_PERMUTATIONS").map_or(12, |text| text.parse().unwrap());
    let client = DATABASE.admin().await;
    let in_order = Sources::create(&client).await;
    for event in [history(), redeliveries()].concat() {
        take_in(&client, &in_order, &[event]).await;
    }
    let truth = in_order.truth(&client).await;
    let is_one = |labels: &[&str]| truth.keys().any(|members| *members == labels);
    for one in [
        &["customer odoo 7", "customer outlet 5", "customer shop 1", "customer woo 9"][..],
        // Two of the three sources have deleted him since.
        &["customer bc c058", "customer shop 2", "customer woo 10"],
        // A role's address joins nobody.
        &["customer outlet 6"],
        &["customer odoo 8"],
        &["customer odoo 10", "customer shop 3"],
        &["customer outlet 7"],
        // By VAT number.
        &["customer bc c057", "customer bol email:q1w2e3@verkopen.bol.com", "customer odoo 9"],
        &["customer bol email:z9y8x7@verkopen.bol.com"],
        &["customer shop 8", "customer woo email:dora@example.com"],
        &[
            "product_variant bc 17e3",
            "product_variant bol offer-mug",
            "product_variant odoo 42",
            "product_variant shop 101",
            "product_variant woo 300",
        ],
        &["product_variant outlet 201"],
        // One SKU and two GTINs.
        &["product_variant shop 111"],
        &["product_variant bc 17e4"],
        &["product_variant bc 17e5", "product_variant woo 310"],
        &["sales_order odoo 500", "sales_order shop 7700"],
        &["sales_order bc 5a78", "sales_order shop 7800"],
        // Within two cents.
        &["sales_order odoo 502", "sales_order outlet 7900"],
        &["sales_order bc 5a90", "sales_order woo 90"],
        &["sales_order bol C0000A1B2C", "sales_order odoo 503"],
        &["sales_order bol C0000A1B2D"],
    ] {
        assert!(is_one(one), "{one:?} is no entity of {:#?}", truth.keys());
    }

    for seed in 1..=permutations {
        let sources = Sources::create(&client).await;
        let once = history();
        write_all(&sources, Random::new(seed).shuffled([once.clone(), once, redeliveries()].concat())).await;
        let found = sources.truth(&client).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>(), "permutation {seed}");
        for (members, golden) in &truth {
            assert_eq!(&found[members], golden, "{members:?}, permutation {seed}");
        }
        assert_eq!(
            sources.rebuild(&client).await,
            0,
            "a rebuild finds nothing to change, permutation {seed}"
        );
    }
}

#[tokio::test]
async fn a_merge_can_be_undone_and_both_are_told() {
    let client = DATABASE.admin().await;
    let sources = Sources::create(&client).await;
    for (label, webhook) in history() {
        accept(&client, &sources.connectors[label], &webhook).await;
    }
    let before = sources.truth(&client).await;
    let tenant_id = sources.tenant.tenant_id;
    let record = async |label, external_id| sources.record(&client, "customer", label, external_id).await;
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

    let versions = "select count(*) from (
            select entity_version - lag(entity_version) over (partition by entity_id order by domain_event_id) as step
            from nexus.domain_event where tenant_id = $1 and entity_kind = 'customer') v where v.step <= 0";
    let steps_back: i64 = client.query_one(versions, &[&tenant_id]).await.unwrap().get(0);
    assert_eq!(steps_back, 0, "versions rise");

    let ended = "select max(entity_version) from nexus.domain_event where tenant_id = $1 and entity_id = $2";
    let ended: i64 = client.query_one(ended, &[&tenant_id, &absorbed]).await.unwrap().get(0);
    // As retention does in the end.
    client.execute("delete from nexus.domain_event where tenant_id = $1", &[&tenant_id]).await.unwrap();
    let unmerge = "select nexus.unmerge($1, 'customer', $2, 'he did not')";
    client.execute(unmerge, &[&tenant_id, &carl]).await.unwrap();
    assert_eq!(sources.truth(&client).await, before, "merging and undoing it leaves nothing behind");
    let version = "select entity_version from nexus.customer where tenant_id = $1 and customer_id = $2";
    let version: i64 = client.query_one(version, &[&tenant_id, &absorbed]).await.unwrap().get(0);
    assert_eq!(version, ended + 1, "an entity that comes back goes on counting");
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

    let (ada, _) = sources.record(&client, "customer", "woo", "9").await;
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

#[tokio::test]
async fn a_row_that_a_rebuild_mends_is_told_as_an_update() {
    let client = DATABASE.admin().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let ann = person(1, "ann@example.com", ("Ann", "Lee"), 1, 1);
    accept(&client, &shop, &shopify("customers/create", &ann, minute(1))).await;
    let damage = "update nexus.customer set first_name = 'Eve' where tenant_id = $1";
    client.execute(damage, &[&tenant.tenant_id]).await.unwrap();
    let rebuild = "select changed from nexus.rebuild($1, 'customer')";
    let changed: i32 = client.query_one(rebuild, &[&tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(changed, 1);
    let told = "select array_agg(v.event_type || ' ' || v.entity_version order by v.entity_version)
                from nexus.domain_event v where v.tenant_id = $1 and v.entity_kind = 'customer'";
    let told: Vec<String> = client.query_one(told, &[&tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(told, ["customer.created 1", "customer.updated 2"]);
}

#[tokio::test]
async fn a_merge_waits_for_a_record_that_comes_in_between_and_takes_it_along() {
    let (client, importer, admin) = (DATABASE.admin().await, DATABASE.admin().await, DATABASE.admin().await);
    let sources = Sources::create(&client).await;
    let customer =
        |id, email| shopify("customers/update", &person(id, email, ("Ann", "Lee"), id, 1), minute(1));
    accept(&client, &sources.connectors["shop"], &customer(1, "ann@example.com")).await;
    accept(&client, &sources.connectors["shop"], &customer(2, "lee@example.com")).await;
    let record = async |label, id| sources.record(&client, "customer", label, id).await;
    let (ann, lee) = (record("shop", "1").await.0, record("shop", "2").await.0);

    let pid = pid(&importer).await;
    importer.batch_execute("begin").await.unwrap();
    accept(&importer, &sources.connectors["outlet"], &customer(3, "ann@example.com")).await;
    let commit = async {
        until_blocked_by(&admin, pid).await;
        importer.batch_execute("commit").await.unwrap();
    };
    let merge = "select nexus.merge($1, 'customer', $2, $3, 'she said so')";
    let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&sources.tenant.tenant_id, &ann, &lee];
    let (merged, ()) = tokio::join!(client.query_one(merge, &arguments), commit);
    let merged: Uuid = merged.unwrap().get(0);
    for (label, id) in [("shop", "1"), ("shop", "2"), ("outlet", "3")] {
        assert_eq!(record(label, id).await.1, merged, "{label} {id}");
    }
}

#[tokio::test]
async fn a_kind_that_there_is_not_is_refused() {
    let client = DATABASE.admin().await;
    let tenant = Tenant::create(&client).await;
    for asked in [
        "select * from nexus.rebuild($1, 'orders')",
        "select * from nexus.provenance($1, 'orders', gen_random_uuid())",
        "select * from nexus.history($1, 'orders', gen_random_uuid())",
        "select nexus.entity_at($1, 'orders', gen_random_uuid(), now())",
        "select nexus.current_entity($1, 'orders', gen_random_uuid())",
    ] {
        let refused = client.query(asked, &[&tenant.tenant_id]).await.unwrap_err();
        let refused = refused.as_db_error().unwrap();
        assert!(refused.detail().is_some_and(|detail| detail.contains("NX102")), "{asked}: {refused:?}");
        assert!(refused.hint().is_some_and(|hint| hint.contains("sales_order")), "{asked}: {refused:?}");
    }
}
