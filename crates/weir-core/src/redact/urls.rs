//! Secrets in addresses: name and password before the host, signed queries, webhook paths, hosts that are nobody's business.

use std::net::IpAddr;

use memchr::memmem;

use super::engine::{Kind, Span};
use super::normalise::Shadow;
use super::triggers::{Trigger, trigger};

/// Longest scheme of an address.
const MAX_SCHEME_BYTES: usize = 21;
const MAX_MEDIA_TYPE_BYTES: usize = 80;
/// A name and a password before a host, and the host.
const MAX_USER_INFO_BYTES: usize = 128;

/// Hosts whose paths are the secret.
const WEBHOOKS: &[&str] = &[
    "hooks.slack.com/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    "oapi.dingtalk.com/robot/",
    "qyapi.weixin.qq.com/cgi-bin/webhook/",
    "open.feishu.cn/open-apis/bot/",
    "open.larksuite.com/open-apis/bot/",
    "webhook.office.com/",
    "outlook.office.com/webhook",
    "api.telegram.org/bot",
    "hooks.zapier.com/",
    "sctapi.ftqq.com/",
    "api.day.app/",
    "maker.ifttt.com/",
    "hook.eu1.make.com/",
    "pushplus.plus/send",
];

/// Query parameters that make an address a permission.
const SIGNATURES: &[&str] = &[
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
    "x-goog-signature",
    "x-goog-credential",
    "signature",
    "sig",
    "ossaccesskeyid",
    "awsaccesskeyid",
    "googleaccessid",
    "q-signature",
    "q-ak",
    "auth_key",
    "x-oss-signature",
    "x-oss-credential",
    "x-cos-security-token",
    "x-tos-signature",
    "x-tos-credential",
    "wssecret",
    "txsecret",
    "hmac",
    "x-bce-signature",
    "authorization",
    "sign",
];
const QUERY_SECRETS: &[&str] =
    &["key", "token", "code", "auth", "password", "pwd", "secret", "ak", "sk", "session", "state", "ticket", "passwd", "pass", "id_token"];

const PRIVATE_ENDS: &[&str] = &[
    ".internal",
    ".local",
    ".lan",
    ".corp",
    ".intranet",
    ".svc",
    ".localdomain",
    ".home.arpa",
    ".private",
    ".consul",
    ".cluster",
    ".home",
    ".priv",
];

pub(super) const TRIGGERS: [Trigger; 3] = [
    trigger(&["@"], bare_user_info),
    trigger(&["data:"], embedded),
    trigger(
        &[".internal", ".local", ".lan", ".corp", ".intranet", ".svc", ".localdomain", ".home", ".private", ".consul", ".cluster", ".priv"],
        host,
    ),
];

/// `data:image/png;base64,…`.
fn embedded(shadow: &Shadow<'_>, start: usize, end: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let kind = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'/' | b';' | b'=' | b'-');
    let comma = end + bytes[end..].iter().take(MAX_MEDIA_TYPE_BYTES + ";base64".len()).take_while(|b| kind(b)).count();
    if !bytes[end..comma].to_ascii_lowercase().ends_with(b";base64") || bytes.get(comma) != Some(&b',') {
        return;
    }
    let digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-');
    let len = bytes[comma + 1..].iter().take_while(|b| digit(b)).count();
    if len >= 4 {
        out.push(Span::new(start, comma + 1 + len, Kind::Content));
    }
}

/// `name:password@tcp(host)/base` and `name:password@host.example:8080`, without a scheme.
fn bare_user_info(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let info = |b: &u8| {
        !b.is_ascii_whitespace()
            && b.is_ascii()
            && !matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'(' | b'[' | b'{' | b'@' | b'/' | b'=' | b',')
    };
    let start = at - bytes[..at].iter().rev().take(MAX_USER_INFO_BYTES).take_while(|b| info(b)).count();
    let Some(colon) = bytes[start..at].iter().position(|b| *b == b':').map(|i| start + i) else { return };
    let password = &bytes[colon + 1..at];
    let name = bytes[start..colon].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'%' | b'+'));
    let host = &bytes[end..bytes.len().min(end + MAX_USER_INFO_BYTES)];
    let is_socket = host.starts_with(b"tcp(") || host.starts_with(b"unix(");
    let host = host.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
    let port = bytes.get(end + host) == Some(&b':') && bytes.get(end + host + 1).is_some_and(u8::is_ascii_digit);
    let dotted = bytes[end..end + host].contains(&b'.') && bytes[end..end + host].iter().any(u8::is_ascii_alphabetic);
    let looks = super::shapes::looks_random(password) && password.len() >= 6;
    if name
        && colon > start
        && !password.is_empty()
        && !password.starts_with(b"[REDACTED")
        && (is_socket || looks && host > 0 && (port || dotted))
    {
        out.push(Span::new(colon + 1, at, Kind::Url));
    }
}

/// Addresses, each to its end: one inside another is a part of it.
pub(super) fn find(bytes: &[u8], out: &mut Vec<Span>) {
    let scheme = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-');
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | 0x0b) || *b >= 0x80;
    let mut from = 0;
    for sign in memmem::find_iter(bytes, b"://") {
        if sign < from {
            continue;
        }
        let begin = sign + 3;
        let mut start = sign - bytes[from..sign].iter().rev().take(MAX_SCHEME_BYTES).take_while(|b| scheme(b)).count();
        start += bytes[start..sign].iter().take_while(|b| !b.is_ascii_alphabetic()).count();
        let end = begin + bytes[begin..].iter().take_while(|b| !ends(b)).count();
        if sign >= start + 2 && end > begin {
            from = end;
            one(bytes, start, begin - start, end, out);
        }
    }
}

fn one(bytes: &[u8], start: usize, scheme_len: usize, end: usize, out: &mut Vec<Span>) {
    let begin = start + scheme_len;
    let rest = &bytes[begin..end];
    let scheme = bytes[start..begin - 3].to_ascii_lowercase();
    let lower = String::from_utf8_lossy(rest).to_ascii_lowercase();
    if WEBHOOKS.iter().any(|w| lower.starts_with(w) || lower.split('/').next().is_some_and(|h| h.ends_with(w.trim_end_matches('/'))))
        || (lower.contains("/webhook") || lower.contains("/hooks/")) && lower.len() > 40
    {
        out.push(Span::new(start, end, Kind::Url));
        return;
    }
    let host_at = user_info(bytes, begin, end, &scheme, out);
    let host_end = bytes[host_at..end]
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#' | b':' | b',' | b')' | b']' | b'}' | b';'))
        .map_or(end, |i| host_at + i);
    let host = &bytes[host_at..host_end];
    let single = !host.is_empty()
        && host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && !host.eq_ignore_ascii_case(b"localhost")
        && host.iter().any(u8::is_ascii_alphabetic);
    if single && !is_example(host) && !matches!(scheme.as_slice(), b"data" | b"file" | b"sim" | b"redacted") {
        out.push(Span::new(host_at, host_end, Kind::Host));
    }
    if let Some(query) = bytes[host_at..end].iter().position(|b| matches!(b, b'?' | b'#')).map(|i| host_at + i + 1) {
        parameters(bytes, query, end, out);
    }
}

fn is_example(host: &[u8]) -> bool {
    host.starts_with(b"YOUR") || host.starts_with(b"your") || host == b"host" || host == b"HOST" || host == b"REDACTED"
}

/// Hides `name:password@`; returns where the host begins.
fn user_info(bytes: &[u8], begin: usize, end: usize, scheme: &[u8], out: &mut Vec<Span>) -> usize {
    let rest = &bytes[begin..end];
    let path = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let web = matches!(scheme, b"http" | b"https" | b"ws" | b"wss");
    let authority = rest[..path].iter().rposition(|b| *b == b'@');
    // A password with a slash: what follows the colon is then no port.
    let colon = rest[..path].iter().position(|b| *b == b':');
    let odd_port = colon.is_some_and(|c| rest[c + 1..path].iter().any(|b| !b.is_ascii_digit()));
    let at = match authority {
        Some(at) => Some(at),
        None if odd_port || !web && colon.is_some_and(|c| c + 1 < path) && rest.contains(&b'@') && scheme != b"file" => {
            rest.iter().rposition(|b| *b == b'@')
        }
        None => None,
    };
    let Some(at) = at else { return begin };
    let info = &rest[..at];
    let only_name = !info.contains(&b':');
    let harmless = info.is_empty() || only_name && (!web || info == b"git") || info.starts_with(b"[REDACTED");
    if !harmless {
        out.push(Span::new(begin, begin + at, Kind::Url));
    }
    begin + at + 1
}

fn parameters(bytes: &[u8], from: usize, end: usize, out: &mut Vec<Span>) {
    let mut at = from;
    while at < end {
        let stop = bytes[at..end].iter().position(|b| matches!(b, b'&' | b';' | b'#')).map_or(end, |i| at + i);
        if let Some(eq) = bytes[at..stop].iter().position(|b| *b == b'=').map(|i| at + i) {
            let name = String::from_utf8_lossy(&bytes[at..eq]).to_ascii_lowercase();
            let value = &bytes[eq + 1..stop];
            let trimmed = eq + 1 + value.len() - value.iter().rev().take_while(|b| matches!(b, b'.' | b',' | b')' | b']' | b'}')).count();
            if SIGNATURES.contains(&name.as_str()) && value.len() >= 6 && !value.starts_with(b"[REDACTED") {
                // One signature makes the whole address a permission.
                out.push(Span::new(from, end, Kind::Url));
                return;
            }
            if QUERY_SECRETS.contains(&name.as_str())
                && value.len() >= 6
                && super::shapes::looks_random(value)
                && !value.starts_with(b"[REDACTED")
                && !super::shapes::is_known_id(value)
                && !value.starts_with(b"$")
            {
                out.push(Span::new(eq + 1, trimmed, Kind::Url));
            }
        }
        at = stop + 1;
    }
}

/// Names that only resolve inside somebody's network.
fn host(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
        return;
    }
    let start = at - bytes[..at].iter().rev().take(253).take_while(|b| is_name(b)).count();
    let end = end + bytes[end..].iter().take(64).take_while(|b| is_name(b)).count();
    let name = &bytes[start..end];
    // `config.local.toml`, `self.local`, `.local/share`, `a.internal()` are files and code.
    let is_code = matches!(bytes.get(end), Some(b'(' | b'['))
        || start > 0 && matches!(bytes[start - 1], b'/' | b'$' | b'~') && !bytes[..start].ends_with(b"//")
        || name.starts_with(b".");
    let trailing = name.iter().rev().take_while(|b| **b == b'.').count();
    let whole = ends_privately(&name[..name.len() - trailing]);
    let labels = name.split(|b| *b == b'.').filter(|l| !l.is_empty()).count();
    let common = matches!(
        name.split(|b| *b == b'.').next(),
        Some(b"self" | b"this" | b"env" | b"pkg" | b"std" | b"crate" | b"threading" | b"http" | b"node")
    );
    if whole && labels >= 2 && !is_code && !common {
        out.push(Span::new(start, end - trailing, Kind::Host));
    }
}

fn ends_privately(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    PRIVATE_ENDS.iter().any(|e| name.ends_with(e.as_bytes()))
}

/// Whether a `host[:port]` belongs to a private network: such a host is shown as `private`.
#[must_use]
pub fn is_private_host(host: &str) -> bool {
    let bare = host
        .rsplit_once(':')
        .filter(|(h, p)| p.bytes().all(|b| b.is_ascii_digit()) && (!h.contains(':') || h.ends_with(']')))
        .map_or(host, |(h, _)| h);
    let bare = bare.trim_matches(['[', ']']).to_ascii_lowercase();
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return match ip {
            IpAddr::V4(v4) => {
                v4.is_private()
                    || v4.is_loopback()
                    || v4.is_link_local()
                    || v4.is_unspecified()
                    || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64
            }
            IpAddr::V6(v6) => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.segments()[0] & 0xfe00 == 0xfc00
                    || v6.segments()[0] & 0xffc0 == 0xfe80
                    || v6.to_ipv4_mapped().is_some()
            }
        };
    }
    !bare.contains('.') || ends_privately(bare.as_bytes())
}
