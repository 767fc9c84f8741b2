//! One submission on its way: sent until it is taken, refused or lost, and its row says each step.

use std::sync::Arc;

use bytes::Bytes;
use weir_core::{
    Failure, Outcome, Side, TaskRecord, TaskShape, TaskState, Timestamp, Verdict,
    task::{Look, Told, looked},
};
use weir_wire::{
    Scope, answer,
    tasks::{self as wire, Adapter},
};

use super::{
    adapter_of, address, blocking,
    look::screen,
    results,
    tell::{Form, say},
};
use crate::{
    Gateway,
    accept::{Arrival, Asked},
    attempt::{self, CallLimits, Outgoing},
    attempts::{Attempts, Failed, Turn},
    joins::Entry,
    private::Private,
    refusal::Refusal,
    talk::Live,
    whole,
};

/// What became of one attempt.
enum Sent {
    /// The upstream took it under this id.
    Taken(String, Option<Told>),
    /// It answered with the result itself: so many pictures.
    Made(u64, Bytes),
    /// It said no: no job runs.
    Refused(Failed),
    /// It may have taken it; and what that says of the channel.
    Lost(Outcome),
    /// It provably never heard of it.
    Unsent(Failed),
}

/// What the stages of one submission share.
pub(super) struct Submission<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) arrival: &'a Arrival,
    pub(super) asked: &'a Asked,
    /// The upstream's id of the job that this one is made of.
    pub(super) made_of: Option<String>,
    pub(super) task: TaskRecord,
    pub(super) form: Form,
    /// What others know it by who repeat it.
    pub(super) entry: Option<Arc<Entry>>,
}

impl Submission<'_> {
    /// Sends it until it is taken, refused or lost, and answers.
    pub(super) async fn run(
        mut self,
        mut attempts: Attempts<'_>,
        mut turn: Turn<'_>,
        limits: &CallLimits,
        live: &mut Live<'_>,
    ) -> Result<(), Refusal> {
        live.record.charge = self.task.charge;
        let refusal = loop {
            match self.send(turn, limits, live).await? {
                Sent::Taken(id, told) => {
                    attempts.said(turn.lane, Outcome::Good);
                    return self.taken(id, told, live).await;
                }
                Sent::Made(pictures, result) => {
                    attempts.said(turn.lane, Outcome::Good);
                    return self.made(pictures, result, live).await;
                }
                Sent::Refused(failed) => {
                    attempts.said(turn.lane, failed.failure.into());
                    break failed.refusal;
                }
                Sent::Lost(outcome) => {
                    attempts.said(turn.lane, outcome);
                    return self.lost(live).await;
                }
                Sent::Unsent(failed) => match attempts.next(turn, failed, live).await {
                    Ok(next) => turn = next,
                    Err(refusal) => break refusal,
                },
            }
            let (channel, adapter) = (turn.lane.name.clone(), adapter_of(turn.lane, self.task.shape));
            self.change(move |task, _| {
                task.channel = channel;
                adapter.map_or("", |adapter| adapter.name).clone_into(&mut task.adapter);
            })
            .await?;
        };
        if let Some(entry) = &self.entry {
            entry.bind(false);
        }
        let code = self.gateway.screen.token(refusal.code_word());
        self.change(move |task, now| task.refuse(code, now)).await?;
        live.record.charge = self.task.charge;
        Err(refusal)
    }

    /// Changes the task's row.
    async fn change(&mut self, with: impl FnOnce(&mut TaskRecord, Timestamp) + Send + 'static) -> Result<(), Refusal> {
        let call = self.task.call;
        let changed = blocking(self.gateway, move |gateway| {
            let now = gateway.clock.now();
            super::change(gateway, call, now, |task| {
                let mut task = task.clone();
                with(&mut task, now);
                task
            })
        });
        match changed.await? {
            Ok(Some(task)) => {
                self.task = task;
                Ok(())
            }
            // The row says that it was sent, and will be looked up.
            _ => Err(self.unknown()),
        }
    }

    async fn send(&self, turn: Turn<'_>, limits: &CallLimits, live: &mut Live<'_>) -> Result<Sent, Refusal> {
        let adapter = adapter_of(turn.lane, self.task.shape).ok_or_else(|| Refusal::of(Verdict::GatewayInternal))?;
        let remix = self.made_of.as_deref().and_then(|id| Adapter::path(adapter.remix?, id));
        let submit = if adapter.submit.is_empty() { live.record.route.path() } else { adapter.submit };
        let path = remix.as_deref().unwrap_or(submit);
        let body = adapter.named(&self.asked.body, &self.task.id());
        let outgoing = Outgoing::new(&self.arrival.head, live.record.route, path, body).saying(adapter.headers);
        #[cfg(test)]
        if self.gateway.sabotage == crate::world::Sabotage::PutOffTwice && self.task.shape == TaskShape::Images {
            let _ = attempt::ask(self.gateway, &outgoing, turn, limits, live).await;
        }
        let mut answer = match attempt::ask(self.gateway, &outgoing, turn, limits, live).await {
            Ok(answer) => answer,
            Err(failed) if failed.failure == Failure::Unsent => return Ok(Sent::Unsent(failed)),
            #[cfg(test)]
            Err(failed) if self.gateway.sabotage == crate::world::Sabotage::Resubmits => {
                return Ok(Sent::Unsent(Failed { failure: Failure::Unsent, ..failed }));
            }
            Err(failed) => return Ok(Sent::Lost(failed.failure.into())),
        };
        let Ok(body) = whole::collect(&mut answer, Bytes::new(), live.vigil, self.gateway.settings.limits.answer_bytes).await else {
            return Ok(Sent::Lost(Outcome::Failed { told: None }));
        };
        let status = answer.head.status.as_u16();
        let said_no = |status: u16| {
            let private = Private::of(&self.asked.body);
            whole::refused(self.gateway, &turn.lane.target.host, private, status, &answer.head.headers, &body)
        };
        if !answer.head.status.is_success() {
            let failed = said_no(status);
            // Where the answer is the result, every error says that there is none.
            let is_no = is_no(status, &body) || self.task.shape == TaskShape::Images;
            return Ok(if is_no { Sent::Refused(failed) } else { Sent::Lost(failed.failure.into()) });
        }
        if self.task.shape == TaskShape::Images {
            let read = answer::read(live.record.route, &body);
            return Ok(match (read.error, read.usage) {
                (None, Some(usage)) if usage.images > 0 => Sent::Made(usage.images, body),
                _ => Sent::Refused(said_no(status)),
            });
        }
        Ok(match adapter.job(&body, &self.asked.peek.model) {
            Some(wire::Job { id: Some(id), mut told, .. }) => {
                told.iter_mut().for_each(|told| screen(self.gateway, told));
                Sent::Taken(id, told)
            }
            _ if adapter.refused(&body).is_some() => Sent::Refused(said_no(status)),
            _ => Sent::Lost(Outcome::Failed { told: None }),
        })
    }

    async fn taken(mut self, id: String, told: Option<Told>, live: &mut Live<'_>) -> Result<(), Refusal> {
        let (terms, roll) = (self.gateway.settings.tasks.terms, self.gateway.dice.roll());
        self.change(move |task, now| task.confirm(Some(id), told, now, &terms, roll)).await?;
        self.gateway.task_news.notify_one();
        live.record.charge = self.task.charge;
        (live.record.verdict, live.record.ended_by) = (Verdict::Ok, Side::Done);
        say(&self.task, &terms, self.form, live).await;
        Ok(())
    }

    /// The result is kept for its owner, and the task has ended.
    async fn made(mut self, pictures: u64, result: Bytes, live: &mut Live<'_>) -> Result<(), Refusal> {
        let (terms, roll) = (self.gateway.settings.tasks.terms, self.gateway.dice.roll());
        // First the result, then the row that says so: what was charged can be had.
        results::keep(self.gateway, results::key_of(&self.arrival.head.headers), self.task.call, result).await;
        let told =
            Told { state: TaskState::Succeeded, progress: None, seconds: None, images: Some(pictures), same_model: true, fault: None };
        self.change(move |task, now| *task = looked(task, Look::Told(told), now, &terms, roll)).await?;
        live.record.charge = self.task.charge;
        (live.record.verdict, live.record.ended_by) = (Verdict::Ok, Side::Done);
        Ok(())
    }

    async fn lost(mut self, live: &mut Live<'_>) -> Result<(), Refusal> {
        #[cfg(test)]
        if self.gateway.sabotage == crate::world::Sabotage::GivesUp {
            let at_deadline = self.gateway.settings.tasks.terms.at_deadline;
            self.change(move |task, now| task.give_up(now, at_deadline)).await?;
            live.record.charge = self.task.charge;
            return Err(self.unknown());
        }
        live.record.charge = self.task.charge;
        let (terms, roll) = (self.gateway.settings.tasks.terms, self.gateway.dice.roll());
        let listed = Adapter::of_name(&self.task.adapter).is_some_and(|adapter| !adapter.look.is_empty());
        self.change(move |task, now| if listed { task.lose(now, &terms, roll) } else { task.give_up(now, terms.at_deadline) }).await?;
        self.gateway.task_news.notify_one();
        live.record.charge = self.task.charge;
        Err(self.unknown())
    }

    /// Nobody knows whether it was taken: it must not be submitted again, and is asked for where the upstream can be asked.
    fn unknown(&self) -> Refusal {
        let (id, address) = (self.task.id(), address(&self.task));
        let refusal = Refusal::of(Verdict::OutcomeUnknown).scope(Scope::Upstream).by(Side::Upstream).status(502).never_retry();
        let looks = if Adapter::of_name(&self.task.adapter).is_some_and(Adapter::finds_lost) {
            "weir looks for it"
        } else {
            "its upstream cannot be asked for a job without an id, so it may run unseen"
        };
        refusal.saying(format_args!("task {id} was sent and no answer came; {looks}, and GET {address} tells its state"))
    }
}

/// Whether an error proves that no job runs. What a proxy says on behalf of an upstream proves nothing, nor does a conflict.
fn is_no(status: u16, body: &[u8]) -> bool {
    let is_json = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    match status {
        408 | 409 | 425 | 499 => false,
        400..=498 => true,
        501 | 503 | 529 => is_json,
        _ => false,
    }
}
