//! Reading calls back: running, just ended, recorded; by key, account, time and verdict.

use weir_core::{Amount, Charged, Route, Timestamp, Usage, Verdict};

use super::{Desk, NOW, block_on, id, record};
use crate::{CallFilter, CallState};

#[test]
fn a_running_call_can_be_seen_by_another_process() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let other = desk.store();
    assert_eq!(other.call(id(1)).unwrap(), None);
    let hold = books.accept(id(1), Route::ChatCompletions).unwrap();
    assert_eq!(other.call(id(1)).unwrap().unwrap().record.kid, None);
    let by = desk.principal(&books);
    let _ = block_on(books.reserve(&hold, &by, "gpt-4o-mini", true, Amount(100))).unwrap();
    hold.progress(5, 700, Amount(60), Usage { output: 5, ..Usage::default() });
    let seen = other.call(id(1)).unwrap().unwrap();
    assert_eq!(
        (seen.state, seen.record.verdict, seen.record.charge.charged),
        (CallState::Running, Verdict::ChargePending, Charged::Pending)
    );
    assert_eq!((seen.record.kid.as_ref(), seen.record.model.as_str()), (Some(&by.kid), "gpt-4o-mini"));
    assert_eq!(seen.record.observed.map(|seen| (seen.events, seen.bytes)), Some((5, 700)));
    assert_eq!(other.audit().unwrap().in_flight, 1);
    let ended = record(&hold, Some(60));
    books.seal(hold, ended);
    let seen = other.call(id(1)).unwrap().unwrap();
    assert_eq!((seen.state, seen.ledger.len(), seen.ledger[0].amount), (CallState::Recorded, 1, Amount(60)));
    assert_eq!(seen.ledger[0].id, format!("led_{}", &id(1).to_string()[3..]));
}

#[test]
fn a_call_is_seen_right_after_its_answer() {
    let desk = Desk::new();
    let (books, _) = desk.open(false);
    let other = desk.store();
    for n in 1..=20 {
        let hold = books.accept(id(n), Route::ChatCompletions).unwrap();
        let ended = record(&hold, None);
        books.seal(hold, ended);
        assert_eq!(other.count(&CallFilter::default()).unwrap(), n);
        assert_eq!(other.calls(&CallFilter { limit: 1, ..CallFilter::default() }).unwrap()[0].record.id, id(n));
    }
    books.close();
}

#[test]
fn a_call_that_ended_in_a_dead_gateway_is_shown_from_its_slot() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let hold = books.accept(id(1), Route::ChatCompletions).unwrap();
    books.shared_holds().slot(0).end(&record(&hold, None));
    drop((hold, books));
    let store = desk.store();
    assert_eq!(store.call(id(1)).unwrap().unwrap().state, CallState::Ended);
    assert_eq!(store.calls(&CallFilter::default()).unwrap()[0].state, CallState::Ended);
    assert_eq!(store.count(&CallFilter::default()).unwrap(), 1);
}

#[test]
fn calls_are_found_by_key_account_time_and_verdict_newest_first() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let by = desk.principal(&books);
    for n in 1..=6 {
        let hold = books.accept(id(n), Route::ChatCompletions).unwrap();
        let mut ended = record(&hold, None);
        if n % 2 == 0 {
            let _ = block_on(books.reserve(&hold, &by, "m", false, Amount(1))).unwrap();
            ended = record(&hold, Some(1));
            ended.kid = Some(by.kid.clone());
        }
        books.seal(hold, ended);
    }
    let all = CallFilter::default();
    let ask = |filter: &CallFilter| {
        let found = books.store().calls(filter).unwrap();
        let limit = if filter.limit == 0 { u64::MAX } else { u64::from(filter.limit) };
        assert_eq!(books.store().count(filter).unwrap().min(limit), found.len() as u64);
        found.iter().map(|call| call.record.id.at().0 - NOW.0).collect::<Vec<_>>()
    };
    assert_eq!(ask(&all), [6, 5, 4, 3, 2, 1]);
    assert_eq!(ask(&CallFilter { limit: 2, ..all.clone() }), [6, 5]);
    assert_eq!(ask(&CallFilter { kid: Some(by.kid.clone()), ..all.clone() }), [6, 4, 2]);
    assert_eq!(ask(&CallFilter { account: Some(desk.account.clone()), ..all.clone() }), [6, 4, 2]);
    assert_eq!(ask(&CallFilter { since: Some(Timestamp(NOW.0 + 5)), ..all.clone() }), [6, 5]);
    assert_eq!(ask(&CallFilter { verdict: Some(Verdict::UpstreamError), ..all.clone() }), [5, 3, 1]);
    assert_eq!(ask(&CallFilter { verdict: Some(Verdict::Ok), since: Some(Timestamp(NOW.0 + 3)), ..all }), [6, 4]);
}
