//! What an attempt's end means for its row, for the run, and for what the server bears.

use std::{io, time::Duration};

use weir_core::{
    Blame, Failure, RetryDecision, RetryPolicy, Route, Scenario, Standing, StopReason, TaskState, Timestamp, Usage,
    retry::{MAX_ATTEMPTS, decide},
};
use weir_wire::{UpstreamClass, limits::limits_left, tasks};

use super::{
    conductor::{Conductor, End},
    job::{Job, Step},
    journal::{FailedHow, Record},
    output::{Reason, result_of},
    snapshot::Halt,
    standing::TASK_IDS,
    throttle::Ended,
};
use crate::{
    Said, Sent,
    client::{Lost, Memory, Problem, look_wait, only, read_job},
};

/// Failed rows in a row after which the run stops: whatever it is, it concerns them all.
const FAILING: u64 = 50;
/// Looks at a job that brought nothing, after which nobody is asked any more.
const MISSES: u32 = 60;
/// A lost job may take a moment to appear in its server's list.
const FIND_AFTER: Duration = Duration::from_secs(2);
/// Tries to find a lost job.
const FINDS: u32 = 4;
/// What an answered retry earns, and the most that is earned: while retries succeed, others may follow quickly.
const EARNS: u32 = 2;
const EARNED: u32 = 64;
/// Output tokens of a row that names no bound, before any was answered.
const USUAL: u64 = 512;

/// How rows are retried, and what they usually bring.
pub(super) struct Judge {
    batch: RetryPolicy,
    media: RetryPolicy,
    usual: u64,
    /// Failed rows since the last good answer.
    failing: u64,
}

impl Judge {
    pub(super) fn new(max_wait: Duration) -> Self {
        let lasting = |scenario| RetryPolicy { patience: max_wait, ..RetryPolicy::built_in(scenario) };
        Self { batch: lasting(Scenario::Batch), media: lasting(Scenario::MediaTask), usual: USUAL, failing: 0 }
    }

    pub(super) fn usual_output(&self) -> u64 {
        self.usual
    }

    fn learn(&mut self, usage: &Usage) {
        self.usual = (self.usual * 31 + usage.output).div_ceil(32);
    }
}

impl Conductor {
    /// Takes an attempt's end in.
    pub(super) fn ended(&mut self, end: End) -> io::Result<()> {
        match end.job.step {
            Step::Send => self.sent(end),
            Step::Look(_) => self.looked(end),
            Step::Find => self.searched(end),
        }
    }

    fn sent(&mut self, end: End) -> io::Result<()> {
        let now = self.now();
        let End { mut job, ticket, took, outcome } = end;
        job.ended = Some(now);
        let left = outcome.as_ref().map(|said| limits_left(said.headers(), now)).unwrap_or_default();
        let problem = outcome.as_ref().ok().and_then(|said| said.problem(job.row.route, now));
        let usage = outcome.as_ref().ok().and_then(|said| said.usage(job.row.route));
        if let Some(ticket) = ticket {
            let how = match (&outcome, &problem) {
                (Ok(_), None) => Ended::Answered { took, used: usage.map(|usage| usage.input + usage.output) },
                (Ok(said), Some(problem)) => said_of_the_server(said, problem),
                (Err(_), _) => Ended::Troubled { told: None },
            };
            self.throttle.end(ticket, how, &left, now);
        }
        if job.attempts > 1 {
            self.tally.retried += 1;
            let is_good = outcome.is_ok() && problem.is_none();
            self.earned = if is_good { (self.earned + EARNS).min(EARNED) } else { self.earned / 2 };
        }
        match (outcome, problem) {
            (Ok(said), None) => self.answered(job, &said, usage, now),
            (Ok(said), Some(problem)) => self.refused(job, &said, &problem, now),
            (Err(lost), _) => self.lost(job, &lost, now),
        }
    }

    fn answered(&mut self, mut job: Job, said: &Said, usage: Option<Usage>, now: Timestamp) -> io::Result<()> {
        if job.row.is_media() {
            match read_job(job.row.route, &job.row.model, said) {
                (Some(id), Some(state)) if state.is_open() && job.follow(&id) => {
                    self.book.note(&Record::Task { row: job.row.number, id });
                    self.book.flush()?;
                    self.later(job, now.after(look_wait(0)));
                    return Ok(());
                }
                (Some(_), Some(state)) if !state.is_open() => return self.job_ended(job, state, said),
                // The answer is the picture itself.
                _ => {}
            }
        }
        usage.iter().for_each(|usage| self.judge.learn(usage));
        self.judge.failing = 0;
        let usage = usage.unwrap_or_default();
        self.tally.input_tokens += usage.input;
        self.tally.output_tokens += usage.output;
        let cost = self.spend.settle(&mut job, Some(&usage).filter(|usage| **usage != Usage::default()));
        self.book.answered(&job.row, said, cost)
    }

    fn refused(&mut self, mut job: Job, said: &Said, problem: &Problem, now: Timestamp) -> io::Result<()> {
        self.spend.release(&mut job);
        // Between the server and us somebody gave up: the work may have been done.
        job.unanswered |= !said.is_of_weir() && matches!(said.status, 502 | 504 | 520..=524);
        let is_rate = matches!(problem.class, UpstreamClass::RateLimit | UpstreamClass::DailyQuota);
        self.tally.refused += u64::from(is_rate);
        // What concerns every row stops the run and leaves the row as it was.
        let halt = match problem.failure {
            Failure::Refused { blame: Blame::Credential, .. } => Some(Halt::Denied { status: said.status }),
            Failure::Refused { blame: Blame::DailyQuota, told: None, .. } => Some(Halt::Told { until: None }),
            _ => None,
        };
        let (decision, reason) = match halt {
            Some(_) => (None, StopReason::Useless),
            None => {
                let seen = failure_for(&job, problem);
                self.decide(&mut job, seen, now)
            }
        };
        let halt = halt.or_else(|| (reason == StopReason::Patience).then_some(Halt::Told { until: problem.told }));
        if halt.is_some() || decision.is_some() {
            // A name that was sent and not answered before is no clean refusal now.
            let (row, until) = (job.row.number, problem.told.max(decision));
            self.book.note(&if job.unanswered { Record::Silent { row, until } } else { Record::PutBack { row, until } });
        }
        if let Some(halt) = halt {
            self.halt.get_or_insert(halt);
            return self.book.flush();
        }
        if let Some(at) = decision {
            self.later(job, at);
            return Ok(());
        }
        let code = problem.error.code.clone().unwrap_or_else(|| problem.class.name().to_owned());
        let message = format!("the server said {}", said.status);
        self.give_up(&job, Some(said), FailedHow::Refused, Reason { code: &code, message })
    }

    fn lost(&mut self, mut job: Job, lost: &Lost, now: Timestamp) -> io::Result<()> {
        if lost.sent == Sent::No {
            self.spend.release(&mut job);
            let row = job.row.number;
            self.book.note(&if job.unanswered { Record::Silent { row, until: None } } else { Record::PutBack { row, until: None } });
        } else {
            // It may have been made, and paid for.
            if self.line.memory() != Memory::Remembers {
                self.spend.settle(&mut job, None);
            }
            self.spend.release(&mut job);
            job.unanswered = true;
            self.book.note(&Record::Silent { row: job.row.number, until: None });
            if job.row.is_media() && self.line.memory() != Memory::Remembers {
                self.search(job, now);
                return self.book.flush();
            }
        }
        // Asked again under the same name: where the server remembers, that is a question; elsewhere the summary says so.
        match self.decide(&mut job, Failure::Unsent, now) {
            (Some(at), _) => {
                self.later(job, at);
                Ok(())
            }
            (None, _) => {
                let how = if job.unanswered { FailedHow::Silent } else { FailedHow::Refused };
                let code = if job.unanswered { "no_answer" } else { "no_connection" };
                self.give_up(&job, None, how, Reason { code, message: lost.to_string() })
            }
        }
    }

    /// When the row may be sent again, or why not.
    fn decide(&mut self, job: &mut Job, seen: Failure, now: Timestamp) -> (Option<Timestamp>, StopReason) {
        let is_rate = matches!(seen, Failure::Refused { blame: Blame::Rate, .. });
        let by_media = Self::scenario(job) == Scenario::MediaTask && !is_rate;
        let mut policy = if by_media { self.judge.media.clone() } else { self.judge.batch.clone() };
        if is_rate {
            // The limit is the key's, not the row's: it may take a few more turns.
            policy.max_attempts = MAX_ATTEMPTS;
        }
        let at = Standing {
            attempts: job.attempts,
            waited: job.waited,
            unanswered_before: job.unanswered,
            elsewhere: false,
            remaining: Duration::MAX,
            now,
            roll: self.dice.roll(),
        };
        match decide(&policy, seen, &at) {
            RetryDecision::Retry { wait, .. } => {
                job.waited = wait;
                (Some(now.after(wait)), StopReason::Attempts)
            }
            RetryDecision::Stop(reason) => (None, reason),
        }
    }

    fn give_up(&mut self, job: &Job, said: Option<&Said>, how: FailedHow, reason: Reason<'_>) -> io::Result<()> {
        self.tally.fail(reason.code);
        self.judge.failing += 1;
        if self.judge.failing >= FAILING {
            self.halt.get_or_insert(Halt::Failing { rows: self.judge.failing });
        }
        self.book.failed(&job.row, said, how, reason)
    }

    /// Looks for a job whose answer was lost. It is never submitted again.
    pub(super) fn search(&mut self, mut job: Job, now: Timestamp) {
        job.misses = 0;
        if job.list().is_some() && job.first_sent.is_some() && self.book.standings.task_ids.len() < TASK_IDS {
            job.step = Step::Find;
            self.later(job, now.after(FIND_AFTER));
        } else if let Err(error) = self.nobody_knows(&job) {
            self.halt.get_or_insert(Halt::Disk(error.kind()));
        }
    }

    fn nobody_knows(&mut self, job: &Job) -> io::Result<()> {
        let message = "it was sent, no answer came, and nothing tells what became of it; it was not sent again".to_owned();
        self.give_up(job, None, FailedHow::Unknown, Reason { code: "outcome_unknown", message })
    }

    fn searched(&mut self, end: End) -> io::Result<()> {
        let now = self.now();
        let mut job = end.job;
        let found = match (&end.outcome, job.adapter(), tasks::ask(&job.row.body), job.first_sent) {
            (Ok(said), Some(adapter), Ok(asked), Some(at)) if said.status == 200 => {
                only(adapter, &said.body, &job.row.model, &asked, at, &self.book.standings.task_ids)
            }
            _ => None,
        };
        if let Some(id) = found.filter(|id| job.follow(id)) {
            self.book.note(&Record::Task { row: job.row.number, id });
            self.later(job, now);
            return self.book.flush();
        }
        job.misses += 1;
        if job.misses >= FINDS {
            return self.nobody_knows(&job);
        }
        let wait = look_wait(job.misses);
        self.later(job, now.after(wait));
        Ok(())
    }

    fn looked(&mut self, end: End) -> io::Result<()> {
        let now = self.now();
        let mut job = end.job;
        let state = match &end.outcome {
            Ok(said) if said.status == 200 => read_job(job.row.route, &job.row.model, said).1,
            _ => None,
        };
        if let (Some(state), Ok(said)) = (state.filter(|state| !state.is_open()), &end.outcome) {
            return self.job_ended(job, state, said);
        }
        job.looks = job.looks.saturating_add(1);
        job.misses = if state.is_some() { 0 } else { job.misses + 1 };
        if job.misses >= MISSES {
            return self.nobody_knows(&job);
        }
        let told = end.outcome.ok().and_then(|said| said.problem(Route::Unknown, now)?.told);
        let wait = look_wait(job.looks);
        self.later(job, now.after(wait).max(told.unwrap_or(now)));
        Ok(())
    }

    fn job_ended(&mut self, mut job: Job, state: TaskState, said: &Said) -> io::Result<()> {
        match state {
            TaskState::Succeeded => {
                let is_picture = job.row.route == Route::ImageGenerations;
                let result = if is_picture { result_of(said) } else { None };
                if is_picture && result.is_none() {
                    let message = "the pictures were made and the server no longer keeps them".to_owned();
                    return self.give_up(&job, Some(said), FailedHow::Refused, Reason { code: "result_gone", message });
                }
                self.judge.failing = 0;
                let cost = self.spend.settle(&mut job, None);
                self.book.answered(&job.row, result.as_ref().unwrap_or(said), cost)
            }
            TaskState::Unknown => {
                self.spend.release(&mut job);
                self.nobody_knows(&job)
            }
            _ => {
                self.spend.release(&mut job);
                let message = format!("the job ended as {}", state.label());
                self.give_up(&job, Some(said), FailedHow::Refused, Reason { code: "job_failed", message })
            }
        }
    }
}

/// What a refusal says about what the server bears.
fn said_of_the_server(said: &Said, problem: &Problem) -> Ended {
    match problem.class {
        UpstreamClass::RateLimit | UpstreamClass::DailyQuota => Ended::Refused { told: problem.told, firm: is_of_the_key(said) },
        UpstreamClass::Overloaded | UpstreamClass::Timeout | UpstreamClass::Upstream | UpstreamClass::StreamCut => {
            Ended::Troubled { told: problem.told }
        }
        _ => Ended::Beside,
    }
}

/// Whether a refusal is about all that this key sends. weir says whose limit it is; others leave it open.
fn is_of_the_key(said: &Said) -> bool {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Scoped<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Scoped<'a> {
        scope: &'a str,
    }
    let scope = serde_json::from_slice::<Body<'_>>(&said.body).map(|body| body.error.scope);
    said.is_of_weir() && scope.is_ok_and(|scope| matches!(scope, "key" | "account" | "group"))
}

/// A day's quota that opens soon enough is waited for like any other rate. A job that the server was in trouble about may exist.
fn failure_for(job: &Job, problem: &Problem) -> Failure {
    match problem.failure {
        Failure::Refused { blame: Blame::DailyQuota, told: Some(told), .. } => {
            Failure::Refused { status: 429, blame: Blame::Rate, told: Some(told) }
        }
        Failure::Refused { blame: Blame::Upstream, .. } if job.row.is_media() => Failure::Unanswered,
        failure => failure,
    }
}
