//! What happened, as one closed list with stable codes. Generated from `catalog/verdicts.toml` by `cargo xtask gen`.

mod table;
#[cfg(test)]
mod tests;
mod types;

use serde::{Deserialize, Serialize};

pub use self::types::{Api, Class, Example, Lang, Level, Owner, RetryWord, Scenario, Source, Words};

/// What happened. The code is stable; texts and advice are in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// Both work.
    #[serde(rename = "W-OK-001")]
    Ok,
    /// Key copied badly.
    #[serde(rename = "W-LOCAL-001")]
    KeyMalformed,
    /// Base URL malformed.
    #[serde(rename = "W-LOCAL-002")]
    BaseUrlMalformed,
    /// A local proxy is on.
    #[serde(rename = "W-LOCAL-003")]
    LocalProxyOn,
    /// Clock is wrong.
    #[serde(rename = "W-LOCAL-004")]
    ClockWrong,
    /// DNS failed.
    #[serde(rename = "W-NET-001")]
    DnsFailed,
    /// Cannot connect.
    #[serde(rename = "W-NET-002")]
    ConnectFailed,
    /// TLS broken or intercepted.
    #[serde(rename = "W-NET-003")]
    TlsFailed,
    /// Not the API address.
    #[serde(rename = "W-NET-004")]
    NotTheApi,
    /// Proxy login needed.
    #[serde(rename = "W-NET-005")]
    ProxyLoginNeeded,
    /// Key missing/unknown.
    #[serde(rename = "W-AUTH-001")]
    KeyUnknown,
    /// Key disabled/expired.
    #[serde(rename = "W-AUTH-002")]
    KeyDisabled,
    /// Source not allowed.
    #[serde(rename = "W-AUTH-003")]
    SourceNotAllowed,
    /// Wrong model name.
    #[serde(rename = "W-MODEL-001")]
    ModelNotFound,
    /// Key's group lacks the model.
    #[serde(rename = "W-GROUP-001")]
    GroupModelDenied,
    /// No balance.
    #[serde(rename = "W-BAL-001")]
    BalanceSpent,
    /// Parameter rejected.
    #[serde(rename = "W-REQ-001")]
    RequestRejected,
    /// Too long.
    #[serde(rename = "W-REQ-002")]
    RequestTooLong,
    /// Policy refusal.
    #[serde(rename = "W-REQ-003")]
    ContentRefused,
    /// Rate limit.
    #[serde(rename = "W-RATE-001")]
    RateLimited,
    /// Limit, no hint.
    #[serde(rename = "W-RATE-002")]
    RateLimitedNoHint,
    /// Daily key quota used.
    #[serde(rename = "W-RATE-003")]
    QuotaSpent,
    /// Too many at once.
    #[serde(rename = "W-RATE-004")]
    ConcurrencySpent,
    /// Upstream throttled us.
    #[serde(rename = "W-RATE-005")]
    UpstreamThrottled,
    /// Ramped too fast.
    #[serde(rename = "W-RATE-006")]
    RampTooFast,
    /// A middle box answered.
    #[serde(rename = "W-RATE-007")]
    MiddleBoxThrottled,
    /// Shared key taken by another.
    #[serde(rename = "W-RATE-008")]
    SharedKeyTaken,
    /// Client retries too early.
    #[serde(rename = "W-RATE-009")]
    RetriedTooEarly,
    /// Upstream error.
    #[serde(rename = "W-UP-001")]
    UpstreamError,
    /// Overloaded.
    #[serde(rename = "W-UP-002")]
    UpstreamOverloaded,
    /// No usable upstream.
    #[serde(rename = "W-UP-003")]
    NoUpstream,
    /// Client waited too little.
    #[serde(rename = "W-TMO-001")]
    ClientLeft,
    /// A proxy cut it.
    #[serde(rename = "W-TMO-002")]
    ProxyCut,
    /// Gateway cannot connect.
    #[serde(rename = "W-TMO-003")]
    UpstreamConnectTimeout,
    /// Slow first byte.
    #[serde(rename = "W-TMO-004")]
    FirstByteTimeout,
    /// Gap too long.
    #[serde(rename = "W-TMO-005")]
    IdleTimeout,
    /// Total limit hit.
    #[serde(rename = "W-TMO-006")]
    TotalTimeout,
    /// Long job on a sync call.
    #[serde(rename = "W-TMO-007")]
    LongTaskSync,
    /// Status hidden.
    #[serde(rename = "W-TMO-008")]
    StatusHidden,
    /// Outcome unknown, may be charged.
    #[serde(rename = "W-TMO-009")]
    OutcomeUnknown,
    /// Stream silent.
    #[serde(rename = "W-STREAM-001")]
    StreamSilent,
    /// Buffered on the way.
    #[serde(rename = "W-STREAM-002")]
    StreamBuffered,
    /// Header rewritten or stream ignored.
    #[serde(rename = "W-STREAM-003")]
    NotAStream,
    /// No end marker, maybe cut.
    #[serde(rename = "W-STREAM-004")]
    EndMarkerMissing,
    /// Cut mid-way.
    #[serde(rename = "W-STREAM-005")]
    StreamCut,
    /// Error inside the stream.
    #[serde(rename = "W-STREAM-006")]
    ErrorInStream,
    /// Stalled.
    #[serde(rename = "W-STREAM-007")]
    StreamStalled,
    /// Malformed frames.
    #[serde(rename = "W-STREAM-008")]
    FramesMalformed,
    /// Buffered only with gzip.
    #[serde(rename = "W-STREAM-009")]
    GzipBuffered,
    /// Anti-buffering headers lost.
    #[serde(rename = "W-STREAM-010")]
    AntiBufferingLost,
    /// Partly buffered.
    #[serde(rename = "W-STREAM-011")]
    PartlyBuffered,
    /// The named hop breaks it.
    #[serde(rename = "W-STREAM-012")]
    HopBreaksStream,
    /// Ended by limit.
    #[serde(rename = "W-STREAM-013")]
    EndedByLimit,
    /// Client side.
    #[serde(rename = "W-CLIENT-001")]
    ClientSpinner,
    /// Client doesn't ask to stream.
    #[serde(rename = "W-CLIENT-002")]
    ClientNotStreaming,
    /// Read timeout below p95.
    #[serde(rename = "W-CLIENT-003")]
    ClientReadTimeoutShort,
    /// SDK retries create tasks.
    #[serde(rename = "W-CLIENT-004")]
    ClientRetriesCostly,
    /// Still running.
    #[serde(rename = "W-TASK-001")]
    TaskRunning,
    /// Status unknown.
    #[serde(rename = "W-TASK-002")]
    TaskUnknown,
    /// Failed, not charged.
    #[serde(rename = "W-TASK-003")]
    TaskFailedFree,
    /// Likely duplicate.
    #[serde(rename = "W-TASK-004")]
    TaskDuplicate,
    /// Failed but charged.
    #[serde(rename = "W-TASK-005")]
    TaskFailedCharged,
    /// Each retry was a new request.
    #[serde(rename = "W-CHG-001")]
    RetriesCharged,
    /// Same key charged once.
    #[serde(rename = "W-CHG-002")]
    ReplayedOnce,
    /// Produced, not delivered.
    #[serde(rename = "W-CHG-003")]
    ProducedNotDelivered,
    /// Settling.
    #[serde(rename = "W-CHG-004")]
    ChargePending,
    /// Nothing charged.
    #[serde(rename = "W-CHG-005")]
    NothingCharged,
    /// Not enough evidence.
    #[serde(rename = "W-PROBE-001")]
    EvidenceMissing,
    /// Skipped for cost.
    #[serde(rename = "W-PROBE-002")]
    ProbeSkipped,
    /// Check unsupported.
    #[serde(rename = "W-PROBE-003")]
    CheckUnsupported,
    /// The request arrived too slowly.
    #[serde(rename = "W-TMO-010")]
    RequestTooSlow,
    /// The model has no price.
    #[serde(rename = "W-MODEL-002")]
    PriceUnknown,
    /// The gateway is full.
    #[serde(rename = "W-GW-001")]
    GatewayFull,
    /// The gateway is restarting.
    #[serde(rename = "W-GW-002")]
    GatewayDraining,
    /// An internal fault.
    #[serde(rename = "W-GW-003")]
    GatewayInternal,
    /// The gateway died mid-call.
    #[serde(rename = "W-GW-004")]
    GatewayRestarted,
}

impl Verdict {
    /// Every verdict, in the catalogue's order.
    pub const ALL: [Self; 76] = [
        Self::Ok,
        Self::KeyMalformed,
        Self::BaseUrlMalformed,
        Self::LocalProxyOn,
        Self::ClockWrong,
        Self::DnsFailed,
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::NotTheApi,
        Self::ProxyLoginNeeded,
        Self::KeyUnknown,
        Self::KeyDisabled,
        Self::SourceNotAllowed,
        Self::ModelNotFound,
        Self::GroupModelDenied,
        Self::BalanceSpent,
        Self::RequestRejected,
        Self::RequestTooLong,
        Self::ContentRefused,
        Self::RateLimited,
        Self::RateLimitedNoHint,
        Self::QuotaSpent,
        Self::ConcurrencySpent,
        Self::UpstreamThrottled,
        Self::RampTooFast,
        Self::MiddleBoxThrottled,
        Self::SharedKeyTaken,
        Self::RetriedTooEarly,
        Self::UpstreamError,
        Self::UpstreamOverloaded,
        Self::NoUpstream,
        Self::ClientLeft,
        Self::ProxyCut,
        Self::UpstreamConnectTimeout,
        Self::FirstByteTimeout,
        Self::IdleTimeout,
        Self::TotalTimeout,
        Self::LongTaskSync,
        Self::StatusHidden,
        Self::OutcomeUnknown,
        Self::StreamSilent,
        Self::StreamBuffered,
        Self::NotAStream,
        Self::EndMarkerMissing,
        Self::StreamCut,
        Self::ErrorInStream,
        Self::StreamStalled,
        Self::FramesMalformed,
        Self::GzipBuffered,
        Self::AntiBufferingLost,
        Self::PartlyBuffered,
        Self::HopBreaksStream,
        Self::EndedByLimit,
        Self::ClientSpinner,
        Self::ClientNotStreaming,
        Self::ClientReadTimeoutShort,
        Self::ClientRetriesCostly,
        Self::TaskRunning,
        Self::TaskUnknown,
        Self::TaskFailedFree,
        Self::TaskDuplicate,
        Self::TaskFailedCharged,
        Self::RetriesCharged,
        Self::ReplayedOnce,
        Self::ProducedNotDelivered,
        Self::ChargePending,
        Self::NothingCharged,
        Self::EvidenceMissing,
        Self::ProbeSkipped,
        Self::CheckUnsupported,
        Self::RequestTooSlow,
        Self::PriceUnknown,
        Self::GatewayFull,
        Self::GatewayDraining,
        Self::GatewayInternal,
        Self::GatewayRestarted,
    ];
}
