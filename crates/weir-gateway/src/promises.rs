//! The promises, one by one, on a whole gateway in simulated time: what a client reads and what the record says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinSet,
};
use weir_client::{Dial, Dialing, Io, Target};
use weir_core::{Amount, ApiKey, CallRecord, Charged, Clock, Limits, Price, RequestId, Side, StreamEnd, Timeouts, Timestamp, Verdict};
use weir_sim::{Ended, Sim, SimSettings};
use weir_store::{Books, BooksSettings, NewKey, ReplayTerms, Replays, Store};

use crate::{Channel, Dice, Gateway, PriceList, Settings, Streams, Upstream};

/// An upstream behind pipes; each connection is served by the simulator on a task of its own.
struct Pipes {
    sim: Sim,
    served: Arc<Mutex<JoinSet<()>>>,
    /// Connections are never made.
    deaf: bool,
    /// So many connections are refused.
    down: Arc<AtomicU32>,
}

impl Dial for Pipes {
    fn dial<'a>(&'a self, _: &'a Target) -> Dialing<'a> {
        Box::pin(async move {
            if self.deaf {
                std::future::pending::<()>().await;
            }
            let less = |left: u32| left.checked_sub(1);
            if self.down.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = duplex(64 * 1024);
            let sim = self.sim.clone();
            self.served.lock().unwrap().spawn(async move { sim.serve_connection(far).await });
            Ok(Box::new(near) as Box<dyn Io>)
        })
    }
}

/// Simulated time, and a wall that may be set.
pub(crate) struct Paused {
    began: tokio::time::Instant,
    set_ms: std::sync::atomic::AtomicI64,
}

impl Paused {
    /// Time that began then.
    pub(crate) fn since(began: tokio::time::Instant) -> Self {
        Self { began, set_ms: std::sync::atomic::AtomicI64::default() }
    }
}

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        let set = self.set_ms.load(std::sync::atomic::Ordering::Relaxed);
        Timestamp(1_767_225_600_000 + set).after(self.began.elapsed())
    }
}

#[derive(Default)]
struct Counted(std::sync::atomic::AtomicU64);

impl Dice for Counted {
    fn roll(&self) -> u128 {
        u128::from(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}

/// A gateway, its upstream and one key.
pub(crate) struct Bench {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) sim: Sim,
    key: ApiKey,
    clock: Arc<Paused>,
    dir: tempfile::TempDir,
    down: Arc<AtomicU32>,
    served: Arc<Mutex<JoinSet<()>>>,
}

/// What a client read.
pub(crate) struct Read {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Read {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| *n == name).map(|(_, value)| value))
    }

    pub(crate) fn id(&self) -> RequestId {
        self.header("x-request-id").unwrap().parse().unwrap()
    }

    /// The error, whether it is the answer or the last event.
    pub(crate) fn error(&self) -> serde_json::Value {
        let last = self.body.trim_end().rsplit("\n\n").next().unwrap();
        let json = last.strip_prefix("data: ").unwrap_or(last);
        serde_json::from_str::<serde_json::Value>(json).unwrap()["error"].clone()
    }
}

impl Bench {
    pub(crate) fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(false, change)
    }

    fn with(deaf: bool, change: impl FnOnce(&mut Settings)) -> Self {
        Self::limited(deaf, Limits::default(), change)
    }

    /// The key has these limits.
    pub(crate) fn limited(deaf: bool, limits: Limits, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Paused::since(tokio::time::Instant::now()));
        let store = Store::open(dir.path()).unwrap();
        let account = store.create_account("test", clock.now()).unwrap();
        store.credit(&account.id, Amount(1_000_000_000_000), "test", clock.now()).unwrap();
        let new = NewKey { account: account.id, group: Some("staff".to_owned()), limits, ..NewKey::default() };
        let (key, _) = store.create_key(&new, &std::array::from_fn(|i| u8::try_from(i).unwrap()), clock.now()).unwrap();
        Self::on(dir, store, key, clock, Sim::new(SimSettings::default()), deaf, change)
    }

    /// A gateway on a store that is there.
    fn on(
        dir: tempfile::TempDir,
        store: Store,
        key: ApiKey,
        clock: Arc<Paused>,
        sim: Sim,
        deaf: bool,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let (books, _) = Books::open(store, &BooksSettings { slots: 4_096, inline: true }, Arc::<Paused>::clone(&clock)).unwrap();
        let channel = Channel { name: "main".into(), key: None, models: Vec::new(), weight: 1, limits: weir_core::Limits::default() };
        let upstream =
            Upstream { name: "sim".into(), tasks: None, target: Target::parse("http://sim/v1").unwrap(), channels: vec![channel] };
        let price = Price { input: 1, output: 10, ..Price::default() };
        let prices = PriceList { fallback: Some(price), ..PriceList::default() };
        let mut settings = Settings { upstreams: vec![upstream], prices, ..Settings::default() };
        change(&mut settings);
        let (down, served) = (Arc::<AtomicU32>::default(), Arc::<Mutex<JoinSet<()>>>::default());
        let pipes = Pipes { sim: sim.clone(), served: Arc::clone(&served), deaf, down: Arc::clone(&down) };
        let terms = settings.replay.disk_bytes.map(|bytes| ReplayTerms { bytes, files: settings.replay.calls });
        let replays = terms.map(|terms| Replays::open(dir.path(), terms, clock.now()).unwrap());
        let gateway = Gateway::new(settings, books, Arc::<Paused>::clone(&clock), Arc::new(Counted::default()), Arc::new(pipes));
        let terms = gateway.settings.tasks.result_bytes.map(|bytes| ReplayTerms { bytes, files: 100 });
        let results = terms.map(|terms| Replays::results(dir.path(), terms, clock.now()).unwrap());
        let mut gateway = gateway.with_replays(replays).with_results(results);
        gateway.tells_date = false;
        Self { gateway: Arc::new(gateway), sim, key, clock, dir, down, served }
    }

    /// The gateway dies with whatever runs, and another begins on what it left.
    pub(crate) fn killed(self, change: impl FnOnce(&mut Settings)) -> Self {
        let Self { gateway, sim, key, clock, dir, .. } = self;
        drop(gateway);
        let store = Store::open(dir.path()).unwrap();
        Self::on(dir, store, key, clock, sim, false, change)
    }

    /// Another upstream stands in the simulator's place.
    pub(crate) fn before(mut self, dial: Arc<dyn Dial>) -> Self {
        Arc::get_mut(&mut self.gateway).unwrap().dial = dial;
        self
    }

    /// It is broken on purpose.
    pub(crate) fn sabotage(&mut self, sabotage: crate::world::Sabotage) {
        Arc::get_mut(&mut self.gateway).unwrap().sabotage = sabotage;
    }

    /// The upstream refuses so many connections, and those that stand are cut.
    pub(crate) fn refuse(&self, connections: u32) {
        self.down.store(connections, Ordering::Relaxed);
        self.served.lock().unwrap().abort_all();
    }

    /// Somebody sets the wall's clock, by so many milliseconds.
    pub(crate) fn set_wall(&self, by_ms: i64) {
        self.clock.set_ms.fetch_add(by_ms, std::sync::atomic::Ordering::Relaxed);
    }

    /// A request as its bytes, on a connection that stays.
    pub(crate) fn request(&self, method: &str, path: &str, extra: &str, kind: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\n{extra}host: weir\r\nauthorization: Bearer {}\r\ncontent-type: {kind}\r\naccept-encoding: gzip\r\ncontent-length: {}\r\n\r\n{body}",
            self.key.expose(),
            body.len()
        )
    }

    /// Opens a connection and sends one chat request.
    pub(crate) fn open(
        &self,
        method: &str,
        path: &str,
        extra: &str,
        kind: &str,
        body: &str,
    ) -> (DuplexStream, impl Future<Output = ()> + use<>) {
        let (mut near, far) = duplex(1 << 20);
        let request = self.request(method, path, &format!("connection: close\r\n{extra}"), kind, body);
        let connection = Arc::clone(&self.gateway).serve_connection(far, None);
        let sent = async move {
            near.write_all(request.as_bytes()).await.unwrap();
            near
        };
        let near = futures_now(sent);
        (near, connection)
    }

    /// Asks and reads to the end.
    pub(crate) async fn ask(&self, path: &str, body: &str) -> Read {
        self.send("POST", path, "", body).await
    }

    /// The same with a method and header lines of one's own.
    pub(crate) async fn send(&self, method: &str, path: &str, extra: &str, body: &str) -> Read {
        self.send_as(method, path, extra, "application/json", body).await
    }

    /// The same with another content type.
    pub(crate) async fn send_as(&self, method: &str, path: &str, extra: &str, kind: &str, body: &str) -> Read {
        let (mut near, connection) = self.open(method, path, extra, kind, body);
        let read = async move {
            let mut bytes = Vec::new();
            near.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let (bytes, ()) = tokio::join!(read, connection);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let chunked = head.contains("transfer-encoding: chunked");
        Read { head: head.to_owned(), body: if chunked { unchunked(body) } else { body.to_owned() } }
    }

    /// Where all files are, and the caller's key, which is in none of them.
    pub(crate) fn thief(&self) -> (std::path::PathBuf, ApiKey) {
        (self.dir.path().to_owned(), self.key.clone())
    }

    /// Every file of the data directory.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let (mut folders, mut files) = (vec![self.dir.path().to_owned()], Vec::new());
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()));
                }
            }
        }
        files
    }

    pub(crate) async fn chat(&self, model: &str) -> Read {
        self.ask("/v1/chat/completions", &format!(r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hi"}}]}}"#))
            .await
    }

    pub(crate) fn record(&self, id: RequestId) -> CallRecord {
        self.gateway.books().call(id).unwrap().unwrap().record
    }
}

/// A pipe takes a small request at once.
fn futures_now<F: Future>(work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    match work.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("the pipe is too small"),
    }
}

pub(crate) fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = &rest[(size + 2).min(rest.len())..];
    }
    whole
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn r6_a_stream_cut_midway_ends_with_one_error_event_and_its_record_says_who_cut_it() {
    let bench = Bench::new(|_| {});
    let read = bench.chat("sim:tokens=20,cut_after=5").await;
    assert_eq!((read.status(), read.body.matches("data: ").count()), (200, 6), "{}", read.body);
    assert!(!read.body.contains("[DONE]"));
    let error = read.error();
    assert_eq!((error["verdict"].as_str(), error["charged"].as_bool()), (Some("W-STREAM-005"), Some(true)));
    let record = bench.record(read.id());
    assert_eq!((record.verdict, record.ended_by, record.charge.charged), (Verdict::StreamCut, Side::Upstream, Charged::Yes));
    let observed = record.observed.unwrap();
    assert_eq!((observed.end, observed.events), (StreamEnd::UpstreamCut, 5));
}

#[tokio::test(start_paused = true)]
async fn r7_a_clean_end_without_finish_and_marker_is_never_taken_as_complete() {
    let bench = Bench::new(|_| {});
    for model in ["sim:no_done", "sim:cut_clean_after=3"] {
        let read = bench.chat(model).await;
        assert_eq!(read.error()["verdict"], "W-STREAM-004", "{}", read.body);
        assert!(!read.body.contains("[DONE]"));
    }
}

#[tokio::test(start_paused = true)]
async fn r10_each_of_the_four_timeouts_has_a_code_of_its_own() {
    let limits = Timeouts { connect: secs(3), first_byte: secs(10), idle: secs(5), total: secs(60) };
    let table = [
        (true, "sim:ok", 504, "upstream_timeout_connect", Verdict::UpstreamConnectTimeout),
        (false, "sim:first_byte=15s", 504, "upstream_timeout_first_byte", Verdict::FirstByteTimeout),
        (false, "sim:stall=30s", 200, "upstream_timeout_idle", Verdict::IdleTimeout),
        (false, "sim:tokens=100,interval=2s", 200, "upstream_timeout_total", Verdict::TotalTimeout),
    ];
    for (deaf, model, status, code, verdict) in table {
        let bench = Bench::with(deaf, |settings| settings.timeouts = limits);
        let read = bench.chat(model).await;
        let record = bench.record(read.id());
        assert_eq!((read.status(), read.error()["code"].as_str(), record.verdict), (status, Some(code), verdict), "{model}");
        assert_eq!(record.ended_by, Side::Gateway, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn r17_every_fault_answers_with_a_status_a_code_and_an_id() {
    let bench = Bench::new(|_| {});
    for model in [
        "sim:500",
        "sim:502",
        "sim:503",
        "sim:529",
        "sim:proxy_504_html",
        "sim:hidden_busy",
        "sim:reset_after_accept",
        "sim:429",
        "sim:401",
    ] {
        let read = bench.chat(model).await;
        let error = read.error();
        assert!(read.status() >= 429, "{model}: {}", read.head);
        assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{model}");
        assert_eq!(error["request_id"].as_str(), read.header("x-request-id"), "{model}");
        assert_eq!(error["verdict"].as_str(), Some(bench.record(read.id()).verdict.code()), "{model}");
        assert_eq!(bench.record(read.id()).charge.charged, Charged::No, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn r18_three_calls_without_a_retry_mark_are_three_charges() {
    let bench = Bench::new(|_| {});
    let mut sum = 0;
    for _ in 0..3 {
        let read = bench.ask("/v1/chat/completions", r#"{"model":"sim:ok","messages":[]}"#).await;
        sum += bench.record(read.id()).charge.amount.0;
    }
    assert!(sum > 0);
    let account = bench.gateway.books().store().accounts().unwrap().remove(0);
    assert_eq!(account.balance, Amount(1_000_000_000_000 - sum));
}

#[tokio::test(start_paused = true)]
async fn r22_a_stream_bears_the_headers_that_stop_buffering_even_if_gzip_is_offered() {
    let read = Bench::new(|_| {}).chat("sim:ok").await;
    assert_eq!(read.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(read.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(read.header("x-accel-buffering"), Some("no"));
    for absent in ["content-encoding", "content-length", "set-cookie"] {
        assert_eq!(read.header(absent), None, "{absent}");
    }
    assert!(read.body.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_that_was_asked_for_on_a_clients_behalf_leaves_every_line_end_whole() {
    for size in 1..=64 {
        let bench = Bench::new(|_| {});
        let read = bench.chat(&format!("sim:tokens=2,crlf,split={size}")).await;
        // What comes behind the first half of the last line end belongs to nothing.
        let body = read.body.trim_end();
        assert!(body.ends_with("data: [DONE]") && !body.contains("\"usage\":{"), "{body}");
        assert!(!body.replace("\r\n", "").contains(['\r', '\n']), "{size} bytes a chunk: {body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_byte_opens_the_stream_with_heartbeats_and_a_late_error_is_an_event() {
    let bench = Bench::new(|_| {});
    let read = bench.chat("sim:first_byte=50s").await;
    assert_eq!(read.body.matches(": weir\n\n").count(), 3, "at 20, 35 and 50 s: {}", read.body);
    assert!(read.body.ends_with("data: [DONE]\n\n"));
    let late = bench.chat("sim:503,first_byte=50s").await;
    assert_eq!((late.status(), late.error()["verdict"].as_str()), (200, Some("W-UP-002")));
    assert_eq!(bench.record(late.id()).charge.charged, Charged::No);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_charged_for_what_it_got_and_its_upstream_ends_after_the_linger() {
    let bench = Bench::new(|settings| settings.streams = Streams { linger: secs(2), ..Streams::default() });
    let (mut near, connection) = bench.open(
        "POST",
        "/v1/chat/completions",
        "",
        "application/json",
        r#"{"model":"sim:tokens=500,interval=100ms","stream":true,"messages":[]}"#,
    );
    let leave = async {
        let mut some = vec![0; 2048];
        near.read_exact(&mut some).await.unwrap();
        drop(near);
    };
    tokio::join!(leave, connection);
    bench.gateway.closer.idle().await;
    let store = bench.gateway.books().store();
    let call = store.calls(&weir_store::CallFilter::default()).unwrap().remove(0);
    let record = call.record;
    assert_eq!((record.verdict, record.ended_by), (Verdict::ProducedNotDelivered, Side::Client));
    assert_eq!(record.observed.as_ref().unwrap().end, StreamEnd::ClientGone);
    let output = record.charge.usage.output;
    assert!((1..20).contains(&output), "what was delivered, not what was made: {output}");
    // The simulator notices when it writes the next event.
    tokio::time::sleep(secs(1)).await;
    let seen = bench.sim.requests().remove(0);
    assert_eq!(seen.ended, Ended::ClientGone);
    assert!(seen.generation_ms < 4_000, "{}", seen.generation_ms);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_outlives_the_grace_of_a_stop_gets_a_draining_error() {
    let bench = Bench::new(|_| {});
    let stop = async {
        tokio::time::sleep(secs(1)).await;
        bench.gateway.drain(secs(5)).await;
    };
    let (read, ()) = tokio::join!(bench.chat("sim:tokens=500,interval=100ms"), stop);
    assert_eq!(read.error()["verdict"], "W-GW-002");
    assert_eq!(bench.record(read.id()).observed.unwrap().end, StreamEnd::Draining);
}
