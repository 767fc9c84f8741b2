//! From what the clients did to one verdict and notes. Pure: the same requests give the same verdict.

use std::time::Duration;

use weir_core::{Verdict, evidence::Confidence};

use super::{
    habit::{Again, At, Habit, habits},
    seen::Seen,
};

/// How long a model may be silent before its first word, unless told otherwise: reasoning models take a minute on an ordinary question.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// So many calls before the told time are a habit, not an accident.
const EARLY_CALLS: u32 = 3;

/// What the requests came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub primary: Finding,
    /// What else was found, in the order of the verdicts.
    pub notes: Vec<Finding>,
    pub habits: Vec<Habit>,
}

/// One verdict with what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    pub sure: Confidence,
    pub fact: Fact,
    /// The requests that show it.
    pub requests: Vec<u32>,
}

/// What was seen, as plain values; words are made of it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    NothingCame,
    /// Lists and questions, but no call.
    NoCall,
    /// `/v1` is missing in the path, or there twice.
    OddPath {
        twice: bool,
    },
    Early {
        times: u32,
    },
    NotStreaming {
        calls: u32,
    },
    ShortAnnounced {
        seconds: u32,
    },
    ShortMeasured {
        ms: u64,
    },
    LeftDespiteHeartbeats {
        ms: u64,
    },
    RetriedAfterGivingUp {
        tries: u32,
        marked: bool,
    },
    RetriedAfterCut {
        tries: u32,
        marked: bool,
    },
    NotReading {
        ms: u64,
    },
    LeftMidway {
        ms: u64,
    },
    AllWell {
        calls: u32,
    },
}

/// Judges what was seen. `patience` is how long a client should bear silence: the model's usual time, at its worst in twenty.
#[must_use]
pub fn judge(seen: &[Seen], patience: Duration) -> Judgement {
    let habits = habits(seen);
    let mut found: Vec<Finding> = odd_path(seen).into_iter().chain(habits.iter().flat_map(|habit| findings(habit, patience))).collect();
    found.sort_by_key(|finding| rank(finding.verdict));
    let calls = habits.iter().map(|habit| habit.calls).sum::<u32>();
    if found.is_empty() {
        found.push(match calls {
            0 => {
                let fact = if seen.is_empty() { Fact::NothingCame } else { Fact::NoCall };
                Finding {
                    verdict: Verdict::EvidenceMissing,
                    sure: Confidence::Certain,
                    fact,
                    requests: seen.iter().map(|one| one.n).collect(),
                }
            }
            calls => Finding { verdict: Verdict::Ok, sure: Confidence::Likely, fact: Fact::AllWell { calls }, requests: Vec::new() },
        });
    }
    let primary = found.remove(0);
    Judgement { primary, notes: found, habits }
}

/// The address first, then what clients do to others, then what they do to themselves.
fn rank(verdict: Verdict) -> usize {
    const ORDER: [Verdict; 6] = [
        Verdict::BaseUrlMalformed,
        Verdict::RetriedTooEarly,
        Verdict::ClientNotStreaming,
        Verdict::ClientReadTimeoutShort,
        Verdict::ClientRetriesCostly,
        Verdict::ClientSpinner,
    ];
    ORDER.iter().position(|known| *known == verdict).unwrap_or(ORDER.len())
}

/// A path that was mended afterwards is no finding any more.
fn odd_path(seen: &[Seen]) -> Option<Finding> {
    let mended = seen.iter().rposition(Seen::is_call).map_or(0, |call| call + 1);
    let odd: Vec<&Seen> = seen[mended..].iter().filter(|one| one.odd_path.is_some()).collect();
    let twice = odd.first()?.odd_path == Some("twice");
    let requests = odd.iter().map(|one| one.n).collect();
    Some(Finding { verdict: Verdict::BaseUrlMalformed, sure: Confidence::Certain, fact: Fact::OddPath { twice }, requests })
}

fn findings(habit: &Habit, patience: Duration) -> Vec<Finding> {
    let find = |verdict, sure, fact, requests| Finding { verdict, sure, fact, requests };
    let at = |at: &At| vec![at.request];
    let mut found = Vec::new();
    if let Some(Again { early, requests, .. }) = habit.after_429.as_ref().filter(|again| again.early > 0) {
        let sure = if *early >= EARLY_CALLS { Confidence::Certain } else { Confidence::Likely };
        found.push(find(Verdict::RetriedTooEarly, sure, Fact::Early { times: *early }, requests.clone()));
    }
    if habit.calls > 0 && habit.streamed == 0 {
        found.push(find(
            Verdict::ClientNotStreaming,
            Confidence::Certain,
            Fact::NotStreaming { calls: habit.calls },
            habit.requests.clone(),
        ));
    }
    let bar_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    let short = |ms: u64| ms < bar_ms;
    if let Some(left) = &habit.left_despite_heartbeats {
        found.push(find(Verdict::ClientReadTimeoutShort, Confidence::Likely, Fact::LeftDespiteHeartbeats { ms: left.ms }, at(left)));
    } else if let Some(gave_up) = habit.gave_up.as_ref().filter(|gave_up| short(gave_up.ms)) {
        found.push(find(Verdict::ClientReadTimeoutShort, Confidence::Likely, Fact::ShortMeasured { ms: gave_up.ms }, at(gave_up)));
    } else if let Some(seconds) = habit.announced_timeout_s.filter(|seconds| short(u64::from(*seconds) * 1000)) {
        found.push(find(Verdict::ClientReadTimeoutShort, Confidence::Certain, Fact::ShortAnnounced { seconds }, habit.requests.clone()));
    }
    if let Some(again) = habit.after_giving_up.as_ref().filter(|again| again.tries > 0) {
        let fact = Fact::RetriedAfterGivingUp { tries: again.tries, marked: again.marked };
        found.push(find(Verdict::ClientRetriesCostly, Confidence::Likely, fact, again.requests.clone()));
    } else if let Some(again) = habit.after_cut.as_ref().filter(|again| again.tries > 0) {
        let fact = Fact::RetriedAfterCut { tries: again.tries, marked: again.marked };
        found.push(find(Verdict::ClientRetriesCostly, Confidence::Likely, fact, again.requests.clone()));
    }
    if let Some(stalled) = &habit.not_reading {
        found.push(find(Verdict::ClientSpinner, Confidence::Likely, Fact::NotReading { ms: stalled.ms }, at(stalled)));
    } else if let Some(left) = &habit.left_midway {
        found.push(find(Verdict::ClientSpinner, Confidence::Guess, Fact::LeftMidway { ms: left.ms }, at(left)));
    }
    found
}
