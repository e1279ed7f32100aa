//! Events read again: with the mapping as it is now, or with one that is only tried.
//!
//! A reading of all of a connector's events is a generation of claims that stands above the one before. Once
//! every event has been read, what the former reading claimed and this one does not is taken out of the
//! records, so that they are what they would be had the mapping been this one from the beginning.

use super::create::{self, merge::Merge};
use super::{Batch, Request, Source, normalize, record};
use crate::configuration::Configuration;
use crate::error::{Result, internal, report};
use crate::functions::{from_core, to_core};
use crate::instant::microseconds;
use crate::jsonb::Jsonb;
use crate::{golden, plan};
use nexus_core::connector::Connector;
use nexus_core::register::Stamp;
use nexus_core::trace::TraceContext;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use pgrx::spi::SpiClient;
use pgrx::{JsonB, Uuid as PgUuid};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use uuid::Uuid;

/// A record that may hold claims of a former reading.
#[derive(Deserialize)]
struct Swept {
    birth_id: Uuid,
    /// The reading that has ended.
    generation: i32,
    /// The oldest event that it read.
    oldest_event_id: Uuid,
}

const EVENTS: &str = concat!(
    "select e.event_id, e.connector_id, e.headers, e.body, ",
    microseconds!("e.received_at"),
    ", e.trace_id, e.parent_span_id, e.status from nexus.event e
    where e.tenant_id = $1 and e.event_id = any ($2) and e.erased_at is null order by e.event_id"
);

const READABLE: &str = "
    select e.event_id from nexus.event e
    where e.tenant_id = $1 and e.event_id = any ($2) and e.erased_at is null";

/// Reads events again with their connectors' mappings as they are now, and takes out of the records named what
/// a reading that has ended claimed no more.
#[pg_extern]
fn _reprocess_batch(
    tenant_id: PgUuid,
    event_ids: Vec<PgUuid>,
    swept: JsonB,
) -> Result<TableIterator<'static, (name!(events, i32), name!(quarantined, i32), name!(entities, i32))>> {
    let swept = Vec::<Swept>::deserialize(swept.0).map_err(internal)?;
    let row = Spi::connect_mut(|client| {
        let mut batch = Batch { is_wide: true, ..Batch::again(client, to_core(tenant_id), event_ids)? };
        normalize::run(client, &mut batch, None)?;
        let mut merges = create::merge::collect(&batch)?;
        add_swept(client, &batch, &swept, &mut merges)?;
        let nothing = BTreeSet::new();
        let configuration = Configuration::load(client, batch.tenant_id)?;
        create::add_related(client, &batch, &configuration, &mut merges, &nothing)?;
        create::insert_or_lock(client, &batch, &configuration.flows, &mut merges)?;
        forget(client, &batch, &swept, &mut merges)?;
        let entities = create::join_and_write(client, &mut batch, &configuration, merges, &nothing)?;
        super::log::update(client, &batch)?;
        let quarantined = batch.events().filter(|(request, _)| request.status().0 == "quarantined").count();
        Ok((count(batch.requests.len()), count(quarantined), count(entities)))
    })?;
    Ok(TableIterator::once(row))
}

/// What reading these events again with another manifest would change, and nothing written.
#[pg_extern(stable)]
#[allow(clippy::type_complexity)] // the row type of the function, which pgrx reads from the signature
fn _preview_batch(
    tenant_id: PgUuid,
    manifest: JsonB,
    event_ids: Vec<PgUuid>,
    swept: JsonB,
) -> Result<
    TableIterator<
        'static,
        (
            name!(kind, String),
            name!(entity_id, PgUuid),
            name!(field, String),
            name!(old, Option<JsonB>),
            name!(new, Option<JsonB>),
        ),
    >,
> {
    let connector = Rc::new(Connector::from_json(&manifest.0).map_err(report)?);
    let swept = Vec::<Swept>::deserialize(swept.0).map_err(internal)?;
    let differences = Spi::connect_mut(|client| {
        let mut batch = Batch::again(client, to_core(tenant_id), event_ids)?;
        let sources = normalize::sources(client, &batch)?
            .into_iter()
            .map(|(connector_id, source)| {
                let tried = Source {
                    version: source.version + 1,
                    generation: source.generation + 1,
                    connector: Rc::clone(&connector),
                    connector_type: source.connector_type.clone(),
                    settings: source.settings.clone(),
                    scope: source.scope,
                };
                (connector_id, Rc::new(tried))
            })
            .collect();
        normalize::each(&mut batch, &sources, None);
        let mut merges = create::merge::collect(&batch)?;
        add_swept(client, &batch, &swept, &mut merges)?;
        let ids: Vec<Uuid> = merges.keys().copied().collect();
        for stored in record::read(client, batch.tenant_id, &ids)? {
            if let Some(merge) = merges.get_mut(&stored.birth_id) {
                merge.found(stored);
            }
        }
        forget(client, &batch, &swept, &mut merges)?;
        merges.values_mut().for_each(|merge| merge.join(&batch, |_, _, _, _| {}));
        let entities = create::entity::tried(client, &batch, &merges)?;
        let mut differences: Vec<_> = entities.iter().flat_map(differences).collect();
        differences.extend(batch.requests.iter().filter_map(status_difference));
        Ok(differences)
    })?;
    Ok(TableIterator::new(differences))
}

type Difference = (String, PgUuid, String, Option<JsonB>, Option<JsonB>);

/// A row for each field in which an entity would differ.
fn differences(entity: &create::Entity) -> Vec<Difference> {
    let shown = |field: &str, state: Option<&_>| {
        let value = golden::field(entity.kind, state?, field);
        (!value.is_null()).then_some(JsonB(value))
    };
    let difference = |field: &String| {
        let (old, new) = (shown(field, entity.before.as_ref()), shown(field, entity.after.as_ref()));
        (entity.kind.name.to_owned(), from_core(entity.entity_id), field.clone(), old, new)
    };
    entity.changed.iter().map(difference).collect()
}

/// What would become of an event that is not what it was.
fn status_difference(request: &Request) -> Option<Difference> {
    let former = request.former_status.as_deref()?;
    let (status, _, reason) = request.status();
    let new = match reason {
        Some(reason) => json!({ "status": status, "reason": reason }),
        None => json!({ "status": status }),
    };
    let old = JsonB(json!({ "status": former }));
    (status != former).then(|| {
        ("event".to_owned(), from_core(request.event_id), "status".to_owned(), Some(old), Some(JsonB(new)))
    })
}

/// The records that may hold claims of a former reading stand beside those of the batch.
fn add_swept(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    swept: &[Swept],
    merges: &mut BTreeMap<Uuid, Merge>,
) -> Result<()> {
    let missing: Vec<Uuid> =
        swept.iter().map(|record| record.birth_id).filter(|id| !merges.contains_key(id)).collect();
    for stored in record::read(client, batch.tenant_id, &missing)? {
        merges.insert(stored.birth_id, Merge::of(stored));
    }
    Ok(())
}

/// Takes out the claims of a former reading whose event has been read again: what it still says is there anew.
/// Those whose event is gone, or was erased, stay: nobody can read it again.
fn forget(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    swept: &[Swept],
    merges: &mut BTreeMap<Uuid, Merge>,
) -> Result<()> {
    let swept: HashMap<Uuid, &Swept> = swept.iter().map(|record| (record.birth_id, record)).collect();
    let is_former = |of: &Swept, stamp: &Stamp| {
        stamp.version.generation < of.generation && stamp.event_id >= of.oldest_event_id
    };
    let mut former: HashSet<Uuid> = HashSet::new();
    for (birth_id, merge) in merges.iter() {
        let Some(of) = swept.get(birth_id) else { continue };
        let record = &merge.stored.record;
        let stamps = record.groups.values().chain(&record.tombstone);
        former.extend(stamps.filter(|stamp| is_former(of, stamp)).map(|stamp| stamp.event_id));
    }
    if former.is_empty() {
        return Ok(());
    }
    let ids: Vec<PgUuid> = former.into_iter().map(from_core).collect();
    let mut readable: HashSet<Uuid> = HashSet::new();
    for row in plan::run(client, READABLE, &[from_core(batch.tenant_id).into(), ids.into()])? {
        readable.extend(row.get::<PgUuid>(1).map_err(internal)?.map(to_core));
    }
    for (birth_id, merge) in merges.iter_mut() {
        let Some(of) = swept.get(birth_id) else { continue };
        let is_obsolete = |stamp: &Stamp| is_former(of, stamp) && readable.contains(&stamp.event_id);
        merge.stored.record.forget(merge.stored.kind, is_obsolete);
    }
    Ok(())
}

impl Batch {
    /// Events that are kept, to be read again.
    fn again(client: &mut SpiClient<'_>, tenant_id: Uuid, event_ids: Vec<PgUuid>) -> Result<Self> {
        let mut requests = Vec::new();
        for row in plan::run(client, EVENTS, &[from_core(tenant_id).into(), event_ids.into()])? {
            let (
                Some(event_id),
                Some(connector_id),
                Some(headers),
                Some(body),
                Some(received_at),
                Some(trace_id),
            ) = (
                row.get::<PgUuid>(1).map_err(internal)?,
                row.get::<PgUuid>(2).map_err(internal)?,
                row.get::<Jsonb>(3).map_err(internal)?,
                row.get::<Vec<u8>>(4).map_err(internal)?,
                row.get::<i64>(5).map_err(internal)?,
                row.get::<String>(6).map_err(internal)?,
            )
            else {
                continue;
            };
            let trace = TraceContext { trace_id, parent_span_id: row.get(7).map_err(internal)? };
            requests.push(Request {
                event_id: to_core(event_id),
                former_status: row.get(8).map_err(internal)?,
                ..Request::new(requests.len(), to_core(connector_id), Some(headers), body, received_at, trace)
            });
        }
        Ok(Self::new(tenant_id, requests))
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
