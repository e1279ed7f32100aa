//! What a source says of one record: the join of all its claims, whatever order they come in.
//!
//! Each field group is a register whose version is (generation, source time, observed time, hash of the value).
//! The join of two claims is the one with the greater version. That is a total order, so joining is
//! associative, commutative and idempotent: replays, duplicates, late and shuffled events lead to the same
//! record. A delete is a claim like any other: a group lives while its version is above the record's tombstone.

use crate::canonical::{Document, Field, FieldType, Group, Kind, Personal};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How far ahead of our clock a source's clock may be believed, in microseconds: a fast clock cannot pin a
/// field for longer than this.
const MOST_AHEAD: i64 = 5 * 60 * 1_000_000;

/// When a claim was made, in microseconds since 1970; greater is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Which reading of the connector's events this is. Reprocessing reads them anew, with another mapping, and
    /// then nothing of the reading before is to stand against it.
    pub generation: i32,
    /// When the source says it last changed, at most five minutes after `observed`.
    pub source_time: i64,
    /// When the source sent it, or we first saw it.
    pub observed: i64,
}

impl Version {
    /// The version of a claim; a source that names no time is taken at the time observed.
    pub fn new(generation: i32, source_time: Option<i64>, observed: i64) -> Self {
        let latest = observed.saturating_add(MOST_AHEAD);
        Self { generation, source_time: source_time.unwrap_or(observed).min(latest), observed }
    }
}

/// A claim's version, and where the claim came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// When it was made.
    pub version: Version,
    /// The event that carried it.
    pub event_id: Uuid,
    /// The version of the manifest that mapped the event.
    pub manifest_version: i32,
}

/// Above every claim: what was erased because a person asked for it never comes back, whatever is replayed.
const ERASED: Stamp = Stamp {
    version: Version { generation: i32::MAX, source_time: i64::MAX, observed: i64::MAX },
    event_id: Uuid::nil(),
    manifest_version: 0,
};

/// The joined claims of one source about one record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The claimed fields by document name; a group's members are all present or all absent.
    pub fields: Map<String, Value>,
    /// The standing claim of each claimed group.
    pub groups: BTreeMap<&'static str, Stamp>,
    /// The latest delete.
    pub tombstone: Option<Stamp>,
}

/// What joining a claim did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The record's content, or whether it is deleted, is another than before.
    Changed,
    /// The version rose, the content is the same.
    Raised,
    /// The record is as it was: the claim was known, or is older than what is known.
    Stale,
}

impl Record {
    /// Joins a source's document into the record.
    pub fn join(&mut self, kind: &Kind, document: &Document, stamp: Stamp) -> Joined {
        if document.is_deleted {
            return self.join_tombstone(stamp);
        }
        if self.fields.is_empty() && self.groups.is_empty() && self.tombstone.is_none() {
            return self.begin(kind, document, stamp);
        }
        let was_deleted = self.is_deleted();
        let mut joined = Joined::Stale;
        for group in kind.field_groups() {
            if !group.members.iter().any(|name| document.fields.contains_key(*name)) {
                continue;
            }
            match self.join_group(kind, group, document, stamp) {
                Joined::Changed => joined = Joined::Changed,
                Joined::Raised if joined == Joined::Stale => joined = Joined::Raised,
                Joined::Raised | Joined::Stale => {}
            }
        }
        if joined != Joined::Stale && was_deleted != self.is_deleted() {
            joined = Joined::Changed;
        }
        joined
    }

    /// The first claim of a record: nothing is there that it could be compared with.
    fn begin(&mut self, kind: &Kind, document: &Document, stamp: Stamp) -> Joined {
        let is_claimed = |name: &&'static str| document.fields.contains_key(*name);
        let is_begun = |group: &&Group| group.members.iter().any(is_claimed);
        let groups = kind.field_groups().iter().filter(is_begun);
        self.groups = groups.map(|group| (group.name, stamp)).collect();
        if self.groups.is_empty() {
            return Joined::Stale;
        }
        let begun = kind.field_groups().iter().filter(|group| self.groups.contains_key(group.name));
        let value = |name: &str| document.fields.get(name).cloned().unwrap_or(Value::Null);
        let members = begun.flat_map(|group| &group.members);
        self.fields = members.map(|name| ((*name).to_owned(), value(name))).collect();
        Joined::Changed
    }

    /// Whether the latest thing the source said of the record is that it is gone.
    pub fn is_deleted(&self) -> bool {
        self.tombstone.is_some_and(|tombstone| self.claimed().all(|claim| claim.version <= tombstone.version))
    }

    /// Whether a group's claim has not been deleted.
    pub fn is_live(&self, group: &str) -> bool {
        match (self.groups.get(group), self.tombstone) {
            (Some(claim), Some(tombstone)) => claim.version > tombstone.version,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Takes out what is about a person, for good: no later claim of it is joined. A record that is about a
    /// person and nothing else is deleted thereby, by a delete of no event.
    pub fn erase(&mut self, kind: &Kind, observed: i64) {
        for group in kind.groups() {
            let is_children = kind.children.is_some_and(|children| children.field == group);
            match kind.personal {
                Personal::Groups(groups) if is_children && !groups.contains(&group) => {
                    self.erase_extras(group)
                }
                Personal::Groups(groups) if !groups.contains(&group) => {}
                _ => {
                    let nothing = kind.group_members(group).map(|name| (name.to_owned(), Value::Null));
                    self.fields.extend(nothing);
                    self.groups.insert(group, ERASED);
                }
            }
        }
        if kind.personal == Personal::Everything {
            let generation = self.stamp().map_or(0, |stamp| stamp.version.generation);
            let version = Version { generation, source_time: observed, observed };
            self.tombstone = self.tombstone.max(Some(Stamp { version, ..ERASED }));
        }
    }

    /// Whether it was erased.
    pub fn is_erased(&self) -> bool {
        self.groups.values().any(|claim| *claim == ERASED)
    }

    fn erase_extras(&mut self, group: &'static str) {
        let rows = self.fields.get_mut(group).and_then(Value::as_array_mut).into_iter().flatten();
        let mut is_changed = false;
        for row in rows.filter_map(Value::as_object_mut) {
            is_changed |=
                row.insert("custom_fields".to_owned(), Value::Null).is_some_and(|held| !held.is_null());
        }
        if is_changed {
            self.groups.insert(group, ERASED);
        }
    }

    /// The record's own stamp: that of its latest claim, or of its delete where it claims nothing.
    pub fn stamp(&self) -> Option<Stamp> {
        self.claimed().max().or(self.tombstone)
    }

    /// Takes out the claims that `is_obsolete` tells: those of an earlier reading of events that have been read
    /// again since, and did not claim them any more. Whether there were any.
    pub fn forget(&mut self, kind: &Kind, is_obsolete: impl Fn(&Stamp) -> bool) -> bool {
        let obsolete: Vec<&'static str> =
            self.groups.iter().filter(|(_, claim)| is_obsolete(claim)).map(|(group, _)| *group).collect();
        for group in &obsolete {
            self.groups.remove(group);
            for name in kind.group_members(group) {
                self.fields.remove(name);
            }
        }
        let has_obsolete_delete = self.tombstone.is_some_and(|tombstone| is_obsolete(&tombstone));
        if has_obsolete_delete {
            self.tombstone = None;
        }
        has_obsolete_delete || !obsolete.is_empty()
    }

    /// What the source claims, without what was erased.
    fn claimed(&self) -> impl Iterator<Item = Stamp> {
        self.groups.values().copied().filter(|claim| *claim != ERASED)
    }

    fn join_tombstone(&mut self, stamp: Stamp) -> Joined {
        let was_deleted = self.is_deleted();
        if self.tombstone.is_some_and(|tombstone| tombstone.version >= stamp.version) {
            return Joined::Stale;
        }
        self.tombstone = Some(stamp);
        if was_deleted == self.is_deleted() { Joined::Raised } else { Joined::Changed }
    }

    fn join_group(
        &mut self,
        kind: &Kind,
        group: &'static Group,
        document: &Document,
        stamp: Stamp,
    ) -> Joined {
        // Every member is claimed, as null where the document is silent. A full snapshot's mapping has already made
        // absent fields null.
        let claimed = |name: &str| document.fields.get(name).unwrap_or(&Value::Null);
        let members = || group.members.iter().copied();
        let known = self.groups.get(group.name).copied();
        let is_same = known.is_some()
            && members().all(|name| {
                self.fields.get(name).is_some_and(|held| is_same_value(kind, name, held, claimed(name)))
            });
        match known {
            Some(known) if known.version > stamp.version => return Joined::Stale,
            // The same event, mapped otherwise: what it says now is what it says.
            Some(known) if known.version == stamp.version && known.event_id == stamp.event_id && !is_same => {
            }
            // The same moment: the content decides, so that every order of arrival agrees.
            Some(known) if known.version == stamp.version => {
                let named = |name: &str, value: &Value| (name.to_owned(), value.clone());
                let held = members().filter_map(|name| Some(named(name, self.fields.get(name)?))).collect();
                let claimed = members().map(|name| named(name, claimed(name))).collect();
                if is_same {
                    // Spellings of one number ("1.0", "1") are one content; the lesser text stands.
                    if text(&claimed) >= text(&held) {
                        return Joined::Stale;
                    }
                    self.fields.extend(claimed);
                    return Joined::Raised;
                }
                if hash(kind, &held) > hash(kind, &claimed) {
                    return Joined::Stale;
                }
            }
            _ => {}
        }
        self.groups.insert(group.name, stamp);
        for name in members() {
            match self.fields.get_mut(name) {
                Some(held) if held == claimed(name) => {}
                Some(held) => held.clone_from(claimed(name)),
                None => drop(self.fields.insert(name.to_owned(), claimed(name).clone())),
            }
        }
        if is_same { Joined::Raised } else { Joined::Changed }
    }
}

/// Whether two values of a document's field mean the same: decimals compare by value.
pub fn is_same_value(kind: &Kind, name: &str, a: &Value, b: &Value) -> bool {
    match (kind.children, a, b) {
        _ if a == b => true,
        (Some(children), Value::Array(a), Value::Array(b)) if children.field == name => {
            let is_same = |(a, b): (&Value, &Value)| match (a, b) {
                (Value::Object(a), Value::Object(b)) => is_same_row(children.fields, a, b),
                _ => a == b,
            };
            a.len() == b.len() && a.iter().zip(b).all(is_same)
        }
        _ => is_same_number(kind.fields, name, a, b),
    }
}

/// Whether two rows of children mean the same.
pub fn is_same_row(fields: &[Field], a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let is_same = |(name, a): (&String, &Value)| {
        b.get(name).is_some_and(|b| a == b || is_same_number(fields, name, a, b))
    };
    a.len() == b.len() && a.iter().all(is_same)
}

/// Whether two values of a field among these are one number, written otherwise.
pub(crate) fn is_same_number(fields: &[Field], name: &str, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => {
            is_decimal(fields, name) && shortest_decimal(a) == shortest_decimal(b)
        }
        _ => false,
    }
}

fn is_decimal(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|field| field.document_name() == name && field.field_type == FieldType::Decimal)
}

fn text(group: &Map<String, Value>) -> String {
    serde_json::to_string(group).unwrap_or_default()
}

fn hash(kind: &Kind, group: &Map<String, Value>) -> [u8; 32] {
    Sha256::digest(canonical(kind, group).to_string()).into()
}

/// The content with every decimal in its shortest form, keys sorted.
fn canonical(kind: &Kind, group: &Map<String, Value>) -> Value {
    let shorten = |fields: &[Field], map: &Map<String, Value>| -> Map<String, Value> {
        map.iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::String(digits) if is_decimal(fields, name) => {
                        Value::String(shortest_decimal(digits))
                    }
                    other => other.clone(),
                };
                (name.clone(), value)
            })
            .collect()
    };
    let mut content = shorten(kind.fields, group);
    if let Some(children) = kind.children
        && let Some(Value::Array(rows)) = content.get_mut(children.field)
    {
        for row in rows {
            if let Value::Object(fields) = row {
                *fields = shorten(children.fields, fields);
            }
        }
    }
    Value::Object(content)
}

/// The shortest text of a decimal's value: `1.50` → `1.5`, `-0` → `0`.
fn shortest_decimal(digits: &str) -> String {
    let (sign, magnitude) = match digits.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    match (whole, fraction) {
        ("", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        ("", fraction) => format!("{sign}0.{fraction}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests;
