//! A gateway with two upstreams, `a` and `b`, that can be changed while it runs.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinSet,
    time::Instant,
};
use weir_client::{Dial, Dialing, Io, Target};
use weir_core::{Amount, ApiKey, CallRecord, Clock, Price, Timestamp};
use weir_sim::{Scenario, Sim, SimSettings};
use weir_store::{Books, BooksSettings, CallFilter, NewKey, Store};

use crate::{
    Channel, Dice, Gateway, PriceList, Settings, Upstream,
    promises::{Paused, Read, unchunked},
};

/// What becomes of a connection to an upstream.
#[derive(Clone)]
enum Mode {
    Serves(Sim),
    Refuses,
    /// The connection never stands.
    Hangs,
    /// It stands, takes everything and says nothing.
    Mute,
}

/// One upstream: how it is now, and every simulator it ever was.
struct Up {
    mode: Mode,
    sims: Vec<Sim>,
}

struct Pipes {
    clock: Paused,
    ups: [Mutex<Up>; 2],
    served: Mutex<JoinSet<()>>,
    held: Mutex<Vec<DuplexStream>>,
}

impl Dial for Pipes {
    fn dial<'a>(&'a self, target: &'a Target) -> Dialing<'a> {
        Box::pin(async move {
            let mode = self.ups[usize::from(target.host == "b")].lock().unwrap().mode.clone();
            let (near, far) = duplex(64 * 1024);
            match mode {
                Mode::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
                Mode::Hangs => std::future::pending().await,
                Mode::Mute => self.held.lock().unwrap().push(far),
                Mode::Serves(sim) => drop(self.served.lock().unwrap().spawn(async move { sim.serve_connection(far).await })),
            }
            Ok(Box::new(near) as Box<dyn Io>)
        })
    }
}

/// Well spread and the same each time.
struct Rolled(AtomicU64);

impl Dice for Rolled {
    fn roll(&self) -> u128 {
        let n = u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1;
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        (mixed ^ (mixed >> 61)).wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645) >> 17
    }
}

pub(super) struct Pair {
    pub(super) gateway: Arc<Gateway>,
    pipes: Arc<Pipes>,
    key: ApiKey,
    _dir: tempfile::TempDir,
}

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
/// Nearly every first attempt goes to `a`.
pub(super) const A_FIRST: [u32; 2] = [1_000_000, 1];

impl Pair {
    /// Both upstreams are well; `weights` of 0 leave one out.
    pub(super) fn new(weights: [u32; 2], change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let clock: Arc<dyn Clock> = Arc::new(Paused::since(began));
        let store = Store::open(dir.path()).unwrap();
        let account = store.create_account("test", clock.now()).unwrap();
        store.credit(&account.id, Amount(1_000_000_000), "test", clock.now()).unwrap();
        let new = NewKey { account: account.id, ..NewKey::default() };
        let (key, _) = store.create_key(&new, &std::array::from_fn(|i| u8::try_from(i).unwrap()), clock.now()).unwrap();
        let (books, _) = Books::open(store, &BooksSettings { slots: 512, inline: true }, Arc::clone(&clock)).unwrap();
        let upstream = |(name, weight): (&str, u32)| Upstream {
            tasks: None,
            name: name.into(),
            target: Target::parse(&format!("http://{name}/v1")).unwrap(),
            channels: vec![Channel { name: "main".into(), key: None, models: Vec::new(), weight, limits: weir_core::Limits::default() }],
        };
        let prices = PriceList { fallback: Some(Price { input: 1, output: 10, ..Price::default() }), ..PriceList::default() };
        let upstreams = ["a", "b"].into_iter().zip(weights).filter(|(_, weight)| *weight > 0).map(upstream).collect();
        let mut settings = Settings { upstreams, prices, ..Settings::default() };
        change(&mut settings);
        let up = || Mutex::new(Up { mode: Mode::Refuses, sims: Vec::new() });
        let pipes = Arc::new(Pipes { clock: Paused::since(began), ups: [up(), up()], served: Mutex::default(), held: Mutex::default() });
        let dial: Arc<dyn Dial> = Arc::<Pipes>::clone(&pipes);
        let mut gateway = Gateway::new(settings, books, clock, Arc::new(Rolled(AtomicU64::new(0))), dial);
        gateway.tells_date = false;
        let pair = Self { gateway: Arc::new(gateway), pipes, key, _dir: dir };
        pair.set(A, "ok");
        pair.set(B, "ok");
        pair
    }

    /// From now on an upstream does what the words say: the simulator's, or `refuses`, `hangs`, `mute`.
    pub(super) fn set(&self, up: usize, words: &str) {
        let mut place = self.pipes.ups[up].lock().unwrap();
        place.mode = match words {
            "refuses" => Mode::Refuses,
            "hangs" => Mode::Hangs,
            "mute" => Mode::Mute,
            // No connection outlives its answer, so that a change is felt at once.
            words => {
                let always = Scenario::parse(&format!("sim:close,{words}")).unwrap();
                let sim = Sim::new(SimSettings { always, epoch: self.pipes.clock.now(), ..SimSettings::default() });
                place.sims.push(sim.clone());
                Mode::Serves(sim)
            }
        };
    }

    /// Requests that an upstream has seen.
    pub(super) fn seen(&self, up: usize) -> u64 {
        self.pipes.ups[up].lock().unwrap().sims.iter().map(Sim::count).sum()
    }

    /// Requests that an upstream is answering.
    pub(super) fn open(&self, up: usize) -> u64 {
        self.pipes.ups[up].lock().unwrap().sims.iter().map(Sim::open).sum()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.pipes.clock.now()
    }

    /// Opens a connection with one request on it.
    pub(super) fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (DuplexStream, impl Future<Output = ()> + use<>) {
        let (mut near, far) = duplex(1 << 20);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.key.expose(),
            body.len()
        );
        let connection = Arc::clone(&self.gateway).serve_connection(far, None);
        let mut written = std::pin::pin!(near.write_all(request.as_bytes()));
        let polled = written.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_ready(), "the pipe takes a small request at once");
        (near, connection)
    }

    async fn read(&self, method: &str, path: &str, headers: &str, body: &str) -> Read {
        let (mut near, connection) = self.send(method, path, headers, body);
        // Moved, so that it closes when it has read all: the gateway waits for that.
        let read = async move {
            let mut bytes = Vec::new();
            near.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let (bytes, ()) = tokio::join!(read, connection);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let chunked = head.contains("transfer-encoding: chunked");
        Read { head: head.to_owned(), body: if chunked { unchunked(body) } else { body.to_owned() } }
    }

    pub(super) async fn models(&self) -> Read {
        self.read("GET", "/v1/models", "", "").await
    }

    /// Asks for a chat and reads to the end.
    pub(super) async fn chat(&self, model: &str, stream: bool, headers: &str) -> Read {
        self.read("POST", "/v1/chat/completions", headers, &chat(model, stream)).await
    }

    /// What a whole chat left in its record.
    pub(super) async fn asked(&self, model: &str, stream: bool, headers: &str) -> (Read, CallRecord) {
        let read = self.chat(model, stream, headers).await;
        let record = self.record(&read);
        (read, record)
    }

    pub(super) fn record(&self, read: &Read) -> CallRecord {
        self.gateway.books().call(read.id()).unwrap().unwrap().record
    }

    pub(super) fn records(&self) -> Vec<CallRecord> {
        let filter = CallFilter { limit: 10_000, ..CallFilter::default() };
        self.gateway.books().store().calls(&filter).unwrap().into_iter().map(|call| call.record).collect()
    }

    /// Money left in the account.
    pub(super) fn balance(&self) -> i64 {
        self.gateway.books().store().accounts().unwrap().remove(0).balance.0
    }
}

pub(super) fn chat(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

/// The channels of a record's attempts, the waits before them and what they came to.
pub(super) fn attempts(record: &CallRecord) -> Vec<(&str, u32, Option<u16>)> {
    record.attempts.iter().map(|attempt| (attempt.channel.as_str(), attempt.wait_ms, attempt.status)).collect()
}

pub(super) async fn rest(ms: u64) {
    tokio::time::advance(Duration::from_millis(ms)).await;
}
