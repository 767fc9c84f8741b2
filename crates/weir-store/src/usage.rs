//! What was used, read back: for a day's quota, for people who ask who called, and for a start that restores the last minutes.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, Rows};
use serde::Serialize;
use weir_core::{Amount, KeyId, RequestId, Timestamp};

use crate::{
    Store, StoreError,
    tally::{Counts, quarter},
};

/// Who has used something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder<'a> {
    /// A key, and the keys that were split from it.
    Key(&'a KeyId),
    /// An account, by id.
    Account(&'a str),
    Group(&'a str),
}

/// What counts against daily quotas: calls that were charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Used {
    pub requests: u64,
    /// Input and output together.
    pub tokens: u64,
    pub amount: Amount,
}

/// What one caller of a key did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallerUsage {
    /// What it calls itself, else its client; else [`CallerUsage::UNNAMED`], or [`CallerUsage::OTHER`].
    pub caller: String,
    /// Calls that were charged.
    pub requests: u64,
    /// Calls that a limit refused.
    pub refused: u64,
    /// Refused calls that came before the moment the caller had been told.
    pub early: u64,
    pub tokens: u64,
    pub amount: Amount,
}

impl CallerUsage {
    /// Who calls without a name.
    pub const UNNAMED: &str = "-";
    /// Who calls when a key has had 64 other callers on that day.
    pub const OTHER: &str = "other";
}

/// A call for which an upstream was asked a short while ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentCall {
    /// When it was admitted.
    pub at: Timestamp,
    pub kid: KeyId,
    /// The key from which its key was split.
    pub parent: Option<KeyId>,
    pub account: String,
    pub group: Option<String>,
    /// Input and output together.
    pub tokens: u64,
}

pub(crate) const OF_HOLDER: &str = "SELECT requests, tokens, amount FROM totals WHERE kind = ?1 AND holder = ?2 AND quarter >= ?3";
pub(crate) const OF_KEY: &str = "SELECT requests, tokens, amount FROM usage WHERE kid = ?1 AND quarter >= ?2";
/// Ids begin with the time of arrival, so what is older is not even looked at.
pub(crate) const NEWEST: &str = "SELECT admitted, kid, tokens FROM calls WHERE id >= ?1 ORDER BY id DESC LIMIT ?2";
pub(crate) const NEWEST_OF_KEY: &str = "SELECT admitted, kid, tokens FROM calls WHERE kid = ?3 AND id >= ?1 ORDER BY id DESC LIMIT ?2";

impl Store {
    /// Calls that [`Store::recent`] gives at most, and rows it looks at for them: a start must not take long after a storm of refusals.
    pub const MAX_RECENT: usize = 50_000;
    const MAX_RECENT_ROWS: u32 = 200_000;
    /// Up to so many keys are looked up one by one; for more, all rows of the last minutes are read.
    const FEW_KEYS: usize = 64;
    /// The longest that a call may have waited for its admission, in milliseconds, and still be found.
    const MAX_QUEUED_MS: i64 = 60_000;

    /// What was used since an instant, by calls admitted then or later; an instant within a quarter of an hour counts from that quarter's beginning.
    /// What is committed counts: calls that run, or ended within the last moments, are for the asker to add.
    pub fn used(&self, of: &Holder<'_>, since: Timestamp) -> Result<Used, StoreError> {
        let db = self.db();
        let view = db.unchecked_transaction()?;
        let since = quarter(since);
        let (kind, holder) = match *of {
            Holder::Key(kid) => ("family", kid.as_str()),
            Holder::Account(account) => ("account", account),
            Holder::Group(group) => ("group", group),
        };
        let mut sum = Counts::default();
        sum_up(&view, OF_HOLDER, (kind, holder, since), &mut sum)?;
        if let Holder::Key(kid) = of {
            sum_up(&view, OF_KEY, (kid.as_str(), since), &mut sum)?;
        }
        Ok(Used { requests: sum.requests.unsigned_abs(), tokens: sum.tokens.unsigned_abs(), amount: Amount(sum.amount) })
    }

    /// What each caller of one key did since an instant, those with most requests first. Calls of keys split from it are not among them.
    pub fn usage_of(&self, kid: &KeyId, since: Timestamp) -> Result<Vec<CallerUsage>, StoreError> {
        let db = self.db();
        let mut query =
            db.prepare_cached("SELECT caller, requests, refused, early, tokens, amount FROM usage WHERE kid = ?1 AND quarter >= ?2")?;
        let mut rows = query.query((kid.as_str(), quarter(since)))?;
        let mut callers: HashMap<String, Counts> = HashMap::new();
        while let Some(row) = rows.next()? {
            callers.entry(row.get(0)?).or_default().add(counts(row)?);
        }
        let mut callers: Vec<CallerUsage> = callers
            .into_iter()
            .map(|(caller, sum)| CallerUsage {
                caller,
                requests: sum.requests.unsigned_abs(),
                refused: sum.refused.unsigned_abs(),
                early: sum.early.unsigned_abs(),
                tokens: sum.tokens.unsigned_abs(),
                amount: Amount(sum.amount),
            })
            .collect();
        callers.sort_by(|a, b| (b.requests, b.refused, &a.caller).cmp(&(a.requests, a.refused, &b.caller)));
        Ok(callers)
    }

    /// Calls of these keys, admitted since an instant, for which an upstream was asked, oldest first; at most the newest [`Store::MAX_RECENT`].
    /// A call that a crash cut is among them if it had reserved.
    pub fn recent(&self, since: Timestamp, of: &HashSet<KeyId>) -> Result<Vec<RecentCall>, StoreError> {
        let first = RequestId::new(Timestamp(since.0.saturating_sub(Self::MAX_QUEUED_MS)), 0).to_bytes();
        let db = self.db();
        let view = db.unchecked_transaction()?;
        let mut recent = Recent { since, of, holders: HashMap::new(), calls: Vec::new() };
        if of.len() <= Self::FEW_KEYS {
            let mut query = view.prepare_cached(NEWEST_OF_KEY)?;
            for kid in of {
                recent.read(&view, query.query((&first[..], Self::MAX_RECENT_ROWS, kid.as_str()))?)?;
            }
        } else {
            recent.read(&view, view.prepare_cached(NEWEST)?.query((&first[..], Self::MAX_RECENT_ROWS))?)?;
        }
        let mut calls = recent.calls;
        calls.sort_by_key(|call| call.at);
        calls.drain(..calls.len().saturating_sub(Self::MAX_RECENT));
        Ok(calls)
    }
}

/// The recent calls that were found so far.
struct Recent<'a> {
    since: Timestamp,
    of: &'a HashSet<KeyId>,
    /// Whom the calls of each key count for, once looked up; `None` for keys that are not asked about.
    holders: HashMap<String, Option<RecentCall>>,
    calls: Vec<RecentCall>,
}

impl Recent<'_> {
    /// Takes rows of `admitted, kid, tokens`, the newest first, as many as there may be.
    fn read(&mut self, view: &Connection, mut rows: Rows<'_>) -> Result<(), StoreError> {
        let most = self.calls.len() + Store::MAX_RECENT;
        while let Some(row) = rows.next()? {
            let Some(at) = row.get::<_, Option<i64>>(0)?.filter(|at| *at >= self.since.0) else { continue };
            let Some(kid) = row.get_ref(1)?.as_str_or_null().map_err(rusqlite::Error::from)? else { continue };
            if !self.holders.contains_key(kid) {
                let asked = KeyId::new(kid).filter(|kid| self.of.contains(kid));
                let known = asked.map(|kid| read_holders(view, &kid)).transpose()?.flatten();
                self.holders.insert(kid.to_owned(), known);
            }
            let Some(Some(known)) = self.holders.get(kid) else { continue };
            let tokens = row.get::<_, Option<i64>>(2)?.unwrap_or(0).unsigned_abs();
            self.calls.push(RecentCall { at: Timestamp(at), tokens, ..known.clone() });
            if self.calls.len() == most {
                break;
            }
        }
        Ok(())
    }
}

fn sum_up(view: &Connection, query: &str, by: impl rusqlite::Params, sum: &mut Counts) -> Result<(), StoreError> {
    // Summed here and not by SQLite: its sum fails where it does not fit.
    let mut query = view.prepare_cached(query)?;
    let mut rows = query.query(by)?;
    while let Some(row) = rows.next()? {
        sum.add(Counts { requests: row.get(0)?, tokens: row.get(1)?, amount: row.get(2)?, ..Counts::default() });
    }
    Ok(())
}

/// Reads `requests, refused, early, tokens, amount` from the second column on.
pub(crate) fn counts(row: &Row<'_>) -> rusqlite::Result<Counts> {
    Ok(Counts { requests: row.get(1)?, refused: row.get(2)?, early: row.get(3)?, tokens: row.get(4)?, amount: row.get(5)? })
}

/// A call of this key, without its time and tokens: whom a key's calls count for never changes.
fn read_holders(view: &Connection, kid: &KeyId) -> Result<Option<RecentCall>, StoreError> {
    let mut key = view.prepare_cached("SELECT account, parent, grp FROM keys WHERE kid = ?1")?;
    let found = key.query_row([kid.as_str()], |row| {
        let parent = row.get_ref(1)?.as_str_or_null()?.and_then(KeyId::new);
        Ok(RecentCall { at: Timestamp::default(), kid: kid.clone(), parent, account: row.get(0)?, group: row.get(2)?, tokens: 0 })
    });
    Ok(found.optional()?)
}
