//! Reading request bodies, within bounds: size, time, and how deep JSON is nested.

use crate::error::Error;
use axum::body::{Body, Bytes, to_bytes};
use nexus_core::error::Code;
use std::time::Duration;
use tokio::time::timeout;

/// How deep the JSON of an API request may be nested. Flows' definitions and platforms' settings stay under ten.
const MAX_DEPTH: usize = 32;

/// How large a body may be, and how long it may take to arrive. Senders have it ready; who trickles it holds a
/// connection for nothing.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In bytes.
    pub bytes: usize,
    /// From the headers' end to the body's.
    pub time: Duration,
}

/// The whole body: 413 if it is larger than the limit, 408 if it does not come in time.
pub async fn read(body: Body, limits: Limits) -> Result<Bytes, Error> {
    let read = timeout(limits.time, to_bytes(body, limits.bytes)).await.map_err(|_| {
        let seconds = limits.time.as_secs();
        Error::new(Code::RequestTimeout, format!("the body did not arrive within {seconds} seconds"))
    })?;
    read.map_err(|error| {
        let is_too_large = std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if is_too_large {
            Error::new(Code::BodyTooLarge, format!("the body is larger than {} bytes", limits.bytes))
                .hint("NEXUS_MAX_BODY_BYTES sets the limit")
        } else {
            Error::new(Code::MalformedRequest, "the body did not arrive whole")
        }
    })
}

/// Refuses JSON that is nested too deep, before it is parsed.
pub fn check_depth(json: &[u8]) -> Result<(), Error> {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' if depth == MAX_DEPTH => {
                let detail = format!("the body's JSON is nested more than {MAX_DEPTH} deep");
                return Err(Error::new(Code::MalformedRequest, detail));
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_of_brackets_outside_of_texts() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check_depth(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(check_depth(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(check_depth(format!("[\"\\\"{}\"]", "[".repeat(99)).as_bytes()).is_ok());
        assert!(check_depth("[]".repeat(99).as_bytes()).is_ok());
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_told_so() {
        let limits = Limits { bytes: 4, time: Duration::from_secs(1) };
        let refused = read(Body::from("12345"), limits).await.expect_err("too large");
        assert_eq!(refused.code, Code::BodyTooLarge);
        assert_eq!(read(Body::from("1234"), limits).await.expect("small enough"), "1234");
    }
}
