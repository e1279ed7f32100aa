//! Public keys: where they are, how they are written, what they verify.

use super::claim::{base64, headers, part_of};
use super::{KeyRequest, SignedRequest, token};
use crate::connector::{Algorithm, HeaderFormat, KeySource, Scheme, Signature};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature as EcdsaSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use url::Url;

/// Keys looked at: of a request, and of an answer.
const MAX_KEYS: usize = 16;

/// Bytes of the shortest RSA modulus that is believed (2048 bits).
const MIN_MODULUS: usize = 256;

/// Seconds that an answer is kept, where the manifest names no other number.
const CACHE: u32 = 3600;

/// The longest id of a key.
const MAX_ID: usize = 256;

/// A public key and the hash function that goes with it.
pub(super) struct PublicKey {
    pub kind: KeyKind,
    algorithm: Algorithm,
}

/// A public key.
pub(super) enum KeyKind {
    EcdsaP256(VerifyingKey),
    Rsa(RsaPublicKey),
}

impl PublicKey {
    pub fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        let (digest, padding) = match self.algorithm {
            Algorithm::Sha256 => (Sha256::digest(content).to_vec(), Pkcs1v15Sign::new::<Sha256>()),
            Algorithm::Sha1 => (Sha1::digest(content).to_vec(), Pkcs1v15Sign::new::<Sha1>()),
            Algorithm::Sha512 => (Sha512::digest(content).to_vec(), Pkcs1v15Sign::new::<Sha512>()),
        };
        match &self.kind {
            KeyKind::Rsa(key) => key.verify(padding, &digest, signature).is_ok(),
            KeyKind::EcdsaP256(key) => {
                let read = EcdsaSignature::from_der(signature);
                let read = read.or_else(|_| EcdsaSignature::from_slice(signature));
                read.is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok())
            }
        }
    }
}

/// What a request says of the keys it is signed with.
pub(super) fn ids(signature: &Signature, request: &SignedRequest<'_>) -> Vec<String> {
    let Some(source) = &signature.key_source else { return Vec::new() };
    if !source.key_id_headers.is_empty() {
        let named = source.key_id_headers.iter().filter_map(|name| request.headers.get(name));
        return named.take(MAX_KEYS).map(str::to_owned).collect();
    }
    let part = signature.key_id_part.as_deref().unwrap_or("keyId");
    let written = headers(signature, request);
    if signature.scheme == Scheme::Jwt {
        return written.filter_map(token::key_id).take(MAX_KEYS).collect();
    }
    if signature.header_format == HeaderFormat::Plain {
        return Vec::new();
    }
    let parts = written.filter_map(|text| part_of(signature.header_format, text, part));
    parts.take(MAX_KEYS).map(|id| id.into_owned()).collect()
}

pub(super) fn requests(signature: &Signature, request: &SignedRequest<'_>) -> Vec<KeyRequest> {
    let Some(source) = &signature.key_source else { return Vec::new() };
    let urls = if source.url.contains("{key_id}") {
        ids(signature, request).iter().filter_map(|id| url_of(source, id)).collect()
    } else {
        vec![source.url.clone()]
    };
    let request = |url| KeyRequest {
        url,
        is_authenticated: source.authenticated,
        accept: source.accept.clone(),
        cache_seconds: source.cache.unwrap_or(CACHE),
    };
    urls.into_iter().map(request).collect()
}

/// The URL of a key. An id comes from a stranger, and must not lead to another host or path.
fn url_of(source: &KeySource, id: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(is_plain) || id.contains("..") {
        return None;
    }
    let url = Url::parse(&source.url.replace("{key_id}", id)).ok()?;
    (url.origin() == origin(source)?).then(|| url.to_string())
}

/// The host that a source's keys are on, `None` if the URL leaves it open or is not HTTPS.
pub(crate) fn origin(source: &KeySource) -> Option<url::Origin> {
    let known = source.url.split("{key_id}").next()?.strip_prefix("https://")?;
    let host = known.split(['/', '?', '#']).next()?;
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
    is_host.then(|| Url::parse(&format!("https://{host}/")).ok()).flatten().map(|url| url.origin())
}

/// The public keys of an answer, or of a secret in PEM. Of a list, those that the request names, or all if it
/// names none.
pub(super) fn read(signature: &Signature, material: &[u8], ids: &[String]) -> Vec<PublicKey> {
    let default = KeySource::default();
    let source = signature.key_source.as_ref().unwrap_or(&default);
    let Ok(text) = std::str::from_utf8(material) else { return Vec::new() };
    let with = |kind, algorithm| PublicKey { kind, algorithm };
    let Ok(answer @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) else {
        let kind = of_text(signature.scheme, text);
        return kind.map(|kind| with(kind, signature.algorithm)).into_iter().collect();
    };
    let list = source.list.as_deref().and_then(|name| answer.get(name)).unwrap_or(&answer);
    let id = source.id.as_deref().unwrap_or("id");
    let is_named = |entry: &&Value| {
        let id = entry.get(id).and_then(Value::as_str);
        ids.is_empty() || id.is_some_and(|id| ids.iter().any(|named| named == id))
    };
    let entries: Vec<&Value> = match list {
        Value::Array(entries) => entries.iter().filter(is_named).take(MAX_KEYS).collect(),
        entry => vec![entry],
    };
    let read = |entry: &Value| {
        let digest = source.digest.as_deref().and_then(|name| entry.get(name)).and_then(Value::as_str);
        // A hash function that is not known is not the one to be guessed.
        let algorithm = match digest {
            Some(digest) => algorithm(digest)?,
            None => signature.algorithm,
        };
        let kind = if entry.get("kty").is_some() {
            of_jwk(entry)
        } else {
            let text = entry.get(source.key.as_deref().unwrap_or("key"))?.as_str()?;
            of_text(signature.scheme, text)
        };
        Some(with(kind.filter(|kind| kind.fits(signature.scheme))?, algorithm))
    };
    entries.into_iter().filter_map(read).collect()
}

fn algorithm(name: &str) -> Option<Algorithm> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_uppercase().as_str() {
        "SHA1" => Some(Algorithm::Sha1),
        "SHA256" => Some(Algorithm::Sha256),
        "SHA512" => Some(Algorithm::Sha512),
        _ => None,
    }
}

/// A key in PEM, perhaps without line breaks, or in base64 of DER.
fn of_text(scheme: Scheme, text: &str) -> Option<KeyKind> {
    let mut parts = text.split("-----");
    let inner = match parts.by_ref().find(|part| part.starts_with("BEGIN ")) {
        Some(_) => parts.next()?,
        None => text,
    };
    let der = base64(&inner.split_whitespace().collect::<String>())?;
    let ecdsa = || VerifyingKey::from_public_key_der(&der).ok().map(KeyKind::EcdsaP256);
    let rsa = || {
        let key = RsaPublicKey::from_public_key_der(&der).ok();
        key.or_else(|| RsaPublicKey::from_pkcs1_der(&der).ok()).map(KeyKind::Rsa)
    };
    ecdsa().or_else(rsa).filter(|kind| kind.fits(scheme))
}

/// A JSON Web Key (RFC 7517).
fn of_jwk(key: &Value) -> Option<KeyKind> {
    let member = |name: &str| base64(key.get(name)?.as_str()?);
    match key.get("kty")?.as_str()? {
        "RSA" => {
            let (modulus, exponent) = (member("n")?, member("e")?);
            let key = RsaPublicKey::new(BigUint::from_bytes_be(&modulus), BigUint::from_bytes_be(&exponent));
            key.ok().map(KeyKind::Rsa)
        }
        "EC" if key.get("crv")?.as_str()? == "P-256" => {
            let point = [vec![4], member("x")?, member("y")?].concat();
            VerifyingKey::from_sec1_bytes(&point).ok().map(KeyKind::EcdsaP256)
        }
        _ => None,
    }
}

impl KeyKind {
    /// Whether a scheme is for such keys, and the key is one to be believed.
    fn fits(&self, scheme: Scheme) -> bool {
        match self {
            KeyKind::EcdsaP256(_) => matches!(scheme, Scheme::EcdsaP256 | Scheme::Jwt),
            KeyKind::Rsa(key) => matches!(scheme, Scheme::Rsa | Scheme::Jwt) && key.size() >= MIN_MODULUS,
        }
    }
}
