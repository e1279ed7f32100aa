//! Closed lists of values. What a source says outside of them becomes `unknown`; it is never guessed.

pub(super) const ORDER_STATUS: &[&str] =
    &["draft", "pending", "confirmed", "on_hold", "completed", "cancelled", "unknown"];

pub(super) const FINANCIAL_STATUS: &[&str] = &[
    "pending",
    "authorized",
    "partially_paid",
    "paid",
    "partially_refunded",
    "refunded",
    "voided",
    "failed",
    "unknown",
];

pub(super) const FULFILLMENT_STATUS: &[&str] = &[
    "unfulfilled",
    "in_progress",
    "on_hold",
    "partially_fulfilled",
    "fulfilled",
    "delivered",
    "partially_returned",
    "returned",
    "cancelled",
    "unknown",
];

pub(super) const PRODUCT_STATUS: &[&str] = &["active", "draft", "archived", "unknown"];

pub(super) const CUSTOMER_TYPE: &[&str] = &["person", "company", "unknown"];

pub(super) const LINE_TYPE: &[&str] =
    &["item", "shipping", "discount", "fee", "tip", "gift_card", "comment", "unknown"];

pub(super) const LOCATION_TYPE: &[&str] =
    &["warehouse", "store", "fulfillment_service", "virtual", "unknown"];

pub(super) const EMAIL_KIND: &[&str] = &["personal", "role", "relay", "placeholder"];

pub(super) const SHIPMENT_STATUS: &[&str] =
    &["pending", "in_progress", "shipped", "delivered", "cancelled", "failed", "unknown"];

pub(super) const PAYMENT_KIND: &[&str] =
    &["authorization", "capture", "sale", "refund", "void", "chargeback", "unknown"];

pub(super) const PAYMENT_STATUS: &[&str] = &["pending", "succeeded", "failed", "cancelled", "unknown"];
