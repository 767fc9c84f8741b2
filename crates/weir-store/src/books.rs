//! The gateway's side: exclusive, with balances and running calls in memory and one thread that writes.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use serde::Serialize;
use weir_core::{Amount, ApiKey, CallRecord, Charge, Charged, Clock, KeyId, RequestId, Reserved, Route, Timestamp, Usage};

use crate::{
    AuditReport, Full, Holder, KeyRefusal, Principal, RecentCall, Spent, Store, StoreError, StoredCall, Used,
    audit::memory_law,
    balance::Purse,
    desk::Desk,
    holds::{Holds, Who},
    joined::{JoinedRequest, Keyed, keyed_call},
    lock::Lock,
    pepper::Pepper,
    queue::{Next, Pended, Queue, Sealed},
    retention::{Retention, Sweeper},
    rows::Committer,
    schema,
    sweep::sweep,
    tasks,
    writer::{Shared, Writer},
};

/// How the books are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BooksSettings {
    /// Slots of the holds file: calls that may run, or wait for their row, at once.
    pub slots: u32,
    /// For simulated time: no thread, no lock, no poll; `seal` commits on the caller.
    pub inline: bool,
}

impl Default for BooksSettings {
    /// 32,768 slots are 16 MiB of disk and three times the open streams that a small machine serves.
    fn default() -> Self {
        Self { slots: 32_768, inline: false }
    }
}

/// What the sweep at the start found and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Recovery {
    /// Calls that had an outcome but no row.
    pub recorded: u32,
    /// Calls cut by the crash that are charged for what was delivered.
    pub settled: u32,
    /// Calls cut by the crash that are not charged.
    pub released: u32,
    /// Slots whose call already had its row.
    pub freed: u32,
    /// Slots that could not be read; possible after a power cut only.
    pub damaged: u32,
}

/// The books of one gateway. Dropping them without [`Books::close`] is a crash: the next start ends what was left.
#[derive(Debug)]
pub struct Books {
    store: Store,
    pub(crate) pepper: Pepper,
    pub(crate) shared: Arc<Shared>,
    writing: Writing,
    /// Tasks have a connection of their own: each of their commits reaches the disk before it returns.
    pub(crate) tasks: Mutex<rusqlite::Connection>,
    /// Calls accepted and not sealed.
    running: AtomicUsize,
    /// The last to go: when another gateway may start, nothing here writes any more.
    _lock: Option<Lock>,
}

#[derive(Debug)]
enum Writing {
    Thread(Option<JoinHandle<()>>),
    Inline(Box<Mutex<Writer>>),
}

/// One accepted call's slot. Dropped without `seal`, it stays for the next start's sweep.
#[derive(Debug)]
#[must_use = "an accepted call must be sealed"]
pub struct Hold {
    id: RequestId,
    slot: u32,
    holds: Arc<Holds>,
    reserved: OnceLock<Reservation>,
    keyed: OnceLock<Keyed>,
}

#[derive(Debug)]
struct Reservation {
    purse: Arc<Purse>,
    held: Amount,
}

impl Hold {
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Notes how long the call waited for a limit, before it reserves: a call that a crash cuts belongs to the day in which it was admitted.
    pub fn waited(&self, ms: u32) {
        self.holds.slot(self.slot).waited(ms);
    }

    /// Notes the idempotency key under which the call must never be charged twice; to be called once, before it reserves. If the call is charged,
    /// also by the next start, the key becomes durable with its row.
    pub fn keyed(&self, keyed: Keyed) {
        self.holds.slot(self.slot).keyed(&keyed);
        let _ = self.keyed.set(keyed);
    }

    /// Notes what was delivered so far: whole events, their bytes, what they cost and what they used. A few plain stores; cheap enough for every event.
    pub fn progress(&self, events: u64, bytes: u64, amount: Amount, usage: Usage) {
        self.holds.slot(self.slot).progress(events, bytes, amount, usage);
    }
}

impl Books {
    /// Opens the books of `store`'s directory: takes its lock, ends what a crash left, reads balances and keys, starts the writer.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another gateway has the directory; otherwise what the disk or the database says.
    pub fn open(store: Store, settings: &BooksSettings, clock: Arc<dyn Clock>) -> Result<(Self, Recovery), StoreError> {
        let lock = (!settings.inline).then(|| Lock::take(store.dir())).transpose()?;
        let mut committer = Committer::new(schema::connect(store.dir())?);
        let recovery = sweep(&store, &mut committer, clock.now())?;
        let holds = Arc::new(Holds::open(store.dir(), settings.slots)?);
        let shared = Arc::new(Shared {
            holds,
            queue: Queue::default(),
            desk: Desk::default(),
            healthy: AtomicBool::new(true),
            retention: OnceLock::new(),
        });
        let sweeper = Sweeper::new(clock.now());
        let mut writer = Writer { committer, batch: Vec::new(), followed: None, edits: None, sweeper, clock };
        writer.follow_others(&shared)?;
        let tasks = Mutex::new(tasks::open(store.dir(), &shared.desk, writer.clock.now())?);
        let writing = if settings.inline {
            Writing::Inline(Box::new(Mutex::new(writer)))
        } else {
            Writing::Thread(Some(start(writer, &shared, store.dir())?))
        };
        let pepper = Pepper::open(store.dir())?;
        Ok((Self { store, pepper, shared, writing, tasks, running: AtomicUsize::new(0), _lock: lock }, recovery))
    }

    /// From now on rows that are older than this go, some at a time, by the thread that writes; to be said once. Inline books keep everything.
    pub fn retain(&self, terms: Retention) {
        let _ = self.shared.retention.set(terms);
    }

    /// Whom a key acts for. `source`: the client's address as far as it is known; a key bound to addresses is refused without one.
    pub fn principal(&self, key: &ApiKey, source: Option<IpAddr>, now: Timestamp) -> Result<Arc<Principal>, KeyRefusal> {
        self.shared.desk.principal(&self.pepper.hash(key), source, now)
    }

    /// Takes a slot for a call. Memory stores only.
    ///
    /// # Errors
    /// [`Full`] if as many calls run, or wait for their row, as there are slots.
    pub fn accept(&self, id: RequestId, route: Route) -> Result<Hold, Full> {
        let slot = self.shared.holds.take()?;
        self.shared.holds.slot(slot).accept(id, route);
        self.running.fetch_add(1, Ordering::Relaxed);
        Ok(Hold { id, slot, holds: Arc::clone(&self.shared.holds), reserved: OnceLock::new(), keyed: OnceLock::new() })
    }

    /// Holds `amount` on the balance, once for a call. A hold of zero always fits. Ready at once: only a store across a network would wait.
    ///
    /// # Errors
    /// [`Spent`] if less is free, or if this call holds something already.
    #[expect(clippy::unused_async, reason = "a store across a network waits here; the signature is the same for all")]
    pub async fn reserve(&self, hold: &Hold, by: &Principal, model: &str, stream: bool, amount: Amount) -> Result<Charge<Reserved>, Spent> {
        let purse = by.purse();
        purse.reserve(amount)?;
        if hold.reserved.set(Reservation { purse: Arc::clone(purse), held: amount }).is_err() {
            purse.end(amount, Amount::ZERO);
            return Err(Spent { balance: purse.free(), asked: amount });
        }
        let who = Who { kid: by.kid.as_str(), account: &by.account, group: by.group.as_deref().unwrap_or(""), model };
        self.shared.holds.slot(hold.slot).reserve(&who, stream, amount);
        Ok(Charge::reserve(hold.id, amount))
    }

    /// Ends a call: one call, one row; never waits. Also for calls that never reserved. From here on a crash loses nothing of it.
    pub fn seal(&self, hold: Hold, record: CallRecord) {
        let Hold { id, slot, mut reserved, mut keyed, .. } = hold;
        let reservation = reserved.take();
        let record = sound(id, reservation.as_ref(), record);
        self.shared.holds.slot(slot).end(&record);
        if let Some(Reservation { purse, held }) = &reservation {
            purse.end(*held, record.charge.amount);
        }
        self.running.fetch_sub(1, Ordering::Relaxed);
        let purse = reservation.map(|reservation| reservation.purse);
        self.push(Pended::Call(Box::new(Sealed { slot, purse, record, keyed: keyed.take() })));
    }

    /// Takes a request back that turned out to belong to another call: its slot is free at once, and it gets a row of its own among that call's
    /// requests. Never waits. `hold` must not have reserved.
    pub fn join(&self, hold: Hold, request: JoinedRequest) {
        let Hold { slot, reserved, .. } = hold;
        debug_assert!(reserved.get().is_none(), "a request that joins a call holds nothing");
        self.shared.holds.put_back(std::iter::once(slot));
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.joined(request);
    }

    /// Writes what is known now of a joined request; the last word of each id stands. Never waits.
    pub fn joined(&self, request: JoinedRequest) {
        self.push(Pended::Joined(request));
    }

    /// The keyed hash of these parts. What they say cannot be found from it without the pepper, which is not in the database.
    #[must_use]
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; 16] {
        self.pepper.digest(parts)
    }

    /// The call that was charged, or that submitted a task, under an idempotency key at or after `since`, and the hash of its request. Reads one row.
    pub fn keyed_call(&self, kid: &KeyId, key: &[u8; 16], since: Timestamp) -> Result<Option<(RequestId, [u8; 16])>, StoreError> {
        keyed_call(&self.store.db(), kid, key, since)
    }

    fn push(&self, row: Pended) {
        self.shared.queue.push(row);
        if let Writing::Inline(writer) = &self.writing {
            self.write_inline(writer);
        }
    }

    fn write_inline(&self, writer: &Mutex<Writer>) {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.queue.take(&mut writer.batch);
        let written = writer.write(&self.shared);
        self.shared.healthy.store(written.is_ok(), Ordering::Relaxed);
        if written.is_err() {
            self.shared.queue.failed();
        }
    }

    /// A call as [`Store::call`] shows it.
    pub fn call(&self, id: RequestId) -> Result<Option<StoredCall>, StoreError> {
        self.store.call(id)
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// [`Store::used`]: one read of the database, of a length that does not grow. Made for asking once for each holder, when it is first met.
    pub fn used(&self, of: &Holder<'_>, since: Timestamp) -> Result<Used, StoreError> {
        self.store.used(of, since)
    }

    /// [`Store::recent`] of the keys whose calls are of interest, for a gateway that starts. Where none is, no row is read, however many there are.
    pub fn recent(&self, since: Timestamp, of: impl Fn(&Principal) -> bool) -> Result<Vec<RecentCall>, StoreError> {
        let kids = self.shared.desk.kids(of);
        if kids.is_empty() { Ok(Vec::new()) } else { self.store.recent(since, &kids) }
    }

    /// What is free on an account (by id) now: credits − settled − held.
    #[must_use]
    pub fn balance(&self, account: &str) -> Option<Amount> {
        self.shared.desk.purse(account).map(|purse| purse.free())
    }

    /// Takes over keys and credits changed through a store at once; the thread does it within 200 ms, inline books only here.
    pub fn reload(&self) -> Result<(), StoreError> {
        self.shared.desk.reload(&self.store.db())
    }

    /// Until all that was sealed so far is committed; `false` if the database refuses at present (what was sealed is safe in its slots).
    pub async fn flush(&self) -> bool {
        if let Writing::Inline(writer) = &self.writing {
            self.write_inline(writer);
            return self.healthy();
        }
        self.shared.queue.flushed().await
    }

    /// [`Store::audit`], and whether the balances in memory are those of the rows. That last law is left out while rows are being written.
    pub fn audit(&self) -> Result<AuditReport, StoreError> {
        // No task ends meanwhile: its row and its purse change together.
        let _tasks = self.tasks_db();
        let mut report = self.store.audit()?;
        let before = self.shared.queue.counts();
        let rows = self.store.accounts()?;
        let memory: Vec<_> = self.shared.desk.purses().iter().map(|purse| (purse.account().to_owned(), purse.sums())).collect();
        let quiet = before.0 == before.1 && before == self.shared.queue.counts();
        if quiet {
            report.add(memory_law(&rows, &memory));
        }
        Ok(report)
    }

    /// Commits what is sealed and ends the thread. If the database refuses, the slots keep it for the next start.
    pub fn close(mut self) {
        match &self.writing {
            Writing::Inline(writer) => self.write_inline(writer),
            Writing::Thread(_) => self.end(Next::Close),
        }
    }

    /// Calls accepted and not sealed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether rows can be written. While they cannot, sealed calls keep their slots, and `accept` fails when none is left.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn shared_holds(&self) -> &Holds {
        &self.shared.holds
    }

    fn end(&mut self, how: Next) {
        if let Writing::Thread(thread) = &mut self.writing
            && let Some(thread) = thread.take()
        {
            self.shared.queue.end(how);
            // A writer that panicked has left its rows in their slots, as a crash does.
            let _ = thread.join();
        }
    }
}

impl Drop for Books {
    /// Writes nothing: it waits for the transaction that runs, so that the lock is not given away under it.
    fn drop(&mut self) {
        self.end(Next::Abandon);
    }
}

fn start(writer: Writer, shared: &Arc<Shared>, dir: &std::path::Path) -> Result<JoinHandle<()>, StoreError> {
    let shared = Arc::clone(shared);
    let named = std::thread::Builder::new().name("weir-writer".to_owned());
    named.spawn(move || writer.run(&shared)).map_err(StoreError::file("start the writer of", dir))
}

/// The record as its slot knows it: its id and its hold are the slot's, an account pays only what it reserved for, and nothing stays pending.
fn sound(id: RequestId, reservation: Option<&Reservation>, mut record: CallRecord) -> CallRecord {
    debug_assert_eq!(record.id, id, "a record is sealed into the slot of its own call");
    record.id = id;
    let charge = &mut record.charge;
    charge.amount = charge.amount.max(Amount::ZERO);
    if let Some(Reservation { purse, held }) = reservation {
        charge.held = *held;
        record.account = Some(purse.account().to_owned());
        charge.charged = match charge.charged {
            Charged::No => Charged::No,
            Charged::Yes | Charged::Refunded => Charged::Yes,
            // Whoever does not know, but names an amount, delivered something.
            Charged::Pending | Charged::Unknown if charge.amount > Amount::ZERO => Charged::Yes,
            Charged::Pending => Charged::No,
            Charged::Unknown => Charged::Unknown,
        };
    } else if record.route.may_be_a_task() && charge.rule.is_of_a_task() {
        // What its task holds and costs is the task's business, in the task's row.
        charge.amount = Amount::ZERO;
    } else {
        debug_assert_eq!(charge.charged, Charged::No, "a call that reserved nothing cannot be charged");
        charge.held = Amount::ZERO;
        if charge.charged != Charged::No {
            charge.charged = Charged::Unknown;
        }
    }
    if charge.charged != Charged::Yes {
        charge.amount = Amount::ZERO;
    }
    record
}
