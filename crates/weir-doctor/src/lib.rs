//! Which of the three faults is it, and what not to do: probes that ask, rules that judge what was seen, a report for people and programs.
//!
//! `judge` and `triage` are pure: what was seen goes in, a verdict comes out. `probe` and `listen` own the sockets.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail"))]

pub mod judge;
pub mod listen;
pub mod probe;
pub mod report;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod triage;
