//! What an upstream's error means: read from any shape, sorted by ordered rules into one class, and told as a verdict.
//!
//! Vendors and rules are data: `catalog/errors.toml`. How well they do on errors of the world is measured by `accuracy`.

#[cfg(test)]
mod accuracy;
mod advice;
mod class;
mod codes;
mod fields;
mod loose;
mod read;
mod rules;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unseen;
mod vendor;
mod verdict;

pub use class::UpstreamClass;
pub use read::{UpstreamError, UpstreamText};
pub use rules::class;
pub use vendor::Vendor;
pub use verdict::{Around, Classified, classified};
