//! Source records between core and their table.

use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::instant::{microseconds, timestamptz};
use crate::plan;
use nexus_core::canonical::Kind;
use nexus_core::identity::Scope;
use nexus_core::register::{Record, Version};
use nexus_core::survivorship::{Claims, Golden, project};
use pgrx::spi::{SpiClient, SpiHeapTupleData};
use pgrx::{FromDatum, IntoDatum, JsonB, Uuid as PgUuid};
use serde_json::{Map, Value, json};
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
    pub record: Record,
    /// The event and manifest version that last raised it.
    pub event_id: Uuid,
    pub manifest_version: i32,
}

macro_rules! row_type {
    () => {
        "birth_id uuid, environment_id uuid, connector_id uuid, kind text, external_id text, entity_id uuid,
         document jsonb, source_time bigint, observed bigint, group_versions jsonb, deleted_source bigint,
         deleted_observed bigint, is_deleted boolean, event_id uuid, manifest_version integer"
    };
}

/// Inserts what is new and locks what is known, in one pass in the order of birth ids: batches that share
/// records wait for each other and never in a circle. Returns the ids of what was new.
const INSERT_OR_LOCK: &str = concat!(
    "with inserted as (
        insert into nexus.source_record as s (tenant_id, birth_id, environment_id, connector_id, kind, external_id,
            entity_id, document, source_time, observed_at, group_versions, deleted_source_time, deleted_observed_at,
            is_deleted, event_id, manifest_version, created_at, updated_at)
        select $1, r.birth_id, r.environment_id, r.connector_id, r.kind, r.external_id, r.entity_id, r.document, ",
    timestamptz!("r.source_time"), ", ", timestamptz!("r.observed"), ", r.group_versions, ",
    timestamptz!("r.deleted_source"), ", ", timestamptz!("r.deleted_observed"),
    ", r.is_deleted, r.event_id, r.manifest_version, now(), now()
        from jsonb_to_recordset($2) as r(", row_type!(), ")
        order by r.birth_id
        on conflict (tenant_id, birth_id) do update set birth_id = s.birth_id where false
        returning s.birth_id)
    select i.birth_id from inserted i"
);

macro_rules! stored {
    ($locking:literal) => {
        concat!(
            "select s.birth_id, s.environment_id, s.connector_id, s.kind, s.external_id, s.entity_id, s.document, ",
            microseconds!("s.source_time"), ", ", microseconds!("s.observed_at"), ", s.group_versions, ",
            microseconds!("s.deleted_source_time"), ", ", microseconds!("s.deleted_observed_at"),
            ", s.event_id, s.manifest_version
            from nexus.source_record s where s.tenant_id = $1 and s.birth_id = any ($2) order by s.birth_id ", $locking
        )
    };
}

const LOCKED: &str = stored!("");
const LOCK: &str = stored!("for update");

const UPDATE: &str = concat!(
    "update nexus.source_record s set external_id = r.external_id, document = r.document, source_time = ", timestamptz!("r.source_time"),
    ", observed_at = ", timestamptz!("r.observed"), ", group_versions = r.group_versions, deleted_source_time = ",
    timestamptz!("r.deleted_source"), ", deleted_observed_at = ", timestamptz!("r.deleted_observed"),
    ", is_deleted = r.is_deleted, event_id = r.event_id, manifest_version = r.manifest_version, updated_at = now()
    from jsonb_to_recordset($2) as r(", row_type!(), ")
    where s.tenant_id = $1 and s.birth_id = r.birth_id"
);

/// Writes the records that are new and locks the others; the ids of the new ones.
pub fn insert_or_lock(client: &mut SpiClient<'_>, tenant_id: Uuid, records: &[&Stored]) -> Result<Vec<Uuid>> {
    let rows = Value::Array(records.iter().map(|stored| stored.to_row()).collect());
    let mut inserted = Vec::new();
    for row in plan::run(client, INSERT_OR_LOCK, &[from_core(tenant_id).into(), JsonB(rows).into()])? {
        inserted.extend(row.get::<PgUuid>(1).map_err(internal)?.map(to_core));
    }
    Ok(inserted)
}

/// The records as the table holds them, after [`insert_or_lock`] has locked them.
pub fn locked(client: &mut SpiClient<'_>, tenant_id: Uuid, ids: &[Uuid]) -> Result<Vec<Stored>> {
    select(client, LOCKED, tenant_id, ids)
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
    let ids: Vec<PgUuid> = ids.iter().copied().map(from_core).collect();
    let mut records = Vec::with_capacity(ids.len());
    for row in plan::run(client, text, &[from_core(tenant_id).into(), ids.into()])? {
        records.push(Stored::from_row(tenant_id, &row)?);
    }
    Ok(records)
}

/// Writes records whose version rose.
pub fn update(client: &mut SpiClient<'_>, tenant_id: Uuid, records: &[&Stored]) -> Result<()> {
    if !records.is_empty() {
        let rows = Value::Array(records.iter().map(|stored| stored.to_row()).collect());
        plan::run(client, UPDATE, &[from_core(tenant_id).into(), JsonB(rows).into()])?;
    }
    Ok(())
}

fn version(source_time: Option<i64>, observed: Option<i64>) -> Option<Version> {
    Some(Version { source_time: source_time?, observed: observed? })
}

fn read(
    kind: &Kind,
    fields: Map<String, Value>,
    base: Version,
    exceptions: Option<&Value>,
    tombstone: Option<Version>,
) -> Record {
    let exception = |group: &str| {
        let pair = exceptions?.get(group)?;
        version(pair.get(0).and_then(Value::as_i64), pair.get(1).and_then(Value::as_i64))
    };
    // A claimed group has all its members in the document, so any of them tells.
    let groups = kind
        .groups()
        .filter(|group| kind.group_members(group).any(|name| fields.contains_key(name)))
        .map(|group| (group.to_owned(), exception(group).unwrap_or(base)))
        .collect();
    Record { fields, groups, tombstone }
}

/// A column that the table says is not null.
fn required<T: FromDatum + IntoDatum>(row: &SpiHeapTupleData<'_>, place: usize) -> Result<T> {
    row.get(place)
        .map_err(internal)?
        .ok_or_else(|| internal(format!("column {place} of a source record is null")))
}

impl Stored {
    fn from_row(tenant_id: Uuid, row: &SpiHeapTupleData<'_>) -> Result<Self> {
        let number = |place: usize| row.get::<i64>(place).map_err(internal);
        let kind = Kind::named(&required::<String>(row, 4)?).map_err(internal)?;
        let document = match required::<JsonB>(row, 7)?.0 {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let base = Version { source_time: required(row, 8)?, observed: required(row, 9)? };
        let exceptions = row.get::<JsonB>(10).map_err(internal)?.map(|versions| versions.0);
        let tombstone = version(number(11)?, number(12)?);
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
            record: read(kind, document, base, exceptions.as_ref(), tombstone),
            event_id: to_core(required(row, 13)?),
            manifest_version: required(row, 14)?,
        })
    }

    /// The entity these claims make, were this its only record.
    pub fn project(&self) -> Option<Golden> {
        let claims = Claims {
            record: &self.record,
            scope: self.scope,
            external_id: &self.external_id,
            birth_id: self.birth_id,
            rank: 0,
        };
        project(self.kind, &[claims])
    }

    fn to_row(&self) -> Value {
        // The record's version is its latest group's, so that the common record, all of it from one snapshot,
        // needs no version per group.
        let record = &self.record;
        let base = record.latest_claim().unwrap_or_else(|| record.version());
        let exceptions: Map<String, Value> = record
            .groups
            .iter()
            .filter(|(_, version)| **version != base)
            .map(|(group, version)| (group.clone(), json!([version.source_time, version.observed])))
            .collect();
        json!({
            "birth_id": self.birth_id,
            "environment_id": self.scope.environment_id,
            "connector_id": self.scope.connector_id,
            "kind": self.kind.name,
            "external_id": self.external_id,
            "entity_id": self.entity_id,
            "document": record.fields,
            "source_time": base.source_time,
            "observed": base.observed,
            "group_versions": if exceptions.is_empty() { Value::Null } else { Value::Object(exceptions) },
            "deleted_source": record.tombstone.map(|version| version.source_time),
            "deleted_observed": record.tombstone.map(|version| version.observed),
            "is_deleted": record.is_deleted(),
            "event_id": self.event_id,
            "manifest_version": self.manifest_version,
        })
    }
}
