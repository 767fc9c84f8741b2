//! Who may call, in memory: every key by its hash, and every account's purse. Read on each call, replaced when an administrator changed something.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use rusqlite::Connection;
use weir_core::{Amount, Timestamp};

use crate::{
    KeyRefusal, Principal, StoreError,
    balance::Purse,
    keys::{KeyState, read_keys},
    pepper::KeyHash,
    sources::Network,
};

#[derive(Debug, Default)]
pub(crate) struct Desk {
    keys: ArcSwap<HashMap<KeyHash, Entry>>,
    /// Only grows: accounts are never erased. Also the lock under which a reload runs, so that an older view never replaces a newer.
    purses: Mutex<HashMap<String, Arc<Purse>>>,
}

#[derive(Debug)]
struct Entry {
    principal: Arc<Principal>,
    state: KeyState,
    expires: Option<Timestamp>,
    sources: Vec<Network>,
    /// Addresses were asked for, but a row of them could not be read: nobody gets in, instead of everybody.
    closed: bool,
}

impl Desk {
    /// Reads keys and credits anew. A settled total is taken from the row once; from then on this process is the only one that changes it.
    pub(crate) fn reload(&self, db: &Connection) -> Result<(), StoreError> {
        let mut purses = self.purses.lock().unwrap_or_else(PoisonError::into_inner);
        let view = db.unchecked_transaction()?;
        let mut accounts = view.prepare_cached("SELECT id, credits, settled FROM accounts")?;
        let mut rows = accounts.query([])?;
        while let Some(row) = rows.next()? {
            let (id, credits, settled): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if let Some(purse) = purses.get(&id) {
                purse.set_credits(Amount(credits));
            } else {
                purses.insert(id.clone(), Arc::new(Purse::new(id, Amount(credits), Amount(settled))));
            }
        }
        let mut keys = HashMap::new();
        for (hash, row) in read_keys(&view)? {
            let Some(purse) = purses.get(&row.account) else { continue };
            let sources: Vec<Network> = row.sources.iter().filter_map(|text| Network::parse(text)).collect();
            let closed = sources.len() != row.sources.len();
            let (state, expires) = (row.state, row.expires);
            let principal = Arc::new(Principal::new(row, Arc::clone(purse)));
            keys.insert(hash, Entry { principal, state, expires, sources, closed });
        }
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    pub(crate) fn principal(&self, hash: &KeyHash, source: Option<IpAddr>, now: Timestamp) -> Result<Arc<Principal>, KeyRefusal> {
        let keys = self.keys.load();
        let entry = keys.get(hash).ok_or(KeyRefusal::Unknown)?;
        match entry.state {
            KeyState::Revoked => return Err(KeyRefusal::Revoked),
            KeyState::Disabled => return Err(KeyRefusal::Disabled),
            KeyState::Active => {}
        }
        if entry.expires.is_some_and(|expires| expires <= now) {
            return Err(KeyRefusal::Expired);
        }
        let everywhere = entry.sources.is_empty() && !entry.closed;
        if !everywhere && !source.is_some_and(|source| entry.sources.iter().any(|network| network.contains(source))) {
            return Err(KeyRefusal::SourceNotAllowed);
        }
        Ok(Arc::clone(&entry.principal))
    }

    pub(crate) fn purse(&self, account: &str) -> Option<Arc<Purse>> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    pub(crate) fn purses(&self) -> Vec<Arc<Purse>> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
