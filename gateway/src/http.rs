//! Accepting connections, with the limits and time-outs that a door to the Internet needs, and TLS where a
//! certificate is given.

use crate::error::{Chain, Error, StartError};
use crate::shutdown::Stop;
use axum::Router;
use axum::http::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nexus_core::error::Code;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How long the TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's headers, which [`check_headers`] answers with a problem.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 32 << 10;
/// Beyond these the connection's own answer is a bare 431: what is larger is not even read.
const MOST_HEADERS_READ: usize = 200;
const MOST_HEADER_BYTES_READ: usize = 128 << 10;
/// Read at a time. A connection's buffer grows to twice of it, or to the request's headers, and stays as large.
const READ_BYTES: usize = 8 << 10;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
const HTTP2_PING: Duration = Duration::from_secs(30);
/// After a failed accept, such as for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection of HTTP/2 begins with; until it is known whether one does, no time-out of a protocol runs.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves until told to stop, then lets requests under way end. `read_timeout` is how long a request's headers
/// may take to arrive, counted from the connection or the last answer on: idle connections of HTTP/1 are closed by it too,
/// while those of HTTP/2 stay as long as they answer pings. So many connections have a place at a time; those of HTTP/1 that
/// became streams need none.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    read_timeout: Duration,
    max_connections: usize,
    mut stop: Stop,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        // Who has no place yet waits in the system's queue, and costs nothing.
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accept => accepted,
            // The sender lives as long as the process; should it not, that is a reason to stop as well.
            _ = stop.wait_for(|stopped| *stopped) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            // Answers are small and wait for nothing.
            let _ = stream.set_nodelay(true);
            match tls {
                None => converse(stream, router, read_timeout, watcher).await,
                Some(tls) => match handshake(&tls, stream).await {
                    Some(stream) => converse(stream, router, read_timeout, watcher).await,
                    None => tracing::debug!("a TLS handshake failed"),
                },
            }
        });
    }
    drop(listener);
    tracing::info!("stopping: no more requests are taken");
    graceful.shutdown().await;
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await.ok()?.ok()
}

/// Requests and answers of one connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    read_timeout: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .max_headers(MOST_HEADERS_READ)
        .max_buf_size(MOST_HEADER_BYTES_READ);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MOST_HEADER_BYTES_READ as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(HTTP2_PING)
        .enable_connect_protocol();
    let connection = builder.serve_connection_with_upgrades(
        TokioIo::new(Inbound::new(stream, read_timeout)),
        TowerToHyperService::new(router),
    );
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::trace!(%error, "a connection ended early");
    }
}

/// A stream of which little is read at a time, for thousands of connections must not each keep what their largest body
/// filled, and which says within a time what protocol it speaks.
struct Inbound<S> {
    stream: S,
    /// Until it has said so: when it has to, and how much of the preface has come.
    beginning: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Inbound<S> {
    fn new(stream: S, within: Duration) -> Self {
        Self { stream, beginning: Some((Box::pin(sleep(within)), 0)) }
    }

    /// Hears what came.
    fn heard(&mut self, bytes: &[u8]) {
        let Some((_, matched)) = &mut self.beginning else { return };
        let expected = &PREFACE[*matched..];
        match expected.starts_with(bytes) && bytes.len() < expected.len() {
            true => *matched += bytes.len(),
            false => self.beginning = None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inbound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((deadline, _)) = &mut self.beginning
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let room = buffer.remaining().min(READ_BYTES);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        let read = Pin::new(&mut self.stream).poll_read(context, &mut part);
        let filled = part.filled().len();
        self.heard(part.filled());
        buffer.advance(filled);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inbound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Refuses a request with too many or too large headers.
pub fn check_headers(headers: &HeaderMap) -> Result<(), Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() <= MAX_HEADERS && bytes <= MAX_HEADER_BYTES {
        return Ok(());
    }
    let count = headers.len();
    Err(Error::new(
        Code::HeadersTooLarge,
        format!(
            "the request has {count} headers of {bytes} bytes; at most {MAX_HEADERS} of {MAX_HEADER_BYTES} bytes are taken"
        ),
    ))
}

/// Reads what TLS needs: the certificate chain, with the server's own first, and its key.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, StartError> {
    let unusable = |file: &Path, error: &dyn std::fmt::Display| {
        StartError::settings(format!("{} cannot be used for TLS: {error}", file.display()))
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| unusable(certificate, &Chain(&error)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[test]
    fn headers_are_bounded_in_number_and_size() {
        let many = |count: usize| -> HeaderMap {
            let header = |n: usize| HeaderName::try_from(format!("x-{n}")).expect("a name");
            (0..count).map(|n| (header(n), HeaderValue::from_static("1"))).collect()
        };
        let large = |bytes: usize| -> HeaderMap {
            let value = HeaderValue::from_str(&"a".repeat(bytes)).expect("a value");
            [(HeaderName::from_static("x"), value)].into_iter().collect()
        };
        assert!(check_headers(&many(MAX_HEADERS)).is_ok() && check_headers(&large(30_000)).is_ok());
        assert!(check_headers(&many(MAX_HEADERS + 1)).is_err() && check_headers(&large(33_000)).is_err());
    }
}
