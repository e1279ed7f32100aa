//! Stage 1: does a request come from whom it says?
//!
//! Schemes are data: a manifest's [`Signature`](crate::connector::Signature) says which header holds what,
//! and what is signed. Comparison takes the same time wherever the first difference is.

mod scheme;
#[cfg(test)]
mod tests;

use crate::connector::{HandshakeKind, Receive, Scheme};
use crate::error::{Code, Error};
use crate::normalize::Headers;

/// A request whose signature is to be checked.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The URL as the platform knows it, scheme, host and query included.
    pub url: &'a str,
    /// The headers.
    pub headers: &'a Headers,
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// The answer to a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Checks a request's signature against every secret that is valid now (two, while one is being replaced).
///
/// Every failure has the same code and message: a caller must not be able to learn how near a forgery came.
pub fn verify(receive: &Receive, request: &SignedRequest<'_>, secrets: &[&[u8]]) -> Result<(), Error> {
    let is_valid = match receive.signature.scheme {
        Scheme::None => true,
        _ => scheme::is_valid(&receive.signature, request, secrets),
    };
    if is_valid {
        return Ok(());
    }
    Err(Error::new(Code::InvalidSignature, "the signature is missing, wrong or too old")
        .hint("check the connector's secret, and that the body reaches Nexus unchanged"))
}

/// The answer to a request that is a handshake and not an event, `None` for any other request.
///
/// To be asked before [`verify`]: platforms do not sign handshakes.
pub fn handshake(receive: &Receive, request: &SignedRequest<'_>) -> Option<HandshakeResponse> {
    receive.handshakes.iter().find_map(|handshake| {
        let body = match handshake.kind {
            HandshakeKind::FormPing => is_ping(receive, request, &handshake.field).then(Vec::new)?,
            HandshakeKind::QueryEcho => query_value(request.url, &handshake.field)?,
        };
        Some(HandshakeResponse {
            status: handshake.status,
            headers: vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())],
            body,
        })
    })
}

/// Signs a request as the platform would: the headers to send with it. For tests and the demo.
///
/// `id` and `timestamp` (seconds) are used by the schemes that sign them.
pub fn sign(
    receive: &Receive,
    url: &str,
    id: &str,
    timestamp: i64,
    body: &[u8],
    secret: &[u8],
) -> Result<Vec<(String, String)>, Error> {
    scheme::sign(&receive.signature, url, id, timestamp, body, secret)
}

/// An unsigned POST of a form that has the field and nothing else, its value being a number: nothing that
/// a forger could use, since it is answered and forgotten.
fn is_ping(receive: &Receive, request: &SignedRequest<'_>, field: &str) -> bool {
    let is_signed =
        receive.signature.header.as_deref().is_some_and(|name| request.headers.get(name).is_some());
    let value = std::str::from_utf8(request.body)
        .ok()
        .and_then(|body| body.trim().strip_prefix(field)?.strip_prefix('='));
    request.method.eq_ignore_ascii_case("POST")
        && !is_signed
        && value.is_some_and(|value| {
            (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// The decoded value of a query parameter.
fn query_value(url: &str, name: &str) -> Option<Vec<u8>> {
    let (_, query) = url.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| percent_decode(value))
    })
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match first {
            b'+' => b' ',
            b'%' => match tail.get(..2).and_then(|digits| hex::decode(digits).ok()).as_deref() {
                Some([byte]) => {
                    rest = &tail[2..];
                    *byte
                }
                _ => b'%',
            },
            other => *other,
        };
        decoded.push(byte);
    }
    decoded
}
