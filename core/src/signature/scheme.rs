//! The schemes, and the arithmetic under them.

use super::claim::{Claim, encoding, headers, without_query};
use super::{SignedRequest, key, path_secret, token};
use crate::connector::{Algorithm, Encoding, KeyEncoding, Recipient, Scheme, Signature};
use crate::error::{Code, Error};
use crate::mapping::Path;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Seconds that a signed timestamp may be off, where the manifest names no other number.
const TOLERANCE: u32 = 300;

pub(super) fn is_valid(signature: &Signature, request: &SignedRequest<'_>, secrets: &[&[u8]]) -> bool {
    is_signed(signature, request, secrets)
        && signature.recipient.as_ref().is_none_or(|recipient| is_for(recipient, request.body))
}

/// Whether the body says that it is for the recipient; whom it is for is no secret.
fn is_for(recipient: &Recipient, body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return false };
    let named = recipient.paths.iter().find_map(|path| {
        let path = Path::compile(path).ok()?;
        path.first(&body).cloned()
    });
    match (named, &recipient.value) {
        (Some(Value::String(named)), Some(expected)) => named == *expected,
        (Some(Value::Number(named)), Some(expected)) => named.as_str() == expected,
        _ => false,
    }
}

fn is_signed(signature: &Signature, request: &SignedRequest<'_>, secrets: &[&[u8]]) -> bool {
    match signature.scheme {
        Scheme::None => true,
        Scheme::StaticHeader => {
            let tokens: Vec<_> = headers(signature, request).collect();
            any(&tokens, |token| is_secret(secrets, token.as_bytes()))
        }
        Scheme::SecretPath => {
            let last = without_query(request.url).rsplit('/').next().unwrap_or_default();
            is_secret(secrets, &path_secret(last))
        }
        Scheme::BodyToken => {
            let tokens = signature.path.as_deref().and_then(|path| tokens(path, request.body));
            // Of several, none may be wrong: the body is one, and all of it is believed.
            tokens.is_some_and(|tokens| {
                tokens
                    .iter()
                    .fold(!tokens.is_empty(), |found, token| is_secret(secrets, token.as_bytes()) & found)
            })
        }
        Scheme::Jwt => {
            let tokens: Vec<_> = headers(signature, request).collect();
            any(&tokens, |token| token::is_valid(signature, token, request.now, secrets))
        }
        Scheme::EcdsaP256 | Scheme::Rsa => {
            let Some((claim, content)) = claimed(signature, request) else { return false };
            let ids = key::ids(signature, request);
            any(secrets, |material| {
                any(&key::read(signature, material, &ids), |public| {
                    any(&claim.signatures, |claimed| public.verifies(&content, claimed))
                })
            })
        }
        Scheme::Hmac | Scheme::StandardWebhooks | Scheme::Stripe => {
            let Some((claim, content)) = claimed(signature, request) else { return false };
            any(secrets, |secret| {
                key(signature, secret).is_some_and(|key| {
                    any(&claim.signatures, |claimed| is_mac(signature.algorithm, &key, &content, claimed))
                })
            })
        }
    }
}

/// What the request claims and the bytes that this is about, if it is not too old.
fn claimed(signature: &Signature, request: &SignedRequest<'_>) -> Option<(Claim, Vec<u8>)> {
    let claim = Claim::read(signature, request)?;
    let content = claim.content(signature, request.url, request.body)?;
    let tolerance = tolerance(signature);
    let is_in_time =
        claim.timestamp.as_ref().is_none_or(|(time, _)| request.now.abs_diff(*time) <= tolerance);
    is_in_time.then_some((claim, content))
}

pub(super) fn tolerance(signature: &Signature) -> u64 {
    u64::from(signature.tolerance.unwrap_or(TOLERANCE))
}

/// Where a body repeats the secret.
fn tokens(path: &str, body: &[u8]) -> Option<Vec<String>> {
    let path = Path::compile(path).ok()?;
    let body: Value = serde_json::from_slice(body).ok()?;
    // What is no text is no token, and makes the whole body wrong.
    path.all(&body).into_iter().map(|value| value.as_str().map(str::to_owned)).collect()
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
    let claim = Claim::of(id, timestamp);
    let mac = || {
        let key = key(signature, secret).ok_or_else(|| unusable("the secret is not a key"))?;
        let content = claim.content(signature, url, body);
        let content = content.ok_or_else(|| unusable("the body lacks what is to be signed"))?;
        Ok(encode(signature, &mac(signature.algorithm, &key, &content)))
    };
    Ok(match signature.scheme {
        Scheme::None | Scheme::BodyToken | Scheme::SecretPath => Vec::new(),
        Scheme::EcdsaP256 | Scheme::Rsa | Scheme::Jwt => {
            return Err(unusable("only the platform has the key that signs"));
        }
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
        Scheme::Hmac if signature.header.is_none() => {
            return Err(unusable("the signature does not go into a header"));
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

fn prefix(signature: &Signature) -> &str {
    signature.prefix.as_deref().unwrap_or_default()
}

fn encode(signature: &Signature, mac: &[u8]) -> String {
    match encoding(signature) {
        Encoding::Base64 => BASE64.encode(mac),
        Encoding::Hex | Encoding::Either => hex::encode(mac),
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
pub(super) fn any<T>(items: &[T], holds: impl Fn(&T) -> bool) -> bool {
    items.iter().fold(false, |found, item| holds(item) | found)
}

/// Whether a text is one of the secrets. Hashes are compared, so that the time does not even tell the length.
fn is_secret(secrets: &[&[u8]], text: &[u8]) -> bool {
    let claimed = Sha256::digest(text);
    any(secrets, |secret| !secret.is_empty() & bool::from(Sha256::digest(secret).ct_eq(&claimed)))
}

pub(super) fn mac(algorithm: Algorithm, key: &[u8], content: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Sha256 => hmac::<Hmac<Sha256>>(key, content).finalize().into_bytes().to_vec(),
        Algorithm::Sha1 => hmac::<Hmac<Sha1>>(key, content).finalize().into_bytes().to_vec(),
        Algorithm::Sha512 => hmac::<Hmac<Sha512>>(key, content).finalize().into_bytes().to_vec(),
    }
}

/// Compares in constant time.
pub(super) fn is_mac(algorithm: Algorithm, key: &[u8], content: &[u8], claimed: &[u8]) -> bool {
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
