//! The laws of the ledger, checked on a live store.

mod usage;

use std::collections::HashMap;

use rusqlite::Connection;
use serde::Serialize;
use weir_core::RequestId;

use self::usage::usage_law;
use crate::{Account, Store, StoreError, balance::Sums, holds};

/// One law and what breaks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Law {
    pub name: &'static str,
    pub ok: bool,
    /// The first [`Law::SHOWN`] violations, as ids.
    pub violations: Vec<String>,
    /// How many there are in all.
    pub count: u64,
}

impl Law {
    pub const SHOWN: usize = 20;
}

/// What `weir audit` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    pub ok: bool,
    /// Calls with a row, and accounts.
    pub calls: u64,
    pub accounts: u64,
    /// Calls that run now, or wait for the next start if no gateway runs.
    pub in_flight: u64,
    pub laws: Vec<Law>,
}

impl AuditReport {
    pub(crate) fn add(&mut self, law: Law) {
        self.ok &= law.ok;
        self.laws.push(law);
    }
}

impl Law {
    fn new(name: &'static str) -> Self {
        Self { name, ok: true, violations: Vec::new(), count: 0 }
    }

    fn broken_by(&mut self, what: impl FnOnce() -> String) {
        self.ok = false;
        self.count += 1;
        if self.violations.len() < Self::SHOWN {
            self.violations.push(what());
        }
    }
}

/// Laws that one query each finds the breakers of: the id of a call or of a line.
const QUERIES: [(&str, &str); 10] = [
    ("no_call_is_charged_twice", "SELECT id FROM ledger WHERE kind = 'charge' GROUP BY id HAVING count(*) > 1"),
    (
        "every_charge_has_its_call",
        "SELECT l.id FROM ledger l LEFT JOIN calls c ON c.id = l.id WHERE l.kind = 'charge' AND c.id IS NULL",
    ),
    (
        "every_charged_call_has_its_charge",
        "SELECT c.id FROM calls c LEFT JOIN ledger l ON l.id = c.id AND l.kind = 'charge'
         WHERE l.id IS NULL AND c.facts ->> '$.charge.charged' IN ('yes', 'refunded')",
    ),
    (
        "a_charge_is_what_its_record_says",
        "SELECT c.id FROM ledger l JOIN calls c ON c.id = l.id WHERE l.kind = 'charge' AND
         (c.facts ->> '$.charge.charged' NOT IN ('yes', 'refunded') OR c.facts ->> '$.charge.amount' IS NOT l.amount OR c.account IS NOT l.account)",
    ),
    (
        "a_row_is_what_its_record_says",
        "SELECT id FROM calls WHERE facts ->> '$.verdict' IS NOT verdict OR facts ->> '$.status' IS NOT status OR facts ->> '$.kid' IS NOT kid
         OR facts ->> '$.account' IS NOT account OR facts ->> '$.at' IS NOT at",
    ),
    (
        "every_charged_idempotency_key_names_its_call",
        "SELECT k.call FROM keyed k LEFT JOIN calls c ON c.id = k.call LEFT JOIN tasks t ON t.call = k.call WHERE coalesce(t.kid, c.kid) IS NOT k.kid
         OR (t.call IS NULL AND c.facts ->> '$.charge.charged' NOT IN ('yes', 'refunded'))",
    ),
    (
        "nothing_that_ended_is_pending",
        "SELECT id FROM calls WHERE facts ->> '$.charge.charged' = 'pending' AND id NOT IN (SELECT call FROM tasks WHERE charged = 'pending')",
    ),
    (
        "every_charged_task_has_its_one_charge",
        "SELECT t.call FROM tasks t LEFT JOIN ledger l ON l.id = t.call AND l.kind = 'charge'
         WHERE (t.charged = 'yes') <> (l.id IS NOT NULL) OR (t.charged = 'yes' AND (l.amount IS NOT t.facts ->> '$.charge.amount' OR l.account IS NOT t.account))",
    ),
    (
        "only_open_tasks_hold_something",
        "SELECT call FROM tasks WHERE (charged = 'pending') <> (state IN ('submitted', 'unconfirmed', 'running'))",
    ),
    (
        "a_task_is_what_its_record_says",
        "SELECT call FROM tasks WHERE facts ->> '$.state' IS NOT state OR facts ->> '$.charge.charged' IS NOT charged OR facts ->> '$.charge.held' IS NOT held
         OR facts ->> '$.account' IS NOT account OR facts ->> '$.kid' IS NOT kid OR facts ->> '$.upstream_id' IS NOT upstream_id",
    ),
];

impl Store {
    /// Checks every law of the ledger on what is committed now. Reads every row once; the gateway may run meanwhile.
    pub fn audit(&self) -> Result<AuditReport, StoreError> {
        let (found, damaged) = holds::read(self.dir())?;
        let db = self.db();
        // One view: what is committed during the audit is not seen by half of it.
        let view = db.unchecked_transaction()?;
        let count =
            |table: &str| view.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()));
        let mut report = AuditReport { ok: true, calls: count("calls")?, accounts: count("accounts")?, in_flight: 0, laws: Vec::new() };
        let mut has_row = view.prepare("SELECT 1 FROM calls WHERE id = ?1")?;
        for slot in &found {
            report.in_flight += u64::from(!has_row.exists([&slot.record.id.to_bytes()[..]])?);
        }
        let mut slots = Law::new("every_slot_can_be_read");
        (0..damaged).for_each(|_| slots.broken_by(|| "a slot of the holds file".to_owned()));
        report.add(slots);
        report.add(requests_law(&view, &found)?);
        report.add(balance_law(&view)?);
        report.add(usage_law(&view)?);
        for (name, query) in QUERIES {
            let mut law = Law::new(name);
            let mut breakers = view.prepare(query)?;
            let mut rows = breakers.query([])?;
            while let Some(row) = rows.next()? {
                let id: [u8; 16] = row.get(0)?;
                law.broken_by(|| RequestId::from_bytes(id).to_string());
            }
            report.add(law);
        }
        Ok(report)
    }
}

/// Each joined request names a call of its own key, which has its row or runs. A call that a crash cut before it reserved does not say whose it was.
fn requests_law(db: &Connection, running: &[holds::Found]) -> Result<Law, StoreError> {
    let mut law = Law::new("every_joined_request_names_a_call_of_its_key");
    let mut strays = db.prepare(
        "SELECT r.id, r.call, r.kid, c.id IS NULL FROM requests r LEFT JOIN calls c ON c.id = r.call
         WHERE c.id IS NULL OR c.kid <> r.kid",
    )?;
    let mut rows = strays.query([])?;
    while let Some(row) = rows.next()? {
        let (id, call, kid, no_row): ([u8; 16], [u8; 16], String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let runs = running.iter().any(|found| {
            // A slot has its key from its reservation on.
            found.record.id.to_bytes() == call && found.record.kid.as_ref().is_none_or(|of| of.as_str() == kid)
        });
        if !(no_row && runs) {
            law.broken_by(|| RequestId::from_bytes(id).to_string());
        }
    }
    Ok(law)
}

/// Credits and settled totals of each account are the sums of its lines, exactly.
fn balance_law(db: &Connection) -> Result<Law, StoreError> {
    let mut law = Law::new("a_balance_is_its_credits_minus_its_charges");
    let mut sums: HashMap<String, (i128, i128)> = HashMap::new();
    // Charges whose calls were too old to keep.
    let mut carried = db.prepare("SELECT account, settled FROM carried")?;
    let mut rows = carried.query([])?;
    while let Some(row) = rows.next()? {
        sums.insert(row.get(0)?, (0, i128::from(row.get::<_, i64>(1)?)));
    }
    let mut lines = db.prepare("SELECT account, kind = 'credit', amount FROM ledger")?;
    let mut rows = lines.query([])?;
    while let Some(row) = rows.next()? {
        let (is_credit, amount): (bool, i64) = (row.get(1)?, row.get(2)?);
        let account = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if !sums.contains_key(account) {
            sums.insert(account.to_owned(), (0, 0));
        }
        if let Some((credits, charges)) = sums.get_mut(account) {
            *if is_credit { credits } else { charges } += i128::from(amount);
        }
    }
    let mut accounts = db.prepare("SELECT id, credits, settled FROM accounts ORDER BY id")?;
    let mut rows = accounts.query([])?;
    while let Some(row) = rows.next()? {
        let (id, credits, settled): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if sums.remove(&id).unwrap_or((0, 0)) != (credits.into(), settled.into()) {
            law.broken_by(|| id);
        }
    }
    // Lines of accounts that do not exist.
    let mut nobody: Vec<String> = sums.into_keys().collect();
    nobody.sort_unstable();
    nobody.into_iter().for_each(|id| law.broken_by(|| id));
    Ok(law)
}

/// What the gateway keeps in memory is what the rows say.
pub(crate) fn memory_law(rows: &[Account], memory: &[(String, Sums)]) -> Law {
    let mut law = Law::new("a_balance_in_memory_is_that_of_the_rows");
    for row in rows {
        let kept = memory.iter().find(|(account, _)| *account == row.id);
        // An account made a moment ago is not known yet.
        if kept.is_some_and(|(_, sums)| sums.settled != row.settled) {
            law.broken_by(|| row.id.clone());
        }
    }
    law
}
