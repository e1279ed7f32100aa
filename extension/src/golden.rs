//! Golden entities: how they are written, mended and taken out, and what their domain events carry.

mod references;
mod statements;

pub use references::{Alias, move_references, reference_columns, resolve_references};
pub use statements::sql_type;

use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::instant::timestamptz;
use crate::jsonb::Jsonb;
use crate::plan::{self, Text, column};
use nexus_core::canonical::{Kind, Row};
use nexus_core::survivorship::Golden;
use pgrx::Uuid as PgUuid;
use pgrx::datum::DatumWithOid;
use pgrx::spi::{SpiClient, SpiTupleTable};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use statements::{ChildStatements, Column, STATEMENTS, Statements};
use std::collections::{BTreeMap, HashMap};
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
    /// It bears the id of a record that the batch inserted, and none of another entity's became part of it: neither it nor
    /// a child of it has a row.
    pub is_new: bool,
}

/// A child row, with the entity that it belongs to.
type Child<'a> = (&'a Change<'a>, &'a Row);

/// Writes the changed entities and their child rows, kind by kind; the version each now has.
pub fn write(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    changes: &[Change<'_>],
) -> Result<HashMap<Uuid, i64>> {
    let mut versions = HashMap::new();
    for (statements, changes) in by_kind(changes) {
        let (new, known): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.is_new);
        if !new.is_empty() {
            plan::run(client, &statements.insert, &rows(tenant_id, statements, &new))?;
            versions.extend(new.iter().map(|change| (change.entity_id, change.first_version.unwrap_or(1))));
        }
        if !known.is_empty() {
            versions.extend(upsert(client, tenant_id, statements, &statements.upsert, &known)?);
        }
        let Some(children) = &statements.children else { continue };
        let (mut gone, mut standing) = (Vec::new(), Vec::new());
        for change in changes {
            let id = &*children.columns[0].name;
            let before = change.before.map_or(&[][..], |before| &before.children);
            let mut former: HashMap<_, _> = before.iter().map(|child| (child[id].as_str(), child)).collect();
            for child in &change.after.children {
                // Those that stay as they are need no writing.
                if former.remove(&child[id].as_str()).is_none_or(|former| !says(child, former)) {
                    standing.push((change, child));
                }
            }
            gone.extend(former.into_keys());
        }
        if !gone.is_empty() {
            plan::run(client, &children.delete, &[from_core(tenant_id).into(), column(gone, |id| id)])?;
        }
        // One whose records said nothing meanwhile kept its row and its children, of which nobody knows.
        let back: Vec<&Change<'_>> = known.iter().copied().filter(|change| change.before.is_none()).collect();
        delete_strays(client, tenant_id, children, &back)?;
        let (new, known): (Vec<Child<'_>>, Vec<Child<'_>>) =
            standing.into_iter().partition(|(change, _)| change.is_new);
        write_children(client, tenant_id, &children.insert, children, new)?;
        write_children(client, tenant_id, &children.upsert, children, known)?;
    }
    Ok(versions)
}

/// Writes entities whose rows are not what they should be; the version each of those now has.
pub fn repair(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    changes: &[Change<'_>],
) -> Result<HashMap<Uuid, i64>> {
    let mut versions = HashMap::new();
    for (statements, changes) in by_kind(changes) {
        versions.extend(upsert(client, tenant_id, statements, &statements.repair, &changes)?);
        let Some(children) = &statements.children else { continue };
        delete_strays(client, tenant_id, children, &changes)?;
        write_children(client, tenant_id, &children.upsert, children, children_of(&changes))?;
    }
    Ok(versions)
}

fn children_of<'a>(changes: &[&'a Change<'a>]) -> Vec<Child<'a>> {
    let children = |change: &&'a Change<'a>| {
        let change = *change;
        change.after.children.iter().map(move |child| (change, child))
    };
    changes.iter().flat_map(children).collect()
}

/// Takes out the child rows of these entities that they do not have.
fn delete_strays(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    statements: &'static ChildStatements,
    changes: &[&Change<'_>],
) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let standing = children_of(changes);
    let arguments = [
        from_core(tenant_id).into(),
        column(changes, |change| from_core(change.entity_id)),
        column(&standing, |(_, child)| text(child, &statements.columns[0])),
    ];
    plan::run(client, &statements.delete_strays, &arguments)?;
    Ok(())
}

/// The changes of each kind, in the order in which their rows are written whoever writes them.
fn by_kind<'a>(
    changes: &'a [Change<'a>],
) -> impl Iterator<Item = (&'static Statements, Vec<&'a Change<'a>>)> {
    let with_changes = |statements: &'static Statements| {
        let of_kind = changes.iter().filter(|change| change.kind.name == statements.kind.name);
        let mut of_kind: Vec<&Change<'_>> = of_kind.collect();
        of_kind.sort_unstable_by_key(|change| change.entity_id);
        (statements, of_kind)
    };
    STATEMENTS.iter().map(with_changes).filter(|(_, changes)| !changes.is_empty())
}

fn upsert(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    statements: &Statements,
    statement: &'static str,
    changes: &[&Change<'_>],
) -> Result<Vec<(Uuid, i64)>> {
    written(plan::run(client, statement, &rows(tenant_id, statements, changes))?)
}

fn rows<'a>(tenant_id: Uuid, statements: &Statements, changes: &[&Change<'_>]) -> Vec<DatumWithOid<'a>> {
    let mut arguments = vec![
        from_core(tenant_id).into(),
        column(changes, |change| from_core(change.entity_id)),
        column(changes, |change| from_core(change.environment_id)),
        column(changes, |change| change.after.deleted_at.map(timestamptz)),
        column(changes, |change| change.first_version),
    ];
    let values = statements.columns.iter();
    arguments.extend(values.map(|of| values_of(of, changes, |change| &change.after.columns)));
    arguments
}

fn write_children(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    statement: &'static str,
    statements: &ChildStatements,
    mut standing: Vec<Child<'_>>,
) -> Result<()> {
    if standing.is_empty() {
        return Ok(());
    }
    let id = &statements.columns[0].name;
    // The order in which rows are written whoever writes them.
    standing.sort_unstable_by_key(|(_, child)| child[id.as_str()].as_str());
    let mut arguments = vec![
        from_core(tenant_id).into(),
        column(&standing, |(change, _)| from_core(change.entity_id)),
        column(&standing, |(change, _)| from_core(change.environment_id)),
    ];
    let values = statements.columns.iter();
    arguments.extend(values.map(|of| values_of(of, &standing, |(_, child)| child)));
    plan::run(client, statement, &arguments)?;
    Ok(())
}

/// Whether a child row says what another says; its references may be resolved, and are of no account.
fn says(child: &Row, other: &Row) -> bool {
    other.iter().all(|(name, value)| child.get(name) == Some(value))
}

/// A column's values: documents as they are stored, all others as text.
fn values_of<'a, R>(
    of: &Column,
    rows: impl IntoIterator<Item = R>,
    columns: impl Fn(R) -> &'a Row,
) -> DatumWithOid<'static> {
    if of.sql_type != "jsonb" {
        return column(rows, |row| text(columns(row), of));
    }
    column(rows, |row| columns(row).get(&*of.name).filter(|value| !value.is_null()).map(Jsonb::of))
}

/// A column's value as PostgreSQL reads it.
fn text<'a>(columns: &'a Row, column: &Column) -> Option<Text<'a>> {
    match (columns.get(&*column.name)?, column.sql_type) {
        (Value::Null, _) => None,
        (Value::Array(items), "text[]") => Some(Text::list(items.iter().filter_map(Value::as_str))),
        (Value::String(text), _) => Some(Text::new(text)),
        (value, _) => Some(Text::new(value.to_string())),
    }
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
    select c.old_entity_id, max(c.old_entity_version) from nexus.entity_change c
    where c.tenant_id = $1 and c.old_entity_id = any ($2) group by c.old_entity_id";

/// The versions that entities which were there before ended with.
pub fn last_versions(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    entities: &[Uuid],
) -> Result<HashMap<Uuid, i64>> {
    if entities.is_empty() {
        return Ok(HashMap::new());
    }
    let arguments = [from_core(tenant_id).into(), column(entities, |id| from_core(*id))];
    Ok(written(plan::run(client, LAST_VERSIONS, &arguments)?)?.into_iter().collect())
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

/// A golden entity as its domain events carry it: what its row holds, under the names subscribers know.
pub struct Payload<'a> {
    pub kind: &'static Kind,
    pub entity_id: Uuid,
    pub version: i64,
    pub golden: &'a Golden,
    /// Other entities that were part of what happened, under this name.
    pub related: Option<(&'static str, Vec<Uuid>)>,
}

/// What subscribers see of a row.
struct Shown<'a>(&'a Row);

impl Shown<'_> {
    fn columns(&self) -> impl Iterator<Item = (&&'static str, &Value)> {
        self.0.iter().filter(|(name, _)| !name.ends_with("_birth_id"))
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns())
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut payload = serializer.serialize_map(None)?;
        for (name, value) in Shown(&self.golden.columns).columns() {
            payload.serialize_entry(name, value)?;
        }
        payload.serialize_entry(&self.kind.id_column(), &self.entity_id)?;
        payload.serialize_entry("entity_version", &self.version)?;
        payload.serialize_entry("is_deleted", &self.golden.deleted_at.is_some())?;
        if let Some(children) = self.kind.children {
            let rows: Vec<Shown<'_>> = self.golden.children.iter().map(Shown).collect();
            payload.serialize_entry(children.field, &rows)?;
        }
        if let Some((name, ids)) = &self.related {
            payload.serialize_entry(name, ids)?;
        }
        payload.end()
    }
}

/// A field of a golden entity by the name that its changes go by; child rows are a list, and
/// `deleted_at` tells whether it is deleted.
pub fn field(kind: &Kind, golden: &Golden, name: &str) -> Value {
    if name == "deleted_at" {
        return Value::Bool(golden.deleted_at.is_some());
    }
    if kind.children.is_some_and(|children| children.field == name) {
        let row = |row: &Row| row.iter().map(|(name, value)| (*name, value.clone())).collect::<Value>();
        return golden.children.iter().map(row).collect();
    }
    let column = golden.columns.get(name).or_else(|| {
        let reference = name.strip_suffix("_id")?;
        golden.columns.get(&*format!("{reference}_birth_id"))
    });
    column.cloned().unwrap_or(Value::Null)
}
