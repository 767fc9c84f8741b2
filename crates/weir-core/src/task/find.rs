//! Which of an upstream's jobs is the one whose answer was lost. A wrong guess would show somebody another's video: where two are possible, none is taken.

use std::time::Duration;

use super::{TaskAsk, TaskRecord, TaskState};
use crate::Timestamp;

/// One job of an upstream's list, as far as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    pub id: String,
    pub model: Option<String>,
    pub created: Option<Timestamp>,
    pub seconds: Option<u64>,
    pub size: Option<String>,
}

/// How far an upstream's clock may be off.
const SKEW: Duration = Duration::from_secs(120);
/// How long after it was sent a job may begin.
const LATE: Duration = Duration::from_secs(600);

impl Listed {
    /// Whether nothing speaks against this job being that task.
    fn fits(&self, task: &TaskRecord) -> bool {
        self.may_be(task.submitted, &task.model, &task.ask)
    }

    /// Whether nothing speaks against this job being what was submitted then.
    #[must_use]
    pub fn may_be(&self, submitted: Timestamp, model: &str, ask: &TaskAsk) -> bool {
        let in_time = self.created.is_some_and(|created| created.after(SKEW) >= submitted && created <= submitted.after(LATE));
        in_time
            && self.model.as_ref().is_none_or(|listed| listed == model)
            && self.seconds.zip(ask.seconds).is_none_or(|(listed, asked)| listed == u64::from(asked))
            && self.size.as_ref().zip(ask.size.as_ref()).is_none_or(|(listed, asked)| listed == asked)
    }
}

/// The job of `task` among `listed`, none of which belongs to another task already. `rivals` are the other tasks of the channel whose answers were
/// lost: a job that could be one of theirs is taken only if both belong to the same key.
#[must_use]
pub fn found<'a>(task: &TaskRecord, rivals: &[TaskRecord], listed: &'a [Listed]) -> Option<&'a Listed> {
    let fitting: Vec<&Listed> = listed.iter().filter(|job| job.fits(task)).collect();
    let rivals: Vec<&TaskRecord> = rivals
        .iter()
        .filter(|rival| rival.call != task.call && rival.state == TaskState::Unconfirmed && fitting.iter().any(|job| job.fits(rival)))
        .collect();
    if rivals.iter().any(|rival| rival.kid != task.kid) {
        return None;
    }
    let alone = fitting.len() <= 1 + rivals.len();
    // Several of one key are alike to it: the first job is the first task's.
    let place = rivals.iter().filter(|rival| rival.call < task.call).count();
    let mut fitting = fitting;
    fitting.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    fitting.get(place).copied().filter(|_| alone)
}
