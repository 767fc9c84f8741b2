//! Who may call, in memory: every key by its hash, with the limits it is under, and every account's purse. Read on each call, replaced when an administrator changed something.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use rusqlite::Connection;
use weir_core::{Amount, KeyId, Limits, Timestamp};

use crate::{
    KeyRefusal, Parent, Principal, StoreError,
    balance::Purse,
    keys::{KeyState, read_keys},
    limits::read_limits,
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
        let mut accounts = view.prepare_cached("SELECT id, credits, settled, limits FROM accounts")?;
        let mut rows = accounts.query([])?;
        let mut limits = HashMap::new();
        while let Some(row) = rows.next()? {
            let (id, credits, settled): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            limits.insert(id.clone(), read_limits(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?, 3)?);
            if let Some(purse) = purses.get(&id) {
                purse.set_credits(Amount(credits));
            } else {
                purses.insert(id.clone(), Arc::new(Purse::new(id, Amount(credits), Amount(settled))));
            }
        }
        let rows = read_keys(&view)?;
        // Children are few beside keys, and parents fewer: only what a child needs is looked up.
        let wanted: HashSet<KeyId> = rows.iter().filter_map(|(_, row)| row.parent.clone()).collect();
        let parents: HashMap<KeyId, Limits> =
            rows.iter().filter(|(_, row)| wanted.contains(&row.kid)).map(|(_, row)| (row.kid.clone(), row.limits.clone())).collect();
        let mut keys = HashMap::new();
        for (hash, row) in rows {
            let Some(purse) = purses.get(&row.account) else { continue };
            let sources: Vec<Network> = row.sources.iter().filter_map(|text| Network::parse(text)).collect();
            let closed = sources.len() != row.sources.len();
            let (state, expires) = (row.state, row.expires);
            let parent = row.parent.clone().map(|kid| Parent { limits: parents.get(&kid).cloned().unwrap_or_default(), kid });
            let of_account = limits.get(&row.account).cloned().unwrap_or_default();
            let principal = Arc::new(Principal::new(row, parent, of_account, Arc::clone(purse)));
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

    /// The keys whose principals are of interest, whatever became of the keys.
    pub(crate) fn kids(&self, of: impl Fn(&Principal) -> bool) -> HashSet<KeyId> {
        let keys = self.keys.load();
        keys.values().map(|entry| &entry.principal).filter(|principal| of(principal)).map(|principal| principal.kid.clone()).collect()
    }

    /// Whom these keys act for, whatever became of the keys.
    pub(crate) fn principals(&self, of: &HashSet<KeyId>) -> HashMap<KeyId, Arc<Principal>> {
        let keys = self.keys.load();
        let known = keys.values().map(|entry| &entry.principal).filter(|principal| of.contains(&principal.kid));
        known.map(|principal| (principal.kid.clone(), Arc::clone(principal))).collect()
    }

    pub(crate) fn purse(&self, account: &str) -> Option<Arc<Purse>> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    pub(crate) fn purses(&self) -> Vec<Arc<Purse>> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
