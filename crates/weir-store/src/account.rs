//! Who pays, and the immutable lines that a balance is made of.

use rusqlite::{Connection, Row};
use serde::Serialize;
use sha2::{Digest, Sha256};
use weir_core::{Amount, Limits, RequestId, Timestamp};

use crate::{StoreError, limits::read_limits};

/// One payer. `balance = credits − settled`; holds of running calls are known to the gateway only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// `acc_…`, ≤ 32 characters.
    pub id: String,
    pub name: String,
    pub created: Timestamp,
    pub credits: Amount,
    pub settled: Amount,
    pub balance: Amount,
    /// What all its keys together may use.
    pub limits: Limits,
}

/// What a ledger line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    /// Adds to the balance.
    Credit,
    /// The one charge of a call; takes from the balance.
    Charge,
}

/// One immutable line; a mistake is corrected by another line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// `led_…`; a charge has the digits of its call.
    pub id: String,
    pub kind: LedgerKind,
    pub account: String,
    /// Never negative for a charge; a credit may be, to correct an earlier one.
    pub amount: Amount,
    /// The call that is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<RequestId>,
    pub at: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The id of the account with this name. Names are unique, so ids are; and the same commands make the same ids on every machine.
pub(crate) fn account_id(name: &str) -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    const DIGITS: usize = 20;
    let digest = Sha256::digest(name.as_bytes());
    let digits: String = digest.iter().take(DIGITS).map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect();
    format!("acc_{digits}")
}

/// The id of an account's `line`th credit: as long as a call's, in time's order among them.
pub(crate) fn credit_id(account: &str, line: i64, now: Timestamp) -> RequestId {
    let digest = Sha256::new_with_prefix(account.as_bytes()).chain_update(line.to_be_bytes()).finalize();
    RequestId::new(now, u128::from_be_bytes(std::array::from_fn(|i| digest[i])))
}

/// The name of a ledger line: `led_` and the digits of its id.
pub(crate) fn line_name(id: RequestId) -> String {
    let text = id.to_string();
    format!("led_{}", text.strip_prefix("wr_").unwrap_or(&text))
}

/// Reads `id, name, created, credits, settled, limits`.
pub(crate) fn read_account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let (credits, settled): (i64, i64) = (row.get(3)?, row.get(4)?);
    Ok(Account {
        id: row.get(0)?,
        name: row.get(1)?,
        created: Timestamp(row.get(2)?),
        credits: Amount(credits),
        settled: Amount(settled),
        balance: Amount(credits.saturating_sub(settled)),
        limits: read_limits(row.get_ref(5)?.as_str()?, 5)?,
    })
}

/// The lines of one call.
pub(crate) fn lines_of(db: &Connection, call: RequestId) -> Result<Vec<LedgerEntry>, StoreError> {
    let mut lines = db.prepare_cached("SELECT account, amount, at, note FROM ledger WHERE id = ?1 AND kind = 'charge'")?;
    let rows = lines.query_map([&call.to_bytes()[..]], |row| {
        Ok(LedgerEntry {
            id: line_name(call),
            kind: LedgerKind::Charge,
            account: row.get(0)?,
            amount: Amount(row.get(1)?),
            call: Some(call),
            at: Timestamp(row.get(2)?),
            note: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
