//! The same call again: which requests belong to a call that another began, and what is kept of its answer for them.
//!
//! Bounded in entries, bytes and time; the oldest go first. Requests are known by keyed hashes only, answers live in memory and nowhere else.

mod claim;
mod digested;
mod disk;
mod follow;
mod kept;
mod resume;
pub(crate) mod seats;

#[cfg(test)]
mod laws;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use weir_core::{
    Belonging, Claim, Earlier, How, KeyId, RequestId,
    again::{decide, is_retry_time},
};
use weir_store::ReplayKey;

pub(crate) use self::{
    claim::{Course, KNOWN_MS, Said, belongs, gone, reused, unless_charged},
    disk::{Shelf, restore, shelve},
    follow::{Joining, follow},
    kept::{Kept, Weight, is_event},
    resume::resume,
};
use self::{digested::Digested, kept::Budget};
use crate::{
    Replay,
    outlet::{Outcome, Outlet},
};

/// Equal calls that are remembered of one request; of more, the latest are.
const EQUAL: usize = 16;
/// Requests of one call that open it by their own ids while it is kept.
const NAMES: usize = 1_024;

/// One call that others may belong to.
pub(crate) struct Entry {
    pub(crate) id: RequestId,
    pub(crate) kid: KeyId,
    said: Said,
    pub(crate) outlet: Outlet,
    /// The ids of requests that joined it.
    names: Mutex<Vec<RequestId>>,
    /// Closes its answer for the disk, where that is wanted.
    seal: OnceLock<Arc<ReplayKey>>,
    /// A job may run for it: whatever it is charged, it is not made a second time.
    bound: AtomicBool,
    /// When it ended here: never, if it is known from the disk.
    ended: OnceLock<Instant>,
}

/// The latest calls that said the same.
#[derive(Default)]
struct Equal {
    calls: VecDeque<Arc<Entry>>,
    latest: Option<RequestId>,
    /// Clients that were refused and may try again: so many marked retries belong to no call.
    refused: u32,
    /// When what is known of it is too old.
    until: Option<Instant>,
}

/// What goes when its time has come.
enum Old {
    Call(Arc<Entry>),
    Equal([u8; 16]),
}

#[derive(Default)]
struct State {
    by_key: Digested<[u8; 16], Arc<Entry>>,
    by_request: Digested<[u8; 16], Equal>,
    by_id: Digested<RequestId, Arc<Entry>>,
    old: VecDeque<(Instant, Old)>,
    /// Ended calls whose answers are kept, oldest first.
    answers: VecDeque<Arc<Entry>>,
}

/// All calls of one gateway that others may belong to.
pub(crate) struct Joins {
    terms: Replay,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

/// What a request is.
pub(crate) enum Place {
    New {
        entry: Arc<Entry>,
        /// The latest equal call, where nothing says that this one repeats it.
        suspected: Option<RequestId>,
    },
    Reads(Arc<Entry>, How),
    KeyReused(RequestId),
    InProgress(RequestId),
    ReplayGone(RequestId),
}

impl Joins {
    pub(crate) fn new(terms: Replay) -> Self {
        Self { terms, budget: Budget::new(&terms), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call of this idempotency key is known here.
    pub(crate) fn knows(&self, key: &[u8; 16]) -> bool {
        let mut state = self.lock();
        state.expire(Instant::now());
        state.by_key.contains_key(key)
    }

    /// What a request is; one that is a call of its own is known from here on.
    pub(crate) fn place(&self, id: RequestId, kid: &KeyId, said: Said, outlet: &Outlet) -> Place {
        let mut state = self.lock();
        let mut absent = false;
        if let Some(doubtful) = state.doubtful(&said) {
            // Sockets are asked outside the lock.
            drop(state);
            doubtful.iter().for_each(|entry| entry.outlet.look());
            absent = outlet.is_absent();
            state = self.lock();
        }
        state.expire(Instant::now());
        let (claim, earlier) = match &said.key {
            Some(key) => {
                let earlier = state.by_key.get(key).cloned();
                (Claim::Key { same: earlier.as_ref().is_none_or(|earlier| earlier.said.request == said.request) }, earlier)
            }
            None if said.marked => (Claim::Marked, state.equal_to(&said)),
            None => (if absent { Claim::Absent } else { Claim::Unmarked }, state.equal_to(&said)),
        };
        let standing = earlier.as_ref().map(|earlier| Earlier { lately: earlier.is_lately(said.assumed), ..earlier.stands() });
        match (decide(claim, standing), earlier) {
            (Belonging::Join(how) | Belonging::Replay(how), Some(earlier)) => Place::Reads(earlier, how),
            (Belonging::KeyReused, Some(earlier)) => Place::KeyReused(earlier.id),
            (Belonging::InProgress, Some(earlier)) => Place::InProgress(earlier.id),
            (Belonging::ReplayGone, Some(earlier)) => Place::ReplayGone(earlier.id),
            _ => {
                self.relieve(&mut state);
                self.keep(outlet);
                let entry = Arc::new(Entry::new(id, kid.clone(), said, outlet.clone()));
                let suspected = state.add(&entry, Instant::now() + self.terms.window);
                Place::New { entry, suspected }
            }
        }
    }

    /// From now on this answer is kept.
    pub(crate) fn keep(&self, outlet: &Outlet) {
        outlet.keep(Kept::new(Arc::clone(&self.budget)));
    }

    /// An answer that was kept elsewhere, if there is room for it.
    fn kept(&self, head: &http::Response<()>, bytes: &[u8], ends: Option<&[u64]>) -> Option<Kept> {
        // One that found no room makes the next try relieve more.
        (0..2).find_map(|_| {
            self.relieve(&mut self.lock());
            Kept::of(Arc::clone(&self.budget), head, bytes, ends)
        })
    }

    /// Gives the oldest answers up before memory is short.
    fn relieve(&self, state: &mut State) {
        let room = self.budget.room();
        while self.budget.used() > room
            && let Some(oldest) = state.answers.pop_front()
        {
            oldest.outlet.forget();
            // Without its answer only its idempotency key can still say something.
            if oldest.said.key.is_none() {
                state.remove(&oldest);
            }
        }
    }

    /// A request that joined a call opens it by its own id, too.
    pub(crate) fn name(&self, entry: &Arc<Entry>, id: RequestId) {
        let mut state = self.lock();
        let mut names = entry.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < NAMES && state.by_id.contains_key(&entry.id) {
            names.push(id);
            state.by_id.insert(id, Arc::clone(entry));
        }
    }

    /// The call that a request of this key began or joined.
    pub(crate) fn find(&self, kid: &KeyId, id: RequestId) -> Option<Arc<Entry>> {
        let mut state = self.lock();
        state.expire(Instant::now());
        state.by_id.get(&id).filter(|entry| entry.kid == *kid).cloned()
    }

    /// A call has ended. One that was not charged frees its key and its body: whoever repeats it makes a new call.
    pub(crate) fn ended(&self, entry: &Arc<Entry>, outcome: Outcome) {
        let mut state = self.lock();
        let left = entry.outlet.standing().left;
        entry.outlet.close(outcome);
        let now = Instant::now();
        // The first time is the only one.
        let _ = entry.ended.set(now);
        let until = now + self.terms.window;
        let kept = entry.outlet.is_kept();
        if outcome.charged && (kept || entry.said.key.is_some()) {
            state.old.push_back((until, Old::Call(Arc::clone(entry))));
            if kept {
                state.answers.push_back(Arc::clone(entry));
            }
        } else if outcome.charged {
            state.remove(entry);
        } else {
            state.remove(entry);
            if !left && entry.said.key.is_none() {
                let equal = state.by_request.entry(entry.said.request).or_default();
                equal.refused = equal.refused.saturating_add(1);
            }
        }
        if let Some(equal) = state.by_request.get_mut(&entry.said.request) {
            equal.until = Some(until);
            state.old.push_back((until, Old::Equal(entry.said.request)));
        }
        state.expire(now);
        // Two for each call: itself, and what was said.
        while state.old.len() > self.terms.calls.saturating_mul(2) {
            state.expire_first();
        }
    }

    /// Whether memory has neither the call that this request may repeat nor a reason to make it anew.
    pub(crate) fn lacks(&self, said: &Said) -> bool {
        let mut state = self.lock();
        state.expire(Instant::now());
        let is_gone = |entry: &Arc<Entry>| entry.outlet.standing().outcome.is_some() && !entry.outlet.is_kept();
        match &said.key {
            Some(key) => state.by_key.get(key).is_none_or(is_gone),
            None => state.by_request.get(&said.request).is_none_or(|equal| equal.refused == 0 && equal.calls.iter().all(is_gone)),
        }
    }

    /// A call that had ended is known again, until then.
    fn revive(&self, entry: Entry, until: Instant) {
        let mut state = self.lock();
        let entry = Arc::new(entry);
        self.relieve(&mut state);
        state.add(&entry, until);
        let place = state.old.partition_point(|(at, _)| *at <= until);
        state.old.insert(place, (until, Old::Call(Arc::clone(&entry))));
        state.old.insert(place + 1, (until, Old::Equal(entry.said.request)));
        state.answers.push_back(entry);
    }

    /// Drops what is too old. Called now and then, so that nothing stays longer because nobody calls.
    pub(crate) fn expire(&self) {
        self.lock().expire(Instant::now());
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.budget.used()
    }
}

impl Entry {
    fn new(id: RequestId, kid: KeyId, said: Said, outlet: Outlet) -> Self {
        Self {
            id,
            kid,
            said,
            outlet,
            names: Mutex::default(),
            seal: OnceLock::new(),
            bound: AtomicBool::new(false),
            ended: OnceLock::new(),
        }
    }

    /// A job may run for it from here on, or provably none does.
    pub(crate) fn bind(&self, bound: bool) {
        self.bound.store(bound, Ordering::Release);
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Acquire)
    }

    fn stands(&self) -> Earlier {
        let standing = self.outlet.standing();
        Earlier {
            running: standing.outcome.is_none(),
            kept: standing.kept,
            left: standing.left,
            complete: standing.outcome.is_some_and(|outcome| outcome.complete),
            lately: false,
        }
    }

    /// Whether an equal request that comes now may be its retry, where that is assumed `within` some time.
    fn is_lately(&self, within: Duration) -> bool {
        self.ended.get().is_some_and(|at| is_retry_time(at.elapsed(), within))
    }
}

impl State {
    /// Equal calls whose clients should be asked whether they are there, for a request that says nothing of repeating one; `None` if it has no equal.
    fn doubtful(&self, said: &Said) -> Option<Vec<Arc<Entry>>> {
        let equal = self.by_request.get(&said.request).filter(|_| said.key.is_none() && !said.marked);
        let (calls, latest) = equal.and_then(|equal| Some((&equal.calls, equal.calls.back()?)))?;
        Some(calls.iter().filter(|entry| entry.outlet.is_doubtful(&latest.outlet)).cloned().collect())
    }

    /// The call that an equal request may belong to: one whose client left, else the latest.
    fn equal_to(&mut self, said: &Said) -> Option<Arc<Entry>> {
        let equal = self.by_request.get_mut(&said.request)?;
        let left = equal.calls.iter().find(|entry| {
            let stands = entry.stands();
            stands.left && stands.kept && (said.marked || stands.running || stands.complete)
        });
        if let Some(left) = left {
            return Some(Arc::clone(left));
        }
        if said.marked && equal.refused > 0 {
            equal.refused -= 1;
            return None;
        }
        equal.calls.back().cloned()
    }

    /// Adds a call; the latest equal one before it.
    fn add(&mut self, entry: &Arc<Entry>, until: Instant) -> Option<RequestId> {
        self.by_id.insert(entry.id, Arc::clone(entry));
        if let Some(key) = entry.said.key {
            self.by_key.insert(key, Arc::clone(entry));
            return None;
        }
        let equal = self.by_request.entry(entry.said.request).or_default();
        equal.calls.push_back(Arc::clone(entry));
        if equal.calls.len() > EQUAL {
            equal.calls.pop_front();
        }
        equal.until = Some(until);
        equal.latest.replace(entry.id)
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        self.by_id.remove(&entry.id);
        for name in entry.names.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.by_id.remove(&name);
        }
        if let Some(key) = &entry.said.key
            && self.by_key.get(key).is_some_and(|known| Arc::ptr_eq(known, entry))
        {
            self.by_key.remove(key);
        }
        if let Some(equal) = self.by_request.get_mut(&entry.said.request) {
            equal.calls.retain(|call| !Arc::ptr_eq(call, entry));
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.old.front().is_some_and(|(at, _)| *at <= now) {
            self.expire_first();
        }
    }

    fn expire_first(&mut self) {
        match self.old.pop_front() {
            Some((_, Old::Call(entry))) => {
                entry.outlet.forget();
                self.remove(&entry);
                if self.answers.front().is_some_and(|answer| Arc::ptr_eq(answer, &entry)) {
                    self.answers.pop_front();
                }
            }
            Some((at, Old::Equal(request))) => {
                if let Some(equal) = self.by_request.get(&request)
                    && equal.until.is_some_and(|until| until <= at)
                    && equal.calls.is_empty()
                {
                    self.by_request.remove(&request);
                }
            }
            None => {}
        }
    }
}
