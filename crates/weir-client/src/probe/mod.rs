//! One exchange for one question, timed phase by phase: name, connection, TLS, first byte, every piece of the body as it arrives.
//!
//! Nothing here is pooled, retried or decompressed without being told: a probe that mends what it meets would measure its own mending.

mod seen;

pub use seen::{BodyEnd, Fault, HttpVersion, Issuer, Limit, Phases, TlsFault, TlsSeen};
