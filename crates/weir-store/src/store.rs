//! Administration and queries, from any process.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};
use weir_core::{Amount, ApiKey, KeyId, Limits, Timestamp};

use crate::{
    Account, KeyRow, LedgerEntry, LedgerKind, NewKey, StoreError,
    account::{account_id, credit_id, line_name, read_account},
    keys::{NewRow, find_key, insert_key, read_keys},
    pepper::{KeyHash, Pepper},
    schema,
};

/// One data directory, open for administration and queries. May be shared between threads; each query takes its turn.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    pepper: Pepper,
    db: Mutex<Connection>,
}

impl Store {
    /// Opens the data directory, and makes it (0700) with what belongs in it (0600) if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if a newer weir wrote it; otherwise what the disk or the database says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        schema::make_dir(dir)?;
        let pepper = Pepper::open(dir)?;
        Ok(Self { dir: dir.to_owned(), pepper, db: Mutex::new(schema::connect(dir)?) })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an account with a name of 1 to 64 printable characters that no other has.
    pub fn create_account(&self, name: &str, now: Timestamp) -> Result<Account, StoreError> {
        const MAX_NAME: usize = 64;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) || name.starts_with("acc_") {
            return Err(StoreError::NotAValue {
                what: "an account name",
                why: "it is 1 to 64 printable characters and does not begin with acc_",
            });
        }
        let id = account_id(name);
        let made = self.db().execute("INSERT INTO accounts (id, name, created) VALUES (?1, ?2, ?3)", (&id, name, now.0));
        match made {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(StoreError::AccountExists(name.to_owned()))
            }
            Err(error) => Err(error.into()),
            Ok(_) => {
                let (credits, settled, balance) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
                Ok(Account { id, name: name.to_owned(), created: now, credits, settled, balance, limits: Limits::default() })
            }
        }
    }

    /// All accounts by name, with what is committed: charges of calls that ended within the last moments may be missing.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let db = self.db();
        let mut accounts = db.prepare_cached("SELECT id, name, created, credits, settled, limits FROM accounts ORDER BY name")?;
        Ok(accounts.query_map([], read_account)?.collect::<Result<_, _>>()?)
    }

    /// One account, by id or name.
    pub fn account(&self, account: &str) -> Result<Option<Account>, StoreError> {
        find_account(&self.db(), account)
    }

    /// Adds `amount` to an account (id or name); a negative amount corrects an earlier credit. `note`: ≤ 200 characters.
    pub fn credit(&self, account: &str, amount: Amount, note: &str, now: Timestamp) -> Result<LedgerEntry, StoreError> {
        const MAX_NOTE: usize = 200;
        if note.chars().count() > MAX_NOTE || note.chars().any(char::is_control) {
            return Err(StoreError::NotAValue { what: "a note", why: "it is at most 200 printable characters" });
        }
        let mut db = self.db();
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = find_account(&change, account)?.ok_or_else(|| StoreError::NoSuchAccount(account.to_owned()))?;
        let too_much = |_| StoreError::NotAValue { what: "an amount", why: "the account's credits would exceed 9.2 billion units" };
        let credits = found.credits.plus(amount).map_err(too_much)?;
        let line: i64 = change.query_row("SELECT lines FROM accounts WHERE id = ?1", [&found.id], |row| row.get(0))?;
        let id = credit_id(&found.id, line, now);
        change.execute(
            "INSERT INTO ledger (id, kind, account, amount, at, note) VALUES (?1, 'credit', ?2, ?3, ?4, ?5)",
            (&id.to_bytes()[..], &found.id, amount.0, now.0, note),
        )?;
        change.execute("UPDATE accounts SET credits = ?2, lines = lines + 1 WHERE id = ?1", (&found.id, credits.0))?;
        change.commit()?;
        Ok(LedgerEntry {
            id: line_name(id),
            kind: LedgerKind::Credit,
            account: found.id,
            amount,
            call: None,
            at: now,
            note: note.to_owned(),
        })
    }

    /// Makes a key of weir's own shape. The key is returned this once and never again.
    pub fn create_key(&self, new: &NewKey, dice: &[u8; 64], now: Timestamp) -> Result<(ApiKey, KeyId), StoreError> {
        let (key, kid) = ApiKey::mint(dice);
        self.keep_key(&key, &kid, new, now)?;
        Ok((key, kid))
    }

    /// Takes over a key that exists elsewhere. One of weir's own shape keeps its kid; another gets one from `dice`.
    pub fn import_key(&self, key: &ApiKey, new: &NewKey, dice: &[u8; 64], now: Timestamp) -> Result<KeyId, StoreError> {
        let kid = key.kid().unwrap_or_else(|| ApiKey::mint(dice).1);
        self.keep_key(key, &kid, new, now)?;
        Ok(kid)
    }

    fn keep_key(&self, key: &ApiKey, kid: &KeyId, new: &NewKey, now: Timestamp) -> Result<(), StoreError> {
        new.check()?;
        let db = self.db();
        let account = find_account(&db, &new.account)?.ok_or_else(|| StoreError::NoSuchAccount(new.account.clone()))?;
        let row = NewRow {
            account: &account.id,
            group: new.group.as_deref(),
            models: &new.models,
            sources: &new.sources,
            expires: new.expires_at,
            limits: &new.limits,
            label: None,
            parent: None,
        };
        insert_key(&db, kid, &self.hash(key), &row, now)
    }

    pub(crate) fn hash(&self, key: &ApiKey) -> KeyHash {
        self.pepper.hash(key)
    }

    /// All keys, oldest first.
    pub fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        Ok(read_keys(&self.db())?.into_iter().map(|(_, row)| row).collect())
    }

    pub fn key(&self, kid: &KeyId) -> Result<Option<KeyRow>, StoreError> {
        find_key(&self.db(), kid)
    }

    /// Ends a key for good. A key that was revoked before keeps its first date. Keys that were split from it go on working, within its limits.
    pub fn revoke(&self, kid: &KeyId, now: Timestamp) -> Result<(), StoreError> {
        self.change_key(kid, "UPDATE keys SET revoked = coalesce(revoked, ?2) WHERE kid = ?1", now.0)
    }

    /// Refuses a key until it is enabled again.
    pub fn disable(&self, kid: &KeyId) -> Result<(), StoreError> {
        self.change_key(kid, "UPDATE keys SET disabled = ?2 WHERE kid = ?1", 1)
    }

    pub fn enable(&self, kid: &KeyId) -> Result<(), StoreError> {
        self.change_key(kid, "UPDATE keys SET disabled = ?2 WHERE kid = ?1", 0)
    }

    fn change_key(&self, kid: &KeyId, change: &str, value: i64) -> Result<(), StoreError> {
        match self.db().execute(change, (kid.as_str(), value))? {
            0 => Err(StoreError::NoSuchKey(kid.as_str().to_owned())),
            _ => Ok(()),
        }
    }
}

pub(crate) fn find_account(db: &Connection, account: &str) -> Result<Option<Account>, StoreError> {
    let mut found = db.prepare_cached("SELECT id, name, created, credits, settled, limits FROM accounts WHERE id = ?1 OR name = ?1")?;
    Ok(found.query_row([account], read_account).optional()?)
}
