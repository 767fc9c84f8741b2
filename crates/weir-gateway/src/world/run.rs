//! Runs one world to its end and gathers everything that can be seen of it.

use std::{
    fmt::Write,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::duplex,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use weir_client::Target;
use weir_core::{ApiKey, Price};
use weir_sim::{SeenRequest, Sim, SimSettings};
use weir_store::{Account, AuditReport, Books, BooksSettings, CallFilter, NewKey, Store, StoredCall};

use super::{
    Sabotage,
    abrupt::Abrupt,
    chance::{Chance, EPOCH, Paused, Seeded},
    client::{self, BODY_BYTES, FROZEN, Got, Keys},
    plan::{Asking, Behaviour, Defect, Mark, PRICE, Plan},
    upstream::{Host, Pipes, straight},
};
use crate::{Channel, Gateway, Limits, PriceList, Settings, Upstream};

/// The upstream's credential: it must reach the upstream and nothing else.
pub(super) const UPSTREAM_KEY: &str = "sk-planted-upstream-0c41d2";

/// A world that has ended.
pub(super) struct World {
    pub(super) plan: Plan,
    /// What each call got, and what it would have got from the upstream itself.
    pub(super) calls: Vec<Ran>,
    pub(super) records: Vec<StoredCall>,
    pub(super) audit: AuditReport,
    pub(super) account: Account,
    pub(super) free: i64,
    pub(super) seen: Vec<SeenRequest>,
    /// Calls that had not ended long after their last client left; requests that the upstream still answers.
    pub(super) running: usize,
    pub(super) in_flight: usize,
    pub(super) open: u64,
    /// Every file of the data directory.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Secrets that belong to clients.
    pub(super) keys: Keys,
    pub(super) trace: String,
}

/// One call, seen from its client.
pub(super) struct Ran {
    pub(super) asking: Asking,
    pub(super) got: Got,
    pub(super) ended: Duration,
    pub(super) straight: Got,
    /// The upstream's name of its body.
    pub(super) hash: String,
    /// What its client got when it asked for the same again.
    pub(super) again: Option<Got>,
}

impl World {
    pub(super) fn run(seed: u64, sabotage: Sabotage) -> Self {
        // The books die with their world: where memory can be a folder, no disk need hear of them.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(seed, sabotage, dir.path()))
    }
}

async fn run(seed: u64, sabotage: Sabotage, dir: &Path) -> World {
    let plan = Plan::of(seed);
    let keys = keys(dir, seed, &plan);
    let mut straights = Vec::new();
    for asking in plan.calls() {
        straights.push(straight(asking).await);
    }
    let clock = Arc::new(Paused::now_on());
    let settings = BooksSettings { slots: 16, inline: true };
    let (books, _) = Books::open(Store::open(dir).unwrap(), &settings, clock.clone()).unwrap();
    let sim = Sim::new(SimSettings::default());
    let host = Host::new(sim.clone(), &plan.dials);
    let pipes = Pipes::new(["sim.test", "backup.test"].map(|name| (name.to_owned(), host.clone())).into(), plan.pipe_bytes);
    let mut gateway = Gateway::new(gateway_settings(&plan), books, clock, Arc::new(Seeded::new(seed)), Arc::new(pipes));
    gateway.tells_date = false;
    gateway.sabotage = sabotage;
    let gateway = Arc::new(gateway);
    let keys = Arc::new(keys);
    let mut got = clients(&gateway, &plan, &keys).await;
    let ended = timeout(FROZEN, gateway.closer.idle()).await;
    let running = if ended.is_ok() { 0 } else { gateway.closer.running() };
    sleep(Duration::from_secs(1)).await;
    let books = gateway.books();
    books.flush().await;
    let mut records = books.store().calls(&CallFilter { limit: 1000, ..CallFilter::default() }).unwrap();
    records.reverse();
    let account = books.store().account("payer").unwrap().unwrap();
    got.sort_by_key(|(asking, ..)| asking.n);
    let calls = got.into_iter().map(|(asking, mut got, ended, again)| {
        // A gateway that was told to stop does not wait for slow readers for ever.
        got.left |= plan.drain.is_some() && matches!(asking.client, Behaviour::Slow(..)) && !got.whole;
        let (straight, hash) = straights[asking.n].clone();
        Ran { straight, hash, asking, got, ended, again }
    });
    let calls = calls.collect();
    let mut world = World {
        audit: books.audit().unwrap(),
        free: books.balance(&account.id).unwrap().0,
        account,
        seen: sim.requests(),
        running,
        in_flight: books.in_flight(),
        open: sim.open(),
        files: files(dir),
        keys: Arc::into_inner(keys).expect("its clients have ended"),
        plan,
        calls,
        records,
        trace: String::new(),
    };
    world.trace = trace(&world);
    world
}

/// An account with keys of every kind.
fn keys(dir: &Path, seed: u64, plan: &Plan) -> Keys {
    let store = Store::open(dir).unwrap();
    let mut chance = Chance::new(seed ^ 0x4E75);
    let account = store.create_account("payer", EPOCH).unwrap().id;
    if plan.credit.0 > 0 {
        store.credit(&account, plan.credit, "first", EPOCH).unwrap();
    }
    let mut key = |new: NewKey| {
        let dice = std::array::from_fn(|_| chance.next().to_le_bytes()[0]);
        let (key, kid) = store.create_key(&NewKey { account: account.clone(), ..new }, &dice, EPOCH).unwrap();
        (key.expose().to_owned(), kid)
    };
    let (good, _) = key(NewKey::default());
    let (grouped, _) = key(NewKey { group: Some("sims".to_owned()), ..NewKey::default() });
    let (disabled, kid) = key(NewKey::default());
    let (expired, _) = key(NewKey { expires_at: Some(EPOCH), ..NewKey::default() });
    store.disable(&kid).unwrap();
    let unknown = ApiKey::mint(&[7; 64]).0.expose().to_owned();
    Keys { good, grouped, unknown, disabled, expired }
}

fn gateway_settings(plan: &Plan) -> Settings {
    let key = Some(Arc::new(ApiKey::parse(UPSTREAM_KEY).unwrap()));
    let channel = Channel { name: "main".to_owned(), key, models: Vec::new(), weight: 1, limits: weir_core::Limits::default() };
    let upstream = |name: &str| Upstream {
        tasks: None,
        name: name.to_owned(),
        target: Target::parse(&format!("http://{name}.test/v1")).unwrap(),
        channels: vec![channel.clone()],
    };
    let names = if plan.backup { &["sim", "backup"][..] } else { &["sim"] };
    Settings {
        limits: Limits { body_bytes: BODY_BYTES, event_bytes: plan.event_bytes, answer_bytes: plan.answer_bytes, ..Limits::default() },
        streams: plan.streams,
        upstreams: names.iter().map(|name| upstream(name)).collect(),
        timeouts: plan.timeouts,
        prices: PriceList { models: [("sim:*".to_owned(), PRICE)].into(), fallback: None::<Price> },
        groups: [("sims".to_owned(), vec!["sim:*".to_owned()])].into(),
        ..Settings::default()
    }
}

/// Lets every client live; what each of its calls got, and when.
async fn clients(gateway: &Arc<Gateway>, plan: &Plan, keys: &Arc<Keys>) -> Vec<(Asking, Got, Duration, Option<Got>)> {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for session in &plan.sessions {
        let (gateway, keys, calls, starts, pipe_bytes) =
            (Arc::clone(gateway), Arc::clone(keys), session.calls.clone(), session.starts, plan.pipe_bytes);
        tasks.spawn(async move {
            sleep(starts).await;
            let resets = Arc::<AtomicBool>::default();
            let (mut near, io) = duplex(pipe_bytes);
            let mut serving = JoinSet::new();
            serving.spawn(Arc::clone(&gateway).serve_connection(Abrupt { io, resets: Arc::clone(&resets) }, None));
            let mut got = Vec::new();
            let mut open = true;
            let mut asked = Instant::now();
            for asking in calls {
                resets.store(asking.resets, Ordering::Relaxed);
                let before = std::mem::replace(&mut asked, Instant::now());
                let marks = asking.marks();
                let (mut answer, keep) = if open { client::ask(&asking, &marks[0], &keys, &mut near).await } else { Default::default() };
                // Who is silent for too long on a connection may find it closed, and asks anew on another.
                answer.asked &= answer.status != 0 || answer.left || asked - before < Limits::default().header_read;
                let ended = began.elapsed();
                open = open && keep;
                let mut again = None;
                if let Some(comeback) = asking.comeback.filter(|comeback| answer.asked && comes_back(comeback.mark, &answer)) {
                    // It hangs up and comes on a connection of its own.
                    let io;
                    (near, io) = duplex(pipe_bytes);
                    sleep(comeback.after).await;
                    serving.spawn(Arc::clone(&gateway).serve_connection(Abrupt { io, resets: Arc::clone(&resets) }, None));
                    let patient = Asking { client: Behaviour::ReadsAll, ..asking.clone() };
                    let (second, keep) = client::ask(&patient, &marks[1], &keys, &mut near).await;
                    (open, again) = (keep, Some(second));
                }
                got.push((asking, answer, ended, again));
            }
            drop(near);
            // A connection whose client left must end by itself; the call may go on.
            let _ = timeout(FROZEN, serving.join_all()).await;
            got
        });
    }
    if let Some(drain) = plan.drain {
        sleep(drain.after).await;
        gateway.drain(drain.grace).await;
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Whether a client that got this asks again: with a key at any time, as an SDK where that retries, unmarked where it had left.
fn comes_back(mark: Mark, got: &Got) -> bool {
    match mark {
        Mark::Key => true,
        Mark::Retry => got.left && got.status == 0 || got.status == 429 || got.status >= 500,
        Mark::None => got.left || got.was_put_off(),
    }
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Everything that could be seen, as text: equal for equal seeds.
fn trace(world: &World) -> String {
    let mut out = format!(
        "{:?} {:?} dials {:?} drain {:?} credit {}\n",
        world.plan.timeouts, world.plan.streams, world.plan.dials, world.plan.drain, world.plan.credit.0
    );
    for call in &world.calls {
        let Asking { n, route, stream, model, key, defect, client, asks_usage, announces, resets, .. } = &call.asking;
        let got = &call.got;
        let _ = writeln!(
            out,
            "call {n} {route:?} stream={stream} usage={asks_usage} {model} {key:?} {defect:?} {client:?} waits {announces:?} resets={resets} -> {} whole={} left={} {} bytes {:016x} at {:?}",
            got.status,
            got.whole,
            got.left,
            got.body.len(),
            fold(&got.body),
            call.ended
        );
        if let Some(again) = &call.again {
            let joined = again.header("x-weir-call").is_some();
            let (status, bytes, sum) = (again.status, again.body.len(), fold(&again.body));
            let _ = writeln!(out, "again {n} {:?} -> {status} joined={joined} {bytes} bytes {sum:016x}", call.asking.comeback);
        }
    }
    for stored in &world.records {
        let _ = writeln!(out, "row {}", serde_json::to_string(&stored.record).unwrap());
    }
    for seen in &world.seen {
        let _ = writeln!(out, "seen {}", serde_json::to_string(seen).unwrap());
    }
    let _ = writeln!(out, "balance {} free {} running {} open {}", world.account.balance.0, world.free, world.running, world.open);
    out
}

fn fold(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl World {
    /// How its streams ended, and who ended its calls; and the verdicts.
    pub(super) fn endings(&self) -> Vec<String> {
        let records = self.records.iter().map(|stored| &stored.record);
        records
            .flat_map(|record| {
                let stream = record.observed.as_ref().map(|observed| format!("{:?}", observed.end));
                stream.into_iter().chain([format!("by {:?}", record.ended_by), record.verdict.code().to_owned()])
            })
            .chain(self.records.iter().flat_map(|stored| stored.requests.iter().map(|request| format!("again {:?}", request.how))))
            .collect()
    }

    /// Whether a call had nothing against it: it must go well.
    pub(super) fn had_luck(&self, call: &Ran) -> bool {
        let asking = &call.asking;
        self.plan.is_kind() && asking.good && asking.defect.is_none() && asking.key.works() && call.got.asked
    }
}

impl Ran {
    /// Whether the request was one that reaches a call at all.
    pub(super) fn reaches_accept(&self) -> bool {
        self.got.asked && self.asking.defect != Some(Defect::Head)
    }
}
