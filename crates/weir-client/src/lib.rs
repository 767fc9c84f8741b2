//! One attempt on one upstream, timed phase by phase. The caller owns each attempt: nothing here sends anything twice.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail"))]

mod attempt;
mod dial;
mod gather;
mod pool;
pub mod probe;
mod wire;

pub use attempt::{Answer, AttemptError, AttemptLimits, Sent};
pub use dial::{BadBaseUrl, Dial, Dialing, Io, Net, Target};
pub use gather::Gather;
pub use pool::Pool;
pub use wire::WireError;
