//! Errors as PostgreSQL reports them: a standard SQLSTATE, and the stable code in DETAIL.

use nexus_core::error::{Code, Error};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// What functions of the extension return.
pub type Result<T> = std::result::Result<T, ErrorReport>;

/// A core error as a report.
pub fn report(error: Error) -> ErrorReport {
    let sqlstate = match error.code {
        Code::UnknownKind => PgSqlErrorCode::ERRCODE_NO_DATA_FOUND,
        Code::MalformedBody | Code::MappingFailed => PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
        _ => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
    };
    let detail = serde_json::json!({ "code": error.code.as_str(), "path": error.path });
    let report = ErrorReport::new(sqlstate, error.to_string(), "nexus").set_detail(detail.to_string());
    match error.hint {
        Some(hint) => report.set_hint(hint),
        None => report,
    }
}

/// What is the extension's own fault, such as a column that is not of the type it was written for.
pub fn internal(error: impl std::fmt::Display) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, format!("nexus: {error}"), "nexus")
}
