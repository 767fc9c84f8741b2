//! Whatever the order of events and wherever the process dies: each call one row, each charge once, every balance exact, nothing pending.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use weir_core::{Amount, Charged, Route, Timestamp, Usage, Verdict};

use super::{CREDIT, Desk, NOW, block_on, id, open, record};
use crate::{Books, CallFilter, CallState, Hold, Holder, Store};

#[derive(Debug, Clone)]
enum Step {
    Accept,
    Reserve { which: usize, amount: i64 },
    Progress { which: usize, amount: i64 },
    Seal { which: usize, charge: Option<i64> },
    Flush,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..8_usize;
    prop_oneof![
        4 => Just(Step::Accept),
        4 => (which.clone(), 0..600_000_i64).prop_map(|(which, amount)| Step::Reserve { which, amount }),
        4 => (which.clone(), 1..5_000_i64).prop_map(|(which, amount)| Step::Progress { which, amount }),
        4 => (which, proptest::option::of(0..300_000_i64)).prop_map(|(which, charge)| Step::Seal { which, charge }),
        1 => Just(Step::Flush),
        1 => Just(Step::Crash),
    ]
}

/// What a running call is known to have done.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    held: Option<i64>,
    delivered: i64,
}

struct Life {
    desk: Desk,
    inline: bool,
    books: Option<Books>,
    running: Vec<(Hold, Known)>,
    /// What each call that ended was charged.
    ended: BTreeMap<u64, Option<i64>>,
    next: u64,
}

impl Life {
    fn new(inline: bool) -> Self {
        let desk = Desk::new();
        let books = desk.open(inline).0;
        Self { desk, inline, books: Some(books), running: Vec::new(), ended: BTreeMap::new(), next: 0 }
    }

    fn free(&self) -> i64 {
        let held: i64 = self.running.iter().filter_map(|(_, known)| known.held).sum();
        let settled: i64 = self.ended.values().flatten().sum();
        CREDIT.0 - settled - held
    }

    fn number(&self, hold: &Hold) -> u64 {
        (0..self.next).find(|n| id(*n) == hold.id()).unwrap()
    }

    fn take(&mut self, step: &Step) {
        let free = self.free();
        let Some(books) = &self.books else { unreachable!("the books are open between steps") };
        match *step {
            Step::Accept if self.running.len() < 8 => {
                self.running.push((books.accept(id(self.next), Route::ChatCompletions).unwrap(), Known::default()));
                self.next += 1;
            }
            Step::Reserve { which, amount } => {
                let Some((hold, known)) = self.running.get_mut(which) else { return };
                let done = block_on(books.reserve(hold, &self.desk.principal(books), "m", true, Amount(amount)));
                let fits = known.held.is_none() && (amount == 0 || amount <= free);
                assert_eq!(done.is_ok(), fits, "{amount} of {free}");
                if fits {
                    known.held = Some(amount);
                }
            }
            Step::Progress { which, amount } => {
                let Some((hold, known)) = self.running.get_mut(which).filter(|(_, known)| known.held.is_some()) else { return };
                known.delivered += amount;
                hold.progress(1, 100, Amount(known.delivered), Usage { output: 1, ..Usage::default() });
            }
            Step::Seal { which, charge } if which < self.running.len() => {
                let (hold, known) = self.running.remove(which);
                let charge = charge.filter(|_| known.held.is_some());
                let number = self.number(&hold);
                let books = self.books.as_ref().unwrap();
                let mut record = record(&hold, charge);
                record.kid = Some(self.desk.kid.clone());
                books.seal(hold, record);
                self.ended.insert(number, charge);
            }
            Step::Flush => assert!(block_on(books.flush())),
            Step::Crash => self.crash(),
            Step::Accept | Step::Seal { .. } => {}
        }
        let books = self.books.as_ref().unwrap();
        assert_eq!(books.balance(&self.desk.account), Some(Amount(self.free())));
        assert_eq!(books.in_flight(), self.running.len());
    }

    fn crash(&mut self) {
        for (hold, known) in std::mem::take(&mut self.running) {
            let charge = known.held.and((known.delivered > 0).then_some(known.delivered));
            self.ended.insert(self.number(&hold), charge);
        }
        self.books = None;
        self.books = Some(self.desk.open(self.inline).0);
    }

    fn assert_laws(&mut self) {
        let books = self.books.as_ref().unwrap();
        assert!(block_on(books.flush()));
        let report = books.audit().unwrap();
        assert!(report.ok, "{report:?}");
        assert_eq!(report.in_flight, 0);
        let calls = books.store().calls(&CallFilter { limit: 10_000, ..CallFilter::default() }).unwrap();
        assert_eq!(calls.len(), self.ended.len());
        for (call, (number, charge)) in calls.iter().rev().zip(&self.ended) {
            assert_eq!((call.record.id, call.state), (id(*number), CallState::Recorded));
            assert_eq!(call.ledger.iter().map(|line| line.amount.0).collect::<Vec<_>>(), charge.iter().copied().collect::<Vec<_>>());
            assert_eq!(call.record.charge.charged, if charge.is_some() { Charged::Yes } else { Charged::No });
        }
        let account = &books.store().accounts().unwrap()[0];
        assert_eq!(account.balance, Amount(self.free()));
        let charges: Vec<i64> = self.ended.values().flatten().copied().collect();
        for holder in [Holder::Key(&self.desk.kid), Holder::Account(&self.desk.account)] {
            let used = books.used(&holder, Timestamp(0)).unwrap();
            assert_eq!((used.requests, used.amount), (charges.len() as u64, Amount(charges.iter().sum())), "{holder:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_call_is_recorded_and_charged_once_whatever_happens(inline: bool, steps in proptest::collection::vec(step(), 1..80)) {
        let mut life = Life::new(inline);
        for step in &steps {
            life.take(step);
        }
        life.crash();
        life.assert_laws();
    }
}

#[test]
fn a_call_cut_by_a_crash_is_charged_for_what_it_delivered_and_says_so() {
    let desk = Desk::new();
    let (books, _) = desk.open(false);
    let by = desk.principal(&books);
    let accepted = books.accept(id(1), Route::Embeddings).unwrap();
    let reserved = books.accept(id(2), Route::ChatCompletions).unwrap();
    let delivered = books.accept(id(3), Route::Messages).unwrap();
    let free_of_charge = books.accept(id(4), Route::ChatCompletions).unwrap();
    for hold in [&reserved, &delivered, &free_of_charge] {
        let _ = block_on(books.reserve(hold, &by, "m", true, Amount(500))).unwrap();
    }
    let usage = Usage { input: 9, output: 2, ..Usage::default() };
    delivered.progress(2, 300, Amount(41), usage);
    free_of_charge.progress(1, 10, Amount::ZERO, usage);
    drop((accepted, reserved, delivered, free_of_charge));
    drop(books);

    let (books, recovery) = desk.open(false);
    assert_eq!((recovery.settled, recovery.released, recovery.recorded, recovery.freed, recovery.damaged), (2, 2, 0, 0, 0));
    let charges = (1..=4).map(|n| {
        let call = books.call(id(n)).unwrap().unwrap();
        assert_eq!(call.record.verdict, Verdict::GatewayRestarted);
        (call.record.charge.charged, call.record.charge.amount.0, call.ledger.len())
    });
    assert_eq!(charges.collect::<Vec<_>>(), [(Charged::No, 0, 0), (Charged::No, 0, 0), (Charged::Yes, 41, 1), (Charged::Yes, 0, 1)]);
    let record = books.call(id(3)).unwrap().unwrap().record;
    assert_eq!((record.route, record.model.as_str(), record.charge.usage, record.charge.held), (Route::Messages, "m", usage, Amount(500)));
    assert_eq!(books.balance(&desk.account), Some(Amount(CREDIT.0 - 41)));
    books.close();
    assert_eq!(desk.open(false).1, crate::Recovery::default());
}

#[test]
fn a_slot_whose_call_has_its_row_is_only_freed() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let hold = books.accept(id(1), Route::ChatCompletions).unwrap();
    let _ = block_on(books.reserve(&hold, &desk.principal(&books), "m", false, Amount(9))).unwrap();
    let holds = desk.dir.path().join("holds");
    hold.progress(1, 1, Amount(9), Usage::default());
    let before_the_row = std::fs::read(&holds).unwrap();
    let mut sealed = record(&hold, Some(7));
    sealed.kid = Some(desk.kid.clone());
    books.seal(hold, sealed);
    books.close();
    // As if the process had died between the commit and the freeing of the slot.
    std::fs::write(&holds, before_the_row).unwrap();
    let (books, recovery) = desk.open(true);
    assert_eq!((recovery.freed, recovery.settled), (1, 0));
    assert_eq!(books.balance(&desk.account), Some(Amount(CREDIT.0 - 7)));
    let used = books.used(&Holder::Key(&desk.kid), Timestamp(0)).unwrap();
    assert_eq!((used.requests, used.amount), (1, Amount(7)));
    assert!(books.audit().unwrap().ok);
}

#[test]
fn a_call_that_ended_without_a_row_keeps_its_own_outcome() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let holds = desk.dir.path().join("holds");
    let free_before = std::fs::read(desk.dir.path().join("weir.db")).unwrap();
    assert!(!free_before.is_empty());
    let hold = books.accept(id(1), Route::Responses).unwrap();
    let _ = block_on(books.reserve(&hold, &desk.principal(&books), "gpt-4o-mini", true, Amount(50))).unwrap();
    let mut outcome = record(&hold, Some(33));
    outcome.verdict = Verdict::IdleTimeout;
    outcome.error_code = Some("idle_timeout".to_owned());
    outcome.account = Some(desk.account.clone());
    outcome.charge.held = Amount(50);
    books.shared_holds().slot(0).end(&outcome);
    assert!(holds.exists());
    drop(hold);
    drop(books);
    let (books, recovery) = desk.open(true);
    assert_eq!((recovery.recorded, recovery.settled), (1, 0));
    let call = books.call(id(1)).unwrap().unwrap();
    let kept =
        (call.record.verdict, call.record.status, call.record.charge, call.record.error_code, call.record.stream, call.record.timing.total);
    assert_eq!(kept, (Verdict::IdleTimeout, 200, outcome.charge, outcome.error_code, true, 12));
    assert_eq!(call.ledger[0].amount, Amount(33));
}

#[test]
fn a_call_that_waited_over_midnight_belongs_to_the_day_in_which_it_was_admitted_though_a_crash_cut_it() {
    const MIDNIGHT: Timestamp = Timestamp(NOW.0 - NOW.0 % 86_400_000);
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let by = desk.principal(&books);
    let before = weir_core::RequestId::new(Timestamp(MIDNIGHT.0 - 300), 1);
    let hold = books.accept(before, Route::ChatCompletions).unwrap();
    hold.waited(301);
    let _ = block_on(books.reserve(&hold, &by, "m", true, Amount(50))).unwrap();
    hold.progress(1, 10, Amount(9), Usage { input: 3, output: 1, ..Usage::default() });
    drop((hold, books));
    let (books, _) = desk.open(true);
    assert_eq!(books.call(before).unwrap().unwrap().record.timing.queued, Some(301));
    let used = books.used(&Holder::Key(&desk.kid), MIDNIGHT).unwrap();
    assert_eq!((used.requests, used.tokens, used.amount), (1, 4, Amount(9)));
}

#[test]
fn a_full_store_refuses_and_frees_as_rows_are_written() {
    let desk = Desk::new();
    let (books, _) = desk.open(false);
    let mut holds: Vec<Hold> = (0..64).map(|n| books.accept(id(n), Route::ChatCompletions).unwrap()).collect();
    assert_eq!(books.accept(id(99), Route::ChatCompletions).unwrap_err().slots, 64);
    let hold = holds.pop().unwrap();
    let ended = record(&hold, None);
    books.seal(hold, ended);
    assert!(block_on(books.flush()));
    let again = books.accept(id(99), Route::ChatCompletions).unwrap();
    assert_eq!(again.id(), id(99));
    books.close();
}

#[test]
fn a_database_that_refuses_loses_nothing_and_is_noticed() {
    let desk = Desk::new();
    let (books, _) = desk.open(false);
    let other = rusqlite::Connection::open(desk.dir.path().join("weir.db")).unwrap();
    other.execute_batch("CREATE TRIGGER refuse BEFORE INSERT ON calls BEGIN SELECT raise(ABORT, 'no'); END").unwrap();
    let hold = books.accept(id(1), Route::ChatCompletions).unwrap();
    let _ = block_on(books.reserve(&hold, &desk.principal(&books), "m", true, Amount(100))).unwrap();
    let ended = record(&hold, Some(60));
    books.seal(hold, ended);
    assert!(!block_on(books.flush()));
    assert!(!books.healthy());
    assert_eq!(books.store().call(id(1)).unwrap().unwrap().state, CallState::Ended);
    other.execute_batch("DROP TRIGGER refuse").unwrap();
    // Each flush that fails was a try of its own; the first try after the mending writes.
    assert!((0..10).any(|_| block_on(books.flush())));
    assert_eq!(books.store().call(id(1)).unwrap().unwrap().ledger[0].amount, Amount(60));
    assert!(books.audit().unwrap().ok);
    books.close();
}

/// The child of the next test: runs calls until it is killed, and says which ones it sealed.
#[test]
fn child() {
    let Some(dir) = std::env::var_os("WEIR_STORE_CHILD").map(PathBuf::from) else { return };
    let (books, _) = open(&dir, false);
    let (key, _) = weir_core::ApiKey::mint(&super::dice(1));
    let by = books.principal(&key, None, NOW).unwrap();
    let first = books.store().count(&CallFilter::default()).unwrap() + 1;
    let mut out = std::io::stdout();
    for n in first..first + 1_000_000 {
        let hold = loop {
            match books.accept(id(n), Route::ChatCompletions) {
                Ok(hold) => break hold,
                Err(_) => assert!(block_on(books.flush())),
            }
        };
        let _ = block_on(books.reserve(&hold, &by, "m", true, Amount::ZERO)).unwrap();
        hold.progress(1, 10, Amount(1), Usage::default());
        let mut ended = record(&hold, Some(2));
        ended.kid = Some(by.kid.clone());
        books.seal(hold, ended);
        writeln!(out, "sealed {n}").unwrap();
    }
}

#[test]
fn kill_9_at_any_instant_loses_no_charge_and_makes_none_twice() {
    let desk = Desk::new();
    let mut last = 0;
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["laws::crash::child", "--exact", "--nocapture", "--test-threads=1"])
            .env("WEIR_STORE_CHILD", desk.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut sealed =
            said.lines().map_while(Result::ok).filter_map(|line| line.rsplit_once("sealed ").and_then(|(_, n)| n.parse::<u64>().ok()));
        last = sealed.nth(round * 137).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // What the pipe still holds was sealed, too.
        last = sealed.last().unwrap_or(last);
    }
    let (books, _) = desk.open(false);
    let report = books.audit().unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.in_flight, 0);
    let store = Store::open(desk.dir.path()).unwrap();
    for n in 1..=last {
        let call = store.call(id(n)).unwrap().unwrap();
        let cut = call.record.verdict == Verdict::GatewayRestarted;
        let amounts: Vec<i64> = call.ledger.iter().map(|line| line.amount.0).collect();
        // A call that was cut between reservation and first event is not charged.
        assert!(if cut { amounts.is_empty() || amounts == [1] } else { amounts == [2] }, "{n} {amounts:?}");
    }
    let charged: i64 =
        store.calls(&CallFilter { limit: 10_000, ..CallFilter::default() }).unwrap().iter().map(|call| call.record.charge.amount.0).sum();
    assert_eq!(books.balance(&desk.account), Some(Amount(CREDIT.0 - charged)));
    assert_eq!(books.used(&Holder::Key(&desk.kid), Timestamp(0)).unwrap().amount, Amount(charged));
    books.close();
}
