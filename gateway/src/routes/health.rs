//! Whether the process lives, whether it can work, and what it counts.

use crate::app::App;
use crate::configuration::Readiness;
use crate::error::Error;
use crate::metrics as counters;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use nexus_core::error::Code;
use serde_json::{Value, json};
use std::sync::Arc;

/// The process lives.
pub async fn healthz() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// The database answers and no migration is pending. Known from the last half second: asking costs nothing.
pub async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Value>, Error> {
    match app.configuration.readiness() {
        Readiness::Ready => Ok(Json(json!({ "status": "ready" }))),
        Readiness::NotReady(reason) => Err(Error::new(Code::NotReady, reason)),
    }
}

/// Counters for Prometheus.
pub async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    counters::connections("ingest", app.ingest.connections());
    counters::connections("other", app.database.connections());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}
