//! One client of a stream, from its first event to its farewell.

use super::page::{self, Outbox};
use super::{POLL_INTERVAL, Streams};
use crate::auth::Caller;
use crate::configuration::{Configuration, Live};
use crate::error::Error;
use crate::metrics;
use crate::shutdown::Stop;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use nexus_core::error::Code;
use nexus_core::outbox::Cursor;
use nexus_core::routing::matches_event_type;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, timeout};

/// Heartbeats after which a client that gives no sign of life is gone.
const HEARTBEATS_UNHEARD: u32 = 3;
/// How long a farewell may take to be written, and to be answered.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a stream ended.
enum End {
    /// The client left, or the connection broke.
    Left,
    /// Nothing came from the client any more, not even an answer to a ping.
    Silent,
    /// The client takes its events too slowly.
    Slow,
    /// The key is no longer in force.
    Revoked,
    /// The gateway stops.
    Stopping,
    /// The outbox cannot be read from where the client stands.
    Failed(Error),
}

struct Client<'a> {
    streams: &'a Streams,
    sink: SplitSink<WebSocket, Message>,
    outbox: Outbox,
    types: Option<Vec<String>>,
    /// The client was sent everything up to here.
    position: Cursor,
    heartbeat_due: Instant,
}

/// Serves a client to its end.
pub async fn serve(
    streams: &Streams,
    socket: WebSocket,
    caller: Caller,
    types: Option<Vec<String>>,
    position: Cursor,
) {
    let outbox = Outbox {
        tenant_id: caller.tenant_id,
        environment_id: caller.environment_id,
        environment: caller.environment.clone(),
    };
    let (sink, mut source) = socket.split();
    let heartbeat_due = Instant::now() + streams.heartbeat;
    let mut client = Client { streams, sink, outbox, types, position, heartbeat_due };
    let end = tokio::select! {
        end = client.send() => end,
        end = hear(&mut source, streams.heartbeat) => end,
        () = revoked(&streams.configuration, &caller) => End::Revoked,
        () = stopped(streams.stop.clone()) => End::Stopping,
    };
    metrics::stream_ended(end.name());
    tracing::debug!(tenant_id = %caller.tenant_id, reason = end.name(), position = %client.position, "a stream ended");
    if let Some((message, close)) = end.farewell(client.position) {
        // One who does not take it has had its chance.
        let _ = timeout(FAREWELL, client.close(message, close)).await;
        // What the client has sent is read: a socket closed over unread bytes resets, and our last words are lost.
        let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = source.next().await {} }).await;
    }
}

impl Client<'_> {
    /// Sends events and heartbeats, for ever or until it fails.
    async fn send(&mut self) -> End {
        let Err(end) = self.try_send().await;
        end
    }

    async fn try_send(&mut self) -> Result<std::convert::Infallible, End> {
        // From before the first read on, so that nothing falls between reading and listening.
        let mut feed = self.streams.join(&self.outbox);
        loop {
            self.catch_up().await?;
            self.live(&mut feed).await?;
        }
    }

    /// Reads the outbox to its end.
    async fn catch_up(&mut self) -> Result<(), End> {
        loop {
            let read = {
                // Whoever waited longest comes first. Never closed, so always granted.
                let _turn = self.streams.reads.acquire().await;
                page::read(&self.streams.database, &self.outbox, self.position, self.types.as_deref()).await
            };
            match read {
                Ok(page) => {
                    for event in page.events {
                        self.put(event.text, event.cursor).await?;
                    }
                    self.flush().await?;
                    self.position = page.to;
                    if page.is_last {
                        return Ok(());
                    }
                }
                Err(error) if matches!(error.code, Code::DatabaseUnavailable) => sleep(POLL_INTERVAL).await,
                Err(error) => return Err(End::Failed(error)),
            }
            if Instant::now() >= self.heartbeat_due {
                self.heartbeat().await?;
            }
        }
    }

    /// Sends what the feed reads, until a page of it has been missed.
    async fn live(&mut self, feed: &mut broadcast::Receiver<Arc<page::Page>>) -> Result<(), End> {
        loop {
            tokio::select! {
                page = feed.recv() => match page {
                    Ok(page) if page.from <= self.position => {
                        let from = self.position;
                        for event in page.events.iter().filter(|event| event.cursor > from) {
                            if self.wants(&event.event_type) {
                                self.put(event.text.clone(), event.cursor).await?;
                            }
                        }
                        self.flush().await?;
                        self.position = self.position.max(page.to);
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
                    // Not before the last receiver is gone, which is this one.
                    Err(broadcast::error::RecvError::Closed) => return Err(End::Stopping),
                },
                () = tokio::time::sleep_until(self.heartbeat_due) => self.heartbeat().await?,
            }
        }
    }

    fn wants(&self, event_type: &str) -> bool {
        let Some(types) = &self.types else { return true };
        matches_event_type(types.iter().map(String::as_str), event_type)
    }

    /// Hands an event to the socket, which holds little: it waits until the client has taken what was before.
    async fn put(&mut self, text: Utf8Bytes, cursor: Cursor) -> Result<(), End> {
        self.in_time(Message::Text(text)).await?;
        self.position = cursor;
        metrics::streamed();
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<(), End> {
        let heartbeat = json!({ "type": "heartbeat", "cursor": self.position.to_string() });
        self.in_time(Message::Text(heartbeat.to_string().into())).await?;
        self.in_time(Message::Ping(Bytes::new())).await?;
        self.flush().await?;
        self.heartbeat_due = Instant::now() + self.streams.heartbeat;
        Ok(())
    }

    async fn in_time(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.streams.heartbeat, self.sink.feed(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Slow),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        match timeout(self.streams.heartbeat, self.sink.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Slow),
        }
    }

    async fn close(&mut self, message: Option<Utf8Bytes>, close: CloseFrame) -> Result<(), axum::Error> {
        if let Some(message) = message {
            self.sink.feed(Message::Text(message)).await?;
        }
        self.sink.send(Message::Close(Some(close))).await
    }
}

impl End {
    /// As the metric names it.
    fn name(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Revoked => "revoked",
            Self::Stopping => "stopping",
            Self::Failed(_) => "failed",
        }
    }

    /// What the client is told: a message, and how the connection is closed. Nothing if it is gone.
    fn farewell(&self, position: Cursor) -> Option<(Option<Utf8Bytes>, CloseFrame)> {
        let told = |code: u16, error: &Error| {
            let message = json!({
                "type": "error", "code": error.code.as_str(), "detail": error.to_string(), "cursor": position.to_string(),
            });
            let close = CloseFrame { code, reason: error.code.as_str().into() };
            Some((Some(message.to_string().into()), close))
        };
        match self {
            Self::Left => None,
            Self::Silent => {
                Some((None, CloseFrame { code: close_code::AWAY, reason: "no sign of life".into() }))
            }
            Self::Slow => {
                let error = Error::new(Code::StreamTooSlow, "the client took nothing for a heartbeat's time")
                    .hint("connect again with this cursor, and take events off the socket before working on them");
                told(close_code::AGAIN, &error)
            }
            Self::Revoked => {
                told(close_code::POLICY, &Error::new(Code::Unauthorized, "the API key is no longer in force"))
            }
            Self::Stopping => {
                Some((None, CloseFrame { code: close_code::AWAY, reason: "going away".into() }))
            }
            Self::Failed(error) => told(close_code::ERROR, error),
        }
    }
}

/// Hears the client, which has nothing to say but that it lives, or that it leaves.
async fn hear(source: &mut SplitStream<WebSocket>, heartbeat: Duration) -> End {
    loop {
        match timeout(heartbeat * HEARTBEATS_UNHEARD, source.next()).await {
            Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return End::Left,
            Ok(Some(Ok(_))) => {}
            Err(_) => return End::Silent,
        }
    }
}

/// Waits until the caller's key is no longer in force.
async fn revoked(live: &Live, caller: &Caller) {
    let mut changes: watch::Receiver<Arc<Configuration>> = live.changes();
    while caller.is_in_force(&Arc::clone(&changes.borrow_and_update())) {
        // A key may also expire without a change.
        let _ = timeout(POLL_INTERVAL, changes.changed()).await;
    }
}

async fn stopped(mut stop: Stop) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}
