//! What the doctor found, as a document for programs, text for people and one page to attach to a ticket.

mod bilingual;
pub mod chart;
mod html;
mod lines;
mod live;
mod look;
mod make;
mod page;
mod record;
mod text;
pub mod words;
mod wrap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{
    Class, Verdict,
    evidence::{Confidence, Evidence, EvidenceId},
};

pub use bilingual::Bilingual;
pub(crate) use bilingual::both;
pub use live::Live;
pub(crate) use look::is_public;
pub use make::{Making, check};
pub use record::{is_safe, redactor};
pub use text::{Layout, line_of_check, plan_line};
pub use wrap::wrapped;

use crate::probe::ProbeId;

/// Points of one timeline; beyond them neighbours are joined.
pub const TIMELINE_MAX: usize = 400;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SchemaName {
    #[default]
    #[serde(rename = "weir.doctor/1")]
    V1,
}

/// The whole report, `weir.doctor/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub schema: SchemaName,
    /// `false`: it was interrupted or ran out of its budget; what is here is right and not all.
    pub complete: bool,
    /// RFC 3339 with the offset of this machine's zone.
    pub generated_at: String,
    /// The version of weir.
    pub weir: String,
    pub target: Target,
    pub budget: Budget,
    pub overall: Status,
    /// 0 ok or info, 1 a fault, 2 usage, 3 could not be found out, 4 refused for safety, 130 interrupted.
    pub exit_code: u8,
    #[schemars(with = "String", regex(pattern = r"^W-[A-Z]{2,6}-[0-9]{3}$"))]
    pub primary: Verdict,
    /// One for each probe that ran, in order.
    pub checks: Vec<Check>,
    /// What was found beside the primary verdict.
    pub notes: Vec<Note>,
    /// What to look at for this class of fault, each value or `unknown`.
    pub look_at: Vec<LookAt>,
    pub skipped: Vec<ProbeId>,
    /// What to try next, where all is well and somebody still complains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Bilingual>,
    pub evidence_id: EvidenceId,
    /// The record to hand to support. `None`: it could not be proven free of secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// What was examined. Never the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `host[:port]`; `private` in what is made for the public.
    pub base_url_host: String,
    /// `unknown` before one was chosen.
    pub model: String,
    /// Why this model, where nobody named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_why: Option<Bilingual>,
    pub key_masked: String,
    /// Where the key came from: the variable's name, `stdin`, `prompt`, `--key`, `none`.
    pub key_from: String,
}

/// What the run might cost, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Model calls at most.
    pub requests: u32,
    pub max_output_tokens: u32,
    pub seconds: u32,
    pub used_requests: u32,
}

/// How one probe, or the whole, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    Info,
    Warn,
    /// It could not be found out.
    Unknown,
    Fail,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub id: ProbeId,
    /// The probe's name, such as `stream_gzip`.
    pub name: String,
    pub status: Status,
    /// `null` where nothing is wrong.
    #[schemars(with = "Option<String>")]
    pub code: Option<Verdict>,
    pub confidence: Option<Confidence>,
    /// The finding in a phrase; where nothing is wrong, what was seen.
    pub summary: Bilingual,
    /// What was seen, in a line.
    pub seen: Bilingual,
    /// More about this case, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Bilingual>,
    pub observed: Observed,
    /// Stable words for the steps of `remediation`, in their order.
    pub check_first: Vec<String>,
    /// Stable words for `never`.
    pub do_not: Vec<String>,
    pub never: Vec<Bilingual>,
    pub retry: Option<RetryWords>,
    /// user, network, gateway, upstream or support.
    pub owner: Option<String>,
    pub remediation: Vec<Remedy>,
    pub links: Vec<String>,
    /// When it began, counted from the beginning of the run. P4 and P5 overlap where the control is slow.
    pub began_ms: u32,
    pub duration_ms: u32,
    /// Of streams: when their bytes came. Sizes only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 400))]
    pub timeline: Vec<TimelinePoint>,
}

/// Numbers of one probe; absent: there was no such thing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Observed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `http/1.1`, `h2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_lines: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Groups of events with more than 20 ms between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clusters: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_event_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_span_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_max_ms: Option<u32>,
    /// `done`, `finish`, `none` or `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_marker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u32>,
    /// The request id that the answer bears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One read of a stream, or several that lie close together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimelinePoint {
    /// Milliseconds since the request was sent.
    pub at_ms: u32,
    pub bytes: u32,
    pub events: u32,
}

/// How each kind of use retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryWords {
    #[serde(rename = "S")]
    pub short_chat: String,
    #[serde(rename = "B")]
    pub batch: String,
    #[serde(rename = "V")]
    pub media_task: String,
    #[serde(rename = "K")]
    pub shared_key: String,
}

/// One step to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remedy {
    pub text: Bilingual,
    /// What to type or to set, as it stands in the text.
    pub commands: Vec<String>,
}

/// A finding beside the primary one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The probe that showed it.
    pub id: ProbeId,
    pub status: Status,
    #[schemars(with = "String", regex(pattern = r"^W-[A-Z]{2,6}-[0-9]{3}$"))]
    pub code: Verdict,
    pub confidence: Confidence,
    pub summary: Bilingual,
    /// More about this case, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Bilingual>,
}

/// One group of fields to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAt {
    /// `stream_obs`, `headers`, `client`; `limits`, `attempts`; `timing`, `hops`, `task`, `charge`.
    pub group: String,
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The field's name in the record, such as `reset_at`.
    pub field: String,
    pub label: Bilingual,
    /// As it is printed; `unknown` where it was not seen.
    pub value: String,
}

impl Report {
    /// Where a verdict came from.
    #[must_use]
    pub fn primary_check(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.code == Some(self.primary))
    }

    /// The class of the primary verdict.
    #[must_use]
    pub fn class(&self) -> Class {
        self.primary.class()
    }
}

/// The JSON Schema of the report.
#[must_use]
pub fn report_schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_frozen() {
        insta::assert_json_snapshot!(report_schema());
    }
}
