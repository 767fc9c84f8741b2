//! The gateway's side: exclusive, with balances and running calls in memory and one thread that writes.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;
use weir_core::{Amount, ApiKey, CallRecord, Charge, Clock, RequestId, Reserved, Route, Timestamp, Usage};

use crate::{Full, KeyRefusal, Principal, Spent, Store, StoreError, StoredCall};

/// How the books are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BooksSettings {
    /// Slots of the holds file: calls that may run, or wait for their row, at once.
    pub slots: u32,
    /// For simulated time: no thread, no lock, no poll; `seal` commits on the caller.
    pub inline: bool,
}

impl Default for BooksSettings {
    /// 32,768 slots are 16 MiB of disk and three times the open streams that a small machine serves.
    fn default() -> Self {
        Self { slots: 32_768, inline: false }
    }
}

/// What the sweep at the start found and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Recovery {
    /// Calls that had an outcome but no row.
    pub recorded: u32,
    /// Calls cut by the crash that are charged for what was delivered.
    pub settled: u32,
    /// Calls cut by the crash that are not charged.
    pub released: u32,
    /// Slots whose call already had its row.
    pub freed: u32,
    /// Slots that could not be read; possible after a power cut only.
    pub damaged: u32,
}

/// The books of one gateway. Dropping them without [`Books::close`] is a crash: the next start ends what was left.
#[derive(Debug)]
pub struct Books {}

/// One accepted call's slot. Dropped without `seal`, it stays for the next start's sweep.
#[derive(Debug)]
#[must_use = "an accepted call must be sealed"]
pub struct Hold {}

impl Hold {
    #[must_use]
    pub fn id(&self) -> RequestId {
        todo!()
    }
    /// Notes what was delivered so far. A few plain stores; cheap enough for every event.
    pub fn progress(&self, _events: u64, _bytes: u64, _amount: Amount, _usage: Usage) {
        todo!()
    }
}

impl Books {
    pub fn open(_store: Store, _settings: &BooksSettings, _clock: Arc<dyn Clock>) -> Result<(Self, Recovery), StoreError> {
        todo!()
    }
    /// Whom a key acts for. `source`: the client's address as far as it is known.
    pub fn principal(&self, _key: &ApiKey, _source: Option<IpAddr>, _now: Timestamp) -> Result<Arc<Principal>, KeyRefusal> {
        todo!()
    }
    pub fn accept(&self, _id: RequestId, _route: Route) -> Result<Hold, Full> {
        todo!()
    }
    /// Holds `amount` on the balance. A hold of zero always fits.
    pub async fn reserve(
        &self,
        _hold: &Hold,
        _by: &Principal,
        _model: &str,
        _stream: bool,
        _amount: Amount,
    ) -> Result<Charge<Reserved>, Spent> {
        todo!()
    }
    /// One call, one row; never waits. Also for calls that never reserved.
    pub fn seal(&self, _hold: Hold, _record: CallRecord) {
        todo!()
    }
    pub fn call(&self, _id: RequestId) -> Result<Option<StoredCall>, StoreError> {
        todo!()
    }
    #[must_use]
    pub fn store(&self) -> &Store {
        todo!()
    }
    /// What is free on an account now: credits − settled − held.
    #[must_use]
    pub fn balance(&self, _account: &str) -> Option<Amount> {
        todo!()
    }
    /// Takes over keys and credits changed through a store at once; the thread does it within 200 ms.
    pub fn reload(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// Until all that was sealed so far is committed; `false` if the database refuses at present.
    pub async fn flush(&self) -> bool {
        todo!()
    }
    /// Commits what is sealed and ends the thread.
    pub fn close(self) {
        todo!()
    }
    /// Calls accepted and not sealed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        todo!()
    }
    /// Whether rows can be written.
    #[must_use]
    pub fn healthy(&self) -> bool {
        todo!()
    }
}
