//! How webhooks are received: signatures, handshakes, and where a request says what it is about.

use super::is_default;
use crate::error::{Code, Error};
use crate::mapping::Expression;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How webhooks are received.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Receive {
    /// How a request proves where it comes from.
    pub signature: Signature,
    /// Other ways in which this platform may sign, where that is uncertain or up to the shop. An instance
    /// chooses one with its setting `signature`; without that, the one above counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signatures: BTreeMap<String, Signature>,
    /// Requests that are answered and not ingested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub handshakes: Vec<Handshake>,
    /// How the body is written.
    #[serde(skip_serializing_if = "is_default")]
    pub body: BodyFormat,
    /// For `form`: the fields whose text is JSON.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json_fields: Vec<String>,
    /// Paths to the platform's events, where one request holds several: those of the first path that leads
    /// to a list. The topic is then looked for in each; see [`BATCH`] for what the request's own is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
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
    /// The body of that answer, where the platform insists on one: text as it is (`""` for none), all else
    /// as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<Value>,
    /// Whether a payload is the record, or only says which record to fetch.
    pub payload: Payload,
}

impl Receive {
    /// How webhooks of one instance are received: with the signature that its setting `signature` names, if
    /// it names one, and for the recipient that its settings name. A signature that the manifest does not
    /// know is refused, so that a mistake opens nothing.
    pub fn of_instance(&self, settings: &Value) -> Result<Cow<'_, Receive>, Error> {
        let chosen = match settings.get("signature") {
            None | Some(Value::Null) => &self.signature,
            Some(chosen) => {
                let known = || self.signatures.keys().cloned().collect::<Vec<_>>().join(", ");
                let signature = chosen.as_str().and_then(|name| self.signatures.get(name));
                signature.ok_or_else(|| {
                    Error::new(Code::InvalidArgument, format!("there is no signature {chosen}"))
                        .at("settings.signature")
                        .hint(format!("one of {}", known()))
                })?
            }
        };
        if *chosen == self.signature && chosen.recipient.is_none() {
            return Ok(Cow::Borrowed(self));
        }
        let mut signature = chosen.clone();
        if let Some(recipient) = &mut signature.recipient {
            recipient.value = match settings.get(&recipient.setting) {
                Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
        }
        Ok(Cow::Owned(Self { signature, ..self.clone() }))
    }
}

/// The topic of a request that holds events of several topics.
pub const BATCH: &str = "batch";

/// How a body is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// JSON.
    #[default]
    Json,
    /// A form, `a=1&b=2`: an object of texts. A body that is JSON is taken for what it is.
    Form,
}

/// What a webhook carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The record.
    #[default]
    Full,
    /// The record's id; the rest must be fetched.
    Stub,
}

/// A part of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Signature {
    /// The scheme; what follows describes it further.
    pub scheme: Scheme,
    /// The header that holds the signature, or the shared token of `static_header`, or the token of `jwt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Other headers that may hold one instead; one good signature is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_headers: Vec<String>,
    /// How the header is written.
    #[serde(skip_serializing_if = "is_default")]
    pub header_format: HeaderFormat,
    /// The name of the signature in a header of several parts; `signature` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_part: Option<String>,
    /// The name of the key's id in a header of several parts; `keyId` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id_part: Option<String>,
    /// What stands before the signature in its header, such as `sha256=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The query parameter that holds the signature of a GET; the rest of the query is what is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_parameter: Option<String>,
    /// The member of the body that holds the signature. What is signed then has to be `{body.NAME}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_member: Option<String>,
    /// For `body_token`: a path to where the body repeats the secret. All it finds must be the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The hash function. What the public key's own answer says goes before it.
    pub algorithm: Algorithm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The name of the connector's secret; `webhook_secret` if left out. With a key source that is
    /// `authenticated`: that of the access token to fetch the key with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How the secret becomes the key.
    pub key: KeyEncoding,
    /// What is signed, with `{body}`, `{body_base64}`, `{body.NAME}` (the bytes of that member of the body),
    /// `{url}`, `{query}`, `{id}` and `{timestamp}`; `{body}` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The header of `{timestamp}`, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// The header of `{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// How far the timestamp may be from now, in seconds, either way; 300 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u32>,
    /// Where the platform publishes its public key. Without it, the secret is the key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_source: Option<KeySource>,
    /// Where the body says whom it is for. A platform that signs for all its customers with one key does so
    /// for a stranger's subscription to this connector's URL too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Recipient>,
    /// For `jwt`: what the token's `iss` has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// For `jwt`: what the token's `aud` has to be, or to contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// Whom a request has to be for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// Paths into the body; the first that leads somewhere counts.
    pub paths: Vec<String>,
    /// The connector's setting that it has to equal. While that is not set, every request is refused.
    pub setting: String,
    /// The setting's value, out of [`Receive::of_instance`].
    #[serde(skip)]
    pub value: Option<String>,
}

/// The name of the secret that webhooks are signed with, where a manifest names no other.
pub const WEBHOOK_SECRET: &str = "webhook_secret";

impl Signature {
    /// The name of the connector's secret that [`crate::signature::verify`] has to be given.
    pub fn secret_name(&self) -> &str {
        self.secret.as_deref().unwrap_or(WEBHOOK_SECRET)
    }
}

/// A signature scheme.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// An HMAC in a header, in a query parameter or in the body.
    Hmac,
    /// [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id`, `-timestamp`, `-signature`.
    StandardWebhooks,
    /// Stripe's `t=…,v1=…` over `timestamp.body`.
    Stripe,
    /// ECDSA over P-256, the signature in DER or as 64 bytes.
    EcdsaP256,
    /// RSA with PKCS #1 v1.5 padding.
    Rsa,
    /// No signature of the body, but a bearer token: a JSON Web Token signed with RSA (RS256), ECDSA
    /// (ES256) or HMAC (HS256), whichever the key is for, with `exp` in the future.
    Jwt,
    /// No signature: a header that holds the secret itself.
    StaticHeader,
    /// No signature: the body repeats the secret.
    BodyToken,
    /// No signature: the secret is the last part of the URL's path, `/hooks/{connector_id}/{secret}`.
    SecretPath,
    /// Nothing at all.
    #[default]
    None,
}

/// How a signature's header is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeaderFormat {
    /// Only the signature.
    #[default]
    Plain,
    /// Parts such as `keyId=…,signature="…"`, separated by commas or semicolons.
    Parameters,
    /// Base64 of a JSON object.
    Base64Json,
}

/// Where a platform publishes its public keys. The caller fetches what
/// [`crate::signature::key_requests`] asks for, keeps the answer for a while, and gives it to
/// [`crate::signature::verify`] among the secrets, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeySource {
    /// The URL, with `{key_id}` for what the request says of the key.
    pub url: String,
    /// The headers that say it; without them, it is in the signature's own header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_id_headers: Vec<String>,
    /// Whether the connector's access token has to be sent along.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub authenticated: bool,
    /// The media type to ask for, where the platform insists on one; any, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
    /// The member of the answer that is a list of keys, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The member of a listed key that holds its id; `id` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The member that holds the key, in PEM or base64 of DER; `key` if left out. An answer that is not
    /// JSON is the key itself; a key with the members of a JSON Web Key is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The member that names the hash function, such as `SHA1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How long an answer may be kept, in seconds; an hour if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<u32>,
}

/// The hash function of a signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-1, which platforms of long standing still use; as an HMAC it is not broken.
    Sha1,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Base64, of the standard alphabet or the one for URLs, padded or not.
    #[default]
    Base64,
    /// Hexadecimal, in lower or upper case.
    Hex,
    /// Either; for platforms that do not say which.
    Either,
}

/// How a secret becomes the key of an HMAC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// What makes it one.
    pub kind: HandshakeKind,
    /// The name of the form field, query parameter or member of the body that makes it one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// The name of the connector's secret that the answer is made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// For `shopware_registration`: the connector's setting that holds the app's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
}

/// What makes a request a handshake, and what is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandshakeKind {
    /// An unsigned POST whose body is a form with just this field; the answer is empty.
    #[default]
    FormPing,
    /// A query parameter that is sent back as the body.
    QueryEcho,
    /// eBay's: a GET with a query parameter; the answer is `{"challengeResponse": …}`, the hexadecimal
    /// SHA-256 of the parameter, the secret (`verification_token` if left out) and the URL without its
    /// query.
    ChallengeHash,
    /// Xero's: a POST whose body has an empty list at this member. The answer is empty; 401 where the
    /// signature is wrong.
    IntentToReceive,
    /// Shopware's: a GET with `shop-id`, `shop-url` and `timestamp`, signed with the app's secret
    /// (`app_secret` if left out); the answer proves that Nexus knows that secret too, and hands out the shop's.
    ShopwareRegistration,
    /// Shopware's: the POST that confirms a registration, signed with the secret that was handed out. It
    /// brings the credentials for the shop's API.
    ShopwareConfirmation,
}

fn ok() -> u16 {
    200
}
