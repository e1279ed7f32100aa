//! Which flows and subscriptions a change goes to.

mod flow;
mod headers;
mod subscription;

pub use flow::{Change, Effective, Flow, FlowDefinition, PricingMode};
pub use subscription::{
    Envelope, Filter, Ordering, PAYLOAD_VERSIONS, SignatureVersion, SubscriptionDefinition, check_event_type,
    event, matches_event_type,
};

use url::Url;

/// Whether `*` in the pattern, standing for any text, makes it the topic.
fn glob(pattern: &str, topic: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == topic };
    topic.strip_prefix(head).is_some_and(|rest| {
        // The shortest match first: what follows the star may begin at any place.
        (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| glob(tail, &rest[at..]))
    })
}

/// The most that a rate limit may be; more is no limit.
const FASTEST: u32 = 10_000;

fn check_rate(limit: Option<u32>) -> Result<(), String> {
    match limit {
        Some(limit) if !(1..=FASTEST).contains(&limit) => {
            Err(format!("{limit} is no rate; it must be from 1 to {FASTEST} a second, or null for no limit"))
        }
        _ => Ok(()),
    }
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
    fn a_star_stands_for_any_text() {
        assert!(glob("orders/*", "orders/create"));
        assert!(glob("*.updated", "order.updated"));
        assert!(glob("a*b*c", "a-b-b-c"));
        assert!(!glob("a*b*c", "a-b"));
    }
}
