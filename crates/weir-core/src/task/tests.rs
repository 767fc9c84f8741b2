//! Laws of tasks: an end is final, a charge is made once, and nothing but a proof or the deadline gives it back.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Amount, Charged, KeyId, Price, RequestId, Timestamp, Usage, Verdict};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const TERMS: TaskTerms = TaskTerms {
    first_look: Duration::from_secs(2),
    last_look: Duration::from_secs(30),
    deadline: Duration::from_secs(86_400),
    unconfirmed: Duration::from_secs(3_600),
    at_deadline: AtDeadline::Release,
};

fn task(n: u128, kid: &str) -> TaskRecord {
    TaskRecord {
        call: RequestId::new(NOW, n),
        kid: KeyId::new(kid).unwrap(),
        account: "acc_1".to_owned(),
        shape: TaskShape::Videos,
        adapter: "openai_videos".to_owned(),
        channel: "up/main".to_owned(),
        model: "m".to_owned(),
        ask: TaskAsk { seconds: Some(8), count: 1, size: Some("1280x720".to_owned()) },
        state: TaskState::Running,
        upstream_id: Some("video_9".to_owned()),
        submitted: NOW,
        deadline: NOW.after(TERMS.deadline),
        finished: None,
        next_look: NOW,
        looks: 0,
        looked: None,
        progress: 0,
        price: Price { second: 10, image: 7, ..Price::default() },
        charge: TaskRecord::held(Amount(87)),
        fault: None,
        oddities: Oddities::default(),
        duplicate_of: None,
        removed: false,
        made_of: None,
    }
}

fn one() -> TaskRecord {
    task(1, "0k3m9qtp")
}

fn told(state: TaskState) -> Told {
    Told { state, progress: None, seconds: None, images: None, same_model: true, fault: None }
}

fn after(task: &TaskRecord, look: Look, seconds: u64) -> TaskRecord {
    looked(task, look, NOW.after(Duration::from_secs(seconds)), &TERMS, 0)
}

#[test]
fn what_an_upstream_says_of_a_running_task() {
    let silent = Look::Silent { until: None };
    let table = [
        (Look::Told(told(TaskState::Running)), TaskState::Running, Charged::Pending, 0),
        (Look::Told(told(TaskState::Submitted)), TaskState::Running, Charged::Pending, 0),
        (Look::Told(told(TaskState::Succeeded)), TaskState::Succeeded, Charged::Yes, 87),
        (Look::Told(Told { seconds: Some(5), ..told(TaskState::Succeeded) }), TaskState::Succeeded, Charged::Yes, 57),
        (Look::Told(Told { seconds: Some(900), ..told(TaskState::Succeeded) }), TaskState::Succeeded, Charged::Yes, 87),
        (Look::Told(told(TaskState::Failed)), TaskState::Failed, Charged::No, 0),
        (Look::Told(told(TaskState::Cancelled)), TaskState::Cancelled, Charged::No, 0),
        (Look::Missing, TaskState::Running, Charged::Pending, 0),
        (silent, TaskState::Running, Charged::Pending, 0),
    ];
    for (look, state, charged, amount) in table {
        let task = after(&one(), look.clone(), 60);
        assert_eq!((task.state, task.charge.charged, task.charge.amount), (state, charged, Amount(amount)), "{look:?}");
    }
}

#[test]
fn a_task_that_names_no_length_holds_the_longest_and_is_charged_as_the_usual() {
    let mut task = one();
    task.ask.seconds = None;
    assert_eq!(task.ask.most(), Usage { seconds: 12, images: 1, ..Usage::default() });
    task.charge = TaskRecord::held(task.price.of(&task.ask.most()).unwrap());
    assert_eq!(after(&task, Look::Told(told(TaskState::Succeeded)), 60).charge.amount, Amount(47));
}

#[test]
fn the_deadline_decides_as_the_operator_says_and_the_state_is_unknown() {
    for (rule, charged, amount) in [(AtDeadline::Release, Charged::No, 0), (AtDeadline::Charge, Charged::Yes, 87)] {
        let terms = TaskTerms { at_deadline: rule, ..TERMS };
        let task = looked(&one(), Look::Missing, NOW.after(TERMS.deadline), &terms, 0);
        assert_eq!((task.state, task.charge.charged, task.charge.amount), (TaskState::Unknown, charged, Amount(amount)));
        assert_eq!(task.verdict(), Verdict::TaskUnknown);
    }
    // A true end at the last moment counts.
    let task = looked(&one(), Look::Told(told(TaskState::Succeeded)), NOW.after(TERMS.deadline), &TERMS, 0);
    assert_eq!((task.state, task.charge.charged), (TaskState::Succeeded, Charged::Yes));
}

#[test]
fn r36_a_lost_answer_is_looked_for_and_given_up_only_when_the_upstream_does_not_show_it() {
    let mut lost = one();
    lost.upstream_id = None;
    lost.lose(NOW, &TERMS, 0);
    assert_eq!((lost.state, lost.verdict()), (TaskState::Unconfirmed, Verdict::OutcomeUnknown));
    let hour = TERMS.unconfirmed.as_secs();
    assert_eq!(after(&lost, Look::Missing, hour - 1).state, TaskState::Unconfirmed);
    // An upstream that is down proves nothing.
    assert_eq!(after(&lost, Look::Silent { until: None }, hour + 1).state, TaskState::Unconfirmed);
    let gone = after(&lost, Look::Missing, hour);
    assert_eq!((gone.state, gone.charge.charged), (TaskState::Unknown, Charged::No));
    let found = after(&lost, Look::Found { id: "video_7".to_owned(), told: told(TaskState::Running) }, hour + 9);
    assert_eq!((found.state, found.upstream_id.as_deref()), (TaskState::Running, Some("video_7")));
}

#[test]
fn looks_come_slower_never_later_than_the_last_wait_and_when_the_upstream_says() {
    let mut task = one();
    let mut waits = Vec::new();
    for _ in 0..12 {
        let now = task.next_look;
        task = looked(&task, Look::Missing, now, &TERMS, 0);
        waits.push(task.next_look.since(now));
    }
    assert!(waits.is_sorted() && waits[0] == TERMS.first_look && waits[11] == TERMS.last_look, "{waits:?}");
    let asked = NOW.after(Duration::from_secs(300));
    assert_eq!(looked(&task, Look::Silent { until: Some(asked) }, NOW, &TERMS, 0).next_look, asked);
}

fn job(id: &str, at: i64) -> Listed {
    let created = Some(Timestamp(NOW.0 + at * 1000));
    Listed { id: id.to_owned(), model: Some("m".to_owned()), created, seconds: Some(8), size: Some("1280x720".to_owned()) }
}

#[test]
fn a_job_is_taken_for_the_lost_one_only_where_no_other_is_possible() {
    let lost = |n, kid| TaskRecord { state: TaskState::Unconfirmed, upstream_id: None, ..task(n, kid) };
    let (mine, twin, stranger) = (lost(1, "0k3m9qtp"), lost(2, "0k3m9qtp"), lost(2, "0k3m9qtq"));
    let id = |task: &TaskRecord, rivals: &[TaskRecord], jobs: &[Listed]| found(task, rivals, jobs).map(|job| job.id.clone());
    assert_eq!(id(&mine, &[], &[job("a", 1)]).as_deref(), Some("a"));
    assert_eq!(id(&mine, &[], &[]), None);
    assert_eq!(id(&mine, &[], &[job("a", 1), job("b", 2)]), None, "one of them is somebody else's");
    assert_eq!(id(&mine, std::slice::from_ref(&stranger), &[job("a", 1), job("b", 2)]), None, "it could be the stranger's");
    // Two of one key are alike to it.
    let both = [mine.clone(), twin.clone()];
    assert_eq!(id(&mine, &both, &[job("b", 2), job("a", 1)]).as_deref(), Some("a"));
    assert_eq!(id(&twin, &both, &[job("b", 2), job("a", 1)]).as_deref(), Some("b"));
    let other = [
        Listed { model: Some("n".to_owned()), ..job("a", 1) },
        Listed { seconds: Some(4), ..job("a", 1) },
        Listed { size: Some("720x1280".to_owned()), ..job("a", 1) },
        Listed { created: None, ..job("a", 1) },
        job("a", -300),
        job("a", 900),
    ];
    for job in other {
        assert_eq!(id(&mine, &[], std::slice::from_ref(&job)), None, "{job:?}");
    }
}

#[test]
fn a_tasks_name_has_the_digits_of_its_call() {
    for shape in [TaskShape::Videos, TaskShape::Generations, TaskShape::Images] {
        let task = TaskRecord { shape, ..one() };
        assert_eq!(TaskRecord::call_of(shape, &task.id()), Some(task.call));
    }
    assert_eq!(TaskRecord::call_of(TaskShape::Videos, "task_01j2w8k3q4zp7m01j2w8k3q4zp"), None);
}

fn look() -> impl Strategy<Value = Look> {
    let state = prop_oneof![
        Just(TaskState::Submitted),
        Just(TaskState::Running),
        Just(TaskState::Succeeded),
        Just(TaskState::Failed),
        Just(TaskState::Cancelled),
    ];
    let told = (state, any::<Option<u8>>(), any::<Option<u64>>(), any::<bool>()).prop_map(|(state, progress, seconds, same_model)| Told {
        state,
        progress,
        seconds,
        images: None,
        same_model,
        fault: None,
    });
    prop_oneof![
        4 => told.clone().prop_map(Look::Told),
        1 => told.prop_map(|told| Look::Found { id: "video_x".to_owned(), told }),
        1 => Just(Look::Missing),
        1 => any::<Option<i64>>().prop_map(|until| Look::Silent { until: until.map(Timestamp) }),
    ]
}

proptest! {
    #[test]
    fn whatever_an_upstream_says_an_end_is_final_and_no_charge_exceeds_the_hold(
        looks in proptest::collection::vec((look(), 0u64..7_200), 0..40), lost: bool, roll: u128,
    ) {
        let mut task = one();
        if lost {
            task.upstream_id = None;
            task.lose(NOW, &TERMS, roll);
        }
        let mut now = NOW;
        for (look, pause) in looks {
            now = now.after(Duration::from_secs(pause));
            let after = looked(&task, look, now, &TERMS, roll);
            prop_assert_eq!(after.state.is_open(), after.charge.charged == Charged::Pending);
            prop_assert!(after.charge.amount <= after.charge.held && after.charge.held == Amount(87));
            if task.state.is_open() {
                prop_assert!(task.progress <= after.progress);
                prop_assert!(!after.state.is_open() || after.next_look > now || after.next_look == after.deadline);
            } else {
                prop_assert_eq!((after.state, after.charge, after.finished), (task.state, task.charge, task.finished));
            }
            prop_assert!(task.upstream_id.is_none() || task.upstream_id == after.upstream_id);
            task = after;
        }
    }
}
