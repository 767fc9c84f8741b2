//! Tasks in the store: a hold that outlives its process, one charge whichever row is written first, and an end that nothing undoes.

use proptest::prelude::*;
use rusqlite::Connection;
use weir_core::{
    Amount, CallRecord, Charged, Price, RequestId, Route, TaskRecord, TaskShape, TaskState, TaskTerms, Timestamp,
    task::{Look, Oddities, TaskAsk, Told, looked},
};

use super::{CREDIT, Desk, NOW, id, record};
use crate::{Books, Earlier, Hold, Keyed, NotMade, TaskFilter};

const HELD: i64 = 800;

pub(super) fn task(desk: &Desk, call: RequestId) -> TaskRecord {
    TaskRecord {
        call,
        kid: desk.kid.clone(),
        account: desk.account.clone(),
        shape: TaskShape::Videos,
        adapter: "openai_videos".to_owned(),
        channel: "up/main".to_owned(),
        model: "m".to_owned(),
        ask: TaskAsk { seconds: Some(8), count: 1, size: None },
        state: TaskState::Submitted,
        upstream_id: None,
        submitted: NOW,
        deadline: Timestamp(NOW.0 + 86_400_000),
        finished: None,
        next_look: Timestamp(NOW.0 + 60_000),
        looks: 0,
        looked: None,
        progress: 0,
        price: Price { second: 100, ..Price::default() },
        charge: TaskRecord::held(Amount(HELD)),
        fault: None,
        oddities: Oddities::default(),
        duplicate_of: None,
        removed: false,
        made_of: None,
    }
}

fn submit(desk: &Desk, books: &Books, n: u64) -> TaskRecord {
    books.submit_task(&desk.principal(books), task(desk, id(n)), &n.to_be_bytes(), None, Earlier::Ignored).unwrap()
}

pub(super) fn told(state: TaskState) -> Look {
    Look::Told(Told { state, progress: None, seconds: None, images: None, same_model: true, fault: None })
}

pub(super) fn see(books: &Books, call: RequestId, look: Look) -> TaskRecord {
    let terms = TaskTerms::default();
    books.change_task(call, NOW, |task| looked(task, look, NOW, &terms, 0)).unwrap().unwrap()
}

pub(super) fn sent(hold: &Hold, task: &TaskRecord) -> CallRecord {
    CallRecord { route: Route::Videos, charge: task.charge, kid: Some(task.kid.clone()), ..record(hold, None) }
}

fn free(desk: &Desk, books: &Books) -> i64 {
    books.balance(&desk.account).unwrap().0
}

fn audited(books: &Books) {
    let report = books.audit().unwrap();
    assert!(report.ok, "{:?}", report.laws.iter().filter(|law| !law.ok).collect::<Vec<_>>());
}

#[test]
fn what_a_task_holds_is_held_again_after_a_crash_and_its_lost_submission_is_looked_up() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    submit(&desk, &books, 1);
    let known = submit(&desk, &books, 2);
    books.change_task(known.call, NOW, |task| TaskRecord { upstream_id: Some("video_2".to_owned()), ..task.clone() }).unwrap();
    assert_eq!(free(&desk, &books), CREDIT.0 - 2 * HELD);
    drop(books);
    let (books, _) = desk.open(true);
    assert_eq!(free(&desk, &books), CREDIT.0 - 2 * HELD);
    let (due, next) = books.due_tasks(NOW, 10).unwrap();
    assert_eq!((due.len(), due[0].state, next), (1, TaskState::Unconfirmed, Some(known.next_look)));
    see(&books, known.call, told(TaskState::Failed));
    assert_eq!(free(&desk, &books), CREDIT.0 - HELD);
    audited(&books);
}

#[test]
fn a_task_is_charged_once_whether_it_ends_before_its_call_is_sealed_or_after() {
    for sealed_first in [true, false] {
        let desk = Desk::new();
        let (books, _) = desk.open(true);
        let hold = books.accept(id(1), Route::Videos).unwrap();
        let made = submit(&desk, &books, 1);
        let record = sent(&hold, &made);
        if sealed_first {
            books.seal(hold, record);
            assert_eq!(books.call(made.call).unwrap().unwrap().record.charge.charged, Charged::Pending);
            see(&books, made.call, told(TaskState::Succeeded));
        } else {
            see(&books, made.call, told(TaskState::Succeeded));
            books.seal(hold, record);
        }
        let call = books.call(made.call).unwrap().unwrap();
        assert_eq!((call.record.charge.charged, call.record.charge.amount, call.ledger.len()), (Charged::Yes, Amount(HELD), 1));
        assert_eq!(call.task.map(|task| task.state), Some(TaskState::Succeeded));
        let used = books.used(&crate::Holder::Key(&desk.kid), Timestamp(NOW.0 - 900_000)).unwrap();
        assert_eq!((used.requests, used.amount, free(&desk, &books)), (1, Amount(HELD), CREDIT.0 - HELD));
        audited(&books);
    }
}

#[test]
fn a_call_that_a_crash_cut_is_charged_as_its_task_says() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let hold = books.accept(id(1), Route::Videos).unwrap();
    let made = submit(&desk, &books, 1);
    drop((hold, books));
    let (books, _) = desk.open(true);
    let call = books.call(made.call).unwrap().unwrap().record;
    assert_eq!((call.charge.charged, call.kid.as_ref(), call.account.as_ref()), (Charged::Pending, Some(&desk.kid), Some(&desk.account)));
    see(&books, made.call, told(TaskState::Succeeded));
    assert_eq!(books.call(made.call).unwrap().unwrap().record.charge.charged, Charged::Yes);
    audited(&books);
}

#[test]
fn one_job_of_an_upstream_is_never_two_tasks() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let name = |task: &TaskRecord| TaskRecord { upstream_id: Some("video_7".to_owned()), state: TaskState::Running, ..task.clone() };
    let (first, second) = (submit(&desk, &books, 1), submit(&desk, &books, 2));
    assert_eq!(books.change_task(first.call, NOW, name).unwrap().unwrap().state, TaskState::Running);
    let second = books.change_task(second.call, NOW, name).unwrap().unwrap();
    assert_eq!((second.state, second.upstream_id), (TaskState::Unconfirmed, None));
    audited(&books);
}

#[test]
fn an_equal_submission_is_found_by_a_digest_for_the_same_key_and_time_only() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let by = desk.principal(&books);
    let prompt = br#"{"prompt":"the violet lantern hums"}"#;
    let since = Timestamp(NOW.0 - 1_000);
    let first = books.submit_task(&by, task(&desk, id(1)), prompt, None, Earlier::Named(since)).unwrap();
    let second = books.submit_task(&by, task(&desk, id(2)), prompt, None, Earlier::Named(since)).unwrap();
    assert_eq!((first.duplicate_of, second.duplicate_of), (None, Some(first.call)));
    let free_before = free(&desk, &books);
    let refused = books.submit_task(&by, task(&desk, id(3)), prompt, None, Earlier::Instead(since)).unwrap_err();
    assert!(matches!(refused, NotMade::Earlier(task) if task.call == second.call));
    assert_eq!(free(&desk, &books), free_before);
    let other = books.submit_task(&by, task(&desk, id(4)), b"another", None, Earlier::Named(since)).unwrap();
    let later = books.submit_task(&by, task(&desk, id(5)), prompt, None, Earlier::Named(Timestamp(NOW.0 + 60_000))).unwrap();
    assert_eq!((other.duplicate_of, later.duplicate_of), (None, None));
    books.close();
    let mut left = Vec::new();
    for file in std::fs::read_dir(desk.dir.path()).unwrap() {
        left.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    assert!(!left.windows(14).any(|bytes| bytes == b"violet lantern"), "a prompt is nowhere");
}

#[test]
fn the_key_of_a_submission_is_known_from_its_row_on_and_one_that_was_refused_is_no_earlier_one() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let by = desk.principal(&books);
    let keyed = Keyed { key: [7; 16], request: [9; 16] };
    let made = books.submit_task(&by, task(&desk, id(1)), b"a lantern", Some(&keyed), Earlier::Ignored).unwrap();
    // The process dies before its upstream was asked.
    drop(books);
    let (books, _) = desk.open(true);
    assert_eq!(books.keyed_call(&desk.kid, &keyed.key, Timestamp(0)).unwrap(), Some((made.call, keyed.request)));
    let repeated = |books: &Books| books.submitted(&desk.kid, TaskShape::Videos, b"a lantern", Timestamp(NOW.0 - 1_000)).unwrap();
    assert_eq!(repeated(&books).map(|task| task.call), Some(made.call));
    // Nor does whoever asks without having looked make a second one.
    let twice = books.submit_task(&desk.principal(&books), task(&desk, id(2)), b"a lantern", Some(&keyed), Earlier::Ignored);
    assert!(matches!(twice, Err(NotMade::Earlier(task)) if task.call == made.call));
    books
        .change_task(made.call, NOW, |task| {
            let mut task = task.clone();
            task.refuse("busy".to_owned(), NOW);
            task
        })
        .unwrap();
    assert_eq!(repeated(&books), None);
    let since = Timestamp(NOW.0 - 1_000);
    let next = books.submit_task(&by, task(&desk, id(2)), b"a lantern", Some(&keyed), Earlier::Instead(since)).unwrap();
    assert_eq!(books.keyed_call(&desk.kid, &keyed.key, Timestamp(0)).unwrap(), Some((next.call, keyed.request)));
    audited(&books);
}

#[test]
fn a_balance_that_does_not_cover_it_makes_no_task() {
    let desk = Desk::new();
    let (books, _) = desk.open(true);
    let dear = TaskRecord { charge: TaskRecord::held(Amount(CREDIT.0 + 1)), ..task(&desk, id(1)) };
    assert!(matches!(books.submit_task(&desk.principal(&books), dear, b"", None, Earlier::Ignored), Err(NotMade::Spent(_))));
    assert_eq!((books.store().tasks(&TaskFilter::default()).unwrap(), free(&desk, &books)), (vec![], CREDIT.0));
}

#[test]
fn the_audit_names_what_is_wrong_with_a_task() {
    for (change, law) in [
        ("UPDATE tasks SET charged = 'yes', facts = json_set(facts, '$.charge.charged', 'yes')", "every_charged_task_has_its_one_charge"),
        ("UPDATE tasks SET state = 'failed', facts = json_set(facts, '$.state', 'failed')", "only_open_tasks_hold_something"),
        ("UPDATE tasks SET held = held - 1", "a_task_is_what_its_record_says"),
        ("DELETE FROM tasks", "nothing_that_ended_is_pending"),
    ] {
        let desk = Desk::new();
        let (books, _) = desk.open(true);
        let hold = books.accept(id(1), Route::Videos).unwrap();
        let made = submit(&desk, &books, 1);
        let record = sent(&hold, &made);
        books.seal(hold, record);
        audited(&books);
        books.close();
        Connection::open(desk.dir.path().join("weir.db")).unwrap().execute_batch(change).unwrap();
        let report = desk.store().audit().unwrap();
        assert!(report.laws.iter().any(|broken| !broken.ok && broken.name == law), "{change}: {report:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Submit,
    Seal,
    Look(TaskState),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let states = [TaskState::Submitted, TaskState::Running, TaskState::Succeeded, TaskState::Failed, TaskState::Cancelled];
    prop_oneof![
        3 => Just(Step::Submit),
        3 => Just(Step::Seal),
        4 => proptest::sample::select(states.to_vec()).prop_map(Step::Look),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_each_task_has_at_most_one_charge(steps in proptest::collection::vec((step(), 0usize..6), 0..24)) {
        let desk = Desk::new();
        let (mut books, _) = desk.open(true);
        let mut holds: Vec<(Hold, CallRecord)> = Vec::new();
        let mut calls = Vec::new();
        for (n, (step, which)) in (1..).zip(steps) {
            match step {
                Step::Submit => {
                    let hold = books.accept(id(n), Route::Videos).unwrap();
                    let made = submit(&desk, &books, n);
                    calls.push(made.call);
                    let record = sent(&hold, &made);
                    holds.push((hold, record));
                }
                Step::Seal if !holds.is_empty() => {
                    let (hold, record) = holds.swap_remove(which % holds.len());
                    books.seal(hold, record);
                }
                Step::Look(state) if !calls.is_empty() => {
                    let before = books.store().task(calls[which % calls.len()]).unwrap().unwrap();
                    let after = see(&books, before.call, told(state));
                    if !before.state.is_open() {
                        prop_assert_eq!((after.state, after.charge), (before.state, before.charge));
                    }
                }
                Step::Crash => {
                    holds.clear();
                    drop(books);
                    books = desk.open(true).0;
                }
                Step::Seal | Step::Look(_) => {}
            }
            let tasks = books.store().tasks(&TaskFilter { limit: 100, ..TaskFilter::default() }).unwrap();
            let cost = |task: &TaskRecord| if task.state.is_open() { HELD } else { task.charge.amount.0 };
            prop_assert_eq!(free(&desk, &books), CREDIT.0 - tasks.iter().map(cost).sum::<i64>());
        }
        for (hold, record) in holds {
            books.seal(hold, record);
        }
        let report = books.audit().unwrap();
        prop_assert!(report.ok, "{:?}", report.laws.iter().filter(|law| !law.ok).collect::<Vec<_>>());
    }
}
