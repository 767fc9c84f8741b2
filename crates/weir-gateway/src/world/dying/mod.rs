//! Two upstreams under load; one of them dies, in every way that upstreams die, and comes back.
//!
//! The law: nobody loses more than a stream that had begun. What had not begun is answered by the other upstream, the one that died is
//! probed gently when it is back, and every record tells which attempt met what.

mod laws;

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use weir_core::CallRecord;
use weir_sim::Scenario;
use weir_store::{Account, AuditReport};

use super::{
    chance::Chance,
    client::Got,
    number,
    plan::Fate,
    rig::{Order, Rig, chat, in_simulated_time},
    upstream::Host,
};

/// Calls of one world, and how far apart they come. Every other one asks for a stream.
const CALLS: u64 = 540;
const APART: Duration = Duration::from_millis(150);
/// A second of thought, then ten events in two; a whole answer takes as long. Hundreds of calls, a dozen at a time.
const MODEL: &str = "sim:first_byte=1s,tokens=10,interval=200ms";
/// Seeds of each way to die, unless `SEED` names one; for each so many of `SEEDS` one more: these worlds are large.
const SEEDS: u64 = 2;
const PER_WORLD: u64 = 500;

/// How an upstream dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// It takes no new connection, and closes each that stands when its answer is given.
    Refuses,
    /// It is gone, with every connection.
    Crashes,
    /// It is there, but does nothing any more.
    Hangs,
    /// It answers every request with 503.
    Overloads,
    /// It answers every request with 429 and a hint.
    Throttles,
}

/// What one call came to.
struct Ended {
    n: u64,
    stream: bool,
    got: Got,
}

/// A world that has ended. Times count from the first call.
struct World {
    death: Death,
    dies: Duration,
    recovers: Duration,
    calls: Vec<Ended>,
    records: Vec<CallRecord>,
    /// How many requests each upstream saw.
    seen: [usize; 2],
    audit: AuditReport,
    account: Account,
}

impl Death {
    fn strikes(self, host: &Host) {
        match self {
            Self::Refuses => {
                host.meet(&[], Fate::Refused);
                host.sim.set_always(Scenario::parse("sim:close").unwrap());
            }
            Self::Crashes => {
                host.meet(&[], Fate::Refused);
                host.cut();
            }
            Self::Hangs => {
                host.meet(&[], Fate::Hangs);
                host.freeze(true);
            }
            Self::Overloads => host.sim.set_always(Scenario::parse("sim:503").unwrap()),
            Self::Throttles => host.sim.set_always(Scenario::parse("sim:429_hint=5s").unwrap()),
        }
    }

    fn is_over(host: &Host) {
        host.meet(&[], Fate::Good);
        host.freeze(false);
        host.sim.set_always(Scenario::default());
    }
}

fn run(death: Death, seed: u64) -> World {
    in_simulated_time(async {
        let mut chance = Chance::new(seed ^ 0xD1E5);
        let dies = Duration::from_millis(chance.between(14_000, 16_000));
        let recovers = dies + Duration::from_millis(chance.between(12_000, 16_000));
        let mut order = Order::new(seed, 2);
        // So that a hanging upstream is given up within the world's time.
        order.settings.timeouts.first_byte = Duration::from_secs(8);
        order.settings.timeouts.idle = Duration::from_secs(8);
        let rig = Arc::new(Rig::new(order));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for n in 0..CALLS {
            let rig = Arc::clone(&rig);
            tasks.spawn(async move {
                sleep_until(began + APART * u32::try_from(n).unwrap()).await;
                let stream = n % 2 == 1;
                let lines = format!("x-weir-caller: c{n}\r\n");
                let got = rig.line().ask(&chat(MODEL, stream, &rig.key, &lines, &format!("call {n}"))).await;
                Ended { n, stream, got }
            });
        }
        sleep_until(began + dies).await;
        death.strikes(&rig.hosts[0]);
        sleep_until(began + recovers).await;
        Death::is_over(&rig.hosts[0]);
        let mut calls = tasks.join_all().await;
        calls.sort_by_key(|call| call.n);
        let records = rig.records().await.into_iter().map(|stored| stored.record).collect();
        let (audit, account) = rig.audit();
        let seen = [0, 1].map(|at: usize| usize::try_from(rig.hosts[at].sim.count()).unwrap());
        World { death, dies, recovers, calls, records, seen, audit, account }
    })
}

fn holds(death: Death) {
    let many = SEEDS + number("SEEDS").unwrap_or(0) / PER_WORLD;
    let seeds = number("SEED").map_or(0..many, |seed| seed..seed + 1);
    for seed in seeds {
        let world = run(death, seed);
        if let Err(law) = world.laws() {
            panic!("SEED={seed}, an upstream {death:?}: {law}");
        }
    }
}

#[test]
fn an_upstream_that_takes_no_connections_costs_nobody_an_answer() {
    holds(Death::Refuses);
}

#[test]
fn an_upstream_that_crashes_costs_the_streams_that_it_had_begun_and_no_more() {
    holds(Death::Crashes);
}

#[test]
fn an_upstream_that_hangs_costs_the_streams_that_it_had_begun_and_no_more() {
    holds(Death::Hangs);
}

#[test]
fn an_overloaded_upstream_costs_nobody_an_answer() {
    holds(Death::Overloads);
}

#[test]
fn a_throttled_upstream_costs_nobody_an_answer() {
    holds(Death::Throttles);
}
