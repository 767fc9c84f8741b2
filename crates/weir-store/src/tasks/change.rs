//! How tasks are written: made with their hold, changed, and ended with their charge, each in one transaction.

use std::sync::{MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use weir_core::{Amount, CallRecord, Charged, KeyId, RequestId, TaskRecord, TaskShape, TaskState, Timestamp};

use super::{facts_of, label, parse, read_one, taken, told_by, write};
use crate::{
    Books, Keyed, Principal, Spent, StoreError,
    joined::{KNOWN_MS, keyed_call, write_keyed},
    rows::{CHARGE, SETTLE},
    tally::{SeenCallers, Tally, tokens},
};

/// What is done about an equal submission of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Nobody asks.
    Ignored,
    /// The new task names it, if it came at or after this.
    Named(Timestamp),
    /// There is no new task, if it came at or after this.
    Instead(Timestamp),
}

/// Why a task was not made. Nothing is held.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    #[error(transparent)]
    Spent(#[from] Spent),
    /// An equal one of the same key is there.
    #[error("submit a task: an equal one was submitted before")]
    Earlier(Box<TaskRecord>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Books {
    pub(crate) fn tasks_db(&self) -> MutexGuard<'_, Connection> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a task's row and holds `task.charge.held` on the balance of `by`. On the disk when this returns; waits for it. Gives back the row, which
    /// names an equal submission where `earlier` says so. `body` is what was sent: a digest of it is kept. The key in `keyed` names this call from here on,
    /// whatever becomes of the process.
    ///
    /// # Errors
    /// [`NotMade`]: the balance, an earlier task, or the store.
    pub fn submit_task(
        &self,
        by: &Principal,
        mut task: TaskRecord,
        body: &[u8],
        keyed: Option<&Keyed>,
        earlier: Earlier,
    ) -> Result<TaskRecord, NotMade> {
        let purse = by.purse();
        let held = task.charge.held;
        purse.reserve(held)?;
        let made = self.insert_task(&mut task, body, keyed, earlier);
        if made.is_err() {
            purse.end(held, Amount::ZERO);
        }
        made.map(|()| task)
    }

    fn insert_task(&self, task: &mut TaskRecord, body: &[u8], keyed: Option<&Keyed>, earlier: Earlier) -> Result<(), NotMade> {
        let body = self.pepper.digest(&[b"body", body]);
        let mut db = self.tasks_db();
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        if let Some(keyed) = keyed
            && let Some(same) = under(&change, task, keyed)?
        {
            return Err(NotMade::Earlier(Box::new(same)));
        }
        if let Earlier::Named(since) | Earlier::Instead(since) = earlier
            && let Some(equal) = equal(&change, &task.kid, task.shape, &body, since)?
        {
            if matches!(earlier, Earlier::Instead(_)) {
                return Err(NotMade::Earlier(Box::new(equal)));
            }
            task.duplicate_of = Some(equal.call);
        }
        insert(&change, task, &body)?;
        if let Some(keyed) = keyed {
            write_keyed(&change, task.kid.as_str(), keyed, task.call, task.submitted)?;
        }
        change.commit().map_err(StoreError::from)?;
        Ok(())
    }

    /// The latest task of this key that was submitted with this body at or after `since`, and was not refused: the one that a retry repeats.
    ///
    /// # Errors
    /// What the store says.
    pub fn submitted(&self, kid: &KeyId, shape: TaskShape, body: &[u8], since: Timestamp) -> Result<Option<TaskRecord>, StoreError> {
        let body = self.pepper.digest(&[b"body", body]);
        equal(&self.tasks_db(), kid, shape, &body, since)
    }

    /// Changes a task to what `with` makes of it, on the disk when this returns. If that ends it, its charge is written in the same transaction. What has
    /// ended keeps its state and its charge, whatever `with` says. `None`: there is no such task.
    ///
    /// # Errors
    /// What the store says; then nothing has changed.
    pub fn change_task(
        &self,
        call: RequestId,
        now: Timestamp,
        with: impl FnOnce(&TaskRecord) -> TaskRecord,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let mut db = self.tasks_db();
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(before) = read_one(&change, call)? else { return Ok(None) };
        let mut after = with(&before);
        (after.call, after.charge.held) = (before.call, before.charge.held);
        if before.charge.charged != Charged::Pending {
            (after.state, after.charge, after.finished) = (before.state, before.charge, before.finished);
        }
        if before.upstream_id.is_none() && after.upstream_id.as_deref().is_some_and(|id| taken(&change, &after.channel, id).unwrap_or(true))
        {
            // One job is never two tasks: it would be charged twice, or shown to somebody else.
            let next_look = after.next_look;
            after = TaskRecord { state: TaskState::Unconfirmed, next_look, ..before.clone() };
        }
        if after == before {
            return Ok(Some(before));
        }
        write(&change, &after)?;
        let ends = before.charge.charged == Charged::Pending && after.charge.charged != Charged::Pending;
        if ends {
            end(&change, &after, now)?;
        }
        change.commit()?;
        if ends && let Some(purse) = self.shared.desk.purse(&after.account) {
            purse.end(after.charge.held, after.charge.amount);
        }
        Ok(Some(after))
    }
}

/// The task that was submitted with this key and this request before, and was not refused: whatever its asker knew, there is no second one.
fn under(change: &Transaction<'_>, task: &TaskRecord, keyed: &Keyed) -> Result<Option<TaskRecord>, StoreError> {
    let since = Timestamp(task.submitted.0.saturating_sub(KNOWN_MS));
    match keyed_call(change, &task.kid, &keyed.key, since)? {
        Some((call, request)) if request == keyed.request => Ok(read_one(change, call)?.filter(|same| !same.is_refused())),
        _ => Ok(None),
    }
}

pub(crate) const EQUAL: &str =
    "SELECT facts FROM tasks WHERE kid = ?1 AND call >= ?2 AND body = ?3 AND shape = ?4 ORDER BY call DESC LIMIT 16";

/// The last equal submission of the same key that was not refused, if it came at or after `since`.
fn equal(db: &Connection, kid: &KeyId, shape: TaskShape, body: &[u8; 16], since: Timestamp) -> Result<Option<TaskRecord>, StoreError> {
    let since = RequestId::new(since, 0).to_bytes();
    let mut query = db.prepare_cached(EQUAL)?;
    let mut rows = query.query((kid.as_str(), &since[..], &body[..], label(shape)))?;
    while let Some(row) = rows.next()? {
        let task = parse(&row.get::<_, String>(0)?)?;
        if !task.is_refused() {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

fn insert(change: &Transaction<'_>, task: &TaskRecord, body: &[u8; 16]) -> Result<(), StoreError> {
    let mut row = change.prepare_cached(
        "INSERT INTO tasks (call, kid, account, shape, channel, upstream_id, state, charged, held, next_look, body, facts)
         VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6, 'pending', ?7, ?8, ?9, ?10)",
    )?;
    row.execute((
        &task.call.to_bytes()[..],
        task.kid.as_str(),
        &task.account,
        label(task.shape),
        &task.channel,
        task.state.label(),
        task.charge.held.0,
        task.next_look.0,
        &body[..],
        facts_of(task)?,
    ))?;
    Ok(())
}

/// Writes what the end of a task means for its account, and for the row of its call if that is there already.
fn end(change: &Transaction<'_>, task: &TaskRecord, now: Timestamp) -> Result<(), StoreError> {
    let id = task.call.to_bytes();
    if task.charge.charged == Charged::Yes {
        change.prepare_cached(CHARGE)?.execute((&id[..], &task.account, task.charge.amount.0, now.0))?;
        change.prepare_cached(SETTLE)?.execute((&task.account, task.charge.amount.0))?;
    }
    let mut row = change.prepare_cached("SELECT facts FROM calls WHERE id = ?1")?;
    let Some(facts) = row.query_row([&id[..]], |row| row.get::<_, String>(0)).optional()? else { return Ok(()) };
    let call: CallRecord = serde_json::from_str(&facts).map_err(|_| StoreError::Damaged { what: "the record of a call" })?;
    let call = told_by(&call, task);
    let facts = serde_json::to_string(&call).map_err(|_| StoreError::NotAValue { what: "a record", why: "it has no JSON" })?;
    change.prepare_cached("UPDATE calls SET facts = ?2, tokens = ?3 WHERE id = ?1")?.execute((&id[..], facts, tokens(&call)))?;
    let mut tally = Tally::default();
    tally.add(&call);
    tally.write(change, &mut SeenCallers::default())
}
