//! Predicates, compiled.

use super::decimal::Decimal;
use super::evaluate::{Found, same, text_of};
use super::output::read;
use super::{Compiler, Context, Expected, Expression, Mapping, Predicate, Scope, State};
use crate::error::Error;
use crate::normalize::Headers;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// What a compiled regular expression may take.
const MAX_PATTERN_BYTES: usize = 64 * 1024;

/// A compiled predicate.
#[derive(Debug)]
pub struct Condition(pub(super) Test);

#[derive(Debug)]
pub(super) enum Test {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Box<Mapping>, Vec<Comparison>),
}

#[derive(Debug)]
pub(super) enum Comparison {
    Is(State),
    OneOf(Vec<Value>),
    SameAs(Mapping),
    StartsWith(String),
    Matches(Regex),
    AtLeast(Mapping),
    MoreThan(Mapping),
}

impl Condition {
    /// Reads and compiles a predicate about documents, such as a flow's filter. `at` is its place, for errors,
    /// which have the code of a manifest's.
    pub fn from_json(predicate: &Value, at: &str) -> Result<Self, Error> {
        let predicate: Predicate = read(predicate, at)?;
        Compiler::of_documents(&Default::default()).condition(&predicate, at, 0)
    }

    /// Whether it holds for a document.
    pub fn holds_for(&self, document: &Value) -> bool {
        let (headers, settings) = (Headers::default(), Value::Null);
        self.holds(Context::new(document, &headers, &settings, &[]).scope())
    }

    /// Whether it holds. What cannot be evaluated does not.
    pub fn holds(&self, scope: Scope<'_>) -> bool {
        match &self.0 {
            Test::All(conditions) => conditions.iter().all(|condition| condition.holds(scope)),
            Test::Any(conditions) => conditions.iter().any(|condition| condition.holds(scope)),
            Test::Not(condition) => !condition.holds(scope),
            Test::Compare(operand, comparisons) => match operand.find(scope) {
                Ok(found) => comparisons.iter().all(|comparison| comparison.holds(&found, scope)),
                Err(_) => false,
            },
        }
    }
}

impl Comparison {
    fn holds(&self, found: &Found<'_>, scope: Scope<'_>) -> bool {
        let value = found.value();
        let compared = |mapping: &Mapping, accept: fn(std::cmp::Ordering) -> bool| {
            let left = value.and_then(|value| Decimal::parse(&text_of(value)?));
            let right = mapping.find(scope).ok();
            let right = right.and_then(|found| Decimal::parse(&text_of(found.value()?)?));
            left.zip(right).and_then(|(left, right)| left.partial_cmp(&right)).is_some_and(accept)
        };
        match self {
            Comparison::Is(State::Present) => !matches!(found, Found::Absent),
            Comparison::Is(State::Absent) => matches!(found, Found::Absent),
            Comparison::Is(State::Set) => value.is_some(),
            Comparison::Is(State::Unset) => value.is_none(),
            Comparison::Is(State::Object) => value.is_some_and(Value::is_object),
            Comparison::Is(State::Array) => value.is_some_and(Value::is_array),
            Comparison::Is(State::Text) => value.is_some_and(Value::is_string),
            Comparison::OneOf(values) => {
                values.iter().any(|other| same(value.unwrap_or(&Value::Null), other))
            }
            Comparison::SameAs(mapping) => {
                let other = mapping.find(scope).ok();
                let other = other.as_ref().and_then(Found::value);
                value.zip(other).is_some_and(|(value, other)| same(value, other))
            }
            Comparison::StartsWith(beginning) => {
                value.and_then(Value::as_str).is_some_and(|text| text.starts_with(beginning.as_str()))
            }
            Comparison::Matches(pattern) => {
                value.and_then(text_of).is_some_and(|text| pattern.is_match(&text))
            }
            Comparison::AtLeast(mapping) => compared(mapping, std::cmp::Ordering::is_ge),
            Comparison::MoreThan(mapping) => compared(mapping, std::cmp::Ordering::is_gt),
        }
    }
}

impl Compiler<'_> {
    /// Compiles a predicate. `at` is its place in the manifest.
    pub(crate) fn condition(
        &self,
        predicate: &Predicate,
        at: &str,
        depth: usize,
    ) -> Result<Condition, Error> {
        self.check_depth(depth, at)?;
        let list = |name: &str, predicates: &[Predicate]| {
            let compile = |(index, predicate): (usize, &Predicate)| {
                self.condition(predicate, &format!("{at}.{name}[{index}]"), depth + 1)
            };
            predicates.iter().enumerate().map(compile).collect::<Result<Vec<_>, Error>>()
        };
        let operand = match (&predicate.path, &predicate.value) {
            (Some(path), None) => Some(self.path_mapping(path, &format!("{at}.path"))?),
            (None, Some(value)) => {
                Some(self.mapping(value, Expected::Raw, &format!("{at}.value"), depth + 1)?)
            }
            (None, None) => None,
            (Some(_), Some(_)) => return Err(self.error(at, "has both path and value; keep one")),
        };
        let logical =
            [predicate.all.is_some(), predicate.any.is_some(), predicate.not.is_some(), operand.is_some()];
        if logical.iter().filter(|is_there| **is_there).count() != 1 {
            return Err(self.error(at, "needs exactly one of all, any, not, path and value"));
        }
        let comparisons = self.comparisons(predicate, at, depth)?;
        if operand.is_some() == comparisons.is_empty() {
            return Err(
                self.error(at, "needs comparisons (is, equals, in, …) with path or value, and only there")
            );
        }
        Ok(Condition(match (&predicate.all, &predicate.any, &predicate.not, operand) {
            (Some(all), ..) => Test::All(list("all", all)?),
            (_, Some(any), ..) => Test::Any(list("any", any)?),
            (_, _, Some(not), _) => {
                Test::Not(Box::new(self.condition(not, &format!("{at}.not"), depth + 1)?))
            }
            (.., Some(operand)) => Test::Compare(Box::new(operand), comparisons),
            _ => return Err(self.error(at, "is empty")),
        }))
    }

    fn comparisons(&self, predicate: &Predicate, at: &str, depth: usize) -> Result<Vec<Comparison>, Error> {
        let mut comparisons = Vec::new();
        comparisons.extend(predicate.is.map(Comparison::Is));
        comparisons.extend(predicate.equals.clone().map(|value| Comparison::OneOf(vec![value])));
        comparisons.extend(predicate.one_of.clone().map(Comparison::OneOf));
        comparisons.extend(predicate.starts_with.clone().map(Comparison::StartsWith));
        if let Some(pattern) = &predicate.matches {
            // The library's match takes time in proportion to text and pattern; the limit is for the pattern.
            let whole = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_PATTERN_BYTES).build();
            let at = format!("{at}.matches");
            let pattern = whole.map_err(|_| {
                self.error(&at, format!("\"{pattern}\" is no regular expression, or too large"))
            })?;
            comparisons.push(Comparison::Matches(pattern));
        }
        let other = |name: &str, expression: &Option<Expression>| {
            let compile = |expression: &Expression| {
                self.mapping(expression, Expected::Raw, &format!("{at}.{name}"), depth + 1)
            };
            expression.as_ref().map(compile).transpose()
        };
        comparisons.extend(other("same_as", &predicate.same_as)?.map(Comparison::SameAs));
        comparisons.extend(other("at_least", &predicate.at_least)?.map(Comparison::AtLeast));
        comparisons.extend(other("more_than", &predicate.more_than)?.map(Comparison::MoreThan));
        Ok(comparisons)
    }
}
