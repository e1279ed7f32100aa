//! What of a payload no field reads: for authors, who decide whether it is worth having.

use super::{Request, body, detect, events};
use crate::connector::{CompiledEntity, Connector};
use crate::mapping::{Context, Reached, Scope};
use serde_json::Value;
use std::collections::BTreeMap;

/// A part of a payload that no field reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Unmapped {
    /// Where it is, `[*]` standing for every item of a list. All that is in it is unread too.
    pub path: String,
    /// The first such value.
    pub example: Value,
}

/// What of a request's body no field reads. Null, and what the platform writes for it, is nothing to be read.
///
/// `topic` is one that is known from elsewhere, as in [`super::normalize_as`].
pub fn unmapped(connector: &Connector, topic: Option<&str>, request: &Request<'_>) -> Vec<Unmapped> {
    let Ok(body) = body::parse(connector, request.body, None) else { return Vec::new() };
    let context = Context::new(&body, request.headers, request.settings, connector.null_values());
    let scope = context.scope();
    let receive = connector.compiled_receive();
    let mut reached = Reached::default();
    for mapping in
        [&receive.topic, &receive.delivery_id, &receive.emitted_at, &receive.shop].into_iter().flatten()
    {
        mapping.reach(scope, &mut reached);
    }
    for record in events::of(connector, &body).unwrap_or_else(|| vec![&body]) {
        let scope = scope.of_record(record);
        if let Some(mapping) = &receive.topic {
            mapping.reach(scope, &mut reached);
        }
        let own = || receive.topic.as_ref()?.text(&scope);
        let topic = topic.map(str::to_owned).or_else(own);
        if topic.as_deref().is_none_or(|topic| detect::ignored(connector, topic).is_none()) {
            let visit = &mut |entity: &CompiledEntity, scope: Scope<'_>| {
                reach_record(entity, scope, &mut reached);
                Ok(())
            };
            // The visit cannot fail; that nothing was understood leaves all of it unread.
            let _ = detect::records(connector, topic.as_deref(), scope, visit);
        }
    }
    let mut tree = Node::default();
    tree.add(&body, &reached, scope);
    let mut found = Vec::new();
    tree.unread("$", &mut found);
    found
}

/// What the documents that a record gives are made of.
fn reach_record(entity: &CompiledEntity, scope: Scope<'_>, reached: &mut Reached) {
    for rule in &entity.documents {
        let items = match &rule.each {
            None => vec![scope.item],
            Some(each) => each.items(scope).ok().flatten().unwrap_or_default(),
        };
        for scope in items.into_iter().map(|item| scope.of_item(item)) {
            if let Some(when) = &rule.when {
                when.reach(scope, reached);
                if !when.holds(scope) {
                    continue;
                }
            }
            rule.external_id.reach(scope, reached);
            rule.source_time.iter().for_each(|mapping| mapping.reach(scope, reached));
            for condition in [&rule.full_when, &rule.deleted_when].into_iter().flatten() {
                condition.reach(scope, reached);
            }
            rule.fields.iter().for_each(|(_, mapping)| mapping.reach(scope, reached));
        }
    }
}

/// A place in the payload, the items of a list laid upon one another.
#[derive(Default)]
struct Node<'v> {
    is_read: bool,
    example: Option<&'v Value>,
    parts: BTreeMap<String, Node<'v>>,
}

impl<'v> Node<'v> {
    fn add(&mut self, value: &'v Value, reached: &Reached, scope: Scope<'_>) {
        if reached.contains(value) {
            self.is_read = true;
            return;
        }
        match value {
            Value::Array(items) => {
                items.iter().for_each(|item| self.part("[*]".to_owned()).add(item, reached, scope));
            }
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| self.part(step(name)).add(member, reached, scope));
            }
            _ => {}
        }
        let is_nothing = match value {
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            scalar => scope.means_null(scalar),
        };
        if !is_nothing && self.example.is_none() {
            self.example = Some(value);
        }
    }

    fn part(&mut self, step: String) -> &mut Self {
        self.parts.entry(step).or_default()
    }

    fn is_touched(&self) -> bool {
        self.is_read || self.parts.values().any(Node::is_touched)
    }

    fn has_value(&self) -> bool {
        match self.parts.is_empty() {
            true => self.example.is_some(),
            false => self.parts.values().any(Node::has_value),
        }
    }

    /// The topmost places of which nothing is read.
    fn unread(&self, path: &str, found: &mut Vec<Unmapped>) {
        if self.is_read || !self.has_value() {
            return;
        }
        match self.example {
            Some(example) if !self.is_touched() => {
                found.push(Unmapped { path: path.to_owned(), example: example.clone() });
            }
            _ => self.parts.iter().for_each(|(step, part)| part.unread(&format!("{path}{step}"), found)),
        }
    }
}

/// A member's name as a path has it.
fn step(name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '_';
    match !name.is_empty()
        && name.chars().all(is_plain)
        && !name.starts_with(|char: char| char.is_ascii_digit())
    {
        true => format!(".{name}"),
        false => format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")),
    }
}
