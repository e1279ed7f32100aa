//! What documents may be, and what is refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use nexus_jsonb::{Error, MOST_LEVELS, from_slice, to_vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn read_again(text: &str) -> String {
    from_slice::<Value>(&to_vec(&value(text)).unwrap()).unwrap().to_string()
}

#[test]
fn numbers_are_printed_as_postgres_prints_them() {
    for (text, printed) in [
        ("-0", "0"),
        ("-0.00", "0.00"),
        ("1.50", "1.50"),
        ("1E5", "100000"),
        ("1e-5", "0.00001"),
        ("1.50e1", "15.0"),
        ("1.50e-3", "0.00150"),
        ("0e400", "0"),
        ("0e-5", "0.00000"),
        ("100010000.0001000", "100010000.0001000"),
        ("-123456789012345678901234567890.1234567890", "-123456789012345678901234567890.1234567890"),
        ("18446744073709551616", "18446744073709551616"),
    ] {
        assert_eq!(read_again(text), printed, "{text}");
    }
    assert_eq!(read_again("1e400"), format!("1{}", "0".repeat(400)));
    assert_eq!(read_again("-1e-400"), format!("-0.{}1", "0".repeat(399)));
}

#[test]
fn what_numeric_does_not_hold_is_refused() {
    for text in ["1e131072", "-1e131072", "1e-16384", "0e-16384", "1e99999999999999999999", "0e1073741823"] {
        assert_eq!(to_vec(&value(text)), Err(Error::NumberOutOfRange), "{text}");
    }
    for text in ["1e131071", "1e-16383", "0e1073741822"] {
        assert!(to_vec(&value(text)).is_ok(), "{text}");
    }
}

#[test]
fn what_jsonb_does_not_hold_is_refused() {
    assert_eq!(to_vec(&json!({ "a": ["b\0"] })), Err(Error::Nul));
    assert_eq!(to_vec(&json!({ "a\0": 1 })), Err(Error::Nul));
    let nested = |levels: usize| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    assert_eq!(to_vec(&nested(MOST_LEVELS + 1)), Err(Error::TooDeep));
    let deepest = to_vec(&nested(MOST_LEVELS)).unwrap();
    assert_eq!(from_slice::<Value>(&deepest).unwrap(), nested(MOST_LEVELS));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    One(u8),
    Two(i64, f64),
    Named { a: Option<bool>, b: char },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    shapes: Vec<Shape>,
    named: BTreeMap<String, (i8, u64)>,
    large: (i128, u128),
    nothing: (),
    rest: Map<String, Value>,
}

fn everything() -> Everything<'static> {
    let rest = value(r#"{"z": 1.10, "y": [null, -7]}"#);
    Everything {
        text: "Ünïcode".into(),
        shapes: vec![
            Shape::Unit,
            Shape::One(255),
            Shape::Two(i64::MIN, -0.1),
            Shape::Named { a: None, b: 'é' },
            Shape::Named { a: Some(true), b: 'b' },
        ],
        named: BTreeMap::from([("seven".to_owned(), (-1, u64::MAX)), (String::new(), (0, 0))]),
        large: (-(10_i128.pow(35)), 10_u128.pow(35)),
        nothing: (),
        rest: rest.as_object().unwrap().clone(),
    }
}

#[test]
fn what_serde_derives_has_the_form_that_serde_json_gives_it() {
    let text = serde_json::to_string(&everything()).unwrap();
    let stored = to_vec(&everything()).unwrap();
    assert_eq!(stored, to_vec(&value(&text)).unwrap(), "{text}");
    let read: Everything<'_> = from_slice(&stored).unwrap();
    assert_eq!(read, everything());
}

#[test]
fn keys_that_are_no_strings_are_written_as_such() {
    assert_eq!(
        to_vec(&BTreeMap::from([(7, 'a'), (-10_000, 'b')])),
        to_vec(&json!({ "7": "a", "-10000": "b" }))
    );
    assert!(to_vec(&BTreeMap::from([([1], 'a')])).is_err());
}

/// A map that says a key twice.
struct Twice;

impl Serialize for Twice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("a", json!({ "b": 1 })), ("c", json!(2)), ("a", json!([3])), ("", json!(4))])
    }
}

#[test]
fn of_equal_keys_the_last_is_kept() {
    assert_eq!(to_vec(&Twice), to_vec(&json!({ "": 4, "a": [3], "c": 2 })));
}

#[test]
fn floats_are_written_with_the_digits_that_serde_json_gives_them() {
    for float in [0.1, 1.0, -2.5e-7, 1e21, f64::MAX, f64::MIN_POSITIVE] {
        assert_eq!(to_vec(&float), to_vec(&value(&serde_json::to_string(&float).unwrap())), "{float}");
    }
    assert_eq!(to_vec(&f64::NAN), to_vec(&Value::Null));
    assert_eq!(to_vec(&f32::INFINITY), to_vec(&Value::Null));
}

/// Any document. Numbers that are printed otherwise than they came are left out.
fn documents() -> impl Strategy<Value = Value> {
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,70})?".prop_filter("-0", |text| {
        text.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) || !text.starts_with('-')
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        number.prop_map(|text| value(&text)),
        "[^\0]{0,12}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 200, 40, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..70).prop_map(Value::Array),
            prop::collection::btree_map("[^\0]{0,6}", inner, 0..70)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(document in documents()) {
        let stored = to_vec(&document).unwrap();
        prop_assert_eq!(from_slice::<Value>(&stored).unwrap(), document);
    }

    #[test]
    fn spoilt_bytes_are_an_error_or_a_document(
        document in documents(),
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut stored = to_vec(&document).unwrap();
        for (place, byte) in spoilt {
            let place = place.index(stored.len());
            stored[place] = byte;
        }
        // What it says is of no account, only that it is said.
        let _ = from_slice::<Value>(&stored);
        let _ = from_slice::<Everything<'_>>(&stored);
        let _ = from_slice::<Value>(&stored[..cut.index(stored.len())]);
    }

    #[test]
    fn any_bytes_are_an_error_or_a_document(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = from_slice::<Value>(&bytes);
    }
}
