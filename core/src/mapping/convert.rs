//! Conversions of single values to canonical ones.

use super::decimal::{self, Decimal};
use super::evaluate::{Found, text_of};
use super::{Mapping, Scope, timestamp};
use crate::error::Error;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// Text that a table's column or an index over it takes without complaint.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Characters of an external id.
const MAX_ID_CHARS: usize = 255;

/// The greatest whole number that every JSON reader keeps exactly: 2^53.
const MAX_INTEGER: i64 = 1 << 53;

/// What money and quantities have to be.
pub(super) const A_DECIMAL: &str = "a decimal number of at most 60 digits";

/// How a value is read, compiled.
#[derive(Debug, Default)]
pub(super) enum Convert {
    /// Left as it is.
    #[default]
    Nothing,
    /// Text within [`MAX_TEXT_BYTES`].
    Text,
    /// Text of any length: HTML.
    LongText,
    /// An external id or a reference to one.
    Id,
    Integer,
    Decimal,
    Number,
    Boolean,
    Timestamp(Zoned),
    Unix,
    UnixMs,
    MinorUnits(Box<Mapping>),
    Currency,
    Vocabulary(&'static [&'static str]),
    List,
    Json,
}

/// The zone of times without an offset, compiled.
#[derive(Debug)]
pub(super) enum Zoned {
    /// There is none: such times cannot be read.
    Unknown,
    Fixed(TimeZone),
    Setting(String),
}

impl Convert {
    /// Reads a value that is not null. The error is the reason, to follow on the value: "is not …".
    pub(super) fn apply<'a>(&self, found: Found<'a>, scope: Scope<'_>) -> Result<Found<'a>, Reason> {
        let found = match (self, found) {
            // Made of pieces just now: mended where it is, instead of copied once more.
            (Convert::Json, Found::Owned(mut value)) => {
                mend(&mut value);
                return Ok(Found::Owned(value));
            }
            (convert, Found::Owned(Value::String(text))) if convert.keeps(&text) => {
                return Ok(Found::Owned(Value::String(text)));
            }
            (_, found) => found,
        };
        let Some(value) = found.value() else { return Ok(found) };
        let converted = match self {
            Convert::Nothing => return Ok(found),
            Convert::Text => text(value, MAX_TEXT_BYTES)?,
            Convert::LongText => text(value, usize::MAX)?,
            Convert::Id => id(value)?,
            Convert::Integer => integer(value).ok_or(Reason::Is("a whole number within ±2^53"))?,
            Convert::Decimal => match text_of(value).as_deref().and_then(decimal::plain) {
                Some(digits) => Value::String(digits.into_owned()),
                None => return Err(Reason::Is(A_DECIMAL)),
            },
            Convert::Number => number(value).ok_or(Reason::Is(A_DECIMAL))?,
            Convert::Boolean => boolean(value).ok_or(Reason::Is("true or false"))?,
            Convert::Timestamp(zone) => {
                let zone = zone.resolve(scope)?;
                let time = text_of(value).and_then(|text| timestamp::parse(&text, zone.as_ref()));
                time_value(time, "a time that can be read (RFC 3339, or with a known zone)")?
            }
            Convert::Unix => since_1970(value, 1)?,
            Convert::UnixMs => since_1970(value, 1000)?,
            Convert::MinorUnits(currency) => {
                let currency = currency.find(scope).map_err(Reason::other)?;
                let places = currency.value().and_then(text_of).map(|code| places(&code));
                let places = places.ok_or(Reason::Is("an amount in a known currency"))?;
                let amount = text_of(value).and_then(|text| Decimal::parse(&text));
                let amount = amount.and_then(|amount| amount.shift_right(places).to_text());
                Value::String(amount.ok_or(Reason::Is("a number of minor units"))?)
            }
            Convert::Currency => currency(value).ok_or(Reason::Is("a currency code of three letters"))?,
            Convert::Vocabulary(words) => {
                let word = text_of(value);
                let known = words.iter().find(|known| word.as_deref() == Some(known));
                Value::String((*known.unwrap_or(&"unknown")).to_owned())
            }
            Convert::List => list(value)?,
            Convert::Json => json(value, scope).map_err(Reason::other)?,
        };
        Ok(if converted.is_null() { Found::Null } else { Found::Owned(converted) })
    }
}

impl Convert {
    /// Whether a text is already as it would be made.
    fn keeps(&self, text: &str) -> bool {
        match self {
            Convert::Text => text.len() <= MAX_TEXT_BYTES && !text.contains('\0'),
            Convert::LongText => !text.contains('\0'),
            Convert::Id => {
                let is_short = !text.is_empty() && text.len() <= MAX_ID_CHARS;
                is_short && !text.contains('\0') && text.trim().len() == text.len()
            }
            // Borrowed is a part of it, without white space around: not 1e2, which is as long as 100.
            Convert::Decimal => match decimal::plain(text) {
                Some(Cow::Borrowed(digits)) => digits.len() == text.len(),
                _ => false,
            },
            _ => false,
        }
    }
}

/// Why a value cannot be read.
#[derive(Debug)]
pub(super) enum Reason {
    /// It is not this.
    Is(&'static str),
    /// It is longer than so many of these.
    Longer(usize, &'static str),
    /// The setting does not name a zone.
    Zone(String),
    Other(Box<Error>),
}

impl Reason {
    fn other(error: Error) -> Self {
        Self::Other(Box::new(error))
    }
}

impl Zoned {
    fn resolve(&self, scope: Scope<'_>) -> Result<Option<TimeZone>, Reason> {
        match self {
            Zoned::Unknown => Ok(None),
            Zoned::Fixed(zone) => Ok(Some(zone.clone())),
            Zoned::Setting(name) => match scope.setting(name).and_then(Value::as_str) {
                None => Ok(Some(TimeZone::UTC)),
                Some(zone) => timestamp::zone(zone).map(Some).ok_or_else(|| Reason::Zone(name.clone())),
            },
        }
    }
}

/// PostgreSQL's text and jsonb hold no U+0000.
pub(super) fn without_nul(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() }
}

fn text(value: &Value, max_bytes: usize) -> Result<Value, Reason> {
    let text = text_of(value).ok_or(Reason::Is("text"))?;
    if text.len() > max_bytes {
        return Err(Reason::Longer(max_bytes, "bytes"));
    }
    Ok(Value::String(without_nul(&text)))
}

fn id(value: &Value) -> Result<Value, Reason> {
    let text = text_of(value).ok_or(Reason::Is("an id (text or a number)"))?;
    let id = without_nul(&text);
    let id = id.trim();
    if id.is_empty() {
        return Ok(Value::Null);
    }
    // Bytes are an upper bound of characters, and quick to count.
    if id.len() > MAX_ID_CHARS && id.chars().count() > MAX_ID_CHARS {
        return Err(Reason::Longer(MAX_ID_CHARS, "characters"));
    }
    Ok(Value::String(id.to_owned()))
}

/// Without the zeros in front that texts may have and JSON does not allow.
fn number(value: &Value) -> Option<Value> {
    let digits = Decimal::parse(&text_of(value)?)?.to_text()?;
    digits.parse().ok().map(Value::Number)
}

fn integer(value: &Value) -> Option<Value> {
    let text = text_of(value)?;
    let plain = decimal::plain(&text)?;
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole: i64 = whole.parse().ok()?;
    let is_whole = fraction.bytes().all(|digit| digit == b'0');
    let is_exact = (-MAX_INTEGER..=MAX_INTEGER).contains(&whole);
    (is_whole && is_exact).then(|| Value::Number(Number::from(whole)))
}

fn boolean(value: &Value) -> Option<Value> {
    match text_of(value)?.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "on" => Some(Value::Bool(true)),
        "false" | "0" | "no" | "n" | "off" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn since_1970(value: &Value, units_per_second: i64) -> Result<Value, Reason> {
    let time = text_of(value).and_then(|text| timestamp::since_1970(&text, units_per_second));
    time_value(time, "a time since 1970")
}

fn time_value(time: Option<Timestamp>, meaning: &'static str) -> Result<Value, Reason> {
    time.map(|time| Value::String(time.to_string())).ok_or(Reason::Is(meaning))
}

fn currency(value: &Value) -> Option<Value> {
    let code = text_of(value)?.trim().to_ascii_uppercase();
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then_some(Value::String(code))
}

/// A list of texts: trimmed, none of them empty, each once. One text alone is a list of one.
fn list(value: &Value) -> Result<Value, Reason> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut seen = std::collections::HashSet::new();
    let mut texts = Vec::new();
    for value in values.iter().filter(|value| !value.is_null()) {
        let text = text_of(value).ok_or(Reason::Is("a list of texts"))?;
        if text.len() > MAX_TEXT_BYTES {
            return Err(Reason::Longer(MAX_TEXT_BYTES, "bytes"));
        }
        let text = without_nul(text.trim());
        if !text.is_empty() && seen.insert(text.clone()) {
            texts.push(Value::String(text));
        }
    }
    Ok(Value::Array(texts))
}

/// A copy that jsonb accepts. The depth of a payload is limited, and so is this recursion.
pub(super) fn json(value: &Value, scope: Scope<'_>) -> Result<Value, Error> {
    scope.spend(1)?;
    Ok(match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => {
            let mut copy = Vec::with_capacity(items.len());
            for item in items {
                copy.push(json(item, scope)?);
            }
            Value::Array(copy)
        }
        Value::Object(members) => {
            let mut copy = Map::new();
            for (name, member) in members {
                copy.insert(without_nul(name), json(member, scope)?);
            }
            Value::Object(copy)
        }
        scalar => {
            let mut copy = scalar.clone();
            mend(&mut copy);
            copy
        }
    })
}

/// Makes a value one that jsonb accepts: no U+0000 in texts, and no numbers with absurd exponents, which
/// become text. Names of members were seen to when they were copied.
fn mend(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = without_nul(text),
        Value::Number(number) => {
            let digits = number.as_str();
            let is_plain = digits.len() <= 400 && !digits.contains(['e', 'E']);
            if !is_plain && decimal::plain(digits).is_none() {
                *value = Value::String(digits.to_owned());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mend),
        Value::Object(members) => members.values_mut().for_each(mend),
        _ => {}
    }
}

/// Places after the point of a currency's amounts (ISO 4217).
fn places(code: &str) -> usize {
    match code.trim().to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}
