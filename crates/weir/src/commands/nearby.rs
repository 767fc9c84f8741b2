//! The gateway on this machine: which address is meant where nobody names one, and which key goes there.

use std::{
    fs,
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use weir_client::Target;
use weir_core::Secret;

use super::up::{ADDRESS_FILE, DEMO_KEY_FILE};
use crate::{fault::Fault, lang::text, shell::Shell};

/// Where `weir up` listens unless it is told otherwise.
const USUAL_URL: &str = "http://127.0.0.1:8787/v1";
/// A gateway on this machine answers its door at once.
const KNOCK: Duration = Duration::from_millis(300);

/// The base URL that was named with `flag`, else that of OPENAI_BASE_URL, of the `weir up` of this data directory, of the usual address.
///
/// # Errors
/// Nothing was named, and nobody listens on this machine.
pub(super) fn server(shell: &Shell, named: Option<&str>, flag: &str) -> Result<String, Fault> {
    if let Some(url) = named.or_else(|| shell.variable("OPENAI_BASE_URL")) {
        return Ok(url.to_owned());
    }
    running(shell).or_else(|| answers(USUAL_URL).then(|| USUAL_URL.to_owned())).ok_or_else(|| {
        Fault::usage(
            text!("没有指明服务器,本机也没有运行中的 weir", "no server was named, and no weir runs on this machine"),
            text!("用 {flag} 或 OPENAI_BASE_URL 指明,或者先 `weir up`", "name it with {flag} or OPENAI_BASE_URL, or start one: `weir up`"),
        )
    })
}

/// Where the `weir up` of this data directory listens, if it still does.
pub(super) fn running(shell: &Shell) -> Option<String> {
    let url = fs::read_to_string(shell.plain_data_dir().ok()?.join(ADDRESS_FILE)).ok()?.trim().to_owned();
    answers(&url).then_some(url)
}

/// A key, and the variable that it came from; without one it is that of the running `weir up`.
pub(super) struct FoundKey {
    pub(super) key: Secret,
    pub(super) variable: Option<&'static str>,
}

impl FoundKey {
    /// As people are told it.
    pub(super) fn from(&self) -> &'static str {
        self.variable.unwrap_or("weir up")
    }
}

/// The key for `url` where nobody names one: WEIR_KEY, that of the `weir up` of this data directory if `url` is its, OPENAI_API_KEY.
/// The key of a `weir up` goes nowhere else, and another vendor's key is not tried on it: both would be refused at best.
pub(super) fn key(shell: &Shell, url: &str) -> Option<FoundKey> {
    let of = |name: &'static str| shell.variable(name).map(|key| FoundKey { key: Secret::new(key), variable: Some(name) });
    let openai = || of("OPENAI_API_KEY");
    of("WEIR_KEY")
        .or_else(|| openai().filter(|found| found.key.expose().starts_with(OWN_KEY)))
        .or_else(|| demo_key(shell, url))
        .or_else(openai)
}

/// How keys that weir makes begin.
const OWN_KEY: &str = "sk-wr-";

fn demo_key(shell: &Shell, url: &str) -> Option<FoundKey> {
    let own = running(shell)?;
    let key = fs::read_to_string(shell.plain_data_dir().ok()?.join(DEMO_KEY_FILE)).ok()?;
    (own.trim_end_matches('/') == url.trim().trim_end_matches('/') && !key.trim().is_empty())
        .then(|| FoundKey { key: Secret::new(key.trim()), variable: None })
}

fn answers(url: &str) -> bool {
    let Ok(target) = Target::parse(url) else { return false };
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let Ok(mut addresses) = (host, target.port).to_socket_addrs() else { return false };
    addresses.next().is_some_and(|address| TcpStream::connect_timeout(&address, KNOCK).is_ok())
}
