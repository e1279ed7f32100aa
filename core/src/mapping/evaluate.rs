//! Evaluation of compiled expressions.

use super::combine::{add, concat, first_of, join, latest, number_children, template};
use super::convert::{Convert, Reason};
use super::decimal::Decimal;
use super::{Each, Mapping, Origin, Path, Scope, Source, TextChange, convert, timestamp};
use crate::error::{Code, Error};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;

/// What an expression gives. Absent is not null: absent claims nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'a> {
    /// The payload does not speak of it.
    Absent,
    /// The payload says that there is none.
    Null,
    /// A value as it stands in the payload or the manifest.
    Borrowed(&'a Value),
    /// A value that was made.
    Owned(Value),
}

impl<'a> Found<'a> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Found::Borrowed(value) => Some(value),
            Found::Owned(value) => Some(value),
            Found::Absent | Found::Null => None,
        }
    }

    /// The value, if there is one, made one's own.
    pub fn into_value(self) -> Option<Value> {
        match self {
            Found::Borrowed(value) => Some(value.clone()),
            Found::Owned(value) => Some(value),
            Found::Absent | Found::Null => None,
        }
    }

    fn of(value: Option<&'a Value>) -> Self {
        match value {
            None => Found::Absent,
            Some(Value::Null) => Found::Null,
            Some(value) => Found::Borrowed(value),
        }
    }

    fn made(value: Option<Value>) -> Self {
        value.map_or(Found::Null, Found::Owned)
    }
}

/// So many keys are looked through one by one.
const FEW: usize = 8;

/// A text, a number's digits as they came, or a boolean's name; `None` for lists, objects and null.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Borrowed(number.as_str())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        _ => None,
    }
}

/// Whether two values are the same, or are written alike: `1` and `"1"`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    a == b || text_of(a).zip(text_of(b)).is_some_and(|(a, b)| a == b)
}

impl Mapping {
    /// Evaluates the expression.
    pub fn find<'a>(&'a self, scope: Scope<'a>) -> Result<Found<'a>, Error> {
        scope.spend(1)?;
        if self.when.as_ref().is_some_and(|when| !when.holds(scope)) {
            return Ok(Found::Absent);
        }
        // Most are a path, found here and not by way of a result that is several times as large.
        let mut found = match &self.source {
            Source::Path(origin, path) => Found::of(path.first(origin.of(scope))),
            _ => self.source(scope)?,
        };
        // The platform's spellings of null are found in payloads; a list that was made is what it is.
        let is_spelt_null = matches!(found, Found::Borrowed(value) if scope.means_null(value));
        if is_spelt_null || found.value().is_some_and(|value| self.null_if.contains(value)) {
            found = Found::Null;
        }
        if found.value().is_none() {
            return Ok(self.or_stand_in(found, scope));
        }
        if let Some(change) = &self.text {
            found = change.apply(found);
        }
        if let (Some(separator), Some(Value::String(text))) = (&self.split, found.value()) {
            let parts = text.split(separator.as_str()).map(|part| Value::String(part.trim().to_owned()));
            found = Found::Owned(Value::Array(parts.collect()));
        }
        if let Some(map) = &self.map {
            found = match found.value().and_then(text_of).and_then(|word| map.get(word.as_ref())) {
                Some(meaning) => Found::of(Some(meaning)),
                None => match (&self.default, found.value()) {
                    (Some(default), Some(_)) => Found::of(Some(default)),
                    _ => found,
                },
            };
        }
        for convert in &self.convert {
            if matches!(convert, Convert::Nothing) || found.value().is_none() {
                continue;
            }
            // The value is only looked at again to name it in an error.
            let failed = |reason| self.failure(reason, self.source(scope).ok());
            found = convert.apply(found, scope).map_err(failed)?;
        }
        if self.negate {
            let negated = found.value().and_then(text_of).and_then(|text| Decimal::parse(&text));
            found = match negated {
                Some(number) => Found::made(number.negate().to_text().map(Value::String)),
                None => found,
            };
        }
        Ok(self.or_stand_in(found, scope))
    }

    fn or_stand_in<'a>(&'a self, found: Found<'a>, scope: Scope<'a>) -> Found<'a> {
        match (&found, &self.if_null) {
            (Found::Null, Some(value)) => Found::Borrowed(value),
            (Found::Absent, Some(value)) if scope.is_full && !self.optional => Found::Borrowed(value),
            _ => found,
        }
    }

    /// The value as a member of an object; `None` where the object is to have no such member.
    pub(super) fn member(&self, scope: Scope<'_>) -> Result<Option<Value>, Error> {
        Ok(match self.find(scope)? {
            Found::Null => scope.keeps_null().then_some(Value::Null),
            found => found.into_value(),
        })
    }

    /// The value as text, where it is one and there are no mistakes.
    pub(crate) fn text(&self, scope: &Scope<'_>) -> Option<String> {
        let found = self.find(*scope).ok()?;
        found.value().and_then(text_of).map(|text| convert::without_nul(&text))
    }

    /// The value as microseconds since 1970, where it is a time.
    pub(crate) fn microseconds(&self, scope: &Scope<'_>) -> Option<i64> {
        self.time(*scope).ok().flatten()
    }

    /// The value as microseconds since 1970.
    pub(crate) fn time(&self, scope: Scope<'_>) -> Result<Option<i64>, Error> {
        let found = self.find(scope)?;
        let text = found.value().and_then(text_of);
        Ok(text.and_then(|text| timestamp::parse(&text, None)).map(|time| time.as_microsecond()))
    }

    /// The items that an `each` goes through, `None` where there is no such list.
    pub(crate) fn items<'a>(&'a self, scope: Scope<'a>) -> Result<Option<Vec<&'a Value>>, Error> {
        match &self.source {
            Source::List(each, _) => each.items(scope),
            _ => Ok(None),
        }
    }

    fn source<'a>(&'a self, scope: Scope<'a>) -> Result<Found<'a>, Error> {
        Ok(match &self.source {
            Source::Nowhere => Found::Absent,
            Source::Path(origin, path) => Found::of(path.first(origin.of(scope))),
            Source::AllOf(origin, path) => match gather(path, origin.of(scope)) {
                Some(values) => {
                    let copies = values.into_iter().map(|value| convert::json(value, scope));
                    Found::Owned(Value::Array(copies.collect::<Result<_, _>>()?))
                }
                None => Found::Absent,
            },
            Source::Header(name) => match scope.header(name) {
                Some("") => Found::Null,
                Some(text) => Found::Owned(Value::String(text.to_owned())),
                None => Found::Absent,
            },
            Source::Setting(name) => Found::of(scope.setting(name)),
            Source::Constant(value) => Found::of(Some(value)),
            Source::Template(pieces) => template(pieces, scope)?,
            Source::FirstOf(mappings) => first_of(mappings, scope)?,
            Source::Join(mappings, separator) => join(mappings, separator, scope)?,
            Source::Sum(terms) => {
                let mut total = None;
                let is_present = add(terms, scope, &mut total)?;
                self.number(total, is_present)?
            }
            Source::SumOver(each, terms) => match each.items(scope)? {
                None => Found::Absent,
                Some(items) => {
                    let mut total = None;
                    for (index, item) in items.into_iter().enumerate() {
                        add(terms, scope.of_item(item), &mut total)
                            .map_err(|error| each.locate(error, index))?;
                    }
                    self.number(total, true)?
                }
            },
            Source::Product(factors) => self.product(factors, scope)?,
            Source::Latest(mappings) => latest(mappings, scope)?,
            Source::Concat(mappings) => concat(mappings, scope)?,
            Source::List(each, members) => match each.items(scope)? {
                None => Found::Absent,
                Some(items) => {
                    let mut list = Vec::with_capacity(items.len());
                    for (index, item) in items.into_iter().enumerate() {
                        let object = object(members, scope.of_item(item).full(true))
                            .map_err(|error| each.locate(error, index))?;
                        list.push(Value::Object(object));
                    }
                    Found::Owned(Value::Array(list))
                }
            },
            Source::Pick(each, mapping) => {
                let mut picked = Found::Absent;
                for item in each.items(scope)?.into_iter().flatten() {
                    picked = mapping.find(scope.of_item(item))?;
                    if picked.value().is_some() {
                        break;
                    }
                }
                picked
            }
            // Of a part of the record one cannot tell what an object made of its members lacks.
            Source::Object(None, _) if !scope.is_full => Found::Absent,
            Source::Object(at, members) => {
                let item = match at {
                    None => Some(scope.item),
                    Some((origin, path)) => path.first(origin.of(scope)),
                };
                match item {
                    None => Found::Absent,
                    Some(item) if scope.means_null(item) => Found::Null,
                    Some(item) => {
                        let object =
                            object(members, scope.of_item(item).full(true)).map_err(|error| match at {
                                Some((_, path)) => within(path.text(), error),
                                None => error,
                            })?;
                        Found::made((!object.is_empty()).then_some(Value::Object(object)))
                    }
                }
            }
            Source::Children(list) => match list.find(scope)? {
                Found::Absent => Found::Absent,
                found => match found.into_value() {
                    Some(Value::Array(children)) => Found::Owned(Value::Array(number_children(children))),
                    _ => Found::Null,
                },
            },
        })
    }

    fn product<'a>(&self, factors: &[Mapping], scope: Scope<'_>) -> Result<Found<'a>, Error> {
        let mut product: Option<Decimal> = None;
        for factor in factors {
            match factor.find(scope)? {
                Found::Absent => return Ok(Found::Absent),
                found => match found.value() {
                    None => return Ok(Found::Null),
                    Some(value) => {
                        let number = factor.read_number(value)?;
                        product = Some(match product {
                            Some(product) => product.multiply(&number),
                            None => number,
                        });
                    }
                },
            }
        }
        self.number(product, true)
    }

    pub(super) fn read_number(&self, value: &Value) -> Result<Decimal, Error> {
        let number = text_of(value).and_then(|text| Decimal::parse(&text));
        number.ok_or_else(|| {
            let found = Found::Owned(value.clone());
            self.failure(Reason::Is(convert::A_DECIMAL), Some(found))
        })
    }

    pub(super) fn read_time(&self, value: &Value) -> Result<Timestamp, Error> {
        let time = text_of(value).and_then(|text| timestamp::parse(&text, None));
        time.ok_or_else(|| {
            self.failure(Reason::Is("a time with an offset"), Some(Found::Owned(value.clone())))
        })
    }

    fn number<'a>(&self, number: Option<Decimal>, is_present: bool) -> Result<Found<'a>, Error> {
        match number {
            None if is_present => Ok(Found::Null),
            None => Ok(Found::Absent),
            Some(number) => match number.to_text() {
                Some(text) => Ok(Found::Owned(Value::String(text))),
                None => Err(self.failure(Reason::Longer(super::decimal::MAX_DIGITS, "digits"), None)),
            },
        }
    }

    fn failure(&self, reason: Reason, found: Option<Found<'_>>) -> Error {
        let value = found.as_ref().and_then(Found::value).map(excerpt);
        let value = value.as_deref().unwrap_or("the value");
        let message = match reason {
            Reason::Is(meaning) => format!("{value} is not {meaning}"),
            Reason::Longer(most, unit) => format!("{value} is longer than {most} {unit}"),
            Reason::Zone(setting) => {
                format!("the connector's setting \"{setting}\" is not the name of a time zone")
            }
            Reason::Other(error) => return *error,
        };
        Error::new(Code::MappingFailed, message).at(self.place.clone())
    }
}

impl TextChange {
    fn apply<'a>(&self, found: Found<'a>) -> Found<'a> {
        let Some(whole) = found.value().and_then(text_of) else { return found };
        let mut text = &*whole;
        if let Some(rest) = self.strip_prefix.as_ref().and_then(|prefix| text.strip_prefix(prefix)) {
            text = rest;
        }
        if let Some((_, rest)) = self.after_first.as_ref().and_then(|mark| text.split_once(mark)) {
            text = rest;
        }
        if let Some((_, rest)) = self.after_last.as_ref().and_then(|mark| text.rsplit_once(mark)) {
            text = rest;
        }
        if let Some((rest, _)) = self.before_first.as_ref().and_then(|mark| text.split_once(mark)) {
            text = rest;
        }
        if self.trim {
            text = text.trim();
        }
        // What had nothing but white space says nothing.
        if self.trim && text.is_empty() {
            return Found::Null;
        }
        let is_lower = !self.lower || text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let changed = match (is_lower && !self.upper, self.lower, self.upper) {
            (true, ..) if text.len() == whole.len() && matches!(found.value(), Some(Value::String(_))) => {
                None
            }
            (true, ..) => Some(text.to_owned()),
            (_, true, false) => Some(text.to_lowercase()),
            (_, true, true) => Some(text.to_lowercase().to_uppercase()),
            (_, false, _) => Some(text.to_uppercase()),
        };
        match changed {
            Some(text) => Found::Owned(Value::String(text)),
            None => found,
        }
    }
}

impl Origin {
    pub(super) fn of(self, scope: Scope<'_>) -> &Value {
        match self {
            Origin::Item => scope.item,
            Origin::Record => scope.record,
            Origin::Payload => scope.payload(),
        }
    }
}

impl Each {
    pub(super) fn items<'a>(&'a self, scope: Scope<'a>) -> Result<Option<Vec<&'a Value>>, Error> {
        let Some(mut items) = gather(&self.path, self.origin.of(scope)) else { return Ok(None) };
        scope.spend(items.len() as u64)?;
        if items.is_empty() {
            return Ok(Some(items));
        }
        if let Some((theirs, own)) = &self.matching {
            let own: Vec<_> = own.all(scope.item).into_iter().filter_map(text_of).collect();
            // Of a few, nearly always one, a look at each is faster than a hash.
            let many: HashSet<_> = if own.len() > FEW { own.iter().collect() } else { HashSet::new() };
            let is_own = |value: &&Value| {
                text_of(value).is_some_and(|text| match own.len() > FEW {
                    true => many.contains(&text),
                    false => own.contains(&text),
                })
            };
            items.retain(|item| match theirs.is_plural() {
                true => theirs.all(item).iter().any(is_own),
                false => theirs.first(item).filter(is_own).is_some(),
            });
        }
        if let Some(filter) = &self.filter {
            items.retain(|item| filter.holds(scope.of_item(item)));
        }
        // Lists of PHP and of exports have holes; a hole is no item.
        items.retain(|item| !item.is_null());
        Ok(Some(items))
    }

    /// Names the item in which something went wrong.
    fn locate(&self, error: Error, index: usize) -> Error {
        let list = self.path.text().trim_end_matches("[*]");
        within(&format!("{list}[{index}]"), error)
    }
}

/// The error of an item, at its place in the whole.
fn within(outer: &str, error: Error) -> Error {
    let inner = error.path.as_deref().unwrap_or("$");
    let place = format!("{outer}{}", inner.strip_prefix('$').unwrap_or(inner));
    error.at(place)
}

/// All that a path leads to, `None` where the list it goes through is absent or null.
fn gather<'a>(path: &Path, value: &'a Value) -> Option<Vec<&'a Value>> {
    let found = path.all(value);
    (!found.is_empty() || path.container(value).is_some()).then_some(found)
}

fn object(members: &[(String, Mapping)], scope: Scope<'_>) -> Result<Map<String, Value>, Error> {
    // They are sorted by name, and a map of sorted members is made faster at once.
    let mut object = Vec::with_capacity(members.len());
    for (name, mapping) in members {
        if let Some(value) = mapping.member(scope)? {
            object.push((name.clone(), value));
        }
    }
    Ok(object.into_iter().collect())
}

/// A value as an error names it: short.
fn excerpt(value: &Value) -> String {
    const MOST: usize = 60;
    let text = match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        scalar => scalar.to_string(),
    };
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
