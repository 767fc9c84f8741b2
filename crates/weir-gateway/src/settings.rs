//! What an operator decides, already parsed and checked. The binary reads it from `weir.toml`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weir_client::Target;
use weir_core::{ApiKey, BreakerTerms, BudgetTerms, Policies, Price, Route, TaskTerms, Timeouts};
use weir_wire::tasks::Adapter;

/// Everything the gateway needs to know before it starts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub limits: Limits,
    pub streams: Streams,
    pub replay: Replay,
    pub upstreams: Vec<Upstream>,
    pub timeouts: Timeouts,
    /// The first rule that fits a call replaces the four limits for it.
    pub timeout_rules: Vec<TimeoutRule>,
    pub prices: PriceList,
    /// How calls of each scenario are retried.
    pub policies: Policies,
    /// What each upstream's retries are worth.
    pub budget: BudgetTerms,
    /// When a channel is taken for unwell.
    pub breaker: BreakerTerms,
    pub tasks: Tasks,
    /// Group name → patterns of models it may use: exact, or a prefix and `*`.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Group name → what its keys may use together.
    pub group_limits: BTreeMap<String, weir_core::Limits>,
    /// Group name → its own [`Replay::unmarked_retries`].
    pub group_retries: BTreeMap<String, Duration>,
}

/// Bounds of what one client or one call may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A request body. 32 MiB holds several images as base64.
    pub body_bytes: usize,
    /// An answer that is not a stream, kept whole until it is complete.
    pub answer_bytes: usize,
    /// One event of a stream. Partial images are megabytes long.
    pub event_bytes: usize,
    /// The head of a request.
    pub head_bytes: usize,
    /// Client connections at once.
    pub connections: usize,
    /// The head of a request must arrive within this, its body within the next.
    pub header_read: Duration,
    pub body_read: Duration,
    /// How long a call may wait for a limit instead of being refused. Zero: not at all.
    pub max_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            answer_bytes: 64 << 20,
            event_bytes: 16 << 20,
            head_bytes: 64 << 10,
            connections: 20_000,
            // It also bounds how long a connection may rest between two requests; clients pool theirs for up to a minute.
            header_read: Duration::from_secs(75),
            body_read: Duration::from_secs(60),
            // Who is refused learns when to come back; a call that waits in silence looks like a slow model.
            max_wait: Duration::ZERO,
        }
    }
}

/// How streams are kept alive and when they are given up.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// A comment line after this much silence. Below the 30 s at which the strictest common proxies cut.
    pub heartbeat: Duration,
    /// The 200 is opened with a heartbeat when the upstream has not answered by then.
    pub open_early: Duration,
    /// How long a call whose client left waits for it to come back before its upstream is cancelled.
    pub linger: Duration,
    pub client_gone: ClientGone,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            open_early: Duration::from_secs(20),
            linger: Duration::from_secs(10),
            client_gone: ClientGone::Cancel,
        }
    }
}

/// What is kept of answers for requests that belong to the same call.
#[derive(Debug, Clone, Copy)]
pub struct Replay {
    /// How long an answer is kept after its call ended, and an equal request is taken for a possible retry. Longer than any SDK's retries.
    pub window: Duration,
    /// One answer. 1 MiB is some hundred thousand tokens.
    pub answer_bytes: usize,
    /// All answers together; the oldest go first.
    pub bytes: usize,
    /// Calls that are remembered, with or without their answer; the oldest go first. More than can run at once, so that none is forgotten before
    /// its row is written.
    pub calls: usize,
    /// An unmarked request that equals a call which was answered at most this long ago is taken for its retry. Zero: it is a call of its own.
    pub unmarked_retries: Duration,
    /// Answers outlive memory and the process in files of so many bytes together, which only their caller's key opens. `None`: in memory only.
    pub disk_bytes: Option<u64>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(600),
            answer_bytes: 1 << 20,
            bytes: 64 << 20,
            calls: 50_000,
            unmarked_retries: Duration::ZERO,
            disk_bytes: None,
        }
    }
}

/// What becomes of a call whose client left and did not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientGone {
    /// The upstream is cancelled; what was delivered is charged.
    #[default]
    Cancel,
    /// The upstream finishes; all of it is charged.
    Finish,
}

/// How image and video jobs are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tasks {
    pub terms: TaskTerms,
    pub duplicates: Duplicates,
    /// Pictures that nobody waited for are kept in files of so many bytes together, which only their owner's key opens. `None`: in memory, where a
    /// restart loses them.
    pub result_bytes: Option<u64>,
}

/// What becomes of a submission that equals one of the same key, within ten minutes and without an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// It is made, and a header names the earlier one.
    #[default]
    Warn,
    /// It is refused.
    Refuse,
    /// It is answered with the earlier one.
    Join,
}

/// A provider endpoint.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub name: String,
    /// How it is spoken to about jobs, whatever the client speaks; `None`: as the client speaks.
    pub tasks: Option<&'static Adapter>,
    pub target: Target,
    pub channels: Vec<Channel>,
}

/// One credential on an upstream.
#[derive(Debug, Clone)]
pub struct Channel {
    pub name: String,
    /// `None` for an upstream that wants no key.
    pub key: Option<Arc<ApiKey>>,
    /// Patterns of the models it serves; empty: all.
    pub models: Vec<String>,
    pub weight: u32,
    /// What it may ask of its upstream: requests and tokens per minute, and calls at once. Its day is the upstream's business.
    pub limits: weir_core::Limits,
}

/// Limits for one route or one family of models.
#[derive(Debug, Clone)]
pub struct TimeoutRule {
    pub route: Option<Route>,
    /// A pattern as in groups.
    pub model: Option<String>,
    pub timeouts: Timeouts,
}

/// Rates by model.
#[derive(Debug, Clone, Default)]
pub struct PriceList {
    /// Pattern → price. An exact name wins over a prefix, a longer prefix over a shorter one.
    pub models: BTreeMap<String, Price>,
    /// For models that are not listed. `None` refuses them: a call without a price is not given away.
    pub fallback: Option<Price>,
}

impl PriceList {
    #[must_use]
    pub fn of(&self, model: &str) -> Option<&Price> {
        self.models
            .get(model)
            .or_else(|| {
                let fitting = self.models.iter().filter(|(pattern, _)| pattern.ends_with('*') && fits(pattern, model));
                fitting.max_by_key(|(pattern, _)| pattern.len()).map(|(_, price)| price)
            })
            .or(self.fallback.as_ref())
    }
}

impl Settings {
    /// The four limits of a call.
    #[must_use]
    pub fn timeouts_of(&self, route: Route, model: &str) -> Timeouts {
        let fitting = |rule: &&TimeoutRule| {
            rule.route.is_none_or(|wanted| wanted == route) && rule.model.as_deref().is_none_or(|pattern| fits(pattern, model))
        };
        self.timeout_rules.iter().find(fitting).map_or(self.timeouts, |rule| rule.timeouts)
    }
}

/// Whether a pattern (exact, or a prefix and `*`) names a model.
#[must_use]
pub fn fits(pattern: &str, model: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == model, |prefix| model.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_price_wins_and_an_unknown_model_has_none() {
        let price = |input| Price { input, ..Price::default() };
        let models = [("gpt-*".to_owned(), price(1)), ("gpt-4o*".to_owned(), price(2)), ("gpt-4o-mini".to_owned(), price(3))];
        let list = PriceList { models: models.into(), fallback: None };
        assert_eq!(list.of("gpt-4o-mini"), Some(&price(3)));
        assert_eq!(list.of("gpt-4o-2024"), Some(&price(2)));
        assert_eq!(list.of("gpt-5"), Some(&price(1)));
        assert_eq!(list.of("claude"), None);
    }
}
