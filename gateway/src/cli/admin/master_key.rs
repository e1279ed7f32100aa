//! Rotating the master key, beside running traffic.
//!
//! First every gateway gets both keys, the new one first; then the data keys are wrapped anew here; then the
//! old key can go. Interrupted at any point, every data key is wrapped by one of the two, and the next run goes
//! on with those that are left.

use super::Context;
use crate::db::Parameters;
use crate::error::{Error, StartError};
use crate::secrets::random;
use crate::sql;
use clap::Args;
use nexus_core::secret::{MasterKey, NonceBytes};
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

#[derive(Args)]
pub struct RotateMasterKey {
    /// How many data keys are read at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    batch: i32,
    /// Say nothing while it goes on
    #[arg(long)]
    quiet: bool,
}

/// A data key as the database holds it.
struct Wrapped {
    tenant_id: Uuid,
    data_key_id: Uuid,
    key: Vec<u8>,
    by: String,
}

impl RotateMasterKey {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let keys = context.settings.master_keys()?;
        let Some(newest) = keys.first() else {
            return Err(StartError::master_key("there is no master key"));
        };
        let (mut rewrapped, mut changed_meanwhile) = (0_u64, 0_u64);
        loop {
            let mut unreadable = Vec::new();
            let mut progressed = false;
            // Those that do not open come first again and again: room for others behind them.
            let mut most = self.batch;
            let found = loop {
                let found = self.read(context, &newest.id, most).await?;
                unreadable.clear();
                let mut readable = Vec::new();
                for wrapped in found.iter() {
                    match rewrap(&keys, newest, wrapped, random()?) {
                        Ok(key) => readable.push((wrapped, key)),
                        Err(error) => unreadable.push(error),
                    }
                }
                for (wrapped, key) in readable {
                    if self.write(context, newest, wrapped, &key).await? {
                        rewrapped += 1;
                    } else {
                        changed_meanwhile += 1;
                    }
                    progressed = true;
                }
                let is_full = i32::try_from(found.len()).is_ok_and(|found| found == most);
                if progressed || !is_full {
                    break found.len();
                }
                most = most.saturating_mul(2);
            };
            if progressed && !self.quiet {
                eprintln!("nexus: {rewrapped} data keys are wrapped by \"{}\"", newest.id);
            }
            if found == 0 {
                return Ok(json!({
                    "master_key_id": newest.id,
                    "rewrapped": rewrapped,
                    "changed_meanwhile": changed_meanwhile,
                    "remaining": 0,
                }));
            }
            if !progressed {
                let first = unreadable.first().map(ToString::to_string).unwrap_or_default();
                return Err(StartError::master_key(format!(
                    "{rewrapped} data keys were wrapped anew; {} cannot be opened, the first because {first}",
                    unreadable.len()
                )));
            }
        }
    }

    async fn read(&self, context: &Context, newest: &str, most: i32) -> Result<Vec<Wrapped>, StartError> {
        let parameters: &Parameters<'_> = &[(&newest, Type::TEXT), (&most, Type::INT4)];
        let rows = context.database.rows(sql::DATA_KEYS_TO_REWRAP, parameters).await;
        let rows = rows.map_err(|failure| super::failed(&failure))?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Wrapped {
                tenant_id: row.try_get(0)?,
                data_key_id: row.try_get(1)?,
                key: row.try_get(2)?,
                by: row.try_get(3)?,
            })
        };
        let wrapped: Result<_, tokio_postgres::Error> = rows.iter().map(read).collect();
        Ok(wrapped.map_err(Error::from)?)
    }

    /// Whether it was still wrapped as it was read.
    async fn write(
        &self,
        context: &Context,
        newest: &MasterKey,
        wrapped: &Wrapped,
        key: &[u8],
    ) -> Result<bool, StartError> {
        let parameters: &Parameters<'_> = &[
            (&wrapped.tenant_id, Type::UUID),
            (&wrapped.data_key_id, Type::UUID),
            (&wrapped.by, Type::TEXT),
            (&key, Type::BYTEA),
            (&newest.id, Type::TEXT),
        ];
        context.value(sql::REWRAP_DATA_KEY, parameters).await
    }
}

/// The same data key, wrapped by the newest master key.
fn rewrap(
    keys: &[MasterKey],
    newest: &MasterKey,
    wrapped: &Wrapped,
    nonce: NonceBytes,
) -> Result<Vec<u8>, nexus_core::error::Error> {
    let data_key = MasterKey::unwrap(keys, &wrapped.by, wrapped.tenant_id, &wrapped.key)?;
    newest.wrap(wrapped.tenant_id, &data_key, nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_core::secret::DataKey;

    #[test]
    fn a_rewrapped_data_key_is_the_same_and_needs_the_old_master_key_no_more() {
        let tenant_id = Uuid::from_u128(1);
        let (old, new) = (MasterKey::new("old", [1; 32]), MasterKey::new("new", [2; 32]));
        let data_key = DataKey::new([3; 32]);
        let key = old.wrap(tenant_id, &data_key, [4; 12]).expect("wrapped");
        let wrapped = Wrapped { tenant_id, data_key_id: Uuid::from_u128(2), key, by: "old".to_owned() };
        let both = [new.clone(), old];
        let again = rewrap(&both, &new, &wrapped, [5; 12]).expect("wrapped again");
        assert_eq!(MasterKey::unwrap(&both[..1], "new", tenant_id, &again), Ok(data_key));
        assert!(rewrap(&both[..1], &new, &wrapped, [6; 12]).is_err());
    }
}
