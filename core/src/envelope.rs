//! What leaves Nexus: the bodies of jobs and webhooks, and their signatures by Standard Webhooks 1.0.

use crate::error::{Code, Error};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The body of a job, as an execution URL receives it.
#[derive(Debug, Clone, Serialize)]
pub struct JobBody<'a> {
    /// The job.
    pub job_id: Uuid,
    /// The tenant.
    pub tenant_id: Uuid,
    /// `dev`, `test` or `prod`.
    pub environment: &'a str,
    /// The flow it executes.
    pub flow_id: Uuid,
    /// The inbound event that caused it.
    pub event_id: Uuid,
    /// The trace it belongs to.
    pub trace_id: &'a str,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// What changed.
    pub entity: EntityReference<'a>,
    /// The joined source record: a canonical document.
    pub normalized_payload: &'a Value,
    /// Where to report the end after a 202.
    pub callback_url: &'a str,
    /// The token to report it with.
    pub callback_token: &'a str,
}

/// A golden entity, by kind and id.
#[derive(Debug, Clone, Serialize)]
pub struct EntityReference<'a> {
    /// Such as `sales_order`.
    pub kind: &'a str,
    /// Its `<kind>_id`.
    pub entity_id: Uuid,
}

/// The body of a webhook: a domain event.
#[derive(Debug, Clone, Serialize)]
pub struct WebhookBody<'a> {
    /// The domain event's id, the same in every delivery of it.
    pub id: Uuid,
    /// Such as `order.updated`.
    #[serde(rename = "type")]
    pub event_type: &'a str,
    /// The version of `data`'s shape.
    pub schema_version: i32,
    /// Rises with every change of the entity: drop what is older than what you have.
    pub entity_version: Option<i64>,
    /// The same for the same change, also in a replay.
    pub dedupe_key: &'a str,
    /// When it happened, RFC 3339 in UTC.
    pub timestamp: &'a str,
    /// The tenant.
    pub tenant_id: Uuid,
    /// `dev`, `test` or `prod`.
    pub environment: &'a str,
    /// The trace it belongs to.
    pub trace_id: &'a str,
    /// The fields that changed.
    pub changed: &'a [String],
    /// The entity as it is now.
    pub data: &'a Value,
}

/// The bytes of a signing secret: base64 after `whsec_`, at least 24 of them.
pub fn signing_key(secret: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unusable = || {
        Error::new(Code::SecretUnreadable, "the signing secret is not whsec_ and base64 of 24 to 64 bytes")
            .hint("rotate the secret: a new one has the right form")
    };
    let encoded = secret.strip_prefix("whsec_").ok_or_else(unusable)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| unusable())?);
    if (24..=64).contains(&bytes.len()) { Ok(bytes) } else { Err(unusable()) }
}

/// A new signing secret of 32 random bytes.
pub fn signing_secret(random: [u8; 32]) -> String {
    format!("whsec_{}", STANDARD.encode(random))
}

/// The value of `webhook-signature`: one signature per key in force, space-separated. `timestamp` is in
/// seconds since 1970.
pub fn sign<'a>(keys: impl Iterator<Item = &'a [u8]>, id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = keys
        .filter_map(|key| Hmac::<Sha256>::new_from_slice(key).ok())
        .map(|mut mac| {
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        })
        .collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own test suite.
    #[test]
    fn signs_as_the_standard_does() {
        let key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let body = br#"{"test": 2432232314}"#;
        let one = sign([key.as_slice()].into_iter(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(one, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both =
            sign([key.as_slice(), &[1; 32]].into_iter(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert!(both.starts_with(&one) && both.split(' ').count() == 2);
    }

    #[test]
    fn a_new_secret_can_be_signed_with() {
        assert_eq!(signing_key(&signing_secret([3; 32])).expect("32 bytes").len(), 32);
        assert!(signing_key("whsec_AAAA").is_err());
        assert!(signing_key("hush").is_err());
    }
}
