//! SOCKS 5 (RFC 1928, RFC 1929) as a client that opens one connection: greeting, login where it is asked for, and the request for a tunnel.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_core::Secret;

use super::seen::Fault;
use crate::{Io, Target};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const USER_PASSWORD: u8 = 2;
/// Of the login's own little protocol.
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// A name, a user and a password have one byte for their length.
const FIELD_BYTES: usize = 255;

/// Who looks the API's name up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// This machine: `socks5://`.
    Here,
    /// The proxy: `socks5h://`.
    There,
}

/// How a SOCKS proxy is spoken to.
#[derive(Debug, Clone)]
pub struct Socks {
    pub names: Names,
    pub login: Option<SocksLogin>,
}

/// A user and a password, each of 1 to 255 bytes.
#[derive(Debug, Clone)]
pub struct SocksLogin {
    user: Secret,
    password: Secret,
}

impl SocksLogin {
    /// `None`: one of them does not fit.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Option<Self> {
        let fits = |text: &str| (1..=FIELD_BYTES).contains(&text.len());
        (fits(user) && password.len() <= FIELD_BYTES).then(|| Self { user: Secret::new(user), password: Secret::new(password) })
    }
}

/// Where the tunnel leads.
pub(super) enum Place<'a> {
    Name(&'a Target),
    Address(SocketAddr),
}

/// Opens the tunnel. Reads the proxy's answers and not a byte more.
pub(super) async fn tunnel(io: &mut Box<dyn Io>, place: &Place<'_>, login: Option<&SocksLogin>) -> Result<(), Fault> {
    let methods: &[u8] = if login.is_some() { &[VERSION, 2, NO_LOGIN, USER_PASSWORD] } else { &[VERSION, 1, NO_LOGIN] };
    let [version, method] = asked(io, methods).await?;
    match (version, method, login) {
        (VERSION, NO_LOGIN, _) => {}
        (VERSION, USER_PASSWORD, Some(login)) => {
            let [_, refused] = asked(io, &login.written()).await?;
            if refused != 0 {
                return Err(Fault::ProxyLogin);
            }
        }
        // None of what was offered will do: without a login it wants one.
        (VERSION, ..) => return Err(Fault::ProxyLogin),
        _ => return Err(Fault::ProxyBroken),
    }
    let [version, reply, _, kind] = asked(io, &place.written()?).await?;
    match (version, reply) {
        (VERSION, 0) => {}
        (VERSION, reply) => return Err(Fault::SocksRefused(reply)),
        _ => return Err(Fault::ProxyBroken),
    }
    // Where the proxy itself is bound; its length must be known to read no further.
    let rest = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(io.read_u8().await.map_err(|_| Fault::ProxyBroken)?),
        _ => return Err(Fault::ProxyBroken),
    };
    let mut bound = vec![0; rest + 2];
    io.read_exact(&mut bound).await.map_err(|_| Fault::ProxyBroken)?;
    Ok(())
}

async fn asked<const N: usize>(io: &mut Box<dyn Io>, bytes: &[u8]) -> Result<[u8; N], Fault> {
    let mut answer = [0; N];
    io.write_all(bytes).await.map_err(|_| Fault::ProxyBroken)?;
    io.flush().await.map_err(|_| Fault::ProxyBroken)?;
    io.read_exact(&mut answer).await.map_err(|_| Fault::ProxyBroken)?;
    Ok(answer)
}

impl SocksLogin {
    fn written(&self) -> Vec<u8> {
        let mut bytes = vec![LOGIN_VERSION];
        for field in [&self.user, &self.password] {
            field_of(field.expose().as_bytes(), &mut bytes);
        }
        bytes
    }
}

impl Place<'_> {
    fn written(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![VERSION, CONNECT, 0];
        let port = match self {
            Self::Name(target) => {
                let host = target.host.trim_start_matches('[').trim_end_matches(']');
                match host.parse::<IpAddr>() {
                    Ok(address) => address_of(address, &mut bytes),
                    Err(_) if host.len() > FIELD_BYTES => return Err(Fault::NoAddress),
                    Err(_) => {
                        bytes.push(NAME);
                        field_of(host.as_bytes(), &mut bytes);
                    }
                }
                target.port
            }
            Self::Address(address) => {
                address_of(address.ip(), &mut bytes);
                address.port()
            }
        };
        bytes.extend_from_slice(&port.to_be_bytes());
        Ok(bytes)
    }
}

fn address_of(address: IpAddr, bytes: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            bytes.push(IPV4);
            bytes.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            bytes.push(IPV6);
            bytes.extend_from_slice(&address.octets());
        }
    }
}

/// A length and as many bytes; whoever calls has looked that it fits.
fn field_of(field: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(u8::try_from(field.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(&field[..field.len().min(FIELD_BYTES)]);
}
