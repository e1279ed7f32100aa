//! The regular upkeep: it makes what will be needed, takes away what has been kept long enough, and is in nobody's way.

use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::ingest::accept;
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::tenant::Tenant;
use nexus_tests::wait::DEADLINE;
use serde_json::json;
use tokio::time::timeout;
use tokio_postgres::Client;
use uuid::Uuid;

/// A month long past: its event partition holds nothing that the settings want kept.
const OLD_PARTITION: &str = "create table nexus.event_2020_01 partition of nexus.event
        for values from ('016f5e66-e800-0000-0000-000000000000') to ('016ffe0f-b800-0000-0000-000000000000');
    select nexus.migrate()";

fn order() -> Webhook {
    shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1))
}

/// Maintains until nothing is left to do; what was done.
async fn maintain(client: &Client) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        let rows = client.query("select action from nexus.maintain()", &[]).await.unwrap();
        if rows.is_empty() {
            return done;
        }
        done.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
}

/// The partitions of events, the last first.
async fn partitions(client: &Client) -> Vec<String> {
    let sql = "select p.inhrelid::regclass::text from pg_inherits p where p.inhparent = 'nexus.event'::regclass order by 1 desc";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_has_been_kept_long_enough_is_taken_away() {
    // A database of its own, here and below: the partitions are everyone's.
    let database = SHARED.database();
    let client = database.admin().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    let flow = json!({ "kinds": ["sales_order"], "execution_url": "http://127.0.0.1:9" });
    tenant.flow(&client, &flow).await;
    accept(&client, &shop, &order()).await;
    client.batch_execute(OLD_PARTITION).await.unwrap();
    // Everything of this tenant is made old.
    client
        .batch_execute(
            "update nexus.idempotency_key set first_seen_at = now() - interval '500 days';
             update nexus.job set job_id = nexus._uuid_at(now() - interval '100 days'), status = 'cancelled', finished_at = now()",
        )
        .await
        .unwrap();
    assert_eq!(maintain(&client).await, ["idempotency_keys.deleted", "jobs.deleted", "partition.dropped"]);
    let count = async |table: &str| -> i64 {
        client.query_one(&format!("select count(*) from nexus.{table}"), &[]).await.unwrap().get(0)
    };
    assert_eq!((count("idempotency_key").await, count("job").await, count("event").await), (0, 0, 1));
}

/// Else what one call makes the next takes away, for ever.
#[tokio::test]
async fn no_month_is_made_and_taken_away_in_turn() {
    let client = SHARED.database().admin().await;
    for of in ["event", "domain_event", "activity_log", "webhook_delivery_log"] {
        let setting = format!("{of}_retention_days");
        client.execute("select nexus.set_setting($1, '1')", &[&setting]).await.unwrap();
    }
    client.batch_execute("select nexus.set_setting('partition_months_ahead', '4')").await.unwrap();
    let done = timeout(DEADLINE, maintain(&client)).await.expect("it comes to an end");
    assert!(done.iter().any(|action| action == "partitions.created"), "{done:?}");
    assert_eq!(maintain(&client).await, [""; 0]);
}

#[tokio::test]
async fn a_delivery_that_waits_for_longer_than_its_event_is_kept_ends() {
    let client = SHARED.database().admin().await;
    let tenant = Tenant::create(&client).await;
    let subscribe = "select nexus.create_subscription($1, $2, 'https://example.com', array['*'],
                                                      options => '{\"ordering\": \"entity\"}')";
    let subscription: Uuid =
        client.query_one(subscribe, &[&tenant.tenant_id, &tenant.prod]).await.unwrap().get(0);
    client
        .batch_execute(
            "create table nexus.domain_event_2020_01 partition of nexus.domain_event
                 for values from ('016f5e66-e800-0000-0000-000000000000') to ('016ffe0f-b800-0000-0000-000000000000');
             select nexus.migrate()",
        )
        .await
        .unwrap();
    // Two changes of an entity, the first of them long ago; the second waits for it.
    let emit = "select nexus._emit($1, (select jsonb_agg(jsonb_build_object(
            'domain_event_id', v.id, 'environment_id', $2::uuid, 'event_type', 'customer.updated', 'dedupe_key', v.id,
            'entity_kind', 'customer', 'entity_id', $2::uuid, 'entity_version', v.version, 'trace_id', repeat('a', 32),
            'payload', '{}'::jsonb))
        from (values ('016f5e66-e800-7000-8000-000000000001'::uuid, 1), (nexus.uuid_v7(), 2)) v(id, version)))";
    client.execute(emit, &[&tenant.tenant_id, &tenant.prod]).await.unwrap();
    let aside = "update nexus.delivery d set due_at = 'infinity' where d.tenant_id = $1";
    client.execute(aside, &[&tenant.tenant_id]).await.unwrap();

    assert_eq!(maintain(&client).await, ["deliveries.expired", "partition.dropped"]);
    let left = "select d.ordering_version, d.due_at <= now() from nexus.delivery d where d.tenant_id = $1";
    let left = client.query(left, &[&tenant.tenant_id]).await.unwrap();
    let left: Vec<(i64, bool)> = left.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(left, [(2, true)], "the one behind it is due");
    let logged = "select l.destination_id, l.outcome, l.error_class, l.trace_id = repeat('a', 32)
                  from nexus.webhook_delivery_log l where l.tenant_id = $1";
    let logged = client.query_one(logged, &[&tenant.tenant_id]).await.unwrap();
    assert_eq!(
        (
            logged.get::<_, Uuid>(0),
            logged.get::<_, &str>(1),
            logged.get::<_, &str>(2),
            logged.get::<_, bool>(3)
        ),
        (subscription, "dead", "configuration", true)
    );
}

#[tokio::test]
async fn a_reader_that_stays_holds_up_neither_maintenance_nor_ingest() {
    let database: Database = SHARED.database();
    let (client, reader, writer) = (database.admin().await, database.admin().await, database.admin().await);
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    client.batch_execute(OLD_PARTITION).await.unwrap();
    let before = partitions(&client).await;
    // The last month is missing, as when a month has begun.
    client.batch_execute(&format!("drop table {}", before[0])).await.unwrap();
    let until = "select extract(epoch from nexus.partitioned_until())::float8";
    let until = async || client.query_one(until, &[]).await.unwrap().get::<_, f64>(0);
    let month_less = until().await;

    let read = "begin isolation level repeatable read; select count(*) from nexus.event";
    reader.batch_execute(read).await.unwrap();
    let order = order();
    let both = async { tokio::join!(maintain(&client), accept(&writer, &shop, &order)) };
    let (done, _) = timeout(DEADLINE, both).await.expect("somebody waits for the reader");
    assert_eq!(done, ["partitions.created"], "nothing is dropped under the reader");
    assert_eq!(partitions(&client).await, before);
    assert!(until().await > month_less);

    reader.batch_execute("commit").await.unwrap();
    assert_eq!(maintain(&client).await, ["partition.dropped"]);
    assert_eq!(partitions(&client).await, before[..before.len() - 1]);
    // What was attached is what is made with its parent: the same columns, constraints and indexes, and as closed.
    let differing = r"select count(distinct f.form) from (
            select string_agg(d.line, e'\n' order by d.line) as form from pg_inherits p
            cross join lateral (
                select concat_ws(' ', a.attname, a.atttypid::regtype, a.attnotnull, a.attstorage, a.attcompression, a.attstattarget,
                                 pg_get_expr(e.adbin, e.adrelid)) as line
                from pg_attribute a left join pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
                where a.attrelid = p.inhrelid and a.attnum > 0
                union all select pg_get_constraintdef(c.oid) from pg_constraint c where c.conrelid = p.inhrelid
                union all select regexp_replace(pg_get_indexdef(i.indexrelid), '\d{4}_\d{2}', '', 'g')
                from pg_index i where i.indrelid = p.inhrelid
                union all select concat_ws(' ', y.polname, y.polroles::regrole[]::text) from pg_policy y where y.polrelid = p.inhrelid
                union all select concat_ws(' ', c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.relacl)
                from pg_class c where c.oid = p.inhrelid) d
            where p.inhparent = 'nexus.event'::regclass group by p.inhrelid) f";
    client.batch_execute(OLD_PARTITION).await.unwrap();
    assert_eq!(client.query_one(differing, &[]).await.unwrap().get::<_, i64>(0), 1);
}
