//! Image and video jobs: what is kept of one, and what each look at its upstream makes of it.
//!
//! A task is submitted once. Its row is written before the upstream hears of it; from then on only looking changes it, and its end is final.

mod find;
mod look;
mod record;
#[cfg(test)]
mod tests;

pub use find::{Listed, found};
pub use look::{AtDeadline, Look, TaskTerms, Told, looked};
pub use record::{Oddities, TaskAsk, TaskFault, TaskRecord, TaskShape, TaskState};
