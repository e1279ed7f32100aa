//! The table of identity keys.

use super::{CROWDED, Domain, Touched};
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::plan;
use nexus_core::resolution::{Holders, Key, KeyType, MOST_MEMBERS, Member};
use pgrx::spi::SpiClient;
use pgrx::{JsonB, Uuid as PgUuid};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

macro_rules! row_type {
    () => {
        "environment_id uuid, kind text, key_type text, key_value text, birth_id uuid, is_live boolean"
    };
}

const DROP: &str = concat!(
    "delete from nexus.identity_key k using jsonb_to_recordset($2) as r(", row_type!(), ")
    where k.tenant_id = $1 and k.environment_id = r.environment_id and k.kind = r.kind and k.key_type = r.key_type
      and k.key_value = r.key_value and k.is_live = r.is_live and k.birth_id = r.birth_id"
);

const PUT: &str =
    concat!(
    "insert into nexus.identity_key (tenant_id, environment_id, kind, key_type, key_value, birth_id, is_live)
    select $1, r.environment_id, r.kind, r.key_type, r.key_value, r.birth_id, r.is_live
    from jsonb_to_recordset($2) as r(", row_type!(), ")
    on conflict (tenant_id, environment_id, kind, key_type, key_value, is_live, birth_id) do nothing"
);

/// One more of each than an entity may have: a count that stops there has said enough.
const HOLDERS: &str = "
    select r.place, h.birth_id, h.is_live
    from jsonb_to_recordset($2) as r(place integer, environment_id uuid, kind text, key_type text, key_value text)
    cross join lateral (
        (select k.birth_id, k.is_live from nexus.identity_key k
         where k.tenant_id = $1 and k.environment_id = r.environment_id and k.kind = r.kind
           and k.key_type = r.key_type and k.key_value = r.key_value and k.is_live limit $3)
        union all
        (select k.birth_id, k.is_live from nexus.identity_key k
         where k.tenant_id = $1 and k.environment_id = r.environment_id and k.kind = r.kind
           and k.key_type = r.key_type and k.key_value = r.key_value and not k.is_live limit $3)) h";

/// Who holds a key.
#[derive(Default)]
pub struct Held {
    pub live: Vec<Uuid>,
    pub deleted: Vec<Uuid>,
}

impl Held {
    pub fn count(&self) -> Holders {
        Holders { live: self.live.len(), deleted: self.deleted.len() }
    }
}

/// Writes the keys that records have gained and takes out those they have lost.
pub(super) fn write(client: &mut SpiClient<'_>, tenant_id: Uuid, touched: &[Touched]) -> Result<()> {
    let (mut gone, mut standing) = (Vec::new(), Vec::new());
    for touched in touched {
        let row = |member: &Member, key: &Key| {
            json!({
                "environment_id": touched.environment_id, "kind": touched.kind.name,
                "key_type": key.key_type.as_str(), "key_value": key.value, "birth_id": member.birth_id,
                "is_live": member.is_live,
            })
        };
        let after = &touched.after;
        if let Some(before) = &touched.before {
            let is_lost = |key: &&Key| before.is_live != after.is_live || !after.keys.contains(key);
            let lost = before.keys.iter().filter(is_lost);
            gone.extend(lost.map(|key| row(before, key)));
        }
        standing.extend(after.keys.iter().map(|key| row(after, key)));
    }
    for (text, rows) in [(DROP, gone), (PUT, standing)] {
        if !rows.is_empty() {
            plan::run(client, text, &[from_core(tenant_id).into(), JsonB(Value::Array(rows)).into()])?;
        }
    }
    Ok(())
}

/// Who holds each of these keys.
pub fn holders(
    client: &mut SpiClient<'_>,
    domain: &Domain<'_>,
    keys: &BTreeSet<Key>,
) -> Result<BTreeMap<Key, Held>> {
    let mut held: BTreeMap<Key, Held> = BTreeMap::new();
    if keys.is_empty() {
        return Ok(held);
    }
    let keys: Vec<&Key> = keys.iter().collect();
    let rows = keys.iter().enumerate().map(|(place, key)| {
        json!({
            "place": place, "environment_id": domain.environment_id, "kind": domain.kind.name,
            "key_type": key.key_type.as_str(), "key_value": key.value,
        })
    });
    let rows = JsonB(rows.collect());
    let most = i64::try_from(MOST_MEMBERS + 1).unwrap_or(i64::MAX);
    for row in plan::run(client, HOLDERS, &[from_core(domain.tenant_id).into(), rows.into(), most.into()])? {
        let (Some(place), Some(birth_id), Some(is_live)) = (
            row.get::<i32>(1).map_err(internal)?,
            row.get::<PgUuid>(2).map_err(internal)?,
            row.get::<bool>(3).map_err(internal)?,
        ) else {
            continue;
        };
        let Some(key) = usize::try_from(place).ok().and_then(|place| keys.get(place).copied()) else {
            continue;
        };
        let of = held.entry(key.clone()).or_default();
        if is_live { &mut of.live } else { &mut of.deleted }.push(to_core(birth_id));
    }
    Ok(held)
}

/// The keys that say who these could be one with, before or after the change, and whom they look like now.
pub(super) fn asked(touched: &[&Touched]) -> BTreeSet<Key> {
    let linking = touched.iter().flat_map(|touched| touched.states()).flat_map(linking);
    let suggesting = touched.iter().flat_map(|touched| suggesting(&touched.after));
    linking.chain(suggesting).collect()
}

/// What to look up those by that a record may be one with.
fn linking(member: &Member) -> impl Iterator<Item = Key> + '_ {
    member.partner_keys().filter(|key| key.key_type.is_linking())
}

/// What to look up those by that it may look like.
pub(super) fn suggesting(member: &Member) -> impl Iterator<Item = Key> + '_ {
    member.partner_keys().filter(|key| key.key_type != KeyType::Reference)
}

/// The records that these could be one with, by keys that are not crowded anyway, before or after the change.
pub(super) fn partners(touched: &[&Touched], held: &BTreeMap<Key, Held>) -> BTreeSet<Uuid> {
    let mut partners = BTreeSet::new();
    for member in touched.iter().flat_map(|touched| touched.states()) {
        partners.extend(member.references());
        for held in linking(member).filter_map(|key| held.get(&key)) {
            for holders in [&held.live, &held.deleted] {
                let others = || holders.iter().filter(|id| **id != member.birth_id);
                if others().count() <= CROWDED {
                    partners.extend(others());
                }
            }
        }
    }
    partners
}

/// The records that share a key with this one which links, whether or not it is crowded.
pub(super) fn sharing(member: &Member, held: &BTreeMap<Key, Held>) -> BTreeSet<Uuid> {
    let held = linking(member).filter_map(|key| held.get(&key));
    held.flat_map(|held| &held.live).chain(&member.references().collect::<Vec<_>>()).copied().collect()
}
