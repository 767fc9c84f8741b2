//! Who pays, and the immutable lines that a balance is made of.

use serde::Serialize;
use weir_core::{Amount, RequestId, Timestamp};

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
