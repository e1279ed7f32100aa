//! Clusters that grow edge by edge, as far as the guards allow.

use super::MOST_MEMBERS;
use super::candidate::Refusal;
use super::key::KeyType;
use super::member::{Member, difference, is_household};
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// Disjoint sets of records.
pub(super) struct Sets {
    parent: Vec<usize>,
    /// The records of each root, and none of any other.
    records: Vec<Vec<usize>>,
}

impl Sets {
    /// Each record alone.
    pub fn new(records: usize) -> Self {
        Self { parent: (0..records).collect(), records: (0..records).map(|record| vec![record]).collect() }
    }

    /// The set a record is in: one of its records, the same for all of them.
    pub fn root(&mut self, record: usize) -> usize {
        let mut root = record;
        while self.parent[root] != root {
            self.parent[root] = self.parent[self.parent[root]];
            root = self.parent[root];
        }
        root
    }

    /// The records of the set that a record is in.
    pub fn of(&mut self, record: usize) -> &[usize] {
        let root = self.root(record);
        &self.records[root]
    }

    pub fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (larger, smaller) = if self.records[a].len() < self.records[b].len() { (b, a) } else { (a, b) };
        if larger != smaller {
            self.parent[smaller] = larger;
            let records = std::mem::take(&mut self.records[smaller]);
            self.records[larger].extend(records);
        }
    }
}

/// Sets of records that may be one thing.
pub(super) struct Clusters<'a> {
    members: &'a [Member],
    cannot: &'a HashSet<(usize, usize)>,
    sets: Sets,
}

impl<'a> Clusters<'a> {
    /// Each record alone.
    pub fn new(members: &'a [Member], cannot: &'a HashSet<(usize, usize)>) -> Self {
        Self { members, cannot, sets: Sets::new(members.len()) }
    }

    /// Whether two records are in one cluster.
    pub fn is_one(&mut self, a: usize, b: usize) -> bool {
        self.sets.root(a) == self.sets.root(b)
    }

    /// Unites the clusters of two records, whatever the guards say.
    pub fn unite(&mut self, a: usize, b: usize) {
        self.sets.unite(a, b);
    }

    /// The clusters, each by its records.
    pub fn into_records(self) -> impl Iterator<Item = Vec<usize>> {
        self.sets.records.into_iter().filter(|records| !records.is_empty())
    }

    /// Whether a person said of the clusters of two records that they are not the same.
    pub fn is_forbidden(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.sets.root(a), self.sets.root(b));
        let is_parted = |(a, b): (usize, usize)| self.cannot.contains(&(a.min(b), a.max(b)));
        !self.cannot.is_empty() && pairs(&self.sets.records[a], &self.sets.records[b]).any(is_parted)
    }

    /// What keeps the clusters of two records apart, when a key of this type is shared, or when a person said
    /// that they are one (`None`): then only what a person said otherwise, and the bound on clusters.
    pub fn refusal(&mut self, a: usize, b: usize, key_type: Option<KeyType>) -> Option<Refusal> {
        if self.is_forbidden(a, b) {
            return Some(Refusal::Forbidden);
        }
        let (a, b) = (self.sets.root(a), self.sets.root(b));
        let (a, b) = (&self.sets.records[a], &self.sets.records[b]);
        if a.len() + b.len() > MOST_MEMBERS {
            return Some(Refusal::TooLarge);
        }
        let key_type = key_type?;
        let sources = |records: &[usize]| -> BTreeSet<Uuid> {
            let live = records.iter().map(|record| &self.members[*record]).filter(|member| member.is_live);
            live.map(|member| member.connector_id).collect()
        };
        let (sources_of_a, sources_of_b) = (sources(a), sources(b));
        if !sources_of_a.is_disjoint(&sources_of_b) {
            return Some(Refusal::SameSource);
        }
        let mut pairs = pairs(a, b).map(|(a, b)| (&self.members[a], &self.members[b]));
        // The source's own word goes before whatever identifiers say.
        pairs.find_map(|(a, b)| match key_type {
            KeyType::Reference => None,
            KeyType::Email if is_household(a, b) => Some(Refusal::Household),
            _ => difference(a, b).map(Refusal::Different),
        })
    }

    /// Whether a cluster has a record that its source still has.
    pub fn is_live(&mut self, record: usize) -> bool {
        let members = self.members;
        self.sets.of(record).iter().any(|record| members[*record].is_live)
    }
}

fn pairs<'a>(a: &'a [usize], b: &'a [usize]) -> impl Iterator<Item = (usize, usize)> + 'a {
    a.iter().flat_map(move |one| b.iter().map(move |other| (*one, *other)))
}
