//! Closed lists of values. What a source says outside of them becomes `unknown`; it is never guessed.

/// Each list as the values a field may have, and with their meanings as [`VOCABULARIES`].
macro_rules! vocabularies {
    ($($constant:ident $name:literal { $($value:literal: $meaning:literal,)* })*) => {
        $(pub(super) const $constant: &[&str] = &[$($value),*];)*

        /// Every closed list by its name: its values, each with its meaning.
        pub static VOCABULARIES: &[(&str, &[(&str, &str)])] = &[$(($name, &[$(($value, $meaning)),*])),*];
    };
}

vocabularies! {
    ORDER_STATUS "order_status" {
        "draft": "Not placed yet: a quote or a basket.",
        "pending": "Placed; waits for payment or for the seller to accept it.",
        "confirmed": "Accepted and being worked on.",
        "on_hold": "Stopped by somebody; nothing happens until released.",
        "completed": "All done, as far as its source is concerned.",
        "cancelled": "Called off; not revenue.",
        "unknown": "The source says something that no value here stands for; see source_status.",
    }

    FINANCIAL_STATUS "financial_status" {
        "pending": "Nothing paid yet.",
        "authorized": "The money is held, not taken.",
        "partially_paid": "A part has been paid.",
        "paid": "All has been paid.",
        "partially_refunded": "Paid, and a part given back.",
        "refunded": "All has been given back.",
        "voided": "The payment was called off before any money moved.",
        "failed": "The payment failed.",
        "unknown": "The source says something that no value here stands for; see source_status.",
    }

    FULFILLMENT_STATUS "fulfillment_status" {
        "unfulfilled": "Nothing has left.",
        "in_progress": "Being picked or packed.",
        "on_hold": "Not to be sent until released.",
        "partially_fulfilled": "A part has left.",
        "fulfilled": "All has left.",
        "delivered": "All has reached the buyer.",
        "partially_returned": "A part has come back.",
        "returned": "All has come back.",
        "cancelled": "Nothing is to be sent any more.",
        "unknown": "The source says something that no value here stands for; see source_status.",
    }

    PRODUCT_STATUS "product_status" {
        "active": "For sale.",
        "draft": "Not for sale yet.",
        "archived": "No longer for sale.",
        "unknown": "The source says something that no value here stands for; see source_status.",
    }

    CUSTOMER_TYPE "customer_type" {
        "person": "A private person.",
        "company": "A company or another organisation.",
        "unknown": "The source says something that no value here stands for.",
    }

    LINE_TYPE "line_type" {
        "item": "Goods or a service.",
        "shipping": "What sending costs.",
        "discount": "Taken off.",
        "fee": "Another charge, such as for payment.",
        "tip": "A tip.",
        "gift_card": "A gift card that is bought.",
        "comment": "Text without an amount.",
        "unknown": "The source says something that no value here stands for.",
    }

    LOCATION_TYPE "location_type" {
        "warehouse": "A warehouse.",
        "store": "A shop that people walk into.",
        "fulfillment_service": "A third party that stores and sends.",
        "virtual": "No place: in transit, on order, a counting bucket.",
        "unknown": "The source says something that no value here stands for.",
    }

    EMAIL_KIND "email_kind" {
        "personal": "One person reads it: it identifies.",
        "role": "A function's mailbox, such as info@: it identifies nobody.",
        "relay": "A marketplace's forwarding address: it identifies nobody.",
        "placeholder": "Filled in for want of an address: it identifies nobody.",
    }

    SHIPMENT_STATUS "shipment_status" {
        "pending": "Not begun.",
        "in_progress": "Being picked or packed.",
        "shipped": "Handed to the carrier.",
        "delivered": "Reached the buyer.",
        "cancelled": "Called off.",
        "failed": "Could not be delivered.",
        "unknown": "The source says something that no value here stands for; see source_status.",
    }

    PAYMENT_KIND "payment_kind" {
        "authorization": "Money is held.",
        "capture": "Held money is taken.",
        "sale": "Money is taken at once.",
        "refund": "Money goes back to the buyer.",
        "void": "A hold is released.",
        "chargeback": "The buyer's bank takes money back.",
        "unknown": "The source says something that no value here stands for.",
    }

    PAYMENT_STATUS "payment_status" {
        "pending": "Its outcome is open.",
        "succeeded": "Done.",
        "failed": "Refused or failed.",
        "cancelled": "Called off.",
        "unknown": "The source says something that no value here stands for; see source_status.",
    }
}
