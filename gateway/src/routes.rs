//! The REST API, a module per kind of thing.

pub mod events;
pub mod health;
pub mod jobs;
pub mod lists;
pub mod page;
pub mod subscriptions;
pub mod tenants;

use crate::error::Error;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use nexus_core::error::Code;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// JSON that the database has written.
pub struct JsonText(pub String);

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// A request's JSON body; what is none, or lacks something, is told as a problem.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let body =
            axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
                match rejection.status() {
                    axum::http::StatusCode::PAYLOAD_TOO_LARGE => {
                        Error::new(Code::BodyTooLarge, "the body is too large")
                    }
                    _ => Error::new(Code::MalformedRequest, "the body did not arrive whole"),
                }
            })?;
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let malformed = |error: serde_json::Error| {
            Error::new(Code::MalformedRequest, format!("the body is not JSON: {error}"))
        };
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            if error.is_data() { Error::parameter(&path, error.to_string()) } else { malformed(error) }
        })?;
        reader.end().map_err(malformed)?;
        Ok(Self(value))
    }
}

/// An id out of a path. What is no id names nothing.
pub fn id(thing: &str, text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::not_found(thing, text))
}
