//! What benches share: figures and their spread, the report, the machine, the payloads.
//!
//! A machine is small, busy and noisy; so a figure is a ratio against something measured in the same run. Each bench
//! prints a table and writes `$NEXUS_HOME/bench/<name>.json` ([`Report::to_json`]).

mod figure;
mod machine;
mod payload;
pub mod plan;
mod report;
pub mod sink;
pub mod traffic;

pub use figure::{Better, Figure, Samples};
pub use machine::Machine;
pub use payload::{Payload, Payloads};
pub use report::{Report, aligned};

use std::path::PathBuf;
use std::time::Duration;

/// What docs/performance.md advises for a server, in lines of `postgresql.conf`: of this machine's memory a quarter, as for
/// a server that has nothing else to do.
pub fn server() -> String {
    let shared_buffers = Machine::this().memory_mb / 4;
    format!(
        "shared_buffers = {shared_buffers}MB\nmax_wal_size = 8GB\nwal_compression = lz4\ncheckpoint_timeout = 30min"
    )
}

/// Where reports go: `$NEXUS_HOME/bench`, or `.nexus/bench` of the checkout.
pub fn folder() -> PathBuf {
    let home = std::env::var_os("NEXUS_HOME").map(PathBuf::from);
    home.unwrap_or_else(|| checkout().join(".nexus")).join("bench")
}

/// How long a bench measures in all: `BENCH_SECONDS`, or what it suggests.
pub fn time(suggested: Duration) -> Duration {
    let given = std::env::var("BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    given.map_or(suggested, Duration::from_secs)
}

/// The checkout that this was built from.
pub fn checkout() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
