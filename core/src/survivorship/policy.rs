//! Which source goes first: a tenant's rules, and who owns a location's stock.

use crate::canonical::Kind;
use crate::error::{Code, Error};
use std::collections::HashMap;
use uuid::Uuid;

/// The rank of a source that no rule names: after those that rules rank below it.
pub const DEFAULT_RANK: i32 = 100;

/// A row of `survivorship_rule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Of entities of this kind.
    pub kind: String,
    /// For this field, or every field of the group it names; `None`: for all that no other rule is about.
    pub field: Option<String>,
    /// This source
    pub connector_id: Uuid,
    /// has this rank: the lowest goes first.
    pub rank: i32,
}

/// A source record of a location that several sources know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedLocation {
    /// The location's golden id.
    pub entity_id: Uuid,
    /// The record.
    pub birth_id: Uuid,
    /// Its source.
    pub connector_id: Uuid,
    /// When the source created it, in microseconds since 1970.
    pub source_created_at: Option<i64>,
}

/// A tenant's rules, ready to be asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Ranks by kind and group, `""` for all groups, and source.
    ranks: HashMap<(&'static str, &'static str, Uuid), i32>,
    /// The owner of the stock at a location, by each of the records that are that location.
    owners: HashMap<Uuid, Uuid>,
}

impl Policy {
    /// The rules of a tenant. Of several for one source and field the lowest rank counts; rules of kinds and
    /// fields that do not exist say nothing.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let mut ranks: HashMap<_, i32> = HashMap::new();
        for rule in rules {
            let Ok(kind) = Kind::named(&rule.kind) else { continue };
            let group = match &rule.field {
                None => Some(""),
                Some(name) => group_named(kind, name),
            };
            if let Some(group) = group {
                let rank = ranks.entry((kind.name, group, rule.connector_id)).or_insert(rule.rank);
                *rank = (*rank).min(rule.rank);
            }
        }
        Self { ranks, owners: HashMap::new() }
    }

    /// Refuses a rule about a kind, or a field or group of it, that there is not.
    pub fn check(kind: &str, field: Option<&str>) -> Result<(), Error> {
        let kind = Kind::named(kind)?;
        match field {
            Some(name) if group_named(kind, name).is_none() => {
                let groups: Vec<&str> = kind.groups().collect();
                Err(Error::new(Code::InvalidArgument, format!("{} has no field \"{name}\"", kind.name))
                    .hint(format!("a field, or one of the groups {}", groups.join(", "))))
            }
            _ => Ok(()),
        }
    }

    /// Tells the owner of each location's stock: of the sources that know the location the one that a rule for
    /// `inventory_level` puts first, else the one that created it first. All others mirror it.
    pub fn with_locations<'a>(mut self, locations: impl IntoIterator<Item = &'a SharedLocation>) -> Self {
        let mut places: HashMap<Uuid, Vec<&SharedLocation>> = HashMap::new();
        for location in locations {
            places.entry(location.entity_id).or_default().push(location);
        }
        for records in places.values() {
            let seniority = |record: &SharedLocation| {
                let rank = self.rank("inventory_level", "", record.connector_id);
                (rank, record.source_created_at.is_none(), record.source_created_at, record.birth_id)
            };
            if let Some(owner) = records.iter().min_by_key(|record| seniority(record)) {
                let owner = owner.connector_id;
                self.owners.extend(records.iter().map(|record| (record.birth_id, owner)));
            }
        }
        self
    }

    /// A source's rank for a group of fields.
    pub fn rank(&self, kind: &'static str, group: &'static str, connector_id: Uuid) -> i32 {
        self.own_rank(kind, group, connector_id)
            .or_else(|| self.own_rank(kind, "", connector_id))
            .unwrap_or(DEFAULT_RANK)
    }

    /// A source's rank by a rule about this very group.
    pub(super) fn own_rank(
        &self,
        kind: &'static str,
        group: &'static str,
        connector_id: Uuid,
    ) -> Option<i32> {
        if self.ranks.is_empty() {
            return None;
        }
        self.ranks.get(&(kind, group, connector_id)).copied()
    }

    /// Whether what a source says of the stock at a location counts, or only mirrors what the owner says. A
    /// location that one source alone knows is its own.
    pub fn is_stock_owner(&self, connector_id: Uuid, location_birth_id: Option<Uuid>) -> bool {
        let owner = location_birth_id.and_then(|location| self.stock_owner(location));
        owner.is_none_or(|owner| owner == connector_id)
    }

    /// The source that owns the stock at a location, if several know the location.
    pub fn stock_owner(&self, location_birth_id: Uuid) -> Option<Uuid> {
        self.owners.get(&location_birth_id).copied()
    }
}

/// The group of this name, or that of the field of this name.
fn group_named(kind: &'static Kind, name: &str) -> Option<&'static str> {
    let field = kind.fields.iter().find(|field| field.name == name || field.document_name() == name);
    field.map(|field| field.group).or_else(|| kind.groups().find(|group| *group == name))
}
