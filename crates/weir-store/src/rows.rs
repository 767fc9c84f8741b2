//! How ended calls become rows: one transaction for a group of calls, with their charges, their accounts' totals and what they used.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use weir_core::{Amount, CallRecord, Charged, KeyId, Timestamp, Verdict};

use crate::{
    StoreError,
    joined::{JoinedRequest, Keyed, write_joined, write_keyed},
    tally::{SeenCallers, Tally, admitted, tokens},
    tasks,
};

/// The one connection of a gateway that writes calls.
#[derive(Debug)]
pub(crate) struct Committer {
    db: Connection,
    /// Reused for every record's JSON.
    json: Vec<u8>,
    seen: SeenCallers,
}

/// SQLite would turn a sum that does not fit into a float; the audit finds a total that stopped at the border.
pub(crate) const SETTLE: &str = "UPDATE accounts SET settled = CASE WHEN settled > 9223372036854775807 - ?2 THEN 9223372036854775807 ELSE settled + ?2 END WHERE id = ?1";
pub(crate) const CHARGE: &str = "INSERT INTO ledger (id, kind, account, amount, at) VALUES (?1, 'charge', ?2, ?3, ?4)";

/// Which calls of a group had a row already, by their places in it.
pub(crate) type AlreadyRecorded = Vec<usize>;

impl Committer {
    pub(crate) fn new(db: Connection) -> Self {
        Self { db, json: Vec::new(), seen: SeenCallers::default() }
    }

    /// Writes every call that has no row yet, and every joined request, all of them or none.
    pub(crate) fn commit<'a>(
        &mut self,
        calls: impl Iterator<Item = (&'a CallRecord, Option<&'a Keyed>)>,
        joined: &[&JoinedRequest],
        now: Timestamp,
    ) -> Result<AlreadyRecorded, StoreError> {
        let Self { db, json, seen } = self;
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (calls, keyed): (Vec<&CallRecord>, Vec<Option<&Keyed>>) = calls.unzip();
        let submissions = tasks::submissions(&change, &calls)?;
        let calls = calls.into_iter().enumerate().map(|(place, call)| submissions.get(&place).unwrap_or(call)).zip(keyed);
        let mut tally = Tally::default();
        let known = write(&change, json, calls, &mut tally, now)?;
        tally.write(&change, seen)?;
        write_joined(&change, joined)?;
        change.commit()?;
        Ok(known)
    }

    /// A number that changes when another connection, here or in another process, commits.
    pub(crate) fn others_version(&self) -> Result<i64, StoreError> {
        Ok(self.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// A number that changes when keys or accounts do.
    pub(crate) fn edits(&self) -> Result<i64, StoreError> {
        Ok(self.db.prepare_cached("SELECT n FROM edits")?.query_row([], |row| row.get(0))?)
    }

    pub(crate) fn db(&self) -> &Connection {
        &self.db
    }

    pub(crate) fn db_mut(&mut self) -> &mut Connection {
        &mut self.db
    }
}

fn write<'a>(
    change: &Transaction<'_>,
    json: &mut Vec<u8>,
    calls: impl Iterator<Item = (&'a CallRecord, Option<&'a Keyed>)>,
    tally: &mut Tally<'a>,
    now: Timestamp,
) -> Result<AlreadyRecorded, StoreError> {
    let mut row = change.prepare_cached(
        "INSERT INTO calls (id, at, kid, account, verdict, status, facts, admitted, tokens) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO NOTHING",
    )?;
    let mut line = change.prepare_cached(CHARGE)?;
    let mut known = Vec::new();
    let mut totals: HashMap<&str, Amount> = HashMap::new();
    for (place, (call, keyed)) in calls.enumerate() {
        json.clear();
        serde_json::to_writer(&mut *json, call).map_err(|_| StoreError::NotAValue { what: "a record", why: "it has no JSON" })?;
        let facts = std::str::from_utf8(json).map_err(|_| StoreError::NotAValue { what: "a record", why: "it is not text" })?;
        let id = call.id.to_bytes();
        let kid = call.kid.as_ref().map(KeyId::as_str);
        let (account, verdict) = (call.account.as_deref(), call.verdict.code());
        let asked = asked(call).then(|| admitted(call).0);
        let written = row.execute((&id[..], call.at.0, kid, account, verdict, call.status, facts, asked, tokens(call)))?;
        if written == 0 {
            known.push(place);
            continue;
        }
        tally.add(call);
        // A task's line was written when the task ended.
        if call.charge.charged == Charged::Yes && !call.charge.rule.is_of_a_task() {
            let account = account.unwrap_or_default();
            line.execute((&id[..], account, call.charge.amount.0, now.0))?;
            if let (Some(keyed), Some(kid)) = (keyed, kid) {
                write_keyed(change, kid, keyed, call.id, call.at)?;
            }
            let total = totals.entry(account).or_default();
            *total = Amount(total.0.saturating_add(call.charge.amount.0));
        }
    }
    let mut settle = change.prepare_cached(SETTLE)?;
    for (account, total) in totals {
        settle.execute((account, total.0))?;
    }
    Ok(known)
}

/// Whether an upstream was asked, or may have been: a slot does not list attempts, so a call that a crash cut after its reservation counts.
fn asked(call: &CallRecord) -> bool {
    let cut = call.verdict == Verdict::GatewayRestarted && call.kid.is_some();
    !call.attempts.is_empty() || call.charge.charged == Charged::Yes || cut
}
