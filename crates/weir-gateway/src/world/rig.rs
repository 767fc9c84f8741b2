//! A gateway and its upstreams in simulated time, for tests that say what happens instead of drawing it from a seed.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    task::JoinSet,
    time::timeout,
};
use weir_client::Target;
use weir_core::{Amount, ApiKey, Clock, KeyId, Limits, Timestamp};
use weir_sim::{Scenario, Sim, SimSettings};
use weir_store::{Account, AuditReport, Books, BooksSettings, CallFilter, NewKey, Store, StoredCall};

use super::{
    Sabotage,
    chance::{Chance, EPOCH, Paused, Seeded},
    client::{Exchange, FROZEN, Got},
    plan::{PLENTY, PRICE},
    run::UPSTREAM_KEY,
    upstream::{Host, Pipes},
};
use crate::{Channel, Gateway, PriceList, Settings, Upstream};

/// Room for a whole answer: here no reader is slow.
const PIPE_BYTES: usize = 1 << 20;

/// Runs `work` on one thread whose clock moves only when everybody waits.
pub(super) fn in_simulated_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// What a rig is built from.
pub(super) struct Order {
    pub(super) seed: u64,
    /// The hosts `up1.test`, `up2.test` …, each with this laid under its answers.
    pub(super) upstreams: Vec<Scenario>,
    pub(super) settings: Settings,
    pub(super) key: NewKey,
    pub(super) credit: Amount,
    pub(super) slots: u32,
    pub(super) sabotage: Sabotage,
    /// What happens to the key before the gateway starts.
    pub(super) spoil: fn(&Store, &KeyId),
}

impl Order {
    /// A gateway as it is configured by default, with so many upstreams that are well.
    pub(super) fn new(seed: u64, upstreams: usize) -> Self {
        let settings = Settings {
            upstreams: (1..=upstreams).map(upstream).collect(),
            prices: PriceList { models: [("sim:*".to_owned(), PRICE)].into(), fallback: None },
            groups: [("others".to_owned(), vec!["other:*".to_owned()])].into(),
            ..Settings::default()
        };
        let key = NewKey { account: "payer".to_owned(), ..NewKey::default() };
        Self {
            seed,
            upstreams: vec![Scenario::default(); upstreams],
            settings,
            key,
            credit: PLENTY,
            slots: 4_096,
            sabotage: Sabotage::None,
            spoil: |_, _| {},
        }
    }
}

fn upstream(n: usize) -> Upstream {
    let key = Some(Arc::new(ApiKey::parse(UPSTREAM_KEY).unwrap()));
    let channel = Channel { name: "main".to_owned(), key, models: Vec::new(), weight: 1, limits: Limits::default() };
    Upstream {
        tasks: None,
        name: format!("up{n}"),
        target: Target::parse(&format!("http://up{n}.test/v1")).unwrap(),
        channels: vec![channel],
    }
}

/// A running gateway.
pub(super) struct Rig {
    pub(super) gateway: Arc<Gateway>,
    pub(super) hosts: Vec<Host>,
    /// The whole key of its one caller.
    pub(super) key: String,
    clock: Arc<Paused>,
    /// What serves its clients' connections; each ends by itself when its client has left.
    connections: Mutex<JoinSet<()>>,
    _dir: TempDir,
}

impl Rig {
    pub(super) fn new(order: Order) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let clock = Arc::new(Paused::now_on());
        let key = payer(dir.path(), &order);
        let books = BooksSettings { slots: order.slots, inline: true };
        let (books, _) = Books::open(Store::open(dir.path()).unwrap(), &books, clock.clone()).unwrap();
        let host = |always: Scenario| {
            let settings = SimSettings { always, epoch: EPOCH, requests_max: 1 << 16, ..SimSettings::default() };
            Host::new(Sim::new(settings), &[])
        };
        let hosts: Vec<Host> = order.upstreams.into_iter().map(host).collect();
        let named = hosts.iter().enumerate().map(|(at, host)| (format!("up{}.test", at + 1), host.clone()));
        let pipes = Pipes::new(named.collect(), PIPE_BYTES);
        let mut gateway = Gateway::new(order.settings, books, clock.clone(), Arc::new(Seeded::new(order.seed)), Arc::new(pipes));
        gateway.tells_date = false;
        gateway.sabotage = order.sabotage;
        Self { gateway: Arc::new(gateway), hosts, key, clock, connections: Mutex::default(), _dir: dir }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A client's connection to the gateway.
    pub(super) fn line(&self) -> Line {
        let (near, far) = duplex(PIPE_BYTES);
        self.connections.lock().unwrap().spawn(Arc::clone(&self.gateway).serve_connection(far, None));
        Line(near)
    }

    /// Every record, oldest first, once no call runs any more.
    pub(super) async fn records(&self) -> Vec<StoredCall> {
        timeout(FROZEN, self.gateway.closer.idle()).await.expect("every call ends");
        self.gateway.books().flush().await;
        let mut records =
            self.gateway.books().store().calls(&CallFilter { limit: CallFilter::MAX_LIMIT, ..CallFilter::default() }).unwrap();
        records.reverse();
        records
    }

    pub(super) fn audit(&self) -> (AuditReport, Account) {
        let books = self.gateway.books();
        (books.audit().unwrap(), books.store().account("payer").unwrap().unwrap())
    }
}

/// An account that pays, and its key.
fn payer(dir: &Path, order: &Order) -> String {
    let store = Store::open(dir).unwrap();
    let account = store.create_account("payer", EPOCH).unwrap().id;
    if order.credit.0 > 0 {
        store.credit(&account, order.credit, "first", EPOCH).unwrap();
    }
    let mut chance = Chance::new(order.seed ^ 0x4E75);
    let dice = std::array::from_fn(|_| chance.next().to_le_bytes()[0]);
    let (key, kid) = store.create_key(&order.key, &dice, EPOCH).unwrap();
    (order.spoil)(&store, &kid);
    key.expose().to_owned()
}

/// One connection of a client. Dropping it is hanging up.
pub(super) struct Line(DuplexStream);

impl Line {
    /// Straight to an upstream, without a gateway.
    pub(super) async fn straight(host: &Host) -> std::io::Result<Self> {
        host.connect(PIPE_BYTES).await.map(Self)
    }

    /// Sends a request and reads its answer to the end.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Got {
        let mut exchange = Exchange::default();
        if self.0.write_all(request).await.is_ok() {
            exchange.read_all(&mut self.0).await;
        }
        exchange.got()
    }

    /// The same, given up after `patience`.
    pub(super) async fn ask_for(&mut self, request: &[u8], patience: Duration) -> Got {
        let mut exchange = Exchange::default();
        if self.0.write_all(request).await.is_ok() {
            let _ = timeout(patience, exchange.read_all(&mut self.0)).await;
        }
        exchange.got()
    }
}

/// A request for a chat; `lines` are further lines of its head, each with its line end.
pub(super) fn chat(model: &str, stream: bool, key: &str, lines: &str, prompt: &str) -> Vec<u8> {
    let body = format!(r#"{{"model":"{model}","stream":{stream},"max_tokens":900,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    post("/v1/chat/completions", key, lines, &body)
}

pub(super) fn post(path: &str, key: &str, lines: &str, body: &str) -> Vec<u8> {
    let key = if key.is_empty() { String::new() } else { format!("authorization: Bearer {key}\r\n") };
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: weir\r\n{key}{lines}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
