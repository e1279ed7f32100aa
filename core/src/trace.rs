//! W3C trace context: one trace id from the sender's webhook to the destination's answer.

/// Where a request stands in its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 lower-case hex digits, not all zero.
    pub trace_id: String,
    /// The span that sent the request, 16 hex digits; `None` where the trace begins with us.
    pub parent_span_id: Option<String>,
}

impl TraceContext {
    /// Reads a `traceparent` header; `None` for what is not one (it is then as if absent, as the
    /// recommendation asks).
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let (version, trace_id, span_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may append parts; version 00 has exactly four, and ff is forbidden.
        let is_version = is_hex(version, 2) && version != "ff";
        let ends_here = version != "00" || parts.next().is_none();
        (is_version && ends_here && is_hex(flags, 2) && is_id(trace_id, 32) && is_id(span_id, 16))
            .then(|| Self { trace_id: trace_id.to_owned(), parent_span_id: Some(span_id.to_owned()) })
    }

    /// Begins a trace with 16 random bytes.
    pub fn begin(random: [u8; 16]) -> Self {
        Self { trace_id: hex::encode(random), parent_span_id: None }
    }
}

/// The `traceparent` header for a request of ours in this trace; `span` are 8 random bytes.
pub fn traceparent(trace_id: &str, span: [u8; 8]) -> String {
    format!("00-{trace_id}-{}-01", hex::encode(span))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn continues_the_senders_trace() {
        let context = TraceContext::parse(EXAMPLE).expect("the recommendation's example");
        assert_eq!(context.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
        assert_eq!(traceparent(&context.trace_id, [0xab; 8])[..36], EXAMPLE[..36]);
    }

    #[test]
    fn treats_a_bad_header_as_absent() {
        for bad in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }
}
