//! What the shops send: small payloads in the shapes that Shopify and WooCommerce document, and their headers.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use nexus_core::connector::Connector;
use nexus_core::signature;
use serde_json::{Value, json};
use uuid::Uuid;

/// The customer of acme who buys in both of its shops.
pub const SHARED_EMAIL: &str = "sanne.devries@example.com";

/// A webhook that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The platform's topic.
    pub topic: &'static str,
    /// The headers, signature included.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte as it was signed.
    pub body: Vec<u8>,
}

/// Numbers that no earlier run has used.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// When it began.
    pub at: Timestamp,
}

impl Run {
    /// What people call an order: `#4821`, unlike those of other runs of the same day.
    pub fn order_number(self, offset: i64) -> i64 {
        10_000 + (self.at.as_second() * 3 + offset) % 90_000
    }

    fn id(self, offset: i64) -> i64 {
        self.at.as_millisecond() * 10 + offset
    }

    /// Seconds before the run, as the platforms write times.
    fn ago(self, seconds: i64) -> String {
        let time = self.at.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(self.at);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// An order in acme's Shopify shop, as it is once it has been paid.
pub fn shopify_order_paid(run: Run) -> Value {
    shopify_order(run, "paid", 60)
}

/// The same order as it was before, when it was placed.
pub fn shopify_order_placed(run: Run) -> Value {
    shopify_order(run, "pending", 300)
}

fn shopify_order(run: Run, financial_status: &str, updated_seconds_ago: i64) -> Value {
    let customer = json!({
        "id": 7_001_000_000_001_i64, "email": SHARED_EMAIL, "first_name": "Sanne", "last_name": "de Vries",
        "phone": "+31612345678", "state": "enabled", "tax_exempt": false, "currency": "EUR", "tags": "newsletter",
        "created_at": "2025-03-14T09:26:53Z", "updated_at": "2025-03-14T09:26:53Z",
    });
    let address = json!({
        "first_name": "Sanne", "last_name": "de Vries", "name": "Sanne de Vries", "address1": "Prinsengracht 263",
        "zip": "1016 GV", "city": "Amsterdam", "country": "Netherlands", "country_code": "NL",
    });
    let lines = json!([
        { "id": run.id(2), "variant_id": 4_400_000_000_011_i64, "product_id": 4_400_000_000_001_i64, "sku": "MUG-BLUE",
          "title": "Stoneware mug", "variant_title": "Blue", "quantity": 3, "price": "14.95", "gift_card": false,
          "discount_allocations": [], "tax_lines": [{ "title": "BTW", "rate": 0.21, "price": "7.78" }] },
        { "id": run.id(3), "variant_id": 4_400_000_000_012_i64, "product_id": 4_400_000_000_002_i64, "sku": "KETTLE-1L",
          "title": "Kettle", "variant_title": "1 litre", "quantity": 1, "price": "90.00", "gift_card": false,
          "discount_allocations": [{ "amount": "10.00" }],
          "tax_lines": [{ "title": "BTW", "rate": 0.21, "price": "13.88" }] },
    ]);
    let shipping_lines = json!([
        { "id": run.id(4), "title": "PostNL", "price": "4.95", "discounted_price": "4.95",
          "tax_lines": [{ "title": "BTW", "rate": 0.21, "price": "0.86" }] },
    ]);
    json!({
        "id": run.id(1), "name": format!("#{}", run.order_number(0)), "order_number": run.order_number(0),
        "email": SHARED_EMAIL, "contact_email": SHARED_EMAIL, "source_name": "web", "test": false,
        "created_at": run.ago(300), "processed_at": run.ago(300), "updated_at": run.ago(updated_seconds_ago),
        "cancelled_at": null, "closed_at": null, "cancel_reason": null,
        "financial_status": financial_status, "fulfillment_status": null,
        "currency": "EUR", "presentment_currency": "EUR", "taxes_included": true,
        "total_line_items_price": "134.85", "total_discounts": "10.00", "total_tax": "22.52", "total_price": "129.80",
        "customer": customer, "billing_address": address, "shipping_address": address,
        "payment_gateway_names": ["ideal"], "note": null, "tags": "", "refunds": [], "fulfillments": [],
        "line_items": lines, "shipping_lines": shipping_lines,
    })
}

/// An order in globex's Shopify shop.
pub fn globex_order(run: Run) -> Value {
    json!({
        "id": run.id(5), "name": format!("#{}", run.order_number(1)), "order_number": run.order_number(1),
        "email": "hank@example.org", "source_name": "web", "test": false,
        "created_at": run.ago(40), "processed_at": run.ago(40), "updated_at": run.ago(40),
        "cancelled_at": null, "closed_at": null, "financial_status": "paid", "fulfillment_status": null,
        "currency": "USD", "taxes_included": false,
        "total_line_items_price": "49.00", "total_discounts": "0.00", "total_tax": "4.04", "total_price": "53.04",
        "customer": { "id": 8_001_000_000_001_i64, "email": "hank@example.org", "first_name": "Hank", "last_name": "Scorpio",
                      "created_at": "2025-01-05T12:00:00Z", "updated_at": "2025-01-05T12:00:00Z" },
        "refunds": [], "fulfillments": [], "shipping_lines": [],
        "line_items": [
            { "id": run.id(6), "variant_id": 4_500_000_000_011_i64, "sku": "HAMMOCK", "title": "Hammock", "quantity": 1,
              "price": "49.00", "gift_card": false, "tax_lines": [{ "title": "Tax", "rate": 0.0825, "price": "4.04" }] },
        ],
    })
}

/// The same customer's order in acme's WooCommerce shop.
pub fn woocommerce_order(run: Run) -> Value {
    let address = json!({
        "first_name": "Sanne", "last_name": "de Vries", "address_1": "Prinsengracht 263", "city": "Amsterdam",
        "postcode": "1016 GV", "country": "NL", "email": "Sanne.deVries@example.com", "phone": "+31612345678",
    });
    let time = run.ago(30).trim_end_matches('Z').to_owned();
    let lines = json!([
        { "id": run.id(8), "name": "Linen tea towel", "product_id": 311, "variation_id": 0, "sku": "TOWEL-LINEN",
          "quantity": 2, "price": 12.5, "subtotal": "25.00", "subtotal_tax": "5.25", "total": "25.00",
          "total_tax": "5.25", "taxes": [{ "id": 1, "total": "5.25", "subtotal": "5.25" }], "meta_data": [] },
    ]);
    let shipping_lines = json!([
        { "id": run.id(9), "method_title": "PostNL", "method_id": "flat_rate", "total": "3.95", "total_tax": "0.83",
          "taxes": [{ "id": 1, "total": "0.83" }], "meta_data": [] },
    ]);
    json!({
        "id": run.id(7), "parent_id": 0, "number": run.order_number(2).to_string(), "status": "processing",
        "currency": "EUR", "prices_include_tax": false, "customer_id": 42, "created_via": "checkout",
        "date_created": time, "date_created_gmt": time, "date_modified": time, "date_modified_gmt": time,
        "date_paid_gmt": time, "date_completed_gmt": null,
        "discount_total": "0.00", "discount_tax": "0.00", "shipping_total": "3.95", "shipping_tax": "0.83",
        "cart_tax": "5.25", "total": "35.03", "total_tax": "6.08",
        "billing": address, "shipping": address, "payment_method": "ideal", "payment_method_title": "iDEAL",
        "customer_note": "", "refunds": [], "fee_lines": [], "coupon_lines": [], "meta_data": [],
        "tax_lines": [{ "id": 3, "rate_id": 1, "label": "BTW", "rate_percent": 21 }],
        "line_items": lines, "shipping_lines": shipping_lines,
    })
}

/// A webhook as Shopify sends it.
pub fn shopify(shop: &str, topic: &'static str, body: Vec<u8>, secret: &str) -> Result<Webhook> {
    let now = Timestamp::now();
    let mut headers = signed("shopify", &body, secret)?;
    headers.extend(
        [
            ("content-type", "application/json".to_owned()),
            ("x-shopify-topic", topic.to_owned()),
            ("x-shopify-shop-domain", shop.to_owned()),
            ("x-shopify-api-version", "2026-07".to_owned()),
            ("x-shopify-webhook-id", Uuid::new_v4().to_string()),
            ("x-shopify-event-id", Uuid::new_v4().to_string()),
            ("x-shopify-triggered-at", now.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(Webhook { topic, headers, body })
}

/// A webhook as WooCommerce sends it.
pub fn woocommerce(site: &str, topic: &'static str, body: Vec<u8>, secret: &str) -> Result<Webhook> {
    let (resource, event) = topic.split_once('.').unwrap_or((topic, ""));
    let mut headers = signed("woocommerce", &body, secret)?;
    headers.extend(
        [
            ("content-type", "application/json".to_owned()),
            ("x-wc-webhook-topic", topic.to_owned()),
            ("x-wc-webhook-resource", resource.to_owned()),
            ("x-wc-webhook-event", event.to_owned()),
            ("x-wc-webhook-source", site.to_owned()),
            ("x-wc-webhook-id", "17".to_owned()),
            ("x-wc-webhook-delivery-id", Uuid::new_v4().simple().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(Webhook { topic, headers, body })
}

/// The signature's headers, made as the platform's own manifest describes them.
fn signed(connector_type: &str, body: &[u8], secret: &str) -> Result<Vec<(String, String)>> {
    let manifests = nexus_core::connector::built_in();
    let (_, toml) = manifests
        .iter()
        .find(|(name, _)| *name == connector_type)
        .ok_or_else(|| anyhow::anyhow!("there is no connector type {connector_type}"))?;
    let connector = Connector::from_toml(toml)?;
    let receive = connector.receive().ok_or_else(|| anyhow::anyhow!("{connector_type} sends no webhooks"))?;
    // Neither platform signs a URL, an id or a time.
    Ok(signature::sign(receive, "", "", 0, body, secret.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_core::normalize::{Headers, Outcome, Request, normalize};

    fn documents(connector_type: &str, webhook: &Webhook) -> Vec<nexus_core::canonical::Document> {
        let (_, toml) = nexus_core::connector::built_in()
            .iter()
            .find(|(name, _)| *name == connector_type)
            .expect("a connector type");
        let connector = Connector::from_toml(toml).expect("a manifest");
        let headers =
            Headers::from_pairs(webhook.headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let settings = json!({ "currency": "EUR" });
        let request = Request { headers: &headers, body: &webhook.body, settings: &settings };
        match normalize(&connector, &request).outcome {
            Outcome::Documents(documents) => documents,
            other => panic!("{other:?}"),
        }
    }

    /// total = subtotal − discount + shipping + tax, tax only where prices exclude it.
    #[test]
    fn the_amounts_of_the_orders_add_up() {
        let run = Run { at: Timestamp::now() };
        let body = |order: Value| order.to_string().into_bytes();
        let cases = [
            ("shopify", shopify("acme.myshopify.com", "orders/updated", body(shopify_order_paid(run)), "s")),
            ("shopify", shopify("globex.myshopify.com", "orders/create", body(globex_order(run)), "s")),
            (
                "woocommerce",
                woocommerce("https://acme.example", "order.created", body(woocommerce_order(run)), "s"),
            ),
        ];
        for (connector_type, webhook) in cases {
            let webhook = webhook.expect("signed");
            let documents = documents(connector_type, &webhook);
            let order =
                &documents.iter().find(|document| document.kind == "sales_order").expect("an order").fields;
            let cents = |name: &str| {
                let text = order[name].as_str().unwrap_or("0");
                (text.parse::<f64>().expect("a number") * 100.0).round() as i64
            };
            let tax = if order["prices_include_tax"] == true { 0 } else { cents("tax_amount") };
            let sum = cents("subtotal_amount") - cents("discount_amount") + cents("shipping_amount") + tax;
            assert_eq!(sum, cents("total_amount"), "{connector_type}: {order:?}");
        }
    }

    #[test]
    fn numbers_differ_between_runs() {
        let earlier = Run { at: Timestamp::now() };
        let later = Run { at: earlier.at + SignedDuration::from_secs(1) };
        assert_ne!(earlier.order_number(2), later.order_number(0));
        assert_ne!(earlier.id(9), later.id(1));
    }
}
