//! Source records between core and their table.

use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::instant::{microseconds, timestamptz};
use crate::jsonb::Jsonb;
use crate::plan::{self, column};
use nexus_core::canonical::Kind;
use nexus_core::identity::Scope;
use nexus_core::register::{Record, Stamp, Version};
use nexus_core::survivorship::Claims;
use pgrx::datum::DatumWithOid;
use pgrx::spi::{SpiClient, SpiHeapTupleData};
use pgrx::{FromDatum, IntoDatum, Uuid as PgUuid};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use uuid::Uuid;

/// A source record, as it stands or is to stand.
#[derive(Clone)]
pub struct Stored {
    pub kind: &'static Kind,
    pub scope: Scope,
    pub birth_id: Uuid,
    pub external_id: String,
    /// The golden entity it contributes to.
    pub entity_id: Uuid,
    /// Whether others do as well.
    pub has_siblings: bool,
    pub record: Record,
}

/// Rows as [`columns`] hands them over, and in their order.
macro_rules! rows {
    () => {
        "(select unnest($2) as birth_id, unnest($3) as environment_id, unnest($4) as connector_id, unnest($5) as kind,
                 unnest($6) as external_id, unnest($7) as entity_id, unnest($8) as has_siblings,
                 unnest($9) as document, unnest($10) as source_time, unnest($11) as observed_at,
                 unnest($12) as generation, unnest($13) as event_id, unnest($14) as manifest_version,
                 unnest($15) as group_stamps, unnest($16) as tombstone, unnest($17) as is_deleted) r"
    };
}

macro_rules! insert {
    () => {
        concat!(
            "insert into nexus.source_record as s (tenant_id, birth_id, environment_id, connector_id, kind, external_id,
                entity_id, has_siblings, document, source_time, observed_at, generation, event_id, manifest_version, group_stamps,
                tombstone, is_deleted, created_at, updated_at)
            select $1, r.*, now(), now() from ",
            rows!(),
            " on conflict (tenant_id, birth_id) do update set "
        )
    };
}

/// Inserts what is new and locks what is known, in one pass in the order of birth ids: batches that share
/// records wait for each other and never in a circle. Returns the ids of what was new.
const INSERT_OR_LOCK: &str = concat!(
    "with inserted as (",
    insert!(),
    "birth_id = s.birth_id where false returning s.birth_id) select i.birth_id from inserted i"
);

/// All of them are there. A conflict is found by the key, where a join could be planned by any index.
const UPDATE: &str = concat!(
    insert!(),
    "external_id = excluded.external_id, entity_id = excluded.entity_id, has_siblings = excluded.has_siblings,
     document = excluded.document, source_time = excluded.source_time, observed_at = excluded.observed_at,
     generation = excluded.generation, event_id = excluded.event_id, manifest_version = excluded.manifest_version,
     group_stamps = excluded.group_stamps, tombstone = excluded.tombstone, is_deleted = excluded.is_deleted,
     updated_at = excluded.updated_at"
);

/// The same for records that say what they said: their document stays where it is, and an empty one is handed over.
const RAISE: &str = concat!(
    insert!(),
    "source_time = excluded.source_time, observed_at = excluded.observed_at, generation = excluded.generation,
     event_id = excluded.event_id, manifest_version = excluded.manifest_version, group_stamps = excluded.group_stamps,
     tombstone = excluded.tombstone, is_deleted = excluded.is_deleted, updated_at = excluded.updated_at"
);

/// One by one, in the order of `$2`: estimated for a tenant that was not there when the table was analyzed, reading all
/// of its records looks as cheap.
macro_rules! stored {
    ($column:literal, $locking:literal) => {
        concat!(
            "select s.birth_id, s.environment_id, s.connector_id, s.kind, s.external_id, s.entity_id, s.document, ",
            microseconds!("s.source_time"), ", ", microseconds!("s.observed_at"),
            ", s.generation, s.event_id, s.manifest_version, s.group_stamps, s.tombstone, s.has_siblings
            from unnest($2) r (id) cross join lateral (
                select * from nexus.source_record s where s.tenant_id = $1 and s.", $column, " = r.id offset 0 ", $locking, ") s
            order by s.birth_id"
        )
    };
}

const READ: &str = stored!("birth_id", "");
const LOCK: &str = stored!("birth_id", "for update");
const OF_ENTITIES: &str = stored!("entity_id", "");

/// Writes the records that are new and locks the others; the ids of the new ones.
pub fn insert_or_lock(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    records: &[&Stored],
) -> Result<HashSet<Uuid>> {
    let mut inserted = HashSet::new();
    for row in plan::run(client, INSERT_OR_LOCK, &columns(tenant_id, records, said))? {
        inserted.extend(row.get::<PgUuid>(1).map_err(internal)?.map(to_core));
    }
    Ok(inserted)
}

/// The records as the table holds them, unlocked, or locked by [`insert_or_lock`] before.
pub fn read(client: &mut SpiClient<'_>, tenant_id: Uuid, ids: &[Uuid]) -> Result<Vec<Stored>> {
    select(client, READ, tenant_id, ids)
}

/// Every record of these entities, unlocked.
pub fn of_entities(client: &mut SpiClient<'_>, tenant_id: Uuid, entities: &[Uuid]) -> Result<Vec<Stored>> {
    select(client, OF_ENTITIES, tenant_id, entities)
}

/// Locks the records, in the order of their ids.
pub fn lock(client: &mut SpiClient<'_>, tenant_id: Uuid, ids: &[Uuid]) -> Result<Vec<Stored>> {
    select(client, LOCK, tenant_id, ids)
}

fn select(
    client: &mut SpiClient<'_>,
    text: &'static str,
    tenant_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Stored>> {
    // Sorted, so that whoever locks them does so in one order.
    let ids: BTreeSet<Uuid> = ids.iter().copied().collect();
    let mut records = Vec::with_capacity(ids.len());
    let arguments = [from_core(tenant_id).into(), column(ids, from_core)];
    for row in plan::run(client, text, &arguments)? {
        records.push(Stored::from_row(tenant_id, &row)?);
    }
    Ok(records)
}

/// Writes records that say something else, or belong elsewhere.
pub fn update(client: &mut SpiClient<'_>, tenant_id: Uuid, records: &[&Stored]) -> Result<()> {
    if !records.is_empty() {
        plan::run(client, UPDATE, &columns(tenant_id, records, said))?;
    }
    Ok(())
}

/// Writes the versions of records that say what they said.
pub fn raise(client: &mut SpiClient<'_>, tenant_id: Uuid, records: &[&Stored]) -> Result<()> {
    if !records.is_empty() {
        let nothing = Map::new();
        plan::run(client, RAISE, &columns(tenant_id, records, |_| &nothing))?;
    }
    Ok(())
}

fn said(stored: &Stored) -> &Map<String, Value> {
    &stored.record.fields
}

/// The records' rows, as `rows!` reads them.
fn columns<'a>(
    tenant_id: Uuid,
    records: &[&'a Stored],
    document: impl Fn(&'a Stored) -> &'a Map<String, Value>,
) -> [DatumWithOid<'static>; 17] {
    let stamps: Vec<Stamp> = records.iter().map(|stored| stored.stamp()).collect();
    [
        from_core(tenant_id).into(),
        column(records, |stored| from_core(stored.birth_id)),
        column(records, |stored| from_core(stored.scope.environment_id)),
        column(records, |stored| from_core(stored.scope.connector_id)),
        column(records, |stored| stored.kind.name),
        column(records, |stored| &*stored.external_id),
        column(records, |stored| from_core(stored.entity_id)),
        column(records, |stored| stored.has_siblings),
        column(records, |stored| Jsonb::of(document(stored))),
        column(&stamps, |stamp| timestamptz(stamp.version.source_time)),
        column(&stamps, |stamp| timestamptz(stamp.version.observed)),
        column(&stamps, |stamp| stamp.version.generation),
        column(&stamps, |stamp| from_core(stamp.event_id)),
        column(&stamps, |stamp| stamp.manifest_version),
        column(records.iter().zip(&stamps), |(stored, stamp)| stored.exceptions(stamp)),
        column(records, |stored| stored.record.tombstone.map(|stamp| Jsonb::of(&stored_stamp(&stamp)))),
        column(records, |stored| stored.record.is_deleted() || stored.record.stamp().is_none()),
    ]
}

/// A stamp as it is stored: generation, source_time, observed_at, event, version of the manifest.
type StoredStamp = (i32, i64, i64, Uuid, i32);

fn stored_stamp(stamp: &Stamp) -> StoredStamp {
    let Version { generation, source_time, observed } = stamp.version;
    (generation, source_time, observed, stamp.event_id, stamp.manifest_version)
}

fn stamp_of((generation, source_time, observed, event_id, manifest_version): StoredStamp) -> Stamp {
    Stamp { version: Version { generation, source_time, observed }, event_id, manifest_version }
}

fn record_of(
    kind: &Kind,
    fields: Map<String, Value>,
    base: Stamp,
    exceptions: &BTreeMap<String, StoredStamp>,
    tombstone: Option<StoredStamp>,
) -> Record {
    let mut groups = BTreeMap::new();
    // A claimed group has all its members in the document, so any of them tells.
    for group in kind.field_groups() {
        if group.members.iter().any(|name| fields.contains_key(*name)) {
            groups.insert(group.name, exceptions.get(group.name).map_or(base, |stamp| stamp_of(*stamp)));
        }
    }
    Record { fields, groups, tombstone: tombstone.map(stamp_of) }
}

/// A column that the table says is not null.
fn required<T: FromDatum + IntoDatum>(row: &SpiHeapTupleData<'_>, place: usize) -> Result<T> {
    row.get(place)
        .map_err(internal)?
        .ok_or_else(|| internal(format!("column {place} of a source record is null")))
}

impl Stored {
    fn from_row(tenant_id: Uuid, row: &SpiHeapTupleData<'_>) -> Result<Self> {
        let json = |place: usize| row.get::<Jsonb>(place).map_err(internal);
        let kind = Kind::named(&required::<String>(row, 4)?).map_err(internal)?;
        let document = required::<Jsonb>(row, 7)?.read()?;
        let base = Stamp {
            version: Version {
                source_time: required(row, 8)?,
                observed: required(row, 9)?,
                generation: required(row, 10)?,
            },
            event_id: to_core(required(row, 11)?),
            manifest_version: required(row, 12)?,
        };
        let exceptions = json(13)?.map_or_else(|| Ok(BTreeMap::new()), |stamps| stamps.read())?;
        let tombstone = json(14)?.map(|stamp| stamp.read()).transpose()?;
        Ok(Self {
            kind,
            scope: Scope {
                tenant_id,
                environment_id: to_core(required(row, 2)?),
                connector_id: to_core(required(row, 3)?),
            },
            birth_id: to_core(required(row, 1)?),
            external_id: required(row, 5)?,
            entity_id: to_core(required(row, 6)?),
            has_siblings: required(row, 15)?,
            record: record_of(kind, document, base, &exceptions, tombstone),
        })
    }

    /// What the source says, for projection, as in a state of the record.
    pub fn claims<'a>(&'a self, record: &'a Record) -> Claims<'a> {
        Claims { record, scope: self.scope, external_id: &self.external_id, birth_id: self.birth_id }
    }

    /// The record's stamp is its latest claim's, so that the common record, all of it from one snapshot, needs none
    /// per group. One that claims nothing any more keeps no stamp either.
    fn stamp(&self) -> Stamp {
        self.record.stamp().unwrap_or(Stamp {
            version: Version::new(0, None, 0),
            event_id: Uuid::nil(),
            manifest_version: 0,
        })
    }

    /// The stamps of the groups that have another.
    fn exceptions(&self, stamp: &Stamp) -> Option<Result<Jsonb>> {
        let others = self.record.groups.iter().filter(|(_, of_group)| *of_group != stamp);
        let others: BTreeMap<&str, StoredStamp> =
            others.map(|(group, stamp)| (*group, stored_stamp(stamp))).collect();
        (!others.is_empty()).then(|| Jsonb::of(&others))
    }
}
