//! What a person's decision does to the links.

use super::{Component, Crowds, Link, LinkKind, Member, resolve};
use crate::canonical::Kind;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Links to write and to take away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// New ones.
    pub add: Vec<Link>,
    /// Those that say the opposite.
    pub remove: Vec<Link>,
}

/// A person says that two records, and so their entities, are one. Afterwards see whether [`resolve`] gives them
/// one entity: where it would have more than twenty records, it does not.
pub fn merge(a: (Uuid, &Component), b: (Uuid, &Component), links: &[Link]) -> Decision {
    let is_between = |link: &&Link| is_across(link, &a.1.members, &b.1.members);
    Decision {
        add: vec![Link { a: a.0.min(b.0), b: a.0.max(b.0), kind: LinkKind::Must }],
        remove: links
            .iter()
            .filter(|link| link.kind == LinkKind::Cannot)
            .filter(is_between)
            .copied()
            .collect(),
    }
}

/// A person takes a record out of its entity. What the record is with by itself goes with it: the undoing of a
/// merge leaves both sides whole. Where nobody merged, the record stands alone.
pub fn unmerge(kind: &Kind, members: &[Member], links: &[Link], crowds: &Crowds, record: Uuid) -> Decision {
    let entity_of = |links: &[Link]| -> BTreeSet<Uuid> {
        let components = resolve(kind, members, links, crowds).components;
        let own = components.into_iter().find(|component| component.members.contains(&record));
        own.map(|component| component.members).unwrap_or_default().into_iter().collect()
    };
    let entity = entity_of(links);
    let is_own = |link: &Link| link.kind == LinkKind::Must && (link.a == record || link.b == record);
    let others: Vec<Link> = links.iter().filter(|link| !is_own(link)).copied().collect();
    let mut side: Vec<Uuid> = entity_of(&others).intersection(&entity).copied().collect();
    if side.len() == entity.len() {
        side = vec![record];
    }
    let rest: Vec<Uuid> = entity.into_iter().filter(|id| !side.contains(id)).collect();
    let pairs = side.iter().flat_map(|a| rest.iter().map(|b| (*a.min(b), *a.max(b))));
    let is_between = |link: &&Link| is_across(link, &side, &rest);
    Decision {
        add: pairs.map(|(a, b)| Link { a, b, kind: LinkKind::Cannot }).collect(),
        remove: links.iter().filter(|link| link.kind == LinkKind::Must).filter(is_between).copied().collect(),
    }
}

fn is_across(link: &Link, one: &[Uuid], other: &[Uuid]) -> bool {
    (one.contains(&link.a) && other.contains(&link.b)) || (one.contains(&link.b) && other.contains(&link.a))
}
