//! From a document's bytes to JSON text.

use crate::Error;
use crate::read::{Elements, Pairs, Value};
use crate::token;
use serde::Serialize;
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _, SerializeStruct as _, Serializer};

/// A document as PostgreSQL stores it, as JSON text without blanks. What PostgreSQL prints of it says the same, in twice
/// the time.
pub fn to_text(bytes: &[u8]) -> Result<String, Error> {
    let mut text = Vec::with_capacity(2 * bytes.len());
    serde_json::to_writer(&mut text, &Document(bytes)).map_err(|error| Error::Custom(error.to_string()))?;
    String::from_utf8(text).map_err(|_| Error::Malformed("a string that is not UTF-8"))
}

struct Document<'a>(&'a [u8]);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::of(self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::String(text) => serializer.serialize_str(text),
            Self::Number(number) => {
                let mut digits = serializer.serialize_struct(token::NUMBER, 1)?;
                digits.serialize_field(token::NUMBER, &number.text())?;
                digits.end()
            }
            Self::Array(members) => {
                let mut array = serializer.serialize_seq(None)?;
                let mut elements = Elements::of(*members);
                while let Some(element) = elements.next().map_err(S::Error::custom)? {
                    array.serialize_element(&element)?;
                }
                array.end()
            }
            Self::Object(members) => {
                let mut object = serializer.serialize_map(None)?;
                let mut pairs = Pairs::of(*members);
                while let Some(key) = pairs.next_key().map_err(S::Error::custom)? {
                    object.serialize_entry(key, &pairs.next_value().map_err(S::Error::custom)?)?;
                }
                object.end()
            }
        }
    }
}
