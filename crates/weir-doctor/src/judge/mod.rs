//! The rules: from what the probes saw to findings and one primary verdict, in the order of the table.

pub mod answer;
pub mod arrival;
mod choose;
pub mod local;
pub mod past;
mod rules;
pub mod seen;
pub mod stream;
#[cfg(test)]
mod tests;

use weir_core::{Verdict, evidence::Confidence};

pub use choose::{Judgement, choose};
pub use rules::judge;
pub use seen::Seen;

use crate::{probe::ProbeId, report::Bilingual};

/// One thing that was found out, and how surely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    pub confidence: Confidence,
    /// More about this case.
    pub detail: Option<Bilingual>,
    /// It stands beside the primary verdict and never becomes it.
    pub is_note: bool,
}

/// A finding and the probe that showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub probe: ProbeId,
    pub finding: Finding,
}

impl Finding {
    #[must_use]
    pub fn new(verdict: Verdict, confidence: Confidence) -> Self {
        Self { verdict, confidence, detail: None, is_note: false }
    }

    /// The gateway's record or an explicit code says so.
    #[must_use]
    pub fn certain(verdict: Verdict) -> Self {
        Self::new(verdict, Confidence::Certain)
    }

    /// It was measured.
    #[must_use]
    pub fn likely(verdict: Verdict) -> Self {
        Self::new(verdict, Confidence::Likely)
    }

    /// A round number or a header hints at it.
    #[must_use]
    pub fn guess(verdict: Verdict) -> Self {
        Self::new(verdict, Confidence::Guess)
    }

    #[must_use]
    pub fn because(self, detail: Bilingual) -> Self {
        Self { detail: Some(detail), ..self }
    }

    #[must_use]
    pub fn because_of(self, detail: Option<Bilingual>) -> Self {
        Self { detail: detail.or(self.detail), ..self }
    }

    #[must_use]
    pub fn as_note(self) -> Self {
        Self { is_note: true, ..self }
    }

    #[must_use]
    pub fn at(self, probe: ProbeId) -> Found {
        Found { probe, finding: self }
    }
}
