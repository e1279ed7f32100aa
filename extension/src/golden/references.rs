//! References between golden entities: from the record that a source named to the entity it contributes to.

use super::Change;
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::plan::{self, column};
use nexus_core::canonical::{Field, FieldType, KINDS, Kind, Row};
use pgrx::Uuid as PgUuid;
use pgrx::spi::SpiClient;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;
use uuid::Uuid;

/// Each is looked up by itself (`offset 0`): joined, all of a tenant's aliases could be read.
const RESOLVE: &str = "
    select r.id, (select s.entity_id from nexus.source_record s where s.tenant_id = $1 and s.birth_id = r.id),
           a.alias_id is not null, a.birth_id,
           (select s.entity_id from nexus.source_record s where s.tenant_id = $1 and s.birth_id = a.birth_id)
    from unnest($2) as r(id)
    left join lateral (
        select a.alias_id, a.birth_id from nexus.source_record_alias a
        where a.tenant_id = $1 and a.alias_id = r.id offset 0) a on true";

/// A row for every alias that we claim or refer to, without a record where nobody has claimed it yet: whoever claims
/// it then waits for us, and sees the rows that refer to it.
const PLACE_ALIASES: &str = "
    insert into nexus.source_record_alias (tenant_id, alias_id, birth_id)
    select $1, r.* from (select unnest($2) as alias_id, unnest($3) as birth_id) r order by r.alias_id
    on conflict (tenant_id, alias_id) do nothing";

/// The rows, locked one by one in the order of `$2`: for us alone those that we claim, and together with others who
/// refer to it those that we refer to.
const LOCK_ALIASES: &str = "
    select coalesce(c.alias_id, f.alias_id), coalesce(c.birth_id, f.birth_id)
    from (select unnest($2) as alias_id, unnest($3) is not null as is_claimed) r
    left join lateral (
        select a.alias_id, a.birth_id from nexus.source_record_alias a
        where a.tenant_id = $1 and a.alias_id = r.alias_id and r.is_claimed for no key update) c on true
    left join lateral (
        select a.alias_id, a.birth_id from nexus.source_record_alias a
        where a.tenant_id = $1 and a.alias_id = r.alias_id and not r.is_claimed for share) f on true";

const CLAIM_ALIASES: &str = "
    insert into nexus.source_record_alias (tenant_id, alias_id, birth_id)
    select $1, r.* from (select unnest($2) as alias_id, unnest($3) as birth_id) r order by r.alias_id
    on conflict (tenant_id, alias_id) do update set birth_id = excluded.birth_id";

/// A record claims an alias.
#[derive(Clone, Copy)]
pub struct Alias {
    pub alias_id: Uuid,
    pub birth_id: Uuid,
    pub entity_id: Uuid,
}

/// Claims aliases for records, and gives every `<name>_birth_id` of the changes its `<name>_id`: the golden entity
/// that record contributes to, or the birth id itself where the record has not been seen. Returns the aliases that
/// others may refer to as somebody else's.
pub fn resolve_references(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    changes: &mut [Change<'_>],
    claimed: &[Alias],
) -> Result<Vec<Alias>> {
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
    let mut resolved = resolve(client, tenant_id, named)?;
    may_be_alias.retain(|id| !resolved.records.contains_key(id));
    let Held { moved, taken } = hold_aliases(client, tenant_id, claimed, &may_be_alias, &resolved.placed)?;
    // A statement of its own: it sees what the locks waited for. Who came meanwhile under the very id that we refer to
    // is an entity of its own, whose id that is: to move it takes the lock that we share.
    let Resolved { records, aliases, .. } = resolve(client, tenant_id, taken)?;
    resolved.records.extend(records);
    resolved.aliases.extend(aliases);
    for change in changes.iter_mut() {
        for_each_reference(change, |_, birth_id| Some(resolved.entity_of(birth_id)));
    }
    Ok(moved)
}

/// What [`hold_aliases`] found.
#[derive(Default)]
struct Held {
    /// Those claimed that had been another record's, or nobody's though referred to.
    moved: Vec<Alias>,
    /// Those referred to that are a record's, and were not known to be this one's.
    taken: HashSet<Uuid>,
}

/// Claims aliases, and keeps others from claiming those that we refer to before we are done. `placed` are known to have
/// their row, with whose they are.
///
/// Batches that claim what the other refers to wait for each other and never in a circle: rows are made before any is
/// locked, both in the order of their ids, and nobody waits for the lock of a row that is being made.
fn hold_aliases(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    claimed: &[Alias],
    referred_to: &HashSet<Uuid>,
    placed: &HashMap<Uuid, Option<Uuid>>,
) -> Result<Held> {
    let mut held = Held::default();
    // Two records of one batch may name the same alias: the last one has it.
    let claimed: HashMap<Uuid, Alias> = claimed.iter().map(|alias| (alias.alias_id, *alias)).collect();
    let all: BTreeSet<Uuid> = claimed.keys().chain(referred_to).copied().collect();
    let all: Vec<Uuid> = all.into_iter().collect();
    if all.is_empty() {
        return Ok(held);
    }
    let arguments = |ids: &[Uuid]| {
        let claimant = |id: &Uuid| claimed.get(id).map(|alias| from_core(alias.birth_id));
        [from_core(tenant_id).into(), column(ids, |id| from_core(*id)), column(ids, claimant)]
    };
    let unplaced: Vec<Uuid> = all.iter().filter(|id| !placed.contains_key(*id)).copied().collect();
    if !unplaced.is_empty() {
        plan::run(client, PLACE_ALIASES, &arguments(&unplaced))?;
    }
    for row in plan::run(client, LOCK_ALIASES, &arguments(&all))? {
        let Some(alias_id) = row.get::<PgUuid>(1).map_err(internal)?.map(to_core) else { continue };
        let birth_id = row.get::<PgUuid>(2).map_err(internal)?.map(to_core);
        let alias = claimed.get(&alias_id);
        held.moved.extend(alias.filter(|alias| birth_id != Some(alias.birth_id)));
        let is_known = alias.is_none() && placed.get(&alias_id) == Some(&birth_id);
        if referred_to.contains(&alias_id) && !is_known && (alias.is_some() || birth_id.is_some()) {
            held.taken.insert(alias_id);
        }
    }
    let moved = &held.moved;
    if !moved.is_empty() {
        let arguments = [
            from_core(tenant_id).into(),
            column(moved, |alias| from_core(alias.alias_id)),
            column(moved, |alias| from_core(alias.birth_id)),
        ];
        plan::run(client, CLAIM_ALIASES, &arguments)?;
    }
    Ok(held)
}

/// What [`resolve`] found.
#[derive(Default)]
struct Resolved {
    /// The entities that records contribute to.
    records: HashMap<Uuid, Uuid>,
    /// Those that the records contribute to whose aliases they are.
    aliases: HashMap<Uuid, Uuid>,
    /// Ids that have a row among the aliases, with the record whose they are.
    placed: HashMap<Uuid, Option<Uuid>>,
}

impl Resolved {
    /// The entity that is meant: where nobody is known by this id, the one that will bear it.
    fn entity_of(&self, birth_id: Uuid) -> Uuid {
        self.records.get(&birth_id).or_else(|| self.aliases.get(&birth_id)).copied().unwrap_or(birth_id)
    }
}

fn resolve(client: &mut SpiClient<'_>, tenant_id: Uuid, ids: HashSet<Uuid>) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    if ids.is_empty() {
        return Ok(resolved);
    }
    for row in plan::run(client, RESOLVE, &[from_core(tenant_id).into(), column(ids, from_core)])? {
        let uuid = |place| Ok(row.get::<PgUuid>(place).map_err(internal)?.map(to_core));
        let Some(id) = uuid(1)? else { continue };
        resolved.records.extend(uuid(2)?.map(|entity_id| (id, entity_id)));
        if row.get::<bool>(3).map_err(internal)? == Some(true) {
            resolved.placed.insert(id, uuid(4)?);
            resolved.aliases.extend(uuid(5)?.map(|entity_id| (id, entity_id)));
        }
    }
    Ok(resolved)
}

/// Calls `each` with the target kind and birth id of every reference; what it returns becomes `<name>_id`.
fn for_each_reference(change: &mut Change<'_>, mut each: impl FnMut(&'static Kind, Uuid) -> Option<Uuid>) {
    let kind = change.kind;
    let mut visit = |fields: &'static [Field], columns: &mut Row| {
        for field in fields {
            let FieldType::Reference(target) = field.field_type else {
                continue;
            };
            let named = columns.get(field.column_name()).and_then(Value::as_str);
            let birth_id = named.and_then(|text| Uuid::parse_str(text).ok());
            if let (Some(birth_id), Ok(target)) = (birth_id, Kind::named(target))
                && let Some(entity_id) = each(target, birth_id)
            {
                columns.insert(field.entity_column_name(), Value::String(entity_id.to_string()));
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

/// Rewrites the rows that refer to an alias, now that it is known whose it is.
pub fn move_references(client: &mut SpiClient<'_>, tenant_id: Uuid, moved: &[Alias]) -> Result<()> {
    for text in MOVE_REFERENCES.iter().filter(|_| !moved.is_empty()) {
        let arguments = [
            from_core(tenant_id).into(),
            column(moved, |alias| from_core(alias.alias_id)),
            column(moved, |alias| from_core(alias.entity_id)),
        ];
        plan::run(client, text, &arguments)?;
    }
    Ok(())
}

/// One statement for each column that refers to a kind with aliases. What it changes is where a row points,
/// not what its source said: no domain event follows.
static MOVE_REFERENCES: LazyLock<Vec<String>> = LazyLock::new(|| {
    reference_columns()
        .into_iter()
        .filter(|(.., target)| target.field("aliases").is_some())
        .map(|(table, name, _)| {
            format!(
                "update nexus.{table} t set {name}_id = r.entity_id
                 from unnest($2::uuid[], $3::uuid[]) as r(alias_id, entity_id)
                 where t.tenant_id = $1 and t.{name}_birth_id = r.alias_id and t.{name}_id is distinct from r.entity_id"
            )
        })
        .collect()
});

/// The tables with a column that refers to a kind, with the column's name and that kind.
pub fn reference_columns() -> Vec<(&'static str, &'static str, &'static Kind)> {
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
