//! Tasks under kills between any two steps, an upstream that is down, and one that does whatever it likes.

use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use weir_core::TaskState;
use weir_store::TaskFilter;

use super::{priced, secs};
use crate::promises::Bench;

/// Polls some work a number of times; whether it was done by then.
pub(super) async fn upto<F: Future>(polls: u32, work: F) -> bool {
    let mut work = Box::pin(work);
    let mut left = polls;
    std::future::poll_fn(|cx| match left {
        0 => Poll::Ready(false),
        _ => {
            left -= 1;
            work.as_mut().poll(cx).map(|_| true)
        }
    })
    .await
}

pub(super) fn paused() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn r36_killed_between_any_two_steps_a_task_is_submitted_once_and_charged_for_what_was_made() {
    for polls in 0.. {
        let first = paused();
        let bench = first.block_on(async { Bench::new(priced) });
        let done = first.block_on(upto(polls, bench.submit("sim:task_slow=30s")));
        // Everything that runs dies in the middle of whatever it does.
        drop(first);
        paused().block_on(async {
            let bench = bench.killed(priced);
            bench.follow(secs(2 * 3_600)).await;
            let tasks = bench.gateway.books().store().tasks(&TaskFilter::default()).unwrap();
            let made = bench.sim.tasks();
            assert!(made <= 1 && bench.posts() <= 1 && tasks.len() as u64 >= made, "{polls} polls: {made} made, {tasks:?}");
            for task in &tasks {
                let (state, spent) = if made == 1 { (TaskState::Succeeded, 8_000) } else { (TaskState::Unknown, 0) };
                assert_eq!((task.state, bench.spent(task)), (state, spent), "{polls} polls");
                bench.audit(task);
            }
            bench.audit_all();
        });
        if done {
            // The disk's thread may answer before it is waited for; the upstream, another task of the same thread, cannot.
            assert!(polls > 1, "a submission waits for its upstream");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r36_an_upstream_that_is_down_for_an_hour_ends_no_task() {
    for model in ["sim:task_slow=30s", "sim:task_lost_answer,task_slow=30s"] {
        let bench = Bench::new(priced);
        let read = bench.submit(model).await;
        bench.refuse(u32::MAX);
        bench.follow(secs(3_600)).await;
        assert!(bench.task(&read).state.is_open());
        bench.refuse(0);
        bench.follow(secs(120)).await;
        let task = bench.task(&read);
        assert_eq!((task.state, bench.spent(&task), bench.posts()), (TaskState::Succeeded, 8_000, 1), "{model}");
        bench.audit(&task);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_an_upstream_does_a_task_is_submitted_once_and_charged_for_what_was_made() {
    const WORDS: [&str; 8] =
        ["task_failed", "task_lost_answer", "task_lying", "task_404_then_ok=4", "reset_after_accept", "503", "502_html", "first_byte=20s"];
    for seed in 0_u64..48 {
        let bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let chosen = WORDS.iter().enumerate().filter(|(n, _)| bits >> (8 + 5 * n) & 7 == 0).map(|(_, word)| *word);
        let model = ["sim:task_slow=45s"].into_iter().chain(chosen).collect::<Vec<_>>().join(",");
        let mut bench = Bench::new(priced);
        let read = bench.submit(&model).await;
        for round in 0..4_u64 {
            bench.refuse(if bits >> (50 + round) & 1 == 1 { u32::MAX } else { 0 });
            bench.follow(secs(20 + (bits >> 20) % 900)).await;
            if bits >> (56 + round) & 1 == 1 {
                bench = bench.killed(priced);
            }
        }
        bench.refuse(0);
        bench.follow(secs(2 * 3_600)).await;
        let task = bench.task(&read);
        let fails = model.contains("task_failed");
        let spent = if bench.sim.tasks() == 1 && !fails { 8_000 } else { 0 };
        assert_eq!((bench.spent(&task), bench.posts(), task.state.is_open()), (spent, 1, false), "seed {seed}: {model}: {task:?}");
        bench.audit(&task);
    }
}
