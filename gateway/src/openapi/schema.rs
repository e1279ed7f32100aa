//! Schemas of answers, out of the model they show.

use crate::sql::Collection;
use nexus_core::canonical::{Field, FieldType, Kind};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};

/// A string, of a format where one is given.
pub fn string(format: Option<&str>) -> RefOr<Schema> {
    let format = format.map(|format| SchemaFormat::Custom(format.to_owned()));
    ObjectBuilder::new().schema_type(Type::String).format(format).into()
}

/// How many objects a page may have.
pub fn limit() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(200)).into()
}

/// Any value.
pub fn anything() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).into()
}

/// What a member's name tells of its format.
pub fn format_of(name: &str) -> Option<&'static str> {
    match name {
        "trace_id" => None,
        name if name.ends_with("_id") => Some("uuid"),
        name if name.ends_with("_at") || name.ends_with("_until") => Some("date-time"),
        _ => None,
    }
}

/// An object with at least these members.
pub fn object(members: &[&str]) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new();
    for name in members {
        let member = match format_of(name) {
            None if is_text(name) => string(None),
            None => anything(),
            format => string(format),
        };
        object = object.property(*name, member);
    }
    object.into()
}

fn is_text(name: &str) -> bool {
    matches!(
        name,
        "name" | "slug" | "status" | "environment" | "trace_id" | "url" | "api_key" | "secret" | "key_prefix"
    )
}

/// An object of a list.
pub fn item(collection: &Collection) -> RefOr<Schema> {
    let (table, id) = collection.place();
    if table == "webhook_delivery_log" {
        return super::attempt::shown();
    }
    if table == "webhook_subscription" {
        return super::subscription::shown().into();
    }
    let mut object = ObjectBuilder::new().property(id, string(format_of(id))).required(id);
    if let Ok(kind) = Kind::named(table) {
        for field in kind.fields.iter().chain(kind.derived) {
            let (name, schema) = member(field);
            object = object.property(name, schema);
        }
        if let Some(children) = kind.children {
            let mut child = ObjectBuilder::new().property("external_id", string(None));
            for field in children.fields {
                let (name, schema) = member(field);
                child = child.property(name, schema);
            }
            object = object.property(children.field, ArrayBuilder::new().items(child));
        }
        for name in ["created_at", "updated_at"] {
            object = object.property(name, string(format_of(name)));
        }
    }
    object.additional_properties(Some(AdditionalProperties::FreeForm(true))).into()
}

/// A page of a list.
pub fn page(item: RefOr<Schema>) -> RefOr<Schema> {
    page_with(ObjectBuilder::new(), item)
}

/// A page about one object of a list, which it names, of items with these members.
pub fn page_about(collection: &Collection, members: &[&str]) -> RefOr<Schema> {
    let (_, id) = collection.place();
    page_with(ObjectBuilder::new().property(id, string(format_of(id))).required(id), object(members))
}

fn page_with(page: ObjectBuilder, item: RefOr<Schema>) -> RefOr<Schema> {
    page.property("data", ArrayBuilder::new().items(item))
        .required("data")
        .property("next_cursor", nullable(Type::String, None))
        .required("next_cursor")
        .into()
}

/// RFC 9457, with what Nexus adds.
pub fn problem() -> RefOr<Schema> {
    let text = |description: &str| {
        ObjectBuilder::new().schema_type(Type::String).description(Some(description.to_owned()))
    };
    ObjectBuilder::new()
        .property("type", text("urn:nexus:problem:<code>"))
        .property("title", text("The status in words"))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer))
        .property("detail", text("What happened, to which thing"))
        .property("code", text("Stable; docs/errors.md lists all").pattern(Some("^NX[0-9]{3}$")))
        .property("trace_id", text("To find the request by, in logs and traces"))
        .property("hint", text("What to do, where that is known"))
        .property("parameter", text("The parameter or the place in the body it is about"))
        .required("type")
        .required("status")
        .required("code")
        .required("trace_id")
        .into()
}

/// A field as REST shows it: references as the golden entity's id.
fn member(field: &Field) -> (String, RefOr<Schema>) {
    let name = field.name.to_owned();
    match field.field_type {
        FieldType::Integer => (name, nullable(Type::Integer, None)),
        FieldType::Boolean => (name, nullable(Type::Boolean, None)),
        FieldType::Timestamp => (name, nullable(Type::String, Some("date-time"))),
        FieldType::Decimal => (name, nullable(Type::String, Some("decimal"))),
        FieldType::Reference(_) => (format!("{name}_id"), nullable(Type::String, Some("uuid"))),
        FieldType::TextList => (name, ArrayBuilder::new().items(string(None)).into()),
        FieldType::Json => (name, anything()),
        FieldType::Vocabulary(words) => {
            let object =
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied()));
            (name, object.into())
        }
        FieldType::Text | FieldType::Currency => (name, nullable(Type::String, None)),
    }
}

/// A value of a type and format, or null.
pub fn nullable(kind: Type, format: Option<&str>) -> RefOr<Schema> {
    let format = format.map(|format| SchemaFormat::Custom(format.to_owned()));
    ObjectBuilder::new().schema_type(SchemaType::from_iter([kind, Type::Null])).format(format).into()
}
