//! What was sealed and has no row yet. Its length is bounded by the slots: a slot is freed only when its row is committed.
//!
//! The writer is woken when the queue stops being empty, when a group is full and when somebody waits; not for each call, since waking a thread costs
//! the caller a system call.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use weir_core::CallRecord;

use crate::{
    balance::Purse,
    joined::{JoinedRequest, Keyed},
};

/// A full group: more would only lengthen the transaction.
pub(crate) const GROUP: usize = 512;
/// How long a group waits for company. Its calls are safe in their slots; each transaction writes some pages anew, however few its rows are.
const GATHER: Duration = Duration::from_millis(20);

/// An ended call whose slot holds its outcome.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) slot: u32,
    pub(crate) purse: Option<Arc<Purse>>,
    pub(crate) record: CallRecord,
    pub(crate) keyed: Option<Keyed>,
}

/// Something that wants a row.
#[derive(Debug)]
pub(crate) enum Pended {
    Call(Box<Sealed>),
    Joined(JoinedRequest),
}

/// Rows of joined requests that may wait while the database refuses; beyond that they are not kept. They are no money, and calls come first.
const JOINED_WAITING: usize = 16_384;

/// What the writer is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write the batch, if there is one, and look for changes by others.
    Work,
    /// Write the batch if that works at once, then end.
    Close,
    /// End without writing: what is left belongs to the next start.
    Abandon,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Debug)]
struct Pending {
    rows: Vec<Pended>,
    /// How many of them are joined requests.
    joined: usize,
    /// Calls sealed, and calls committed, since the start.
    sealed: u64,
    committed: u64,
    /// Somebody waits for this many to be committed.
    wanted: u64,
    /// Commits that failed since the start.
    failures: u64,
    waiters: Vec<Waker>,
    next: Next,
}

impl Default for Queue {
    fn default() -> Self {
        let pending =
            Pending { rows: Vec::new(), joined: 0, sealed: 0, committed: 0, wanted: 0, failures: 0, waiters: Vec::new(), next: Next::Work };
        Self { pending: Mutex::new(pending), wake: Condvar::new() }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, row: Pended) {
        let mut pending = self.lock();
        if matches!(row, Pended::Joined(_)) {
            if pending.joined >= JOINED_WAITING {
                return;
            }
            pending.joined += 1;
        }
        pending.rows.push(row);
        pending.sealed += 1;
        let waiting = pending.rows.len();
        drop(pending);
        if waiting == 1 || waiting == GROUP {
            self.wake.notify_one();
        }
    }

    /// Waits up to `idle` for something to do, then up to [`GATHER`] for a full group, and moves what there is behind `batch`.
    /// With rows in `batch` already, which failed before, it waits `idle` for their next try.
    pub(crate) fn next(&self, batch: &mut Vec<Pended>, idle: Duration) -> Next {
        let mut pending = self.lock();
        let again = !batch.is_empty();
        pending = wait_while(&self.wake, pending, idle, |p| p.next == Next::Work && (again || p.rows.is_empty()));
        if !again && !pending.rows.is_empty() {
            pending = wait_while(&self.wake, pending, GATHER, |p| p.next == Next::Work && p.rows.len() < GROUP && p.wanted <= p.committed);
        }
        if batch.is_empty() {
            mem::swap(&mut pending.rows, batch);
        } else {
            batch.append(&mut pending.rows);
        }
        pending.joined = batch.iter().filter(|row| again && matches!(row, Pended::Joined(_))).count();
        pending.next
    }

    /// Takes what there is without waiting.
    pub(crate) fn take(&self, batch: &mut Vec<Pended>) {
        let mut pending = self.lock();
        batch.append(&mut pending.rows);
        pending.joined = 0;
    }

    pub(crate) fn committed(&self, calls: usize) {
        let mut pending = self.lock();
        pending.committed += calls as u64;
        wake_all(pending);
    }

    pub(crate) fn failed(&self) {
        let mut pending = self.lock();
        pending.failures += 1;
        wake_all(pending);
    }

    pub(crate) fn end(&self, next: Next) {
        self.lock().next = next;
        self.wake.notify_one();
    }

    /// How many were sealed, and how many of them are committed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let pending = self.lock();
        (pending.sealed, pending.committed)
    }

    /// Until all that is sealed now is committed (`true`), or a commit failed meanwhile (`false`).
    pub(crate) fn flushed(&self) -> Flushed<'_> {
        let pending = self.lock();
        Flushed { queue: self, target: pending.sealed, failures: pending.failures }
    }
}

fn wait_while<'a>(
    wake: &Condvar,
    pending: MutexGuard<'a, Pending>,
    limit: Duration,
    mut idle: impl FnMut(&Pending) -> bool,
) -> MutexGuard<'a, Pending> {
    wake.wait_timeout_while(pending, limit, |p| idle(p)).unwrap_or_else(PoisonError::into_inner).0
}

fn wake_all(mut pending: MutexGuard<'_, Pending>) {
    let waiters = mem::take(&mut pending.waiters);
    drop(pending);
    for waiter in waiters {
        waiter.wake();
    }
}

/// See [`Queue::flushed`].
pub(crate) struct Flushed<'a> {
    queue: &'a Queue,
    target: u64,
    failures: u64,
}

impl Future for Flushed<'_> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let mut pending = self.queue.lock();
        if pending.committed >= self.target {
            return Poll::Ready(true);
        }
        if pending.failures > self.failures || pending.next == Next::Abandon {
            return Poll::Ready(false);
        }
        pending.waiters.push(context.waker().clone());
        pending.wanted = pending.wanted.max(self.target);
        drop(pending);
        self.queue.wake.notify_one();
        Poll::Pending
    }
}
