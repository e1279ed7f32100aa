//! The schema as a data team and an attacker would look at it: complete, commented, closed.

use nexus_core::canonical::{Field, FieldType, KINDS};
use nexus_tests::cluster::{Database, SHARED};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tokio_postgres::Client;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

/// The names that a query gives: what is wrong. None is right.
async fn offenders(sql: &str) -> Vec<String> {
    let rows = DATABASE.admin().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn number(sql: &str) -> i64 {
    DATABASE.admin().await.query_one(sql, &[]).await.unwrap().get(0)
}

const NONE: [String; 0] = [];

#[tokio::test]
async fn the_tables_of_the_commerce_model_have_its_fields() {
    let columns = "select column_name::text, case data_type when 'ARRAY' then 'text[]' else data_type end
                   from information_schema.columns where table_schema = 'nexus' and table_name = $1";
    let client = DATABASE.admin().await;
    for kind in KINDS {
        let children = kind.children.map(|children| (children.table, children.fields));
        let own: Vec<&Field> = kind.fields.iter().chain(kind.derived).collect();
        let tables = std::iter::once((kind.name, own))
            .chain(children.map(|(table, fields)| (table, fields.iter().collect())));
        for (table, fields) in tables {
            let rows = client.query(columns, &[&table]).await.unwrap();
            let actual: BTreeMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            for (name, sql_type) in fields.into_iter().flat_map(columns_of) {
                assert_eq!(actual.get(&name).map(String::as_str), Some(sql_type), "nexus.{table}.{name}");
            }
        }
    }
}

fn columns_of(field: &Field) -> Vec<(String, &'static str)> {
    let sql_type = match field.field_type {
        FieldType::Text | FieldType::Currency | FieldType::Vocabulary(_) => "text",
        FieldType::Integer => "bigint",
        FieldType::Decimal => "numeric",
        FieldType::Boolean => "boolean",
        FieldType::Timestamp => "timestamp with time zone",
        FieldType::TextList => "text[]",
        FieldType::Json => "jsonb",
        FieldType::Reference(_) => {
            return vec![
                (format!("{}_id", field.name), "uuid"),
                (format!("{}_birth_id", field.name), "uuid"),
            ];
        }
    };
    vec![(field.name.to_owned(), sql_type)]
}

#[tokio::test]
async fn every_table_view_and_function_is_commented() {
    let tables = "select c.relname::text from pg_class c
                  where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
                    and obj_description(c.oid, 'pg_class') is null order by 1";
    assert_eq!(offenders(tables).await, NONE);
    let functions = "select p.oid::regprocedure::text from pg_proc p
                     where p.pronamespace = 'nexus'::regnamespace and obj_description(p.oid, 'pg_proc') is null order by 1";
    assert_eq!(offenders(functions).await, NONE);
}

/// What makes the schema closed: a rule, and a query for the names of what breaks it.
const RULES: [(&str, &str); 13] = [
    (
        "row-level security is forced",
        "select c.relname::text from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p')
         and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
         and not (c.relrowsecurity and c.relforcerowsecurity)",
    ),
    (
        "a table of tenants has a policy",
        "select c.relname::text from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p')
         and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
         and not exists (select from pg_policy p where p.polrelid = c.oid)",
    ),
    (
        "rows that tenants read name their environment",
        "select c.relname::text from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p')
         and c.relname <> 'tenant' and has_table_privilege('nexus_tenant', c.oid, 'select')
         and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
         and not exists (select from pg_attribute a
                         where a.attrelid = c.oid and a.attname = 'environment_id' and not a.attisdropped)",
    ),
    (
        "a partition is reached through its table only",
        "select c.relname::text || ' by ' || coalesce(nullif(g.grantee, 0)::regrole::text, 'public')
         from pg_class c cross join lateral aclexplode(c.relacl) g
         where c.relnamespace = 'nexus'::regnamespace and c.relispartition and g.grantee <> c.relowner",
    ),
    (
        "a partition has no policy but the system's",
        "select c.relname::text || ' ' || p.polname from pg_class c join pg_policy p on p.polrelid = c.oid
         where c.relnamespace = 'nexus'::regnamespace and c.relispartition and p.polname <> 'system'",
    ),
    (
        "tables and views belong to nexus_owner",
        "select c.relname::text from pg_class c where c.relnamespace = 'nexus'::regnamespace
         and c.relkind in ('r', 'p', 'v') and c.relowner <> 'nexus_owner'::regrole",
    ),
    (
        "tables and views are written by nexus_system alone",
        "select c.relname::text || ' by ' || coalesce(nullif(g.grantee, 0)::regrole::text, 'public')
         from pg_class c cross join lateral aclexplode(c.relacl) g
         where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p', 'v')
           and g.privilege_type <> 'SELECT' and g.grantee not in (c.relowner, 'nexus_system'::regrole)",
    ),
    (
        "a view runs as its reader",
        "select c.relname::text from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('v', 'm')
         and not coalesce('security_invoker=true' = any (c.reloptions), false)",
    ),
    (
        "PUBLIC may execute nothing",
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'nexus'::regnamespace
         and (p.proacl is null or exists (select from aclexplode(p.proacl) g where g.grantee = 0))",
    ),
    (
        "PUBLIC may not use the schema",
        "select n.nspname::text from pg_namespace n cross join lateral aclexplode(n.nspacl) g
         where n.nspname = 'nexus' and g.grantee = 0",
    ),
    (
        "a definer function runs as nexus_system on a pinned path",
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'nexus'::regnamespace and p.prosecdef
         and (p.proowner <> 'nexus_system'::regrole
              or not coalesce('search_path=pg_catalog, nexus, pg_temp' = any (p.proconfig), false))",
    ),
    (
        "a definer function checks its caller",
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'nexus'::regnamespace and p.prosecdef
         and p.prosrc !~ 'perform nexus\\._require_(tenant|whole_tenant|platform|role)\\('",
    ),
    (
        "text of tenants is not in the planner's statistics",
        "select c.relname::text || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
           and a.attname in ('email', 'email_key', 'phone', 'first_name', 'last_name', 'full_name', 'name', 'company',
               'company_name', 'vat_number', 'registration_number', 'line1', 'postal_code', 'external_id', 'order_number',
               'order_number_key', 'sku', 'sku_key', 'note', 'document', 'payload', 'body', 'headers', 'settings')
           and a.attstattarget is distinct from 0",
    ),
];

/// What breaks the rules, as a session sees the catalogue.
async fn violations(client: &Client) -> Vec<String> {
    let mut violations = Vec::new();
    for (rule, sql) in RULES {
        let rows = client.query(&format!("{sql} order by 1"), &[]).await.unwrap();
        violations.extend(rows.iter().map(|row| format!("{rule}: {}", row.get::<_, String>(0))));
    }
    violations
}

#[tokio::test]
async fn the_schema_is_closed() {
    let client = DATABASE.admin().await;
    for (what, least) in [
        ("pg_class c where c.relkind in ('r', 'p') and c.relnamespace", 40),
        ("pg_proc p where p.prosecdef and p.pronamespace", 20),
    ] {
        let found = number(&format!("select count(*) from {what} = 'nexus'::regnamespace")).await;
        assert!(found > least, "there is something to look at: {found} of {what}");
    }
    assert_eq!(violations(&client).await, NONE);
}

#[tokio::test]
async fn what_is_added_carelessly_is_found() {
    let client = DATABASE.admin().await;
    let careless = "begin;
        create table nexus.careless (tenant_id uuid, email text);
        create table nexus.event_careless partition of nexus.event for values from ('00000000-0000-0000-0000-000000000000')
            to ('00000000-0000-0000-0000-000000000001');
        create view nexus.careless_view as select 1 as one;
        grant select on nexus.careless_view to nexus_tenant;
        grant insert on nexus.customer to nexus_tenant;
        grant select on nexus.source_record_alias to nexus_tenant;
        create function nexus.careless() returns int language sql security definer as 'select 1';
        grant usage on schema nexus to public";
    client.batch_execute(careless).await.unwrap();
    let found = violations(&client).await;
    let statistics: Vec<&String> =
        found.iter().filter(|found| found.contains("statistics: event_careless")).collect();
    assert_eq!(statistics.len(), 2, "body and headers: {statistics:?}");
    let others: Vec<&String> =
        found.iter().filter(|found| !found.contains("statistics: event_careless")).collect();
    assert_eq!(
        others,
        [
            "row-level security is forced: careless",
            "row-level security is forced: event_careless",
            "a table of tenants has a policy: careless",
            "a table of tenants has a policy: event_careless",
            "rows that tenants read name their environment: source_record_alias",
            "tables and views belong to nexus_owner: careless",
            "tables and views belong to nexus_owner: careless_view",
            "tables and views belong to nexus_owner: event_careless",
            "tables and views are written by nexus_system alone: customer by nexus_tenant",
            "a view runs as its reader: careless_view",
            "PUBLIC may execute nothing: nexus.careless()",
            "PUBLIC may not use the schema: nexus",
            "a definer function runs as nexus_system on a pinned path: nexus.careless()",
            "a definer function checks its caller: nexus.careless()",
            "text of tenants is not in the planner's statistics: careless.email",
        ]
    );
    // migrate() makes it right, but for what only its author can.
    client.batch_execute("select nexus.migrate()").await.unwrap();
    assert_eq!(
        violations(&client).await,
        [
            "rows that tenants read name their environment: careless",
            "a view runs as its reader: careless_view",
            "a definer function runs as nexus_system on a pinned path: nexus.careless()",
            "a definer function checks its caller: nexus.careless()",
        ]
    );
    client.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn the_roles_of_the_platform_are_bound_by_the_policies() {
    let roles = "select r.rolname::text from pg_roles r
                 where r.rolname in ('nexus_owner', 'nexus_system', 'nexus_admin', 'nexus_gateway', 'nexus_tenant')
                   and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole)";
    assert_eq!(offenders(roles).await, NONE);
}

#[tokio::test]
async fn partitions_stand_ready_for_the_months_ahead() {
    let missing = "select p.relname || ' ' || to_char(month, 'YYYY_MM')
        from pg_class p
        cross join generate_series(date_trunc('month', now() at time zone 'UTC'),
                                   date_trunc('month', now() at time zone 'UTC') + interval '2 months', interval '1 month') month
        where p.relnamespace = 'nexus'::regnamespace and p.relkind = 'p'
          and to_regclass(format('nexus.%I', p.relname || '_' || to_char(month, 'YYYY_MM'))) is null";
    assert_eq!(offenders(missing).await, NONE);
    assert_eq!(
        number("select count(*) from pg_class where relnamespace = 'nexus'::regnamespace and relkind = 'p'")
            .await,
        4
    );
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let catalogue = "select md5(string_agg(line, e'\n' order by line)) from (
            select c.relname || ' ' || c.relkind::text || ' ' || coalesce(c.relacl::text, '') as line
            from pg_class c where c.relnamespace = 'nexus'::regnamespace
            union all select p.oid::regprocedure::text || ' ' || coalesce(p.proacl::text, '') || p.proowner
            from pg_proc p where p.pronamespace = 'nexus'::regnamespace
            union all select p.tablename || ' ' || p.policyname || ' ' || coalesce(p.qual, '')
            from pg_policies p where p.schemaname = 'nexus') t";
    let database = SHARED.database();
    let client = database.admin().await;
    let fingerprint = async || client.query_one(catalogue, &[]).await.unwrap().get::<_, String>(0);
    let before = fingerprint().await;
    assert_eq!(client.query("select nexus.migrate()", &[]).await.unwrap().len(), 0, "nothing is pending");
    assert_eq!(fingerprint().await, before);
}
