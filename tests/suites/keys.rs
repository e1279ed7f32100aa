//! API keys on several gateways: what ends on one ends on all.

use crate::GATEWAY;
use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::gateway::{Gateway, admin};
use nexus_tests::site::{Answer, Site};
use nexus_tests::wait::{eventually, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::LazyLock;
use tokio_postgres::IsolationLevel;

/// Another gateway on the database that tests share.
static SECOND: LazyLock<Gateway> = LazyLock::new(|| Gateway::start(&GATEWAY.0));

/// One tenant, seen at two gateways.
struct Two {
    site: Site<'static>,
    other: Site<'static>,
}

impl Two {
    async fn create() -> Self {
        let (database, gateway): &(Database, Gateway) = &GATEWAY;
        let site = Site::create(database, gateway).await;
        let mut other = Site::create(database, &SECOND).await;
        other.move_to(&SECOND);
        Self { site, other }
    }

    /// What both answer to a key.
    async fn statuses(&self, key: &str) -> [u16; 2] {
        let ask = async |site: &Site<'_>| site.get_as(key, "/api/v1/flows").await.status;
        [ask(&self.site).await, ask(&self.other).await]
    }

    async fn until(&self, key: &str, status: u16) {
        let what = format!("both gateways answer {status}");
        until(&what, async || self.statuses(key).await == [status; 2]).await;
    }

    /// A key made over REST, once both know it.
    async fn key(&self, members: Value) -> Answer {
        let mut wanted = json!({ "name": "suite" });
        wanted.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let made = self.site.post("/api/v1/api-keys", &wanted).await;
        assert_eq!((made.status, made.header("cache-control")), (201, "no-store"), "{made:?}");
        assert_eq!(self.statuses(made.text("api_key")).await[0], 200, "the gateway that made it knows it");
        self.until(made.text("api_key"), 200).await;
        made
    }
}

#[tokio::test]
async fn a_key_ends_at_every_gateway() {
    let two = Two::create().await;
    let made = two.key(json!({})).await;
    let path = format!("/api/v1/api-keys/{}", made.text("api_key_id"));
    let listed = two.site.get(&path).await;
    assert_eq!((listed.status, listed.text("key_prefix")), (200, &made.text("api_key")[..14]), "{listed:?}");
    assert!(!listed.body.to_string().contains(made.text("api_key")));
    let ended = two.site.call(Method::DELETE, &path, &two.site.api_key, &json!({})).await;
    assert_eq!(ended.status, 204, "{ended:?}");
    assert_eq!(two.statuses(made.text("api_key")).await[0], 401, "where it was revoked, at once");
    two.until(made.text("api_key"), 401).await;
    let again = two.site.call(Method::DELETE, &path, &two.site.api_key, &json!({})).await;
    assert_eq!((again.status, again.text("code")), (404, "NX404"));
}

#[tokio::test]
async fn a_key_expires_by_itself() {
    let two = Two::create().await;
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let made = two.key(json!({ "expires_at": ends })).await;
    two.until(made.text("api_key"), 401).await;
    assert!(jiff::Timestamp::now() >= ends);
    let past = json!({ "name": "late", "expires_at": ends });
    let refused = two.site.post("/api/v1/api-keys", &past).await;
    assert_eq!((refused.status, refused.text("code")), (422, "NX403"), "{refused:?}");
}

#[tokio::test]
async fn a_key_and_its_successor_overlap() {
    let two = Two::create().await;
    let former = two.key(json!({ "scopes": ["read", "write"] })).await;
    let rotate = async |id: &str, overlap: u32| {
        let path = format!("/api/v1/api-keys/{id}/rotate");
        let made = two.site.post(&path, &json!({ "overlap_seconds": overlap })).await;
        assert_eq!(made.status, 201, "{made:?}");
        made
    };
    let second = rotate(former.text("api_key_id"), 3).await;
    two.until(second.text("api_key"), 200).await;
    assert_eq!(two.statuses(former.text("api_key")).await, [200; 2], "both are in force");
    two.until(former.text("api_key"), 401).await;
    assert_eq!(two.statuses(second.text("api_key")).await, [200; 2]);
    let listed = two.site.get(&format!("/api/v1/api-keys/{}", second.text("api_key_id"))).await;
    assert_eq!(listed.body["scopes"], json!(["read", "write"]), "it may what its predecessor might");

    let third = rotate(second.text("api_key_id"), 0).await;
    assert_eq!(two.statuses(second.text("api_key")).await[0], 401, "without overlap it ends at once");
    two.until(third.text("api_key"), 200).await;
    two.until(second.text("api_key"), 401).await;
}

#[tokio::test]
async fn a_platform_key_ends_too() {
    let two = Two::create().await;
    let made = admin(&GATEWAY.0, &["create-key", "--platform", "--name", "suite"], "");
    let (key, id) = (made["platform_key"].as_str().unwrap(), made["platform_key_id"].as_str().unwrap());
    let statuses = async || {
        let ask = async |site: &Site<'_>| site.get_as(key, "/api/v1/tenants?limit=1").await.status;
        [ask(&two.site).await, ask(&two.other).await]
    };
    until("both gateways know the key", async || statuses().await == [200; 2]).await;
    admin(&GATEWAY.0, &["revoke-key", "--platform", id], "");
    until("both gateways refuse it", async || statuses().await == [401; 2]).await;
    let log = "select array_agg(action order by at), bool_and(actor = session_user) from nexus.activity_log
               where tenant_id = '00000000-0000-0000-0000-000000000000' and object_id = $1";
    let row = two.site.admin.query_one(log, &[&id.parse::<uuid::Uuid>().unwrap()]).await.unwrap();
    let (actions, is_ours): (Vec<String>, bool) = (row.get(0), row.get(1));
    assert_eq!(
        (actions, is_ours),
        (vec!["platform_key.created".to_owned(), "platform_key.revoked".to_owned()], true)
    );
}

#[tokio::test]
async fn the_last_use_is_written_down() {
    let database = SHARED.database();
    let mut gateway = Gateway::start(&database);
    let mut site = Site::create(&database, &gateway).await;
    let used = jiff::Timestamp::now();
    site.get("/api/v1/flows").await;
    // Once a minute, and when the gateway stops.
    gateway.terminate();
    eventually("the gateway has stopped", async || gateway.ended()).await;
    let second = Gateway::start(&database);
    site.move_to(&second);
    let keys = site.get("/api/v1/api-keys").await;
    let last_used: Vec<jiff::Timestamp> = keys.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|key| key["last_used_at"].as_str()?.parse().ok())
        .collect();
    assert!(last_used.iter().any(|at| *at >= used - jiff::SignedDuration::from_secs(1)), "{keys:?}");
}

#[tokio::test]
async fn gateways_read_again_what_changed_and_not_for_a_keys_last_use() {
    let database = SHARED.database();
    let gateway = Gateway::start(&database);
    let mut site = Site::create(&database, &gateway).await;
    let tenant_id = site.tenant.tenant_id;
    // One snapshot, in which the other tests change nothing.
    let transaction = site.admin.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = transaction.start().await.unwrap();
    let read = "select fingerprint, configuration is null from nexus.gateway_configuration($1)";
    let mut known: Option<String> = None;
    for (change, is_known) in [
        ("select $1::uuid", false),
        ("update nexus.api_key set last_used_at = now() where tenant_id = $1", true),
        ("update nexus.api_key set revoked_at = now() where tenant_id = $1", false),
        ("update nexus.connector set settings = settings where tenant_id = $1", false),
        ("update nexus.secret set valid_until = now() where tenant_id = $1", false),
        ("update nexus.tenant set is_active = false where tenant_id = $1", false),
        ("select $1::uuid", true),
    ] {
        let rows = transaction.execute(change, &[&tenant_id]).await.unwrap();
        assert!(rows > 0, "{change}");
        let row = transaction.query_one(read, &[&known]).await.unwrap();
        assert_eq!(row.get::<_, bool>(1), is_known, "after {change}");
        known = row.get(0);
    }
}
