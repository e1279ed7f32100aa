//! The semantic check of a manifest: everything that can be known before the first payload comes.

mod receive;

use super::settings::check_schema;
use super::{
    CompiledDocument, CompiledEntity, CompiledReceive, Connector, DocumentRule, Entity, Envelope, KeyPart,
    Manifest, Receive,
};
use crate::canonical::Kind;
use crate::error::{Code, Error};
use crate::mapping::{Compiler, Condition, Expected, Expression, Mapping, Path};
use std::collections::BTreeMap;

/// Checks and compiles a manifest.
pub(super) fn connector(manifest: Manifest) -> Result<Connector, Error> {
    let named = |error: Error| Error {
        message: format!("manifest \"{}\": {}", manifest.connector_type, error.message),
        ..error
    };
    let compiler = Compiler::new(&manifest.shapes);
    check_name(&compiler, &manifest).map_err(named)?;
    for (schema, at) in [(&manifest.auth.settings, "auth.settings"), (&manifest.auth.secrets, "auth.secrets")]
    {
        if !schema.is_null() {
            check_schema(&compiler, schema, at, 0).map_err(named)?;
        }
    }
    let receive = match &manifest.receive {
        Some(receive) => compile_receive(&compiler, receive).map_err(named)?,
        None => CompiledReceive::default(),
    };
    let entities = compile_entities(&compiler, &manifest).map_err(named)?;
    let envelopes = compile_envelopes(&manifest).map_err(named)?;
    Ok(Connector { receive, envelopes, entities, manifest })
}

fn check_name(compiler: &Compiler<'_>, manifest: &Manifest) -> Result<(), Error> {
    let name = &manifest.connector_type;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_name) {
        return Err(compiler.error("type", "must be lower-case letters, digits and dashes, at most 63"));
    }
    Ok(())
}

fn compile_receive(compiler: &Compiler<'_>, receive: &Receive) -> Result<CompiledReceive, Error> {
    receive::check(compiler, receive)?;
    if receive.response_status.is_some_and(|status| !(200..300).contains(&status)) {
        return Err(compiler.error("receive.response_status", "must be a 2xx status"));
    }
    for (index, part) in receive.idempotency.iter().enumerate() {
        let has_source = match part {
            KeyPart::DeliveryId => receive.delivery_id.is_some(),
            KeyPart::Topic => receive.topic.is_some(),
            KeyPart::EmittedAt => receive.emitted_at.is_some(),
            KeyPart::Body => true,
        };
        if !has_source {
            let reason = "names a part that the receive section says nothing about";
            return Err(compiler.error(&format!("receive.idempotency[{index}]"), reason));
        }
    }
    let mapping = |expression: &Option<Expression>, expected, name: &str| {
        let compile = |expression| compiler.mapping(expression, expected, &format!("receive.{name}"), 0);
        expression.as_ref().map(compile).transpose()
    };
    let path = |(index, path): (usize, &String)| {
        let at = format!("receive.events[{index}]");
        Path::compile(path).map_err(|error| error.at(at))
    };
    Ok(CompiledReceive {
        events: receive.events.iter().enumerate().map(path).collect::<Result<_, _>>()?,
        topic: mapping(&receive.topic, Expected::Text, "topic")?,
        delivery_id: mapping(&receive.delivery_id, Expected::Text, "delivery_id")?,
        emitted_at: mapping(&receive.emitted_at, Expected::Time, "emitted_at")?,
        shop: mapping(&receive.shop, Expected::Text, "shop")?,
    })
}

fn compile_envelopes(manifest: &Manifest) -> Result<Vec<Envelope>, Error> {
    let compile = |(index, text): (usize, &String)| match text.starts_with('$') {
        true => {
            Path::compile(text).map(Envelope::Path).map_err(|error| error.at(format!("envelopes[{index}]")))
        }
        false => Ok(Envelope::Key(text.clone())),
    };
    manifest.envelopes.iter().enumerate().map(compile).collect()
}

fn compile_entities(compiler: &Compiler<'_>, manifest: &Manifest) -> Result<Vec<CompiledEntity>, Error> {
    let mut owners = BTreeMap::new();
    for (name, entity) in &manifest.entities {
        for topic in &entity.topics {
            if let Some(other) = owners.insert(topic, name) {
                let reason = format!("topic \"{topic}\" also belongs to {other}");
                return Err(compiler.error(&format!("entities.{name}.topics"), reason));
            }
        }
    }
    let mut in_order: Vec<_> = manifest.entities.iter().collect();
    in_order.sort_by_key(|(_, entity)| entity.rank);
    in_order.into_iter().map(|(name, entity)| compile_entity(compiler, name, entity)).collect()
}

fn compile_entity(compiler: &Compiler<'_>, name: &str, entity: &Entity) -> Result<CompiledEntity, Error> {
    let at = format!("entities.{name}");
    if entity.documents.is_empty() {
        return Err(compiler.error(&at, "gives no documents"));
    }
    let document = |(index, rule): (usize, &DocumentRule)| {
        let at = format!("{at}.documents[{index}]");
        let is_stub = rule.stub || entity.stub;
        if is_stub && !(rule.fields.is_empty() && rule.shape.is_none()) {
            return Err(compiler.error(&at, "is a stub, and claims fields"));
        }
        Ok(CompiledDocument { stub: is_stub, ..compile_document(compiler, rule, &at)? })
    };
    Ok(CompiledEntity {
        topics: entity.topics.clone(),
        single: entity.single.clone(),
        list: entity.list.clone(),
        detect: Condition::optional(compiler, entity.detect.as_ref(), &format!("{at}.detect"))?,
        documents: entity.documents.iter().enumerate().map(document).collect::<Result<_, _>>()?,
    })
}

fn compile_document(
    compiler: &Compiler<'_>,
    rule: &DocumentRule,
    at: &str,
) -> Result<CompiledDocument, Error> {
    let kind = Kind::named(&rule.kind)
        .map_err(|error| Error { code: Code::InvalidManifest, ..error }.at(format!("{at}.kind")))?;
    let mapping = |expression: &Option<Expression>, expected, name: &str| {
        let compile = |expression| compiler.mapping(expression, expected, &format!("{at}.{name}"), 0);
        expression.as_ref().map(compile).transpose()
    };
    let condition = |predicate: &Option<_>, name: &str| {
        Condition::optional(compiler, predicate.as_ref(), &format!("{at}.{name}"))
    };
    if rule.deleted && !(rule.fields.is_empty() && rule.shape.is_none()) {
        return Err(compiler.error(at, "claims fields of a record that is gone"));
    }
    let fields = compiler.fields(rule.shape.as_deref(), &rule.fields, at)?;
    let fields =
        fields.into_iter().map(|(name, (expression, at))| field(compiler, kind, name, expression, &at));
    Ok(CompiledDocument {
        kind,
        when: condition(&rule.when, "when")?,
        each: mapping(&rule.each, Expected::Items, "each")?,
        external_id: compiler.mapping(&rule.external_id, Expected::Id, &format!("{at}.external_id"), 0)?,
        source_time: mapping(&rule.source_time, Expected::Time, "source_time")?,
        snapshot: rule.snapshot,
        full_when: condition(&rule.full_when, "full_when")?,
        stub: rule.stub,
        deleted: rule.deleted,
        deleted_when: condition(&rule.deleted_when, "deleted_when")?,
        fields: fields.collect::<Result<_, _>>()?,
    })
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
