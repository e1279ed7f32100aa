//! The table of identity keys.

use super::{CROWDED, Domain, Touched};
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::plan::{self, column};
use nexus_core::resolution::{Holders, Key, KeyType, MOST_MEMBERS, Member};
use pgrx::spi::SpiClient;
use pgrx::{JsonB, Uuid as PgUuid};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Few keys are ever lost; and on Citus a delete that joins arrays finds nothing.
const DROP: &str = "
    delete from nexus.identity_key k using jsonb_to_recordset($2) as r(
        environment_id uuid, kind text, key_type text, key_value text, birth_id uuid, is_live boolean)
    where k.tenant_id = $1 and k.environment_id = r.environment_id and k.kind = r.kind and k.key_type = r.key_type
      and k.key_value = r.key_value and k.is_live = r.is_live and k.birth_id = r.birth_id";

const PUT: &str = "
    insert into nexus.identity_key (tenant_id, environment_id, kind, key_type, key_value, birth_id, is_live)
    select $1, r.*
    from (select unnest($2) as environment_id, unnest($3) as kind, unnest($4) as key_type, unnest($5) as key_value,
                 unnest($6) as birth_id, unnest($7) as is_live) r
    on conflict (tenant_id, environment_id, kind, key_type, key_value, is_live, birth_id) do nothing";

/// One more of each than an entity may have: a count that stops there has said enough.
const HOLDERS: &str = "
    select r.place, h.birth_id, h.is_live
    from (select unnest($2) as place, unnest($3) as environment_id, unnest($4) as kind, unnest($5) as key_type,
                 unnest($6) as key_value) r
    cross join lateral (
        (select k.birth_id, k.is_live from nexus.identity_key k
         where k.tenant_id = $1 and k.environment_id = r.environment_id and k.kind = r.kind
           and k.key_type = r.key_type and k.key_value = r.key_value and k.is_live limit $7)
        union all
        (select k.birth_id, k.is_live from nexus.identity_key k
         where k.tenant_id = $1 and k.environment_id = r.environment_id and k.kind = r.kind
           and k.key_type = r.key_type and k.key_value = r.key_value and not k.is_live limit $7)) h";

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
    let mut gone = Vec::new();
    for Touched { kind, environment_id, before, after, .. } in touched {
        let Some(before) = before else { continue };
        let is_lost = |key: &&Key| before.is_live != after.is_live || !after.keys.contains(key);
        gone.extend(before.keys.iter().filter(is_lost).map(|key| {
            json!({
                "environment_id": environment_id, "kind": kind.name, "key_type": key.key_type.as_str(),
                "key_value": key.value, "birth_id": before.birth_id, "is_live": before.is_live,
            })
        }));
    }
    if !gone.is_empty() {
        plan::run(client, DROP, &[from_core(tenant_id).into(), JsonB(Value::Array(gone)).into()])?;
    }
    let standing: Vec<(&Touched, &Key)> =
        touched.iter().flat_map(|of| of.after.keys.iter().map(move |key| (of, key))).collect();
    if !standing.is_empty() {
        let arguments = [
            from_core(tenant_id).into(),
            column(&standing, |(of, _)| from_core(of.environment_id)),
            column(&standing, |(of, _)| of.kind.name),
            column(&standing, |(_, key)| key.key_type.as_str()),
            column(&standing, |(_, key)| &*key.value),
            column(&standing, |(of, _)| from_core(of.after.birth_id)),
            column(&standing, |(of, _)| of.after.is_live),
        ];
        plan::run(client, PUT, &arguments)?;
    }
    Ok(())
}

/// Who holds each of these keys, domain by domain.
pub fn holders(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    asked: &[(&Domain<'_>, BTreeSet<Key>)],
) -> Result<Vec<BTreeMap<Key, Held>>> {
    let mut held: Vec<BTreeMap<Key, Held>> = asked.iter().map(|_| BTreeMap::new()).collect();
    let of_domains = asked.iter().enumerate();
    let keys: Vec<(usize, &Domain<'_>, &Key)> = of_domains
        .flat_map(|(place, (domain, keys))| keys.iter().map(move |key| (place, *domain, key)))
        .collect();
    if keys.is_empty() {
        return Ok(held);
    }
    let arguments = [
        from_core(tenant_id).into(),
        column(0..keys.len(), |place| i32::try_from(place).ok()),
        column(&keys, |(_, domain, _)| from_core(domain.environment_id)),
        column(&keys, |(_, domain, _)| domain.kind.name),
        column(&keys, |(.., key)| key.key_type.as_str()),
        column(&keys, |(.., key)| &*key.value),
        i64::try_from(MOST_MEMBERS + 1).unwrap_or(i64::MAX).into(),
    ];
    for row in plan::run(client, HOLDERS, &arguments)? {
        let (Some(place), Some(birth_id), Some(is_live)) = (
            row.get::<i32>(1).map_err(internal)?,
            row.get::<PgUuid>(2).map_err(internal)?,
            row.get::<bool>(3).map_err(internal)?,
        ) else {
            continue;
        };
        let Some((of_domain, _, key)) = usize::try_from(place).ok().and_then(|place| keys.get(place)) else {
            continue;
        };
        let of = held[*of_domain].entry((*key).clone()).or_default();
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
