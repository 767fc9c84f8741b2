//! What one look at a task's upstream changes. An upstream may forget, repeat and contradict itself: an end is final, and nothing but a proof
//! of failure, or the deadline, gives a charge back.

use std::time::Duration;

use super::{TaskFault, TaskRecord, TaskState};
use crate::{Amount, ChargeFacts, ChargeRule, Charged, Timestamp, Usage, UsageSource};

/// What becomes of the charge of a task that nobody could tell the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtDeadline {
    /// It is given back: nobody has seen a result.
    #[default]
    Release,
    /// What was asked for is charged: for upstreams that charge without telling.
    Charge,
}

/// How tasks are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTerms {
    /// The first wait between two looks; each is half as long again as the one before.
    pub first_look: Duration,
    /// No wait is longer, unless the upstream asks for it.
    pub last_look: Duration,
    /// How long after its submission a task is given up.
    pub deadline: Duration,
    /// How long a task whose answer was lost is looked for, once its upstream answers and does not show it.
    pub unconfirmed: Duration,
    pub at_deadline: AtDeadline,
}

impl Default for TaskTerms {
    /// A video takes a minute or two: somebody who watches wants to know within seconds, an upstream wants to be asked seldom.
    /// A day is longer than any provider keeps a job.
    fn default() -> Self {
        Self {
            first_look: Duration::from_secs(2),
            last_look: Duration::from_secs(30),
            deadline: Duration::from_secs(86_400),
            unconfirmed: Duration::from_secs(3_600),
            at_deadline: AtDeadline::Release,
        }
    }
}

/// How far an upstream says that a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Never `Unconfirmed` or `Unknown`: those are weir's own words.
    pub state: TaskState,
    pub progress: Option<u8>,
    /// What it says that was used.
    pub seconds: Option<u64>,
    pub images: Option<u64>,
    /// Whether it names the model that was asked for; `true` where it names none.
    pub same_model: bool,
    pub fault: Option<TaskFault>,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    Told(Told),
    /// The upstream has it under this id; nobody had told.
    Found {
        id: String,
        told: Told,
    },
    /// The upstream does not know the id, or does not list the task.
    Missing,
    /// No answer, or none that says anything; and when the upstream may be asked again, if it told.
    Silent {
        until: Option<Timestamp>,
    },
}

/// The task after a look at `now`. `roll` is chance for the next wait.
#[must_use]
pub fn looked(task: &TaskRecord, look: Look, now: Timestamp, terms: &TaskTerms, roll: u128) -> TaskRecord {
    let mut after = task.clone();
    after.looks = after.looks.saturating_add(1);
    after.looked = Some(now);
    let mut until = None;
    let not_there = look == Look::Missing && task.state == TaskState::Unconfirmed;
    match look {
        Look::Told(told) => after.hear(told, now),
        Look::Found { id, told } => {
            if after.state.is_open() {
                after.upstream_id.get_or_insert(id);
                after.state = TaskState::Submitted;
            }
            after.hear(told, now);
        }
        Look::Missing => after.oddities.missing = after.oddities.missing.saturating_add(1),
        Look::Silent { until: told } => {
            after.oddities.silent = after.oddities.silent.saturating_add(1);
            until = told;
        }
    }
    if after.state.is_open() {
        let sought = not_there && now >= after.submitted.after(terms.unconfirmed);
        if sought || now >= after.deadline {
            after.give_up(now, terms.at_deadline);
        } else {
            let next = now.after(wait(after.looks, terms, roll));
            after.next_look = next.max(until.unwrap_or(next)).min(after.deadline);
        }
    }
    after
}

/// The wait after so many looks: longer each time, and never the same for two tasks that began together.
fn wait(looks: u32, terms: &TaskTerms, roll: u128) -> Duration {
    let mut wait = terms.first_look;
    for _ in 1..looks.min(32) {
        if wait >= terms.last_look {
            break;
        }
        wait = wait.saturating_mul(3) / 2;
    }
    let wait = wait.min(terms.last_look);
    // Up to a fifth less.
    let fifth = u64::try_from(wait.as_millis() / 5).unwrap_or(u64::MAX);
    let off = u64::try_from(roll % u128::from(fifth.saturating_add(1))).unwrap_or(0);
    wait.saturating_sub(Duration::from_millis(off))
}

impl TaskRecord {
    /// When it is given up if nobody tells its end until then; `None` once it has ended.
    #[must_use]
    pub fn given_up_at(&self, terms: &TaskTerms) -> Option<Timestamp> {
        let sought = (self.state == TaskState::Unconfirmed).then(|| self.submitted.after(terms.unconfirmed));
        self.state.is_open().then(|| sought.map_or(self.deadline, |until| until.min(self.deadline)))
    }

    /// Takes what an upstream says.
    fn hear(&mut self, told: Told, now: Timestamp) {
        if !self.state.is_open() {
            let again = told.state == self.state;
            self.oddities.regressed = self.oddities.regressed.saturating_add(u32::from(!again));
            return;
        }
        if !told.same_model {
            self.oddities.other_model = self.oddities.other_model.saturating_add(1);
        }
        match told.state {
            TaskState::Succeeded => self.succeed(&told, now),
            TaskState::Failed | TaskState::Cancelled => {
                self.fault = told.fault.map(|fault| fault.code).filter(|code| !code.is_empty());
                self.end(told.state, now, ChargeRule::TaskFailed);
            }
            TaskState::Running => {
                self.state = TaskState::Running;
                self.progress = self.progress.max(told.progress.unwrap_or(0).min(99));
            }
            // A task that runs does not go back to the queue.
            TaskState::Submitted | TaskState::Unconfirmed | TaskState::Unknown => {
                self.oddities.regressed = self.oddities.regressed.saturating_add(u32::from(self.state == TaskState::Running));
                if self.state == TaskState::Unconfirmed {
                    self.state = TaskState::Submitted;
                }
            }
        }
    }

    fn succeed(&mut self, told: &Told, now: Timestamp) {
        self.progress = 100;
        let usual = self.ask.usual();
        let used = Usage { seconds: told.seconds.unwrap_or(usual.seconds), images: told.images.unwrap_or(usual.images), ..usual };
        let source = if told.seconds.is_some() || told.images.is_some() { UsageSource::Upstream } else { UsageSource::Estimated };
        self.settle(TaskState::Succeeded, now, ChargeRule::TaskDone, (used, source));
    }

    /// Ends it as charged: never more than was held, which is what was agreed to.
    fn settle(&mut self, state: TaskState, now: Timestamp, rule: ChargeRule, (usage, usage_source): (Usage, UsageSource)) {
        self.state = state;
        self.finished = Some(now);
        let held = self.charge.held;
        let amount = self.price.of(&usage).unwrap_or(held).min(held);
        self.charge = ChargeFacts { charged: Charged::Yes, rule, held, amount, usage, usage_source };
    }

    fn end(&mut self, state: TaskState, now: Timestamp, rule: ChargeRule) {
        self.state = state;
        self.finished = Some(now);
        let held = self.charge.held;
        self.charge = ChargeFacts { charged: Charged::No, rule, held, amount: Amount::ZERO, ..ChargeFacts::default() };
    }

    /// Nobody will ever tell what became of it.
    pub fn give_up(&mut self, now: Timestamp, rule: AtDeadline) {
        match rule {
            AtDeadline::Release => self.end(TaskState::Unknown, now, ChargeRule::TaskDeadline),
            AtDeadline::Charge => {
                let used = (self.ask.usual(), UsageSource::Estimated);
                self.settle(TaskState::Unknown, now, ChargeRule::TaskDeadline, used);
            }
        }
    }

    /// The upstream took it, under this id; `None` where it named none that can be read.
    pub fn confirm(&mut self, id: Option<String>, told: Option<Told>, now: Timestamp, terms: &TaskTerms, roll: u128) {
        match id {
            Some(id) => {
                self.upstream_id = Some(id);
                self.state = TaskState::Submitted;
            }
            None => self.state = TaskState::Unconfirmed,
        }
        self.next_look = now.after(wait(1, terms, roll));
        if let Some(told) = told.filter(|_| self.upstream_id.is_some()) {
            self.hear(told, now);
        }
    }

    /// The upstream may have taken it, and did not say so.
    pub fn lose(&mut self, now: Timestamp, terms: &TaskTerms, roll: u128) {
        self.confirm(None, None, now, terms, roll);
    }

    /// The upstream refused it, or never heard of it: provably no job runs.
    pub fn refuse(&mut self, code: String, now: Timestamp) {
        self.fault = Some(code);
        self.end(TaskState::Failed, now, ChargeRule::TaskFailed);
    }
}
