//! Reading request bodies, within bounds: size, time, how much of all is held, and how deep JSON is nested.

use crate::error::Error;
use axum::body::{Body, Bytes, HttpBody as _};
use http_body_util::BodyExt as _;
use nexus_core::error::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How deep the JSON of an API request may be nested. Flows' definitions and platforms' settings stay under ten.
const MAX_DEPTH: usize = 32;

/// Of all bodies together, while they are read, wait and are stored. Twice what may wait, so that there is room to read.
const HELD_BYTES: usize = 128 << 20;

/// How large a body may be, and how long it may take to arrive. Senders have it ready; who trickles it holds a
/// connection for nothing.
#[derive(Debug, Clone)]
pub struct Limits {
    bytes: usize,
    /// From the headers' end to the body's.
    time: Duration,
    /// Bytes that may be held besides those that are.
    room: Arc<Semaphore>,
}

impl Limits {
    /// Limits of one body, in bytes and time; that of all bodies leaves room for one of that size.
    pub fn new(bytes: usize, time: Duration) -> Self {
        let all = HELD_BYTES.max(bytes).min(Semaphore::MAX_PERMITS);
        Self { bytes, time, room: Arc::new(Semaphore::new(all)) }
    }
}

/// The whole body: 413 if it is larger than the limit, 408 if it does not come in time, 503 if too much is held. As long
/// as a part of it is used it counts as held.
pub async fn read(body: Body, limits: &Limits) -> Result<Bytes, Error> {
    timeout(limits.time, collect(body, limits)).await.map_err(|_| {
        let seconds = limits.time.as_secs();
        Error::new(Code::RequestTimeout, format!("the body did not arrive within {seconds} seconds"))
    })?
}

/// A body as long as it is used.
struct Held {
    bytes: Vec<u8>,
    room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Copies the body out of the connection's buffers, which are larger than what is read of them: it would keep them.
async fn collect(mut body: Body, limits: &Limits) -> Result<Bytes, Error> {
    let mut left = limits.bytes;
    let mut held: Option<Held> = None;
    let mut is_refused = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::new(Code::MalformedRequest, "the body did not arrive whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        left = left.checked_sub(data.len()).ok_or_else(|| {
            Error::new(Code::BodyTooLarge, format!("the body is larger than {} bytes", limits.bytes))
                .hint("NEXUS_MAX_BODY_BYTES sets the limit")
        })?;
        // Read to its end all the same: who is still sending would not see the answer.
        if is_refused {
            continue;
        }
        let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
        match (Arc::clone(&limits.room).try_acquire_many_owned(size), &mut held) {
            (Ok(room), Some(held)) => {
                held.room.merge(room);
                // Grown as it comes, and not beyond its end: who announces much and sends little takes little.
                if held.bytes.capacity() - held.bytes.len() < data.len() {
                    let rest = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
                    held.bytes.reserve_exact(data.len() + rest.min(held.bytes.len()));
                }
                held.bytes.extend_from_slice(&data);
            }
            (Ok(room), None) => held = Some(Held { bytes: data.to_vec(), room }),
            (Err(_), _) => {
                held = None;
                is_refused = true;
            }
        }
    }
    match is_refused {
        true => Err(Error::new(Code::Overloaded, "the gateway holds as many bodies as it can")),
        false => Ok(held.map_or_else(Bytes::new, Bytes::from_owner)),
    }
}

/// Refuses JSON that is nested too deep, before it is parsed.
pub fn check_depth(json: &[u8]) -> Result<(), Error> {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' if depth == MAX_DEPTH => {
                let detail = format!("the body's JSON is nested more than {MAX_DEPTH} deep");
                return Err(Error::new(Code::MalformedRequest, detail));
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_of_brackets_outside_of_texts() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check_depth(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(check_depth(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(check_depth(format!("[\"\\\"{}\"]", "[".repeat(99)).as_bytes()).is_ok());
        assert!(check_depth("[]".repeat(99).as_bytes()).is_ok());
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_told_so() {
        let limits = Limits::new(4, Duration::from_secs(1));
        let refused = read(Body::from("12345"), &limits).await.expect_err("too large");
        assert_eq!(refused.code, Code::BodyTooLarge);
        assert_eq!(read(Body::from("1234"), &limits).await.expect("small enough"), "1234");
        assert_eq!(read(Body::empty(), &limits).await.expect("nothing"), "");
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_bytes_of_all_bodies() {
        let limits = Limits { room: Arc::new(Semaphore::new(8)), ..Limits::new(8, Duration::from_secs(1)) };
        let parts = |parts: &[&'static str]| {
            let parts: Vec<Result<_, std::convert::Infallible>> =
                parts.iter().map(|part| Ok(*part)).collect();
            Body::from_stream(futures_util::stream::iter(parts))
        };
        let first = read(parts(&["12", "345"]), &limits).await.expect("there is room");
        let part = first.slice(1..3);
        let refused = read(parts(&["67", "89", "0"]), &limits).await.expect_err("there is no room");
        assert_eq!(refused.code, Code::Overloaded);
        assert_eq!(read(parts(&["678"]), &limits).await.expect("what was refused is not held"), "678");
        drop(first);
        assert_eq!(limits.room.available_permits(), 3, "a part is in use");
        drop(part);
        assert_eq!(limits.room.available_permits(), 8);
    }
}
