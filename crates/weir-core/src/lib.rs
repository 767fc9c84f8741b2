//! The nouns and the decisions of weir: charge, key, verdict, timeouts, the record of a call.
//!
//! Pure: no IO, no async, no clock, no dice, no JSON. Time and chance are arguments.

pub mod again;
pub mod amount;
pub mod call;
pub mod charge;
pub mod evidence;
pub mod health;
pub mod id;
pub mod key;
pub mod limit;
pub mod redact;
pub mod retry;
pub mod route;
pub mod secret;
pub mod task;
pub mod time;
pub mod timeouts;
pub mod verdict;

pub use again::{Belonging, Claim, Earlier, How};
pub use amount::{Amount, Overflow, Price, Usage, UsageSource};
pub use call::{AttemptRecord, CallRecord, ClientFacts, Phase, Side, StreamEnd, StreamFacts, Timing, Told};
pub use charge::{Charge, ChargeFacts, ChargeRule, Charged, Released, Reserved, Settled};
pub use health::{BreakerTerms, Fitness, Health, Outcome};
pub use id::RequestId;
pub use key::{ApiKey, KeyId, KeyShapeError};
pub use limit::{LimitFacts, LimitKind, LimitScope, Limits};
pub use redact::{Audience, Kind, Leak, RedactStream, Redacted, Redactor};
pub use retry::{
    Backoff, Blame, BudgetTerms, ChargeTerms, Failure, HighCost, Policies, RetryBudget, RetryDecision, RetryPolicy, Standing, StopReason,
};
pub use route::{Dialect, Route};
pub use secret::{KeyFingerprint, Secret, mask_foreign};
pub use task::{TaskRecord, TaskShape, TaskState, TaskTerms};
pub use time::{Clock, Timestamp};
pub use timeouts::Timeouts;
pub use verdict::{Class, Lang, Level, Owner, RetryWord, Scenario, Verdict};
