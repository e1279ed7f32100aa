//! The golden entity: a pure function of the claims of all its source records.
//!
//! Per field group the live claims are ordered by null handling (a value before none), source rank, five-minute
//! bucket of the version, connector, version, record; the first survives, whole. Buckets, because "within five
//! minutes of each other" is not associative and would let the order of arrival decide.
//!
//! Lines survive from the source that had the order first, its own channel, unless a rule about `lines` itself
//! says otherwise: an ERP that goes first for amounts must not replace what was sold by what it booked.

mod policy;
mod provenance;

pub use policy::{DEFAULT_RANK, Policy, Rule, SharedLocation};
pub use provenance::{FieldProvenance, provenance};

use crate::canonical::{Column, FieldType, Group, Kind, Row, Rows, derive};
use crate::identity::{Scope, child_id};
use crate::register::{Record, is_same_number, is_same_value};
use jiff::Timestamp;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::HashMap;
use uuid::Uuid;

/// Versions within one bucket are equally recent, in microseconds.
const BUCKET: i64 = 5 * 60 * 1_000_000;

/// The rows of which two sources' together would count what was sold twice.
const LINES: &str = "lines";

/// One source record of an entity.
#[derive(Debug, Clone)]
pub struct Claims<'a> {
    /// What the source says.
    pub record: &'a Record,
    /// Which source it is.
    pub scope: Scope,
    /// The record's id in its source.
    pub external_id: &'a str,
    /// The record's own id.
    pub birth_id: Uuid,
}

/// A golden entity as its table holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Columns by name, ids and bookkeeping aside. References are `<name>_birth_id`.
    pub columns: Row,
    /// Rows of the child table: columns with `external_id`, `position`, `connector_id` and their own id.
    pub children: Vec<Row>,
    /// When the last source deleted it, in microseconds since 1970; `None` while one has it.
    pub deleted_at: Option<i64>,
}

impl Golden {
    /// The entity once no source says anything of it any more, not even that it is gone: it was `at`, in
    /// microseconds since 1970.
    pub fn withdrawn(&self, at: i64) -> Self {
        Self { deleted_at: self.deleted_at.or(Some(at)), ..self.clone() }
    }
}

/// The entity these records make; `None` while no source has said anything of it but that it is gone.
pub fn project(kind: &Kind, claims: &[Claims<'_>], policy: &Policy) -> Option<Golden> {
    if claims.is_empty() {
        return None;
    }
    let contest = Contest::new(kind, claims, policy);
    let mut columns = Vec::with_capacity(kind.fields.len());
    let mut children = Vec::new();
    let mut has_content = false;
    for group in kind.field_groups() {
        let winner = contest.winner(group);
        has_content |= winner.is_some();
        match (&group.children, winner) {
            (Some(rows), Some(winner)) => children = child_rows(rows, winner),
            (Some(_), None) => {}
            (None, winner) => columns.extend(group.fields.iter().map(|column| surviving(column, winner))),
        }
    }
    if !has_content {
        return None;
    }
    let mut columns: Row = columns.into_iter().collect();
    columns.extend(derive(kind.name, &columns, &children));
    if kind.is_per_source
        && let Some(source) = claims.iter().min_by_key(|claim| claim.scope.connector_id)
    {
        let connector_id = source.scope.connector_id;
        let location =
            columns.get("location_birth_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        columns.insert("connector_id", Value::String(connector_id.to_string()));
        let is_authoritative = policy.is_stock_owner(connector_id, location);
        columns.insert("is_authoritative", Value::Bool(is_authoritative));
    }
    let deleted_at = claims.iter().filter_map(|claim| claim.record.tombstone).max();
    Some(Golden {
        columns,
        children,
        deleted_at: deleted_at.filter(|_| contest.is_deleted).map(|tombstone| tombstone.version.source_time),
    })
}

/// Which claim survives, group by group.
struct Contest<'a> {
    kind: &'a Kind,
    claims: &'a [Claims<'a>],
    policy: &'a Policy,
    /// Every source has deleted its record.
    is_deleted: bool,
}

/// The first of all claims in this order survives.
type Precedence<'a> = (bool, i32, Option<Seniority>, Reverse<i64>, Uuid, Reverse<(i64, i64)>, &'a str);

/// Which record its source created first; one whose source does not say comes last.
type Seniority = (bool, Option<Timestamp>, Uuid);

impl<'a> Contest<'a> {
    fn new(kind: &'a Kind, claims: &'a [Claims<'a>], policy: &'a Policy) -> Self {
        Self { kind, claims, policy, is_deleted: claims.iter().all(|claim| claim.record.is_deleted()) }
    }

    /// The claims that may survive. What every source has deleted keeps its last content: a row that says what
    /// is gone.
    fn eligible(&self, group: &'static str) -> impl Iterator<Item = &'a Claims<'a>> {
        let is_deleted = self.is_deleted;
        self.claims.iter().filter(move |claim| match is_deleted {
            true => claim.record.groups.contains_key(group),
            false => claim.record.is_live(group),
        })
    }

    fn winner(&self, group: &'static Group) -> Option<&'a Claims<'a>> {
        let mut eligible = self.eligible(group.name);
        let first = eligible.next()?;
        match eligible.next() {
            // Most records have nobody to compete with.
            None => Some(first),
            Some(second) => {
                let all = [first, second].into_iter().chain(eligible);
                all.min_by_key(|claim| self.precedence(group.name, claim))
            }
        }
    }

    /// The claims that may survive, in the order in which they would.
    fn ranked(&self, group: &'static str) -> Vec<&'a Claims<'a>> {
        let mut claims: Vec<_> = self.eligible(group).collect();
        claims.sort_by_key(|claim| self.precedence(group, claim));
        claims
    }

    fn precedence(&self, group: &'static str, claim: &Claims<'a>) -> Precedence<'a> {
        let record = claim.record;
        let is_empty =
            self.kind.group_members(group).all(|name| record.fields.get(name).is_none_or(Value::is_null));
        let stamp = record.groups.get(group).copied().or_else(|| record.stamp());
        // The generation is of no account between records: it tells how often a connector was reprocessed.
        let time =
            stamp.map_or((i64::MIN, i64::MIN), |stamp| (stamp.version.source_time, stamp.version.observed));
        let bucket = time.0.div_euclid(BUCKET);
        let connector_id = claim.scope.connector_id;
        let (rank, seniority) = match group {
            LINES => {
                let rank = self.policy.own_rank(self.kind.name, group, connector_id);
                (rank.unwrap_or(DEFAULT_RANK), Some(seniority(claim)))
            }
            _ => (self.policy.rank(self.kind.name, group, connector_id), None),
        };
        (is_empty, rank, seniority, Reverse(bucket), connector_id, Reverse(time), claim.external_id)
    }
}

fn seniority(claim: &Claims<'_>) -> Seniority {
    let created_at = claim.record.fields.get("source_created_at").and_then(Value::as_str);
    let created_at: Option<Timestamp> = created_at.and_then(|text| text.parse().ok());
    (created_at.is_none(), created_at, claim.birth_id)
}

fn surviving(column: &Column, winner: Option<&Claims<'_>>) -> (&'static str, Value) {
    let value = winner.and_then(|claim| claim.record.fields.get(column.document_name));
    (column.name, column_value(column, value, winner))
}

fn column_value(column: &Column, value: Option<&Value>, source: Option<&Claims<'_>>) -> Value {
    match (column.field.field_type, source) {
        (FieldType::Reference(kind), source) => {
            let birth_id = value
                .and_then(Value::as_str)
                .zip(source)
                .map(|(external_id, source)| source.scope.birth_id(kind, external_id).to_string());
            birth_id.map_or(Value::Null, Value::String)
        }
        _ => value.cloned().unwrap_or(Value::Null),
    }
}

fn child_rows(of: &'static Rows, winner: &Claims<'_>) -> Vec<Row> {
    let table = of.children.table;
    let Some(Value::Array(rows)) = winner.record.fields.get(of.children.field) else { return Vec::new() };
    let connector_id = winner.scope.connector_id.to_string();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let rows = rows.iter().filter_map(Value::as_object).zip(1..);
    rows.map(|(row, place)| {
        let external_id = row.get("external_id").and_then(Value::as_str).unwrap_or_default();
        let repeated = seen.entry(external_id).or_default();
        // A source that gives two rows one id still has two rows: the second is told by its number.
        let id = match *repeated {
            0 => child_id(winner.birth_id, table, external_id),
            number => child_id(winner.birth_id, table, &format!("{external_id}#{number}")),
        };
        *repeated += 1;
        let values = of.columns.iter().map(|column| {
            let value = row.get(column.document_name);
            (column.name, column_value(column, value, Some(winner)))
        });
        let own = [
            (of.id_column.as_str(), Value::String(id.to_string())),
            ("external_id", Value::String(external_id.to_owned())),
            ("position", Value::from(place)),
            ("connector_id", Value::String(connector_id.clone())),
        ];
        values.chain(own).collect()
    })
    .collect()
}

/// Which columns differ between two states of an entity, by the names subscribers know: a reference is
/// `<name>_id`, child rows go by their field's name, and a delete is `deleted_at`. Empty: nothing to write.
pub fn changed(kind: &Kind, before: Option<&Golden>, after: &Golden) -> Vec<String> {
    let mut changed = Vec::new();
    for (name, value) in &after.columns {
        let previous = before.and_then(|golden| golden.columns.get(name)).unwrap_or(&Value::Null);
        let is_derived = kind.derived.iter().any(|field| field.name == *name);
        if !is_derived && !is_same_value(kind, name, previous, value) {
            changed.push(match name.strip_suffix("_birth_id") {
                Some(reference) => format!("{reference}_id"),
                None => (*name).to_owned(),
            });
        }
    }
    if let Some(children) = kind.children {
        let previous: &[Row] = before.map_or(&[], |golden| &golden.children);
        let is_same_column = |((one, a), (other, b)): ((&&str, &Value), (&&str, &Value))| {
            one == other && (a == b || is_same_number(children.fields, one, a, b))
        };
        let is_same = |(a, b): (&Row, &Row)| a.len() == b.len() && a.iter().zip(b).all(is_same_column);
        if previous.len() != after.children.len() || !previous.iter().zip(&after.children).all(is_same) {
            changed.push(children.field.to_owned());
        }
    }
    if before.and_then(|golden| golden.deleted_at) != after.deleted_at {
        changed.push("deleted_at".to_owned());
    }
    changed
}

#[cfg(test)]
mod tests;
