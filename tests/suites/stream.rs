//! Domain events by WebSocket: the same as webhooks, resumed by cursor, filtered, bounded.

use crate::site;
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::Gateway;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::Sink;
use nexus_tests::site::{Answer, Site, answer};
use nexus_tests::stream::{Heard, Stream, cursor, emit, id};
use nexus_tests::wait::{eventually, until};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Waits until the newest event written is readable: a transaction of another test may hold readers back.
async fn readable(site: &Site<'_>, newest: Uuid) -> Vec<Value> {
    eventually("an event is readable", async || {
        let page = site.get("/api/v1/integrations/events?limit=200").await;
        let events = page.body["data"].as_array().unwrap().clone();
        events.iter().any(|event| event["domain_event_id"] == json!(newest)).then_some(events)
    })
    .await
}

#[tokio::test]
async fn a_stream_sends_what_webhooks_send_and_shares_cursors_with_the_list() {
    let (site, sink) = (site().await, Sink::start().await);
    let before = emit(&site.admin, site.prod(), "order.created", &[json!({})]).await;
    readable(&site, before[0]).await;
    site.subscribe(&sink, &["*"]).await;
    let mut stream = site.stream("").await;
    let order = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    assert_eq!(site.send(&order).await.status, 202);

    // Of an order come the customer and the order; what was before the stream does not come.
    let streamed = stream.events(2).await;
    let mut sent: Vec<Value> =
        sink.wait_for("/webhooks", 2).await.iter().map(|received| received.json()).collect();
    sent.sort_by_key(|body| streamed.iter().position(|event| event["id"] == body["id"]));
    let without_cursor: Vec<Value> = streamed
        .iter()
        .map(|event| {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove("cursor");
            event
        })
        .collect();
    assert_eq!(without_cursor, sent);

    // A cursor of the stream goes on in the list, and one of the list in the stream.
    let page = site.get(&format!("/api/v1/integrations/events?cursor={}", cursor(&streamed[0]))).await;
    assert_eq!(page.body["data"][0]["domain_event_id"], streamed[1]["id"], "{page:?}");
    assert_eq!(page.text("next_cursor"), cursor(&streamed[1]));
    let first = site.get("/api/v1/integrations/events?limit=1").await;
    assert_eq!(first.body["data"][0]["domain_event_id"], json!(before[0]));
    let mut resumed = site.stream(&format!("?after={}", first.text("next_cursor"))).await;
    assert_eq!(resumed.events(2).await, streamed);
}

#[tokio::test]
async fn a_stream_that_breaks_off_again_and_again_misses_and_repeats_nothing() {
    const WRITERS: usize = 6;
    const TRANSACTIONS: usize = 60;
    let site = site().await;
    let begin = "select nexus.latest_cursor()";
    let mut after: String = site.admin.query_one(begin, &[]).await.unwrap().get(0);
    let (database, prod) = (site.database.clone(), site.prod());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let database = database.clone();
            tokio::spawn(async move {
                let session = database.admin().await;
                let mut committed = Vec::new();
                for transaction in 0..TRANSACTIONS {
                    session.batch_execute("begin").await.unwrap();
                    let payloads = vec![json!({ "writer": writer }); 1 + transaction % 3];
                    let ids = emit(&session, prod, "order.updated", &payloads).await;
                    if transaction % 4 == 3 {
                        session.batch_execute("rollback").await.unwrap();
                    } else {
                        session.batch_execute("commit").await.unwrap();
                        committed.extend(ids);
                    }
                }
                committed
            })
        })
        .collect();
    let expected = WRITERS * (0..TRANSACTIONS).filter(|n| n % 4 != 3).map(|n| 1 + n % 3).sum::<usize>();
    // Streams that catch up and streams that are live take turns: each brings a few events more than the last.
    let (mut received, mut most) = (Vec::new(), 1);
    while received.len() < expected {
        let mut stream = site.stream(&format!("?after={after}&types=order.*")).await;
        let events = stream.events(most.min(expected - received.len())).await;
        after = cursor(events.last().unwrap());
        received.extend(events.iter().map(id));
        most = most * 3 % 101 + 1;
    }
    let mut committed = Vec::new();
    for writer in writers {
        committed.extend(writer.await.unwrap());
    }
    received.sort();
    committed.sort();
    assert_eq!(received, committed);
}

#[tokio::test]
async fn a_heartbeat_moves_on_a_client_whom_no_event_concerns() {
    let database = SHARED.database();
    let gateway = Gateway::start_with(
        &database.gateway_url,
        &[("NEXUS_STREAM_HEARTBEAT_SECONDS", "1"), ("NEXUS_LISTEN_URL", "")],
    );
    let site = Site::create(&database, &gateway).await;
    let mut wanted = site.stream("?types=customer.merged,order.*").await;
    let mut unwanted = site.stream("?types=job.*").await;
    let ids =
        emit(&site.admin, site.prod(), "customer.updated", &[json!({ "n": 1 }), json!({ "n": 2 })]).await;
    let orders = emit(&site.admin, site.prod(), "order.updated", &[json!({ "n": 3 })]).await;
    // Without a doorbell and without LISTEN, by polling.
    assert_eq!(id(&wanted.event().await), orders[0]);
    let listed = readable(&site, orders[0]).await;
    assert_eq!(listed.len(), ids.len() + 1);
    let page = site.get("/api/v1/integrations/events").await;
    let last = page.text("next_cursor").to_owned();
    // The cursor goes beyond events that were not sent, and one goes on from there.
    let beyond = eventually("a heartbeat is beyond the last event", async || {
        let heartbeat = unwanted.heartbeat().await;
        let position = |cursor: &str| -> u64 { cursor.split('.').nth(1).unwrap().parse().unwrap() };
        (position(&heartbeat) >= position(&last)).then_some(heartbeat)
    })
    .await;
    let next = emit(&site.admin, site.prod(), "job.dead", &[json!({})]).await;
    assert_eq!(id(&site.stream(&format!("?after={beyond}")).await.event().await), next[0]);
    assert_eq!(id(&unwanted.event().await), next[0]);
}

#[tokio::test]
async fn a_slow_client_is_told_and_cut_off() {
    let database = SHARED.database();
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_STREAM_HEARTBEAT_SECONDS", "1")]);
    let site = Site::create(&database, &gateway).await;
    let mut slow = site.stream("").await;
    let mut other = site.stream("").await;
    // More than the sockets between the two hold; each text unlike the others, so that it does not compress.
    let text = |n: usize| {
        (0..12_000)
            .map(|m| Uuid::from_u128((n * 12_000 + m) as u128 * 0x9E37_79B9_7F4A_7C15).simple().to_string())
            .collect::<String>()
    };
    for n in 0..40 {
        emit(&site.admin, site.prod(), "order.updated", &[json!({ "text": text(n) })]).await;
    }
    // One that reads has them all meanwhile.
    assert_eq!(other.events(40).await.len(), 40);
    until("the slow stream is cut off", async || {
        site.metric("nexus_streams_ended_total{reason=\"slow\"}").await == Some(1.0)
    })
    .await;
    let mut last = String::new();
    let told = loop {
        match slow.hear().await {
            Heard::Message(message) if message["type"] == "error" => break message,
            Heard::Message(message) => last = cursor(&message),
            ended => panic!("nothing was told: {ended:?}"),
        }
    };
    assert_eq!((&told["code"], cursor(&told)), (&json!("NX517"), last.clone()), "{told}");
    assert_eq!(slow.hear().await, Heard::Closed(1013, "NX517".to_owned()));
    // It goes on where it was cut off, and is not sent anything twice.
    let rest = site.stream(&format!("?after={last}")).await.event().await;
    assert_ne!(cursor(&rest), last);
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let site = site().await;
    let key = site.key("prod", "read").await;
    let mut stream = site.stream_as(&key, "").await.expect("a stream opens");
    let keys = site.get("/api/v1/api-keys").await;
    let revoked = keys.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|listed| key.starts_with(listed["key_prefix"].as_str().unwrap()));
    let path = format!("/api/v1/api-keys/{}", revoked.unwrap()["api_key_id"].as_str().unwrap());
    let answer = site.call(Method::DELETE, &path, &site.api_key, &json!({})).await;
    assert!(answer.status < 300, "{answer:?}");
    let Heard::Message(told) = stream.hear().await else { panic!("nothing was told") };
    assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!("NX501")), "{told}");
    assert_eq!(stream.hear().await, Heard::Closed(1008, "NX501".to_owned()));
}

#[tokio::test]
async fn a_stream_shows_its_tenant_and_environment_alone() {
    let (site, other) = (site().await, site().await);
    let mut streams = Vec::new();
    let test_key = site.key("test", "read").await;
    for (site, key, events_in) in [
        (&site, &site.api_key, site.prod()),
        (&site, &test_key, (site.tenant.tenant_id, site.tenant.test)),
        (&other, &other.api_key, other.prod()),
    ] {
        streams.push((site.stream_as(key, "").await.expect("a stream opens"), events_in));
    }
    let mut expected = Vec::new();
    for (_, events_in) in &streams {
        expected.push(emit(&site.admin, *events_in, "order.updated", &[json!({}), json!({})]).await);
    }
    for ((stream, (tenant_id, _)), ids) in streams.iter_mut().zip(&expected) {
        let events = stream.events(2).await;
        assert_eq!(&events.iter().map(id).collect::<Vec<_>>(), ids);
        assert!(events.iter().all(|event| event["tenant_id"] == json!(*tenant_id)), "{events:?}");
    }
    // A foreign cursor is a place in the order, and shows nothing of who was there.
    let foreign = &readable(&other, expected[2][0]).await;
    assert!(!foreign.is_empty());
    let page = other.get("/api/v1/integrations/events?limit=1").await;
    let mut stream = site.stream(&format!("?after={}", page.text("next_cursor"))).await;
    let marker = emit(&site.admin, site.prod(), "order.updated", &[json!({})]).await;
    loop {
        let event = stream.event().await;
        assert_eq!(event["tenant_id"], json!(site.tenant.tenant_id));
        if id(&event) == marker[0] {
            break;
        }
    }
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let database = SHARED.database();
    let mut gateway = Gateway::start(&database);
    let site = Site::create(&database, &gateway).await;
    let mut stream = site.stream("").await;
    stream.say("what a client says is passed over").await;
    let ids = emit(&site.admin, site.prod(), "order.updated", &[json!({})]).await;
    assert_eq!(id(&stream.event().await), ids[0]);
    gateway.terminate();
    assert_eq!(stream.hear().await, Heard::Closed(1001, "going away".to_owned()));
    let status = eventually("the gateway has ended", async || gateway.ended()).await;
    assert!(status.success() && !gateway.log().contains("cut off"), "{}", gateway.log());
}

/// Asks for a stream as a WebSocket client does, and reads the problem that refuses it.
async fn refusal(site: &Site<'_>, api_key: &str, query: &str) -> Answer {
    let request = site
        .request(Method::GET, &format!("/api/webhooks/stream{query}"))
        .header("x-api-key", api_key)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    answer(request).await
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_as_a_problem() {
    let site = site().await;
    let writer = site.key("prod", "write").await;
    let far = "?after=900.1.01890a5d-ac96-774b-bcce-b302099a8057";
    for (key, query, status, code) in [
        ("", "", 401, "NX501"),
        (writer.as_str(), "", 403, "NX502"),
        (&site.api_key, "?after=1.2.3", 422, "NX506"),
        (&site.api_key, far, 422, "NX506"),
        (&site.api_key, "?types=order.*,Order", 422, "NX506"),
        (&site.api_key, "?since=1", 422, "NX506"),
    ] {
        let refused = refusal(&site, key, query).await;
        assert_eq!((refused.status, refused.text("code")), (status, code), "{query}: {refused:?}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
    }
    let plain = site.get("/api/v1/webhooks/stream").await;
    assert_eq!((plain.status, plain.text("code")), (400, "NX507"), "{plain:?}");
}

#[tokio::test]
async fn a_tenant_has_so_many_streams_and_no_more() {
    let database = SHARED.database();
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_STREAMS_PER_TENANT", "2")]);
    let (site, other) = (Site::create(&database, &gateway).await, Site::create(&database, &gateway).await);
    let first = site.stream("").await;
    let _second = site.stream("").await;
    let refused = refusal(&site, &site.key("test", "read").await, "").await;
    assert_eq!((refused.status, refused.text("code")), (429, "NX512"), "{refused:?}");
    let _others = other.stream("").await;
    drop(first);
    eventually("there is room again", async || Stream::open(&gateway.base_url, "", &site.api_key).await.ok())
        .await;
}

#[tokio::test]
async fn a_cursor_from_before_what_is_kept_is_refused() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let site = Site::create(&database, &gateway).await;
    let admin = &site.admin;
    admin
        .batch_execute(
            "create table nexus.domain_event_2020_01 partition of nexus.domain_event
                 for values from ('016f5e66-e800-0000-0000-000000000000') to ('016ffe0f-b800-0000-0000-000000000000');
             select nexus.migrate()",
        )
        .await
        .unwrap();
    let ids = emit(admin, site.prod(), "order.created", &[json!({}), json!({})]).await;
    readable(&site, ids[1]).await;
    let [first, second] = [1, 2].map(|limit| format!("/api/v1/integrations/events?limit={limit}"));
    let (first, second) = (site.get(&first).await, site.get(&second).await);
    // The two are made old, as if they had come in January 2020, and are taken away.
    let aged = "update nexus.domain_event set domain_event_id = ('016f8000' || substr(domain_event_id::text, 9))::uuid where tenant_id = $1";
    assert_eq!(admin.execute(aged, &[&site.tenant.tenant_id]).await.unwrap(), 2);
    let old = |page: &Answer| {
        let (place, id) = page.text("next_cursor").rsplit_once('.').unwrap();
        format!("{place}.016f8000{}", &id[8..])
    };
    let (first, second) = (old(&first), old(&second));
    admin.execute("select nexus.maintain()", &[]).await.unwrap();

    let refused = site.get(&format!("/api/v1/integrations/events?cursor={first}")).await;
    assert_eq!((refused.status, refused.text("code")), (410, "NX407"), "{refused:?}");
    let refused = refusal(&site, &site.api_key, &format!("?after={first}")).await;
    assert_eq!((refused.status, refused.text("code")), (410, "NX407"), "{refused:?}");
    // Who has read everything that is gone has missed nothing.
    let mut stream = site.stream(&format!("?after={second}")).await;
    let next = emit(admin, site.prod(), "order.created", &[json!({})]).await;
    assert_eq!(id(&stream.event().await), next[0]);
}
