//! Shops that send orders as their platform does: each webhook again, under the same id, until it is acknowledged.

use super::receiver::Receiver;
use nexus_tests::random::Random;
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::tenant::Connector;
use nexus_tests::wait::DEADLINE;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// A shop sends no more while the job of the order so many before has not come: the queue stays short, and who is
/// left lying is noticed.
const AHEAD: usize = 50;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// What shops share.
pub struct Street {
    connector: Connector,
    receiver: Receiver,
    gateways: Mutex<Vec<String>>,
    http: reqwest::Client,
    acknowledged: AtomicU64,
    tries: AtomicU64,
    is_closing: AtomicBool,
}

/// The shops, sending.
pub struct Shops {
    street: Arc<Street>,
    tasks: Vec<JoinHandle<Sent>>,
}

/// What was sent and acknowledged.
#[derive(Default)]
pub struct Sent {
    /// The event of each webhook, by the platform's id of it.
    pub events: HashMap<String, Uuid>,
    /// How often each order was changed, by its number.
    pub changes: HashMap<String, i64>,
    /// Webhooks that the platform sent once more, although they had been acknowledged.
    pub repeated: u64,
}

impl Sent {
    /// How many webhooks there were.
    pub fn webhooks(&self) -> usize {
        self.events.len()
    }
}

impl Street {
    /// A street of one connector, which sends to these gateways.
    pub fn new(connector: Connector, receiver: Receiver, gateways: Vec<String>) -> Arc<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Arc::new(Self {
            connector,
            receiver,
            gateways: Mutex::new(gateways),
            http,
            acknowledged: AtomicU64::new(0),
            tries: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Where the gateways are now.
    pub fn move_to(&self, gateways: Vec<String>) {
        *self.gateways.lock().unwrap() = gateways;
    }

    /// Webhooks acknowledged so far, repeated ones too.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Requests sent so far.
    pub fn tries(&self) -> u64 {
        self.tries.load(Ordering::Relaxed)
    }

    /// Waits until the job of an event has come.
    async fn comes(&self, event_id: Uuid) {
        let seen = async {
            while !self.receiver.has_seen(event_id) {
                sleep(PAUSE).await;
            }
        };
        timeout(DEADLINE, seen).await.expect("the job of an event comes");
    }

    /// Sends a webhook until it is acknowledged; whether as a duplicate, and its event.
    async fn send(&self, webhook: &Webhook, random: &mut Random) -> (bool, Uuid) {
        let headers = webhook.signed(&self.connector, &self.connector.secret);
        loop {
            self.tries.fetch_add(1, Ordering::Relaxed);
            let base_url = {
                let gateways = self.gateways.lock().unwrap();
                gateways[random.below(gateways.len() as u64) as usize].clone()
            };
            let mut request = self.http.post(format!("{base_url}/hooks/{}", self.connector.connector_id));
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            if let Ok(response) = request.body(webhook.body.clone()).send().await {
                let status = response.status().as_u16();
                // An answer that breaks off is none.
                if let Ok(body) = response.json::<Value>().await {
                    let id = |name: &str| body[name].as_str().and_then(|id| id.parse().ok()).expect("an id");
                    let answer = match (status, body["status"].as_str()) {
                        (202, Some("accepted")) => Some((false, id("event_id"))),
                        (200, Some("duplicate")) => Some((true, id("duplicate_of"))),
                        (503, _) => None,
                        _ => panic!("a webhook was answered {status}: {body}"),
                    };
                    if let Some(answer) = answer {
                        self.acknowledged.fetch_add(1, Ordering::Relaxed);
                        return answer;
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }
}

impl Shops {
    /// Opens a shop for each of these sources of chance.
    pub fn open(street: &Arc<Street>, randoms: impl Iterator<Item = Random>) -> Self {
        let tasks = randoms.map(|random| tokio::spawn(trade(Arc::clone(street), random))).collect();
        Self { street: Arc::clone(street), tasks }
    }

    /// Panics if a shop has: nothing would be acknowledged any more.
    pub fn check(&self) {
        assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a shop has given up; it said why");
    }

    /// Has the shops end with what they are sending; what all of them have sent.
    pub async fn close(self) -> Sent {
        self.street.is_closing.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for task in self.tasks {
            let sent = task.await.unwrap();
            all.events.extend(sent.events);
            all.changes.extend(sent.changes);
            all.repeated += sent.repeated;
        }
        all
    }
}

/// An order as it stands, and what has been sent of it.
struct Order {
    id: i64,
    changes: i64,
}

impl Order {
    /// What the platform sends of it now.
    fn webhook(&self) -> Webhook {
        let at = minute(1 + self.changes);
        let mut body = shopify_order(self.id, at);
        body["note"] = json!(note(self.changes));
        shopify(if self.changes == 0 { "orders/create" } else { "orders/updated" }, &body, at)
    }
}

/// The note of an order that was changed so often.
pub fn note(changes: i64) -> String {
    format!("changed {changes} times")
}

async fn trade(street: Arc<Street>, mut random: Random) -> Sent {
    let (mut sent, mut orders, mut log) =
        (Sent::default(), Vec::<Order>::new(), Vec::<(Webhook, Uuid)>::new());
    while !street.is_closing.load(Ordering::Relaxed) {
        let choice = if orders.is_empty() { 0 } else { random.below(10) };
        if choice >= 8 {
            let (webhook, event_id) = &log[random.below(log.len() as u64) as usize];
            let answer = street.send(webhook, &mut random).await;
            assert_eq!(answer, (true, *event_id), "what was acknowledged is known when it comes again");
            sent.repeated += 1;
            continue;
        }
        let order = if choice < 5 {
            orders.push(Order { id: fresh_id(), changes: 0 });
            orders.last_mut().expect("one was pushed")
        } else {
            let place = random.below(orders.len() as u64) as usize;
            orders[place].changes += 1;
            &mut orders[place]
        };
        let webhook = order.webhook();
        // A duplicate's first answer was lost with who gave it.
        let (_, event_id) = street.send(&webhook, &mut random).await;
        sent.events.insert(delivery_id(&webhook), event_id);
        log.push((webhook, event_id));
        if let Some(earlier) = log.len().checked_sub(AHEAD) {
            street.comes(log[earlier].1).await;
        }
    }
    sent.changes = orders.iter().map(|order| (format!("#{}", order.id), order.changes)).collect();
    sent
}

fn delivery_id(webhook: &Webhook) -> String {
    let is_id = |(name, _): &&(String, String)| name == "x-shopify-webhook-id";
    webhook.headers.iter().find(is_id).expect("a platform's id").1.clone()
}
