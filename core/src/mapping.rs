//! The mapping language: from a platform's JSON to canonical values, and back.
//!
//! An [`Expression`] is what an author writes; [`Mapping`] and [`Condition`] are what it compiles to.
//! Evaluation always ends: there are no loops but over what a payload holds, and a budget of steps per
//! payload bounds even those. It never panics, and amounts never pass through a float.

mod combine;
mod compile;
mod condition;
mod convert;
pub(crate) mod decimal;
mod evaluate;
mod expression;
mod filter;
mod lineage;
mod output;
mod path;
mod reach;
mod reads;
mod scope;
#[cfg(test)]
mod tests;
pub(crate) mod timestamp;

pub(crate) use compile::{Compiler, Expected};
pub use condition::Condition;
pub use evaluate::Found;
pub use expression::{Conversion, Expression, Fields, Matching, Predicate, Rule, State, Zone};
pub(crate) use lineage::Places;
pub use output::FieldMapping;
pub(crate) use path::Path;
pub(crate) use reach::Reached;
pub(crate) use reads::Reads;
pub use scope::{Context, Scope};

use convert::Convert;
use serde_json::Value;
use std::collections::BTreeMap;

/// A compiled expression.
#[derive(Debug, Default)]
pub struct Mapping {
    when: Option<Condition>,
    optional: bool,
    source: Source,
    null_if: Vec<Value>,
    text: Option<Box<TextChange>>,
    split: Option<String>,
    map: Option<BTreeMap<String, Value>>,
    default: Option<Value>,
    /// What the author asked for, then what the canonical field asks for.
    convert: [Convert; 2],
    negate: bool,
    if_null: Option<Value>,
    /// What an error names: the path as written, or the sort of source.
    place: String,
}

/// Changes to a text that keep it a text.
#[derive(Debug, Default, PartialEq)]
struct TextChange {
    trim: bool,
    lower: bool,
    upper: bool,
    strip_prefix: Option<String>,
    after_first: Option<String>,
    after_last: Option<String>,
    before_first: Option<String>,
}

/// Where a mapping's value comes from.
#[derive(Debug, Default)]
enum Source {
    #[default]
    Nowhere,
    Path(Origin, Path),
    /// All that the path leads to, as a list.
    AllOf(Origin, Path),
    Header(String),
    Setting(String),
    Constant(Value),
    Template(Vec<Piece>),
    FirstOf(Vec<Mapping>),
    Join(Vec<Mapping>, String),
    Sum(Vec<Mapping>),
    SumOver(Box<Each>, Vec<Mapping>),
    Product(Vec<Mapping>),
    Latest(Vec<Mapping>),
    Concat(Vec<Mapping>),
    List(Box<Each>, Vec<(String, Mapping)>),
    Pick(Box<Each>, Box<Mapping>),
    Object(Option<(Origin, Path)>, Vec<(String, Mapping)>),
    /// Child rows: a list whose entries get a position and an id that is theirs alone.
    Children(Box<Mapping>),
}

/// What a path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Item,
    Record,
    Payload,
}

/// A piece of a template.
#[derive(Debug)]
enum Piece {
    Literal(String),
    Value(Box<Mapping>),
}

/// Items to go through.
#[derive(Debug)]
struct Each {
    origin: Origin,
    path: Path,
    matching: Option<(Path, Path)>,
    filter: Option<Condition>,
}

impl Mapping {
    /// Whether absence claims nothing, even in a full snapshot.
    pub(crate) fn is_optional(&self) -> bool {
        self.optional
    }

    /// What an error names as the place of the value.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }
}
