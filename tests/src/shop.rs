//! Payloads as Shopify and WooCommerce document them, small and complete, and the requests that carry them.

use crate::tenant::Connector;
use jiff::{SignedDuration, Timestamp};
use nexus_core::connector::{Connector as Manifest, built_in};
use nexus_core::signature;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;
use uuid::Uuid;

/// By connector type; those who send much need not read them each time.
static MANIFESTS: LazyLock<HashMap<&str, Manifest>> = LazyLock::new(|| {
    let read = |(name, toml): &(&'static str, &str)| (*name, Manifest::from_toml(toml).expect("a manifest"));
    built_in().iter().map(read).collect()
});

/// A webhook, not yet signed.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// When the platform sent it; tests by SQL receive it then.
    pub sent_at: Timestamp,
}

impl Webhook {
    /// The headers as `nexus.ingest` takes them.
    pub fn headers_as_json(&self) -> Value {
        let members = self.headers.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// The same webhook, delivered once more under another delivery id, a second later.
    pub fn delivered_again(&self) -> Self {
        let mut again = self.clone();
        for (name, value) in &mut again.headers {
            if matches!(name.as_str(), "x-shopify-webhook-id" | "x-wc-webhook-delivery-id") {
                *value = Uuid::new_v4().to_string();
            }
        }
        again.sent_at = self.sent_at + SignedDuration::from_secs(1);
        again
    }

    /// The headers with the platform's signature.
    pub fn signed(&self, connector: &Connector, secret: &str) -> Vec<(String, String)> {
        let receive = MANIFESTS[connector.connector_type].receive().expect("a platform with webhooks");
        let signature =
            signature::sign(receive, "", "", 0, &self.body, secret.as_bytes()).expect("a signature");
        self.headers.iter().cloned().chain(signature).collect()
    }
}

/// A webhook of Shopify.
pub fn shopify(topic: &str, body: &Value, sent_at: Timestamp) -> Webhook {
    shopify_bytes(topic, body.to_string().into_bytes(), sent_at)
}

/// A webhook of Shopify with any body.
pub fn shopify_bytes(topic: &str, body: Vec<u8>, sent_at: Timestamp) -> Webhook {
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-shopify-topic", topic.to_owned()),
        ("x-shopify-shop-domain", "acme.myshopify.com".to_owned()),
        ("x-shopify-webhook-id", Uuid::new_v4().to_string()),
        ("x-shopify-triggered-at", sent_at.to_string()),
    ];
    Webhook { headers: headers.map(|(name, value)| (name.to_owned(), value)).into(), body, sent_at }
}

/// A webhook of WooCommerce.
pub fn woocommerce(topic: &str, body: &Value, sent_at: Timestamp) -> Webhook {
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-wc-webhook-topic", topic.to_owned()),
        ("x-wc-webhook-source", "https://acme.example".to_owned()),
        ("x-wc-webhook-delivery-id", Uuid::new_v4().simple().to_string()),
    ];
    let body = body.to_string().into_bytes();
    Webhook { headers: headers.map(|(name, value)| (name.to_owned(), value)).into(), body, sent_at }
}

/// A moment on the first day of 2026, so many minutes in.
pub fn minute(minutes: i64) -> Timestamp {
    let midnight: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    midnight + SignedDuration::from_mins(minutes)
}

/// An id that no other test uses.
pub fn fresh_id() -> i64 {
    // 48 bits: exact in every JSON reader.
    i64::try_from(Uuid::new_v4().as_u128() >> 80).expect("48 bits")
}

/// A Shopify order of two lines and shipping, placed at minute 0.
pub fn shopify_order(id: i64, updated_at: Timestamp) -> Value {
    let customer = json!({
        "id": id + 1, "email": format!("Buyer.{id}@Example.com"), "first_name": "Ada", "last_name": "Lovelace",
        "created_at": minute(-60), "updated_at": minute(-60),
    });
    let lines = json!([shopify_line(id + 2, "MUG", "14.95", 3), shopify_line(id + 3, "KETTLE", "90.00", 1),]);
    json!({
        "id": id, "name": format!("#{id}"), "email": format!("Buyer.{id}@Example.com"), "source_name": "web",
        "created_at": minute(0), "processed_at": minute(0), "updated_at": updated_at,
        "cancelled_at": null, "closed_at": null, "cancel_reason": null,
        "financial_status": "pending", "fulfillment_status": null, "currency": "EUR", "taxes_included": true,
        "total_line_items_price": "134.85", "total_discounts": "0.00", "total_tax": "23.40", "total_price": "139.80",
        "customer": customer, "note": null, "tags": "", "refunds": [], "fulfillments": [], "line_items": lines,
        "shipping_lines": [{ "id": id + 4, "title": "Post", "price": "4.95", "tax_lines": [] }],
    })
}

/// A line of a Shopify order.
pub fn shopify_line(id: i64, sku: &str, price: &str, quantity: i64) -> Value {
    json!({ "id": id, "variant_id": id + 10, "sku": sku, "title": sku.to_lowercase(), "quantity": quantity,
            "price": price, "gift_card": false, "discount_allocations": [], "tax_lines": [] })
}

/// A Shopify product with one variant.
pub fn shopify_product(id: i64, updated_at: Timestamp) -> Value {
    json!({
        "id": id, "title": "Stoneware mug", "vendor": "Acme", "product_type": "Tableware", "status": "active",
        "handle": "mug", "body_html": "<p>A mug.</p>", "created_at": minute(0), "updated_at": updated_at, "tags": "",
        "options": [{ "name": "Colour" }],
        "variants": [{
            "id": id + 1, "product_id": id, "title": "Blue", "option1": "Blue", "sku": format!("MUG-{id}"),
            "barcode": "4006381333931", "price": "14.95", "compare_at_price": null, "position": 1,
            "inventory_item_id": id + 2, "inventory_management": "shopify", "inventory_policy": "deny",
            "created_at": minute(0), "updated_at": updated_at,
        }],
    })
}

/// Shopify's stock of the variant of [`shopify_product`].
pub fn shopify_stock(product_id: i64, available: i64, updated_at: Timestamp) -> Value {
    json!({ "inventory_item_id": product_id + 2, "location_id": 5, "available": available, "updated_at": updated_at })
}

/// A WooCommerce order of one line, placed at minute 0.
pub fn woocommerce_order(id: i64, modified_at: Timestamp) -> Value {
    let gmt = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let billing = json!({
        "first_name": "Ada", "last_name": "Lovelace", "address_1": "St James's Square 12", "city": "London",
        "postcode": "SW1Y 4JH", "country": "GB", "email": format!("buyer.{id}@example.com"), "phone": "",
    });
    json!({
        "id": id, "parent_id": 0, "number": id.to_string(), "status": "pending", "currency": "EUR",
        "prices_include_tax": false, "customer_id": id + 1, "created_via": "checkout",
        "date_created_gmt": gmt(minute(0)), "date_modified_gmt": gmt(modified_at),
        "date_paid_gmt": null, "date_completed_gmt": null,
        "discount_total": "0.00", "shipping_total": "0.00", "total": "30.25", "total_tax": "5.25",
        "billing": billing, "shipping": billing, "payment_method": "ideal", "customer_note": "", "refunds": [],
        "fee_lines": [], "shipping_lines": [], "coupon_lines": [], "tax_lines": [], "meta_data": [],
        "line_items": [{ "id": id + 2, "name": "Tea towel", "product_id": id + 3, "variation_id": 0, "sku": "TOWEL",
                         "quantity": 2, "price": 12.5, "subtotal": "25.00", "total": "25.00", "total_tax": "5.25" }],
    })
}
