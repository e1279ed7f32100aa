//! PostgreSQL's jsonb as it lies in a row, for serde.
//!
//! [`to_vec`] writes what PostgreSQL itself makes of the same document's text, byte for byte, so that equality, hashes
//! and indexes see no difference; [`from_slice`] reads it. Neither goes by text, which PostgreSQL would parse, sort and
//! convert, and print again. Where text is what is wanted, [`to_text`] prints it. The format is that of versions 15 to 18 (`src/include/utils/jsonb.h`); it cannot change
//! without pg_upgrade losing the tables of others.
//!
//! A document is a container: a word that says what it is and how many members it has, a word for each member (of an
//! object: the keys, then the values), and the members one after the other, numbers and containers at multiples of
//! four. A scalar by itself is an array of one. Everything is in the byte order of the machine.

mod number;
mod read;
mod serialize;
mod tape;
mod text;

pub use read::from_slice;
pub use serialize::to_vec;
pub use text::to_text;

/// Why a document cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// jsonb's text cannot hold the character NUL.
    #[error("\\u0000 cannot be stored in a document")]
    Nul,
    /// A number that PostgreSQL's numeric does not hold.
    #[error("a number of a document is out of the range of numeric")]
    NumberOutOfRange,
    /// More than a container, or a string, may have of bytes.
    #[error("a document, or a part of it, is larger than {MOST_BYTES} bytes")]
    TooLarge,
    /// Containers within containers beyond what is read and written.
    #[error("a document is nested deeper than {MOST_LEVELS} levels")]
    TooDeep,
    /// These bytes are no jsonb.
    #[error("malformed jsonb: {0}")]
    Malformed(&'static str),
    /// What the value that is written, or is to be read, says itself.
    #[error("{0}")]
    Custom(String),
}

impl serde::ser::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

/// A member's length, or where it ends, has 28 bits.
pub const MOST_BYTES: usize = 0x0FFF_FFFF;

/// Each level is a call within a call; `serde_json` reads 127 of them.
pub const MOST_LEVELS: usize = 512;

/// What a container's first word says beside the number of its members.
mod container {
    pub const COUNT: u32 = 0x0FFF_FFFF;
    pub const SCALAR: u32 = 0x1000_0000;
    pub const OBJECT: u32 = 0x2000_0000;
    pub const ARRAY: u32 = 0x4000_0000;
}

/// What a member's word says beside its length.
mod entry {
    pub const LENGTH: u32 = 0x0FFF_FFFF;
    pub const KIND: u32 = 0x7000_0000;
    pub const STRING: u32 = 0x0000_0000;
    pub const NUMBER: u32 = 0x1000_0000;
    pub const FALSE: u32 = 0x2000_0000;
    pub const TRUE: u32 = 0x3000_0000;
    pub const NULL: u32 = 0x4000_0000;
    pub const CONTAINER: u32 = 0x5000_0000;
    /// The word has where the member ends, counted from the first, and not its length.
    pub const IS_OFFSET: u32 = 0x8000_0000;
    /// Every so many members one has: a compromise of PostgreSQL's between compression and access.
    pub const STRIDE: usize = 32;
}

/// How `serde_json` hands over a number whose digits it kept, and JSON text: structs of these names with one field.
mod token {
    pub const NUMBER: &str = "$serde_json::private::Number";
    pub const RAW: &str = "$serde_json::private::RawValue";
}
