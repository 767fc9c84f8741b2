//! The gateway: admits, reserves, relays, settles, seals.
//!
//! One call is one function, [`call::run`]; each stage is a module named after it. The call owns itself and outlives its
//! connection; everything that decides is handed the time.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail"))]

mod accept;
mod admit;
mod attempt;
mod attempts;
mod call;
#[cfg(test)]
mod canary;
mod closer;
mod door;
mod edge;
#[cfg(test)]
mod failover;
mod gateway;
mod joins;
mod lanes;
mod limiter;
mod line;
mod models;
mod next_head;
mod outlet;
mod own;
mod patience;
mod patterns;
mod private;
#[cfg(test)]
mod promises;
mod refusal;
mod relay;
mod reply;
mod screen;
mod server;
mod settings;
mod settle;
#[cfg(test)]
mod slow_readers;
mod talk;
mod tasks;
mod view;
mod vigil;
mod whole;
#[cfg(test)]
mod world;

pub use gateway::Gateway;
pub use settings::{Channel, ClientGone, Duplicates, Limits, PriceList, Replay, Settings, Streams, Tasks, TimeoutRule, Upstream, fits};
pub use view::call_view;
pub use weir_client::Dice;
