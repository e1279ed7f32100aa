//! Stage 3: which requests are new.

use super::{Batch, Request};
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::instant::timestamptz;
use crate::plan::{self, column};
use pgrx::Uuid as PgUuid;
use pgrx::spi::SpiClient;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The rows come sorted, so that two batches with the same keys wait for each other in one order.
const CLAIM_KEYS: &str = "
    with claimed as (
        insert into nexus.idempotency_key (tenant_id, connector_id, key_sha256, event_id, first_seen_at)
        select $1, r.* from (select unnest($2) as connector_id, unnest($3) as key, unnest($4) as event_id,
                                    unnest($5) as received_at) r
        on conflict (tenant_id, connector_id, key_sha256) do nothing
        returning event_id)
    select c.event_id from claimed c";

const STANDING_KEYS: &str = "
    select r.place, (select k.event_id from nexus.idempotency_key k
                     where k.tenant_id = $1 and k.connector_id = r.connector_id and k.key_sha256 = r.key)
    from (select unnest($2) as connector_id, unnest($3) as key, unnest($4) as place) r";

pub fn run(client: &mut SpiClient<'_>, batch: &mut Batch) -> Result<()> {
    let mut first: HashMap<(Uuid, [u8; 32]), Uuid> = HashMap::new();
    for request in batch.requests.iter_mut().filter(|request| request.source.is_some()) {
        let key = (request.connector_id, request.key);
        // Repeated within the batch: the first of them is the event.
        request.duplicate_of = first.get(&key).copied();
        first.entry(key).or_insert(request.event_id);
    }
    if first.is_empty() {
        return Ok(());
    }
    let mut events: Vec<&Request> = batch.events().map(|(request, _)| request).collect();
    events.sort_unstable_by_key(|request| (request.connector_id, request.key));
    let arguments = [
        from_core(batch.tenant_id).into(),
        column(&events, |request| from_core(request.connector_id)),
        column(&events, |request| &request.key[..]),
        column(&events, |request| from_core(request.event_id)),
        column(&events, |request| timestamptz(request.received_at)),
    ];
    let mut claimed = HashSet::new();
    for row in plan::run(client, CLAIM_KEYS, &arguments)? {
        claimed.extend(row.get::<PgUuid>(1).map_err(internal)?.map(to_core));
    }
    if claimed.len() == first.len() {
        return Ok(());
    }
    // A statement of its own: it sees what the insert waited for.
    let known = |request: &&Request| {
        let key = (request.connector_id, request.key);
        request.source.is_some() && first.get(&key).is_some_and(|event_id| !claimed.contains(event_id))
    };
    let lost: Vec<&Request> = batch.requests.iter().filter(known).collect();
    let arguments = [
        from_core(batch.tenant_id).into(),
        column(&lost, |request| from_core(request.connector_id)),
        column(&lost, |request| &request.key[..]),
        column(&lost, |request| i32::try_from(request.place).ok()),
    ];
    for row in plan::run(client, STANDING_KEYS, &arguments)? {
        if let (Some(place), Some(event_id)) =
            (row.get::<i32>(1).map_err(internal)?, row.get::<PgUuid>(2).map_err(internal)?)
            && let Some(request) = usize::try_from(place).ok().and_then(|place| batch.requests.get_mut(place))
        {
            request.duplicate_of = Some(to_core(event_id));
        }
    }
    Ok(())
}
