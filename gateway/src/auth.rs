//! Who is asking: API keys of a tenant's environment, and platform keys.

use crate::app::App;
use crate::configuration::{Configuration, KeyHash};
use crate::error::Error;
use crate::key;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use nexus_core::error::Code;
use std::sync::Arc;
use uuid::Uuid;

/// Whose data a request may touch.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key's tenant.
    pub tenant_id: Uuid,
    /// The key's environment.
    pub environment_id: Uuid,
    /// The environment's name.
    pub environment: String,
    api_key_id: Uuid,
    key_hash: KeyHash,
    scopes: Vec<String>,
}

/// A caller who may read.
#[derive(Debug)]
pub struct Reader(pub Caller);

/// A caller who may have things done: events read again, jobs tried again, events replayed.
#[derive(Debug)]
pub struct Writer(pub Caller);

/// A caller who may change configuration.
#[derive(Debug)]
pub struct Administrator(pub Caller);

/// The platform's operator.
#[derive(Debug, Clone)]
pub struct Platform {
    platform_key_id: Uuid,
}

/// The key a request came with, where it is in force; [`identify`] finds it.
#[derive(Debug, Clone)]
pub enum Identity {
    /// An API key.
    Tenant(Caller),
    /// A platform key.
    Platform(Platform),
}

impl Caller {
    /// How the activity log names the caller.
    pub fn actor(&self) -> String {
        format!("api_key:{}", self.api_key_id)
    }

    /// What the key may do.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Whether the key is still in force.
    pub fn is_in_force(&self, configuration: &Configuration) -> bool {
        configuration.api_key(&self.key_hash).is_some()
    }

    /// Refuses unless the key has the scope; `admin` includes the others.
    pub fn require(self, scope: &str) -> Result<Self, Error> {
        if self.scopes.iter().any(|held| held == scope || held == "admin") {
            return Ok(self);
        }
        Err(Error::new(Code::MissingScope, format!("the API key lacks the scope {scope}"))
            .hint("use a key with that scope; scopes of a key do not change"))
    }
}

impl Platform {
    /// How the activity log names the operator.
    pub fn actor(&self) -> String {
        format!("platform_key:{}", self.platform_key_id)
    }
}

impl Identity {
    fn of(hash: &KeyHash, app: &App) -> Option<Self> {
        let configuration = app.configuration.current();
        if let Some(key) = configuration.api_key(hash) {
            return Some(Self::Tenant(Caller {
                tenant_id: key.tenant_id,
                environment_id: key.environment_id,
                environment: key.environment.clone(),
                api_key_id: key.api_key_id,
                key_hash: *hash,
                scopes: key.scopes.clone(),
            }));
        }
        configuration.platform_key(hash).map(|platform_key_id| Self::Platform(Platform { platform_key_id }))
    }

    fn key_id(&self) -> Uuid {
        match self {
            Self::Tenant(caller) => caller.api_key_id,
            Self::Platform(platform) => platform.platform_key_id,
        }
    }
}

/// Finds the key a request came with, counts it, and refuses what is too much. A request without a key passes:
/// what it asks for decides whether it needs one.
pub async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let identity = presented_key(request.headers()).and_then(|hash| Identity::of(&hash, &app));
    let Some(identity) = identity else { return next.run(request).await };
    let verdict = match app.api_limit.admit(identity.key_id()) {
        Ok(verdict) => verdict,
        Err(refused) => return refused.into_response(),
    };
    if let Identity::Tenant(caller) = &identity {
        app.key_uses.note(caller.tenant_id, caller.api_key_id);
    }
    request.extensions_mut().insert(identity);
    let mut response = next.run(request).await;
    if let Some(verdict) = verdict {
        verdict.write(response.headers_mut());
    }
    response
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthorized)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::Tenant(caller)) => Ok(caller.clone()),
            _ => Err(unauthorized()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Caller::from_request_parts(parts, state).await?.require("read").map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Writer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Caller::from_request_parts(parts, state).await?.require("write").map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Caller::from_request_parts(parts, state).await?.require("admin").map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Platform {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::Platform(platform)) => Ok(platform.clone()),
            _ => Err(unauthorized()),
        }
    }
}

/// The hash of the key a request carries, in `X-API-Key` or as a bearer token.
fn presented_key(headers: &HeaderMap) -> Option<KeyHash> {
    let key = match headers.get("x-api-key") {
        Some(key) => key.as_bytes(),
        None => {
            let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().as_bytes())?
        }
    };
    Some(key::hash(key))
}

/// The same for no key, an unknown, a revoked and an expired one.
fn unauthorized() -> Error {
    Error::new(Code::Unauthorized, "no API key that is in force came with the request")
        .hint("send it as X-API-Key, or as Authorization: Bearer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::HeaderName::from_static(name),
            header::HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn a_key_comes_in_either_header() {
        let hash = Some(key::hash(b"sk_live_x"));
        assert_eq!(presented_key(&headers("x-api-key", "sk_live_x")), hash);
        assert_eq!(presented_key(&headers("authorization", "bearer sk_live_x")), hash);
        assert_eq!(presented_key(&headers("authorization", "Basic sk_live_x")), None);
        assert_eq!(presented_key(&HeaderMap::new()), None);
    }

    #[test]
    fn scopes_are_required_one_by_one() {
        let caller = |scopes: &[&str]| Caller {
            tenant_id: Uuid::nil(),
            environment_id: Uuid::nil(),
            environment: "prod".to_owned(),
            api_key_id: Uuid::nil(),
            key_hash: KeyHash::default(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        assert!(caller(&["read"]).require("read").is_ok());
        assert!(caller(&["write"]).require("read").is_err());
        assert!(caller(&["read"]).require("admin").is_err());
        assert!(caller(&["admin"]).require("read").is_ok());
    }
}
