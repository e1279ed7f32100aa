//! One record to its documents.

use super::detect::Records;
use crate::canonical::{Document, Snapshot};
use crate::connector::{CompiledDocument, CompiledEntity};
use crate::error::{Code, Error};
use crate::mapping::{Found, Scope};
use serde_json::{Map, Value};

/// The documents of a record, in the manifest's order.
pub(super) fn of_record(entity: &CompiledEntity, scope: Scope<'_>, found: &mut Records) -> Result<(), Error> {
    for rule in &entity.documents {
        match &rule.each {
            None => add(rule, of_item(rule, scope)?, found),
            Some(each) => {
                for item in each.items(scope)?.into_iter().flatten() {
                    add(rule, of_item(rule, scope.of_item(item))?, found);
                }
            }
        }
    }
    Ok(())
}

fn add(rule: &CompiledDocument, document: Option<Document>, found: &mut Records) {
    match document {
        Some(stub) if rule.stub && !stub.is_deleted => found.fetch(stub.kind, stub.external_id),
        document => found.documents.extend(document),
    }
}

fn of_item(rule: &CompiledDocument, scope: Scope<'_>) -> Result<Option<Document>, Error> {
    if rule.when.as_ref().is_some_and(|when| !when.holds(scope)) {
        return Ok(None);
    }
    let kind = rule.kind.name;
    let named =
        |field: &str, error: Error| Error { message: format!("{kind}.{field}: {}", error.message), ..error };
    let external_id = match rule.external_id.find(scope).map_err(|error| named("external_id", error))? {
        Found::Owned(Value::String(id)) => id,
        _ => {
            return Err(
                Error::new(Code::MappingFailed, format!("{kind} has no id")).at(rule.external_id.place())
            );
        }
    };
    let source_time = match &rule.source_time {
        Some(mapping) => mapping.time(scope).map_err(|error| named("source_time", error))?,
        None => None,
    };
    let holds = |condition: &Option<_>, otherwise| {
        condition.as_ref().map_or(otherwise, |condition: &crate::mapping::Condition| condition.holds(scope))
    };
    let is_full = rule.snapshot == Snapshot::Full && holds(&rule.full_when, true);
    let is_deleted = rule.deleted || holds(&rule.deleted_when, false);
    let fields = if is_deleted { Map::new() } else { fields(rule, scope.full(is_full), named)? };
    Ok(Some(Document {
        kind,
        external_id,
        snapshot: if is_full { Snapshot::Full } else { Snapshot::Partial },
        is_deleted,
        source_time,
        fields,
    }))
}

fn fields(
    rule: &CompiledDocument,
    scope: Scope<'_>,
    named: impl Fn(&str, Error) -> Error,
) -> Result<Map<String, Value>, Error> {
    // They are sorted by name, and a map of sorted members is made faster at once.
    let mut fields = Vec::with_capacity(rule.fields.len());
    for (name, mapping) in &rule.fields {
        let value = match mapping.find(scope).map_err(|error| named(name, error))? {
            Found::Absent if !scope.is_full || mapping.is_optional() => continue,
            Found::Absent | Found::Null => Value::Null,
            Found::Borrowed(value) => value.clone(),
            Found::Owned(value) => value,
        };
        fields.push(((*name).to_owned(), value));
    }
    Ok(fields.into_iter().collect())
}
