//! How a run stands, for whoever watches, and how it ended.

use std::{collections::BTreeMap, io, time::Duration};

use weir_core::Timestamp;

use super::throttle::Why;
use crate::client::Memory;

/// Why a run stopped before each row had its line. A resume goes on where it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// Whoever started it said so.
    Interrupted,
    /// The server does not take the key, or its account has nothing left: no row can be answered.
    Denied { status: u16 },
    /// A limit opens later than the run may wait.
    Told { until: Option<Timestamp> },
    /// The next row could cost more than was allowed.
    MaxCost,
    /// The disk is full, or fails.
    Disk(io::ErrorKind),
    /// So many rows failed one after the other, with none answered between.
    Failing { rows: u64 },
}

/// Different reasons of failure that are counted.
const CODES: usize = 32;

/// What a run counted since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests for rows.
    pub calls: u64,
    /// Those refused as too many.
    pub refused: u64,
    /// Attempts beyond a row's first.
    pub retried: u64,
    /// Output tokens of answered rows, as told.
    pub output_tokens: u64,
    pub input_tokens: u64,
    /// Answers that could not be written.
    pub unkept: u64,
    /// Rows without a good answer, by why.
    pub codes: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn fail(&mut self, code: &str) {
        if self.codes.len() < CODES || self.codes.contains_key(code) {
            *self.codes.entry(code.to_owned()).or_default() += 1;
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub now: Timestamp,
    /// When this run of the program began.
    pub began: Timestamp,
    pub rows: u64,
    pub ok: u64,
    /// Rows without a good answer, bad lines not among them.
    pub failed: u64,
    pub bad: u64,
    /// Jobs of which nobody knows what became.
    pub unknown: u64,
    /// Rows that were sent and have no answer yet.
    pub unanswered: u64,
    /// Lines from the first on that are done.
    pub cursor: u64,
    /// Requests on their way.
    pub running: u64,
    /// Rows that wait for their next attempt.
    pub waiting: u64,
    /// Jobs that the server works on.
    pub jobs: u64,
    /// Requests that may run at once just now.
    pub window: u32,
    /// Requests and tokens a minute that the run goes by.
    pub rpm: Option<u64>,
    pub tpm: Option<u64>,
    /// Nano-units, by the price that was given.
    pub spent: i64,
    /// Rows that were sent again although the server does not remember: they may have been made twice.
    pub unguaranteed: u64,
    pub remembers: Memory,
    pub paused: Option<(Timestamp, Why)>,
    pub halt: Option<Halt>,
    pub tally: Tally,
}

impl Snapshot {
    /// Rows that have their line.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ok + self.failed + self.bad
    }

    #[must_use]
    pub fn left(&self) -> u64 {
        self.rows.saturating_sub(self.done())
    }

    #[must_use]
    pub fn took(&self) -> Duration {
        self.now.since(self.began)
    }
}
