//! What a source's record says now, as far as identity goes by it.

use super::key::plain;
use crate::canonical::country_code;
use crate::register::Record;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A record's content: what its source has not deleted; of a deleted record, what it said last.
pub(super) struct Content<'a> {
    record: &'a Record,
    is_deleted: bool,
}

impl<'a> Content<'a> {
    pub fn of(record: &'a Record) -> Self {
        Self { record, is_deleted: record.is_deleted() }
    }

    /// The value of a field that is a group of its own; `group` is the name where it is one of several.
    fn value(&self, group: &str, name: &str) -> Option<&'a Value> {
        let is_said = self.is_deleted || self.record.is_live(group);
        self.record.fields.get(name).filter(|value| is_said && !value.is_null())
    }

    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.member(name, name)
    }

    /// The text of a field in a group of several.
    pub fn member(&self, group: &str, name: &str) -> Option<&'a str> {
        self.value(group, name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// A time, in microseconds since 1970.
    pub fn time(&self, name: &str) -> Option<i64> {
        Some(self.text(name)?.parse::<Timestamp>().ok()?.as_microsecond())
    }

    /// The text or number at a JSON pointer into the document.
    pub fn pointer(&self, pointer: &str) -> Option<Cow<'a, str>> {
        let (name, rest) =
            pointer.strip_prefix('/').map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
        let value = self.value(name, name)?;
        let value = if rest.is_empty() { value } else { value.pointer(&pointer[name.len() + 1..])? };
        match value {
            Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    pub fn addresses(&self) -> impl Iterator<Item = Address<'a>> + use<'a> {
        let rows = self.value("addresses", "addresses").and_then(Value::as_array).into_iter().flatten();
        rows.filter_map(Value::as_object).map(Address)
    }

    /// The country of a customer's default address.
    pub fn country_code(&self) -> Option<&'a str> {
        country_code(self.addresses().map(|address| address.0))
    }

    /// A person's first and last name as words without accents, split from the full name where it stands alone.
    pub fn names(&self) -> (Option<String>, Option<String>) {
        let part = |name: &str| self.member("name", name).map(plain).filter(|part| !part.is_empty());
        match (part("first_name"), part("last_name"), part("full_name")) {
            (None, None, Some(full)) if self.text("customer_type") != Some("company") => {
                match full.split_once(' ') {
                    Some((first, last)) => (Some(first.to_owned()), Some(last.to_owned())),
                    None => (None, Some(full)),
                }
            }
            (first, last, _) => (first, last),
        }
    }

    pub fn last_name(&self) -> Option<String> {
        self.names().1
    }

    /// A location's postal code and name.
    pub fn location_key(&self) -> Option<String> {
        let address = Address(self.value("address", "address")?.as_object()?);
        Some(format!("{}|{}", address.postal_code()?, self.text("name").map(plain)?))
    }
}

/// A postal address.
pub(super) struct Address<'a>(&'a Map<String, Value>);

impl<'a> Address<'a> {
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    fn postal_code(&self) -> Option<String> {
        let code: String = plain(self.text("postal_code")?).split(' ').collect();
        (!code.is_empty()).then_some(code)
    }

    /// The postal code with the house number, which some write into the street's line; where there is none, with
    /// the name of who lives there.
    pub fn key(&self, last_name: Option<&str>) -> Option<String> {
        let code = self.postal_code()?;
        let number = |text: &str| -> String {
            text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect()
        };
        let house =
            ["house_number", "line1", "line2"].into_iter().filter_map(|name| self.text(name)).map(number);
        let house = house.into_iter().find(|number| !number.is_empty());
        Some(format!("{code}|{}", house.as_deref().or(last_name)?))
    }
}
