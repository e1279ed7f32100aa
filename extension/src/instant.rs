//! Times between core, which counts microseconds since 1970, and SQL.

/// The SQL for a timestamptz of a bigint of microseconds.
macro_rules! timestamptz {
    ($column:literal) => {
        concat!("(timestamptz 'epoch' + ", $column, " * interval '1 microsecond')")
    };
}

/// The SQL for a bigint of microseconds of a timestamptz.
macro_rules! microseconds {
    ($column:literal) => {
        concat!("(extract(epoch from ", $column, ") * 1000000)::bigint")
    };
}

pub(crate) use {microseconds, timestamptz};
