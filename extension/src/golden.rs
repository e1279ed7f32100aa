//! Golden entities: the set-based statements that write them, built from core's table of fields.

use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::plan;
use nexus_core::canonical::{Children, Field, FieldType, KINDS, Kind};
use nexus_core::survivorship::Golden;
use pgrx::spi::{SpiClient, SpiTupleTable};
use pgrx::{JsonB, Uuid as PgUuid};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;
use uuid::Uuid;

/// A golden entity that differs from its row.
pub struct Change<'a> {
    pub kind: &'static Kind,
    pub entity_id: Uuid,
    pub environment_id: Uuid,
    pub before: Option<&'a Golden>,
    pub after: &'a mut Golden,
    /// The version that its row begins with, where that is not 1.
    pub first_version: Option<i64>,
}

/// The statements of one kind.
struct Statements {
    kind: &'static Kind,
    upsert: String,
    /// The same, where the row differs.
    repair: String,
    upsert_children: String,
    delete_children: String,
    /// Takes out the child rows that are not among those given.
    delete_strays: String,
    /// Takes out entities by id, child rows first.
    remove: Vec<String>,
}

static STATEMENTS: LazyLock<Vec<Statements>> =
    LazyLock::new(|| KINDS.iter().map(|kind| statements(kind)).collect());

const RESOLVE: &str = "
    select r.id, coalesce(s.entity_id, t.entity_id)
    from unnest($2::uuid[]) as r(id)
    left join nexus.source_record s on s.tenant_id = $1 and s.birth_id = r.id
    left join nexus.source_record_alias a on a.tenant_id = $1 and a.alias_id = r.id
    left join nexus.source_record t on t.tenant_id = $1 and t.birth_id = a.birth_id
    where coalesce(s.entity_id, t.entity_id) is not null";

/// A place for an alias that nobody has claimed yet. It makes whoever claims it wait for us, and then see the
/// rows that refer to it.
const AWAIT_ALIASES: &str = "
    insert into nexus.source_record_alias (tenant_id, alias_id)
    select $1, r.id from unnest($2::uuid[]) as r(id) order by r.id
    on conflict (tenant_id, alias_id) do nothing";

const PUT_ALIASES: &str = "
    with put as (
        insert into nexus.source_record_alias as a (tenant_id, alias_id, birth_id)
        select $1, r.alias_id, r.birth_id from jsonb_to_recordset($2) as r(alias_id uuid, birth_id uuid) order by r.alias_id
        on conflict (tenant_id, alias_id) do update set birth_id = excluded.birth_id
        where a.birth_id is distinct from excluded.birth_id
        returning a.alias_id)
    select p.alias_id from put p";

/// Claims aliases for records; those that were not theirs yet, as (alias, entity).
pub fn put_aliases(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    aliases: &[(Uuid, Uuid, Uuid)],
) -> Result<Vec<(Uuid, Uuid)>> {
    if aliases.is_empty() {
        return Ok(Vec::new());
    }
    // Two records of one batch may name the same alias; one statement writes a row once. The last one has it.
    let rows: HashMap<Uuid, Value> = aliases
        .iter()
        .map(|(alias, birth, _)| (*alias, json!({ "alias_id": alias, "birth_id": birth })))
        .collect();
    let rows = JsonB(Value::Array(rows.into_values().collect()));
    let mut moved = HashSet::new();
    for row in plan::run(client, PUT_ALIASES, &[from_core(tenant_id).into(), rows.into()])? {
        moved.extend(row.get::<PgUuid>(1).map_err(internal)?.map(to_core));
    }
    let entities: HashMap<Uuid, Uuid> = aliases.iter().map(|(alias, _, entity)| (*alias, *entity)).collect();
    Ok(entities.into_iter().filter(|(alias, _)| moved.contains(alias)).collect())
}

/// Gives every `<name>_birth_id` of the changes its `<name>_id`: the golden entity that record contributes to,
/// or the birth id itself where the record has not been seen.
pub fn resolve_references(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    changes: &mut [Change<'_>],
) -> Result<()> {
    let mut named = HashSet::new();
    let mut may_be_alias = HashSet::new();
    for change in changes.iter_mut() {
        for_each_reference(change, |target, birth_id| {
            named.insert(birth_id);
            if target.field("aliases").is_some() {
                may_be_alias.insert(birth_id);
            }
            None
        });
    }
    if named.is_empty() {
        return Ok(());
    }
    let mut found = resolve(client, tenant_id, named.iter().copied())?;
    let unseen: Vec<Uuid> = may_be_alias.into_iter().filter(|id| !found.contains_key(id)).collect();
    if !unseen.is_empty() {
        let ids: Vec<PgUuid> = unseen.iter().copied().map(from_core).collect();
        plan::run(client, AWAIT_ALIASES, &[from_core(tenant_id).into(), ids.into()])?;
        found.extend(resolve(client, tenant_id, unseen.into_iter())?);
    }
    for change in changes.iter_mut() {
        for_each_reference(change, |_, birth_id| Some(found.get(&birth_id).copied().unwrap_or(birth_id)));
    }
    Ok(())
}

fn resolve(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Uuid>> {
    let ids: Vec<PgUuid> = ids.map(from_core).collect();
    let mut found = HashMap::new();
    for row in plan::run(client, RESOLVE, &[from_core(tenant_id).into(), ids.into()])? {
        if let (Some(id), Some(entity_id)) =
            (row.get::<PgUuid>(1).map_err(internal)?, row.get::<PgUuid>(2).map_err(internal)?)
        {
            found.insert(to_core(id), to_core(entity_id));
        }
    }
    Ok(found)
}

/// Calls `each` with the target kind and birth id of every reference; what it returns becomes `<name>_id`.
fn for_each_reference(change: &mut Change<'_>, mut each: impl FnMut(&'static Kind, Uuid) -> Option<Uuid>) {
    let kind = change.kind;
    let mut visit = |fields: &'static [Field], columns: &mut Map<String, Value>| {
        for field in fields {
            let FieldType::Reference(target) = field.field_type else {
                continue;
            };
            let named = columns.get(&format!("{}_birth_id", field.name)).and_then(Value::as_str);
            let birth_id = named.and_then(|text| Uuid::parse_str(text).ok());
            if let (Some(birth_id), Ok(target)) = (birth_id, Kind::named(target))
                && let Some(entity_id) = each(target, birth_id)
            {
                columns.insert(format!("{}_id", field.name), Value::String(entity_id.to_string()));
            }
        }
    };
    visit(kind.fields, &mut change.after.columns);
    if let Some(children) = kind.children {
        for child in &mut change.after.children {
            visit(children.fields, child);
        }
    }
}

/// Writes the changed entities and their child rows, kind by kind; the version each now has.
pub fn write(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    changes: &[Change<'_>],
) -> Result<HashMap<Uuid, i64>> {
    let tenant = from_core(tenant_id);
    let mut versions = HashMap::new();
    for statements in STATEMENTS.iter() {
        let of_kind: Vec<&Change<'_>> =
            changes.iter().filter(|change| change.kind.name == statements.kind.name).collect();
        if of_kind.is_empty() {
            continue;
        }
        let rows = Value::Array(of_kind.iter().map(|change| entity_row(change)).collect());
        versions.extend(written(plan::run(
            client,
            &statements.upsert,
            &[tenant.into(), JsonB(rows).into()],
        )?)?);
        let Some(children) = statements.kind.children else {
            continue;
        };
        let (gone, standing) = child_rows(&children, &of_kind);
        if !gone.is_empty() {
            plan::run(
                client,
                &statements.delete_children,
                &[tenant.into(), JsonB(Value::Array(gone)).into()],
            )?;
        }
        if !standing.is_empty() {
            plan::run(
                client,
                &statements.upsert_children,
                &[tenant.into(), JsonB(Value::Array(standing)).into()],
            )?;
        }
    }
    Ok(versions)
}

/// Writes entities whose rows are not what they should be; the version each of those now has.
pub fn repair(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    changes: &[Change<'_>],
) -> Result<HashMap<Uuid, i64>> {
    let tenant = from_core(tenant_id);
    let mut versions = HashMap::new();
    for statements in STATEMENTS.iter() {
        let of_kind: Vec<&Change<'_>> =
            changes.iter().filter(|change| change.kind.name == statements.kind.name).collect();
        if of_kind.is_empty() {
            continue;
        }
        let rows = Value::Array(of_kind.iter().map(|change| entity_row(change)).collect());
        versions.extend(written(plan::run(
            client,
            &statements.repair,
            &[tenant.into(), JsonB(rows).into()],
        )?)?);
        let Some(children) = statements.kind.children else {
            continue;
        };
        let (_, standing) = child_rows(&children, &of_kind);
        let parents: Vec<PgUuid> = of_kind.iter().map(|change| from_core(change.entity_id)).collect();
        let standing = JsonB(Value::Array(standing));
        let arguments = [tenant.into(), JsonB(standing.0.clone()).into(), parents.into()];
        plan::run(client, &statements.delete_strays, &arguments)?;
        plan::run(client, &statements.upsert_children, &[tenant.into(), standing.into()])?;
    }
    Ok(versions)
}

fn written(rows: SpiTupleTable<'_>) -> Result<Vec<(Uuid, i64)>> {
    let mut written = Vec::new();
    for row in rows {
        if let (Some(id), Some(version)) =
            (row.get::<PgUuid>(1).map_err(internal)?, row.get::<i64>(2).map_err(internal)?)
        {
            written.push((to_core(id), version));
        }
    }
    Ok(written)
}

const LAST_VERSIONS: &str = "
    select v.entity_id, max(v.entity_version) from nexus.domain_event v
    where v.tenant_id = $1 and v.entity_id = any ($2) group by v.entity_id";

/// The versions that entities which were there before ended with.
pub fn last_versions(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    entities: &[Uuid],
) -> Result<HashMap<Uuid, i64>> {
    if entities.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<PgUuid> = entities.iter().copied().map(from_core).collect();
    let rows = plan::run(client, LAST_VERSIONS, &[from_core(tenant_id).into(), ids.into()])?;
    Ok(written(rows)?.into_iter().collect())
}

/// Takes out entities that no record contributes to any more, with their child rows.
pub fn remove(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    gone: impl Iterator<Item = (&'static Kind, Uuid)>,
) -> Result<()> {
    let mut by_kind: BTreeMap<&str, Vec<PgUuid>> = BTreeMap::new();
    for (kind, entity_id) in gone {
        by_kind.entry(kind.name).or_default().push(from_core(entity_id));
    }
    for (name, ids) in by_kind {
        for text in STATEMENTS.iter().filter(|of| of.kind.name == name).flat_map(|of| &of.remove) {
            plan::run(client, text, &[from_core(tenant_id).into(), ids.clone().into()])?;
        }
    }
    Ok(())
}

/// The tables with a column that refers to a kind, with the column's name and that kind.
pub fn references() -> Vec<(&'static str, &'static str, &'static Kind)> {
    let mut columns = Vec::new();
    for kind in KINDS {
        let children = kind.children.map(|children| (children.table, children.fields));
        for (table, fields) in std::iter::once((kind.name, kind.fields)).chain(children) {
            for field in fields {
                if let FieldType::Reference(target) = field.field_type
                    && let Ok(target) = Kind::named(target)
                {
                    columns.push((table, field.name, target));
                }
            }
        }
    }
    columns
}

/// Rewrites the rows that refer to an alias, now that it is known whose it is.
pub fn move_references(client: &mut SpiClient<'_>, tenant_id: Uuid, moved: &[(Uuid, Uuid)]) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> =
        moved.iter().map(|(alias, entity)| json!({ "alias_id": alias, "entity_id": entity })).collect();
    for text in MOVE_REFERENCES.iter() {
        let rows = JsonB(Value::Array(rows.clone()));
        plan::run(client, text, &[from_core(tenant_id).into(), rows.into()])?;
    }
    Ok(())
}

/// One statement for each column that refers to a kind with aliases. What it changes is where a row points,
/// not what its source said: no domain event follows.
static MOVE_REFERENCES: LazyLock<Vec<String>> = LazyLock::new(|| {
    references()
        .into_iter()
        .filter(|(.., target)| target.field("aliases").is_some())
        .map(|(table, name, _)| {
            format!(
                "update nexus.{table} t set {name}_id = r.entity_id
                 from jsonb_to_recordset($2) as r(alias_id uuid, entity_id uuid)
                 where t.tenant_id = $1 and t.{name}_birth_id = r.alias_id and t.{name}_id is distinct from r.entity_id"
            )
        })
        .collect()
});

/// A golden entity as its domain events carry it: what its row holds, under the names subscribers know.
pub fn payload(kind: &Kind, entity_id: Uuid, version: i64, golden: &Golden) -> Value {
    let shown = |columns: &Map<String, Value>| -> Map<String, Value> {
        columns
            .iter()
            .filter(|(name, _)| !name.ends_with("_birth_id"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let mut payload = shown(&golden.columns);
    payload.insert(kind.id_column(), json!(entity_id));
    payload.insert("entity_version".to_owned(), json!(version));
    payload.insert("is_deleted".to_owned(), json!(golden.deleted_at.is_some()));
    if let Some(children) = kind.children {
        let rows = golden.children.iter().map(|child| Value::Object(shown(child))).collect();
        payload.insert(children.field.to_owned(), Value::Array(rows));
    }
    Value::Object(payload)
}

/// A field of a golden entity by the name that its changes go by; child rows are a list, and
/// `deleted_at` tells whether it is deleted.
pub fn field(kind: &Kind, golden: &Golden, name: &str) -> Value {
    if name == "deleted_at" {
        return Value::Bool(golden.deleted_at.is_some());
    }
    if kind.children.is_some_and(|children| children.field == name) {
        return golden.children.iter().cloned().map(Value::Object).collect();
    }
    let column = golden.columns.get(name).or_else(|| {
        let reference = name.strip_suffix("_id")?;
        golden.columns.get(&format!("{reference}_birth_id"))
    });
    column.cloned().unwrap_or(Value::Null)
}

fn entity_row(change: &Change<'_>) -> Value {
    let mut row = change.after.columns.clone();
    row.insert("entity_id".to_owned(), json!(change.entity_id));
    row.insert("environment_id".to_owned(), json!(change.environment_id));
    row.insert("deleted_at".to_owned(), json!(change.after.deleted_at));
    row.insert("first_version".to_owned(), json!(change.first_version));
    Value::Object(row)
}

/// The child rows that are to go, and those that are to stand.
fn child_rows(children: &Children, changes: &[&Change<'_>]) -> (Vec<Value>, Vec<Value>) {
    let id_column = format!("{}_id", children.table);
    let (mut gone, mut standing) = (Vec::new(), Vec::new());
    for change in changes {
        let kept: HashSet<&Value> =
            change.after.children.iter().filter_map(|child| child.get(&id_column)).collect();
        for child in change.before.map_or(&[][..], |before| &before.children) {
            if let Some(id) = child.get(&id_column).filter(|id| !kept.contains(id)) {
                gone.push(json!({ "child_id": id }));
            }
        }
        for child in &change.after.children {
            let mut row = child.clone();
            row.insert("entity_id".to_owned(), json!(change.entity_id));
            row.insert("environment_id".to_owned(), json!(change.environment_id));
            standing.push(Value::Object(row));
        }
    }
    (gone, standing)
}

fn statements(kind: &'static Kind) -> Statements {
    let mut columns = columns_of(kind.fields.iter().chain(kind.derived));
    if kind.is_per_source {
        columns.extend([("connector_id".to_owned(), "uuid"), ("is_authoritative".to_owned(), "boolean")]);
    }
    let (table, id) = (kind.name, kind.id_column());
    let names = list(&columns, |name, _| name.to_owned());
    let (held, offered) = (
        list(&columns, |name, _| format!("golden.{name}")),
        list(&columns, |name, _| format!("excluded.{name}")),
    );
    let upsert = |condition: &str| {
        format!(
        "with written as (
            insert into nexus.{table} as golden (tenant_id, {id}, environment_id, {names}, entity_version, deleted_at,
                                                 created_at, updated_at)
            select $1, r.entity_id, r.environment_id, {read}, coalesce(r.first_version, 1),
                   timestamptz 'epoch' + r.deleted_at * interval '1 microsecond', now(), now()
            from jsonb_to_recordset($2) as r(entity_id uuid, environment_id uuid, deleted_at bigint, first_version bigint,
                                             {typed})
            order by r.entity_id
            on conflict (tenant_id, {id}) do update set {set}, entity_version = golden.entity_version + 1,
                deleted_at = excluded.deleted_at, updated_at = excluded.updated_at
            {condition}
            returning golden.{id}, golden.entity_version)
         select w.{id}, w.entity_version from written w",
        read = list(&columns, |name, _| format!("r.{name}")),
        typed = list(&columns, |name, sql_type| format!("{name} {sql_type}")),
        set = list(&columns, |name, _| format!("{name} = excluded.{name}")),
    )
    };
    let (upsert_children, delete_children) =
        kind.children.map(|children| child_statements(kind, &children)).unwrap_or_default();
    let tables = kind.children.map(|children| children.table).into_iter().chain([kind.name]);
    let remove = tables
        .map(|table| format!("delete from nexus.{table} t where t.tenant_id = $1 and t.{id} = any ($2)"))
        .collect();
    let is_other =
        format!("where ({held}, golden.deleted_at) is distinct from ({offered}, excluded.deleted_at)");
    let delete_strays = kind.children.map(|children| delete_strays(kind, &children)).unwrap_or_default();
    Statements {
        kind,
        repair: upsert(&is_other),
        upsert: upsert(""),
        upsert_children,
        delete_children,
        delete_strays,
        remove,
    }
}

fn child_statements(kind: &Kind, children: &Children) -> (String, String) {
    let mut columns = columns_of(children.fields.iter());
    columns.extend([
        ("connector_id".to_owned(), "uuid"),
        ("external_id".to_owned(), "text"),
        ("position".to_owned(), "integer"),
    ]);
    let (table, id, parent) = (children.table, format!("{}_id", children.table), kind.id_column());
    let names = list(&columns, |name, _| format!("\"{name}\""));
    let upsert = format!(
        "insert into nexus.{table} as child (tenant_id, {id}, {parent}, environment_id, {names})
         select $1, r.{id}, r.entity_id, r.environment_id, {read}
         from jsonb_to_recordset($2) as r({id} uuid, entity_id uuid, environment_id uuid, {typed})
         order by r.{id}
         on conflict (tenant_id, {id}) do update set {parent} = excluded.{parent}, {set}
         where ({held}) is distinct from ({offered})",
        read = list(&columns, |name, _| format!("r.\"{name}\"")),
        typed = list(&columns, |name, sql_type| format!("\"{name}\" {sql_type}")),
        set = list(&columns, |name, _| format!("\"{name}\" = excluded.\"{name}\"")),
        held = list(&columns, |name, _| format!("child.\"{name}\"")),
        offered = list(&columns, |name, _| format!("excluded.\"{name}\"")),
    );
    let delete = format!(
        "delete from nexus.{table} t using jsonb_to_recordset($2) as r(child_id uuid)
         where t.tenant_id = $1 and t.{id} = r.child_id"
    );
    (upsert, delete)
}

fn delete_strays(kind: &Kind, children: &Children) -> String {
    let (table, id, parent) = (children.table, format!("{}_id", children.table), kind.id_column());
    format!(
        "delete from nexus.{table} t
         where t.tenant_id = $1 and t.{parent} = any ($3)
           and not exists (select from jsonb_to_recordset($2) as r({id} uuid) where r.{id} = t.{id})"
    )
}

fn columns_of<'a>(fields: impl Iterator<Item = &'a Field>) -> Vec<(String, &'static str)> {
    let mut columns = Vec::new();
    for field in fields {
        if let FieldType::Reference(_) = field.field_type {
            columns.push((format!("{}_id", field.name), "uuid"));
            columns.push((format!("{}_birth_id", field.name), "uuid"));
        } else {
            columns.push((field.name.to_owned(), sql_type(field.field_type)));
        }
    }
    columns
}

/// The SQL type of a document's value.
pub fn sql_type(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Text | FieldType::Currency | FieldType::Vocabulary(_) | FieldType::Reference(_) => "text",
        FieldType::Integer => "bigint",
        FieldType::Decimal => "numeric",
        FieldType::Boolean => "boolean",
        FieldType::Timestamp => "timestamptz",
        FieldType::TextList => "text[]",
        FieldType::Json => "jsonb",
    }
}

fn list(columns: &[(String, &'static str)], each: impl Fn(&str, &str) -> String) -> String {
    columns.iter().map(|(name, sql_type)| each(name, sql_type)).collect::<Vec<_>>().join(", ")
}
