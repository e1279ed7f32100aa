//! Which entity each record belongs to.
//!
//! Most events change no key, and end here. A record that is new or whose keys changed takes the locks of its
//! keys and looks for others that hold them. Where there are none, it is an entity of its own. Where there are
//! some, every record that may be concerned has to be locked, in one order with those of the batch: the batch is
//! begun anew, in the wide, and looks for them before it locks anything.

pub mod follow;
mod keys;
pub mod stock;
mod walk;

pub use walk::Walk;

use super::merge::Merge;
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::ingest::Batch;
use crate::ingest::record::Stored;
use crate::{advisory, plan};
use keys::Held;
use nexus_core::canonical::Kind;
use nexus_core::identity::pair_id;
use nexus_core::register::Record;
use nexus_core::resolution::{
    Affected, Candidate, Component, Edge, Key, KeyType, MOST_HOLDERS, Member, Settings, affected, resolve,
    suggest,
};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::spi::{SpiClient, SpiHeapTupleData};
use pgrx::{JsonB, PgSqlErrorCode, Uuid as PgUuid};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// The kinds whose records of several sources may be one thing.
const RESOLVED: [&str; 5] = ["customer", "product", "product_variant", "sales_order", "location"];

/// What the tenant says of its connectors' identifiers.
#[derive(Default)]
pub struct Identifiers(HashMap<Uuid, Settings>);

impl Identifiers {
    /// Adds what is said of a connector's: (…, connector_id, …, settings).
    pub fn add(&mut self, row: &SpiHeapTupleData<'_>) -> Result<()> {
        if let (Some(connector_id), Some(settings)) =
            (row.get::<PgUuid>(2).map_err(internal)?, row.get::<JsonB>(4).map_err(internal)?)
        {
            match Settings::from_json(&settings.0) {
                Ok(settings) => {
                    self.0.insert(to_core(connector_id), settings);
                }
                // update_connector refuses these; one written past it must not stop the tenant's events.
                Err(error) => pgrx::warning!("connector {connector_id}: {error}"),
            }
        }
        Ok(())
    }

    /// A record as resolution sees it, in a state of it.
    pub fn member(&self, stored: &Stored, record: &Record) -> Member {
        let settings = self.0.get(&stored.scope.connector_id);
        let none = Settings::default();
        let Stored { kind, scope, external_id, birth_id, .. } = stored;
        Member::new(kind, scope, external_id, *birth_id, record, settings.unwrap_or(&none))
    }

    /// Whether any source names records of another one.
    fn have_references(&self) -> bool {
        self.0.values().any(|settings| !settings.references.is_empty())
    }
}

/// The records among which some may be one: those of a kind and an environment.
pub struct Domain<'a> {
    pub kind: &'static Kind,
    pub environment_id: Uuid,
    pub tenant_id: Uuid,
    pub identifiers: &'a Identifiers,
}

impl Domain<'_> {
    fn found(&self, candidates: Vec<Candidate>) -> Found {
        let Self { kind, environment_id, .. } = *self;
        Found { kind, environment_id, within: Vec::new(), of: None, kept: Vec::new(), candidates }
    }
}

/// A record of the batch whose keys, or what is compared beside them, are others than before.
struct Touched {
    kind: &'static Kind,
    environment_id: Uuid,
    before: Option<Member>,
    after: Member,
    affected: Affected,
}

/// Places every record of the batch in its entity, under the locks of the records. `anew` are records to be
/// looked at whatever changed.
pub fn run(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    merges: &mut BTreeMap<Uuid, Merge>,
    anew: &BTreeSet<Uuid>,
    identifiers: &Identifiers,
) -> Result<()> {
    let has_changed = |merge: &Merge| merge.before.as_ref() != Some(&merge.stored.record);
    let is_concerned = |merge: &Merge| {
        RESOLVED.contains(&merge.stored.kind.name)
            && (has_changed(merge) || anew.contains(&merge.stored.birth_id))
    };
    if !merges.values().any(is_concerned) {
        return Ok(());
    }
    let mut touched = Vec::new();
    for merge in merges.values().filter(|merge| is_concerned(merge)) {
        let touched_one = Touched::new(merge, identifiers, anew);
        if touched_one.affected != Affected::Nothing {
            touched.push(touched_one);
        }
    }
    if touched.is_empty() {
        return Ok(());
    }
    lock(batch, &touched, identifiers, merges);
    keys::write(client, batch.tenant_id, &touched)?;
    let mut found = Vec::new();
    for (domain, of_domain, held) in by_domain(client, batch.tenant_id, &touched, identifiers)? {
        found.extend(link(client, batch, &domain, &of_domain, &held, merges, anew)?);
        found.extend(suggestions(client, &domain, &of_domain, &held, merges)?);
    }
    write_candidates(client, batch.tenant_id, &found)
}

/// Resolves the records whose links may be others now, if there is anybody they could be one with.
fn link(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    domain: &Domain<'_>,
    touched: &[&Touched],
    held: &BTreeMap<Key, Held>,
    merges: &mut BTreeMap<Uuid, Merge>,
    anew: &BTreeSet<Uuid>,
) -> Result<Option<Found>> {
    let starts: Vec<&Touched> =
        touched.iter().filter(|touched| touched.affected == Affected::Links).copied().collect();
    let partners = keys::partners(&starts, held);
    let has_kin = |touched: &&Touched| {
        let birth_id = touched.after.birth_id;
        anew.contains(&birth_id) || merges.get(&birth_id).is_some_and(|merge| merge.stored.has_siblings)
    };
    if partners.is_empty() && !starts.iter().any(has_kin) {
        return Ok(None);
    }
    if !batch.is_wide {
        return Err(begin_anew());
    }
    let mut walk = Walk::new(domain);
    walk.begin(starts.iter().map(|touched| touched.after.birth_id).chain(partners));
    walk.run(client, merges)?;
    if walk.members.keys().any(|id| !merges.contains_key(id)) {
        // Somebody came in between: what is concerned now has to be locked as well.
        return Err(begin_anew());
    }
    let members: Vec<Member> = walk.members.values().cloned().collect();
    let resolution = resolve(domain.kind, &members, &walk.links, &walk.crowds);
    place(client, batch, domain, &resolution.components, merges)?;
    let within = members.iter().map(|member| member.birth_id).collect();
    Ok(Some(Found { within, ..domain.found(resolution.candidates) }))
}

/// Pairs that look alike by what never links.
fn suggestions(
    client: &mut SpiClient<'_>,
    domain: &Domain<'_>,
    touched: &[&Touched],
    held: &BTreeMap<Key, Held>,
    merges: &BTreeMap<Uuid, Merge>,
) -> Result<Vec<Found>> {
    let members: Vec<&Member> = touched.iter().map(|touched| &touched.after).collect();
    let mut others = walk::suggestible(client, domain, &members, held, merges)?;
    let mut found = Vec::new();
    for touched in touched {
        let Touched { before, after, affected, .. } = touched;
        let (others, crowds) = others.remove(&after.birth_id).unwrap_or_default();
        let candidates = suggest(domain.kind, after, &others, &crowds);
        if before.is_none() && candidates.is_empty() {
            continue;
        }
        // Where no link was looked at, what speaks against one is still as it was.
        let kept = match affected {
            Affected::Links => Vec::new(),
            _ => keys::sharing(after, held)
                .into_iter()
                .map(|other| sorted_pair(after.birth_id, other))
                .collect(),
        };
        let of = before.is_some().then_some(after.birth_id);
        found.push(Found { of, kept, ..domain.found(candidates) });
    }
    Ok(found)
}

fn sorted_pair(one: Uuid, other: Uuid) -> Uuid {
    pair_id(one.min(other), one.max(other))
}

/// The records that may be concerned beside the batch's own, before anything is locked. The merges are as if the
/// claims were joined already.
pub fn related(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    merges: &BTreeMap<Uuid, Merge>,
    anew: &BTreeSet<Uuid>,
    identifiers: &Identifiers,
) -> Result<BTreeSet<Uuid>> {
    let concerned = merges.values().filter(|merge| RESOLVED.contains(&merge.stored.kind.name));
    let touched: Vec<Touched> = concerned.map(|merge| Touched::new(merge, identifiers, anew)).collect();
    let mut related = BTreeSet::new();
    for (domain, of_domain, held) in by_domain(client, batch.tenant_id, &touched, identifiers)? {
        let partners = keys::partners(&of_domain, &held);
        let mut walk = Walk::new(&domain);
        walk.begin(of_domain.iter().map(|touched| touched.after.birth_id).chain(partners));
        walk.run(client, merges)?;
        related.extend(walk.members.into_keys());
    }
    Ok(related)
}

/// The batch is to be begun anew, in the wide: nexus.ingest_batch does it.
fn begin_anew() -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
        "records of other sources are concerned, and not locked yet",
        "nexus",
    )
}

/// Takes out every key of these records: all that they have are written anew.
pub fn forget_keys(client: &mut SpiClient<'_>, tenant_id: Uuid, birth_ids: &[Uuid]) -> Result<()> {
    const FORGET: &str = "delete from nexus.identity_key k where k.tenant_id = $1 and k.birth_id = any ($2)";
    let ids: Vec<PgUuid> = birth_ids.iter().copied().map(from_core).collect();
    plan::run(client, FORGET, &[from_core(tenant_id).into(), ids.into()])?;
    Ok(())
}

/// A domain, those of its records, and who holds the keys that they are looked up by.
type OfDomain<'a> = (Domain<'a>, Vec<&'a Touched>, BTreeMap<Key, Held>);

/// The records by domain.
fn by_domain<'a>(
    client: &mut SpiClient<'_>,
    tenant_id: Uuid,
    touched: &'a [Touched],
    identifiers: &'a Identifiers,
) -> Result<Vec<OfDomain<'a>>> {
    let mut groups: BTreeMap<(&str, Uuid), Vec<&Touched>> = BTreeMap::new();
    for one in touched {
        groups.entry((one.kind.name, one.environment_id)).or_default().push(one);
    }
    let domain =
        |of: &Touched| Domain { kind: of.kind, environment_id: of.environment_id, tenant_id, identifiers };
    let groups = groups.into_values().filter_map(|group| Some((domain(group.first()?), group)));
    let (domains, groups): (Vec<Domain<'_>>, Vec<Vec<&Touched>>) = groups.unzip();
    let asked: Vec<_> = domains.iter().zip(groups.iter().map(|group| keys::asked(group))).collect();
    let held = keys::holders(client, tenant_id, &asked)?;
    Ok(domains
        .into_iter()
        .zip(groups)
        .zip(held)
        .map(|((domain, group), held)| (domain, group, held))
        .collect())
}

impl Touched {
    fn new(merge: &Merge, identifiers: &Identifiers, anew: &BTreeSet<Uuid>) -> Self {
        let stored = &merge.stored;
        let member = |record| identifiers.member(stored, record);
        let (before, after) = (merge.before.as_ref().map(member), member(&stored.record));
        let affected = match anew.contains(&stored.birth_id) {
            true => Affected::Links,
            false => affected(before.as_ref(), &after),
        };
        Self { kind: stored.kind, environment_id: stored.scope.environment_id, before, after, affected }
    }

    /// The member as it was and as it is.
    fn states(&self) -> impl Iterator<Item = &Member> {
        self.before.iter().chain(std::iter::once(&self.after))
    }
}

/// Locks the keys by which the records could find each other, all in one order. In the wide, those of every
/// record that is concerned.
fn lock(batch: &Batch, touched: &[Touched], identifiers: &Identifiers, merges: &BTreeMap<Uuid, Merge>) {
    let mut names = BTreeSet::new();
    let mut add = |kind: &Kind, environment_id: Uuid, member: &Member| {
        let prefix = format!("{} {environment_id} {}", batch.tenant_id, kind.name);
        for key in member.linking_keys() {
            // An order's number and what refers to it are one name.
            let key_type = match key.key_type {
                KeyType::OrderReference => KeyType::OrderNumber,
                other => other,
            };
            names.insert(format!("{prefix} {} {}", key_type.as_str(), key.value));
        }
        if identifiers.have_references() {
            names.insert(format!("{prefix} reference {}", member.birth_id));
        }
    };
    for touched in touched.iter().filter(|touched| touched.affected == Affected::Links) {
        touched.states().for_each(|member| add(touched.kind, touched.environment_id, member));
    }
    if batch.is_wide {
        for merge in merges.values().filter(|merge| RESOLVED.contains(&merge.stored.kind.name)) {
            let member = Touched::new(merge, identifiers, &BTreeSet::new());
            member
                .states()
                .for_each(|state| add(merge.stored.kind, merge.stored.scope.environment_id, state));
        }
    }
    advisory::lock(names.iter().map(String::as_str));
}

/// Writes down where the records belong now.
fn place(
    client: &mut SpiClient<'_>,
    batch: &Batch,
    domain: &Domain<'_>,
    components: &[Component],
    merges: &mut BTreeMap<Uuid, Merge>,
) -> Result<()> {
    let mut changes = Vec::new();
    for component in components {
        for birth_id in &component.members {
            let Some(merge) = merges.get_mut(birth_id) else { continue };
            let former = merge.stored.entity_id;
            merge.stored.has_siblings = component.members.len() > 1;
            merge.stored.entity_id = component.entity_id;
            if former != component.entity_id {
                let request = merge.changed_by.map(|place| &batch.requests[place]);
                changes.push(json!({
                    "entity_change_id": Uuid::now_v7(), "environment_id": domain.environment_id, "kind": domain.kind.name,
                    "birth_id": birth_id, "old_entity_id": former, "new_entity_id": component.entity_id,
                    "because": component.edges.iter().map(because).collect::<Value>(),
                    "event_id": request.map(|request| request.event_id),
                }));
            }
        }
    }
    if !changes.is_empty() {
        let changes = JsonB(Value::Array(changes));
        plan::run(client, ADD_CHANGES, &[from_core(batch.tenant_id).into(), changes.into()])?;
    }
    Ok(())
}

const ADD_CHANGES: &str = "
    insert into nexus.entity_change (tenant_id, entity_change_id, environment_id, kind, birth_id, old_entity_id,
                                     new_entity_id, because, actor, event_id, is_settled)
    select $1, r.entity_change_id, r.environment_id, r.kind, r.birth_id, r.old_entity_id, r.new_entity_id, r.because,
           nexus._actor(), r.event_id, false
    from jsonb_to_recordset($2) as r(entity_change_id uuid, environment_id uuid, kind text, birth_id uuid,
                                     old_entity_id uuid, new_entity_id uuid, because jsonb, event_id uuid)";

fn because(edge: &Edge) -> Value {
    match &edge.key {
        Some(key) => {
            json!({ "a": edge.a, "b": edge.b, "key_type": key.key_type.as_str(), "key_value": key.value })
        }
        None => json!({ "a": edge.a, "b": edge.b, "link": "must" }),
    }
}

/// Candidates that were found, and where all there are were looked for.
struct Found {
    kind: &'static Kind,
    environment_id: Uuid,
    /// Among these records,
    within: Vec<Uuid>,
    /// and between this one and any other,
    of: Option<Uuid>,
    /// but for these pairs, which were not looked at.
    kept: Vec<Uuid>,
    candidates: Vec<Candidate>,
}

/// Replaces the candidates among the records that were looked at.
fn write_candidates(client: &mut SpiClient<'_>, tenant_id: Uuid, found: &[Found]) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let (mut within, mut of, mut kept) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut rows = BTreeMap::new();
    for found in found {
        within.extend(found.within.iter().copied());
        of.extend(found.of);
        kept.extend(found.kept.iter().copied());
        for candidate in &found.candidates {
            let id = pair_id(candidate.a, candidate.b);
            let row = json!({
                "merge_candidate_id": id, "environment_id": found.environment_id, "kind": found.kind.name,
                "a": candidate.a, "b": candidate.b, "score": format!("0.{:02}", candidate.score),
                "reasons": candidate.reasons,
            });
            rows.insert(id, row);
        }
    }
    let tenant_id = from_core(tenant_id);
    let ids = |ids: BTreeSet<Uuid>| -> Vec<PgUuid> { ids.into_iter().map(from_core).collect() };
    if !(within.is_empty() && of.is_empty()) {
        kept.extend(rows.keys().copied());
        let arguments = [tenant_id.into(), ids(within).into(), ids(of).into(), ids(kept).into()];
        plan::run(client, DROP_CANDIDATES, &arguments)?;
    }
    if !rows.is_empty() {
        let rows = JsonB(Value::Array(rows.into_values().collect()));
        plan::run(client, PUT_CANDIDATES, &[tenant_id.into(), rows.into()])?;
    }
    Ok(())
}

const DROP_CANDIDATES: &str = "
    delete from nexus.merge_candidate c
    where c.tenant_id = $1 and ((c.a = any ($2) and c.b = any ($2)) or c.a = any ($3) or c.b = any ($3))
      and c.merge_candidate_id <> all ($4)";

/// What a person has said of is no question any more.
const PUT_CANDIDATES: &str = "
    insert into nexus.merge_candidate as c (tenant_id, merge_candidate_id, environment_id, kind, a, b, score, reasons)
    select $1, r.merge_candidate_id, r.environment_id, r.kind, r.a, r.b, r.score, r.reasons
    from jsonb_to_recordset($2) as r(merge_candidate_id uuid, environment_id uuid, kind text, a uuid, b uuid,
                                     score numeric, reasons text[])
    where not exists (select from nexus.entity_link l where l.tenant_id = $1 and l.a = r.a and l.b = r.b)
    order by r.merge_candidate_id
    on conflict (tenant_id, merge_candidate_id) do update set score = excluded.score, reasons = excluded.reasons
    where (c.score, c.reasons) is distinct from (excluded.score, excluded.reasons)";

/// A key that so many others hold was crowded without this record, and is with it: it joins nobody.
const CROWDED: usize = MOST_HOLDERS + 1;
