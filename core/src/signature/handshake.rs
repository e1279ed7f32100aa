//! Handshakes: requests that a platform sends to see whether, or with what secret, somebody listens.

use super::claim::{query, query_value, without_query};
use super::{SignedRequest, scheme, verify};
use crate::connector::{Algorithm, Handshake, HandshakeKind, Receive};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;

/// The secret that was handed out and that no request has been signed with yet.
const PENDING: &str = "pending_webhook_secret";

/// The longest text that is sent back.
const MAX_ECHO: usize = 4096;

/// Seconds that a registration may be old: it hands out a secret, and must not be played again.
const REGISTRATION_AGE: u64 = 300;

/// What is known of the connector that a handshake is for.
#[derive(Clone, Copy, Default)]
pub struct Instance<'a> {
    /// Its settings.
    pub settings: Option<&'a Value>,
    /// Its secrets, with their names. A name may come twice, while one is being replaced.
    pub secrets: &'a [(&'a str, &'a [u8])],
    /// Random bytes of this moment, to make a secret of. Without them no secret is handed out.
    pub random: Option<[u8; 32]>,
}

/// The answer to a handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct HandshakeResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Secrets of the connector that have to be stored before the answer is sent, in place of those that
    /// bear the same name. A secret that signs webhooks stays valid for the time that any rotation gives it.
    pub store: Vec<NewSecret>,
}

/// A secret that a handshake brought or made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// Its name, such as `webhook_secret`.
    pub name: String,
    /// The secret.
    pub secret: Vec<u8>,
}

/// The answer, if the request is this handshake.
pub(super) fn answer(
    receive: &Receive,
    handshake: &Handshake,
    request: &SignedRequest<'_>,
    instance: &Instance<'_>,
) -> Option<HandshakeResponse> {
    let text = |body| HandshakeResponse::of(handshake.status, "text/plain; charset=utf-8", body);
    let json = |body: &Value| {
        HandshakeResponse::of(handshake.status, "application/json", body.to_string().into_bytes())
    };
    let parameter = || query_value(request.url, &handshake.field).filter(|value| value.len() <= MAX_ECHO);
    match handshake.kind {
        HandshakeKind::FormPing => is_ping(receive, request, &handshake.field).then(|| text(Vec::new())),
        HandshakeKind::QueryEcho => parameter().map(text),
        HandshakeKind::ChallengeHash => {
            let code = parameter().filter(|_| request.method.eq_ignore_ascii_case("GET"))?;
            let name = handshake.secret.as_deref().unwrap_or("verification_token");
            let token = instance.secret(name)?;
            let digest = Sha256::new()
                .chain_update(code)
                .chain_update(token)
                .chain_update(without_query(request.url))
                .finalize();
            Some(json(&json!({"challengeResponse": hex::encode(digest)})))
        }
        HandshakeKind::IntentToReceive => {
            let body: Value = serde_json::from_slice(request.body).ok()?;
            body.get(&handshake.field)?.as_array().filter(|events| events.is_empty())?;
            let status = match verify(receive, request, &instance.all(receive.signature.secret_name())) {
                Ok(()) => handshake.status,
                Err(_) => 401,
            };
            Some(HandshakeResponse { status, headers: Vec::new(), body: Vec::new(), store: Vec::new() })
        }
        HandshakeKind::ShopwareRegistration => {
            let is_confirmation = |one: &&Handshake| one.kind == HandshakeKind::ShopwareConfirmation;
            let confirmation = receive.handshakes.iter().find(is_confirmation)?;
            let (body, secret) = registration(handshake, &confirmation.field, request, instance)?;
            let store = vec![NewSecret { name: PENDING.to_owned(), secret }];
            Some(HandshakeResponse { store, ..json(&body) })
        }
        HandshakeKind::ShopwareConfirmation => {
            let store = confirmation(receive, handshake, request, instance)?;
            Some(HandshakeResponse { store, ..text(Vec::new()) })
        }
    }
}

/// Shopware's registration: the answer, and the secret in it.
fn registration(
    handshake: &Handshake,
    confirmation: &str,
    request: &SignedRequest<'_>,
    instance: &Instance<'_>,
) -> Option<(Value, Vec<u8>)> {
    let app_secret = instance.secret(handshake.secret.as_deref().unwrap_or("app_secret"))?;
    let signature = hex::decode(request.headers.get("shopware-app-signature")?).ok()?;
    let signed = query(request.url)?;
    let is_signed = request.method.eq_ignore_ascii_case("GET")
        && scheme::is_mac(Algorithm::Sha256, app_secret, signed.as_bytes(), &signature);
    let parameter = |name| String::from_utf8(query_value(request.url, name)?).ok();
    let (shop_id, shop_url) = (parameter("shop-id")?, parameter("shop-url")?);
    let timestamp: i64 = parameter("timestamp")?.parse().ok()?;
    if !is_signed || request.now.abs_diff(timestamp) > REGISTRATION_AGE {
        return None;
    }
    let setting = handshake.app_name.as_deref().unwrap_or("app_name");
    let app_name = instance.settings?.get(setting)?.as_str()?;
    let proven = format!("{shop_id}{shop_url}{app_name}");
    let proof = scheme::mac(Algorithm::Sha256, app_secret, proven.as_bytes());
    // Shopware asks for 64 to 255 characters.
    let secret = hex::encode(instance.random?);
    let confirmation = format!("{}?{confirmation}=1", without_query(request.url));
    let answer = json!({
        "proof": hex::encode(proof),
        "secret": secret,
        "confirmation_url": confirmation,
    });
    Some((answer, secret.into_bytes()))
}

/// Shopware's confirmation: what it brings. A shop that had registered before also signs with the secret it
/// had; versions before that do not, so that its absence says nothing.
fn confirmation(
    receive: &Receive,
    handshake: &Handshake,
    request: &SignedRequest<'_>,
    instance: &Instance<'_>,
) -> Option<Vec<NewSecret>> {
    query_value(request.url, &handshake.field).filter(|_| request.method.eq_ignore_ascii_case("POST"))?;
    let pending = instance.secret(PENDING)?;
    verify(receive, request, &[pending]).ok()?;
    let header = receive.signature.header.as_deref()?;
    if let Some(previous) = request.headers.get(&format!("{header}-previous")) {
        let previous = hex::decode(previous).ok()?;
        let is_signed = |secret: &&[u8]| scheme::is_mac(Algorithm::Sha256, secret, request.body, &previous);
        if !scheme::any(&instance.all(receive.signature.secret_name()), is_signed) {
            return None;
        }
    }
    let body: Value = serde_json::from_slice(request.body).ok()?;
    let member = |name: &str| Some(body.get(name)?.as_str()?.as_bytes().to_vec());
    let secret = |name: &str, secret| NewSecret { name: name.to_owned(), secret };
    let mut brought = vec![
        secret(receive.signature.secret_name(), pending.to_vec()),
        secret("client_id", member("apiKey")?),
        secret("client_secret", member("secretKey")?),
    ];
    // Confirmed once more, because the answer did not arrive: what stands already is not replaced by itself.
    brought.retain(|new| instance.secret(&new.name) != Some(&new.secret));
    Some(brought)
}

/// An unsigned POST of a form that has the field and nothing else, its value being a number: nothing that
/// a forger could use, since it is answered and forgotten.
fn is_ping(receive: &Receive, request: &SignedRequest<'_>, field: &str) -> bool {
    let is_signed =
        receive.signature.header.as_deref().is_some_and(|name| request.headers.get(name).is_some());
    let value = std::str::from_utf8(request.body)
        .ok()
        .and_then(|body| body.trim().strip_prefix(field)?.strip_prefix('='));
    request.method.eq_ignore_ascii_case("POST")
        && !is_signed
        && value.is_some_and(|value| {
            (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
        })
}

impl HandshakeResponse {
    fn of(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        // What is sent back may be anybody's text: it must not be taken for a page.
        let headers = [("content-type", content_type), ("x-content-type-options", "nosniff")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { status, headers, body, store: Vec::new() }
    }
}

impl<'a> Instance<'a> {
    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        self.secrets.iter().filter(|(other, _)| *other == name).map(|(_, secret)| *secret).collect()
    }

    /// The secret of that name; nobody's secret is empty.
    fn secret(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).into_iter().find(|secret| !secret.is_empty())
    }
}

impl fmt::Debug for Instance<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Instance(…)")
    }
}

impl fmt::Debug for HandshakeResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold a secret.
        formatter.debug_struct("HandshakeResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NewSecret({}, …)", self.name)
    }
}
