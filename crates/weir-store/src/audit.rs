//! The laws of the ledger, checked on a live store.

use serde::Serialize;

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
