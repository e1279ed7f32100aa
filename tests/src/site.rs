//! A tenant at a gateway: what most tests over HTTP begin with.

use crate::cluster::Database;
use crate::gateway::{Gateway, admin};
use crate::shop::Webhook;
use crate::sink::Sink;
use crate::stream::Stream;
use crate::tenant::{Connector, Tenant};
use crate::wait::{eventually, until};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio_postgres::Client;
use uuid::Uuid;

/// A tenant with a Shopify connector and a key of all scopes, known to the gateway.
pub struct Site<'a> {
    /// The database.
    pub database: &'a Database,
    /// A session of the superuser.
    pub admin: Client,
    /// The tenant.
    pub tenant: Tenant,
    /// Its Shopify connector in prod.
    pub shop: Connector,
    /// A key for prod.
    pub api_key: String,
    base_url: String,
    log: PathBuf,
    http: reqwest::Client,
}

impl Drop for Site<'_> {
    /// A failure is often explained by what the gateway wrote last.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- the gateway's last lines:");
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, where it is JSON; else as a string.
    pub body: Value,
}

impl Answer {
    /// A member of the body that is a string; empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// A header's text; empty if it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A flow or a subscription, and what signs for it.
pub struct Signed {
    /// Its id.
    pub id: Uuid,
    /// `whsec_…`
    pub secret: String,
}

impl<'a> Site<'a> {
    /// Makes a tenant, and waits until the gateway knows it.
    pub async fn create(database: &'a Database, gateway: &Gateway) -> Self {
        let session = database.admin().await;
        let tenant = Tenant::create(&session).await;
        let shop = tenant.connector(&session, "shopify").await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (base_url, log, api_key) =
            (gateway.base_url.clone(), gateway.log_file().to_owned(), String::new());
        let mut site = Self { database, admin: session, tenant, shop, api_key, base_url, log, http };
        site.set_secret(&site.shop);
        site.api_key = site.key("prod", "read,write,admin").await;
        site
    }

    /// The same tenant at another gateway.
    pub fn move_to(&mut self, gateway: &Gateway) {
        self.base_url.clone_from(&gateway.base_url);
        self.log = gateway.log_file().to_owned();
    }

    /// Lets the gateway know what the connector's platform signs with.
    pub fn set_secret(&self, connector: &Connector) {
        let (tenant, owner) = (connector.tenant_id.to_string(), connector.connector_id.to_string());
        admin(self.database, &["set-secret", "--tenant", &tenant, "--owner", &owner], &connector.secret);
    }

    /// A new key that the gateway knows; with it, everything that was set up before.
    pub async fn key(&self, environment: &str, scopes: &str) -> String {
        let tenant = self.tenant.tenant_id.to_string();
        let arguments = ["create-key", "--tenant", &tenant, "--environment", environment, "--scopes", scopes];
        let key = admin(self.database, &arguments, "")["api_key"].as_str().unwrap().to_owned();
        // Any answer but 401 tells: a key without the scope is refused otherwise.
        until("the gateway knows a new key", async || self.get_as(&key, "/api/v1/flows").await.status != 401)
            .await;
        key
    }

    /// Waits until the gateway knows all that has been set up.
    pub async fn in_force(&self) {
        self.key("prod", "read").await;
    }

    /// Makes a flow in prod that sends orders to the sink, with these members in its definition beside.
    pub async fn flow(&self, execution_url: &str, members: Value) -> Signed {
        let mut definition = json!({ "kinds": ["sales_order"], "execution_url": execution_url });
        definition.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let (tenant, name) = (self.tenant.tenant_id.to_string(), Uuid::new_v4().to_string());
        let definition = definition.to_string();
        let arguments = ["create-flow", "--tenant", &tenant, "--name", &name, "--definition", &definition];
        let made = admin(self.database, &arguments, "");
        self.in_force().await;
        Signed { id: id_in(&made, "flow_id"), secret: made["secret"].as_str().unwrap().to_owned() }
    }

    /// Subscribes the sink's `/webhooks`.
    pub async fn subscribe(&self, sink: &Sink, event_types: &[&str]) -> Signed {
        let wanted = json!({ "url": sink.url("/webhooks"), "event_types": event_types });
        let made = self.post("/api/v1/portal/webhooks/subscribe", &wanted).await;
        assert_eq!(made.status, 201, "{made:?}");
        self.in_force().await;
        Signed { id: id_in(&made.body, "subscription_id"), secret: made.text("secret").to_owned() }
    }

    /// Sends a webhook to the site's shop, rightly signed.
    pub async fn send(&self, webhook: &Webhook) -> Answer {
        self.send_to(&self.shop, webhook, &self.shop.secret).await
    }

    /// Sends a webhook to a connector, signed with a secret.
    pub async fn send_to(&self, connector: &Connector, webhook: &Webhook, secret: &str) -> Answer {
        self.send_raw(&connector.connector_id.to_string(), &webhook.signed(connector, secret), &webhook.body)
            .await
    }

    /// Sends anything to `/hooks/{connector_id}`.
    pub async fn send_raw(&self, connector_id: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
        let mut request = self.request(Method::POST, &format!("/hooks/{connector_id}")).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        answer(request).await
    }

    /// GET with the site's key.
    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.api_key, path).await
    }

    /// GET with another key.
    pub async fn get_as(&self, api_key: &str, path: &str) -> Answer {
        answer(self.request(Method::GET, path).header("x-api-key", api_key)).await
    }

    /// POST of JSON with the site's key.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.request(Method::POST, path).header("x-api-key", &self.api_key).json(body)).await
    }

    /// Any method with another key and JSON.
    pub async fn call(&self, method: Method, path: &str, api_key: &str, body: &Value) -> Answer {
        answer(self.request(method, path).header("x-api-key", api_key).json(body)).await
    }

    /// Opens a stream with another key; the status if it is refused.
    pub async fn stream_as(&self, api_key: &str, query: &str) -> Result<Stream, u16> {
        Stream::open(&self.base_url, query, api_key).await
    }

    /// Opens a stream with the site's key.
    pub async fn stream(&self, query: &str) -> Stream {
        self.stream_as(&self.api_key, query).await.expect("a stream opens")
    }

    /// The tenant and its environment prod: where its events are.
    pub fn prod(&self) -> (Uuid, Uuid) {
        (self.tenant.tenant_id, self.tenant.prod)
    }

    /// A metric of the gateway, as `/metrics` names it.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = answer(self.request(Method::GET, "/metrics")).await;
        let text = metrics.body.as_str().expect("text");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// A request without a key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url))
    }

    /// The one job of an event, once it is in this state.
    pub async fn job(&self, event_id: &str, status: &str) -> Value {
        let path = format!("/api/v1/jobs?event_id={event_id}");
        let job_id = eventually(&format!("a job is {status}"), async || {
            let page = self.get(&path).await;
            assert_eq!(page.status, 200, "{page:?}");
            let jobs = page.body["data"].as_array().unwrap();
            assert!(jobs.len() <= 1, "{jobs:?}");
            let job = jobs.first()?;
            (job["status"] == status).then(|| job["job_id"].as_str().unwrap().to_owned())
        })
        .await;
        self.get(&format!("/api/v1/jobs/{job_id}")).await.body
    }

    /// A number that a query about the tenant gives.
    pub async fn count(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[&self.tenant.tenant_id]).await.unwrap().get(0)
    }
}

/// Sends a request and reads the answer.
pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("the gateway answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("the answer is whole");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

fn id_in(made: &Value, name: &str) -> Uuid {
    made[name].as_str().and_then(|id| id.parse().ok()).expect("an id")
}
