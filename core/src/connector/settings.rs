//! An instance's settings and secrets, held to the schemas of its manifest.
//!
//! Those are a small part of JSON Schema: what a form can be made of. A keyword that is not understood is
//! refused with the manifest, and never passed over.

use super::Connector;
use crate::error::{Code, Error};
use crate::mapping::Compiler;
use regex::Regex;
use serde_json::{Map, Value};

/// Keywords that say something to people only.
const NOTES: &[&str] = &["title", "description", "format", "examples", "writeOnly"];

/// How deep schemas may be nested.
const MAX_DEPTH: usize = 8;

impl Connector {
    /// Checks an instance's settings, and fills in the defaults of those that are not given. The error names
    /// the setting.
    pub fn settings(&self, given: &Value) -> Result<Value, Error> {
        let schema = &self.manifest.auth.settings;
        let empty = Value::Object(Map::new());
        let given = if given.is_null() { &empty } else { given };
        if schema.is_null() {
            return Ok(given.clone());
        }
        let settings = with_defaults(schema, given);
        check(schema, &settings, "settings")?;
        Ok(settings)
    }

    /// An instance's settings, and the defaults of those that are not given.
    pub fn with_default_settings(&self, given: &Value) -> Value {
        with_defaults(&self.manifest.auth.settings, given)
    }

    /// Checks the settings of an instance that is being set up. Refused is what cannot be right: a value that
    /// does not fit, a choice that there is not. What is missing yet, or not known, is returned to be told.
    pub fn check_settings(&self, given: &Value) -> Result<Vec<Error>, Error> {
        let told = check_given(&self.manifest.auth.settings, given, "settings")?;
        if let Some(receive) = self.receive() {
            receive.of_instance(given)?;
        }
        Ok(told)
    }

    /// Checks secrets of an instance that is being set up, an object of texts, in the same way. An error names
    /// the secret and tells nothing of it.
    pub fn check_secrets(&self, given: &Value) -> Result<Vec<Error>, Error> {
        check_given(&self.manifest.auth.secrets, given, "secrets").map_err(|error| {
            match error.path.as_deref() {
                Some("secrets") => error,
                // What the error says of a value must not be said of a secret.
                _ => Error { message: "does not fit its schema".to_owned(), ..error },
            }
        })
    }
}

/// Refuses values that do not fit; tells what is missing or not known.
fn check_given(schema: &Value, given: &Value, at: &str) -> Result<Vec<Error>, Error> {
    let (Some(keywords), Some(members)) = (schema.as_object(), given.as_object()) else {
        return match given.is_object() || given.is_null() {
            true => Ok(Vec::new()),
            false => Err(Error::new(Code::InvalidArgument, "must be of type object").at(at)),
        };
    };
    let mut lenient = keywords.clone();
    lenient.remove("required");
    if keywords.get("additionalProperties") == Some(&Value::Bool(false)) {
        lenient.remove("additionalProperties");
    }
    check(&Value::Object(lenient), given, at)?;
    let empty = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&empty);
    let has_default = |name: &str| known.get(name).and_then(|schema| schema.get("default")).is_some();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| !members.contains_key(*name) && !has_default(name));
    let is_closed = schema["additionalProperties"] == Value::Bool(false);
    let unknown = members.keys().filter(|name| is_closed && !known.contains_key(*name));
    let told =
        |name: &str, reason: &str| Error::new(Code::InvalidArgument, reason).at(format!("{at}.{name}"));
    Ok(missing
        .map(|name| told(name, "is required"))
        .chain(unknown.map(|name| told(name, "is not known to the connector type")))
        .collect())
}

/// Adds the defaults of properties that are absent.
fn with_defaults(schema: &Value, given: &Value) -> Value {
    let (Some(properties), Some(given)) = (schema["properties"].as_object(), given.as_object()) else {
        return given.clone();
    };
    let mut filled = given.clone();
    for (name, schema) in properties {
        match (given.get(name), schema.get("default")) {
            (Some(value), _) => {
                filled.insert(name.clone(), with_defaults(schema, value));
            }
            (None, Some(default)) => {
                filled.insert(name.clone(), default.clone());
            }
            (None, None) => {}
        }
    }
    Value::Object(filled)
}

/// Whether a value is of a type, by the name that JSON Schema gives it.
fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.as_i64().is_some() || value.as_u64().is_some(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    }
}

fn check(schema: &Value, value: &Value, at: &str) -> Result<(), Error> {
    let wrong = |reason: String| Err(Error::new(Code::InvalidArgument, reason).at(at));
    let types = types(schema);
    if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
        return wrong(format!("must be of type {}", types.join(" or ")));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let words: Vec<_> = allowed.iter().map(Value::to_string).collect();
        return wrong(format!("must be one of {}", words.join(", ")));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        let is_match = Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
        if !is_match {
            return wrong(format!("must match {pattern}"));
        }
    }
    if let (Some(schema), Some(items)) = (schema.get("items"), value.as_array()) {
        for (index, item) in items.iter().enumerate() {
            check(schema, item, &format!("{at}[{index}]"))?;
        }
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(Error::new(Code::InvalidArgument, "is required").at(format!("{at}.{name}")));
        }
    }
    for (name, value) in members {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(schema), _) => check(schema, value, &at)?,
            (None, Some(Value::Bool(false))) => {
                let known = schema["properties"].as_object().into_iter().flat_map(Map::keys);
                return Err(Error::new(Code::InvalidArgument, "is not known")
                    .at(at)
                    .hint(format!("one of {}", known.cloned().collect::<Vec<_>>().join(", "))));
            }
            (None, Some(schema @ Value::Object(_))) => check(schema, value, &at)?,
            (None, _) => {}
        }
    }
    Ok(())
}

/// Checks a schema: only keywords that are understood, patterns that compile, defaults that fit.
pub(super) fn check_schema(
    compiler: &Compiler<'_>,
    schema: &Value,
    at: &str,
    depth: usize,
) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(compiler.error(at, format!("is nested more than {MAX_DEPTH} deep")));
    }
    let Some(keywords) = schema.as_object() else {
        return Err(compiler.error(at, "must be a JSON Schema, an object"));
    };
    for (keyword, value) in keywords {
        let at = format!("{at}.{keyword}");
        let wrong = |reason: &str| Err(compiler.error(&at, reason));
        match keyword.as_str() {
            "type" => {
                const TYPES: [&str; 7] =
                    ["string", "integer", "number", "boolean", "object", "array", "null"];
                let names = types(schema);
                if names.is_empty() || names.iter().any(|name| !TYPES.contains(name)) {
                    return wrong("is not the name of a type of JSON, or a list of some");
                }
            }
            "properties" => {
                let Some(properties) = value.as_object() else { return wrong("must be an object") };
                for (name, schema) in properties {
                    check_schema(compiler, schema, &format!("{at}.{name}"), depth + 1)?;
                }
            }
            "items" => check_schema(compiler, value, &at, depth + 1)?,
            "additionalProperties" if value.is_boolean() => {}
            "additionalProperties" => check_schema(compiler, value, &at, depth + 1)?,
            "required" if value.as_array().is_some_and(|names| names.iter().all(Value::is_string)) => {}
            "required" => return wrong("must be a list of names"),
            "enum" if value.is_array() => {}
            "enum" => return wrong("must be a list"),
            "pattern" => {
                if value.as_str().is_none_or(|pattern| Regex::new(pattern).is_err()) {
                    return wrong("is not a regular expression");
                }
            }
            "default" => check(schema, value, &at)
                .map_err(|error| compiler.error(&at, format!("does not fit: {}", error.message)))?,
            known if NOTES.contains(&known) => {}
            _ => return wrong("is a keyword of JSON Schema that settings cannot use"),
        }
    }
    Ok(())
}
