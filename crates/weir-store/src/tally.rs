//! What a group of calls adds to the usage of keys, accounts and groups: summed in memory first, so that a commit costs few statements.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::Transaction;
use weir_core::{Amount, CallRecord, Charged, KeyId, Timestamp};

use crate::{CallerUsage, StoreError};

/// A quarter of an hour, in milliseconds: every zone's midnight of today lies on one.
pub(crate) const QUARTER_MS: i64 = 900_000;
/// Quarters of a day, and the days by which callers are counted: UTC's.
pub(crate) const DAY_QUARTERS: i64 = 96;
/// Callers of one key and day that are told apart; the rest share [`CallerUsage::OTHER`].
const MAX_CALLERS: usize = 64;
/// Characters of a caller's name that are kept.
const MAX_CALLER: usize = 64;

/// Which quarter an instant lies in.
pub(crate) fn quarter(at: Timestamp) -> i64 {
    at.0.div_euclid(QUARTER_MS)
}

/// When a call was let in: it arrived, and waited for a limit perhaps.
pub(crate) fn admitted(call: &CallRecord) -> Timestamp {
    Timestamp(call.at.0.saturating_add(i64::from(call.timing.queued.unwrap_or(0))))
}

/// What a call takes from a limit on tokens.
pub(crate) fn tokens(call: &CallRecord) -> i64 {
    let usage = call.charge.usage;
    i64::try_from(usage.input.saturating_add(usage.output)).unwrap_or(i64::MAX)
}

/// Who called, as far as the request says.
fn caller(call: &CallRecord) -> &str {
    let named = [&call.client.caller, &call.client.name].into_iter().flatten().find(|name| !name.is_empty());
    let name = named.map_or(CallerUsage::UNNAMED, String::as_str);
    name.char_indices().nth(MAX_CALLER).map_or(name, |(end, _)| &name[..end])
}

/// What calls did. Sums stop at the border instead of becoming floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) requests: i64,
    pub(crate) refused: i64,
    pub(crate) early: i64,
    pub(crate) tokens: i64,
    pub(crate) amount: i64,
}

impl Counts {
    /// A call that is not charged was given back: it takes nothing from a day's quota.
    pub(crate) fn of(call: &CallRecord) -> Self {
        let refused = i64::from(call.limit.is_some());
        let early = i64::from(call.limit.as_ref().is_some_and(|limit| limit.early > 0));
        if call.charge.charged != Charged::Yes {
            return Self { refused, early, ..Self::default() };
        }
        Self { requests: 1, refused, early, tokens: tokens(call), amount: call.charge.amount.max(Amount::ZERO).0 }
    }

    pub(crate) fn add(&mut self, more: Self) {
        for (sum, more) in [
            (&mut self.requests, more.requests),
            (&mut self.refused, more.refused),
            (&mut self.early, more.early),
            (&mut self.tokens, more.tokens),
            (&mut self.amount, more.amount),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Whether it takes something from a quota.
    fn is_use(&self) -> bool {
        self.requests > 0
    }
}

/// What a group of calls did, by whom. Sorted, so that rows are touched in their own order.
#[derive(Debug, Default)]
pub(crate) struct Tally<'a> {
    pub(crate) callers: BTreeMap<(&'a str, i64, &'a str), Counts>,
    /// By kind, holder and quarter; only what was used.
    pub(crate) totals: BTreeMap<(&'static str, &'a str, i64), Counts>,
}

impl<'a> Tally<'a> {
    pub(crate) fn add(&mut self, call: &'a CallRecord) {
        let quarter = quarter(admitted(call));
        let counts = Counts::of(call);
        if counts == Counts::default() {
            return;
        }
        if let Some(kid) = call.kid.as_ref().map(KeyId::as_str) {
            self.callers.entry((kid, quarter, caller(call))).or_default().add(counts);
        }
        for (kind, holder) in [("account", &call.account), ("group", &call.group)] {
            if let Some(holder) = holder.as_deref().filter(|_| counts.is_use()) {
                self.totals.entry((kind, holder, quarter)).or_default().add(counts);
            }
        }
    }

    /// What each key did in each quarter, whoever called.
    pub(crate) fn keys(&self) -> BTreeMap<(&'a str, i64), Counts> {
        let mut keys: BTreeMap<_, Counts> = BTreeMap::new();
        for ((kid, quarter, _), counts) in &self.callers {
            keys.entry((*kid, *quarter)).or_default().add(*counts);
        }
        keys
    }

    pub(crate) fn write(&self, change: &Transaction<'_>, seen: &mut SeenCallers) -> Result<(), StoreError> {
        // A sum that does not fit would become a float, and the row would be refused for ever: it stops at the border.
        let mut usage = change.prepare_cached(
            "INSERT INTO usage (kid, quarter, caller, requests, refused, early, tokens, amount) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET requests = requests + ?4, refused = refused + ?5, early = early + ?6,
             tokens = tokens + min(?7, 9223372036854775807 - tokens), amount = amount + min(?8, 9223372036854775807 - amount)",
        )?;
        for ((kid, quarter, caller), sum) in &self.callers {
            let caller = seen.name(change, kid, quarter.div_euclid(DAY_QUARTERS), caller)?;
            usage.execute((kid, quarter, caller, sum.requests, sum.refused, sum.early, sum.tokens, sum.amount))?;
        }
        let mut totals = change.prepare_cached(
            "INSERT INTO totals (kind, holder, quarter, requests, tokens, amount) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET requests = requests + ?4,
             tokens = tokens + min(?5, 9223372036854775807 - tokens), amount = amount + min(?6, 9223372036854775807 - amount)",
        )?;
        for ((kind, holder, quarter), sum) in &self.totals {
            totals.execute((kind, holder, quarter, sum.requests, sum.tokens, sum.amount))?;
        }
        let mut parent = change.prepare_cached("SELECT parent FROM keys WHERE kid = ?1 AND parent IS NOT NULL")?;
        for ((kid, quarter), sum) in self.keys().iter().filter(|(_, sum)| sum.is_use()) {
            let mut rows = parent.query([kid])?;
            if let Some(row) = rows.next()? {
                let family = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
                totals.execute(("family", family, quarter, sum.requests, sum.tokens, sum.amount))?;
            }
        }
        Ok(())
    }
}

/// Which callers of which keys have rows of their own today. A memory of what the database says: it may be dropped at any time.
#[derive(Debug, Default)]
pub(crate) struct SeenCallers {
    /// By day, then by key.
    days: BTreeMap<i64, HashMap<String, HashSet<String>>>,
}

impl SeenCallers {
    /// Calls that waited or ran over midnight belong to the day before.
    const MAX_DAYS: usize = 2;
    /// Keys of a day that are remembered; with more, all are asked for anew.
    const MAX_KEYS: usize = 4096;

    /// The name under which a caller is counted: its own, or [`CallerUsage::OTHER`] if the day has as many as it may.
    fn name<'a>(&mut self, change: &Transaction<'_>, kid: &str, day: i64, caller: &'a str) -> Result<&'a str, StoreError> {
        if !self.days.contains_key(&day) && self.days.len() >= Self::MAX_DAYS {
            self.days.pop_first();
        }
        let keys = self.days.entry(day).or_default();
        if !keys.contains_key(kid) {
            if keys.len() >= Self::MAX_KEYS {
                keys.clear();
            }
            let mut known = change.prepare_cached("SELECT DISTINCT caller FROM usage WHERE kid = ?1 AND quarter >= ?2 AND quarter < ?3")?;
            let from = day.saturating_mul(DAY_QUARTERS);
            let rows = known.query_map((kid, from, from.saturating_add(DAY_QUARTERS)), |row| row.get(0))?;
            keys.insert(kid.to_owned(), rows.collect::<Result<_, _>>()?);
        }
        let Some(names) = keys.get_mut(kid) else { return Ok(caller) };
        if caller == CallerUsage::OTHER || names.contains(caller) {
            return Ok(caller);
        }
        // `other` itself does not take the place of a caller.
        if names.len() - usize::from(names.contains(CallerUsage::OTHER)) >= MAX_CALLERS {
            return Ok(CallerUsage::OTHER);
        }
        names.insert(caller.to_owned());
        Ok(caller)
    }
}
