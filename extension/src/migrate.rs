//! Tables are the database's, not the extension's: `nexus.migrate()` makes and upgrades them.
//!
//! Dumps carry the rows of such tables, and an extension update touches functions only.

use crate::error::{Result, internal};
use crate::golden;
use crate::manifest;
use nexus_core::canonical::{KINDS, Kind, VOCABULARIES};
use nexus_core::connector::{Connector, built_in};
use nexus_core::setting::SETTINGS;
use pgrx::JsonB;
use pgrx::iter::SetOfIterator;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;

/// Every migration ever, in order. A released one never changes.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_tenancy", include_str!("../../sql/migrations/0001_tenancy.sql")),
    ("0002_configuration", include_str!("../../sql/migrations/0002_configuration.sql")),
    ("0003_events", include_str!("../../sql/migrations/0003_events.sql")),
    ("0004_commerce", include_str!("../../sql/migrations/0004_commerce.sql")),
    ("0005_delivery", include_str!("../../sql/migrations/0005_delivery.sql")),
    ("0006_views", include_str!("../../sql/migrations/0006_views.sql")),
    ("0007_idempotency_request", include_str!("../../sql/migrations/0007_idempotency_request.sql")),
    ("0008_identity", include_str!("../../sql/migrations/0008_identity.sql")),
    ("0009_views", include_str!("../../sql/migrations/0009_views.sql")),
    ("0010_autovacuum", include_str!("../../sql/migrations/0010_autovacuum.sql")),
    ("0011_storage", include_str!("../../sql/migrations/0011_storage.sql")),
];

/// Months of partitions that stand ready before maintain() has run once.
const MONTHS_AHEAD: i32 = 3;

/// Creates and upgrades the tables, in the caller's transaction, and sets owners, policies and grants. Returns
/// the migrations it applied. For superusers: run it after CREATE EXTENSION, after ALTER EXTENSION UPDATE, and
/// after restoring a dump.
#[pg_extern]
#[search_path(pg_catalog, nexus, pg_temp)]
fn migrate() -> Result<SetOfIterator<'static, String>> {
    // SAFETY: superuser() reads the current user's entry of a cache; it has no preconditions in a transaction.
    #[allow(unsafe_code)]
    let is_superuser = unsafe { pgrx::pg_sys::superuser() };
    if !is_superuser {
        return Err(pgrx::pg_sys::panic::ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            "nexus.migrate() makes roles and tables and is for superusers",
            "migrate",
        )
        .set_detail(r#"{"code": "NX304"}"#));
    }
    let applied = Spi::connect_mut(|client| {
        if !is_there(client)? {
            client.update(CREATE_SCHEMA_MIGRATION, None, &[]).map_err(internal)?;
        }
        // Two migrations at once would find the same ones pending.
        client.update("lock table nexus.schema_migration in exclusive mode", None, &[]).map_err(internal)?;
        client.update("select nexus.create_roles()", None, &[]).map_err(internal)?;
        let mut applied = Vec::new();
        for (name, script) in MIGRATIONS {
            if !is_applied(client, name)? {
                client.update(*script, None, &[]).map_err(internal)?;
                let record = "insert into nexus.schema_migration (schema_migration_id, applied_version) values ($1, $2)";
                let arguments = [(*name).into(), env!("CARGO_PKG_VERSION").into()];
                client.update(record, None, &arguments).map_err(internal)?;
                applied.push((*name).to_owned());
            }
        }
        seed_connector_types(client)?;
        seed_settings(client)?;
        seed_vocabularies(client)?;
        create_source_views(client)?;
        let ahead = [MONTHS_AHEAD.into()];
        client.update("select nexus._create_partitions($1)", None, &ahead).map_err(internal)?;
        client.update("select nexus._begin_epoch()", None, &[]).map_err(internal)?;
        client.update("select nexus._secure()", None, &[]).map_err(internal)?;
        Ok(applied)
    })?;
    Ok(SetOfIterator::new(applied))
}

/// How many migrations this build has that the database has not.
#[pg_extern(stable)]
fn _pending_migrations() -> Result<i32> {
    Spi::connect(|client| {
        if !is_there(client)? {
            return Ok(i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX));
        }
        let mut pending = 0;
        for (name, _) in MIGRATIONS {
            pending += i32::from(!is_applied(client, name)?);
        }
        Ok(pending)
    })
}

const CREATE_SCHEMA_MIGRATION: &str = "
    create table nexus.schema_migration (
        schema_migration_id text primary key,
        applied_version     text not null,
        applied_at          timestamptz not null default now()
    )";

fn is_there(client: &SpiClient<'_>) -> Result<bool> {
    let found: Option<bool> = client
        .select("select to_regclass('nexus.schema_migration') is not null", None, &[])
        .and_then(|rows| rows.first().get_one())
        .map_err(internal)?;
    Ok(found == Some(true))
}

fn is_applied(client: &SpiClient<'_>, name: &str) -> Result<bool> {
    let found: Option<bool> = client
        .select(
            "select exists (select from nexus.schema_migration m where m.schema_migration_id = $1)",
            None,
            &[name.into()],
        )
        .and_then(|rows| rows.first().get_one())
        .map_err(internal)?;
    Ok(found == Some(true))
}

/// Puts every setting of this build into nexus.setting; what was set stays.
fn seed_settings(client: &mut SpiClient<'_>) -> Result<()> {
    for setting in &SETTINGS {
        let default = JsonB(setting.default.into());
        let arguments = [setting.name.into(), default.into(), setting.description.into()];
        client.update(SEED_SETTING, None, &arguments).map_err(internal)?;
    }
    Ok(())
}

const SEED_SETTING: &str = "
    insert into nexus.setting (setting_id, default_value, description) values ($1, $2, $3)
    on conflict (setting_id) do update set default_value = excluded.default_value, description = excluded.description";

/// Puts this build's manifests into nexus.connector_type, where they differ from what an earlier build brought.
fn seed_connector_types(client: &mut SpiClient<'_>) -> Result<()> {
    for (connector_type, text) in built_in() {
        let connector = Connector::from_toml(text).map_err(crate::error::report)?;
        manifest::register(client, connector_type, connector.manifest(), true)?;
    }
    Ok(())
}

/// Puts core's closed lists, with what their values mean, into nexus.vocabulary.
fn seed_vocabularies(client: &mut SpiClient<'_>) -> Result<()> {
    for (vocabulary, terms) in VOCABULARIES {
        for (place, (value, description)) in (1_i32..).zip(*terms) {
            let arguments = [(*vocabulary).into(), (*value).into(), place.into(), (*description).into()];
            client.update(SEED_VOCABULARY, None, &arguments).map_err(internal)?;
        }
    }
    Ok(())
}

const SEED_VOCABULARY: &str = "
    insert into nexus.vocabulary as v (vocabulary, value, position, description) values ($1, $2, $3, $4)
    on conflict (vocabulary, value) do update set position = excluded.position, description = excluded.description
    where (v.position, v.description) is distinct from (excluded.position, excluded.description)";

/// Makes `nexus.<kind>_source` for every kind: what each source says, in the columns of core's fields. A view
/// keeps the columns it has; a release that takes one away or moves it drops the view in its migration.
fn create_source_views(client: &mut SpiClient<'_>) -> Result<()> {
    for kind in KINDS {
        client.update(&source_view(kind), None, &[]).map_err(internal)?;
    }
    client.update(COMMENT_SOURCE_VIEWS, None, &[]).map_err(internal)?;
    Ok(())
}

/// The casts cannot fail: mappings hold the values of a document to the types of its fields.
fn source_view(kind: &Kind) -> String {
    let mut columns: Vec<(&str, &str)> =
        kind.fields.iter().map(|field| (field.document_name(), golden::sql_type(field.field_type))).collect();
    columns.extend(kind.children.map(|children| (children.field, "jsonb")));
    let list = |each: fn(&(&str, &str)) -> String| columns.iter().map(each).collect::<Vec<_>>().join(", ");
    format!(
        "create or replace view nexus.{name}_source with (security_invoker = true) as
         select r.tenant_id, r.environment_id, r.connector_id, r.external_id, r.birth_id, r.entity_id as {name}_id,
                r.source_time, r.is_deleted, {shown}
         from nexus.source_record r
         cross join lateral jsonb_to_record(r.document) as d({typed})
         where r.kind = '{name}'",
        name = kind.name,
        shown = list(|(name, _)| format!("d.\"{name}\"")),
        typed = list(|(name, sql_type)| format!("\"{name}\" {sql_type}")),
    )
}

/// Columns mean what those of the golden table or of nexus.source_record mean.
const COMMENT_SOURCE_VIEWS: &str = r"do $$
    declare
        thing record;
    begin
        for thing in
            select v.relname as view, left(v.relname, -7) as kind, a.attname as name, a.attnum,
                   coalesce(col_description(g.oid, own.attnum), col_description(r.oid, record.attnum),
                            case when a.attname like '%\_external\_id'
                                 then 'The id of that record in the same source.'
                                 else 'Its child rows as the source claims them, a JSON array.' end) as comment
            from pg_class v
            join pg_class g on g.relnamespace = v.relnamespace and g.relname = left(v.relname, -7)
            join pg_class r on r.relnamespace = v.relnamespace and r.relname = 'source_record'
            join pg_attribute a on a.attrelid = v.oid and a.attnum > 0
            left join pg_attribute own on own.attrelid = g.oid and own.attname = a.attname
            left join pg_attribute record on record.attrelid = r.oid and record.attname = a.attname
            where v.relnamespace = 'nexus'::regnamespace and v.relkind = 'v' and v.relname like '%\_source'
            order by v.relname, a.attnum
        loop
            if thing.attnum = 1 then
                execute format('comment on view nexus.%I is %L', thing.view,
                    format('What each source says of each %s, typed: the mirror of the sources.', replace(thing.kind, '_', ' ')));
            end if;
            if thing.name = thing.kind || '_id' then
                thing.comment := 'The golden row it contributes to.';
            end if;
            execute format('comment on column nexus.%I.%I is %L', thing.view, thing.name, thing.comment);
        end loop;
    end $$";
