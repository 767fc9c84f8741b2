//! The report as a document for programs: `weir.doctor.client/1`.

use serde::Serialize;
use weir_core::{Verdict, evidence::Confidence, verdict::Level};

use super::{
    habit::Habit,
    judge::{Finding, Judgement},
};
use crate::report::Bilingual;

/// What the clients did, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientReport {
    pub schema: &'static str,
    /// The version of weir.
    pub weir: String,
    /// The silence that a client should bear, in seconds.
    pub patience_s: u64,
    pub exit_code: u8,
    pub primary: Found,
    pub notes: Vec<Found>,
    pub clients: Vec<Habit>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    pub code: Verdict,
    pub confidence: Confidence,
    /// What shows it.
    pub seen: Bilingual,
    /// The requests that show it.
    pub requests: Vec<u32>,
    /// user, network, gateway, upstream or support.
    pub owner: &'static str,
}

impl ClientReport {
    /// The document. With `strict` a warning is not well either.
    #[must_use]
    pub fn new(judgement: Judgement, weir: &str, patience_s: u64, strict: Strict) -> Self {
        let found = |finding: &Finding| Found {
            code: finding.verdict,
            confidence: finding.sure,
            seen: finding.words(patience_s),
            requests: finding.requests.clone(),
            owner: finding.verdict.owner().label(),
        };
        Self {
            schema: "weir.doctor.client/1",
            weir: weir.to_owned(),
            patience_s,
            exit_code: exit_code(judgement.primary.verdict.level(), strict),
            primary: found(&judgement.primary),
            notes: judgement.notes.iter().map(found).collect(),
            clients: judgement.habits,
        }
    }
}

/// Whether a warning counts as not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strict {
    Yes,
    No,
}

fn exit_code(level: Level, strict: Strict) -> u8 {
    match level {
        Level::Fail => 1,
        Level::Warn if strict == Strict::Yes => 1,
        Level::Unknown => 3,
        Level::Ok | Level::Info | Level::Warn => 0,
    }
}
