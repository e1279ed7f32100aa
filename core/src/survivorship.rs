//! The golden entity: a pure function of the claims of all its source records.
//!
//! Per field group the live claims are ordered by null handling (a value before none), source rank, five-minute
//! bucket of the version, connector, version, record; the first survives, whole. Buckets, because "within five
//! minutes of each other" is not associative and would let the order of arrival decide.
//!
//! Lines survive from the source that had the order first, its own channel, unless a rule about `lines` itself
//! says otherwise: an ERP that goes first for amounts must not replace what was sold by what it booked.

mod policy;
mod provenance;

pub use policy::{DEFAULT_RANK, Policy, Rule, SharedLocation};
pub use provenance::{FieldProvenance, provenance};

use crate::canonical::{Column, FieldType, Group, Kind, Row, Rows, derive};
use crate::identity::{Scope, child_id};
use crate::register::{Record, is_same_number, is_same_value};
use jiff::Timestamp;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::HashMap;
use uuid::Uuid;

/// Versions within one bucket are equally recent, in microseconds.
const BUCKET: i64 = 5 * 60 * 1_000_000;

/// The rows of which two sources' together would count what was sold twice.
const LINES: &str = "lines";

/// One source record of an entity.
#[derive(Debug, Clone)]
pub struct Claims<'a> {
    /// What the source says.
    pub record: &'a Record,
    /// Which source it is.
    pub scope: Scope,
    /// The record's id in its source.
    pub external_id: &'a str,
    /// The record's own id.
    pub birth_id: Uuid,
}

/// A golden entity as its table holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Columns by name, ids and bookkeeping aside. References are `<name>_birth_id`.
    pub columns: Row,
    /// Rows of the child table: columns with `external_id`, `position`, `connector_id` and their own id.
    pub children: Vec<Row>,
    /// When the last source deleted it, in microseconds since 1970; `None` while one has it.
    pub deleted_at: Option<i64>,
}

impl Golden {
    /// The entity once no source says anything of it any more, not even that it is gone: it was `at`, in
    /// microseconds since 1970.
    pub fn withdrawn(&self, at: i64) -> Self {
        Self { deleted_at: self.deleted_at.or(Some(at)), ..self.clone() }
    }
}

/// The entity these records make; `None` while no source has said anything of it but that it is gone.
pub fn project(kind: &Kind, claims: &[Claims<'_>], policy: &Policy) -> Option<Golden> {
    if claims.is_empty() {
        return None;
    }
    let contest = Contest::new(kind, claims, policy);
    let mut columns = Vec::with_capacity(kind.fields.len());
    let mut children = Vec::new();
    let mut has_content = false;
    for group in kind.field_groups() {
        let winner = contest.winner(group);
        has_content |= winner.is_some();
        match (&group.children, winner) {
            (Some(rows), Some(winner)) => children = child_rows(rows, winner),
            (Some(_), None) => {}
            (None, winner) => columns.extend(group.fields.iter().map(|column| surviving(column, winner))),
        }
    }
    if !has_content {
        return None;
    }
    let mut columns: Row = columns.into_iter().collect();
    columns.extend(derive(kind.name, &columns, &children));
    if kind.is_per_source
        && let Some(source) = claims.iter().min_by_key(|claim| claim.scope.connector_id)
    {
        let connector_id = source.scope.connector_id;
        let location =
            columns.get("location_birth_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        columns.insert("connector_id", Value::String(connector_id.to_string()));
        let is_authoritative = policy.is_stock_owner(connector_id, location);
        columns.insert("is_authoritative", Value::Bool(is_authoritative));
    }
    let deleted_at = claims.iter().filter_map(|claim| claim.record.tombstone).max();
    Some(Golden {
        columns,
        children,
        deleted_at: deleted_at.filter(|_| contest.is_deleted).map(|tombstone| tombstone.version.source_time),
    })
}

/// Which claim survives, group by group.
struct Contest<'a> {
    kind: &'a Kind,
    claims: &'a [Claims<'a>],
    policy: &'a Policy,
    /// Every source has deleted its record.
    is_deleted: bool,
}

/// The first of all claims in this order survives.
type Precedence<'a> = (bool, i32, Option<Seniority>, Reverse<i64>, Uuid, Reverse<(i64, i64)>, &'a str);

/// Which record its source created first; one whose source does not say comes last.
type Seniority = (bool, Option<Timestamp>, Uuid);

impl<'a> Contest<'a> {
    fn new(kind: &'a Kind, claims: &'a [Claims<'a>], policy: &'a Policy) -> Self {
        Self { kind, claims, policy, is_deleted: claims.iter().all(|claim| claim.record.is_deleted()) }
    }

    /// The claims that may survive. What every source has deleted keeps its last content: a row that says what
    /// is gone.
    fn eligible(&self, group: &'static str) -> impl Iterator<Item = &'a Claims<'a>> {
        let is_deleted = self.is_deleted;
        self.claims.iter().filter(move |claim| match is_deleted {
            true => claim.record.groups.contains_key(group),
            false => claim.record.is_live(group),
        })
    }

    fn winner(&self, group: &'static Group) -> Option<&'a Claims<'a>> {
        let mut eligible = self.eligible(group.name);
        let first = eligible.next()?;
        match eligible.next() {
            // Most records have nobody to compete with.
            None => Some(first),
            Some(second) => {
                let all = [first, second].into_iter().chain(eligible);
                all.min_by_key(|claim| self.precedence(group.name, claim))
            }
        }
    }

    /// The claims that may survive, in the order in which they would.
    fn ranked(&self, group: &'static str) -> Vec<&'a Claims<'a>> {
        let mut claims: Vec<_> = self.eligible(group).collect();
        claims.sort_by_key(|claim| self.precedence(group, claim));
        claims
    }

    fn precedence(&self, group: &'static str, claim: &Claims<'a>) -> Precedence<'a> {
        let record = claim.record;
        let is_empty =
            self.kind.group_members(group).all(|name| record.fields.get(name).is_none_or(Value::is_null));
        let stamp = record.groups.get(group).copied().or_else(|| record.stamp());
        // The generation is of no account between records: it tells how often a connector was reprocessed.
        let time =
            stamp.map_or((i64::MIN, i64::MIN), |stamp| (stamp.version.source_time, stamp.version.observed));
        let bucket = time.0.div_euclid(BUCKET);
        let connector_id = claim.scope.connector_id;
        let (rank, seniority) = match group {
            LINES => {
                let rank = self.policy.own_rank(self.kind.name, group, connector_id);
                (rank.unwrap_or(DEFAULT_RANK), Some(seniority(claim)))
            }
            _ => (self.policy.rank(self.kind.name, group, connector_id), None),
        };
        (is_empty, rank, seniority, Reverse(bucket), connector_id, Reverse(time), claim.external_id)
    }
}

fn seniority(claim: &Claims<'_>) -> Seniority {
    let created_at = claim.record.fields.get("source_created_at").and_then(Value::as_str);
    let created_at: Option<Timestamp> = created_at.and_then(|text| text.parse().ok());
    (created_at.is_none(), created_at, claim.birth_id)
}

fn surviving(column: &Column, winner: Option<&Claims<'_>>) -> (&'static str, Value) {
    let value = winner.and_then(|claim| claim.record.fields.get(column.document_name));
    (column.name, column_value(column, value, winner))
}

fn column_value(column: &Column, value: Option<&Value>, source: Option<&Claims<'_>>) -> Value {
    match (column.field.field_type, source) {
        (FieldType::Reference(kind), source) => {
            let birth_id = value
                .and_then(Value::as_str)
                .zip(source)
                .map(|(external_id, source)| source.scope.birth_id(kind, external_id).to_string());
            birth_id.map_or(Value::Null, Value::String)
        }
        _ => value.cloned().unwrap_or(Value::Null),
    }
}

fn child_rows(of: &'static Rows, winner: &Claims<'_>) -> Vec<Row> {
    let table = of.children.table;
    let Some(Value::Array(rows)) = winner.record.fields.get(of.children.field) else { return Vec::new() };
    let connector_id = winner.scope.connector_id.to_string();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let rows = rows.iter().filter_map(Value::as_object).zip(1..);
    rows.map(|(row, place)| {
        let external_id = row.get("external_id").and_then(Value::as_str).unwrap_or_default();
        let repeated = seen.entry(external_id).or_default();
        // A source that gives two rows one id still has two rows: the second is told by its number.
        let id = match *repeated {
            0 => child_id(winner.birth_id, table, external_id),
            number => child_id(winner.birth_id, table, &format!("{external_id}#{number}")),
        };
        *repeated += 1;
        let values = of.columns.iter().map(|column| {
            let value = row.get(column.document_name);
            (column.name, column_value(column, value, Some(winner)))
        });
        let own = [
            (of.id_column.as_str(), Value::String(id.to_string())),
            ("external_id", Value::String(external_id.to_owned())),
            ("position", Value::from(place)),
            ("connector_id", Value::String(connector_id.clone())),
        ];
        values.chain(own).collect()
    })
    .collect()
}

/// Which columns differ between two states of an entity, by the names subscribers know: a reference is
/// `<name>_id`, child rows go by their field's name, and a delete is `deleted_at`. Empty: nothing to write.
pub fn changed(kind: &Kind, before: Option<&Golden>, after: &Golden) -> Vec<String> {
    let mut changed = Vec::new();
    for (name, value) in &after.columns {
        let previous = before.and_then(|golden| golden.columns.get(name)).unwrap_or(&Value::Null);
        let is_derived = kind.derived.iter().any(|field| field.name == *name);
        if !is_derived && !is_same_value(kind, name, previous, value) {
            changed.push(match name.strip_suffix("_birth_id") {
                Some(reference) => format!("{reference}_id"),
                None => (*name).to_owned(),
            });
        }
    }
    if let Some(children) = kind.children {
        let previous: &[Row] = before.map_or(&[], |golden| &golden.children);
        let is_same_column = |((one, a), (other, b)): ((&&str, &Value), (&&str, &Value))| {
            one == other && (a == b || is_same_number(children.fields, one, a, b))
        };
        let is_same = |(a, b): (&Row, &Row)| a.len() == b.len() && a.iter().zip(b).all(is_same_column);
        if previous.len() != after.children.len() || !previous.iter().zip(&after.children).all(is_same) {
            changed.push(children.field.to_owned());
        }
    }
    if before.and_then(|golden| golden.deleted_at) != after.deleted_at {
        changed.push("deleted_at".to_owned());
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::{Document, Snapshot};
    use crate::register::{Stamp, Version};
    use proptest::prelude::*;
    use serde_json::{Map, json};

    const MINUTE: i64 = 60_000_000;

    fn kind() -> &'static Kind {
        Kind::named("sales_order").expect("a kind")
    }

    fn scope(connector: u128) -> Scope {
        let (tenant_id, environment_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        Scope { tenant_id, environment_id, connector_id: Uuid::from_u128(connector) }
    }

    fn record(claims: &[(i64, Value)]) -> Record {
        let mut record = Record::default();
        for (time, fields) in claims {
            let document = Document {
                kind: "sales_order",
                external_id: "1".to_owned(),
                snapshot: Snapshot::Full,
                is_deleted: fields.is_null(),
                source_time: Some(*time),
                fields: fields.as_object().cloned().unwrap_or_default(),
            };
            let version = Version::new(0, Some(*time), *time);
            record.join(kind(), &document, Stamp { version, event_id: Uuid::nil(), manifest_version: 1 });
        }
        record
    }

    fn claims(record: &Record, connector: u128) -> Claims<'_> {
        let scope = scope(connector);
        Claims { record, scope, external_id: "1", birth_id: scope.birth_id("sales_order", "1") }
    }

    /// Ranks by field and connector.
    fn policy(ranks: &[(Option<&str>, u128, i32)]) -> Policy {
        let rules = ranks.iter().map(|(field, connector, rank)| Rule {
            kind: "sales_order".to_owned(),
            field: field.map(str::to_owned),
            connector_id: Uuid::from_u128(*connector),
            rank: *rank,
        });
        Policy::new(&rules.collect::<Vec<_>>())
    }

    fn any() -> Policy {
        Policy::default()
    }

    #[test]
    fn a_value_goes_before_none_then_rank_then_recency() {
        let shop = record(&[(0, json!({ "note": null, "email": "shop@x.nl", "channel": "web" }))]);
        let erp = record(&[(MINUTE, json!({ "note": "n", "email": "erp@x.nl", "channel": "erp" }))]);
        let late = record(&[(60 * MINUTE, json!({ "note": "m", "email": null, "channel": "late" }))]);
        let golden =
            project(kind(), &[claims(&late, 3), claims(&erp, 2), claims(&shop, 1)], &policy(&[(None, 1, 0)]))
                .expect("golden");
        assert_eq!(golden.columns["email"], "shop@x.nl", "the best rank");
        assert_eq!(golden.columns["note"], "m", "the best rank is silent; of the others the most recent");
    }

    #[test]
    fn amounts_come_from_one_source_with_their_currency() {
        let euros = json!({ "currency": "EUR", "total_amount": "10", "tax_amount": "2" });
        let shop = record(&[(0, euros)]);
        let erp = record(&[(60 * MINUTE, json!({ "currency": "USD", "total_amount": "12" }))]);
        let golden = project(kind(), &[claims(&shop, 1), claims(&erp, 2)], &any()).expect("golden");
        assert_eq!(
            (&golden.columns["currency"], &golden.columns["tax_amount"]),
            (&json!("USD"), &Value::Null)
        );
    }

    #[test]
    fn an_order_has_the_lines_of_one_source() {
        let line =
            |id: &str| json!({ "external_id": id, "quantity": "1", "product_variant_external_id": "v" });
        let sold = json!({
            "lines": [line("a"), line("b"), line("b")], "source_created_at": "2026-01-01T00:00:00Z",
        });
        let booked = json!({
            "lines": [line("c")], "source_created_at": "2026-01-01T00:00:00.5Z", "order_number": "SO1",
        });
        let (shop, erp) = (record(&[(0, sold)]), record(&[(60 * MINUTE, booked)]));
        let both = [claims(&erp, 2), claims(&shop, 1)];
        let golden = project(kind(), &both, &policy(&[(None, 2, 0)])).expect("golden");
        let ids = |golden: &Golden| -> Vec<_> {
            golden.children.iter().map(|child| child["external_id"].as_str().map(str::to_owned)).collect()
        };
        let text = |id: &str| Some(id.to_owned());
        assert_eq!(
            ids(&golden),
            [text("a"), text("b"), text("b")],
            "those of its own channel, whoever goes first"
        );
        assert_eq!(golden.columns["order_number"], "SO1");
        let by_rule = project(kind(), &both, &policy(&[(Some("lines"), 2, 0)])).expect("golden");
        assert_eq!(ids(&by_rule), [text("c")], "unless a rule is about them");
        assert_ne!(golden.children[1]["sales_order_line_id"], golden.children[2]["sales_order_line_id"]);
        let variant = scope(1).birth_id("product_variant", "v").to_string();
        assert_eq!(golden.children[0]["product_variant_birth_id"], variant, "of the source that names it");
    }

    #[test]
    fn a_rule_about_a_field_goes_before_one_about_the_kind() {
        let shop = record(&[(0, json!({ "email": "shop@x.nl", "channel": "web", "currency": "EUR" }))]);
        let erp =
            record(&[(60 * MINUTE, json!({ "email": "erp@x.nl", "channel": "erp", "currency": "USD" }))]);
        let rules = policy(&[
            (None, 1, 0),
            (Some("email"), 2, -1),
            (Some("total_amount"), 2, -1),
            (Some("no"), 2, 0),
        ]);
        let golden = project(kind(), &[claims(&shop, 1), claims(&erp, 2)], &rules).expect("golden");
        let read = |name: &str| golden.columns[name].as_str();
        assert_eq!((read("email"), read("channel")), (Some("erp@x.nl"), Some("web")));
        assert_eq!(read("currency"), Some("USD"), "a rule about one amount is about all of them");
    }

    #[test]
    fn the_stock_at_a_location_has_one_owner() {
        let level = |connector: u128, policy: &Policy| {
            let mut record = Record::default();
            let document = Document {
                kind: "inventory_level",
                external_id: "1".to_owned(),
                snapshot: Snapshot::Partial,
                is_deleted: false,
                source_time: Some(0),
                fields: Map::from_iter([("location_external_id".to_owned(), json!("L"))]),
            };
            let kind = Kind::named("inventory_level").expect("a kind");
            let version = Version::new(0, Some(0), 0);
            record.join(kind, &document, Stamp { version, event_id: Uuid::nil(), manifest_version: 1 });
            let golden = project(kind, &[claims(&record, connector)], policy).expect("golden");
            golden.columns["is_authoritative"].as_bool()
        };
        let location = |connector: u128, created: i64| SharedLocation {
            entity_id: Uuid::nil(),
            birth_id: scope(connector).birth_id("location", "L"),
            connector_id: Uuid::from_u128(connector),
            source_created_at: Some(created),
        };
        let shared = [location(1, 7), location(2, 5)];
        let owners = |policy: Policy| [1, 2, 3].map(|connector| level(connector, &policy));
        let elder = owners(Policy::default().with_locations(&shared));
        assert_eq!(elder, [Some(false), Some(true), Some(true)], "the third has a location of its own");
        let rule = Rule {
            kind: "inventory_level".to_owned(),
            field: None,
            connector_id: Uuid::from_u128(1),
            rank: 0,
        };
        let ruled = owners(Policy::new(&[rule]).with_locations(&shared));
        assert_eq!(ruled, [Some(true), Some(false), Some(true)]);
    }

    #[test]
    fn provenance_shows_who_won_and_who_lost() {
        let shop = record(&[(0, json!({ "note": "a", "channel": "web" }))]);
        let erp = record(&[(60 * MINUTE, json!({ "note": "b", "channel": null, "lines": [] }))]);
        let gone = record(&[(0, json!({ "note": "c" })), (MINUTE, Value::Null)]);
        let all = [claims(&shop, 1), claims(&erp, 2), claims(&gone, 3)];
        let rows = provenance(kind(), &all, &policy(&[(Some("note"), 1, 0)]));
        let of = |field: &str| -> Vec<(Value, u128, i64, bool)> {
            let rows = rows.iter().filter(|row| row.field == field);
            rows.map(|row| (row.value.clone(), row.connector_id.as_u128(), row.source_time, row.is_winner))
                .collect()
        };
        assert_eq!(of("note"), [(json!("a"), 1, 0, true), (json!("b"), 2, 60 * MINUTE, false)]);
        assert_eq!(of("channel"), [(json!("web"), 1, 0, true), (Value::Null, 2, 60 * MINUTE, false)]);
        assert_eq!(of("lines"), [(json!([]), 2, 60 * MINUTE, true)]);
        assert_eq!(of("email"), []);
    }

    #[test]
    fn what_every_source_deleted_stays_readable_and_says_so() {
        let gone = record(&[(0, json!({ "note": "n" })), (MINUTE, Value::Null)]);
        let golden = project(kind(), &[claims(&gone, 1)], &any()).expect("golden");
        assert_eq!((&golden.columns["note"], golden.deleted_at), (&json!("n"), Some(MINUTE)));
        let alive = record(&[(0, json!({ "note": "alive" }))]);
        let golden = project(kind(), &[claims(&gone, 1), claims(&alive, 2)], &any()).expect("golden");
        assert_eq!((&golden.columns["note"], golden.deleted_at), (&json!("alive"), None));
        assert_eq!(project(kind(), &[claims(&record(&[(0, Value::Null)]), 1)], &any()), None);
    }

    #[test]
    fn only_real_changes_are_changes() {
        let before = record(&[(0, json!({ "order_number": "#1", "total_amount": "1.0", "lines": [] }))]);
        let after = record(&[(0, json!({ "order_number": "#2", "total_amount": "1.00", "lines": [] }))]);
        let golden = |record: &Record| project(kind(), &[claims(record, 1)], &any()).expect("golden");
        assert_eq!(changed(kind(), Some(&golden(&before)), &golden(&after)), ["order_number"]);
        assert_eq!(changed(kind(), Some(&golden(&before)), &golden(&before)), [""; 0]);
        let lines = record(&[(0, json!({ "lines": [{ "external_id": "1", "quantity": "2" }] }))]);
        assert_eq!(changed(kind(), None, &golden(&lines)), ["lines"]);
    }

    proptest! {
        /// The order in which an entity's records are given is of no account.
        #[test]
        fn any_order_of_records_gives_the_same_entity(
            times in prop::collection::vec((0i64..20, 0i32..2, prop::option::of("[ab]")), 1..6).prop_shuffle(),
            turn in 0usize..6,
        ) {
            let records: Vec<Record> = times
                .iter()
                .map(|(minutes, _, note)| record(&[(minutes * MINUTE, json!({ "note": note, "channel": note }))]))
                .collect();
            let claims: Vec<Claims<'_>> = records
                .iter()
                .zip(&times)
                .zip(1u128..)
                .map(|((record, _), connector)| claims(record, connector))
                .collect();
            let ranks = times.iter().zip(1u128..).map(|((_, rank, _), connector)| (None, connector, *rank));
            let policy = policy(&ranks.collect::<Vec<_>>());
            let mut turned = claims.clone();
            turned.rotate_left(turn % claims.len());
            prop_assert_eq!(project(kind(), &claims, &policy), project(kind(), &turned, &policy));
        }
    }
}
