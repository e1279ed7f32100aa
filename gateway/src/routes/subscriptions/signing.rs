//! What subscriptions' requests are signed with. A secret that the receiver shares is shown once; of a key pair the
//! public key is shown at any time, and the private key never.

use super::super::page::single_text;
use super::super::{JsonBody, SHOWN_ONCE, id};
use crate::app::App;
use crate::auth::{Administrator, Caller, Reader};
use crate::configuration::SIGNING;
use crate::dispatcher::request::signing_keys;
use crate::error::Error;
use crate::secrets::random;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use jiff::{SignedDuration, Timestamp};
use nexus_core::envelope::{SigningKey, signing_secret};
use nexus_core::routing::SignatureVersion;
use nexus_core::secret::Place;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

const OVERLAP_SECONDS: u32 = 24 * 3600;

/// Shows a subscription, with the public keys that verify its requests now.
pub async fn show(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    Path(subscription_id): Path<String>,
) -> Result<Json<Value>, Error> {
    shown(&app, &caller, &subscription_id).await.map(Json)
}

/// A subscription with the public keys that verify its requests, the current one first.
pub async fn shown(app: &App, caller: &Caller, subscription_id: &str) -> Result<Value, Error> {
    let text = single_text(app, caller, &sql::SUBSCRIPTIONS, subscription_id).await?;
    let mut shown: Value = serde_json::from_str(&text).unwrap_or_default();
    shown["public_keys"] = public_keys(app, caller, id("subscription", subscription_id)?);
    Ok(shown)
}

fn public_keys(app: &App, caller: &Caller, subscription_id: Uuid) -> Value {
    let keys = signing_keys(&app.configuration.current(), caller.tenant_id, subscription_id);
    keys.iter().filter_map(SigningKey::public_key).collect()
}

/// How a signing secret is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRotation {
    /// How long the former secret signs beside the new one, in seconds; a day, if absent.
    overlap_seconds: Option<u32>,
}

/// Replaces the signing secret; both sign for the overlap. The new one is shown in this answer and never again, or
/// its public key is.
pub async fn rotate_secret(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Path(subscription_id): Path<String>,
    JsonBody(rotation): JsonBody<SecretRotation>,
) -> Result<impl IntoResponse, Error> {
    // Of another environment it is not there.
    let subscription = shown(&app, &caller, &subscription_id).await?;
    let subscription_id = id("subscription", &subscription_id)?;
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let told = put_secret(&app, &caller, subscription_id, version_of(&subscription), Some(overlap)).await?;
    let mut body = json!({ "subscription_id": subscription_id });
    told.write_to(&mut body);
    Ok((SHOWN_ONCE, Json(body)))
}

/// Makes a new secret unless the current one signs as the subscription says, and tells of it. Looking at the secret
/// itself, and not at what changed, mends a change that was broken off half-way.
pub async fn ensure_version(
    app: &App,
    caller: &Caller,
    subscription_id: Uuid,
    subscription: &mut Value,
) -> Result<(), Error> {
    app.configuration.refresh_now(&app.database).await;
    let keys = signing_keys(&app.configuration.current(), caller.tenant_id, subscription_id);
    let wanted = version_of(subscription);
    if keys.first().is_some_and(|current| current.version() == wanted) {
        return Ok(());
    }
    put_secret(app, caller, subscription_id, wanted, Some(OVERLAP_SECONDS)).await?.write_to(subscription);
    subscription["public_keys"] = public_keys(app, caller, subscription_id);
    Ok(())
}

fn version_of(subscription: &Value) -> SignatureVersion {
    // The column takes no others.
    SignatureVersion::deserialize(&subscription["signature"]).unwrap_or_default()
}

/// What is told of a new secret.
pub struct Told {
    /// `secret`, or `public_key` where the secret stays with us.
    name: &'static str,
    value: String,
    previous_valid_until: Option<Timestamp>,
}

impl Told {
    /// Adds it to an answer.
    pub fn write_to(self, answer: &mut Value) {
        answer[self.name] = self.value.into();
        if let Some(until) = self.previous_valid_until {
            answer["previous_valid_until"] = until.to_string().into();
        }
    }
}

/// A new signing secret, in force when this returns. For how many seconds the former one signs beside it; `None` of
/// a subscription that has none.
pub async fn put_secret(
    app: &App,
    caller: &Caller,
    subscription_id: Uuid,
    version: SignatureVersion,
    overlap_seconds: Option<u32>,
) -> Result<Told, Error> {
    let secret = signing_secret(version, random()?);
    let public_key = SigningKey::parse(&secret)?.public_key();
    let place = Place {
        tenant_id: caller.tenant_id,
        owner_kind: "webhook_subscription",
        owner_id: subscription_id,
        name: SIGNING,
    };
    let overlap = f64::from(overlap_seconds.unwrap_or(0));
    app.vault.put(&app.database, &caller.actor(), &place, secret.as_bytes(), overlap).await?;
    app.configuration.refresh_now(&app.database).await;
    let previous_valid_until =
        overlap_seconds.map(|seconds| Timestamp::now() + SignedDuration::from_secs(seconds.into()));
    let (name, value) = match public_key {
        Some(public_key) => ("public_key", public_key),
        None => ("secret", secret),
    };
    Ok(Told { name, value, previous_valid_until })
}
