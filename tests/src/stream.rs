//! A WebSocket client of the stream of domain events, and events to stream.

use crate::wait::DEADLINE;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

/// An open stream.
pub struct Stream {
    socket: WebSocketStream<TcpStream>,
}

/// What a stream brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// An event, a heartbeat or an error.
    Message(Value),
    /// A closing frame: its code and reason.
    Closed(u16, String),
    /// The connection ended without one.
    Broken,
}

impl Stream {
    /// Opens a stream; the status if it is refused.
    pub async fn open(base_url: &str, query: &str, api_key: &str) -> Result<Self, u16> {
        let address = base_url.strip_prefix("http://").expect("a gateway without TLS");
        let mut request =
            format!("ws://{address}/api/v1/webhooks/stream{query}").into_client_request().unwrap();
        request.headers_mut().insert("x-api-key", api_key.parse().unwrap());
        let socket = TcpSocket::new_v4().unwrap();
        // A client that does not read is soon felt at the other end.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let connection = socket.connect(address.parse().unwrap()).await.unwrap();
        match tokio_tungstenite::client_async(request, connection).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no stream: {error}"),
        }
    }

    /// What comes next, pings aside.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let next = timeout(DEADLINE, self.socket.next()).await.expect("a stream is not silent");
            return match next {
                Some(Ok(Message::Text(text))) => Heard::Message(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    Heard::Closed(frame.code.into(), frame.reason.to_string())
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => Heard::Broken,
            };
        }
    }

    /// The next message of a type, or the next event.
    async fn message(&mut self, is_wanted: impl Fn(&str) -> bool) -> Value {
        loop {
            match self.hear().await {
                Heard::Message(message) if is_wanted(message["type"].as_str().unwrap()) => return message,
                Heard::Message(_) => {}
                ended => panic!("the stream ended: {ended:?}"),
            }
        }
    }

    /// The next event.
    pub async fn event(&mut self) -> Value {
        self.message(|message_type| message_type.contains('.')).await
    }

    /// The next so many.
    pub async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }

    /// The next heartbeat's cursor; what comes before it is passed over.
    pub async fn heartbeat(&mut self) -> String {
        cursor(&self.message(|message_type| message_type == "heartbeat").await)
    }

    /// Says something.
    pub async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }
}

/// A message's cursor.
pub fn cursor(message: &Value) -> String {
    message["cursor"].as_str().unwrap_or_else(|| panic!("{message} has no cursor")).to_owned()
}

/// A message's id.
pub fn id(message: &Value) -> Uuid {
    message["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{message} has no id"))
}

/// Writes domain events in the session's transaction, as ingest does; their ids.
pub async fn emit(
    session: &Client,
    (tenant_id, environment_id): (Uuid, Uuid),
    event_type: &str,
    payloads: &[Value],
) -> Vec<Uuid> {
    let ids: Vec<Uuid> = payloads.iter().map(|_| Uuid::now_v7()).collect();
    let events: Vec<Value> = ids
        .iter()
        .zip(payloads)
        .map(|(id, payload)| {
            json!({
                "domain_event_id": id, "environment_id": environment_id, "event_type": event_type,
                "dedupe_key": id.to_string(), "changed": ["total_amount"], "payload": payload,
                "trace_id": id.simple().to_string(),
            })
        })
        .collect();
    session.execute("select nexus._emit($1, $2)", &[&tenant_id, &Value::from(events)]).await.unwrap();
    ids
}
