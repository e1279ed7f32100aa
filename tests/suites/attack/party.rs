//! Attackers and victims: tenants with two furnished environments, every row of which can be recognised.

use super::attempt::{LONG_NUMBER, tokens};
use nexus_tests::cluster::Database;
use nexus_tests::gateway::Gateway;
use nexus_tests::ingest::ingest;
use nexus_tests::shop::{
    Webhook, fresh_id, minute, shopify, shopify_bytes, shopify_order, shopify_product, shopify_stock,
};
use nexus_tests::site::{Site, answer};
use nexus_tests::tenant::{Connector, Tenant};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use tokio_postgres::Client;
use uuid::Uuid;

/// A tenant with data in prod and in test.
pub struct Home {
    /// The tenant.
    pub tenant: Tenant,
    /// A login bound to all of it.
    pub analyst: String,
    /// A login bound to prod.
    pub prod_analyst: String,
    /// Keys of prod: of all scopes, and of the scope read.
    pub keys: [String; 2],
    /// A key of test of all scopes.
    pub test_key: String,
    /// In all its text.
    pub canary: String,
}

/// Whose rows: a tenant's, or one environment's of it.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The environment.
    pub environment_id: Option<Uuid>,
}

/// One side of an attack.
#[derive(Debug, Clone)]
pub struct Party {
    /// Its rows.
    pub scope: Scope,
    /// The word in its text.
    pub canary: String,
    /// What its rows can be known by.
    pub marks: HashSet<String>,
    /// A value for each `table.column`.
    pub values: BTreeMap<String, String>,
}

impl Home {
    /// Makes a tenant and takes in what a shop sends, until every table of tenants has rows of both environments.
    pub async fn furnish(database: &Database, gateway: &Gateway) -> Self {
        let site = Site::create(database, gateway).await;
        let canary = format!("canary{}", &Uuid::new_v4().simple().to_string()[..10]);
        let test_key = site.key("test", "read,write,admin").await;
        for (key, environment_id, word) in [
            (&site.api_key, site.tenant.prod, format!("{canary}p")),
            (&test_key, site.tenant.test, format!("{canary}t")),
        ] {
            furnish(&site, key, environment_id, &word).await;
        }
        Self {
            analyst: site.tenant.analyst(database, &site.admin, None).await,
            prod_analyst: site.tenant.analyst(database, &site.admin, Some(site.tenant.prod)).await,
            keys: [site.api_key.clone(), site.key("prod", "read").await],
            test_key,
            tenant: site.tenant.clone(),
            canary,
        }
    }

    /// All of it.
    pub async fn whole(&self, admin: &Client) -> Party {
        self.party(admin, None, String::new()).await
    }

    /// Its environment prod.
    pub async fn prod(&self, admin: &Client) -> Party {
        self.party(admin, Some(self.tenant.prod), "p".to_owned()).await
    }

    /// Its environment test.
    pub async fn test(&self, admin: &Client) -> Party {
        self.party(admin, Some(self.tenant.test), "t".to_owned()).await
    }

    async fn party(&self, admin: &Client, environment_id: Option<Uuid>, suffix: String) -> Party {
        let scope = Scope { tenant_id: self.tenant.tenant_id, environment_id };
        let mut party = Party {
            scope,
            canary: format!("{}{suffix}", self.canary),
            marks: HashSet::new(),
            values: BTreeMap::new(),
        };
        for table in tables_of_tenants(admin).await {
            // The richest row has a value for most columns. Where rows name no environment, any of the tenant's.
            let sql = format!(
                "select to_jsonb(t) from nexus.{table} t where t.tenant_id = $1
                   and coalesce((to_jsonb(t) ->> 'environment_id')::uuid = $2, true)
                 order by (select count(*) from jsonb_object_keys(jsonb_strip_nulls(to_jsonb(t)))) desc limit 1"
            );
            let row = admin.query_opt(&sql, &[&scope.tenant_id, &scope.environment_id]).await.unwrap();
            let row: Value =
                row.unwrap_or_else(|| panic!("nexus.{table} has no row: let furnish() make one")).get(0);
            for (column, value) in row.as_object().unwrap() {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if !value.is_null() {
                    party.values.insert(format!("{table}.{column}"), text);
                }
            }
            let sql = format!("select to_jsonb(t)::text from nexus.{table} t where {}", scope.condition());
            for row in admin.query(&sql, &[]).await.unwrap() {
                party.marks.extend(tokens(row.get(0)));
            }
        }
        party
    }
}

impl Scope {
    /// As a condition for the rows of any table of tenants.
    pub fn condition(&self) -> String {
        let tenant = format!("t.tenant_id = '{}'", self.tenant_id);
        match self.environment_id {
            None => tenant,
            Some(id) => format!("{tenant} and to_jsonb(t) ->> 'environment_id' = '{id}'"),
        }
    }
}

impl Party {
    /// The victim as this attacker sees it: what both have in common marks nothing.
    pub fn against(mut self, attacker: &Party) -> Self {
        self.marks.retain(|mark| !attacker.marks.contains(mark));
        let own_tenant = attacker.scope.tenant_id.simple().to_string();
        self.marks.remove(&own_tenant);
        assert!(self.marks.len() > 50, "a victim that can be recognised: {}", self.marks.len());
        self
    }

    /// As a victim whose rows may be seen, and must not change.
    pub fn unmarked(mut self) -> Self {
        self.marks.clear();
        self.canary.clear();
        self
    }

    /// Whether a row of the table tells that it is the victim's.
    pub fn is_seen_in(&self, table: &str) -> bool {
        let place = format!("{table}.");
        let values = self.values.range(place.clone()..).take_while(|(name, _)| name.starts_with(&place));
        values.flat_map(|(_, value)| tokens(value)).any(|token| self.marks.contains(&token))
    }

    /// Where a value of this name stands: in the table that is named by it, else in any.
    pub fn place(&self, name: &str) -> Option<String> {
        let table = name.strip_suffix("_id").unwrap_or(name);
        let suffix = format!(".{name}");
        [format!("{table}.{name}"), format!("webhook_{table}.webhook_{name}")]
            .into_iter()
            .find(|place| self.values.contains_key(place))
            .or_else(|| self.values.keys().find(|place| place.ends_with(&suffix)).cloned())
    }

    /// A value of the same form that nobody has. What the attacker has itself stays as it is.
    pub fn decoy(&self, value: &str, attacker: &Party) -> String {
        if let Ok(id) = Uuid::parse_str(value) {
            if id == attacker.scope.tenant_id {
                return value.to_owned();
            }
            // The time in front stays, by which history is partitioned.
            let other = Uuid::from_u128(id.as_u128() ^ 0x5_a5a5_a5a5);
            return if value.contains('-') { other.to_string() } else { other.simple().to_string() };
        }
        let nobody: String = self.canary.chars().rev().collect();
        let named = value.replace(&self.canary.to_uppercase(), &nobody.to_uppercase());
        let mut decoy = String::new();
        let mut digits = String::new();
        for c in named.replace(&self.canary, &nobody).chars().chain(['\0']) {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let is_long = digits.len() >= LONG_NUMBER;
            decoy.extend(digits.drain(..).enumerate().map(|(place, digit)| {
                let other = char::from(b'0' + b'9' - digit as u8);
                if is_long && place > 0 { other } else { digit }
            }));
            decoy.push(c);
        }
        decoy.pop();
        decoy
    }
}

/// Every table with rows of tenants, partitions aside.
pub async fn tables_of_tenants(admin: &Client) -> Vec<String> {
    let sql = "select t from unnest(nexus._tenant_tables()) t order by t";
    admin.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// What an environment gets: configuration through the API, events through ingest, attempts through the queue.
async fn furnish(site: &Site<'_>, key: &str, environment_id: Uuid, word: &str) {
    let post = async |path: &str, body: Value| {
        let request = site.request(Method::POST, path).header("x-api-key", key);
        let made = answer(request.header("idempotency-key", format!("\"{word}{path}\"")).json(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body
    };
    let connector = json!({
        "connector_type": "shopify", "name": word, "secrets": { "webhook_secret": word },
        "settings": { "shop": format!("{word}.myshopify.com"), "currency": "EUR" },
    });
    let made = post("/api/v1/connectors", connector).await;
    let connector = Connector {
        tenant_id: site.tenant.tenant_id,
        connector_id: made["connector_id"].as_str().unwrap().parse().unwrap(),
        connector_type: "shopify",
        secret: word.to_owned(),
    };
    let url = format!("https://example.com/{word}");
    let definition = json!({ "kinds": ["sales_order"], "execution_url": url });
    post("/api/v1/flows", json!({ "name": word, "definition": definition })).await;
    let wanted = json!({ "url": url, "event_types": ["*"], "description": word });
    post("/api/v1/portal/webhooks/subscribe", wanted).await;

    let webhooks = webhooks(word);
    for (webhook, status) in &webhooks {
        let taken = ingest(&site.admin, &connector, webhook).await.unwrap();
        assert_eq!(taken.status, *status, "{taken:?}");
    }
    let again = ingest(&site.admin, &connector, &webhooks[0].0).await.unwrap();
    assert_eq!(again.status, "duplicate");

    // A platform that only names what changed, and readings anew.
    let stubs = site.tenant.connector_in(&site.admin, environment_id, "bigcommerce").await;
    let stub = json!({ "scope": "store/order/created", "store_id": "1", "data": { "type": "order", "id": fresh_id() },
                       "hash": word, "created_at": 1_767_225_600, "producer": word });
    let stub = ingest(&site.admin, &stubs, &shopify("", &stub, minute(0))).await.unwrap();
    for filter in [json!({ "connector_id": connector.connector_id }), json!({ "event_ids": [stub.event()] })]
    {
        let reprocess = "select * from nexus.reprocess($1, $2, 100)";
        site.admin.query(reprocess, &[&site.tenant.tenant_id, &filter]).await.unwrap();
    }

    // Another shop that knows the same people, surely or perhaps, and what was decided about them.
    let outlet = site.tenant.connector_in(&site.admin, environment_id, "shopify").await;
    let known: Value = serde_json::from_slice(&webhooks[1].0.body).unwrap();
    for (id, email, phone) in [
        (1, known["email"].clone(), Value::Null),
        (2, json!(format!("other.{word}@example.com")), known["phone"].clone()),
        (3, json!(format!("third.{word}@example.com")), Value::Null),
    ] {
        let mut person = known.clone();
        let changes =
            json!({ "id": id, "email": email, "phone": phone, "default_address": null, "addresses": [] });
        person.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let taken =
            ingest(&site.admin, &outlet, &shopify("customers/create", &person, minute(4))).await.unwrap();
        assert_eq!(taken.status, "accepted", "{taken:?}");
    }
    let decided = "select nexus.merge($1, 'customer', r.entity_id, o.entity_id, $3),
               nexus.set_survivorship($1, r.environment_id, 'customer', null, $2, 5)
        from nexus.source_record r
        join nexus.source_record o on o.tenant_id = $1 and o.connector_id = $2 and o.kind = 'customer' and o.external_id = '1'
        where r.tenant_id = $1 and r.connector_id = $2 and r.kind = 'customer' and r.external_id = '3'";
    site.admin.execute(decided, &[&site.tenant.tenant_id, &outlet.connector_id, &word]).await.unwrap();

    // Attempts that failed: their deliveries stay in the queue, and the gateway of these tests does not dispatch.
    let attempts = "select nexus.settle($1, 'suite', (
            select jsonb_agg(to_jsonb(c) || jsonb_build_object(
                'log_id', nexus.uuid_v7(), 'outcome', 'retry', 'status_code', 500, 'latency_ms', 5, 'error_class', 'http',
                'error', $2::text, 'response_headers', jsonb_build_object('x-served-by', $2), 'response_body', $2,
                'next_attempt_at', now() + interval '1 year', 'attempted_at', now()))
            from nexus.claim($1, 'suite', 4) c where c.environment_id = $3))";
    site.admin.execute(attempts, &[&site.tenant.tenant_id, &word, &environment_id]).await.unwrap();
}

/// What a shop sends, and what comes of it.
fn webhooks(word: &str) -> Vec<(Webhook, &'static str)> {
    let id = fresh_id();
    let email = format!("Buyer.{word}@Example.com");
    let address = json!({
        "id": id + 20, "default": true, "first_name": word, "last_name": "Lovelace", "name": word, "company": word,
        "address1": format!("{word} Square 12"), "address2": word, "zip": "SW1Y 4JH", "city": word, "country_code": "GB",
        "province": word, "province_code": "LND", "phone": "+44 20 7946 0000",
    });
    let customer = json!({
        "id": id + 1, "email": email, "phone": "+44 20 7946 0000", "first_name": word, "last_name": "Lovelace", "note": word,
        "verified_email": true, "state": "enabled", "currency": "EUR", "tags": word, "tax_exempt": false,
        "created_at": minute(-60), "updated_at": minute(-60), "default_address": address, "addresses": [address],
    });
    let payment = json!({
        "id": id + 30, "order_id": id, "kind": "refund", "status": "success", "gateway": word, "authorization": word,
        "amount": "14.95", "currency": "EUR", "parent_id": id + 31, "created_at": minute(2), "processed_at": minute(2),
    });
    let mut order = shopify_order(id, minute(3));
    let line = order["line_items"][0].clone();
    let changes = json!({
        "email": email, "phone": "+44 20 7946 0000", "customer": customer, "billing_address": address, "shipping_address": address,
        "note": word, "tags": word, "po_number": word, "payment_gateway_names": [word],
        "fulfillments": [{
            "id": id + 40, "order_id": id, "location_id": id + 50, "status": "success", "tracking_company": word,
            "tracking_numbers": [word], "tracking_urls": [format!("https://example.com/{word}")], "line_items": [line],
            "created_at": minute(2), "updated_at": minute(2),
        }],
        "refunds": [{
            "id": id + 60, "order_id": id, "note": word, "created_at": minute(2), "processed_at": minute(2),
            "transactions": [payment],
            "refund_line_items": [{ "id": id + 61, "line_item_id": id + 2, "line_item": line, "quantity": 1,
                                    "restock_type": "return", "subtotal": "14.95", "total_tax": "2.60" }],
        }],
    });
    order.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let mut product = shopify_product(id + 70, minute(1));
    product["title"] = json!(word);
    product["vendor"] = json!(word);
    product["variants"][0]["sku"] = json!(format!("{word}-{id}"));
    let mut stock = shopify_stock(id + 70, 4, minute(1));
    stock["location_id"] = json!(id + 50);
    let location = json!({ "id": id + 50, "name": word, "address1": word, "country_code": "GB", "active": true,
                           "legacy": false, "created_at": minute(0), "updated_at": minute(1) });
    vec![
        (shopify("orders/create", &order, minute(3)), "accepted"),
        (shopify("customers/create", &customer, minute(3)), "accepted"),
        (shopify("products/create", &product, minute(3)), "accepted"),
        (shopify("locations/create", &location, minute(3)), "accepted"),
        (shopify("inventory_levels/update", &stock, minute(3)), "accepted"),
        (shopify("carts/update", &json!({ "id": word }), minute(3)), "ignored"),
        (shopify_bytes("orders/create", format!("{{\"{word}\"").into_bytes(), minute(3)), "quarantined"),
    ]
}
