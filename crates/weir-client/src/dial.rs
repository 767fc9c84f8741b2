//! Opening a byte stream to an upstream: TCP, TLS where the address says so. Tests put in-memory streams in its place.

use std::{future::Future, io, pin::Pin, sync::Arc};

use rustls_platform_verifier::ConfigVerifierExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::Gather;

/// A connected byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// The future of a connection; boxed because the kind of stream is not known before it stands.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send + 'a>>;

/// Opens connections. Dropping the future gives the attempt up.
pub trait Dial: Send + Sync {
    fn dial<'a>(&'a self, target: &'a Target) -> Dialing<'a>;
}

/// Where an upstream listens and below which path it serves, parsed once from its base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// The path of the base URL without a slash at its end, such as `/v1`.
    pub path: String,
}

/// The text is not a base URL that weir can call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBaseUrl {
    #[error("read the base URL: it must begin with http:// or https://")]
    Scheme,
    #[error("read the base URL: it has no host")]
    Host,
    #[error("read the base URL: it must not carry a user, a query or a fragment")]
    Extra,
}

impl Target {
    /// Reads `http(s)://host[:port][/path]`.
    pub fn parse(base_url: &str) -> Result<Self, BadBaseUrl> {
        let uri: http::Uri = base_url.trim_end_matches('/').parse().map_err(|_| BadBaseUrl::Host)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(BadBaseUrl::Scheme),
        };
        if base_url.contains(['@', '?', '#']) {
            return Err(BadBaseUrl::Extra);
        }
        let host = uri.host().filter(|h| !h.is_empty()).ok_or(BadBaseUrl::Host)?.to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { host, port, tls, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// The `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// The real network.
#[derive(Clone)]
pub struct Net {
    tls: Option<tokio_rustls::TlsConnector>,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

impl Net {
    /// Plain TCP only: for upstreams on loopback, without loading the system's certificates.
    #[must_use]
    pub fn plain() -> Self {
        Self { tls: None }
    }

    /// TCP and TLS, certificates checked as the operating system would.
    ///
    /// # Errors
    /// The system has no usable certificate store.
    pub fn with_tls() -> Result<Self, rustls::Error> {
        // A second installation only says that one is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = rustls::ClientConfig::with_platform_verifier()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Some(tokio_rustls::TlsConnector::from(Arc::new(config))) })
    }
}

impl Dial for Net {
    fn dial<'a>(&'a self, target: &'a Target) -> Dialing<'a> {
        Box::pin(async move {
            let host = target.host.trim_start_matches('[').trim_end_matches(']');
            let tcp = TcpStream::connect((host, target.port)).await?;
            // Nagle's algorithm would hold a small event until the peer's delayed ACK: 40 ms.
            tcp.set_nodelay(true)?;
            if !target.tls {
                return Ok(Box::new(Gather(tcp)) as Box<dyn Io>);
            }
            let connector = self.tls.as_ref().ok_or_else(|| io::Error::other("TLS is not set up"))?;
            let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            Ok(Box::new(connector.connect(name, tcp).await?) as Box<dyn Io>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_read_or_named_wrong() {
        let target = Target::parse("https://api.example.com/v1/").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.tls, target.path.as_str()), ("api.example.com", 443, true, "/v1"));
        assert_eq!(target.authority(), "api.example.com");
        assert_eq!(Target::parse("http://127.0.0.1:8000").unwrap().authority(), "127.0.0.1:8000");
        assert_eq!(Target::parse("api.example.com/v1"), Err(BadBaseUrl::Host));
        assert_eq!(Target::parse("ftp://a/v1"), Err(BadBaseUrl::Scheme));
        assert_eq!(Target::parse("http://u@a/v1"), Err(BadBaseUrl::Extra));
        assert_eq!(Target::parse("http://a/v1?k=1"), Err(BadBaseUrl::Extra));
    }
}
