//! The JSON Schema of manifests, published as `connectors/connector.schema.json`.

use super::Manifest;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema (draft 2020-12) of a manifest, generated from the types that read one. What it cannot say,
/// such as that a path compiles, [`super::Connector::compile`] checks.
pub fn manifest_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Manifest>().to_value();
    schema["title"] = "A connector's manifest".into();
    schema
}
