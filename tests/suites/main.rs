//! Black-box suites, all in one binary. `scripts/test.sh` runs them; a name narrows them down:
//! `cargo test --release -p nexus-tests -- ingest::`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod analyst;
mod attack;
mod bad_targets;
mod canary;
mod connector_types;
mod delivery;
mod documents;
mod doorbell;
mod edge;
mod envelopes;
mod flows;
mod golden;
mod handshakes;
mod hooks;
mod identity;
mod ingest;
mod isolation;
mod jobs;
mod keys;
mod kills;
mod lifecycle;
mod maintenance;
mod mapping;
mod mapping_platform;
mod outbox;
mod peers;
mod pooler;
mod provenance;
mod rest;
mod restore;
mod rotation;
mod schema;
mod stream;
mod subscriptions;
mod tenant_life;

use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::gateway::Gateway;
use nexus_tests::site::Site;
use std::sync::LazyLock;

/// The gateway that tests share which need nothing special of it; each works with a tenant of its own.
static GATEWAY: LazyLock<(Database, Gateway)> = LazyLock::new(|| {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    (database, gateway)
});

/// A new tenant at the shared gateway.
async fn site() -> Site<'static> {
    let (database, gateway) = &*GATEWAY;
    Site::create(database, gateway).await
}
