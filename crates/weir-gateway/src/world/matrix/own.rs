//! The rows that no upstream makes: keys, accounts, limits, connections, and the gateway itself.

use std::time::Duration;

use weir_core::{Amount, Limits};

use super::{
    super::{chance::EPOCH, plan::Fate, rig::Order},
    cell::CALLER,
    faults::{Asked, Class, Fault, Meanwhile, Presented, Scene},
};

const WELL: &str = "sim:tokens=8";
/// It runs for 40 s.
const LONG: &str = "sim:tokens=8,interval=5s";
/// So much likelier than the other upstream that it is asked first.
const HEAVY: u32 = 1_000_000;

pub(super) fn faults() -> Vec<Fault> {
    [limits(), timeouts(), connections(), failovers(), keys(), requests()].into_iter().flatten().collect()
}

fn fault(class: Class, name: &str, what: &str, scene: Scene) -> Fault {
    Fault { class, name: name.to_owned(), what: what.to_owned(), word: None, scene }
}

/// Limits that fire at the upstream's cost, and clients that do not wait for them.
fn timeouts() -> Vec<Fault> {
    let row = |name, what, scene| fault(Class::Timeout, name, what, scene);
    let leaves = |model, after| Scene { meanwhile: Meanwhile::Leaves(Duration::from_secs(after)), ..Scene::of(model) };
    let announced = Asked { lines: "x-stainless-read-timeout: 30\r\n", ..Asked::default() };
    let short = |model| Scene { order: |order| order.settings.timeouts.total = Duration::from_secs(60), ..Scene::of(model) };
    vec![
        row("connect limit", "the upstream's machine does not answer", Scene { fates: (&[], Fate::Hangs), ..Scene::of(WELL) }),
        row("connect limit, once", "the same, the first time only", Scene { fates: (&[Fate::Hangs], Fate::Good), ..Scene::of(WELL) }),
        row("first-byte limit", "`first_byte=150s`: beyond the 120 s of the configuration", Scene::of("sim:tokens=8,first_byte=150s")),
        row(
            "first-byte limit, head only",
            "`slow_headers=150s`: the status line came, the head did not",
            Scene::of("sim:tokens=8,slow_headers=150s"),
        ),
        row("idle limit", "`stall=90s`: beyond the 60 s of the configuration", Scene::of("sim:tokens=8,stall=90s")),
        row("total limit", "`interval=1s`: 100 s of work, and a total of 60 s", short("sim:tokens=100,interval=1s")),
        row(
            "announced read timeout",
            "`first_byte=40s`, and the SDK says that it waits 30 s",
            Scene { ask: announced, ..Scene::of("sim:tokens=8,first_byte=40s") },
        ),
        row("client leaves early", "after 3 s; the upstream needs 30 s", leaves("sim:tokens=8,first_byte=30s", 3)),
        row("client leaves midway", "after 3 s of a stream of 8 s", leaves("sim:tokens=8,interval=1s", 3)),
    ]
}

/// The way to the upstream, and the gateway's own state.
fn connections() -> Vec<Fault> {
    let row = |name, what, scene| fault(Class::Upstream, name, what, scene);
    let fate = |next, lasting| Scene { fates: (next, lasting), ..Scene::of(WELL) };
    let drains = Scene { meanwhile: Meanwhile::Drains(Duration::from_secs(3)), ..Scene::of("sim:tokens=8,interval=1s") };
    let full = Meanwhile::Others { calls: 1, model: LONG, caller: CALLER };
    let full = Scene { order: |order| order.slots = 1, meanwhile: full, ..Scene::of(WELL) };
    vec![
        row("connection refused", "nobody listens at the upstream's address", fate(&[], Fate::Refused)),
        row("connection refused, once", "the same, the first time only", fate(&[Fate::Refused], Fate::Good)),
        row("connection dies", "it stands and is closed before an answer", fate(&[], Fate::Dies)),
        row("connection dies, once", "the same, the first time only", fate(&[Fate::Dies], Fate::Good)),
        row("gateway stops", "it is told to stop and to wait for nobody", drains),
        row("gateway full", "as many calls run as it has room for", full),
    ]
}

/// Two upstreams; the first, which is asked first, is in trouble.
fn failovers() -> Vec<Fault> {
    let row = |name, what, scene| fault(Class::Upstream, name, what, scene);
    let two = |always| {
        let order = |order: &mut Order| order.settings.upstreams[0].channels[0].weight = HEAVY;
        Scene { upstreams: 2, order, always, ..Scene::of(WELL) }
    };
    let fate = |lasting| Scene { fates: (&[], lasting), ..two("") };
    let limited = |order: &mut Order| {
        let channel = &mut order.settings.upstreams[0].channels[0];
        (channel.weight, channel.limits.rpm) = (HEAVY, Some(1));
    };
    let before = Meanwhile::Others { calls: 1, model: WELL, caller: CALLER };
    let used = Scene { order: limited, meanwhile: before, ..two("") };
    vec![
        row("first of two: refused", "the other upstream is well", fate(Fate::Refused)),
        row("first of two: hangs", "the other upstream is well", fate(Fate::Hangs)),
        row("first of two: dies", "the other upstream is well", fate(Fate::Dies)),
        row("first of two: 500", "the other upstream is well", two("sim:500")),
        row("first of two: 503", "the other upstream is well", two("sim:503")),
        row("first of two: 429 with a hint of 7 s", "the other upstream is well", two("sim:429_hint=7s")),
        row("first of two: 429, daily quota", "the other upstream is well", two("sim:429_daily")),
        row("first of two: channel limit", "its 1 a minute is used; the other upstream is well", used),
        row("first of two: 401", "the operator's key is refused; the other upstream is well", two("sim:401")),
        row("first of two: 400", "the request's fault is the same everywhere", two("sim:400")),
        row("first of two: error first", "the other upstream is well", two("sim:error_first")),
        row("first of two: cut after 5 events", "the other upstream is well", two("sim:cut_after=5")),
    ]
}

/// What a key, an account or a group may still use.
fn limits() -> Vec<Fault> {
    let row = |name, what, order, before| fault(Class::Rate, name, what, Scene { order, meanwhile: before, ..Scene::of(WELL) });
    let others = |calls, model, caller| Meanwhile::Others { calls, model, caller };
    let (one, long, dear) = (others(1, WELL, CALLER), others(1, LONG, CALLER), others(1, "sim:tokens=200", CALLER));
    let mut rows = vec![
        row("key: requests a minute", "1; another call came a second ago", |order| order.key.limits.rpm = Some(1), one),
        row("key: tokens a minute", "1,000; another call used 200, this one may use 900", |order| order.key.limits.tpm = Some(1_000), dear),
        row("key: calls at once", "1; another one runs for 40 s", |order| order.key.limits.concurrency = Some(1), long),
        row(
            "key: requests a day",
            "1; it is midnight in UTC, and the day begins there",
            |order| order.key.limits.daily_requests = Some(1),
            one,
        ),
        row("key: requests a day, Shanghai", "1; the day ends in 16 hours", shanghai, one),
        row("key: tokens a day", "1,000; another call used 200", |order| order.key.limits.daily_tokens = Some(1_000), dear),
        row("key: amount a day", "7,000; another call cost 1,400", |order| order.key.limits.daily_amount = Some(7_000), dear),
        row("key: larger than its limit", "20 tokens a minute", |order| order.key.limits.tpm = Some(20), Meanwhile::Nothing),
        row(
            "key: early for the fourth time",
            "3 calls before it came too early, too",
            |order| order.key.limits.rpm = Some(1),
            others(4, WELL, CALLER),
        ),
        row(
            "key: taken by another caller",
            "4 a minute; all went to somebody else",
            |order| order.key.limits.rpm = Some(4),
            others(4, WELL, "hog"),
        ),
        row("account: requests a minute", "1; another call came a second ago", account, one),
        row("group: requests a minute", "1; another call came a second ago", group, one),
        row("channel: requests a minute", "1; another call came a second ago", channel, one),
        row(
            "in line",
            "1 call at once, another one runs for 2 s; `max_wait` is 5 s",
            in_line,
            others(1, "sim:tokens=4,interval=500ms", CALLER),
        ),
    ];
    rows.push(fault(
        Class::Request,
        "balance spent",
        "the account has no credit",
        Scene { order: |order| order.credit = Amount(0), ..Scene::of(WELL) },
    ));
    rows
}

fn shanghai(order: &mut Order) {
    order.key.limits.daily_requests = Some(1);
    order.key.limits.zone = Some("Asia/Shanghai".to_owned());
}

fn account(order: &mut Order) {
    order.spoil = |store, _| store.set_account_limits("payer", &Limits { rpm: Some(1), ..Limits::default() }).unwrap();
}

fn group(order: &mut Order) {
    order.key.group = Some("sims".to_owned());
    order.settings.groups.insert("sims".to_owned(), vec!["sim:*".to_owned()]);
    order.settings.group_limits.insert("sims".to_owned(), Limits { rpm: Some(1), ..Limits::default() });
}

fn channel(order: &mut Order) {
    order.settings.upstreams[0].channels[0].limits.rpm = Some(1);
}

fn in_line(order: &mut Order) {
    order.key.limits.concurrency = Some(1);
    order.settings.limits.max_wait = Duration::from_secs(5);
}

fn keys() -> Vec<Fault> {
    let row = |name, what, scene| fault(Class::Request, name, what, scene);
    let presented = |key| Scene { ask: Asked { key, ..Asked::default() }, ..Scene::of(WELL) };
    vec![
        row("no key", "", presented(Presented::None)),
        row("unknown key", "well formed, but nobody's", presented(Presented::Unknown)),
        row("disabled key", "", Scene { order: |order| order.spoil = |store, kid| store.disable(kid).unwrap(), ..Scene::of(WELL) }),
        row("revoked key", "", Scene { order: |order| order.spoil = |store, kid| store.revoke(kid, EPOCH).unwrap(), ..Scene::of(WELL) }),
        row("expired key", "", Scene { order: |order| order.key.expires_at = Some(EPOCH), ..Scene::of(WELL) }),
        row(
            "foreign address",
            "the key is bound to other addresses",
            Scene { order: |order| order.key.sources = vec!["10.0.0.0/8".to_owned()], ..Scene::of(WELL) },
        ),
        row("model not in the group", "", Scene { order: |order| order.key.group = Some("others".to_owned()), ..Scene::of(WELL) }),
        row("model not of the key", "", Scene { order: |order| order.key.models = vec!["other:*".to_owned()], ..Scene::of(WELL) }),
    ]
}

fn requests() -> Vec<Fault> {
    let row = |name, what, scene| fault(Class::Request, name, what, scene);
    let ask = |ask| Scene { ask, ..Scene::of(WELL) };
    let plain = Asked::default();
    let served = |order: &mut Order| order.settings.upstreams[0].channels[0].models = vec!["other:*".to_owned()];
    vec![
        row("model not served", "no channel has it", Scene { order: served, ..Scene::of(WELL) }),
        row(
            "model without a price",
            "it is refused instead of given away",
            Scene { order: |order| order.settings.prices.models.clear(), ..Scene::of(WELL) },
        ),
        row("body not JSON", "", ask(Asked { body: Some("{\"model\":"), ..plain })),
        row("no model", "", ask(Asked { body: Some("{}"), ..plain })),
        row("body too large", "", Scene { order: |order| order.settings.limits.body_bytes = 64, ..Scene::of(WELL) }),
        row("wrong content type", "`text/plain`", ask(Asked { content_type: Some("text/plain"), ..plain })),
        row("wrong method", "`PUT`", ask(Asked { method: Some("PUT"), ..plain })),
        row("wrong path", "`/v1/chat/completion`", ask(Asked { path: Some("/v1/chat/completion"), ..plain })),
    ]
}
