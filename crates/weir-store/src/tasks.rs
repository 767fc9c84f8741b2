//! Tasks: each has its row before its upstream is asked, keeps its hold there, and is charged in the transaction that ends it.

pub(crate) mod change;
pub(crate) mod read;

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use weir_core::{CallRecord, RequestId, Scenario, TaskRecord, TaskState, Timestamp};

pub use change::{Earlier, NotMade};
pub use read::{OpenTask, TaskFilter};

use crate::{StoreError, desk::Desk, schema};

/// Every task that holds something. The index is named because SQLite would rather read all tasks in order than sort the few that are open.
pub(crate) const ALL_OPEN: &str = "SELECT facts FROM tasks INDEXED BY tasks_open WHERE charged = 'pending' ORDER BY call";

/// The connection for tasks. What the last run left open holds its amount again, and a submission that a crash cut is looked up at once.
pub(crate) fn open(dir: &Path, desk: &Desk, now: Timestamp) -> Result<Connection, StoreError> {
    let db = schema::connect(dir)?;
    // A power cut must not forget a task that its upstream knows.
    db.pragma_update(None, "synchronous", "FULL")?;
    for mut task in read_all(&db, ALL_OPEN, [])? {
        if let Some(purse) = desk.purse(&task.account) {
            purse.hold(task.charge.held);
        }
        if task.state == TaskState::Submitted && task.upstream_id.is_none() {
            task.state = TaskState::Unconfirmed;
            task.next_look = now;
            write(&db, &task)?;
        }
    }
    Ok(db)
}

fn read(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}

fn parse(facts: &str) -> Result<TaskRecord, StoreError> {
    serde_json::from_str(facts).map_err(|_| StoreError::Damaged { what: "the record of a task" })
}

fn read_all(db: &Connection, query: &str, values: impl rusqlite::Params) -> Result<Vec<TaskRecord>, StoreError> {
    let mut query = db.prepare_cached(query)?;
    let facts: Vec<String> = query.query_map(values, read)?.collect::<Result<_, _>>()?;
    facts.iter().map(|facts| parse(facts)).collect()
}

fn read_one(db: &Connection, call: RequestId) -> Result<Option<TaskRecord>, StoreError> {
    let mut query = db.prepare_cached("SELECT facts FROM tasks WHERE call = ?1")?;
    let facts = query.query_row([&call.to_bytes()[..]], read).optional()?;
    facts.map(|facts| parse(&facts)).transpose()
}

/// The task that a call submitted.
pub(crate) fn of_call(db: &Connection, call: &CallRecord) -> Result<Option<Box<TaskRecord>>, StoreError> {
    if !call.route.may_be_a_task() {
        return Ok(None);
    }
    Ok(read_one(db, call.id)?.map(Box::new))
}

/// A label as rows hold it: the one that serde gives it.
fn label(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn facts_of(task: &TaskRecord) -> Result<String, StoreError> {
    serde_json::to_string(task).map_err(|_| StoreError::NotAValue { what: "a task", why: "it has no JSON" })
}

/// Writes what may change of a task's row.
fn write(db: &Connection, task: &TaskRecord) -> Result<(), StoreError> {
    let mut row = db.prepare_cached(
        "UPDATE tasks SET channel = ?2, upstream_id = ?3, state = ?4, charged = ?5, next_look = ?6, facts = ?7 WHERE call = ?1",
    )?;
    let charged = label(task.charge.charged);
    let (state, facts) = (task.state.label(), facts_of(task)?);
    row.execute((&task.call.to_bytes()[..], &task.channel, &task.upstream_id, state, charged, task.next_look.0, facts))?;
    Ok(())
}

/// The calls of a group that submitted tasks, by their places, as their tasks have them charged: a task may have ended before its call's row is written,
/// and a call that a crash cut does not know what became of its task.
pub(crate) fn submissions(change: &Transaction<'_>, calls: &[&CallRecord]) -> Result<HashMap<usize, CallRecord>, StoreError> {
    let mut told = HashMap::new();
    for (place, call) in calls.iter().enumerate().filter(|(_, call)| call.route.may_be_a_task()) {
        if let Some(task) = read_one(change, call.id)? {
            told.insert(place, told_by(call, &task));
        }
    }
    Ok(told)
}

/// The call's record with the charge of its task.
fn told_by(call: &CallRecord, task: &TaskRecord) -> CallRecord {
    let mut call = call.clone();
    call.charge = task.charge;
    // A slot does not say.
    call.scenario = Scenario::MediaTask;
    call.kid.get_or_insert_with(|| task.kid.clone());
    call.account = Some(task.account.clone());
    if call.model.is_empty() {
        call.model.clone_from(&task.model);
    }
    call
}

pub(crate) const TAKEN: &str = "SELECT 1 FROM tasks WHERE channel = ?1 AND upstream_id = ?2";

/// Whether a task of this channel has this upstream's id already.
fn taken(db: &Connection, channel: &str, id: &str) -> Result<bool, StoreError> {
    Ok(db.prepare_cached(TAKEN)?.exists((channel, id))?)
}
