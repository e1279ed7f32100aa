//! What people decide about entities, and the operator's rebuild.

use super::create::identity::{self, Domain, Walk};
use super::create::{self, merge::Merge};
use super::{Batch, record};
use crate::configuration::Configuration;
use crate::error::{Result, report};
use crate::functions::{from_core, to_core};
use nexus_core::canonical::Kind;
use nexus_core::resolution::{LinkKind, Member, unmerge};
use nexus_core::survivorship::provenance;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid as PgUuid};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Resolves these records anew, whatever changed, with all that is related to them; how many golden entities are
/// others than before. With `repair`, golden rows that are not what the records make are mended as well.
#[pg_extern]
fn _resolve_anew(tenant_id: PgUuid, birth_ids: Vec<PgUuid>, repair: bool) -> Result<i32> {
    let ids: BTreeSet<Uuid> = birth_ids.into_iter().map(to_core).collect();
    Spi::connect_mut(|client| {
        let mut batch = Batch { is_wide: true, ..Batch::new(to_core(tenant_id), Vec::new()) };
        let list: Vec<Uuid> = ids.iter().copied().collect();
        let stored = record::read(client, batch.tenant_id, &list)?.into_iter();
        let mut merges: BTreeMap<Uuid, Merge> =
            stored.map(|stored| (stored.birth_id, Merge::of(stored))).collect();
        let configuration = Configuration::load(client, batch.tenant_id)?;
        create::add_related(client, &batch, &configuration, &mut merges, &ids)?;
        create::insert_or_lock(client, &batch, &configuration.flows, &mut merges)?;
        if repair {
            identity::forget_keys(client, batch.tenant_id, &list)?;
        }
        let all: Vec<Uuid> = merges.keys().copied().collect();
        let mut changed = create::join_and_write(client, &mut batch, &configuration, merges, &ids)?;
        if repair {
            changed += create::repair(client, &batch, &all)?;
        }
        Ok(i32::try_from(changed).unwrap_or(i32::MAX))
    })
}

/// Rewrites rows that refer to these records, as many as one transaction may; how many.
#[pg_extern]
fn _follow_records(tenant_id: PgUuid, birth_ids: Vec<PgUuid>) -> Result<i64> {
    let tenant_id = to_core(tenant_id);
    let ids: Vec<Uuid> = birth_ids.into_iter().map(to_core).collect();
    Spi::connect_mut(|client| {
        create::lock_references(tenant_id);
        let records = record::read(client, tenant_id, &ids)?;
        identity::follow::run(client, tenant_id, &records.iter().collect::<Vec<_>>())
    })
}

/// Tells stock at these locations anew whether it counts or mirrors another source's; how many levels changed.
#[pg_extern]
fn _redo_stock(tenant_id: PgUuid, locations: Vec<PgUuid>) -> Result<i64> {
    let batch = Batch::new(to_core(tenant_id), Vec::new());
    let locations: Vec<Uuid> = locations.into_iter().map(to_core).collect();
    Spi::connect_mut(|client| {
        let changed = identity::stock::redo(client, &batch, &locations, identity::follow::MOST)?;
        Ok(i64::try_from(changed).unwrap_or(i64::MAX))
    })
}

/// The links by which a record is taken out of its entity: what stays with it and what does not.
#[pg_extern]
fn _unmerge_links(
    tenant_id: PgUuid,
    birth_id: PgUuid,
) -> Result<
    TableIterator<'static, (name!(a, PgUuid), name!(b, PgUuid), name!(link, String), name!(is_added, bool))>,
> {
    let (tenant_id, birth_id) = (to_core(tenant_id), to_core(birth_id));
    let rows = Spi::connect_mut(|client| {
        let found = record::read(client, tenant_id, &[birth_id])?;
        let Some(stored) = found.first() else { return Ok(Vec::new()) };
        let Configuration { identifiers, .. } = Configuration::load(client, tenant_id)?;
        let environment_id = stored.scope.environment_id;
        let domain = Domain { kind: stored.kind, environment_id, tenant_id, identifiers: &identifiers };
        let mut walk = Walk::new(&domain);
        walk.begin(std::iter::once(birth_id));
        walk.run(client, &BTreeMap::new())?;
        let members: Vec<Member> = walk.members.values().cloned().collect();
        let decision = unmerge(stored.kind, &members, &walk.links, &walk.crowds, birth_id);
        let row = |is_added: bool| {
            move |link: nexus_core::resolution::Link| {
                let kind = if link.kind == LinkKind::Must { "must" } else { "cannot" };
                (from_core(link.a), from_core(link.b), kind.to_owned(), is_added)
            }
        };
        Ok(decision
            .remove
            .into_iter()
            .map(row(false))
            .chain(decision.add.into_iter().map(row(true)))
            .collect())
    })?;
    Ok(TableIterator::new(rows))
}

/// What every source says of every field of an entity, the surviving claim first.
#[pg_extern]
#[allow(clippy::type_complexity)] // the row type of the function, which pgrx reads from the signature
fn _provenance(
    tenant_id: PgUuid,
    kind: &str,
    entity_id: PgUuid,
) -> Result<
    TableIterator<
        'static,
        (
            name!(field, String),
            name!(value, JsonB),
            name!(birth_id, PgUuid),
            name!(connector_id, PgUuid),
            name!(external_id, String),
            name!(source_time, i64),
            name!(event_id, PgUuid),
            name!(manifest_version, i32),
            name!(is_winner, bool),
        ),
    >,
> {
    let kind = Kind::named(kind).map_err(report)?;
    let rows: Vec<_> = Spi::connect_mut(|client| {
        let records = record::of_entities(client, to_core(tenant_id), &[to_core(entity_id)])?;
        let records: Vec<_> = records.into_iter().filter(|stored| stored.kind.name == kind.name).collect();
        let claims: Vec<_> = records.iter().map(|stored| stored.claims(&stored.record)).collect();
        let policy = create::entity::policy_of(client, to_core(tenant_id), &records)?;
        let rows = provenance(kind, &claims, &policy).into_iter();
        Ok::<_, pgrx::pg_sys::panic::ErrorReport>(
            rows.map(|row| {
                (
                    row.field.to_owned(),
                    JsonB(row.value),
                    from_core(row.birth_id),
                    from_core(row.connector_id),
                    row.external_id,
                    row.source_time,
                    from_core(row.event_id),
                    row.manifest_version,
                    row.is_winner,
                )
            })
            .collect(),
        )
    })?;
    Ok(TableIterator::new(rows))
}
