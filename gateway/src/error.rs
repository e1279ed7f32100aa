//! Errors as callers see them: an RFC 9457 problem over HTTP, one line on stderr at start-up.

use crate::rate::Verdict;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nexus_core::error::{self as core, Code};
use serde_json::{Map, Value, json};
use std::fmt;
use tokio_postgres::error::SqlState;

/// What went wrong with a request, to which thing, and what to do.
#[derive(Debug, Clone)]
pub struct Error {
    /// The stable code; it decides the HTTP status.
    pub code: Code,
    /// What happened, to which thing.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// The parameter or the place in the body it is about.
    pub parameter: Option<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
    /// What is left of a limit, where it is about one.
    pub rate: Option<Box<Verdict>>,
}

impl Error {
    /// An error of this code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after =
            matches!(code, Code::Conflict | Code::Overloaded | Code::DatabaseUnavailable | Code::NotReady)
                .then_some(1);
        Self { code, detail: detail.into(), hint: None, parameter: None, retry_after, rate: None }
    }

    /// A parameter that cannot be used, and why.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self { parameter: Some(name.to_owned()), ..Self::new(Code::InvalidParameter, detail) }
    }

    /// No such thing, or none that the caller may see: the two are not told apart.
    pub fn not_found(thing: &str, id: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {thing} {id}"))
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says when trying again makes sense.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The problem's body.
    pub fn problem(&self, trace_id: &str) -> Value {
        let status = status(self.code);
        let mut problem = Map::new();
        problem.insert("type".to_owned(), format!("urn:nexus:problem:{}", self.code.as_str()).into());
        problem.insert("title".to_owned(), status.canonical_reason().unwrap_or("Error").into());
        problem.insert("status".to_owned(), status.as_u16().into());
        problem.insert("detail".to_owned(), self.detail.clone().into());
        problem.insert("code".to_owned(), self.code.as_str().into());
        problem.insert("trace_id".to_owned(), trace_id.into());
        for (name, value) in [("hint", &self.hint), ("parameter", &self.parameter)] {
            if let Some(value) = value {
                problem.insert(name.to_owned(), value.clone().into());
            }
        }
        Value::Object(problem)
    }
}

/// The HTTP status of a code.
pub const fn status(code: Code) -> StatusCode {
    match code {
        Code::MalformedRequest => StatusCode::BAD_REQUEST,
        Code::InvalidSignature | Code::InvalidCallbackToken | Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::NotAllowed | Code::MissingScope => StatusCode::FORBIDDEN,
        Code::NotFound | Code::UnknownPath | Code::UnknownKind | Code::UnknownConnectorType => {
            StatusCode::NOT_FOUND
        }
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::AlreadyExists | Code::WrongState | Code::CallbackNotExpected | Code::RequestUnderWay => {
            StatusCode::CONFLICT
        }
        Code::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::RequestTimeout | Code::StreamTooSlow => StatusCode::REQUEST_TIMEOUT,
        Code::CursorExpired => StatusCode::GONE,
        Code::InvalidManifest
        | Code::MalformedBody
        | Code::MappingFailed
        | Code::InvalidFlow
        | Code::InvalidSubscription
        | Code::InvalidArgument
        | Code::IdempotencyKeyReused
        | Code::InvalidParameter => StatusCode::UNPROCESSABLE_ENTITY,
        Code::UnsafeOwner | Code::Unstorable | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::SecretUnreadable
        | Code::KeyUnavailable
        | Code::Conflict
        | Code::Overloaded
        | Code::DatabaseUnavailable
        | Code::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for Error {
    /// The answer without its trace id: `router::finish` completes it, since only there it is known.
    fn into_response(self) -> Response {
        let mut response = (status(self.code), Json(json!({}))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(rate) = &self.rate {
            rate.write(response.headers_mut());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)?;
        match &self.hint {
            Some(hint) => write!(formatter, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<core::Error> for Error {
    fn from(error: core::Error) -> Self {
        Self { hint: error.hint, parameter: error.path, ..Self::new(error.code, error.message) }
    }
}

impl From<tokio_postgres::Error> for Error {
    /// Our own errors keep their words. Others are for the log: they may name what the caller must not learn.
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(raised) = error.as_db_error()
            && let Some((code, parameter)) = raised.detail().and_then(code_of_detail)
        {
            let hint = raised.hint().map(str::to_owned);
            return Self { hint, parameter, ..Self::new(code, raised.message()) };
        }
        match Trouble::of(&error) {
            Trouble::Data => {
                tracing::info!(error = %Chain(&error), "the database cannot hold what a request gave");
                Self::new(Code::InvalidArgument, "a value of the request is not one the database can hold")
            }
            Trouble::Other | Trouble::Duplicate => {
                tracing::error!(error = %Chain(&error), "a statement failed unexpectedly");
                Self::new(Code::Internal, "the gateway failed; its log says why, under this trace id")
            }
            Trouble::Conflict => {
                tracing::warn!(error = %Chain(&error), "others were in the way of a statement each time it was tried");
                let detail = "others were changing the same things at the same time; nothing was done";
                Self::new(Code::Conflict, detail).hint("Do it again.")
            }
            Trouble::Away => {
                tracing::warn!(error = %Chain(&error), "the database is not available");
                Self::database_unavailable()
            }
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            error => {
                tracing::warn!(%error, "no database connection");
                Self::database_unavailable()
            }
        }
    }
}

impl Error {
    /// The database does not answer.
    pub fn database_unavailable() -> Self {
        Self::new(Code::DatabaseUnavailable, "the database is not available; nothing was stored")
            .retry_after(5)
    }
}

/// The code, and the place in what was given where one is known.
fn code_of_detail(detail: &str) -> Option<(Code, Option<String>)> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    let path = detail.get("path").and_then(Value::as_str).map(str::to_owned);
    Some((Code::parse(detail.get("code")?.as_str()?)?, path))
}

/// What a failed statement says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Another transaction was in the way: the same statement may succeed at once.
    Conflict,
    /// The database is away, starting, stopping or out of resources.
    Away,
    /// The data cannot be stored.
    Data,
    /// A row that is there already.
    Duplicate,
    /// Anything else: a defect or a missing right.
    Other,
}

impl Trouble {
    /// Classifies by SQLSTATE; an error without one is of the connection.
    pub fn of(error: &tokio_postgres::Error) -> Self {
        error.as_db_error().map_or(Self::Away, |raised| Self::of_state(raised.code()))
    }

    fn of_state(state: &SqlState) -> Self {
        match state.code() {
            "40001" | "40P01" | "55P03" => Self::Conflict,
            "57014" => Self::Away, // cancelled by its timeout
            "23505" => Self::Duplicate,
            code => match &code[..2] {
                // 25: such as a server that has become read-only, since its disk is full or it is a standby.
                "08" | "25" | "53" | "57" | "58" => Self::Away,
                "22" | "23" | "54" => Self::Data,
                _ => Self::Other,
            },
        }
    }
}

/// An error with its causes, which `Display` of most errors leaves out.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut shown = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(formatter, ": {text}")?;
                shown = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// Why a command or the gateway ended: one line that says what to do, and an exit code.
#[derive(Debug)]
pub struct StartError {
    /// The line.
    pub message: String,
    /// The process's exit code.
    pub exit_code: u8,
}

impl StartError {
    /// A setting is missing or cannot be used.
    pub fn settings(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 10 }
    }

    /// The database cannot be reached, or refuses the login.
    pub fn database(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 11 }
    }

    /// The extension is missing, or its migrations are pending.
    pub fn schema(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 12 }
    }

    /// There is no usable master key.
    pub fn master_key(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 13 }
    }

    /// The address cannot be listened on.
    pub fn address(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 14 }
    }

    /// A command was refused, or failed.
    pub fn command(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 15 }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, whatever the cause wrote.
        formatter.write_str(&self.message.replace('\n', " "))
    }
}

impl std::error::Error for StartError {}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::command(format!("{error} ({})", error.code.as_str()))
    }
}

impl From<core::Error> for StartError {
    fn from(error: core::Error) -> Self {
        Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_documented_codes_are_the_codes() {
        let documentation = include_str!("../../docs/errors.md");
        let documented: BTreeMap<String, u16> = documentation
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| NX")?.split('|').map(str::trim);
                let (number, _meaning, _state) = (cells.next()?, cells.next()?, cells.next()?);
                Some((format!("NX{number}"), cells.next()?.parse().expect("an HTTP status")))
            })
            .collect();
        let codes: BTreeMap<String, u16> =
            Code::ALL.iter().map(|code| (code.as_str().to_owned(), status(*code).as_u16())).collect();
        assert_eq!(documented, codes);
    }

    #[test]
    fn our_own_database_errors_are_recognised_by_their_detail() {
        assert_eq!(code_of_detail(r#"{"code": "NX404", "more": 1}"#), Some((Code::NotFound, None)));
        assert_eq!(
            code_of_detail(r#"{"code": "NX101", "path": "type"}"#),
            Some((Code::InvalidManifest, Some("type".to_owned())))
        );
        assert_eq!(code_of_detail("Key (a)=(b) already exists."), None);
        assert_eq!(code_of_detail(r#"{"code": "NX999"}"#), None);
    }

    #[test]
    fn what_may_be_tried_again_is_told_by_the_state() {
        for (state, trouble) in [
            ("40P01", Trouble::Conflict),
            ("57P01", Trouble::Away),
            ("53300", Trouble::Away),
            ("08006", Trouble::Away),
            ("25006", Trouble::Away),
            ("22P05", Trouble::Data),
            ("23505", Trouble::Duplicate),
            ("42501", Trouble::Other),
            ("XX000", Trouble::Other),
        ] {
            assert_eq!(Trouble::of_state(&SqlState::from_code(state)), trouble, "{state}");
        }
    }

    #[test]
    fn a_start_error_is_one_line() {
        assert_eq!(StartError::settings("a\nb").to_string(), "a b");
    }
}
