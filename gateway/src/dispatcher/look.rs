//! A look at the queue: who has work that is due, and as much of it as there is room for.

use super::claim::{self, Claimed};
use super::{Dispatcher, Found};
use crate::error::Error;
use crate::sql;
use futures_util::stream::{self, StreamExt as _};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// Tenants claimed for between two looks at who has due work.
const TENANTS_AT_A_TIME: usize = 64;
const CONCURRENT_CLAIMS: usize = 4;

impl Dispatcher {
    /// Goes once round the tenants with due work, and begins as much as there are slots for.
    pub(super) async fn look(self: &Arc<Self>, stop: &watch::Receiver<bool>) -> Result<Found, Error> {
        // Of whom leases may have run out, what is claimed now could be what has been delivered.
        let mut had_their_turn: Vec<Uuid> = self.unrenewed().clone();
        let mut found = Found::Nothing;
        self.places().begin(Instant::now().into_std());
        while !*stop.borrow() {
            let free = self.desk().free();
            if free == 0 {
                return Ok(Found::Full);
            }
            let most = free.min(TENANTS_AT_A_TIME);
            let (tenants, are_all) = self.due_tenants(most, &had_their_turn).await?;
            had_their_turn.extend(&tenants);
            // All shares together are no more than there is room for; what is left over is for the next look.
            let share = free / tenants.len().max(1);
            let claims = tenants.into_iter().map(|tenant_id| self.claim(tenant_id, share));
            let mut claims = stream::iter(claims).buffer_unordered(CONCURRENT_CLAIMS);
            while let Some(claimed) = claims.next().await {
                // One tenant's trouble is not the others': what they have leased is delivered.
                let claimed = claimed.inspect_err(
                    |error| tracing::warn!(%error, "a tenant's deliveries could not be claimed"),
                );
                for delivery in claimed.unwrap_or_default() {
                    found = Found::Some;
                    self.start(delivery);
                }
            }
            if are_all {
                break;
            }
        }
        Ok(found)
    }

    /// Tenants with deliveries due, `most` at a time; and whether these are all.
    async fn due_tenants(&self, most: usize, without: &[Uuid]) -> Result<(Vec<Uuid>, bool), Error> {
        let (began, known) = (Instant::now(), self.places().all());
        let parameters = &[
            (&i32::try_from(most).unwrap_or(i32::MAX) as _, Type::INT4),
            (&without as _, Type::UUID_ARRAY),
            (&known.tenants as _, Type::UUID_ARRAY),
            (&known.destinations as _, Type::UUID_ARRAY),
            (&known.since as _, Type::TIMESTAMPTZ_ARRAY),
            (&known.after as _, Type::UUID_ARRAY),
        ];
        let rows = self.database.rows(sql::DUE_TENANTS, parameters).await?;
        let due: Vec<Uuid> = rows.iter().map(|row: &Row| row.try_get(0)).collect::<Result<_, _>>()?;
        let are_all = due.len() < most;
        let had_nothing =
            |tenant_id: &Uuid| are_all && !due.contains(tenant_id) && !without.contains(tenant_id);
        self.places().looked(&known, had_nothing, began.elapsed());
        Ok((due, are_all))
    }

    async fn claim(&self, tenant_id: Uuid, slots: usize) -> Result<Vec<Claimed>, Error> {
        let most = i32::try_from(slots).unwrap_or(i32::MAX);
        let lease = self.lease.as_secs_f64();
        let began = Instant::now();
        let room = self.desk().room(tenant_id, began.into_std());
        let known = self.places().of(tenant_id);
        let (deliveries, as_of) = (Json(room.deliveries), Json(room.as_of));
        let parameters = &[
            (&tenant_id as _, Type::UUID),
            (&self.worker as _, Type::TEXT),
            (&most as _, Type::INT4),
            (&lease as _, Type::FLOAT8),
            (&self.per_destination as _, Type::INT4),
            (&deliveries as _, Type::JSONB),
            (&as_of as _, Type::JSONB),
            (&known.destinations as _, Type::UUID_ARRAY),
            (&known.since as _, Type::TIMESTAMPTZ_ARRAY),
            (&known.after as _, Type::UUID_ARRAY),
        ];
        let rows = self.database.rows(sql::CLAIM, parameters).await?;
        let taken = rows.iter().filter_map(claim::place);
        let has_room = |id: &Uuid| deliveries.0.get(id).is_none_or(|room| *room > 0);
        let (are_all, now) = (rows.len() < slots, Instant::now());
        let is_passed = |id: &Uuid| are_all && has_room(id);
        self.places().claimed(tenant_id, &known, taken, is_passed, now - began, now.into_std());
        let payloads = claim::payloads(&rows);
        let read = |row| {
            // One row that cannot be read must not hold up the others; its lease runs out.
            Claimed::from_row(tenant_id, row, &payloads)
                .inspect_err(|error| tracing::error!(%tenant_id, %error, "a delivery cannot be read"))
                .ok()
        };
        Ok(rows.iter().filter_map(read).collect())
    }
}
