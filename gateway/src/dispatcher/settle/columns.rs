//! Outcomes as `nexus.settle` takes them: a column an array, which the database reads several times as fast as JSON.

use super::Report;
use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

macro_rules! columns {
    ($($name:ident: $item:ty, $type:ident, $of:expr;)*) => {
        /// Columns of some reports.
        pub struct Columns<'a> {
            $($name: Vec<$item>,)*
        }

        impl<'a> Columns<'a> {
            /// The columns of these reports.
            pub fn of(reports: &'a [Report]) -> Self {
                let reports = reports.iter();
                Self { $($name: reports.clone().map($of).collect(),)* }
            }

            /// They follow these parameters.
            pub fn after<'p>(
                &'p self,
                first: [(&'p (dyn ToSql + Sync), Type); 2],
            ) -> Vec<(&'p (dyn ToSql + Sync), Type)> {
                first.into_iter().chain([$((&self.$name as &(dyn ToSql + Sync), Type::$type),)*]).collect()
            }
        }
    };
}

columns! {
    log_ids: Uuid, UUID_ARRAY, |r| r.log_id;
    environment_ids: Uuid, UUID_ARRAY, |r| r.environment_id;
    delivery_ids: Uuid, UUID_ARRAY, |r| r.delivery_id;
    kinds: &'a str, TEXT_ARRAY, |r| r.kind;
    destination_ids: Uuid, UUID_ARRAY, |r| r.destination_id;
    job_ids: Option<Uuid>, UUID_ARRAY, |r| r.job_id;
    domain_event_ids: Option<Uuid>, UUID_ARRAY, |r| r.domain_event_id;
    trace_ids: &'a str, TEXT_ARRAY, |r| r.trace_id.as_str();
    attempts: i32, INT4_ARRAY, |r| r.attempt;
    outcomes: &'a str, TEXT_ARRAY, |r| r.outcome;
    urls: Option<&'a str>, TEXT_ARRAY, |r| r.url.as_deref();
    status_codes: Option<i32>, INT4_ARRAY, |r| r.status_code.map(i32::from);
    latencies_ms: i32, INT4_ARRAY, |r| i32::try_from(r.latency_ms).unwrap_or(i32::MAX);
    error_classes: Option<&'a str>, TEXT_ARRAY, |r| r.error_class;
    error_codes: Option<&'a str>, TEXT_ARRAY, |r| r.error_code.as_deref();
    errors: Option<&'a str>, TEXT_ARRAY, |r| r.error.as_deref();
    request_headers: Option<&'a str>, TEXT_ARRAY, |r| r.request_headers.as_deref();
    request_bytes: Option<i32>, INT4_ARRAY, |r| r.request_bytes.map(|bytes| i32::try_from(bytes).unwrap_or(i32::MAX));
    request_sha256s: Option<&'a [u8]>, BYTEA_ARRAY, |r| r.request_sha256.as_ref().map(<[u8; 32]>::as_slice);
    response_headers: Option<&'a str>, TEXT_ARRAY, |r| r.response_headers.as_deref();
    response_bodies: Option<&'a str>, TEXT_ARRAY, |r| r.response_body.as_deref();
    results: Option<String>, TEXT_ARRAY, |r| r.result.as_ref().map(ToString::to_string);
    next_attempts_at: Option<Timestamp>, TIMESTAMPTZ_ARRAY, |r| r.next_attempt_at;
    attempted_at: Timestamp, TIMESTAMPTZ_ARRAY, |r| r.attempted_at;
    domain_event_ids_for_jobs: Option<Uuid>, UUID_ARRAY, |r| r.domain_event_id_for_job;
}
