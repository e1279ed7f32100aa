//! What a tenant has set up and its batches heed, read at once: a batch of one webhook pays for statements, not for rows.

use crate::error::{Result, internal};
use crate::functions::from_core;
use crate::ingest::{Flows, Identifiers};
use crate::outbox::Subscriptions;
use crate::plan;
use pgrx::spi::SpiClient;
use uuid::Uuid;

/// What is said of a flow, a subscription or a connector, each in the columns that it reads itself. A subscription that is
/// paused has its deliveries wait for it; one that is disabled gets none.
const CONFIGURATION: &str = "
    select 'flow', f.flow_id, f.environment_id, f.definition, jsonb_hash_extended(f.definition, 0), null::text[], null::boolean
    from nexus.flow f where f.tenant_id = $1 and f.is_active
    union all
    select 'subscription', s.webhook_subscription_id, s.environment_id, s.filter, null, s.event_types, s.ordering = 'entity'
    from nexus.webhook_subscription s where s.tenant_id = $1 and s.status <> 'disabled'
    union all
    select 'identifiers', c.connector_id, c.environment_id, c.identity, null, null, null
    from nexus.connector c where c.tenant_id = $1 and c.identity <> '{}'";

#[derive(Default)]
pub struct Configuration {
    pub flows: Flows,
    pub subscriptions: Subscriptions,
    pub identifiers: Identifiers,
}

impl Configuration {
    pub fn load(client: &mut SpiClient<'_>, tenant_id: Uuid) -> Result<Self> {
        let mut configuration = Self::default();
        let Self { flows, subscriptions, identifiers } = &mut configuration;
        for row in plan::run(client, CONFIGURATION, &[from_core(tenant_id).into()])? {
            match row.get::<&str>(1).map_err(internal)? {
                Some("flow") => flows.add(&row)?,
                Some("subscription") => subscriptions.add(&row)?,
                _ => identifiers.add(&row)?,
            }
        }
        flows.sort();
        Ok(configuration)
    }
}
