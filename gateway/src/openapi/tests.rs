use crate::router::documented;
use serde_json::Value;
use std::collections::BTreeSet;

fn description() -> Value {
    serde_json::to_value(documented(true).describe()).expect("JSON")
}

fn operations(description: &Value) -> Vec<(String, &Value)> {
    let paths = description["paths"].as_object().expect("paths");
    let each = |(path, item): (&String, &'_ Value)| {
        let path = path.clone();
        let item = item.as_object().expect("an item").clone();
        item.keys().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    let names: Vec<String> = paths.iter().flat_map(each).collect();
    names
        .into_iter()
        .map(|name| {
            let (method, path) = name.split_once(' ').expect("two words");
            let operation = &description["paths"][path][method];
            (name.clone(), operation)
        })
        .collect()
}

#[test]
fn every_path_of_the_contract_is_described() {
    let description = description();
    assert_eq!(description["openapi"], "3.1.0");
    let found: BTreeSet<String> = operations(&description).into_iter().map(|(name, _)| name).collect();
    for expected in [
        "post /hooks/{connector_id}",
        "get /hooks/{connector_id}",
        "options /hooks/{connector_id}",
        "get /healthz",
        "get /readyz",
        "get /metrics",
        "get /openapi.json",
        "get /docs",
        "get /api/v1/tenants",
        "post /api/v1/tenants",
        "patch /api/v1/tenants/{tenant_id}",
        "delete /api/v1/api-keys/{api_key_id}",
        "get /api/v1/nexus/orders/{sales_order_id}",
        "get /api/v1/nexus/orders/{sales_order_id}/provenance",
        "get /api/v1/nexus/customers/{customer_id}/history",
        "post /api/v1/jobs/{job_id}/callback",
        "post /api/v1/events/{event_id}/reprocess",
        "post /api/v1/jobs/{job_id}/retry",
        "post /api/v1/jobs/{job_id}/cancel",
        "post /api/v1/portal/webhooks/subscribe",
        "patch /api/v1/portal/webhooks/{subscription_id}",
        "delete /api/v1/portal/webhooks/{subscription_id}",
        "post /api/v1/portal/webhooks/{subscription_id}/rotate-secret",
        "post /api/v1/portal/webhooks/{subscription_id}/test",
        "post /api/v1/integrations/events/{event_id}/replay",
        "get /api/v1/activity",
        "get /api/v1/webhooks/stream",
    ] {
        assert!(found.contains(expected), "{expected} is not described");
    }
}

#[test]
fn every_operation_says_what_it_does_and_answers() {
    let description = description();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&description) {
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.len() > 1 && responses.contains_key("default"), "{name}");
        assert!(ids.insert(operation["operationId"].to_string()), "{name}: its id is another's");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    found.insert(reference.to_owned());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let (description, mut found) = (description(), BTreeSet::new());
    references(&description, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let place = reference.strip_prefix('#').expect("a reference within");
        assert!(description.pointer(place).is_some(), "{reference}");
    }
}
