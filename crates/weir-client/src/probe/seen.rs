//! What a probe can see of a connection and of the end of a body, as plain values.

use std::time::Duration;

/// How long each phase took. `None`: it never ended, or there was no such phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Asking for the addresses of the host, or of the proxy in front of it.
    pub dns: Option<Duration>,
    /// The TCP connection, to the proxy where there is one.
    pub connect: Option<Duration>,
    /// The proxy's answer to `CONNECT`.
    pub proxy: Option<Duration>,
    pub tls: Option<Duration>,
    /// From the request's last byte to the answer's head.
    pub first_byte: Option<Duration>,
}

/// The version of HTTP that was spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    Http10,
    Http11,
    Http2,
}

impl HttpVersion {
    /// As TLS names it: `http/1.1`, `h2`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// Who vouches for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// A root that browsers ship.
    Public,
    /// A root that only this machine trusts, such as a company's: somebody on the way may read along.
    Private,
    /// Nobody whom this machine trusts.
    Untrusted,
}

/// What was seen of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSeen {
    pub issuer: Issuer,
    /// The end of the certificate's life, in seconds since 1970.
    pub not_after: Option<i64>,
    /// What both sides chose to speak.
    pub alpn: Option<HttpVersion>,
}

/// Why TLS did not come to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The life of its certificate is over.
    Expired,
    /// The life of its certificate has not begun, or this machine's clock is behind.
    NotYetValid,
    /// Its certificate is for another name.
    WrongName,
    /// Nobody but itself signed its certificate.
    SelfSigned,
    /// Nobody whom this machine trusts signed it.
    Untrusted,
    /// Its certificate is none for a server, or was revoked.
    Unfit,
    /// The other side does not speak TLS, or broke off.
    Handshake,
    /// This machine has no usable certificate store.
    NoRoots,
}

/// Which of our own bounds ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No answer began in time.
    FirstByte,
    /// Nothing came for this long.
    Gap,
    /// The whole took too long.
    Total,
    /// The answer was longer than a probe reads.
    Bytes,
}

/// Why there is no answer to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The name has no address.
    NoAddress,
    DnsTimeout,
    /// The other side refused the connection.
    Refused,
    ConnectTimeout,
    /// No way leads there, or the connection broke before anything was sent.
    Unreachable,
    Tls(TlsFault),
    TlsTimeout,
    /// The proxy answered `CONNECT` with this status; 407 wants a login.
    ProxyRefused(u16),
    /// A SOCKS proxy wants a login, or refused the one that it got.
    ProxyLogin,
    /// A SOCKS proxy did not open the tunnel; this is its reply.
    SocksRefused(u8),
    /// The proxy did not answer as such a proxy does, or too late.
    ProxyBroken,
    /// The connection closed before a byte of the request left.
    Unsent,
    /// The request left, and the connection was reset without an answer.
    SentThenReset,
    /// The request left, and the connection was closed without an answer.
    SentThenClosed,
    /// The answer is not HTTP.
    NotHttp,
    /// The head of the answer is longer than a probe reads.
    HeadTooLong,
    /// The request left, and no answer began in time.
    Silent,
}

/// How the body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// As the transport's rules want it.
    Clean,
    /// By the close of the connection, where nothing else marks an end: it may be whole or not.
    Closed,
    /// The connection was reset.
    Reset,
    /// A chunked body without its last chunk, or with a chunk that is none.
    ChunkUnfinished,
    /// Fewer bytes than `content-length` said.
    Short,
    /// HTTP/2: the stream was reset, with this code.
    StreamReset(u32),
    /// HTTP/2: the whole connection was given up.
    GoAway,
    /// What was compressed cannot be read.
    BadEncoding,
    /// We stopped reading.
    Limit(Limit),
}

impl BodyEnd {
    /// The transport broke off.
    #[must_use]
    pub fn is_cut(self) -> bool {
        matches!(self, Self::Reset | Self::ChunkUnfinished | Self::Short | Self::StreamReset(_) | Self::GoAway)
    }
}
