//! What a mapping gives: one source's claim about one entity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a document's silence about a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Snapshot {
    /// The whole record: a mapped field that is absent from the payload is claimed to be null.
    Full,
    /// A part of it: a field that is absent is not claimed at all.
    Partial,
}

/// One source's claim about one entity, as a mapping gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The entity kind, see [`super::Kind::name`].
    pub kind: &'static str,
    /// The record's id in its source; 1 to 255 characters.
    pub external_id: String,
    /// What the absence of a field means.
    pub snapshot: Snapshot,
    /// The source says that the record is gone; `fields` is empty then.
    pub is_deleted: bool,
    /// When the source says it last changed, in microseconds since 1970; `None` when it does not say.
    pub source_time: Option<i64>,
    /// The claimed fields by their document names, values as [`super::FieldType`] describes.
    pub fields: Map<String, Value>,
}

impl Document {
    /// The document as SQL's `normalize` shows it: the claimed fields, or `{"is_deleted": true}`.
    pub fn to_json(&self) -> Value {
        if self.is_deleted {
            return Value::Object(Map::from_iter([("is_deleted".to_owned(), Value::Bool(true))]));
        }
        Value::Object(self.fields.clone())
    }
}
