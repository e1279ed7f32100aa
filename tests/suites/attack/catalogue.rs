//! Attempts that follow from what there is: a new table, partition, view, function, setting or role is attacked
//! without a change here.

use super::attempt::{Attempt, Breach};
use super::party::Party;
use tokio_postgres::Client;

/// All of them.
pub async fn attempts(admin: &Client, attacker: &str, victim: &Party) -> Vec<Attempt> {
    let mut all = relations(admin, victim).await;
    all.extend(functions(admin, victim).await);
    all.extend(settings(admin).await);
    all.extend(roles(admin, attacker).await);
    all
}

/// Every table, partition and view, read and written.
async fn relations(admin: &Client, victim: &Party) -> Vec<Attempt> {
    let sql = "select c.relname::text, c.relispartition, c.relkind = 'v',
                   (select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum = 1)
               from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p', 'v') order by 1";
    let mut attempts = Vec::new();
    for row in admin.query(sql, &[]).await.unwrap() {
        let (table, is_partition, is_view, column): (String, bool, bool, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let mut attempt = |what: &str, breach, statement: String| {
            attempts.push(Attempt::new(format!("{what} {table}"), breach, statement));
        };
        let has_victim = victim.is_seen_in(&table);
        if is_partition {
            attempt("read the partition", Breach::Succeeds, format!("select * from nexus.{table}"));
        } else if has_victim {
            attempt("read", Breach::Shows, format!("select * from nexus.{table}"));
        } else {
            attempt("read", Breach::Tells, format!("select * from nexus.{table}"));
        }
        attempt("change", Breach::Succeeds, format!("update nexus.{table} set {column} = {column}"));
        attempt("delete from", Breach::Succeeds, format!("delete from nexus.{table}"));
        attempt(
            "insert into",
            Breach::Succeeds,
            format!("insert into nexus.{table} ({column}) select {column} from nexus.{table}"),
        );
        if has_victim {
            let insert = format!("insert into nexus.{table} (tenant_id) values ('{{{table}.tenant_id}}')");
            attempt("insert a row of the victim's into", Breach::Succeeds, insert);
            let merge = format!(
                "merge into nexus.{table} t using (select '{{{table}.tenant_id}}'::uuid as id) s on t.tenant_id = s.id
                 when matched then delete"
            );
            attempt("merge into", Breach::Succeeds, merge);
        }
        if !is_view {
            attempt("empty", Breach::Succeeds, format!("truncate nexus.{table} cascade"));
        }
    }
    attempts
}

/// Every function, overloads too, for the victim's tenant and for the attacker's own with the victim's ids.
async fn functions(admin: &Client, victim: &Party) -> Vec<Attempt> {
    let sql = "select p.proname::text, p.oid::regprocedure::text,
                   array(select coalesce(p.proargnames[n], '') from generate_series(1, p.pronargs) n),
                   array(select format_type(t, null) from unnest(p.proargtypes::oid[]) t), p.provariadic <> 0
               from pg_proc p where p.pronamespace = 'nexus'::regnamespace and p.prokind = 'f' order by 2";
    let mut attempts = Vec::new();
    for row in admin.query(sql, &[]).await.unwrap() {
        let (function, signature): (String, String) = (row.get(0), row.get(1));
        let (names, types): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
        for tenant in ["{tenant.tenant_id}", "{own.tenant.tenant_id}"] {
            let mut arguments: Vec<String> =
                names.iter().zip(&types).map(|(name, kind)| argument(name, kind, tenant, victim)).collect();
            if let Some(last) = arguments.last_mut().filter(|_| row.get(4)) {
                *last = format!("variadic {last}");
            }
            let statement = format!("select * from nexus.{function}({})", arguments.join(", "));
            attempts.push(Attempt::new(format!("call {signature}"), Breach::Tells, statement));
            if !names.iter().any(|name| name == "tenant_id") {
                break;
            }
        }
    }
    attempts
}

/// What is passed: where the name is that of a column, the victim's value.
fn argument(name: &str, kind: &str, tenant: &str, victim: &Party) -> String {
    let column = name.strip_suffix('s').filter(|_| kind.ends_with("[]")).unwrap_or(name);
    let of_victim = || victim.place(column);
    let value = match (name, kind.trim_end_matches("[]")) {
        ("tenant_id", _) => tenant.to_owned(),
        ("tenant_ids", _) => "{tenant.tenant_id}".to_owned(),
        // Ids are derived from it: who knows all they are derived from knows them.
        ("external_id", _) => "x".to_owned(),
        (_, "uuid") => format!("{{{}}}", of_victim().unwrap_or_else(|| "customer.customer_id".to_owned())),
        (_, "text") => of_victim().map_or_else(|| "x".to_owned(), |place| format!("{{{place}}}")),
        (_, "name") => return "current_user".to_owned(),
        (_, "jsonb") => "{}".to_owned(),
        (_, "bytea") => format!("\\x{}", "00".repeat(32)),
        (_, "timestamp with time zone") => "2026-01-01T00:00:00Z".to_owned(),
        (_, "interval") => "1 second".to_owned(),
        (_, "boolean") => "true".to_owned(),
        (_, "oid") => "2950".to_owned(),
        _ => "1".to_owned(),
    };
    if kind.ends_with("[]") { format!("array['{value}']::{kind}") } else { format!("'{value}'::{kind}") }
}

/// Every setting of the extension, set to every id of the victim's that it might stand for.
async fn settings(admin: &Client) -> Vec<Attempt> {
    // They are known once the library is loaded.
    admin.batch_execute("load 'nexus'").await.unwrap();
    let sql = "select name from pg_settings where name like 'nexus.%' and vartype = 'string' order by name";
    let names: Vec<String> = admin.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(names.len() >= 3, "{names:?}");
    let mut attempts = Vec::new();
    for name in names {
        for value in ["{tenant.tenant_id}", "{sales_order.environment_id}", "api_key:{api_key.api_key_id}"] {
            for how in [
                format!("set {name} = '{value}'"),
                format!("select set_config('{name}', '{value}', false)"),
                format!("set session nexus.tenant_id = '{{tenant.tenant_id}}'; set {name} = '{value}'"),
            ] {
                let read =
                    format!("{how}; select * from nexus.sales_order; select * from nexus.domain_event");
                attempts.push(Attempt::new(format!("the setting {name}"), Breach::Shows, read));
            }
        }
    }
    attempts
}

/// Every role of the platform, the victim's, and those that come with PostgreSQL.
async fn roles(admin: &Client, attacker: &str) -> Vec<Attempt> {
    let sql = "select r.rolname::text from pg_roles r
               where (r.rolname in ('nexus_owner', 'nexus_system', 'nexus_admin', 'nexus_gateway', 'nexus_gateway_login')
                      or r.rolname like 'pg\\_%' or r.rolsuper or r.rolname in (select role_name from nexus.role_binding b
                         where b.tenant_id in (select t.tenant_id from nexus.tenant t)
                            or b.environment_id in (select e.environment_id from nexus.environment e))
                      or r.rolname in (select 'nexus_t_' || replace(t.tenant_id::text, '-', '') from nexus.tenant t)
                      or r.rolname in (select 'nexus_e_' || replace(e.environment_id::text, '-', '') from nexus.environment e))
                 and not pg_has_role($1::text::name, r.oid, 'member') order by 1";
    let mut attempts = Vec::new();
    for row in admin.query(sql, &[&attacker]).await.unwrap() {
        let role: String = row.get(0);
        for statement in [
            format!("set role \"{role}\"; select * from nexus.customer"),
            format!("set session authorization \"{role}\"; select * from nexus.customer"),
            format!("select set_config('role', '{role}', false)"),
            format!("grant \"{role}\" to current_user"),
        ] {
            attempts.push(Attempt::new(format!("become {role}"), Breach::Succeeds, statement));
        }
    }
    attempts
}
