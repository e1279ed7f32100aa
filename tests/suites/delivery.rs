//! Stage 5, over HTTP: jobs and webhooks go out signed, come back, are tried again, and end.

use crate::site;
use nexus_tests::cluster::{SHARED, free_port};
use nexus_tests::gateway::Gateway;
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::{Site, answer};
use nexus_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

fn order(id: i64) -> Webhook {
    shopify("orders/create", &shopify_order(id, minute(1)), minute(1))
}

/// Sends an order, whose job follows; the event's id.
async fn order_event(site: &Site<'_>) -> String {
    let answer = site.send(&order(fresh_id())).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.text("event_id").to_owned()
}

/// What the attempts of a job were: number and outcome.
fn attempts(job: &Value) -> Vec<(i64, &str)> {
    let attempts = job["attempts"].as_array().unwrap();
    attempts.iter().map(|a| (a["attempt"].as_i64().unwrap(), a["outcome"].as_str().unwrap())).collect()
}

fn callback_of(job: &Value, status: &str) -> (String, Value) {
    let path = job["callback_url"].as_str().unwrap().split_once("/api/").unwrap().1;
    let report = json!({
        "callback_token": job["callback_token"], "status": status, "duration_ms": 12,
        "transformed_output": { "booking": "SO-1" }, "error_code": "OUT_OF_STOCK", "error": "no mugs left",
    });
    (format!("/api/{path}"), report)
}

#[tokio::test]
async fn a_job_goes_out_signed_and_ends_by_its_callback() {
    let (site, sink) = (site().await, Sink::start().await);
    let flow = site.flow(&sink.url("/jobs"), json!({})).await;
    sink.answer("/jobs", Reply::status(202));
    let id = fresh_id();
    let sent = site.send(&order(id)).await;
    let (event_id, trace_id) = (sent.text("event_id"), sent.text("trace_id"));

    let received = sink.wait_for("/jobs", 1).await.remove(0);
    assert!(received.is_signed_with(&flow.secret), "{received:?}");
    assert!(received.header("traceparent").contains(trace_id), "{received:?}");
    let body = received.json();
    for (name, value) in [
        ("tenant_id", json!(site.tenant.tenant_id)),
        ("environment", json!("prod")),
        ("flow_id", json!(flow.id)),
        ("event_id", json!(event_id)),
        ("trace_id", json!(trace_id)),
        ("attempt", json!(1)),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    let orders = site.get(&format!("/api/v1/nexus/orders?order_number={id}")).await;
    let entity = json!({ "kind": "sales_order", "entity_id": orders.body["data"][0]["sales_order_id"] });
    assert_eq!(body["entity"], entity);
    assert_eq!(body["normalized_payload"]["total_amount"], "139.80");
    assert_eq!(body["normalized_payload"]["lines"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        body["callback_url"],
        format!("{}/api/v1/jobs/{}/callback", crate::GATEWAY.1.base_url, body["job_id"].as_str().unwrap())
    );
    let waiting = site.job(event_id, "awaiting_callback").await;
    assert_eq!(waiting["job_id"], body["job_id"]);

    let (path, report) = callback_of(&body, "succeeded");
    for token in [
        json!(null),
        json!(""),
        json!("cb_AAAA"),
        json!(format!("{}A", body["callback_token"].as_str().unwrap())),
    ] {
        let mut forged = report.clone();
        forged["callback_token"] = token;
        let answer = site.post(&path, &forged).await;
        assert_eq!((answer.status, answer.text("code")), (401, "NX303"), "{answer:?}");
    }
    let taken = site.post(&path, &report).await;
    assert_eq!((taken.status, taken.text("status")), (200, "succeeded"), "{taken:?}");
    let used = site.post(&path, &report).await;
    assert_eq!(used.status, 409, "{used:?}");

    let job = site.job(event_id, "succeeded").await;
    assert_eq!(job["result"], json!({ "duration_ms": 12, "transformed_output": { "booking": "SO-1" } }));
    assert_eq!(attempts(&job), [(1, "awaiting_callback")]);
    assert_eq!(
        site.count("select count(*) from nexus.delivery where tenant_id = $1").await,
        0,
        "the queue is empty"
    );

    let trace = site.get(&format!("/api/v1/traces/{trace_id}")).await;
    let steps = trace.body["steps"].as_array().unwrap();
    let told: Vec<(&str, &str)> = steps
        .iter()
        .map(|step| (step["stage"].as_str().unwrap(), step["outcome"].as_str().unwrap()))
        .collect();
    for step in [
        ("validate", "verified"),
        ("normalize", "normalized"),
        ("deduplicate", "new"),
        ("create", "created"),
        ("create", "emitted"),
        ("create", "queued"),
        ("dispatch", "awaiting_callback"),
        ("dispatch", "job.callback"),
        ("log", "succeeded"),
    ] {
        assert!(told.contains(&step), "{step:?} is not in {told:?}");
    }
    assert_eq!((told.first(), told.last()), (Some(&("validate", "verified")), Some(&("log", "succeeded"))));
}

#[tokio::test]
async fn a_job_answered_at_once_has_succeeded() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({})).await;
    sink.answer("/jobs", Reply::json(200, &json!({ "booking": "SO-2" })));
    let job = site.job(&order_event(&site).await, "succeeded").await;
    assert_eq!((attempts(&job), &job["result"]), (vec![(1, "succeeded")], &json!({ "booking": "SO-2" })));
}

#[tokio::test]
async fn a_callback_may_report_a_failure() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({})).await;
    sink.answer("/jobs", Reply::status(202));
    let event_id = order_event(&site).await;
    let body = sink.wait_for("/jobs", 1).await[0].json();
    let (path, report) = callback_of(&body, "failed");
    // Callbacks also answer without the version in their path.
    let taken = site.post(&path.replace("/api/v1/", "/api/"), &report).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    let job = site.job(&event_id, "failed").await;
    assert_eq!((&job["error_code"], &job["error"]), (&json!("OUT_OF_STOCK"), &json!("no mugs left")));
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_under_the_same_id() {
    let (site, sink) = (site().await, Sink::start().await);
    let flow = site.flow(&sink.url("/jobs"), json!({ "retry": { "delays_seconds": [0, 0] } })).await;
    sink.answer("/jobs", Reply::status(500));
    sink.answer("/jobs", Reply::status(429));
    let job = site.job(&order_event(&site).await, "succeeded").await;
    assert_eq!(attempts(&job), [(1, "retry"), (2, "retry"), (3, "succeeded")]);
    let received = sink.received("/jobs");
    let ids: Vec<&str> = received.iter().map(|received| received.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| !id.is_empty() && *id == ids[0]), "{ids:?}");
    let numbers: Vec<Value> = received.iter().map(|received| received.json()["attempt"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(received.iter().all(|received| received.is_signed_with(&flow.secret)));
}

#[tokio::test]
async fn a_callback_that_never_comes_is_another_attempt() {
    let (site, sink) = (site().await, Sink::start().await);
    let members = json!({ "callback_timeout_seconds": 1, "retry": { "delays_seconds": [0] } });
    site.flow(&sink.url("/jobs"), members).await;
    sink.answer("/jobs", Reply::status(202));
    let job = site.job(&order_event(&site).await, "succeeded").await;
    assert_eq!(attempts(&job), [(1, "awaiting_callback"), (1, "retry"), (2, "succeeded")]);
    assert_eq!(job["attempts"][1]["error_class"], "callback_timeout");
}

#[tokio::test]
async fn what_sql_takes_in_is_delivered_too() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({})).await;
    let taken = nexus_tests::ingest::accept(&site.admin, &site.shop, &order(fresh_id())).await;
    site.job(&taken.event().to_string(), "succeeded").await;
    assert_eq!(sink.received("/jobs").len(), 1);
}

#[tokio::test]
async fn attempts_come_to_an_end() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({ "retry": { "delays_seconds": [0] } })).await;
    sink.answer("/jobs", Reply::status(500));
    sink.answer("/jobs", Reply::status(503));
    let job = site.job(&order_event(&site).await, "dead").await;
    assert_eq!(attempts(&job), [(1, "retry"), (2, "dead")]);
}

#[tokio::test]
async fn a_permanent_error_is_not_tried_again() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({ "permanent_error_codes": ["SKU_NOT_FOUND"] })).await;
    for reply in [Reply::status(422), Reply::json(503, &json!({ "error_code": "SKU_NOT_FOUND" }))] {
        sink.answer("/jobs", reply);
        let job = site.job(&order_event(&site).await, "dead").await;
        assert_eq!(attempts(&job), [(1, "dead")]);
    }
}

#[tokio::test]
async fn a_destination_that_does_not_answer_is_logged_by_its_kind() {
    let site = site().await;
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    site.flow(&nobody, json!({ "retry": { "delays_seconds": [] } })).await;
    let job = site.job(&order_event(&site).await, "dead").await;
    let attempt = &job["attempts"][0];
    assert_eq!(
        (&attempt["error_class"], &attempt["status_code"]),
        (&json!("connect"), &Value::Null),
        "{job}"
    );
}

#[tokio::test]
async fn subscribers_hear_of_what_they_asked_for() {
    let (site, sink) = (site().await, Sink::start().await);
    let subscription = site.subscribe(&sink, &["order.*", "customer.created"]).await;
    let id = fresh_id();
    let sent = site.send(&order(id)).await;
    let mut received = sink.wait_for("/webhooks", 2).await;
    received.sort_by_key(|received| received.json()["type"].to_string());
    let types: Vec<Value> = received.iter().map(|received| received.json()["type"].clone()).collect();
    assert_eq!(types, ["customer.created", "order.created"]);
    assert!(received.iter().all(|received| received.is_signed_with(&subscription.secret)));
    let envelope = received[1].json();
    for (name, value) in [
        ("schema_version", json!(1)),
        ("entity_version", json!(1)),
        ("tenant_id", json!(site.tenant.tenant_id)),
        ("environment", json!("prod")),
        ("trace_id", json!(sent.text("trace_id"))),
    ] {
        assert_eq!(envelope[name], value, "{name}");
    }
    assert_eq!(
        (&envelope["data"]["order_number"], &envelope["data"]["total_amount"]),
        (&json!(format!("#{id}")), &json!("139.80"))
    );
    assert!(envelope["changed"].as_array().unwrap().contains(&json!("total_amount")), "{envelope}");
    assert!(["id", "dedupe_key", "timestamp"].iter().all(|name| envelope[name].is_string()), "{envelope}");

    let mut paid = shopify_order(id, minute(5));
    paid["financial_status"] = json!("paid");
    site.send(&shopify("orders/paid", &paid, minute(5))).await;
    let update = sink.wait_for("/webhooks", 3).await[2].json();
    assert_eq!((&update["type"], &update["entity_version"]), (&json!("order.updated"), &json!(2)));
    assert_eq!(update["changed"], json!(["financial_status", "source_status"]));
    let logged = format!("/api/v1/integrations/webhooks?subscription_id={}", subscription.id);
    until("all three deliveries are logged", async || {
        let page = site.get(&logged).await;
        let log = page.body["data"].as_array().unwrap();
        log.iter().filter(|attempt| attempt["outcome"] == "succeeded").count() == 3
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_job_is_an_event() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({})).await;
    site.subscribe(&sink, &["job.*"]).await;
    let event_id = order_event(&site).await;
    let envelope = sink.wait_for("/webhooks", 1).await[0].json();
    let job = site.job(&event_id, "succeeded").await;
    assert_eq!((&envelope["type"], &envelope["data"]["job_id"]), (&json!("job.succeeded"), &job["job_id"]));
}

#[tokio::test]
async fn inner_addresses_are_not_delivered_to() {
    let database = SHARED.database();
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_ALLOW_PRIVATE_TARGETS", "")]);
    let site = Site::create(&database, &gateway).await;
    let sink = Sink::start().await;
    site.flow(&sink.url("/jobs"), json!({})).await;
    let job = site.job(&order_event(&site).await, "dead").await;
    assert_eq!(job["attempts"][0]["error_class"], "ssrf", "{job}");
    assert!(sink.received("/jobs").is_empty());
}

/// At least once: the worker dies after it has sent and before it has told anyone.
#[tokio::test]
async fn a_delivery_survives_the_death_of_its_gateway() {
    let database = SHARED.database();
    let mut first = Gateway::start(&database);
    let mut site = Site::create(&database, &first).await;
    let sink = Sink::start().await;
    let flow = site.flow(&sink.url("/jobs"), json!({})).await;
    let (never_answered, _gate) = Reply::status(200).held();
    sink.answer("/jobs", never_answered);
    let event_id = order_event(&site).await;
    let before = sink.wait_for("/jobs", 1).await.remove(0);
    first.kill();

    // The lease is the dead worker's until it runs out; a minute later, that is.
    let held = "select count(*) from nexus.delivery where tenant_id = $1 and leased_until > now()";
    assert_eq!(site.count(held).await, 1);
    let expire = "update nexus.delivery set leased_until = now() - interval '1 second' where tenant_id = $1";
    site.admin.execute(expire, &[&site.tenant.tenant_id]).await.unwrap();
    let second = Gateway::start(&database);
    site.move_to(&second);

    let after = sink.wait_for("/jobs", 2).await.remove(1);
    let job = site.job(&event_id, "succeeded").await;
    assert_eq!(attempts(&job), [(2, "succeeded")], "the first attempt never came to an end");
    assert_eq!(before.json()["job_id"], after.json()["job_id"]);
    assert_eq!(before.header("webhook-id"), after.header("webhook-id"));
    assert!(after.is_signed_with(&flow.secret));
    assert_eq!(site.count("select count(*) from nexus.job where tenant_id = $1").await, 1);
}

#[tokio::test]
async fn an_outdated_callback_token_is_refused() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({ "retry": { "delays_seconds": [0] } })).await;
    sink.answer("/jobs", Reply::status(500));
    sink.answer("/jobs", Reply::status(202));
    let event_id = order_event(&site).await;
    let received = sink.wait_for("/jobs", 2).await;
    site.job(&event_id, "awaiting_callback").await;
    let (path, outdated) = callback_of(&received[0].json(), "succeeded");
    assert_eq!(site.post(&path, &outdated).await.status, 409, "it is the first attempt's");
    let (path, current) = callback_of(&received[1].json(), "succeeded");
    // A callback needs no key: its token is all that authorises it.
    let taken = answer(site.request(Method::POST, &path).json(&current)).await;
    assert_eq!(taken.status, 200, "{taken:?}");
}
