//! Mutation of the search for canaries: with the screen in place nothing is found, with a blind one the same search finds what
//! leaked. And a panic that quotes a secret costs one call and tells nobody.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use weir_client::{Dial, Dialing, Io, Target};
use weir_core::{
    Amount, ApiKey, Clock, Price, Secret, Timestamp, Verdict,
    redact::canary::{find, forms},
};
use weir_sim::{Sim, SimSettings};
use weir_store::{Books, BooksSettings, CallFilter, NewKey, Store};

use crate::{Channel, Dice, Gateway, PriceList, Settings, Upstream};

const UPSTREAM_KEY: &str = "relay.Q7wZ9xT3k2Lm8pVb4nRc6yHd1sJf5gAe0uOi";
const FOREIGN_KEY: &str = "sk-proj-wK3vN8rT5yB1mX7cQ2zL12345678A3eU8iO5tR1nY7bV2";
const PROMPT_EN: &str = "the violet lantern hums over the seventh quay";
const PROMPT_ZH: &str = "海上灯塔编号七十三在夜里熄灭";

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600_000)
    }
}

/// Counts, so that no two calls have one id.
struct Counter(Mutex<u128>);

impl Dice for Counter {
    fn roll(&self) -> u128 {
        let mut count = self.0.lock().unwrap();
        *count += 1;
        *count << 64 | *count
    }
}

/// Dials the simulator in memory.
struct ToSim(Sim);

impl Dial for ToSim {
    #[expect(clippy::disallowed_methods, reason = "a test's upstream is a task of its own")]
    fn dial<'a>(&'a self, _: &'a Target) -> Dialing<'a> {
        let (near, far) = duplex(1 << 20);
        let sim = self.0.clone();
        drop(tokio::spawn(async move { sim.serve_connection(far).await }));
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Io>) })
    }
}

/// Dials nobody: a broken invariant that quotes what it was about.
struct Panics;

impl Dial for Panics {
    fn dial<'a>(&'a self, target: &'a Target) -> Dialing<'a> {
        panic!("{UPSTREAM_KEY} {PROMPT_EN} {}", target.host)
    }
}

fn gateway(dir: &Path, dial: Arc<dyn Dial>) -> (Gateway, ApiKey) {
    let store = Store::open(dir).unwrap();
    store.create_account("demo", Noon.now()).unwrap();
    let (key, _) = store.create_key(&NewKey { account: "demo".to_owned(), ..NewKey::default() }, &[7; 64], Noon.now()).unwrap();
    let books = Books::open(store, &BooksSettings { slots: 64, inline: true }, Arc::new(Noon)).unwrap().0;
    let channel = Channel {
        name: "main".to_owned(),
        key: Some(Arc::new(ApiKey::parse(UPSTREAM_KEY).unwrap())),
        models: Vec::new(),
        weight: 1,
        limits: weir_core::Limits::default(),
    };
    let settings = Settings {
        upstreams: vec![Upstream {
            name: "sim".to_owned(),
            tasks: None,
            target: Target::parse("http://sim.test/v1").unwrap(),
            channels: vec![channel],
        }],
        prices: PriceList { fallback: Some(Price::default()), ..PriceList::default() },
        ..Settings::default()
    };
    (Gateway::new(settings, books, Arc::new(Noon), Arc::new(Counter(Mutex::new(0))), dial), key)
}

/// One request over a connection of its own; the whole answer.
async fn ask(gateway: &Arc<Gateway>, key: &ApiKey, sender: &str, body: &serde_json::Value) -> Vec<u8> {
    let (mut client, server): (DuplexStream, DuplexStream) = duplex(1 << 20);
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: weir\r\nauthorization: Bearer {}\r\nuser-agent: {sender}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        key.expose(),
        body.len()
    );
    let talk = async {
        client.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let peer = Some(Ipv4Addr::LOCALHOST.into());
    tokio::join!(Arc::clone(gateway).serve_connection(server, peer), talk).1
}

fn chat(model: &str, stream: bool) -> serde_json::Value {
    serde_json::json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": format!("{PROMPT_ZH} {PROMPT_EN}") }] })
}

/// Every file that the gateway wrote, but the pepper.
fn written(dir: &Path) -> Vec<u8> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file() && !path.ends_with("pepper"));
    files.flat_map(|path| fs::read(path).unwrap()).collect()
}

fn holds(sink: &[u8], canary: &str) -> bool {
    !find(sink, &forms(&Secret::new(canary))).is_empty()
}

/// What was stored and what was answered after the calls that leak the most.
async fn stored_and_told(blind: bool) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let (mut gateway, key) = gateway(dir.path(), Arc::new(ToSim(Sim::new(SimSettings::default()))));
    gateway.screen.blind = blind;
    let gateway = Arc::new(gateway);
    let mut told = Vec::new();
    for (sender, model, stream) in
        [("curl/8", "sim:echo_error", false), ("curl/8", "sim:echo_error=event", true), (FOREIGN_KEY, "sim:ok", true)]
    {
        told.extend(ask(&gateway, &key, sender, &chat(model, stream)).await);
    }
    ask(&gateway, &key, "curl/8", &chat(FOREIGN_KEY, true)).await;
    gateway.books.flush().await;
    assert_eq!(gateway.books.store().count(&CallFilter::default()).unwrap(), 4);
    (written(dir.path()), told)
}

#[tokio::test]
async fn r41_with_the_screen_off_the_same_search_finds_what_leaked() {
    let (stored, told) = stored_and_told(false).await;
    for canary in [UPSTREAM_KEY, FOREIGN_KEY, PROMPT_EN, PROMPT_ZH, "planted-cookie", "someone@example.com"] {
        assert!(!holds(&stored, canary), "{canary} was stored");
    }
    for canary in [UPSTREAM_KEY, FOREIGN_KEY, "planted-cookie"] {
        assert!(!holds(&told, canary), "{canary} was told");
    }
    let (stored, told) = stored_and_told(true).await;
    for canary in [UPSTREAM_KEY, FOREIGN_KEY, PROMPT_EN, PROMPT_ZH, "planted-cookie", "someone@example.com"] {
        assert!(holds(&stored, canary), "the search does not see {canary}");
    }
    assert!(holds(&told, UPSTREAM_KEY) && holds(&told, "planted-cookie"));
}

#[tokio::test]
async fn r41_a_panic_that_quotes_a_secret_costs_one_call_and_tells_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, key) = gateway(dir.path(), Arc::new(Panics));
    let gateway = Arc::new(gateway);
    let told = ask(&gateway, &key, "curl/8", &chat("sim:ok", false)).await;
    gateway.books.flush().await;
    assert!(told.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(&told));
    let calls = gateway.books.store().calls(&CallFilter::default()).unwrap();
    assert_eq!(calls.iter().map(|call| call.record.verdict).collect::<Vec<_>>(), [Verdict::GatewayInternal]);
    assert_eq!(calls[0].record.charge.amount, Amount(0));
    for canary in [UPSTREAM_KEY, PROMPT_EN, PROMPT_ZH] {
        assert!(!holds(&written(dir.path()), canary) && !holds(&told, canary), "{canary}");
    }
}
