//! What a connector is given is held to its platform's manifest before anything is written.

use super::connect;
use crate::{GATEWAY, site};
use nexus_tests::gateway::try_admin;
use nexus_tests::site::answer;
use reqwest::Method;
use serde_json::{Value, json};

const WRITTEN: &str = "select (select count(*) from nexus.connector where tenant_id = $1)
    + (select count(*) from nexus.secret where tenant_id = $1)
    + (select count(*) from nexus.activity_log where tenant_id = $1)";

#[tokio::test]
async fn a_connector_that_does_not_fit_its_manifest_is_not_made() {
    let site = site().await;
    let before = site.count(WRITTEN).await;
    for (connector_type, settings, secrets, place) in [
        ("shopify", json!({ "shop": 7 }), json!({}), "settings.shop"),
        ("shopify", json!({ "shop": "a", "currency": "euro" }), json!({}), "settings.currency"),
        ("stripe", json!({}), json!({ "webhook_secret": "canary" }), "secrets.webhook_secret"),
        ("vendure", json!({ "site": "a", "signature": "rot13" }), json!({}), "settings.signature"),
    ] {
        let wanted = json!({ "connector_type": connector_type, "name": "x", "settings": settings, "secrets": secrets });
        let refused = site.post("/api/v1/connectors", &wanted).await;
        assert_eq!((refused.status, refused.text("code")), (422, "NX403"), "{wanted}: {refused:?}");
        assert_eq!(refused.text("parameter"), place);
        assert!(refused.text("detail").starts_with(place) && !refused.body.to_string().contains("canary"));
    }
    let unknown = json!({ "connector_type": "cuneiform", "name": "x" });
    assert_eq!(site.post("/api/v1/connectors", &unknown).await.status, 404);
    assert_eq!(site.count(WRITTEN).await, before);

    let unfinished = json!({ "connector_type": "shopify", "name": "x", "settings": { "colour": "red" } });
    let made = site.post("/api/v1/connectors", &unfinished).await;
    let warnings = json!([
        "settings.shop: is required",
        "settings.colour: is not known to the connector type",
        "secrets.webhook_secret: is required",
    ]);
    assert_eq!((made.status, &made.body["warnings"]), (201, &warnings), "what is missing may follow");
}

#[tokio::test]
async fn a_change_that_does_not_fit_the_manifest_is_not_made() {
    let site = site().await;
    let settings = json!({ "shop": "acme.myshopify.com" });
    let id = connect(&site, "shopify", settings, json!({ "webhook_secret": "hush" })).await;
    let before = site.count(WRITTEN).await;
    for (changes, place) in [
        (json!({ "settings": { "shop": [] } }), "settings.shop"),
        (json!({ "name": "y", "settings": { "shop": "a", "currency": "euro" } }), "settings.currency"),
    ] {
        let request = site.request(Method::PATCH, &format!("/api/v1/connectors/{id}"));
        let refused = answer(request.header("x-api-key", &site.api_key).json(&changes)).await;
        assert_eq!((refused.status, refused.text("parameter")), (422, place), "{refused:?}");
    }
    assert_eq!(site.count(WRITTEN).await, before);
    let request = site.request(Method::PATCH, &format!("/api/v1/connectors/{id}"));
    let changes = json!({ "secrets": { "access_token": "shpat_1" } });
    let changed = answer(request.header("x-api-key", &site.api_key).json(&changes)).await;
    assert_eq!(changed.status, 200, "one secret of several: {changed:?}");
}

#[tokio::test]
async fn the_command_line_refuses_the_same() {
    let site = site().await;
    let database = &GATEWAY.0;
    let tenant = site.tenant.tenant_id.to_string();
    let before = site.count(WRITTEN).await;
    let create = |settings: &Value| {
        let settings = settings.to_string();
        let of_type = ["create-connector", "--tenant", &tenant, "--type", "stripe", "--name", "pay"];
        try_admin(database, &[of_type.as_slice(), &["--settings", &settings]].concat(), "")
    };
    let refused = create(&json!({ "api_version": 1 })).unwrap_err();
    assert!(
        refused.contains("settings.api_version: must be of type string") && refused.contains("NX403"),
        "{refused}"
    );
    assert_eq!(site.count(WRITTEN).await, before);
    let made = create(&json!({})).unwrap();
    let id = made["connector_id"].as_str().unwrap();
    let set = |secret| try_admin(database, &["set-secret", "--tenant", &tenant, "--owner", id], secret);
    let refused = set("canary").unwrap_err();
    assert!(refused.contains("secrets.webhook_secret") && !refused.contains("canary"), "{refused}");
    assert!(set("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
}
