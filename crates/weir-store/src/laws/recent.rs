//! What a start reads back of the last minutes.

use std::collections::HashSet;

use weir_core::{Amount, AttemptRecord, KeyId, RequestId, Route, Timestamp};

use super::{Desk, NOW, block_on, dice, id, record};
use crate::{Books, NewChild, Store};

fn asked(books: &Books, desk: &Desk, kid: &KeyId, n: u64, charge: Option<i64>, queued: Option<u32>) {
    let hold = books.accept(id(n), Route::ChatCompletions).unwrap();
    if charge.is_some() {
        let _ = block_on(books.reserve(&hold, &desk.principal(books), "m", true, Amount::ZERO)).unwrap();
    }
    let mut ended = record(&hold, charge);
    ended.kid = Some(kid.clone());
    ended.timing.queued = queued;
    ended.attempts = vec![AttemptRecord { n: 1, ..AttemptRecord::default() }];
    books.seal(hold, ended);
}

#[test]
fn calls_that_asked_an_upstream_are_found_with_whom_they_count_for() {
    let desk = Desk::new();
    let child = [NewChild { label: "a".to_owned(), ..NewChild::default() }];
    let (_, child) = desk.store().split_key(&desk.kid, &child, &mut || dice(9), NOW).unwrap().remove(0);
    let (books, _) = desk.open(true);
    asked(&books, &desk, &desk.kid, 1, Some(3), None);
    // One that failed upstream took its place in the minute; it used no tokens.
    asked(&books, &desk, &child, 2, None, Some(5));
    asked(&books, &desk, &child, 3, Some(1), None);
    // One that was refused did not.
    let hold = books.accept(id(4), Route::ChatCompletions).unwrap();
    let mut refused = record(&hold, None);
    refused.kid = Some(desk.kid.clone());
    books.seal(hold, refused);
    let found = books.recent(NOW, |_| true).unwrap();
    let seen: Vec<_> = found.iter().map(|call| (call.at.0 - NOW.0, &call.kid, call.parent.as_ref(), call.tokens)).collect();
    assert_eq!(seen, [(1, &desk.kid, None, 7), (3, &child, Some(&desk.kid), 7), (7, &child, Some(&desk.kid), 0)]);
    assert!(found.iter().all(|call| call.account == desk.account && call.group.is_none()));
    assert_eq!(books.recent(Timestamp(NOW.0 + 4), |_| true).unwrap().len(), 1, "it waited until after that");
    let of_child = books.recent(NOW, |principal| principal.parent.is_some()).unwrap();
    assert_eq!(of_child.iter().map(|call| &call.kid).collect::<Vec<_>>(), [&child, &child], "only those that were asked about");
}

#[test]
fn a_call_that_a_crash_cut_is_among_them_if_it_had_reserved() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let accepted = books.accept(id(1), Route::ChatCompletions).unwrap();
    let reserved = books.accept(id(2), Route::ChatCompletions).unwrap();
    let _ = block_on(books.reserve(&reserved, &desk.principal(&books), "m", true, Amount(5))).unwrap();
    drop((accepted, reserved, books));
    let (books, _) = desk.open(true);
    let found = books.recent(NOW, |_| true).unwrap();
    assert_eq!(found.iter().map(|call| (call.at.0 - NOW.0, &call.kid)).collect::<Vec<_>>(), [(2, &desk.kid)]);
}

#[test]
fn no_more_than_the_newest_are_read() {
    let desk = Desk::new();
    let rows = i64::try_from(Store::MAX_RECENT).unwrap() + 10;
    let mut db = rusqlite::Connection::open(desk.dir.path().join("weir.db")).unwrap();
    let change = db.transaction().unwrap();
    for n in 0..rows {
        let at = Timestamp(NOW.0 + n);
        change
            .prepare_cached(
                "INSERT INTO calls (id, at, kid, verdict, status, facts, admitted, tokens) VALUES (?1, ?2, ?3, 'W-OK-001', 200, '', ?2, 1)",
            )
            .unwrap()
            .execute((&RequestId::new(at, 0).to_bytes()[..], at.0, desk.kid.as_str()))
            .unwrap();
    }
    change.commit().unwrap();
    let strangers = (0..100).map(|n| KeyId::new(&format!("stranger{n:03}")).unwrap());
    for of in [HashSet::from([desk.kid.clone()]), strangers.chain([desk.kid.clone()]).collect()] {
        let found = desk.store().recent(NOW, &of).unwrap();
        assert_eq!((found.len(), found[0].at.0 - NOW.0), (Store::MAX_RECENT, 10), "one key, or one among many");
        assert!(found.is_sorted_by_key(|call| call.at));
    }
}
