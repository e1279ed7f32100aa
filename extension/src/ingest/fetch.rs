//! Records that payloads name without saying what is in them: noted down, to be fetched from their source.

use super::Batch;
use crate::error::Result;
use crate::functions::from_core;
use crate::instant::timestamptz;
use crate::plan::{self, column};
use pgrx::spi::SpiClient;
use std::collections::BTreeMap;

/// Sorted, and the latest asking stands.
const ASK: &str = "
    insert into nexus.fetch_request as f (tenant_id, fetch_request_id, environment_id, connector_id, kind, external_id,
                                          event_id, requested_at)
    select $1, r.* from (
        select unnest($2) as fetch_request_id, unnest($3) as environment_id, unnest($4) as connector_id,
               unnest($5) as kind, unnest($6) as external_id, unnest($7) as event_id, unnest($8) as requested_at) r
    order by r.fetch_request_id
    on conflict (tenant_id, fetch_request_id) do update set event_id = excluded.event_id,
        requested_at = excluded.requested_at
    where f.requested_at < excluded.requested_at";

pub fn run(client: &mut SpiClient<'_>, batch: &Batch) -> Result<()> {
    let mut asked = BTreeMap::new();
    for (request, source) in batch.events() {
        for fetch in &request.fetch {
            asked.insert(source.scope.birth_id(fetch.kind, &fetch.external_id), (request, source, fetch));
        }
    }
    if !asked.is_empty() {
        let arguments = [
            from_core(batch.tenant_id).into(),
            column(asked.keys(), |id| from_core(*id)),
            column(asked.values(), |(_, source, _)| from_core(source.scope.environment_id)),
            column(asked.values(), |(request, ..)| from_core(request.connector_id)),
            column(asked.values(), |(.., fetch)| fetch.kind),
            column(asked.values(), |(.., fetch)| &*fetch.external_id),
            column(asked.values(), |(request, ..)| from_core(request.event_id)),
            column(asked.values(), |(request, ..)| timestamptz(request.received_at)),
        ];
        plan::run(client, ASK, &arguments)?;
    }
    Ok(())
}
