//! Reads what `nexus.gateway_configuration` gives, opens the secrets and compiles the manifests.

use super::{ActiveConnector, ApiKey, Configuration, KeyHash, Reception, Secret};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use jiff::Timestamp;
use nexus_core::connector::{Connector, Receive};
use nexus_core::secret::{DataKey, MasterKey, Place};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Deserialize)]
struct Loaded {
    connectors: Vec<LoadedConnector>,
    connector_types: Vec<LoadedType>,
    api_keys: Vec<LoadedApiKey>,
    platform_keys: Vec<LoadedPlatformKey>,
    data_keys: Vec<LoadedDataKey>,
    secrets: Vec<LoadedSecret>,
}

#[derive(Deserialize)]
struct LoadedConnector {
    connector_id: Uuid,
    tenant_id: Uuid,
    connector_type: String,
    version: i32,
    settings: Value,
}

#[derive(Deserialize)]
struct LoadedType {
    connector_type: String,
    version: i32,
    manifest: Value,
}

#[derive(Deserialize)]
struct LoadedApiKey {
    api_key_id: Uuid,
    tenant_id: Uuid,
    environment_id: Uuid,
    environment: String,
    key_sha256: String,
    scopes: Vec<String>,
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct LoadedPlatformKey {
    platform_key_id: Uuid,
    key_sha256: String,
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct LoadedDataKey {
    tenant_id: Uuid,
    data_key_id: Uuid,
    wrapped_key: String,
    master_key_id: String,
}

#[derive(Deserialize)]
struct LoadedSecret {
    secret_id: Uuid,
    tenant_id: Uuid,
    owner_kind: String,
    owner_id: Uuid,
    name: String,
    data_key_id: Uuid,
    sealed: String,
    valid_until: Option<Timestamp>,
}

/// Builds configurations; keeps what is costly to make again, and what it has complained about.
#[derive(Debug, Default)]
pub struct Loader {
    /// By connector type and version.
    compiled: HashMap<(String, i32), Option<Arc<Connector>>>,
    /// Data keys and secrets that could not be opened, and connectors that cannot receive: they were logged.
    complained: HashSet<Uuid>,
}

impl Loader {
    /// Reads the database's answer. What cannot be used by itself (a manifest, a secret) is logged once and
    /// left out; the error is of an answer that is not of the known form.
    pub fn load(
        &mut self,
        loaded: Value,
        master_keys: &[MasterKey],
    ) -> Result<Configuration, serde_json::Error> {
        let loaded: Loaded = serde_json::from_value(loaded)?;
        self.compile(loaded.connector_types);
        let (data_keys, useless_master_keys) = self.unwrap_data_keys(loaded.data_keys, master_keys);
        let mut configuration = Configuration { useless_master_keys, ..Configuration::default() };
        let mut unreadable = HashSet::new();
        for secret in loaded.secrets {
            let owner = (secret.tenant_id, secret.owner_id);
            match self.open(&secret, &data_keys) {
                Some(opened) => configuration.secrets.entry(owner).or_default().push(opened),
                None => {
                    unreadable.insert(owner);
                }
            }
        }
        // The ids are UUIDv7, so their order is that of their making.
        let mut newest_first: Vec<_> = data_keys.into_iter().collect();
        newest_first.sort_by_key(|((_, id), _)| std::cmp::Reverse(*id));
        for ((tenant_id, id), key) in newest_first {
            configuration.data_keys.entry(tenant_id).or_default().push((id, key));
        }
        for connector in loaded.connectors {
            let has_unreadable_secret = unreadable.contains(&(connector.tenant_id, connector.connector_id));
            let id = connector.connector_id;
            configuration.connectors.insert(id, self.activate(connector, has_unreadable_secret));
        }
        for key in loaded.api_keys {
            if let Some(hash) = key_hash(&key.key_sha256) {
                let LoadedApiKey {
                    api_key_id,
                    tenant_id,
                    environment_id,
                    environment,
                    scopes,
                    expires_at,
                    ..
                } = key;
                let key = ApiKey { api_key_id, tenant_id, environment_id, environment, scopes, expires_at };
                configuration.api_keys.insert(hash, key);
            }
        }
        configuration.platform_keys = loaded
            .platform_keys
            .into_iter()
            .filter_map(|key| Some((key_hash(&key.key_sha256)?, (key.platform_key_id, key.expires_at))))
            .collect();
        Ok(configuration)
    }

    fn activate(&mut self, loaded: LoadedConnector, has_unreadable_secret: bool) -> ActiveConnector {
        let LoadedConnector { connector_id, tenant_id, connector_type, version, settings } = loaded;
        let connector = self.compiled.get(&(connector_type, version)).cloned().flatten();
        // Settings of another version may not fit this one as a whole. What they say holds all the same.
        let complete = connector.as_ref().and_then(|connector| connector.settings(&settings).ok());
        let settings = complete.unwrap_or(settings);
        let receive = connector.as_ref().and_then(|connector| connector.receive());
        let reception = match receive.map(|receive| receive.of_instance(&settings)) {
            None | Some(Ok(Cow::Borrowed(_))) => Reception::OfType,
            Some(Ok(Cow::Owned(receive))) => {
                self.expect_recipient(connector_id, &receive);
                Reception::Chosen(Box::new(receive))
            }
            Some(Err(error)) => {
                if self.complained.insert(connector_id) {
                    tracing::error!(%connector_id, %error, "a connector's settings cannot be used");
                }
                Reception::Unusable
            }
        };
        ActiveConnector { tenant_id, connector, settings, reception, has_unreadable_secret }
    }

    fn expect_recipient(&mut self, connector_id: Uuid, receive: &Receive) {
        if let Some(recipient) = &receive.signature.recipient
            && recipient.value.is_none()
            && self.complained.insert(connector_id)
        {
            let setting = &recipient.setting;
            tracing::warn!(%connector_id, setting, "a connector refuses every webhook until this is set");
        }
    }

    fn compile(&mut self, types: Vec<LoadedType>) {
        let mut compiled = HashMap::new();
        for LoadedType { connector_type, version, manifest } in types {
            let key = (connector_type, version);
            // A version's manifest never changes, so what was compiled once holds.
            let connector =
                self.compiled.remove(&key).unwrap_or_else(|| match Connector::from_json(&manifest) {
                    Ok(connector) => Some(Arc::new(connector)),
                    Err(error) => {
                        tracing::error!(connector_type = key.0, version, %error, "a manifest cannot be used");
                        None
                    }
                });
            compiled.insert(key, connector);
        }
        self.compiled = compiled;
    }

    fn unwrap_data_keys(
        &mut self,
        loaded: Vec<LoadedDataKey>,
        master_keys: &[MasterKey],
    ) -> (HashMap<(Uuid, Uuid), DataKey>, BTreeSet<String>) {
        let mut data_keys = HashMap::new();
        let mut opens: BTreeMap<String, bool> = BTreeMap::new();
        for key in loaded {
            let wrapped = decode(&key.wrapped_key);
            let unwrapped = MasterKey::unwrap(master_keys, &key.master_key_id, key.tenant_id, &wrapped);
            *opens.entry(key.master_key_id).or_default() |= unwrapped.is_ok();
            match unwrapped {
                Ok(data_key) => {
                    data_keys.insert((key.tenant_id, key.data_key_id), data_key);
                }
                Err(error) => self.complain(key.data_key_id, &error),
            }
        }
        (data_keys, opens.into_iter().filter(|(_, opens)| !opens).map(|(id, _)| id).collect())
    }

    fn open(&mut self, secret: &LoadedSecret, data_keys: &HashMap<(Uuid, Uuid), DataKey>) -> Option<Secret> {
        // Its data key could not be unwrapped: that has been logged.
        let data_key = data_keys.get(&(secret.tenant_id, secret.data_key_id))?;
        let place = Place {
            tenant_id: secret.tenant_id,
            owner_kind: &secret.owner_kind,
            owner_id: secret.owner_id,
            name: &secret.name,
        };
        match data_key.open(&place, &decode(&secret.sealed)) {
            Ok(value) => Some(Secret { name: secret.name.clone(), value, valid_until: secret.valid_until }),
            Err(error) => {
                self.complain(secret.secret_id, &error);
                None
            }
        }
    }

    fn complain(&mut self, id: Uuid, error: &nexus_core::error::Error) {
        if self.complained.insert(id) {
            let hint = error.hint.as_deref().unwrap_or_default();
            tracing::error!(%error, hint, code = error.code.as_str(), "a secret is out of use");
        }
    }
}

fn key_hash(hex_digits: &str) -> Option<KeyHash> {
    hex::decode(hex_digits).ok()?.try_into().ok()
}

/// Base64 as PostgreSQL writes it, in lines. What is none becomes nothing, which no key opens.
fn decode(text: &str) -> Vec<u8> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD);
    let joined: String = text.split_ascii_whitespace().collect();
    ENGINE.decode(joined).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use nexus_core::connector::Scheme;
    use nexus_core::error::Code;
    use serde_json::json;

    const TENANT: Uuid = Uuid::from_u128(1);
    const OWNER: Uuid = Uuid::from_u128(2);
    const DATA_KEY: Uuid = Uuid::from_u128(3);

    fn loaded(sealed: &[u8], wrapped: &[u8]) -> Value {
        // In lines of 76, as PostgreSQL's encode() does.
        let in_lines = |bytes: &[u8]| {
            let text = STANDARD.encode(bytes);
            let lines: Vec<&str> =
                text.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            lines.join("\n")
        };
        json!({
            "connectors": [{"connector_id": OWNER, "tenant_id": TENANT, "environment_id": TENANT,
                            "connector_type": "none", "version": 1, "settings": {}}],
            "connector_types": [],
            "api_keys": [{"api_key_id": TENANT, "tenant_id": TENANT, "environment_id": OWNER, "environment": "prod", "scopes": ["read"],
                          "key_sha256": "ab".repeat(32), "expires_at": "2020-01-01T00:00:00+00:00"},
                         {"api_key_id": TENANT, "tenant_id": TENANT, "environment_id": OWNER, "environment": "prod", "scopes": ["read"],
                          "key_sha256": "cd".repeat(32), "expires_at": null}],
            "platform_keys": [],
            "data_keys": [{"tenant_id": TENANT, "data_key_id": DATA_KEY, "wrapped_key": in_lines(wrapped),
                           "master_key_id": "m1"}],
            "secrets": [{"secret_id": TENANT, "tenant_id": TENANT, "owner_kind": "connector", "owner_id": OWNER,
                         "name": "signing", "data_key_id": DATA_KEY, "sealed": in_lines(sealed), "valid_until": null}]
        })
    }

    fn sealed(secret: &[u8]) -> (Vec<u8>, Vec<u8>, MasterKey) {
        let (data_key, master_key) = (DataKey::new([7; 32]), MasterKey::new("m1", [9; 32]));
        let place = Place { tenant_id: TENANT, owner_kind: "connector", owner_id: OWNER, name: "signing" };
        let sealed = data_key.seal(&place, secret, [1; 12]).expect("sealed");
        let wrapped = master_key.wrap(TENANT, &data_key, [2; 12]).expect("wrapped");
        (sealed, wrapped, master_key)
    }

    #[test]
    fn opens_secrets() {
        let (sealed, wrapped, master_key) =
            sealed(b"a rather long secret, so that its base64 takes several lines");
        let configuration =
            Loader::default().load(loaded(&sealed, &wrapped), &[master_key]).expect("the known form");
        let secrets: Vec<&[u8]> = configuration.secrets(TENANT, OWNER, "signing").collect();
        assert_eq!(secrets, [b"a rather long secret, so that its base64 takes several lines"]);
        assert!(!configuration.connectors[&OWNER].has_unreadable_secret);
        assert_eq!(configuration.data_keys(TENANT).count(), 1);
        assert_eq!(configuration.useless_master_keys().count(), 0);
    }

    #[test]
    fn a_secret_that_does_not_open_marks_its_connector() {
        let (sealed, wrapped, _) = sealed(b"secret");
        let other = MasterKey::new("m1", [8; 32]);
        let configuration =
            Loader::default().load(loaded(&sealed, &wrapped), &[other]).expect("the known form");
        assert_eq!(configuration.secrets(TENANT, OWNER, "signing").count(), 0);
        assert!(configuration.connectors[&OWNER].has_unreadable_secret);
        assert_eq!(configuration.useless_master_keys().collect::<Vec<_>>(), ["m1"]);
    }

    #[test]
    fn a_key_that_has_expired_is_not_in_force() {
        let configuration = Loader::default().load(loaded(&[], &[]), &[]).expect("the known form");
        assert!(configuration.api_key(&[0xab; 32]).is_none());
        assert!(configuration.api_key(&[0xcd; 32]).is_some());
    }

    #[test]
    fn settings_choose_how_a_connector_receives() {
        let manifest = json!({
            "type": "none", "name": "None", "version": 1,
            "auth": {"settings": {"type": "object", "properties": {
                "signature": {"enum": ["path"]}, "shop": {"type": "string", "default": "acme"},
            }}},
            "receive": {
                "signature": {"scheme": "hmac", "header": "x-signature"},
                "signatures": {"path": {"scheme": "secret_path"}},
            },
            "entities": {"product": {"documents": [{"kind": "product", "external_id": "$.id"}]}},
        });
        let mut loader = Loader::default();
        let mut scheme = |settings: Value| {
            let mut loaded = loaded(&[], &[]);
            loaded["connector_types"] =
                json!([{"connector_type": "none", "version": 1, "manifest": manifest}]);
            loaded["connectors"][0]["settings"] = settings;
            let configuration = loader.load(loaded, &[]).expect("the known form");
            let active = &configuration.connectors[&OWNER];
            assert_eq!(active.settings["shop"], "acme");
            active
                .receive()
                .map(|receive| receive.expect("webhooks").signature.scheme)
                .map_err(|error| error.code)
        };
        assert_eq!(scheme(json!({})), Ok(Scheme::Hmac));
        assert_eq!(scheme(json!({"signature": "path"})), Ok(Scheme::SecretPath));
    }

    #[test]
    fn a_choice_that_the_manifest_does_not_know_opens_nothing() {
        let active = ActiveConnector {
            tenant_id: TENANT,
            connector: None,
            settings: json!({}),
            reception: Reception::Unusable,
            has_unreadable_secret: false,
        };
        assert_eq!(active.receive().map(|_| ()).map_err(|error| error.code), Err(Code::NotReady));
    }
}
