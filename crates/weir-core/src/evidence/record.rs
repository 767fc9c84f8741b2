//! The fields of the record, exactly. A field that is not here cannot be in a record, whoever sends it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::field::{EvidenceId, Fact, Label, Moment, Text};
use crate::redact::{Audience, Kind};
use crate::secret::KeyFingerprint;
use crate::{Charged, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SchemaName {
    #[default]
    #[serde(rename = "weir.evidence/1")]
    V1,
}

/// One record. Everything above `timing` is always present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    pub schema: SchemaName,
    pub evidence_id: EvidenceId,
    pub created_at: Moment,
    /// Name and version of the program that made the record.
    pub product: Label<64>,
    pub source: Source,
    pub audience: Audience,
    pub verdict: VerdictFacts,
    /// An opaque id; never an address, a name or a number of a person. Not for the public.
    pub account: Fact<Label<32>>,
    pub key_masked: Fact<Label<80>>,
    /// Not for the public.
    pub key_fp: Fact<KeyFingerprint>,
    /// Not for the public.
    pub key_id: Fact<Label<40>>,
    pub client: Client,
    pub request: RequestFacts,
    pub status: Fact<Status>,
    pub error_code: Fact<Label<64>>,
    pub error_text: Fact<Text<1024>>,
    pub retry: Retry,
    pub task: Fact<TaskFacts>,
    pub charge: ChargeEvidence,
    pub redaction: Redaction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<TimingFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_obs: Option<StreamObserved>,
    /// Response headers of the allow-list; never a request header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response_headers: BTreeMap<String, Text<128>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub upstream_request_ids: Vec<Label<96>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub edge_ids: Vec<Label<96>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchFacts>,
    /// Not for the public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerFacts>,
    /// The user's only free text. Not for the public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_note: Option<Text<500>>,
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$inner])* $variant),+ }
    };
}
// `Client` is the caller's own side: weir's client, or a log or description from there that triage read.
words!(/// What made the record.
    Source { Doctor, Gateway, Client, Batch, Sim });
words!(/// How bad it is.
    Level { Ok, Info, Warn, Fail });
words!(/// How sure the verdict is.
    Confidence { Certain, Likely, Guess });
words!(Surface { Cli, App, Browser, Server });
words!(ViaProxy { Yes, NotSeen, Unknown });
words!(TaskState { Queued, Running, Succeeded, Failed, Cancelled, Unknown });
words!(LimitKind { Rate, Concurrency, Daily, Upstream, Unknown });
words!(EndMarkerSeen { Done, Finish, None, Error });
words!(Gzip { Same, Differs });

/// The kind of use: short chat, batch, media task, shared key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scenario {
    #[serde(rename = "S")]
    ShortChat,
    #[serde(rename = "B")]
    Batch,
    #[serde(rename = "V")]
    MediaTask,
    #[serde(rename = "K")]
    SharedKey,
}

/// An HTTP status, or `none` when there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Status {
    Code(#[schemars(range(min = 100, max = 599))] u16),
    Never(NoStatus),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NoStatus {
    #[serde(rename = "none")]
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerdictFacts {
    #[schemars(with = "String", regex(pattern = r"^W-[A-Z]{2,6}-[0-9]{3}$"))]
    pub code: Verdict,
    pub class: Label<16>,
    pub level: Level,
    pub confidence: Confidence,
}

/// Parsed tokens of the user agent, never the string itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub name: Fact<Label<64>>,
    pub version: Fact<Label<32>>,
    pub sdk: Fact<Label<64>>,
    pub retry_header: Fact<u32>,
    /// Seconds.
    pub read_timeout_s: Fact<u32>,
    pub surface: Fact<Surface>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestFacts {
    pub id: Fact<Label<96>>,
    pub time: Fact<Moment>,
    pub tz: Fact<Label<64>>,
    pub method: Fact<Label<8>>,
    /// The route, without ids and query.
    pub path: Fact<Label<64>>,
    pub model: Fact<Label<128>>,
    pub stream: Fact<bool>,
    pub scenario: Fact<Scenario>,
    pub task_type: Fact<Label<16>>,
    /// `private` if the host is nobody's business.
    pub base_url_host: Fact<Label<128>>,
    pub via_proxy: ViaProxy,
    pub via_proxy_how: Fact<Label<64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    pub retried: Fact<bool>,
    pub count: Fact<u8>,
    #[schemars(length(max = 20))]
    pub attempts: Vec<AttemptFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptFacts {
    pub n: u8,
    pub at: Fact<Moment>,
    pub phase: Label<16>,
    pub status: Fact<Status>,
    pub code: Fact<Label<64>>,
    /// Milliseconds waited before it.
    pub delay_ms: Fact<u32>,
    /// Milliseconds it took.
    pub ms: Fact<u32>,
    /// `up1`, `up2` …; support only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Label<8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskFacts {
    pub id: Label<64>,
    pub submitted_at: Fact<Moment>,
    pub state: TaskState,
    #[schemars(with = "String")]
    pub charged: Charged,
}

/// States, never sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeEvidence {
    #[schemars(with = "String")]
    pub state: Charged,
    pub count: Fact<u16>,
    /// From and to. Support only.
    pub window: Fact<[Moment; 2]>,
    /// Support only.
    #[schemars(length(max = 10))]
    pub ledger_ids: Vec<Label<48>>,
}

/// Milliseconds since the request was accepted or sent; absent: it never happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimingFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_max: Option<u32>,
    pub total: u32,
    #[schemars(with = "String")]
    pub ended_by: crate::Side,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub kind: LimitKind,
    pub limit: Fact<u64>,
    pub remaining: Fact<u64>,
    pub used: Fact<u64>,
    pub reset_at: Fact<Moment>,
    pub retry_after_s: Fact<u32>,
}

/// Counts of what passed, never the text of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamObserved {
    pub events: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_lines: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    pub end_marker: EndMarkerSeen,
    pub finish_reason: Fact<Label<32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_span_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gzip: Option<Gzip>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchFacts {
    /// The file's name, without its folder.
    pub script: Label<64>,
    pub concurrency: u32,
    pub from: u64,
    pub to: u64,
    pub ok: u64,
    pub failed: u64,
    pub cursor: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerFacts {
    pub label: Label<64>,
    pub group: Fact<Label<64>>,
    pub daily_quota: Fact<u64>,
    pub share_pct: Fact<u8>,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    pub ruleset: String,
    pub replaced: BTreeMap<Kind, u32>,
    /// Fields that were left out: private to the audience, in doubt, or for want of room.
    #[schemars(length(max = 40))]
    pub dropped: Vec<String>,
}
