//! The one thread that writes rows. Also the part that simulated time calls directly.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use weir_core::{Clock, Timestamp};

use crate::{
    StoreError,
    desk::Desk,
    holds::Holds,
    queue::{GROUP, Next, Pended, Queue, Sealed},
    retention::{PAUSE, Retention, Sweeper},
    rows::Committer,
};

/// How often changes by other processes are looked for: "within a second" with room to spare.
const POLL: Duration = Duration::from_millis(200);
/// Waits between tries to write while the database refuses; doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(5);

/// What callers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) holds: Arc<Holds>,
    pub(crate) queue: Queue,
    pub(crate) desk: Desk,
    pub(crate) healthy: AtomicBool,
    /// How long rows are kept; for ever until somebody says so.
    pub(crate) retention: OnceLock<Retention>,
}

/// The writer's own: the connection and what it could not write yet.
pub(crate) struct Writer {
    pub(crate) committer: Committer,
    pub(crate) batch: Vec<Pended>,
    /// The version of others' changes that the desk has.
    pub(crate) followed: Option<i64>,
    /// How many changes of keys and accounts it has seen.
    pub(crate) edits: Option<i64>,
    pub(crate) sweeper: Sweeper,
    pub(crate) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("waiting", &self.batch.len()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Runs until the queue says to end.
    pub(crate) fn run(mut self, shared: &Shared) {
        let _last_word = LastWord(shared);
        let mut wait = POLL;
        let mut sweeps = false;
        loop {
            let next = shared.queue.next(&mut self.batch, if sweeps { wait.min(PAUSE) } else { wait });
            if next == Next::Abandon {
                return;
            }
            let written = self.write(shared).and_then(|()| self.follow_others(shared));
            shared.healthy.store(written.is_ok(), Ordering::Relaxed);
            match written {
                Ok(()) => wait = POLL,
                Err(_) => {
                    shared.queue.failed();
                    wait = if wait == POLL { FIRST_WAIT } else { LAST_WAIT.min(wait * 2) };
                }
            }
            if next == Next::Close {
                return;
            }
            // Only when the calls are written: they come first.
            sweeps = self.batch.is_empty() && self.sweep(shared);
        }
    }

    /// Commits the batch, group by group; a slot is freed when its row is committed. What could not be written stays in the batch.
    pub(crate) fn write(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let mut done = 0;
        let mut written = Ok(());
        for group in self.batch.chunks(GROUP) {
            written = write_group(&mut self.committer, group, self.clock.now(), shared);
            if written.is_err() {
                break;
            }
            done += group.len();
            shared.queue.committed(group.len());
        }
        // Once at the end: taking each group off the front would move a long queue again and again.
        self.batch.drain(..done);
        // A burst's memory is given back; a usual group's is kept.
        self.batch.shrink_to(GROUP * 2);
        written
    }

    /// Erases some of what is too old; whether there is more.
    pub(crate) fn sweep(&mut self, shared: &Shared) -> bool {
        let Some(terms) = shared.retention.get() else { return false };
        self.sweeper.step(self.committer.db_mut(), terms, self.clock.now())
    }

    /// Takes over keys and credits if another connection changed something.
    pub(crate) fn follow_others(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let version = self.committer.others_version()?;
        if self.followed != Some(version) {
            let edits = self.committer.edits()?;
            if self.edits != Some(edits) {
                shared.desk.reload(self.committer.db())?;
                // Only now: a change that could not be read is looked for again.
                self.edits = Some(edits);
            }
            self.followed = Some(version);
        }
        Ok(())
    }
}

/// Says that nobody writes any more, however the writer ended: whoever waits for a commit is told so instead of waiting for ever.
struct LastWord<'a>(&'a Shared);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        self.0.healthy.store(false, Ordering::Relaxed);
        self.0.queue.end(Next::Abandon);
        self.0.queue.failed();
    }
}

fn write_group(committer: &mut Committer, group: &[Pended], now: Timestamp, shared: &Shared) -> Result<(), StoreError> {
    let mut calls: Vec<&Sealed> = Vec::with_capacity(group.len());
    let mut joined = Vec::new();
    for row in group {
        match row {
            Pended::Call(sealed) => calls.push(sealed),
            Pended::Joined(request) => joined.push(request),
        }
    }
    let known = committer.commit(calls.iter().map(|sealed| (&sealed.record, sealed.keyed.as_ref())), &joined, now)?;
    for place in known {
        if let Some(purse) = &calls[place].purse {
            purse.uncharge(calls[place].record.charge.amount);
        }
    }
    shared.holds.put_back(calls.iter().map(|sealed| sealed.slot));
    Ok(())
}
