//! From a document's bytes to what serde deserialises. Nothing of them is trusted: what does not hold is an error.

use crate::number::Number;
use crate::{Error, MOST_LEVELS, container, entry, token};
use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

type Result<T, E = Error> = std::result::Result<T, E>;

/// Reads a document as PostgreSQL stores it, without the length that a row puts before it. Numbers come as PostgreSQL
/// prints them, to their last zero. Strings can be borrowed.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T> {
    T::deserialize(Value::of(bytes)?)
}

/// What a container contains.
#[derive(Clone, Copy)]
pub(crate) struct Members<'de> {
    kind: u32,
    is_scalar: bool,
    /// Of an object the members, each with two words.
    count: usize,
    words: &'de [u8],
    data: &'de [u8],
    level: usize,
}

pub(crate) enum Value<'de> {
    Null,
    Boolean(bool),
    String(&'de str),
    Number(Number<'de>),
    Array(Members<'de>),
    Object(Members<'de>),
}

impl<'de> Members<'de> {
    fn of(bytes: &'de [u8], level: usize) -> Result<Self> {
        if level >= MOST_LEVELS {
            return Err(Error::TooDeep);
        }
        let (header, rest) = bytes.split_first_chunk().ok_or(Error::Malformed("a container's header"))?;
        let header = u32::from_ne_bytes(*header);
        let (kind, is_scalar) =
            (header & (container::OBJECT | container::ARRAY), header & container::SCALAR != 0);
        let count = (header & container::COUNT) as usize;
        let words = match (kind, is_scalar) {
            (container::ARRAY, false) => count,
            (container::ARRAY, true) if level == 0 && count == 1 => 1,
            (container::OBJECT, false) => 2 * count,
            _ => return Err(Error::Malformed("a container's header")),
        };
        let (words, data) =
            rest.split_at_checked(4 * words).ok_or(Error::Malformed("a container's members"))?;
        Ok(Self { kind, is_scalar, count, words, data, level })
    }

    fn word(&self, place: usize) -> u32 {
        let word = self.words.get(4 * place..).and_then(|words| words.first_chunk());
        word.map_or(0, |word| u32::from_ne_bytes(*word))
    }

    /// Where a member begins: by the lengths since the last one of which the end is known.
    fn start(&self, place: usize) -> usize {
        let mut start = 0;
        for before in (0..place).rev() {
            let word = self.word(before);
            start += (word & entry::LENGTH) as usize;
            if word & entry::IS_OFFSET != 0 {
                break;
            }
        }
        start
    }

    /// A member that begins there, and where it ends.
    fn value(&self, place: usize, start: usize) -> Result<(Value<'de>, usize)> {
        let word = self.word(place);
        let length = (word & entry::LENGTH) as usize;
        let end = if word & entry::IS_OFFSET != 0 { length } else { start + length };
        let bytes = |start: usize| self.data.get(start..end).ok_or(Error::Malformed("a member's length"));
        let aligned = start.next_multiple_of(4);
        let value = match word & entry::KIND {
            entry::STRING => Value::String(
                std::str::from_utf8(bytes(start)?)
                    .map_err(|_| Error::Malformed("a string that is not UTF-8"))?,
            ),
            entry::NUMBER => Value::Number(Number::read(bytes(aligned)?)?),
            entry::FALSE => Value::Boolean(false),
            entry::TRUE => Value::Boolean(true),
            entry::NULL => Value::Null,
            entry::CONTAINER => {
                let members = Self::of(bytes(aligned)?, self.level + 1)?;
                if members.kind == container::OBJECT { Value::Object(members) } else { Value::Array(members) }
            }
            _ => return Err(Error::Malformed("a member's kind")),
        };
        // Members do not overlap, so that reading all of them takes no longer than the document is.
        if end < start {
            return Err(Error::Malformed("a member's length"));
        }
        Ok((value, end))
    }
}

/// An array's elements.
pub(crate) struct Elements<'de> {
    members: Members<'de>,
    place: usize,
    start: usize,
}

impl<'de> Elements<'de> {
    pub(crate) fn of(members: Members<'de>) -> Self {
        Self { members, place: 0, start: 0 }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Value<'de>>> {
        if self.place == self.members.count {
            return Ok(None);
        }
        let (value, end) = self.members.value(self.place, self.start)?;
        (self.place, self.start) = (self.place + 1, end);
        Ok(Some(value))
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.next()?.map(|value| seed.deserialize(value)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.count - self.place)
    }
}

/// An object's keys and values: two lists, read in step.
pub(crate) struct Pairs<'de> {
    members: Members<'de>,
    place: usize,
    key_start: usize,
    value_start: usize,
}

impl<'de> Pairs<'de> {
    pub(crate) fn of(members: Members<'de>) -> Self {
        Self { place: 0, key_start: 0, value_start: members.start(members.count), members }
    }

    pub(crate) fn next_key(&mut self) -> Result<Option<&'de str>> {
        if self.place == self.members.count {
            return Ok(None);
        }
        let (Value::String(key), end) = self.members.value(self.place, self.key_start)? else {
            return Err(Error::Malformed("an object's key"));
        };
        self.key_start = end;
        Ok(Some(key))
    }

    pub(crate) fn next_value(&mut self) -> Result<Value<'de>> {
        let (value, end) = self.members.value(self.members.count + self.place, self.value_start)?;
        (self.place, self.value_start) = (self.place + 1, end);
        Ok(value)
    }
}

impl<'de> de::MapAccess<'de> for Pairs<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.next_key()?.map(|key| seed.deserialize(BorrowedStrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(self.next_value()?)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.count - self.place)
    }
}

/// A number as `serde_json` hands one over whose digits it kept: a map of one member.
struct Digits(Option<String>);

impl<'de> de::MapAccess<'de> for Digits {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        match self.0 {
            Some(_) => seed.deserialize(BorrowedStrDeserializer::new(token::NUMBER)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(StringDeserializer::new(self.0.take().unwrap_or_default()))
    }
}

impl<'de> Value<'de> {
    pub(crate) fn of(bytes: &'de [u8]) -> Result<Self> {
        let root = Members::of(bytes, 0)?;
        match root.kind {
            container::OBJECT => Ok(Value::Object(root)),
            _ if root.is_scalar => Ok(root.value(0, 0)?.0),
            _ => Ok(Value::Array(root)),
        }
    }

    fn float<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Self::Number(number) => match number.text().parse() {
                Ok(float) => visitor.visit_f64(float),
                Err(_) => Err(Error::Malformed("a number")),
            },
            other => de::Deserializer::deserialize_any(other, visitor),
        }
    }
}

impl<'de> de::Deserializer<'de> for Value<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Boolean(value) => visitor.visit_bool(value),
            Self::String(text) => visitor.visit_borrowed_str(text),
            Self::Number(number) => {
                // Integers keep their digits in every form.
                let integer = number.as_integer();
                if let Some(integer) = integer.and_then(|integer| u64::try_from(integer).ok()) {
                    return visitor.visit_u64(integer);
                }
                if let Some(integer) = integer.and_then(|integer| i64::try_from(integer).ok()) {
                    return visitor.visit_i64(integer);
                }
                visitor.visit_map(Digits(Some(number.text())))
            }
            Self::Array(members) => visitor.visit_seq(Elements::of(members)),
            Self::Object(members) => visitor.visit_map(Pairs::of(members)),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.float(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Self::Number(number) => match number.as_integer() {
                Some(integer) => visitor.visit_i128(integer),
                None => self.deserialize_any(visitor),
            },
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_i128(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Self::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self {
            Self::String(variant) => visitor.visit_enum(variant.into_deserializer()),
            Self::Object(members) => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Pairs::of(members)))
            }
            _ => Err(de::Error::custom("an enum's variant is a string, or the key of an object")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}
