//! Domain events as they happen, by WebSocket.

use crate::app::App;
use crate::auth::Reader;
use crate::error::Error;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use nexus_core::error::Code;
use nexus_core::outbox::Cursor;
use nexus_core::routing::check_event_type;
use std::sync::Arc;

/// A client has nothing to say.
const LONGEST_MESSAGE: usize = 4 << 10;

/// What a stream was asked for.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    after: Option<Cursor>,
    types: Option<Vec<String>>,
}

/// Opens a stream. Everything that can be refused is refused before, as a problem.
pub async fn stream(
    State(app): State<Arc<App>>,
    Reader(caller): Reader,
    RawQuery(query): RawQuery,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let Asked { after, types } = Asked::parse(query.as_deref().unwrap_or_default())?;
    let upgrade = upgrade.map_err(|_| {
        Error::new(Code::MalformedRequest, "this path speaks WebSocket, and the request does not")
            .hint("connect with a WebSocket client; GET /api/v1/integrations/events lists the same events")
    })?;
    let ticket = app.streams.admit(caller.tenant_id)?;
    let position = app.streams.begin(&caller, after).await?;
    let streams = Arc::clone(&app.streams);
    Ok(upgrade
        .max_message_size(LONGEST_MESSAGE)
        .max_frame_size(LONGEST_MESSAGE)
        .on_upgrade(move |socket| streams.serve(socket, ticket, caller, types, position)))
}

impl Asked {
    fn parse(query: &str) -> Result<Self, Error> {
        let mut asked = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "after" if asked.after.is_none() => asked.after = Some(cursor(&name, &value)?),
                "types" if asked.types.is_none() => asked.types = Some(types(&value)?),
                "after" | "types" => {
                    return Err(Error::parameter(&name, format!("{name} is given twice")));
                }
                name => {
                    return Err(Error::parameter(name, format!("a stream has no parameter {name:?}"))
                        .hint("it has after, types"));
                }
            }
        }
        Ok(asked)
    }
}

/// A cursor of the outbox, out of a parameter.
pub fn cursor(name: &str, value: &str) -> Result<Cursor, Error> {
    value.parse().map_err(|_| {
        Error::parameter(name, format!("{value:?} is no cursor of the outbox"))
            .hint("pass the cursor of the last event, or leave it out")
    })
}

fn types(value: &str) -> Result<Vec<String>, Error> {
    let patterns: Vec<String> = value.split(',').map(|pattern| pattern.trim().to_owned()).collect();
    for pattern in &patterns {
        check_event_type(pattern)
            .map_err(|error| Error { hint: error.hint, ..Error::parameter("types", error.message) })?;
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole() {
        let cursor = "1.742.01890a5d-ac96-774b-bcce-b302099a8057";
        let asked =
            Asked::parse(&format!("after={cursor}&types=order.*,%20customer.merged")).expect("a query");
        assert_eq!(asked.after.map(|after| after.to_string()).as_deref(), Some(cursor));
        assert_eq!(asked.types, Some(vec!["order.*".to_owned(), "customer.merged".to_owned()]));
        assert_eq!(Asked::parse("").expect("nothing asked"), Asked::default());
        for (query, parameter) in [
            ("after=", "after"),
            ("after=1.2.3", "after"),
            (&format!("after={cursor}&after={cursor}"), "after"),
            ("types=", "types"),
            ("types=order.*,", "types"),
            ("types=Order", "types"),
            ("type=order.*", "type"),
        ] {
            let refused = Asked::parse(query).expect_err(query);
            assert_eq!(
                (refused.code, refused.parameter.as_deref()),
                (Code::InvalidParameter, Some(parameter))
            );
        }
    }
}
