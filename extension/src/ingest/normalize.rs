//! Stage 2: what each request means.

use super::{Batch, Source, unstorable};
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::jsonb::Jsonb;
use crate::{manifest, plan};
use nexus_core::idempotency;
use nexus_core::identity::Scope;
use nexus_core::normalize::{Normalized, Outcome, Request as Payload, normalize};
use pgrx::Uuid as PgUuid;
use pgrx::spi::SpiClient;
use std::collections::HashMap;
use std::rc::Rc;
use uuid::Uuid;

/// Active connectors of an active tenant among those named, in the environment the session is bound to, if it is bound
/// to one. They cannot go or begin another reading of their events while the batch is under way: what deletes a tenant
/// or reprocesses waits here, and later batches see it.
const CONNECTORS: &str = "
    select c.connector_id, c.environment_id, c.connector_type, m.version, c.settings, c.generation
    from nexus.connector c
    join nexus.connector_type m on m.connector_type = c.connector_type
     and (m.version = c.pinned_version or (c.pinned_version is null and m.is_current))
    where c.tenant_id = $1 and c.connector_id = any ($2) and c.is_active
      and (select t.is_active from nexus.tenant t where t.tenant_id = $1)
      and ((select nexus.current_environment_id()) is null
           or c.environment_id = (select nexus.current_environment_id()))
    order by c.connector_id
    for share of c";

/// Finds what every request of the batch means, with its connector's manifest as it is now.
pub fn run(client: &mut SpiClient<'_>, batch: &mut Batch, failure: Option<&str>) -> Result<()> {
    let sources = sources(client, batch)?;
    each(batch, &sources, failure);
    Ok(())
}

/// The same with connectors that are known.
pub fn each(batch: &mut Batch, sources: &HashMap<Uuid, Rc<Source>>, failure: Option<&str>) {
    for request in &mut batch.requests {
        let Some(source) = sources.get(&request.connector_id) else {
            continue;
        };
        let headers = request.headers();
        let payload = Payload { headers: &headers, body: &request.body, settings: &source.settings };
        let mut normalized = match failure {
            None => normalize(&source.connector, &payload),
            Some(failure) => Normalized {
                topic: None,
                delivery_id: None,
                emitted_at: None,
                shop: None,
                outcome: Outcome::Quarantined(unstorable(failure)),
                fetch: Vec::new(),
            },
        };
        request.key = idempotency::key(&source.connector, &payload, &normalized);
        request.topic = normalized.topic.take();
        request.delivery_key = normalized.delivery_id.take();
        request.emitted_at = normalized.emitted_at;
        request.outcome = normalized.outcome;
        request.fetch = normalized.fetch;
        request.source = Some(Rc::clone(source));
    }
}

/// The connectors of the batch.
pub fn sources(client: &mut SpiClient<'_>, batch: &Batch) -> Result<HashMap<Uuid, Rc<Source>>> {
    let mut ids: Vec<Uuid> = batch.requests.iter().map(|request| request.connector_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<PgUuid> = ids.into_iter().map(from_core).collect();
    let mut found = Vec::new();
    for row in plan::run(client, CONNECTORS, &[from_core(batch.tenant_id).into(), ids.into()])? {
        let (
            Some(connector_id),
            Some(environment_id),
            Some(connector_type),
            Some(version),
            Some(settings),
            Some(generation),
        ) = (
            row.get::<PgUuid>(1).map_err(internal)?,
            row.get::<PgUuid>(2).map_err(internal)?,
            row.get::<String>(3).map_err(internal)?,
            row.get::<i32>(4).map_err(internal)?,
            row.get::<Jsonb>(5).map_err(internal)?,
            row.get::<i32>(6).map_err(internal)?,
        )
        else {
            continue;
        };
        let scope = Scope {
            tenant_id: batch.tenant_id,
            environment_id: to_core(environment_id),
            connector_id: to_core(connector_id),
        };
        found.push((scope, connector_type, version, settings.read()?, generation));
    }
    found
        .into_iter()
        .map(|(scope, connector_type, version, settings, generation)| {
            let connector = manifest::compiled(client, &connector_type, version)?;
            let settings = connector.with_default_settings(&settings);
            let source = Source { scope, connector_type, version, settings, generation, connector };
            Ok((scope.connector_id, Rc::new(source)))
        })
        .collect()
}
