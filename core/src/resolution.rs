//! Which source records are the same thing.
//!
//! Records share keys, and people say that two are (`must`) or are not (`cannot`) the same. These are the edges of
//! a graph. [`resolve`] takes the records of a part of it that no edge leaves, sorts the edges by what they are
//! and unites greedily as far as the guards allow. What comes out depends on the records, keys and links there
//! are, and on no order of arrival.
//!
//! The guards keep wrong merges out, for those cost more than missing ones; what they refuse becomes a
//! [`Candidate`] for a person:
//!
//! - records that a `cannot` parts never share an entity;
//! - two live records of one source never do by themselves: the source tells them apart. A person's `must` may
//!   join them;
//! - an identifier on more than five live records identifies nothing;
//! - one that a second record of the same source holds, and which could mean that one as well, does not tell which;
//! - VAT numbers, registration numbers, GTINs and pack quantities must not contradict each other, nor may an
//!   e-mail address join two people of one household;
//! - an order's reference counts where currency, amount (± 0.02) and date (± 3 days) agree;
//! - an entity has at most twenty records, and where more than five hundred are related, only people and
//!   explicit references count.
//!
//! A record that its source deleted stays with what it was part of, so that its id still resolves, but it brings
//! nothing together: without it, the living are grouped as if it had never been.
//!
//! Customers, variants and orders have keys that link. Products have none: they follow people's links and explicit
//! references, and are suggested by brand and title. Locations follow the explicit map alone: links and references.
//! Stock is one record per source, and fulfillments, refunds and payments are told by their order's own source:
//! each is an entity of its own.
//!
//! # What a caller does
//!
//! 1. Build [`Member`]s before and after a change and ask [`affected`]. Mostly that is all.
//! 2. Begin with the record and the holders of its linking keys before and after the change, for they may part or
//!    meet: of each key on at most one more than [`MOST_HOLDERS`] live records, deleted ones likewise. From
//!    these, walk: to the records that hold one of a record's [`Member::partner_keys`] that links, those it
//!    [`references`](Member::references), and those that a `must` joins it to. A key on more than [`MOST_HOLDERS`]
//!    live records leads nowhere, nor to deleted ones if more than that many have it: note its [`Crowds`].
//!    Beyond [`MOST_RELATED`] records, note that and walk by links and references alone.
//! 3. Give what was found to [`resolve`]; write what differs.
//! 4. For the changed record's remaining keys, give their holders in other entities to [`suggest`].

mod candidate;
mod cluster;
mod content;
mod decision;
mod key;
mod member;
#[cfg(test)]
mod tests;

pub use candidate::{Candidate, suggest};
pub use decision::{Decision, merge, unmerge};
pub use key::{Key, KeyType, ReferenceField, Settings, keys};
pub use member::{Affected, Member, affected};

use crate::canonical::Kind;
use candidate::{Refusal, candidate};
use cluster::{Clusters, Sets};
use member::{Names, difference, is_same_sale, names};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// An identifier on more live records than this links none of them (the default of Segment's identity graph).
pub const MOST_HOLDERS: usize = 5;

/// An entity has no more records than this.
pub const MOST_MEMBERS: usize = 20;

/// Where more records than this are related, only people's links and explicit references count.
pub const MOST_RELATED: usize = 500;

/// What a person said of two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// One of them.
    pub a: Uuid,
    /// The other.
    pub b: Uuid,
    /// That they are the same, or not.
    pub kind: LinkKind,
}

/// That two records are the same, or are not. Where both were said, they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// They are.
    Must,
    /// They are not.
    Cannot,
}

/// On how many records keys are, where that is more than the members given to [`resolve`] show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crowds {
    holders: HashMap<Key, Holders>,
    is_too_related: bool,
}

/// On how many records a key is; a count that stops early says so by exceeding [`MOST_MEMBERS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holders {
    /// Records that their source still has.
    pub live: usize,
    /// Records that it has deleted.
    pub deleted: usize,
}

impl Crowds {
    /// Notes what the table of keys says. The greater count stands.
    pub fn note(&mut self, key: Key, holders: Holders) {
        let known = self.holders.entry(key).or_default();
        *known = Holders { live: known.live.max(holders.live), deleted: known.deleted.max(holders.deleted) };
    }

    /// Notes that the walk met more than [`MOST_RELATED`] records, whatever the members show.
    pub fn note_too_related(&mut self) {
        self.is_too_related = true;
    }

    fn of(&self, key: &Key) -> Holders {
        self.holders.get(key).copied().unwrap_or_default()
    }
}

/// What the records are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolution {
    /// The entities, by id. Every record is in exactly one.
    pub components: Vec<Component>,
    /// Pairs that share a key but no entity.
    pub candidates: Vec<Candidate>,
}

/// Records that are one entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// The birth id of the member that its source created first; of those of one moment the least.
    pub entity_id: Uuid,
    /// The records, sorted.
    pub members: Vec<Uuid>,
    /// What holds them together: one edge less than there are members.
    pub edges: Vec<Edge>,
}

/// Why two records are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The record with the lesser birth id.
    pub a: Uuid,
    /// The other one.
    pub b: Uuid,
    /// What they share; `None`: a person said so.
    pub key: Option<Key>,
}

/// An edge between two members, by their places.
struct Bond<'a> {
    a: usize,
    b: usize,
    /// `None`: a person's.
    key: Option<&'a Key>,
    agreement: Names,
    is_live: bool,
    on: usize,
    /// What is against it, seen from the pair.
    refusal: Option<Refusal>,
}

impl<'a> Bond<'a> {
    /// People first, then the living, then by strength; the rest only makes it a total order.
    fn order(&self) -> (bool, bool, Option<KeyType>, Reverse<Names>, Option<&'a str>, usize, usize) {
        let key_type = self.key.map(|key| key.key_type);
        let value = self.key.map(|key| &*key.value);
        (self.key.is_some(), !self.is_live, key_type, Reverse(self.agreement), value, self.a, self.b)
    }

    /// Whether it counts however many records are related.
    fn is_explicit(&self) -> bool {
        self.key.is_none_or(|key| key.key_type == KeyType::Reference)
    }
}

/// The entities that records make: `members` are all records that edges join to each other, in any order, each
/// once or more; `links` are people's between them, others are ignored. `crowds` tells of keys whose holders are not
/// all among the members.
pub fn resolve(kind: &Kind, members: &[Member], links: &[Link], crowds: &Crowds) -> Resolution {
    let mut members = members.to_vec();
    members.sort_by_key(|member| member.birth_id);
    members.dedup_by_key(|member| member.birth_id);
    let members = &members[..];
    let mut must = HashSet::new();
    let mut cannot = HashSet::new();
    for link in links {
        if let (Some(a), Some(b)) = (place(members, link.a), place(members, link.b))
            && a != b
        {
            let set = if link.kind == LinkKind::Must { &mut must } else { &mut cannot };
            set.insert((a.min(b), a.max(b)));
        }
    }
    let musts = must.difference(&cannot).map(|(a, b)| Bond {
        a: *a,
        b: *b,
        key: None,
        agreement: Names::Agree,
        is_live: true,
        on: 0,
        refusal: None,
    });
    let mut bonds: Vec<Bond<'_>> = musts.collect();
    bonds.extend(shared_keys(kind, members, crowds));
    bonds.sort_unstable_by_key(Bond::order);
    refuse_where_too_many_are_related(members.len(), crowds, &mut bonds);

    let mut clusters = Clusters::new(members, &cannot);
    let mut edges: Vec<(usize, Edge)> = Vec::new();
    for bond in &mut bonds {
        if bond.refusal.is_some() || clusters.is_one(bond.a, bond.b) {
            continue;
        }
        bond.refusal = clusters.refusal(bond.a, bond.b, bond.key.map(|key| key.key_type));
        // Two living clusters are never brought together by a record that is gone.
        let is_bridge = !bond.is_live && clusters.is_live(bond.a) && clusters.is_live(bond.b);
        if is_bridge && bond.refusal.is_none() {
            bond.refusal = Some(Refusal::OnlyByDeleted);
        }
        if bond.refusal.is_none() {
            clusters.unite(bond.a, bond.b);
            let (a, b) = (members[bond.a].birth_id, members[bond.b].birth_id);
            edges.push((bond.a, Edge { a, b, key: bond.key.cloned() }));
        }
    }
    let candidates = open_questions(kind, members, &bonds, &mut clusters);
    Resolution { components: components(members, clusters, edges), candidates }
}

/// The place of a record among members in the order of their ids.
fn place(members: &[Member], birth_id: Uuid) -> Option<usize> {
    members.binary_search_by_key(&birth_id, |member| member.birth_id).ok()
}

/// The edges that shared keys make, the crowded ones aside.
fn shared_keys<'a>(kind: &Kind, members: &'a [Member], crowds: &Crowds) -> Vec<Bond<'a>> {
    let mut holders: BTreeMap<&Key, Vec<usize>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        for key in member.linking_keys() {
            holders.entry(key).or_default().push(place);
        }
    }
    let is_live = |place: &usize| members[*place].is_live;
    // Those whom the key joins: none where it is on too many.
    let linked = |key: &Key| -> Vec<usize> {
        let all = holders.get(key).map(Vec::as_slice).unwrap_or_default();
        let noted = crowds.of(key);
        let live = all.iter().filter(|place| is_live(place)).count();
        let deleted = noted.deleted.max(all.len() - live);
        let is_linked = |place: &&usize| is_live(place) || deleted <= MOST_HOLDERS;
        if noted.live.max(live) > MOST_HOLDERS {
            Vec::new()
        } else {
            all.iter().filter(is_linked).copied().collect()
        }
    };
    let mut bonds = Vec::new();
    for key in holders.keys().copied() {
        let mut bond = |a: usize, b: usize, on: &[usize]| {
            let (one, other) = (&members[a], &members[b]);
            bonds.push(Bond {
                a: a.min(b),
                b: a.max(b),
                key: Some(key),
                agreement: names(one, other),
                is_live: one.is_live && other.is_live,
                on: on.len(),
                refusal: refusal(kind, members, key.key_type, (a, b), on),
            });
        };
        match key.key_type {
            // The other end of a reference holds no key for it.
            KeyType::Reference => {
                if let Some(target) = key.value.parse().ok().and_then(|id| place(members, id)) {
                    let referring = linked(key).into_iter().filter(|referring| *referring != target);
                    referring.for_each(|referring| bond(referring, target, &[referring, target]));
                }
            }
            KeyType::OrderNumber => {}
            KeyType::OrderReference => {
                let named = linked(&Key { key_type: KeyType::OrderNumber, value: key.value.clone() });
                let referring = linked(key);
                let on: Vec<usize> = named.iter().chain(&referring).copied().collect();
                for (one, other) in
                    referring.iter().flat_map(|one| named.iter().map(move |other| (*one, *other)))
                {
                    if one != other {
                        bond(one, other, &on);
                    }
                }
            }
            _ => {
                let on = linked(key);
                for (index, one) in on.iter().enumerate() {
                    on[index + 1..].iter().for_each(|other| bond(*one, *other, &on));
                }
            }
        }
    }
    bonds
}

/// What is against uniting a pair that shares a key with the records `on` it.
fn refusal(
    kind: &Kind,
    members: &[Member],
    key_type: KeyType,
    pair: (usize, usize),
    on: &[usize],
) -> Option<Refusal> {
    let (a, b) = (&members[pair.0], &members[pair.1]);
    let is_order = matches!(key_type, KeyType::OrderNumber | KeyType::OrderReference);
    if a.is_live && b.is_live && a.connector_id == b.connector_id {
        return Some(Refusal::SameSource);
    }
    if is_order && !is_same_sale(a, b) {
        return Some(Refusal::OtherSale);
    }
    // Whether another record of `of`'s source holds the key and could be `partner` as well. Two records of one
    // person are no contest: either is right. A mailbox that two people are seen to share, in whatever sources,
    // does not tell which of them a record without a name is.
    let is_contested = |of: &Member, partner: &Member| {
        on.iter().map(|place| &members[*place]).any(|rival| {
            let could_be = match kind.name {
                "customer" => names(rival, of) == Names::Differ && names(rival, partner) != Names::Differ,
                "sales_order" => is_same_sale(rival, partner),
                _ => difference(rival, partner).is_none(),
            };
            let is_of_the_source = rival.connector_id == of.connector_id || key_type == KeyType::Email;
            let is_third = rival.birth_id != of.birth_id && rival.birth_id != partner.birth_id;
            rival.is_live && is_of_the_source && is_third && could_be
        })
    };
    let is_explicit = key_type == KeyType::Reference;
    (!is_explicit && (is_contested(a, b) || is_contested(b, a))).then_some(Refusal::Contested)
}

/// Refuses all but explicit edges among more than [`MOST_RELATED`] records that edges of any sort relate.
fn refuse_where_too_many_are_related(members: usize, crowds: &Crowds, bonds: &mut [Bond<'_>]) {
    if members <= MOST_RELATED && !crowds.is_too_related {
        return;
    }
    let mut related = Sets::new(members);
    bonds.iter().for_each(|bond| related.unite(bond.a, bond.b));
    for bond in bonds.iter_mut().filter(|bond| !bond.is_explicit()) {
        if crowds.is_too_related || related.of(bond.a).len() > MOST_RELATED {
            bond.refusal = Some(Refusal::TooRelated);
        }
    }
}

/// The pairs that keys join and guards part.
fn open_questions(
    kind: &Kind,
    members: &[Member],
    bonds: &[Bond<'_>],
    clusters: &mut Clusters<'_>,
) -> Vec<Candidate> {
    /// The keys a pair shares, each with its number of records, and what parts the pair.
    #[derive(Default)]
    struct Question {
        shared: Vec<(KeyType, usize)>,
        refusal: Option<Refusal>,
    }
    let mut open: BTreeMap<(usize, usize), Question> = BTreeMap::new();
    for bond in bonds {
        let is_question =
            bond.refusal != Some(Refusal::TooRelated) && members[bond.a].is_live && members[bond.b].is_live;
        if is_question && !clusters.is_one(bond.a, bond.b) && !clusters.is_forbidden(bond.a, bond.b) {
            let question = open.entry((bond.a, bond.b)).or_default();
            question.shared.extend(bond.key.map(|key| (key.key_type, bond.on)));
            // The first bond is the strongest one.
            question.refusal = question.refusal.or(bond.refusal);
        }
    }
    let mut candidates: Vec<Candidate> = open
        .into_iter()
        .filter_map(|(pair, Question { shared, refusal })| {
            candidate(kind, &members[pair.0], &members[pair.1], &shared, refusal)
        })
        .collect();
    candidates.sort_unstable();
    candidates
}

fn components(members: &[Member], clusters: Clusters<'_>, edges: Vec<(usize, Edge)>) -> Vec<Component> {
    let mut component_of = vec![0; members.len()];
    let mut components: Vec<Component> = Vec::new();
    for records in clusters.into_records() {
        let first = records.iter().map(|record| &members[*record]).min_by_key(|member| member.seniority());
        let mut ids: Vec<Uuid> = records.iter().map(|record| members[*record].birth_id).collect();
        ids.sort_unstable();
        records.iter().for_each(|record| component_of[*record] = components.len());
        components.extend(first.map(|first| Component {
            entity_id: first.birth_id,
            members: ids,
            edges: Vec::new(),
        }));
    }
    for (record, edge) in edges {
        components[component_of[record]].edges.push(edge);
    }
    components.sort_unstable_by_key(|component| component.entity_id);
    components
}
