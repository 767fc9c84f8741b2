//! How a probe reaches the other side, one phase at a time. Tests put in-memory streams in its place.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;

use super::{
    der::{is_self_signed, not_after},
    seen::{HttpVersion, Issuer, TlsFault, TlsSeen},
};
use crate::Io;

/// One phase under way.
pub type Reaching<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// TLS came to stand or not; what was seen of it is here either way.
pub struct Secured {
    pub seen: Option<TlsSeen>,
    pub io: Result<Box<dyn Io>, TlsFault>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured").field("seen", &self.seen).field("fault", &self.io.as_ref().err()).finish()
    }
}

/// Which versions of HTTP are offered to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speak {
    /// What TLS negotiates; HTTP/1.1 without TLS.
    #[default]
    Negotiated,
    Http1,
    /// Also without TLS, by prior knowledge.
    Http2,
}

/// The phases below HTTP. Dropping a future gives its phase up.
pub trait Reach: Send + Sync {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Reaching<'a, io::Result<Vec<SocketAddr>>>;
    fn connect(&self, address: SocketAddr) -> Reaching<'_, io::Result<Box<dyn Io>>>;
    fn secure<'a>(&'a self, io: Box<dyn Io>, host: &'a str, speak: Speak) -> Reaching<'a, Secured>;
}

/// The real network: the system's resolver and its certificate store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Network;

impl Reach for Network {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Reaching<'a, io::Result<Vec<SocketAddr>>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }

    fn connect(&self, address: SocketAddr) -> Reaching<'_, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            Ok(Box::new(tcp) as Box<dyn Io>)
        })
    }

    fn secure<'a>(&'a self, io: Box<dyn Io>, host: &'a str, speak: Speak) -> Reaching<'a, Secured> {
        Box::pin(secure(io, host, speak))
    }
}

async fn secure(io: Box<dyn Io>, host: &str, speak: Speak) -> Secured {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let Ok((config, witness)) = config(speak) else { return Secured { seen: None, io: Err(TlsFault::NoRoots) } };
    let Ok(name) = ServerName::try_from(host) else { return Secured { seen: None, io: Err(TlsFault::WrongName) } };
    let shaken = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, io).await;
    let noted = witness.noted.lock().unwrap_or_else(PoisonError::into_inner).take();
    match shaken {
        Ok(stream) => {
            let alpn = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Some(HttpVersion::Http2),
                Some(b"http/1.1") => Some(HttpVersion::Http11),
                _ => None,
            };
            Secured { seen: noted.map(|noted| TlsSeen { alpn, ..noted.seen }), io: Ok(Box::new(stream)) }
        }
        Err(_) => {
            let fault = noted.as_ref().and_then(|noted| noted.fault).unwrap_or(TlsFault::Handshake);
            Secured { seen: noted.map(|noted| noted.seen), io: Err(fault) }
        }
    }
}

fn config(speak: Speak) -> Result<(ClientConfig, Arc<Witness>), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let witness = Arc::new(Witness::new(&provider)?);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = match speak {
        Speak::Negotiated => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Speak::Http1 => vec![b"http/1.1".to_vec()],
        Speak::Http2 => vec![b"h2".to_vec()],
    };
    Ok((config, witness))
}

#[derive(Debug)]
struct Noted {
    seen: TlsSeen,
    fault: Option<TlsFault>,
}

/// Decides exactly as the system's verifier does, and notes what it saw on the way.
#[derive(Debug)]
struct Witness {
    system: rustls_platform_verifier::Verifier,
    public: Option<Arc<WebPkiServerVerifier>>,
    noted: Mutex<Option<Noted>>,
}

impl Witness {
    fn new(provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let public = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().ok();
        Ok(Self { system: rustls_platform_verifier::Verifier::new(Arc::clone(provider))?, public, noted: Mutex::new(None) })
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.system.verify_server_cert(leaf, chain, name, ocsp, now);
        let is_public = self.public.as_ref().is_some_and(|roots| roots.verify_server_cert(leaf, chain, name, ocsp, now).is_ok());
        let issuer = match (&verified, is_public) {
            (_, true) => Issuer::Public,
            (Ok(_), false) => Issuer::Private,
            (Err(_), false) => Issuer::Untrusted,
        };
        let fault = verified.as_ref().err().map(|error| fault_of(error, leaf));
        let seen = TlsSeen { issuer, not_after: not_after(leaf), alpn: None };
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Noted { seen, fault });
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.system.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.system.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}

fn fault_of(error: &TlsError, leaf: &[u8]) -> TlsFault {
    use CertificateError as C;
    match error {
        TlsError::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => TlsFault::Expired,
        TlsError::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => TlsFault::NotYetValid,
        TlsError::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => TlsFault::WrongName,
        // A homemade one is often an authority's as well, which is refused before anybody asks who signed it.
        TlsError::InvalidCertificate(_) if is_self_signed(leaf) => TlsFault::SelfSigned,
        TlsError::InvalidCertificate(C::UnknownIssuer) => TlsFault::Untrusted,
        TlsError::InvalidCertificate(_) => TlsFault::Unfit,
        _ => TlsFault::Handshake,
    }
}
