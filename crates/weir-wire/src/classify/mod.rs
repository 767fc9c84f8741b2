//! What an upstream's error means: read from any shape, sorted by ordered rules into one class, and told as a verdict.

mod class;
mod read;
mod rules;
#[cfg(test)]
mod tests;

pub use class::{UpstreamClass, Vendor};
pub use read::{UpstreamError, UpstreamText};
pub use rules::class;
