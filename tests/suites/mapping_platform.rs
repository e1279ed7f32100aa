//! An invented platform, whose mapping a test can change without any other seeing it.

use nexus_core::connector::Manifest;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

/// An invented platform, so that its mapping can change without any other test seeing it.
pub struct Platform(pub &'static str);

impl Platform {
    pub fn new() -> Self {
        Self(format!("platform-{}", Uuid::new_v4().simple()).leak())
    }

    /// Its manifest with these fields, and the path at which an order's id stands.
    pub fn manifest(&self, id: &str, fields: &str) -> Value {
        let toml = format!(
            r#"
            type = "{}"
            name = "Invented"
            version = 1
            [receive]
            signature = {{ scheme = "hmac", header = "x-signature", algorithm = "sha256", encoding = "hex" }}
            topic = {{ header = "x-shopify-topic" }}
            emitted_at = {{ header = "x-shopify-triggered-at", as = "timestamp" }}
            [entities.order]
            topics = ["order"]
            [[entities.order.documents]]
            kind = "sales_order"
            external_id = {{ path = "{id}", as = "string" }}
            source_time = {{ path = "$.at", as = "timestamp" }}
            snapshot = "partial"
            [entities.order.documents.fields]
            {fields}"#,
            self.0
        );
        serde_json::to_value(Manifest::from_toml(&toml).expect("a manifest")).unwrap()
    }

    pub async fn register(&self, client: &Client, manifest: &Value) -> i32 {
        let sql = "select nexus.register_connector_type($1)";
        client.query_one(sql, &[manifest]).await.unwrap().get(0)
    }
}
