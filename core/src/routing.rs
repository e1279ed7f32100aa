//! Which flows and subscriptions a change goes to.

mod flow;
mod headers;

pub use flow::{Change, Effective, Flow, FlowDefinition, PricingMode};

use crate::error::{Code, Error};
use serde_json::Value;
use url::Url;

/// Checks a subscription's target, its patterns and the headers of its requests.
pub fn check_subscription(url: &str, event_types: &[String], headers: &Value) -> Result<(), Error> {
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
    headers::check_headers(headers)
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let none = serde_json::json!({});
        let patterns = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert!(check_subscription("https://example.com", &patterns(&["order.*", "*"]), &none).is_ok());
        let error = check_subscription("https://example.com", &patterns(&["order.created", "or*der"]), &none);
        assert_eq!(error.expect_err("refused").path.as_deref(), Some("$.event_types[1]"));
        assert!(check_subscription("https://example.com", &[], &none).is_err());
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(glob("orders/*", "orders/create"));
        assert!(glob("*.updated", "order.updated"));
        assert!(glob("a*b*c", "a-b-b-c"));
        assert!(!glob("a*b*c", "a-b"));
    }
}
