//! Receivers that do not behave.

use crate::wait::until;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers every request with the same bytes, whatever they are.
pub struct Rogue {
    address: SocketAddr,
    heard: Arc<AtomicUsize>,
}

/// What comes after the answer's beginning.
#[derive(Debug, Clone)]
pub enum Then {
    /// The connection is closed.
    Close,
    /// Nothing, for as long as the other side waits.
    Wait,
    /// The same again and again, with a pause before each.
    Repeat(Vec<u8>, Duration),
}

impl Rogue {
    /// Listens on a free port of loopback, for as long as the test's runtime lives.
    pub async fn start(beginning: impl Into<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (beginning, count) = (beginning.into(), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(answer(stream, beginning.clone(), then.clone()));
            }
        });
        Self { address, heard }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until somebody has connected.
    pub async fn is_reached(&self) {
        until("the rogue is connected to", async || self.heard.load(Ordering::Relaxed) > 0).await;
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

/// An error means that the other side has gone, which is its right.
async fn answer(mut stream: TcpStream, beginning: Vec<u8>, then: Then) -> std::io::Result<()> {
    let mut request = Vec::new();
    // All of it: what is left unread would reset the connection before the answer is read.
    while !is_whole(&request) && stream.read_buf(&mut request).await? > 0 {}
    stream.write_all(&beginning).await?;
    match then {
        Then::Close => stream.shutdown().await,
        Then::Wait => stream.read_to_end(&mut request).await.map(drop),
        Then::Repeat(bytes, pause) => loop {
            tokio::time::sleep(pause).await;
            stream.write_all(&bytes).await?;
        },
    }
}
