//! The ten properties of one truth from many systems, from what sources send to what stands in the golden rows, in
//! memory. `tests/suites/identity.rs` shows the same against a server with eight writers, with the manifests of five
//! platforms.
//!
//! | | property | here | more |
//! | --- | --- | --- | --- |
//! | 1 | shuffled, duplicated and partitioned, events give the same records, entities and rows | `any_order_gives_the_same_truth` | `register`, `resolution`, `survivorship`: one each; the server: `eight_writers_in_any_order_come_to_the_same_truth` |
//! | 2 | what is replayed changes nothing | `a_replay_changes_nothing` | the server, counted in rows: `a_redelivery_writes_the_event_and_no_golden_row…` |
//! | 3 | merging and undoing it leaves nothing behind | `a_merge_that_is_undone_leaves_nothing_behind` | the server: `a_merge_can_be_undone_and_both_are_told` |
//! | 4 | every record is in one entity; every value is a live claim that survived | `every_value_is_a_claim_that_survived` | the server: `every_value_names_its_source…` |
//! | 5 | whom a person parted share no entity; one source's records are never joined by themselves | `the_guards_hold` | `resolution::the_guards_hold` |
//! | 6 | a source that has deleted everything might never have been | `without_a_source_it_is_as_if_it_had_never_been` | `resolution::without_what_is_deleted…` |
//! | 7 | an order has the lines of one source | `lines_are_of_one_source` | the server: every state that the suite reads |
//! | 8 | what claims to be of the future loses to what is true more than five minutes later | `the_future_loses_to_the_truth` | |
//! | 9 | what is projected step by step is what is projected at once | `step_by_step_is_as_at_once` | the server: every permutation ends with a rebuild that changes nothing |
//! | 10 | amounts add up, or the order is flagged | a view's condition: `tests/suites/analyst.rs` | |

use nexus_core::canonical::{Document, Kind, Row, Snapshot};
use nexus_core::identity::Scope;
use nexus_core::register::{Joined, Record, Stamp, Version};
use nexus_core::resolution::{
    Affected, Component, Crowds, Link, LinkKind, Member, Settings, affected, merge, resolve, unmerge,
};
use nexus_core::survivorship::{Claims, Golden, Policy, project, provenance};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const MINUTE: i64 = 60_000_000;

/// A source's claim.
#[derive(Debug, Clone)]
struct Event {
    source: u128,
    document: Document,
    observed: i64,
    event_id: Uuid,
}

/// What all events so far have made.
#[derive(Debug, Clone, Default)]
struct World {
    records: BTreeMap<(u128, String), Record>,
}

/// An entity: its records, and its golden row.
type Truth = BTreeMap<Vec<Uuid>, (Uuid, Option<Golden>)>;
/// A record's name, what its source says of it, and when it said it.
type Said<'a> = (&'a (u128, String), &'a Map<String, Value>, Vec<Version>);
/// A golden entity's columns and child rows.
type Content<'a> = (&'a Row, &'a [Row]);

fn scope(source: u128) -> Scope {
    let (tenant_id, environment_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    Scope { tenant_id, environment_id, connector_id: Uuid::from_u128(source) }
}

fn kind(name: &str) -> &'static Kind {
    Kind::named(name).expect("a kind")
}

impl World {
    fn of(kind: &Kind, events: &[Event]) -> Self {
        let mut world = Self::default();
        for event in events {
            world.join(kind, event);
        }
        world
    }

    fn join(&mut self, kind: &Kind, event: &Event) -> Joined {
        let version = Version::new(0, event.document.source_time, event.observed);
        let stamp = Stamp { version, event_id: event.event_id, manifest_version: 1 };
        let record = self.records.entry((event.source, event.document.external_id.clone())).or_default();
        record.join(kind, &event.document, stamp)
    }

    fn members(&self, kind: &Kind) -> Vec<Member> {
        let member = |((source, external_id), record): (&(u128, String), &Record)| {
            let scope = scope(*source);
            let birth_id = scope.birth_id(kind.name, external_id);
            Member::new(kind, &scope, external_id, birth_id, record, &Settings::default())
        };
        self.records.iter().map(member).collect()
    }

    fn claims(&self, kind: &Kind, of: &[Uuid]) -> Vec<Claims<'_>> {
        let claims = self.records.iter().map(|((source, external_id), record)| {
            let scope = scope(*source);
            Claims { record, scope, external_id, birth_id: scope.birth_id(kind.name, external_id) }
        });
        claims.filter(|claims| of.contains(&claims.birth_id)).collect()
    }

    fn entities(&self, kind: &Kind, links: &[Link]) -> Vec<Component> {
        resolve(kind, &self.members(kind), links, &Crowds::default()).components
    }

    fn truth(&self, kind: &Kind, links: &[Link]) -> Truth {
        let entities = self.entities(kind, links).into_iter();
        entities
            .map(|Component { entity_id, members, .. }| {
                let golden = project(kind, &self.claims(kind, &members), &Policy::default());
                (members, (entity_id, golden))
            })
            .collect()
    }

    /// What the sources say, and when they said it.
    fn said(&self) -> Vec<Said<'_>> {
        let versions = |record: &Record| {
            record.groups.values().chain(&record.tombstone).map(|stamp| stamp.version).collect()
        };
        self.records.iter().map(|(name, record)| (name, &record.fields, versions(record))).collect()
    }
}

fn fields(name: &str) -> BoxedStrategy<Value> {
    let maybe = |values: &'static [&'static str]| {
        prop::option::weighted(0.8, prop::sample::select(values)).prop_map(|value| json!(value))
    };
    match name {
        "customer" => (
            maybe(&["a@x.nl", "b@x.nl", "c@x.nl", "info@x.nl"]),
            maybe(&["Ada", "Bob"]),
            maybe(&["Vos", "Bos"]),
            maybe(&["NL123456789B01", "NL987654321B01"]),
            maybe(&["2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"]),
        )
            .prop_map(|(email, first_name, last_name, vat_number, created)| {
                json!({ "email": email, "first_name": first_name, "last_name": last_name, "vat_number": vat_number,
                        "source_created_at": created })
            })
            .boxed(),
        _ => (
            maybe(&["1", "2", "3"]),
            maybe(&["1", "2"]),
            maybe(&["10.00", "10.01", "30"]),
            prop::collection::vec(prop::sample::select(&["x", "y", "z"][..]), 0..3),
            maybe(&["2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"]),
        )
            .prop_map(|(number, reference, total, lines, created)| {
                let lines: Vec<Value> =
                    lines.iter().map(|line| json!({ "external_id": line, "quantity": "1" })).collect();
                json!({ "order_number": number, "external_reference": reference, "currency": "EUR", "total_amount": total,
                        "ordered_at": "2025-03-01T00:00:00Z", "lines": lines, "source_created_at": created })
            })
            .boxed(),
    }
}

fn any_event(name: &'static str) -> impl Strategy<Value = Event> {
    let parts = (
        1u128..5,
        prop::sample::select(&["7", "8"][..]),
        prop::option::weighted(0.9, 0i64..12),
        0i64..12,
        prop::bool::weighted(0.15),
        fields(name),
        prop::collection::vec(any::<bool>(), 8),
        any::<u128>(),
    );
    parts.prop_map(move |(source, external_id, source_time, observed, is_deleted, fields, kept, id)| {
        // A part of a record says nothing of the rest of it. Amounts come with their currency.
        let fields: Map<String, Value> = match fields {
            Value::Object(fields) if !is_deleted => {
                fields.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(field, _)| field).collect()
            }
            _ => Map::new(),
        };
        let document = Document {
            kind: kind(name).name,
            external_id: external_id.to_owned(),
            snapshot: Snapshot::Partial,
            is_deleted,
            source_time: source_time.map(|time| time * 4 * MINUTE),
            fields,
        };
        Event { source, document, observed: observed * 4 * MINUTE, event_id: Uuid::from_u128(id) }
    })
}

fn any_log() -> impl Strategy<Value = (&'static str, Vec<Event>)> {
    prop::sample::select(&["customer", "sales_order"][..])
        .prop_flat_map(|name| (Just(name), prop::collection::vec(any_event(name), 1..24)))
}

/// Links between records of the log.
fn any_links() -> impl Strategy<Value = Vec<(prop::sample::Index, prop::sample::Index, bool)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..4)
}

fn links(members: &[Member], drawn: &[(prop::sample::Index, prop::sample::Index, bool)]) -> Vec<Link> {
    let id = |index: &prop::sample::Index| members[index.index(members.len())].birth_id;
    let link = |(a, b, is_must): &(prop::sample::Index, prop::sample::Index, bool)| {
        let (a, b) = (id(a).min(id(b)), id(a).max(id(b)));
        Link { a, b, kind: if *is_must { LinkKind::Must } else { LinkKind::Cannot } }
    };
    drawn.iter().map(link).filter(|link| link.a != link.b).collect()
}

/// The same columns, when deletions are left out of it.
fn content(golden: &Option<Golden>) -> Option<Content<'_>> {
    golden.as_ref().map(|golden| (&golden.columns, &golden.children[..]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_order_gives_the_same_truth(
        ((name, log), shuffled) in any_log().prop_flat_map(|(name, log)| {
            let twice = [log.clone(), log.clone()].concat();
            (Just((name, log)), Just(twice).prop_shuffle())
        }),
        drawn in any_links(),
    ) {
        let kind = kind(name);
        let (world, other) = (World::of(kind, &log), World::of(kind, &shuffled));
        prop_assert_eq!(world.said(), other.said());
        let links = links(&world.members(kind), &drawn);
        prop_assert_eq!(world.truth(kind, &links), other.truth(kind, &links));
    }

    #[test]
    fn a_replay_changes_nothing((name, log) in any_log()) {
        let kind = kind(name);
        let mut world = World::of(kind, &log);
        let before = world.clone();
        for event in &log {
            prop_assert!(world.join(kind, event) != Joined::Changed, "{:?}", event);
        }
        prop_assert_eq!(world.records, before.records);
    }

    #[test]
    fn a_merge_that_is_undone_leaves_nothing_behind(
        (name, log) in any_log(), which in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let kind = kind(name);
        let world = World::of(kind, &log);
        let (members, entities) = (world.members(kind), world.entities(kind, &[]));
        let pick = |index: prop::sample::Index| {
            let id = members[index.index(members.len())].birth_id;
            (id, entities.iter().find(|entity| entity.members.contains(&id)).expect("its entity"))
        };
        let (one, other) = (pick(which.0), pick(which.1));
        if one.1 == other.1 {
            return Ok(());
        }
        let mut links = merge(one, other, &[]).add;
        let together = world.truth(kind, &links);
        prop_assert!(together.keys().any(|members| members.contains(&one.0) && members.contains(&other.0)));
        let parted = unmerge(kind, &members, &links, &Crowds::default(), one.0);
        links.retain(|link| !parted.remove.contains(link));
        links.extend(parted.add);
        prop_assert_eq!(world.truth(kind, &links), world.truth(kind, &[]));
    }

    #[test]
    fn every_value_is_a_claim_that_survived((name, log) in any_log()) {
        let kind = kind(name);
        let world = World::of(kind, &log);
        let truth = world.truth(kind, &[]);
        let placed: Vec<Uuid> = truth.keys().flatten().copied().collect();
        prop_assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), placed.len(), "in one entity each");
        prop_assert_eq!(placed.len(), world.records.len());
        for (members, (_, golden)) in &truth {
            let claims = world.claims(kind, members);
            let is_gone = claims.iter().all(|claims| claims.record.is_deleted());
            let rows = provenance(kind, &claims, &Policy::default());
            let Some(golden) = golden else { continue };
            for field in kind.fields.iter().filter(|field| golden.columns.get(field.name).is_some_and(|value| !value.is_null())) {
                let winner = rows.iter().find(|row| row.field == field.name && row.is_winner);
                let winner = winner.expect("a value has a winner");
                prop_assert_eq!(&golden.columns[field.name], &winner.value);
                let own = claims.iter().find(|claims| claims.birth_id == winner.birth_id).expect("its record");
                prop_assert_eq!(own.record.fields.get(field.name), Some(&winner.value));
                prop_assert!(is_gone || own.record.is_live(field.group), "{} is of a record that is gone", field.name);
            }
        }
    }

    #[test]
    fn the_guards_hold((name, log) in any_log(), drawn in any_links()) {
        let kind = kind(name);
        let world = World::of(kind, &log);
        let members = world.members(kind);
        let links = links(&members, &drawn);
        for entity in world.entities(kind, &links) {
            let parted = |link: &&Link| link.kind == LinkKind::Cannot && entity.members.contains(&link.a) && entity.members.contains(&link.b);
            prop_assert_eq!(links.iter().find(parted), None);
            let live = members.iter().filter(|member| member.is_live && entity.members.contains(&member.birth_id));
            let sources: Vec<Uuid> = live.map(|member| member.connector_id).collect();
            let is_automatic = entity.edges.iter().all(|edge| edge.key.is_some());
            prop_assert!(!is_automatic || sources.iter().collect::<BTreeSet<_>>().len() == sources.len(), "{:?}", entity);
        }
    }

    #[test]
    fn without_a_source_it_is_as_if_it_had_never_been((name, log) in any_log(), source in 1u128..5) {
        let kind = kind(name);
        let others: Vec<Event> = log.iter().filter(|event| event.source != source).cloned().collect();
        let never = World::of(kind, &others);
        let mut gone = World::of(kind, &log);
        for external_id in ["7", "8"] {
            let document = Document {
                kind: kind.name, external_id: external_id.to_owned(), snapshot: Snapshot::Partial, is_deleted: true,
                source_time: None, fields: Map::new(),
            };
            gone.join(kind, &Event { source, document, observed: 1000 * MINUTE, event_id: Uuid::nil() });
        }
        let living = |world: &World| -> BTreeMap<Vec<Uuid>, Option<Golden>> {
            let is_alive: BTreeSet<Uuid> =
                world.members(kind).iter().filter(|member| member.is_live).map(|member| member.birth_id).collect();
            let alive = |members: Vec<Uuid>| -> Vec<Uuid> { members.into_iter().filter(|id| is_alive.contains(id)).collect() };
            let truth = world.truth(kind, &[]).into_iter();
            truth.map(|(members, (_, golden))| (alive(members), golden)).filter(|(members, _)| !members.is_empty()).collect()
        };
        let (never, gone) = (living(&never), living(&gone));
        prop_assert_eq!(never.keys().collect::<Vec<_>>(), gone.keys().collect::<Vec<_>>());
        for (members, golden) in &never {
            prop_assert_eq!(content(golden), content(&gone[members]));
        }
    }

    #[test]
    fn lines_are_of_one_source(log in prop::collection::vec(any_event("sales_order"), 1..24), drawn in any_links()) {
        let kind = kind("sales_order");
        let world = World::of(kind, &log);
        let links = links(&world.members(kind), &drawn);
        for (members, (_, golden)) in world.truth(kind, &links) {
            let Some(golden) = golden else { continue };
            let sources: BTreeSet<String> =
                golden.children.iter().map(|line| line["connector_id"].to_string()).collect();
            prop_assert!(sources.len() <= 1, "{:?}", sources);
            let most = world.claims(kind, &members).iter().filter_map(|claims| claims.record.fields.get("lines")?.as_array().map(Vec::len)).max();
            prop_assert!(golden.children.len() <= most.unwrap_or_default());
        }
    }

    #[test]
    fn the_future_loses_to_the_truth(
        observed in 0i64..1000, ahead in 0i64..100_000, later in 6i64..100, is_first in any::<bool>(),
    ) {
        let kind = kind("customer");
        let event = |email: &str, source_time: i64, observed: i64| {
            let fields = json!({ "email": email }).as_object().cloned().unwrap_or_default();
            let document = Document {
                kind: kind.name, external_id: "7".to_owned(), snapshot: Snapshot::Partial, is_deleted: false,
                source_time: Some(source_time * MINUTE), fields,
            };
            Event { source: 1, document, observed: observed * MINUTE, event_id: Uuid::nil() }
        };
        let future = event("future@x.nl", observed + ahead, observed);
        let true_one = event("true@x.nl", observed + later, observed + later);
        let log = if is_first { [future, true_one] } else { [true_one, future] };
        let world = World::of(kind, &log);
        prop_assert_eq!(&world.records[&(1, "7".to_owned())].fields["email"], "true@x.nl");
    }

    #[test]
    fn step_by_step_is_as_at_once((name, log) in any_log()) {
        let kind = kind(name);
        let mut world = World::default();
        let mut truth = Truth::new();
        for event in &log {
            let birth_id = scope(event.source).birth_id(kind.name, &event.document.external_id);
            let own = |world: &World| world.members(kind).into_iter().find(|member| member.birth_id == birth_id);
            let before = own(&world);
            world.join(kind, event);
            let after = own(&world).expect("the record");
            // Where no link can have changed, nobody asks who is one: only the record's entity is projected anew.
            if affected(before.as_ref(), &after) == Affected::Links {
                truth = world.truth(kind, &[]);
            } else {
                let members = truth.keys().find(|members| members.contains(&birth_id)).expect("its entity").clone();
                let golden = project(kind, &world.claims(kind, &members), &Policy::default());
                truth.get_mut(&members).expect("its entity").1 = golden;
            }
        }
        prop_assert_eq!(truth, world.truth(kind, &[]));
    }
}
