//! The durable truth: accounts, keys, calls, charges. SQLite for what is kept, a memory-mapped file for what is running.
//!
//! [`Store`] is for any process: administration and queries. [`Books`] is for the one gateway of a data directory: it accepts a call into a slot of the
//! holds file (plain memory stores, so a killed process loses nothing), keeps balances in memory and lets one thread write rows in groups.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test panics to fail"))]

mod account;
mod audit;
mod balance;
mod books;
mod calls;
mod desk;
mod error;
mod holds;
mod joined;
mod keys;
mod limits;
mod lock;
mod pepper;
mod queue;
mod replays;
mod retention;
mod rows;
mod schema;
mod sources;
mod split;
mod store;
mod sweep;
mod tally;
mod tasks;
mod usage;
mod writer;

pub use account::{Account, LedgerEntry, LedgerKind};
pub use audit::{AuditReport, Law};
pub use books::{Books, BooksSettings, Hold, Recovery};
pub use calls::{CallFilter, CallState, StoredCall};
pub use error::{Full, KeyRefusal, Spent, SplitRefusal, StoreError};
pub use joined::{JoinedRequest, Keyed};
pub use keys::{KeyRow, KeyState, NewKey, Parent, Principal};
pub use replays::{ReplayKey, ReplayName, ReplayTerms, Replayed, Replays};
pub use retention::Retention;
pub use split::NewChild;
pub use store::Store;
pub use tasks::{Earlier, NotMade, OpenTask, TaskFilter};
pub use usage::{CallerUsage, Holder, RecentCall, Used};

#[cfg(test)]
mod laws;
