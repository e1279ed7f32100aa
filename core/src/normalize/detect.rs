//! Which records a payload holds: by its topic, or by its shape.

use super::{FetchRequest, Outcome, document};
use crate::canonical::Document;
use crate::connector::{CompiledEntity, Connector, Envelope};
use crate::error::Error;
use crate::mapping::Scope;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Envelopes that may be around one another.
const MAX_ENVELOPES: usize = 4;

/// Records that a reason names; the machine's list has them all.
const MAX_NAMED: usize = 20;

/// What a payload's records say.
#[derive(Default)]
pub(super) struct Records {
    pub documents: Vec<Document>,
    /// The records that stubs name, in their order, each once.
    to_fetch: Vec<FetchRequest>,
    named: HashSet<FetchRequest>,
}

impl Records {
    pub fn fetch(&mut self, kind: &'static str, external_id: String) {
        let request = FetchRequest { kind, external_id };
        if self.named.insert(request.clone()) {
            self.to_fetch.push(request);
        }
    }

    pub fn into_fetch(self) -> Vec<FetchRequest> {
        self.to_fetch
    }

    /// The outcome of a payload whose records these are, `None` if there are none.
    pub fn outcome(&mut self) -> Option<Outcome> {
        if !self.documents.is_empty() {
            return Some(Outcome::Documents(std::mem::take(&mut self.documents)));
        }
        let name = |request: &FetchRequest| format!("{} {}", request.kind, request.external_id);
        let names: Vec<_> = self.to_fetch.iter().take(MAX_NAMED).map(name).collect();
        let more = match self.to_fetch.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let reason = format!("a stub: fetch {}{more}", names.join(", "));
        (!names.is_empty()).then_some(Outcome::Ignored { reason })
    }
}

/// Why a topic that the manifest does not map is ignored, `None` for one that it does.
pub(super) fn ignored(connector: &Connector, topic: &str) -> Option<String> {
    if connector.entities().iter().any(|entity| entity.takes(topic)) {
        return None;
    }
    Some(match connector.ignored_reason(topic) {
        Some(reason) => reason.to_owned(),
        None => format!("the manifest of \"{}\" has no topic \"{topic}\"", connector.connector_type()),
    })
}

/// What a payload's records say. With a topic, the entity is known and the payload is such a record, or an
/// envelope of some; without one, the shape tells.
pub(super) fn documents(
    connector: &Connector,
    topic: Option<&str>,
    scope: Scope<'_>,
) -> (Outcome, Vec<FetchRequest>) {
    let mut found = Records::default();
    let add = &mut |entity: &CompiledEntity, scope: Scope<'_>| document::of_record(entity, scope, &mut found);
    let outcome = match records(connector, topic, scope, add) {
        // What is not understood whole is not begun.
        Err(error) => return (Outcome::Quarantined(error), Vec::new()),
        Ok(true) => found.outcome().unwrap_or(Outcome::Documents(Vec::new())),
        Ok(false) => Outcome::Ignored { reason: unknown_shape(connector) },
    };
    (outcome, found.into_fetch())
}

pub(super) fn unknown_shape(connector: &Connector) -> String {
    let connector_type = connector.connector_type();
    format!("the payload has the shape of no record that the manifest of \"{connector_type}\" maps")
}

/// What is done with each record of a payload.
pub(super) type Visit<'v> = dyn FnMut(&CompiledEntity, Scope<'_>) -> Result<(), Error> + 'v;

/// Goes through the records. Whether the topic or the shape is known.
pub(super) fn records(
    connector: &Connector,
    topic: Option<&str>,
    scope: Scope<'_>,
    visit: &mut Visit<'_>,
) -> Result<bool, Error> {
    match topic {
        Some(topic) => of_topic(connector, topic, scope, visit),
        None => of_shape(connector, scope, 0, visit),
    }
}

fn of_topic(
    connector: &Connector,
    topic: &str,
    scope: Scope<'_>,
    visit: &mut Visit<'_>,
) -> Result<bool, Error> {
    let Some(entity) = connector.entities().iter().find(|entity| entity.takes(topic)) else {
        return Ok(false);
    };
    let mut item = scope.item;
    for _ in 0..MAX_ENVELOPES {
        match (item, named_records(std::slice::from_ref(entity), item)) {
            (_, Some((entity, records))) => {
                for record in records {
                    visit(entity, scope.of_record(record))?;
                }
                return Ok(true);
            }
            (Value::Object(_), None) => match inner(connector.envelopes(), item).next() {
                Some(inner) => item = inner,
                None => break,
            },
            _ => break,
        }
    }
    match item {
        Value::Array(records) => {
            for record in records {
                visit(entity, scope.of_record(record))?;
            }
        }
        record => visit(entity, scope.of_record(record))?,
    }
    Ok(true)
}

/// Whether the shape was known.
fn of_shape(
    connector: &Connector,
    scope: Scope<'_>,
    depth: usize,
    visit: &mut Visit<'_>,
) -> Result<bool, Error> {
    if depth > MAX_ENVELOPES {
        return Ok(false);
    }
    let is_such = |entity: &&CompiledEntity| entity.detect.as_ref().is_some_and(|detect| detect.holds(scope));
    match scope.item {
        Value::Array(items) => {
            // Rows of one record, such as an order's lines, are that record's.
            if let Some(entity) = connector.entities().iter().find(is_such) {
                visit(entity, scope)?;
                return Ok(true);
            }
            let mut is_known = false;
            for item in items {
                is_known |= of_shape(connector, scope.of_record(item), depth + 1, visit)?;
            }
            return Ok(is_known);
        }
        Value::Object(_) => {}
        _ => return Ok(false),
    }
    if let Some((entity, records)) = named_records(connector.entities(), scope.item) {
        for record in records {
            visit(entity, scope.of_record(record))?;
        }
        return Ok(true);
    }
    if let Some(entity) = connector.entities().iter().find(is_such) {
        visit(entity, scope)?;
        return Ok(true);
    }
    let mut is_known = false;
    for item in inner(connector.envelopes(), scope.item) {
        is_known |= of_shape(connector, scope.of_record(item), depth + 1, visit)?;
    }
    Ok(is_known)
}

/// The records that a response holds under an entity's name: `{"order": {…}}`, `{"orders": […]}`, perhaps
/// beside a notice or a page count. What has an id is a record itself: a bare order's `customer` does not
/// make it a response about a customer.
fn named_records<'a, 'c>(
    entities: &'c [CompiledEntity],
    item: &'a Value,
) -> Option<(&'c CompiledEntity, Vec<&'a Value>)> {
    let is_response = |members: &&Map<String, Value>| members.len() <= 4 && !members.contains_key("id");
    let members = item.as_object().filter(is_response)?;
    entities.iter().find_map(|entity| {
        let member = |name: &Option<String>| members.get(name.as_deref()?);
        match (member(&entity.single), member(&entity.list)) {
            (Some(record @ Value::Object(_)), _) => Some((entity, vec![record])),
            (_, Some(Value::Array(records))) => {
                Some((entity, records.iter().filter(|record| record.is_object()).collect()))
            }
            _ => None,
        }
    })
}

/// What an envelope holds, perhaps under several names: `{"create": […], "update": […]}`. What has an id is
/// no envelope, unless a path says so.
fn inner<'a>(envelopes: &[Envelope], item: &'a Value) -> impl Iterator<Item = &'a Value> {
    let is_record = item.get("id").is_some();
    let held = envelopes.iter().flat_map(move |envelope| match envelope {
        Envelope::Key(_) if is_record => Vec::new(),
        Envelope::Key(key) => item.get(key).into_iter().collect(),
        Envelope::Path(path) => path.all(item),
    });
    held.filter(|value| value.is_object() || value.is_array())
}
