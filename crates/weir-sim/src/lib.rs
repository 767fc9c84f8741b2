//! Fake upstreams with scripted faults: a library for tests, `weir sim` for people.
//!
//! The model's name is the order: `sim:ok`, `sim:cut_after=5`, `sim:tokens=200,interval=20ms,429_hint_once=7s`. A request gets the
//! same bytes each time: ids, texts and failures derive from its body (and, where a word says so, from how often it came), and there is
//! no clock and no dice inside. HTTP/1.1 is spoken by hand, because the point is to break it at an exact byte.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail"))]

mod answer;
mod ask;
pub mod catalog;
mod connection;
mod digest;
mod families;
mod http1;
mod jobs;
mod multipart;
mod pace;
mod refusal;
mod regroup;
mod reply;
mod scenario;
mod seen;
mod serve;
mod sim;
mod stream;
mod tasks;
mod text;
mod wire;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use scenario::{Scenario, ScenarioError};
pub use seen::{Ended, SeenRequest};
pub use sim::{Sim, SimSettings};
