//! The schema as a data team and an attacker would look at it: complete, commented, closed.

use nexus_core::canonical::{Field, FieldType, KINDS};
use nexus_tests::cluster::{Database, SHARED};
use std::collections::BTreeMap;
use std::sync::LazyLock;

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

#[tokio::test]
async fn every_table_of_tenants_is_closed_by_forced_row_level_security() {
    let tenants_tables = "from pg_class c
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p')
          and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)";
    assert!(number(&format!("select count(*) {tenants_tables}")).await > 20, "there are tables to look at");
    let open = format!(
        "select c.relname::text {tenants_tables} and not (c.relrowsecurity and c.relforcerowsecurity)"
    );
    assert_eq!(offenders(&open).await, NONE);
    let without_policy = format!(
        "select c.relname::text {tenants_tables} and not c.relispartition
         and not exists (select from pg_policy p where p.polrelid = c.oid)"
    );
    assert_eq!(offenders(&without_policy).await, NONE);
    let foreign = "select c.relname::text from pg_class c where c.relnamespace = 'nexus'::regnamespace
                   and c.relkind in ('r', 'p', 'v') and c.relowner <> 'nexus_owner'::regrole";
    assert_eq!(offenders(foreign).await, NONE, "they belong to nexus_owner");
}

#[tokio::test]
async fn partitions_are_reached_through_their_tables_only() {
    let granted = "select c.relname::text || ' to ' || coalesce(nullif(g.grantee, 0)::regrole::text, 'public')
                   from pg_class c cross join lateral aclexplode(c.relacl) g
                   where c.relnamespace = 'nexus'::regnamespace and c.relispartition and g.grantee <> c.relowner";
    assert_eq!(offenders(granted).await, NONE);
}

#[tokio::test]
async fn nothing_may_be_executed_by_everybody() {
    let functions = "select p.oid::regprocedure::text from pg_proc p
                     where p.pronamespace = 'nexus'::regnamespace
                       and (p.proacl is null or exists (select from aclexplode(p.proacl) g where g.grantee = 0))";
    assert_eq!(offenders(functions).await, NONE);
    let schema = "select n.nspname::text from pg_namespace n cross join lateral aclexplode(n.nspacl) g
                  where n.nspname = 'nexus' and g.grantee = 0";
    assert_eq!(offenders(schema).await, NONE);
}

#[tokio::test]
async fn definer_functions_run_as_nexus_system_on_a_pinned_path() {
    let definers = "from pg_proc p where p.pronamespace = 'nexus'::regnamespace and p.prosecdef";
    assert!(number(&format!("select count(*) {definers}")).await > 10, "there are functions to look at");
    let wrong = format!(
        "select p.oid::regprocedure::text {definers}
         and (p.proowner <> 'nexus_system'::regrole
              or not coalesce('search_path=pg_catalog, nexus, pg_temp' = any (p.proconfig), false))"
    );
    assert_eq!(offenders(&wrong).await, NONE);
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
