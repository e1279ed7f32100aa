//! What a login tries by hand, as data. `catalogue.rs` adds what follows from the tables, functions, settings and
//! roles that there are.

use super::attempt::{Attempt, Breach};

/// All of it.
pub fn attempts() -> Vec<Attempt> {
    let lists = [(Breach::Shows, SHOWING), (Breach::Tells, TELLING), (Breach::Succeeds, BREAKING_IN)];
    lists
        .into_iter()
        .flat_map(|(breach, list)| {
            list.iter().map(move |(name, statement)| Attempt::new(*name, breach, *statement))
        })
        .collect()
}

/// What a login takes in that another has: to be tried last, for then it has rows that name the other's.
pub fn repetitions() -> Vec<Attempt> {
    REPEATING.iter().map(|(name, statement)| Attempt::new(*name, Breach::Tells, *statement)).collect()
}

type List = &'static [(&'static str, &'static str)];

/// Statements that show the victim's rows to whoever may see them.
const SHOWING: List = &[
    // settings
    ("a setting of the role", "alter role current_user set nexus.tenant_id = '{tenant.tenant_id}'; select * from nexus.customer"),
    ("the setting of a former session", "select * from nexus.customer"),
    (
        "a setting for the transaction",
        "begin; set local nexus.tenant_id = '{tenant.tenant_id}'; set local nexus.environment_id = '{sales_order.environment_id}';
         select * from nexus.customer; commit",
    ),
    (
        "a setting in the same statement",
        "select c.* from (select set_config('nexus.tenant_id', '{tenant.tenant_id}', false) as made) s
         cross join lateral (select * from nexus.customer where s.made is not null) c",
    ),
    ("row security off", "set row_security = off; select * from nexus.customer"),
    ("reset role", "reset role; reset session authorization; select * from nexus.customer"),
    ("reset all", "reset all; select * from nexus.customer"),
    (
        "parallel workers",
        "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
         select * from nexus.customer",
    ),
    (
        "every plan but the usual",
        "set enable_indexscan = off; set enable_bitmapscan = off; set enable_indexonlyscan = off; select * from nexus.customer",
    ),
    // shadowing
    (
        "a function before the policy's",
        "create function pg_temp.current_tenant_id() returns uuid language sql as 'select ''{tenant.tenant_id}''::uuid';
         set search_path = pg_temp, nexus, pg_catalog; select * from nexus.customer",
    ),
    (
        "a function before the policy's own look-up",
        "create function pg_temp._session_is(text) returns boolean language sql as 'select true';
         create function pg_temp.pg_has_role(name, oid, text) returns boolean language sql as 'select true';
         create function pg_temp.current_setting(text, boolean) returns text language sql as 'select ''{tenant.tenant_id}''';
         set search_path = pg_temp, nexus, pg_catalog; select * from nexus.customer",
    ),
    (
        "an operator before the policy's",
        "create function pg_temp.always(uuid, uuid) returns boolean language sql as 'select true';
         create operator pg_temp.= (leftarg = uuid, rightarg = uuid, function = pg_temp.always);
         set search_path = pg_temp, nexus, pg_catalog; select * from nexus.customer",
    ),
    (
        "catalogues before the real ones",
        "create temp table pg_roles as select 1 as oid, 'nexus_t_' || replace('{tenant.tenant_id}', '-', '') as rolname;
         create temp table pg_auth_members as select 1 as roleid, 1 as member;
         set search_path = pg_temp, pg_catalog; select * from nexus.customer",
    ),
    (
        "functions and tables before those of a definer function",
        "create function pg_temp._require_tenant(uuid) returns void language sql as 'select null::void';
         create function pg_temp._tenant_tables() returns text[] language sql as 'select array[''customer'']';
         create temp table customer as select '{tenant.tenant_id}'::uuid as tenant_id;
         set search_path = pg_temp, nexus, pg_catalog; select * from nexus.export_tenant('{tenant.tenant_id}')",
    ),
    // leaks
    (
        "a cheap function in the condition",
        "create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001 as
         $$begin raise notice '%', $1; return false; end$$; select 1 from nexus.customer where pg_temp.leak(email)",
    ),
    (
        "a function over the whole row",
        "create function pg_temp.leak(record) returns boolean language plpgsql cost 0.0000001 as
         $$begin raise notice '%', $1; return false; end$$; select 1 from nexus.sales_order o where pg_temp.leak(o)",
    ),
    (
        "a function in a join",
        "create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001 as
         $$begin raise notice '%', $1; return true; end$$;
         select 1 from nexus.sales_order o join nexus.customer c on pg_temp.leak(c.email) and c.customer_id = o.customer_id",
    ),
    (
        "a function below a view",
        "create temp view everybody with (security_barrier = false) as select * from nexus.customer;
         create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001 as
         $$begin raise notice '%', $1; return false; end$$; select 1 from pg_temp.everybody where pg_temp.leak(email)",
    ),
    (
        "a function in the order",
        "create function pg_temp.leak(text) returns text language plpgsql as $$begin raise notice '%', $1; return $1; end$$;
         select 1 from nexus.customer order by pg_temp.leak(email) limit 1",
    ),
    (
        "an error that names a value",
        "select 1 from nexus.customer where customer_id = '{customer.customer_id}' and email::integer = 1",
    ),
    ("an error in an aggregate", "select string_agg(email, ' ')::integer from nexus.customer"),
    (
        "an operator that asks the planner's statistics",
        "create function pg_temp.leak(uuid, uuid) returns boolean language plpgsql cost 0.0000001 as
         $$begin raise notice '% %', $1, $2; return $1 < $2; end$$;
         create operator pg_temp.<<< (leftarg = uuid, rightarg = uuid, function = pg_temp.leak, restrict = scalarltsel);
         explain select 1 from nexus.customer where customer_id operator(pg_temp.<<<) '{own.customer.customer_id}'",
    ),
    // views and functions of one's own
    ("a view of one's own", "create temp view v as select * from nexus.customer; select * from v"),
    (
        "a view that runs as its caller",
        "create temp view v with (security_invoker = true) as select * from nexus.customer; select * from v",
    ),
    (
        "a definer function of one's own",
        "create function pg_temp.f() returns setof nexus.customer language sql security definer as 'select * from nexus.customer';
         select * from pg_temp.f()",
    ),
    (
        "a function with a setting of its own",
        "create function pg_temp.f() returns setof nexus.customer language sql security definer
         set nexus.tenant_id = '{tenant.tenant_id}' as 'select * from nexus.customer'; select * from pg_temp.f()",
    ),
    // other ways to read
    ("copy of a table", "copy nexus.customer to stdout"),
    ("copy of a query", "copy (select * from nexus.event) to stdout"),
    ("copy of what is sealed", "copy nexus.secret to stdout"),
    ("a row as it lies", "select tableoid::regclass, ctid, xmin, c.* from nexus.customer c where ctid >= '(0,0)'"),
    ("a sample", "select * from nexus.customer tablesample system (100)"),
    ("the table as XML", "select table_to_xml('nexus.customer', true, true, '')"),
    ("a query as XML", "select query_to_xml('select * from nexus.customer', true, true, '')"),
    ("the least and the most", "select min(email), max(email), array_agg(distinct customer_id) from nexus.customer"),
    ("all rows together", "select jsonb_agg(c) from nexus.customer c"),
    ("an outer join from nothing", "select * from (select 1) o(n) left join nexus.customer c on true"),
    ("a block", "do $$ declare r record; begin for r in select * from nexus.customer loop raise notice '%', r; end loop; end $$"),
    (
        "a block with a setting",
        "do $$ declare r record; begin perform set_config('nexus.tenant_id', '{tenant.tenant_id}', true);
         for r in execute 'select * from nexus.customer' loop raise notice '%', r; end loop; end $$",
    ),
    ("a prepared statement", "prepare p as select * from nexus.customer; execute p"),
    (
        "a prepared statement and a setting afterwards",
        "prepare p as select * from nexus.customer; set nexus.tenant_id = '{tenant.tenant_id}'; execute p",
    ),
    ("a cursor", "begin; declare c scroll cursor with hold for select * from nexus.customer; fetch all c; commit; close c"),
    ("a copy of the table", "create temp table copied as select * from nexus.customer; select * from copied"),
    (
        "a table like it",
        "create temp table copied (like nexus.customer including all); insert into copied select * from nexus.customer; select * from copied",
    ),
    // what functions give
    ("another tenant's export", "select * from nexus.export_tenant('{tenant.tenant_id}')"),
    ("another tenant's outbox", "select * from nexus.read_domain_events('{tenant.tenant_id}')"),
    ("another tenant's trace", "select * from nexus.trace('{tenant.tenant_id}', '{event.trace_id}')"),
    // what the database knows of tables
    ("statistics of columns", "select * from pg_stats where schemaname = 'nexus'"),
    ("statistics as they are kept", "select * from pg_statistic"),
];

/// Statements whose answers must be the same whether the victim has it or nobody.
const TELLING: List = &[
    ("an e-mail address", "select count(*) from nexus.customer where email = '{customer.email}'"),
    ("a key of identity", "select count(*) from nexus.customer where email_key = '{customer.email_key}'"),
    ("an id", "select count(*) from nexus.sales_order where sales_order_id = '{sales_order.sales_order_id}'"),
    ("an id with its tenant", "select exists (select from nexus.customer where tenant_id = '{customer.tenant_id}' and customer_id = '{customer.customer_id}')"),
    ("a number", "select * from nexus.sales_order where order_number_key = '{sales_order.order_number_key}'"),
    ("an error if there is one", "select 1 / (1 - count(*)) from nexus.customer where email = '{customer.email}'"),
    ("an error for its row", "select 1 / length(replace(email, '{customer.email}', '')) from nexus.customer"),
    ("estimates of an e-mail address", "explain select * from nexus.customer where email = '{customer.email}'"),
    ("estimates of an e-mail key", "explain select * from nexus.customer where email_key = '{customer.email_key}'"),
    ("estimates of a number", "explain select * from nexus.sales_order where order_number = '{sales_order.order_number}'"),
    ("estimates of a SKU", "explain select * from nexus.product_variant where sku_key = '{product_variant.sku_key}'"),
    ("estimates of an external id", "explain select * from nexus.source_record where external_id = '{source_record.external_id}'"),
    ("estimates of a name", "explain select * from nexus.customer where first_name = '{customer.first_name}'"),
    (
        "what a plan did",
        "explain (analyze, costs off, timing off, summary off) select * from nexus.customer where email_key = '{customer.email_key}'",
    ),
    (
        "what a plan did, by id",
        "explain (analyze, verbose, costs off, timing off, summary off)
         select * from nexus.customer where tenant_id = '{customer.tenant_id}' and customer_id = '{customer.customer_id}'",
    ),
    ("a customer of another's", "select nexus.erase_customer('{own.tenant.tenant_id}', '{customer.customer_id}')"),
    ("another tenant's customer", "select nexus.erase_customer('{customer.tenant_id}', '{customer.customer_id}')"),
    ("another's connector", "select * from nexus.ingest('{own.tenant.tenant_id}', '{connector.connector_id}', '{}', '\\x7b7d')"),
    ("another tenant's connector", "select * from nexus.ingest('{connector.tenant_id}', '{connector.connector_id}', '{}', '\\x7b7d')"),
    ("a listener on its channel", "listen \"{tenant.tenant_id}\"; notify \"{tenant.tenant_id}\""),
    ("a lock by its id", "select pg_try_advisory_xact_lock(hashtextextended('{tenant.tenant_id}', 0))"),
    // what the database shows of everybody
    ("statements of others", "select query, application_name, client_addr from pg_stat_activity"),
    ("statements prepared and cursors", "select statement from pg_prepared_statements union all select statement from pg_cursors"),
    ("transactions prepared", "select gid from pg_prepared_xacts"),
    ("slots", "select * from pg_replication_slots"),
    ("large objects", "select lo_get(oid) from pg_largeobject_metadata"),
    ("files of settings", "select * from pg_settings where name like 'nexus%'"),
    ("extended statistics", "select * from pg_stats_ext"),
    ("definitions", "select pg_get_expr(polqual, polrelid) from pg_policy"),
    ("default values", "select pg_get_expr(adbin, adrelid) from pg_attrdef"),
    ("comments", "select description from pg_description where objoid > 16000"),
    ("maintenance under way", "select * from pg_stat_progress_analyze"),
];

/// Statements that must be refused.
const BREAKING_IN: List = &[
    // roles
    ("superuser", "alter role current_user superuser"),
    ("bypassrls", "alter role current_user bypassrls"),
    ("createrole", "alter role current_user createrole"),
    ("replication", "alter role current_user replication"),
    ("a role in nexus_system", "create role intruder in role nexus_system"),
    ("the gateway's role", "grant nexus_gateway to current_user"),
    ("all data", "grant pg_read_all_data to current_user"),
    ("a function as another", "create function pg_temp.f() returns int language sql set role to nexus_system as 'select 1'; select pg_temp.f()"),
    ("what another owns", "reassign owned by nexus_owner to current_user"),
    ("drop what another owns", "drop owned by nexus_owner"),
    ("default privileges of another", "alter default privileges for role nexus_owner grant select on tables to public"),
    ("a setting of another role", "alter role nexus_gateway set nexus.tenant_id = '{tenant.tenant_id}'"),
    ("a setting of everybody", "alter role all set search_path = pg_temp"),
    ("a setting of the server", "alter system set log_statement = 'all'"),
    // tables, policies, functions
    ("rights to a table", "grant select on nexus.secret to public"),
    ("a table without row security", "alter table nexus.customer disable row level security"),
    ("a table that does not force it", "alter table nexus.customer no force row level security"),
    ("a policy of one's own", "create policy mine on nexus.customer using (true)"),
    ("a policy less", "drop policy tenant on nexus.customer"),
    ("a policy changed", "alter policy tenant on nexus.customer using (true)"),
    ("a trigger", "create function pg_temp.t() returns trigger language plpgsql as 'begin return new; end';
                   create trigger spy before insert on nexus.customer for each row execute function pg_temp.t()"),
    ("a rule", "create rule spy as on select to nexus.customer do also select 1"),
    ("an index", "create index spy on nexus.customer (email)"),
    ("an index over a function", "create index spy on nexus.customer (lower(email))"),
    ("statistics", "create statistics spy on email, phone from nexus.customer"),
    ("statistics of a column", "alter table nexus.customer alter column email set statistics 1000"),
    ("a column", "alter table nexus.customer add column spy text"),
    ("a comment", "comment on table nexus.customer is 'spy'"),
    ("a child of a table", "create temp table child () inherits (nexus.customer)"),
    ("a partition of a table", "create temp table part partition of nexus.event default"),
    ("a foreign key to a table", "create temp table probe (tenant_id uuid, customer_id uuid, foreign key (tenant_id, customer_id) references nexus.customer)"),
    ("a publication", "create publication spy for table nexus.customer"),
    ("a lock", "lock table nexus.customer in access exclusive mode"),
    ("rows locked", "select * from nexus.customer for update"),
    ("a function changed", "create or replace function nexus.current_tenant_id() returns uuid language sql as 'select null::uuid'"),
    ("a function's owner", "alter function nexus.export_tenant(uuid) owner to current_user"),
    ("a function less", "drop function nexus._require_tenant(uuid)"),
    ("an overload", "create function nexus.current_tenant_id(integer) returns uuid language sql as 'select null::uuid'"),
    ("a function of the schema", "create function nexus.spy() returns int language sql as 'select 1'"),
    ("a table of the schema", "create table nexus.spy (tenant_id uuid)"),
    ("a table for all to see", "create table public.spy (tenant_id uuid)"),
    ("a schema", "create schema spy"),
    ("the schema's name", "alter schema nexus rename to spy"),
    ("the extension", "drop extension nexus"),
    ("a part of the extension", "alter extension nexus drop function nexus.current_tenant_id()"),
    ("another extension", "create extension dblink"),
    ("a trusted extension", "create extension pg_trgm"),
    ("a language", "create language plperlu"),
    ("a function in C", "create function pg_temp.system(cstring) returns int language c as 'libc.so.6', 'system'"),
    ("an operator class", "create operator class pg_temp.spy default for type uuid using btree as operator 1 <"),
    ("a cast", "create cast (uuid as text) without function"),
    ("an event trigger", "create function pg_temp.t() returns event_trigger language plpgsql as 'begin end';
                          create event trigger spy on ddl_command_start execute function pg_temp.t()"),
    ("a foreign server", "create foreign data wrapper spy"),
    ("a database", "create database spy"),
    ("a tablespace", "create tablespace spy location '/tmp'"),
    // files and programs
    ("a file written", "copy nexus.customer to '/tmp/spy'"),
    ("a file read", "create temp table lines (line text); copy lines from '/etc/passwd'"),
    ("a program fed", "copy (select 1) to program 'cat'"),
    ("a program read", "create temp table lines (line text); copy lines from program 'id'"),
    ("rows copied in", "copy nexus.customer from stdin"),
    ("a file of the server", "select pg_read_file('postgresql.conf')"),
    ("a table's file", "select pg_read_binary_file(pg_relation_filepath('nexus.customer'))"),
    ("a directory", "select pg_ls_dir('.')"),
    ("the server's log", "select pg_current_logfile(), * from pg_ls_logdir()"),
    ("a file as a large object", "select lo_import('/etc/passwd')"),
    ("a large object as a file", "select lo_export(lo_create(0), '/tmp/spy')"),
    ("large objects as they lie", "select * from pg_largeobject"),
    // other sessions and replicas
    ("somebody's session ended", "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'"),
    ("logical decoding", "select pg_create_logical_replication_slot('spy', 'test_decoding')"),
    ("logical decoding of a slot", "select * from pg_logical_slot_get_changes('spy', null, null)"),
    ("a physical slot", "select pg_create_physical_replication_slot('spy')"),
    ("the passwords", "select * from pg_authid"),
    ("the passwords, by another name", "select * from pg_shadow"),
    ("rules of access", "select * from pg_hba_file_rules"),
    ("user mappings", "select umoptions from pg_user_mapping"),
    ("subscriptions", "select subconninfo from pg_subscription"),
    ("statistics reset", "select pg_stat_reset()"),
    ("a backup", "select pg_backup_start('spy')"),
    ("settings read again", "select pg_reload_conf()"),
];

/// Statements that bring what the victim has brought: whether it was there before must not be told.
const REPEATING: List = &[
    (
        "another's delivery under one's own connector",
        "select * from nexus.ingest('{own.tenant.tenant_id}', '{own.sales_order_line.connector_id}',
             '{\"x-shopify-topic\": \"customers/update\", \"x-shopify-webhook-id\": \"{event.delivery_key}\"}',
             convert_to('{\"id\": \"{customer.customer_id}\", \"email\": \"{customer.email}\", \"first_name\": null}', 'UTF8'))",
    ),
];
