//! One exchange for one question, timed phase by phase: name, connection, TLS, first byte, every piece of the body as it arrives.
//!
//! Nothing here is pooled, retried or decompressed without being told: a probe that mends what it meets would measure its own mending.

mod decode;
mod der;
mod link;
mod reach;
mod seen;
mod socks;
#[cfg(test)]
mod tests;
mod way;

pub use decode::{Decoding, Undecodable};
pub use link::{Answered, Link, Piece};
pub use reach::{Network, Reach, Reaching, Secured, Speak};
pub use seen::{BodyEnd, Fault, HttpVersion, Issuer, Limit, Phases, TlsFault, TlsSeen};
pub use socks::{Names, Socks, SocksLogin};
pub use way::{OpenLimits, Opened, Proxy, ProxySpeech, Way};
