//! Tokens with which an execution endpoint reports the end of a job.
//!
//! A token is derived from the job and the attempt under the tenant's key: the same attempt sent again carries
//! the same token, nothing stores one, and a token of an earlier attempt is told from the current one's.

use crate::error::{Code, Error};
use crate::secret::DataKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

const PREFIX: &str = "cb_";
/// 52 bytes in base64.
const LENGTH: usize = 70;

/// What a token says, once its seal has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callback {
    /// The tenant whose job it is.
    pub tenant_id: Uuid,
    /// The attempt it was given to.
    pub attempt: i32,
}

/// The token for an attempt of a job.
pub fn token(key: &DataKey, tenant_id: Uuid, job_id: Uuid, attempt: i32) -> String {
    let claim = [tenant_id.as_bytes().as_slice(), &attempt.to_be_bytes()].concat();
    let seal = mac(key, &claim, job_id).finalize().into_bytes();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([claim.as_slice(), &seal].concat()))
}

/// The tenant a token names, unchecked: to find the key to check it with.
pub fn tenant_of(token: &str) -> Option<Uuid> {
    parts(token).map(|(claim, _)| Uuid::from_bytes(claim.0))
}

/// Checks a token for a job.
pub fn verify(key: &DataKey, job_id: Uuid, token: &str) -> Result<Callback, Error> {
    let refused = || {
        Error::new(Code::InvalidCallbackToken, format!("the callback token is not one of job {job_id}"))
            .hint("send callback_token as it came with the job")
    };
    let ((tenant, attempt), seal) = parts(token).ok_or_else(refused)?;
    let claim = [tenant.as_slice(), &attempt].concat();
    mac(key, &claim, job_id).verify_slice(&seal).map_err(|_| refused())?;
    Ok(Callback { tenant_id: Uuid::from_bytes(tenant), attempt: i32::from_be_bytes(attempt) })
}

/// The text without the tokens in it. A destination may repeat what it was sent, and what it answers is kept,
/// for people to read who may not end jobs.
pub fn without_tokens(text: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(PREFIX) {
        let (before, after) = rest.split_at(at + PREFIX.len());
        kept.push_str(before);
        let is_token = after.as_bytes().get(..LENGTH).is_some_and(|token| {
            token.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
        rest = if is_token {
            kept.push('…');
            &after[LENGTH..]
        } else {
            after
        };
    }
    kept + rest
}

type Parts = (([u8; 16], [u8; 4]), [u8; 32]);

fn parts(token: &str) -> Option<Parts> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    let bytes: [u8; 52] = bytes.try_into().ok()?;
    let tenant = bytes[..16].try_into().ok()?;
    let attempt = bytes[16..20].try_into().ok()?;
    Some(((tenant, attempt), bytes[20..].try_into().ok()?))
}

fn mac(key: &DataKey, claim: &[u8], job_id: Uuid) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this cannot fail; the type does not say so.
    let mut mac = match <Hmac<Sha256> as Mac>::new_from_slice(key.as_bytes()) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    };
    // The data key seals secrets too; the label keeps the two uses apart.
    mac.update(b"nexus callback v1");
    mac.update(claim);
    mac.update(job_id.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_job_and_attempt_only() {
        let (key, tenant, job) = (DataKey::new([1; 32]), Uuid::from_u128(1), Uuid::from_u128(2));
        let token = token(&key, tenant, job, 3);
        assert_eq!(tenant_of(&token), Some(tenant));
        assert_eq!(verify(&key, job, &token), Ok(Callback { tenant_id: tenant, attempt: 3 }));
        assert!(verify(&key, Uuid::from_u128(9), &token).is_err());
        assert!(verify(&DataKey::new([2; 32]), job, &token).is_err());
        let mut altered = URL_SAFE_NO_PAD.decode(&token[3..]).expect("base64");
        altered[19] ^= 1;
        assert!(verify(&key, job, &format!("cb_{}", URL_SAFE_NO_PAD.encode(altered))).is_err());
        for bad in ["", "cb_", "cb_AAAA", "xx"] {
            assert!(verify(&key, job, bad).is_err() && tenant_of(bad).is_none());
        }
    }

    #[test]
    fn a_token_is_taken_out_of_a_text() {
        let token = token(&DataKey::new([1; 32]), Uuid::from_u128(1), Uuid::from_u128(2), 3);
        let echo = format!("{{\"a\":\"cb_b\",\"callback_token\":\"{token}\"}}cb_");
        assert_eq!(without_tokens(&echo), "{\"a\":\"cb_b\",\"callback_token\":\"cb_…\"}cb_");
        assert_eq!(without_tokens(&token[..token.len() - 1]), token[..token.len() - 1]);
    }
}
