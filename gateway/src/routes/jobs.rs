//! Callbacks, how an execution endpoint that answered 202 reports the end of its job; and what people do with
//! jobs: try them again, cancel them.

use super::page::single;
use super::{JsonBody, JsonText, id};
use crate::app::App;
use crate::auth::{Caller, Writer};
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use nexus_core::callback::{self, Callback};
use nexus_core::error::Code;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use utoipa::ToSchema;
use uuid::Uuid;

/// What an endpoint reports.
#[derive(Deserialize, ToSchema)]
pub struct Report {
    status: Ending,
    duration_ms: Option<u64>,
    transformed_output: Option<Value>,
    error_code: Option<String>,
    error: Option<String>,
    callback_token: Option<String>,
}

#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Ending {
    Succeeded,
    Failed,
}

/// Takes a callback. The token, from the body or the header `X-Callback-Token`, is all that authorises it.
pub async fn callback(
    State(app): State<Arc<App>>,
    Path(job_id): Path<String>,
    headers: HeaderMap,
    JsonBody(report): JsonBody<Report>,
) -> Result<Json<Value>, Error> {
    let header = headers.get("x-callback-token").and_then(|token| token.to_str().ok());
    let token = header.or(report.callback_token.as_deref()).unwrap_or_default();
    let job_id = id("job", &job_id).map_err(|_| wrong_token())?;
    let Callback { tenant_id, attempt } = verify(&app, job_id, token).ok_or_else(wrong_token)?;

    let result = result_of(&report);
    let succeeded = report.status == Ending::Succeeded;
    let (error_code, error) =
        (report.error_code.as_deref().map(storable_text), report.error.as_deref().map(storable_text));
    let ended: String = app
        .database
        .row(
            sql::COMPLETE_JOB,
            &[
                (&tenant_id, Type::UUID),
                (&job_id, Type::UUID),
                (&attempt, Type::INT4),
                (&succeeded, Type::BOOL),
                (&result.map(SqlJson), Type::JSONB),
                (&error_code, Type::TEXT),
                (&error, Type::TEXT),
            ],
        )
        .await?
        .try_get(0)?;
    match ended.as_str() {
        "completed" => {
            // Its domain event may have subscribers.
            app.doorbell.ring();
            let status = if succeeded { "succeeded" } else { "failed" };
            Ok(Json(json!({ "job_id": job_id, "status": status })))
        }
        "not_waiting" => Err(Error::new(
            Code::CallbackNotExpected,
            format!(
                "job {job_id} is not waiting for this callback: it has ended, or another attempt has begun"
            ),
        )),
        // A token is made for jobs that exist; whoever has one for another learns nothing.
        _ => Err(wrong_token()),
    }
}

/// Tries a failed or dead job again, with all of its flow's attempts.
pub async fn retry(
    State(app): State<Arc<App>>,
    Writer(caller): Writer,
    Path(job_id): Path<String>,
) -> Result<JsonText, Error> {
    let job = change(&app, &caller, sql::RETRY_JOB, &job_id).await?;
    app.doorbell.ring();
    Ok(job)
}

/// Ends a job that has not ended.
pub async fn cancel(
    State(app): State<Arc<App>>,
    Writer(caller): Writer,
    Path(job_id): Path<String>,
) -> Result<JsonText, Error> {
    change(&app, &caller, sql::CANCEL_JOB, &job_id).await
}

/// Changes a job, and shows it as it is then.
async fn change(app: &App, caller: &Caller, statement: &str, job_id: &str) -> Result<JsonText, Error> {
    let object_id = id("job", job_id)?;
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (&caller.environment_id, Type::UUID), (&object_id, Type::UUID)];
    app.database.act(&caller.actor(), statement, parameters).await?;
    single(app, caller, &sql::JOBS, job_id).await
}

/// Checked in memory, before the database is asked anything. Any of the tenant's data keys may have made it.
fn verify(app: &App, job_id: Uuid, token: &str) -> Option<Callback> {
    let tenant_id = callback::tenant_of(token)?;
    let configuration = app.configuration.current();
    configuration.data_keys(tenant_id).find_map(|key| callback::verify(key, job_id, token).ok())
}

fn wrong_token() -> Error {
    Error::new(Code::InvalidCallbackToken, "the callback token is not one of this job")
        .hint("send callback_token as it came with the job")
}

/// What is kept of a report as the job's result.
fn result_of(report: &Report) -> Option<Value> {
    let mut result = Map::new();
    if let Some(duration_ms) = report.duration_ms {
        result.insert("duration_ms".to_owned(), duration_ms.into());
    }
    if let Some(output) = &report.transformed_output {
        result.insert("transformed_output".to_owned(), storable(output.clone()));
    }
    (!result.is_empty()).then_some(Value::Object(result))
}

/// Text of a destination as it is kept: the database knows no NUL, and a callback token is for its job alone.
pub fn storable_text(text: &str) -> String {
    callback::without_tokens(&text.replace('\0', "\u{fffd}"))
}

/// JSON of a destination as it is kept.
pub fn storable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(storable_text(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(storable).collect()),
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, value)| (storable_text(&name), storable(value))).collect(),
        ),
        // jsonb refuses numbers beyond numeric's range; kept as text, nothing is lost.
        Value::Number(number) if is_beyond_numeric(&number.to_string()) => Value::String(number.to_string()),
        other => other,
    }
}

/// With a margin: numeric takes 131072 digits before the point and 16383 after it.
fn is_beyond_numeric(number: &str) -> bool {
    let exponent = number.split(['e', 'E']).nth(1).unwrap_or("0");
    number.len() > 10_000 || exponent.parse::<i32>().map_or(true, |exponent| exponent.abs() > 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_cannot_hold_is_made_storable() {
        let value: Value =
            serde_json::from_str(r#"{"a\u0000": ["b\u0000c", 1.10, 1e999999]}"#).expect("JSON");
        assert_eq!(storable(value).to_string(), "{\"a\u{fffd}\":[\"b\u{fffd}c\",1.10,\"1e+999999\"]}");
    }

    #[test]
    fn a_report_keeps_duration_and_output() {
        let report: Report = serde_json::from_str(
            r#"{"status": "succeeded", "duration_ms": 12, "transformed_output": {"id": 1}}"#,
        )
        .expect("a report");
        assert_eq!(result_of(&report), Some(json!({"duration_ms": 12, "transformed_output": {"id": 1}})));
        let bare: Report = serde_json::from_str(r#"{"status": "failed"}"#).expect("a report");
        assert_eq!(result_of(&bare), None);
    }
}
