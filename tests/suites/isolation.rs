//! What a tenant's SQL login sees: its own, whatever it sets.

use nexus_tests::cluster::{Database, SHARED, connect};
use nexus_tests::ingest::{accept, ingest};
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::tenant::{Connector, Tenant};
use std::sync::LazyLock;
use tokio_postgres::Client;
use uuid::Uuid;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

/// A tenant with an order in prod and one in test.
struct Data {
    tenant: Tenant,
    shop: Connector,
    order_id: i64,
}

impl Data {
    async fn create(admin: &Client) -> Self {
        let tenant = Tenant::create(admin).await;
        let shop = tenant.connector(admin, "shopify").await;
        let order_id = fresh_id();
        for (connector, id) in
            [(&shop, order_id), (&tenant.connector_in(admin, tenant.test, "shopify").await, fresh_id())]
        {
            accept(admin, connector, &shopify("orders/create", &shopify_order(id, minute(0)), minute(0)))
                .await;
        }
        Self { tenant, shop, order_id }
    }
}

/// Every table and view of the schema that may be read, except those that hold no tenant's rows.
async fn tables_of_tenants(client: &Client) -> Vec<String> {
    let sql = "select c.relname::text from pg_class c
               where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
                 and has_table_privilege(c.oid, 'select')
                 and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn orders_seen(client: &Client) -> i64 {
    client.query_one("select count(*) from nexus.sales_order", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_login_sees_its_tenant_and_nothing_else_in_any_table() {
    let admin = DATABASE.admin().await;
    let (acme, globex) = (Data::create(&admin).await, Data::create(&admin).await);
    let analyst = connect(&acme.tenant.analyst(&DATABASE, &admin, None).await).await;
    let tables = tables_of_tenants(&analyst).await;
    assert!(tables.len() > 15, "{tables:?}");
    for table in &tables {
        let sql = format!("select count(*) filter (where tenant_id <> $1), count(*) from nexus.{table}");
        let row = analyst.query_one(&sql, &[&acme.tenant.tenant_id]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "nexus.{table}");
    }
    assert_eq!(orders_seen(&analyst).await, 2);
    let named = "select count(*) from nexus.sales_order where order_number = $1";
    let theirs: i64 = analyst.query_one(named, &[&format!("#{}", globex.order_id)]).await.unwrap().get(0);
    let own: i64 = analyst.query_one(named, &[&format!("#{}", acme.order_id)]).await.unwrap().get(0);
    assert_eq!((own, theirs), (1, 0));
}

#[tokio::test]
async fn a_login_bound_to_an_environment_sees_that_one() {
    let admin = DATABASE.admin().await;
    let acme = Data::create(&admin).await;
    let analyst = connect(&acme.tenant.analyst(&DATABASE, &admin, Some(acme.tenant.prod)).await).await;
    for table in ["sales_order", "customer", "source_record", "event", "domain_event"] {
        let sql = format!("select count(*) filter (where environment_id <> $1), count(*) from nexus.{table}");
        let row = analyst.query_one(&sql, &[&acme.tenant.prod]).await.unwrap();
        let (others, all): (i64, i64) = (row.get(0), row.get(1));
        assert!(others == 0 && all > 0, "nexus.{table}: {others} of {all}");
    }
}

#[tokio::test]
async fn a_second_binding_closes_the_first_until_it_is_gone() {
    let admin = DATABASE.admin().await;
    let (acme, globex) = (Data::create(&admin).await, Data::create(&admin).await);
    let analyst = connect(&acme.tenant.analyst(&DATABASE, &admin, None).await).await;
    let login: String = analyst.query_one("select session_user::text", &[]).await.unwrap().get(0);
    globex.tenant.analyst(&DATABASE, &admin, None).await;
    // By way of another role, as a team would get it.
    let team = format!("team_{}", acme.tenant.tenant_id.simple());
    let group = format!("nexus_t_{}", globex.tenant.tenant_id.simple());
    let grant = format!("create role {team}; grant {group} to {team}; grant {team} to {login}");
    admin.batch_execute(&grant).await.unwrap();
    let error = analyst.query("select * from nexus.sales_order", &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.detail()), ("42501", Some(r#"{"code": "NX304"}"#)), "{error}");
    assert!(error.message().contains(&group), "{error}");
    admin.batch_execute(&format!("drop role {team}")).await.unwrap();
    assert_eq!(orders_seen(&analyst).await, 2);
}

#[tokio::test]
async fn no_setting_moves_the_boundary() {
    let admin = DATABASE.admin().await;
    let (acme, globex) = (Data::create(&admin).await, Data::create(&admin).await);
    let analyst = connect(&acme.tenant.analyst(&DATABASE, &admin, None).await).await;
    for statement in [
        format!("select set_config('nexus.tenant_id', '{}', false)", globex.tenant.tenant_id),
        format!("set nexus.tenant_id = '{}'", globex.tenant.tenant_id),
        format!("set nexus.environment_id = '{}'", globex.tenant.prod),
        "reset role".to_owned(),
        "set row_security = off; set row_security = on".to_owned(),
        "set search_path = pg_temp, public".to_owned(),
    ] {
        analyst.batch_execute(&statement).await.unwrap();
        assert_eq!(orders_seen(&analyst).await, 2, "after: {statement}");
    }
    for refused in [
        "set role nexus_system",
        "set role nexus_gateway",
        "set session authorization postgres",
        "select * from nexus.secret",
        "select * from nexus.tenant_data_key",
        "select * from nexus.platform_key",
        "select * from nexus.tenant_slug",
        "select * from nexus.gateway_configuration(null)",
        "select * from nexus.due_tenants(10)",
        "insert into nexus.tenant (tenant_id, slug, name) values (gen_random_uuid(), 'x', 'x')",
        "delete from nexus.sales_order",
        "update nexus.customer set email = 'x'",
    ] {
        let error = analyst.batch_execute(refused).await.expect_err(refused);
        let state = error.code().map(|code| code.code().to_owned());
        assert_eq!(state.as_deref(), Some("42501"), "{refused}: {error}");
    }
}

#[tokio::test]
async fn a_function_refuses_another_tenant() {
    let admin = DATABASE.admin().await;
    let (acme, globex) = (Data::create(&admin).await, Data::create(&admin).await);
    let analyst = connect(&acme.tenant.analyst(&DATABASE, &admin, None).await).await;
    let webhook = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    assert_eq!(ingest(&analyst, &acme.shop, &webhook).await.unwrap().status, "accepted", "its own it may");
    let error = ingest(&analyst, &globex.shop, &webhook).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.detail()), ("42501", Some(r#"{"code": "NX304"}"#)));
    // Reading functions run as their caller: there is nothing to see.
    let traces = "select count(*) from nexus.event e cross join lateral nexus.trace($1, e.trace_id) t";
    let seen: i64 = analyst.query_one(traces, &[&globex.tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(seen, 0);
    let outbox = "select count(*) from nexus.read_domain_events($1)";
    let seen: i64 = analyst.query_one(outbox, &[&globex.tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(seen, 0);
}

#[tokio::test]
async fn a_login_that_bypasses_security_cannot_be_bound() {
    let admin = DATABASE.admin().await;
    let tenant = Tenant::create(&admin).await;
    for role in ["postgres", "nexus_gateway_login"] {
        let bind = "select nexus.bind_role($1::text::name, $2)";
        let error = admin.execute(bind, &[&role, &tenant.tenant_id]).await.expect_err(role);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{role}");
    }
}

#[tokio::test]
async fn a_login_lists_its_own_bindings_and_acts_under_its_own_name() {
    let admin = DATABASE.admin().await;
    let (acme, globex) = (Data::create(&admin).await, Data::create(&admin).await);
    globex.tenant.analyst(&DATABASE, &admin, None).await;
    let url = acme.tenant.analyst(&DATABASE, &admin, None).await;
    let (analyst, login) = (connect(&url).await, url::Url::parse(&url).unwrap().username().to_owned());
    let bound =
        analyst.query("select role_name::text, tenant_id from nexus.role_binding", &[]).await.unwrap();
    let bound: Vec<(String, Option<Uuid>)> = bound.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(bound, [(login.clone(), Some(acme.tenant.tenant_id))]);

    let customer = "select customer_id, environment_id from nexus.customer limit 1";
    let row = analyst.query_one(customer, &[]).await.unwrap();
    let (customer_id, environment_id): (Uuid, Uuid) = (row.get(0), row.get(1));
    analyst.batch_execute("set nexus.actor = 'somebody else'").await.unwrap();
    analyst
        .execute("select nexus.erase_customer($1, $2)", &[&acme.tenant.tenant_id, &customer_id])
        .await
        .unwrap();
    // Of the customer's environment, so that logins of another do not learn its id.
    let written = "select actor, environment_id from nexus.activity_log where object_id = $1";
    let row = analyst.query_one(written, &[&customer_id]).await.unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, Option<Uuid>>(1)), (login, Some(environment_id)));
}

#[tokio::test]
async fn a_new_session_of_a_gateway_sees_its_tenant_by_a_parallel_plan_too() {
    let admin = DATABASE.admin().await;
    let acme = Data::create(&admin).await;
    let gateway = connect(&DATABASE.gateway_url).await;
    // As a gateway begins: nothing has called a function of the library in this session yet.
    let scope = format!(
        "begin; set local nexus.tenant_id = '{}'; set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0;
         set local min_parallel_table_scan_size = 0; set local enable_indexscan = off;
         set local enable_indexonlyscan = off; set local enable_bitmapscan = off",
        acme.tenant.tenant_id
    );
    gateway.batch_execute(&scope).await.unwrap();
    assert_eq!(orders_seen(&gateway).await, 2);
    let plan = gateway.query("explain select count(*) from nexus.sales_order", &[]).await.unwrap();
    assert!(plan.iter().any(|row| row.get::<_, String>(0).contains("Parallel")), "{plan:?}");
}
