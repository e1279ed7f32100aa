//! The kinds and fields of the commerce model.

use super::FieldType::{
    Boolean, Currency, Decimal, Integer, Json, Reference, Text, TextList, Timestamp, Vocabulary,
};
use super::vocabulary as of;
use super::{Children, Field, FieldType, Kind, Personal};

/// A field that survives on its own.
const fn field(name: &'static str, field_type: FieldType) -> Field {
    Field { name, field_type, group: name }
}

/// A field that survives together with the others of its group.
const fn grouped(group: &'static str, name: &'static str, field_type: FieldType) -> Field {
    Field { name, field_type, group }
}

/// The names a reference goes by: in documents the record that it points at; in golden rows the record its source named,
/// and the entity. A match and not a format: names are static, because statements are built from them once.
pub(super) fn reference_names(name: &'static str) -> [&'static str; 3] {
    match name {
        "customer" => ["customer_external_id", "customer_birth_id", "customer_id"],
        "product" => ["product_external_id", "product_birth_id", "product_id"],
        "product_variant" => {
            ["product_variant_external_id", "product_variant_birth_id", "product_variant_id"]
        }
        "location" => ["location_external_id", "location_birth_id", "location_id"],
        "sales_order" => ["sales_order_external_id", "sales_order_birth_id", "sales_order_id"],
        "refund" => ["refund_external_id", "refund_birth_id", "refund_id"],
        "parent_payment" => ["parent_payment_external_id", "parent_payment_birth_id", "parent_payment_id"],
        other => [other; 3],
    }
}

/// Every kind, parents before those that refer to them.
pub static KINDS: [&Kind; 9] = [
    &CUSTOMER,
    &PRODUCT,
    &PRODUCT_VARIANT,
    &LOCATION,
    &INVENTORY_LEVEL,
    &SALES_ORDER,
    &FULFILLMENT,
    &REFUND,
    &PAYMENT,
];

/// A person or company that buys.
static CUSTOMER: Kind = Kind {
    name: "customer",
    event_family: "customer",
    fields: &[
        field("customer_type", Vocabulary(of::CUSTOMER_TYPE)),
        field("email", Text),
        field("phone", Text),
        grouped("name", "first_name", Text),
        grouped("name", "last_name", Text),
        grouped("name", "full_name", Text),
        field("company_name", Text),
        field("vat_number", Text),
        field("registration_number", Text),
        field("language", Text),
        field("accepts_marketing", Boolean),
        field("tax_exempt", Boolean),
        field("default_currency", Currency),
        field("source_status", Text),
        field("source_created_at", Timestamp),
        field("tags", TextList),
        field("custom_fields", Json),
    ],
    derived: &[
        field("email_key", Text),
        field("email_kind", Vocabulary(of::EMAIL_KIND)),
        field("phone_e164", Text),
    ],
    is_per_source: false,
    personal: Personal::Everything,
    children: Some(Children {
        field: "addresses",
        table: "customer_address",
        fields: &[
            field("is_default", Boolean),
            field("name", Text),
            field("company", Text),
            field("line1", Text),
            field("line2", Text),
            field("house_number", Text),
            field("postal_code", Text),
            field("city", Text),
            field("region", Text),
            field("region_code", Text),
            field("country_code", Text),
            field("phone", Text),
        ],
    }),
};

/// What is sold, as a catalogue page; what is bought is its variant.
static PRODUCT: Kind = Kind {
    name: "product",
    event_family: "product",
    fields: &[
        field("title", Text),
        field("brand", Text),
        field("product_type", Text),
        field("status", Vocabulary(of::PRODUCT_STATUS)),
        field("source_status", Text),
        field("handle", Text),
        field("description_html", Text),
        field("option_names", TextList),
        field("source_created_at", Timestamp),
        field("tags", TextList),
        field("custom_fields", Json),
    ],
    derived: &[],
    is_per_source: false,
    personal: Personal::Groups(&[]),
    children: None,
};

/// What is stocked, priced and put on an order line.
static PRODUCT_VARIANT: Kind = Kind {
    name: "product_variant",
    event_family: "product.variant",
    fields: &[
        field("product", Reference("product")),
        field("aliases", TextList),
        field("sku", Text),
        field("gtin", Text),
        field("title", Text),
        field("options", Json),
        field("position", Integer),
        grouped("price", "price", Decimal),
        grouped("price", "compare_at_price", Decimal),
        grouped("price", "price_currency", Currency),
        grouped("price", "price_includes_tax", Boolean),
        grouped("cost", "unit_cost", Decimal),
        grouped("cost", "cost_currency", Currency),
        field("weight_grams", Decimal),
        field("uom", Text),
        field("pack_quantity", Decimal),
        field("is_stocked", Boolean),
        field("source_created_at", Timestamp),
        field("tags", TextList),
        field("custom_fields", Json),
    ],
    derived: &[field("sku_key", Text), field("gtin_key", Text)],
    is_per_source: false,
    personal: Personal::Groups(&[]),
    children: None,
};

/// A place that holds stock.
static LOCATION: Kind = Kind {
    name: "location",
    event_family: "location",
    fields: &[
        field("name", Text),
        field("location_type", Vocabulary(of::LOCATION_TYPE)),
        field("country_code", Text),
        field("address", Json),
        field("is_active", Boolean),
        field("source_created_at", Timestamp),
        field("custom_fields", Json),
    ],
    derived: &[],
    is_per_source: false,
    personal: Personal::Groups(&[]),
    children: None,
};

/// How much of a variant a source says is at a location.
static INVENTORY_LEVEL: Kind = Kind {
    name: "inventory_level",
    event_family: "inventory",
    fields: &[
        field("product_variant", Reference("product_variant")),
        field("location", Reference("location")),
        field("on_hand", Decimal),
        field("available", Decimal),
        field("committed", Decimal),
        field("incoming", Decimal),
        field("unavailable", Decimal),
        field("observed_at", Timestamp),
        field("custom_fields", Json),
    ],
    derived: &[],
    is_per_source: true,
    personal: Personal::Groups(&[]),
    children: None,
};

/// A sale. `sales_order`, because `order` is a reserved word in SQL.
static SALES_ORDER: Kind = Kind {
    name: "sales_order",
    event_family: "order",
    fields: &[
        field("customer", Reference("customer")),
        field("order_number", Text),
        field("external_reference", Text),
        field("channel", Text),
        field("order_status", Vocabulary(of::ORDER_STATUS)),
        field("financial_status", Vocabulary(of::FINANCIAL_STATUS)),
        field("fulfillment_status", Vocabulary(of::FULFILLMENT_STATUS)),
        field("source_status", Text),
        grouped("amounts", "currency", Currency),
        grouped("amounts", "prices_include_tax", Boolean),
        grouped("amounts", "subtotal_amount", Decimal),
        grouped("amounts", "discount_amount", Decimal),
        grouped("amounts", "shipping_amount", Decimal),
        grouped("amounts", "tax_amount", Decimal),
        grouped("amounts", "total_amount", Decimal),
        grouped("refunds", "refunded_amount", Decimal),
        grouped("base_amounts", "base_currency", Currency),
        grouped("base_amounts", "base_total_amount", Decimal),
        field("ordered_at", Timestamp),
        field("cancelled_at", Timestamp),
        field("closed_at", Timestamp),
        field("cancel_reason", Text),
        field("is_test", Boolean),
        field("email", Text),
        field("phone", Text),
        field("billing_address", Json),
        field("shipping_address", Json),
        field("note", Text),
        field("payment_methods", TextList),
        field("source_created_at", Timestamp),
        field("tags", TextList),
        field("custom_fields", Json),
    ],
    derived: &[field("order_number_key", Text)],
    is_per_source: false,
    personal: Personal::Groups(&[
        "email",
        "phone",
        "billing_address",
        "shipping_address",
        "note",
        "custom_fields",
    ]),
    children: Some(Children {
        field: "lines",
        table: "sales_order_line",
        fields: &[
            field("line_type", Vocabulary(of::LINE_TYPE)),
            field("product_variant", Reference("product_variant")),
            field("sku", Text),
            field("gtin", Text),
            field("title", Text),
            field("variant_title", Text),
            field("quantity", Decimal),
            field("quantity_fulfilled", Decimal),
            field("quantity_cancelled", Decimal),
            field("quantity_refunded", Decimal),
            field("unit_price", Decimal),
            field("discount_amount", Decimal),
            field("tax_amount", Decimal),
            field("total_amount", Decimal),
            field("tax_rate", Decimal),
            field("custom_fields", Json),
        ],
    }),
};

/// What left, or is to leave, for the buyer: a parcel, a pick-up, a download.
static FULFILLMENT: Kind = Kind {
    name: "fulfillment",
    event_family: "fulfillment",
    fields: &[
        field("sales_order", Reference("sales_order")),
        field("location", Reference("location")),
        field("status", Vocabulary(of::SHIPMENT_STATUS)),
        field("source_status", Text),
        field("carrier", Text),
        field("service", Text),
        field("tracking_numbers", TextList),
        field("tracking_urls", TextList),
        field("shipped_at", Timestamp),
        field("delivered_at", Timestamp),
        field("source_created_at", Timestamp),
        field("custom_fields", Json),
    ],
    derived: &[],
    is_per_source: false,
    personal: Personal::Groups(&["tracking_numbers", "tracking_urls", "custom_fields"]),
    children: Some(Children {
        field: "lines",
        table: "fulfillment_line",
        fields: &[
            field("sales_order_line_external_id", Text),
            field("product_variant", Reference("product_variant")),
            field("sku", Text),
            field("title", Text),
            field("quantity", Decimal),
        ],
    }),
};

/// Money given back, and what came back for it.
static REFUND: Kind = Kind {
    name: "refund",
    event_family: "refund",
    fields: &[
        field("sales_order", Reference("sales_order")),
        grouped("amounts", "currency", Currency),
        grouped("amounts", "amount", Decimal),
        grouped("amounts", "tax_amount", Decimal),
        grouped("amounts", "shipping_amount", Decimal),
        field("reason", Text),
        field("note", Text),
        field("source_status", Text),
        field("refunded_at", Timestamp),
        field("source_created_at", Timestamp),
        field("custom_fields", Json),
    ],
    derived: &[],
    is_per_source: false,
    personal: Personal::Groups(&["note", "custom_fields"]),
    children: Some(Children {
        field: "lines",
        table: "refund_line",
        fields: &[
            field("sales_order_line_external_id", Text),
            field("product_variant", Reference("product_variant")),
            field("sku", Text),
            field("title", Text),
            field("quantity", Decimal),
            field("amount", Decimal),
            field("tax_amount", Decimal),
            field("is_restocked", Boolean),
        ],
    }),
};

/// A movement of money, or an attempt at one. Amounts are positive: the kind says which way.
static PAYMENT: Kind = Kind {
    name: "payment",
    event_family: "payment",
    fields: &[
        field("sales_order", Reference("sales_order")),
        field("refund", Reference("refund")),
        field("parent_payment", Reference("payment")),
        field("payment_kind", Vocabulary(of::PAYMENT_KIND)),
        field("status", Vocabulary(of::PAYMENT_STATUS)),
        field("source_status", Text),
        field("gateway", Text),
        field("gateway_reference", Text),
        field("method", Text),
        grouped("amounts", "currency", Currency),
        grouped("amounts", "amount", Decimal),
        field("error_code", Text),
        field("processed_at", Timestamp),
        field("source_created_at", Timestamp),
        field("custom_fields", Json),
    ],
    derived: &[],
    is_per_source: false,
    personal: Personal::Groups(&["custom_fields"]),
    children: None,
};
