//! Prints what one call costs in CPU time, writer included: accept, reserve, eight events, seal. `cargo run --release -p weir-store --example cost [CALLS]`

use std::{
    error::Error,
    fs,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use weir_core::{
    Amount, AttemptRecord, CallRecord, Charge, ChargeFacts, ChargeRule, ClientFacts, Clock, Phase, RequestId, Reserved, Route, Side,
    StreamEnd, StreamFacts, Timestamp, Timing, Usage, UsageSource, Verdict,
};
use weir_store::{Books, BooksSettings, NewKey, Principal, Store};

const START: i64 = 1_763_884_800_000;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(START)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let calls: u64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let dir = std::env::temp_dir().join(format!("weir-cost-{}", std::process::id()));
    let store = Store::open(&dir)?;
    let account = store.create_account("cost", Timestamp(START))?;
    store.credit(&account.id, Amount(i64::MAX / 2), "", Timestamp(START))?;
    let (key, _) = store.create_key(&NewKey { account: account.id, ..NewKey::default() }, &[7; 64], Timestamp(START))?;
    let (books, _) = Books::open(store, &BooksSettings::default(), Arc::new(Fixed))?;

    let before = cpu_us()?;
    for _ in 0..calls {
        books.principal(&key, None, Timestamp(START))?;
    }
    let principals = cpu_us()?;
    let by = books.principal(&key, None, Timestamp(START))?;
    let started = thread_us()?;
    let mut refused = 0_u64;
    let mut n = 0;
    while n < calls {
        if one(&books, &by, n)? {
            n += 1;
        } else {
            // All slots wait for their rows: the writer is the slower one.
            refused += 1;
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let caller = thread_us()?;
    books.close();
    let after = cpu_us()?;
    let each = |us: u64| us as f64 / calls as f64;
    println!("principal {:.2} µs", each(principals - before));
    println!(
        "accept+reserve+8×progress+seal, writer included {:.2} µs, {:.2} of it on the caller",
        each(after - principals),
        each(caller - started)
    );
    println!("{refused} times full; database {} KiB", fs::metadata(dir.join("weir.db"))?.len() / 1024);
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// One streamed call; `false` if no slot is free.
fn one(books: &Books, by: &Principal, n: u64) -> Result<bool, Box<dyn Error>> {
    let at = Timestamp(START + i64::try_from(n / 20)?);
    let id = RequestId::new(at, u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834));
    let Ok(hold) = books.accept(id, Route::ChatCompletions) else { return Ok(false) };
    let charge = at_once(books.reserve(&hold, by, "gpt-4o-mini", true, Amount(50_000)))??;
    let mut usage = Usage { input: 300, ..Usage::default() };
    for event in 1..=8 {
        usage.output = event;
        hold.progress(event, event * 200, Amount(300), usage);
    }
    books.seal(hold, record(id, at, by, charge, usage));
    Ok(true)
}

fn record(id: RequestId, at: Timestamp, by: &Principal, charge: Charge<Reserved>, usage: Usage) -> CallRecord {
    CallRecord {
        id,
        at,
        route: Route::ChatCompletions,
        verdict: Verdict::Ok,
        status: 200,
        ended_by: Side::Done,
        charge: ChargeFacts::from((&charge.settle(Amount(316), ChargeRule::Complete), usage, UsageSource::Upstream)),
        kid: Some(by.kid.clone()),
        account: Some(by.account.clone()),
        group: None,
        model: "gpt-4o-mini".to_owned(),
        stream: true,
        client: ClientFacts {
            name: Some("openai-python".to_owned()),
            version: Some("3.54.0".to_owned()),
            read_timeout_s: Some(600),
            ..ClientFacts::default()
        },
        suspected_retry_of: None,
        told: None,
        error_code: None,
        error_text: None,
        limit: None,
        scenario: weir_core::Scenario::default(),
        attempts: vec![AttemptRecord {
            n: 1,
            at_ms: 1,
            ms: 800,
            channel: "primary".to_owned(),
            phase: Phase::Done,
            status: Some(200),
            ..AttemptRecord::default()
        }],
        timing: Timing {
            queued: None,
            connect: Some(1),
            ttfb: Some(200),
            first_event: Some(201),
            last_event: Some(799),
            gap_max: Some(90),
            total: 800,
        },
        observed: Some(StreamFacts { end: StreamEnd::Done, events: 8, bytes: 1600, finish_reason: Some("stop".to_owned()) }),
    }
}

/// What a future that never waits gives.
fn at_once<T>(future: impl Future<Output = T>) -> Result<T, &'static str> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err("it waited"),
    }
}

/// CPU time of the whole process, user and system, in steps of 10,000 µs.
fn cpu_us() -> Result<u64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("read /proc/self/stat")?.1;
    let ticks: Result<Vec<u64>, _> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<u64>() * 10_000)
}

/// CPU time of this thread.
fn thread_us() -> Result<u64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split_whitespace().next().ok_or("read schedstat")?.parse::<u64>()? / 1000)
}
