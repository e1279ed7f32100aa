//! The headers that a subscription's requests carry beside our own.

use crate::error::{Code, Error};
use serde_json::{Map, Value};

const MOST: usize = 20;
const LONGEST_VALUE: usize = 1024;

/// What the request itself needs; `ce-…`, `proxy-…` and `webhook-…` besides.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Words in a name that tell of a secret. Headers are configuration, which whoever may read sees; what proves a
/// delivery is its signature.
const SECRET_WORDS: [&str; 15] = [
    "apikey",
    "auth",
    "authentication",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "key",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

/// Checks a subscription's own headers.
pub fn check_headers(headers: &Map<String, Value>) -> Result<(), Error> {
    if headers.len() > MOST {
        return Err(refused("", format!("{} headers are too many; {MOST} are taken", headers.len())));
    }
    headers.iter().try_for_each(|(name, value)| check_header(name, value))
}

fn check_header(name: &str, value: &Value) -> Result<(), Error> {
    let place = format!("[{name:?}]");
    let lower = name.to_ascii_lowercase();
    if !is_token(name) {
        return Err(refused(&place, format!("{name:?} is no name of a header")));
    }
    let has_reserved_prefix = ["ce-", "proxy-", "webhook-"].iter().any(|prefix| lower.starts_with(prefix));
    if has_reserved_prefix || RESERVED.contains(&lower.as_str()) {
        return Err(refused(&place, format!("the header {name} is set by Nexus alone")));
    }
    let mut words = lower.split(['-', '_', '.']);
    if words.any(|word| SECRET_WORDS.contains(&word)) || carries_credentials(value) {
        let error = refused(&place, format!("the header {name} would carry a secret in the clear"));
        return Err(error.hint("let the receiver verify webhook-signature instead"));
    }
    if !value.as_str().is_some_and(is_value) {
        let reason =
            format!("it must be a string of 1 to {LONGEST_VALUE} visible ASCII characters and spaces");
        return Err(refused(&place, reason));
    }
    Ok(())
}

fn refused(place: &str, reason: impl Into<String>) -> Error {
    Error::new(Code::InvalidSubscription, reason).at(format!("$.headers{place}"))
}

/// RFC 9110, `token`.
fn is_token(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_value(value: &str) -> bool {
    (1..=LONGEST_VALUE).contains(&value.len())
        && value.trim() == value
        && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// A value in the form of credentials, under whatever name.
fn carries_credentials(value: &Value) -> bool {
    let scheme = value.as_str().and_then(|value| value.split_once(' ')).map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| ["basic", "bearer", "digest"].iter().any(|s| scheme.eq_ignore_ascii_case(s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(headers: &Value) -> Result<(), Error> {
        check_headers(headers.as_object().expect("an object"))
    }

    #[test]
    fn headers_of_ones_own_are_taken() {
        assert_eq!(check(&json!({})), Ok(()));
        assert_eq!(check(&json!({ "X-Tenant": "acme", "x-route": "eu west" })), Ok(()));
    }

    #[test]
    fn what_is_ours_a_secret_or_no_header_is_refused_with_its_place() {
        let many: Map<String, Value> = (0..21).map(|n| (format!("x-{n}"), json!("v"))).collect();
        for (headers, place) in [
            (Value::Object(many), "$.headers"),
            (json!({ "Content-Type": "text/plain" }), r#"$.headers["Content-Type"]"#),
            (json!({ "webhook-id": "1" }), r#"$.headers["webhook-id"]"#),
            (json!({ "CE-Type": "order.created" }), r#"$.headers["CE-Type"]"#),
            (json!({ "Authorization": "x" }), r#"$.headers["Authorization"]"#),
            (json!({ "X-Api-Key": "x" }), r#"$.headers["X-Api-Key"]"#),
            (json!({ "x-who": "Bearer abc" }), r#"$.headers["x-who"]"#),
            (json!({ "x y": "v" }), r#"$.headers["x y"]"#),
            (json!({ "x": "a\r\nb: c" }), r#"$.headers["x"]"#),
            (json!({ "x": "" }), r#"$.headers["x"]"#),
            (json!({ "x": 1 }), r#"$.headers["x"]"#),
        ] {
            let refused = check(&headers).expect_err("refused");
            assert_eq!(refused.path.as_deref(), Some(place), "{headers}");
            assert_eq!(refused.code, Code::InvalidSubscription);
        }
    }
}
