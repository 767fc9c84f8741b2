//! The simulated world: clients, gateway and upstream on one clock and one seed. After each run every law is asserted.
//!
//! `SEED=17` replays one world, `SEEDS=20000` runs so many, `FROM=10000` leaves out those before. One thread, paused time, pipes instead of sockets: an hour's stall
//! costs nothing, and the same seed leaves the same trace, byte for byte.

mod abrupt;
mod again;
mod chance;
mod client;
mod docs;
mod dying;
mod errands;
mod events;
mod laws;
mod matrix;
mod plan;
mod rig;
mod run;
mod saw;
mod scenarios;
mod storm;
mod upstream;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use run::World;
use weir_core::{Amount, Failure, TaskRecord};

use crate::{attempts::Failed, reply::Reply};

/// A gateway broken on purpose, to show that the laws catch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sabotage {
    #[default]
    None,
    /// The charge is made twice.
    DoubleSettle,
    /// A cut stream gets an end marker.
    ForgedDone,
    /// Half an event is passed before the error event.
    HalfEvent,
    /// A call leaves no record.
    DroppedRecord,
    /// Nobody is known to ask again.
    Forgetful,
    /// What may have arrived is taken for what never left.
    SentTwice,
    /// Only the first wait is waited.
    HastyRetry,
    /// A job whose answer was lost is submitted anew.
    Resubmits,
    /// Nobody looks at jobs.
    NeverLooks,
    /// A job whose answer was lost is not looked for.
    GivesUp,
    /// A job is charged twice.
    JobChargedTwice,
    /// A picture that nobody waits for is asked for twice.
    PutOffTwice,
    /// Each request is sent twice, and the second answer is thrown away.
    Hedges,
}

impl Sabotage {
    /// Spoils a stream that did not come to its own end; `rest` is the half event that the gateway holds.
    pub(crate) async fn spoil(self, rest: Bytes, reply: &mut Reply) {
        let forged = match self {
            Self::ForgedDone => Bytes::from_static(b"data: [DONE]\n\n"),
            Self::HalfEvent => rest,
            _ => return,
        };
        if reply.is_open() && !forged.is_empty() {
            let _ = reply.pass(forged, 0).await;
        }
    }
}

impl Sabotage {
    pub(crate) fn misread(self, mut failed: Failed) -> Failed {
        if self == Self::SentTwice && failed.failure == Failure::Unanswered {
            failed.failure = Failure::Unsent;
        }
        failed
    }

    pub(crate) fn charge(self, mut task: TaskRecord) -> TaskRecord {
        if self == Self::JobChargedTwice {
            task.charge.amount = Amount(task.charge.amount.0 * 2);
        }
        task
    }

    pub(crate) fn hurry(self, attempts: u8, wait: Duration) -> Duration {
        if self == Self::HastyRetry && attempts > 1 { Duration::ZERO } else { wait }
    }
}

/// Worlds in CI; the nightly run asks for more.
const SEEDS: u64 = 500;
/// A sabotage must be found within this many worlds.
const SEEDS_TO_FIND: u64 = 400;

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how many worlds, and which, is told by whoever runs the tests")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seeds() -> std::ops::Range<u64> {
    let all = || number("FROM").unwrap_or(0)..number("SEEDS").unwrap_or(SEEDS);
    number("SEED").map_or_else(all, |seed| seed..seed + 1)
}

#[test]
fn the_laws_hold_in_every_world() {
    let mut broken = Vec::new();
    let mut met = BTreeSet::new();
    for seed in seeds() {
        let world = World::run(seed, Sabotage::None);
        met.extend(world.endings());
        if let Err(law) = world.laws() {
            broken.push(format!("SEED={seed}: {law}\n{}", world.trace));
        }
        assert!(broken.len() < 3 && seed < u64::MAX, "{}", broken.join("\n\n"));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    // Laws prove little in worlds where nothing happens.
    let unmet: Vec<_> = ENDINGS.iter().filter(|ending| !met.contains(**ending)).collect();
    assert!(seeds().start > 0 || seeds().end < SEEDS || unmet.is_empty(), "never met: {unmet:?}, met: {met:?}");
}

/// How streams and calls end in as many worlds as CI runs; each at least once.
const ENDINGS: &[&str] = &[
    "ClientGone",
    "Done",
    "Draining",
    "EofNoDone",
    "EofNoFinish",
    "IdleTimeout",
    "Oversize",
    "TotalTimeout",
    "UpstreamCut",
    "UpstreamError",
    "again Key",
    "again Retry",
    "again Returned",
    "by Client",
    "by Done",
    "by Gateway",
    "by Upstream",
];

#[test]
fn the_same_seed_makes_the_same_world_byte_for_byte() {
    for seed in 0..20 {
        assert_eq!(World::run(seed, Sabotage::None).trace, World::run(seed, Sabotage::None).trace, "SEED={seed}");
    }
}

/// The first law that this sabotage breaks.
fn caught(sabotage: Sabotage) -> Option<String> {
    (0..SEEDS_TO_FIND).find_map(|seed| World::run(seed, sabotage).laws().err())
}

#[test]
fn a_world_finds_a_charge_made_twice() {
    assert!(caught(Sabotage::DoubleSettle).is_some_and(|law| law.contains("costs")));
}

#[test]
fn a_world_finds_a_forged_end_marker() {
    assert!(caught(Sabotage::ForgedDone).is_some_and(|law| law.contains("forged")));
}

#[test]
fn a_world_finds_half_an_event_before_an_error() {
    assert!(caught(Sabotage::HalfEvent).is_some_and(|law| law.contains("whole events")));
}

#[test]
fn a_world_finds_a_call_without_a_record() {
    assert!(caught(Sabotage::DroppedRecord).is_some_and(|law| law.contains("row")));
}

#[test]
fn a_world_finds_a_repeated_request_that_was_charged_again() {
    assert!(caught(Sabotage::Forgetful).is_some_and(|law| law.contains("was charged as")));
}

#[test]
fn a_world_finds_a_request_that_may_have_arrived_sent_again() {
    assert!(caught(Sabotage::SentTwice).is_some_and(|law| law.contains("unanswered")));
}

#[test]
fn a_world_finds_a_generation_that_no_record_counts() {
    assert!(caught(Sabotage::Hedges).is_some_and(|law| law.contains("the upstream saw")));
}

#[test]
fn a_world_finds_waits_that_shrink() {
    assert!(caught(Sabotage::HastyRetry).is_some_and(|law| law.contains("shrink")));
}
