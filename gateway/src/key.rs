//! Keys that open the REST API: made here, shown once, kept as a hash.

use crate::configuration::KeyHash;
use crate::error::Error;
use crate::secrets::random;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How much of a key is kept to recognise it by.
const PREFIX_LENGTH: usize = 14;

/// A key that nobody has seen yet.
pub struct NewKey {
    /// The key itself: `sk_live_…`.
    pub text: String,
    /// What is kept of it.
    pub hash: KeyHash,
}

impl NewKey {
    /// A key of an environment, which its beginning names: production's keys are `live`.
    pub fn of_environment(name: &str) -> Result<Self, Error> {
        Self::of_kind(if name == "prod" { "live" } else { name })
    }

    /// A platform key.
    pub fn of_platform() -> Result<Self, Error> {
        Self::of_kind("platform")
    }

    fn of_kind(kind: &str) -> Result<Self, Error> {
        let text = format!("sk_{kind}_{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let hash = hash(text.as_bytes());
        Ok(Self { text, hash })
    }

    /// Its first characters, to recognise it by.
    pub fn prefix(&self) -> &str {
        self.text.get(..PREFIX_LENGTH).unwrap_or(&self.text)
    }
}

/// What is kept of a key.
pub fn hash(key: &[u8]) -> KeyHash {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_environment_and_little_else() {
        let key = NewKey::of_environment("prod").expect("random bytes");
        assert!(key.text.starts_with("sk_live_") && key.text.len() == 51, "{}", key.text);
        assert_eq!((key.prefix().len(), key.hash), (14, hash(key.text.as_bytes())));
        assert!(NewKey::of_environment("test").expect("random bytes").text.starts_with("sk_test_"));
        assert!(NewKey::of_platform().expect("random bytes").text.starts_with("sk_platform_"));
    }
}
