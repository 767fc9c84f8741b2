//! Calls as they are read back: committed rows, and slots whose rows are not written yet.

use std::{collections::HashSet, time::Duration};

use rusqlite::{Connection, OptionalExtension, types::Value};
use serde::Serialize;
use weir_core::{CallRecord, KeyId, RequestId, TaskRecord, Timestamp, Verdict};

use crate::{
    JoinedRequest, LedgerEntry, Store, StoreError,
    account::lines_of,
    holds::{self, Found, SlotState},
    joined::{call_of, requests_of},
    tasks,
};

/// How far the record of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Has no outcome yet: its verdict is `ChargePending`, its charge `pending`.
    Running,
    /// Has its outcome in the holds file; the row follows.
    Ended,
    /// Has its row.
    Recorded,
}

/// One call and its ledger lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredCall {
    pub state: CallState,
    pub record: CallRecord,
    pub ledger: Vec<LedgerEntry>,
    /// Requests that joined it or got its replay, oldest first, at most [`StoredCall::REQUESTS`].
    pub requests: Vec<JoinedRequest>,
    /// The task that it submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<TaskRecord>>,
}

impl StoredCall {
    pub const REQUESTS: u32 = 1_000;
}

/// Which calls are asked for; newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFilter {
    pub kid: Option<KeyId>,
    /// Account id.
    pub account: Option<String>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    pub verdict: Option<Verdict>,
    /// At most this many rows; 0 means [`CallFilter::DEFAULT_LIMIT`]. `count` ignores it.
    pub limit: u32,
}

impl CallFilter {
    pub const DEFAULT_LIMIT: u32 = 100;
    pub const MAX_LIMIT: u32 = 10_000;

    /// The condition on rows, and its values.
    fn condition(&self) -> (String, Vec<Value>) {
        let mut terms = vec!["1".to_owned()];
        let mut values = Vec::new();
        let mut term = |text: &str, value: Value| {
            values.push(value);
            terms.push(text.replace('#', &values.len().to_string()));
        };
        if let Some(kid) = &self.kid {
            term("kid = ?#", kid.as_str().to_owned().into());
        }
        if let Some(account) = &self.account {
            term("account = ?#", account.clone().into());
        }
        if let Some(since) = self.since {
            term("id >= ?#", RequestId::new(since, 0).to_bytes().to_vec().into());
        }
        match self.verdict {
            Some(Verdict::Ok) => term("verdict = ?#", Verdict::Ok.code().to_owned().into()),
            // The second half lets SQLite use the index of calls that are not well.
            Some(verdict) => term("verdict = ?# AND verdict <> 'W-OK-001'", verdict.code().to_owned().into()),
            None => {}
        }
        (terms.join(" AND "), values)
    }

    fn matches(&self, call: &CallRecord) -> bool {
        self.kid.as_ref().is_none_or(|kid| call.kid.as_ref() == Some(kid))
            && self.account.as_ref().is_none_or(|account| call.account.as_ref() == Some(account))
            && self.since.is_none_or(|since| call.id.at() >= since)
            && self.verdict.is_none_or(|verdict| call.verdict == verdict)
    }

    fn limit(&self) -> usize {
        let asked = if self.limit == 0 { Self::DEFAULT_LIMIT } else { self.limit };
        asked.min(Self::MAX_LIMIT) as usize
    }
}

/// How long a query waits for the writer to commit what has ended already: many times its usual 20 ms.
const WRITER_WAIT: Duration = Duration::from_millis(200);
const WRITER_STEP: Duration = Duration::from_millis(2);

impl Store {
    /// One call, by the id of any of its requests: its row, or what its slot says if it still runs or has just ended.
    pub fn call(&self, id: RequestId) -> Result<Option<StoredCall>, StoreError> {
        if let Some(call) = self.call_begun_by(id)? {
            return Ok(Some(call));
        }
        let joined = call_of(&self.db(), id)?;
        joined.map_or(Ok(None), |call| self.call_begun_by(call))
    }

    fn call_begun_by(&self, id: RequestId) -> Result<Option<StoredCall>, StoreError> {
        if let Some(call) = row_of(&self.db(), id)? {
            return Ok(Some(call));
        }
        let ended = self.ended_without_row(|found| found.record.id == id)?;
        // Asked again: it may have got its row between the two looks.
        if let Some(call) = row_of(&self.db(), id)? {
            return Ok(Some(call));
        }
        if let Some(record) = ended.into_iter().next() {
            return Ok(Some(unrecorded(&self.db(), CallState::Ended, record)?));
        }
        let running = holds::read(self.dir())?.0.into_iter().find(|found| found.record.id == id);
        running
            .map(|found| {
                let state = if found.state == SlotState::Ended { CallState::Ended } else { CallState::Running };
                unrecorded(&self.db(), state, found.record)
            })
            .transpose()
    }

    /// Calls that have ended, newest first. A call whose answer was sent is among them, row or not.
    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<StoredCall>, StoreError> {
        let waiting = self.ended_without_row(|found| filter.matches(&found.record))?;
        let db = self.db();
        let (condition, mut values) = filter.condition();
        values.push(i64::try_from(filter.limit()).unwrap_or(i64::MAX).into());
        let mut query =
            db.prepare_cached(&format!("SELECT facts FROM calls WHERE {condition} ORDER BY id DESC LIMIT ?{}", values.len()))?;
        let mut rows = query.query(rusqlite::params_from_iter(values))?;
        let mut calls = Vec::new();
        while let Some(row) = rows.next()? {
            calls.push(recorded(&db, row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
        }
        let seen: HashSet<RequestId> = calls.iter().map(|call| call.record.id).collect();
        for record in waiting {
            if !seen.contains(&record.id) && !has_row(&db, record.id)? {
                calls.push(unrecorded(&db, CallState::Ended, record)?);
            }
        }
        calls.sort_by_key(|call| std::cmp::Reverse(call.record.id));
        calls.truncate(filter.limit());
        Ok(calls)
    }

    /// How many calls have ended that match, whatever the filter's limit.
    pub fn count(&self, filter: &CallFilter) -> Result<u64, StoreError> {
        let waiting = self.ended_without_row(|found| filter.matches(&found.record))?;
        let db = self.db();
        let view = db.unchecked_transaction()?;
        let (condition, values) = filter.condition();
        let mut query = view.prepare_cached(&format!("SELECT count(*) FROM calls WHERE {condition}"))?;
        let rows: i64 = query.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
        let mut count = rows.unsigned_abs();
        for record in waiting {
            count += u64::from(!has_row(&view, record.id)?);
        }
        Ok(count)
    }

    /// Calls that have ended and whose rows did not come within 200 ms: none while a gateway runs well.
    fn ended_without_row(&self, wanted: impl Fn(&Found) -> bool) -> Result<Vec<CallRecord>, StoreError> {
        let mut ended: Option<HashSet<RequestId>> = None;
        let mut waited = Duration::ZERO;
        loop {
            let mut found = holds::read_ended(self.dir())?;
            // One that was freed and taken again between two looks runs now.
            found.retain(|found| found.state == SlotState::Ended && wanted(found));
            // Those that end while this waits are not waited for.
            let first = ended.get_or_insert_with(|| found.iter().map(|found| found.record.id).collect());
            found.retain(|found| first.contains(&found.record.id));
            if found.is_empty() || waited >= WRITER_WAIT {
                return Ok(found.into_iter().map(|found| found.record).collect());
            }
            std::thread::sleep(WRITER_STEP);
            waited += WRITER_STEP;
        }
    }
}

fn has_row(db: &Connection, id: RequestId) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM calls WHERE id = ?1")?.exists([&id.to_bytes()[..]])?)
}

fn row_of(db: &Connection, id: RequestId) -> Result<Option<StoredCall>, StoreError> {
    let mut query = db.prepare_cached("SELECT facts FROM calls WHERE id = ?1")?;
    let facts: Option<String> = query.query_row([&id.to_bytes()[..]], |row| row.get(0)).optional()?;
    facts.map(|facts| recorded(db, &facts)).transpose()
}

fn recorded(db: &Connection, facts: &str) -> Result<StoredCall, StoreError> {
    let record: CallRecord = serde_json::from_str(facts).map_err(|_| StoreError::Damaged { what: "the record of a call" })?;
    let ledger = lines_of(db, record.id)?;
    let requests = requests_of(db, record.id)?;
    let task = tasks::of_call(db, &record)?;
    Ok(StoredCall { state: CallState::Recorded, record, ledger, requests, task })
}

/// A call without a row.
fn unrecorded(db: &Connection, state: CallState, record: CallRecord) -> Result<StoredCall, StoreError> {
    let requests = requests_of(db, record.id)?;
    let task = tasks::of_call(db, &record)?;
    Ok(StoredCall { state, record, ledger: Vec::new(), requests, task })
}
