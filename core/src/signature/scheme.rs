//! The schemes, and the arithmetic under them.

use super::SignedRequest;
use crate::connector::{Algorithm, Encoding, KeyEncoding, Scheme, Signature};
use crate::error::{Code, Error};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Seconds that a signed timestamp may be off, where the manifest names no other number.
const TOLERANCE: u32 = 300;

/// Signatures looked at in one request; a header with more of them is not from a platform.
const MAX_SIGNATURES: usize = 8;

pub(super) fn is_valid(signature: &Signature, request: &SignedRequest<'_>, secrets: &[&[u8]]) -> bool {
    if signature.scheme == Scheme::StaticHeader {
        let token = signature.header.as_deref().and_then(|name| request.headers.get(name));
        let Some(token) = token.and_then(|token| token.strip_prefix(prefix(signature))) else {
            return false;
        };
        let is_token = |secret: &&[u8]| bool::from(secret.ct_eq(token.as_bytes()));
        return any(secrets, |secret| !secret.is_empty() && is_token(secret));
    }
    let Some(claim) = Claim::read(signature, request) else { return false };
    let tolerance = u64::from(signature.tolerance.unwrap_or(TOLERANCE));
    let is_in_time =
        claim.timestamp.as_ref().is_none_or(|(time, _)| request.now.abs_diff(*time) <= tolerance);
    let content = claim.content(signature, request.url, request.body);
    let is_signed = any(secrets, |secret| {
        key(signature, secret).is_some_and(|key| {
            any(&claim.signatures, |claimed| is_mac(signature.algorithm, &key, &content, claimed))
        })
    });
    is_in_time && is_signed
}

pub(super) fn sign(
    signature: &Signature,
    url: &str,
    id: &str,
    timestamp: i64,
    body: &[u8],
    secret: &[u8],
) -> Result<Vec<(String, String)>, Error> {
    let unusable = |reason| Error::new(Code::InvalidSignature, reason);
    let header = signature.header.clone().unwrap_or_default();
    let claim = Claim {
        signatures: Vec::new(),
        id: Some(id.to_owned()),
        timestamp: Some((timestamp, timestamp.to_string())),
    };
    let mac = || {
        let key = key(signature, secret).ok_or_else(|| unusable("the secret is not a key"))?;
        let content = claim.content(signature, url, body);
        Ok(encode(signature, &mac(signature.algorithm, &key, &content)))
    };
    Ok(match signature.scheme {
        Scheme::None => Vec::new(),
        Scheme::StaticHeader => {
            let token = std::str::from_utf8(secret).map_err(|_| unusable("the secret is not text"))?;
            vec![(header, format!("{}{token}", prefix(signature)))]
        }
        Scheme::StandardWebhooks => vec![
            ("webhook-id".to_owned(), id.to_owned()),
            ("webhook-timestamp".to_owned(), timestamp.to_string()),
            ("webhook-signature".to_owned(), format!("v1,{}", mac()?)),
        ],
        Scheme::Stripe => {
            vec![("stripe-signature".to_owned(), format!("t={timestamp},v1={}", mac()?))]
        }
        Scheme::Hmac => {
            let mut headers = vec![(header, format!("{}{}", prefix(signature), mac()?))];
            headers.extend(signature.id_header.clone().map(|name| (name, id.to_owned())));
            let timestamp_header = signature.timestamp_header.clone();
            headers.extend(timestamp_header.map(|name| (name, timestamp.to_string())));
            headers
        }
    })
}

/// What a request says for itself.
struct Claim {
    signatures: Vec<Vec<u8>>,
    id: Option<String>,
    /// The timestamp, and as it was written: those very bytes were signed.
    timestamp: Option<(i64, String)>,
}

impl Claim {
    fn read(signature: &Signature, request: &SignedRequest<'_>) -> Option<Self> {
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
                })
            }
            Scheme::Stripe => {
                let text = header("stripe-signature")?;
                let values = |name| text.split(',').filter_map(move |part| part.trim().strip_prefix(name));
                Some(Self {
                    signatures: decode_all(signature, values("v1=")),
                    id: None,
                    timestamp: Some(timestamp(values("t=").next()?)?),
                })
            }
            _ => {
                let written = header(signature.header.as_deref()?)?;
                let written = written.strip_prefix(prefix(signature))?;
                Some(Self {
                    signatures: decode_all(signature, std::iter::once(written)),
                    id: match &signature.id_header {
                        Some(name) => Some(header(name)?.to_owned()),
                        None => None,
                    },
                    timestamp: match &signature.timestamp_header {
                        Some(name) => Some(timestamp(header(name)?)?),
                        None => None,
                    },
                })
            }
        }
    }

    /// The bytes that were signed.
    fn content(&self, signature: &Signature, url: &str, body: &[u8]) -> Vec<u8> {
        let template = match signature.scheme {
            Scheme::StandardWebhooks => "{id}.{timestamp}.{body}",
            Scheme::Stripe => "{timestamp}.{body}",
            _ => signature.content.as_deref().unwrap_or("{body}"),
        };
        let mut content = Vec::with_capacity(body.len() + 64);
        let mut rest = template;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (name, tail) = tail.split_once('}').unwrap_or((tail, ""));
            content.extend(literal.as_bytes());
            content.extend(match name {
                "body" => body,
                "url" => url.as_bytes(),
                "query" => url.split_once('?').map_or("", |(_, query)| query).as_bytes(),
                "id" => self.id.as_deref().unwrap_or_default().as_bytes(),
                "timestamp" => self.timestamp.as_ref().map_or("", |(_, text)| text).as_bytes(),
                // Compiling the manifest refuses any other name.
                _ => b"",
            });
            rest = tail;
        }
        content.extend(rest.as_bytes());
        content
    }
}

fn prefix(signature: &Signature) -> &str {
    signature.prefix.as_deref().unwrap_or_default()
}

fn encoding(signature: &Signature) -> Encoding {
    match signature.scheme {
        Scheme::StandardWebhooks => Encoding::Base64,
        Scheme::Stripe => Encoding::Hex,
        _ => signature.encoding,
    }
}

fn decode_all<'a>(signature: &Signature, texts: impl Iterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let decode = |text: &str| match encoding(signature) {
        Encoding::Base64 => BASE64.decode(text).ok(),
        Encoding::Hex => hex::decode(text).ok(),
    };
    texts.take(MAX_SIGNATURES).filter_map(|text| decode(text.trim())).collect()
}

fn encode(signature: &Signature, mac: &[u8]) -> String {
    match encoding(signature) {
        Encoding::Base64 => BASE64.encode(mac),
        Encoding::Hex => hex::encode(mac),
    }
}

fn key(signature: &Signature, secret: &[u8]) -> Option<Vec<u8>> {
    let key = match signature.key {
        KeyEncoding::Utf8 => Some(secret.to_vec()),
        KeyEncoding::Base64 => BASE64.decode(secret.strip_prefix(b"whsec_").unwrap_or(secret)).ok(),
        KeyEncoding::Hex => hex::decode(secret).ok(),
    };
    // Anybody can sign with an empty key.
    key.filter(|key| !key.is_empty())
}

/// Whether any holds. All are asked, so that the time does not tell which one it was.
fn any<T>(items: &[T], holds: impl Fn(&T) -> bool) -> bool {
    items.iter().fold(false, |found, item| holds(item) | found)
}

fn mac(algorithm: Algorithm, key: &[u8], content: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Sha256 => hmac::<Hmac<Sha256>>(key, content).finalize().into_bytes().to_vec(),
        Algorithm::Sha1 => hmac::<Hmac<Sha1>>(key, content).finalize().into_bytes().to_vec(),
        Algorithm::Sha512 => hmac::<Hmac<Sha512>>(key, content).finalize().into_bytes().to_vec(),
    }
}

/// Compares in constant time.
fn is_mac(algorithm: Algorithm, key: &[u8], content: &[u8], claimed: &[u8]) -> bool {
    match algorithm {
        Algorithm::Sha256 => hmac::<Hmac<Sha256>>(key, content).verify_slice(claimed).is_ok(),
        Algorithm::Sha1 => hmac::<Hmac<Sha1>>(key, content).verify_slice(claimed).is_ok(),
        Algorithm::Sha512 => hmac::<Hmac<Sha512>>(key, content).verify_slice(claimed).is_ok(),
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], content: &[u8]) -> M {
    #[allow(clippy::expect_used)]
    let mut mac = <M as Mac>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(content);
    mac
}
