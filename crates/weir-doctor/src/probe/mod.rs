//! The probes in their order: each learns one thing, within a bound, and stops at the first broken layer.

mod progress;

pub use progress::{Cost, ProbeId, Progress, Watch};
