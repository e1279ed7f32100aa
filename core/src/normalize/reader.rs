//! JSON read into values, fast: every number once, and what no expression names not at all.
//!
//! It knows well-formed JSON within [`MAX_DEPTH`] and gives up on everything else. `serde_json` then reads the same
//! text, and names what is wrong with it.

use super::json::MAX_DEPTH;
use crate::mapping::Reads;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// So begin the names of members that serde_json takes for its own.
const PRIVATE: &str = "$serde_json::private::";

/// Members of an object that are kept whatever they are called: it can be told whether it is empty, and whether it
/// has more than the four that a response has.
const FEWEST: usize = 5;

/// Reads a text. Of members with the same name the last one counts. Without `reads` all of it is read.
pub(super) fn read(text: &str, reads: Option<&Reads>) -> Option<Value> {
    let mut reader = Reader { text, at: 0, reads, members: Vec::new() };
    let value = reader.value(0, if reads.is_some() { Reads::NAMED } else { Reads::WHOLE })?;
    reader.skip_space();
    (reader.at == text.len()).then_some(value)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    reads: Option<&'t Reads>,
    /// Those of the objects that are not at their end yet, one after another: sorted together they make a map faster than
    /// by being put into it one by one.
    members: Vec<(String, Value)>,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn take_word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// `keep` is what of the value is read, see [`Reads`].
    fn value(&mut self, depth: usize, keep: u8) -> Option<Value> {
        self.skip_space();
        match self.peek()? {
            b'"' => self.string().map(|text| Value::String(text.into_owned())),
            b'{' => self.object(depth, keep),
            b'[' => self.array(depth, keep),
            b't' => self.take_word("true").map(|()| Value::Bool(true)),
            b'f' => self.take_word("false").map(|()| Value::Bool(false)),
            b'n' => self.take_word("null").map(|()| Value::Null),
            _ => self.number().map(Value::Number),
        }
    }

    fn array(&mut self, depth: usize, keep: u8) -> Option<Value> {
        let mut items = Vec::new();
        self.each_item(depth, |reader| {
            items.push(reader.value(depth + 1, Reads::within(keep))?);
            Some(())
        })?;
        Some(Value::Array(items))
    }

    fn object(&mut self, depth: usize, keep: u8) -> Option<Value> {
        let (begin, mut is_whole) = (self.members.len(), true);
        self.each_member(depth, |reader, raw| {
            let name = raw.text()?;
            if name.starts_with(PRIVATE) {
                return None;
            }
            let named = reader.reads.and_then(|reads| reads.of(&name));
            if keep == Reads::NAMED && named.is_none() && reader.members.len() - begin >= FEWEST {
                is_whole = false;
                return reader.skip(depth + 1);
            }
            let keep = named.unwrap_or(Reads::NAMED).max(Reads::within(keep));
            let value = reader.value(depth + 1, keep)?;
            reader.members.push((name.into_owned(), value));
            Some(())
        })?;
        let count = self.members.len() - begin;
        let members: Map<String, Value> = self.members.drain(begin..).collect();
        // Some came twice: it cannot be told how many there would be with those that were left out.
        (is_whole || members.len() == count).then_some(Value::Object(members))
    }

    /// Passes over a value that nobody reads; what is wrong in it is wrong all the same.
    fn skip(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        match self.peek()? {
            b'"' => self.raw_string()?.is_right().then_some(()),
            b'{' => self.each_member(depth, |reader, name| {
                // A name is looked at only here: it may be one of serde_json's own.
                let is_right = name.is_right() && !(name.is_escaped || name.inner().starts_with(PRIVATE));
                is_right.then_some(())?;
                reader.skip(depth + 1)
            }),
            b'[' => self.each_item(depth, |reader| reader.skip(depth + 1)),
            b't' => self.take_word("true"),
            b'f' => self.take_word("false"),
            b'n' => self.take_word("null"),
            _ => self.raw_number().map(|_| ()),
        }
    }

    fn each_item(&mut self, depth: usize, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.enter(depth)?;
        if self.take(b']') {
            return Some(());
        }
        loop {
            each(self)?;
            self.skip_space();
            if self.take(b']') {
                return Some(());
            }
            self.take(b',').then_some(())?;
        }
    }

    fn each_member(
        &mut self,
        depth: usize,
        mut each: impl FnMut(&mut Self, RawString<'t>) -> Option<()>,
    ) -> Option<()> {
        self.enter(depth)?;
        if self.take(b'}') {
            return Some(());
        }
        loop {
            self.skip_space();
            let name = self.raw_string()?;
            self.skip_space();
            self.take(b':').then_some(())?;
            each(self, name)?;
            self.skip_space();
            if self.take(b'}') {
                return Some(());
            }
            self.take(b',').then_some(())?;
        }
    }

    /// Takes the bracket.
    fn enter(&mut self, depth: usize) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        self.at += 1;
        self.skip_space();
        Some(())
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        self.raw_string()?.text()
    }

    fn raw_string(&mut self) -> Option<RawString<'t>> {
        let start = self.at;
        self.take(b'"').then_some(())?;
        let bytes = self.text.as_bytes();
        let mut is_escaped = false;
        loop {
            match *bytes.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    self.at += 2;
                }
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(RawString { quoted: self.text.get(start..self.at)?, is_escaped })
    }

    fn number(&mut self) -> Option<Number> {
        let digits = self.raw_number()?;
        match digits.len() {
            // What these types hold for certain, without the fraction, exponent or lone sign that others may have.
            1..=18 if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse::<u64>().ok().map(Number::from)
            }
            _ => digits.parse().ok(),
        }
    }

    fn raw_number(&mut self) -> Option<&'t str> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        self.text.get(start..self.at)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// A string as it is written.
#[derive(Clone, Copy)]
struct RawString<'t> {
    /// With its quotes.
    quoted: &'t str,
    is_escaped: bool,
}

impl<'t> RawString<'t> {
    fn inner(self) -> &'t str {
        &self.quoted[1..self.quoted.len() - 1]
    }

    fn text(self) -> Option<Cow<'t, str>> {
        match self.is_escaped {
            false => Some(Cow::Borrowed(self.inner())),
            true => serde_json::from_str(self.quoted).ok().map(Cow::Owned),
        }
    }

    /// Whether its escapes are: known, and half a pair of surrogates never alone.
    fn is_right(self) -> bool {
        if !self.is_escaped {
            return true;
        }
        let mut rest = self.inner();
        while let Some((_, escape)) = rest.split_once('\\') {
            let code = |text: &str| {
                let digits = text.strip_prefix('u')?.get(..4)?;
                digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
                u16::from_str_radix(digits, 16).ok()
            };
            rest = match (escape.bytes().next(), code(escape)) {
                (Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), _) => &escape[1..],
                (_, Some(0xd800..0xdc00)) => match escape[5..].strip_prefix('\\').and_then(code) {
                    Some(0xdc00..0xe000) => &escape[11..],
                    _ => return false,
                },
                (_, Some(0xdc00..0xe000) | None) => return false,
                (_, Some(_)) => &escape[5..],
            };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// JSON as others write it, and what is nearly JSON.
    fn text() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,22})([.][0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
            r#""([a-z é]|\\[nt"/]|\\u00e9|\\ud83d\\ude00|\\ud83d|\\x){0,4}""#,
        ];
        let nested = scalar.prop_recursive(4, 40, 6, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5);
            let object = prop::collection::vec(("[a-f]{1,2}", inner), 0..9);
            prop_oneof![
                list.prop_map(|items| format!("[{}]", items.join(" , "))),
                object.prop_map(|members| {
                    let members: Vec<_> =
                        members.iter().map(|(name, value)| format!("\"{name}\":\n{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        });
        let cut = (nested, any::<prop::sample::Index>(), "[]}\",:0-9a-z]?", any::<bool>());
        cut.prop_map(|(text, place, other, is_cut)| {
            let place = text.char_indices().map(|(place, _)| place).nth(place.index(text.chars().count()));
            match (is_cut, place) {
                (true, Some(place)) => format!("{}{other}{}", &text[..place], &text[place..]),
                _ => text,
            }
        })
    }

    fn all(text: &str) -> Option<Value> {
        serde_json::from_str(text).ok()
    }

    proptest! {
        #[test]
        fn reads_as_the_library_does(text in text()) {
            prop_assert_eq!(read(&text, None), all(&text));
        }

        #[test]
        fn what_is_left_out_is_right_as_well(text in text()) {
            let reads = Reads::for_names([("a", Reads::NAMED), ("b", Reads::WHOLE)]);
            let is_read = read(&text, Some(&reads)).is_some();
            prop_assert!(!is_read || all(&text).is_some());
        }
    }

    #[test]
    fn leaves_out_what_is_not_named() {
        let body = r#"{"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "whole": {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "x": 6},
            "list": {"1": {}, "2": {}, "3": {}, "4": {}, "5": {}, "x": {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}}}"#;
        let reads = Reads::for_names([("whole", Reads::WHOLE), ("list", 1)]);
        let mut expected: Value = all(body).unwrap_or_default();
        expected.as_object_mut().into_iter().for_each(|members| drop(members.remove("6")));
        expected["list"]["x"].as_object_mut().into_iter().for_each(|members| drop(members.remove("6")));
        assert_eq!(read(body, Some(&reads)), Some(expected));
        assert_eq!(read(body, None), all(body));
    }

    #[test]
    fn leaves_to_the_library_what_is_its_own() {
        for text in [
            r#"{"$serde_json::private::Number": "1"}"#,
            r#"{"1":1,"2":2,"3":3,"4":4,"5":5,"6":{"$serde_json::private::Number":"x"}}"#,
        ] {
            assert_eq!(read(text, Some(&Reads::default())), None, "{text}");
        }
        assert_eq!(
            read(r#"{"a": -0, "b": 1E5, "c": 18446744073709551616}"#, None).map(|value| value.to_string()),
            Some(json!(all(r#"{"a": -0, "b": 1E5, "c": 18446744073709551616}"#)).to_string())
        );
    }
}
