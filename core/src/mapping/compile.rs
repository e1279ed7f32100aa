//! Expressions, checked and compiled.

mod check;
mod source;

use super::convert::{Convert, Zoned};
use super::expression::{Conversion, Expression, Fields, Rule, Zone};
use super::{Condition, Mapping, Source, TextChange, evaluate::Found, timestamp};
use crate::canonical::{Children, Field, FieldType};
use crate::error::{Code, Error};
use crate::mapping::Context;
use crate::normalize::Headers;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How deep expressions may be nested.
const MAX_DEPTH: usize = 16;

/// What an expression has to give.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// Whatever it is.
    Raw,
    /// A canonical field's value.
    Field(&'static Field),
    /// The child rows of an entity.
    Children(&'static Children),
    /// An external id.
    Id,
    /// A time.
    Time,
    /// Text, for a topic or the like.
    Text,
    /// A decimal number to calculate with.
    Number,
    /// Items to go through.
    Items,
}

/// Compiles the expressions of one manifest.
#[derive(Debug)]
pub(crate) struct Compiler<'m> {
    shapes: &'m BTreeMap<String, Fields>,
    /// Whether what is mapped came in a request, with headers.
    has_request: bool,
    /// The settings that an instance can have, where the manifest lists all of them.
    settings: Option<&'m Map<String, Value>>,
}

impl<'m> Compiler<'m> {
    pub fn new(shapes: &'m BTreeMap<String, Fields>) -> Self {
        Self { shapes, has_request: true, settings: None }
    }

    /// The compiler of what is mapped from documents.
    pub fn of_documents(shapes: &'m BTreeMap<String, Fields>) -> Self {
        Self { has_request: false, ..Self::new(shapes) }
    }

    /// The same, for instances with settings that fit this schema.
    pub fn with_settings(self, schema: &'m Value) -> Self {
        let is_closed = schema["additionalProperties"] == Value::Bool(false);
        Self { settings: schema["properties"].as_object().filter(|_| is_closed), ..self }
    }

    /// A setting that is named exists.
    pub fn check_setting(&self, name: &str, at: &str) -> Result<(), Error> {
        match self.settings {
            Some(known) if !known.contains_key(name) => {
                let known = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let error = self.error(at, format!("there is no setting \"{name}\" in auth.settings"));
                Err(error.hint(format!("one of {known}")))
            }
            _ => Ok(()),
        }
    }

    /// An error at a place of the manifest.
    pub fn error(&self, at: &str, reason: impl Into<String>) -> Error {
        Error::new(Code::InvalidManifest, reason).at(at)
    }

    pub fn check_depth(&self, depth: usize, at: &str) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(
                self.error(at, format!("is nested more than {MAX_DEPTH} deep; does a shape use itself?"))
            );
        }
        Ok(())
    }

    /// Compiles a path that stands where an expression could.
    pub fn path_mapping(&self, path: &str, at: &str) -> Result<Mapping, Error> {
        self.mapping(&Expression::Path(path.to_owned()), Expected::Raw, at, 0)
    }

    /// Compiles the list of an entity's child rows.
    pub fn children(
        &self,
        expression: &Expression,
        children: &'static Children,
        at: &str,
    ) -> Result<Mapping, Error> {
        let list = self.mapping(expression, Expected::Children(children), at, 0)?;
        let optional = list.optional;
        Ok(Mapping { optional, source: Source::Children(Box::new(list)), ..Mapping::default() })
    }

    /// Compiles an expression. `at` is its place in the manifest.
    pub fn mapping(
        &self,
        expression: &Expression,
        expected: Expected,
        at: &str,
        depth: usize,
    ) -> Result<Mapping, Error> {
        self.check_depth(depth, at)?;
        let from_path;
        let rule = match expression {
            Expression::Rule(rule) => rule.as_ref(),
            Expression::Path(path) => {
                from_path = Rule { path: Some(path.clone()), ..Rule::default() };
                &from_path
            }
        };
        if let Expected::Field(Field { field_type: FieldType::Vocabulary(words), .. }) = expected {
            self.check_words(rule, words, at)?;
        }
        let asked = self.asked(rule, at, depth)?;
        let needed = self.needed(rule, expected, &asked, at)?;
        let gathers =
            matches!(asked, Convert::List | Convert::Json) || matches!(needed, Convert::List | Convert::Json);
        let source = self.source(rule, expected, gathers, at, depth)?;
        let change = TextChange::of(rule);
        let is_changed = change != TextChange::default();
        let when = rule.when.as_ref();
        let mut mapping = Mapping {
            when: when.map(|when| self.condition(when, &format!("{at}.when"), depth + 1)).transpose()?,
            optional: rule.optional,
            source,
            null_if: rule.null_if.clone(),
            text: is_changed.then(|| Box::new(change)),
            split: rule.split.clone(),
            map: rule.map.clone(),
            default: rule.default.clone(),
            convert: [asked, needed],
            negate: rule.negate,
            if_null: None,
            place: place(rule),
        };
        self.check_options(rule, at)?;
        mapping.if_null = self.stand_in(&mapping, rule, at)?;
        if converts_choices(rule) {
            mapping.convert = Default::default();
        }
        Ok(mapping)
    }

    /// The conversion that the author asks for.
    fn asked(&self, rule: &Rule, at: &str, depth: usize) -> Result<Convert, Error> {
        let conversion = rule.conversion.or(rule.zone.is_some().then_some(Conversion::Timestamp));
        Ok(match conversion {
            None => Convert::Nothing,
            Some(Conversion::String) => Convert::LongText,
            Some(Conversion::Integer) => Convert::Integer,
            Some(Conversion::Decimal) => Convert::Decimal,
            Some(Conversion::Number) => Convert::Number,
            Some(Conversion::Boolean) => Convert::Boolean,
            Some(Conversion::Timestamp) => Convert::Timestamp(self.zone(rule, at)?),
            Some(Conversion::Unix) => Convert::Unix,
            Some(Conversion::UnixMs) => Convert::UnixMs,
            Some(Conversion::MinorUnits) => {
                let Some(currency) = &rule.currency else {
                    return Err(self.error(at, "as = \"minor_units\" needs the currency"));
                };
                let at = format!("{at}.currency");
                Convert::MinorUnits(Box::new(self.mapping(currency, Expected::Raw, &at, depth + 1)?))
            }
            Some(Conversion::List) => Convert::List,
            Some(Conversion::Json) => Convert::Json,
        })
    }

    /// The conversion that the canonical field asks for.
    fn needed(&self, rule: &Rule, expected: Expected, asked: &Convert, at: &str) -> Result<Convert, Error> {
        let time = || match asked {
            Convert::Timestamp(_) => Ok(Convert::Nothing),
            _ => Ok(Convert::Timestamp(self.zone(rule, at)?)),
        };
        Ok(match expected {
            Expected::Raw | Expected::Items | Expected::Children(_) => Convert::Nothing,
            Expected::Id => Convert::Id,
            Expected::Time => time()?,
            Expected::Text => Convert::Text,
            Expected::Number => Convert::Decimal,
            Expected::Field(field) => match field.field_type {
                FieldType::Text if field.name.ends_with("_html") => Convert::LongText,
                FieldType::Text => Convert::Text,
                FieldType::Integer => Convert::Integer,
                FieldType::Decimal => Convert::Decimal,
                FieldType::Boolean => Convert::Boolean,
                FieldType::Timestamp => time()?,
                FieldType::Currency => Convert::Currency,
                FieldType::Vocabulary(words) => Convert::Vocabulary(words),
                FieldType::TextList => Convert::List,
                FieldType::Json => Convert::Json,
                FieldType::Reference(_) => Convert::Id,
            },
        })
    }

    fn zone(&self, rule: &Rule, at: &str) -> Result<Zoned, Error> {
        match &rule.zone {
            None => Ok(Zoned::Unknown),
            Some(Zone::Setting(name)) => {
                self.check_setting(name, &format!("{at}.zone"))?;
                Ok(Zoned::Setting(name.clone()))
            }
            Some(Zone::Named(name)) => timestamp::zone(name).map(Zoned::Fixed).ok_or_else(|| {
                self.error(&format!("{at}.zone"), format!("there is no time zone \"{name}\""))
            }),
        }
    }

    /// What null becomes, converted as the rest is.
    fn stand_in(&self, mapping: &Mapping, rule: &Rule, at: &str) -> Result<Option<Value>, Error> {
        let Some(value) = &rule.if_null else { return Ok(None) };
        let (headers, nothing) = (Headers::default(), Value::Null);
        let context = Context::new(&nothing, &headers, &nothing, &[]);
        let mut found = Found::Owned(value.clone());
        for convert in &mapping.convert {
            found = convert.apply(found, context.scope()).map_err(|_| {
                self.error(&format!("{at}.if_null"), format!("{value} is not what this field holds"))
            })?;
        }
        Ok(found.into_value())
    }
}

/// Whether nothing is done to what `first_of` finds but the last conversion, so that each choice can be
/// converted by itself.
fn converts_choices(rule: &Rule) -> bool {
    rule.first_of.is_some()
        && rule.map.is_none()
        && rule.split.is_none()
        && rule.conversion.is_none()
        && rule.zone.is_none()
        && rule.null_if.is_empty()
        && TextChange::of(rule) == TextChange::default()
}

/// What an error names as the place of a value.
fn place(rule: &Rule) -> String {
    let path = rule.path.as_ref().or(rule.record.as_ref()).or(rule.payload.as_ref());
    path.cloned().unwrap_or_else(|| "$".to_owned())
}

impl TextChange {
    fn of(rule: &Rule) -> Self {
        Self {
            trim: rule.trim,
            lower: rule.lower,
            upper: rule.upper,
            strip_prefix: rule.strip_prefix.clone(),
            after_first: rule.after_first.clone(),
            after_last: rule.after_last.clone(),
            before_first: rule.before_first.clone(),
        }
    }
}

impl Condition {
    /// The condition under which a document is mapped, for a rule that has none.
    pub(crate) fn optional(
        compiler: &Compiler<'_>,
        predicate: Option<&super::Predicate>,
        at: &str,
    ) -> Result<Option<Self>, Error> {
        predicate.map(|predicate| compiler.condition(predicate, at, 0)).transpose()
    }
}
