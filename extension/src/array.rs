//! Columns of rows as arrays, laid out as PostgreSQL holds them.
//!
//! A statement of a batch takes up to sixty columns. Handed over value by value, each value is copied three times and
//! passes guarded calls of PostgreSQL; laid out here, a column passes one.

use crate::error::internal;
use crate::jsonb::Jsonb;
use pgrx::datum::{DatumWithOid, FromTimeError, TimestampWithTimeZone};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgLogLevel, PgMemoryContexts, Uuid};

/// PostgreSQL's limit for any value.
const MOST_BYTES: usize = 0x3fff_ffff;
/// The sum of `vl_len_`, `ndim`, `dataoffset` and `elemtype`; all there is of an array without elements.
const HEADER: usize = 16;
/// The length and the lower bound of the one dimension.
const DIMENSION: usize = 8;

/// A value in an array.
pub trait Element {
    /// Its type.
    const TYPE: Oid;
    /// The type of arrays of it.
    const ARRAY_TYPE: Oid;
    /// What its address is a multiple of; `typalign` of its type.
    const ALIGNMENT: usize;

    /// Appends it as it stands in an array; false, and nothing is appended, if it is null.
    fn write(self, to: &mut Vec<u8>) -> bool;
}

/// An argument of a statement: the array of these values, in the memory of the running call.
pub fn argument<'a, T: Element>(values: impl IntoIterator<Item = T>) -> DatumWithOid<'a> {
    let mut array = array(values);
    // SAFETY: what is copied is a whole array of the type that it is said to be, into memory that palloc aligns and that
    // is there until the running function returns.
    #[allow(unsafe_code)]
    unsafe {
        let copy = PgMemoryContexts::CurrentMemoryContext.copy_ptr_into(array.as_mut_ptr(), array.len());
        DatumWithOid::new(Datum::from(copy), T::ARRAY_TYPE)
    }
}

/// As `ArrayType` of `utils/array.h` says.
fn array<T: Element>(values: impl IntoIterator<Item = T>) -> Vec<u8> {
    let values = values.into_iter();
    let mut bytes = vec![0; HEADER + DIMENSION];
    bytes.reserve(values.size_hint().0 * T::ALIGNMENT.max(16));
    let mut is_there: Vec<bool> = Vec::with_capacity(values.size_hint().0);
    for value in values {
        is_there.push(value.write(&mut bytes));
        pad(&mut bytes, T::ALIGNMENT);
    }
    let mut data_offset = 0;
    if is_there.is_empty() {
        bytes.truncate(HEADER);
    } else if is_there.contains(&false) {
        let bitmap = is_there.chunks(8).map(|eight| {
            eight.iter().enumerate().fold(0, |byte, (place, is_there)| byte | (u8::from(*is_there) << place))
        });
        let mut before_data: Vec<u8> = bitmap.collect();
        pad(&mut before_data, 8); // HEADER and DIMENSION are a multiple of it
        data_offset = HEADER + DIMENSION + before_data.len();
        bytes.splice(HEADER + DIMENSION..HEADER + DIMENSION, before_data);
    }
    if bytes.len() > MOST_BYTES {
        raise(internal(format!("{} bytes are more than PostgreSQL has room for in an array", bytes.len())));
    }
    let dimensions = usize::from(!is_there.is_empty());
    let header = [bytes.len(), dimensions, data_offset].map(|number| number as u32);
    bytes[..4].copy_from_slice(&varlena_header(header[0]));
    bytes[4..8].copy_from_slice(&header[1].to_ne_bytes());
    bytes[8..12].copy_from_slice(&header[2].to_ne_bytes());
    bytes[12..16].copy_from_slice(&T::TYPE.to_u32().to_ne_bytes());
    if dimensions == 1 {
        bytes[16..20].copy_from_slice(&(is_there.len() as u32).to_ne_bytes());
        bytes[20..24].copy_from_slice(&1_u32.to_ne_bytes());
    }
    bytes
}

/// An array's offsets count from its beginning, which stands at a multiple of eight.
fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

/// The length of a value, itself included, as it stands before its bytes: `SET_VARSIZE` of `varatt.h`.
fn varlena_header(length: u32) -> [u8; 4] {
    if cfg!(target_endian = "big") { length.to_be_bytes() } else { (length << 2).to_le_bytes() }
}

/// Why there cannot be a value.
pub trait Refusal {
    fn report(self) -> ErrorReport;
}

impl Refusal for ErrorReport {
    fn report(self) -> ErrorReport {
        self
    }
}

impl Refusal for FromTimeError {
    fn report(self) -> ErrorReport {
        internal(self)
    }
}

fn raise(report: ErrorReport) -> ! {
    report.report(PgLogLevel::ERROR);
    unreachable!("an error of this level does not return")
}

/// Appends a value of variable length.
fn write_varlena(value: &[u8], to: &mut Vec<u8>) {
    let length = value.len() + 4;
    if length > MOST_BYTES {
        raise(internal(format!("{length} bytes are more than PostgreSQL has room for in a value")));
    }
    to.extend(varlena_header(length as u32));
    to.extend(value);
}

/// Elements that are written as their bytes, by value or of variable length.
macro_rules! element {
    ($type:ty, $oid:ident, $array_oid:ident, $alignment:literal, |$value:ident, $to:ident| $write:expr) => {
        impl Element for $type {
            const TYPE: Oid = pg_sys::$oid;
            const ARRAY_TYPE: Oid = pg_sys::$array_oid;
            const ALIGNMENT: usize = $alignment;

            fn write(self, $to: &mut Vec<u8>) -> bool {
                let $value = self;
                $write;
                true
            }
        }
    };
}

element!(bool, BOOLOID, BOOLARRAYOID, 1, |value, to| to.push(u8::from(value)));
element!(i32, INT4OID, INT4ARRAYOID, 4, |value, to| to.extend(value.to_ne_bytes()));
element!(i64, INT8OID, INT8ARRAYOID, 8, |value, to| to.extend(value.to_ne_bytes()));
element!(TimestampWithTimeZone, TIMESTAMPTZOID, TIMESTAMPTZARRAYOID, 8, |value, to| {
    to.extend(i64::from(value).to_ne_bytes())
});
element!(Uuid, UUIDOID, UUIDARRAYOID, 1, |value, to| to.extend(value.as_bytes()));
element!(&str, TEXTOID, TEXTARRAYOID, 4, |value, to| write_varlena(value.as_bytes(), to));
element!(&[u8], BYTEAOID, BYTEAARRAYOID, 4, |value, to| write_varlena(value, to));
element!(&Jsonb, JSONBOID, JSONBARRAYOID, 4, |value, to| write_varlena(value.as_bytes(), to));
element!(Jsonb, JSONBOID, JSONBARRAYOID, 4, |value, to| write_varlena(value.as_bytes(), to));

impl<T: Element> Element for Option<T> {
    const TYPE: Oid = T::TYPE;
    const ARRAY_TYPE: Oid = T::ARRAY_TYPE;
    const ALIGNMENT: usize = T::ALIGNMENT;

    fn write(self, to: &mut Vec<u8>) -> bool {
        self.is_some_and(|value| value.write(to))
    }
}

/// A value that there cannot be is an error of the statement.
impl<T: Element, E: Refusal> Element for Result<T, E> {
    const TYPE: Oid = T::TYPE;
    const ARRAY_TYPE: Oid = T::ARRAY_TYPE;
    const ALIGNMENT: usize = T::ALIGNMENT;

    fn write(self, to: &mut Vec<u8>) -> bool {
        match self {
            Ok(value) => value.write(to),
            Err(error) => raise(error.report()),
        }
    }
}
