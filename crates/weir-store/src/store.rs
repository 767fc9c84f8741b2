//! Administration and queries, from any process.

use std::path::Path;

use weir_core::{Amount, ApiKey, KeyId, RequestId, Timestamp};

use crate::{Account, AuditReport, CallFilter, KeyRow, LedgerEntry, NewKey, StoreError, StoredCall};

/// One data directory, open for administration and queries. May be shared between threads.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens the data directory, and makes it (0700) with what belongs in it (0600) if it is not there.
    pub fn open(_dir: &Path) -> Result<Self, StoreError> {
        todo!()
    }
    pub fn create_account(&self, _name: &str, _now: Timestamp) -> Result<Account, StoreError> {
        todo!()
    }
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        todo!()
    }
    /// By id or name.
    pub fn account(&self, _account: &str) -> Result<Option<Account>, StoreError> {
        todo!()
    }
    pub fn credit(&self, _account: &str, _amount: Amount, _note: &str, _now: Timestamp) -> Result<LedgerEntry, StoreError> {
        todo!()
    }
    pub fn create_key(&self, _new: &NewKey, _dice: &[u8; 64], _now: Timestamp) -> Result<(ApiKey, KeyId), StoreError> {
        todo!()
    }
    /// Takes a key of a foreign shape; its kid is made from `dice`.
    pub fn import_key(&self, _key: &ApiKey, _new: &NewKey, _dice: &[u8; 64], _now: Timestamp) -> Result<KeyId, StoreError> {
        todo!()
    }
    pub fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        todo!()
    }
    pub fn key(&self, _kid: &KeyId) -> Result<Option<KeyRow>, StoreError> {
        todo!()
    }
    pub fn revoke(&self, _kid: &KeyId, _now: Timestamp) -> Result<(), StoreError> {
        todo!()
    }
    pub fn disable(&self, _kid: &KeyId) -> Result<(), StoreError> {
        todo!()
    }
    pub fn enable(&self, _kid: &KeyId) -> Result<(), StoreError> {
        todo!()
    }
    pub fn call(&self, _id: RequestId) -> Result<Option<StoredCall>, StoreError> {
        todo!()
    }
    pub fn calls(&self, _filter: &CallFilter) -> Result<Vec<StoredCall>, StoreError> {
        todo!()
    }
    pub fn count(&self, _filter: &CallFilter) -> Result<u64, StoreError> {
        todo!()
    }
    pub fn audit(&self) -> Result<AuditReport, StoreError> {
        todo!()
    }
}
