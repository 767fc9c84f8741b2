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
    /// Plain and streamed answers both work.
    #[serde(rename = "W-OK-001")]
    Ok,
    /// The key was copied badly.
    #[serde(rename = "W-LOCAL-001")]
    KeyMalformed,
    /// The base URL is malformed.
    #[serde(rename = "W-LOCAL-002")]
    BaseUrlMalformed,
    /// Calls go through a proxy of this machine.
    #[serde(rename = "W-LOCAL-003")]
    LocalProxyOn,
    /// The clock is off, so resetAt is misread.
    #[serde(rename = "W-LOCAL-004")]
    ClockWrong,
    /// DNS finds no address.
    #[serde(rename = "W-NET-001")]
    DnsFailed,
    /// The connection cannot be made.
    #[serde(rename = "W-NET-002")]
    ConnectFailed,
    /// TLS is broken or intercepted.
    #[serde(rename = "W-NET-003")]
    TlsFailed,
    /// The address is not the API's.
    #[serde(rename = "W-NET-004")]
    NotTheApi,
    /// A proxy asks for a login.
    #[serde(rename = "W-NET-005")]
    ProxyLoginNeeded,
    /// The key is missing or not known here.
    #[serde(rename = "W-AUTH-001")]
    KeyUnknown,
    /// The key is disabled or has expired.
    #[serde(rename = "W-AUTH-002")]
    KeyDisabled,
    /// The source of the call is not allowed.
    #[serde(rename = "W-AUTH-003")]
    SourceNotAllowed,
    /// The model's name is wrong.
    #[serde(rename = "W-MODEL-001")]
    ModelNotFound,
    /// The price list does not name the model.
    #[serde(rename = "W-MODEL-002")]
    PriceUnknown,
    /// The key's group does not have the model.
    #[serde(rename = "W-GROUP-001")]
    GroupModelDenied,
    /// The account has no balance left.
    #[serde(rename = "W-BAL-001")]
    BalanceSpent,
    /// A parameter is not accepted.
    #[serde(rename = "W-REQ-001")]
    RequestRejected,
    /// The input or the asked-for output is too long.
    #[serde(rename = "W-REQ-002")]
    RequestTooLong,
    /// The provider's policy refused the content.
    #[serde(rename = "W-REQ-003")]
    ContentRefused,
    /// Too many requests or tokens in the window.
    #[serde(rename = "W-RATE-001")]
    RateLimited,
    /// A limit was hit and no time was given.
    #[serde(rename = "W-RATE-002")]
    RateLimitedNoHint,
    /// The key's quota of this day is used up.
    #[serde(rename = "W-RATE-003")]
    QuotaSpent,
    /// More calls run at once than the limit allows.
    #[serde(rename = "W-RATE-004")]
    ConcurrencySpent,
    /// The upstream limits the gateway, not your key.
    #[serde(rename = "W-RATE-005")]
    UpstreamThrottled,
    /// The rate grew too fast.
    #[serde(rename = "W-RATE-006")]
    RampTooFast,
    /// A WAF or CDN answered, not the API.
    #[serde(rename = "W-RATE-007")]
    MiddleBoxThrottled,
    /// Another caller uses most of this key.
    #[serde(rename = "W-RATE-008")]
    SharedKeyTaken,
    /// The client comes back before resetAt.
    #[serde(rename = "W-RATE-009")]
    RetriedTooEarly,
    /// The upstream answered with an error.
    #[serde(rename = "W-UP-001")]
    UpstreamError,
    /// The upstream has no capacity now.
    #[serde(rename = "W-UP-002")]
    UpstreamOverloaded,
    /// No channel of the gateway can take it.
    #[serde(rename = "W-UP-003")]
    NoUpstream,
    /// The client left before the answer.
    #[serde(rename = "W-TMO-001")]
    ClientLeft,
    /// A proxy between the client and the API cut it.
    #[serde(rename = "W-TMO-002")]
    ProxyCut,
    /// The gateway got no connection in time.
    #[serde(rename = "W-TMO-003")]
    UpstreamConnectTimeout,
    /// The upstream was slow to begin.
    #[serde(rename = "W-TMO-004")]
    FirstByteTimeout,
    /// The upstream fell silent in mid-answer.
    #[serde(rename = "W-TMO-005")]
    IdleTimeout,
    /// The whole call took longer than allowed.
    #[serde(rename = "W-TMO-006")]
    TotalTimeout,
    /// A long job was called synchronously.
    #[serde(rename = "W-TMO-007")]
    LongTaskSync,
    /// A layer replaced the error with a phrase.
    #[serde(rename = "W-TMO-008")]
    StatusHidden,
    /// Sent, no answer: it may be done and charged.
    #[serde(rename = "W-TMO-009")]
    OutcomeUnknown,
    /// The request did not arrive in time.
    #[serde(rename = "W-TMO-010")]
    RequestTooSlow,
    /// The stream opened, but nothing came.
    #[serde(rename = "W-STREAM-001")]
    StreamSilent,
    /// A hop held everything back to the end.
    #[serde(rename = "W-STREAM-002")]
    StreamBuffered,
    /// A header was rewritten or stream was ignored.
    #[serde(rename = "W-STREAM-003")]
    NotAStream,
    /// It ended without a sign that it was complete.
    #[serde(rename = "W-STREAM-004")]
    EndMarkerMissing,
    /// The connection broke in mid-answer.
    #[serde(rename = "W-STREAM-005")]
    StreamCut,
    /// The upstream reported an error midway.
    #[serde(rename = "W-STREAM-006")]
    ErrorInStream,
    /// The stream went quiet for longer than idle.
    #[serde(rename = "W-STREAM-007")]
    StreamStalled,
    /// The frames of the stream are damaged.
    #[serde(rename = "W-STREAM-008")]
    FramesMalformed,
    /// Compression on the way holds the stream back.
    #[serde(rename = "W-STREAM-009")]
    GzipBuffered,
    /// A hop removed or changed the headers.
    #[serde(rename = "W-STREAM-010")]
    AntiBufferingLost,
    /// A hop passes the stream on in blocks.
    #[serde(rename = "W-STREAM-011")]
    PartlyBuffered,
    /// Direct is good, through this hop it is not.
    #[serde(rename = "W-STREAM-012")]
    HopBreaksStream,
    /// It ended in order, at a length or policy limit.
    #[serde(rename = "W-STREAM-013")]
    EndedByLimit,
    /// SSE support, an extension or a short timeout.
    #[serde(rename = "W-CLIENT-001")]
    ClientSpinner,
    /// The client did not send stream=true.
    #[serde(rename = "W-CLIENT-002")]
    ClientNotStreaming,
    /// Its read timeout is below the usual time.
    #[serde(rename = "W-CLIENT-003")]
    ClientReadTimeoutShort,
    /// Retries of the SDK create new jobs.
    #[serde(rename = "W-CLIENT-004")]
    ClientRetriesCostly,
    /// The job is queued or running.
    #[serde(rename = "W-TASK-001")]
    TaskRunning,
    /// Asking for the state failed.
    #[serde(rename = "W-TASK-002")]
    TaskUnknown,
    /// The job failed and was not charged.
    #[serde(rename = "W-TASK-003")]
    TaskFailedFree,
    /// The same job came twice.
    #[serde(rename = "W-TASK-004")]
    TaskDuplicate,
    /// The job failed and the ledger has a charge.
    #[serde(rename = "W-TASK-005")]
    TaskFailedCharged,
    /// Each retry was a request of its own.
    #[serde(rename = "W-CHG-001")]
    RetriesCharged,
    /// The others were replays of the same call.
    #[serde(rename = "W-CHG-002")]
    ReplayedOnce,
    /// The client left before the whole answer.
    #[serde(rename = "W-CHG-003")]
    ProducedNotDelivered,
    /// The charge is not settled yet.
    #[serde(rename = "W-CHG-004")]
    ChargePending,
    /// No charge lies in the asked-for time.
    #[serde(rename = "W-CHG-005")]
    NothingCharged,
    /// There is too little to judge by.
    #[serde(rename = "W-PROBE-001")]
    EvidenceMissing,
    /// This probe costs or needs consent.
    #[serde(rename = "W-PROBE-002")]
    ProbeSkipped,
    /// The endpoint has no /models or option.
    #[serde(rename = "W-PROBE-003")]
    CheckUnsupported,
    /// Too many connections or calls at once.
    #[serde(rename = "W-GW-001")]
    GatewayFull,
    /// The gateway was told to stop.
    #[serde(rename = "W-GW-002")]
    GatewayDraining,
    /// The gateway found itself in the wrong.
    #[serde(rename = "W-GW-003")]
    GatewayInternal,
    /// The gateway stopped in mid-call.
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
        Self::PriceUnknown,
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
        Self::RequestTooSlow,
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
        Self::GatewayFull,
        Self::GatewayDraining,
        Self::GatewayInternal,
        Self::GatewayRestarted,
    ];
}
