//! Stage 1: does a request come from whom it says?
//!
//! Schemes are data: a manifest's [`Signature`](crate::connector::Signature) says which header holds what,
//! and what is signed. Comparison takes the same time wherever the first difference is.

mod claim;
mod handshake;
mod key;
mod scheme;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use claim::percent_decode;
pub use handshake::{HandshakeResponse, Instance, NewSecret};
pub(crate) use key::origin as key_origin;

use crate::connector::{Receive, Scheme};
use crate::error::{Code, Error};
use crate::normalize::Headers;
use serde_json::Value;

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

/// A public key that has to be fetched before a signature can be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// Where it is; always HTTPS, and always on the host that the manifest names.
    pub url: String,
    /// Whether the connector's access token has to be sent along: the secret that
    /// [`Signature::secret_name`](crate::connector::Signature::secret_name) names.
    pub is_authenticated: bool,
    /// The media type to ask for, if not any.
    pub accept: Option<String>,
    /// How long the answer may be kept, in seconds.
    pub cache_seconds: u32,
}

/// The public keys that a request says it is signed with, for platforms that publish theirs. The answers,
/// as they come, are given to [`verify`] among the secrets.
///
/// Anybody can make a request name keys: the caller bounds how many it fetches, and remembers failures.
pub fn key_requests(receive: &Receive, request: &SignedRequest<'_>) -> Vec<KeyRequest> {
    key::requests(&receive.signature, request)
}

/// Checks a request's signature against every secret that is valid now (two, while one is being replaced),
/// or against public keys.
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

/// Whether platforms of this scheme send the secret itself, so that what is stored of a request must be
/// [`masked`] first.
pub fn sends_secret(receive: &Receive) -> bool {
    matches!(receive.signature.scheme, Scheme::StaticHeader | Scheme::BodyToken | Scheme::SecretPath)
}

/// The text with `***` where it repeats a secret, as it is or as JSON writes it.
pub fn masked(text: &str, secrets: &[&[u8]]) -> String {
    let secrets = secrets.iter().filter_map(|secret| std::str::from_utf8(secret).ok());
    secrets.filter(|secret| !secret.is_empty()).fold(text.to_owned(), |text, secret| {
        let quoted = Value::from(secret).to_string();
        let escaped = &quoted[1..quoted.len() - 1];
        [&escaped.replace('/', "\\/"), escaped, secret]
            .iter()
            .fold(text, |text, form| text.replace(*form, "***"))
    })
}

/// The answer to a request that is a handshake and not an event, `None` for any other request; for
/// handshakes that need nothing of the connector. [`handshake_of`] knows all.
///
/// To be asked before [`verify`]: platforms do not sign handshakes, or sign them otherwise.
pub fn handshake(receive: &Receive, request: &SignedRequest<'_>) -> Option<HandshakeResponse> {
    handshake_of(receive, request, &Instance::default())
}

/// The answer to a request that is a handshake and not an event, `None` for any other request. What it says
/// is to be stored must be stored before it is sent.
pub fn handshake_of(
    receive: &Receive,
    request: &SignedRequest<'_>,
    instance: &Instance<'_>,
) -> Option<HandshakeResponse> {
    receive.handshakes.iter().find_map(|one| handshake::answer(receive, one, request, instance))
}

/// The secret that a part of a URL's path is, as it was before it was written into a URL.
fn path_secret(part: &str) -> Vec<u8> {
    // A plus sign in a path is one; in a query it would be a space.
    percent_decode(&part.replace('+', "%2B"))
}

/// Signs a request as the platform would: the headers to send with it. For tests and the demo.
///
/// `id` and `timestamp` (seconds) are used by the schemes that sign them. Schemes with a private key, and
/// those that put the signature elsewhere than into a header, are refused.
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
