//! Clients whose SDK announces how long it waits: answered in time, and their call goes on for whoever repeats it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_core::{Charged, How, Told, Verdict};

use super::{KEY, MARK, body};
use crate::{
    Streams,
    promises::{Bench, Read, secs},
};

const WAITS: &str = "x-stainless-read-timeout: 10\r\n";

/// What an SDK does with a 504: it waits as told, and asks again with a mark. Its answers, and how long it waited for each.
async fn as_an_sdk(bench: &Bench, body: &str, tries: usize) -> Vec<(Read, Duration)> {
    let mut answers: Vec<(Read, Duration)> = Vec::new();
    while answers.len() < tries {
        if let Some((before, _)) = answers.last() {
            if before.status() != 504 {
                break;
            }
            sleep(Duration::from_millis(before.header("retry-after-ms").unwrap().parse().unwrap())).await;
        }
        let began = Instant::now();
        let mark = if answers.is_empty() { "" } else { MARK };
        let read = bench.post(&format!("{WAITS}{mark}"), body).await;
        answers.push((read, began.elapsed()));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn d3_a_client_that_announced_its_patience_hears_in_time_and_its_retries_join_the_running_call() {
    for (model, stream) in
        [("sim:tokens=8,first_byte=25s", false), ("sim:tokens=8,first_byte=19s", true), ("sim:tokens=40,interval=600ms", false)]
    {
        let bench = Bench::new(|_| {});
        let answers = as_an_sdk(&bench, &body(model, stream), 3).await;
        let statuses: Vec<u16> = answers.iter().map(|(read, _)| read.status()).collect();
        let [(first, waited), between @ .., (last, _)] = &*answers else { panic!("{statuses:?}") };
        assert_eq!((first.status(), *waited, last.status()), (504, secs(9), 200), "{model}: {statuses:?}");
        assert!(between.iter().all(|(read, waited)| read.status() == 504 && *waited == secs(9)), "{model}: {statuses:?}");
        let (error, call) = (first.error(), first.id());
        assert_eq!((error["code"].as_str(), error["charged"].as_str()), (Some("upstream_timeout_first_byte"), Some("pending")));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("call {call} is still running")) && message.contains("joins that call"), "{message}");
        assert_eq!((first.header("x-should-retry"), last.header("x-weir-call")), (Some("true"), Some(&*call.to_string())));
        bench.gateway.closer.idle().await;
        assert_eq!((bench.upstream_calls(), bench.charges(), bench.calls().len()), (1, 1, 1), "{model}");
        let stored = bench.call(call);
        assert_eq!((stored.record.verdict, stored.record.status, stored.record.charge.charged), (Verdict::Ok, 200, Charged::Yes));
        assert_eq!(stored.record.told, Some(Told { status: 504, at_ms: 9_000 }));
        let rows: Vec<_> = stored.requests.iter().map(|request| (request.how, request.status)).collect();
        let wanted: Vec<_> = statuses[1..].iter().map(|status| (How::Retry, *status)).collect();
        assert_eq!(rows, wanted, "{model}");
        bench.audited();
    }
}

#[tokio::test(start_paused = true)]
async fn d3_three_short_tries_get_an_answer_that_none_of_them_would_have_waited_for() {
    let bench = Bench::new(|_| {});
    let answers = as_an_sdk(&bench, &body("sim:tokens=8,first_byte=25s", false), 3).await;
    assert_eq!(answers.iter().map(|(read, _)| read.status()).collect::<Vec<_>>(), [504, 504, 200]);
    let told = answers[1].0.error();
    assert_eq!(told["charged"], "pending", "{told}");
    assert_eq!(answers[1].0.header("x-weir-call"), Some(&*answers[0].0.id().to_string()), "the same call, by its id");
}

#[tokio::test(start_paused = true)]
async fn d3_an_equal_request_without_a_mark_joins_the_call_of_a_client_that_was_sent_away() {
    for stream in [true, false] {
        let bench = Bench::new(|_| {});
        let body = body("sim:tokens=8,first_byte=12s", stream);
        assert_eq!(bench.post(WAITS, &body).await.status(), 504);
        sleep(secs(1)).await;
        let read = bench.post("", &body).await;
        assert_eq!((read.status(), bench.upstream_calls()), (200, 1), "stream={stream}");
        assert_eq!(bench.call(read.id()).requests[0].how, How::Returned);
    }
}

#[tokio::test(start_paused = true)]
async fn d3_a_client_that_was_sent_away_and_stays_away_pays_nothing_and_its_upstream_ends_after_the_linger() {
    for (stream, linger, ends) in [(true, 10, 19), (false, 10, 19), (false, 0, 19), (false, 15, 24)] {
        let bench = Bench::new(|settings| settings.streams = Streams { linger: secs(linger), ..Streams::default() });
        let read = bench.post(WAITS, &body("sim:tokens=8,first_byte=100s", stream)).await;
        assert_eq!(read.status(), 504);
        bench.gateway.closer.idle().await;
        let record = bench.record(read.id());
        // Even without a linger it waits as long as SDKs pause before they try again.
        assert_eq!((record.timing.total, record.verdict), (ends * 1_000, Verdict::ClientLeft), "stream={stream}, linger={linger} s");
        assert_eq!((record.charge.charged, record.status, bench.charges()), (Charged::No, 504, 0));
        assert_eq!(record.told, Some(Told { status: 504, at_ms: 9_000 }));
        let anew = bench.post(&format!("{WAITS}{MARK}"), &body("sim:tokens=8,first_byte=100s", stream)).await;
        assert_eq!((anew.status(), anew.id() == read.id(), bench.calls().len()), (504, false, 1), "it runs");
        bench.gateway.closer.idle().await;
        assert_eq!((bench.calls().len(), bench.charges()), (2, 0));
        bench.audited();
    }
}

#[tokio::test(start_paused = true)]
async fn d3_the_operators_own_limit_ends_a_call_whatever_its_client_announced() {
    let bench = Bench::new(|settings| settings.timeouts.first_byte = secs(12));
    let answers = as_an_sdk(&bench, &body("sim:tokens=8,first_byte=100s", false), 2).await;
    let (last, waited) = answers.last().unwrap();
    assert_eq!((last.status(), last.error()["code"].as_str()), (504, Some("upstream_timeout_first_byte")));
    assert_eq!((*waited, last.error()["charged"].as_bool()), (secs(1), Some(false)), "{}", last.body);
    assert_eq!(bench.record(answers[0].0.id()).verdict, Verdict::FirstByteTimeout);
    let earlier = Bench::new(|settings| settings.timeouts.first_byte = secs(5));
    let read = earlier.post(WAITS, &body("sim:tokens=8,first_byte=100s", false)).await;
    assert_eq!((earlier.record(read.id()).timing.total, earlier.record(read.id()).told), (5_000, None));
}

#[tokio::test(start_paused = true)]
async fn d3_an_upstream_that_fails_while_its_client_pauses_may_still_be_asked_again() {
    let bench = Bench::new(|_| {});
    let answers = as_an_sdk(&bench, &body("sim:503_once,tokens=8,first_byte=10s", false), 3).await;
    assert_eq!(answers.last().unwrap().0.status(), 200);
    assert_eq!((bench.upstream_calls(), bench.calls().len(), bench.charges()), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn d3_who_joined_by_key_reads_on_when_the_first_client_is_sent_away() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=8,first_byte=12s", true);
    let second = async {
        sleep(secs(2)).await;
        bench.post(KEY, &text).await
    };
    let (first, second) = tokio::join!(async { bench.post(&format!("{WAITS}{}", KEY), &text).await }, second);
    assert_eq!((first.status(), second.status()), (504, 200));
    assert!(second.body.ends_with("data: [DONE]\n\n"));
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
    assert_eq!(bench.call(first.id()).record.verdict, Verdict::Ok);
}
