//! Locks on names, held until the transaction ends.

// What is unsafe is calls of PostgreSQL, with what makes them sound above them.
#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Datum, FunctionCallInfo};
use pgrx::{IntoDatum, direct_function_call_as_datum};
use sha2::{Digest, Sha256};

/// Locks all of these names, in one order whoever asks. Two names that share their 64 bits wait for each other
/// without need. A statement that is to see what this waited for has to begin afterwards.
pub fn lock<'a>(names: impl Iterator<Item = &'a str>) {
    let mut numbers: Vec<i64> = names.map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().for_each(|number| call(pg_sys::pg_advisory_xact_lock_int8, number));
}

/// Holds a name together with others who share it, and apart from who locks it.
pub fn share(name: &str) {
    call(pg_sys::pg_advisory_xact_lock_shared_int8, number(name));
}

/// As a statement would, without one.
fn call(function: unsafe fn(FunctionCallInfo) -> Datum, number: i64) {
    // SAFETY: both functions take one bigint and nothing of who calls them. What they raise unwinds to the caller's
    // transaction.
    unsafe { direct_function_call_as_datum(function, &[number.into_datum()]) };
}

fn number(name: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    i64::from_be_bytes(std::array::from_fn(|place| digest[place]))
}
