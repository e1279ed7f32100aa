//! Signatures by Standard Webhooks 1.0: `v1`, by a secret that both sides know, and `v1a`, by a key pair of
//! which the receiver knows the public half.

use crate::error::{Code, Error};
use crate::routing::SignatureVersion;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// A secret in the form that signs.
pub enum SigningKey {
    /// For `v1`.
    Shared(Zeroizing<Vec<u8>>),
    /// For `v1a`.
    Pair(Box<Ed25519KeyPair>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({:?}, …)", self.version())
    }
}

impl SigningKey {
    /// Reads a secret: after `whsec_` base64 of 24 to 64 bytes, after `whsk_` of a private key's 32.
    pub fn parse(secret: &str) -> Result<Self, Error> {
        let unusable = || {
            let message = "the signing secret is neither whsec_ and base64 of 24 to 64 bytes nor whsk_ and base64 of 32";
            Error::new(Code::SecretUnreadable, message)
                .hint("rotate the secret: a new one has the right form")
        };
        let decode = |text| STANDARD.decode(text).map(Zeroizing::new).map_err(|_| unusable());
        if let Some(text) = secret.strip_prefix("whsk_") {
            let pair = Ed25519KeyPair::from_seed_unchecked(&decode(text)?).map_err(|_| unusable())?;
            return Ok(Self::Pair(Box::new(pair)));
        }
        let bytes = decode(secret.strip_prefix("whsec_").ok_or_else(unusable)?)?;
        if (24..=64).contains(&bytes.len()) { Ok(Self::Shared(bytes)) } else { Err(unusable()) }
    }

    /// What its signatures are.
    pub fn version(&self) -> SignatureVersion {
        match self {
            Self::Shared(_) => SignatureVersion::V1,
            Self::Pair(_) => SignatureVersion::V1a,
        }
    }

    /// What receivers verify with, where that may be known to everyone: `whpk_…`.
    pub fn public_key(&self) -> Option<String> {
        match self {
            Self::Shared(_) => None,
            Self::Pair(pair) => Some(format!("whpk_{}", STANDARD.encode(pair.public_key()))),
        }
    }

    fn sign(&self, content: &[u8]) -> Option<String> {
        match self {
            Self::Shared(bytes) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(bytes).ok()?;
                mac.update(content);
                Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
            }
            Self::Pair(pair) => Some(format!("v1a,{}", STANDARD.encode(pair.sign(content)))),
        }
    }
}

/// A new secret of 32 random bytes.
pub fn signing_secret(version: SignatureVersion, random: [u8; 32]) -> String {
    let prefix = match version {
        SignatureVersion::V1 => "whsec_",
        SignatureVersion::V1a => "whsk_",
    };
    format!("{prefix}{}", STANDARD.encode(random))
}

/// The value of `webhook-signature`: one signature per key in force, space-separated. `timestamp` is in
/// seconds since 1970.
pub fn sign<'a>(keys: impl Iterator<Item = &'a SigningKey>, id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut content = format!("{id}.{timestamp}.").into_bytes();
    content.extend_from_slice(body);
    let signatures: Vec<String> = keys.filter_map(|key| key.sign(&content)).collect();
    signatures.join(" ")
}

/// The value of `webhook-signature` as the log shows it: the beginning of each signature is enough to compare
/// it with what came, and not enough to send the request a second time.
pub fn masked(signatures: &str) -> String {
    const SHOWN: usize = 8;
    let mask = |signature: &str| {
        let (scheme, value) = signature.split_once(',').unwrap_or((signature, ""));
        format!("{scheme},{}…", value.chars().take(SHOWN).collect::<String>())
    };
    signatures.split(' ').map(mask).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn signed(keys: &[&SigningKey]) -> String {
        sign(keys.iter().copied(), ID, 1_614_265_330, BODY)
    }

    fn key(secret: &str) -> SigningKey {
        SigningKey::parse(secret).expect("a secret")
    }

    /// The examples of the standard's own test suites.
    #[test]
    fn signs_as_the_standard_does() {
        let shared = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let v1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed(&[&shared]), v1);
        let pair = key("whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=");
        let v1a =
            "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";
        assert_eq!(signed(&[&pair]), v1a);
        assert_eq!(signed(&[&pair, &shared]), format!("{v1a} {v1}"), "both sign during a rotation");
    }

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn a_public_key_is_the_private_keys() {
        let bytes = |text| hex::decode(text).expect("hex");
        let private = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let pair = key(&format!("whsk_{}", STANDARD.encode(private)));
        assert_eq!(pair.public_key(), Some(format!("whpk_{}", STANDARD.encode(public))));
        assert_eq!(key(&signing_secret(SignatureVersion::V1, [3; 32])).public_key(), None);
    }

    #[test]
    fn a_new_secret_can_be_signed_with_and_others_are_refused() {
        for version in [SignatureVersion::V1, SignatureVersion::V1a] {
            assert_eq!(key(&signing_secret(version, [3; 32])).version(), version);
        }
        for bad in ["whsec_AAAA", "whsk_AAAA", "whpk_AAAA", "whsec_?", "hush", ""] {
            assert!(SigningKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn neither_debug_nor_the_log_shows_what_could_be_used() {
        let pair = key(&signing_secret(SignatureVersion::V1a, [3; 32]));
        assert_eq!(format!("{pair:?}"), "SigningKey(V1a, …)");
        assert_eq!(masked("v1,g0hM9SsE+OTPJTGt= v1a,tQ9V2XOqn7jL/DQ="), "v1,g0hM9SsE… v1a,tQ9V2XOq…");
    }
}
