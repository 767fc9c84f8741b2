//! What goes when it is old, a little at a time: by the writer's thread, in transactions so short that nobody waits for one.
//!
//! A call goes with all that is about it: its joined requests, its task, its charge. The charge is carried forward into its account's sum by the
//! database itself (`schema.rs`), so a balance is what it was and the audit can still tell. What is open stays, however old it is.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use weir_core::{RequestId, Timestamp};

use crate::{
    StoreError,
    joined::KNOWN_MS,
    tally::{QUARTER_MS, quarter},
};

/// How long the rows of each table are kept, and how large the database may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Calls, with their charges.
    pub calls: Duration,
    /// Tasks that have ended; no longer than their calls.
    pub tasks: Duration,
    /// Requests that joined a call; no longer than the call.
    pub requests: Duration,
    /// What keys, accounts and groups used, by the quarter of an hour.
    pub usage: Duration,
    /// What the rows take of the disk: beyond it the oldest calls go before their time.
    pub bytes: u64,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Retention {
    /// A quarter of a year is what a bill is asked about; a year and a month of usage compares a month with the same one a year ago.
    fn default() -> Self {
        Self { calls: 90 * DAY, tasks: 90 * DAY, requests: 30 * DAY, usage: 400 * DAY, bytes: 16 << 30 }
    }
}

impl Retention {
    /// Nothing goes sooner: limits, idempotency keys and the audit ask for today and yesterday of every zone.
    pub const LEAST: Duration = Duration::from_secs(3 * 86_400);
}

/// Rows of one transaction: about five milliseconds.
const BATCH: u32 = 256;
/// Pages given back to the disk at once: 2 MiB.
const PAGES: u32 = 256;
/// Free pages that are kept for what comes: one of so many, and at least so many.
const SPARE_SHARE: u64 = 8;
const SPARE_LEAST: u64 = 128;
/// Between two passes over the tables, and from a start to the first.
const PASS_MS: i64 = 3_600_000;
const FIRST_MS: i64 = 10_000;
/// Between two transactions of one pass: rows go faster than calls come, and the disk is never only theirs.
pub(crate) const PAUSE: Duration = Duration::from_millis(25);

pub(crate) const OLD_CALLS: &str = "SELECT id FROM calls WHERE id < ?1 AND NOT EXISTS (SELECT 1 FROM tasks WHERE call = calls.id AND charged = 'pending') ORDER BY id LIMIT ?2";
pub(crate) const OLD_TASKS: &str =
    "DELETE FROM tasks WHERE call IN (SELECT call FROM tasks WHERE call < ?1 AND charged <> 'pending' ORDER BY call LIMIT ?2)";
pub(crate) const OLD_REQUESTS: &str = "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE id < ?1 ORDER BY id LIMIT ?2)";
pub(crate) const OLD_USAGE: &str = "DELETE FROM usage WHERE (kid, quarter, caller) IN
    (SELECT kid, quarter, caller FROM usage WHERE quarter < ?1 ORDER BY quarter LIMIT ?2)";
pub(crate) const OLD_TOTALS: &str = "DELETE FROM totals WHERE (kind, holder, quarter) IN
    (SELECT kind, holder, quarter FROM totals WHERE quarter < ?1 ORDER BY quarter LIMIT ?2)";
pub(crate) const OLD_KEYED: &str = "DELETE FROM keyed WHERE (kid, key) IN (SELECT kid, key FROM keyed WHERE at < ?1 ORDER BY at LIMIT ?2)";
/// All that is about one call. The call first: a charge whose call is there is never erased.
pub(crate) const OF_CALL: [&str; 4] = [
    "DELETE FROM calls WHERE id = ?1",
    "DELETE FROM ledger WHERE id = ?1 AND kind = 'charge'",
    "DELETE FROM requests WHERE call = ?1",
    "DELETE FROM tasks WHERE call = ?1",
];

/// What a pass works on, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Requests,
    Tasks,
    Calls,
    Usage,
    Totals,
    Keyed,
    Pages,
}

impl Part {
    fn next(self) -> Option<Self> {
        Some(match self {
            Self::Requests => Self::Tasks,
            Self::Tasks => Self::Calls,
            Self::Calls => Self::Usage,
            Self::Usage => Self::Totals,
            Self::Totals => Self::Keyed,
            Self::Keyed => Self::Pages,
            Self::Pages => return None,
        })
    }
}

/// Where the work stands.
#[derive(Debug)]
pub(crate) struct Sweeper {
    /// What is worked on; `None` between two passes.
    at: Option<Part>,
    due: Timestamp,
}

impl Sweeper {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { at: None, due: Timestamp(now.0.saturating_add(FIRST_MS)) }
    }

    /// Does one transaction's worth if a pass is due; whether more is to be done soon.
    pub(crate) fn step(&mut self, db: &mut Connection, terms: &Retention, now: Timestamp) -> bool {
        let Some(part) = self.at.or_else(|| (now >= self.due).then_some(Part::Requests)) else { return false };
        self.at = match done(db, part, terms, now) {
            Ok(false) => Some(part),
            Ok(true) => part.next(),
            // Nothing is lost but time: the rows are as old in an hour.
            Err(_) => None,
        };
        if self.at.is_none() {
            self.due = Timestamp(now.0.saturating_add(PASS_MS));
        }
        self.at.is_some()
    }
}

fn before(now: Timestamp, kept: Duration) -> Timestamp {
    let kept = kept.max(Retention::LEAST).as_millis();
    Timestamp(now.0.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX)))
}

fn first_id(at: Timestamp) -> [u8; 16] {
    RequestId::new(at, 0).to_bytes()
}

/// One transaction of a part; whether nothing more is to be done there.
fn done(db: &mut Connection, part: Part, terms: &Retention, now: Timestamp) -> Result<bool, StoreError> {
    if part == Part::Pages {
        return pages(db);
    }
    // What goes with its call must not outlive it.
    let with_call = |kept: Duration| first_id(before(now, kept.min(terms.calls)));
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let gone = match part {
        Part::Requests => erase(&change, OLD_REQUESTS, &with_call(terms.requests)[..])?,
        Part::Tasks => erase(&change, OLD_TASKS, &with_call(terms.tasks)[..])?,
        Part::Calls => calls(&change, terms, now)?,
        Part::Usage => {
            let first = quarter(before(now, terms.usage));
            mark(&change, "usage", Timestamp(first.saturating_mul(QUARTER_MS)))?;
            erase(&change, OLD_USAGE, first)?
        }
        Part::Totals => erase(&change, OLD_TOTALS, quarter(before(now, terms.usage)))?,
        Part::Keyed => erase(&change, OLD_KEYED, now.0.saturating_sub(KNOWN_MS))?,
        Part::Pages => 0,
    };
    change.commit()?;
    Ok(gone < BATCH as usize)
}

fn erase(change: &Transaction<'_>, query: &str, before: impl rusqlite::ToSql) -> Result<usize, StoreError> {
    Ok(change.prepare_cached(query)?.execute((before, BATCH))?)
}

/// Calls whose time is over, else the oldest if there is no room; both with all that is about them.
fn calls(change: &Transaction<'_>, terms: &Retention, now: Timestamp) -> Result<usize, StoreError> {
    let mut old = oldest(change, before(now, terms.calls))?;
    if old.is_empty() && used_bytes(change)? > terms.bytes {
        old = oldest(change, before(now, Retention::LEAST))?;
    }
    let Some(last) = old.last() else { return Ok(0) };
    mark(change, "calls", Timestamp(RequestId::from_bytes(*last).at().0.saturating_add(1)))?;
    for query in OF_CALL {
        let mut erase = change.prepare_cached(query)?;
        for id in &old {
            erase.execute([&id[..]])?;
        }
    }
    Ok(old.len())
}

fn oldest(change: &Transaction<'_>, before: Timestamp) -> Result<Vec<[u8; 16]>, StoreError> {
    let mut query = change.prepare_cached(OLD_CALLS)?;
    let ids = query.query_map((&first_id(before)[..], BATCH), |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Notes before when rows may be missing, so that the audit does not miss them.
fn mark(change: &Transaction<'_>, table: &str, before: Timestamp) -> Result<(), StoreError> {
    let mut row = change.prepare_cached("INSERT INTO kept_since VALUES (?1, ?2) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)")?;
    row.execute((table, before.0))?;
    Ok(())
}

/// Since when a table has all its rows; `None`: since ever.
pub(crate) fn kept_since(db: &Connection, table: &str) -> Result<Option<Timestamp>, StoreError> {
    let mut row = db.prepare_cached("SELECT at FROM kept_since WHERE tab = ?1")?;
    Ok(row.query_row([table], |row| row.get(0)).optional()?.map(Timestamp))
}

fn number(db: &Connection, name: &str) -> Result<u64, StoreError> {
    let number: i64 = db.prepare_cached(&format!("PRAGMA {name}"))?.query_row([], |row| row.get(0))?;
    Ok(number.unsigned_abs())
}

pub(crate) fn used_bytes(db: &Connection) -> Result<u64, StoreError> {
    let pages = number(db, "page_count")?.saturating_sub(number(db, "freelist_count")?);
    Ok(pages.saturating_mul(number(db, "page_size")?))
}

/// Gives some free pages back to the disk; whether only those are left that soon have rows again.
fn pages(db: &Connection) -> Result<bool, StoreError> {
    let spare = |db: &Connection| Ok::<_, StoreError>((number(db, "page_count")? / SPARE_SHARE).max(SPARE_LEAST));
    let before = number(db, "freelist_count")?;
    if before <= spare(db)? {
        return Ok(true);
    }
    let mut give = db.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = give.query([])?;
    // Each step gives back one page.
    while rows.next()?.is_some() {}
    let after = number(db, "freelist_count")?;
    // A database that was made by an older weir keeps its size, and fills it.
    Ok(after == before || after <= spare(db)?)
}
