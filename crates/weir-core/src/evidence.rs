//! `weir.evidence/1`: the typed record of one call that support may keep and the public may read. Built by allow-list
//! from typed fields; unknown is the word `unknown`, not applicable is `null`, and what was removed is listed.

mod field;
mod limits;
mod make;
mod pasted;
mod record;
mod text;

#[cfg(test)]
mod laws;

pub(crate) use field::{CROCKFORD, crockford};
pub use field::{EvidenceId, Fact, Label, Moment, NotAnEvidenceId, Text};
pub use make::{EvidenceContext, MAX_EVIDENCE_BYTES, is_kept_header};
pub use pasted::{Pasted, PastedKind};
pub use record::{
    AttemptFacts, BatchFacts, CallerFacts, ChargeEvidence, Client, Confidence, EndMarkerSeen, Evidence, Gzip, Level, LimitKind, Limits,
    Redaction, RequestFacts, Retry, Scenario, SchemaName, Source, Status, StreamObserved, Surface, TaskFacts, TaskState, TimingFacts,
    VerdictFacts, ViaProxy,
};
pub use text::{Lang, MAX_TEXT_LINES, VerdictWords, bare_never};

/// The JSON Schema of the record.
#[must_use]
pub fn evidence_schema() -> schemars::Schema {
    schemars::schema_for!(Evidence)
}
