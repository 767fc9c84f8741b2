//! A call: attempts until one is answered or the policy says that there is no further one.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_core::{Failure, RetryDecision, RetryPolicy, Scenario, Standing, StopReason, Timestamp, retry::decide};

use super::{Ask, Client, Lost, Memory, Problem, Said};
use crate::Sent;

/// Why a call was not answered, after all its attempts.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server said no, and went on saying so for as long as the policy allows to ask.
    #[error("get an answer: the server said {}{}{}", .problem.error.status, made(.attempts), when(&.problem.told))]
    Refused { problem: Box<Problem>, said: Box<Said>, attempts: u8, reason: StopReason },
    /// Nothing was sent.
    #[error("{lost}{}", made(.attempts))]
    Unsent { lost: Lost, attempts: u8 },
    /// It was sent, and what became of it is not known: it is not sent again.
    #[error("{lost}: what became of it is not known{}", made(.attempts))]
    OutcomeUnknown { lost: Lost, attempts: u8 },
}

fn made(attempts: &u8) -> String {
    if *attempts > 1 { format!(" ({attempts} attempts)") } else { String::new() }
}

fn when(told: &Option<Timestamp>) -> String {
    told.map_or_else(String::new, |told| format!("; try again after {}", told.rfc3339()))
}

impl CallError {
    /// Attempts that were made, the first included.
    #[must_use]
    pub fn attempts(&self) -> u8 {
        match self {
            Self::Refused { attempts, .. } | Self::Unsent { attempts, .. } | Self::OutcomeUnknown { attempts, .. } => *attempts,
        }
    }

    /// When the server told that it may be asked again.
    #[must_use]
    pub fn told(&self) -> Option<Timestamp> {
        if let Self::Refused { problem, .. } = self { problem.told } else { None }
    }
}

/// How one attempt went wrong.
pub(super) enum Wrong {
    Refused(Box<Problem>, Box<Said>),
    Lost(Lost),
}

impl Wrong {
    pub(super) fn into_error(self, attempts: u8, reason: StopReason) -> CallError {
        match self {
            Self::Refused(problem, said) => CallError::Refused { problem, said, attempts, reason },
            Self::Lost(lost) if lost.sent == Sent::No => CallError::Unsent { lost, attempts },
            Self::Lost(lost) => CallError::OutcomeUnknown { lost, attempts },
        }
    }
}

/// The attempts of one call so far.
pub(super) struct Course<'a> {
    client: &'a Client,
    policy: &'a RetryPolicy,
    /// Whether the server would know the call if it came again.
    named: bool,
    /// A question changes nothing: asking it again is always safe.
    question: bool,
    began: Instant,
    attempts: u8,
    waited: Duration,
    unanswered: bool,
}

impl<'a> Course<'a> {
    pub(super) fn new(client: &'a Client, ask: &Ask) -> Self {
        client.budget().deposit();
        Self {
            client,
            policy: client.policies.of(ask.scenario),
            named: ask.idempotency_key.is_some(),
            question: ask.method == http::Method::GET,
            began: Instant::now(),
            attempts: 0,
            waited: Duration::ZERO,
            unanswered: false,
        }
    }

    pub(super) fn begin(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    /// What a failed attempt means. One that the server remembers by name, or that only asked, is as good as unsent.
    fn failure(&self, wrong: &Wrong) -> Failure {
        match wrong {
            Wrong::Refused(problem, _) => problem.failure,
            Wrong::Lost(lost) if lost.sent == Sent::No || self.question => Failure::Unsent,
            Wrong::Lost(_) if self.named && self.client.memory() == Memory::Remembers => Failure::Unsent,
            Wrong::Lost(_) => Failure::Unanswered,
        }
    }

    /// Waits for the next attempt, or gives back why there is none.
    pub(super) async fn next(&mut self, wrong: Wrong) -> Result<(), CallError> {
        let seen = self.failure(&wrong);
        let now = self.client.surroundings.clock.now();
        let at = Standing {
            attempts: self.attempts,
            waited: self.waited,
            unanswered_before: self.unanswered,
            elsewhere: false,
            remaining: self.policy.upstream_timeout.saturating_sub(self.began.elapsed()),
            now,
            roll: self.client.surroundings.dice.roll(),
        };
        self.unanswered |= seen == Failure::Unanswered;
        match decide(self.policy, seen, &at) {
            RetryDecision::Stop(reason) => Err(wrong.into_error(self.attempts, reason)),
            RetryDecision::Retry { .. } if !self.client.budget().withdraw(now) => Err(wrong.into_error(self.attempts, StopReason::Budget)),
            RetryDecision::Retry { wait, .. } => {
                self.waited = wait;
                sleep(wait).await;
                Ok(())
            }
        }
    }
}

impl Client {
    /// Asks until there is a good answer, as its scenario's policy says. The idempotency key stays the same through all attempts.
    ///
    /// # Errors
    /// See [`CallError`]. Dropping the future cancels the running attempt.
    pub async fn call(&self, ask: &Ask) -> Result<Said, CallError> {
        let (route, mut course) = (ask.route(), Course::new(self, ask));
        loop {
            course.begin();
            let wrong = match self.attempt(ask).await {
                Ok(said) => match said.problem(route, self.surroundings.clock.now()) {
                    None => return Ok(said),
                    Some(problem) => Wrong::Refused(Box::new(problem), Box::new(said)),
                },
                Err(lost) => Wrong::Lost(lost),
            };
            course.next(wrong).await?;
        }
    }

    /// How calls of a scenario are retried.
    #[must_use]
    pub fn policy(&self, scenario: Scenario) -> &RetryPolicy {
        self.policies.of(scenario)
    }
}
