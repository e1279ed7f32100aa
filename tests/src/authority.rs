//! A certificate authority of one test, for what goes over TLS.

use crate::cluster::RUN;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

/// An authority, known to nobody who is not given its file.
pub struct Authority {
    file: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one, anew.
    pub fn create() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { file: written("authority", &issuer.pem()), issuer }
    }

    /// The authority's certificate, for `SSL_CERT_FILE` of who is to trust it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A certificate for a name or an address.
    pub fn certificate(&self, name: &str) -> Certificate {
        self.issue(CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// A certificate that says anything.
    pub fn issue(&self, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Certificate { certificate, key }
    }
}

/// What a server shows, and the key it proves it with.
pub struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Certificate {
    /// One that nobody but itself vouches for.
    pub fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        Self { certificate, key }
    }

    /// The certificate and the key as files in PEM.
    pub fn files(&self) -> (PathBuf, PathBuf) {
        (written("certificate", &self.certificate.pem()), written("key", &self.key.serialize_pem()))
    }

    /// A listener with it.
    pub fn listen(&self, listener: TcpListener) -> impl Listener<Addr = std::net::SocketAddr> + use<> {
        let certificate: CertificateDer<'static> = self.certificate.der().clone();
        let private = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)
            .unwrap();
        TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

fn written(name: &str, pem: &str) -> PathBuf {
    let file = RUN.dir.join(format!("{name}-{}.pem", Uuid::new_v4().simple()));
    std::fs::write(&file, pem).unwrap();
    file
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
