//! Calls, streams and jobs against the simulator, in paused time: what is retried, when, and what never is.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use weir_core::{Failure, Scenario, StopReason, StreamEnd, TaskState, Timestamp};

use super::{Ask, CallError, JobError, LostHow, Memory};
use crate::{
    ClientLimits,
    rig::{EPOCH, Near, client},
};

fn chat(model: &str) -> Ask {
    Ask::post("/chat/completions", format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}"#))
}

fn video(model: &str) -> Ask {
    Ask::post("/videos", format!(r#"{{"model":"{model}","prompt":"a violet lantern","seconds":"4"}}"#))
}

/// When the simulator was asked, in milliseconds since it began.
fn times(near: &Near) -> Vec<u64> {
    near.sim.requests().iter().map(|seen| seen.at_ms).collect()
}

#[tokio::test(start_paused = true)]
async fn r11_a_failing_server_is_asked_three_times_at_most() {
    let near = Near::new();
    let error = client(&near, 1).call(&chat("sim:503")).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { reason: StopReason::Attempts, attempts: 3, .. }), "{error:?}");
    assert_eq!(near.sim.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn r16_r31_a_told_wait_is_obeyed_in_whatever_form_it_comes() {
    for hint in ["429_hint_once=7s", "429_ms_once=7s", "429_date_once=7s", "429_body_once=7s"] {
        for seed in 0..20 {
            let near = Near::new();
            let said = client(&near, seed).call(&chat(&format!("sim:{hint}")).of(Scenario::Batch)).await.unwrap();
            assert_eq!(said.status, 200);
            let times = times(&near);
            assert_eq!(times.len(), 2, "{hint}");
            assert!((7_000..=7_701).contains(&(times[1] - times[0])), "{hint}: {times:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r31_of_several_hints_the_latest_counts() {
    let near = Near::new();
    client(&near, 3).call(&chat("sim:429_hint_once=5s,429_body_once=9s").of(Scenario::Batch)).await.unwrap();
    let times = times(&near);
    assert!(times[1] - times[0] >= 5_000, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn r34_a_chat_that_is_refused_for_good_says_when_to_try_again() {
    let near = Near::new();
    let error = client(&near, 1).call(&chat("sim:429_hint=1s")).await.unwrap_err();
    assert_eq!((error.attempts(), near.sim.count()), (3, 3));
    let told = error.told().unwrap();
    assert!(told > EPOCH && error.to_string().ends_with(&format!("said 429 (3 attempts); try again after {}", told.rfc3339())), "{error}");
    // A wait that nobody sits through is not waited: the person is told at once.
    let patient = client(&near, 1).call(&chat("sim:429_hint=30m")).await.unwrap_err();
    assert!(matches!(patient, CallError::Refused { reason: StopReason::Patience, attempts: 1, .. }), "{patient:?}");
}

#[tokio::test(start_paused = true)]
async fn r33_by_scenario_a_chat_asks_three_times_a_batch_five_a_job_once() {
    for (scenario, calls) in [(Scenario::ShortChat, 3), (Scenario::Batch, 5), (Scenario::MediaTask, 1)] {
        let near = Near::new();
        let client = client(&near, 5).with_budget(weir_core::BudgetTerms { percent: 100, floor: 10 });
        client.call(&chat("sim:503").of(scenario)).await.unwrap_err();
        assert_eq!(near.sim.count(), calls, "{scenario:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_retry_mends_is_asked_once() {
    for model in ["sim:400", "sim:401", "sim:402", "sim:403_group", "sim:404", "sim:422", "sim:429_daily", "sim:429_balance"] {
        let near = Near::new();
        let error = client(&near, 1).call(&chat(model)).await.unwrap_err();
        assert!(matches!(error, CallError::Refused { reason: StopReason::Useless, .. }), "{model}: {error:?}");
        assert_eq!(near.sim.count(), 1, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn d2_what_was_sent_and_not_answered_is_not_sent_again() {
    for model in ["sim:reset_after_accept", "sim:short_body"] {
        let near = Near::new();
        let client = client(&near, 1);
        let error = client.call(&chat(model).named("row-12345678")).await.unwrap_err();
        assert!(matches!(error, CallError::OutcomeUnknown { attempts: 1, .. }), "{model}: {error:?}");
        assert_eq!(near.sim.count(), 1, "the simulator remembers no keys");
        assert_ne!(client.memory(), Memory::Remembers);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_ends_at_its_limit_with_its_name() {
    let near = Near::new();
    let limits = ClientLimits { first_byte: Duration::from_secs(10), idle: Duration::from_secs(5), ..ClientLimits::default() };
    let client = client(&near, 1).with_limits(limits);
    let slow = client.attempt(&chat("sim:first_byte=40s")).await.unwrap_err();
    assert!(slow.to_string().contains("first byte within 10s"), "{slow}");
    let limits = ClientLimits { answer_bytes: 100, ..limits };
    let long = crate::rig::client(&near, 1).with_limits(limits).attempt(&chat("sim:tokens=500")).await.unwrap_err();
    assert!(matches!(long.what, LostHow::TooLong(100)), "{long}");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_hides_in_a_200_is_a_problem() {
    let near = Near::new();
    let said = client(&near, 1).attempt(&chat("sim:ok")).await.unwrap();
    assert_eq!(said.problem(weir_core::Route::ChatCompletions, EPOCH), None);
    let page = super::Said::made(200, http::HeaderMap::new(), "<html>busy</html>".into());
    assert!(page.problem(weir_core::Route::ChatCompletions, EPOCH).is_some());
    assert!(!format!("{said:?}{page:?}").contains("busy"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_event_by_event_and_says_how_it_ended() {
    let ask = |model: &str| {
        Ask::post("/chat/completions", format!(r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"hello"}}]}}"#))
    };
    let table = [
        ("sim:tokens=5,interval=20ms,comments=1", StreamEnd::Done, true),
        ("sim:tokens=9,cut_after=5", StreamEnd::UpstreamCut, false),
        ("sim:no_done", StreamEnd::EofNoFinish, false),
        ("sim:error_after=3", StreamEnd::UpstreamError, false),
        ("sim:stall_after=2", StreamEnd::IdleTimeout, false),
        ("sim:503_once,tokens=5", StreamEnd::Done, true),
    ];
    for (model, end, complete) in table {
        let near = Near::new();
        let mut events = client(&near, 2).stream(&ask(model)).await.unwrap();
        let mut seen = 0;
        while let Some(event) = events.next().await {
            assert!(event.bytes.starts_with(b"data:"), "{model}");
            seen += 1;
        }
        assert!(seen > 1, "{model}");
        assert_eq!((events.end(), events.is_complete()), (Some(end), complete), "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_submitted_once_and_waited_for() {
    let near = Near::new();
    let client = client(&near, 1);
    let submitted = client.submit(&video("sim:task_slow=40s"), &BTreeSet::new()).await.unwrap();
    let ended = client.wait(weir_core::Route::Videos, &submitted, Duration::from_secs(120)).await.unwrap();
    assert_eq!((ended.state, near.sim.tasks()), (Some(TaskState::Succeeded), 1));
    let slow = client.submit(&video("sim:task_slow=1h"), &BTreeSet::new()).await.unwrap();
    let open = client.wait(weir_core::Route::Videos, &slow, Duration::from_secs(60)).await.unwrap_err();
    assert!(matches!(open, JobError::StillOpen(_)), "{open}");
}

#[tokio::test(start_paused = true)]
async fn r36_a_job_whose_answer_was_lost_is_found_and_never_submitted_again() {
    let near = Near::new();
    let client = client(&near, 1);
    let found = client.submit(&video("sim:task_lost_answer"), &BTreeSet::new()).await.unwrap();
    assert_eq!((near.sim.tasks(), found.job.state), (1, Some(TaskState::Succeeded)));
    let posts = || near.sim.requests().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts(), 1);
    // Another one like it: the list alone cannot tell them apart, unless it is known which is whose.
    let known = BTreeSet::from([found.id.clone()]);
    let second = client.submit(&video("sim:task_lost_answer"), &known).await.unwrap();
    assert_ne!(second.id, found.id);
    let unknown = client.submit(&video("sim:task_lost_answer"), &BTreeSet::new()).await.unwrap_err();
    assert!(matches!(unknown, JobError::Unknown), "{unknown}");
    assert_eq!((near.sim.tasks(), posts()), (3, 3), "each was submitted once");
}

#[tokio::test(start_paused = true)]
async fn a_budget_ends_retries_before_they_are_a_storm() {
    let near = Near::new();
    let client = Arc::new(client(&near, 1));
    for _ in 0..100 {
        let _ = client.call(&chat("sim:503")).await;
    }
    let asked = near.sim.count();
    let floor = 3 + near.sim.requests().last().unwrap().at_ms / 10_000;
    assert!(asked <= 100 + 20 + floor, "{asked} requests for 100 calls");
}

#[test]
fn what_a_class_of_errors_asks_for_is_one_decision() {
    // The gateway and the client read errors by the same table.
    let failure = weir_wire::UpstreamClass::RateLimit.failure(429, Some(Timestamp(7)));
    assert_eq!(failure, Failure::Refused { status: 429, blame: weir_core::Blame::Rate, told: Some(Timestamp(7)) });
}
