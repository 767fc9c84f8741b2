//! What is too old goes, and every law holds at each step of it: balances, one charge, open tasks, the days of limits.

use rusqlite::Connection;
use weir_core::{Amount, Charged, How, RequestId, Route, TaskRecord, TaskState, Timestamp};

use super::{Desk, NOW, block_on, record, tasks as lives};
use crate::{
    Books, BooksSettings, CallFilter, Earlier, Holder, JoinedRequest, Keyed, Retention, Store, joined,
    retention::{self, Sweeper},
    schema, tasks, usage,
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn at(hours_ago: i64) -> RequestId {
    RequestId::new(Timestamp(NOW.0 - hours_ago * HOUR), 7)
}

/// A call, charged or not, with an idempotency key and a request that joined it.
fn call(desk: &Desk, books: &Books, id: RequestId, charge: Option<i64>) {
    let hold = books.accept(id, Route::ChatCompletions).unwrap();
    hold.keyed(Keyed { key: id.to_bytes(), request: [1; 16] });
    if charge.is_some() {
        let _ = block_on(books.reserve(&hold, &desk.principal(books), "m", true, Amount(100))).unwrap();
    }
    let mut ended = record(&hold, charge);
    ended.kid = Some(desk.kid.clone());
    books.seal(hold, ended);
    let later = RequestId::new(id.at().after(std::time::Duration::from_secs(60)), 8);
    books.joined(JoinedRequest { id: later, call: id, kid: desk.kid.clone(), at: later.at(), how: How::Key, status: 200, events: 3 });
}

/// A task with its call; ended with a charge, unless it stays open.
fn task(desk: &Desk, books: &Books, id: RequestId, open: bool) {
    let hold = books.accept(id, Route::Videos).unwrap();
    let made = TaskRecord { submitted: id.at(), ..lives::task(desk, id) };
    let made = books.submit_task(&desk.principal(books), made, &id.to_bytes(), None, Earlier::Ignored).unwrap();
    let sent = lives::sent(&hold, &made);
    books.seal(hold, sent);
    if !open {
        lives::see(books, id, lives::told(TaskState::Succeeded));
    }
}

fn rows(desk: &Desk, table: &str) -> u64 {
    let db = Connection::open(desk.dir.path().join("weir.db")).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

fn audited(store: &Store, when: &str) {
    let report = store.audit().unwrap();
    assert!(report.ok, "{when}: {:?}", report.laws.iter().filter(|law| !law.ok).collect::<Vec<_>>());
}

/// One whole pass over the tables, audited after each of its transactions; how many there were.
fn pass(desk: &Desk, terms: &Retention, now: Timestamp) -> u32 {
    let store = desk.store();
    let mut db = schema::connect(desk.dir.path()).unwrap();
    let mut sweeper = Sweeper::new(Timestamp(now.0 - DAY));
    let mut steps = 1;
    while sweeper.step(&mut db, terms, now) {
        audited(&store, &format!("step {steps}"));
        steps += 1;
    }
    assert!(!sweeper.step(&mut db, terms, now), "the next pass is not due at once");
    audited(&store, "at the end");
    steps
}

/// Two hundred days of calls and tasks, four a day; one task is open for ever.
fn old_store() -> Desk {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    for n in (0..800).rev() {
        match n % 4 {
            0 => task(&desk, &books, at(n * 6), n == 700),
            1 => call(&desk, &books, at(n * 6), None),
            _ => call(&desk, &books, at(n * 6), Some(40)),
        }
    }
    books.close();
    desk
}

#[test]
fn every_law_holds_at_each_step_while_what_is_old_goes_and_no_balance_changes() {
    let desk = old_store();
    let account = || desk.store().account(&desk.account).unwrap().unwrap();
    let (before, today) = (account(), Timestamp(NOW.0 - DAY));
    let used = desk.store().used(&Holder::Key(&desk.kid), today).unwrap();
    audited(&desk.store(), "before");
    let steps = pass(&desk, &Retention::default(), NOW);
    assert!(steps > 8, "several transactions: {steps}");
    assert_eq!(account(), before);
    assert_eq!(desk.store().used(&Holder::Key(&desk.kid), today).unwrap(), used);
    // Ninety days of calls, and the call of the task that is open; thirty days of joined requests; one day of keys.
    let first = Timestamp(NOW.0 - 90 * DAY);
    assert_eq!((rows(&desk, "calls"), rows(&desk, "tasks")), (361 + 1, 91 + 1));
    assert!(rows(&desk, "requests") <= 91 && rows(&desk, "keyed") <= 5 && rows(&desk, "requests") > 80);
    let kept = desk.store().calls(&CallFilter { limit: CallFilter::MAX_LIMIT, ..CallFilter::default() }).unwrap();
    let old: Vec<_> = kept.iter().filter(|call| call.record.id.at() < first).collect();
    assert_eq!(old.len(), 1);
    assert_eq!(old[0].task.as_ref().map(|task| task.charge.charged), Some(Charged::Pending));
    // The gateway goes on with what is left, and so does the open task.
    let (books, _) = desk.open(true);
    assert_eq!(books.balance(&desk.account), Some(Amount(before.balance.0 - 800)));
    lives::see(&books, old[0].record.id, lives::told(TaskState::Succeeded));
    call(&desk, &books, RequestId::new(Timestamp(NOW.0 + 1), 9), Some(50));
    assert_eq!(books.balance(&desk.account), Some(Amount(before.balance.0 - 800 - 50)));
    assert!(books.audit().unwrap().ok);
    books.close();
    pass(&desk, &Retention::default(), NOW);
    assert_eq!(pass(&desk, &Retention::default(), NOW), 7, "nothing more is old");
}

#[test]
fn a_store_that_slept_for_a_year_loses_what_is_old_and_keeps_its_balance() {
    let desk = old_store();
    let (books, _) = desk.open(true);
    lives::see(&books, at(700 * 6), lives::told(TaskState::Failed));
    books.close();
    let before = desk.store().account(&desk.account).unwrap();
    let terms = Retention { usage: Retention::LEAST, ..Retention::default() };
    for days in [4, 88, 120, 400, 4_000] {
        pass(&desk, &terms, Timestamp(NOW.0 + days * DAY));
        assert_eq!(desk.store().account(&desk.account).unwrap(), before, "{days} days later");
    }
    for table in ["calls", "tasks", "requests", "keyed", "usage", "totals"] {
        assert_eq!(rows(&desk, table), 0, "{table}");
    }
    assert_eq!((rows(&desk, "ledger"), rows(&desk, "carried")), (1, 1), "the credit, and the sum of all charges");
}

#[test]
fn where_there_is_no_room_the_oldest_calls_go_first_and_those_of_the_last_days_stay() {
    let desk = old_store();
    let before = desk.store().account(&desk.account).unwrap();
    pass(&desk, &Retention::default(), NOW);
    let db = schema::connect(desk.dir.path()).unwrap();
    let taken = retention::used_bytes(&db).unwrap();
    pass(&desk, &Retention { bytes: taken, ..Retention::default() }, NOW);
    assert_eq!(rows(&desk, "calls"), 362, "there is room");
    pass(&desk, &Retention { bytes: taken - 1, ..Retention::default() }, NOW);
    let some = rows(&desk, "calls");
    assert!((20..362).contains(&some), "{some} calls");
    pass(&desk, &Retention { bytes: 0, ..Retention::default() }, NOW);
    assert_eq!(rows(&desk, "calls"), 3 * 4 + 1 + 1, "three days, and the call of the open task");
    assert_eq!(desk.store().account(&desk.account).unwrap(), before);
}

#[test]
fn pages_that_are_free_go_back_to_the_disk_but_for_a_few() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    for n in 0..1_500 {
        let hold = books.accept(RequestId::new(Timestamp(NOW.0 - 100 * DAY + n), 7), Route::ChatCompletions).unwrap();
        let mut ended = record(&hold, None);
        // Longer than any record is: a database of some size from few rows.
        ended.error_text = Some("x".repeat(6_000));
        books.seal(hold, ended);
    }
    books.close();
    let size = || {
        let db = schema::connect(desk.dir.path()).unwrap();
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        std::fs::metadata(desk.dir.path().join("weir.db")).unwrap().len()
    };
    let before = size();
    pass(&desk, &Retention::default(), NOW);
    assert!(before > 8 << 20 && size() < before / 4, "{before} bytes became {}", size());
}

#[test]
fn the_thread_that_writes_erases_what_is_old() {
    struct Later(std::sync::atomic::AtomicI64);
    impl weir_core::Clock for Later {
        fn now(&self) -> Timestamp {
            // Every look is a second later.
            Timestamp(self.0.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed))
        }
    }
    let desk = old_store();
    let clock = std::sync::Arc::new(Later(NOW.0.into()));
    let settings = BooksSettings { slots: 64, inline: false };
    let (books, _) = Books::open(desk.store(), &settings, clock).unwrap();
    books.retain(Retention::default());
    while rows(&desk, "calls") > 362 {
        std::thread::yield_now();
    }
    books.close();
    audited(&desk.store(), "after");
}

#[test]
fn a_charge_is_erased_only_after_its_call_and_never_without_being_carried() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    call(&desk, &books, at(0), Some(40));
    books.close();
    let db = schema::connect(desk.dir.path()).unwrap();
    assert!(db.execute("DELETE FROM ledger", []).is_err());
    assert!(db.execute("DELETE FROM ledger WHERE kind = 'charge'", []).is_err());
    db.execute_batch("DELETE FROM calls; DELETE FROM ledger WHERE kind = 'charge'").unwrap();
    assert_eq!(db.query_row("SELECT settled, lines FROM carried", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap(), (40, 1));
    assert!(db.execute("DELETE FROM ledger WHERE kind = 'credit'", []).is_err());
    // Carried twice, or not at all, is seen.
    for change in ["UPDATE carried SET settled = settled + 1", "DELETE FROM carried"] {
        let view = db.unchecked_transaction().unwrap();
        view.execute_batch(change).unwrap();
        view.commit().unwrap();
        assert!(!desk.store().audit().unwrap().laws.iter().find(|law| law.name.starts_with("a_balance_is")).unwrap().ok, "{change}");
    }
}

/// Queries of a running gateway and what retention asks, with the most that each may read: rows that it gives, or what is open.
#[test]
fn no_query_of_a_running_gateway_reads_more_in_an_older_store() {
    let desk = old_store();
    let db = schema::connect(desk.dir.path()).unwrap();
    let with_calls = retention::OF_CALL;
    let queries = [
        usage::OF_KEY,
        usage::OF_HOLDER,
        usage::NEWEST,
        usage::NEWEST_OF_KEY,
        joined::KEYED,
        joined::CALL_OF,
        joined::REQUESTS_OF,
        tasks::ALL_OPEN,
        tasks::TAKEN,
        tasks::read::OPEN,
        tasks::read::DUE,
        tasks::read::NEXT_DUE,
        tasks::read::LOST_ON,
        tasks::change::EQUAL,
        retention::OLD_CALLS,
        retention::OLD_TASKS,
        retention::OLD_REQUESTS,
        retention::OLD_USAGE,
        retention::OLD_TOTALS,
        retention::OLD_KEYED,
    ];
    for query in queries.into_iter().chain(with_calls) {
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let count = plan.parameter_count();
        let steps: Vec<String> =
            plan.query_map(rusqlite::params_from_iter(vec![0; count]), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        for step in &steps {
            // The index of open tasks has no row of one that ended.
            let is_bounded = !step.starts_with("SCAN") || step.contains("INDEX tasks_open");
            let sorts_open = !step.contains("TEMP B-TREE") || steps.iter().any(|step| step.contains("tasks_open"));
            assert!(is_bounded && sorts_open, "{query}: {steps:?}");
        }
    }
}
