//! Stage 2: a platform's payload in, canonical documents out.
//!
//! Total: whatever comes in, one of three things comes out, and none of them is a panic. Documents (maybe
//! none, for a known topic without an entity in it), "ignored" with the reason, or "quarantined" with the
//! place and the reason.

mod body;
mod detect;
mod document;
mod events;
mod headers;
mod json;
mod reader;
mod unmapped;

pub use headers::Headers;
pub use json::MAX_DEPTH;
pub use unmapped::{Unmapped, unmapped};

use crate::canonical::Document;
use crate::connector::Connector;
use crate::error::Error;
use crate::mapping::{Context, Mapping};
use serde_json::Value;

/// A request as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its headers.
    pub headers: &'a Headers,
    /// Its body, byte for byte. The caller limits its size.
    pub body: &'a [u8],
    /// The settings of the connector it came to.
    pub settings: &'a Value,
}

/// What a request says.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized {
    /// The platform's name for what happened, such as `orders/create`.
    pub topic: Option<String>,
    /// The platform's own id of the delivery.
    pub delivery_id: Option<String>,
    /// When the platform says that it sent this, in microseconds since 1970.
    pub emitted_at: Option<i64>,
    /// The shop or account that it is about, as the platform names it.
    pub shop: Option<String>,
    /// The documents, or why there are none.
    pub outcome: Outcome,
    /// Records that the payload names without saying what is in them: to be fetched.
    pub fetch: Vec<FetchRequest>,
}

/// A record to be fetched from its source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FetchRequest {
    /// The canonical kind of what the record holds, such as `sales_order`.
    pub kind: &'static str,
    /// Its id in the source.
    pub external_id: String,
}

/// What became of a payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was understood. Parents come before what refers to them.
    Documents(Vec<Document>),
    /// It carries nothing that belongs into the canonical model.
    Ignored {
        /// Why, for people.
        reason: String,
    },
    /// It should have been understood and was not: kept, until the manifest is mended.
    Quarantined(Error),
}

/// Normalizes a request: finds its topic, delivery id and time, and maps its body.
pub fn normalize(connector: &Connector, request: &Request<'_>) -> Normalized {
    normalize_as(connector, None, request)
}

/// Normalizes a payload of which only the topic is known, or not even that: then the topic that it names
/// itself decides, or else its shape, and a list or an envelope of the platform's REST API gives the
/// documents of every record in it.
pub fn normalize_payload(
    connector: &Connector,
    topic: Option<&str>,
    body: &[u8],
    settings: &Value,
) -> Outcome {
    let headers = Headers::default();
    normalize_as(connector, topic, &Request { headers: &headers, body, settings }).outcome
}

/// Normalizes a request whose topic is known from elsewhere. A given topic decides, whatever the request says.
pub fn normalize_as(connector: &Connector, topic: Option<&str>, request: &Request<'_>) -> Normalized {
    of_body(connector, topic, request, body::parse(connector, request.body, connector.reads()))
}

fn of_body(
    connector: &Connector,
    topic: Option<&str>,
    request: &Request<'_>,
    parsed: Result<Value, Error>,
) -> Normalized {
    let receive = connector.compiled_receive();
    let nothing = Value::Null;
    let body = parsed.as_ref().unwrap_or(&nothing);
    let context = Context::new(body, request.headers, request.settings, connector.null_values());
    let scope = context.scope();

    let text = |mapping: &Option<Mapping>| mapping.as_ref().and_then(|mapping| mapping.text(&scope));
    let delivery_id = text(&receive.delivery_id);
    let shop = text(&receive.shop);
    let emitted_at = receive.emitted_at.as_ref().and_then(|mapping| mapping.microseconds(&scope));
    let ignored =
        |topic: &Option<String>| topic.as_deref().and_then(|topic| detect::ignored(connector, topic));

    let given = topic.map(str::to_owned);
    let is_unwanted = ignored(&given).is_some();
    if let (false, Some(events)) = (is_unwanted, events::of(connector, body)) {
        let events::Batch { topic, outcome, fetch } = events::batch(connector, &events, topic, scope);
        return Normalized { topic, delivery_id, emitted_at, shop, outcome, fetch };
    }
    let topic = given.or_else(|| text(&receive.topic));
    let (outcome, fetch) = match (ignored(&topic), parsed.as_ref()) {
        // Nobody needs to mend a payload that would be ignored anyway.
        (Some(reason), _) => (Outcome::Ignored { reason }, Vec::new()),
        (None, Err(error)) => (Outcome::Quarantined(error.clone()), Vec::new()),
        (None, Ok(_)) => detect::documents(connector, topic.as_deref(), scope),
    };
    Normalized { topic, delivery_id, emitted_at, shop, outcome, fetch }
}

impl Normalized {
    /// The latest time at which the source says that anything in here changed, in microseconds.
    pub fn source_time(&self) -> Option<i64> {
        match &self.outcome {
            Outcome::Documents(documents) => {
                documents.iter().filter_map(|document| document.source_time).max()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.
mod tests {
    use super::*;
    use crate::case;
    use crate::connector::built_in;
    use std::path::{Path, PathBuf};

    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files(&path, found),
                false => found.push(path),
            }
        }
    }

    /// Whether what is left out of a payload makes no difference.
    fn is_same(connector: &Connector, topic: Option<&str>, body: &[u8]) -> bool {
        let headers = Headers::default();
        let request = Request { headers: &headers, body, settings: &Value::Null };
        let whole = of_body(connector, topic, &request, body::parse(connector, body, None));
        normalize_as(connector, topic, &request) == whole
    }

    #[test]
    fn what_is_left_out_of_a_payload_is_read_by_nobody() {
        let connectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors");
        for (name, manifest) in built_in() {
            let connector = Connector::from_toml(manifest).unwrap();
            let (cases, mut payloads) = (connectors.join(name).join("cases"), Vec::new());
            files(&cases, &mut payloads);
            assert!(!payloads.is_empty(), "{name}");
            for path in payloads {
                let body = std::fs::read(&path).unwrap();
                let folder = path.parent().and_then(|folder| folder.strip_prefix(&cases).ok());
                let topic = folder.and_then(Path::to_str).and_then(case::topic);
                assert!(is_same(&connector, topic, &body), "{}", path.display());
                assert!(is_same(&connector, None, &body), "{}, by its shape", path.display());
            }
        }
    }
}
