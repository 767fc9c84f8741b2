//! Whether there is a next attempt, after what wait, and whether on another channel. Pure and total: time and chance are arguments.

mod budget;
mod policy;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use budget::{BudgetTerms, FLOOR_EVERY, RetryBudget};
pub use policy::{Backoff, ChargeTerms, HighCost, MAX_ATTEMPTS, Policies, RetryPolicy, is_never_retried};

use crate::{Timestamp, health::Outcome};

/// Who is to blame for a refusal, which says whether another attempt can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Too much at once: the same channel later, or another one now, may well take it.
    Rate,
    /// The upstream is in trouble.
    Upstream,
    /// The request itself: no channel takes it.
    Request,
    /// The channel's own credential or balance. The operator mends it, no retry does.
    Credential,
    /// The channel may not use this model.
    Rights,
    /// A limit of a day or longer.
    DailyQuota,
}

/// What a failed attempt left behind. Nothing of an answer had been passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No byte of the request left: sending again cannot answer or charge twice.
    Unsent,
    /// Bytes were sent, and what became of them is unknown or useless: sending again may cost twice.
    Unanswered,
    /// The upstream refused. `status` is what its error means, also where it came inside a 200; `told` is when it may be asked again.
    Refused { status: u16, blame: Blame, told: Option<Timestamp> },
    /// Nothing can be mended, or nobody is left to mend it for: the client left, the time is up, the gateway stops.
    Final,
}

impl Failure {
    /// When the upstream said that it may be asked again.
    #[must_use]
    pub fn told(self) -> Option<Timestamp> {
        if let Self::Refused { told, .. } = self { told } else { None }
    }

    /// Whether another channel of the same upstream is as good as another upstream.
    #[must_use]
    pub fn is_of_the_channel(self) -> bool {
        matches!(self, Self::Unanswered | Self::Refused { blame: Blame::Rate | Blame::Credential | Blame::Rights | Blame::DailyQuota, .. })
    }
}

impl From<Failure> for Outcome {
    /// What a failure says about the channel.
    fn from(seen: Failure) -> Self {
        let Failure::Refused { status, blame, told } = seen else {
            return if seen == Failure::Final { Self::Nothing } else { Self::Failed { told: None } };
        };
        match blame {
            Blame::Rate => Self::Throttled { told },
            Blame::Credential => Self::Denied,
            // A day's quota without a told end is gone for longer than a moment's cooling.
            Blame::DailyQuota if told.is_some() => Self::Throttled { told },
            Blame::DailyQuota | Blame::Rights => Self::ModelDenied,
            Blame::Request => Self::Nothing,
            // A lock or an early request is no sign of ill health; only time-outs and rates are among the 4xx.
            Blame::Upstream if matches!(status, 400..=407 | 409..=428 | 430..=499) => Self::Nothing,
            Blame::Upstream => Self::Failed { told },
        }
    }
}

/// Where a call stands after a failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Attempts made, this one included.
    pub attempts: u8,
    /// The longest wait before any of them.
    pub waited: Duration,
    /// An earlier attempt was left unanswered already.
    pub unanswered_before: bool,
    /// A healthy channel that this call has not tried is there for it.
    pub elsewhere: bool,
    /// How long the client, the call's total and what the SDK announced still allow.
    pub remaining: Duration,
    pub now: Timestamp,
    /// Chance, evenly spread.
    pub roll: u128,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// One more, after `wait`; `elsewhere`: on a channel that was not tried yet.
    Retry {
        wait: Duration,
        elsewhere: bool,
    },
    Stop(StopReason),
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Another attempt could not mend it.
    Useless,
    /// It may have cost something already, and the policy forbids to risk it twice.
    MayCostTwice,
    /// The policy's attempts are made.
    Attempts,
    /// The upstream told a longer wait than the gateway waits itself: the client is told it instead.
    Patience,
    /// The wait would outlast the call.
    Time,
    /// The upstream's retries are used up; said by whoever holds the [`RetryBudget`].
    Budget,
}

/// Decides after a failed attempt.
///
/// A wait is never shorter than the one before it in the same call, and never ends before the instant that the upstream told.
/// Another channel owes the first one no wait, so a failover comes at once, or after as long as was waited before.
#[must_use]
pub fn decide(policy: &RetryPolicy, seen: Failure, at: &Standing) -> RetryDecision {
    if let Some(reason) = forbidden(policy, seen, at) {
        return RetryDecision::Stop(reason);
    }
    if at.attempts >= policy.max_attempts {
        return RetryDecision::Stop(StopReason::Attempts);
    }
    // A moment that has come is no hint: obeying it would be a retry without a wait.
    let told = seen.told().map(|told| told.since(at.now)).filter(|wait| !wait.is_zero());
    let wait = match told {
        _ if at.elsewhere => Duration::ZERO,
        Some(told) if told > policy.patience => return RetryDecision::Stop(StopReason::Patience),
        // A little later than told: whoever else was told the same comes then, too.
        Some(told) => told.saturating_add(upto(told / 10, at.roll)),
        None => policy.backoff.wait(at.attempts, at.roll),
    };
    let wait = wait.max(at.waited);
    if wait >= at.remaining {
        return RetryDecision::Stop(StopReason::Time);
    }
    RetryDecision::Retry { wait, elsewhere: at.elsewhere }
}

fn forbidden(policy: &RetryPolicy, seen: Failure, at: &Standing) -> Option<StopReason> {
    match seen {
        Failure::Unsent => None,
        Failure::Final => Some(StopReason::Useless),
        Failure::Unanswered => {
            let allowed = policy.high_cost == HighCost::FailoverOnce && at.elsewhere && !at.unanswered_before;
            (!allowed).then_some(StopReason::MayCostTwice)
        }
        Failure::Refused { status, blame, .. } => match blame {
            Blame::Request => Some(StopReason::Useless),
            // The operator's own trouble with one channel, whatever its status: never again on it, but another's credential may be sound.
            Blame::Credential | Blame::Rights | Blame::DailyQuota => {
                let allowed = at.elsewhere && policy.high_cost != HighCost::UnsentOnly;
                (!allowed).then_some(StopReason::Useless)
            }
            Blame::Rate | Blame::Upstream if !policy.retries(status) => Some(StopReason::Useless),
            Blame::Rate | Blame::Upstream => (policy.high_cost == HighCost::UnsentOnly).then_some(StopReason::MayCostTwice),
        },
    }
}

/// A span between nothing and `most`, evenly spread, in whole milliseconds.
pub(crate) fn upto(most: Duration, roll: u128) -> Duration {
    let span = most.as_millis();
    Duration::from_millis(u64::try_from(roll % span.saturating_add(1)).unwrap_or(u64::MAX))
}
