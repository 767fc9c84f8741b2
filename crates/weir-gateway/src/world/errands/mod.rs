//! Jobs in worlds where the gateway is killed at any instant: submitted, sent again, asked for, deleted, forgotten by their clients.
//!
//! The laws: nothing is ever submitted twice, each job is charged once at most and only if it was made, its end is known without its client,
//! and the books are right after every start.

mod client;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, advance, sleep};
use weir_core::{Charged, Price, TaskRecord, TaskShape, TaskState};
use weir_sim::SeenRequest;
use weir_store::TaskFilter;

use self::client::{Errand, Told};
use super::{Sabotage, chance::Chance, number, rig::in_simulated_time};
use crate::{Settings, promises::Bench};

/// Worlds in CI; for each so many of `SEEDS` one more.
const SEEDS: u64 = 16;
const PER_WORLD: u64 = 40;
/// A sabotage must be found within this many worlds.
const SEEDS_TO_FIND: u64 = 100;
/// Longer than any job, and than any that is looked for in vain.
const AFTERWARDS: Duration = Duration::from_secs(4 * 3_600);
/// What a second of video costs here.
const SECOND: u64 = 1_000;
const CREDIT: i64 = 1_000_000_000_000;

/// One world.
#[derive(Debug)]
struct Plan {
    errands: Vec<Errand>,
    /// When the gateway is killed, each time.
    kills: Vec<Duration>,
    /// So many connections to the upstream are refused at first.
    refused: u32,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x7A5C);
        let errands = (0..chance.size(1, 5)).map(|n| Errand::draw(n, &mut chance)).collect();
        let mut at = Duration::ZERO;
        let kills = (0..chance.size(0, 3)).map(|_| {
            // Some kills fall into the very moment of a submission.
            at += Duration::from_millis(if chance.one_in(3) { chance.between(5_000, 60_000) } else { chance.between(5_000, 15_000) });
            at
        });
        let kills = kills.collect();
        Self { errands, kills, refused: if chance.one_in(4) { u32::try_from(chance.between(1, 6)).unwrap() } else { 0 } }
    }
}

/// A world that has ended.
struct World {
    plan: Plan,
    tasks: Vec<TaskRecord>,
    seen: Vec<SeenRequest>,
    made: u64,
    settled: i64,
    balance: i64,
    broken: Vec<&'static str>,
    pending: usize,
    /// What clients were told that contradicts itself.
    lies: Vec<String>,
    /// The tasks that each client was told of.
    told: BTreeMap<usize, BTreeSet<String>>,
}

fn priced(settings: &mut Settings) {
    settings.prices.fallback = Some(Price { second: SECOND, ..Price::default() });
}

/// Runs `work` on a machine that knows nothing of what ran before, from the instant on at which that ended.
fn life<T>(at: &mut Option<Instant>, work: impl AsyncFnOnce() -> T) -> T {
    in_simulated_time(async {
        if let Some(at) = *at {
            advance(at.saturating_duration_since(Instant::now())).await;
        }
        let done = work().await;
        *at = Some(Instant::now());
        done
    })
}

fn run(seed: u64, sabotage: Sabotage) -> World {
    let plan = Plan::of(seed);
    let told = std::cell::RefCell::new(Told::default());
    let mut at = None;
    let mut broken = Vec::new();
    let (mut bench, began) = life(&mut at, async || (Bench::new(priced), Instant::now()));
    bench.refuse(plan.refused);
    for kill in plan.kills.iter().copied().map(Some).chain([None]) {
        bench.sabotage(sabotage);
        life(&mut at, async || {
            let since = Instant::now();
            let clients = async {
                let mut errands: Vec<_> = plan.errands.iter().map(|errand| Box::pin(errand.run(&bench, began, since, &told))).collect();
                std::future::poll_fn(|cx| {
                    errands.retain_mut(|errand| errand.as_mut().poll(cx).is_pending());
                    if errands.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
                // Nobody asks any more.
                sleep(AFTERWARDS).await;
            };
            let until = kill.map_or(AFTERWARDS * 2, |kill| (began + kill).saturating_duration_since(since));
            tokio::select! {
                () = std::sync::Arc::clone(&bench.gateway).follow_tasks() => {}
                () = clients => {}
                () = sleep(until) => {}
            }
        });
        bench = life(&mut at, async || bench.killed(priced));
        let audit = bench.gateway.books().audit().unwrap();
        broken.extend(audit.laws.iter().filter(|law| !law.ok).map(|law| law.name));
    }
    let told = told.into_inner();
    let store = bench.gateway.books().store();
    let account = store.accounts().unwrap().remove(0);
    let tasks = store.tasks(&TaskFilter { limit: 1_000, ..TaskFilter::default() }).unwrap();
    let pending = tasks.iter().filter(|task| bench.record(task.call).charge.charged == Charged::Pending).count();
    World {
        tasks,
        seen: bench.sim.requests(),
        made: bench.sim.tasks(),
        settled: account.settled.0,
        balance: bench.gateway.books().balance(&account.id).unwrap().0,
        broken,
        pending,
        lies: told.lies,
        told: told.all,
        plan,
    }
}

impl World {
    fn laws(&self) -> Result<(), String> {
        let hold = |holds: bool, law: &dyn Fn() -> String| if holds { Ok(()) } else { Err(law()) };
        // What the upstream refused it did not take: only that is submitted anew.
        let mut submitted: BTreeMap<&str, usize> = BTreeMap::new();
        for seen in self.seen.iter().filter(|seen| seen.method == "POST" && !matches!(seen.status, 400..=499 | 503)) {
            *submitted.entry(&seen.body_hash).or_default() += 1;
        }
        hold(submitted.values().all(|times| *times == 1), &|| "a job was submitted twice".to_owned())?;
        let kept: Vec<_> = self.tasks.iter().filter(|task| !task.is_refused()).collect();
        hold(kept.len() <= self.plan.errands.len(), &|| format!("{} errands left {} rows", self.plan.errands.len(), kept.len()))?;
        hold(submitted.len() <= self.tasks.len(), &|| format!("{} jobs were submitted, {} have a row", submitted.len(), self.tasks.len()))?;
        for (n, ids) in &self.told {
            let jobs: Vec<_> = kept.iter().filter(|task| ids.contains(&task.id())).collect();
            hold(jobs.len() <= 1, &|| format!("errand {n} was told of more than one task: {jobs:?}"))?;
        }
        hold(self.lies.is_empty(), &|| self.lies.join("; "))?;
        for task in &self.tasks {
            let of = |law: &str| format!("task {}: {law}: {task:?}", task.id());
            hold(!task.state.is_open() && task.charge.charged != Charged::Pending, &|| of("its end is not known"))?;
            let paid = task.charge.charged == Charged::Yes;
            hold(paid == (task.state == TaskState::Succeeded), &|| of("charged, but not made, or made and not charged"))?;
            hold(!paid || task.charge.amount.0 == 8 * i64::try_from(SECOND).unwrap(), &|| of("it costs something else"))?;
        }
        hold(self.pending == 0, &|| format!("{} records are pending", self.pending))?;
        let count = |which: &dyn Fn(&TaskRecord) -> bool| self.tasks.iter().filter(|task| which(task)).count();
        let (paid, pictures) =
            (|task: &TaskRecord| task.charge.charged == Charged::Yes, |task: &TaskRecord| task.shape == TaskShape::Images);
        let good = count(&|task| paid(task) && !pictures(task));
        hold(good as u64 <= self.made, &|| format!("{good} jobs were charged, {} made", self.made))?;
        // What was made is found, whoever lost its answer: only jobs that fail are not charged.
        let failing = count(&|task| task.state == TaskState::Failed && task.upstream_id.is_some());
        hold((good + failing) as u64 == self.made, &|| {
            format!("{} jobs were made, {good} are charged and {failing} failed: {:?}", self.made, self.tasks)
        })?;
        // A picture is lost with its answer, but is never charged without one.
        let drawn = self.seen.iter().filter(|seen| seen.path.starts_with("/v1/images/") && seen.status == 200).count();
        let (charged, asked) = (count(&|task| paid(task) && pictures(task)), count(&pictures));
        hold(charged <= drawn && drawn <= asked, &|| format!("{drawn} pictures were made, {asked} asked for, {charged} charged"))?;
        let sum: i64 = self.tasks.iter().map(|task| task.charge.amount.0).sum();
        hold(self.settled == sum, &|| format!("{} is settled, the tasks cost {sum}", self.settled))?;
        hold(self.balance == CREDIT - sum, &|| format!("the balance is {}", self.balance))?;
        hold(self.broken.is_empty(), &|| format!("the audit found {:?}", self.broken))
    }
}

#[test]
fn nothing_is_submitted_or_charged_twice_and_every_end_is_known_wherever_the_gateway_is_killed() {
    let many = SEEDS + number("SEEDS").unwrap_or(0) / PER_WORLD;
    let seeds = number("SEED").map_or(0..many, |seed| seed..seed + 1);
    let (mut ends, mut broken) = (BTreeMap::<&str, usize>::new(), Vec::new());
    let all = seeds.end - seeds.start;
    for seed in seeds {
        let world = run(seed, Sabotage::None);
        for task in &world.tasks {
            *ends.entry(task.state.label()).or_default() += 1;
        }
        if let Err(law) = world.laws() {
            broken.push(format!("SEED={seed}: {law}\n{:?}", world.plan));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    // Laws prove little in worlds where nothing happens.
    let met = [TaskState::Succeeded, TaskState::Failed, TaskState::Unknown].iter().all(|state| ends.contains_key(state.label()));
    assert!(all < SEEDS || met, "{ends:?}");
}

fn caught(sabotage: Sabotage) -> Option<String> {
    (0..SEEDS_TO_FIND).find_map(|seed| run(seed, sabotage).laws().err())
}

#[test]
fn a_world_finds_a_job_that_was_submitted_again_because_its_answer_was_lost() {
    assert!(caught(Sabotage::Resubmits).is_some_and(|law| law.contains("submitted twice")));
}

#[test]
fn a_world_finds_a_job_whose_end_is_known_only_if_its_client_asks() {
    assert!(caught(Sabotage::NeverLooks).is_some_and(|law| law.contains("its end is not known")));
}

#[test]
fn a_world_finds_a_job_that_was_given_up_because_its_answer_was_lost() {
    assert!(caught(Sabotage::GivesUp).is_some_and(|law| law.contains("were made")));
}

#[test]
fn a_world_finds_a_job_that_was_submitted_again_because_its_client_asked_again() {
    assert!(caught(Sabotage::Forgetful).is_some_and(|law| law.contains("submitted twice")));
}

#[test]
fn a_world_finds_a_job_that_was_charged_twice() {
    assert!(caught(Sabotage::JobChargedTwice).is_some_and(|law| law.contains("it costs something else")));
}

#[test]
fn a_world_finds_a_picture_that_was_put_off_and_asked_for_twice() {
    assert!(caught(Sabotage::PutOffTwice).is_some_and(|law| law.contains("submitted twice")));
}
