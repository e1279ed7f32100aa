//! Domain events as CloudEvents 1.0, over HTTP in structured and in binary mode.
//!
//! `type` is the domain event's own, as subscriptions name it, without a reverse-DNS prefix: there is no domain
//! that all operators of Nexus own, and `source` tells whose event it is. `dataschema` is left out, since there
//! is no document it could name; `schemaversion` tells when the shape of `data` changes.

use super::WebhookBody;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The media type of structured mode.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";
/// The media type of `data`.
pub const DATA_MEDIA_TYPE: &str = "application/json";

/// The value of an attribute, of one of the specification's types.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value<'a> {
    String(Cow<'a, str>),
    Integer(i32),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_i32(*number),
        }
    }
}

/// A domain event as a CloudEvent.
#[derive(Debug, Clone, Copy)]
pub struct CloudEvent<'a> {
    /// What happened.
    pub event: &'a WebhookBody<'a>,
    /// The value of the request's own `traceparent`: over a single hop the extension must say the same.
    pub traceparent: &'a str,
}

impl<'a> CloudEvent<'a> {
    /// The context attributes but `datacontenttype`, those of the specification first. `source` and `id` name an
    /// event once and for all: neither changes in a replay, or when the gateway's URL does.
    fn attributes(&self) -> Vec<(&'static str, Value<'a>)> {
        let event = self.event;
        let text = |text: &'a str| Value::String(Cow::Borrowed(text));
        let owned = |text: String| Value::String(Cow::Owned(text));
        let mut attributes = vec![
            ("specversion", text("1.0")),
            ("id", owned(event.id.to_string())),
            ("source", owned(format!("urn:nexus:tenant:{}:{}", event.tenant_id, event.environment))),
            ("type", text(event.event_type)),
        ];
        if let Some(entity) = &event.entity {
            attributes.push(("subject", owned(format!("{}/{}", entity.kind, entity.entity_id))));
        }
        attributes.extend([
            ("time", text(event.timestamp)),
            ("schemaversion", Value::Integer(event.schema_version)),
            ("dedupekey", text(event.dedupe_key)),
            ("tenantid", owned(event.tenant_id.to_string())),
            ("environment", text(event.environment)),
            ("traceid", text(event.trace_id)),
            ("traceparent", text(self.traceparent)),
        ]);
        // An Integer of the specification has 32 bits, an entity's version 64.
        if let Some(version) = event.entity_version {
            attributes.push(("entityversion", owned(version.to_string())));
        }
        // There are no lists; the names of fields hold no comma.
        if !event.changed.is_empty() {
            attributes.push(("changed", owned(event.changed.join(","))));
        }
        attributes
    }

    /// The headers of binary mode, in lower case by the HTTP binding's section 3.1.3; the body is `data` by itself.
    pub fn headers(&self) -> impl Iterator<Item = (String, String)> {
        self.attributes().into_iter().map(|(name, value)| {
            let value = match value {
                Value::String(text) => percent_encoded(&text),
                Value::Integer(number) => number.to_string(),
            };
            (format!("ce-{name}"), value)
        })
    }
}

/// Structured mode: the JSON event format.
impl Serialize for CloudEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.attributes() {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("datacontenttype", DATA_MEDIA_TYPE)?;
        map.serialize_entry("data", self.event.data)?;
        map.end()
    }
}

/// A header's value by the HTTP binding's section 3.1.3.2: space, `"`, `%` and what is not printable ASCII is
/// written as the bytes of its UTF-8.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => push_encoded(&mut encoded, byte),
            0x21..=0x7e => encoded.push(byte.into()),
            _ => push_encoded(&mut encoded, byte),
        }
    }
    encoded
}

fn push_encoded(text: &mut String, byte: u8) {
    // A String takes what is written to it.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::super::EntityReference;
    use super::*;
    use crate::routing::Envelope;
    use serde_json::value::RawValue;
    use serde_json::{Value as Json, json};
    use std::collections::BTreeMap;
    use uuid::Uuid;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    fn event<'a>(changed: &'a [String], data: &'a RawValue) -> WebhookBody<'a> {
        WebhookBody {
            id: Uuid::from_u128(1),
            event_type: "order.updated",
            schema_version: 1,
            entity_version: Some(5_000_000_000),
            dedupe_key: "00000000-0000-0000-0000-000000000002:7",
            timestamp: "2026-01-31T12:00:00.123456Z",
            tenant_id: Uuid::from_u128(3),
            environment: "prod",
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
            changed,
            data,
            entity: Some(EntityReference { kind: "sales_order", entity_id: Uuid::from_u128(2) }),
        }
    }

    #[test]
    fn structured_mode_is_the_json_format() {
        let (changed, data) =
            (["total_amount".to_owned(), "note".to_owned()], raw(r#"{"total_amount":"1.10"}"#));
        let event = event(&changed, &data);
        let message = event.in_envelope(Envelope::CloudeventsStructured, TRACEPARENT).expect("JSON");
        assert_eq!((message.content_type, message.headers.len()), ("application/cloudevents+json", 0));
        let written: Json = serde_json::from_slice(&message.body).expect("JSON");
        assert_eq!(
            written,
            json!({
                "specversion": "1.0",
                "id": "00000000-0000-0000-0000-000000000001",
                "source": "urn:nexus:tenant:00000000-0000-0000-0000-000000000003:prod",
                "type": "order.updated",
                "subject": "sales_order/00000000-0000-0000-0000-000000000002",
                "time": "2026-01-31T12:00:00.123456Z",
                "datacontenttype": "application/json",
                "schemaversion": 1,
                "entityversion": "5000000000",
                "dedupekey": "00000000-0000-0000-0000-000000000002:7",
                "tenantid": "00000000-0000-0000-0000-000000000003",
                "environment": "prod",
                "traceid": "4bf92f3577b34da6a3ce929d0e0e4736",
                "traceparent": TRACEPARENT,
                "changed": "total_amount,note",
                "data": {"total_amount": "1.10"},
            })
        );
    }

    #[test]
    fn binary_mode_has_the_same_in_headers_and_the_data_by_itself() {
        let (changed, data) = (["note".to_owned()], raw(r#"{"note":"x"}"#));
        let event = event(&changed, &data);
        let message = event.in_envelope(Envelope::CloudeventsBinary, TRACEPARENT).expect("JSON");
        assert_eq!(
            (message.content_type, message.body.as_slice()),
            ("application/json", br#"{"note":"x"}"#.as_slice())
        );
        let headers: BTreeMap<String, String> = message.headers.into_iter().collect();
        let cloud_event = CloudEvent { event: &event, traceparent: TRACEPARENT };
        let mut structured = serde_json::to_value(cloud_event).expect("JSON");
        let attributes = structured.as_object_mut().expect("an object");
        attributes.remove("data");
        // It is Content-Type's, and must not come twice.
        attributes.remove("datacontenttype");
        let expected: BTreeMap<String, String> = attributes
            .iter()
            .map(|(name, value)| {
                (format!("ce-{name}"), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        assert_eq!(headers, expected);
    }

    /// Names of lower-case letters and digits, at most 20 of them, and values that are there.
    #[test]
    fn attributes_are_as_the_specification_asks() {
        let data = raw("{}");
        let mut event = event(&[], &data);
        event.entity = None;
        event.entity_version = None;
        let cloud_event = CloudEvent { event: &event, traceparent: TRACEPARENT };
        let attributes = cloud_event.attributes();
        for (name, value) in &attributes {
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            assert!(is_name && name.len() <= 20, "{name}");
            assert_ne!(*value, Value::String("".into()), "{name}");
        }
        let names: Vec<&str> = attributes.iter().map(|(name, _)| *name).collect();
        assert_eq!(names[..4], ["specversion", "id", "source", "type"], "what is required");
        assert!(
            !["subject", "entityversion", "changed"].iter().any(|absent| names.contains(absent)),
            "{names:?}"
        );
    }

    /// The HTTP binding's own example.
    #[test]
    fn header_values_are_percent_encoded() {
        assert_eq!(percent_encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("50% \"off\"\r\n"), "50%25%20%22off%22%0D%0A");
        assert_eq!(percent_encoded("urn:nexus/a-b_c.~!,"), "urn:nexus/a-b_c.~!,");
    }
}
