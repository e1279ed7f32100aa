//! The semantic check of a manifest: everything that can be known before the first payload comes.

mod exchange;
mod pull;
mod reads;
mod receive;

use super::settings::check_schema;
use super::{
    CompiledDocument, CompiledEntity, CompiledReceive, Connector, DocumentRule, Entity, Envelope, KeyPart,
    Manifest, Receive,
};
use crate::canonical::{Field, FieldType, Kind, Snapshot};
use crate::error::{Code, Error};
use crate::mapping::{Compiler, Condition, Expected, Expression, Mapping, Path};
use std::collections::BTreeMap;

/// What has been found wrong so far. Whatever could not be compiled is `None`, and there is a mistake for it.
#[derive(Default)]
pub(super) struct Mistakes(Vec<Error>);

impl Mistakes {
    fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}

/// Checks and compiles a manifest, or names all that is wrong with it, in the order of its sections.
pub(super) fn connector(manifest: Manifest) -> Result<Connector, Vec<Error>> {
    let mut mistakes = Mistakes::default();
    let compiler = Compiler::new(&manifest.shapes).with_settings(&manifest.auth.settings);
    mistakes.take(check_name(&compiler, &manifest));
    for (schema, at) in [(&manifest.auth.settings, "auth.settings"), (&manifest.auth.secrets, "auth.secrets")]
    {
        if !schema.is_null() {
            mistakes.take(check_schema(&compiler, schema, at, 0));
        }
    }
    let receive = match &manifest.receive {
        Some(receive) => {
            mistakes.take(receive::check_choice(&compiler, receive, &manifest.auth.settings));
            compile_receive(&compiler, receive, &mut mistakes)
        }
        None => CompiledReceive::default(),
    };
    if let Some(pull) = &manifest.pull {
        exchange::check_pull(&compiler, pull, &mut mistakes);
        mistakes.take(pull::check(&compiler, pull, &manifest.auth));
    }
    let push = match &manifest.push {
        Some(push) => {
            let compiler = Compiler::of_documents(&manifest.shapes).with_settings(&manifest.auth.settings);
            exchange::compile_push(&compiler, push, &mut mistakes)
        }
        None => BTreeMap::new(),
    };
    let entities = compile_entities(&compiler, &manifest, &mut mistakes);
    let envelopes = compile_envelopes(&manifest, &mut mistakes);
    match mistakes.0.is_empty() {
        true => {
            let reads = reads::of(&receive, &envelopes, &entities, &manifest.null_values);
            Ok(Connector { receive, envelopes, entities, reads, push, manifest })
        }
        false => Err(mistakes.0),
    }
}

fn check_name(compiler: &Compiler<'_>, manifest: &Manifest) -> Result<(), Error> {
    let name = &manifest.connector_type;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_name) {
        return Err(compiler.error("type", "must be lower-case letters, digits and dashes, at most 63"));
    }
    Ok(())
}

fn compile_receive(compiler: &Compiler<'_>, receive: &Receive, mistakes: &mut Mistakes) -> CompiledReceive {
    receive::check(compiler, receive, mistakes);
    for (index, part) in receive.idempotency.iter().enumerate() {
        let has_source = match part {
            KeyPart::DeliveryId => receive.delivery_id.is_some(),
            KeyPart::Topic => receive.topic.is_some(),
            KeyPart::EmittedAt => receive.emitted_at.is_some(),
            KeyPart::Body => true,
        };
        if !has_source {
            let reason = "names a part that the receive section says nothing about";
            mistakes.0.push(compiler.error(&format!("receive.idempotency[{index}]"), reason));
        }
    }
    let mut mapping = |expression: &Option<Expression>, expected, name: &str| {
        let expression = expression.as_ref()?;
        mistakes.take(compiler.mapping(expression, expected, &format!("receive.{name}"), 0))
    };
    let (topic, delivery_id) = (
        mapping(&receive.topic, Expected::Text, "topic"),
        mapping(&receive.delivery_id, Expected::Text, "delivery_id"),
    );
    let (emitted_at, shop) = (
        mapping(&receive.emitted_at, Expected::Time, "emitted_at"),
        mapping(&receive.shop, Expected::Text, "shop"),
    );
    let path = |(index, path): (usize, &String)| {
        mistakes.take(Path::compile(path).map_err(|error| error.at(format!("receive.events[{index}]"))))
    };
    let events = receive.events.iter().enumerate().filter_map(path).collect();
    CompiledReceive { events, topic, delivery_id, emitted_at, shop }
}

fn compile_envelopes(manifest: &Manifest, mistakes: &mut Mistakes) -> Vec<Envelope> {
    let mut compile = |(index, text): (usize, &String)| match text.starts_with('$') {
        true => {
            let path = Path::compile(text).map_err(|error| error.at(format!("envelopes[{index}]")));
            mistakes.take(path).map(Envelope::Path)
        }
        false => Some(Envelope::Key(text.clone())),
    };
    manifest.envelopes.iter().enumerate().filter_map(&mut compile).collect()
}

fn compile_entities(
    compiler: &Compiler<'_>,
    manifest: &Manifest,
    mistakes: &mut Mistakes,
) -> Vec<CompiledEntity> {
    let mut owners = BTreeMap::new();
    for (name, entity) in &manifest.entities {
        for topic in &entity.topics {
            if let Some(other) = owners.insert(topic, name) {
                let reason = format!("topic \"{topic}\" also belongs to {other}");
                mistakes.0.push(compiler.error(&format!("entities.{name}.topics"), reason));
            }
        }
    }
    let mut in_order: Vec<_> = manifest.entities.iter().collect();
    in_order.sort_by_key(|(_, entity)| entity.rank);
    in_order.into_iter().map(|(name, entity)| compile_entity(compiler, name, entity, mistakes)).collect()
}

fn compile_entity(
    compiler: &Compiler<'_>,
    name: &str,
    entity: &Entity,
    mistakes: &mut Mistakes,
) -> CompiledEntity {
    let at = format!("entities.{name}");
    if entity.documents.is_empty() {
        mistakes.0.push(compiler.error(&at, "gives no documents"));
    }
    let detect = Condition::optional(compiler, entity.detect.as_ref(), &format!("{at}.detect"));
    let detect = mistakes.take(detect).flatten();
    let document = |(index, rule): (usize, &DocumentRule)| {
        let at = format!("{at}.documents[{index}]");
        let is_stub = rule.stub || entity.stub;
        if is_stub && !(rule.fields.is_empty() && rule.shape.is_none()) {
            mistakes.0.push(compiler.error(&at, "is a stub, and claims fields"));
        }
        let compiled = compile_document(compiler, rule, &at, mistakes)?;
        Some(CompiledDocument { stub: is_stub, ..compiled })
    };
    CompiledEntity {
        name: name.to_owned(),
        topics: entity.topics.clone(),
        single: entity.single.clone(),
        list: entity.list.clone(),
        detect,
        documents: entity.documents.iter().enumerate().filter_map(document).collect(),
    }
}

fn compile_document(
    compiler: &Compiler<'_>,
    rule: &DocumentRule,
    at: &str,
    mistakes: &mut Mistakes,
) -> Option<CompiledDocument> {
    let kind = Kind::named(&rule.kind)
        .map_err(|error| Error { code: Code::InvalidManifest, ..error }.at(format!("{at}.kind")));
    let kind = mistakes.take(kind)?;
    if rule.deleted && !(rule.fields.is_empty() && rule.shape.is_none()) {
        mistakes.0.push(compiler.error(at, "claims fields of a record that is gone"));
    }
    let mut mapping = |expression: Option<&Expression>, expected, name: &str| {
        mistakes.take(compiler.mapping(expression?, expected, &format!("{at}.{name}"), 0))
    };
    let each = mapping(rule.each.as_ref(), Expected::Items, "each");
    let external_id = mapping(Some(&rule.external_id), Expected::Id, "external_id");
    let source_time = mapping(rule.source_time.as_ref(), Expected::Time, "source_time");
    let mut condition = |predicate: &Option<_>, name: &str| {
        mistakes.take(Condition::optional(compiler, predicate.as_ref(), &format!("{at}.{name}"))).flatten()
    };
    let when = condition(&rule.when, "when");
    let full_when = condition(&rule.full_when, "full_when");
    let deleted_when = condition(&rule.deleted_when, "deleted_when");
    let named = mistakes.take(compiler.fields(rule.shape.as_deref(), &rule.fields, at))?;
    let mut fields = Vec::new();
    for (name, (expression, at)) in &named {
        fields.extend(mistakes.take(field(compiler, kind, name, expression, at)));
    }
    let is_claimed = |field: &Field| named.contains_key(field.document_name());
    mistakes.take(check_required(compiler, kind, rule, is_claimed, at));
    Some(CompiledDocument {
        kind,
        when,
        each,
        external_id: external_id?,
        source_time,
        snapshot: rule.snapshot,
        full_when,
        stub: rule.stub,
        deleted: rule.deleted,
        deleted_when,
        fields,
    })
}

/// What a document cannot do without: amounts their currency, and stock what it is of.
fn check_required(
    compiler: &Compiler<'_>,
    kind: &Kind,
    rule: &DocumentRule,
    is_claimed: impl Fn(&Field) -> bool,
    at: &str,
) -> Result<(), Error> {
    // What belongs to an order is in the order's currency.
    let is_of_an_order = kind.field("sales_order_external_id").is_some_and(&is_claimed);
    for currency in kind.fields.iter().filter(|field| field.field_type == FieldType::Currency) {
        let is_its_amount =
            |field: &&Field| field.field_type == FieldType::Decimal && field.group == currency.group;
        let mut amounts = kind.fields.iter().filter(is_its_amount).filter(|field| is_claimed(field));
        if let (Some(amount), false, false) = (amounts.next(), is_claimed(currency), is_of_an_order) {
            let reason = format!("claims {} without {}", amount.name, currency.name);
            return Err(compiler.error(at, reason).hint("an amount says nothing without its currency"));
        }
    }
    let claims_stock = kind.name == "inventory_level" && kind.fields.iter().any(&is_claimed);
    let names_variant = kind.field("product_variant_external_id").is_some_and(is_claimed);
    if claims_stock && rule.snapshot == Snapshot::Full && !names_variant {
        return Err(compiler.error(at, "lacks product_variant_external_id: stock of what?"));
    }
    Ok(())
}

fn field(
    compiler: &Compiler<'_>,
    kind: &'static Kind,
    name: &str,
    expression: &Expression,
    at: &str,
) -> Result<(&'static str, Mapping), Error> {
    if let Some(children) = &kind.children
        && children.field == name
    {
        return Ok((children.field, compiler.children(expression, children, at)?));
    }
    let Some(field) = kind.field(name) else {
        let mut known: Vec<_> = kind.fields.iter().map(|field| field.document_name()).collect();
        known.extend(kind.children.map(|children| children.field));
        return Err(compiler
            .error(at, format!("{} has no field \"{name}\"", kind.name))
            .hint(format!("one of {}", known.join(", "))));
    };
    Ok((field.document_name(), compiler.mapping(expression, Expected::Field(field), at, 0)?))
}
