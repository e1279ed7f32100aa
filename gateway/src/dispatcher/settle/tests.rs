use super::super::claim::{Job, Webhook};
use super::*;
use nexus_core::routing::Envelope;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::value::RawValue;

fn claimed(work: Work) -> Claimed {
    Claimed {
        tenant_id: Uuid::nil(),
        delivery_id: Uuid::nil(),
        environment_id: Uuid::nil(),
        environment: "prod".to_owned(),
        destination_id: Uuid::nil(),
        attempt: 1,
        former_attempts: 0,
        is_ordered: false,
        destination_changed_at: None,
        rate_limit: None,
        trace_id: "0".repeat(32),
        url: Some("https://example.com/".to_owned()),
        work,
    }
}

fn job() -> Claimed {
    let flow = json!({"kinds": ["sales_order"], "execution_url": "https://example.com/",
                      "permanent_error_codes": ["SKU_NOT_FOUND"], "callback_timeout_seconds": 60});
    claimed(Work::Job(Box::new(Job {
        job_id: Uuid::nil(),
        event_id: Uuid::nil(),
        entity_kind: "sales_order".to_owned(),
        entity_id: Uuid::nil(),
        normalized_payload: json!({}),
        flow: Some(Flow::from_json(&flow).expect("a flow")),
        is_callback_timeout: false,
    })))
}

fn webhook() -> Claimed {
    claimed(Work::Webhook(event()))
}

fn event() -> Box<Webhook> {
    Box::new(Webhook {
        domain_event_id: Uuid::nil(),
        event_type: "order.created".to_owned(),
        schema_version: 1,
        entity_version: None,
        dedupe_key: String::new(),
        changed: Vec::new(),
        payload: RawValue::NULL.to_owned().into(),
        created_at: Timestamp::UNIX_EPOCH,
        entity: None,
        envelope: Envelope::default(),
        headers: json!({}),
        retry: None,
    })
}

fn attempt(result: Result<Answered, NotSent>) -> Attempt {
    Attempt { at: Timestamp::UNIX_EPOCH, took: Duration::ZERO, sent: None, result }
}

fn answered(status: u16, headers: HeaderMap, body: &str) -> Attempt {
    let body = body.as_bytes().to_vec();
    attempt(Ok(Answered { status, headers, body, is_whole: true, retry_after: None }))
}

fn report(claimed: &Claimed, status: u16, body: &str) -> Report {
    Report::new(claimed, answered(status, HeaderMap::new(), body), 0.0)
}

#[test]
fn a_jobs_answer_is_its_result() {
    let report = report(&job(), 200, r#"{"id": 1}"#);
    assert_eq!((report.outcome, report.result), ("succeeded", Some(json!({"id": 1}))));
}

#[test]
fn a_202_waits_for_the_callback_of_a_job_and_ends_a_webhook() {
    let waiting = report(&job(), 202, "");
    assert_eq!(waiting.outcome, "awaiting_callback");
    assert_eq!(waiting.next_attempt_at, Timestamp::from_second(60).ok());
    assert_eq!(report(&webhook(), 202, "").outcome, "succeeded");
}

#[test]
fn a_permanent_error_code_ends_a_job() {
    let dead = report(&job(), 503, r#"{"error": {"code": "SKU_NOT_FOUND"}}"#);
    assert_eq!((dead.outcome, dead.error_code.as_deref()), ("dead", Some("SKU_NOT_FOUND")));
    assert_eq!(report(&job(), 503, "").outcome, "retry");
}

#[test]
fn a_job_that_is_tried_again_has_all_its_attempts() {
    let last = Claimed { attempt: 5, ..job() };
    assert_eq!(report(&last, 503, "").outcome, "dead");
    let again = Claimed { attempt: 6, former_attempts: 5, ..job() };
    assert_eq!(report(&again, 503, "").outcome, "retry");
}

#[test]
fn a_subscription_is_tried_again_by_its_own_policy() {
    let mut own = webhook();
    let Work::Webhook(event) = &mut own.work else { unreachable!("it is a webhook") };
    event.retry = Some(Policy { delays_seconds: vec![7] });
    let first = report(&own, 500, "");
    assert_eq!((first.outcome, first.next_attempt_at), ("retry", Timestamp::from_second(7).ok()));
    assert_eq!(report(&Claimed { attempt: 2, ..own }, 500, "").outcome, "dead");
    assert_eq!(report(&webhook(), 500, "").next_attempt_at, Timestamp::from_second(5).ok());
}

#[test]
fn the_end_of_an_ordered_delivery_makes_the_next_due() {
    let ordered = || Claimed { is_ordered: true, ..webhook() };
    assert!(report(&ordered(), 200, "").makes_due && report(&ordered(), 400, "").makes_due);
    assert!(!report(&ordered(), 500, "").makes_due && !report(&webhook(), 200, "").makes_due);
}

#[test]
fn a_destination_that_is_gone_is_not_tried_again() {
    let gone = Claimed { url: None, ..job() };
    let not_sent = NotSent { class: ErrorClass::Configuration, message: "gone".to_owned() };
    let report = Report::new(&gone, attempt(Err(not_sent)), 0.0);
    assert_eq!((report.outcome, report.error_class), ("dead", Some("configuration")));
}

#[test]
fn what_is_logged_of_an_answer_is_bounded_and_storable() {
    let report = report(&webhook(), 500, &"\0".repeat(10_000));
    assert_eq!(report.response_body.map(|body| body.chars().count()), Some(LOGGED_CHARACTERS));
    let headers = (0..100).map(|n| {
        let name = HeaderName::try_from(format!("x-{n}")).expect("a name");
        (name, HeaderValue::try_from("é".repeat(4_000)).expect("a value"))
    });
    let report = Report::new(&webhook(), answered(500, headers.collect(), ""), 0.0);
    let logged: Value = serde_json::from_str(&report.response_headers.unwrap_or_default()).expect("JSON");
    let characters = |(name, value): (&String, &Value)| {
        name.chars().count() + value.as_str().unwrap_or_default().chars().count()
    };
    let total: usize = logged.as_object().expect("an object").iter().map(characters).sum();
    assert!((LOGGED_HEADER_CHARACTERS - 10..=LOGGED_HEADER_CHARACTERS).contains(&total), "{total}");
}

#[test]
fn a_test_is_made_once_and_of_no_event() {
    let test = claimed(Work::Test(event()));
    let failed = report(&test, 503, "");
    assert_eq!((failed.outcome, failed.kind, failed.next_attempt_at), ("dead", "test", None));
    assert_eq!((failed.domain_event_id, failed.job_id), (None, None));
    assert_eq!(report(&test, 202, "").outcome, "succeeded");
}
