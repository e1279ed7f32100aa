//! The mapping language as an author writes it.
//!
//! An expression is a path (`"$.total_price"`) or a table: one *source*, then conversions. The order of
//! the keys in a table does not matter; they always apply in this order:
//!
//! 1. `when`: if it does not hold, the expression says nothing;
//! 2. the source: `path`, `record`, `payload`, `header`, `setting`, `constant`, `template`, `first_of`,
//!    `join`, `sum`, `product`, `latest`, `concat`, `each`, or `fields`/`use` alone;
//! 3. the manifest's `null_values` and the expression's own `null_if` become null;
//! 4. `strip_prefix`, `after_first`, `after_last`, `before_first`, `trim`, `lower`, `upper`, `split`;
//! 5. `map`, with `default` for what it does not list;
//! 6. `as` (where it is left out, the canonical field's type decides), `negate`;
//! 7. `if_null`, when all this gave null.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Named expressions, such as the fields of a document.
pub type Fields = BTreeMap<String, Expression>;

/// A path alone, or a source with its conversions.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A JSONPath from the item being mapped: `"$.name"`.
    Path(String),
    /// Everything else.
    Rule(Box<Rule>),
}

/// A source and what is done to its value. See the module for the order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Only when this holds; otherwise the expression says nothing (it is absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Predicate>,

    /// A claim only where the payload speaks of it: absence says nothing here, not even in a full
    /// snapshot. For what some versions of a platform leave out.
    #[serde(skip_serializing_if = "is_false")]
    pub optional: bool,

    /// Source: a JSONPath from the item being mapped. With `fields` or `use`: what it finds is the item
    /// that those are mapped from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Source: a JSONPath from the record, however deep the item being mapped is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Source: a JSONPath from the whole body, envelopes included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Source: a request header, or `:path` or `:query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Source: a setting of the connector, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// Source: this very value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<Value>,
    /// Source: text with `{name}` placeholders out of `with`; null as soon as one of those is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What a template's placeholders stand for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub with: Fields,
    /// Source: the first of these that is neither absent nor null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_of: Option<Vec<Expression>>,
    /// Source: these as text, one after the other; nulls are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<Vec<Expression>>,
    /// What stands between the parts of a `join`; a blank when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Source: the exact sum; nulls are left out, and null if there is nothing but nulls. A path counts
    /// all it finds. With `each`: summed over its items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<Vec<Expression>>,
    /// Source: the exact product; null as soon as one factor is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Vec<Expression>>,
    /// Source: the latest of these times, which have an offset; nulls are left out. A path counts all it
    /// finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Vec<Expression>>,
    /// Source: these lists, one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concat: Option<Vec<Expression>>,

    /// Source: an object for every item this finds, mapped by `fields` and `use`; or `sum` or `pick` over
    /// the items. A path, or a table with `record` or `payload`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<Expression>,
    /// With `each`: only the items that belong to the one being mapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<Matching>,
    /// With `each`: only the items for which this holds.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<Predicate>,
    /// With `each`: this of the first item that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pick: Option<Expression>,
    /// The members of an object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: Fields,
    /// The members of an object, out of the manifest's `shapes`; `fields` come on top.
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,

    /// Values that mean null here, in addition to the manifest's `null_values`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub null_if: Vec<Value>,
    /// Removes white space at both ends.
    #[serde(skip_serializing_if = "is_false")]
    pub trim: bool,
    /// Lower case.
    #[serde(skip_serializing_if = "is_false")]
    pub lower: bool,
    /// Upper case.
    #[serde(skip_serializing_if = "is_false")]
    pub upper: bool,
    /// Removes this from the beginning, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Keeps only what stands after the first of these, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_first: Option<String>,
    /// Keeps only what stands after the last of these: of `gid://shopify/Order/1`, after `/`, the `1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_last: Option<String>,
    /// Keeps only what stands before the first of these: of `items(1)/picture`, before `(`, the `items`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_first: Option<String>,
    /// Splits text into a list here; entries are trimmed, empty ones left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What the source's words mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<BTreeMap<String, Value>>,
    /// What a word means that `map` does not list; without it, such a word is kept as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The conversion; left out, the canonical field's type decides.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
    /// For times without an offset: an IANA zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// For `minor_units`: the currency they are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Expression>,
    /// Turns the sign of a decimal.
    #[serde(skip_serializing_if = "is_false")]
    pub negate: bool,
    /// What null means; what absence means too, where absence means null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_null: Option<Value>,
}

/// How a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conversion {
    /// Text; numbers keep the digits they came with.
    String,
    /// A whole number within ±2^53.
    Integer,
    /// Decimal digits as text, never by way of a float.
    Decimal,
    /// The same digits as a JSON number, for destinations that want one.
    Number,
    /// `true`, `false`, and 1, 0, "yes", "no" and the like.
    Boolean,
    /// RFC 3339, or a time without offset in `zone`; a date alone is its midnight.
    Timestamp,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
    /// Cents, as a decimal amount in `currency`.
    MinorUnits,
    /// A list of texts.
    List,
    /// Whatever JSON it is.
    Json,
}

/// The zone of times that come without an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    /// An IANA name.
    Named(String),
    /// A connector's setting that holds an IANA name; UTC where it is not set.
    Setting(String),
}

/// Which items of an `each` belong to the item being mapped: those where both are equal as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// A path from the item of the `each`; one of what it finds must be equal.
    pub item: String,
    /// A path from the item being mapped; one of what it finds must be equal.
    pub own: String,
}

/// A question with yes or no for an answer.
///
/// One of `all`, `any` and `not`; or an operand (`path`, or any expression as `value`) with the
/// comparisons that must all hold for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Predicate {
    /// All of these hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<Predicate>>,
    /// At least one of these holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<Predicate>>,
    /// This does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Predicate>>,

    /// The operand: a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The operand: an expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Expression>,
    /// The operand is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<State>,
    /// The operand is this value. Texts and numbers are equal when they are written alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// The operand is one of these values.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Value>>,
    /// The operand is the same as this, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<Expression>,
    /// The operand is text that begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_with: Option<String>,
    /// The operand is text, all of which matches this regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// The operand is a decimal number not less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Expression>,
    /// The operand is a decimal number greater than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_than: Option<Expression>,
}

/// What can be asked about a value's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The path leads somewhere, if only to null.
    Present,
    /// The path leads nowhere.
    Absent,
    /// There is a value, and not one that means null.
    Set,
    /// Absent, null, or a value that means null.
    Unset,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// A JSON string.
    Text,
}

fn is_false(value: &bool) -> bool {
    !value
}

// Not `#[serde(untagged)]`: that would lose the place of a mistake, and numbers with it (serde_json's
// arbitrary precision does not survive serde's buffering).
impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Expression;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a path such as \"$.name\", or a table")
            }
            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Expression, E> {
                Ok(Expression::Path(path.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expression, A::Error> {
                let rule = Rule::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Expression::Rule(Box::new(rule)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A JSONPath (RFC 9535) alone, or a source with its conversions.",
            "anyOf": [{"type": "string", "pattern": "^\\$"}, generator.subschema_for::<Rule>()],
        })
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Expression::Path(path) => serializer.serialize_str(path),
            Expression::Rule(rule) => rule.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(Zone::Named(name)),
            Value::Object(table) if table.len() == 1 => match table.get("setting") {
                Some(Value::String(name)) => Ok(Zone::Setting(name.clone())),
                _ => Err(D::Error::custom("a zone's table must be { setting = \"name\" }")),
            },
            _ => Err(D::Error::custom("a zone must be a name or { setting = \"name\" }")),
        }
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An IANA zone, or the connector's setting that names one; UTC where it is not set.",
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"setting": {"type": "string"}},
                    "required": ["setting"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Zone::Named(name) => serializer.serialize_str(name),
            Zone::Setting(name) => BTreeMap::from([("setting", name)]).serialize(serializer),
        }
    }
}
