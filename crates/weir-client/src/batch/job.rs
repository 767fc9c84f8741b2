//! One row on its way: what is asked next for it, and what was tried.

use std::{cmp::Ordering, fmt::Write, time::Duration};

use sha2::{Digest, Sha256};
use weir_core::{Route, Scenario, Timestamp};
use weir_wire::tasks::Adapter;

use super::row::Row;
use crate::{Ask, client::look_path};

/// What is asked for a row next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The row itself.
    Send,
    /// How far its job is, there.
    Look(String),
    /// Which of the server's jobs it is: its answer was lost.
    Find,
}

/// A row that is being done.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) row: Row,
    pub(super) step: Step,
    pub(super) key: String,
    /// Attempts to send it, in this run of the program.
    pub(super) attempts: u8,
    /// The longest wait before any of them.
    pub(super) waited: Duration,
    /// When the last of them ended.
    pub(super) ended: Option<Timestamp>,
    /// It may have been made already.
    pub(super) unanswered: bool,
    /// Looks at its job, and those that brought nothing.
    pub(super) looks: u32,
    pub(super) misses: u32,
    /// Tokens that it counts for.
    pub(super) tokens: u64,
    /// Nano-units held for it.
    pub(super) held: i64,
    /// When it was first sent.
    pub(super) first_sent: Option<Timestamp>,
}

/// The name of a row's call: the same in each attempt and after each resume.
pub(super) fn key(run: &str, row: u64, round: u8) -> String {
    let hash = Sha256::new().chain_update(format!("{run}/{row}/{round}")).finalize();
    hash.iter().take(16).fold("wb-".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Job {
    pub(super) fn new(row: Row, key: String, tokens: u64) -> Self {
        Self {
            row,
            step: Step::Send,
            key,
            attempts: 0,
            waited: Duration::ZERO,
            ended: None,
            unanswered: false,
            looks: 0,
            misses: 0,
            tokens,
            held: 0,
            first_sent: None,
        }
    }

    /// The request of its next step.
    pub(super) fn ask(&self) -> Ask {
        match &self.step {
            Step::Send => {
                let scenario = if self.row.is_media() { Scenario::MediaTask } else { Scenario::Batch };
                let ask = Ask::post(self.row.path, self.row.body.clone()).of(scenario).named(&self.key);
                Ask { respond_async: self.row.route == Route::ImageGenerations, ..ask }
            }
            Step::Look(path) => Ask::get(path.clone()),
            Step::Find => Ask::get(self.list().unwrap_or("/videos")),
        }
    }

    pub(super) fn is_question(&self) -> bool {
        self.step != Step::Send
    }

    /// Where the server lists its jobs, if it does.
    pub(super) fn list(&self) -> Option<&'static str> {
        self.adapter()?.list
    }

    pub(super) fn adapter(&self) -> Option<&'static Adapter> {
        match self.row.route {
            Route::Videos => Adapter::of_name("openai_videos"),
            Route::VideoGenerations => Adapter::of_name("submit_poll"),
            _ => None,
        }
    }

    /// From now on its job is looked at. `false` if the id cannot be part of an address.
    pub(super) fn follow(&mut self, id: &str) -> bool {
        let path = look_path(self.row.route, id);
        let can = path.is_some();
        self.step = path.map_or(Step::Send, Step::Look);
        can
    }
}

/// A job that waits for its time.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    /// Which of two with the same time comes first.
    pub(super) order: u64,
    pub(super) job: Job,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, as a heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_s_name_is_the_same_each_time_and_no_other_row_s() {
        assert_eq!(key("0badcafe", 7, 0), key("0badcafe", 7, 0));
        let all = [key("0badcafe", 7, 0), key("0badcafe", 8, 0), key("0badcafe", 7, 1), key("0badcaff", 7, 0), key("0badcafe", 70, 0)];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!((distinct.len(), all[0].len()), (5, 35));
    }
}
