//! How each scenario retries: eight values written down, none left to chance, and how long the gateway waits by itself.

use std::time::Duration;

use super::upto;
use crate::Scenario;

/// No policy makes more attempts than this for one call.
pub const MAX_ATTEMPTS: u8 = 10;

/// How calls of one scenario are retried and how long everybody involved is taken to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How long a client waits that announces nothing: it is answered before.
    pub client_timeout: Duration,
    /// The silence that proxies in front of the gateway bear: heartbeats and the early 200 come sooner.
    pub proxy_timeout: Duration,
    /// What one call may take in all, every attempt and wait included.
    pub upstream_timeout: Duration,
    /// Attempts of one call, the first included; 1 to [`MAX_ATTEMPTS`].
    pub max_attempts: u8,
    /// Statuses after which there may be another attempt.
    pub retry_statuses: Vec<u16>,
    pub backoff: Backoff,
    pub high_cost: HighCost,
    pub charge: ChargeTerms,
    /// The longest told wait that the gateway waits by itself; of a longer one the client is told.
    pub patience: Duration,
}

/// Waits that grow twofold, each anywhere between nothing and its window (full jitter), so that clients that failed together do not
/// come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first window.
    pub base: Duration,
    /// No window is longer.
    pub cap: Duration,
}

impl Backoff {
    /// The wait after `attempts` attempts.
    pub(super) fn wait(self, attempts: u8, roll: u128) -> Duration {
        let doubled = 1_u32.checked_shl(u32::from(attempts.saturating_sub(1))).unwrap_or(u32::MAX);
        upto(self.base.saturating_mul(doubled).min(self.cap), roll)
    }
}

/// The exception for calls that may have cost something already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HighCost {
    /// What may have reached an upstream that then did not answer is never sent again.
    Never,
    /// Only what provably never left is sent again, whatever the upstream answered.
    UnsentOnly,
    /// What was left unanswered may go once to another channel, never again to the same.
    FailoverOnce,
}

impl HighCost {
    pub const ALL: [Self; 3] = [Self::Never, Self::UnsentOnly, Self::FailoverOnce];

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::UnsentOnly => "unsent_only",
            Self::FailoverOnce => "failover_once",
        }
    }
}

/// What is charged, however many attempts there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeTerms {
    /// Once for the call that was answered, by its usage; nothing where no output came.
    PerCall,
    /// Held when the task is submitted, charged once when it succeeds, given back when it fails.
    PerTask,
}

impl ChargeTerms {
    pub const ALL: [Self; 2] = [Self::PerCall, Self::PerTask];

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::PerCall => "per_call",
            Self::PerTask => "per_task",
        }
    }

    /// The only terms that fit a scenario.
    #[must_use]
    pub const fn of(scenario: Scenario) -> Self {
        match scenario {
            Scenario::MediaTask => Self::PerTask,
            Scenario::ShortChat | Scenario::Batch | Scenario::SharedKey => Self::PerCall,
        }
    }
}

/// Whether no policy may name a status: success, redirection, and what waiting cannot mend.
#[must_use]
pub const fn is_never_retried(status: u16) -> bool {
    !matches!(status, 408 | 409 | 425 | 429 | 500..=599)
}

/// A moment's trouble by its nature: timeouts, locks, rates, servers and the proxies before them (520 to 524).
const PASSING: [u16; 14] = [408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529];

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl RetryPolicy {
    /// The policy of a scenario for which the operator wrote none.
    #[must_use]
    pub fn built_in(scenario: Scenario) -> Self {
        let chat = Self {
            // What the OpenAI and Anthropic SDKs wait.
            client_timeout: seconds(600),
            // The strictest of the common proxies and load balancers cut after 30 s of silence.
            proxy_timeout: seconds(30),
            upstream_timeout: seconds(600),
            // A person waits in front of it: two retries mend most of what passes, more only make the wait longer.
            max_attempts: 3,
            retry_statuses: PASSING.to_vec(),
            // 0.5 s and 8 s are what the SDKs themselves use.
            backoff: Backoff { base: Duration::from_millis(500), cap: seconds(8) },
            high_cost: HighCost::FailoverOnce,
            charge: ChargeTerms::of(scenario),
            // Longer than this a person would rather be told when to come back.
            patience: seconds(2),
        };
        match scenario {
            Scenario::ShortChat | Scenario::SharedKey => chat,
            // Nobody watches a batch: it waits longer, and asks more often before an item is lost.
            Scenario::Batch => {
                Self { max_attempts: 5, backoff: Backoff { base: seconds(1), cap: seconds(20) }, patience: seconds(30), ..chat }
            }
            // An image or a video is dear and made once: the second attempt is only for what never left.
            Scenario::MediaTask => Self {
                max_attempts: 2,
                retry_statuses: Vec::new(),
                backoff: Backoff { base: seconds(1), cap: seconds(2) },
                high_cost: HighCost::UnsentOnly,
                patience: Duration::ZERO,
                ..chat
            },
        }
    }

    /// The same where calls may take as long as `total`: whoever allows that takes clients to wait for it.
    #[must_use]
    pub fn lasting(mut self, total: Duration) -> Self {
        self.upstream_timeout = self.upstream_timeout.max(total);
        self.client_timeout = self.client_timeout.max(total);
        self
    }

    /// Whether another attempt may follow an answer with this status.
    #[must_use]
    pub fn retries(&self, status: u16) -> bool {
        !is_never_retried(status) && self.retry_statuses.contains(&status)
    }
}

/// One policy for each scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    pub short_chat: RetryPolicy,
    pub batch: RetryPolicy,
    pub media_task: RetryPolicy,
    pub shared_key: RetryPolicy,
}

impl Policies {
    #[must_use]
    pub fn of(&self, scenario: Scenario) -> &RetryPolicy {
        match scenario {
            Scenario::ShortChat => &self.short_chat,
            Scenario::Batch => &self.batch,
            Scenario::MediaTask => &self.media_task,
            Scenario::SharedKey => &self.shared_key,
        }
    }
}

impl Default for Policies {
    fn default() -> Self {
        let [short_chat, batch, media_task, shared_key] = Scenario::ALL.map(RetryPolicy::built_in);
        Self { short_chat, batch, media_task, shared_key }
    }
}
