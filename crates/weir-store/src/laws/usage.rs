//! What was used is what the calls say: whatever the groups, the kills and the zones.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;
use weir_core::{Amount, CallRecord, Charged, KeyId, LimitFacts, LimitKind, LimitScope, RequestId, Route, Timestamp};

use super::{Desk, NOW, block_on, dice, id, open, record};
use crate::{Books, CallFilter, CallerUsage, Hold, Holder, KeyState, NewChild, NewKey, Store, Used, schema, usage};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// One call of a random life.
#[derive(Debug, Clone)]
struct Made {
    key: usize,
    at: i64,
    queued: Option<u32>,
    caller: Option<u8>,
    charge: Option<i64>,
    early: Option<u32>,
    grouped: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let charge = proptest::option::of(prop_oneof![0..1_000_i64, Just(i64::MAX / 2)]);
    let early = proptest::option::of(0..3_u32);
    (0..3_usize, 0..2 * DAY, proptest::option::of(0..5_000_000_u32), proptest::option::of(0..4_u8), charge, early, any::<bool>())
        .prop_map(|(key, at, queued, caller, charge, early, grouped)| Made { key, at, queued, caller, charge, early, grouped })
}

/// What happens after a call was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Flush,
    Die,
    /// The process dies between the commit and the freeing of the slots.
    Replay,
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![6 => Just(Then::Nothing), 2 => Just(Then::Flush), 1 => Just(Then::Die), 1 => Just(Then::Replay)]
}

/// A desk with its key and two split from it.
fn family() -> (Desk, Vec<KeyId>) {
    let desk = Desk::new();
    let children = ["a", "b"].map(|label| NewChild { label: label.to_owned(), ..NewChild::default() });
    let mut seed = 40;
    let mut dice = || {
        seed += 1;
        dice(seed)
    };
    let made = desk.store().split_key(&desk.kid, &children, &mut dice, NOW).unwrap();
    let kids = std::iter::once(desk.kid.clone()).chain(made.into_iter().map(|(_, kid)| kid)).collect();
    (desk, kids)
}

fn seal(books: &Books, desk: &Desk, kids: &[KeyId], n: usize, made: &Made) {
    let at = Timestamp(NOW.0 + made.at);
    let hold = books.accept(RequestId::new(at, n as u128), Route::ChatCompletions).unwrap();
    if made.charge.is_some() {
        let _ = block_on(books.reserve(&hold, &desk.principal(books), "m", true, Amount::ZERO)).unwrap();
    }
    let ended = sealed_as(&hold, kids, made);
    books.seal(hold, ended);
}

fn sealed_as(hold: &Hold, kids: &[KeyId], made: &Made) -> CallRecord {
    let mut ended = record(hold, made.charge);
    ended.kid = Some(kids[made.key].clone());
    ended.group = made.grouped.then(|| "vip".to_owned());
    ended.timing.queued = made.queued;
    ended.client.caller = made.caller.map(|caller| format!("c{caller}"));
    ended.client.name = (made.key == 1).then(|| "sdk".to_owned());
    ended.limit =
        made.early.map(|early| LimitFacts { scope: LimitScope::Key, kind: LimitKind::DailyRequests, limit: 1, reset_at: None, early });
    ended
}

/// What the records say, counted in the plainest way.
fn said(calls: &[CallRecord], since: Timestamp, of: impl Fn(&CallRecord) -> bool) -> Used {
    let mut used = Used::default();
    for call in calls.iter().filter(|call| of(call) && call.charge.charged == Charged::Yes) {
        if call.at.0 + i64::from(call.timing.queued.unwrap_or(0)) >= since.0 {
            used.requests += 1;
            used.tokens += call.charge.usage.input + call.charge.usage.output;
            used.amount = Amount(used.amount.0.saturating_add(call.charge.amount.0));
        }
    }
    used
}

fn assert_agrees(store: &Store, desk: &Desk, kids: &[KeyId]) {
    let calls: Vec<CallRecord> = store
        .calls(&CallFilter { limit: CallFilter::MAX_LIMIT, ..CallFilter::default() })
        .unwrap()
        .into_iter()
        .map(|call| call.record)
        .collect();
    for since in [0, 7, 60, 100, 200].map(|quarter| Timestamp(NOW.0 + quarter * 15 * MINUTE)) {
        let used = |holder| store.used(&holder, since).unwrap();
        assert_eq!(used(Holder::Key(&kids[0])), said(&calls, since, |call| call.kid.is_some()), "the family");
        assert_eq!(used(Holder::Key(&kids[1])), said(&calls, since, |call| call.kid.as_ref() == Some(&kids[1])));
        assert_eq!(used(Holder::Account(&desk.account)), said(&calls, since, |call| call.account.as_ref() == Some(&desk.account)));
        assert_eq!(used(Holder::Group("vip")), said(&calls, since, |call| call.group.as_deref() == Some("vip")));
        for kid in kids {
            let own =
                |call: &&CallRecord| call.kid.as_ref() == Some(kid) && call.at.0 + i64::from(call.timing.queued.unwrap_or(0)) >= since.0;
            let mut callers: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
            for call in calls.iter().filter(own) {
                let charged = u64::from(call.charge.charged == Charged::Yes);
                let [refused, early] = [call.limit.is_some(), call.limit.as_ref().is_some_and(|limit| limit.early > 0)].map(u64::from);
                if charged + refused > 0 {
                    let name = call.client.caller.as_deref().or(call.client.name.as_deref()).unwrap_or("-");
                    let sum = callers.entry(name).or_default();
                    *sum = (sum.0 + charged, sum.1 + refused, sum.2 + early);
                }
            }
            let found = store.usage_of(kid, since).unwrap();
            assert!(found.is_sorted_by(|a, b| a.requests >= b.requests));
            let found: BTreeMap<&str, _> = found.iter().map(|of| (of.caller.as_str(), (of.requests, of.refused, of.early))).collect();
            assert_eq!(found, callers);
        }
    }
    let report = store.audit().unwrap();
    let law = report.laws.iter().find(|law| law.name == "what_was_used_is_what_the_calls_say").unwrap();
    assert!(law.ok, "{law:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_was_used_is_what_the_rows_say_whatever_dies(inline: bool, life in proptest::collection::vec((made(), then()), 1..60)) {
        let (desk, kids) = family();
        let holds = desk.dir.path().join("holds");
        let mut books = desk.open(inline).0;
        for (n, (made, then)) in life.iter().enumerate() {
            if *then == Then::Replay {
                prop_assert!(block_on(books.flush()));
                let hold = books.accept(RequestId::new(Timestamp(NOW.0 + made.at), n as u128), Route::ChatCompletions).unwrap();
                if made.charge.is_some() {
                    let _ = block_on(books.reserve(&hold, &desk.principal(&books), "m", true, Amount::ZERO)).unwrap();
                }
                let ended = sealed_as(&hold, &kids, made);
                books.shared_holds().slot(0).end(&ended);
                let before = std::fs::read(&holds).unwrap();
                books.seal(hold, ended);
                prop_assert!(block_on(books.flush()));
                drop(books);
                std::fs::write(&holds, before).unwrap();
                books = desk.open(inline).0;
                continue;
            }
            seal(&books, &desk, &kids, n, made);
            match then {
                Then::Flush => prop_assert!(block_on(books.flush())),
                Then::Die => {
                    drop(books);
                    books = desk.open(inline).0;
                }
                Then::Nothing | Then::Replay => {}
            }
        }
        books.close();
        assert_agrees(&desk.store(), &desk, &kids);
    }
}

#[test]
fn a_civil_day_of_any_zone_is_a_sum_of_quarters() {
    let desk = Desk::new();
    let store = desk.store();
    let mut n = 0;
    for (zone, day, hours) in [
        ("UTC", "2025-11-23", 24),
        ("Asia/Shanghai", "2025-11-23", 24),
        ("Asia/Kolkata", "2025-11-23", 24),
        ("Asia/Kathmandu", "2025-11-23", 24),
        ("Australia/Eucla", "2025-11-23", 24),
        ("America/St_Johns", "2025-11-02", 25),
        ("America/New_York", "2025-03-09", 23),
        ("America/New_York", "2025-11-02", 25),
        ("Europe/Berlin", "2025-03-30", 23),
        ("Pacific/Chatham", "2025-09-28", 23),
        // The clock of this day jumps from midnight to one.
        ("Africa/Cairo", "2025-04-25", 23),
    ] {
        let start = day.parse::<jiff::civil::Date>().unwrap().in_tz(zone).unwrap().start_of_day().unwrap();
        let end = start.tomorrow().unwrap().start_of_day().unwrap();
        let [from, to] = [&start, &end].map(|at| at.timestamp().as_millisecond());
        assert_eq!((to - from) / 3_600_000, hours, "{zone} {day}");
        n += 1;
        let (_, kid) = store.create_key(&NewKey { account: desk.account.clone(), ..NewKey::default() }, &dice(100 + n), NOW).unwrap();
        let (books, _) = desk.open(true);
        for at in [from - 1, from, (from + to) / 2, to - 1, to] {
            let made = Made { key: 0, at: at - NOW.0, queued: None, caller: None, charge: Some(5), early: None, grouped: false };
            seal(&books, &desk, std::slice::from_ref(&kid), usize::from(n), &made);
        }
        let used = |since| books.used(&Holder::Key(&kid), Timestamp(since)).unwrap().requests;
        assert_eq!((used(from), used(to)), (4, 1), "{zone} {day}");
        books.close();
    }
}

#[test]
fn a_half_day_zone_with_half_an_hour_of_summer_begins_its_days_on_a_quarter() {
    let lord_howe = "2025-10-05".parse::<jiff::civil::Date>().unwrap().in_tz("Australia/Lord_Howe").unwrap();
    let (start, end) = (lord_howe.start_of_day().unwrap(), lord_howe.tomorrow().unwrap().start_of_day().unwrap());
    let [from, to] = [start, end].map(|at| at.timestamp().as_millisecond());
    assert_eq!((to - from, from % (15 * MINUTE), to % (15 * MINUTE)), (DAY - 30 * MINUTE, 0, 0));
}

#[test]
fn r37_callers_of_a_shared_key_are_told_apart_and_their_number_is_bounded() {
    let desk = Desk::new();
    let day = |n: i64, callers: std::ops::Range<u32>| {
        // Every group begins with a memory of its own, as after a start.
        let (books, _) = desk.open(true);
        let from = i64::from(callers.start);
        for caller in callers {
            let at = Timestamp(NOW.0 + n * DAY + from * 1_000 + i64::from(caller));
            let hold = books.accept(RequestId::new(at, u128::from(caller)), Route::ChatCompletions).unwrap();
            let _ = block_on(books.reserve(&hold, &desk.principal(&books), "m", true, Amount(1))).unwrap();
            let mut ended = record(&hold, Some(1));
            ended.kid = Some(desk.kid.clone());
            ended.client.caller = Some(format!("team-{caller}"));
            books.seal(hold, ended);
        }
        books.close();
    };
    day(0, 0..50);
    day(0, 40..100);
    let first: Vec<CallerUsage> = desk.store().usage_of(&desk.kid, NOW).unwrap();
    assert_eq!(first.len(), 65);
    assert_eq!((first[0].caller.as_str(), first[0].requests), ("other", 36));
    assert_eq!(first.iter().find(|of| of.caller == "team-45").map(|of| of.requests), Some(2));
    assert_eq!(first.iter().map(|of| of.requests).sum::<u64>(), 110);
    day(1, 90..100);
    let second = desk.store().usage_of(&desk.kid, Timestamp(NOW.0 + DAY)).unwrap();
    assert!(second.len() == 10 && second.iter().all(|of| of.requests == 1 && of.caller != "other"));
}

#[test]
fn r37_a_caller_that_comes_back_early_is_seen_and_what_was_refused_takes_nothing_from_the_day() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    for (n, (charge, early)) in [(Some(4), None), (None, Some(0)), (None, Some(2)), (None, None)].into_iter().enumerate() {
        let made = Made { key: 0, at: n as i64, queued: None, caller: Some(7), charge, early, grouped: true };
        seal(&books, &desk, std::slice::from_ref(&desk.kid), n, &made);
    }
    let callers = books.store().usage_of(&desk.kid, NOW).unwrap();
    assert_eq!(callers, [CallerUsage { caller: "c7".to_owned(), requests: 1, refused: 2, early: 1, tokens: 7, amount: Amount(4) }]);
    assert_eq!(books.used(&Holder::Group("vip"), NOW).unwrap(), Used { requests: 1, tokens: 7, amount: Amount(4) });
}

#[test]
fn what_the_first_release_wrote_is_read_and_counted_from_now_on() {
    let dir = tempfile::tempdir().unwrap();
    schema::make_dir(dir.path()).unwrap();
    let old = schema::connect_at(dir.path(), &schema::MIGRATIONS[..1]).unwrap();
    let hold = {
        let desk = Desk::new();
        let (books, _) = desk.open(true);
        books.accept(id(1), Route::ChatCompletions).unwrap()
    };
    let mut call = record(&hold, Some(8));
    (call.kid, call.account) = (KeyId::new("oldkey12"), Some("acc_old".to_owned()));
    let facts = serde_json::to_string(&call).unwrap();
    let id_bytes = id(1).to_bytes();
    old.execute_batch(
        "INSERT INTO accounts (id, name, created, credits, settled) VALUES ('acc_old', 'old', 0, 0, 8);
         INSERT INTO keys (kid, hash, account, grp, models, sources, created, limits)
         VALUES ('oldkey12', zeroblob(32), 'acc_old', 'vip', '[]', '[]', 0, '{\"rpm\":7}');",
    )
    .unwrap();
    old.execute(
        "INSERT INTO calls (id, at, kid, account, verdict, status, facts) VALUES (?1, ?2, 'oldkey12', 'acc_old', 'W-OK-001', 200, ?3)",
        (&id_bytes[..], NOW.0 + 1, &facts),
    )
    .unwrap();
    old.execute("INSERT INTO ledger (id, kind, account, amount, at) VALUES (?1, 'charge', 'acc_old', 8, 0)", [&id_bytes[..]]).unwrap();
    old.execute("INSERT INTO ledger (id, kind, account, amount, at) VALUES (x'01', 'credit', 'acc_old', 0, 0)", []).unwrap();
    drop(old);
    let (books, _) = open(dir.path(), true);
    let store = books.store();
    let kid = KeyId::new("oldkey12").unwrap();
    let key = store.key(&kid).unwrap().unwrap();
    assert_eq!((key.limits.rpm, key.label, key.parent, key.state), (Some(7), None, None, KeyState::Active));
    assert_eq!(store.account("old").unwrap().unwrap().limits, weir_core::Limits::default());
    assert_eq!(books.used(&Holder::Key(&kid), Timestamp(0)).unwrap(), Used::default());
    assert!(books.recent(Timestamp(0), |_| true).unwrap().is_empty());
    assert_eq!(store.calls(&CallFilter::default()).unwrap()[0].record, call);
    let report = books.audit().unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn what_a_call_waits_for_is_found_by_an_index_and_never_by_reading_a_table() {
    let desk = Desk::new();
    drop(desk.open(true));
    let db = Connection::open(desk.dir.path().join("weir.db")).unwrap();
    for (query, index) in [
        (usage::OF_KEY, "SEARCH usage USING PRIMARY KEY (kid=? AND quarter>?)"),
        (usage::OF_HOLDER, "SEARCH totals USING PRIMARY KEY (kind=? AND holder=? AND quarter>?)"),
        (usage::NEWEST, "SEARCH calls USING INDEX sqlite_autoindex_calls_1 (id>?)"),
        (usage::NEWEST_OF_KEY, "SEARCH calls USING INDEX calls_of_key (kid=? AND id>?)"),
    ] {
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let count = plan.parameter_count();
        let steps: Vec<String> =
            plan.query_map(rusqlite::params_from_iter(vec![0; count]), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert_eq!(steps, [index], "{query}");
    }
}
