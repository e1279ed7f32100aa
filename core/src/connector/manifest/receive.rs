//! How webhooks are received: signatures, handshakes, and where a request says what it is about.

use crate::mapping::Expression;
use serde::{Deserialize, Serialize};

/// How webhooks are received.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Receive {
    /// How a request proves where it comes from.
    pub signature: Signature,
    /// Requests that are answered and not ingested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub handshakes: Vec<Handshake>,
    /// Where the topic is. Without one, the payload's shape decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Expression>,
    /// Where the platform's own id of the delivery is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<Expression>,
    /// When the platform says that it sent this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emitted_at: Option<Expression>,
    /// Which shop or account it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shop: Option<Expression>,
    /// What tells two deliveries apart. Without the named parts in a request: topic, time and body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub idempotency: Vec<KeyPart>,
    /// The status of the answer to what was accepted, where the platform insists on one. 202 otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<u16>,
    /// Whether a payload is the record, or only says which record to fetch.
    pub payload: Payload,
}

/// What a webhook carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The record.
    #[default]
    Full,
    /// The record's id; the rest must be fetched.
    Stub,
}

/// A part of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPart {
    /// The platform's id of the delivery.
    DeliveryId,
    /// The topic.
    Topic,
    /// When the platform sent it.
    EmittedAt,
    /// The body's hash.
    Body,
}

/// How a request proves where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signature {
    /// The scheme; what follows describes it further.
    pub scheme: Scheme,
    /// The header that holds the signature, or the shared token of `static_header`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// What stands before the signature in its header, such as `sha256=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The hash function.
    pub algorithm: Algorithm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// How the secret becomes the key.
    pub key: KeyEncoding,
    /// What is signed, with `{body}`, `{url}`, `{query}`, `{id}` and `{timestamp}`; `{body}` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The header of `{timestamp}`, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// The header of `{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// How far the timestamp may be from now, in seconds, either way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u32>,
}

/// A signature scheme.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// An HMAC in a header.
    Hmac,
    /// [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id`, `-timestamp`, `-signature`.
    StandardWebhooks,
    /// Stripe's `t=…,v1=…` over `timestamp.body`.
    Stripe,
    /// No signature: a header that holds the secret itself.
    StaticHeader,
    /// Nothing at all. The URL is the only secret.
    #[default]
    None,
}

/// The hash function of an HMAC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Algorithm {
    #[default]
    Sha256,
    Sha1,
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Encoding {
    #[default]
    Base64,
    Hex,
}

/// How a secret becomes the key of an HMAC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEncoding {
    /// Its bytes as they are.
    #[default]
    Utf8,
    /// Base64, after `whsec_` if it begins so.
    Base64,
    /// Hexadecimal.
    Hex,
}

/// A request that is answered and not ingested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// What makes it one.
    pub kind: HandshakeKind,
    /// The name of the form field or query parameter.
    pub field: String,
    /// The status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
}

/// What makes a request a handshake, and what is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandshakeKind {
    /// An unsigned POST whose body is a form with just this field; the answer is empty.
    FormPing,
    /// A query parameter that is sent back as the body.
    QueryEcho,
}

fn ok() -> u16 {
    200
}
