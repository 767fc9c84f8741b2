//! A scripted server on this machine that tells what the real client sends and when it gives up.
//!
//! `judge` and `habit` are pure; `server` owns the sockets. Nothing of a request is kept but tokens, counts and times.

mod answer;
mod body;
mod document;
mod flow;
mod habit;
mod judge;
mod pointing;
mod record;
mod reply;
mod request;
mod script;
mod seen;
mod server;
#[cfg(test)]
pub(crate) mod tests;
mod tries;
mod words;

pub use document::{ClientReport, Found, Strict};
pub use habit::{Again, At, Habit, habits};
pub use judge::{Fact, Finding, Judgement, PATIENCE, judge};
pub use pointing::how_to;
pub use script::{SILENCE, SILENCE_MAX, Script, TOLD_WAIT};
pub use seen::{Ended, KeyPlace, Seen};
pub use server::{LIMIT_MAX, REQUESTS_MAX, Settings, serve};
pub use words::{line, report};
