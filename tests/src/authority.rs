//! A certificate authority of one test, for what is only fetched over TLS.

use crate::cluster::RUN;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

/// An authority and a certificate of it for `localhost`.
pub struct Authority {
    file: PathBuf,
    acceptor: TlsAcceptor,
}

impl Authority {
    /// Makes both, anew.
    pub fn create() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        let file = RUN.dir.join(format!("authority-{}.pem", Uuid::new_v4().simple()));
        std::fs::write(&file, own.pem()).unwrap();

        let issuer = Issuer::new(params, key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let server = server.signed_by(&server_key, &issuer).unwrap();
        let private = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], private)
            .unwrap();
        Self { file, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// The authority's certificate, for `SSL_CERT_FILE` of who is to trust it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A listener with the certificate.
    pub fn listen(&self, listener: TcpListener) -> impl Listener<Addr = std::net::SocketAddr> + use<> {
        TlsListener { listener, acceptor: self.acceptor.clone() }
    }
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
