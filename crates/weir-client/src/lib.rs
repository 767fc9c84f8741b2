//! One attempt on one upstream, timed phase by phase ([`Answer`]); calls, streams and jobs with the retries of a policy ([`Client`]); and
//! batches of calls ([`batch`]). Nothing is sent twice unless that is safe.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail"))]

mod attempt;
pub mod batch;
pub mod client;
mod dial;
mod gather;
mod pool;
pub mod probe;
#[cfg(test)]
mod rig;
mod wire;

pub use attempt::{Answer, AttemptError, AttemptLimits, Sent};
pub use client::{Ask, CallError, Client, ClientLimits, Dice, Said, Surroundings};
pub use dial::{BadBaseUrl, Dial, Dialing, Io, Net, Target};
pub use gather::Gather;
pub use pool::Pool;
pub use wire::WireError;
