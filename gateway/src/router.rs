//! Every path of the gateway, and what all answers have in common.

use crate::app::App;
use crate::error::{self, Error};
use crate::{hooks, metrics, routes};
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use nexus_core::error::Code;
use nexus_core::trace::TraceContext;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument as _;

/// The header every answer has.
pub const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");

/// Longer than the database may take, so that its answer, not this, ends a slow request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);

/// All paths; those of webhooks and the REST API only if this process has the role.
pub fn router(app: Arc<App>, has_api: bool) -> Router {
    let served = if has_api {
        Router::new()
            .route("/hooks/{connector_id}", post(hooks::receive).get(hooks::receive).options(hooks::receive))
            .nest("/api/v1", api())
            .nest("/api", api())
    } else {
        Router::new()
    };
    served
        .route("/healthz", get(routes::health::healthz))
        .route("/readyz", get(routes::health::readyz))
        .route("/metrics", get(routes::health::metrics))
        .fallback(async || Error::new(Code::UnknownPath, "there is no such path"))
        .method_not_allowed_fallback(async || {
            Error::new(Code::MethodNotAllowed, "the path does not take this method")
        })
        .layer(DefaultBodyLimit::max(app.max_body_bytes))
        .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(middleware::from_fn(finish))
        .with_state(app)
}

/// What stands under `/api/v1` and under `/api`.
fn api() -> Router<Arc<App>> {
    Router::new()
        .route("/tenants", post(routes::tenants::create))
        .route("/connectors", get(routes::lists::connectors))
        .route("/connectors/{connector_id}", get(routes::lists::connector))
        .route("/flows", get(routes::lists::flows))
        .route("/flows/{flow_id}", get(routes::lists::flow))
        .route("/events", get(routes::lists::events))
        .route("/events/{event_id}", get(routes::events::single))
        .route("/jobs", get(routes::lists::jobs))
        .route("/jobs/{job_id}", get(routes::lists::job))
        .route("/jobs/{job_id}/callback", post(routes::jobs::callback))
        .route("/nexus/orders", get(routes::lists::orders))
        .route("/nexus/orders/{sales_order_id}", get(routes::lists::order))
        .route("/nexus/customers", get(routes::lists::customers))
        .route("/nexus/customers/{customer_id}", get(routes::lists::customer))
        .route("/nexus/products", get(routes::lists::products))
        .route("/nexus/products/{product_id}", get(routes::lists::product))
        .route("/nexus/inventory", get(routes::lists::inventory))
        .route("/nexus/inventory/{inventory_level_id}", get(routes::lists::inventory_level))
        .route("/traces/{trace_id}", get(routes::events::trace))
        .route("/integrations/events", get(routes::events::domain_events))
        .route("/integrations/webhooks", get(routes::lists::attempts))
        .route("/portal/webhooks", get(routes::lists::subscriptions))
        .route("/portal/webhooks/subscribe", post(routes::subscriptions::subscribe))
        .route("/portal/webhooks/{subscription_id}", get(routes::lists::subscription))
}

/// Gives every answer its trace id and every error its body; counts and logs.
async fn finish(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace_id = trace_of(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", trace_id = %trace_id, method = %method, route = %route);

    let mut response = next.run(request).instrument(span.clone()).await;

    let trace_id = match response.headers().get(TRACE_ID).and_then(|id| id.to_str().ok()) {
        Some(given) => given.to_owned(),
        None => trace_id,
    };
    if let Some(error) = response.extensions_mut().remove::<Error>() {
        response = problem(&error, &trace_id, response);
    } else if response.status() == axum::http::StatusCode::REQUEST_TIMEOUT {
        response = problem(&Error::new(Code::Overloaded, "the request took too long"), &trace_id, response);
    }
    if let Ok(value) = HeaderValue::try_from(&trace_id) {
        response.headers_mut().insert(TRACE_ID, value);
    }
    let (status, took) = (response.status().as_u16(), started.elapsed());
    metrics::request(&route, method.as_str(), status, took);
    span.in_scope(|| tracing::debug!(status, took_ms = took.as_millis() as u64, "answered"));
    response
}

/// The trace the caller is in, or a new one.
fn trace_of(request: &Request) -> String {
    let given = request.headers().get("traceparent").and_then(|header| header.to_str().ok());
    given.and_then(TraceContext::parse).map_or_else(
        // A trace id need not be secret, only unlike others.
        || TraceContext::begin(uuid::Uuid::new_v4().into_bytes()).trace_id,
        |context| context.trace_id,
    )
}

fn problem(error: &Error, trace_id: &str, bare: Response) -> Response {
    let body = error.problem(trace_id).to_string();
    let content_type = (header::CONTENT_TYPE, "application/problem+json");
    let mut response = (error::status(error.code), [content_type], body).into_response();
    for name in [header::RETRY_AFTER, header::ALLOW] {
        if let Some(value) = bare.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
