//! What a destination is spared: more than its rate, and attempts while it is down. Others go on meanwhile.

use super::queue::event;
use super::{change, subscribe_at, subscribe_with};
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::Gateway;
use nexus_tests::sink::{Gate, Reply, Sink};
use nexus_tests::site::Site;
use nexus_tests::wait::until;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Failures in a row that open a breaker, and for how long it stays open at first: docs/subscriptions.md.
const FAILURES: usize = 10;
const PAUSE: Duration = Duration::from_secs(5);

/// Emits so many events at one moment.
async fn emit(site: &Site<'_>, count: usize) {
    let events: Vec<Value> = (0..count).map(|_| event(site.tenant.prod, Uuid::now_v7(), 1)).collect();
    let sql = "select nexus._emit($1, $2)";
    site.admin.execute(sql, &[&site.tenant.tenant_id, &json!(events)]).await.unwrap();
}

/// Subscribes `/up`, and `/down`, which fails until its breaker is open. Its next answer, to the probe, is this one, and waits
/// for the gate.
async fn break_down(site: &Site<'_>, sink: &Sink, answer: Reply) -> (Uuid, Gate) {
    subscribe_at(site, &sink.url("/up"), &["order.*"]).await;
    let retry = json!({ "retry": { "delays_seconds": [3600] } });
    let down = subscribe_with(site, &sink.url("/down"), retry).await;
    site.in_force().await;
    (0..FAILURES).for_each(|_| sink.answer("/down", Reply::status(503)));
    let (answer, gate) = answer.held();
    sink.answer("/down", answer);
    emit(site, FAILURES).await;
    until("its breaker is open", async || site.metric("nexus_dispatch_broken").await == Some(1.0)).await;
    (down, gate)
}

async fn logged(site: &Site<'_>, outcome: &str) -> i64 {
    let sql = "select count(*) from nexus.webhook_delivery_log where tenant_id = $1 and outcome = ";
    site.count(&format!("{sql}'{outcome}'")).await
}

#[tokio::test]
async fn a_rate_is_kept_and_holds_up_nobody_else() {
    const RATE: u32 = 10;
    const EVENTS: usize = 40;
    // Of its own: each gateway counts for itself, and others come and go at the shared database.
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let (site, sink) = (Site::create(&database, &gateway).await, Sink::start().await);
    subscribe_with(&site, &sink.url("/limited"), json!({ "rate_limit": RATE })).await;
    subscribe_at(&site, &sink.url("/free"), &["order.*"]).await;
    site.in_force().await;
    let begin = Instant::now();
    emit(&site, EVENTS).await;
    let limited = sink.wait_for("/limited", EVENTS).await;
    let free = sink.received("/free");
    for (before, received) in limited.iter().enumerate() {
        // A burst, which is a fifth of a second's worth, and what has come in since.
        let seconds = received.at.duration_since(begin).as_secs_f64();
        let allowed = f64::from(RATE) * (0.2 + seconds);
        assert!((before + 1) as f64 <= allowed, "the {before}th after the first came after {seconds} s");
    }
    assert_eq!((limited.len(), free.len()), (EVENTS, EVENTS));
    let last = free.iter().map(|received| received.at).max().unwrap();
    let meanwhile = limited.iter().filter(|received| received.at < last).count();
    assert!(meanwhile < EVENTS / 2, "{meanwhile} of the limited had come before the last of the free");
}

#[tokio::test]
async fn what_is_down_is_only_probed_and_holds_up_nobody_else() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let (site, sink) = (Site::create(&database, &gateway).await, Sink::start().await);
    let (_, gate) = break_down(&site, &sink, Reply::status(200)).await;
    emit(&site, 5).await;
    sink.wait_for("/up", FAILURES + 5).await;
    let came = sink.wait_for("/down", FAILURES + 1).await;
    let pause = came[FAILURES].at.duration_since(came[FAILURES - 1].at);
    assert!(pause >= PAUSE, "it was probed after {pause:?}");

    emit(&site, 5).await;
    sink.wait_for("/up", FAILURES + 10).await;
    assert_eq!(sink.received("/down").len(), FAILURES + 1, "there is nothing beside the probe");
    let untried = "select count(*) from nexus.delivery where tenant_id = $1 and attempt = 0";
    assert_eq!(site.count(untried).await, 9, "waiting is no attempt");

    gate.open();
    sink.wait_for("/down", FAILURES + 10).await;
    until("all is logged", async || logged(&site, "succeeded").await == 30).await;
    assert_eq!(logged(&site, "retry").await, i64::try_from(FAILURES).unwrap());
    assert_eq!(site.metric("nexus_dispatch_broken").await, Some(0.0));
}

#[tokio::test]
async fn a_destination_that_is_changed_is_not_held_to_what_it_was() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let (site, sink) = (Site::create(&database, &gateway).await, Sink::start().await);
    let (down, gate) = break_down(&site, &sink, Reply::status(503)).await;
    emit(&site, 3).await;
    sink.wait_for("/down", FAILURES + 1).await;
    // The probe is not answered, so that the breaker could not close.
    let changed = change(&site, down, json!({ "url": sink.url("/mended") })).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    sink.wait_for("/mended", 2).await;

    gate.open();
    until("the probe is logged", async || logged(&site, "retry").await == 11).await;
    emit(&site, 1).await;
    sink.wait_for("/mended", 3).await;
    assert_eq!(site.metric("nexus_dispatch_broken").await, Some(0.0), "it failed at the old URL");
}
