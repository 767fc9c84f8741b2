//! Image and video jobs as upstreams tell them and as clients are told of them. How an upstream is spoken to is a table, not code.

mod adapters;
mod ask;
mod read;
mod show;
#[cfg(test)]
mod tests;

pub use adapters::{ADAPTERS, Adapter};
pub use ask::{ask, ask_of_form};
pub use read::{Job, Refused};
pub use show::{deleted, list, show};
