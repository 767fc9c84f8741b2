//! Tasks as they are read back.

use std::sync::Arc;

use rusqlite::{Row, types::Value};
use weir_core::{KeyId, RequestId, TaskRecord, TaskShape, TaskState, Timestamp};

use super::{label, parse, read_all, read_one, taken};
use crate::{Books, Principal, Store, StoreError};

/// Which tasks are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFilter {
    pub kid: Option<KeyId>,
    pub shape: Option<TaskShape>,
    pub state: Option<TaskState>,
    /// Only those behind this one, in the order that is asked for.
    pub after: Option<RequestId>,
    pub oldest_first: bool,
    /// At most this many; 0 means [`TaskFilter::DEFAULT_LIMIT`].
    pub limit: u32,
}

impl TaskFilter {
    pub const DEFAULT_LIMIT: u32 = 20;
    pub const MAX_LIMIT: u32 = 1_000;
}

/// Tasks of a channel whose answers were lost that are compared with each other.
const LOST: u32 = 200;

pub(crate) const DUE: &str = "SELECT facts FROM tasks WHERE charged = 'pending' AND next_look <= ?1 ORDER BY next_look LIMIT ?2";
pub(crate) const NEXT_DUE: &str = "SELECT min(next_look) FROM tasks WHERE charged = 'pending' AND next_look > ?1";
pub(crate) const LOST_ON: &str = "SELECT facts FROM tasks INDEXED BY tasks_open WHERE charged = 'pending' AND state = 'unconfirmed' AND channel = ?1 ORDER BY call LIMIT ?2";
/// Its call's row says when it was admitted.
pub(crate) const OPEN: &str = "SELECT t.facts, c.admitted FROM tasks t INDEXED BY tasks_open LEFT JOIN calls c ON c.id = t.call WHERE t.charged = 'pending' ORDER BY t.call LIMIT ?1";

impl Store {
    pub fn task(&self, call: RequestId) -> Result<Option<TaskRecord>, StoreError> {
        read_one(&self.db(), call)
    }

    /// Tasks in the order of their submission, the newest first unless it is asked otherwise.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskRecord>, StoreError> {
        let mut terms = vec!["1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        let mut term = |text: &str, value: Value| {
            values.push(value);
            terms.push(text.replace('#', &values.len().to_string()));
        };
        if let Some(kid) = &filter.kid {
            term("kid = ?#", kid.as_str().to_owned().into());
        }
        if let Some(shape) = filter.shape {
            term("shape = ?#", label(shape).into());
        }
        if let Some(state) = filter.state {
            term("state = ?#", state.label().to_owned().into());
        }
        let order = if filter.oldest_first { "ASC" } else { "DESC" };
        if let Some(after) = filter.after {
            term(if filter.oldest_first { "call > ?#" } else { "call < ?#" }, after.to_bytes().to_vec().into());
        }
        let limit = if filter.limit == 0 { TaskFilter::DEFAULT_LIMIT } else { filter.limit.min(TaskFilter::MAX_LIMIT) };
        let query = format!("SELECT facts FROM tasks WHERE {} ORDER BY call {order} LIMIT {limit}", terms.join(" AND "));
        read_all(&self.db(), &query, rusqlite::params_from_iter(values))
    }
}

/// A task that has not ended.
#[derive(Debug, Clone)]
pub struct OpenTask {
    pub task: TaskRecord,
    /// When its call was admitted.
    pub admitted: Timestamp,
    pub principal: Arc<Principal>,
}

impl Books {
    /// All tasks that have not ended, oldest first, at most `limit`: for a gateway that starts, once the calls that a crash cut have their rows.
    pub fn open_tasks(&self, limit: u32) -> Result<Vec<OpenTask>, StoreError> {
        let db = self.tasks_db();
        let mut query = db.prepare_cached(OPEN)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?));
        let mut open = Vec::new();
        for row in query.query_map([limit], read)? {
            let (facts, admitted) = row?;
            let task = parse(&facts)?;
            let admitted = admitted.map_or(task.submitted, Timestamp);
            open.push((task, admitted));
        }
        let of = open.iter().map(|(task, _)| task.kid.clone()).collect();
        let principals = self.shared.desk.principals(&of);
        let known = |(task, admitted): (TaskRecord, Timestamp)| {
            let principal = Arc::clone(principals.get(&task.kid)?);
            Some(OpenTask { task, admitted, principal })
        };
        Ok(open.into_iter().filter_map(known).collect())
    }

    /// Open tasks whose next look is due, the longest due first, at most `limit`; and when the next is due.
    pub fn due_tasks(&self, now: Timestamp, limit: u32) -> Result<(Vec<TaskRecord>, Option<Timestamp>), StoreError> {
        let db = self.tasks_db();
        let due = read_all(&db, DUE, (now.0, limit))?;
        let mut next = db.prepare_cached(NEXT_DUE)?;
        let next: Option<i64> = next.query_row([now.0], |row| row.get(0))?;
        Ok((due, next.map(Timestamp)))
    }

    /// Tasks of a channel whose answers were lost, oldest first, at most 200.
    pub fn lost_tasks(&self, channel: &str) -> Result<Vec<TaskRecord>, StoreError> {
        read_all(&self.tasks_db(), LOST_ON, (channel, LOST))
    }

    /// Whether a task of this channel has this upstream's id already.
    pub fn has_upstream_id(&self, channel: &str, id: &str) -> Result<bool, StoreError> {
        taken(&self.tasks_db(), channel, id)
    }
}
