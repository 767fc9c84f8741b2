//! How retries add up: five hundred calls against upstreams in trouble, with and without weir between.
//!
//! `docs/retries.md` is the table that comes of it; `cargo xtask gen --simulated` makes it anew.

mod callers;
mod page;

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use weir_core::{BudgetTerms, retry::FLOOR_EVERY};
use weir_sim::Scenario;

use super::{
    chance::Chance,
    docs,
    rig::{Order, Rig, in_simulated_time},
};
use callers::{Caller, Door, Outcome};

/// Calls of one run, and how many come in a second. Whether one is answered does not hold the next one back: people do not wait for
/// each other.
const CALLS: u64 = 500;
const PER_SECOND: u64 = 20;
/// A healthy upstream takes 200 ms for this.
const MODEL: &str = "sim:tokens=10,interval=20ms";
const SERVICE: Duration = Duration::from_millis(200);
/// Clients that share the calls.
const CLIENTS: u64 = 20;
const SEED: u64 = 17;
/// When the upstream that is down for a while falls ill and recovers, since the first call.
const DOWN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// What ails the upstream.
struct Trouble {
    name: &'static str,
    /// Laid under every answer.
    always: &'static str,
    /// For a while only.
    passes: bool,
}

const TROUBLES: [Trouble; 7] = [
    Trouble { name: "no faults", always: "sim:ok", passes: false },
    Trouble { name: "5 % of requests get a 503", always: "sim:flaky=0.05,503", passes: false },
    Trouble { name: "50 % of requests get a 503", always: "sim:flaky=0.5,503", passes: false },
    Trouble { name: "every request gets a 503", always: "sim:503", passes: false },
    Trouble { name: "every request gets a 503, from 5 s to 15 s", always: "sim:503", passes: true },
    Trouble { name: "429 beyond 10 a second, no hint", always: "sim:rpm=600", passes: false },
    Trouble { name: "429 beyond 10 a second, `Retry-After`", always: "sim:rpm=600,429_hint", passes: false },
];

/// One line of the table.
struct Run {
    trouble: &'static str,
    caller: Caller,
    through_weir: bool,
    outcomes: Vec<Outcome>,
    /// Requests that weir received; those of the clients themselves where there is none.
    received: u64,
    upstream: u64,
    /// From the first request to the last answer.
    took: Duration,
}

fn run(trouble: &'static Trouble, caller: Caller, through_weir: bool) -> Run {
    in_simulated_time(async {
        let mut order = Order::new(SEED, 1);
        let always = Scenario::parse(trouble.always).unwrap();
        if !trouble.passes {
            order.upstreams[0] = always.clone();
        }
        let rig = Arc::new(Rig::new(order));
        let host = rig.hosts[0].clone();
        let door = if through_weir { Door::Weir(Arc::clone(&rig)) } else { Door::Straight(host.clone()) };
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for n in 0..CALLS {
            let door = door.clone();
            calls.spawn(async move {
                sleep_until(began + Duration::from_millis(n * 1_000 / PER_SECOND)).await;
                callers::call(&door, caller, n, &mut Chance::new(SEED ^ (n << 8))).await
            });
        }
        if trouble.passes {
            sleep_until(began + DOWN.0).await;
            host.sim.set_always(always);
            sleep_until(began + DOWN.1).await;
            host.sim.set_always(Scenario::default());
        }
        let outcomes = calls.join_all().await;
        let took = began.elapsed();
        // A refused request that is still on its way back has been counted.
        sleep(Duration::from_secs(1)).await;
        let received = outcomes.iter().map(|outcome| outcome.requests).sum();
        if through_weir {
            recorded(&rig, received).await;
        }
        Run { trouble: trouble.name, caller, through_weir, outcomes, received, upstream: host.sim.count(), took }
    })
}

/// The books know of every request that came, and of every attempt that went out.
async fn recorded(rig: &Rig, received: u64) {
    let records = rig.records().await;
    assert_eq!(records.len() as u64, received);
    let attempts: usize = records.iter().map(|stored| stored.record.attempts.len()).sum();
    assert_eq!(attempts as u64, rig.hosts[0].sim.count(), "each attempt was one request");
    let (audit, _) = rig.audit();
    assert!(audit.ok, "{:?}", audit.laws);
}

fn runs() -> Vec<Run> {
    let ways = [(Caller::Once, true), (Caller::Sdk, true), (Caller::Sdk, false), (Caller::Hammer, false)];
    TROUBLES.iter().flat_map(|trouble| ways.map(|(caller, through_weir)| run(trouble, caller, through_weir))).collect()
}

impl Run {
    /// What weir may send upstream: what it received, its budget's share of that, and what the budget's floor gave meanwhile.
    fn most(&self) -> u64 {
        let BudgetTerms { percent, floor } = BudgetTerms::default();
        let floor = u64::from(floor) + u64::try_from(self.took.as_millis().div_ceil(FLOOR_EVERY.as_millis())).unwrap();
        self.received + self.received * u64::from(percent) / 100 + floor
    }
}

#[test]
fn r28_retries_stay_within_their_budget_and_their_table_is_what_the_docs_say() {
    let runs = runs();
    for run in runs.iter().filter(|run| run.through_weir) {
        assert!(run.upstream <= run.most(), "{}: {} requests upstream, {} at most", run.trouble, run.upstream, run.most());
    }
    let found =
        |trouble: &str, caller, weir| runs.iter().find(|run| run.trouble == trouble && run.caller == caller && run.through_weir == weir);
    let well = found("no faults", Caller::Once, true).unwrap();
    assert_eq!((well.upstream, well.answered()), (CALLS, CALLS), "without faults there is nothing to repeat");
    assert_eq!(well.extra(), Some(Duration::ZERO));
    docs::is_there("retries.md", &page::of(&runs));
}

impl Run {
    fn answered(&self) -> u64 {
        self.outcomes.iter().filter(|outcome| outcome.answered).count() as u64
    }

    /// How much longer than a healthy upstream an answer took, on average.
    fn extra(&self) -> Option<Duration> {
        mean(self.outcomes.iter().filter(|outcome| outcome.answered).map(|outcome| outcome.took.saturating_sub(SERVICE)))
    }

    /// How long it took until a call that failed was given up, on average.
    fn given_up(&self) -> Option<Duration> {
        mean(self.outcomes.iter().filter(|outcome| !outcome.answered).map(|outcome| outcome.took))
    }
}

fn mean(spans: impl Iterator<Item = Duration>) -> Option<Duration> {
    let (sum, count) = spans.fold((Duration::ZERO, 0u32), |(sum, count), span| (sum + span, count + 1));
    sum.checked_div(count)
}
