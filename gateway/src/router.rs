//! Every path of the gateway, and what all answers have in common.

mod api;

use crate::app::App;
use crate::error::{self, Error};
use crate::openapi::{self, Access, Documented, about, anything};
use crate::{auth, http, idempotency, rate};
use crate::{hooks, metrics, routes};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
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
    let documented = documented_with(has_api, |api| {
        api.layer(middleware::from_fn_with_state(Arc::clone(&app), idempotency::once))
            .layer(middleware::from_fn_with_state(Arc::clone(&app), auth::identify))
    });
    // Described once, since it does not change while the process runs.
    let description = serde_json::to_string(&documented.describe()).unwrap_or_default();
    documented
        .router
        .layer(Extension(Described(description.into())))
        .fallback(async || Error::new(Code::UnknownPath, "there is no such path"))
        .method_not_allowed_fallback(async || {
            Error::new(Code::MethodNotAllowed, "the path does not take this method")
        })
        .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(middleware::from_fn(finish))
        .with_state(app)
}

/// The paths with their descriptions.
#[cfg(test)]
pub fn documented(has_api: bool) -> Documented {
    documented_with(has_api, |api| api)
}

fn documented_with(has_api: bool, layered: impl Fn(Router<Arc<App>>) -> Router<Arc<App>>) -> Documented {
    let mut paths = Documented::default();
    if has_api {
        let hook = |summary| about("webhooks", Access::Signed, summary);
        // With a secret in its path where a platform signs nothing.
        for path in ["/hooks/{connector_id}", "/hooks/{connector_id}/{secret}"] {
            let answers = || hook("Answer a platform's handshake").ends(200, "The answer");
            paths = paths
                .post(
                    path,
                    hooks::receive,
                    hook("Take a platform's webhook in")
                        .takes_anything()
                        .gives(202, "Accepted, ignored or quarantined", HOOK)
                        .gives(200, "A duplicate, or what the platform insists on", HOOK),
                )
                .get(path, hooks::receive, answers())
                .options(path, hooks::receive, answers());
        }
        paths = paths.nest(&["/api/v1", "/api"], api::paths(), layered);
    }
    let open = |summary| about("operation", Access::Open, summary);
    paths
        .get("/healthz", routes::health::healthz, open("Whether the process lives").ends(200, "It does"))
        .get(
            "/readyz",
            routes::health::readyz,
            open("Whether database and migrations are as they must be").ends(200, "They are"),
        )
        .get(
            "/metrics",
            routes::health::metrics,
            open("Metrics, as Prometheus reads them").ends(200, "The metrics"),
        )
        .get("/openapi.json", description, open("This description").answers(200, "OpenAPI 3.1", anything()))
        .get("/docs", openapi::docs, open("This description, for people").ends(200, "A page"))
}

const HOOK: &[&str] = &["status", "event_id", "trace_id", "duplicate_of", "reason"];

/// The text of `/openapi.json`.
#[derive(Clone)]
struct Described(Arc<str>);

async fn description(Extension(Described(text)): Extension<Described>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string())
}

/// Gives every answer its trace id and every error its body; counts and logs.
async fn finish(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace_id = trace_of(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let method = metrics::method(request.method());
    let span = tracing::info_span!("request", trace_id = %trace_id, method, route = %route);

    let mut response = match http::check_headers(request.headers()) {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(refused) => refused.into_response(),
    };

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
    metrics::request(&route, method, status, took);
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
    for name in [header::RETRY_AFTER, header::ALLOW].into_iter().chain(rate::HEADERS) {
        if let Some(value) = bare.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
