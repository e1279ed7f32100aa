//! What the gateway holds in memory: active connectors, manifests, key hashes and secrets.
//!
//! Requests are authenticated against it and never ask the database. It is asked for changes twice a second,
//! so that a change or revocation is in force within one. While the database is away the last configuration
//! stays in force; what has expired meanwhile does not.

mod load;

use crate::db::{self, Database, Failure};
use crate::error::Error;
use crate::metrics;
use crate::sql;
use jiff::Timestamp;
use nexus_core::connector::{Connector, Receive};
use nexus_core::error::Code;
use nexus_core::secret::{DataKey, MasterKey};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{MutexGuard, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::types::Type;
use uuid::Uuid;
use zeroize::Zeroizing;

const REFRESH_INTERVAL: Duration = Duration::from_millis(400);
const REFRESHES_PER_CHECK: u32 = 25;
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of the secret with which flows' and subscriptions' requests are signed.
pub const SIGNING: &str = "signing";

/// All of it, as of one moment.
#[derive(Debug, Default)]
pub struct Configuration {
    /// Active connectors of active tenants.
    pub connectors: HashMap<Uuid, ActiveConnector>,
    api_keys: HashMap<KeyHash, ApiKey>,
    platform_keys: HashMap<KeyHash, (Uuid, Option<Timestamp>)>,
    secrets: HashMap<(Uuid, Uuid), Vec<Secret>>,
    /// By tenant, the newest first.
    data_keys: HashMap<Uuid, Vec<(Uuid, DataKey)>>,
    /// Names of master keys under which data keys are wrapped, and none opens.
    useless_master_keys: BTreeSet<String>,
}

/// The SHA-256 of a key. Looked up by it: what a look-up's time could tell is the hash of a guess.
pub type KeyHash = [u8; 32];

/// A connector that receives.
#[derive(Debug)]
pub struct ActiveConnector {
    /// Its tenant.
    pub tenant_id: Uuid,
    /// Its compiled manifest; `None` when it cannot be compiled.
    pub connector: Option<Arc<Connector>>,
    /// Its settings, with the manifest's defaults.
    pub settings: Value,
    /// What its settings say of how it receives.
    pub reception: Reception,
    /// Whether a secret of it could not be opened: then a refusal would be our fault and not the sender's.
    pub has_unreadable_secret: bool,
}

/// How a connector receives.
#[derive(Debug)]
pub enum Reception {
    /// As its manifest says.
    OfType,
    /// As its settings choose among what the manifest knows.
    Chosen(Box<Receive>),
    /// Not at all: the settings choose what the manifest does not know.
    Unusable,
}

impl ActiveConnector {
    /// How its webhooks are received; `None` if its platform sends none. The error is of a connector that
    /// cannot receive by our fault or its owner's, and not the sender's.
    pub fn receive(&self) -> Result<Option<&Receive>, Error> {
        let unusable = |what: &str| {
            let detail = format!("the connector's {what} cannot be used; the gateway's log says why");
            Err(Error::new(Code::NotReady, detail).retry_after(60))
        };
        let Some(connector) = self.connector.as_deref() else { return unusable("manifest") };
        match &self.reception {
            Reception::OfType => Ok(connector.receive()),
            Reception::Chosen(receive) => Ok(Some(receive)),
            Reception::Unusable => unusable("settings"),
        }
    }
}

/// An API key in force.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub api_key_id: Uuid,
    /// Its tenant.
    pub tenant_id: Uuid,
    /// Its environment.
    pub environment_id: Uuid,
    /// `dev`, `test` or `prod`.
    pub environment: String,
    /// `read`, `write`, `admin`.
    pub scopes: Vec<String>,
    expires_at: Option<Timestamp>,
}

struct Secret {
    name: String,
    value: Zeroizing<Vec<u8>>,
    valid_until: Option<Timestamp>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Secret({}, …)", self.name)
    }
}

impl Configuration {
    /// The API key of this hash, if it is in force.
    pub fn api_key(&self, hash: &KeyHash) -> Option<&ApiKey> {
        self.api_keys.get(hash).filter(|key| is_ahead(key.expires_at))
    }

    /// The id of the platform key of this hash, if it is in force.
    pub fn platform_key(&self, hash: &KeyHash) -> Option<Uuid> {
        self.platform_keys.get(hash).filter(|(_, expires_at)| is_ahead(*expires_at)).map(|(id, _)| *id)
    }

    /// The secrets of this name of a connector, flow or subscription, the current one first; two during a
    /// rotation.
    pub fn secrets(&self, tenant_id: Uuid, owner_id: Uuid, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = self.named_secrets(tenant_id, owner_id).filter(move |(other, _)| *other == name);
        named.map(|(_, secret)| secret)
    }

    /// All secrets of a connector, flow or subscription, with their names, as [`Self::secrets`] gives those
    /// of one name.
    pub fn named_secrets(&self, tenant_id: Uuid, owner_id: Uuid) -> impl Iterator<Item = (&str, &[u8])> {
        self.secrets
            .get(&(tenant_id, owner_id))
            .into_iter()
            .flatten()
            .filter(|secret| is_ahead(secret.valid_until))
            .map(|secret| (secret.name.as_str(), secret.value.as_slice()))
    }

    /// Names of master keys that data keys need and the gateway does not have, or has another key under.
    pub fn useless_master_keys(&self) -> impl Iterator<Item = &str> {
        self.useless_master_keys.iter().map(String::as_str)
    }

    /// A tenant's data keys, the newest first.
    pub fn data_keys(&self, tenant_id: Uuid) -> impl Iterator<Item = &DataKey> {
        self.data_keys.get(&tenant_id).into_iter().flatten().map(|(_, key)| key)
    }
}

fn is_ahead(end: Option<Timestamp>) -> bool {
    end.is_none_or(|end| end > Timestamp::now())
}

/// Whether the gateway can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot, and why.
    NotReady(String),
}

/// What the next answer of the database is held against.
#[derive(Debug, Default)]
struct Loaded {
    fingerprint: Option<String>,
    loader: load::Loader,
}

/// The configuration in force, kept up to date by a task.
#[derive(Debug)]
pub struct Live {
    current: watch::Sender<Arc<Configuration>>,
    readiness: watch::Sender<Readiness>,
    refreshed_at: Mutex<Instant>,
    master_keys: Vec<MasterKey>,
    /// Held while the database is asked: an answer that was asked for earlier must not undo a later one.
    loaded: tokio::sync::Mutex<Loaded>,
}

impl Live {
    /// Loads the configuration for the first time.
    pub async fn load(database: &Database, master_keys: Vec<MasterKey>) -> Result<Self, Failure> {
        let live = Self {
            current: watch::Sender::new(Arc::default()),
            readiness: watch::Sender::new(Readiness::Ready),
            refreshed_at: Mutex::new(Instant::now()),
            master_keys,
            loaded: tokio::sync::Mutex::default(),
        };
        live.refresh(database).await?;
        Ok(live)
    }

    /// The configuration in force.
    pub fn current(&self) -> Arc<Configuration> {
        Arc::clone(&self.current.borrow())
    }

    /// The configuration in force, and those to come.
    pub fn changes(&self) -> watch::Receiver<Arc<Configuration>> {
        self.current.subscribe()
    }

    /// Whether the gateway can do its work.
    pub fn readiness(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// How long ago the configuration was last known to be the database's.
    pub fn age(&self) -> Duration {
        self.refreshed_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Asks for changes and takes them over; whether there were any.
    pub async fn refresh(&self, database: &Database) -> Result<bool, Failure> {
        let loaded = self.loaded.lock().await;
        self.ask(loaded, database).await
    }

    async fn ask(&self, mut loaded: MutexGuard<'_, Loaded>, database: &Database) -> Result<bool, Failure> {
        let asked_at = Instant::now();
        let known = loaded.fingerprint.clone();
        let row =
            db::within(REFRESH_TIMEOUT, database.row(sql::CONFIGURATION, &[(&known, Type::TEXT)])).await?;
        *self.refreshed_at.lock().unwrap_or_else(PoisonError::into_inner) = asked_at;
        let (fingerprint, changed): (Option<String>, Option<Value>) = (row.try_get(0)?, row.try_get(1)?);
        let Some(changed) = changed else { return Ok(false) };
        match loaded.loader.load(changed, &self.master_keys) {
            Ok(configuration) => {
                self.current.send_replace(Arc::new(configuration));
                loaded.fingerprint = fingerprint;
                Ok(true)
            }
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be read; the last one stays in force");
                Ok(false)
            }
        }
    }

    /// Takes over a change that was just made here, so that this gateway's next answer knows it.
    pub async fn refresh_now(&self, database: &Database) {
        if let Err(failure) = self.refresh(database).await {
            tracing::debug!(error = %failure, "the configuration is refreshed in a moment");
        }
    }

    /// Sees to it that the configuration is the database's as of this moment or a later one. Of many who ask at a time one
    /// asks the database.
    pub async fn refresh_as_of(&self, moment: Instant, database: &Database) {
        let loaded = self.loaded.lock().await;
        let refreshed_at = *self.refreshed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if refreshed_at >= moment {
            return;
        }
        if let Err(failure) = self.ask(loaded, database).await {
            tracing::debug!(error = %failure, "the configuration is refreshed in a moment");
        }
    }

    /// Keeps the configuration up to date and watches whether the database is there, for ever.
    pub async fn keep(&self, database: &Database) {
        let mut ticks = interval(REFRESH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refreshes_until_check = 0_u32;
        loop {
            ticks.tick().await;
            let found = match self.refresh(database).await {
                Ok(_) if refreshes_until_check == 0 => check_migrations(database).await,
                Ok(_) => Readiness::Ready,
                Err(failure) => Readiness::NotReady(format!("the database is not available: {failure}")),
            };
            // Migrations are asked for every ten seconds, and at once after an outage.
            refreshes_until_check = match found {
                Readiness::Ready => refreshes_until_check.checked_sub(1).unwrap_or(REFRESHES_PER_CHECK),
                Readiness::NotReady(_) => 0,
            };
            metrics::configuration_age(self.age());
            self.readiness.send_if_modified(|readiness| {
                let is_change = *readiness != found;
                match &found {
                    Readiness::Ready if is_change => tracing::info!("ready"),
                    Readiness::NotReady(reason) if is_change => tracing::warn!(%reason, "not ready"),
                    _ => {}
                }
                *readiness = found;
                is_change
            });
        }
    }
}

async fn check_migrations(database: &Database) -> Readiness {
    let row = match db::within(REFRESH_TIMEOUT, database.row(sql::READINESS, &[])).await {
        Ok(row) => row,
        Err(failure) => return Readiness::NotReady(format!("the database is not available: {failure}")),
    };
    match row.try_get::<_, i32>(1) {
        Ok(0) => Readiness::Ready,
        Ok(pending) => Readiness::NotReady(format!(
            "{pending} migrations are pending; run select nexus.migrate() as a superuser"
        )),
        Err(error) => Readiness::NotReady(format!("nexus.readiness() answers strangely: {error}")),
    }
}
