//! One primary verdict out of all that was found: the order of the table, broken layers before broken streams.

use weir_core::{Class, Level, Verdict};

use super::{Finding, Found};
use crate::probe::ProbeId;

/// What a run comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub primary: Found,
    /// The rest, in the order of the table, each verdict once.
    pub notes: Vec<Found>,
    /// All that was found, for the lines of the probes.
    pub all: Vec<Found>,
}

/// Picks the primary verdict. Faults come before warnings, warnings before "not enough seen", that before remarks; within one level
/// the order of the layers decides.
#[must_use]
pub fn choose(found: Vec<Found>) -> Judgement {
    let all = found.clone();
    let mut ranked = found;
    ranked.sort_by_key(|found| (found.finding.is_note, severity(found.finding.verdict), rank(found.finding.verdict), found.probe));
    let mut seen: Vec<Verdict> = Vec::new();
    ranked.retain(|found| {
        let is_new = !seen.contains(&found.finding.verdict);
        seen.push(found.finding.verdict);
        is_new
    });
    let at = ranked.iter().position(|found| !found.finding.is_note);
    let primary = at.map_or_else(|| Finding::likely(Verdict::EvidenceMissing).at(ProbeId::P0), |at| ranked.remove(at));
    let is_well = primary.finding.verdict.level() != Level::Ok;
    ranked.retain(|found| found.finding.verdict != primary.finding.verdict && (is_well || found.finding.verdict.level() != Level::Ok));
    Judgement { primary, all, notes: ranked.into_iter().filter(|found| found.finding.verdict != Verdict::Ok).collect() }
}

/// Smaller is graver.
fn severity(verdict: Verdict) -> u8 {
    match verdict.level() {
        Level::Fail => 0,
        Level::Warn => 1,
        Level::Unknown => 2,
        Level::Info => 3,
        Level::Ok => 4,
    }
}

/// The place in the table's order; smaller comes first.
fn rank(verdict: Verdict) -> (u8, u8) {
    let layer = match verdict.class() {
        Class::Local => 0,
        Class::Network => 1,
        Class::Auth => 2,
        Class::Model | Class::Group | Class::Balance | Class::Request => 3,
        Class::Rate => 4,
        Class::Upstream | Class::Gateway => 5,
        Class::Task | Class::Charge => 6,
        Class::Timeout => 7,
        Class::Stream => 8,
        Class::Client => 9,
        Class::Ok => 10,
        Class::Probe => 11,
    };
    let within = match verdict {
        // The hop that breaks it says more than how it is broken, and who comes too early more than that a limit was met.
        Verdict::HopBreaksStream | Verdict::RetriedTooEarly => 0,
        Verdict::NotAStream => 1,
        Verdict::ErrorInStream => 2,
        Verdict::StreamCut => 3,
        Verdict::StreamSilent => 4,
        Verdict::StreamStalled => 5,
        Verdict::FramesMalformed => 6,
        Verdict::EndMarkerMissing => 7,
        Verdict::GzipBuffered => 8,
        Verdict::StreamBuffered => 9,
        _ => 20,
    };
    (layer, within)
}
