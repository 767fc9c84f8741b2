//! What was counted as used is what the calls of the last days say. Older quarters are left out: no quota asks for them any more.

use std::collections::BTreeMap;

use rusqlite::Connection;
use weir_core::{CallRecord, RequestId, Timestamp};

use super::Law;
use crate::{
    StoreError,
    retention::kept_since,
    tally::{Counts, DAY_QUARTERS, QUARTER_MS, Tally, quarter},
};

/// Days before the newest call that are checked: today and yesterday of every zone.
const DAYS: i64 = 2;
/// Quarters before those in which a call may have arrived that was admitted in them.
const WAITED: i64 = 4;
/// Records in memory at once.
const CHUNK: usize = 512;

/// By kind, holder and quarter.
type Sums = BTreeMap<(String, String, i64), Counts>;

pub(super) fn usage_law(view: &Connection) -> Result<Law, StoreError> {
    let mut law = Law::new("what_was_used_is_what_the_calls_say");
    let newest: Option<[u8; 16]> = view.query_row("SELECT max(id) FROM calls", [], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(law) };
    let newest = quarter(RequestId::from_bytes(newest).at()) - DAYS * DAY_QUARTERS;
    // Where a call may be missing, or its count, there is nothing to compare.
    let calls = kept_since(view, "calls")?.map_or(newest, |at| quarter(at) + WAITED + 1);
    let usage = kept_since(view, "usage")?.map_or(newest, quarter);
    let first = newest.max(calls).max(usage);
    let (said, kept) = (said(view, first)?, kept(view, first)?);
    let name = |(kind, holder, quarter): &(String, String, i64)| {
        format!("{kind} {holder} {}", Timestamp(quarter.saturating_mul(QUARTER_MS)).rfc3339())
    };
    for (of, counts) in &said {
        if kept.get(of) != Some(counts) {
            law.broken_by(|| name(of));
        }
    }
    for of in kept.keys().filter(|of| !said.contains_key(*of)) {
        law.broken_by(|| name(of));
    }
    Ok(law)
}

/// What the records of the calls say.
fn said(view: &Connection, first: i64) -> Result<Sums, StoreError> {
    let mut sums = Sums::new();
    let from = RequestId::new(Timestamp((first - WAITED).saturating_mul(QUARTER_MS)), 0).to_bytes();
    // Rows older than the counting have no tokens.
    let mut calls = view.prepare("SELECT facts FROM calls WHERE id >= ?1 AND tokens IS NOT NULL")?;
    let mut rows = calls.query([&from[..]])?;
    let mut chunk: Vec<CallRecord> = Vec::with_capacity(CHUNK);
    loop {
        let row = rows.next()?;
        let last = row.is_none();
        if let Some(row) = row {
            let facts = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            // A row that cannot be read breaks another law.
            chunk.extend(serde_json::from_str::<CallRecord>(facts).ok());
        }
        if last || chunk.len() == CHUNK {
            let mut tally = Tally::default();
            chunk.iter().for_each(|call| tally.add(call));
            merge(view, &tally, &mut sums)?;
            chunk.clear();
        }
        if last {
            sums.retain(|(_, _, quarter), _| *quarter >= first);
            return Ok(sums);
        }
    }
}

fn merge(view: &Connection, tally: &Tally<'_>, sums: &mut Sums) -> Result<(), StoreError> {
    let mut add = |kind: &str, holder: &str, quarter, counts| {
        sums.entry((kind.to_owned(), holder.to_owned(), quarter)).or_default().add(counts);
    };
    for ((kind, holder, quarter), counts) in &tally.totals {
        add(kind, holder, *quarter, used(*counts));
    }
    let mut parent = view.prepare_cached("SELECT parent FROM keys WHERE kid = ?1 AND parent IS NOT NULL")?;
    for ((kid, quarter), counts) in tally.keys() {
        add("key", kid, quarter, counts);
        let mut rows = parent.query([kid])?;
        if let Some(row) = rows.next()?
            && counts.requests > 0
        {
            add("family", row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, quarter, used(counts));
        }
    }
    Ok(())
}

/// Totals do not count what was refused.
fn used(counts: Counts) -> Counts {
    Counts { refused: 0, early: 0, ..counts }
}

/// What the tables of usage say.
fn kept(view: &Connection, first: i64) -> Result<Sums, StoreError> {
    const QUERY: &str = "SELECT 'key', kid, quarter, requests, refused, early, tokens, amount FROM usage WHERE quarter >= ?1
        UNION ALL SELECT kind, holder, quarter, requests, 0, 0, tokens, amount FROM totals WHERE quarter >= ?1";
    let mut sums = Sums::new();
    let mut usage = view.prepare(QUERY)?;
    let mut rows = usage.query([first])?;
    while let Some(row) = rows.next()? {
        let counts = Counts { requests: row.get(3)?, refused: row.get(4)?, early: row.get(5)?, tokens: row.get(6)?, amount: row.get(7)? };
        sums.entry((row.get(0)?, row.get(1)?, row.get(2)?)).or_default().add(counts);
    }
    Ok(sums)
}
