//! Batches: thousands of calls from a file, at the speed that the server's limits allow, each made once, whatever ends the run between.
//!
//! [`run`] is the whole of it. What it decides is in parts that never touch the world: how many requests may run ([`Throttle`]), what the journal
//! says of each row ([`Standings`]), what an attempt's end means (the judge). The world comes in as traits: a [`Line`] to ask, [`Disk`]s to write
//! on, a clock and dice.

mod allowance;
mod book;
mod conductor;
mod disk;
mod files;
mod input;
mod job;
pub mod journal;
mod judge;
mod latency;
mod output;
mod pick;
mod repeats;
mod row;
mod setup;
mod snapshot;
mod spend;
mod standing;
mod throttle;
#[cfg(test)]
mod world;

pub use conductor::run;
pub use disk::{Disk, Grown};
pub use files::{FilesError, Opened, RunFiles, RunLock};
pub use input::{LINE_BYTES, Lines, Read, Survey, survey};
pub use journal::{FailedHow, Header, JournalError, Mark, Record, Terms};
pub use repeats::{KEPT_IDS, Repeats};
pub use row::{BadRow, ROUTES, Row};
pub use setup::{Asking, Line, Setup, Stop};
pub use snapshot::{Halt, Snapshot, Tally};
pub use spend::most;
pub use standing::{Found, RowState, Standings, found};
pub use throttle::{Admission, Bounds, Ended, Throttle, Ticket, Why};
