//! What all handlers share.

use crate::body::Limits;
use crate::configuration::Live;
use crate::db::Database;
use crate::dispatcher::send::Sender;
use crate::hooks::batch::Ingest;
use crate::hooks::keys::Keys;
use crate::key_uses::KeyUses;
use crate::listen::Doorbell;
use crate::rate::Limiter;
use crate::secrets::Vault;
use crate::stream::Streams;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;

/// The gateway's state. Everything in it is shared and cheap to reach.
pub struct App {
    /// What authenticates requests.
    pub configuration: Arc<Live>,
    /// Connections for reads and small writes.
    pub database: Database,
    /// Takes webhooks in.
    pub ingest: Arc<Ingest>,
    /// Wakes dispatchers.
    pub doorbell: Arc<Doorbell>,
    /// Seals new secrets.
    pub vault: Vault,
    /// How many requests an API key may make.
    pub api_limit: Limiter,
    /// How many webhooks a connector may send.
    pub hook_limit: Limiter,
    /// Sends domain events as they happen.
    pub streams: Arc<Streams>,
    /// Makes test deliveries.
    pub sender: Sender,
    /// Public keys that platforms sign with.
    pub keys: Keys,
    /// When API keys were last used.
    pub key_uses: Arc<KeyUses>,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// How others reach the gateway, without a slash at its end.
    pub public_url: String,
    /// How large a body may be, how long it may take, and how much of all is held.
    pub body_limits: Limits,
}
