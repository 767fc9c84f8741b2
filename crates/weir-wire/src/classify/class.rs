//! The classes of upstream errors and the verdict of each.

use weir_core::{Blame, Failure, Timestamp, Verdict};

/// What an upstream's error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamClass {
    /// The transport broke; there is no answer behind it.
    StreamCut,
    ContentFilter,
    /// Larger than the model, or than the whole limit: waiting cannot help.
    ContextLength,
    RateLimit,
    /// A limit of a day or longer.
    DailyQuota,
    Auth,
    Balance,
    /// The key may not use this model.
    Group,
    /// There is no such model.
    Model,
    Overloaded,
    Timeout,
    BadRequest,
    /// Any other fault of the upstream.
    Upstream,
}

impl UpstreamClass {
    pub const ALL: [Self; 13] = [
        Self::StreamCut,
        Self::ContentFilter,
        Self::ContextLength,
        Self::RateLimit,
        Self::DailyQuota,
        Self::Auth,
        Self::Balance,
        Self::Group,
        Self::Model,
        Self::Overloaded,
        Self::Timeout,
        Self::BadRequest,
        Self::Upstream,
    ];

    /// The stable name, such as `daily_quota`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StreamCut => "stream_cut",
            Self::ContentFilter => "content_filter",
            Self::ContextLength => "context_length",
            Self::RateLimit => "rate_limit",
            Self::DailyQuota => "daily_quota",
            Self::Auth => "auth",
            Self::Balance => "balance",
            Self::Group => "group",
            Self::Model => "model",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::BadRequest => "bad_request",
            Self::Upstream => "upstream",
        }
    }

    /// Whether vendors usually give `status` with this class. 0, for no status told, goes with every class.
    #[must_use]
    pub(super) fn goes_with(self, status: u16) -> bool {
        match (self, status) {
            (_, 0) | (Self::StreamCut, 200) | (Self::BadRequest, 400..=499) | (Self::Upstream, 500..=599) => true,
            (Self::StreamCut, _) => false,
            (_, 200) => true,
            (Self::ContentFilter, _) => matches!(status, 400 | 403 | 422 | 451),
            (Self::ContextLength, _) => matches!(status, 400 | 413 | 414 | 422),
            (Self::RateLimit | Self::DailyQuota, _) => matches!(status, 402 | 403 | 429),
            (Self::Auth, _) => matches!(status, 400 | 401 | 403),
            (Self::Balance, _) => matches!(status, 400..=403 | 412 | 429),
            (Self::Group, _) => matches!(status, 400 | 401 | 403 | 404),
            (Self::Model, _) => matches!(status, 400 | 404 | 405 | 410 | 422),
            (Self::Overloaded, _) => matches!(status, 429 | 500 | 502 | 503 | 529),
            (Self::Timeout, _) => matches!(status, 408 | 500..=504 | 522 | 524),
            (Self::BadRequest | Self::Upstream, _) => false,
        }
    }

    /// Vendors give its machine words to errors of every kind.
    #[must_use]
    pub(super) fn is_catch_all(self) -> bool {
        matches!(self, Self::BadRequest | Self::Upstream)
    }

    /// The verdict for one who called this upstream directly and was told to wait until `told_wait`.
    #[must_use]
    pub fn verdict(self, status: u16, told_wait: Option<Timestamp>) -> Verdict {
        match self {
            Self::StreamCut => Verdict::StreamCut,
            Self::ContentFilter => Verdict::ContentRefused,
            Self::ContextLength => Verdict::RequestTooLong,
            Self::RateLimit if told_wait.is_some() => Verdict::RateLimited,
            Self::RateLimit => Verdict::RateLimitedNoHint,
            Self::DailyQuota => Verdict::QuotaSpent,
            Self::Auth => Verdict::KeyUnknown,
            Self::Balance => Verdict::BalanceSpent,
            Self::Group => Verdict::GroupModelDenied,
            Self::Model => Verdict::ModelNotFound,
            Self::Overloaded => Verdict::UpstreamOverloaded,
            // Cloudflare's own statuses: the edge gave up on its origin.
            Self::Timeout if matches!(status, 522 | 524) => Verdict::ProxyCut,
            Self::Timeout => Verdict::FirstByteTimeout,
            Self::BadRequest => Verdict::RequestRejected,
            Self::Upstream => Verdict::UpstreamError,
        }
    }

    /// The verdict for a caller of the gateway. The credential, balance, group and limit of a channel are the operator's: their
    /// faults are never told as the caller's own.
    #[must_use]
    pub fn verdict_behind_gateway(self) -> Verdict {
        match self {
            Self::RateLimit | Self::DailyQuota => Verdict::UpstreamThrottled,
            Self::Auth | Self::Balance | Self::Group => Verdict::NoUpstream,
            // An upstream's own 504 comes from a hop between it and the gateway.
            Self::Timeout => Verdict::ProxyCut,
            other => other.verdict(0, None),
        }
    }

    /// What the error means for a next attempt. `told` is when it may be asked again.
    #[must_use]
    pub fn failure(self, status: u16, told: Option<Timestamp>) -> Failure {
        let (blame, meant) = match self {
            Self::RateLimit => (Blame::Rate, 429),
            Self::DailyQuota => (Blame::DailyQuota, 429),
            Self::Auth | Self::Balance => (Blame::Credential, 401),
            Self::Group => (Blame::Rights, 403),
            Self::Overloaded => (Blame::Upstream, 503),
            Self::Timeout => (Blame::Upstream, 504),
            Self::Upstream | Self::StreamCut => (Blame::Upstream, 500),
            // A lock, or an early request: their time passes.
            Self::BadRequest if matches!(status, 409 | 425) => (Blame::Upstream, status),
            Self::BadRequest | Self::Model | Self::ContextLength | Self::ContentFilter => (Blame::Request, 400),
        };
        // An error inside a 200 has no status of its own but its meaning.
        Failure::Refused { status: if status < 400 { meant } else { status }, blame, told }
    }

    /// Another channel, or the same one later, may well answer the same request.
    #[must_use]
    pub fn is_of_the_channel(self) -> bool {
        !matches!(self, Self::ContentFilter | Self::ContextLength | Self::BadRequest | Self::Model)
    }
}
