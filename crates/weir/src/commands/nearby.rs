//! The gateway on this machine: which address is meant where nobody names one.

use std::{
    fs,
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use weir_client::Target;

use super::up::ADDRESS_FILE;
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

fn answers(url: &str) -> bool {
    let Ok(target) = Target::parse(url) else { return false };
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let Ok(mut addresses) = (host, target.port).to_socket_addrs() else { return false };
    addresses.next().is_some_and(|address| TcpStream::connect_timeout(&address, KNOCK).is_ok())
}
