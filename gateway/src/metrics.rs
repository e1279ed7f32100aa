//! What `/metrics` shows. Each name is described and used in one place, here.

use axum::http::Method;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];
const SIZES: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 75.0, 100.0];

/// Sets up the recorder of this process.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &SIZES)?
        .install_recorder()?;
    describe_counter!("nexus_http_requests_total", "Requests by route, method and status");
    describe_histogram!("nexus_http_request_seconds", "Time from request to answer, by route");
    describe_counter!(
        "nexus_hooks_total",
        "Webhooks by outcome: accepted, duplicate, ignored, quarantined, refused, …"
    );
    describe_histogram!("nexus_ingest_seconds", "Time of one call of nexus.ingest_batch");
    describe_histogram!("nexus_ingest_batch_size", "Webhooks in one call of nexus.ingest_batch");
    describe_counter!("nexus_ingest_failures_total", "Calls of nexus.ingest_batch that failed, by reason");
    describe_gauge!("nexus_ingest_waiting", "Webhooks waiting for their batch");
    describe_counter!("nexus_deliveries_total", "Attempts by kind, outcome and error class");
    describe_histogram!("nexus_delivery_seconds", "Time from sending to answer, by kind");
    describe_gauge!("nexus_dispatch_in_flight", "Attempts under way");
    describe_gauge!(
        "nexus_dispatch_broken",
        "Destinations that are down: their breaker is open, and they are only probed"
    );
    describe_gauge!("nexus_streams", "WebSocket streams that are open");
    describe_counter!("nexus_stream_events_total", "Domain events sent by streams");
    describe_counter!(
        "nexus_streams_ended_total",
        "Streams that ended, by reason: left, slow, silent, revoked, stopping, failed"
    );
    describe_gauge!(
        "nexus_outbox_lag_seconds",
        "For how long the oldest running transaction has been holding readers of the outbox back"
    );
    describe_gauge!(
        "nexus_outbox_epoch_accepted",
        "1, or 0 while deliveries wait for nexus admin accept-epoch after a restore or promotion"
    );
    describe_gauge!(
        "nexus_partitioned_until_seconds",
        "Up to when partitions of all history stand ready, in seconds since 1970"
    );
    describe_gauge!(
        "nexus_configuration_age_seconds",
        "How long ago the configuration was known to be the database's"
    );
    describe_gauge!("nexus_database_connections", "Open connections by pool");
    describe_gauge!("nexus_database_connections_in_use", "Connections in use by pool");
    Ok(handle)
}

/// A method as a label. Anybody can invent methods, and a series stays for as long as the process.
pub fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

pub fn request(route: &str, method: &'static str, status: u16, took: Duration) {
    let route = route.to_owned();
    counter!("nexus_http_requests_total", "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!("nexus_http_request_seconds", "route" => route).record(took);
}

pub fn hook(outcome: &str) {
    counter!("nexus_hooks_total", "outcome" => outcome.to_owned()).increment(1);
}

pub fn ingested(batch_size: usize, took: Duration) {
    histogram!("nexus_ingest_seconds").record(took);
    histogram!("nexus_ingest_batch_size").record(batch_size as f64);
}

pub fn ingest_failed(reason: &'static str) {
    counter!("nexus_ingest_failures_total", "reason" => reason).increment(1);
}

pub fn ingest_waiting(waiting: usize) {
    gauge!("nexus_ingest_waiting").set(waiting as f64);
}

pub fn delivery(
    kind: &'static str,
    outcome: &'static str,
    error_class: Option<&'static str>,
    took: Duration,
) {
    let error_class = error_class.unwrap_or("none");
    counter!("nexus_deliveries_total", "kind" => kind, "outcome" => outcome, "error_class" => error_class)
        .increment(1);
    histogram!("nexus_delivery_seconds", "kind" => kind).record(took);
}

pub fn dispatching(in_flight: usize, broken: usize) {
    gauge!("nexus_dispatch_in_flight").set(in_flight as f64);
    gauge!("nexus_dispatch_broken").set(broken as f64);
}

pub fn streams(open: usize) {
    gauge!("nexus_streams").set(open as f64);
}

pub fn streamed() {
    counter!("nexus_stream_events_total").increment(1);
}

pub fn stream_ended(reason: &'static str) {
    counter!("nexus_streams_ended_total", "reason" => reason).increment(1);
}

pub fn outbox(lag: Duration, is_accepted: bool) {
    gauge!("nexus_outbox_lag_seconds").set(lag.as_secs_f64());
    gauge!("nexus_outbox_epoch_accepted").set(f64::from(u8::from(is_accepted)));
}

pub fn partitioned_until(seconds: f64) {
    gauge!("nexus_partitioned_until_seconds").set(seconds);
}

pub fn configuration_age(age: Duration) {
    gauge!("nexus_configuration_age_seconds").set(age.as_secs_f64());
}

pub fn connections(pool: &'static str, (in_use, open): (usize, usize)) {
    gauge!("nexus_database_connections", "pool" => pool).set(open as f64);
    gauge!("nexus_database_connections_in_use", "pool" => pool).set(in_use as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_callers_invent_make_no_series() {
        let invented = Method::from_bytes("X".repeat(1000).as_bytes()).expect("a token is a method");
        assert_eq!((method(&Method::PATCH), method(&invented)), ("PATCH", "other"));
    }
}
