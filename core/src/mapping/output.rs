//! From a canonical document to what a destination wants: a flow's field mapping, the body of a push.

use super::{Compiler, Context, Fields, Mapping};
use crate::error::{Code, Error};
use crate::normalize::Headers;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A compiled object of named expressions over a document.
///
/// A member is left out where its expression is absent, and null where that is null. Errors of evaluation name
/// the member, and the place in the document.
#[derive(Debug)]
pub struct FieldMapping(Vec<(String, Mapping)>);

impl FieldMapping {
    /// Reads and compiles an object of expressions, such as a flow's `field_mapping`. `at` is its place, for
    /// errors, which have the code of a manifest's.
    pub fn from_json(fields: &Value, at: &str) -> Result<Self, Error> {
        let shapes = BTreeMap::new();
        Self::compile(&Compiler::of_documents(&shapes), &read(fields, at)?, at)
    }

    /// Compiles what a manifest says of a request's body.
    pub(crate) fn compile(compiler: &Compiler<'_>, fields: &Fields, at: &str) -> Result<Self, Error> {
        let mut members = BTreeMap::new();
        for (name, expression) in fields {
            members.insert(name.as_str(), (expression, format!("{at}.{name}")));
        }
        compiler.members(members, None, 0).map(Self)
    }

    /// What the expressions give for a document: an object. `settings` are those of the destination, or null.
    pub fn evaluate(&self, document: &Value, settings: &Value) -> Result<Value, Error> {
        let headers = Headers::default();
        let context = Context::new(document, &headers, settings, &[]).keeping_null();
        let mut object = Map::new();
        for (name, mapping) in &self.0 {
            let named = |error: Error| Error { message: format!("{name}: {}", error.message), ..error };
            if let Some(value) = mapping.member(context.scope()).map_err(named)? {
                object.insert(name.clone(), value);
            }
        }
        Ok(Value::Object(object))
    }
}

/// Reads a part of the language that stands at `at`.
pub(super) fn read<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, Error> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => at.to_owned(),
            path => format!("{at}.{path}"),
        };
        Error::new(Code::InvalidManifest, error.inner().to_string()).at(place)
    })
}
