//! From what serde serialises to a tape. What has no form of its own in JSON gets that which `serde_json` gives it.

use crate::tape::{Begun, Tape};
use crate::{Error, token};
use serde::Serialize;
use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use std::fmt::Display;
use std::io::Write;

type Result<T = (), E = Error> = std::result::Result<T, E>;

/// A document's bytes as PostgreSQL stores them, without the length that a row puts before them.
pub fn to_vec(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    let mut tape = Tape::new();
    value.serialize(Value(&mut tape))?;
    tape.into_bytes()
}

/// Where a value goes.
struct Value<'a>(&'a mut Tape);

/// Where an object's key goes.
struct Key<'a>(&'a mut Tape);

/// Where the only field of one of `serde_json`'s structs goes, which is text.
struct Verbatim<'a> {
    tape: &'a mut Tape,
    is_number: bool,
}

/// A container that is being filled. One of an enum's variant is the only member of an object.
struct Container<'a> {
    tape: &'a mut Tape,
    begun: Begun,
    around: Option<Begun>,
}

impl<'a> Container<'a> {
    fn begin(tape: &'a mut Tape) -> Result<Self> {
        Ok(Self { begun: tape.begin()?, tape, around: None })
    }

    fn of_variant(tape: &'a mut Tape, variant: &str) -> Result<Self> {
        let mut around = tape.begin()?;
        around.count();
        tape.string(variant)?;
        Ok(Self { begun: tape.begin()?, tape, around: Some(around) })
    }

    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result {
        self.begun.count();
        value.serialize(Value(self.tape))
    }

    fn member(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Result {
        self.begun.count();
        self.tape.string(key)?;
        value.serialize(Value(self.tape))
    }

    fn end_array(self) -> Result {
        self.tape.end_array(self.begun);
        self.around.into_iter().for_each(|around| self.tape.end_object(around));
        Ok(())
    }

    fn end_object(self) -> Result {
        self.tape.end_object(self.begun);
        self.around.into_iter().for_each(|around| self.tape.end_object(around));
        Ok(())
    }
}

/// A struct, which may be one of `serde_json`'s.
enum Struct<'a> {
    Fields(Container<'a>),
    Verbatim(Verbatim<'a>),
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result {
            // What is negative and what is not are one code for all of them.
            #[allow(unused_comparisons)]
            let is_negative = value < 0;
            let value = i128::from(value);
            self.0.integer(is_negative, value.unsigned_abs())
        })*
    };
}

impl<'a> ser::Serializer for Value<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Container<'a>;
    type SerializeTuple = Container<'a>;
    type SerializeTupleStruct = Container<'a>;
    type SerializeTupleVariant = Container<'a>;
    type SerializeMap = Container<'a>;
    type SerializeStruct = Struct<'a>;
    type SerializeStructVariant = Container<'a>;

    integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    fn serialize_u128(self, value: u128) -> Result {
        self.0.integer(false, value)
    }

    fn serialize_bool(self, value: bool) -> Result {
        self.0.boolean(value)
    }

    fn serialize_f32(self, value: f32) -> Result {
        self.float(value.is_finite(), &value)
    }

    fn serialize_f64(self, value: f64) -> Result {
        self.float(value.is_finite(), &value)
    }

    fn serialize_char(self, value: char) -> Result {
        self.0.string(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result {
        self.0.string(value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result {
        collect(self.0, value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result {
        self.0.null()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        self.0.null()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result {
        self.0.null()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result {
        self.0.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        let mut object = Container::begin(self.0)?;
        object.member(variant, value)?;
        object.end_object()
    }

    fn serialize_seq(self, _count: Option<usize>) -> Result<Container<'a>> {
        Container::begin(self.0)
    }

    fn serialize_tuple(self, _count: usize) -> Result<Container<'a>> {
        Container::begin(self.0)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _count: usize) -> Result<Container<'a>> {
        Container::begin(self.0)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _count: usize,
    ) -> Result<Container<'a>> {
        Container::of_variant(self.0, variant)
    }

    fn serialize_map(self, _count: Option<usize>) -> Result<Container<'a>> {
        Container::begin(self.0)
    }

    fn serialize_struct(self, name: &'static str, _count: usize) -> Result<Struct<'a>> {
        Ok(match name {
            token::NUMBER => Struct::Verbatim(Verbatim { tape: self.0, is_number: true }),
            token::RAW => Struct::Verbatim(Verbatim { tape: self.0, is_number: false }),
            _ => Struct::Fields(Container::begin(self.0)?),
        })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _count: usize,
    ) -> Result<Container<'a>> {
        Container::of_variant(self.0, variant)
    }
}

impl Value<'_> {
    /// JSON has no infinity.
    fn float(self, is_finite: bool, value: &impl Serialize) -> Result {
        if !is_finite {
            return self.0.null();
        }
        self.0.number(&serde_json::to_string(value).map_err(ser::Error::custom)?)
    }
}

fn collect(tape: &mut Tape, value: &(impl Display + ?Sized)) -> Result {
    let mut written = Ok(());
    tape.string_of(|bytes| written = write!(bytes, "{value}"))?;
    written.map_err(ser::Error::custom)
}

impl SerializeSeq for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.element(value)
    }

    fn end(self) -> Result {
        self.end_array()
    }
}

impl SerializeTuple for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.element(value)
    }

    fn end(self) -> Result {
        self.end_array()
    }
}

impl SerializeTupleStruct for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.element(value)
    }

    fn end(self) -> Result {
        self.end_array()
    }
}

impl SerializeTupleVariant for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.element(value)
    }

    fn end(self) -> Result {
        self.end_array()
    }
}

impl SerializeMap for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        self.begun.count();
        key.serialize(Key(self.tape))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        value.serialize(Value(self.tape))
    }

    fn end(self) -> Result {
        self.end_object()
    }
}

impl SerializeStructVariant for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result {
        self.member(key, value)
    }

    fn end(self) -> Result {
        self.end_object()
    }
}

impl SerializeStruct for Struct<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result {
        match self {
            Self::Fields(fields) => fields.member(key, value),
            Self::Verbatim(Verbatim { tape, is_number }) => {
                value.serialize(Verbatim { tape, is_number: *is_number })
            }
        }
    }

    fn end(self) -> Result {
        match self {
            Self::Fields(fields) => fields.end_object(),
            Self::Verbatim(_) => Ok(()),
        }
    }
}

/// Serializers of strings alone.
macro_rules! only_text {
    ($why:literal, $($method:ident($($type:ty),*)),*) => {
        $(fn $method(self, $(_: $type),*) -> Result {
            Err(ser::Error::custom($why))
        })*

        fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result {
            Err(ser::Error::custom($why))
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result {
            Err(ser::Error::custom($why))
        }

        fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result {
            value.serialize(self)
        }

        only_text!(@containers $why,
            serialize_seq(Option<usize>) -> SerializeSeq, serialize_tuple(usize) -> SerializeTuple,
            serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct,
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant,
            serialize_map(Option<usize>) -> SerializeMap, serialize_struct(&'static str, usize) -> SerializeStruct,
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant);
    };
    (@containers $why:literal, $($method:ident($($type:ty),*) -> $name:ident),*) => {
        $(type $name = ser::Impossible<(), Error>;

        fn $method(self, $(_: $type),*) -> Result<Self::$name> {
            Err(ser::Error::custom($why))
        })*
    };
}

impl ser::Serializer for Key<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_str(self, key: &str) -> Result {
        self.0.string(key)
    }

    fn collect_str<T: Display + ?Sized>(self, key: &T) -> Result {
        collect(self.0, key)
    }

    fn serialize_char(self, key: char) -> Result {
        collect(self.0, &key)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result {
        self.0.string(variant)
    }

    fn serialize_bool(self, key: bool) -> Result {
        collect(self.0, &key)
    }

    fn serialize_i8(self, key: i8) -> Result {
        collect(self.0, &key)
    }

    fn serialize_i16(self, key: i16) -> Result {
        collect(self.0, &key)
    }

    fn serialize_i32(self, key: i32) -> Result {
        collect(self.0, &key)
    }

    fn serialize_i64(self, key: i64) -> Result {
        collect(self.0, &key)
    }

    fn serialize_u8(self, key: u8) -> Result {
        collect(self.0, &key)
    }

    fn serialize_u16(self, key: u16) -> Result {
        collect(self.0, &key)
    }

    fn serialize_u32(self, key: u32) -> Result {
        collect(self.0, &key)
    }

    fn serialize_u64(self, key: u64) -> Result {
        collect(self.0, &key)
    }

    only_text!(
        "a key must be a string",
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_bytes(&[u8]),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(&'static str)
    );
}

impl ser::Serializer for Verbatim<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_str(self, text: &str) -> Result {
        if self.is_number {
            return self.tape.number(text);
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(ser::Error::custom)?;
        value.serialize(Value(self.tape))
    }

    only_text!(
        "serde_json hands over text",
        serialize_bool(bool),
        serialize_char(char),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_unit_variant(&'static str, u32, &'static str),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_bytes(&[u8]),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(&'static str)
    );
}
