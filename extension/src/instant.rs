//! Times between core, which counts microseconds since 1970, and SQL.

use pgrx::datum::{FromTimeError, TimestampWithTimeZone};

/// Where PostgreSQL's count of microseconds begins: 2000.
const EPOCH: i64 = 946_684_800_000_000;

/// A timestamptz of microseconds since 1970; one that PostgreSQL has no room for is an error of the statement.
pub fn timestamptz(microseconds: i64) -> Result<TimestampWithTimeZone, FromTimeError> {
    TimestampWithTimeZone::try_from(microseconds.saturating_sub(EPOCH))
}

/// Microseconds since 1970 of a timestamptz; none of an infinite one.
pub fn of_timestamptz(time: TimestampWithTimeZone) -> Option<i64> {
    match i64::from(time) {
        i64::MIN | i64::MAX => None,
        microseconds => microseconds.checked_add(EPOCH),
    }
}

/// The SQL for a bigint of microseconds of a timestamptz.
macro_rules! microseconds {
    ($column:literal) => {
        concat!("(extract(epoch from ", $column, ") * 1000000)::bigint")
    };
}

pub(crate) use microseconds;
