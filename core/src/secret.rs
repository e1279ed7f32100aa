//! Sealing secrets, so that neither a dump nor a superuser can read one.
//!
//! AES-256-GCM. A secret is sealed under its tenant's data key; the data key is wrapped by a master key that
//! only gateways hold. What is sealed is bound to where it belongs (the associated data), so ciphertext moved
//! to another tenant, connector or name does not open.

use crate::error::{Code, Error};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use uuid::Uuid;
use zeroize::Zeroizing;

/// 12 random bytes, never used twice with one key.
pub type NonceBytes = [u8; 12];

/// The form of what is sealed; another form gets another number.
const FORM: u8 = 1;

/// A 256-bit key. It does not print itself, and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(Zeroizing<[u8; 32]>);

/// A master key with the id by which wrapped keys name it.
#[derive(Clone)]
pub struct MasterKey {
    /// The id: letters, digits, `-` and `_`.
    pub id: String,
    key: DataKey,
}

/// Where a secret belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The tenant.
    pub tenant_id: Uuid,
    /// `connector`, `flow`, `webhook_subscription`.
    pub owner_kind: &'a str,
    /// The connector, flow or subscription.
    pub owner_id: Uuid,
    /// The secret's name, such as `webhook`.
    pub name: &'a str,
}

impl DataKey {
    /// A key of 32 random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Seals a secret for its place.
    pub fn seal(&self, place: &Place<'_>, plaintext: &[u8], nonce: NonceBytes) -> Result<Vec<u8>, Error> {
        encrypt(self, &place.associated_data(), plaintext, nonce)
    }

    /// Opens a sealed secret of that place.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        decrypt(self, &place.associated_data(), sealed).ok_or_else(|| {
            Error::new(
                Code::SecretUnreadable,
                format!(
                    "secret \"{}\" of {} {} cannot be opened",
                    place.name, place.owner_kind, place.owner_id
                ),
            )
            .hint("set it again: nexus admin set-secret")
        })
    }

    /// The key's bytes, for deriving others from it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl MasterKey {
    /// A master key of 32 random bytes.
    pub fn new(id: impl Into<String>, random: [u8; 32]) -> Self {
        Self { id: id.into(), key: DataKey::new(random) }
    }

    /// Reads keys written as `id:base64`, one a line or separated by commas; `#` begins a comment. The first
    /// one wraps new keys, the others still open old ones.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, Error> {
        let unreadable = |place: usize, reason: &str| {
            Error::new(Code::SecretUnreadable, format!("master key number {place} {reason}"))
                .hint("write id:base64 of 32 random bytes: nexus admin generate-master-key makes one")
        };
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|entry| !entry.is_empty());
        let keys: Vec<Self> = entries
            .enumerate()
            .map(|(place, entry)| {
                let (id, encoded) =
                    entry.split_once(':').ok_or_else(|| unreadable(place + 1, "has no id"))?;
                let is_id = !id.is_empty()
                    && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
                let bytes = Zeroizing::new(
                    STANDARD.decode(encoded).map_err(|_| unreadable(place + 1, "is not base64"))?,
                );
                let key: [u8; 32] =
                    bytes.as_slice().try_into().map_err(|_| unreadable(place + 1, "is not 32 bytes"))?;
                if is_id { Ok(Self::new(id, key)) } else { Err(unreadable(place + 1, "has a malformed id")) }
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(Error::new(Code::SecretUnreadable, "there is no master key").hint(
                "set NEXUS_MASTER_KEY or NEXUS_MASTER_KEY_FILE; nexus admin generate-master-key makes one",
            ));
        }
        Ok(keys)
    }

    /// The key as [`MasterKey::parse_all`] reads it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}:{}", self.id, STANDARD.encode(self.key.as_bytes())))
    }

    /// Wraps a tenant's data key.
    pub fn wrap(&self, tenant_id: Uuid, data_key: &DataKey, nonce: NonceBytes) -> Result<Vec<u8>, Error> {
        encrypt(&self.key, &wrapping_data(tenant_id), data_key.as_bytes(), nonce)
    }

    /// Unwraps a tenant's data key with the master key that wrapped it.
    pub fn unwrap(
        keys: &[Self],
        master_key_id: &str,
        tenant_id: Uuid,
        wrapped: &[u8],
    ) -> Result<DataKey, Error> {
        let unreadable = |reason: String| {
            Error::new(Code::SecretUnreadable, reason)
                .hint("give the gateway the master key that was in force when the tenant's secrets were set")
        };
        let master = keys.iter().find(|key| key.id == master_key_id).ok_or_else(|| {
            unreadable(format!(
                "tenant {tenant_id}'s data key needs master key \"{master_key_id}\", which is missing"
            ))
        })?;
        let opened = decrypt(&master.key, &wrapping_data(tenant_id), wrapped);
        let key = opened.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok()).ok_or_else(|| {
            unreadable(format!(
                "tenant {tenant_id}'s data key does not open with master key \"{master_key_id}\""
            ))
        })?;
        Ok(DataKey::new(key))
    }
}

impl Place<'_> {
    fn associated_data(&self) -> Vec<u8> {
        // The name stands last: everything before it has a fixed length or cannot contain the separator.
        format!("secret\n{}\n{}\n{}\n{}", self.tenant_id, self.owner_kind, self.owner_id, self.name)
            .into_bytes()
    }
}

fn wrapping_data(tenant_id: Uuid) -> Vec<u8> {
    format!("data key\n{tenant_id}").into_bytes()
}

fn encrypt(key: &DataKey, associated: &[u8], plaintext: &[u8], nonce: NonceBytes) -> Result<Vec<u8>, Error> {
    let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_bytes()));
    let payload = Payload { msg: plaintext, aad: associated };
    let ciphertext = cipher
        .encrypt(Nonce::from_slice(&nonce), payload)
        .map_err(|_| Error::new(Code::SecretUnreadable, "the secret is too long to be sealed"))?;
    Ok([&[FORM], nonce.as_slice(), &ciphertext].concat())
}

fn decrypt(key: &DataKey, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (form, rest) = sealed.split_first()?;
    let (nonce, ciphertext) = rest.split_at_checked(12)?;
    if *form != FORM {
        return None;
    }
    let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_bytes()));
    let payload = Payload { msg: ciphertext, aad: associated };
    cipher.decrypt(Nonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataKey(…)")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKey({}, …)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(1);

    fn place(name: &str) -> Place<'_> {
        Place { tenant_id: TENANT, owner_kind: "connector", owner_id: Uuid::from_u128(2), name }
    }

    #[test]
    fn a_secret_opens_in_its_place_and_nowhere_else() {
        let key = DataKey::new([7; 32]);
        let sealed = key.seal(&place("webhook"), b"hush", [1; 12]).expect("sealed");
        assert_eq!(key.open(&place("webhook"), &sealed).expect("opened").as_slice(), b"hush");
        assert!(key.open(&place("other"), &sealed).is_err());
        let moved = Place { tenant_id: Uuid::from_u128(9), ..place("webhook") };
        assert!(key.open(&moved, &sealed).is_err());
        assert!(DataKey::new([8; 32]).open(&place("webhook"), &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(key.open(&place("webhook"), &sealed[..cut]).is_err());
        }
    }

    #[test]
    fn a_data_key_is_unwrapped_by_the_master_key_that_wrapped_it() {
        let (old, new) = (MasterKey::new("old", [1; 32]), MasterKey::new("new", [2; 32]));
        let data_key = DataKey::new([3; 32]);
        let wrapped = old.wrap(TENANT, &data_key, [4; 12]).expect("wrapped");
        let both = [new.clone(), old];
        assert_eq!(MasterKey::unwrap(&both, "old", TENANT, &wrapped), Ok(data_key));
        assert!(MasterKey::unwrap(&both, "new", TENANT, &wrapped).is_err());
        assert!(MasterKey::unwrap(&both, "old", Uuid::from_u128(5), &wrapped).is_err());
        let missing = MasterKey::unwrap(&[new], "old", TENANT, &wrapped).expect_err("missing");
        assert!(missing.message.contains("\"old\""), "{missing}");
    }

    #[test]
    fn master_keys_are_read_as_they_are_written() {
        let text = format!("# in force\n{}\n", *MasterKey::new("k-2", [5; 32]).to_text());
        let keys = MasterKey::parse_all(&text).expect("one key");
        assert_eq!((keys.len(), keys[0].id.as_str()), (1, "k-2"));
        for bad in ["", "k1", "k1:???", "k1:AAAA", "bad id:AAAA"] {
            assert!(MasterKey::parse_all(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_prints_a_key() {
        let key = MasterKey::new("k1", [9; 32]);
        assert_eq!(format!("{key:?} {:?}", DataKey::new([9; 32])), "MasterKey(k1, …) DataKey(…)");
    }
}
