//! Subscriptions: which domain events they hear of, and how these are sent.

use super::headers::check_headers;
use super::{check_rate, check_url};
use crate::error::{Code, Error};
use crate::mapping::Condition;
use crate::retry::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The versions of the payload's shape that can be asked for.
pub const PAYLOAD_VERSIONS: [u32; 1] = [1];

/// What a subscription asks for, as the columns of `nexus.webhook_subscription` hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionDefinition {
    /// Where events are sent.
    pub url: String,
    /// Types, families such as `order.*`, or `*`; at least one.
    pub event_types: Vec<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Headers that requests carry beside ours.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// A predicate of the mapping language over the event, as [`event`] shows it; absent: it always holds.
    #[serde(default)]
    pub filter: Option<Value>,
    /// The version of the payload's shape; one of [`PAYLOAD_VERSIONS`].
    #[serde(default = "first_version")]
    pub payload_version: u32,
    /// What is kept in order.
    #[serde(default)]
    pub ordering: Ordering,
    /// When to try again; absent: [`Policy::for_webhooks`].
    #[serde(default)]
    pub retry: Option<Policy>,
    /// Deliveries a second; absent: no limit.
    #[serde(default)]
    pub rate_limit: Option<u32>,
    /// The form of a request.
    #[serde(default)]
    pub envelope: Envelope,
    /// How a request is signed.
    #[serde(default)]
    pub signature: SignatureVersion,
}

/// What is kept in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// Nothing: what is due goes out.
    #[default]
    None,
    /// The deliveries of an entity: each waits for the end of the one before.
    Entity,
}

/// The form of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Envelope {
    /// Our own: [`crate::envelope::WebhookBody`].
    #[default]
    Nexus,
    /// CloudEvents 1.0, the whole event as `application/cloudevents+json`.
    CloudeventsStructured,
    /// CloudEvents 1.0, attributes in `ce-` headers and the data as the body.
    CloudeventsBinary,
}

/// How a request is signed, by Standard Webhooks 1.0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureVersion {
    /// HMAC-SHA256 under a shared secret, `whsec_…`.
    #[default]
    V1,
    /// Ed25519 with a private key of ours, `whsk_…`: the receiver holds the public key, `whpk_…`.
    V1a,
}

fn first_version() -> u32 {
    PAYLOAD_VERSIONS[0]
}

impl SubscriptionDefinition {
    /// Reads what a subscription is to be, and checks it; the error names the place.
    pub fn from_json(definition: &Value) -> Result<Self, Error> {
        let definition: Self = serde_path_to_error::deserialize(definition).map_err(|error| {
            let place = match error.path().to_string().as_str() {
                "." => "$".to_owned(),
                path => format!("$.{path}"),
            };
            invalid(error.inner().to_string()).at(place)
        })?;
        definition.check()?;
        Ok(definition)
    }

    fn check(&self) -> Result<(), Error> {
        check_url(&self.url).map_err(|reason| invalid(reason).at("$.url"))?;
        check_patterns(&self.event_types)?;
        check_headers(&self.headers)?;
        if let Some(filter) = &self.filter {
            Filter::from_json(filter)?;
        }
        if !PAYLOAD_VERSIONS.contains(&self.payload_version) {
            let known = PAYLOAD_VERSIONS.map(|version| version.to_string()).join(", ");
            return Err(invalid(format!("there is no payload version {}", self.payload_version))
                .at("$.payload_version")
                .hint(format!("versions there are: {known}")));
        }
        if let Some(retry) = &self.retry {
            retry.check(Code::InvalidSubscription, "$.retry")?;
        }
        check_rate(self.rate_limit).map_err(|reason| invalid(reason).at("$.rate_limit"))
    }
}

fn check_patterns(event_types: &[String]) -> Result<(), Error> {
    if event_types.is_empty() {
        return Err(invalid("a subscription needs at least one event type").at("$.event_types"));
    }
    for (place, pattern) in event_types.iter().enumerate() {
        check_event_type(pattern).map_err(|error| error.at(format!("$.event_types[{place}]")))?;
    }
    Ok(())
}

/// Checks a pattern of event types, as [`matches_event_type`] reads it.
pub fn check_event_type(pattern: &str) -> Result<(), Error> {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let stem = pattern.strip_suffix(".*").unwrap_or(pattern);
    if pattern == "*" || stem.split('.').all(is_word) {
        return Ok(());
    }
    Err(invalid(format!("\"{pattern}\" is no event type or pattern"))
        .hint("write a type such as order.created, a family such as order.*, or *"))
}

/// Whether one of a subscription's patterns covers the event type: `*`, the type itself, or `family.*`.
pub fn matches_event_type<'a>(mut patterns: impl Iterator<Item = &'a str>, event_type: &str) -> bool {
    patterns.any(|pattern| match pattern.strip_suffix(".*") {
        Some(family) => event_type.strip_prefix(family).is_some_and(|rest| rest.starts_with('.')),
        None => pattern == "*" || pattern == event_type,
    })
}

/// A subscription's filter, compiled.
#[derive(Debug)]
pub struct Filter(Condition);

impl Filter {
    /// Reads and compiles a predicate; errors name the place in it, from `$.filter` on.
    pub fn from_json(filter: &Value) -> Result<Self, Error> {
        let invalid = |error: Error| Error { code: Code::InvalidSubscription, ..error };
        Condition::from_json(filter, "$.filter").map(Self).map_err(invalid)
    }

    /// Whether it lets an event pass, given as [`event`] makes it. What cannot be evaluated does not pass.
    pub fn accepts(&self, event: &Value) -> bool {
        self.0.holds_for(event)
    }
}

/// A domain event as filters see it: the members of the envelope that tell events apart.
pub fn event(event_type: &str, entity_version: Option<i64>, changed: &[String], data: Value) -> Value {
    json!({ "type": event_type, "entity_version": entity_version, "changed": changed, "data": data })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidSubscription, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(members: Value) -> Result<SubscriptionDefinition, Error> {
        let mut definition = json!({ "url": "https://example.com", "event_types": ["order.*", "*"] });
        if let (Some(definition), Value::Object(members)) = (definition.as_object_mut(), members) {
            definition.extend(members);
        }
        SubscriptionDefinition::from_json(&definition)
    }

    #[test]
    fn patterns_cover_a_type_a_family_or_all() {
        let covers = |pattern: &'static str, event: &str| matches_event_type([pattern].into_iter(), event);
        assert!(covers("order.created", "order.created"));
        assert!(covers("order.*", "order.created"));
        assert!(covers("product.*", "product.variant.updated"));
        assert!(covers("*", "job.dead"));
        assert!(!covers("order.*", "orders.created"));
        assert!(!covers("order", "order.created"));
    }

    #[test]
    fn what_is_not_said_is_as_it_always_was() {
        let plain = subscription(json!({})).expect("a subscription");
        assert_eq!(
            serde_json::to_value(&plain).expect("JSON"),
            json!({
                "url": "https://example.com", "event_types": ["order.*", "*"], "description": null, "headers": {},
                "filter": null, "payload_version": 1, "ordering": "none", "retry": null, "rate_limit": null,
                "envelope": "nexus", "signature": "v1",
            })
        );
        let asked = json!({ "ordering": "entity", "envelope": "cloudevents-binary", "signature": "v1a" });
        let asked = subscription(asked).expect("a subscription");
        assert_eq!(
            (asked.ordering, asked.envelope, asked.signature),
            (Ordering::Entity, Envelope::CloudeventsBinary, SignatureVersion::V1a)
        );
    }

    #[test]
    fn a_subscription_names_the_place_it_is_refused_for() {
        for (members, place) in [
            (json!({ "url": "ftp://example.com" }), "$.url"),
            (json!({ "event_types": ["order.created", "or*der"] }), "$.event_types[1]"),
            (json!({ "event_types": [] }), "$.event_types"),
            (json!({ "headers": [] }), "$.headers"),
            (json!({ "headers": { "Cookie": "x" } }), r#"$.headers["Cookie"]"#),
            (json!({ "filter": { "path": "$.data.total" } }), "$.filter"),
            (json!({ "filter": { "path": "$.a[", "is": "set" } }), "$.filter.path"),
            (json!({ "filter": { "all": [{ "pth": "$.a" }] } }), "$.filter.all[0].pth"),
            (json!({ "payload_version": 2 }), "$.payload_version"),
            (json!({ "ordering": "all" }), "$.ordering"),
            (json!({ "retry": { "delays_seconds": [1, -1] } }), "$.retry.delays_seconds[1]"),
            (json!({ "retry": { "delays_seconds": [1, 700_000] } }), "$.retry.delays_seconds[1]"),
            (json!({ "rate_limit": 0 }), "$.rate_limit"),
            (json!({ "colour": "red" }), "$.colour"),
        ] {
            let error = subscription(members.clone()).expect_err("refused");
            assert_eq!(
                (error.code, error.path.as_deref()),
                (Code::InvalidSubscription, Some(place)),
                "{members}"
            );
        }
    }

    #[test]
    fn a_filter_sees_the_events_data_type_changes_and_version() {
        let changed = ["total_amount".to_owned()];
        let order =
            event("order.updated", Some(3), &changed, json!({ "currency": "EUR", "total_amount": "120.50" }));
        let accepts = |filter: Value| Filter::from_json(&filter).expect("a filter").accepts(&order);
        assert!(accepts(json!({ "path": "$.data.currency", "equals": "EUR" })));
        assert!(!accepts(json!({ "path": "$.data.currency", "equals": "USD" })));
        assert!(accepts(json!({ "path": "$.data.total_amount", "at_least": { "constant": 100 } })));
        assert!(!accepts(json!({ "path": "$.data.total_amount", "more_than": { "constant": "120.50" } })));
        assert!(accepts(json!({ "path": "$.type", "starts_with": "order." })));
        assert!(accepts(json!({ "path": "$.entity_version", "more_than": { "constant": 2 } })));
        assert!(accepts(json!({ "path": "$.changed[?(@ == 'total_amount')]", "is": "set" })));
        assert!(!accepts(json!({ "path": "$.changed[?(@ == 'email')]", "is": "set" })));
        assert!(!accepts(json!({ "path": "$.data.no_such.thing", "is": "set" })));
    }
}
