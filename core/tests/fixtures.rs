//! Real payloads, held to what must be true of any payload.
//!
//! They are not part of the project: `NEXUS_FIXTURES` names their folder. For each file: the outcome is
//! known; every amount, id and time in the documents is one of the payload's; a second run gives the same.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::canonical::{Document, Field, FieldType, Kind};
use nexus_core::connector::{Connector, built_in};
use nexus_core::normalize::{Outcome, normalize_payload};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Fields that a manifest may calculate, where the platform gives only the parts.
const CALCULATED: &[&str] = &[
    "subtotal_amount",
    "shipping_amount",
    "refunded_amount",
    "discount_amount",
    "tax_amount",
    "total_amount",
    "tax_rate",
    "quantity",
    "quantity_fulfilled",
    "quantity_cancelled",
    "quantity_refunded",
    "weight_grams",
    "amount",
];

/// Amounts of whole orders and of payments that are always given, and never to be calculated.
const GIVEN: &[(&str, &str)] = &[
    ("sales_order", "total_amount"),
    ("sales_order", "tax_amount"),
    ("sales_order", "discount_amount"),
    ("payment", "amount"),
];

/// Ids that a manifest makes up, or puts before one of the payload's.
const MADE_UP: &[&str] = &[
    "default",
    "billing",
    "shipping",
    "inventory_item",
    "email",
    "ean",
    "FBB",
    "tip",
    "sku",
    "refund",
    "order",
    "matrix",
    "asin",
    "FBA",
];

/// Platforms whose amounts are whole numbers of cents.
const MINOR_UNITS: &[&str] = &["square", "stripe"];

#[test]
fn every_fixture_keeps_its_amounts_ids_and_times() {
    let folder = std::env::var("NEXUS_FIXTURES")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures").to_owned());
    let Ok(index) = fs::read_to_string(format!("{folder}/INDEX.tsv")) else {
        eprintln!("no fixtures at {folder}: skipped (NEXUS_FIXTURES names another place)");
        return;
    };
    let mut mistakes = Vec::new();
    for (platform, manifest) in built_in() {
        let connector = Connector::from_toml(manifest).unwrap_or_else(|error| panic!("{error}"));
        let mut table = Table::default();
        for line in index.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [file, of, topic, .., notes] = columns.as_slice() else { continue };
            if of != platform {
                continue;
            }
            let body = fs::read(format!("{folder}/{file}")).unwrap();
            // Webhooks come with their topic, answers to requests without.
            let topic = file.contains("/webhook-").then_some(*topic);
            let outcome = normalize_payload(&connector, topic, &body, &Value::Null);
            let again = normalize_payload(&connector, topic, &body, &Value::Null);
            if outcome != again {
                mistakes.push(format!("{file}: two runs differ"));
            }
            // Nobody ever sent those: they hold a template's placeholders instead of times.
            let is_broken = notes.contains("handlebars");
            match &outcome {
                Outcome::Quarantined(error) if !is_broken => mistakes.push(format!("{file}: {error}")),
                Outcome::Documents(documents) => {
                    let has_minor_units = MINOR_UNITS.contains(platform);
                    let payload = Payload::of(&serde_json::from_slice(&body).unwrap(), has_minor_units);
                    for document in documents {
                        payload.check(document, file, &mut mistakes);
                    }
                }
                _ => {}
            }
            table.count(&outcome);
        }
        table.print(platform);
    }
    assert!(mistakes.is_empty(), "{} mistakes:\n{}", mistakes.len(), mistakes.join("\n"));
}

/// What a payload holds.
#[derive(Default)]
struct Payload {
    /// Texts and numbers as they were written, and the parts of texts between slashes.
    words: BTreeSet<String>,
    /// The instants of its times; those without an offset taken for UTC.
    times: BTreeSet<i64>,
    /// Whole numbers may be cents, or seconds since 1970.
    has_minor_units: bool,
}

impl Payload {
    fn of(value: &Value, has_minor_units: bool) -> Self {
        let mut payload = Self { has_minor_units, ..Self::default() };
        payload.add(value);
        payload
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                self.words.extend(text.split('/').map(|part| part.trim().to_lowercase()));
                self.words.insert(text.trim().to_lowercase());
                let time = text.parse::<jiff::Timestamp>().ok().or_else(|| {
                    let civil: jiff::civil::DateTime = text.parse().ok()?;
                    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
                });
                self.times.extend(time.map(|time| time.as_microsecond()));
                // `/Date(1551812346157+0000)/`, in milliseconds.
                let ticks = text.strip_prefix("/Date(").and_then(|rest| rest.split(['+', ')']).next());
                let ticks = ticks.and_then(|ticks| ticks.parse::<i64>().ok());
                self.times.extend(ticks.map(|ticks| ticks * 1000));
            }
            Value::Number(number) => {
                self.words.insert(number.to_string());
                if let (true, Some(units)) = (self.has_minor_units, number.as_i64()) {
                    self.words.insert(format!("{}.{:02}", units / 100, (units % 100).abs()));
                    self.times.insert(units.saturating_mul(1_000_000));
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(members) => members.values().for_each(|value| self.add(value)),
            _ => {}
        }
    }

    fn check(&self, document: &Document, file: &str, mistakes: &mut Vec<String>) {
        let kind = Kind::named(document.kind).unwrap();
        let place = format!("{file}: {} {}", document.kind, document.external_id);
        self.check_id(&document.external_id, &place, mistakes);
        if document.source_time.is_some_and(|time| !self.times.contains(&time)) {
            mistakes.push(format!("{place}: the source time is not the payload's"));
        }
        for (name, value) in &document.fields {
            let place = format!("{place}.{name}");
            if let Some(children) = kind.children.filter(|children| children.field == name) {
                for child in value.as_array().into_iter().flatten() {
                    self.check_child(child, children.fields, &place, mistakes);
                }
            } else {
                let is_free =
                    CALCULATED.contains(&name.as_str()) && !GIVEN.contains(&(kind.name, name.as_str()));
                self.check_value(kind.field(name).unwrap(), value, is_free, &place, mistakes);
            }
        }
    }

    fn check_child(&self, child: &Value, fields: &[Field], place: &str, mistakes: &mut Vec<String>) {
        self.check_id(child["external_id"].as_str().unwrap(), place, mistakes);
        assert!(child["position"].is_number());
        for (name, value) in child.as_object().unwrap() {
            if let Some(field) = fields.iter().find(|field| field.document_name() == name) {
                let is_free = CALCULATED.contains(&name.as_str());
                self.check_value(field, value, is_free, &format!("{place}.{name}"), mistakes);
            }
        }
    }

    fn check_id(&self, id: &str, place: &str, mistakes: &mut Vec<String>) {
        let is_known = |part: &str| MADE_UP.contains(&part) || self.words.contains(&part.to_lowercase());
        // A row without an id of its own goes by its place.
        let is_known = id.starts_with("position:") || is_known(id) || id.split(':').all(is_known);
        if !is_known {
            mistakes.push(format!("{place}: id {id} is not the payload's"));
        }
    }

    fn check_value(
        &self,
        field: &Field,
        value: &Value,
        is_calculated: bool,
        place: &str,
        mistakes: &mut Vec<String>,
    ) {
        if value.is_null() {
            return;
        }
        let text = value.as_str().unwrap_or_default();
        match field.field_type {
            FieldType::Decimal if !is_calculated && !self.words.contains(text) => {
                mistakes.push(format!("{place}: {text} is not written so in the payload"));
            }
            FieldType::Decimal => {
                let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'.' || byte == b'-';
                assert!(!text.is_empty() && text.bytes().all(is_plain), "{place}: {value}");
            }
            FieldType::Timestamp => {
                let time: jiff::Timestamp = text.parse().unwrap();
                if !text.ends_with('Z') || !self.times.contains(&time.as_microsecond()) {
                    mistakes.push(format!("{place}: {text} is not the payload's"));
                }
            }
            FieldType::Reference(_) => self.check_id(text, place, mistakes),
            FieldType::Vocabulary(words) => assert!(words.contains(&text), "{place}: {value}"),
            FieldType::Currency => assert_eq!(text.len(), 3, "{place}: {value}"),
            FieldType::Text => assert!(value.is_string(), "{place}: {value}"),
            FieldType::Boolean => assert!(value.is_boolean(), "{place}: {value}"),
            FieldType::Integer => assert!(value.is_i64(), "{place}: {value}"),
            FieldType::TextList => assert!(value.is_array(), "{place}: {value}"),
            FieldType::Json => {}
        }
    }
}

/// What became of a platform's files.
#[derive(Default)]
struct Table {
    files: usize,
    rows: BTreeMap<String, usize>,
}

impl Table {
    fn count(&mut self, outcome: &Outcome) {
        self.files += 1;
        let mut row = |name: String| *self.rows.entry(name).or_default() += 1;
        match outcome {
            Outcome::Documents(documents) => {
                documents.iter().for_each(|document| row(format!("document {}", document.kind)));
            }
            Outcome::Ignored { reason } => row(format!("ignored: {reason}")),
            Outcome::Quarantined(error) => {
                row(format!("quarantined: {}", error.path.as_deref().unwrap_or_default()));
            }
        }
    }

    fn print(&self, platform: &str) {
        println!("{platform}: {} files", self.files);
        for (name, count) in &self.rows {
            println!("  {count:>4}  {name}");
        }
    }
}
