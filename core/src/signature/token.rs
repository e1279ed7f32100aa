//! JSON Web Tokens (RFC 7519) as bearer tokens.

use super::claim::base64;
use super::key::{self, KeyKind};
use super::scheme::{any, is_mac, tolerance};
use crate::connector::{Algorithm, Signature};
use serde_json::Value;

/// The id of the key that a token says it is signed with.
pub(super) fn key_id(token: &str) -> Option<String> {
    let (header, _) = token.split_once('.')?;
    Some(json(header)?.get("kid")?.as_str()?.to_owned())
}

/// Whether a token is signed with one of the keys, in force, and for us.
pub(super) fn is_valid(signature: &Signature, token: &str, now: i64, secrets: &[&[u8]]) -> bool {
    let Some(read) = Token::read(token) else { return false };
    let ids: Vec<_> = key_id(token).into_iter().collect();
    let is_signed = any(secrets, |material| {
        let keys = key::read(signature, material, &ids);
        if keys.is_empty() {
            // A public key is no secret: what is one, or should be, never makes an HMAC.
            let is_secret = signature.key_source.is_none() && !material.starts_with(b"-----BEGIN ");
            return is_secret
                && !material.is_empty()
                && read.algorithm == "HS256"
                && is_mac(Algorithm::Sha256, material, read.signed.as_bytes(), &read.signature);
        }
        any(&keys, |key| {
            let algorithm = match key.kind {
                KeyKind::Rsa(_) => "RS256",
                KeyKind::EcdsaP256(_) => "ES256",
            };
            read.algorithm == algorithm && key.verifies(read.signed.as_bytes(), &read.signature)
        })
    });
    is_signed & read.is_in_force(signature, now)
}

struct Token<'a> {
    algorithm: String,
    claims: Value,
    /// What is signed: header and claims as they were written.
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn read(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = json(header)?;
        // Extensions that must be understood are not.
        if header.get("crit").is_some() {
            return None;
        }
        let algorithm = header.get("alg")?.as_str()?.to_owned();
        Some(Self { algorithm, claims: json(claims)?, signed, signature: base64(signature)? })
    }

    fn is_in_force(&self, signature: &Signature, now: i64) -> bool {
        let tolerance = i64::try_from(tolerance(signature)).unwrap_or(i64::MAX);
        // Seconds, perhaps with a fraction.
        let time = |name: &str| self.claims.get(name)?.as_f64().map(|seconds| seconds as i64);
        let is_text = |value: &Value, text: &str| value.as_str() == Some(text);
        let has = |name: &str, expected: &Option<String>| match (expected, self.claims.get(name)) {
            (None, _) => true,
            (Some(expected), Some(Value::Array(values))) => {
                values.iter().any(|value| is_text(value, expected))
            }
            (Some(expected), Some(value)) => is_text(value, expected),
            (Some(_), None) => false,
        };
        time("exp").is_some_and(|end| end >= now.saturating_sub(tolerance))
            && time("nbf").is_none_or(|beginning| beginning <= now.saturating_add(tolerance))
            && has("iss", &signature.issuer)
            && has("aud", &signature.audience)
    }
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&base64(part)?).ok()
}
