//! Redaction: one engine for error texts, notes, pastes and logs. What it has passed is a [`Redacted`]; nothing else is.
//!
//! Order: shadow copy, exact secrets, shapes, names, what begins with a known word, addresses, numbers. Every search is linear in the text.

pub mod canary;
mod commands;
mod content;
mod credential;
mod dumps;
mod encoded;
mod engine;
mod judge;
mod layouts;
mod names;
mod normalise;
mod numbers;
mod personal;
mod places;
mod random;
mod registered;
mod shapes;
mod stream;
mod sums;
mod tables;
mod templates;
mod triggers;
mod urls;
mod value;
mod vendors;
mod words;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod pieces;

pub use engine::{Audience, Kind, Leak, RULESET, Redacted, Redactor};
pub use stream::RedactStream;
pub use urls::is_private_host;

/// Registered secrets shorter than this are not looked for.
pub const MIN_SECRET_CHARS: usize = 6;
