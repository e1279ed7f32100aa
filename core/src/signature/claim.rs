//! What a request says for itself: its signatures, and what they sign.

use super::SignedRequest;
use crate::connector::{Encoding, HeaderFormat, Scheme, Signature};
use base64::Engine as _;
use base64::alphabet::{STANDARD as ALPHABET, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Signatures looked at in one request; a header with more of them is not from a platform.
const MAX_SIGNATURES: usize = 8;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&ALPHABET, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// What a request says for itself.
pub(super) struct Claim {
    pub signatures: Vec<Vec<u8>>,
    pub id: Option<String>,
    /// The timestamp, and as it was written: those very bytes were signed.
    pub timestamp: Option<(i64, String)>,
    /// What is signed of a query that holds the signature itself.
    signed_query: Option<String>,
}

impl Claim {
    /// The claim of somebody who is about to sign.
    pub fn of(id: &str, timestamp: i64) -> Self {
        Self {
            signatures: Vec::new(),
            id: Some(id.to_owned()),
            timestamp: Some((timestamp, timestamp.to_string())),
            signed_query: None,
        }
    }

    pub fn read(signature: &Signature, request: &SignedRequest<'_>) -> Option<Self> {
        let header = |name: &str| request.headers.get(name);
        let timestamp = |text: &str| Some((text.parse().ok()?, text.to_owned()));
        match signature.scheme {
            Scheme::StandardWebhooks => {
                let parts = header("webhook-signature")?.split([' ', '\t']);
                let parts = parts.filter_map(|part| part.strip_prefix("v1,"));
                Some(Self {
                    // Headers that came twice were joined by commas.
                    signatures: decode_all(signature, parts.map(|text| text.trim_end_matches(','))),
                    id: Some(header("webhook-id")?.to_owned()),
                    timestamp: Some(timestamp(header("webhook-timestamp")?)?),
                    signed_query: None,
                })
            }
            Scheme::Stripe => {
                let text = header("stripe-signature")?;
                let values = |name| text.split(',').filter_map(move |part| part.trim().strip_prefix(name));
                Some(Self {
                    signatures: decode_all(signature, values("v1=")),
                    id: None,
                    timestamp: Some(timestamp(values("t=").next()?)?),
                    signed_query: None,
                })
            }
            _ => {
                let (signatures, signed_query) = written(signature, request)?;
                Some(Self {
                    signatures,
                    id: match &signature.id_header {
                        Some(name) => Some(header(name)?.to_owned()),
                        None => None,
                    },
                    timestamp: match &signature.timestamp_header {
                        Some(name) => Some(timestamp(header(name)?)?),
                        None => None,
                    },
                    signed_query,
                })
            }
        }
    }

    /// The bytes that were signed, `None` if the body lacks the member that should be.
    pub fn content(&self, signature: &Signature, url: &str, body: &[u8]) -> Option<Vec<u8>> {
        let template = match signature.scheme {
            Scheme::StandardWebhooks => "{id}.{timestamp}.{body}",
            Scheme::Stripe => "{timestamp}.{body}",
            _ if self.signed_query.is_some() => "{query}",
            _ => signature.content.as_deref().unwrap_or("{body}"),
        };
        let mut content = Vec::with_capacity(body.len() + 64);
        let mut rest = template;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (name, tail) = tail.split_once('}').unwrap_or((tail, ""));
            content.extend(literal.as_bytes());
            match name {
                "body" => content.extend(body),
                "body_base64" => content.extend(BASE64.encode(body).as_bytes()),
                "url" => content.extend(url.as_bytes()),
                "query" => {
                    content
                        .extend(self.signed_query.as_deref().or(query(url)).unwrap_or_default().as_bytes());
                }
                "id" => content.extend(self.id.as_deref().unwrap_or_default().as_bytes()),
                "timestamp" => {
                    content.extend(self.timestamp.as_ref().map_or("", |(_, text)| text).as_bytes());
                }
                // Compiling the manifest refuses any other name.
                _ => content.extend(members(body)?.get(name.strip_prefix("body.")?)?.get().as_bytes()),
            }
            rest = tail;
        }
        content.extend(rest.as_bytes());
        Some(content)
    }
}

/// The signatures where the manifest says they are, and the rest of the query if they are in there.
fn written(signature: &Signature, request: &SignedRequest<'_>) -> Option<(Vec<Vec<u8>>, Option<String>)> {
    if let Some(name) = &signature.body_member {
        let members = members(request.body)?;
        let text: Cow<'_, str> = serde_json::from_str(members.get(name.as_str())?.get()).ok()?;
        return Some((decode_all(signature, std::iter::once(text.as_ref())), None));
    }
    if let Some(name) = &signature.query_parameter
        && request.method.eq_ignore_ascii_case("GET")
    {
        let text = String::from_utf8(query_value(request.url, name)?).ok()?;
        let is_other = |pair: &&str| pair.split('=').next() != Some(name.as_str());
        let others: Vec<_> = query(request.url)?.split('&').filter(is_other).collect();
        return Some((decode_all(signature, std::iter::once(text.as_str())), Some(others.join("&"))));
    }
    let part = signature.signature_part.as_deref().unwrap_or("signature");
    let texts: Vec<_> =
        headers(signature, request).filter_map(|text| part_of(signature.header_format, text, part)).collect();
    (!texts.is_empty()).then(|| (decode_all(signature, texts.iter().map(AsRef::as_ref)), None))
}

/// The headers that may hold a signature, without what stands before it.
pub(super) fn headers<'a>(
    signature: &'a Signature,
    request: &SignedRequest<'a>,
) -> impl Iterator<Item = &'a str> {
    let headers = request.headers;
    let names = signature.header.iter().chain(&signature.more_headers);
    let prefix = signature.prefix.as_deref().unwrap_or_default();
    names.filter_map(|name| headers.get(name)).filter_map(move |text| text.strip_prefix(prefix))
}

/// A part of a header.
pub(super) fn part_of<'a>(format: HeaderFormat, text: &'a str, name: &str) -> Option<Cow<'a, str>> {
    match format {
        HeaderFormat::Plain => Some(Cow::Borrowed(text)),
        HeaderFormat::Parameters => text.split([',', ';']).find_map(|part| {
            let (key, value) = part.split_once('=')?;
            let is_it = key.trim().eq_ignore_ascii_case(name);
            is_it.then(|| Cow::Borrowed(value.trim().trim_matches('"')))
        }),
        HeaderFormat::Base64Json => {
            let object: Value = serde_json::from_slice(&base64(text)?).ok()?;
            Some(Cow::Owned(object.get(name)?.as_str()?.to_owned()))
        }
    }
}

/// The members of a body, as they were written. Of members with the same name the last one counts, as it
/// does when the body is mapped.
fn members(body: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_slice(body).ok()
}

pub(super) fn encoding(signature: &Signature) -> Encoding {
    match signature.scheme {
        Scheme::StandardWebhooks => Encoding::Base64,
        Scheme::Stripe => Encoding::Hex,
        _ => signature.encoding,
    }
}

fn decode_all<'a>(signature: &Signature, texts: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let decode = |text: &str| match encoding(signature) {
        Encoding::Base64 => base64(text),
        Encoding::Hex => hex::decode(text).ok(),
        // A hash in hexadecimal is also base64, of something that is too long for a hash.
        Encoding::Either => hex::decode(text).ok().or_else(|| base64(text)),
    };
    texts.take(MAX_SIGNATURES).filter_map(|text| decode(text.trim())).collect()
}

/// Decodes base64 of either alphabet.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)).ok()
}

/// What stands after the question mark, as it was sent.
pub(super) fn query(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('#').next()
}

/// What stands before it.
pub(super) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// The decoded value of a query parameter.
pub(super) fn query_value(url: &str, name: &str) -> Option<Vec<u8>> {
    query(url)?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| percent_decode(value))
    })
}

/// Decodes what a form or a query holds.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
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
