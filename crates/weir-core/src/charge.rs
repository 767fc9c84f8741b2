//! The cost of one call. A hold that is settled or released once, by type.

use serde::{Deserialize, Serialize};

use crate::{Amount, RequestId, Usage, UsageSource};

/// A charge in state `S`: [`Reserved`], then [`Settled`] or [`Released`].
///
/// Both ends consume the hold, so ending it twice does not compile:
/// ```compile_fail
/// # use weir_core::*;
/// let hold = Charge::reserve(RequestId::from_bytes([0; 16]), Amount(5));
/// let done = hold.settle(Amount(3), ChargeRule::Complete);
/// let again = hold.release(ChargeRule::Refused);
/// ```
#[must_use = "a held charge must be settled or released"]
#[derive(Debug)]
pub struct Charge<S> {
    call: RequestId,
    held: Amount,
    state: S,
}

/// Held before the upstream is called.
#[derive(Debug)]
pub struct Reserved(());

/// Charged `amount` by `rule`.
#[derive(Debug)]
pub struct Settled {
    pub amount: Amount,
    pub rule: ChargeRule,
}

/// Given back by `rule`.
#[derive(Debug)]
pub struct Released {
    pub rule: ChargeRule,
}

impl<S> Charge<S> {
    pub fn call(&self) -> RequestId {
        self.call
    }

    pub fn held(&self) -> Amount {
        self.held
    }

    pub fn state(&self) -> &S {
        &self.state
    }
}

impl Charge<Reserved> {
    /// A hold of `held` for `call`. Only the store calls this, after it made the hold durable.
    pub fn reserve(call: RequestId, held: Amount) -> Self {
        Self { call, held, state: Reserved(()) }
    }

    /// Ends the hold as a charge of `used`, which may differ from what was held.
    pub fn settle(self, used: Amount, rule: ChargeRule) -> Charge<Settled> {
        Charge { call: self.call, held: self.held, state: Settled { amount: used, rule } }
    }

    /// Ends the hold without a charge.
    pub fn release(self, rule: ChargeRule) -> Charge<Released> {
        Charge { call: self.call, held: self.held, state: Released { rule } }
    }
}

/// Why a call cost what it did; named in every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeRule {
    /// Refused or failed before output: not charged.
    #[default]
    Refused,
    /// Complete: its usage.
    Complete,
    /// Cut by the upstream or a timeout: what was delivered.
    Delivered,
    /// The client left and did not come back: what was delivered.
    ClientLeft,
    /// The client left and the policy is `finish`: all of it.
    Finished,
    /// The gateway died during the call: what its hold said was delivered.
    Restart,
    /// A task: held until it ends.
    Task,
    /// The task succeeded: what its upstream reported, never more than was held.
    TaskDone,
    /// The task failed, was cancelled or never began: not charged.
    TaskFailed,
    /// Nobody could tell the task's end until its deadline: as the configuration says.
    TaskDeadline,
}

impl ChargeRule {
    /// Whether the charge is a task's: made when the task ends, not when the call does.
    #[must_use]
    pub fn is_of_a_task(self) -> bool {
        matches!(self, Self::Task | Self::TaskDone | Self::TaskFailed | Self::TaskDeadline)
    }
}

/// What support reads about a charge, without an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charged {
    Yes,
    #[default]
    No,
    Pending,
    Refunded,
    Unknown,
}

/// How the charge of a call ended, for its record and its ledger line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChargeFacts {
    pub charged: Charged,
    pub rule: ChargeRule,
    /// What was reserved before the upstream was called.
    pub held: Amount,
    /// What was charged in the end; zero if released.
    pub amount: Amount,
    pub usage: Usage,
    pub usage_source: UsageSource,
}

impl From<(&Charge<Settled>, Usage, UsageSource)> for ChargeFacts {
    fn from((charge, usage, usage_source): (&Charge<Settled>, Usage, UsageSource)) -> Self {
        Self { charged: Charged::Yes, rule: charge.state.rule, held: charge.held, amount: charge.state.amount, usage, usage_source }
    }
}

impl From<&Charge<Released>> for ChargeFacts {
    fn from(charge: &Charge<Released>) -> Self {
        Self { charged: Charged::No, rule: charge.state.rule, held: charge.held, ..Self::default() }
    }
}
