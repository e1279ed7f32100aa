//! A tenant's copy and its end, and a person's right to be forgotten.

use nexus_tests::cluster::{Database, SHARED, connect};
use nexus_tests::gateway::{Gateway, admin, admin_command};
use nexus_tests::ingest;
use nexus_tests::shop::{
    Webhook, fresh_id, minute, shopify, shopify_bytes, shopify_order, shopify_product, shopify_stock,
};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::{Answer, Site, answer};
use nexus_tests::tenant::Tenant;
use nexus_tests::wait::{DEADLINE, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use tokio::time::timeout;
use tokio_postgres::Client;
use uuid::Uuid;

/// What opens doors, or is a register of the platform's, and no data of a tenant.
const NOT_EXPORTED: [&str; 6] =
    ["api_key", "idempotency_key", "idempotency_request", "secret", "tenant_data_key", "tenant_slug"];

fn order() -> Webhook {
    shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1))
}

async fn accept(site: &Site<'_>, webhook: &Webhook) -> Answer {
    let answer = site.send(webhook).await;
    assert_eq!((answer.status, answer.text("status")), (202, "accepted"), "{answer:?}");
    answer
}

/// A tenant with rows in almost every table.
async fn lived_in<'a>(database: &'a Database, gateway: &Gateway, sink: &Sink) -> Site<'a> {
    let site = Site::create(database, gateway).await;
    let path = format!("/{}", site.tenant.tenant_id);
    site.flow(&sink.url(&path), json!({})).await;
    site.flow(&sink.url("/nothing"), json!({ "retry": { "delays_seconds": [3600] } })).await;
    sink.answer("/nothing", Reply::status(503));
    site.subscribe(sink, &["product.*"]).await;
    let product = fresh_id();
    accept(&site, &shopify("products/create", &shopify_product(product, minute(1)), minute(1))).await;
    accept(&site, &shopify("inventory_levels/update", &shopify_stock(product, 7, minute(2)), minute(2)))
        .await;
    let order = order();
    accept(&site, &order).await;
    assert_eq!(site.send(&order).await.text("status"), "duplicate");
    assert_eq!(site.send(&shopify_bytes("orders/create", b"{".to_vec(), minute(1))).await.status, 202);
    let key = site.request(Method::POST, "/api/v1/api-keys").header("x-api-key", &site.api_key);
    let made = answer(key.header("idempotency-key", "once").json(&json!({ "name": "reader" }))).await;
    assert_eq!(made.status, 201, "{made:?}");
    // All is quiet: one job waits for an hour, everything else has ended.
    let waiting =
        "select count(*) from nexus.delivery where tenant_id = $1 and leased_until is null and attempt = 1";
    let all = "select count(*) from nexus.delivery where tenant_id = $1";
    until("deliveries have come to rest", async || {
        site.count(waiting).await == 1 && site.count(all).await == 1
    })
    .await;
    site
}

/// Of every table with rows of tenants: how many the tenant has, and what they are.
async fn content(client: &Client, tenant_id: Uuid) -> BTreeMap<String, (i64, String)> {
    let tables = "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
                  where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition";
    let mut content = BTreeMap::new();
    for row in client.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let rows = format!(
            "select count(*), coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from nexus.{table} t where tenant_id = $1"
        );
        let row = client.query_one(&rows, &[&tenant_id]).await.unwrap();
        content.insert(table, (row.get(0), row.get(1)));
    }
    assert!(content.len() > 25, "{content:?}");
    content
}

fn run(database: &Database, arguments: &[&str]) -> Output {
    let output = admin_command(database, arguments, &[]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[tokio::test]
async fn a_tenants_copy_is_all_of_it_and_of_one_moment() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let sink = Sink::start().await;
    let acme = lived_in(&database, &gateway, &sink).await;
    let _globex = lived_in(&database, &gateway, &sink).await;
    let tenant = acme.tenant.tenant_id.to_string();

    let lines = String::from_utf8(run(&database, &["export-tenant", "--tenant", &tenant]).stdout).unwrap();
    assert!(!lines.contains(&acme.shop.secret) && !lines.contains(&acme.api_key));
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["row"]["tenant_id"], tenant.as_str(), "{line}");
        *counts.entry(line["table"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let rows = content(&acme.admin, acme.tenant.tenant_id).await;
    let held: BTreeMap<String, i64> = rows
        .into_iter()
        .filter(|(table, (count, _))| *count > 0 && !NOT_EXPORTED.contains(&table.as_str()))
        .map(|(table, (count, _))| (table, count))
        .collect();
    assert!(held.len() > 12, "{held:?}");
    assert_eq!(counts, held);

    // Each order is an event, a record, a golden row and a domain event, written at once.
    let export = "select count(*) filter (where table_name = 'sales_order'),
                         count(*) filter (where table_name = 'event' and content ->> 'topic' = 'orders/create'
                                          and content ->> 'status' = 'accepted'),
                         count(*) filter (where table_name = 'source_record' and content ->> 'kind' = 'sales_order'),
                         count(*) filter (where table_name = 'domain_event' and content ->> 'event_type' = 'order.created')
                  from nexus.export_tenant($1)";
    let writes = async {
        for _ in 0..40 {
            accept(&acme, &order()).await;
        }
    };
    let copies = async {
        let (session, mut seen) = (database.admin().await, BTreeSet::new());
        for _ in 0..10 {
            let row = session.query_one(export, &[&acme.tenant.tenant_id]).await.unwrap();
            let counts: [i64; 4] = std::array::from_fn(|n| row.get(n));
            assert_eq!(counts, [counts[0]; 4]);
            seen.insert(counts[0]);
        }
        assert!(seen.len() > 1, "nothing was written meanwhile");
    };
    futures_util::join!(writes, copies);
}

#[tokio::test]
async fn a_tenant_is_deleted_with_everything_and_nothing_else() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let sink = Sink::start().await;
    let acme = lived_in(&database, &gateway, &sink).await;
    let globex = lived_in(&database, &gateway, &sink).await;
    let analyst = acme.tenant.analyst(&database, &acme.admin, Some(acme.tenant.prod)).await;
    let made = admin(&database, &["create-key", "--platform"], "");
    let platform_key = made["platform_key"].as_str().unwrap();
    globex.in_force().await;
    let before = content(&acme.admin, globex.tenant.tenant_id).await;
    let held = content(&acme.admin, acme.tenant.tenant_id).await;
    assert!(held.values().filter(|(count, _)| *count > 0).count() > 18, "{held:?}");

    // Over REST a slug confirms which one is meant.
    let path = format!("/api/v1/tenants/{}", acme.tenant.tenant_id);
    let tenant = acme.get_as(platform_key, &path).await;
    let delete = async |query: &str, key: &str| {
        acme.call(Method::DELETE, &format!("{path}{query}"), key, &json!({})).await
    };
    for query in ["?slug=", "?slug=other"] {
        let refused = delete(query, platform_key).await;
        assert_eq!((refused.status, refused.text("parameter")), (422, "slug"), "{refused:?}");
    }
    let confirmed = format!("?slug={}", tenant.text("slug"));
    assert_eq!(delete(&confirmed, &acme.api_key).await.status, 401, "a tenant's key does not");
    assert_eq!(content(&acme.admin, acme.tenant.tenant_id).await["event"], held["event"]);
    let deleted = delete(&confirmed, platform_key).await;
    assert_eq!((deleted.status, &deleted.body["deleted"]["sales_order"]), (200, &json!(1)), "{deleted:?}");

    let left = content(&acme.admin, acme.tenant.tenant_id).await;
    assert!(left.values().all(|(count, _)| *count == 0), "{left:?}");
    assert_eq!(
        content(&acme.admin, globex.tenant.tenant_id).await,
        before,
        "another's rows are as they were"
    );
    assert_eq!((acme.send(&order()).await.status, acme.get("/api/v1/flows").await.status), (401, 401));
    assert_eq!(delete(&confirmed, platform_key).await.status, 404);
    let log = "select actor, detail ->> 'slug' from nexus.activity_log
               where tenant_id = '00000000-0000-0000-0000-000000000000' and action = 'tenant.deleted' and object_id = $1";
    let row = acme.admin.query_one(log, &[&acme.tenant.tenant_id]).await.unwrap();
    let actor = format!("platform_key:{}", made["platform_key_id"].as_str().unwrap());
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (actor.as_str(), tenant.text("slug")));

    // Roles are the cluster's, and the gateway may not drop them: an administrator does.
    let groups = async |site: &Site<'_>| -> i64 {
        let sql =
            "select count(*) from pg_roles where rolname = 'nexus_t_' || replace($1::uuid::text, '-', '')
                   or rolname = 'nexus_e_' || replace($2::uuid::text, '-', '')";
        let ids = site.tenant.clone();
        site.admin.query_one(sql, &[&ids.tenant_id, &ids.prod]).await.unwrap().get(0)
    };
    assert_eq!(groups(&acme).await, 2);
    let drop_groups = "select nexus.drop_groups($1)";
    let refused = acme.admin.query_one(drop_groups, &[&globex.tenant.tenant_id]).await;
    assert!(refused.unwrap_err().to_string().contains("db error"), "a tenant that lives keeps its groups");
    acme.admin.query_one(drop_groups, &[&acme.tenant.tenant_id]).await.unwrap();
    assert_eq!(groups(&acme).await, 0);
    let seen = connect(&analyst).await.query("select from nexus.tenant", &[]).await;
    assert!(seen.is_err(), "the login is bound to nothing any more");

    globex.tenant.analyst(&database, &globex.admin, Some(globex.tenant.prod)).await;
    let slug: String = globex
        .admin
        .query_one("select slug from nexus.tenant where tenant_id = $1", &[&globex.tenant.tenant_id])
        .await
        .unwrap()
        .get(0);
    let done = admin(&database, &["delete-tenant", &slug, "--yes"], "");
    assert_eq!((&done["dropped_groups"], groups(&globex).await), (&json!(2), 0), "{done}");
}

/// A person by whom every trace can be found.
const TRACES: [&str; 5] = ["zephyrine", "quixholm", "z.q@example.org", "698765432", "elderflower walk"];
const OTHER: &str = "Nordqvist";

fn person(id: i64) -> Value {
    let address = json!({
        "first_name": "Zephyrine", "last_name": "Quixholm", "name": "Zephyrine Quixholm", "zip": "1011 AB",
        "address1": "Elderflower Walk 77", "city": "Amsterdam", "country_code": "NL", "phone": "+31 698765432",
    });
    json!({
        "id": id, "email": "Z.Q@Example.org", "phone": "+31698765432", "first_name": "Zephyrine",
        "last_name": "Quixholm", "created_at": minute(-60), "updated_at": minute(0), "note": "Quixholm, Zephyrine",
        "default_address": address, "addresses": [address],
    })
}

fn order_of(customer: Value, note: &str) -> Webhook {
    let mut order = shopify_order(fresh_id(), minute(1));
    for name in ["email", "phone"] {
        order[name] = customer[name].clone();
    }
    for name in ["billing_address", "shipping_address"] {
        order[name] = customer["default_address"].clone();
    }
    order["note"] = json!(note);
    order["customer"] = customer;
    shopify("orders/create", &order, minute(1))
}

/// All of a row as text; bodies are bytes.
fn text_of(table: &str) -> &'static str {
    if table == "event" { "t::text || encode(t.body, 'escape')" } else { "t::text" }
}

/// The tables in which a text stands, in whatever case.
async fn tables_with(client: &Client, tenant_id: Uuid, text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in content(client, tenant_id).await.into_keys() {
        let sql = format!(
            "select count(*) from nexus.{table} t where tenant_id = $1 and position(lower($2) in lower({})) > 0",
            text_of(&table)
        );
        if client.query_one(&sql, &[&tenant_id, &text]).await.unwrap().get::<_, i64>(0) > 0 {
            found.insert(table);
        }
    }
    found
}

#[tokio::test]
async fn a_person_is_forgotten_everywhere_and_for_good() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let site = Site::create(&database, &gateway).await;
    let (sink, tenant_id) = (Sink::start().await, site.tenant.tenant_id);
    // Destinations repeat what they were sent, in answers and in a callback.
    site.flow(&sink.url("/jobs"), json!({ "retry": { "delays_seconds": [] } })).await;
    sink.answer("/jobs", Reply::echo(500));
    site.subscribe(&sink, &["customer.*"]).await;
    sink.answer("/webhooks", Reply::echo(200));

    let customer = fresh_id();
    let webhook = order_of(person(customer), "Ring at Quixholm");
    accept(&site, &shopify("customers/create", &person(customer), minute(0))).await;
    accept(&site, &webhook).await;
    sink.wait_for("/jobs", 1).await;
    sink.answer("/jobs", Reply::status(202));
    accept(&site, &order_of(person(customer), "and again")).await;
    let body = sink.wait_for("/jobs", 2).await[1].json();
    let report =
        json!({ "status": "failed", "callback_token": body["callback_token"], "error": "Quixholm owes us" });
    let path = format!("/api/v1/jobs/{}/callback", body["job_id"].as_str().unwrap());
    assert_eq!(site.post(&path, &report).await.status, 200);
    // These make no record of the person, and name her all the same.
    let mut unmappable = shopify_order(fresh_id(), minute(1));
    (unmappable["total_price"], unmappable["email"]) = (json!("much"), json!("z.q@example.org"));
    let cart = json!({ "id": "c", "phone": "0698765432", "note_attributes": ["Zephyrine"] });
    let mut headed = shopify("carts/update", &json!({ "id": "d" }), minute(2));
    headed.headers.push(("x-contact".to_owned(), "Zephyrine Quixholm <z.q@example.org>".to_owned()));
    for webhook in
        [shopify("orders/create", &unmappable, minute(1)), shopify("carts/update", &cart, minute(1)), headed]
    {
        assert_eq!(site.send(&webhook).await.status, 202);
    }
    let other = json!({ "id": fresh_id(), "email": "b.n@example.org", "first_name": "Bertil", "last_name": OTHER,
                        "created_at": minute(-60), "updated_at": minute(0) });
    accept(&site, &order_of(other, "for Nordqvist")).await;
    let quiet = "select count(*) from nexus.delivery where tenant_id = $1";
    until("deliveries have ended", async || site.count(quiet).await == 0).await;

    let places = tables_with(&site.admin, tenant_id, "quixholm").await;
    for table in [
        "customer",
        "customer_address",
        "domain_event",
        "event",
        "job",
        "sales_order",
        "source_record",
        "webhook_delivery_log",
    ] {
        assert!(places.contains(table), "{table} is not among {places:?}");
    }
    let others = async || {
        let mut rows = BTreeMap::new();
        for table in tables_with(&site.admin, tenant_id, OTHER).await {
            let text = text_of(&table);
            let sql = format!(
                "select array_agg({text} order by {text}) from nexus.{table} t where {text} ilike '%{OTHER}%'"
            );
            rows.insert(table, site.admin.query_one(&sql, &[]).await.unwrap().get::<_, Vec<String>>(0));
        }
        rows
    };
    let before = others().await;
    assert!(before.len() > 4, "{before:?}");

    // The tenant's own analyst may do it, and reads who did.
    let analyst = connect(&site.tenant.analyst(&database, &site.admin, None).await).await;
    let found = site.get("/api/v1/nexus/customers?email=z.q@example.org").await;
    let id: Uuid = found.body["data"][0]["customer_id"].as_str().unwrap().parse().unwrap();
    let erase = "select nexus.erase_customer($1, $2)";
    let erased: Value = analyst.query_one(erase, &[&tenant_id, &id]).await.unwrap().get(0);
    assert_eq!((&erased["events"], &erased["jobs"]), (&json!(6), &json!(2)), "{erased}");
    let nowhere = async |when: &str| {
        for trace in TRACES {
            let places = tables_with(&site.admin, tenant_id, trace).await;
            assert!(places.is_empty(), "{when}, {trace:?} stands in {places:?}");
        }
    };
    nowhere("at once").await;
    assert_eq!(others().await, before, "others are as they were");

    assert_eq!(site.send(&webhook).await.text("status"), "duplicate");
    let again = accept(&site, &webhook.delivered_again()).await;
    accept(&site, &shopify("customers/update", &person(customer), minute(9))).await;
    nowhere("after replays").await;
    let event = site.get(&format!("/api/v1/events/{}", again.text("event_id"))).await;
    assert_eq!((event.text("body"), &event.body["headers"]), ("", &json!({})), "{event:?}");
    admin(
        &database,
        &["erase-customer", "--tenant", &tenant_id.to_string(), "--customer", &id.to_string()],
        "",
    );
    let log = "select array_agg(actor = case n when 1 then session_user else 'postgres' end order by n)
               from (select a.actor, row_number() over (order by a.at) as n from nexus.activity_log a
                     where a.action = 'customer.erased' and a.object_id = $1 and a.detail ? 'events') a";
    let actors: Vec<bool> = analyst.query_one(log, &[&id]).await.unwrap().get(0);
    assert_eq!(actors, [true, true], "first the analyst, then the administrator");
}

#[tokio::test]
async fn a_tenant_reads_who_changed_what() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let site = Site::create(&database, &gateway).await;
    let analyst = connect(&site.tenant.analyst(&database, &site.admin, None).await).await;
    let made = site.post("/api/v1/api-keys", &json!({ "name": "k" })).await;
    let key_id: Uuid = made.text("api_key_id").parse().unwrap();

    // An administrator who is no superuser, and says to be somebody else.
    let dba = format!("dba_{}", Uuid::new_v4().simple());
    let make = format!(
        "create role {dba} login createrole password 'dba' in role nexus_admin; create role {dba}_bound login"
    );
    site.admin.batch_execute(&make).await.unwrap();
    let session = connect(&database.url_of(&dba, "dba")).await;
    session.batch_execute("set nexus.actor = 'api_key:somebody'").await.unwrap();
    let tenant_id = site.tenant.tenant_id;
    session.query_one("select nexus.revoke_api_key($1, $2)", &[&tenant_id, &key_id]).await.unwrap();
    let bound = format!("{dba}_bound");
    session.execute("select nexus.bind_role($1::text::name, $2)", &[&bound, &tenant_id]).await.unwrap();
    session.execute("select nexus.unbind_role($1::text::name)", &[&bound]).await.unwrap();

    let log = "select action, actor, object_id = $1, at between now() - interval '10 minutes' and now()
               from nexus.activity_log where stage is null";
    let rows = analyst.query(log, &[&key_id]).await.unwrap();
    let entries: Vec<(&str, &str, bool)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get::<_, Option<bool>>(2) == Some(true)))
        .collect();
    assert!(rows.iter().all(|row| row.get(3)), "{rows:?}");
    for entry in [
        ("tenant.created", "postgres", false),
        ("connector.created", "postgres", false),
        ("secret.set", "postgres", false),
        ("role.bound", "postgres", false),
        ("api_key.revoked", dba.as_str(), true),
        ("role.bound", &dba, false),
        ("role.unbound", &dba, false),
    ] {
        assert!(entries.contains(&entry), "{entry:?} is not among {entries:?}");
    }
    let by_key = entries.iter().find(|(action, _, is_key)| *action == "api_key.created" && *is_key).unwrap();
    assert!(by_key.1.starts_with("api_key:") && by_key.1 != "api_key:somebody", "{by_key:?}");
}

#[tokio::test]
async fn a_tenant_that_is_switched_off_takes_nothing_in_and_delivers_nothing() {
    let client = SHARED.database().admin().await;
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    tenant.flow(&client, &json!({ "kinds": ["sales_order"], "execution_url": "http://127.0.0.1:9" })).await;
    let switch = async |is_active: bool| {
        let changes = json!({ "is_active": is_active });
        client.execute("select nexus.update_tenant($1, $2)", &[&tenant.tenant_id, &changes]).await.unwrap();
    };
    let due = async || -> i64 {
        let sql = "select count(*) from nexus.due_tenants(10) t where t.tenant_id = $1";
        client.query_one(sql, &[&tenant.tenant_id]).await.unwrap().get(0)
    };
    let claimed = async || -> i64 {
        let sql = "select count(*) from nexus.claim($1, 'suite', 10)";
        client.query_one(sql, &[&tenant.tenant_id]).await.unwrap().get(0)
    };
    ingest::accept(&client, &shop, &order()).await;
    switch(false).await;
    let refused = ingest::ingest(&client, &shop, &order()).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().detail().unwrap().contains("NX404"), "{refused:?}");
    assert_eq!((due().await, claimed().await), (0, 0));
    switch(true).await;
    assert_eq!((due().await, claimed().await), (1, 1), "what was queued before waits for it");
}

/// Deleting takes its time; who settles meanwhile holds nobody up, and is not waited for in a circle.
#[tokio::test]
async fn outcomes_of_a_tenant_that_is_being_deleted_are_passed_by() {
    let database = SHARED.database();
    let (client, settler) = (database.admin().await, database.admin().await);
    let tenant = Tenant::create(&client).await;
    let shop = tenant.connector(&client, "shopify").await;
    tenant.flow(&client, &json!({ "kinds": ["sales_order"], "execution_url": "http://127.0.0.1:9" })).await;
    ingest::accept(&client, &shop, &order()).await;
    let claim = "select jsonb_agg(jsonb_build_object('log_id', nexus.uuid_v7(), 'environment_id', c.environment_id,
            'delivery_id', c.delivery_id, 'kind', c.kind, 'destination_id', c.destination_id, 'job_id', c.job_id,
            'trace_id', c.trace_id, 'attempt', c.attempt, 'outcome', 'succeeded', 'attempted_at', now()))
        from nexus.claim($1, 'suite', 10) c";
    let outcomes: Value = settler.query_one(claim, &[&tenant.tenant_id]).await.unwrap().get(0);
    client.batch_execute("begin").await.unwrap();
    client.query("select * from nexus.delete_tenant($1)", &[&tenant.tenant_id]).await.unwrap();
    let settle = "select nexus.settle($1, 'suite', $2)";
    let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant.tenant_id, &outcomes];
    let settled = settler.query_one(settle, &arguments);
    let settled: i32 = timeout(DEADLINE, settled).await.expect("it waits for nobody").unwrap().get(0);
    assert_eq!(settled, 0);
    client.batch_execute("commit").await.unwrap();
    let left = "select count(*) from nexus.webhook_delivery_log where tenant_id = $1";
    let left: i64 = client.query_one(left, &[&tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(left, 0, "nothing is written of who is gone");
}
