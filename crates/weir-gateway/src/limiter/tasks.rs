//! What tasks take of their holders' days: what they may cost from their submission on, what they cost once they have ended.

use weir_core::{
    RequestId, Timestamp,
    limit::{Held, Now, Used},
};

use super::{Holder, Limiter, Permit, Recall};

/// Open tasks whose ends correct their days; what is held for others stays counted until their day is over.
pub(crate) const TASKS: u32 = 65_536;

/// A task that a process that is gone left open.
pub(crate) struct LeftOpen {
    /// That submitted it, and when that was admitted.
    pub(crate) call: RequestId,
    pub(crate) at: Timestamp,
    /// Whose days it counts against, and with what until it ends.
    pub(crate) holders: Vec<Holder>,
    pub(crate) counted: Used,
}

/// How an open task is counted.
#[derive(Debug)]
pub(super) enum Stay {
    /// As its call, which is still running. It may have ended before that: with this cost.
    Submitting(Option<Used>),
    /// So much, at these gates.
    Counted(Vec<(usize, Held)>, Used),
}

impl Limiter {
    /// This call submits a task.
    pub(crate) fn submits(&self, call: RequestId) {
        let (mut state, _) = self.lock();
        if state.tasks.len() < TASKS as usize {
            state.tasks.insert(call, Stay::Submitting(None));
        }
    }

    /// Counts a task that was open when this process began, so that a restart opens no day.
    pub(crate) fn resumes(&self, task: &LeftOpen, recall: Recall<'_>) {
        let (mut state, now) = self.lock();
        if state.tasks.len() >= TASKS as usize {
            return;
        }
        let at = Now { steady: now.steady_at(task.at), wall: task.at };
        let mut held = Vec::with_capacity(task.holders.len());
        for holder in &task.holders {
            let place = state.place(holder, now, recall);
            let gate = &mut state.gates[place];
            gate.advance(&holder.limits, now);
            held.extend(gate.resume(at, &task.counted).map(|held| (place, held)));
        }
        state.tasks.insert(task.call, Stay::Counted(held, task.counted));
    }

    /// A task has ended: what it cost takes the place of what it was counted with.
    pub(crate) fn task_ended(&self, call: RequestId, used: &Used) {
        let (mut state, now) = self.lock();
        match state.tasks.remove(&call) {
            Some(Stay::Counted(held, counted)) => {
                for (place, held) in &held {
                    state.gates[*place].correct(held, &counted, used);
                }
                state.let_in(now, Some(&held));
            }
            Some(Stay::Submitting(_)) => {
                state.tasks.insert(call, Stay::Submitting(Some(*used)));
            }
            None => {}
        }
    }
}

impl Permit<'_> {
    /// The call ended that submitted a task; `may_cost` is what its task counts with until that has ended, too. `None`: it has.
    pub(crate) fn end_submission(self, call: RequestId, used: &Used, may_cost: Option<&Used>) {
        let (mut state, _) = self.limiter.lock();
        let counted = match (state.tasks.remove(&call), may_cost) {
            // It ended before its call did.
            (Some(Stay::Submitting(Some(cost))), _) => cost,
            (Some(Stay::Submitting(None)), Some(counted)) => {
                state.tasks.insert(call, Stay::Counted(self.entered.held.clone(), *counted));
                *counted
            }
            (_, counted) => *counted.unwrap_or(used),
        };
        drop(state);
        self.end(&counted);
    }
}
