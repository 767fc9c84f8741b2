//! Calls as they are read back: committed rows, and slots whose rows are not written yet.

use serde::Serialize;
use weir_core::{CallRecord, KeyId, Timestamp, Verdict};

use crate::LedgerEntry;

/// How far the record of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Has no outcome yet: its verdict is `ChargePending`, its charge `pending`.
    Running,
    /// Has its outcome in the holds file; the row follows.
    Ended,
    /// Has its row.
    Recorded,
}

/// One call and its ledger lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredCall {
    pub state: CallState,
    pub record: CallRecord,
    pub ledger: Vec<LedgerEntry>,
}

/// Which calls are asked for; newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFilter {
    pub kid: Option<KeyId>,
    /// Account id.
    pub account: Option<String>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    pub verdict: Option<Verdict>,
    /// At most this many rows; 0 means [`CallFilter::DEFAULT_LIMIT`]. `count` ignores it.
    pub limit: u32,
}

impl CallFilter {
    pub const DEFAULT_LIMIT: u32 = 100;
    pub const MAX_LIMIT: u32 = 10_000;
}
