//! Who is asking: API keys of a tenant's environment, and platform keys.

use crate::app::App;
use crate::configuration::KeyHash;
use crate::error::Error;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use nexus_core::error::Code;
use sha2::{Digest, Sha256};
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
    scopes: Vec<String>,
}

/// A caller who may read.
#[derive(Debug)]
pub struct Reader(pub Caller);

/// A caller who may change configuration.
#[derive(Debug)]
pub struct Administrator(pub Caller);

/// The platform's operator.
#[derive(Debug)]
pub struct Platform;

impl Caller {
    fn from_headers(headers: &HeaderMap, app: &App) -> Result<Self, Error> {
        let hash = presented_key(headers).ok_or_else(unauthorized)?;
        let configuration = app.configuration.current();
        let key = configuration.api_key(&hash).ok_or_else(unauthorized)?;
        Ok(Self {
            tenant_id: key.tenant_id,
            environment_id: key.environment_id,
            environment: key.environment.clone(),
            scopes: key.scopes.clone(),
        })
    }

    /// Refuses unless the key has the scope; `admin` includes the others.
    fn require(self, scope: &str) -> Result<Self, Error> {
        if self.scopes.iter().any(|held| held == scope || held == "admin") {
            return Ok(self);
        }
        Err(Error::new(Code::MissingScope, format!("the API key lacks the scope {scope}"))
            .hint("use a key with that scope; scopes of a key do not change"))
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        Caller::from_headers(&parts.headers, app)?.require("read").map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        Caller::from_headers(&parts.headers, app)?.require("admin").map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Platform {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let hash = presented_key(&parts.headers).ok_or_else(unauthorized)?;
        if app.configuration.current().has_platform_key(&hash) { Ok(Self) } else { Err(unauthorized()) }
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
    Some(hash_key(key))
}

/// What is kept of a key.
pub fn hash_key(key: &[u8]) -> KeyHash {
    Sha256::digest(key).into()
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
        let hash = Some(hash_key(b"sk_live_x"));
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
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        assert!(caller(&["read"]).require("read").is_ok());
        assert!(caller(&["write"]).require("read").is_err());
        assert!(caller(&["read"]).require("admin").is_err());
        assert!(caller(&["admin"]).require("read").is_ok());
    }
}
