//! Limits as they are kept: which are accepted, and how those of a key or an account are changed.

use rusqlite::types::Type;
use weir_core::{KeyId, Limits, limit::zone};

use crate::{Store, StoreError, store::find_account};

/// Says which limits cannot be kept: a zone must exist, and nothing may be limited to zero.
pub(crate) fn check_limits(limits: &Limits) -> Result<(), StoreError> {
    let counts = [limits.rpm, limits.tpm, limits.concurrency, limits.daily_requests, limits.daily_tokens, limits.daily_amount];
    if counts.contains(&Some(0)) {
        return Err(StoreError::NotAValue { what: "a limit", why: "it is at least 1; to stop a key, disable or revoke it" });
    }
    if limits.daily_amount.is_some_and(|amount| i64::try_from(amount).is_err()) {
        return Err(StoreError::NotAValue { what: "a limit", why: "an amount is at most 9.2 billion units" });
    }
    match &limits.zone {
        Some(name) if zone(name).is_none() => {
            Err(StoreError::NotAValue { what: "a zone", why: "it is the name of a time zone such as Asia/Shanghai" })
        }
        _ => Ok(()),
    }
}

/// Limits as a column holds them.
pub(crate) fn limits_text(limits: &Limits) -> Result<String, StoreError> {
    serde_json::to_string(limits).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)).into())
}

pub(crate) fn read_limits(text: &str, column: usize) -> rusqlite::Result<Limits> {
    serde_json::from_str(text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

impl Store {
    /// Replaces all limits of a key. What it has used so far stays used.
    pub fn set_key_limits(&self, kid: &KeyId, limits: &Limits) -> Result<(), StoreError> {
        check_limits(limits)?;
        match self.db().execute("UPDATE keys SET limits = ?2 WHERE kid = ?1", (kid.as_str(), limits_text(limits)?))? {
            0 => Err(StoreError::NoSuchKey(kid.to_string())),
            _ => Ok(()),
        }
    }

    /// Replaces all limits of an account (id or name), which bind the calls of all its keys together.
    pub fn set_account_limits(&self, account: &str, limits: &Limits) -> Result<(), StoreError> {
        check_limits(limits)?;
        let db = self.db();
        let found = find_account(&db, account)?.ok_or_else(|| StoreError::NoSuchAccount(account.to_owned()))?;
        db.execute("UPDATE accounts SET limits = ?2 WHERE id = ?1", (&found.id, limits_text(limits)?))?;
        Ok(())
    }
}
