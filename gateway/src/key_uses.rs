//! When API keys were last used: noted in memory, written down once a minute.

use crate::db::{Database, Failure, Parameters};
use crate::sql;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::types::Type;
use uuid::Uuid;

const INTERVAL: Duration = Duration::from_secs(60);

/// Uses that are not written down yet, by tenant and key.
#[derive(Debug, Default)]
pub struct KeyUses {
    waiting: Mutex<HashMap<(Uuid, Uuid), Timestamp>>,
}

impl KeyUses {
    /// Notes that a key was used now.
    pub fn note(&self, tenant_id: Uuid, api_key_id: Uuid) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert((tenant_id, api_key_id), Timestamp::now());
    }

    /// Writes uses down, once a minute, for ever.
    pub async fn keep(&self, database: &Database) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.write(database).await;
        }
    }

    /// Writes down what is waiting. What cannot be written is let go: the next use is as good.
    pub async fn write(&self, database: &Database) {
        let uses = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return;
        }
        if let Err(failure) = touch(database, uses).await {
            tracing::debug!(error = %failure, "the last uses of API keys were not written down");
        }
    }
}

async fn touch(database: &Database, uses: HashMap<(Uuid, Uuid), Timestamp>) -> Result<(), Failure> {
    let (ids, used_at): (Vec<(Uuid, Uuid)>, Vec<Timestamp>) = uses.into_iter().unzip();
    let (tenant_ids, api_key_ids): (Vec<Uuid>, Vec<Uuid>) = ids.into_iter().unzip();
    let parameters: &Parameters<'_> = &[
        (&tenant_ids, Type::UUID_ARRAY),
        (&api_key_ids, Type::UUID_ARRAY),
        (&used_at, Type::TIMESTAMPTZ_ARRAY),
    ];
    database.rows(sql::TOUCH_API_KEYS, parameters).await.map(drop)
}
