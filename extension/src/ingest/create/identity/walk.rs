//! From records to all that keys, references and people's links relate to them.

use super::keys::{self, Held};
use super::{CROWDED, Domain};
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::ingest::create::merge::Merge;
use crate::ingest::record::{self, Stored};
use crate::plan;
use nexus_core::register::Record;
use nexus_core::resolution::{
    Crowds, Key, KeyType, Link, LinkKind, MOST_HOLDERS, MOST_MEMBERS, MOST_RELATED, Member,
};
use pgrx::Uuid as PgUuid;
use pgrx::spi::SpiClient;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const LINKS: &str = "
    select l.a, l.b, l.link from nexus.entity_link l
    where l.tenant_id = $1 and (l.a = any ($2) or l.b = any ($2))";

/// A walk among the records of a domain.
pub struct Walk<'a> {
    domain: &'a Domain<'a>,
    /// What has been met.
    pub members: BTreeMap<Uuid, Member>,
    /// What people said of them.
    pub links: Vec<Link>,
    /// On how many records their keys are.
    pub crowds: Crowds,
    frontier: BTreeSet<Uuid>,
    entities: BTreeSet<Uuid>,
    asked: BTreeSet<Key>,
    is_explicit_only: bool,
}

impl<'a> Walk<'a> {
    pub fn new(domain: &'a Domain<'a>) -> Self {
        Self {
            domain,
            members: BTreeMap::new(),
            links: Vec::new(),
            crowds: Crowds::default(),
            frontier: BTreeSet::new(),
            entities: BTreeSet::new(),
            asked: BTreeSet::new(),
            is_explicit_only: false,
        }
    }

    /// Where to begin.
    pub fn begin(&mut self, records: impl Iterator<Item = Uuid>) {
        self.frontier.extend(records);
    }

    /// Walks until nothing new is met. Records of the batch are taken as they are to be.
    pub fn run(&mut self, client: &mut SpiClient<'_>, merges: &BTreeMap<Uuid, Merge>) -> Result<()> {
        while !self.frontier.is_empty() {
            let frontier = std::mem::take(&mut self.frontier);
            let met = self.read(client, &frontier, merges)?;
            self.follow_links(client, &met)?;
            self.follow_keys(client, &met)?;
            self.frontier.retain(|id| !self.members.contains_key(id));
            if self.members.len() + self.frontier.len() > MOST_RELATED && !self.is_explicit_only {
                self.crowds.note_too_related();
                self.is_explicit_only = true;
            }
        }
        Ok(())
    }

    /// Reads the records, and those that are one entity with them today: they may part.
    fn read(
        &mut self,
        client: &mut SpiClient<'_>,
        ids: &BTreeSet<Uuid>,
        merges: &BTreeMap<Uuid, Merge>,
    ) -> Result<Vec<Uuid>> {
        let mut met = Vec::new();
        let mut entities = BTreeSet::new();
        let mut add = |walk: &mut Self, stored: &Stored, record: &Record| {
            let domain = walk.domain;
            if stored.kind.name != domain.kind.name || stored.scope.environment_id != domain.environment_id {
                return;
            }
            let member = domain.identifiers.member(stored, record);
            walk.members.insert(stored.birth_id, member);
            met.push(stored.birth_id);
            if stored.has_siblings && walk.entities.insert(stored.entity_id) {
                entities.insert(stored.entity_id);
            }
        };
        let mut missing = Vec::new();
        for id in ids.iter().filter(|id| !self.members.contains_key(*id)).copied().collect::<Vec<_>>() {
            match merges.get(&id) {
                Some(merge) => add(self, &merge.stored, &merge.stored.record),
                None => missing.push(id),
            }
        }
        for stored in record::read(client, self.domain.tenant_id, &missing)? {
            add(self, &stored, &stored.record);
        }
        if !entities.is_empty() {
            let entities: Vec<Uuid> = entities.into_iter().collect();
            let siblings = record::of_entities(client, self.domain.tenant_id, &entities)?;
            self.frontier.extend(siblings.iter().map(|stored| stored.birth_id));
        }
        Ok(met)
    }

    fn follow_links(&mut self, client: &mut SpiClient<'_>, met: &[Uuid]) -> Result<()> {
        let ids: Vec<PgUuid> = met.iter().copied().map(from_core).collect();
        for row in plan::run(client, LINKS, &[from_core(self.domain.tenant_id).into(), ids.into()])? {
            let (Some(a), Some(b), Some(kind)) = (
                row.get::<PgUuid>(1).map_err(internal)?,
                row.get::<PgUuid>(2).map_err(internal)?,
                row.get::<&str>(3).map_err(internal)?,
            ) else {
                continue;
            };
            let kind = if kind == "must" { LinkKind::Must } else { LinkKind::Cannot };
            let link = Link { a: to_core(a), b: to_core(b), kind };
            if kind == LinkKind::Must {
                self.frontier.extend([link.a, link.b]);
            }
            if !self.links.contains(&link) {
                self.links.push(link);
            }
        }
        Ok(())
    }

    fn follow_keys(&mut self, client: &mut SpiClient<'_>, met: &[Uuid]) -> Result<()> {
        let mut keys = BTreeSet::new();
        for member in met.iter().filter_map(|id| self.members.get(id)) {
            self.frontier.extend(member.references());
            let linking = member.partner_keys().chain(member.linking_keys().cloned());
            keys.extend(linking.filter(|key| {
                let is_open = !self.is_explicit_only || key.key_type == KeyType::Reference;
                key.key_type.is_linking() && is_open && !self.asked.contains(key)
            }));
        }
        self.asked.extend(keys.iter().cloned());
        let held = keys::holders(client, self.domain.tenant_id, &[(self.domain, keys)])?;
        for (key, Held { live, deleted }) in held.into_iter().flatten() {
            // One more than may be linked: whether the key has just become crowded, or just not any more.
            if live.len() <= CROWDED {
                self.frontier.extend(live.iter());
                if deleted.len() <= MOST_HOLDERS {
                    self.frontier.extend(deleted.iter());
                }
            }
            self.crowds
                .note(key, nexus_core::resolution::Holders { live: live.len(), deleted: deleted.len() });
        }
        Ok(())
    }
}

/// For each of these records, those of other entities that share a suggesting key with it, and how many hold each
/// of its keys.
pub fn suggestible(
    client: &mut SpiClient<'_>,
    domain: &Domain<'_>,
    members: &[&Member],
    held: &BTreeMap<Key, Held>,
    merges: &BTreeMap<Uuid, Merge>,
) -> Result<BTreeMap<Uuid, (Vec<Member>, Crowds)>> {
    let is_suggesting = |key: &Key, held: &Held| {
        held.live.len() <= MOST_MEMBERS && (!key.key_type.is_linking() || held.live.len() > MOST_HOLDERS)
    };
    let mut named: BTreeMap<Uuid, (BTreeSet<Uuid>, Crowds)> = BTreeMap::new();
    for member in members {
        let (others, crowds) = named.entry(member.birth_id).or_default();
        for key in keys::suggesting(member) {
            if let Some(held) = held.get(&key) {
                if is_suggesting(&key, held) {
                    others.extend(held.live.iter().filter(|id| **id != member.birth_id));
                }
                crowds.note(key, held.count());
            }
        }
    }
    let all: BTreeSet<Uuid> = named.values().flat_map(|(others, _)| others).copied().collect();
    let all: Vec<Uuid> = all.into_iter().collect();
    let mut known = BTreeMap::new();
    if !all.is_empty() {
        for stored in record::read(client, domain.tenant_id, &all)? {
            let stored = merges.get(&stored.birth_id).map_or(stored, |merge| merge.stored.clone());
            let member = domain.identifiers.member(&stored, &stored.record);
            known.insert(stored.birth_id, (stored.entity_id, member));
        }
    }
    let entity_of = |id: &Uuid| merges.get(id).map(|merge| merge.stored.entity_id);
    let in_others = |(birth_id, (others, crowds)): (Uuid, (BTreeSet<Uuid>, Crowds))| {
        let own = entity_of(&birth_id);
        let others = others.iter().filter_map(|id| known.get(id));
        let others =
            others.filter(|(entity_id, _)| Some(*entity_id) != own).map(|(_, member)| member.clone());
        (birth_id, (others.collect(), crowds))
    };
    Ok(named.into_iter().map(in_others).collect())
}
