//! Nexus inside PostgreSQL.
//!
//! This crate turns rows into the values of `nexus-core` and back, and keeps plans and manifests for the life
//! of a backend. Rules are in `core`, sets and constraints in `sql/`; this file is the table of contents of
//! both halves of the extension's script.

// ErrorReport is pgrx's type, and one is made at most once a call.
#![allow(clippy::result_large_err)]

mod advisory;
mod array;
mod caller;
mod configuration;
mod error;
mod functions;
mod golden;
mod guc;
mod ingest;
mod instant;
mod jsonb;
mod manifest;
mod migrate;
mod outbox;
mod plan;

use pgrx::prelude::*;

/// For documents as trees, whose thousands of small blocks cost the C library's allocator a tenth of a webhook more.
/// PostgreSQL's own memory is not concerned.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pgrx::pg_module_magic!(name, version);

/// Called once when the library is loaded.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    guc::register();
}

// Who may do what.
extension_sql_file!("../../sql/functions/create_roles.sql", name = "create_roles");
extension_sql_file!("../../sql/functions/require.sql", name = "require", requires = ["create_roles"]);
extension_sql_file!(
    "../../sql/functions/audit.sql",
    name = "audit",
    requires = ["require", caller::_is_gateway]
);
extension_sql_file!("../../sql/functions/bind_role.sql", name = "bind_role", requires = ["audit"]);

// Configuration.
extension_sql_file!("../../sql/functions/create_tenant.sql", name = "create_tenant", requires = ["audit"]);
extension_sql_file!(
    "../../sql/functions/create_connector.sql",
    name = "create_connector",
    requires = ["audit"]
);
extension_sql_file!("../../sql/functions/create_flow.sql", name = "create_flow", requires = ["audit"]);
extension_sql_file!(
    "../../sql/functions/create_subscription.sql",
    name = "create_subscription",
    requires = ["audit"]
);
extension_sql_file!(
    "../../sql/functions/change_subscription.sql",
    name = "change_subscription",
    requires = ["audit"]
);
extension_sql_file!("../../sql/functions/secrets.sql", name = "secrets", requires = ["audit"]);
extension_sql_file!("../../sql/functions/api_keys.sql", name = "api_keys", requires = ["audit"]);
extension_sql_file!(
    "../../sql/functions/change_configuration.sql",
    name = "change_configuration",
    requires = ["audit"]
);
extension_sql_file!(
    "../../sql/functions/idempotency_request.sql",
    name = "idempotency_request",
    requires = ["require"]
);
extension_sql_file!(
    "../../sql/functions/gateway_configuration.sql",
    name = "gateway_configuration",
    requires = ["audit"]
);

// The way in.
extension_sql_file!("../../sql/functions/doorbell.sql", name = "doorbell", requires = ["create_roles"]);
extension_sql_file!("../../sql/functions/ingest.sql", name = "ingest", requires = ["require"]);
extension_sql_file!("../../sql/functions/settings.sql", name = "settings", requires = ["audit"]);
extension_sql_file!("../../sql/functions/reprocess.sql", name = "reprocess", requires = ["audit"]);
extension_sql_file!(
    "../../sql/functions/mapping_versions.sql",
    name = "mapping_versions",
    requires = ["require"]
);
extension_sql_file!(
    "../../sql/functions/outbox_epoch.sql",
    name = "outbox_epoch",
    requires = ["audit", outbox::_timeline]
);

// The way out.
extension_sql_file!("../../sql/functions/due_tenants.sql", name = "due_tenants", requires = ["require"]);
extension_sql_file!("../../sql/functions/ordering.sql", name = "ordering", requires = ["require"]);
extension_sql_file!("../../sql/functions/claim.sql", name = "claim", requires = ["ordering"]);
extension_sql_file!("../../sql/functions/renew_leases.sql", name = "renew_leases", requires = ["require"]);
extension_sql_file!(
    "../../sql/functions/settle.sql",
    name = "settle",
    requires = ["ordering", outbox::_emit]
);
extension_sql_file!("../../sql/functions/complete_job.sql", name = "complete_job", requires = ["settle"]);
extension_sql_file!("../../sql/functions/change_job.sql", name = "change_job", requires = ["audit"]);
extension_sql_file!(
    "../../sql/functions/read_domain_events.sql",
    name = "read_domain_events",
    requires = ["require"]
);
extension_sql_file!("../../sql/functions/replay.sql", name = "replay", requires = ["audit"]);
extension_sql_file!("../../sql/functions/trace.sql", name = "trace", requires = ["require"]);

extension_sql_file!("../../sql/functions/identity.sql", name = "identity", requires = ["audit"]);

// For data teams.
extension_sql_file!("../../sql/functions/dbt_sources.sql", name = "dbt_sources", requires = ["create_roles"]);

// The end of things.
extension_sql_file!("../../sql/functions/tenant_life.sql", name = "tenant_life", requires = ["audit"]);
extension_sql_file!("../../sql/functions/erase_customer.sql", name = "erase_customer", requires = ["audit"]);

// Upkeep.
extension_sql_file!("../../sql/functions/master_key.sql", name = "master_key", requires = ["require"]);
extension_sql_file!("../../sql/functions/partitions.sql", name = "partitions", requires = ["create_roles"]);
extension_sql_file!("../../sql/functions/maintain.sql", name = "maintain", requires = ["partitions"]);
extension_sql_file!("../../sql/functions/secure.sql", name = "secure", requires = ["maintain"]);

extension_sql_file!("../../sql/functions/comments.sql", name = "comments", finalize);
