//! Inbound events with their bodies, read again, and where they went; traces, and domain events of the outbox.

use super::page::{default_limit, limit, page_of, single_text};
use super::stream::cursor;
use super::{JsonText, id};
use crate::app::App;
use crate::auth::{Caller, Reader, Writer};
use crate::error::Error;
use crate::sql;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_postgres::types::{Json as SqlJson, Type};
use uuid::Uuid;

/// One event, with headers and body as they were received.
pub async fn single(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    Path(event_id): Path<String>,
) -> Result<Json<Value>, Error> {
    show(&app, &caller, &event_id).await.map(Json)
}

/// Reads an event again with its connector's mapping as it is now, and shows it as it is then.
pub async fn reprocess(
    State(app): State<Arc<App>>,
    Writer(caller): Writer,
    Path(event_id): Path<String>,
) -> Result<Json<Value>, Error> {
    let object_id = id(sql::EVENTS.thing, &event_id)?;
    // One that the key may not see is not read again either.
    show(&app, &caller, &event_id).await?;
    let filter = json!({ "event_ids": [object_id], "environment_id": caller.environment_id });
    let parameters =
        &[(&caller.tenant_id as _, Type::UUID), (&SqlJson(filter) as _, Type::JSONB), (&1 as _, Type::INT4)];
    app.database.act(&caller.actor(), sql::REPROCESS, parameters).await?;
    // What changed may have made jobs and domain events.
    app.doorbell.ring();
    show(&app, &caller, &event_id).await.map(Json)
}

/// For each flow and each record of an event, whether the flow hears of it, and why.
pub async fn routing(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    Path(event_id): Path<String>,
) -> Result<JsonText, Error> {
    let event_id: Uuid = id(sql::EVENTS.thing, &event_id)?;
    let parameters = &[(&caller.tenant_id as _, Type::UUID), (&event_id as _, Type::UUID)];
    let rows =
        app.database.read(caller.tenant_id, caller.environment_id, sql::EXPLAIN_ROUTING, parameters).await?;
    let row = rows.first().ok_or_else(|| Error::not_found("event", event_id))?;
    let routing: &str = row.try_get(0)?;
    Ok(JsonText(format!("{{\"event_id\":\"{event_id}\",\"routing\":{routing}}}")))
}

async fn show(app: &App, caller: &Caller, event_id: &str) -> Result<Value, Error> {
    let event = single_text(app, caller, &sql::EVENTS, event_id).await?;
    let event_id = id(sql::EVENTS.thing, event_id)?;
    let parameters = &[
        (&caller.tenant_id as _, Type::UUID),
        (&caller.environment_id as _, Type::UUID),
        (&event_id as _, Type::UUID),
    ];
    let rows =
        app.database.read(caller.tenant_id, caller.environment_id, sql::EVENT_BODY, parameters).await?;
    let row = rows.first().ok_or_else(|| Error::not_found("event", event_id))?;
    let body: &[u8] = row.try_get(0)?;
    let (body, encoding) = match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), "text"),
        Err(_) => (STANDARD.encode(body), "base64"),
    };
    let mut event: Value = serde_json::from_str(&event).unwrap_or_default();
    event["body"] = body.into();
    event["body_encoding"] = encoding.into();
    Ok(event)
}

/// The timeline of a trace, oldest step first.
pub async fn trace(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    Path(trace_id): Path<String>,
) -> Result<JsonText, Error> {
    let is_id = trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(Error::not_found("trace", format!("{trace_id:?}")));
    }
    let trace_id = trace_id.to_ascii_lowercase();
    let parameters = &[(&caller.tenant_id as _, Type::UUID), (&trace_id as _, Type::TEXT)];
    let rows = app.database.read(caller.tenant_id, caller.environment_id, sql::TRACE, parameters).await?;
    let row = rows.first().ok_or_else(|| Error::not_found("trace", &trace_id))?;
    let (steps, timeline): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
    if steps == 0 {
        return Err(Error::not_found("trace", &trace_id));
    }
    Ok(JsonText(format!("{{\"trace_id\":\"{trace_id}\",\"steps\":{timeline}}}")))
}

/// Domain events in the outbox's order, after a cursor. `next_cursor` is where to go on, also when there is
/// nothing more yet.
pub async fn domain_events(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    RawQuery(query): RawQuery,
) -> Result<JsonText, Error> {
    let (mut after, mut most) = (None, default_limit());
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "limit" => most = limit(&value)?,
            "cursor" | "after" => after = Some(cursor(&name, &value)?.to_string()),
            name => {
                return Err(Error::parameter(name, format!("this list has no parameter {name:?}"))
                    .hint("it has limit, cursor"));
            }
        }
    }
    let most = i32::try_from(most).unwrap_or(i32::MAX);
    let parameters = &[
        (&caller.tenant_id as _, Type::UUID),
        (&caller.environment_id as _, Type::UUID),
        (&after as _, Type::TEXT),
        (&most as _, Type::INT4),
    ];
    let rows =
        app.database.read(caller.tenant_id, caller.environment_id, sql::DOMAIN_EVENTS, parameters).await?;
    let items = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    let last: Option<&str> = rows.last().map(|row| row.try_get(1)).transpose()?;
    Ok(page_of(&items, last.or(after.as_deref())))
}
