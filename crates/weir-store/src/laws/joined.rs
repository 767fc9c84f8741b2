//! Requests of one call and its idempotency key: kept with its charge, known after a crash, opened by any id.

use weir_core::{How, RequestId, Route, Timestamp};

use super::{Desk, NOW, block_on, id, record};
use crate::{Books, Hold, JoinedRequest, Keyed};

const KEYED: Keyed = Keyed { key: [7; 16], request: [9; 16] };
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn request(desk: &Desk, n: u64, call: RequestId) -> JoinedRequest {
    JoinedRequest { id: id(n), call, kid: desk.kid.clone(), at: NOW, how: How::Key, status: 0, events: 0 }
}

fn keyed(desk: &Desk, books: &Books, n: u64) -> Hold {
    let hold = books.accept(id(n), Route::ChatCompletions).unwrap();
    hold.keyed(KEYED);
    drop(block_on(books.reserve(&hold, &desk.principal(books), "m", true, weir_core::Amount(100))).unwrap());
    hold
}

fn known(desk: &Desk, books: &Books) -> Option<RequestId> {
    let found = books.keyed_call(&desk.kid, &KEYED.key, Timestamp(NOW.0 - DAY_MS)).unwrap();
    assert!(found.is_none_or(|(_, request)| request == KEYED.request));
    found.map(|(call, _)| call)
}

#[test]
fn d3_a_key_is_known_with_its_charge_and_not_without_one() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    for (n, charge) in [(1, None), (2, Some(40)), (3, None)] {
        let hold = keyed(&desk, &books, n);
        let mut ended = record(&hold, charge);
        ended.kid = Some(desk.kid.clone());
        books.seal(hold, ended);
        assert_eq!(known(&desk, &books), (n > 1).then_some(id(2)));
    }
    assert_eq!(books.keyed_call(&desk.kid, &[8; 16], Timestamp(0)).unwrap(), None);
    assert_eq!(books.keyed_call(&desk.kid, &KEYED.key, Timestamp(NOW.0 + DAY_MS)).unwrap(), None);
    assert!(books.audit().unwrap().ok);
}

#[test]
fn d3_a_crash_between_any_two_steps_keeps_the_key_of_what_it_charges_and_of_nothing_else() {
    for step in 0..4 {
        let desk = Desk::new();
        let (books, _) = desk.open(true);
        let hold = books.accept(id(1), Route::ChatCompletions).unwrap();
        if step > 0 {
            hold.keyed(KEYED);
            drop(block_on(books.reserve(&hold, &desk.principal(&books), "a/model", true, weir_core::Amount(100))).unwrap());
        }
        if step > 1 {
            hold.progress(3, 90, weir_core::Amount(12), weir_core::Usage { output: 3, ..weir_core::Usage::default() });
        }
        if step > 2 {
            books.join(books.accept(id(2), Route::ChatCompletions).unwrap(), request(&desk, 2, id(1)));
        }
        // The process dies; the hold is never sealed.
        drop((hold, books));
        let (books, _) = desk.open(true);
        assert_eq!(known(&desk, &books), (step > 1).then_some(id(1)), "after step {step}");
        let report = books.audit().unwrap();
        assert!(report.ok, "{report:?}");
    }
}

#[test]
fn d3_every_id_of_a_call_opens_it_and_a_joined_request_is_no_call() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let hold = keyed(&desk, &books, 1);
    let second = books.accept(id(2), Route::ChatCompletions).unwrap();
    books.join(second, request(&desk, 2, id(1)));
    assert_eq!(books.in_flight(), 1);
    assert!(books.audit().unwrap().ok, "its call runs");
    let running = books.call(id(2)).unwrap().unwrap();
    assert_eq!((running.record.id, running.requests.len()), (id(1), 1));
    let mut ended = record(&hold, Some(40));
    ended.kid = Some(desk.kid.clone());
    books.seal(hold, ended);
    books.joined(JoinedRequest { status: 200, events: 9, ..request(&desk, 2, id(1)) });
    let call = books.call(id(2)).unwrap().unwrap();
    assert_eq!((call.record.id, call.requests[0].status, call.requests[0].events), (id(1), 200, 9));
    assert_eq!(books.store().calls(&crate::CallFilter::default()).unwrap().len(), 1);
    assert!(books.audit().unwrap().ok);
}

#[test]
fn a_digest_tells_where_its_parts_end() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    assert_eq!(books.digest(&[b"ab", b"c"]), books.digest(&[b"ab", b"c"]));
    assert_ne!(books.digest(&[b"ab", b"c"]), books.digest(&[b"a", b"bc"]));
    let other = Desk::new();
    assert_ne!(books.digest(&[b"ab"]), other.open(true).0.digest(&[b"ab"]), "without the pepper nothing is found");
}
