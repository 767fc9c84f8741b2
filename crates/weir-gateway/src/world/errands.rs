//! Jobs in worlds where the gateway is killed at any instant: submitted, asked for, deleted, forgotten by their clients.
//!
//! The laws: nothing is ever submitted twice, each job is charged once at most and only if it was made, its end is known without its client,
//! and the books are right after every start.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, advance, sleep, sleep_until, timeout};
use weir_core::{Charged, Price, TaskRecord, TaskShape, TaskState};
use weir_sim::SeenRequest;
use weir_store::TaskFilter;

use super::{Sabotage, chance::Chance, number, rig::in_simulated_time};
use crate::{
    Settings,
    promises::{Bench, Read},
};

/// Worlds in CI; for each so many of `SEEDS` one more.
const SEEDS: u64 = 16;
const PER_WORLD: u64 = 40;
/// Longer than any job, and than any that is looked for in vain.
const AFTERWARDS: Duration = Duration::from_secs(4 * 3_600);
/// What a second of video costs here.
const SECOND: u64 = 1_000;
const CREDIT: i64 = 1_000_000_000_000;

/// What the upstream does with a job.
const WORDS: &[&str] = &[
    "ok",
    "task_slow=5s",
    "task_slow=40s",
    "task_slow=110s",
    "task_failed,task_slow=20s",
    "task_lying,task_slow=30s",
    "task_404_then_ok=4,task_slow=9s",
    "task_lost_answer,task_slow=30s",
    "task_lost_answer,task_failed,task_slow=30s",
    "first_byte=8s,task_slow=10s",
    "reset_after_accept",
    "400",
    "503",
    "429",
    "500",
    "502",
];

/// One client's job.
#[derive(Debug, Clone)]
struct Errand {
    n: usize,
    starts: Duration,
    model: String,
    /// Leaves this long after it asked, without waiting for an answer.
    leaves: Option<Duration>,
    /// Asks for its state this often, so far apart.
    looks: u32,
    apart: Duration,
    deletes: bool,
}

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
        let ms = |chance: &mut Chance, least, most| Duration::from_millis(chance.between(least, most));
        let errands = (0..chance.size(1, 5)).map(|n| Errand {
            n,
            starts: ms(&mut chance, 0, 40_000),
            model: format!("sim:{}", chance.pick(WORDS)),
            leaves: chance.one_in(4).then(|| ms(&mut chance, 0, 9_000)),
            looks: u32::try_from(chance.between(0, 6)).unwrap(),
            apart: ms(&mut chance, 300, 30_000),
            deletes: chance.one_in(3),
        });
        let errands = errands.collect();
        let mut at = Duration::ZERO;
        let kills = (0..chance.size(0, 3)).map(|_| {
            // Some kills fall into the very moment of a submission.
            at += if chance.one_in(3) { ms(&mut chance, 5_000, 60_000) } else { ms(&mut chance, 5_000, 15_000) };
            at
        });
        Self { errands, kills: kills.collect(), refused: if chance.one_in(4) { u32::try_from(chance.between(1, 6)).unwrap() } else { 0 } }
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

impl Errand {
    fn body(&self) -> String {
        format!(r#"{{"model":"{}","prompt":"a violet lantern, number {}","seconds":"8"}}"#, self.model, self.n)
    }

    /// Submits, then asks as often as it wants to. What it was told stands in `told`.
    async fn run(&self, bench: &Bench, began: Instant, since: Instant, told: &std::cell::RefCell<Told>) {
        let starts = began + self.starts;
        if starts >= since {
            sleep_until(starts).await;
            let body = self.body();
            let asked = bench.send("POST", "/v1/videos", "", &body);
            let read = match self.leaves {
                Some(patience) => timeout(patience, asked).await.ok(),
                None => Some(asked.await),
            };
            if let Some(id) = read.as_ref().and_then(|read| read.header("x-weir-task-id")) {
                told.borrow_mut().ids.insert(self.n, id.to_owned());
            }
        }
        for _ in 0..self.looks {
            sleep(self.apart).await;
            let Some(id) = told.borrow().ids.get(&self.n).cloned() else { return };
            let read = bench.send("GET", &format!("/v1/videos/{id}"), "", "").await;
            told.borrow_mut().heard(self.n, &read);
        }
        let id = told.borrow().ids.get(&self.n).cloned().filter(|_| self.deletes);
        if let Some(id) = id {
            let read = bench.send("DELETE", &format!("/v1/videos/{id}"), "", "").await;
            if read.status() == 200 {
                told.borrow_mut().ids.remove(&self.n);
            }
        }
    }
}

/// What clients know.
#[derive(Debug, Default)]
struct Told {
    ids: BTreeMap<usize, String>,
    /// Ends that were told.
    ends: BTreeMap<usize, String>,
    lies: Vec<String>,
}

impl Told {
    /// A known task is there, and an end that was told once does not change.
    fn heard(&mut self, n: usize, read: &Read) {
        if read.status() != 200 {
            self.lies.push(format!("errand {n}: its task is {}: {}", read.status(), read.body));
            return;
        }
        let shown: serde_json::Value = serde_json::from_str(&read.body).unwrap();
        let status = shown["status"].as_str().unwrap_or_default().to_owned();
        let earlier =
            if matches!(&*status, "completed" | "failed") { self.ends.insert(n, status.clone()) } else { self.ends.get(&n).cloned() };
        if earlier.is_some_and(|earlier| earlier != status) {
            self.lies.push(format!("errand {n}: its task had ended and is {status} now"));
        }
    }
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
        lies: told.into_inner().lies,
        plan,
    }
}

impl World {
    fn laws(&self) -> Result<(), String> {
        let hold = |holds: bool, law: &dyn Fn() -> String| if holds { Ok(()) } else { Err(law()) };
        let mut submitted: BTreeMap<&str, usize> = BTreeMap::new();
        for seen in self.seen.iter().filter(|seen| seen.method == "POST") {
            *submitted.entry(&seen.body_hash).or_default() += 1;
        }
        hold(submitted.values().all(|times| *times == 1), &|| "a job was submitted twice".to_owned())?;
        hold(self.tasks.len() <= self.plan.errands.len(), &|| {
            format!("{} errands left {} rows", self.plan.errands.len(), self.tasks.len())
        })?;
        hold(submitted.len() <= self.tasks.len(), &|| format!("{} jobs were submitted, {} have a row", submitted.len(), self.tasks.len()))?;
        hold(self.lies.is_empty(), &|| self.lies.join("; "))?;
        for task in &self.tasks {
            let of = |law: &str| format!("task {}: {law}: {task:?}", task.id());
            hold(!task.state.is_open() && task.charge.charged != Charged::Pending, &|| of("its end is not known"))?;
            hold(task.shape == TaskShape::Videos, &|| of("another shape"))?;
            let paid = task.charge.charged == Charged::Yes;
            hold(paid == (task.state == TaskState::Succeeded), &|| of("charged, but not made, or made and not charged"))?;
            hold(!paid || task.charge.amount.0 == 8 * i64::try_from(SECOND).unwrap(), &|| of("it costs something else"))?;
        }
        hold(self.pending == 0, &|| format!("{} records are pending", self.pending))?;
        let good = self.tasks.iter().filter(|task| task.charge.charged == Charged::Yes).count();
        hold(good as u64 <= self.made, &|| format!("{good} jobs were charged, {} made", self.made))?;
        // What was made is found, whoever lost its answer: only jobs that fail are not charged.
        let failing = self.tasks.iter().filter(|task| task.state == TaskState::Failed && task.upstream_id.is_some()).count();
        hold((good + failing) as u64 == self.made, &|| {
            format!("{} jobs were made, {good} are charged and {failing} failed: {:?}", self.made, self.tasks)
        })?;
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
    (0..SEEDS).find_map(|seed| run(seed, sabotage).laws().err())
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
