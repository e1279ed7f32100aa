//! The right to be forgotten, for source records and what is projected from them.

use super::create::{self, merge::Merge};
use super::{Batch, record};
use crate::error::Result;
use crate::functions::to_core;
use nexus_core::person;
use pgrx::prelude::*;
use pgrx::{JsonB, Uuid as PgUuid};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The e-mail addresses among these that are somebody's own, as identity keys.
#[pg_extern(immutable, parallel_safe)]
fn _personal_addresses(emails: Vec<String>) -> Vec<String> {
    person::personal_addresses(&emails)
}

/// Whether a request, as it is stored, names one of these addresses or telephone numbers.
#[pg_extern(immutable, parallel_safe)]
fn _is_mentioned(headers: JsonB, body: &[u8], addresses: Vec<String>, phones: Vec<String>) -> bool {
    person::is_mentioned(&headers.0, body, &addresses, &phones)
}

/// Takes what is about a person out of these records and their golden entities, for good. `observed` is now, in
/// microseconds since 1970.
#[pg_extern]
fn _erase_records(tenant_id: PgUuid, birth_ids: Vec<PgUuid>, observed: i64) -> Result<i32> {
    let tenant_id = to_core(tenant_id);
    let ids: Vec<Uuid> = birth_ids.into_iter().map(to_core).collect();
    Spi::connect_mut(|client| {
        let records = record::lock(client, tenant_id, &ids)?;
        let mut merges: BTreeMap<Uuid, Merge> =
            records.into_iter().map(|stored| (stored.birth_id, Merge::of(stored))).collect();
        for stored in merges.values_mut().map(|merge| &mut merge.stored) {
            stored.record.erase(stored.kind, observed);
            // A guest's record is named by the e-mail address; birth_id, derived from it, still finds the
            // record when the same address is seen again.
            if stored.external_id.contains('@') {
                stored.external_id = format!("erased:{}", stored.birth_id);
            }
        }
        create::rewrite(client, &Batch::new(tenant_id, Vec::new()), &merges)?;
        Ok(i32::try_from(merges.len()).unwrap_or(i32::MAX))
    })
}
