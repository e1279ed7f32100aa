//! Pages of an outbox, as streams send them.

use crate::db::Database;
use crate::error::Error;
use crate::sql;
use axum::extract::ws::Utf8Bytes;
use jiff::Timestamp;
use nexus_core::envelope::WebhookBody;
use nexus_core::error::Code;
use nexus_core::outbox::Cursor;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// Events looked at in one page. It ends earlier at [`PAGE_BYTES`].
const PAGE_EVENTS: i32 = 200;
/// Of payloads as they are stored, compressed; an event that is larger is a page of its own.
const PAGE_BYTES: i64 = 128 << 10;

/// The outbox of a tenant's environment.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub tenant_id: Uuid,
    pub environment_id: Uuid,
    /// `dev`, `test` or `prod`.
    pub environment: String,
}

/// Everything of an outbox in a stretch of its order.
#[derive(Debug)]
pub struct Page {
    /// The stretch begins behind this place,
    pub from: Cursor,
    /// and ends with this one.
    pub to: Cursor,
    pub events: Vec<Event>,
    /// Nothing more was readable.
    pub is_last: bool,
}

/// An event that is to be sent.
#[derive(Debug)]
pub struct Event {
    pub cursor: Cursor,
    pub event_type: String,
    /// The message: shared by all who get it.
    pub text: Utf8Bytes,
}

/// What a stream sends of an event: the body of a webhook, and the cursor.
#[derive(Serialize)]
struct EventMessage<'a> {
    #[serde(flatten)]
    body: WebhookBody<'a>,
    cursor: String,
}

impl Outbox {
    /// What tells it from others.
    pub fn key(&self) -> (Uuid, Uuid) {
        (self.tenant_id, self.environment_id)
    }
}

/// The next page after a cursor; of other types than asked for nothing is read but their place.
pub async fn read(
    database: &Database,
    outbox: &Outbox,
    after: Cursor,
    types: Option<&[String]>,
) -> Result<Page, Error> {
    let text = after.to_string();
    let parameters = &[
        (&outbox.tenant_id as _, Type::UUID),
        (&outbox.environment_id as _, Type::UUID),
        (&text as _, Type::TEXT),
        (&PAGE_EVENTS as _, Type::INT4),
        (&types as _, Type::TEXT_ARRAY),
        (&PAGE_BYTES as _, Type::INT8),
    ];
    let rows = database.read(outbox.tenant_id, outbox.environment_id, sql::OUTBOX_PAGE, parameters).await?;
    // One row without an event tells that there is none.
    let [first, ..] = rows.as_slice() else {
        return Err(Error::new(Code::Internal, "the outbox gave no answer"));
    };
    let latest = cursor(first.try_get("latest")?)?;
    let found: Option<i64> = first.try_get("found")?;
    let found = usize::try_from(found.unwrap_or_default()).unwrap_or_default();
    let read = if found == 0 { &[] } else { rows.as_slice() };
    let mut events = Vec::with_capacity(read.len());
    let mut to = after;
    for row in read {
        to = cursor(row.try_get("cursor")?)?;
        if let Some(payload) = row.try_get::<_, Option<Json<&RawValue>>>("payload")? {
            events.push(Event {
                cursor: to,
                event_type: row.try_get("event_type")?,
                text: message(outbox, row, payload.0, to)?,
            });
        }
    }
    let is_last = read.len() == found && found < PAGE_EVENTS as usize;
    Ok(Page { from: after, to: if is_last { to.max(latest) } else { to }, events, is_last })
}

fn message(outbox: &Outbox, row: &Row, payload: &RawValue, cursor: Cursor) -> Result<Utf8Bytes, Error> {
    let created_at: Timestamp = row.try_get("created_at")?;
    let changed: Vec<String> = row.try_get("changed")?;
    let message = EventMessage {
        body: WebhookBody {
            id: row.try_get("domain_event_id")?,
            event_type: row.try_get("event_type")?,
            schema_version: row.try_get("schema_version")?,
            entity_version: row.try_get("entity_version")?,
            dedupe_key: row.try_get("dedupe_key")?,
            timestamp: &created_at.to_string(),
            tenant_id: outbox.tenant_id,
            environment: &outbox.environment,
            trace_id: row.try_get("trace_id")?,
            changed: &changed,
            data: payload,
            entity: None,
        },
        cursor: cursor.to_string(),
    };
    let text = serde_json::to_string(&message);
    let text = text.map_err(|error| {
        tracing::error!(%cursor, %error, "a domain event cannot be written");
        Error::new(Code::Internal, "a domain event cannot be written; the gateway's log says why")
    })?;
    Ok(text.into())
}

/// A cursor as the database writes it.
pub fn cursor(text: &str) -> Result<Cursor, Error> {
    text.parse().map_err(|_| Error::new(Code::Internal, format!("the database gave \"{text}\" as a cursor")))
}
