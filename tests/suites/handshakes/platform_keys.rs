//! Platforms that sign with a private key of theirs: the public one is fetched, kept, and never the reason why
//! a webhook is lost.

use super::{EVENTS, connect, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nexus_tests::authority::Authority;
use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::gateway::Gateway;
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::Site;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

/// A platform that publishes its keys, with TLS of an authority that the gateway trusts.
struct Platform {
    keys: Sink,
    key: SigningKey,
    database: Database,
    gateway: Gateway,
}

impl Platform {
    async fn start() -> Self {
        let authority = Authority::create();
        let keys = Sink::start_with(&authority.certificate("localhost")).await;
        let database = SHARED.database();
        let file = authority.file().to_str().unwrap();
        let gateway = Gateway::start_with(&database.gateway_url, &[("SSL_CERT_FILE", file)]);
        Self { keys, key: SigningKey::from_slice(&[7; 32]).unwrap(), database, gateway }
    }

    /// The platform, as a connector type that signs for all its customers with one key, as eBay and Adobe do.
    async fn register(&self, site: &Site<'_>) {
        let manifest = json!({
            "type": "keyed", "name": "Keyed", "version": 1,
            "auth": {
                "settings": { "type": "object", "properties": { "client_id": { "type": "string" } } },
                "secrets": { "type": "object", "properties": { "access_token": { "type": "string" } } },
            },
            "receive": {
                "signature": {
                    "scheme": "ecdsa_p256", "header": "x-signature", "header_format": "base64_json",
                    "key_id_part": "kid", "secret": "access_token",
                    "key_source": { "url": self.keys.url("/keys/{key_id}"), "authenticated": true, "digest": "digest" },
                    "recipient": { "paths": ["$.to"], "setting": "client_id" },
                },
                "topic": "$.topic",
            },
            "entities": { "product": { "topics": ["product"], "documents": [
                { "kind": "product", "external_id": "$.id", "fields": { "title": "$.title" } },
            ] } },
        });
        let sql = "select nexus.register_connector_type($1)";
        site.admin.execute(sql, &[&manifest]).await.unwrap();
    }

    /// What the platform answers about its key.
    fn public_key(&self) -> Reply {
        let point = self.key.verifying_key().to_encoded_point(false);
        let (x, y) = (BASE64.encode(point.x().unwrap()), BASE64.encode(point.y().unwrap()));
        Reply::json(200, &json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "digest": "SHA256" }))
    }

    /// The header of a body, signed with the key of this name.
    fn signed(&self, body: &str, key_id: &str) -> Vec<(String, String)> {
        let signature: Signature = self.key.sign(body.as_bytes());
        let signature = BASE64.encode(signature.to_der().as_bytes());
        let named = json!({ "alg": "ecdsa", "kid": key_id, "signature": signature, "digest": "SHA256" });
        header("x-signature", &BASE64.encode(named.to_string()))
    }
}

fn product(id: u32, to: &str) -> String {
    json!({ "topic": "product", "id": id, "title": "Mug", "to": to }).to_string()
}

#[tokio::test]
async fn a_published_key_is_fetched_once_and_what_it_signs_is_taken() {
    let platform = Platform::start().await;
    let site = Site::create(&platform.database, &platform.gateway).await;
    platform.register(&site).await;
    let secrets = json!({ "access_token": "app token" });
    let id = connect(&site, "keyed", json!({ "client_id": "ours" }), secrets).await;
    platform.keys.answer("/keys/k1", platform.public_key());
    for number in 1..=3 {
        let body = product(number, "ours");
        let taken = site.send_raw(&id, &platform.signed(&body, "k1"), body.as_bytes()).await;
        assert_eq!((taken.status, taken.text("status")), (202, "accepted"), "{taken:?}");
    }
    let asked = platform.keys.received("/keys/k1");
    assert_eq!((asked.len(), asked[0].header("authorization")), (1, "Bearer app token"));

    let altered = product(4, "ours").replace("Mug", "Jug");
    let forged = site.send_raw(&id, &platform.signed(&product(4, "ours"), "k1"), altered.as_bytes()).await;
    assert_eq!((forged.status, forged.text("code")), (401, "NX301"), "{forged:?}");
    let foreign = product(5, "another customer's");
    let refused = site.send_raw(&id, &platform.signed(&foreign, "k1"), foreign.as_bytes()).await;
    assert_eq!((refused.status, refused.text("code")), (401, "NX301"), "rightly signed, for somebody else");
    assert_eq!(site.send_raw(&id, &[], foreign.as_bytes()).await.status, 401, "no key is named");
    assert_eq!(site.count(EVENTS).await, 3);
}

#[tokio::test]
async fn a_key_that_cannot_be_fetched_makes_the_platform_come_again() {
    let platform = Platform::start().await;
    let site = Site::create(&platform.database, &platform.gateway).await;
    platform.register(&site).await;
    let settings = || json!({ "client_id": "ours" });
    let id = connect(&site, "keyed", settings(), json!({ "access_token": "app token" })).await;
    let body = product(1, "ours");
    let send = async |id: &str, key_id: &str| {
        site.send_raw(id, &platform.signed(&body, key_id), body.as_bytes()).await
    };
    let is_to_come_again = |answer: &nexus_tests::site::Answer| {
        let seconds: u32 = answer.header("retry-after").parse().unwrap_or(0);
        assert_eq!((answer.status, answer.text("code")), (503, "NX306"), "{answer:?}");
        assert!((1..=60).contains(&seconds), "{answer:?}");
    };
    for status in [500, 401, 404, 302] {
        let key_id = format!("k{status}");
        platform.keys.answer(&format!("/keys/{key_id}"), Reply::status(status));
        for _ in 0..2 {
            is_to_come_again(&send(&id, &key_id).await);
        }
        assert_eq!(platform.keys.received(&format!("/keys/{key_id}")).len(), 1, "a failure is remembered");
    }
    assert_eq!(site.count(EVENTS).await, 0);
    platform.keys.answer("/keys/good", platform.public_key());
    assert_eq!(send(&id, "good").await.status, 202, "other keys are not concerned");

    let without: Value = json!({});
    let tokenless = connect(&site, "keyed", settings(), without).await;
    is_to_come_again(&send(&tokenless, "good").await);
    assert_eq!(platform.keys.received("/keys/good").len(), 1);
}
