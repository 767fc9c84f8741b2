//! How calls are retried, as an operator writes it: `[policy.NAME]`, `[retry]` and `[breaker]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{BreakerTerms, BudgetTerms, Policies, RetryPolicy, Scenario};

use super::{Config, Span};

/// How calls of each kind of use are retried. A table that is written holds every value; one that is not is built in.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PolicyTables {
    /// Somebody waits for the answer. What calls are that name no other scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) short_chat: Option<Policy>,
    /// A script runs through many items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<Policy>,
    /// An image or a video is made, dear and once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media_task: Option<Policy>,
    /// Several callers use one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shared_key: Option<Policy>,
}

/// One policy. Every value is written: none has a default.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// How long a client waits that announces nothing; it is answered before.
    pub(crate) client_timeout: Span,
    /// The silence that proxies in front bear; `streams.heartbeat` and `streams.open_early` must be shorter.
    pub(crate) proxy_timeout: Span,
    /// What one call may take in all, every attempt and wait included.
    pub(crate) upstream_timeout: Span,
    /// Attempts of one call, the first included.
    #[schemars(range(min = 1, max = 10))]
    pub(crate) max_attempts: u8,
    /// Statuses after which there may be another attempt: 408, 409, 425, 429 and 5xx.
    pub(crate) retry_statuses: Vec<u16>,
    /// The waits where the upstream tells none.
    pub(crate) backoff: Backoff,
    /// The exception for calls that may have cost something already.
    pub(crate) high_cost: HighCost,
    /// What is charged, however many attempts there were.
    pub(crate) charge: ChargeTerms,
    /// The longest told wait that the gateway waits itself; of a longer one the client is told at once.
    pub(crate) patience: Span,
}

/// Waits that double, each anywhere between nothing and its window.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backoff {
    /// The first window.
    pub(crate) base: Span,
    /// No window is longer.
    pub(crate) cap: Span,
    pub(crate) jitter: Jitter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Jitter {
    /// Anywhere between nothing and the window: less would let those that failed together come back together.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HighCost {
    /// What may have reached an upstream that then did not answer is never sent again.
    Never,
    /// Only what provably never left is sent again.
    UnsentOnly,
    /// What was left unanswered may go once to another channel, never again to the same.
    FailoverOnce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChargeTerms {
    /// Once for the call that was answered; nothing where no output came.
    PerCall,
    /// Held at submission, charged once when the task succeeds, given back when it fails.
    PerTask,
}

/// What each upstream's retries are worth.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    /// Retries that an upstream gets for each hundred calls meant for it.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) budget_percent: u32,
    /// Retries that an upstream without traffic gets; one of them comes back every ten seconds.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) floor: u32,
}

impl Default for Retry {
    fn default() -> Self {
        let core = BudgetTerms::default();
        Self { budget_percent: core.percent, floor: core.floor }
    }
}

/// When a channel is taken for unwell, so that others of the same model come first.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Breaker {
    /// The span over which failures are counted.
    pub(crate) window: Span,
    /// So many failures at least, or so many in a row.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) failures: u32,
    /// And such a share of all that was counted.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) percent: u32,
    /// How long it is left alone at first; doubled each time a probe fails.
    pub(crate) open: Span,
    /// At most so long.
    pub(crate) open_max: Span,
    /// Calls, one at a time, that must go well before it is trusted again.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) probes: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        let core = BreakerTerms::default();
        Self {
            window: Span(core.window),
            failures: core.failures,
            percent: core.percent,
            open: Span(core.open),
            open_max: Span(core.open_max),
            probes: core.probes,
        }
    }
}

impl PolicyTables {
    /// Puts the built-in policies where none is written. They let calls last as long as the limits in force do.
    pub(crate) fn complete(&mut self, longest: Duration) {
        for (scenario, place) in Scenario::ALL.into_iter().zip(self.places()) {
            place.get_or_insert_with(|| Policy::of(&RetryPolicy::built_in(scenario).lasting(longest)));
        }
    }

    fn places(&mut self) -> [&mut Option<Policy>; 4] {
        [&mut self.short_chat, &mut self.batch, &mut self.media_task, &mut self.shared_key]
    }

    /// Every scenario with its policy, as far as there is one.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Scenario, &Policy)> {
        let places = [&self.short_chat, &self.batch, &self.media_task, &self.shared_key];
        Scenario::ALL.into_iter().zip(places).filter_map(|(scenario, place)| Some((scenario, place.as_ref()?)))
    }

    /// As the gateway takes them.
    pub(crate) fn core(&self) -> Policies {
        let of = |place: &Option<Policy>, scenario| place.as_ref().map_or_else(|| RetryPolicy::built_in(scenario), Policy::core);
        Policies {
            short_chat: of(&self.short_chat, Scenario::ShortChat),
            batch: of(&self.batch, Scenario::Batch),
            media_task: of(&self.media_task, Scenario::MediaTask),
            shared_key: of(&self.shared_key, Scenario::SharedKey),
        }
    }
}

impl Policy {
    fn of(policy: &RetryPolicy) -> Self {
        Self {
            client_timeout: Span(policy.client_timeout),
            proxy_timeout: Span(policy.proxy_timeout),
            upstream_timeout: Span(policy.upstream_timeout),
            max_attempts: policy.max_attempts,
            retry_statuses: policy.retry_statuses.clone(),
            backoff: Backoff { base: Span(policy.backoff.base), cap: Span(policy.backoff.cap), jitter: Jitter::Full },
            high_cost: match policy.high_cost {
                weir_core::HighCost::Never => HighCost::Never,
                weir_core::HighCost::UnsentOnly => HighCost::UnsentOnly,
                weir_core::HighCost::FailoverOnce => HighCost::FailoverOnce,
            },
            charge: match policy.charge {
                weir_core::ChargeTerms::PerCall => ChargeTerms::PerCall,
                weir_core::ChargeTerms::PerTask => ChargeTerms::PerTask,
            },
            patience: Span(policy.patience),
        }
    }

    pub(crate) fn core(&self) -> RetryPolicy {
        RetryPolicy {
            client_timeout: self.client_timeout.0,
            proxy_timeout: self.proxy_timeout.0,
            upstream_timeout: self.upstream_timeout.0,
            max_attempts: self.max_attempts,
            retry_statuses: self.retry_statuses.clone(),
            backoff: weir_core::Backoff { base: self.backoff.base.0, cap: self.backoff.cap.0 },
            high_cost: match self.high_cost {
                HighCost::Never => weir_core::HighCost::Never,
                HighCost::UnsentOnly => weir_core::HighCost::UnsentOnly,
                HighCost::FailoverOnce => weir_core::HighCost::FailoverOnce,
            },
            charge: match self.charge {
                ChargeTerms::PerCall => weir_core::ChargeTerms::PerCall,
                ChargeTerms::PerTask => weir_core::ChargeTerms::PerTask,
            },
            patience: self.patience.0,
        }
    }
}

impl Retry {
    pub(crate) fn core(&self) -> BudgetTerms {
        BudgetTerms { percent: self.budget_percent, floor: self.floor }
    }
}

impl Breaker {
    pub(crate) fn core(&self) -> BreakerTerms {
        BreakerTerms {
            window: self.window.0,
            failures: self.failures,
            percent: self.percent,
            open: self.open.0,
            open_max: self.open_max.0,
            probes: self.probes,
        }
    }
}

impl Config {
    /// The longest that any limit lets a call last.
    pub(crate) fn longest_total(&self) -> Duration {
        let rules = self.timeouts.rule.iter().filter_map(|rule| rule.total);
        rules.chain([self.timeouts.total]).map(|total| total.0).max().unwrap_or_default()
    }
}
