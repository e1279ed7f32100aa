//! Bodies, as a manifest says they are written.

use super::json;
use crate::connector::{BodyFormat, Connector};
use crate::error::{Code, Error};
use crate::mapping::Reads;
use crate::signature::percent_decode;
use serde_json::{Map, Value};

/// Reads a body. Of fields or members with the same name the last one counts. Members of JSON that nobody `reads` may be
/// left out.
pub(super) fn parse(connector: &Connector, body: &[u8], reads: Option<&Reads>) -> Result<Value, Error> {
    match connector.receive() {
        Some(receive) if receive.body == BodyFormat::Form && !looks_like_json(body) => {
            form(body, &receive.json_fields)
        }
        _ => json::parse(body, reads),
    }
}

/// Answers of a platform's API are JSON, even where its webhooks are forms.
fn looks_like_json(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, None | Some(b'{' | b'[' | 0xef))
}

/// The fields of a form, an object of texts; those that are said to hold JSON, parsed.
fn form(body: &[u8], json_fields: &[String]) -> Result<Value, Error> {
    let malformed = |reason: &str, at: &str| Error::new(Code::MalformedBody, reason).at(at);
    let body = std::str::from_utf8(body)
        .map_err(|_| malformed("the body is not a form: it is not UTF-8", "body"))?;
    let mut fields = Map::new();
    for pair in body.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = String::from_utf8(percent_decode(name))
            .map_err(|_| malformed("the name of a field is not UTF-8", "body"))?;
        let value = percent_decode(value);
        let value = if json_fields.contains(&name) {
            let in_field = |error: Error| {
                let place = format!("field {name}, {}", error.path.as_deref().unwrap_or_default());
                error.at(place)
            };
            json::parse(&value, None).map_err(in_field)?
        } else {
            let text = String::from_utf8(value);
            Value::String(text.map_err(|_| malformed("the field is not UTF-8", &format!("field {name}")))?)
        };
        fields.insert(name, value);
    }
    Ok(Value::Object(fields))
}
