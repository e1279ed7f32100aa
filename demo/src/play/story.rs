//! Seven webhooks, and what came of them.

use super::connect;
use super::gateway::{Answer, Gateway};
use super::wait::eventually;
use crate::demo_file::{Connector, DemoFile, Environment};
use crate::shop::{self, Run, Webhook};
use crate::sink::Received;
use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Client;

/// The orders of acme's customer, the latest first.
pub const ORDERS: &str = "\
select o.order_number, k.connector_type as shop, o.order_status, o.financial_status, o.total_amount, o.currency
  from nexus.sales_order o
  join nexus.source_record r on (r.tenant_id, r.entity_id) = (o.tenant_id, o.sales_order_id)
  join nexus.connector k on (k.tenant_id, k.connector_id) = (r.tenant_id, r.connector_id)
 where lower(o.email) = 'sanne.devries@example.com'
 order by o.ordered_at desc limit 4";

/// What the same customer bought in all shops.
pub const CUSTOMER: &str = "\
select c.email_key, string_agg(distinct k.connector_type, ' + ' order by k.connector_type) as shops,
       count(*) as orders, sum(o.total_amount) as spent
  from nexus.customer c
  join nexus.sales_order o using (tenant_id, customer_id)
  join nexus.source_record r on (r.tenant_id, r.entity_id) = (o.tenant_id, o.sales_order_id)
  join nexus.connector k on (k.tenant_id, k.connector_id) = (r.tenant_id, r.connector_id)
 where c.email_key = 'sanne.devries@example.com'
 group by c.email_key";

/// One of the webhooks.
pub struct Act {
    /// Whose shop it claims to come from.
    pub tenant: &'static str,
    /// The platform.
    pub shop: &'static str,
    /// The platform's topic.
    pub topic: &'static str,
    /// What it is about, in words.
    pub about: String,
    /// What the gateway answered.
    pub answer: Answer,
    /// What Nexus made of it.
    pub result: String,
}

/// Rows as text, with the names of their columns.
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// All that the report tells.
pub struct Told {
    pub acts: Vec<Act>,
    /// By SQL as acme's analyst: the orders, and the customer.
    pub orders: Table,
    pub customer: Table,
    /// The same by SQL as globex's analyst.
    pub orders_for_globex: Table,
    pub globex_sees: i64,
    /// The first order's job, as the API shows it, and as the sink received it.
    pub job: Value,
    pub job_received: Received,
    /// The webhooks that the sink received of it.
    pub webhooks: Vec<Received>,
    /// The first order's trace.
    pub trace: Value,
}

/// What an answer must be, or the demo has failed.
struct Expected {
    status: u16,
    outcome: &'static str,
}

const ACCEPTED: Expected = Expected { status: 202, outcome: "accepted" };

/// Sends the webhooks and waits for what follows from them.
pub async fn tell(file: &DemoFile, gateway: &Gateway) -> Result<Told> {
    let (acme, globex) = (file.tenant("acme")?, file.tenant("globex")?);
    let (shopify, woocommerce) = (acme.connector("shopify")?, acme.connector("woocommerce")?);
    let prod = &acme.environments.prod;
    let analyst = connect(&acme.sql_url).await.context("acme_analyst cannot log in")?;
    let other_analyst = connect(&globex.sql_url).await.context("globex_analyst cannot log in")?;
    let run = Run { at: Timestamp::now() };
    let number = run.order_number(0);
    let mut stage = Stage { gateway, acts: Vec::new() };

    let paid = to_shopify(shopify, "orders/updated", shop::shopify_order_paid(run).to_string().into_bytes())?;
    let about = format!("order #{number} has been paid; that it was placed is not known yet");
    let first = stage.send(shopify, &paid, about, &ACCEPTED, Some(prod)).await?;

    let placed =
        to_shopify(shopify, "orders/create", shop::shopify_order_placed(run).to_string().into_bytes())?;
    let about = format!("order #{number} is placed: late, and older than what is known");
    stage.send(shopify, &placed, about, &ACCEPTED, Some(prod)).await?;

    let duplicate = Expected { status: 200, outcome: "duplicate" };
    stage.send(shopify, &paid, "the first delivery once more".to_owned(), &duplicate, None).await?;

    let body = shop::shopify_order_paid(run).to_string().replace("129.80", "0.01").into_bytes();
    let forged = shop::shopify("acme.myshopify.com", "orders/updated", body, "a guessed secret")?;
    let about = format!("order #{number} for 0.01, signed with a guessed secret");
    stage.send(shopify, &forged, about, &Expected { status: 401, outcome: "NX301" }, None).await?;
    stage.result(format!("{} events were recorded of it", events_of(&analyst, &forged).await?));

    let broken = to_shopify(shopify, "orders/updated", br#"{"id": 1, "line_items": ["#.to_vec())?;
    let quarantined = Expected { status: 202, outcome: "quarantined" };
    let about = "rightly signed, but cut off in the middle".to_owned();
    stage.send(shopify, &broken, about, &quarantined, Some(prod)).await?;

    let body = shop::woocommerce_order(run).to_string().into_bytes();
    let bought =
        shop::woocommerce("https://outlet.acme.example", "order.created", body, &woocommerce.secret)?;
    let about = format!("order {}: the same customer buys in the other shop", run.order_number(2));
    let second = stage.send(woocommerce, &bought, about, &ACCEPTED, Some(prod)).await?;

    let store = globex.connector("shopify")?;
    let body = shop::globex_order(run).to_string().into_bytes();
    let sold = shop::shopify("globex.myshopify.com", "orders/create", body, &store.secret)?;
    let about = format!("order #{}: another tenant, in the same database", run.order_number(1));
    stage.send_as("globex", store, &sold, about, &ACCEPTED, Some(&globex.environments.prod)).await?;

    let job = finished_job(gateway, prod, &first).await?;
    finished_job(gateway, prod, &second).await?;
    let trace_id = text(&first.body, "trace_id")?;
    let webhooks = webhooks_of(file, gateway, &analyst, trace_id).await?;
    let job_id = text(&job, "job_id")?;
    let received = gateway.received(&file.sink_url).await?;
    let of_job = |received: &Received| received.path == "/jobs/callback" && received.body["job_id"] == job_id;
    let job_received = received.into_iter().find(of_job).context("the sink does not list the job")?;
    for received in webhooks.iter().chain([&job_received]) {
        if received.is_verified != Some(true) {
            bail!("what came to {} is not signed with the secret that was agreed on", received.path);
        }
    }
    Ok(Told {
        orders: query(&analyst, ORDERS).await?,
        customer: query(&analyst, CUSTOMER).await?,
        orders_for_globex: query(&other_analyst, ORDERS).await?,
        globex_sees: other_analyst
            .query_one("select count(*) from nexus.sales_order", &[])
            .await?
            .try_get(0)?,
        trace: gateway.get(&format!("/api/v1/traces/{trace_id}"), &prod.api_key).await?,
        acts: stage.acts,
        job,
        job_received,
        webhooks,
    })
}

fn to_shopify(connector: &Connector, topic: &'static str, body: Vec<u8>) -> Result<Webhook> {
    shop::shopify("acme.myshopify.com", topic, body, &connector.secret)
}

/// Where the acts are played.
struct Stage<'a> {
    gateway: &'a Gateway,
    acts: Vec<Act>,
}

impl Stage<'_> {
    async fn send(
        &mut self,
        connector: &Connector,
        webhook: &Webhook,
        about: String,
        expected: &Expected,
        reader: Option<&Environment>,
    ) -> Result<Answer> {
        self.send_as("acme", connector, webhook, about, expected, reader).await
    }

    /// Sends a webhook and looks what became of its event, with the reader's key.
    async fn send_as(
        &mut self,
        tenant: &'static str,
        connector: &Connector,
        webhook: &Webhook,
        about: String,
        expected: &Expected,
        reader: Option<&Environment>,
    ) -> Result<Answer> {
        let answer =
            self.gateway.send(&connector.hook_url, webhook).await.context("the gateway does not answer")?;
        let outcome = answer.outcome();
        if answer.status.as_u16() != expected.status || outcome != expected.outcome {
            bail!(
                "a webhook ({about}) was answered {} {}; it should have been {} {}",
                answer.status.as_u16(),
                answer.body,
                expected.status,
                expected.outcome
            );
        }
        let result = match reader {
            Some(environment) => {
                let path = format!("/api/v1/events/{}", text(&answer.body, "event_id")?);
                result_of(&self.gateway.get(&path, &environment.api_key).await?)
            }
            None => {
                answer.body["duplicate_of"].as_str().map(|id| format!("of event {id}")).unwrap_or_default()
            }
        };
        let shop = if connector.connector_type == "shopify" { "shopify" } else { "woocommerce" };
        self.acts.push(Act { tenant, shop, topic: webhook.topic, about, answer: answer.clone(), result });
        Ok(answer)
    }

    /// Says what came of the last act.
    fn result(&mut self, result: String) {
        if let Some(act) = self.acts.last_mut() {
            act.result = result;
        }
    }
}

/// What an event led to, in a line.
fn result_of(event: &Value) -> String {
    if let Some(reason) = event["reason"].as_str() {
        return reason.to_owned();
    }
    let documents = event["outcome"]["documents"].as_array();
    let mut parts: Vec<String> = documents
        .into_iter()
        .flatten()
        .map(|document| {
            let kind = document["kind"].as_str().unwrap_or("?").trim_start_matches("sales_");
            format!("{kind} {}", document["result"].as_str().unwrap_or("?"))
        })
        .collect();
    parts.push(match event["outcome"]["no_job"].as_str() {
        Some(reason) => format!("no job ({})", reason.split(':').next().unwrap_or(reason)),
        None => "a job queued".to_owned(),
    });
    parts.join(", ")
}

/// How many events there are of a Shopify delivery.
async fn events_of(analyst: &Client, webhook: &Webhook) -> Result<i64> {
    let delivery = webhook.headers.iter().find(|(name, _)| name == "x-shopify-webhook-id");
    let delivery = delivery.map(|(_, id)| id.as_str()).unwrap_or_default();
    let count = "select count(*) from nexus.event e where e.delivery_key = $1";
    Ok(analyst.query_one(count, &[&delivery]).await?.try_get(0)?)
}

/// The job of an event, once it has succeeded.
async fn finished_job(gateway: &Gateway, environment: &Environment, answer: &Answer) -> Result<Value> {
    let path = format!("/api/v1/jobs?event_id={}", text(&answer.body, "event_id")?);
    let job_id = eventually("the job of an order succeeded after its callback", async || {
        let page = gateway.get(&path, &environment.api_key).await?;
        let job = &page["data"][0];
        match job["status"].as_str() {
            Some("succeeded") => Ok(Some(text(job, "job_id")?.to_owned())),
            Some("failed" | "dead" | "cancelled") => bail!("a job ended as it should not have: {job}"),
            _ => Ok(None),
        }
    })
    .await?;
    gateway.get(&format!("/api/v1/jobs/{job_id}"), &environment.api_key).await
}

/// What the sink received of a trace's domain events, once it has received all that were subscribed to.
async fn webhooks_of(
    file: &DemoFile,
    gateway: &Gateway,
    analyst: &Client,
    trace_id: &str,
) -> Result<Vec<Received>> {
    let emitted = "select v.domain_event_id::text from nexus.domain_event v
                   where v.trace_id = $1 and (v.event_type like 'order.%' or v.event_type like 'customer.%')";
    let rows = analyst.query(emitted, &[&trace_id]).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if ids.is_empty() {
        bail!("the first order caused no domain event");
    }
    eventually("the subscriber received every domain event of the first order", async || {
        let received = gateway.received(&file.sink_url).await?;
        let of_trace: Vec<Received> = received
            .into_iter()
            .filter(|received| received.path == "/webhooks")
            .filter(|received| ids.iter().any(|id| received.body["id"] == id.as_str()))
            .collect();
        Ok((of_trace.len() >= ids.len()).then_some(of_trace))
    })
    .await
}

/// Runs a query and reads everything as text.
async fn query(client: &Client, sql: &str) -> Result<Table> {
    use tokio_postgres::SimpleQueryMessage::{Row, RowDescription};
    let mut table = Table { columns: Vec::new(), rows: Vec::new() };
    for message in client.simple_query(sql).await? {
        match message {
            RowDescription(columns) => {
                table.columns = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            Row(row) => {
                table
                    .rows
                    .push((0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect());
            }
            _ => {}
        }
    }
    Ok(table)
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name].as_str().with_context(|| format!("the gateway's answer has no {name}: {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_events_outcome_is_told_in_a_line() {
        let documents = json!([{"kind": "customer", "result": "unchanged"}, {"kind": "sales_order", "result": "created"}]);
        let accepted = json!({ "outcome": { "documents": documents } });
        assert_eq!(result_of(&accepted), "customer unchanged, order created, a job queued");
        let stale = json!({ "outcome": { "documents": [], "no_job": "nothing changed: it was known" } });
        assert_eq!(result_of(&stale), "no job (nothing changed)");
        assert_eq!(result_of(&json!({ "reason": "not JSON" })), "not JSON");
    }
}
