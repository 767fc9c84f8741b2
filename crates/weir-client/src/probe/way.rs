//! The way to an API: its target, and the proxy in front of it, opened phase by phase.

use std::{io, time::Duration};

use http::HeaderValue;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    link::Link,
    reach::{Reach, Reaching, Speak},
    seen::{Fault, HttpVersion, Phases, TlsSeen},
    socks::{self, Names, Place, Socks},
};
use crate::{Io, Target};

/// A proxy's answer to `CONNECT` may have this many bytes.
const PROXY_HEAD_BYTES: usize = 16 * 1024;
/// Addresses that are tried at most, in the resolver's order.
const ADDRESSES_MAX: usize = 4;

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    pub target: Target,
    pub spoken: ProxySpeech,
}

/// What a proxy is spoken to in.
#[derive(Debug, Clone)]
pub enum ProxySpeech {
    Http {
        /// `Proxy-Authorization`, where its address names a user.
        login: Option<HeaderValue>,
    },
    Socks5(Socks),
}

impl Proxy {
    /// An HTTP proxy without a login.
    #[must_use]
    pub fn http(target: Target) -> Self {
        Self { target, spoken: ProxySpeech::Http { login: None } }
    }

    fn has_login(&self) -> bool {
        match &self.spoken {
            ProxySpeech::Http { login } => login.is_some(),
            ProxySpeech::Socks5(socks) => socks.login.is_some(),
        }
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("host", &self.target.host).field("login", &self.has_login()).finish_non_exhaustive()
    }
}

/// From here to the API.
#[derive(Debug, Clone)]
pub struct Way {
    pub target: Target,
    pub proxy: Option<Proxy>,
    pub speak: Speak,
}

/// How long each phase may take.
#[derive(Debug, Clone, Copy)]
pub struct OpenLimits {
    pub dns: Duration,
    pub connect: Duration,
    /// The proxy's answer to `CONNECT`.
    pub proxy: Duration,
    pub tls: Duration,
}

/// A way that was opened, or as far as that went.
#[derive(Debug)]
pub struct Opened {
    pub phases: Phases,
    pub addresses: usize,
    pub tls: Option<TlsSeen>,
    pub link: Result<Link, Fault>,
}

impl Way {
    /// Whether requests name the whole address because a proxy reads it.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| matches!(proxy.spoken, ProxySpeech::Http { .. })) && !self.target.tls
    }

    /// The proxy's login, where each request must bear it.
    #[must_use]
    pub fn login(&self) -> Option<&HeaderValue> {
        match &self.proxy.as_ref().filter(|_| !self.target.tls)?.spoken {
            ProxySpeech::Http { login } => login.as_ref(),
            ProxySpeech::Socks5(_) => None,
        }
    }

    /// Opens it. Everything that was seen is told, whether it stands in the end or not.
    pub async fn open(&self, reach: &dyn Reach, limits: &OpenLimits) -> Opened {
        let mut opened = Opened { phases: Phases::default(), addresses: 0, tls: None, link: Err(Fault::NoAddress) };
        opened.link = self.link(reach, limits, &mut opened.phases, &mut opened.addresses, &mut opened.tls).await;
        opened
    }

    async fn link(
        &self,
        reach: &dyn Reach,
        limits: &OpenLimits,
        phases: &mut Phases,
        count: &mut usize,
        tls: &mut Option<TlsSeen>,
    ) -> Result<Link, Fault> {
        let first = self.proxy.as_ref().map_or(&self.target, |proxy| &proxy.target);
        let began = Instant::now();
        let found = timeout(limits.dns, reach.resolve(&first.host, first.port)).await.map_err(|_| Fault::DnsTimeout)?;
        let addresses = found.map_err(|_| Fault::NoAddress)?;
        phases.dns = Some(began.elapsed());
        *count = addresses.len();
        let began = Instant::now();
        let mut io = connect(reach, &addresses, limits.connect).await?;
        phases.connect = Some(began.elapsed());
        if let Some(proxy) = &self.proxy {
            if proxy.target.tls {
                io = self.secured(reach, io, &proxy.target.host, Speak::Http1, limits, &mut None).await?;
            }
            let began = Instant::now();
            if let Some(opening) = self.tunnel(reach, &mut io, proxy) {
                timeout(limits.proxy, opening).await.map_err(|_| Fault::ProxyBroken)??;
                phases.proxy = Some(began.elapsed());
            }
        }
        let mut version = if self.speak == Speak::Http2 { HttpVersion::Http2 } else { HttpVersion::Http11 };
        if self.target.tls {
            let began = Instant::now();
            io = self.secured(reach, io, &self.target.host, self.speak, limits, tls).await?;
            phases.tls = Some(began.elapsed());
            version = tls.and_then(|seen| seen.alpn).unwrap_or(HttpVersion::Http11);
        }
        Link::start(io, version).await
    }

    /// What opens a tunnel through the proxy; `None` where it forwards each request.
    fn tunnel<'a>(&'a self, reach: &'a dyn Reach, io: &'a mut Box<dyn Io>, proxy: &'a Proxy) -> Option<Reaching<'a, Result<(), Fault>>> {
        match &proxy.spoken {
            ProxySpeech::Http { login } => {
                self.target.tls.then(|| -> Reaching<'a, _> { Box::pin(tunnel(io, &self.target, login.as_ref())) })
            }
            ProxySpeech::Socks5(spoken) => Some(Box::pin(async move {
                let place = match spoken.names {
                    Names::There => Place::Name(&self.target),
                    Names::Here => {
                        let found = reach.resolve(&self.target.host, self.target.port).await.map_err(|_| Fault::NoAddress)?;
                        // What a proxy reaches of IPv6 is seldom more than nothing; curl and the SDKs take the first, which is IPv4 mostly.
                        let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
                        Place::Address(*first.ok_or(Fault::NoAddress)?)
                    }
                };
                socks::tunnel(io, &place, spoken.login.as_ref()).await
            })),
        }
    }

    async fn secured(
        &self,
        reach: &dyn Reach,
        io: Box<dyn Io>,
        host: &str,
        speak: Speak,
        limits: &OpenLimits,
        seen: &mut Option<TlsSeen>,
    ) -> Result<Box<dyn Io>, Fault> {
        let secured = timeout(limits.tls, reach.secure(io, host, speak)).await.map_err(|_| Fault::TlsTimeout)?;
        *seen = secured.seen;
        secured.io.map_err(Fault::Tls)
    }
}

async fn connect(reach: &dyn Reach, addresses: &[std::net::SocketAddr], limit: Duration) -> Result<Box<dyn Io>, Fault> {
    let tried = addresses.iter().take(ADDRESSES_MAX);
    let share = limit / u32::try_from(tried.len().max(1)).unwrap_or(1);
    let mut fault = Fault::NoAddress;
    for address in tried {
        fault = match timeout(share, reach.connect(*address)).await {
            Ok(Ok(io)) => return Ok(io),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Fault::Refused,
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Fault::ConnectTimeout,
            Ok(Err(_)) => Fault::Unreachable,
            Err(_) => Fault::ConnectTimeout,
        };
    }
    Err(fault)
}

/// Asks a proxy for a tunnel. Reads the head of its answer and not a byte more.
async fn tunnel(io: &mut Box<dyn Io>, target: &Target, login: Option<&HeaderValue>) -> Result<(), Fault> {
    let place = format!("{}:{}", target.host, target.port);
    let mut ask = format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n").into_bytes();
    if let Some(login) = login {
        ask.extend_from_slice(b"proxy-authorization: ");
        ask.extend_from_slice(login.as_bytes());
        ask.extend_from_slice(b"\r\n");
    }
    ask.extend_from_slice(b"\r\n");
    io.write_all(&ask).await.map_err(|_| Fault::ProxyBroken)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_BYTES {
            return Err(Fault::ProxyBroken);
        }
        head.push(io.read_u8().await.map_err(|_| Fault::ProxyBroken)?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(&head).map_err(|_| Fault::ProxyBroken)?;
    match answer.code {
        Some(200..=299) => Ok(()),
        Some(status) => Err(Fault::ProxyRefused(status)),
        None => Err(Fault::ProxyBroken),
    }
}
