//! What happened, as one closed list with stable codes. Generated from `catalog/verdicts.toml` by `cargo xtask gen`.

use serde::{Deserialize, Serialize};

/// What happened. The code is stable; texts and advice are in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    #[serde(rename = "W-OK-001")]
    Ok,
    #[serde(rename = "W-LOCAL-001")]
    KeyMalformed,
    #[serde(rename = "W-LOCAL-002")]
    BaseUrlMalformed,
    #[serde(rename = "W-LOCAL-003")]
    LocalProxyOn,
    #[serde(rename = "W-LOCAL-004")]
    ClockWrong,
    #[serde(rename = "W-NET-001")]
    DnsFailed,
    #[serde(rename = "W-NET-002")]
    ConnectFailed,
    #[serde(rename = "W-NET-003")]
    TlsFailed,
    #[serde(rename = "W-NET-004")]
    NotTheApi,
    #[serde(rename = "W-NET-005")]
    ProxyLoginNeeded,
    #[serde(rename = "W-AUTH-001")]
    KeyUnknown,
    #[serde(rename = "W-AUTH-002")]
    KeyDisabled,
    #[serde(rename = "W-AUTH-003")]
    SourceNotAllowed,
    #[serde(rename = "W-MODEL-001")]
    ModelNotFound,
    #[serde(rename = "W-GROUP-001")]
    GroupModelDenied,
    #[serde(rename = "W-BAL-001")]
    BalanceSpent,
    #[serde(rename = "W-REQ-001")]
    RequestRejected,
    #[serde(rename = "W-REQ-002")]
    RequestTooLong,
    #[serde(rename = "W-REQ-003")]
    ContentRefused,
    #[serde(rename = "W-RATE-001")]
    RateLimited,
    #[serde(rename = "W-RATE-002")]
    RateLimitedNoHint,
    #[serde(rename = "W-RATE-003")]
    QuotaSpent,
    #[serde(rename = "W-RATE-004")]
    ConcurrencySpent,
    #[serde(rename = "W-RATE-005")]
    UpstreamThrottled,
    #[serde(rename = "W-RATE-006")]
    RampTooFast,
    #[serde(rename = "W-RATE-007")]
    MiddleBoxThrottled,
    #[serde(rename = "W-RATE-008")]
    SharedKeyTaken,
    #[serde(rename = "W-RATE-009")]
    RetriedTooEarly,
    #[serde(rename = "W-UP-001")]
    UpstreamError,
    #[serde(rename = "W-UP-002")]
    UpstreamOverloaded,
    #[serde(rename = "W-UP-003")]
    NoUpstream,
    #[serde(rename = "W-TMO-001")]
    ClientLeft,
    #[serde(rename = "W-TMO-002")]
    ProxyCut,
    #[serde(rename = "W-TMO-003")]
    UpstreamConnectTimeout,
    #[serde(rename = "W-TMO-004")]
    FirstByteTimeout,
    #[serde(rename = "W-TMO-005")]
    IdleTimeout,
    #[serde(rename = "W-TMO-006")]
    TotalTimeout,
    #[serde(rename = "W-TMO-007")]
    LongTaskSync,
    #[serde(rename = "W-TMO-008")]
    StatusHidden,
    #[serde(rename = "W-TMO-009")]
    OutcomeUnknown,
    #[serde(rename = "W-STREAM-001")]
    StreamSilent,
    #[serde(rename = "W-STREAM-002")]
    StreamBuffered,
    #[serde(rename = "W-STREAM-003")]
    NotAStream,
    #[serde(rename = "W-STREAM-004")]
    EndMarkerMissing,
    #[serde(rename = "W-STREAM-005")]
    StreamCut,
    #[serde(rename = "W-STREAM-006")]
    ErrorInStream,
    #[serde(rename = "W-STREAM-007")]
    StreamStalled,
    #[serde(rename = "W-STREAM-008")]
    FramesMalformed,
    #[serde(rename = "W-STREAM-009")]
    GzipBuffered,
    #[serde(rename = "W-STREAM-010")]
    AntiBufferingLost,
    #[serde(rename = "W-STREAM-011")]
    PartlyBuffered,
    #[serde(rename = "W-STREAM-012")]
    HopBreaksStream,
    #[serde(rename = "W-STREAM-013")]
    EndedByLimit,
    #[serde(rename = "W-CLIENT-001")]
    ClientSpinner,
    #[serde(rename = "W-CLIENT-002")]
    ClientNotStreaming,
    #[serde(rename = "W-CLIENT-003")]
    ClientReadTimeoutShort,
    #[serde(rename = "W-CLIENT-004")]
    ClientRetriesCostly,
    #[serde(rename = "W-TASK-001")]
    TaskRunning,
    #[serde(rename = "W-TASK-002")]
    TaskUnknown,
    #[serde(rename = "W-TASK-003")]
    TaskFailedFree,
    #[serde(rename = "W-TASK-004")]
    TaskDuplicate,
    #[serde(rename = "W-TASK-005")]
    TaskFailedCharged,
    #[serde(rename = "W-CHG-001")]
    RetriesCharged,
    #[serde(rename = "W-CHG-002")]
    ReplayedOnce,
    #[serde(rename = "W-CHG-003")]
    ProducedNotDelivered,
    #[serde(rename = "W-CHG-004")]
    ChargePending,
    #[serde(rename = "W-CHG-005")]
    NothingCharged,
    #[serde(rename = "W-PROBE-001")]
    EvidenceMissing,
    #[serde(rename = "W-PROBE-002")]
    ProbeSkipped,
    #[serde(rename = "W-PROBE-003")]
    CheckUnsupported,
    #[serde(rename = "W-TMO-010")]
    RequestTooSlow,
    #[serde(rename = "W-MODEL-002")]
    PriceUnknown,
    #[serde(rename = "W-GW-001")]
    GatewayFull,
    #[serde(rename = "W-GW-002")]
    GatewayDraining,
    #[serde(rename = "W-GW-003")]
    GatewayInternal,
    #[serde(rename = "W-GW-004")]
    GatewayRestarted,
}

impl Verdict {
    /// The stable code, such as `W-RATE-003`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Ok => "W-OK-001",
            Self::KeyMalformed => "W-LOCAL-001",
            Self::BaseUrlMalformed => "W-LOCAL-002",
            Self::LocalProxyOn => "W-LOCAL-003",
            Self::ClockWrong => "W-LOCAL-004",
            Self::DnsFailed => "W-NET-001",
            Self::ConnectFailed => "W-NET-002",
            Self::TlsFailed => "W-NET-003",
            Self::NotTheApi => "W-NET-004",
            Self::ProxyLoginNeeded => "W-NET-005",
            Self::KeyUnknown => "W-AUTH-001",
            Self::KeyDisabled => "W-AUTH-002",
            Self::SourceNotAllowed => "W-AUTH-003",
            Self::ModelNotFound => "W-MODEL-001",
            Self::GroupModelDenied => "W-GROUP-001",
            Self::BalanceSpent => "W-BAL-001",
            Self::RequestRejected => "W-REQ-001",
            Self::RequestTooLong => "W-REQ-002",
            Self::ContentRefused => "W-REQ-003",
            Self::RateLimited => "W-RATE-001",
            Self::RateLimitedNoHint => "W-RATE-002",
            Self::QuotaSpent => "W-RATE-003",
            Self::ConcurrencySpent => "W-RATE-004",
            Self::UpstreamThrottled => "W-RATE-005",
            Self::RampTooFast => "W-RATE-006",
            Self::MiddleBoxThrottled => "W-RATE-007",
            Self::SharedKeyTaken => "W-RATE-008",
            Self::RetriedTooEarly => "W-RATE-009",
            Self::UpstreamError => "W-UP-001",
            Self::UpstreamOverloaded => "W-UP-002",
            Self::NoUpstream => "W-UP-003",
            Self::ClientLeft => "W-TMO-001",
            Self::ProxyCut => "W-TMO-002",
            Self::UpstreamConnectTimeout => "W-TMO-003",
            Self::FirstByteTimeout => "W-TMO-004",
            Self::IdleTimeout => "W-TMO-005",
            Self::TotalTimeout => "W-TMO-006",
            Self::LongTaskSync => "W-TMO-007",
            Self::StatusHidden => "W-TMO-008",
            Self::OutcomeUnknown => "W-TMO-009",
            Self::StreamSilent => "W-STREAM-001",
            Self::StreamBuffered => "W-STREAM-002",
            Self::NotAStream => "W-STREAM-003",
            Self::EndMarkerMissing => "W-STREAM-004",
            Self::StreamCut => "W-STREAM-005",
            Self::ErrorInStream => "W-STREAM-006",
            Self::StreamStalled => "W-STREAM-007",
            Self::FramesMalformed => "W-STREAM-008",
            Self::GzipBuffered => "W-STREAM-009",
            Self::AntiBufferingLost => "W-STREAM-010",
            Self::PartlyBuffered => "W-STREAM-011",
            Self::HopBreaksStream => "W-STREAM-012",
            Self::EndedByLimit => "W-STREAM-013",
            Self::ClientSpinner => "W-CLIENT-001",
            Self::ClientNotStreaming => "W-CLIENT-002",
            Self::ClientReadTimeoutShort => "W-CLIENT-003",
            Self::ClientRetriesCostly => "W-CLIENT-004",
            Self::TaskRunning => "W-TASK-001",
            Self::TaskUnknown => "W-TASK-002",
            Self::TaskFailedFree => "W-TASK-003",
            Self::TaskDuplicate => "W-TASK-004",
            Self::TaskFailedCharged => "W-TASK-005",
            Self::RetriesCharged => "W-CHG-001",
            Self::ReplayedOnce => "W-CHG-002",
            Self::ProducedNotDelivered => "W-CHG-003",
            Self::ChargePending => "W-CHG-004",
            Self::NothingCharged => "W-CHG-005",
            Self::EvidenceMissing => "W-PROBE-001",
            Self::ProbeSkipped => "W-PROBE-002",
            Self::CheckUnsupported => "W-PROBE-003",
            Self::RequestTooSlow => "W-TMO-010",
            Self::PriceUnknown => "W-MODEL-002",
            Self::GatewayFull => "W-GW-001",
            Self::GatewayDraining => "W-GW-002",
            Self::GatewayInternal => "W-GW-003",
            Self::GatewayRestarted => "W-GW-004",
        }
    }
}
