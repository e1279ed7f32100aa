//! Which flows and subscriptions a change goes to.

use crate::canonical::Kind;
use crate::error::{Code, Error};
use crate::retry::Policy;
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

/// What a flow does, as `nexus.flow.definition` holds it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// The entity kinds it is for; at least one.
    pub kinds: Vec<String>,
    /// The connectors it listens to; absent: all of the environment.
    pub connector_ids: Option<Vec<Uuid>>,
    /// The topics it listens to, `*` standing for any text; absent: all.
    pub topics: Option<Vec<String>>,
    /// Where jobs are sent.
    pub execution_url: String,
    /// When to try again; absent: 5 attempts, after 60, 300, 900 and 1800 seconds.
    pub retry: Option<Policy>,
    /// How long one attempt may take, in seconds; absent: 30.
    pub timeout_seconds: Option<u32>,
    /// How long to wait for the callback after a 202, in seconds; absent: 3600.
    pub callback_timeout_seconds: Option<u32>,
    /// Error codes of the destination that no retry will mend, such as `SKU_NOT_FOUND`.
    #[serde(default)]
    pub permanent_error_codes: Vec<String>,
}

impl Flow {
    /// Reads a definition and checks it.
    pub fn from_json(definition: &Value) -> Result<Self, Error> {
        let flow: Flow = Flow::deserialize(definition)
            .map_err(|error| invalid_flow(format!("a flow's definition cannot be read: {error}")))?;
        if flow.kinds.is_empty() {
            return Err(invalid_flow("a flow needs at least one entity kind").at("$.kinds"));
        }
        for kind in &flow.kinds {
            Kind::named(kind).map_err(|error| Error { code: Code::InvalidFlow, ..error }.at("$.kinds"))?;
        }
        check_url(&flow.execution_url).map_err(|reason| invalid_flow(reason).at("$.execution_url"))?;
        for (name, seconds) in [
            ("$.timeout_seconds", flow.timeout_seconds),
            ("$.callback_timeout_seconds", flow.callback_timeout_seconds),
        ] {
            if seconds.is_some_and(|seconds| seconds == 0 || seconds > 7 * 24 * 3600) {
                return Err(invalid_flow("must be between 1 second and 7 days").at(name));
            }
        }
        // Each star may begin its text anywhere, so their number bounds the work.
        if flow.topics.iter().flatten().any(|pattern| pattern.matches('*').count() > 3) {
            return Err(invalid_flow("a topic pattern has at most three stars").at("$.topics"));
        }
        if let Some(retry) = &flow.retry {
            retry.check().map_err(|reason| invalid_flow(reason).at("$.retry"))?;
        }
        Ok(flow)
    }

    /// Whether a changed record of this kind, from this connector and topic, is for this flow; else why not.
    pub fn wants(&self, kind: &str, connector_id: Uuid, topic: Option<&str>) -> Result<(), &'static str> {
        if !self.kinds.iter().any(|wanted| wanted == kind) {
            return Err("the flow is for other kinds");
        }
        if self.connector_ids.as_ref().is_some_and(|wanted| !wanted.contains(&connector_id)) {
            return Err("the flow is for other connectors");
        }
        let is_wanted = |patterns: &Vec<String>| {
            topic.is_some_and(|topic| patterns.iter().any(|pattern| glob(pattern, topic)))
        };
        if self.topics.as_ref().is_some_and(|patterns| !is_wanted(patterns)) {
            return Err("the flow is for other topics");
        }
        Ok(())
    }
}

/// Checks a subscription's target and patterns.
pub fn check_subscription(url: &str, event_types: &[String]) -> Result<(), Error> {
    check_url(url).map_err(|reason| Error::new(Code::InvalidSubscription, reason).at("$.url"))?;
    if event_types.is_empty() {
        let message = "a subscription needs at least one event type";
        return Err(Error::new(Code::InvalidSubscription, message).at("$.event_types"));
    }
    for (place, pattern) in event_types.iter().enumerate() {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let stem = pattern.strip_suffix(".*").unwrap_or(pattern);
        if pattern != "*" && !stem.split('.').all(is_word) {
            let message = format!("\"{pattern}\" is no event type or pattern");
            return Err(Error::new(Code::InvalidSubscription, message)
                .at(format!("$.event_types[{place}]"))
                .hint("write a type such as order.created, a family such as order.*, or *"));
        }
    }
    Ok(())
}

/// Whether one of a subscription's patterns covers the event type: `*`, the type itself, or `family.*`.
pub fn matches_event_type<'a>(mut patterns: impl Iterator<Item = &'a str>, event_type: &str) -> bool {
    patterns.any(|pattern| match pattern.strip_suffix(".*") {
        Some(family) => event_type.strip_prefix(family).is_some_and(|rest| rest.starts_with('.')),
        None => pattern == "*" || pattern == event_type,
    })
}

/// Whether `*` in the pattern, standing for any text, makes it the topic.
fn glob(pattern: &str, topic: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == topic };
    topic.strip_prefix(head).is_some_and(|rest| {
        // The shortest match first: what follows the star may begin at any place.
        (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| glob(tail, &rest[at..]))
    })
}

fn check_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("\"{text}\" is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("\"{text}\" is no http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not carry credentials: they would be logged".to_owned());
    }
    Ok(())
}

fn invalid_flow(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidFlow, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flow(mut extra: Value) -> Result<Flow, Error> {
        let definition = json!({ "kinds": ["sales_order"], "execution_url": "https://example.com/run" });
        if let (Some(extra), Value::Object(mut definition)) = (extra.as_object_mut(), definition) {
            definition.append(extra);
            return Flow::from_json(&Value::Object(definition));
        }
        unreachable!("both are objects")
    }

    #[test]
    fn a_flow_wants_its_kinds_connectors_and_topics() {
        let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let flow = flow(json!({ "connector_ids": [mine], "topics": ["orders/*"] })).expect("a flow");
        assert_eq!(flow.wants("sales_order", mine, Some("orders/create")), Ok(()));
        assert!(flow.wants("customer", mine, Some("orders/create")).is_err());
        assert!(flow.wants("sales_order", other, Some("orders/create")).is_err());
        assert!(flow.wants("sales_order", mine, Some("refunds/create")).is_err());
        assert!(flow.wants("sales_order", mine, None).is_err());
    }

    #[test]
    fn a_definition_that_cannot_work_is_refused_with_the_place() {
        for (extra, place) in [
            (json!({ "kinds": [] }), Some("$.kinds")),
            (json!({ "kinds": ["orders"] }), Some("$.kinds")),
            (json!({ "execution_url": "ftp://example.com" }), Some("$.execution_url")),
            (json!({ "execution_url": "https://user:pass@example.com" }), Some("$.execution_url")),
            (json!({ "timeout_seconds": 0 }), Some("$.timeout_seconds")),
            (json!({ "unheard_of": 1 }), None),
        ] {
            let error = flow(extra).expect_err("refused");
            assert_eq!((error.code, error.path.as_deref()), (Code::InvalidFlow, place), "{error}");
        }
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
    fn a_subscription_names_the_pattern_it_refuses() {
        let patterns = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert!(check_subscription("https://example.com", &patterns(&["order.*", "*"])).is_ok());
        let error = check_subscription("https://example.com", &patterns(&["order.created", "or*der"]));
        assert_eq!(error.expect_err("refused").path.as_deref(), Some("$.event_types[1]"));
        assert!(check_subscription("https://example.com", &[]).is_err());
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(glob("orders/*", "orders/create"));
        assert!(glob("*.updated", "order.updated"));
        assert!(glob("a*b*c", "a-b-b-c"));
        assert!(!glob("a*b*c", "a-b"));
    }
}
