//! The schema of an attempt to deliver.

use super::schema::{anything, nullable, string};
use nexus_core::retry::ErrorClass;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};

/// An attempt as the log shows it.
pub fn shown() -> RefOr<Schema> {
    let text = |text: &str| {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some(text.to_owned()))
    };
    let whole = |text: &str| {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
            .description(Some(text.to_owned()))
    };
    let headers = |text: &str| {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
            .additional_properties(Some(string(None)))
            .description(Some(text.to_owned()))
    };
    let classes: Vec<&str> = ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
    ObjectBuilder::new()
        .property("webhook_delivery_log_id", string(Some("uuid")))
        .required("webhook_delivery_log_id")
        .property("delivery_id", string(Some("uuid")))
        .property("kind", text("job, webhook or test"))
        .property("destination_id", string(Some("uuid")))
        .property("job_id", nullable(Type::String, Some("uuid")))
        .property("domain_event_id", nullable(Type::String, Some("uuid")))
        .property("trace_id", string(None))
        .property("attempt", whole("From 1"))
        .property("outcome", text("succeeded, awaiting_callback, retry or dead"))
        .property("url", text("Where to"))
        .property("status_code", whole("Null if nothing was answered"))
        .property("latency_ms", whole("From resolving the name to the answer's last byte"))
        .property("error_class", text(&classes.join(", ")))
        .property("error", text("The error in words"))
        .property(
            "request_headers",
            headers("As they were sent, or were to be; of each signature only the beginning"),
        )
        .property(
            "request_bytes",
            whole("The body's length. The body is made of the domain event or job, and is not kept twice"),
        )
        .property("request_sha256", text("The body's SHA-256, hexadecimal"))
        .property("response_headers", headers("At most the first 8192 characters, without Set-Cookie"))
        .property("response_body", text("At most the first 4096 characters"))
        .property("next_attempt_at", nullable(Type::String, Some("date-time")))
        .property("attempted_at", string(Some("date-time")))
        .additional_properties(Some(AdditionalProperties::RefOr(anything())))
        .into()
}
