//! What people do with jobs: try them again, and cancel them.

use crate::site;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::{Answer, Site};
use nexus_tests::wait::{pid, until_blocked_by};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Sends an order, whose job follows; its number and the event's id.
async fn order(site: &Site<'_>) -> (i64, String) {
    let id = fresh_id();
    let sent = site.send(&shopify("orders/create", &shopify_order(id, minute(1)), minute(1))).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    (id, sent.text("event_id").to_owned())
}

async fn act(site: &Site<'_>, job: &Value, what: &str) -> Answer {
    site.post(&format!("/api/v1/jobs/{}/{what}", job["job_id"].as_str().unwrap()), &json!({})).await
}

#[tokio::test]
async fn a_dead_job_is_tried_again_with_all_its_attempts_and_the_record_as_it_is() {
    let (site, sink) = (site().await, Sink::start().await);
    let members = json!({ "retry": { "delays_seconds": [0] }, "topics": ["orders/create"] });
    site.flow(&sink.url("/jobs"), members).await;
    [500, 500, 500].into_iter().for_each(|status| sink.answer("/jobs", Reply::status(status)));
    let (id, event_id) = order(&site).await;
    let dead = site.job(&event_id, "dead").await;
    let listed = site.get("/api/v1/jobs?status=dead").await;
    assert_eq!(listed.body["data"][0]["job_id"], dead["job_id"], "it is a dead letter: {listed:?}");
    // Meanwhile the order was paid, of which this flow does not hear.
    let mut paid = shopify_order(id, minute(5));
    paid["financial_status"] = json!("paid");
    site.send(&shopify("orders/paid", &paid, minute(5))).await;

    let path = format!("/api/v1/jobs/{}/retry", dead["job_id"].as_str().unwrap());
    let elsewhere = site.key("test", "write").await;
    assert_eq!(site.call(Method::POST, &path, &elsewhere, &json!({})).await.status, 404);
    let pending = act(&site, &dead, "retry").await;
    assert_eq!(
        (pending.status, pending.text("job_id")),
        (200, dead["job_id"].as_str().unwrap()),
        "{pending:?}"
    );
    let job = site.job(&event_id, "succeeded").await;
    let attempts: Vec<(&Value, &Value)> =
        job["attempts"].as_array().unwrap().iter().map(|a| (&a["attempt"], &a["outcome"])).collect();
    let expected = [(1, "retry"), (2, "dead"), (3, "retry"), (4, "succeeded")];
    let expected = expected.map(|(number, outcome)| (json!(number), json!(outcome)));
    assert_eq!(attempts, expected.each_ref().map(|(number, outcome)| (number, outcome)));
    let received = sink.received("/jobs");
    assert_ne!(received[1].header("webhook-id"), received[2].header("webhook-id"), "a new delivery");
    assert_eq!(received[2].json()["normalized_payload"]["financial_status"], "paid");
    let again = act(&site, &job, "retry").await;
    assert_eq!((again.status, again.text("code")), (409, "NX406"), "{again:?}");
}

/// A job that awaits its callback, and the callback.
async fn awaiting(site: &Site<'_>, sink: &Sink) -> (Uuid, String, Value) {
    site.flow(&sink.url("/jobs"), json!({})).await;
    sink.answer("/jobs", Reply::status(202));
    let (_, event_id) = order(site).await;
    let job = site.job(&event_id, "awaiting_callback").await;
    let token = sink.wait_for("/jobs", 1).await[0].json()["callback_token"].clone();
    let job_id = job["job_id"].as_str().unwrap();
    let report = json!({ "callback_token": token, "status": "succeeded" });
    (job_id.parse().unwrap(), format!("/api/v1/jobs/{job_id}/callback"), report)
}

const LOCK_DELIVERY: &str = "select from nexus.delivery where tenant_id = $1 and job_id = $2 for update";

#[tokio::test]
async fn a_callback_locks_the_delivery_before_the_job_as_all_others_do() {
    let (site, sink) = (site().await, Sink::start().await);
    let (job_id, path, report) = awaiting(&site, &sink).await;
    let other = crate::GATEWAY.0.admin().await;
    let pid = pid(&other).await;
    other.batch_execute("begin").await.unwrap();
    other.execute(LOCK_DELIVERY, &[&site.tenant.tenant_id, &job_id]).await.unwrap();
    let others_turn = async {
        until_blocked_by(&site.admin, pid).await;
        let job = "select from nexus.job where tenant_id = $1 and job_id = $2 for update nowait";
        let is_free = other.execute(job, &[&site.tenant.tenant_id, &job_id]).await.is_ok();
        other.batch_execute("rollback").await.unwrap();
        is_free
    };
    let call = site.call(Method::POST, &path, &site.api_key, &report);
    let (answer, is_free) = tokio::join!(call, others_turn);
    assert!(is_free, "who holds the delivery can lock the job");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_callback_that_a_deadlock_ends_is_taken_all_the_same() {
    let (site, sink) = (site().await, Sink::start().await);
    let (job_id, path, report) = awaiting(&site, &sink).await;
    let other = crate::GATEWAY.0.admin().await;
    let pid = pid(&other).await;
    // Its locks are in the wrong order, and it is never the one that is ended.
    other.batch_execute("begin; set local deadlock_timeout = '1h'").await.unwrap();
    let lock_job = "select from nexus.job where tenant_id = $1 and job_id = $2 for update";
    other.execute(lock_job, &[&site.tenant.tenant_id, &job_id]).await.unwrap();
    let others_turn = async {
        until_blocked_by(&site.admin, pid).await;
        other.execute(LOCK_DELIVERY, &[&site.tenant.tenant_id, &job_id]).await.unwrap();
        other.batch_execute("rollback").await.unwrap();
    };
    let call = site.call(Method::POST, &path, &site.api_key, &report);
    let (answer, ()) = tokio::join!(call, others_turn);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_callback_token_of_a_former_life_is_no_good_in_the_next() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({})).await;
    [202, 202].into_iter().for_each(|status| sink.answer("/jobs", Reply::status(status)));
    let (_, event_id) = order(&site).await;
    let body = sink.wait_for("/jobs", 1).await[0].json();
    site.job(&event_id, "awaiting_callback").await;
    let path = format!("/api/v1/jobs/{}/callback", body["job_id"].as_str().unwrap());
    let report = json!({ "callback_token": body["callback_token"], "status": "failed" });
    assert_eq!(site.post(&path, &report).await.status, 200);
    let failed = site.job(&event_id, "failed").await;
    assert_eq!(act(&site, &failed, "retry").await.status, 200);
    sink.wait_for("/jobs", 2).await;
    site.job(&event_id, "awaiting_callback").await;
    let late = site.post(&path, &report).await;
    assert_eq!(late.status, 409, "{late:?}");
}

#[tokio::test]
async fn a_job_that_waits_can_be_cancelled_once() {
    let (site, sink) = (site().await, Sink::start().await);
    site.flow(&sink.url("/jobs"), json!({})).await;
    sink.answer("/jobs", Reply::status(202));
    let (_, event_id) = order(&site).await;
    let waiting = site.job(&event_id, "awaiting_callback").await;
    let cancelled = act(&site, &waiting, "cancel").await;
    assert_eq!((cancelled.status, cancelled.text("status")), (200, "cancelled"), "{cancelled:?}");
    assert_eq!(site.count("select count(*) from nexus.delivery where tenant_id = $1").await, 0);
    for what in ["cancel", "retry"] {
        let refused = act(&site, &waiting, what).await;
        assert_eq!((refused.status, refused.text("code")), (409, "NX406"), "{what}: {refused:?}");
    }
    let audited = "select count(*) from nexus.activity_log
        where tenant_id = $1 and action = 'job.cancelled' and actor like 'api_key:%'";
    assert_eq!(site.count(audited).await, 1);
}
