//! Which proxy stands in front of an address, as the usual variables say. The binary reads them; here they are values.

use weir_client::{
    Target,
    probe::{Names, Proxy, ProxySpeech, Socks, SocksLogin},
};

/// The proxies of an environment, each with the name of its variable.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    all: Option<Named>,
    no_proxy: Vec<String>,
}

#[derive(Debug, Clone)]
struct Named {
    name: String,
    proxy: Result<Proxy, NotAProxy>,
}

/// A proxy that is named in a way weir cannot use, such as `socks4://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAProxy {
    #[error("read the proxy's address: only http://, https://, socks5:// and socks5h:// proxies can be probed")]
    Scheme,
    #[error("read the proxy's address: it has no host, or a path")]
    Address,
}

/// What stands in front of one address.
#[derive(Debug, Clone)]
pub struct InFront {
    /// The variable or option that says so.
    pub name: String,
    pub proxy: Result<Proxy, NotAProxy>,
}

impl Proxies {
    /// From the environment's variables, names in any case. `HTTP_PROXY` in capitals counts too: this is no CGI program.
    #[must_use]
    pub fn of(variables: &[(String, String)]) -> Self {
        let named = |wanted: &str| {
            let found = variables.iter().find(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.trim().is_empty())?;
            Some(Named { name: found.0.clone(), proxy: parse(found.1.trim()) })
        };
        let no_proxy = variables.iter().find(|(name, _)| name.eq_ignore_ascii_case("NO_PROXY")).map_or("", |(_, value)| value);
        Self {
            http: named("HTTP_PROXY"),
            https: named("HTTPS_PROXY"),
            all: named("ALL_PROXY"),
            no_proxy: no_proxy.split([',', ' ']).map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty()).collect(),
        }
    }

    /// The proxy for this address, if any.
    #[must_use]
    pub fn in_front_of(&self, target: &Target) -> Option<InFront> {
        if self.is_exempt(&target.host.to_ascii_lowercase(), target.port) {
            return None;
        }
        let named = if target.tls { self.https.as_ref() } else { self.http.as_ref() };
        named.or(self.all.as_ref()).map(|named| InFront { name: named.name.clone(), proxy: named.proxy.clone() })
    }

    fn is_exempt(&self, host: &str, port: u16) -> bool {
        self.no_proxy.iter().any(|rule| {
            let (name, wanted) = match rule.rsplit_once(':') {
                Some((name, digits)) if !name.is_empty() && digits.parse::<u16>().is_ok() && !name.contains(':') => {
                    (name, digits.parse::<u16>().ok())
                }
                _ => (rule.as_str(), None),
            };
            let name = name.trim_start_matches('*').trim_start_matches('.');
            let fits = name.is_empty() || host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
            fits && wanted.is_none_or(|wanted| wanted == port)
        })
    }
}

/// Where a SOCKS proxy listens unless its address says so.
const SOCKS_PORT: u16 = 1080;

/// Reads `http://[user:password@]host[:port]`, also with https, socks5 and socks5h; a bare `host:port` is meant as http.
///
/// # Errors
/// See [`NotAProxy`].
pub fn parse(address: &str) -> Result<Proxy, NotAProxy> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let scheme = scheme.to_ascii_lowercase();
    let names = match scheme.as_str() {
        "http" | "https" => None,
        "socks5" => Some(Names::Here),
        "socks5h" => Some(Names::There),
        // `socks://` means version 4 to some programs and version 5 to others.
        _ => return Err(NotAProxy::Scheme),
    };
    let (login, host) = rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
    let tls = if scheme == "https" { "https" } else { "http" };
    let mut target = Target::parse(&format!("{tls}://{host}")).map_err(|_| NotAProxy::Address)?;
    if !target.path.is_empty() {
        return Err(NotAProxy::Address);
    }
    let spoken = match names {
        Some(names) => {
            let has_port = host.trim_end_matches('/').rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            target.port = if has_port { target.port } else { SOCKS_PORT };
            ProxySpeech::Socks5(Socks { names, login: login.map(socks_login).transpose()? })
        }
        None => ProxySpeech::Http {
            login: login.and_then(|login| {
                let mut value = http::HeaderValue::from_str(&format!("Basic {}", base64(&percent_decoded(login)))).ok()?;
                value.set_sensitive(true);
                Some(value)
            }),
        },
    };
    Ok(Proxy { target, spoken })
}

fn socks_login(login: &str) -> Result<SocksLogin, NotAProxy> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let text = |part: &str| String::from_utf8(percent_decoded(part)).map_err(|_| NotAProxy::Address);
    SocksLogin::new(&text(user)?, &text(password)?).ok_or(NotAProxy::Address)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = if bytes[at] == b'%' { text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()) } else { None };
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |group: u32, place: u32| char::from(DIGITS[(group >> (18 - 6 * place) & 63) as usize]);
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4u32 {
            text.push(if place as usize <= chunk.len() { digit(group, place) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::of(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    }

    fn named(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.in_front_of(&Target::parse(url).unwrap()).map(|found| found.name)
    }

    #[test]
    fn r13_the_variable_that_names_the_proxy_is_told() {
        let proxies = of(&[("https_proxy", "http://p:3128"), ("ALL_PROXY", "http://q:1080")]);
        assert_eq!(named(&proxies, "https://api.example.com/v1").as_deref(), Some("https_proxy"));
        assert_eq!(named(&proxies, "http://api.example.com/v1").as_deref(), Some("ALL_PROXY"));
        assert_eq!(named(&of(&[("HTTP_PROXY", "")]), "http://api.example.com/v1"), None);
    }

    #[test]
    fn exempt_hosts_go_straight() {
        let proxies = of(&[("HTTP_PROXY", "p:3128"), ("NO_PROXY", "localhost, .corp.test,127.0.0.1:8787,*.example.com")]);
        for (url, is_straight) in [
            ("http://localhost:1/v1", true),
            ("http://a.corp.test/v1", true),
            ("http://127.0.0.1:8787/v1", true),
            ("http://127.0.0.1:8788/v1", false),
            ("http://api.example.com/v1", true),
            ("http://notexample.com/v1", false),
        ] {
            assert_eq!(named(&proxies, url).is_none(), is_straight, "{url}");
        }
        assert_eq!(named(&of(&[("HTTP_PROXY", "p:3128"), ("NO_PROXY", "*")]), "http://a/v1"), None);
    }

    #[test]
    fn a_proxy_is_read_with_its_login_and_never_shows_it() {
        let proxy = parse("http://user:p%40ss12345678@proxy.test:3128").unwrap();
        assert_eq!((proxy.target.host.as_str(), proxy.target.port), ("proxy.test", 3128));
        let ProxySpeech::Http { login: Some(login) } = &proxy.spoken else { panic!("{proxy:?}") };
        assert_eq!(login.to_str().unwrap(), "Basic dXNlcjpwQHNzMTIzNDU2Nzg=");
        assert!(!format!("{proxy:?}").contains("dXNl"));
        assert_eq!(parse("socks4://p:1080").unwrap_err(), NotAProxy::Scheme);
        assert_eq!(parse("http://p:1080/path").unwrap_err(), NotAProxy::Address);
        assert_eq!([base64(b""), base64(b"a"), base64(b"ab"), base64(b"abc")], ["", "YQ==", "YWI=", "YWJj"]);
    }

    #[test]
    fn a_socks_proxy_is_read_with_who_resolves_names_and_its_usual_port() {
        for (address, port, names, has_login) in [
            ("socks5://p", 1080, Names::Here, false),
            ("SOCKS5H://127.0.0.1:7891/", 7891, Names::There, false),
            ("socks5h://user:p%40ss12345678@[::1]:1081", 1081, Names::There, true),
            ("socks5://user@p:80", 80, Names::Here, true),
        ] {
            let proxy = parse(address).unwrap();
            let ProxySpeech::Socks5(socks) = &proxy.spoken else { panic!("{address}") };
            assert_eq!((proxy.target.port, socks.names, socks.login.is_some()), (port, names, has_login), "{address}");
            assert!(!format!("{proxy:?}{socks:?}").contains("12345678"));
        }
        assert_eq!(parse("socks5://:secret12345678@p").unwrap_err(), NotAProxy::Address);
        assert_eq!(parse("socks://p:1080").unwrap_err(), NotAProxy::Scheme);
    }
}
