//! Stage 1 for every sort of platform: what proves where a request comes from, what is answered to a handshake,
//! and what a connector may be given.

mod instances;
mod platform_keys;
mod secrets;

use crate::{GATEWAY, site};
use nexus_core::connector::{Connector, Encoding, Receive, Scheme, Signature, built_in};
use nexus_core::signature;
use nexus_tests::site::{Answer, Site, answer};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// Headers of a request.
type Headers = Vec<(String, String)>;

const EVENTS: &str = "select count(*) from nexus.event where tenant_id = $1";

/// Makes a connector as an administrator does; it is in force at once.
async fn connect(site: &Site<'_>, connector_type: &str, settings: Value, secrets: Value) -> String {
    let name = Uuid::new_v4().to_string();
    let wanted =
        json!({ "connector_type": connector_type, "name": name, "settings": settings, "secrets": secrets });
    let made = site.post("/api/v1/connectors", &wanted).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.text("connector_id").to_owned()
}

/// How a built-in connector type receives.
fn built_in_receive(connector_type: &str) -> Receive {
    let (_, manifest) = built_in().iter().find(|(name, _)| *name == connector_type).unwrap();
    Connector::from_toml(manifest).unwrap().receive().unwrap().clone()
}

/// The headers with which a platform signs a body.
fn signed(connector_type: &str, body: &str, secret: &str) -> Headers {
    let receive = built_in_receive(connector_type);
    signature::sign(&receive, "", "", 0, body.as_bytes(), secret.as_bytes()).unwrap()
}

/// An HMAC-SHA-256 of a text, in hexadecimal.
fn hmac(text: &str, secret: &str) -> String {
    let signature = Signature {
        scheme: Scheme::Hmac,
        header: Some("x".to_owned()),
        encoding: Encoding::Hex,
        ..Signature::default()
    };
    let receive = Receive { signature, ..Receive::default() };
    let headers = signature::sign(&receive, "", "", 0, text.as_bytes(), secret.as_bytes()).unwrap();
    headers[0].1.clone()
}

fn header(name: &str, value: &str) -> Headers {
    vec![(name.to_owned(), value.to_owned())]
}

async fn get(site: &Site<'_>, path: &str, headers: &[(String, String)]) -> Answer {
    let mut request = site.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    answer(request).await
}

#[tokio::test]
async fn xeros_intent_to_receive_is_answered_by_the_signature_alone() {
    let site = site().await;
    let settings = json!({ "tenant_id": "0c9a", "timezone": "UTC" });
    let id = connect(&site, "xero", settings, json!({ "webhook_secret": "webhook key" })).await;
    let intent = r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0M3"}"#;
    for (secret, status) in [("webhook key", 200), ("wrong on purpose", 401), ("webhook key", 200)] {
        let answer = site.send_raw(&id, &signed("xero", intent, secret), intent.as_bytes()).await;
        assert_eq!((answer.status, &answer.body), (status, &json!("")), "{secret}");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    assert_eq!(site.count(EVENTS).await, 0);

    let events = r#"{"events":[{"resourceId":"9c4a","eventDateUtc":"2026-01-01T10:00:00.000","eventType":"UPDATE","eventCategory":"CONTACT","tenantId":"0c9a"}],"firstEventSequence":1,"lastEventSequence":1}"#;
    for _ in 0..2 {
        let answer = site.send_raw(&id, &signed("xero", events, "webhook key"), events.as_bytes()).await;
        assert_eq!((answer.status, &answer.body), (200, &json!("")), "a duplicate is answered alike");
    }
    assert_eq!(site.count(EVENTS).await, 1);
    let forged = site.send_raw(&id, &signed("xero", events, "another"), events.as_bytes()).await;
    assert_eq!(forged.status, 401);
}

#[tokio::test]
async fn ebays_challenge_is_answered_with_the_hash_of_token_and_url() {
    let site = site().await;
    let id = connect(&site, "ebay", json!({}), json!({ "verification_token": "71745723-d031" })).await;
    let answer = get(&site, &format!("/hooks/{id}?challenge_code=a8628072"), &[]).await;
    let hashed = format!("a862807271745723-d031{}/hooks/{id}", GATEWAY.1.base_url);
    let sql = "select encode(sha256(convert_to($1, 'UTF8')), 'hex')";
    let expected: String = site.admin.query_one(sql, &[&hashed]).await.unwrap().get(0);
    assert_eq!((answer.status, &answer.body), (200, &json!({ "challengeResponse": expected })));
    assert!(answer.header("content-type").starts_with("application/json"));
    assert_eq!(get(&site, &format!("/hooks/{id}"), &[]).await.status, 401, "no challenge");
}

#[tokio::test]
async fn business_central_has_its_token_echoed_and_repeats_its_own() {
    let site = site().await;
    let settings = json!({ "entra_tenant": "acme.example", "company_id": "2681" });
    let id = connect(&site, "business-central", settings, json!({ "webhook_secret": "client state" })).await;
    let validation = site.send_raw(&format!("{id}?validationToken=a%20b%2B7"), &[], b"").await;
    assert_eq!((validation.status, &validation.body), (200, &json!("a b+7")), "{validation:?}");
    assert_eq!(validation.header("x-content-type-options"), "nosniff");

    let change = |state: &str| {
        json!({ "subscriptionId": "s", "clientState": state, "changeType": "updated",
                "resource": "api/v2.0/companies(2681)/customers(0b1c)", "lastModifiedDateTime": "2026-01-01T10:00:00Z" })
    };
    let send = async |states: &[&str]| {
        let value: Vec<Value> = states.iter().map(|state| change(state)).collect();
        site.send_raw(&id, &[], json!({ "value": value }).to_string().as_bytes()).await.status
    };
    assert_eq!(send(&["client state", "guessed"]).await, 401, "one that does not know it spoils all");
    assert_eq!(send(&[]).await, 401);
    assert_eq!(site.count(EVENTS).await, 0);
    assert_eq!(send(&["client state", "client state"]).await, 202);
    assert_eq!(site.count(EVENTS).await, 1);
}

#[tokio::test]
async fn exact_signs_a_part_of_the_body() {
    let site = site().await;
    let id =
        connect(&site, "exact-online", json!({ "division": "1" }), json!({ "webhook_secret": "hush" })).await;
    let content = r#"{"Topic":"Accounts","Action":"Update", "Division":1,"Key":"5a0f","ExactOnlineEndpoint":"https:\/\/start.exactonline.nl\/api\/v1\/1\/crm\/Accounts(guid'5a0f')","EventCreatedOn":"2026-01-01T10:00:00.123"}"#;
    let body = |secret| {
        let hash = hmac(content, secret).to_uppercase();
        format!(r#"{{"Content":{content},"HashCode":"{hash}"}}"#)
    };
    assert_eq!(site.send_raw(&id, &[], body("hush").as_bytes()).await.status, 200);
    assert_eq!(site.send_raw(&id, &[], body("another").as_bytes()).await.status, 401);
    let reformatted = body("hush").replace(", \"Division\"", ",\"Division\"");
    assert_eq!(site.send_raw(&id, &[], reformatted.as_bytes()).await.status, 401);
    assert_eq!(site.count(EVENTS).await, 1);
}

#[tokio::test]
async fn a_batch_of_quickbooks_is_one_event() {
    let site = site().await;
    let id = connect(
        &site,
        "quickbooks",
        json!({ "realm_id": "310687" }),
        json!({ "webhook_secret": "verifier" }),
    )
    .await;
    let entity = |name: &str, id: &str| json!({ "name": name, "id": id, "operation": "Update", "lastUpdated": "2026-01-01T10:00:00.000Z" });
    let entities = [entity("Customer", "1"), entity("Invoice", "2"), entity("Account", "3")];
    let body = json!({ "eventNotifications": [
        { "realmId": "310687", "dataChangeEvent": { "entities": entities } },
    ] })
    .to_string();
    let answer = site.send_raw(&id, &signed("quickbooks", &body, "verifier"), body.as_bytes()).await;
    // Two records to fetch, and an account, which is none of ours.
    assert_eq!(
        (answer.status, answer.text("reason")),
        (200, "a stub: fetch customer 1, sales_order 2"),
        "{answer:?}"
    );
    assert_eq!(site.count(EVENTS).await, 1);
    let again = site.send_raw(&id, &signed("quickbooks", &body, "verifier"), body.as_bytes()).await;
    assert_eq!((again.status, again.text("status")), (200, "duplicate"), "{again:?}");
}

/// Registers a shop: the app's signed request, Nexus' proof, the shop's signed confirmation. The shop's secret.
async fn register(site: &Site<'_>, id: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let query = format!("shop-id=8f2a&shop-url=https://shop.example&timestamp={now}");
    let answer =
        get(site, &format!("/hooks/{id}?{query}"), &header("shopware-app-signature", &hmac(&query, "app")))
            .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("proof"), hmac("8f2ahttps://shop.exampleNexus", "app"));
    let secret = answer.text("secret").to_owned();
    let url = answer.text("confirmation_url").to_owned();
    assert_eq!(url, format!("{}/hooks/{id}?confirm=1", GATEWAY.1.base_url));
    let body = json!({ "apiKey": "SWIAKEY", "secretKey": "shop-canary", "timestamp": "1", "shopId": "8f2a" });
    let body = body.to_string();
    for wrong in ["", "app"] {
        let headers = header("shopware-shop-signature", &hmac(&body, &format!("{wrong}x")));
        let refused = site.send_raw(&format!("{id}?confirm=1"), &headers, body.as_bytes()).await;
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    let headers = header("shopware-shop-signature", &hmac(&body, &secret));
    let confirmed = site.send_raw(&format!("{id}?confirm=1"), &headers, body.as_bytes()).await;
    assert_eq!((confirmed.status, &confirmed.body), (200, &json!("")), "{confirmed:?}");
    secret
}

#[tokio::test]
async fn shopwares_registration_hands_out_the_secret_that_it_then_signs_with() {
    let site = site().await;
    let settings = json!({ "shop": "https://shop.example", "app_name": "Nexus" });
    let id = connect(&site, "shopware", settings, json!({ "app_secret": "app" })).await;
    let query = "shop-id=8f2a&shop-url=https://shop.example&timestamp=1";
    for signature in [hmac(query, "app"), hmac(query, "another")] {
        let headers = header("shopware-app-signature", &signature);
        let refused = get(&site, &format!("/hooks/{id}?{query}"), &headers).await;
        assert_eq!((refused.status, refused.text("code")), (401, "NX301"), "old or forged: {refused:?}");
    }

    let mut number = 0;
    let mut send = async |secret: &str| {
        number += 1;
        let body = json!({ "data": { "event": "customer.written", "payload": [{ "entity": "customer", "operation": "update",
                             "primaryKey": "0a1b", "updatedFields": [] }] },
                           "source": { "shopId": "8f2a", "eventId": number.to_string() }, "timestamp": 1_767_225_600 })
        .to_string();
        let headers = header("shopware-shop-signature", &hmac(&body, secret));
        site.send_raw(&id, &headers, body.as_bytes()).await.status
    };
    assert_eq!(send("anything").await, 401, "no secret yet");
    let first = register(&site, &id).await;
    assert!((64..=255).contains(&first.len()));
    assert_eq!(send(&first).await, 202);
    assert_eq!(send("anything").await, 401);
    let second = register(&site, &id).await;
    assert_ne!(first, second);
    assert_eq!(send(&second).await, 202);
    assert_eq!(send(&first).await, 202, "what is under way may still be signed with the former one");

    let stored = "select string_agg(distinct name, ' ' order by name) from nexus.secret where tenant_id = $1";
    let names: String = site.admin.query_one(stored, &[&site.tenant.tenant_id]).await.unwrap().get(0);
    for name in ["client_id", "client_secret", "webhook_secret"] {
        assert!(names.contains(name), "{names}");
    }
    let by = "select count(*) from nexus.activity_log where tenant_id = $1 and action = 'secret.set'
        and actor like 'connector:%'";
    assert_eq!(site.count(by).await, 6, "one pending and three confirmed; again, only what is new");
    let log = GATEWAY.1.log();
    assert!(!log.contains(&first) && !log.contains(&second) && !log.contains("shop-canary"));
}
