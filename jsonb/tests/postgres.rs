//! Documents as PostgreSQL stores them: each line of `postgres.tsv` is a document's text, and in hexadecimal what
//! `heap_page_items` (pageinspect) of PostgreSQL 15 shows of a row into which it was put, without the value's length.
//! It is little-endian. `tests/suites/documents.rs` compares with the server that is there.

#![cfg(target_endian = "little")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use nexus_jsonb::{from_slice, to_text, to_vec};
use serde_json::Value;
use serde_json::value::RawValue;

fn cases() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    include_str!("postgres.tsv").lines().map(|line| {
        let (text, stored) = line.split_once('\t').unwrap();
        (text, hex::decode(stored).unwrap())
    })
}

#[test]
fn what_is_written_is_what_postgres_makes_of_the_text() {
    for (text, stored) in cases() {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(hex::encode(to_vec(&value).unwrap()), hex::encode(&stored), "{text}");
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        assert_eq!(to_vec(raw).unwrap(), stored, "{text}");
    }
}

#[test]
fn what_is_read_is_the_document_with_its_digits() {
    for (text, stored) in cases() {
        let read: Value = from_slice(&stored).unwrap();
        assert_eq!(to_vec(&read).unwrap(), stored, "{text}");
        // Numbers in these notations are printed otherwise than they came; document.rs has what they become.
        if !text.contains(['e', 'E']) && !text.contains("-0") {
            assert_eq!(read, serde_json::from_str::<Value>(text).unwrap());
        }
    }
}

#[test]
fn what_is_printed_is_the_same_document_without_blanks() {
    for (text, stored) in cases() {
        let printed = to_text(&stored).unwrap();
        assert_eq!(
            hex::encode(to_vec(&serde_json::from_str::<Value>(&printed).unwrap()).unwrap()),
            hex::encode(&stored)
        );
        // As it is read: with its digits, and the keys in the order in which they are stored.
        let read: Value = from_slice(&stored).unwrap();
        assert_eq!(printed.len(), read.to_string().len(), "{text}");
    }
    assert_eq!(to_text(b"\0\0\0\x60").unwrap_err().to_string(), "malformed jsonb: a container's header");
}
