//! `Idempotency-Key` on writes (draft-ietf-httpapi-idempotency-key-header): one answer to one request, however
//! often it is sent.
//!
//! Only what succeeded is kept; what did not has changed nothing, and may be tried again under its key. Answers
//! are kept sealed, because some show a secret once.

use crate::app::App;
use crate::auth::Identity;
use crate::body;
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use nexus_core::error::Code;
use nexus_core::secret::Place;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio_postgres::types::Type;
use tracing::Instrument as _;
use uuid::Uuid;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells that the answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LONGEST_KEY: usize = 255;

/// A write under a key.
struct Write {
    tenant_id: Uuid,
    environment_id: Uuid,
    key: String,
    request_sha256: [u8; 32],
}

/// Answers a write that came before as it was answered then.
pub async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let identity = request.extensions().get::<Identity>();
    let (Some(header), Some(identity)) = (request.headers().get(HEADER), identity) else {
        return next.run(request).await;
    };
    if request.method().is_safe() {
        return next.run(request).await;
    }
    // An answer is for who may do the same: a key that may not is refused as with another request.
    let (tenant_id, environment_id, scopes) = match identity {
        Identity::Tenant(caller) => (caller.tenant_id, caller.environment_id, caller.scopes().join(" ")),
        Identity::Platform(_) => (Uuid::nil(), Uuid::nil(), "platform".to_owned()),
    };
    match parse(header) {
        Ok(key) => answer(app, (tenant_id, environment_id), &scopes, key, request, next)
            .await
            .unwrap_or_else(Error::into_response),
        Err(refused) => refused.into_response(),
    }
}

async fn answer(
    app: Arc<App>,
    (tenant_id, environment_id): (Uuid, Uuid),
    scopes: &str,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let body = body::read(body, &app.body_limits).await?;
    let line = format!("{} {}\n{scopes}\n", parts.method, parts.uri);
    let request_sha256 = Sha256::new().chain_update(line).chain_update(&body).finalize().into();
    let write = Write { tenant_id, environment_id, key, request_sha256 };
    if let Some(answered) = write.begin(&app).await? {
        return Ok(answered);
    }
    let request = Request::from_parts(parts, Body::from(body));
    // A task of its own: a caller who hangs up leaves a write that ends, and its answer, behind.
    let work = async move {
        let response = next.run(request).await;
        write.end(&app, response).await
    };
    let work = tokio::spawn(work.instrument(tracing::Span::current()));
    work.await.map_err(|_| Error::new(Code::Internal, "the request was not carried out to its end"))?
}

impl Write {
    /// The answer that was given already, if one was.
    async fn begin(&self, app: &App) -> Result<Option<Response>, Error> {
        let parameters: &Parameters<'_> = &[
            (&self.tenant_id, Type::UUID),
            (&self.environment_id, Type::UUID),
            (&self.key, Type::TEXT),
            (&self.request_sha256.as_slice(), Type::BYTEA),
        ];
        let row = app.database.row(sql::BEGIN_REQUEST, parameters).await?;
        match row.try_get::<_, &str>(0)? {
            "begun" => Ok(None),
            "under_way" => {
                Err(Error::new(Code::RequestUnderWay, "a request with this Idempotency-Key is under way")
                    .retry_after(1))
            }
            "answered" => {
                let status = row.try_get::<_, i32>(1)?;
                let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
                let body = self.open(app, row.try_get(2)?).await?;
                let mut response = (status.unwrap_or(StatusCode::OK), body).into_response();
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(REPLAYED, HeaderValue::from_static("true"));
                Ok(Some(response))
            }
            _ => Err(Error::new(
                Code::IdempotencyKeyReused,
                "the Idempotency-Key came with another request before",
            )
            .hint("use a new key for each request, and the same for its repetitions only")),
        }
    }

    /// Keeps the answer if the write succeeded.
    async fn end(&self, app: &App, response: Response) -> Result<Response, Error> {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX)
            .await
            .map_err(|_| Error::new(Code::Internal, "the answer was not made to its end"))?;
        // The platform has no data key to seal with.
        let is_kept = parts.status.is_success() && !(self.tenant_id.is_nil() && is_secret(&parts.headers));
        let mut kept = None;
        if is_kept {
            match self.seal(app, &body).await {
                Ok(sealed) => kept = Some((i32::from(parts.status.as_u16()), sealed)),
                Err(error) => tracing::warn!(%error, "the answer to a write cannot be sealed"),
            }
        }
        let (status, sealed) = kept.unzip();
        let parameters: &Parameters<'_> = &[
            (&self.tenant_id, Type::UUID),
            (&self.environment_id, Type::UUID),
            (&self.key, Type::TEXT),
            (&status, Type::INT4),
            (&sealed, Type::BYTEA),
        ];
        // The write is done, or has failed, whether that is kept or not: its answer is what counts.
        if let Err(failure) = app.database.rows(sql::END_REQUEST, parameters).await {
            tracing::warn!(error = %failure, "the answer to a write was not kept under its Idempotency-Key");
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    async fn seal(&self, app: &App, answer: &Bytes) -> Result<Vec<u8>, Error> {
        match self.tenant_id.is_nil() {
            true => Ok(answer.to_vec()),
            false => app.vault.seal(&app.database, &self.place(), answer).await,
        }
    }

    async fn open(&self, app: &App, sealed: Vec<u8>) -> Result<Vec<u8>, Error> {
        match self.tenant_id.is_nil() {
            true => Ok(sealed),
            false => app.vault.open(&app.database, &self.place(), &sealed).await,
        }
    }

    fn place(&self) -> Place<'_> {
        let Self { tenant_id, environment_id, key, .. } = self;
        Place {
            tenant_id: *tenant_id,
            owner_kind: "idempotency_request",
            owner_id: *environment_id,
            name: key,
        }
    }
}

/// Whether an answer shows what is shown once.
fn is_secret(headers: &HeaderMap) -> bool {
    headers.get(header::CACHE_CONTROL).is_some_and(|value| value == "no-store")
}

/// The key: a quoted string, as the draft says, or the same without quotes, as many send it.
fn parse(header: &HeaderValue) -> Result<String, Error> {
    let text = header.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').map_or(Some(text), |text| text.strip_suffix('"'));
    let is_key = |key: &&str| {
        !key.is_empty()
            && key.len() <= LONGEST_KEY
            && key.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
    };
    key.filter(is_key).map(str::to_owned).ok_or_else(|| {
        Error::new(Code::MalformedRequest, "the Idempotency-Key cannot be used")
            .hint("send a quoted string of 1 to 255 visible characters, such as \"8e03978e-40d5\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_quoted_string_or_a_bare_one() {
        let parse = |text: &'static str| parse(&HeaderValue::from_static(text)).ok();
        assert_eq!(parse("\"8e03978e-40d5\"").as_deref(), Some("8e03978e-40d5"));
        assert_eq!(parse(" 8e03978e ").as_deref(), Some("8e03978e"));
        for bad in ["", "\"\"", "\"a", "a\"", "a b", "\"a\\\"b\"", "\"a\";x=1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(super::parse(&HeaderValue::from_str(&"a".repeat(256)).expect("a header")).is_err());
    }
}
