//! The database: how it is opened, what its tables are, and how an older one becomes a newer one.

use std::{
    fmt::Write as _,
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use sha2::{Digest, Sha256};

use crate::StoreError;

const FILE: &str = "weir.db";
/// How long a writer waits for another process's transaction; theirs are short.
const BUSY: Duration = Duration::from_secs(5);

/// Each step from one schema to the next; applied in order, once, and never changed after a release (the checksum table sees to that).
///
/// - `calls` is a rowid table with one small index on the id: records of about a kilobyte would spill to a page of their own in a WITHOUT ROWID table.
/// - `ledger` has no other index than its key: a charge bears the id of its call, so `(id, kind)` is at once the name of a line and the law of one charge.
/// - Every index costs each call; a call of every key is found by `(kid, id)`, a call that is not well by its verdict.
/// - `usage` is what each caller of a key did in a quarter of an hour: every zone's midnight lies on one, so a civil day of any zone is a sum of rows.
///   `totals` is the same for those who have many keys, so that asking what they used today costs no more for many keys than for one.
/// - `requests` are those that joined a call or got its replay; the call itself has the id of its first.
/// - `keyed` is which call of a key was charged under which `Idempotency-Key`, both as keyed hashes.
/// - `edits` counts changes of keys and accounts, so that a gateway does not read them all anew whenever a task's row is written.
/// - `tasks` holds what each task reserves: `held` of its open rows is loaded into the purses at a start. Its charge is a line of the ledger under the
///   call that submitted it, so the law of one charge for each call is the law of one for each task.
/// - `carried` is the sum of the charges whose calls were too old to keep: a line can only go after its call, and then it is added there by the database
///   itself. `kept_since` says before when a table may miss rows.
/// - `calls.admitted` and `calls.tokens` let a start read the last minutes without parsing a record. `tokens` is null in rows older than `usage`.
pub(crate) const MIGRATIONS: &[&str] = &["
CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    credits INTEGER NOT NULL DEFAULT 0, settled INTEGER NOT NULL DEFAULT 0, lines INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
    kid TEXT NOT NULL PRIMARY KEY, hash BLOB NOT NULL UNIQUE, account TEXT NOT NULL REFERENCES accounts (id), grp TEXT,
    models TEXT NOT NULL, sources TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER,
    disabled INTEGER NOT NULL DEFAULT 0, revoked INTEGER, limits TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE calls (
    id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL, kid TEXT, account TEXT, verdict TEXT NOT NULL, status INTEGER NOT NULL, facts TEXT NOT NULL
) STRICT;
CREATE INDEX calls_of_key ON calls (kid, id);
CREATE INDEX calls_not_well ON calls (verdict, id) WHERE verdict <> 'W-OK-001';
CREATE TABLE ledger (
    id BLOB NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('credit', 'charge')), account TEXT NOT NULL, amount INTEGER NOT NULL, at INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT '', PRIMARY KEY (id, kind), CHECK (kind <> 'charge' OR amount >= 0)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE ON ledger BEGIN SELECT raise(ABORT, 'a ledger line is never changed'); END;
CREATE TRIGGER ledger_is_not_erased BEFORE DELETE ON ledger BEGIN SELECT raise(ABORT, 'a ledger line is never erased'); END;
", "
ALTER TABLE accounts ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE keys ADD COLUMN label TEXT;
ALTER TABLE keys ADD COLUMN parent TEXT REFERENCES keys (kid);
CREATE INDEX keys_of_parent ON keys (parent) WHERE parent IS NOT NULL;
ALTER TABLE calls ADD COLUMN admitted INTEGER;
ALTER TABLE calls ADD COLUMN tokens INTEGER;
CREATE TABLE usage (
    kid TEXT NOT NULL, quarter INTEGER NOT NULL, caller TEXT NOT NULL, requests INTEGER NOT NULL, refused INTEGER NOT NULL, early INTEGER NOT NULL,
    tokens INTEGER NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (kid, quarter, caller)
) STRICT, WITHOUT ROWID;
CREATE TABLE totals (
    kind TEXT NOT NULL CHECK (kind IN ('family', 'account', 'group')), holder TEXT NOT NULL, quarter INTEGER NOT NULL, requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (kind, holder, quarter)
) STRICT, WITHOUT ROWID;
", "
CREATE TABLE requests (
    id BLOB NOT NULL PRIMARY KEY, call BLOB NOT NULL, kid TEXT NOT NULL, at INTEGER NOT NULL, how TEXT NOT NULL, status INTEGER NOT NULL,
    events INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_of_call ON requests (call, id);
CREATE TABLE keyed (
    kid TEXT NOT NULL, key BLOB NOT NULL, request BLOB NOT NULL, call BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (kid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX keyed_by_time ON keyed (at);
", "
CREATE TABLE tasks (
    call BLOB NOT NULL UNIQUE, kid TEXT NOT NULL, account TEXT NOT NULL, shape TEXT NOT NULL, channel TEXT NOT NULL, upstream_id TEXT,
    state TEXT NOT NULL, charged TEXT NOT NULL CHECK (charged IN ('pending', 'yes', 'no')), held INTEGER NOT NULL, next_look INTEGER NOT NULL,
    body BLOB NOT NULL, facts TEXT NOT NULL
) STRICT;
CREATE INDEX tasks_of_key ON tasks (kid, call);
CREATE INDEX tasks_open ON tasks (next_look) WHERE charged = 'pending';
CREATE INDEX tasks_upstream ON tasks (channel, upstream_id) WHERE upstream_id IS NOT NULL;
CREATE TABLE edits (n INTEGER NOT NULL) STRICT;
INSERT INTO edits (n) VALUES (0);
CREATE TRIGGER a_key_is_made AFTER INSERT ON keys BEGIN UPDATE edits SET n = n + 1; END;
CREATE TRIGGER a_key_is_changed AFTER UPDATE ON keys BEGIN UPDATE edits SET n = n + 1; END;
CREATE TRIGGER a_key_is_erased AFTER DELETE ON keys BEGIN UPDATE edits SET n = n + 1; END;
CREATE TRIGGER an_account_is_made AFTER INSERT ON accounts BEGIN UPDATE edits SET n = n + 1; END;
CREATE TRIGGER an_account_is_changed AFTER UPDATE OF name, credits, limits ON accounts BEGIN UPDATE edits SET n = n + 1; END;
", "
CREATE TABLE carried (account TEXT NOT NULL PRIMARY KEY, settled INTEGER NOT NULL, lines INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE kept_since (tab TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_time ON usage (quarter);
CREATE INDEX totals_by_time ON totals (quarter);
DROP TRIGGER ledger_is_not_erased;
CREATE TRIGGER ledger_is_not_erased BEFORE DELETE ON ledger WHEN old.kind <> 'charge' OR EXISTS (SELECT 1 FROM calls WHERE id = old.id)
BEGIN SELECT raise(ABORT, 'a ledger line is never erased before its call'); END;
CREATE TRIGGER a_charge_is_carried AFTER DELETE ON ledger WHEN old.kind = 'charge' BEGIN
    INSERT INTO carried (account, settled, lines) VALUES (old.account, old.amount, 1) ON CONFLICT DO UPDATE SET lines = lines + 1,
    settled = CASE WHEN settled > 9223372036854775807 - excluded.settled THEN 9223372036854775807 ELSE settled + excluded.settled END;
END;
"];

/// Makes the data directory if it is not there; one that is there keeps its permissions.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StoreError::file("make", dir))
}

/// A connection to the database of `dir`, which is made and brought up to date if need be.
pub(crate) fn connect(dir: &Path) -> Result<Connection, StoreError> {
    connect_at(dir, MIGRATIONS)
}

/// The same, brought as far as these steps go.
pub(crate) fn connect_at(dir: &Path, steps: &[&str]) -> Result<Connection, StoreError> {
    let path = dir.join(FILE);
    // Made before SQLite does it, so that nobody else can ever read it; the files beside it inherit its mode.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(StoreError::file("make", &path)(error)),
        _ => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(&path, flags)?;
    db.busy_timeout(BUSY)?;
    // Pages of 8 KiB hold about ten records, so a full group touches few; larger ones make a lone call's commit dear. 2,000 pages between checkpoints:
    // a page that many groups touch is copied to the database once. What the log keeps on disk is bounded.
    db.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 2000;
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
    )?;
    db.set_prepared_statement_cache_capacity(64);
    migrate(&mut db, steps)?;
    Ok(db)
}

fn version(db: &Connection) -> Result<u32, StoreError> {
    Ok(db.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn migrate(db: &mut Connection, steps: &[&str]) -> Result<(), StoreError> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if version(db)? < known {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL) STRICT")?;
        // Asked again under the lock: another process may have done it meanwhile.
        for step in version(&change)?..known {
            change.execute_batch(steps[step as usize])?;
            change.execute("INSERT INTO migrations (version, checksum) VALUES (?1, ?2)", (step + 1, checksum(steps[step as usize])))?;
            change.pragma_update(None, "user_version", step + 1)?;
        }
        change.commit()?;
    }
    let found = version(db)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let mut applied = db.prepare("SELECT version, checksum FROM migrations ORDER BY version")?;
    let mut rows = applied.query([])?;
    while let Some(row) = rows.next()? {
        let (version, seen): (u32, String) = (row.get(0)?, row.get(1)?);
        if steps.get(version.saturating_sub(1) as usize).is_none_or(|step| checksum(step) != seen) {
            return Err(StoreError::Altered { version });
        }
    }
    Ok(())
}

fn checksum(step: &str) -> String {
    Sha256::digest(step.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_database_becomes_a_newer_one_once() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, &["CREATE TABLE a (x)"]).unwrap();
        migrate(&mut db, &["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).unwrap();
        migrate(&mut db, &["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).unwrap();
        assert_eq!(version(&db).unwrap(), 2);
    }

    #[test]
    fn a_database_of_a_newer_weir_is_refused_by_its_number() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, &["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).unwrap();
        let error = migrate(&mut db, &["CREATE TABLE a (x)"]).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1 }), "{error}");
    }

    #[test]
    fn a_migration_changed_after_it_was_applied_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, &["CREATE TABLE a (x)"]).unwrap();
        let error = migrate(&mut db, &["CREATE TABLE a (x, y)"]).unwrap_err();
        assert!(matches!(error, StoreError::Altered { version: 1 }), "{error}");
    }

    #[test]
    fn nobody_else_reads_what_is_in_the_data_directory() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        make_dir(&data).unwrap();
        let db = connect(&data).unwrap();
        db.execute("INSERT INTO accounts (id, name, created) VALUES ('a', 'a', 0)", []).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        for file in std::fs::read_dir(&data).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
        }
    }
}
