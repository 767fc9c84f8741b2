//! The laws of the store, tried as a whole: random lives with crashes, a killed process, planted damage, changes by others.

mod crash;
mod damage;
mod joined;
mod keys;
mod queries;
mod recent;
mod retention;
mod split;
mod tasks;
mod usage;

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use tempfile::TempDir;
use weir_core::{
    Amount, CallRecord, ChargeFacts, ChargeRule, Charged, ClientFacts, Clock, RequestId, Route, Side, Timestamp, Timing, Usage,
    UsageSource, Verdict,
};

use crate::{Books, BooksSettings, Hold, NewKey, Principal, Recovery, Store};

pub(crate) const NOW: Timestamp = Timestamp(1_763_884_800_000);
pub(crate) const CREDIT: Amount = Amount(1_000_000);

pub(crate) struct At(pub(crate) Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// A data directory with one account that has [`CREDIT`] and one key.
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    pub(crate) account: String,
    pub(crate) key: weir_core::ApiKey,
    pub(crate) kid: weir_core::KeyId,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let account = store.create_account("payer", NOW).unwrap().id;
        store.credit(&account, CREDIT, "first", NOW).unwrap();
        let (key, kid) = store.create_key(&NewKey { account: account.clone(), ..NewKey::default() }, &dice(1), NOW).unwrap();
        Self { dir, account, key, kid }
    }

    pub(crate) fn open(&self, inline: bool) -> (Books, Recovery) {
        open(self.dir.path(), inline)
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    pub(crate) fn principal(&self, books: &Books) -> Arc<Principal> {
        books.principal(&self.key, None, NOW).unwrap()
    }
}

pub(crate) fn open(dir: &Path, inline: bool) -> (Books, Recovery) {
    let settings = BooksSettings { slots: 64, inline };
    Books::open(Store::open(dir).unwrap(), &settings, Arc::new(At(NOW))).unwrap()
}

pub(crate) fn dice(seed: u8) -> [u8; 64] {
    std::array::from_fn(|i| seed.wrapping_mul(37).wrapping_add(u8::try_from(i).unwrap().wrapping_mul(11)))
}

pub(crate) fn id(n: u64) -> RequestId {
    RequestId::new(Timestamp(NOW.0 + i64::try_from(n).unwrap()), u128::from(n) * 7_919)
}

/// A record that says how its call ended: charged an amount, or not at all.
pub(crate) fn record(hold: &Hold, charge: Option<i64>) -> CallRecord {
    let charge = match charge {
        Some(amount) => ChargeFacts {
            charged: Charged::Yes,
            rule: ChargeRule::Complete,
            amount: Amount(amount),
            usage: Usage { input: 3, output: 4, ..Usage::default() },
            usage_source: UsageSource::Upstream,
            ..ChargeFacts::default()
        },
        None => ChargeFacts::default(),
    };
    CallRecord {
        id: hold.id(),
        at: hold.id().at(),
        route: Route::ChatCompletions,
        verdict: if charge.charged == Charged::Yes { Verdict::Ok } else { Verdict::UpstreamError },
        status: if charge.charged == Charged::Yes { 200 } else { 502 },
        ended_by: Side::Done,
        charge,
        kid: None,
        account: None,
        group: None,
        model: "m".to_owned(),
        stream: true,
        client: ClientFacts::default(),
        error_code: None,
        error_text: None,
        limit: None,
        scenario: weir_core::Scenario::default(),
        attempts: Vec::new(),
        timing: Timing { total: 12, ..Timing::default() },
        observed: None,
        suspected_retry_of: None,
        told: None,
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
