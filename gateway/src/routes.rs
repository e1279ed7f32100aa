//! The REST API, a module per kind of thing.

pub mod api_keys;
pub mod catalogue;
pub mod connectors;
pub mod events;
pub mod flows;
pub mod golden;
pub mod health;
pub mod jobs;
pub mod lists;
pub mod page;
pub mod replay;
pub mod stream;
pub mod subscriptions;
pub mod survivorship;
pub mod tenants;

use crate::app::App;
use crate::body;
use crate::error::Error;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use nexus_core::error::Code;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::sync::Arc;
use uuid::Uuid;

/// For answers that show what is never shown again: no cache on the way may keep them.
pub const SHOWN_ONCE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// JSON that the database has written.
pub struct JsonText(pub String);

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// A request's JSON body; what is none, or lacks something, is told as a problem.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &Arc<App>) -> Result<Self, Error> {
        let body = body::read(request.into_body(), &state.body_limits).await?;
        body::check_depth(&body)?;
        // No body says nothing, as an empty object does.
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let mut reader = serde_json::Deserializer::from_slice(body);
        let malformed = |error: serde_json::Error| {
            Error::new(Code::MalformedRequest, format!("the body is not JSON: {error}"))
        };
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            if error.is_data() { Error::parameter(&path, without_value(error)) } else { malformed(error) }
        })?;
        reader.end().map_err(malformed)?;
        Ok(Self(value))
    }
}

/// What is wrong with a value, without the value: it may be a secret in the wrong place.
fn without_value(error: serde_json::Error) -> String {
    let said = error.to_string();
    match said.rsplit_once(", expected ") {
        Some((before, expected))
            if before.starts_with("invalid ") || before.starts_with("unknown variant") =>
        {
            format!("it must be {expected}")
        }
        _ => said,
    }
}

/// Tells null from absent.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// An id out of a path. What is no id names nothing.
pub fn id(thing: &str, text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::not_found(thing, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_repeat_a_value() {
        let error = |text: &str| without_value(serde_json::from_str::<Vec<u8>>(text).expect_err("no bytes"));
        assert_eq!(error("\"hush, expected x\""), "it must be a sequence at line 1 column 18");
        for text in ["[\"hush\"]", "[4711]", "{\"hush\": 1}", "[-4711]"] {
            assert!(!error(text).contains("hush") && !error(text).contains("4711"), "{}", error(text));
        }
    }
}
