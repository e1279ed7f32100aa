//! The set-based statements that write golden entities, built from core's table of fields.
//!
//! Rows come as columns, an array each, taken apart in step: ids as `uuid[]`, documents as `jsonb[]`, every other value as text in `text[]`.

use nexus_core::canonical::{Children, Field, FieldType, KINDS, Kind};
use std::sync::LazyLock;

/// A column of a golden table, with its SQL type.
pub struct Column {
    pub name: String,
    pub sql_type: &'static str,
}

/// The statements of one kind.
pub struct Statements {
    pub kind: &'static Kind,
    /// What comes as text or document, in the order of the arguments.
    pub columns: Vec<Column>,
    /// `$2` entity ids, `$3` environments, `$4` times of deletion, `$5` first versions, then `columns`. For entities that
    /// have no row yet.
    pub insert: String,
    /// The same for any.
    pub upsert: String,
    /// The same, where the row differs.
    pub repair: String,
    pub children: Option<ChildStatements>,
    /// Takes out entities by id, child rows first.
    pub remove: Vec<String>,
}

/// The statements of a kind's child rows.
pub struct ChildStatements {
    /// What comes as text or document, the row's id first.
    pub columns: Vec<Column>,
    /// `$2` entity ids, `$3` environments, then `columns`. For rows that are not there yet.
    pub insert: String,
    /// The same for any.
    pub upsert: String,
    /// Takes out the rows of these ids.
    pub delete: String,
    /// Takes out the rows of the entities `$2` that are not `$3`.
    pub delete_strays: String,
}

/// Those of every kind, parents before those that refer to them.
pub static STATEMENTS: LazyLock<Vec<Statements>> =
    LazyLock::new(|| KINDS.iter().map(|kind| statements(kind)).collect());

fn statements(kind: &'static Kind) -> Statements {
    let mut columns = columns_of(kind.fields.iter().chain(kind.derived));
    if kind.is_per_source {
        columns.extend([named("connector_id", "uuid"), named("is_authoritative", "boolean")]);
    }
    let (table, id) = (kind.name, kind.id_column());
    let insert = format!(
        "insert into nexus.{table} as golden (tenant_id, {id}, environment_id, {names}, entity_version, deleted_at,
                                              created_at, updated_at)
         select $1, r.entity_id, r.environment_id, {read}, coalesce(r.first_version, 1), r.deleted_at, now(), now()
         from (select unnest($2) as entity_id, unnest($3) as environment_id, unnest($4) as deleted_at,
                      unnest($5) as first_version, {arrays}) r",
        names = list(&columns, |name, _| format!("\"{name}\"")),
        read = list(&columns, |name, sql_type| format!("r.\"{name}\"::{sql_type}")),
        arrays = arrays(&columns, 6),
    );
    let upsert = |condition: &str| {
        format!(
            "with written as (
                {insert}
                on conflict (tenant_id, {id}) do update set {set}, entity_version = golden.entity_version + 1,
                    deleted_at = excluded.deleted_at, updated_at = excluded.updated_at
                {condition}
                returning golden.{id}, golden.entity_version)
             select w.{id}, w.entity_version from written w",
            set = list(&columns, |name, _| format!("\"{name}\" = excluded.\"{name}\"")),
        )
    };
    let is_other = format!(
        "where ({}, golden.deleted_at) is distinct from ({}, excluded.deleted_at)",
        list(&columns, |name, _| format!("golden.\"{name}\"")),
        list(&columns, |name, _| format!("excluded.\"{name}\"")),
    );
    let remove_from =
        |table| format!("delete from nexus.{table} t where t.tenant_id = $1 and t.{id} = any ($2)");
    // The moves of its records say that it is gone, and keep its version as long as there are versions to tell apart.
    let remove_entity = format!(
        "with gone as ({} returning t.{id}, t.entity_version)
         update nexus.entity_change c set old_entity_version = g.entity_version from gone g
         where c.tenant_id = $1 and c.old_entity_id = g.{id}",
        remove_from(table)
    );
    let children = kind.children.map(|children| remove_from(children.table));
    let remove = children.into_iter().chain([remove_entity]).collect();
    let (upsert, repair) = (upsert(""), upsert(&is_other));
    let children = kind.children.map(|children| child_statements(kind, children));
    Statements { kind, columns, insert, upsert, repair, children, remove }
}

fn child_statements(kind: &Kind, of: Children) -> ChildStatements {
    let (table, id, parent) = (of.table, format!("{}_id", of.table), kind.id_column());
    let mut columns = columns_of(of.fields.iter());
    columns.extend([
        named("connector_id", "uuid"),
        named("external_id", "text"),
        named("position", "integer"),
    ]);
    columns.insert(0, Column { name: id.clone(), sql_type: "uuid" });
    let rest = &columns[1..];
    let insert = format!(
        "insert into nexus.{table} as child (tenant_id, {parent}, environment_id, {names})
         select $1, r.entity_id, r.environment_id, {read}
         from (select unnest($2) as entity_id, unnest($3) as environment_id, {arrays}) r",
        names = list(&columns, |name, _| format!("\"{name}\"")),
        read = list(&columns, |name, sql_type| format!("r.\"{name}\"::{sql_type}")),
        arrays = arrays(&columns, 4),
    );
    let upsert = format!(
        "{insert}
         on conflict (tenant_id, {id}) do update set {parent} = excluded.{parent}, {set}
         where (child.{parent}, {held}) is distinct from (excluded.{parent}, {offered})",
        set = list(rest, |name, _| format!("\"{name}\" = excluded.\"{name}\"")),
        held = list(rest, |name, _| format!("child.\"{name}\"")),
        offered = list(rest, |name, _| format!("excluded.\"{name}\"")),
    );
    let delete =
        format!("delete from nexus.{table} t where t.tenant_id = $1 and t.{id} = any ($2::text[]::uuid[])");
    let delete_strays = format!(
        "delete from nexus.{table} t
         where t.tenant_id = $1 and t.{parent} = any ($2) and t.{id} <> all ($3::text[]::uuid[])"
    );
    ChildStatements { columns, insert, upsert, delete, delete_strays }
}

fn columns_of<'a>(fields: impl Iterator<Item = &'a Field>) -> Vec<Column> {
    let mut columns = Vec::new();
    for field in fields {
        if let FieldType::Reference(_) = field.field_type {
            columns.push(named(&format!("{}_id", field.name), "uuid"));
            columns.push(named(&format!("{}_birth_id", field.name), "uuid"));
        } else {
            columns.push(named(field.name, sql_type(field.field_type)));
        }
    }
    columns
}

fn named(name: &str, sql_type: &'static str) -> Column {
    Column { name: name.to_owned(), sql_type }
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

/// The columns as sets of rows, their arguments beginning with this one.
fn arrays(columns: &[Column], first: usize) -> String {
    let arrays = columns.iter().zip(first..);
    arrays
        .map(|(column, place)| format!("unnest(${place}) as \"{}\"", column.name))
        .collect::<Vec<_>>()
        .join(", ")
}

fn list(columns: &[Column], each: impl Fn(&str, &str) -> String) -> String {
    columns.iter().map(|column| each(&column.name, column.sql_type)).collect::<Vec<_>>().join(", ")
}
