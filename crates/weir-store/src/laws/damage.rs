//! The audit finds every kind of damage, and names it; what a constraint can refuse is refused.

use rusqlite::Connection;
use weir_core::{Amount, Route};

use super::{Desk, block_on, id, record};
use crate::Store;

/// A store with two charged calls and one that was not, and a raw hand in its database.
fn damaged_by(change: &str) -> (Desk, rusqlite::Result<()>) {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    for n in 1..=3 {
        let hold = books.accept(id(n), Route::ChatCompletions).unwrap();
        let _ = block_on(books.reserve(&hold, &desk.principal(&books), "m", true, Amount(100))).unwrap();
        let mut ended = record(&hold, (n < 3).then_some(40));
        ended.kid = Some(desk.kid.clone());
        books.seal(hold, ended);
    }
    books.close();
    assert!(desk.store().audit().unwrap().ok);
    let db = Connection::open(desk.dir.path().join("weir.db")).unwrap();
    let done = db.execute_batch(change);
    (desk, done)
}

fn broken(store: &Store) -> Vec<&'static str> {
    store.audit().unwrap().laws.into_iter().filter(|law| !law.ok).map(|law| law.name).collect()
}

const OPEN: &str = "DROP TRIGGER ledger_is_not_changed; DROP TRIGGER ledger_is_not_erased; DROP TRIGGER a_charge_is_carried;";

#[test]
fn each_kind_of_damage_breaks_the_law_that_names_it() {
    let first = "(SELECT min(id) FROM ledger WHERE kind = 'charge')";
    let unpaid = "(SELECT max(id) FROM calls)";
    for (change, laws) in [
        (
            format!("UPDATE ledger SET amount = 39 WHERE id = {first}"),
            vec!["a_balance_is_its_credits_minus_its_charges", "a_charge_is_what_its_record_says"],
        ),
        (format!("DELETE FROM calls WHERE id = {first}"), vec!["what_was_used_is_what_the_calls_say", "every_charge_has_its_call"]),
        ("UPDATE usage SET refused = 1".to_owned(), vec!["what_was_used_is_what_the_calls_say"]),
        ("UPDATE totals SET amount = amount + 1".to_owned(), vec!["what_was_used_is_what_the_calls_say"]),
        ("DELETE FROM usage".to_owned(), vec!["what_was_used_is_what_the_calls_say"]),
        (
            format!("DELETE FROM ledger WHERE id = {first}"),
            vec!["a_balance_is_its_credits_minus_its_charges", "every_charged_call_has_its_charge"],
        ),
        (
            format!("INSERT INTO requests SELECT randomblob(16), {first}, 'somebody', 0, 'key', 200, 1"),
            vec!["every_joined_request_names_a_call_of_its_key"],
        ),
        (
            "INSERT INTO requests SELECT randomblob(16), randomblob(16), min(kid), 0, 'key', 200, 1 FROM keys".to_owned(),
            vec!["every_joined_request_names_a_call_of_its_key"],
        ),
        (
            format!("INSERT INTO keyed SELECT kid, zeroblob(16), zeroblob(16), {unpaid}, 0 FROM keys"),
            vec!["every_charged_idempotency_key_names_its_call"],
        ),
        ("UPDATE accounts SET settled = settled + 1".to_owned(), vec!["a_balance_is_its_credits_minus_its_charges"]),
        ("UPDATE accounts SET credits = credits + 1".to_owned(), vec!["a_balance_is_its_credits_minus_its_charges"]),
        (
            format!("INSERT INTO ledger (id, kind, account, amount, at) SELECT {unpaid}, 'charge', id, 0, 0 FROM accounts"),
            vec!["a_charge_is_what_its_record_says"],
        ),
        (
            "INSERT INTO ledger (id, kind, account, amount, at) VALUES (randomblob(16), 'credit', 'acc_nobody', 5, 0)".to_owned(),
            vec!["a_balance_is_its_credits_minus_its_charges"],
        ),
        (
            format!("UPDATE calls SET facts = json_set(facts, '$.charge.charged', 'pending') WHERE id = {unpaid}"),
            vec!["nothing_that_ended_is_pending"],
        ),
        (format!("UPDATE calls SET status = 418 WHERE id = {unpaid}"), vec!["a_row_is_what_its_record_says"]),
    ] {
        let (desk, done) = damaged_by(&format!("{OPEN} {change}"));
        done.unwrap();
        assert_eq!(broken(&desk.store()), laws, "{change}");
    }
}

#[test]
fn a_second_charge_of_a_call_cannot_even_be_written() {
    let (desk, done) = damaged_by(
        "INSERT INTO ledger (id, kind, account, amount, at) SELECT id, kind, account, amount, at FROM ledger WHERE kind = 'charge' LIMIT 1",
    );
    assert!(done.is_err());
    assert_eq!(broken(&desk.store()), [""; 0]);
}

#[test]
fn a_ledger_line_is_never_changed_or_erased() {
    for change in ["UPDATE ledger SET amount = 1", "DELETE FROM ledger"] {
        let (desk, done) = damaged_by(change);
        assert!(done.is_err());
        assert_eq!(broken(&desk.store()), [""; 0]);
    }
}

#[test]
fn a_slot_that_cannot_be_read_is_counted_and_does_not_stop_the_start() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    drop(books.accept(id(1), Route::ChatCompletions).unwrap());
    drop(books.accept(id(2), Route::ChatCompletions).unwrap());
    drop(books);
    let holds = desk.dir.path().join("holds");
    let mut bytes = std::fs::read(&holds).unwrap();
    bytes[4096] = 0xEE;
    std::fs::write(&holds, bytes).unwrap();
    assert_eq!(broken(&desk.store()), ["every_slot_can_be_read"]);
    let (books, recovery) = desk.open(true);
    assert_eq!((recovery.damaged, recovery.released), (1, 1));
    assert!(books.audit().unwrap().ok);
}
