//! Schemas of subscriptions: what is asked for, what can be changed, what is shown.

use super::schema::{anything, nullable, string};
use nexus_core::routing::{Envelope, Ordering, PAYLOAD_VERSIONS, SignatureVersion};
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};

/// What is subscribed to.
pub fn wanted() -> RefOr<Schema> {
    closed(asked().required("url").required("event_types"))
}

/// Changes; what is absent stays.
pub fn changes() -> RefOr<Schema> {
    let status = names(&["active", "paused"]).description(Some(
        "active: delivered to; what waited while it was paused goes on. Ends that it is disabled, too. paused: deliveries wait.",
    ));
    closed(asked().property("status", status))
}

/// A subscription as it is.
pub fn shown() -> ObjectBuilder {
    let status = names(&["active", "paused", "disabled"]);
    let disabled = nullable(Type::String, None);
    asked()
        .property("subscription_id", string(Some("uuid")))
        .required("subscription_id")
        .property("environment_id", string(Some("uuid")))
        .property("status", status)
        .property("disabled_reason", disabled)
        .property("failing_since", nullable(Type::String, Some("date-time")))
        .property("last_failed_at", nullable(Type::String, Some("date-time")))
        .property(
            "public_keys",
            ArrayBuilder::new().items(string(None)).description(Some(
                "Of one subscription, not in lists: what verifies its requests if they are signed by v1a; the current key, whpk_…, first.",
            )),
        )
        .property("created_at", string(Some("date-time")))
        .property("updated_at", string(Some("date-time")))
}

/// A new subscription, with what signs for it.
pub fn made() -> RefOr<Schema> {
    with_secret(shown().property("environment", string(None))).into()
}

/// A subscription that was changed: with what signs for it from now on, if that is new.
pub fn changed() -> RefOr<Schema> {
    with_secret(shown()).property("previous_valid_until", string(Some("date-time"))).into()
}

/// What a rotation answers.
pub fn rotated() -> RefOr<Schema> {
    with_secret(ObjectBuilder::new().property("subscription_id", string(Some("uuid"))))
        .property("previous_valid_until", string(Some("date-time")))
        .into()
}

fn with_secret(object: ObjectBuilder) -> ObjectBuilder {
    let only =
        |version: &str| text().description(Some(format!("Shown once, and only if signed by {version}.")));
    object.property("secret", only("v1, whsec_…")).property("public_key", only("v1a, whpk_…"))
}

fn asked() -> ObjectBuilder {
    let says = |schema: ObjectBuilder, text: &str| schema.description(Some(text.to_owned()));
    let whole = || ObjectBuilder::new().schema_type(Type::Integer);
    let delays =
        ArrayBuilder::new().items(whole().minimum(Some(0)).maximum(Some(7 * 24 * 3600))).max_items(Some(50));
    ObjectBuilder::new()
        .property("url", says(text(), "Where events are sent: http or https, without credentials."))
        .property(
            "event_types",
            ArrayBuilder::new()
                .items(string(None))
                .min_items(Some(1))
                .description(Some("Types such as order.created, families such as order.*, or *.")),
        )
        .property("description", ObjectBuilder::new().schema_type(or_null(Type::String)))
        .property(
            "headers",
            says(
                ObjectBuilder::new().additional_properties(Some(string(None))),
                "Headers that requests carry beside ours. Never secrets.",
            ),
        )
        .property(
            "filter",
            says(
                ObjectBuilder::new().schema_type(or_null(Type::Object)).additional_properties(Some(anything())),
                "A condition of the mapping language over type, changed, entity_version and data: only events that meet it are sent. Null: all.",
            ),
        )
        .property(
            "payload_version",
            says(whole().enum_values(Some(PAYLOAD_VERSIONS)), "The version of the payload's shape."),
        )
        .property(
            "ordering",
            says(
                names(&[Ordering::None, Ordering::Entity]),
                "entity: an entity's deliveries go out one after the other, in the order of its versions.",
            ),
        )
        .property(
            "retry",
            says(
                ObjectBuilder::new().schema_type(or_null(Type::Object)).property("delays_seconds", delays),
                "Seconds between attempts: one attempt more than delays. Null: the schedule of Standard Webhooks.",
            ),
        )
        .property(
            "rate_limit",
            says(
                ObjectBuilder::new().schema_type(or_null(Type::Integer)).minimum(Some(1)),
                "Deliveries a second that each gateway makes at most. Null: no limit.",
            ),
        )
        .property(
            "envelope",
            says(
                names(&[Envelope::Nexus, Envelope::CloudeventsStructured, Envelope::CloudeventsBinary]),
                "The form of a request.",
            ),
        )
        .property(
            "signature",
            says(
                names(&[SignatureVersion::V1, SignatureVersion::V1a]),
                "How a request is signed by Standard Webhooks: v1, HMAC-SHA256; v1a, ed25519.",
            ),
        )
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn or_null(kind: Type) -> utoipa::openapi::schema::SchemaType {
    utoipa::openapi::schema::SchemaType::from_iter([kind, Type::Null])
}

/// One of these, as they are written in JSON.
fn names(values: &[impl Serialize]) -> ObjectBuilder {
    let names = values.iter().filter_map(|value| serde_json::to_value(value).ok());
    text().enum_values(Some(names.collect::<Vec<_>>()))
}

fn closed(object: ObjectBuilder) -> RefOr<Schema> {
    object.additional_properties(Some(AdditionalProperties::FreeForm(false))).into()
}
