//! `kill -9` at any instant loses no charge, makes none twice, and leaves nothing pending after the next start.
//! The moments are seeded and counted in what clients saw, so a kill lands within answers, not beside them. `KILLS` says how many, `SEED` which.

use std::{
    collections::{HashMap, HashSet},
    io::Result,
    net::SocketAddr,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use weir_core::{Charged, KeyId, Price, RequestId, Usage};
use weir_store::{CallFilter, Store, StoredCall};

use crate::{
    raw::{Wire, address, post},
    running::Running,
    weir::Home,
};

/// Clients at once.
const CLIENTS: u64 = 16;
/// A gateway that gives no sign of life for this long is stuck.
const STUCK: Duration = Duration::from_secs(30);
/// At most this many events and answers are seen between two kills.
const SEEN_BETWEEN_KILLS: u64 = 400;
/// In nano-units, as the configuration below says per million.
const PRICE: Price = Price { input: 1000, cached: 1000, output: 4000, image: 0, second: 0 };

/// Chance with a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[expect(clippy::disallowed_methods, reason = "the nightly run asks for more kills than the one on every change")]
pub(crate) fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What one client saw of one request.
#[derive(Debug, Default, Clone)]
struct Seen {
    id: String,
    status: u16,
    /// The answer came to its end as HTTP knows it.
    whole: bool,
    /// Its `Idempotency-Key`, if it had one.
    keyed: Option<String>,
    /// The call that it joined, if it did.
    joined: Option<String>,
    /// Whole events, error events not counted.
    events: u64,
    /// There was output among them.
    output: bool,
    usage: Option<Usage>,
    /// What an error said of the charge.
    told_charged: Option<bool>,
}

/// Where the gateway is now, and how much was seen of its answers.
#[derive(Default)]
struct Stage {
    state: Mutex<(Option<SocketAddr>, u64)>,
    changed: Condvar,
    over: AtomicBool,
}

impl Stage {
    fn moved(&self, to: Option<SocketAddr>) {
        self.state.lock().unwrap().0 = to;
        self.changed.notify_all();
    }

    fn tick(&self) {
        self.state.lock().unwrap().1 += 1;
        self.changed.notify_all();
    }

    /// The gateway's address, once there is one.
    fn gateway(&self) -> SocketAddr {
        let state = self.state.lock().unwrap();
        let (state, late) = self.changed.wait_timeout_while(state, STUCK, |state| state.0.is_none()).unwrap();
        assert!(!late.timed_out(), "no gateway for {STUCK:?}");
        state.0.unwrap()
    }

    /// Waits until so much more was seen.
    fn until_seen(&self, more: u64) {
        let state = self.state.lock().unwrap();
        let enough = state.1 + more;
        let (_state, late) = self.changed.wait_timeout_while(state, STUCK, |state| state.1 < enough).unwrap();
        assert!(!late.timed_out(), "nothing was answered for {STUCK:?}");
    }
}

/// The kinds of calls that make the load.
const LOAD: [(&str, bool); 7] = [
    ("sim:tokens=20", false),
    ("sim:tokens=12,interval=1ms", true),
    ("sim:tokens=40,interval=3ms", true),
    ("sim:cut_after=6,interval=1ms", true),
    ("sim:error_after=4,interval=1ms", true),
    ("sim:500", false),
    ("sim:tokens=400,interval=4ms", true),
];

/// One request to its end, or until `patience` events were seen and the client hangs up.
fn call(stage: &Stage, key: &str, (model, stream): (&str, bool), patience: u64, seen: &mut Seen) -> Result<()> {
    let mut body = json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "hello there" }] });
    if stream {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let mut wire = Wire::open(stage.gateway())?;
    let mut request = post("/chat/completions", key, &body);
    if let Some(keyed) = &seen.keyed {
        request = request.replacen("\r\n", &format!("\r\nidempotency-key: {keyed}\r\n"), 1);
    }
    wire.send(request.as_bytes())?;
    let head = wire.head()?;
    seen.id = head.get("x-request-id").unwrap().to_owned();
    seen.joined = head.get("x-weir-call").map(str::to_owned);
    seen.status = head.status;
    let mut left = false;
    let mut text = Vec::new();
    wire.body(&head, |piece| {
        text.extend_from_slice(piece);
        if stream && head.status == 200 {
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                see_event(seen, &String::from_utf8(text.drain(..end + 2).collect()).unwrap());
                stage.tick();
            }
        }
        left = seen.events >= patience;
        !left
    })?;
    seen.whole = !left;
    if !(stream && head.status == 200) {
        see(seen, &serde_json::from_slice(&text).unwrap());
    }
    stage.tick();
    Ok(())
}

fn see_event(seen: &mut Seen, event: &str) {
    let Some(told) = event.trim_end().strip_prefix("data: ") else { return };
    match serde_json::from_str::<Value>(told) {
        Ok(chunk) => {
            seen.events += u64::from(chunk["error"].is_null());
            seen.output |= chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty());
            see(seen, &chunk);
        }
        Err(_) => seen.events += u64::from(told == "[DONE]"),
    }
}

/// Takes the usage and what an error says from an answer or a chunk of one.
fn see(seen: &mut Seen, value: &Value) {
    if let (Some(input), Some(output)) = (value["usage"]["prompt_tokens"].as_u64(), value["usage"]["completion_tokens"].as_u64()) {
        let cached = value["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
        seen.usage = Some(Usage { input, cached, output, ..Usage::default() });
    }
    seen.told_charged = value["error"]["charged"].as_bool().or(seen.told_charged);
}

/// Calls until it is over; everything of which an id was seen.
fn client(stage: &Stage, key: &str, mut dice: Dice) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    let mut repeats: Option<((&str, bool), String)> = None;
    while !stage.over.load(Ordering::Relaxed) {
        let kind = LOAD[usize::try_from(dice.roll(LOAD.len() as u64)).unwrap()];
        let patience = if dice.roll(4) == 0 { 1 + dice.roll(8) } else { 60 };
        let mut seen = Seen::default();
        // Every fourth request has a key, and is made again with it: after a kill, while it runs, or when it has ended.
        let kind = match repeats.take() {
            Some((kind, keyed)) => {
                seen.keyed = Some(keyed);
                kind
            }
            None if dice.roll(4) == 0 => {
                let keyed = format!("kill-12345678-{}", dice.roll(u64::MAX));
                seen.keyed = Some(keyed.clone());
                repeats = Some((kind, keyed));
                kind
            }
            None => kind,
        };
        // A gateway that was killed is no answer; the next call waits for the next one.
        let _ = call(stage, key, kind, patience, &mut seen);
        if !seen.id.is_empty() {
            all.push(seen);
        }
    }
    all
}

/// A simulator that outlives the gateway, its configuration with real prices, and a key with credit.
fn house() -> (Home, Running, String) {
    let home = Home::with_account();
    home.run(&["account", "credit", "demo", "100000"]).done();
    let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
    let upstream = sim.text("base_url");
    home.file(
        "weir.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[log]\nfilter = \"off\"\n[streams]\nlinger = \"100ms\"\n[prices.models.\"sim:*\"]\ninput = 1\noutput = 4\n[[upstream]]\nname = \"sim\"\nbase_url = \"{upstream}\"\n[[upstream.channel]]\nname = \"main\"\nno_key = true\n"
        ),
    );
    let made = home.run(&["key", "create", "--account", "demo", "--json"]).done().json();
    (home, sim, made["key"].as_str().unwrap().to_owned())
}

fn serve(home: &Home) -> Running {
    Running::start(home, &["serve", "--config", "weir.toml", "--json"])
}

/// Serves and kills, each time after a while that the dice say; the gateway that comes after them lives.
fn outlived(home: &Home, stage: &Stage, kills: u64, dice: &mut Dice) -> Running {
    for _ in 0..kills {
        let gateway = serve(home);
        stage.moved(Some(address(gateway.text("base_url"))));
        stage.until_seen(1 + dice.roll(SEEN_BETWEEN_KILLS));
        stage.moved(None);
        gateway.kill();
    }
    let gateway = serve(home);
    stage.moved(Some(address(gateway.text("base_url"))));
    gateway
}

#[test]
fn kill_9_under_load_loses_no_charge_makes_none_twice_and_leaves_nothing_pending() {
    let (kills, seed) = (asked("KILLS", 10), asked("SEED", 1));
    let (home, sim, key) = house();
    let (stage, key) = (&Stage::default(), key.as_str());
    let mut dice = Dice(seed);
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || client(stage, key, Dice(seed ^ (n << 32))))).collect();
        let gateway = outlived(&home, stage, kills, &mut dice);
        stage.until_seen(SEEN_BETWEEN_KILLS);
        stage.over.store(true, Ordering::Relaxed);
        let seen = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        assert_eq!(gateway.stop(Signal::TERM), Some(0));
        seen
    });
    assert_eq!(sim.stop(Signal::TERM), Some(0));
    let audit = home.run(&["audit", "--json"]).done().json();
    assert_eq!((&audit["ok"], &audit["in_flight"]), (&true.into(), &0.into()), "{audit}");
    let begun = seen.iter().filter(|seen| seen.joined.is_none()).count();
    assert!(audit["calls"].as_u64().unwrap() >= begun as u64, "{audit}");
    let store = Store::open(&home.path().join("data")).unwrap();
    let mut whole = 0;
    let mut charged: HashMap<&str, HashSet<RequestId>> = HashMap::new();
    for seen in &seen {
        let id: RequestId = seen.joined.as_ref().unwrap_or(&seen.id).parse().unwrap();
        let call = store.call(id).unwrap().unwrap_or_else(|| panic!("no record of {seen:?}"));
        assert_eq!(call.record.id, id, "a joined request names the call itself");
        if let Some(known) = seen.joined.as_ref().and_then(|_| store.call(seen.id.parse().unwrap()).unwrap()) {
            assert_eq!(known.record.id, id, "{seen:?}");
        }
        fits(seen, &call);
        if let Some(keyed) = seen.keyed.as_ref().filter(|_| call.record.charge.charged == Charged::Yes) {
            charged.entry(keyed).or_default().insert(id);
        }
        whole += u64::from(seen.whole && seen.usage.is_some());
    }
    let twice: Vec<_> = charged.values().filter(|calls| calls.len() > 1).collect();
    assert!(!charged.is_empty() && twice.is_empty(), "one key was charged for several calls: {twice:?}");
    assert!(whole > 0 && whole < seen.len() as u64, "the load was no mix: {whole} whole of {}", seen.len());
    balances(&home);
}

/// What a client saw is what the record says and the ledger took.
fn fits(seen: &Seen, call: &StoredCall) {
    let (charge, lines) = (&call.record.charge, &call.ledger);
    let why = || format!("{seen:?} {:?} {lines:?}", call.record);
    assert_ne!(charge.charged, Charged::Pending, "{}", why());
    assert_eq!(lines.len(), usize::from(charge.charged == Charged::Yes), "{}", why());
    assert!(lines.iter().all(|line| line.amount == charge.amount), "{}", why());
    // The call is sealed before the last byte of its answer leaves: no kill comes between the two.
    if seen.whole {
        assert_eq!(call.record.status, seen.status, "{}", why());
    }
    match (seen.whole, seen.usage, seen.told_charged) {
        (true, Some(usage), None) => assert_eq!((charge.charged, charge.amount), (Charged::Yes, PRICE.of(&usage).unwrap()), "{}", why()),
        (true, _, Some(told)) => assert_eq!(charge.charged == Charged::Yes, told, "{}", why()),
        _ => {}
    }
    // Who comes back to a call whose client had left may read what was kept before the call has noted it: a kill in between is told apart.
    // An event is noted in the call's slot before it is written to the client's socket, so the record has at least what the client saw.
    if seen.events > 0 && seen.joined.is_none() {
        assert!(call.record.observed.as_ref().is_some_and(|noted| noted.events >= seen.events), "{}", why());
    }
    // Output that a client has is paid for: never less than nothing, never more than was held.
    if seen.output && seen.joined.is_none() {
        assert!(charge.charged == Charged::Yes && charge.amount.0 > 0 && charge.amount <= charge.held, "{}", why());
    }
}

/// The balance is the credits minus what was settled; that the sums are those of the ledger's lines is a law of the audit.
fn balances(home: &Home) {
    let listed = home.run(&["account", "list", "--json"]).done().json();
    let account = &listed["accounts"][0];
    let [credits, settled, balance] = ["credits", "settled", "balance"].map(|sum| account[sum].as_i64().unwrap());
    assert!(settled > 0 && balance == credits - settled, "{account}");
}

/// Calls until the quota is used up.
fn until_spent(stage: &Stage, key: &str, mut dice: Dice) {
    loop {
        let kind = LOAD[usize::try_from(dice.roll(LOAD.len() as u64)).unwrap()];
        let mut seen = Seen::default();
        let answered = call(stage, key, kind, 1 + dice.roll(40), &mut seen);
        if answered.is_ok() && seen.status == 429 {
            return;
        }
    }
}

/// A zone whose midnight is hours away: a day that ends within the test would be another test.
fn zone_of_a_long_day() -> &'static str {
    let hours = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 3600 % 24;
    if (2..22).contains(&hours) { "UTC" } else { "Asia/Shanghai" }
}

#[test]
fn r30_a_daily_quota_neither_leaks_nor_overshoots_by_one_whatever_is_killed() {
    const QUOTA: u64 = 400;
    // The quota's calls show many more events than so many kills wait for.
    const KILLS: u64 = 6;
    let seed = asked("SEED", 1);
    let (home, sim, _) = house();
    let zone = zone_of_a_long_day();
    let made = home.run(&["key", "create", "--account", "demo", "--daily-requests", "400", "--zone", zone, "--json"]).done().json();
    let (stage, key, kid) = (&Stage::default(), made["key"].as_str().unwrap(), made["kid"].as_str().unwrap());
    let mut dice = Dice(seed);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || until_spent(stage, key, Dice(seed ^ (n << 32))))).collect();
        let gateway = outlived(&home, stage, KILLS, &mut dice);
        clients.into_iter().for_each(|client| client.join().unwrap());
        // What failed calls gave back is there to be had, one after the other, until the quota is used up.
        until_spent(stage, key, dice);
        assert_eq!(gateway.stop(Signal::TERM), Some(0));
    });
    assert_eq!(sim.stop(Signal::TERM), Some(0));
    let store = Store::open(&home.path().join("data")).unwrap();
    let filter = CallFilter { kid: KeyId::new(kid), limit: CallFilter::MAX_LIMIT, ..CallFilter::default() };
    let charged = store.calls(&filter).unwrap().iter().filter(|call| call.record.charge.charged == Charged::Yes).count();
    assert_eq!(charged as u64, QUOTA);
}

#[test]
fn a_gateway_killed_while_idle_keeps_keys_ledger_and_calls() {
    let (home, sim, key) = house();
    let ask = |gateway: &Running| {
        let mut wire = Wire::open(address(gateway.text("base_url"))).unwrap();
        let body = json!({ "model": "sim:tokens=20", "messages": [{ "role": "user", "content": "hello" }] });
        wire.send(post("/chat/completions", &key, &body).as_bytes()).unwrap();
        let (head, text) = wire.answer().unwrap();
        assert_eq!(head.status, 200, "{text}");
        head.get("x-request-id").unwrap().to_owned()
    };
    let first = serve(&home);
    let id = ask(&first);
    first.kill();
    let second = serve(&home);
    let kept = home.run(&["calls", "show", &id, "--json"]).done().json();
    assert_eq!((&kept["charged"], kept["ledger"].as_array().unwrap().len()), (&"yes".into(), 1), "{kept}");
    let again = ask(&second);
    assert_ne!(again, id);
    assert_eq!(second.stop(Signal::TERM), Some(0));
    let audit = home.run(&["audit", "--json"]).done().json();
    assert_eq!((&audit["ok"], &audit["calls"], &audit["in_flight"]), (&true.into(), &2.into(), &0.into()), "{audit}");
    assert_eq!(home.run(&["calls", "show", &id, "--json"]).done().json(), kept);
    assert_eq!(sim.stop(Signal::TERM), Some(0));
}
