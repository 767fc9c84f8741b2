//! The record of one call: typed facts, no text that came from a prompt or an answer. Everything shown about a call is made from it.

use serde::{Deserialize, Serialize};

use crate::{ChargeFacts, KeyId, LimitFacts, RequestId, Route, Scenario, Timestamp, Verdict};

/// Who ended something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Client,
    Proxy,
    Gateway,
    Upstream,
    /// Nobody: it came to its own end.
    #[default]
    Done,
}

/// Where in an attempt something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Connect,
    Send,
    FirstByte,
    Body,
    Done,
}

/// How a stream ended, as the decoder saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEnd {
    /// The family's own end marker passed.
    Done,
    /// Every choice finished, but the end marker never came.
    EofNoDone,
    /// A clean end without finish or marker.
    EofNoFinish,
    /// The upstream sent an error event.
    UpstreamError,
    /// The connection broke.
    UpstreamCut,
    IdleTimeout,
    TotalTimeout,
    ClientGone,
    /// An event exceeded its limit.
    Oversize,
    /// The gateway was told to stop.
    Draining,
    /// Nothing was streamed, or it is still running.
    #[default]
    None,
}

/// Everything that is kept of one call. Times inside are milliseconds since `at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    pub id: RequestId,
    pub at: Timestamp,
    pub route: Route,
    pub verdict: Verdict,
    /// The HTTP status of the call's answer; 499 if its client left before there was one.
    pub status: u16,
    pub ended_by: Side,
    pub charge: ChargeFacts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The model as asked for, ≤ 128 characters of `[\w.:@/=,-]`; others are dropped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    #[serde(default)]
    pub stream: bool,
    /// The kind of use, which picked the retry policy.
    #[serde(default)]
    pub scenario: Scenario,
    #[serde(default, skip_serializing_if = "ClientFacts::is_empty")]
    pub client: ClientFacts,
    /// The latest equal call of the same key within the window, where nothing says that this one repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspected_retry_of: Option<RequestId>,
    /// What its first client was told when the time that it had announced was over, while the call went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// What the upstream or weir said, redacted, ≤ 1,024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_text: Option<String>,
    /// The limit that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitFacts>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
    #[serde(default)]
    pub timing: Timing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<StreamFacts>,
}

/// What a client was told before its call had an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub status: u16,
    /// Milliseconds since the call was accepted.
    pub at_ms: u32,
}

/// What a request told about its sender: parsed tokens, never the raw string.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_header: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_timeout_s: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub via_proxy: bool,
}

impl ClientFacts {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One try on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// 1 for the first.
    pub n: u8,
    /// When it began, and how long it took, in milliseconds.
    pub at_ms: u32,
    pub ms: u32,
    /// How long it was waited for, after the attempt before it, in milliseconds.
    #[serde(default)]
    pub wait_ms: u32,
    pub channel: String,
    /// How far it came.
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The upstream's own request id, ≤ 96 characters of `[\w.:-]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_id: Option<String>,
}

/// When things happened, in milliseconds since the call was accepted. `None`: it never did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// How long the call waited for a limit before it was admitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_event: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_max: Option<u32>,
    pub total: u32,
}

/// What passed through a stream: counts, never content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamFacts {
    pub end: StreamEnd,
    /// Whole events handed to the client.
    pub events: u64,
    /// Bytes of those events.
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}
