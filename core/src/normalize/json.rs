//! Bodies: JSON within bounds.

use super::reader;
use crate::error::{Code, Error};
use crate::mapping::Reads;
use serde_json::Value;

/// How deep lists and objects of a body may be nested. Real payloads stay under twenty.
pub const MAX_DEPTH: usize = 64;

/// Reads a body. Numbers keep their digits; of members with the same name the last one counts. Members that nobody
/// `reads` may be left out.
pub(super) fn parse(body: &[u8], reads: Option<&Reads>) -> Result<Value, Error> {
    let malformed = |message: String| Error::new(Code::MalformedBody, message);
    let text = std::str::from_utf8(body).map_err(|error| {
        malformed("the body is not UTF-8".to_owned()).at(format!("byte {}", error.valid_up_to()))
    })?;
    // Some platforms' exports begin with a byte order mark, which JSON does not allow.
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(value) = reader::read(json, reads) {
        return Ok(value);
    }
    let parsed = serde_json::from_str(json);
    // The parser stops at a depth of its own, somewhat greater than ours.
    if parsed.as_ref().map_or(true, |value| is_deeper(value, MAX_DEPTH))
        && let Some(place) = place_of_depth(text)
    {
        let message = format!("the body's JSON is nested more than {MAX_DEPTH} deep");
        return Err(malformed(message).at(format!("byte {place}")));
    }
    parsed.map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let reason = message.split(" at line ").next().unwrap_or_default();
        malformed(format!("the body is not JSON: {reason}")).at(place)
    })
}

fn is_deeper(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(|item| is_deeper(item, depth - 1)),
        Value::Object(members) => depth == 0 || members.values().any(|item| is_deeper(item, depth - 1)),
        _ => false,
    }
}

/// Where JSON gets deeper than allowed: counts the brackets outside of texts.
fn place_of_depth(json: &str) -> Option<usize> {
    let (mut depth, mut is_text, mut is_escaped) = (0usize, false, false);
    for (place, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' if depth == MAX_DEPTH => return Some(place),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> Result<Value, Error> {
        super::parse(body, None)
    }

    #[test]
    fn names_the_place_of_what_is_wrong() {
        for (body, place) in [
            (&b"{\"a\": 1,}"[..], "line 1 column 9"),
            (b"{\"a\": \"\xff\"}", "byte 7"),
            (b"", "line 1 column 0"),
            (b"{\"a\": 1} x", "line 1 column 10"),
            (b"{\"a\":\n tru", "line 2 column 4"),
        ] {
            let error = parse(body).unwrap_err();
            assert_eq!(error.code, Code::MalformedBody);
            assert_eq!(error.path.as_deref(), Some(place), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn limits_the_depth() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        let error = parse(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(error.path.as_deref(), Some("byte 64"));
        assert!(
            parse(br#"{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"["}"#)
                .is_ok()
        );
    }

    #[test]
    fn keeps_digits_and_the_last_of_duplicates() {
        let body = parse(br#"{"a": 1, "n": 9007199254740993.10, "a": 2}"#).unwrap();
        assert_eq!(body.to_string(), r#"{"a":2,"n":9007199254740993.10}"#);
    }
}
