//! Deliveries of a real gateway, as the official libraries of Standard Webhooks and CloudEvents see them: not ours, from
//! Python and Node. `scripts/peers.sh` installs them; where it cannot, these tests are left out, and `scripts/test.sh`
//! says so.

use crate::site;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use nexus_core::envelope::{SigningKey, sign};
use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::Gateway;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Received, Sink};
use nexus_tests::site::{Answer, Site};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a receiver holds against what came.
#[derive(Clone)]
struct Request {
    what: String,
    headers: Map<String, Value>,
    body: Vec<u8>,
    /// `whsec_…` or `whpk_…`.
    key: String,
    is_accepted: bool,
}

impl Request {
    fn of(what: &str, received: &Received, key: &str, is_accepted: bool) -> Self {
        let headers =
            received.headers.keys().map(|name| (name.to_string(), received.header(name.as_str()).into()));
        Self {
            what: what.to_owned(),
            headers: headers.collect(),
            body: received.bytes.to_vec(),
            key: key.to_owned(),
            is_accepted,
        }
    }

    /// The same, altered on its way.
    fn altered(&self, what: &str, alter: impl FnOnce(&mut Self)) -> Self {
        let mut altered =
            Self { what: format!("{} with another {what}", self.what), is_accepted: false, ..self.clone() };
        alter(&mut altered);
        altered
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].as_str().unwrap()
    }

    /// Every way to alter it.
    fn alterations(&self) -> Vec<Self> {
        let timestamp: i64 = self.header("webhook-timestamp").parse().unwrap();
        let set = |name: &'static str, value: String| {
            move |request: &mut Self| drop(request.headers.insert(name.to_owned(), value.into()))
        };
        // A signature of as many bytes, of the same version.
        let (version, signature) = self.header("webhook-signature").split_once(',').unwrap();
        let mut bytes = STANDARD.decode(signature.split(' ').next().unwrap()).unwrap();
        bytes[0] ^= 1;
        vec![
            self.altered("body", |request| request.body.push(b' ')),
            self.altered("id", set("webhook-id", "another".to_owned())),
            self.altered("timestamp", set("webhook-timestamp", (timestamp + 1).to_string())),
            self.altered(
                "signature",
                set("webhook-signature", format!("{version},{}", STANDARD.encode(bytes))),
            ),
        ]
    }

    /// As somebody would send it who has recorded it ten minutes ago: with a right signature.
    fn ten_minutes_old(&self, secret: &str) -> Self {
        let then = Timestamp::now().as_second() - 600;
        let signature = sign(
            [&SigningKey::parse(secret).unwrap()].into_iter(),
            self.header("webhook-id"),
            then,
            &self.body,
        );
        self.altered("age", |request| {
            request.headers.insert("webhook-timestamp".to_owned(), then.to_string().into());
            request.headers.insert("webhook-signature".to_owned(), signature.into());
        })
    }

    fn to_json(&self) -> Value {
        let name = if self.key.starts_with("whpk_") { "public_key" } else { "secret" };
        json!({ "headers": self.headers, "body": STANDARD.encode(&self.body), name: self.key })
    }
}

/// Asks the libraries of both languages about every request; the events that they read, by language.
fn verdicts(requests: &[Request]) -> Vec<(&'static str, Vec<Value>)> {
    let home = env::var("NEXUS_PEERS").expect("NEXUS_PEERS: run make test-peers");
    let home = Path::new(&home);
    let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
    let input: Vec<Value> = requests.iter().map(Request::to_json).collect();
    let input = Value::Array(input).to_string();
    let programs: [(&str, PathBuf, &str); 2] = [
        ("Python", home.join("python/bin/python"), "verify.py"),
        ("Node", PathBuf::from("node"), "verify.js"),
    ];
    let ask = |(language, program, file): (&'static str, PathBuf, &str)| {
        let mut child = Command::new(&program)
            .arg(script(file))
            .env("NODE_PATH", home.join("node/node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{language}: {}", output.status);
        let verdicts: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(verdicts.len(), requests.len(), "{language}");
        for (request, verdict) in requests.iter().zip(&verdicts) {
            assert_eq!(verdict["accepted"], request.is_accepted, "{language}, {}", request.what);
        }
        (language, verdicts.into_iter().map(|mut verdict| verdict["event"].take()).collect())
    };
    programs.into_iter().map(ask).collect()
}

async fn subscribe(site: &Site<'_>, sink: &Sink, path: &str, members: Value) -> Answer {
    let mut wanted = json!({ "url": sink.url(path), "event_types": ["order.created"] });
    wanted.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let made = site.post("/api/v1/portal/webhooks/subscribe", &wanted).await;
    assert_eq!(made.status, 201, "{made:?}");
    made
}

/// The delivery of a new order.
async fn delivery(site: &Site<'_>, sink: &Sink, path: &str) -> Received {
    let before = sink.received(path).len();
    let sent = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    assert_eq!(site.send(&sent).await.status, 202);
    sink.wait_for(path, before + 1).await.remove(before)
}

#[tokio::test]
#[ignore = "asks the official libraries: make test-peers"]
async fn official_libraries_take_our_deliveries_during_and_after_a_rotation_and_no_others() {
    // The only gateway of its database: another would sign with what it knew for a moment longer.
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let (site, sink) = (Site::create(&database, &gateway).await, Sink::start().await);
    let mut requests = Vec::new();
    for (signature, told) in [("v1", "secret"), ("v1a", "public_key")] {
        let at = format!("/{signature}");
        let made = subscribe(&site, &sink, &at, json!({ "signature": signature })).await;
        let path = format!("/api/v1/portal/webhooks/{}", made.text("subscription_id"));
        let rotate = async |overlap: u32| {
            let rotated =
                site.post(&format!("{path}/rotate-secret"), &json!({ "overlap_seconds": overlap })).await;
            rotated.text(told).to_owned()
        };
        let first = made.text(told).to_owned();
        let before = delivery(&site, &sink, &at).await;
        let second = rotate(3600).await;
        let during = delivery(&site, &sink, &at).await;
        let third = rotate(0).await;
        let after = delivery(&site, &sink, &at).await;
        for (what, received, key, is_accepted) in [
            ("before", &before, &first, true),
            ("before, by the next", &before, &second, false),
            ("during, by the former", &during, &first, true),
            ("during, by the new", &during, &second, true),
            ("during, by the next", &during, &third, false),
            ("after", &after, &third, true),
            ("after, by the former", &after, &second, false),
        ] {
            requests.push(Request::of(&format!("{signature} {what}"), received, key, is_accepted));
        }
        let good = Request::of(signature, &after, &third, true);
        requests.extend(good.alterations());
        if signature == "v1" {
            requests.push(good.ten_minutes_old(&third));
        }
        // From one way of signing to the other: both hold for the overlap.
        let other = if signature == "v1" { "v1a" } else { "v1" };
        let changed = site.call(Method::PATCH, &path, &site.api_key, &json!({ "signature": other })).await;
        let fourth = if other == "v1" { changed.text("secret") } else { changed.text("public_key") };
        let both = delivery(&site, &sink, &at).await;
        requests.push(Request::of(&format!("{signature} to {other}, by the former"), &both, &third, true));
        requests.push(Request::of(&format!("{signature} to {other}, by the new"), &both, fourth, true));
    }
    verdicts(&requests);
}

#[tokio::test]
#[ignore = "asks the official libraries: make test-peers"]
async fn official_libraries_read_our_cloudevents() {
    let (site, sink) = (site().await, Sink::start().await);
    let mut requests = Vec::new();
    for envelope in ["cloudevents-structured", "cloudevents-binary"] {
        let at = format!("/{envelope}");
        let made = subscribe(&site, &sink, &at, json!({ "envelope": envelope })).await;
        let received = delivery(&site, &sink, &at).await;
        requests.push(Request::of(envelope, &received, made.text("secret"), true));
    }
    let structured: Value = serde_json::from_slice(&requests[0].body).unwrap();
    for (language, events) in verdicts(&requests) {
        for (request, event) in requests.iter().zip(&events) {
            let sent = |name: &str| match request.headers.get(&format!("ce-{name}")) {
                Some(value) => value.clone(),
                None => structured[name].clone(),
            };
            for name in
                ["id", "source", "type", "subject", "entityversion", "dedupekey", "changed", "traceparent"]
            {
                assert!(event[name].is_string(), "{language}, {}: no {name} in {event}", request.what);
                assert_eq!(event[name], sent(name), "{language}, {}: {name}", request.what);
            }
            // Node reads milliseconds only.
            let at = |time: &Value| time.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond();
            assert_eq!(at(&event["time"]), at(&sent("time")), "{language}, {}", request.what);
            let data: Value = match request.what.as_str() {
                "cloudevents-binary" => serde_json::from_slice(&request.body).unwrap(),
                _ => structured["data"].clone(),
            };
            assert_eq!(event["data"], data, "{language}, {}", request.what);
        }
    }
}
