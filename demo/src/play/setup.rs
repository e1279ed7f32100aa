//! Two tenants that share a database: what an operator would set up for them, once.

use super::Surroundings;
use super::admin::Admin;
use super::gateway::Gateway;
use super::wait::eventually;
use crate::demo_file::{Connector, DemoFile, Environment, Environments, Flow, Subscription, Tenant};
use anyhow::{Context as _, Result};
use nexus_core::envelope::signing_secret;
use nexus_core::routing::SignatureVersion;
use postgres_protocol::password::scram_sha_256;
use serde_json::{Value, json};
use tokio_postgres::Client;
use url::Url;
use uuid::Uuid;

/// A shop to connect.
struct Shop {
    connector_type: &'static str,
    name: &'static str,
    settings: &'static str,
}

/// A tenant to set up.
struct Plan {
    slug: &'static str,
    name: &'static str,
    shops: &'static [Shop],
    /// Whether jobs and webhooks go to the sink.
    delivers: bool,
}

const PLANS: [Plan; 2] = [
    Plan {
        slug: "acme",
        name: "Acme",
        shops: &[
            Shop {
                connector_type: "shopify",
                name: "Webshop",
                settings: r#"{ "shop": "acme.myshopify.com", "currency": "EUR", "prices_include_tax": true }"#,
            },
            Shop {
                connector_type: "woocommerce",
                name: "Outlet",
                settings: r#"{ "site": "https://outlet.acme.example", "currency": "EUR", "timezone": "Europe/Amsterdam" }"#,
            },
        ],
        delivers: true,
    },
    Plan {
        slug: "globex",
        name: "Globex",
        shops: &[Shop {
            connector_type: "shopify",
            name: "Store",
            settings: r#"{ "shop": "globex.myshopify.com", "currency": "USD", "prices_include_tax": false }"#,
        }],
        delivers: false,
    },
];

const FLOW: &str = "orders-to-erp";
const SUBSCRIPTION: &str = "demo sink";

/// Makes what is missing, and takes over what an earlier run has made.
pub async fn set_up(
    surroundings: &Surroundings,
    admin: &Admin,
    gateway: &Gateway,
    database: &Client,
) -> Result<DemoFile> {
    let earlier = DemoFile::read(&surroundings.demo_file);
    let mut tenants = Vec::new();
    for plan in &PLANS {
        let made = earlier.as_ref().and_then(|file| file.tenant(plan.slug).ok());
        let setup = Setup { plan, surroundings, admin, gateway, database };
        tenants.push(match made {
            Some(tenant) if setup.is_in_force(tenant).await? => setup.take_over(tenant).await?,
            _ => setup.make().await?,
        });
    }
    // The gateway learns of what is new within a second, all of it at once: when it knows the key that was
    // made last, it knows everything.
    let last = tenants.last().map(|tenant| tenant.environments.dev.api_key.clone()).unwrap_or_default();
    eventually("the gateway knows the keys that were made", async || {
        Ok(gateway.accepts(&last).await?.then_some(()))
    })
    .await?;
    Ok(DemoFile {
        base_url: surroundings.base_url(),
        admin_database_url: surroundings.admin_database_url.clone(),
        platform_key: surroundings.platform_key.clone(),
        sink_url: surroundings.sink_url(),
        tenants,
    })
}

/// The setting up of one tenant.
struct Setup<'a> {
    plan: &'a Plan,
    surroundings: &'a Surroundings,
    admin: &'a Admin,
    gateway: &'a Gateway,
    database: &'a Client,
}

impl Setup<'_> {
    /// Whether an earlier run made this tenant in this very cluster, and all of it is there.
    async fn is_in_force(&self, tenant: &Tenant) -> Result<bool> {
        let standing = "select (select count(*) from nexus.connector c
                                where c.tenant_id = $1 and c.is_active and c.connector_id = any ($2))
                             + (select count(*) from nexus.flow f where f.tenant_id = $1 and f.is_active and f.flow_id = any ($2))
                             + (select count(*) from nexus.webhook_subscription s
                                where s.tenant_id = $1 and s.status = 'active' and s.webhook_subscription_id = any ($2))";
        let mut ids: Vec<Uuid> = tenant.connectors.iter().map(|connector| connector.connector_id).collect();
        ids.extend(tenant.flows.iter().map(|flow| flow.flow_id));
        ids.extend(tenant.subscriptions.iter().map(|subscription| subscription.subscription_id));
        let found: i64 = self.database.query_one(standing, &[&tenant.tenant_id, &ids]).await?.try_get(0)?;
        let planned = self.plan.shops.len() + if self.plan.delivers { 2 } else { 0 };
        if usize::try_from(found) != Ok(planned) {
            return Ok(false);
        }
        for (_, environment) in tenant.environments.iter() {
            if !self.gateway.accepts(&environment.api_key).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What an earlier run made, at the addresses of this run.
    async fn take_over(&self, tenant: &Tenant) -> Result<Tenant> {
        let mut tenant = tenant.clone();
        for connector in &mut tenant.connectors {
            connector.hook_url = self.hook_url(connector.connector_id);
        }
        tenant.sql_url = self.set_login(&tenant).await?;
        self.point_at_sink(tenant.tenant_id).await?;
        Ok(tenant)
    }

    async fn make(&self) -> Result<Tenant> {
        let tenant_id = self.tenant().await?;
        let mut connectors = Vec::new();
        for shop in self.plan.shops {
            connectors.push(self.connector(tenant_id, shop).await?);
        }
        let (mut flows, mut subscriptions) = (Vec::new(), Vec::new());
        if self.plan.delivers {
            flows.push(self.flow(tenant_id).await?);
            subscriptions.push(self.subscription(tenant_id).await?);
            self.point_at_sink(tenant_id).await?;
        }
        let environments = Environments {
            prod: self.environment(tenant_id, "prod").await?,
            test: self.environment(tenant_id, "test").await?,
            dev: self.environment(tenant_id, "dev").await?,
        };
        let slug = self.plan.slug.to_owned();
        let mut tenant = Tenant {
            slug,
            tenant_id,
            environments,
            connectors,
            flows,
            subscriptions,
            sql_url: String::new(),
        };
        tenant.sql_url = self.set_login(&tenant).await?;
        Ok(tenant)
    }

    async fn tenant(&self) -> Result<Uuid> {
        let standing = "select t.tenant_id from nexus.tenant t where t.slug = $1";
        if let Some(row) = self.database.query_opt(standing, &[&self.plan.slug]).await? {
            return Ok(row.try_get(0)?);
        }
        let made = self.admin.run(&["create-tenant", self.plan.slug, "--name", self.plan.name]).await?;
        id_in(&made, "tenant_id")
    }

    /// A connector, with a new secret: nobody can tell what the former one was.
    async fn connector(&self, tenant_id: Uuid, shop: &Shop) -> Result<Connector> {
        let standing = "select c.connector_id from nexus.connector c join nexus.environment e using (tenant_id, environment_id)
                        where c.tenant_id = $1 and e.name = 'prod' and c.name = $2";
        let connector_id = match self.database.query_opt(standing, &[&tenant_id, &shop.name]).await? {
            Some(row) => row.try_get(0)?,
            None => {
                let arguments = [
                    "create-connector",
                    "--tenant",
                    &tenant_id.to_string(),
                    "--type",
                    shop.connector_type,
                    "--name",
                    shop.name,
                    "--settings",
                    shop.settings,
                ];
                id_in(&self.admin.run(&arguments).await?, "connector_id")?
            }
        };
        let secret = format!("shpss_{}", hex::encode(random::<16>()?));
        self.set_secret(tenant_id, "connector", connector_id, &secret).await?;
        Ok(Connector {
            connector_id,
            connector_type: shop.connector_type.to_owned(),
            environment: "prod".to_owned(),
            hook_url: self.hook_url(connector_id),
            secret,
        })
    }

    async fn flow(&self, tenant_id: Uuid) -> Result<Flow> {
        let standing =
            "select f.flow_id from nexus.flow f join nexus.environment e using (tenant_id, environment_id)
                        where f.tenant_id = $1 and e.name = 'prod' and f.name = $2";
        if let Some(row) = self.database.query_opt(standing, &[&tenant_id, &FLOW]).await? {
            let (flow_id, secret) = (row.try_get(0)?, signing_secret(SignatureVersion::V1, random()?));
            self.set_secret(tenant_id, "flow", flow_id, &secret).await?;
            return Ok(Flow { flow_id, secret });
        }
        let definition = json!({
            "kinds": ["sales_order"],
            "execution_url": self.job_url(),
            "retry": { "delays_seconds": [2, 10, 60] },
            "callback_timeout_seconds": 60,
        });
        let arguments = [
            "create-flow",
            "--tenant",
            &tenant_id.to_string(),
            "--name",
            FLOW,
            "--definition",
            &definition.to_string(),
        ];
        let made = self.admin.run(&arguments).await?;
        Ok(Flow { flow_id: id_in(&made, "flow_id")?, secret: text_in(&made, "secret")? })
    }

    async fn subscription(&self, tenant_id: Uuid) -> Result<Subscription> {
        let standing = "select s.webhook_subscription_id from nexus.webhook_subscription s
                        where s.tenant_id = $1 and s.description = $2 and s.status = 'active'
                        order by s.created_at limit 1";
        if let Some(row) = self.database.query_opt(standing, &[&tenant_id, &SUBSCRIPTION]).await? {
            let (subscription_id, secret) =
                (row.try_get(0)?, signing_secret(SignatureVersion::V1, random()?));
            self.set_secret(tenant_id, "subscription", subscription_id, &secret).await?;
            return Ok(Subscription { subscription_id, secret });
        }
        let arguments = [
            "create-subscription",
            "--tenant",
            &tenant_id.to_string(),
            "--url",
            &self.webhook_url(),
            "--event-types",
            "order.*,customer.*",
            "--description",
            SUBSCRIPTION,
        ];
        let made = self.admin.run(&arguments).await?;
        Ok(Subscription {
            subscription_id: id_in(&made, "subscription_id")?,
            secret: text_in(&made, "secret")?,
        })
    }

    /// The sink has another port on every start.
    async fn point_at_sink(&self, tenant_id: Uuid) -> Result<()> {
        let flow = "update nexus.flow f set definition = f.definition || jsonb_build_object('execution_url', $3::text), updated_at = now()
                    where f.tenant_id = $1 and f.name = $2 and f.definition ->> 'execution_url' <> $3";
        self.database.execute(flow, &[&tenant_id, &FLOW, &self.job_url()]).await?;
        let subscription = "update nexus.webhook_subscription s set url = $3, updated_at = now()
                            where s.tenant_id = $1 and s.description = $2 and s.url <> $3";
        self.database.execute(subscription, &[&tenant_id, &SUBSCRIPTION, &self.webhook_url()]).await?;
        Ok(())
    }

    async fn environment(&self, tenant_id: Uuid, name: &str) -> Result<Environment> {
        let arguments = [
            "create-key",
            "--tenant",
            &tenant_id.to_string(),
            "--environment",
            name,
            "--scopes",
            "read,write,admin",
            "--name",
            "demo",
        ];
        let api_key = text_in(&self.admin.run(&arguments).await?, "api_key")?;
        let id = "select e.environment_id from nexus.environment e where e.tenant_id = $1 and e.name = $2";
        let environment_id = self.database.query_one(id, &[&tenant_id, &name]).await?.try_get(0)?;
        Ok(Environment { environment_id, api_key })
    }

    /// The tenant's SQL login, with the password that the file holds or a new one; its URL.
    async fn set_login(&self, tenant: &Tenant) -> Result<String> {
        let role = format!("{}_analyst", tenant.slug);
        let known = Url::parse(&tenant.sql_url).ok().and_then(|url| url.password().map(str::to_owned));
        let password = match known {
            Some(password) => password,
            None => hex::encode(random::<16>()?),
        };
        // The server gets a verifier: the password is in no statement log.
        let quoted = "select format('create role %I login', $1::text), format('alter role %I password %L', $1::text, $2::text),
                             exists (select from pg_catalog.pg_roles where rolname = $1)";
        let row = self.database.query_one(quoted, &[&role, &scram_sha_256(password.as_bytes())]).await?;
        let (create, set_password, exists): (String, String, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if !exists {
            self.database.batch_execute(&create).await?;
        }
        self.database.batch_execute(&set_password).await?;
        let bound =
            "select exists (select from nexus.role_binding b where b.role_name = $1 and b.tenant_id = $2)";
        if !self.database.query_one(bound, &[&role, &tenant.tenant_id]).await?.try_get::<_, bool>(0)? {
            self.admin
                .run(&["bind-role", "--role", &role, "--tenant", &tenant.tenant_id.to_string()])
                .await?;
        }
        let mut url =
            Url::parse(&self.surroundings.admin_database_url).context("the admin database URL is no URL")?;
        let set = url.set_username(&role).and_then(|()| url.set_password(Some(&password)));
        set.map_err(|()| anyhow::anyhow!("the admin database URL names no host"))?;
        Ok(url.into())
    }

    async fn set_secret(&self, tenant_id: Uuid, owner_kind: &str, owner: Uuid, secret: &str) -> Result<()> {
        let arguments = [
            "set-secret",
            "--tenant",
            &tenant_id.to_string(),
            "--owner-kind",
            owner_kind,
            "--owner",
            &owner.to_string(),
        ];
        self.admin.run_with(&arguments, secret).await.map(drop)
    }

    fn hook_url(&self, connector_id: Uuid) -> String {
        format!("{}/hooks/{connector_id}", self.surroundings.base_url())
    }

    fn job_url(&self) -> String {
        format!("{}/jobs/callback", self.surroundings.sink_url())
    }

    fn webhook_url(&self) -> String {
        format!("{}/webhooks", self.surroundings.sink_url())
    }
}

fn id_in(made: &Value, name: &str) -> Result<Uuid> {
    text_in(made, name)?.parse().with_context(|| format!("{name} is no id: {made}"))
}

fn text_in(made: &Value, name: &str) -> Result<String> {
    made[name].as_str().map(str::to_owned).with_context(|| format!("nexus admin printed no {name}"))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(bytes)
}
