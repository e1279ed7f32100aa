//! Errors with a stable code.
//!
//! A [`Code`] is a promise to callers: it appears in `DETAIL` of a PostgreSQL error, as `code` of an HTTP
//! problem, and in `docs/errors.md`, which a test compares with this table.

use std::fmt;

/// The kinds of failure a caller can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A manifest cannot be used.
    InvalidManifest,
    /// No entity kind has that name.
    UnknownKind,
    /// The body is not JSON, or not within the bounds for JSON.
    MalformedBody,
    /// A payload does not fit its mapping.
    MappingFailed,
    /// The database refused what a payload gave; it is kept in quarantine.
    Unstorable,
    /// No connector type has that name.
    UnknownConnectorType,
    /// A signature is missing, wrong or too old.
    InvalidSignature,
    /// A sealed secret cannot be opened.
    SecretUnreadable,
    /// The public key that a request names cannot be fetched.
    KeyUnavailable,
    /// A flow's definition cannot be used.
    InvalidFlow,
    /// A subscription cannot be used.
    InvalidSubscription,
    /// A callback's token does not belong to the job's current attempt.
    InvalidCallbackToken,
    /// The role may not do that.
    NotAllowed,
    /// A definer function would bypass row-level security.
    UnsafeOwner,
    /// An argument of a SQL function cannot be used.
    InvalidArgument,
    /// What was named does not exist.
    NotFound,
    /// There is one of that name already.
    AlreadyExists,
    /// What was asked for does not fit the state that the thing is in.
    WrongState,
    /// A cursor is older than what is kept: events after it are gone.
    CursorExpired,
    /// Others were changing the same things at the same time, again and again.
    Conflict,
    /// A defect: it says nothing about the request.
    Internal,
    /// No API key, or one that is not in force.
    Unauthorized,
    /// The API key lacks the scope.
    MissingScope,
    /// No such path, or nothing there that the key may see.
    UnknownPath,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// The body is larger than the gateway takes.
    BodyTooLarge,
    /// A parameter of the request cannot be used.
    InvalidParameter,
    /// The request's body is not what the path takes.
    MalformedRequest,
    /// More is waiting than the gateway holds.
    Overloaded,
    /// The database does not answer.
    DatabaseUnavailable,
    /// The job is not waiting for this callback: it has ended, or another attempt runs.
    CallbackNotExpected,
    /// The gateway is not ready to serve.
    NotReady,
    /// A connector or a key makes more requests than it may.
    RateLimited,
    /// The request has more or larger headers than the gateway takes.
    HeadersTooLarge,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The Idempotency-Key came with another request before.
    IdempotencyKeyReused,
    /// A request with the same Idempotency-Key has not ended.
    RequestUnderWay,
    /// A stream's client takes its events too slowly.
    StreamTooSlow,
}

impl Code {
    /// Every code, in the order of `docs/errors.md`.
    pub const ALL: [Code; 38] = [
        Code::InvalidManifest,
        Code::UnknownKind,
        Code::MalformedBody,
        Code::MappingFailed,
        Code::Unstorable,
        Code::UnknownConnectorType,
        Code::InvalidSignature,
        Code::SecretUnreadable,
        Code::KeyUnavailable,
        Code::InvalidCallbackToken,
        Code::NotAllowed,
        Code::UnsafeOwner,
        Code::InvalidFlow,
        Code::InvalidSubscription,
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::WrongState,
        Code::CursorExpired,
        Code::Conflict,
        Code::Internal,
        Code::Unauthorized,
        Code::MissingScope,
        Code::UnknownPath,
        Code::MethodNotAllowed,
        Code::BodyTooLarge,
        Code::InvalidParameter,
        Code::MalformedRequest,
        Code::Overloaded,
        Code::DatabaseUnavailable,
        Code::CallbackNotExpected,
        Code::NotReady,
        Code::RateLimited,
        Code::HeadersTooLarge,
        Code::RequestTimeout,
        Code::IdempotencyKeyReused,
        Code::RequestUnderWay,
        Code::StreamTooSlow,
    ];

    /// The code that callers see so.
    pub fn parse(text: &str) -> Option<Code> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// The code as callers see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::InvalidManifest => "NX101",
            Code::UnknownKind => "NX102",
            Code::MalformedBody => "NX201",
            Code::MappingFailed => "NX202",
            Code::Unstorable => "NX203",
            Code::UnknownConnectorType => "NX103",
            Code::InvalidSignature => "NX301",
            Code::SecretUnreadable => "NX302",
            Code::KeyUnavailable => "NX306",
            Code::InvalidCallbackToken => "NX303",
            Code::NotAllowed => "NX304",
            Code::UnsafeOwner => "NX305",
            Code::InvalidFlow => "NX401",
            Code::InvalidSubscription => "NX402",
            Code::InvalidArgument => "NX403",
            Code::NotFound => "NX404",
            Code::AlreadyExists => "NX405",
            Code::WrongState => "NX406",
            Code::CursorExpired => "NX407",
            Code::Conflict => "NX408",
            Code::Internal => "NX500",
            Code::Unauthorized => "NX501",
            Code::MissingScope => "NX502",
            Code::UnknownPath => "NX503",
            Code::MethodNotAllowed => "NX504",
            Code::BodyTooLarge => "NX505",
            Code::InvalidParameter => "NX506",
            Code::MalformedRequest => "NX507",
            Code::Overloaded => "NX508",
            Code::DatabaseUnavailable => "NX509",
            Code::CallbackNotExpected => "NX510",
            Code::NotReady => "NX511",
            Code::RateLimited => "NX512",
            Code::HeadersTooLarge => "NX513",
            Code::RequestTimeout => "NX514",
            Code::IdempotencyKeyReused => "NX515",
            Code::RequestUnderWay => "NX516",
            Code::StreamTooSlow => "NX517",
        }
    }
}

/// What happened, to which thing, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// What happened, to which thing.
    pub message: String,
    /// Where in the input: a path such as `$.total_price`, where one is known.
    pub path: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Error {
    /// An error of this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path: None, hint: None }
    }

    /// Names the place in the input.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(formatter, "{path}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}
