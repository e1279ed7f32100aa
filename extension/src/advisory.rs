//! Locks on names, held until the transaction ends.

use crate::error::Result;
use crate::plan;
use pgrx::spi::SpiClient;
use sha2::{Digest, Sha256};

const LOCK: &str = "select pg_advisory_xact_lock(l) from unnest($1) l";

/// Locks all of these names, in one order whoever asks. Two names that share their 64 bits wait for each other
/// without need.
pub fn lock<'a>(client: &mut SpiClient<'_>, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut numbers: Vec<i64> = names.map(number).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    numbers.sort_unstable();
    numbers.dedup();
    plan::run(client, LOCK, &[numbers.into()])?;
    Ok(())
}

const SHARE: &str = "select pg_advisory_xact_lock_shared($1)";

/// Holds a name together with others who share it, and apart from who locks it.
pub fn share(client: &mut SpiClient<'_>, name: &str) -> Result<()> {
    plan::run(client, SHARE, &[number(name).into()])?;
    Ok(())
}

fn number(name: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    i64::from_be_bytes(std::array::from_fn(|place| digest[place]))
}
