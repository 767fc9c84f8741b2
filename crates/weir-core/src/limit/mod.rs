//! Limits: what a key, an account, a group or a channel may use, and what a limit did to a call.

mod callers;
mod day;
mod gate;
#[cfg(test)]
mod laws;
mod steady;
mod window;

pub use callers::{CallerUse, Callers};
pub use day::{Day, DayBook, Spent, zone};
pub use gate::{Ask, Blocked, Gate, Held, Opens, Standing, Used};
pub use steady::{Now, Steady};
pub use window::{MINUTE_MS, Window};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What one holder may use. `None`: as much as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Tokens per minute, input and output together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Calls running at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_tokens: Option<u64>,
    /// Nano-units per civil day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_amount: Option<u64>,
    /// The zone of the civil day, such as `Asia/Shanghai`; UTC without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    Key,
    Account,
    Group,
    /// A channel of an upstream, or the upstream's own limit.
    Upstream,
}

/// What a limit counts, and over what span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    RequestsPerMinute,
    TokensPerMinute,
    Concurrency,
    DailyRequests,
    DailyTokens,
    DailyAmount,
}

impl LimitScope {
    /// The word of records, headers and JSON.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Account => "account",
            Self::Group => "group",
            Self::Upstream => "upstream",
        }
    }
}

impl LimitKind {
    /// The word of records and JSON.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::Concurrency => "concurrency",
            Self::DailyRequests => "daily_requests",
            Self::DailyTokens => "daily_tokens",
            Self::DailyAmount => "daily_amount",
        }
    }

    /// The word of headers and command-line options.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "rpm",
            Self::TokensPerMinute => "tpm",
            Self::Concurrency => "concurrency",
            Self::DailyRequests => "daily-requests",
            Self::DailyTokens => "daily-tokens",
            Self::DailyAmount => "daily-amount",
        }
    }

    /// Whether it counts a civil day.
    #[must_use]
    pub fn is_daily(self) -> bool {
        matches!(self, Self::DailyRequests | Self::DailyTokens | Self::DailyAmount)
    }
}

/// What a limit did to one call: it refused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitFacts {
    pub scope: LimitScope,
    pub kind: LimitKind,
    /// The limit itself, in the units of its kind.
    pub limit: u64,
    /// When the caller was told that it opens again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<Timestamp>,
    /// How many calls this caller has made before the moment it had been told, this one included; 0 if it came in time.
    #[serde(default)]
    pub early: u32,
}
