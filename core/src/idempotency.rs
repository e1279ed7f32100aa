//! Stage 3: what tells one delivery from another.
//!
//! Platforms differ in what they promise: Shopify's webhook id is the same for all attempts of one
//! delivery, WooCommerce's is shared by all deliveries of a webhook within a second, and some have none.
//! A manifest names the parts; the caller scopes the key to the connector.

use crate::connector::{Connector, KeyPart};
use crate::normalize::{Normalized, Request};
use sha2::{Digest, Sha256};

/// The idempotency key of a request, to be looked up among those of the same connector.
///
/// Where the request lacks a part that the manifest names, or the manifest names none, the key is derived
/// from topic, time and body: the same bytes sent again are the same delivery.
pub fn key(connector: &Connector, request: &Request<'_>, normalized: &Normalized) -> [u8; 32] {
    let declared = connector.receive().map_or(&[][..], |receive| &receive.idempotency);
    let value = |part: &KeyPart| part_of(*part, request, normalized);
    let parts: Option<Vec<_>> = declared.iter().map(value).collect();
    match parts {
        Some(parts) if !parts.is_empty() => digest("declared", &parts),
        _ => {
            let time = normalized.emitted_at.or_else(|| normalized.source_time());
            digest(
                "derived",
                &[
                    normalized.topic.clone().unwrap_or_default().into_bytes(),
                    time.map(|time| time.to_string()).unwrap_or_default().into_bytes(),
                    Sha256::digest(request.body).to_vec(),
                ],
            )
        }
    }
}

fn part_of(part: KeyPart, request: &Request<'_>, normalized: &Normalized) -> Option<Vec<u8>> {
    match part {
        KeyPart::DeliveryId => normalized.delivery_id.clone().map(String::into_bytes),
        KeyPart::Topic => normalized.topic.clone().map(String::into_bytes),
        KeyPart::EmittedAt => normalized.emitted_at.map(|time| time.to_string().into_bytes()),
        KeyPart::Body => Some(Sha256::digest(request.body).to_vec()),
    }
}

/// Every part comes after its length, so that no two lists of parts give the same bytes.
fn digest(manner: &str, parts: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(manner.as_bytes()).chain(parts.iter().map(Vec::as_slice)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
