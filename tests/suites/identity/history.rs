//! What six sources of five platforms say of some people, articles, orders and stock, in the shape in which each
//! platform says it: who is one and who is not, who moves from one key to another, what comes late, again,
//! stale, and what is deleted.

use jiff::Timestamp;
use nexus_tests::shop::{Webhook, minute, shopify, woocommerce};
use serde_json::{Value, json};

/// A source, and what it sends.
pub type Event = (&'static str, Webhook);

/// The sources and their platforms.
pub const SOURCES: [(&str, &str); 6] = [
    ("shop", "shopify"),
    ("outlet", "shopify"),
    ("woo", "woocommerce"),
    ("odoo", "odoo"),
    ("bc", "business-central"),
    ("bol", "bol"),
];

const ADA: (&str, &str) = ("Ada", "Lovelace");
const BOB: (&str, &str) = ("Bob", "Ross");
const CARL: (&str, &str) = ("Carl", "Linné");
const DORA: (&str, &str) = ("Dora", "Maar");

const MUG: &str = "4006381333931";
const TOWEL: &str = "8712345678906";

/// A moment, so many tens of minutes in: no two of them are equally recent.
pub fn at(slot: i64) -> Timestamp {
    minute(slot * 10)
}

fn gmt(slot: i64) -> String {
    at(slot).strftime("%FT%T").to_string()
}

fn odoo_time(slot: i64) -> String {
    at(slot).strftime("%F %T").to_string()
}

/// All of it, in the order in which it happened.
pub fn history() -> Vec<Event> {
    [customers(), articles(), orders(), aftermath(), stock()].concat()
}

/// What the platforms that number their deliveries deliver once more, under another number.
pub fn redeliveries() -> Vec<Event> {
    let is_numbered = |(label, _): &Event| matches!(*label, "shop" | "outlet" | "woo");
    let again = |(label, webhook): Event| (label, webhook.delivered_again());
    history().into_iter().filter(is_numbered).map(again).collect()
}

fn customers() -> Vec<Event> {
    let shop = |label, slot, body: Value| (label, shopify("customers/update", &body, at(slot)));
    let woo = |slot, body: Value| ("woo", woocommerce("customer.updated", &body, at(slot)));
    vec![
        shop("shop", 10, person(1, "ada@example.com", ADA, 1, 10)),
        shop("shop", 30, person(1, "ada@example.com", ADA, 1, 30)),
        shop("outlet", 20, person(5, "ADA@example.com", ADA, 2, 20)),
        woo(25, woo_person(9, "ada@example.com", ADA, 0, 25)),
        woo(40, woo_person(9, "ada@work.example", ADA, 0, 40)),
        woo(60, woo_person(9, "ada@example.com", ADA, 0, 60)),
        rest("odoo", 26, partner(7, json!({ "name": "Ada Lovelace", "email": "ada@example.com" }), 9, 26)),
        // Written long before, and received last of all.
        rest("odoo", 99, partner(7, json!({ "name": "A. Lovelace", "email": "al@example.com" }), 9, 12)),
        shop("shop", 13, person(2, "bob@example.com", BOB, 3, 13)),
        woo(50, woo_person(10, "bob@example.com", BOB, 4, 50)),
        rest("bc", 51, bc_customer("c058", "Person", "Bob Ross", "bob@example.com", "", 51)),
        ("shop", shopify("customers/delete", &json!({ "id": 2 }), at(85))),
        ("shop", shopify("customers/update", &person(2, "bob@example.com", BOB, 3, 52), at(97))),
        rest("bc", 88, bc_deletion("customers(c058)", 88)),
        shop("outlet", 22, person(6, "info@example.com", BOB, 5, 22)),
        rest(
            "odoo",
            23,
            partner(
                8,
                json!({ "name": "Winkel BV", "is_company": true, "email": "info@example.com" }),
                8,
                23,
            ),
        ),
        shop("shop", 14, person(3, "carl@example.com", CARL, 6, 14)),
        shop("outlet", 55, person(7, "carl@example.com", CARL, 7, 55)),
        shop("outlet", 70, person(7, "carl@elsewhere.example", CARL, 7, 70)),
        rest("odoo", 56, partner(10, json!({ "name": "Carl Linné", "email": "carl@example.com" }), 11, 56)),
        rest("odoo", 92, partner(10, json!({ "_action": "gone(#9)" }), 11, 92)),
        rest("odoo", 94, partner(10, json!({ "name": "Carl Linné", "email": "carl@example.com" }), 11, 94)),
        rest("bc", 15, bc_customer("c057", "Company", "Molen BV", "inkoop@molen.example", "", 15)),
        rest(
            "bc",
            45,
            bc_customer("c057", "Company", "Molen BV", "inkoop@molen.example", "NL001234567B01", 45),
        ),
        rest(
            "odoo",
            46,
            partner(
                9,
                json!({
                    "name": "Molen", "is_company": true, "email": "administratie@molen.example", "vat": "NL 0012.34.567.B01",
                    "street": "Dijk 1", "zip": "2801 AA", "city": "Gouda", "country_code": "NL",
                }),
                12,
                46,
            ),
        ),
    ]
}

fn articles() -> Vec<Event> {
    vec![
        ("shop", shopify("products/update", &product(100, "Mug", "MUG", MUG, 16), at(16))),
        // Six sources have the mug's number, more than an identifier may be on, until this one sells another.
        ("outlet", shopify("products/update", &product(200, "Mug", "MUG", MUG, 17), at(17))),
        ("outlet", shopify("products/update", &product(200, "Beaker", "BEAKER", "", 57), at(57))),
        ("woo", woocommerce("product.updated", &woo_product(300, "Mug", "mug", MUG, 12, 18), at(18))),
        ("woo", woocommerce("product.updated", &woo_product(300, "Mug", "mug", MUG, 9, 58), at(58))),
        rest("odoo", 19, odoo_product(42, 22, "Mug", "MUG", MUG, 5, 19)),
        rest("bc", 21, bc_item("17e3", "MUG", "Mug", MUG, 7, 21)),
        rest("bol", 24, bol_offer("offer-mug", MUG, "MUG", 4, "Mug")),
        rest("bol", 64, bol_offer("offer-mug", MUG, "MUG", 3, "Mug")),
        // One SKU, until the shop's gets a number of its own.
        ("shop", shopify("products/update", &product(110, "Towel", "TOWEL", "", 27), at(27))),
        rest("bc", 28, bc_item("17e4", "TOWEL", "Towel", TOWEL, 2, 28)),
        ("shop", shopify("products/update", &product(110, "Towel", "TOWEL", "8712345678913", 65), at(65))),
        // Here and gone.
        ("woo", woocommerce("product.updated", &woo_product(310, "Pen", "pen", "", 1, 29), at(29))),
        ("woo", woocommerce("product.deleted", &json!({ "id": 310 }), at(86))),
        rest("bc", 32, bc_item("17e5", "PEN", "Pen", "", 1, 32)),
        rest("bc", 87, bc_deletion("items(17e5)", 87)),
        ("shop", shopify("products/update", &product(120, "Spoon", "SPOON", "", 33), at(33))),
        ("shop", shopify("products/delete", &json!({ "id": 120 }), at(89))),
    ]
}

fn orders() -> Vec<Event> {
    let shop = |label, slot, body: Value| (label, shopify("orders/updated", &body, at(slot)));
    let woo = |slot, body: Value| ("woo", woocommerce("order.updated", &body, at(slot)));
    let ada = person(1, "ada@example.com", ADA, 1, 31);
    let bob = person(2, "bob@example.com", BOB, 3, 34);
    let carl = person(7, "carl@example.com", CARL, 7, 35);
    vec![
        shop("shop", 31, order(7700, "#77", "25.00", &ada, (101, "MUG"), 31)),
        rest("odoo", 36, odoo_order(500, "#77", 25.0, "sale", (31, 36))),
        rest("odoo", 90, odoo_order(500, "#77", 25.0, "done", (31, 90))),
        rest("odoo", 96, odoo_order(500, "", 24.0, "draft", (31, 35))),
        shop("shop", 34, order(7800, "#78", "9.50", &bob, (111, "TOWEL"), 34)),
        // Booked with a slip, mended later; then it is the same sale.
        rest("bc", 37, bc_order("5a78", "SO-78", "#78", 19.5, 37)),
        rest("bc", 66, bc_order("5a78", "SO-78", "#78", 9.5, 66)),
        rest("bc", 71, bc_invoice("1a78", ("5a78", "SO-78"), 9.5, 71)),
        shop("outlet", 35, order(7900, "#79", "5.00", &carl, (201, "MUG"), 35)),
        rest("odoo", 38, odoo_order(502, "#79", 5.01, "sale", (35, 38))),
        rest("odoo", 93, {
            let mut gone = odoo_order(502, "#79", 5.01, "sale", (35, 93));
            gone["_action"] = json!("gone(#9)");
            gone
        }),
        shop("shop", 39, order(8000, "#80", "3.00", &ada, (101, "MUG"), 39)),
        ("shop", shopify("orders/delete", &json!({ "id": 8000 }), at(84))),
        woo(41, woo_order(90, "processing", "12.10", (41, 41), false)),
        woo(75, woo_order(90, "completed", "12.10", (41, 75), true)),
        rest("bc", 43, bc_order("5a90", "SO-90", "90", 12.1, 43)),
        woo(44, woo_order(91, "on-hold", "6.05", (44, 44), false)),
        woo(83, woo_order(91, "trash", "6.05", (44, 83), false)),
        ("shop", shopify("customers/update", &person(8, "dora@example.com", DORA, 13, 91), at(91))),
        rest("bol", 47, bol_order("C0000A1B2C", "Q1W2E3@verkopen.bol.com", 0, 47, true)),
        rest("bol", 54, bol_order("C0000A1B2C", "Q1W2E3@verkopen.bol.com", 2, 53, true)),
        rest("odoo", 48, odoo_order(503, "C0000A1B2C", 30.0, "sale", (47, 48))),
        rest("bol", 49, bol_order("C0000A1B2D", "Z9Y8X7@verkopen.bol.com", 0, 49, false)),
    ]
}

fn aftermath() -> Vec<Event> {
    let parcel = json!({
        "id": 4600, "order_id": 7700, "status": "success", "created_at": at(46), "updated_at": at(46),
        "tracking_company": "PostNL", "tracking_numbers": ["3S46"], "location_id": 5,
        "line_items": [{ "id": 77000, "variant_id": 101, "sku": "MUG", "title": "Mug", "quantity": 1 }],
    });
    let money = json!({ "id": 6210, "order_id": 7700, "kind": "refund", "status": "success", "gateway": "ideal",
                        "amount": "5.00", "currency": "EUR", "created_at": at(62), "processed_at": at(62) });
    let refund = json!({
        "id": 6200, "order_id": 7700, "created_at": at(62), "processed_at": at(62), "note": "a chip",
        "transactions": [money], "order_adjustments": [],
        "refund_line_items": [{ "id": 6201, "line_item_id": 77000, "quantity": 1, "restock_type": "no_restock",
                                "subtotal": "5.00", "total_tax": "0.00", "line_item": { "id": 77000, "sku": "MUG", "variant_id": 101 } }],
    });
    let mut refunded =
        order(7700, "#77", "25.00", &person(1, "ada@example.com", ADA, 1, 31), (101, "MUG"), 63);
    refunded["refunds"] = json!([refund]);
    refunded["financial_status"] = json!("partially_refunded");
    let shipment = json!({
        "shipmentId": "701", "shipmentDateTime": at(53), "order": { "orderId": "C0000A1B2C", "orderPlacedDateTime": at(47) },
        "shipmentDetails": { "firstName": "Kees", "surname": "Molenaar", "zipCode": "2801AA", "city": "Gouda", "countryCode": "NL" },
        "shipmentItems": [{ "orderItemId": "11", "fulfilment": { "method": "FBR", "distributionParty": "RETAILER" },
                            "offer": { "offerId": "offer-mug", "reference": "MUG" }, "quantity": 2, "quantityShipped": 2 }],
        "transport": { "transportId": "3001", "transporterCode": "DHL", "trackAndTrace": "3SBOL1", "transportEvents": [] },
    });
    let returned = json!({
        "returnId": "501", "registrationDateTime": at(78), "fulfilmentMethod": "FBR",
        "returnItems": [{
            "rmaId": "901", "orderId": "C0000A1B2C", "ean": MUG, "title": "Mug", "expectedQuantity": 1, "handled": true,
            "returnReason": { "mainReason": "Defect" },
            "processingResults": [{ "quantity": 1, "processingResult": "ACCEPTED", "handlingResult": "RETURN_RECEIVED",
                                    "processingDateTime": at(79) }],
        }],
    });
    let credit_memo = json!({
        "id": "c4ed", "number": "CM-1", "creditMemoDate": "2026-01-02", "postingDate": "2026-01-02", "customerId": "c057",
        "customerName": "Molen BV", "currencyCode": "", "pricesIncludeTax": true, "discountAmount": 0,
        "totalAmountExcludingTax": 2, "totalTaxAmount": 0, "totalAmountIncludingTax": 2, "status": "Paid",
        "lastModifiedDateTime": at(81), "invoiceId": "1a78", "invoiceNumber": "F-78", "salesCreditMemoLines": [],
    });
    vec![
        ("shop", shopify("fulfillments/create", &parcel, at(46))),
        ("shop", shopify("refunds/create", &refund, at(62))),
        ("shop", shopify("orders/updated", &refunded, at(63))),
        rest("bol", 59, shipment),
        rest("bol", 80, returned),
        rest("bc", 82, credit_memo),
    ]
}

fn stock() -> Vec<Event> {
    let level = |available: i64, slot| json!({ "inventory_item_id": 102, "location_id": 5, "available": available, "updated_at": at(slot) });
    let place = json!({
        "id": 5, "name": "Main", "address1": "Dijk 1", "address2": null, "city": "Gouda", "zip": "2801 AA", "province": null,
        "country_code": "NL", "legacy": false, "active": true, "created_at": at(0), "updated_at": at(11),
    });
    vec![
        ("shop", shopify("inventory_levels/update", &level(10, 42), at(42))),
        ("shop", shopify("inventory_levels/update", &level(8, 67), at(67))),
        ("shop", shopify("inventory_levels/update", &level(9, 61), at(98))),
        ("shop", shopify("locations/update", &place, at(11))),
        rest("odoo", 68, odoo_product(42, 22, "Mug", "MUG", MUG, 4, 68)),
        rest("bc", 69, bc_item("17e3", "MUG", "Mug", MUG, 6, 69)),
    ]
}

/// A body as a platform's REST API or automation gives it, received then.
pub fn rest(label: &'static str, slot: i64, body: Value) -> Event {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    (label, Webhook { headers, body: body.to_string().into_bytes(), sent_at: at(slot) })
}

pub fn person(id: i64, email: &str, name: (&str, &str), created: i64, updated: i64) -> Value {
    json!({
        "id": id, "email": email, "first_name": name.0, "last_name": name.1, "verified_email": true,
        "created_at": at(created), "updated_at": at(updated),
    })
}

pub fn woo_person(id: i64, email: &str, name: (&str, &str), created: i64, updated: i64) -> Value {
    json!({
        "id": id, "email": email, "username": name.0, "first_name": name.0, "last_name": name.1,
        "date_created_gmt": gmt(created), "date_modified_gmt": gmt(updated), "billing": { "phone": "+31612345678" },
    })
}

/// An order of one article, paid.
pub fn order(
    id: i64,
    number: &str,
    total: &str,
    customer: &Value,
    (variant, sku): (i64, &str),
    updated: i64,
) -> Value {
    // An order is as old as its number.
    let created = id / 100 - 50;
    json!({
        "id": id, "name": number, "email": customer["email"], "customer": customer, "source_name": "web",
        "created_at": at(created), "processed_at": at(created), "updated_at": at(updated), "cancelled_at": null, "closed_at": null,
        "financial_status": "paid", "fulfillment_status": null, "currency": "EUR", "taxes_included": true,
        "total_line_items_price": total, "total_discounts": "0.00", "total_tax": "0.00", "total_price": total,
        "shipping_lines": [], "refunds": [], "tags": "",
        "line_items": [{ "id": id * 10, "variant_id": variant, "sku": sku, "title": sku, "quantity": 1, "price": total,
                         "gift_card": false, "discount_allocations": [], "tax_lines": [] }],
    })
}

fn product(id: i64, title: &str, sku: &str, barcode: &str, updated: i64) -> Value {
    json!({
        "id": id, "title": title, "vendor": "Acme", "product_type": "Tableware", "status": "active", "handle": sku,
        "body_html": "", "created_at": at(1), "updated_at": at(updated), "tags": "", "options": [{ "name": "Title" }],
        "variants": [{
            "id": id + 1, "product_id": id, "title": "Default Title", "option1": "Default Title", "sku": sku,
            "barcode": barcode, "price": "14.95", "compare_at_price": null, "position": 1, "inventory_item_id": id + 2,
            "inventory_management": "shopify", "created_at": at(id / 100), "updated_at": at(updated),
        }],
    })
}

fn woo_product(id: i64, name: &str, sku: &str, gtin: &str, stock: i64, modified: i64) -> Value {
    json!({
        "id": id, "name": name, "slug": sku, "type": "simple", "status": "publish", "catalog_visibility": "visible",
        "description": "", "sku": sku, "global_unique_id": gtin, "price": "15.50", "regular_price": "15.50",
        "on_sale": false, "manage_stock": true, "stock_quantity": stock, "stock_status": "instock",
        "date_created_gmt": gmt(5), "date_modified_gmt": gmt(modified), "attributes": [], "tags": [], "meta_data": [],
    })
}

/// An order of somebody without an account.
pub fn woo_order(
    id: i64,
    status: &str,
    total: &str,
    (created, modified): (i64, i64),
    is_refunded: bool,
) -> Value {
    let billing = json!({
        "first_name": DORA.0, "last_name": DORA.1, "address_1": "Kade 2", "city": "Rotterdam", "postcode": "3011 BB",
        "country": "NL", "email": "dora@example.com", "phone": "",
    });
    let refunds = if is_refunded {
        json!([{ "id": 9000 + id, "total": "-2.00", "reason": "late" }])
    } else {
        json!([])
    };
    json!({
        "id": id, "number": id.to_string(), "status": status, "currency": "EUR", "prices_include_tax": true,
        "customer_id": 0, "created_via": "checkout", "date_created_gmt": gmt(created), "date_modified_gmt": gmt(modified),
        "date_paid_gmt": gmt(created + 1), "discount_total": "0.00", "shipping_total": "0.00", "total": total,
        "total_tax": "0.00", "billing": billing, "shipping": billing, "payment_method": "ideal", "refunds": refunds,
        "fee_lines": [], "shipping_lines": [], "coupon_lines": [], "tax_lines": [], "meta_data": [],
        "line_items": [{ "id": id * 10, "name": "Mug", "product_id": 300, "variation_id": 0, "sku": "mug", "quantity": 1,
                         "price": total, "subtotal": total, "total": total, "total_tax": "0.00" }],
    })
}

/// A partner; odoo brings the fields that were asked for.
pub fn partner(id: i64, fields: Value, created: i64, written: i64) -> Value {
    let mut body = json!({ "_model": "res.partner", "_id": id, "id": id, "write_date": odoo_time(written) });
    if fields.get("_action").is_none() {
        body["_action"] = json!("tell(#1)");
        body["create_date"] = json!(odoo_time(created));
        body["vat"] = json!(false);
    }
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn odoo_order(id: i64, reference: &str, total: f64, state: &str, (ordered, written): (i64, i64)) -> Value {
    json!({
        "_action": "tell(#2)", "_model": "sale.order", "_id": id, "id": id, "name": format!("S{id:05}"), "state": state,
        "client_order_ref": reference, "partner_id": [7, "Ada Lovelace"], "currency_id": [125, "EUR"],
        "amount_untaxed": total, "amount_tax": 0.0, "amount_total": total, "date_order": odoo_time(ordered),
        "create_date": odoo_time(ordered + 1), "write_date": odoo_time(written),
        "order_line": [{
            "id": id * 10, "name": "Mug", "product_id": [42, "[MUG] Mug"], "product_uom_qty": 1.0, "qty_delivered": 0.0,
            "price_unit": total, "discount": 0.0, "price_tax": 0.0, "price_total": total, "display_type": false,
        }],
    })
}

fn odoo_product(
    id: i64,
    template: i64,
    name: &str,
    code: &str,
    barcode: &str,
    quantity: i64,
    written: i64,
) -> Value {
    json!({
        "_action": "tell(#3)", "_model": "product.product", "_id": id, "id": id, "name": name, "default_code": code,
        "barcode": barcode, "product_tmpl_id": [template, name], "lst_price": 14.0, "standard_price": 6.0,
        "type": "product", "qty_available": quantity, "free_qty": quantity, "active": true,
        "create_date": odoo_time(7), "write_date": odoo_time(written),
    })
}

fn bc_customer(id: &str, customer_type: &str, name: &str, email: &str, vat: &str, modified: i64) -> Value {
    json!({
        "id": id, "number": format!("D-{id}"), "displayName": name, "type": customer_type, "addressLine1": "Dijk 1",
        "city": "Gouda", "country": "NL", "postalCode": "2801 AA", "email": email, "creditLimit": 0,
        "taxRegistrationNumber": vat, "currencyCode": "", "blocked": "", "lastModifiedDateTime": at(modified),
    })
}

fn bc_item(id: &str, number: &str, name: &str, gtin: &str, inventory: i64, modified: i64) -> Value {
    json!({
        "id": id, "number": number, "displayName": name, "type": "Inventory", "blocked": false, "gtin": gtin,
        "inventory": inventory, "unitPrice": 15, "priceIncludesTax": true, "unitCost": 5, "baseUnitOfMeasureCode": "PCS",
        "itemCategoryId": "ca7e", "lastModifiedDateTime": at(modified),
    })
}

fn bc_order(id: &str, number: &str, reference: &str, total: f64, modified: i64) -> Value {
    json!({
        "id": id, "number": number, "externalDocumentNumber": reference, "orderDate": "2026-01-01", "customerId": "c057",
        "customerName": "Molen BV", "currencyCode": "EUR", "pricesIncludeTax": true, "discountAmount": 0,
        "totalAmountExcludingTax": total, "totalTaxAmount": 0, "totalAmountIncludingTax": total, "fullyShipped": false,
        "status": "Open", "email": "", "lastModifiedDateTime": at(modified),
        "salesOrderLines": [{ "id": format!("{id}-1"), "itemId": "17e3", "lineType": "Item", "lineObjectNumber": "MUG",
                              "description": "Mug", "unitPrice": total, "quantity": 1, "shippedQuantity": 0,
                              "netAmountIncludingTax": total, "netTaxAmount": 0 }],
    })
}

fn bc_invoice(id: &str, (order, number): (&str, &str), total: f64, modified: i64) -> Value {
    json!({
        "id": id, "number": format!("F-{id}"), "invoiceDate": "2026-01-01", "orderId": order, "orderNumber": number,
        "customerId": "c057", "currencyCode": "EUR", "remainingAmount": 0, "discountAmount": 0,
        "totalAmountExcludingTax": total, "totalTaxAmount": 0, "totalAmountIncludingTax": total, "status": "Paid",
        "lastModifiedDateTime": at(modified),
    })
}

/// The notification of a deletion; what is there no more nobody can fetch.
fn bc_deletion(resource: &str, slot: i64) -> Value {
    json!({ "value": [{
        "subscriptionId": "s", "clientState": "x", "expirationDateTime": at(900), "changeType": "deleted",
        "resource": format!("api/v2.0/companies(b18a)/{resource}"), "lastModifiedDateTime": at(slot),
    }] })
}

/// An order of two mugs; of a business it says which.
fn bol_order(id: &str, email: &str, shipped: i64, changed: i64, is_business: bool) -> Value {
    let mut billing = json!({
        "firstName": "Kees", "surname": "Molenaar", "streetName": "Dijk", "houseNumber": "1", "zipCode": "2801AA",
        "city": "Gouda", "countryCode": "NL", "email": email,
    });
    if is_business {
        billing["company"] = json!("Molen BV");
        billing["vatNumber"] = json!("NL001234567B01");
        billing["orderReference"] = json!("PO-77");
    }
    json!({
        "orderId": id, "pickupPoint": false, "orderPlacedDateTime": at(47), "shipmentDetails": billing,
        "billingDetails": billing,
        "orderItems": [{
            "orderItemId": "11", "cancellationRequest": false, "fulfilment": { "method": "FBR", "distributionParty": "RETAILER" },
            "offer": { "offerId": "offer-mug", "reference": "MUG" }, "product": { "ean": MUG, "title": "Mug" },
            "quantity": 2, "quantityShipped": shipped, "quantityCancelled": 0, "unitPrice": 15.0, "totalPrice": 30.0,
            "commission": 1.1, "latestChangedDateTime": at(changed),
        }],
    })
}

fn bol_offer(id: &str, ean: &str, reference: &str, stock: i64, title: &str) -> Value {
    json!({
        "offerId": id, "ean": ean, "reference": reference, "onHoldByRetailer": false,
        "pricing": { "bundlePrices": [{ "quantity": 1, "unitPrice": 15.0 }] },
        "stock": { "amount": stock, "correctedStock": stock, "managedByRetailer": true },
        "fulfilment": { "method": "FBR", "deliveryCode": "24uurs-15" },
        "store": { "productTitle": title, "visible": [] }, "condition": { "name": "NEW" },
    })
}
