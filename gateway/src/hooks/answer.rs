//! What platforms are answered.

use super::batch::Ingested;
use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nexus_core::connector::Receive;
use nexus_core::signature::HandshakeResponse;
use serde_json::{Map, Value};

/// The answer to a handshake, as the platform wants it and with nothing more.
pub fn of_handshake(handshake: HandshakeResponse) -> Response {
    let status = StatusCode::from_u16(handshake.status).unwrap_or(StatusCode::OK);
    let mut response = status.into_response();
    for (name, value) in handshake.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    *response.body_mut() = handshake.body.into();
    response
}

/// The answer to a webhook: what became of it, unless the platform insists on other words.
pub fn of_webhook(ingested: Ingested, receive: &Receive) -> Response {
    let status = match receive.response_status {
        Some(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        None if ingested.status == "duplicate" => StatusCode::OK,
        None => StatusCode::ACCEPTED,
    };
    let trace_id = ingested.trace_id.as_deref().and_then(|id| HeaderValue::try_from(id).ok());
    let mut response = match &receive.response_body {
        None => (status, Json(outcome(ingested))).into_response(),
        Some(Value::String(text)) if text.is_empty() => status.into_response(),
        Some(Value::String(text)) => (status, text.clone()).into_response(),
        Some(body) => (status, Json(body)).into_response(),
    };
    if let Some(trace_id) = trace_id {
        response.headers_mut().insert(crate::router::TRACE_ID, trace_id);
    }
    response
}

fn outcome(ingested: Ingested) -> Value {
    let mut body = Map::new();
    body.insert("status".to_owned(), ingested.status.into());
    body.insert("event_id".to_owned(), ingested.event_id.map_or(Value::Null, |id| id.to_string().into()));
    body.insert("trace_id".to_owned(), ingested.trace_id.map_or(Value::Null, Value::String));
    if let Some(duplicate_of) = ingested.duplicate_of {
        body.insert("duplicate_of".to_owned(), duplicate_of.to_string().into());
    }
    if let Some(reason) = ingested.reason {
        body.insert("reason".to_owned(), reason.into());
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn answered(receive: &Receive, status: &str) -> (u16, String) {
        let ingested = Ingested {
            status: status.to_owned(),
            event_id: None,
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            duplicate_of: None,
            reason: None,
        };
        let response = of_webhook(ingested, receive);
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_platform_is_answered_as_it_insists() {
        let plain = Receive::default();
        let with =
            |status, body| Receive { response_status: status, response_body: body, ..Receive::default() };
        assert_eq!(answered(&plain, "accepted").await.0, 202);
        assert_eq!(answered(&plain, "quarantined").await.0, 202);
        let (status, body) = answered(&plain, "duplicate").await;
        assert!(status == 200 && body.contains("\"status\":\"duplicate\""), "{body}");
        let strict = with(Some(204), Some(json!("")));
        for outcome in ["accepted", "ignored", "duplicate"] {
            assert_eq!(answered(&strict, outcome).await, (204, String::new()), "{outcome}");
        }
        assert_eq!(answered(&with(None, Some(json!("OK"))), "accepted").await, (202, "OK".to_owned()));
        let operation = with(Some(200), Some(json!({"op": "success"})));
        assert_eq!(answered(&operation, "accepted").await, (200, r#"{"op":"success"}"#.to_owned()));
    }
}
