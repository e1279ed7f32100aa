//! Tenants, their connectors, keys and logins.

use crate::cluster::Database;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

/// A tenant of its own for a test: what others do beside it does not show.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub tenant_id: Uuid,
    /// Its environments.
    pub prod: Uuid,
    /// See `prod`.
    pub test: Uuid,
}

/// A connector of a tenant.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its tenant.
    pub tenant_id: Uuid,
    /// Its id.
    pub connector_id: Uuid,
    /// Its platform.
    pub connector_type: &'static str,
    /// What its platform signs with.
    pub secret: String,
}

impl Tenant {
    /// Makes a tenant.
    pub async fn create(admin: &Client) -> Self {
        let slug = format!("t-{}", Uuid::new_v4().simple());
        let row = admin.query_one("select nexus.create_tenant($1, $1)", &[&slug]).await.unwrap();
        let tenant_id = row.get(0);
        let environment = async |name: &str| {
            let sql = "select environment_id from nexus.environment where tenant_id = $1 and name = $2";
            admin.query_one(sql, &[&tenant_id, &name]).await.unwrap().get(0)
        };
        Self { tenant_id, prod: environment("prod").await, test: environment("test").await }
    }

    /// Connects a shop to an environment. Its secret is known to nobody yet.
    pub async fn connector_in(
        &self,
        admin: &Client,
        environment_id: Uuid,
        connector_type: &'static str,
    ) -> Connector {
        let settings: Value = match connector_type {
            "shopify" => serde_json::json!({ "shop": "acme.myshopify.com", "currency": "EUR" }),
            "woocommerce" => serde_json::json!({ "site": "https://acme.example", "currency": "EUR" }),
            "odoo" => serde_json::json!({
                "url": "https://odoo.example", "database": "acme", "currency": "EUR", "delete_action": "gone",
            }),
            "business-central" => serde_json::json!({ "company_id": "b18a", "currency": "EUR" }),
            _ => serde_json::json!({}),
        };
        let [name, secret] = [(); 2].map(|()| Uuid::new_v4().to_string());
        let sql = "select nexus.create_connector($1, $2, $3, $4, $5)";
        let row = admin
            .query_one(sql, &[&self.tenant_id, &environment_id, &connector_type, &name, &settings])
            .await
            .unwrap();
        Connector { tenant_id: self.tenant_id, connector_id: row.get(0), connector_type, secret }
    }

    /// Connects a shop to prod.
    pub async fn connector(&self, admin: &Client, connector_type: &'static str) -> Connector {
        self.connector_in(admin, self.prod, connector_type).await
    }

    /// Makes a flow in prod. Nothing can be sent for it: it has no secret.
    pub async fn flow(&self, admin: &Client, definition: &Value) -> Uuid {
        let sql = "select nexus.create_flow($1, $2, $3, $4)";
        let name = Uuid::new_v4().to_string();
        admin.query_one(sql, &[&self.tenant_id, &self.prod, &name, definition]).await.unwrap().get(0)
    }

    /// A login bound to this tenant, or to one environment of it; its URL.
    pub async fn analyst(&self, database: &Database, admin: &Client, environment_id: Option<Uuid>) -> String {
        let (role, password) = (format!("analyst_{}", Uuid::new_v4().simple()), "analyst");
        admin.batch_execute(&format!("create role {role} login password '{password}'")).await.unwrap();
        let sql = "select nexus.bind_role($1::text::name, $2, $3)";
        admin.execute(sql, &[&role, &self.tenant_id, &environment_id]).await.unwrap();
        database.url_of(&role, password)
    }
}
