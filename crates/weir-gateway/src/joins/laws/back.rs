//! Clients that left and came back, with their SDK's mark or without one.

use std::time::Duration;

use tokio::time::sleep;
use weir_core::{Charged, How, Verdict};

use super::{KEY, MARK, body, events, whole_chunks};
use crate::{
    ClientGone, Streams,
    promises::{Bench, secs},
};

#[tokio::test(start_paused = true)]
async fn d3_a_marked_retry_after_a_client_timeout_joins_the_running_call() {
    for stream in [true, false] {
        let bench = Bench::new(|_| {});
        let body = body("sim:tokens=10,first_byte=4s", stream);
        bench.give_up("", &body, secs(2)).await;
        let read = bench.post(MARK, &body).await;
        assert_eq!(read.status(), 200, "{}", read.body);
        assert!(read.header("x-weir-call").is_some() && read.header("idempotent-replayed").is_none());
        assert_eq!((bench.upstream_calls(), bench.charges(), bench.calls().len()), (1, 1, 1));
        let stored = bench.call(read.id());
        assert_eq!((stored.record.verdict, stored.record.charge.charged), (Verdict::Ok, Charged::Yes));
        assert_eq!(stored.requests[0].how, How::Retry);
        bench.audited();
    }
}

#[tokio::test(start_paused = true)]
async fn d3_an_equal_request_whose_client_had_left_joins_without_a_mark() {
    let bench = Bench::new(|_| {});
    let body = body("sim:tokens=40,interval=100ms", true);
    let seen = bench.leave("", &body, |text| events(text) >= 5).await;
    sleep(secs(1)).await;
    let read = bench.post("", &body).await;
    assert!(read.body.ends_with("data: [DONE]\n\n"));
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
    let stored = bench.call(read.id());
    assert_eq!((stored.requests[0].how, stored.record.verdict), (How::Returned, Verdict::Ok));
    let read_twice = whole_chunks(seen.split_once("\r\n\r\n").unwrap().1);
    assert!(read.body.starts_with(&read_twice) && events(&read_twice) >= 5, "the second reads from the first event");
    // What was delivered is not taken for lost: an equal request is a call of its own again.
    let anew = bench.post("", &body).await;
    assert_eq!((anew.header("x-weir-call"), bench.upstream_calls()), (None, 2));
    assert_eq!(bench.record(anew.id()).suspected_retry_of, Some(stored.record.id));
}

#[tokio::test(start_paused = true)]
async fn d3_an_equal_request_is_taken_for_a_retry_only_where_the_operator_says_so_and_only_at_the_time_of_retries() {
    const FIRST: &str = "x-stainless-retry-count: 0\r\nuser-agent: OpenAI/JS 6.49.0\r\n";
    const LANGCHAIN: &str = "x-stainless-retry-count: 0\r\nuser-agent: langchainjs-openai/1.0.0 (node/v20.20.2)\r\n";
    let table = [
        ("", 30, 2_000, true),
        (LANGCHAIN, 30, 1_000, true),
        // Asked for nowhere.
        ("", 0, 2_000, false),
        // Sooner than anybody retries, and later than the operator assumes.
        ("", 30, 100, false),
        ("", 30, 31_000, false),
        // What says of itself that it is a first try, or a call of its own.
        (FIRST, 30, 2_000, false),
        (KEY, 30, 2_000, false),
    ];
    for (extra, within, after, joins) in table {
        for stream in [true, false] {
            let bench = Bench::new(|settings| settings.replay.unmarked_retries = secs(within));
            let body = body("sim:tokens=8", stream);
            let first = bench.post(if extra == KEY { "" } else { extra }, &body).await;
            bench.gateway.closer.idle().await;
            sleep(Duration::from_millis(after)).await;
            let again = bench.post(extra, &body).await;
            let case = format!("{extra:?} within {within} s, after {after} ms, stream={stream}");
            assert_eq!((again.status(), again.header("idempotent-replayed")), (200, joins.then_some("true")), "{case}");
            assert_eq!((bench.upstream_calls(), bench.charges()), if joins { (1, 1) } else { (2, 2) }, "{case}");
            if joins {
                assert_eq!((&again.body, bench.call(again.id()).requests[0].how), (&first.body, How::Assumed), "{case}");
            }
            bench.audited();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d3_what_a_group_assumes_of_equal_requests_goes_before_what_all_keys_do() {
    for (all, group, charges) in [(0, Some(30), 1), (30, Some(0), 2), (30, None, 1)] {
        let bench = Bench::new(|settings| {
            settings.replay.unmarked_retries = secs(all);
            settings.group_retries.extend(group.map(|within| ("staff".to_owned(), secs(within))));
        });
        let body = body("sim:tokens=8", false);
        for _ in 0..2 {
            assert_eq!(bench.post("", &body).await.status(), 200);
            sleep(secs(2)).await;
        }
        assert_eq!(bench.charges(), charges, "all {all} s, the group {group:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn d3_equal_requests_at_once_are_calls_of_their_own_whatever_the_operator_assumes() {
    let bench = Bench::new(|settings| settings.replay.unmarked_retries = secs(60));
    let body = body("sim:tokens=20,interval=200ms", true);
    let late = async {
        sleep(secs(2)).await;
        bench.post("", &body).await
    };
    let (one, other) = tokio::join!(bench.post("", &body), late);
    assert_eq!((one.status(), other.status(), other.header("x-weir-call")), (200, 200, None));
    assert_eq!((bench.upstream_calls(), bench.charges()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn d3_an_answer_that_is_ready_within_the_linger_waits_for_its_client() {
    for (stream, comes_back, calls) in [(false, 8, 1), (false, 12, 2), (true, 8, 1)] {
        let bench = Bench::new(|_| {});
        let body = body("sim:tokens=3,first_byte=3s", stream);
        bench.give_up("", &body, secs(1)).await;
        sleep(secs(comes_back)).await;
        let read = bench.post("", &body).await;
        assert_eq!((read.status(), bench.upstream_calls()), (200, calls), "stream={stream} after {comes_back} s");
        bench.gateway.closer.idle().await;
        assert_eq!(bench.charges(), 1, "stream={stream} after {comes_back} s: {:?}", bench.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn d3_the_linger_begins_when_the_last_one_leaves() {
    let bench = Bench::new(|settings| settings.streams = Streams { linger: secs(2), ..Streams::default() });
    let body = body("sim:tokens=500,interval=100ms", true);
    bench.leave("", &body, |text| events(text) >= 5).await;
    sleep(Duration::from_millis(1_500)).await;
    // The second reads for three seconds: longer than the linger.
    bench.leave("", &body, |text| events(text) >= 50).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!((bench.upstream_calls(), bench.gateway.closer.running()), (1, 1));
    sleep(Duration::from_millis(1_900)).await;
    assert_eq!(bench.gateway.closer.running(), 1, "the linger is not over");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.gateway.closer.running(), 0);
    let record = bench.calls().remove(0).record;
    assert_eq!((record.verdict, bench.upstream_calls()), (Verdict::ProducedNotDelivered, 1));
    let output = record.charge.usage.output;
    assert!((40..60).contains(&output), "what the furthest reader got, not what was made: {output}");
    bench.audited();
}

#[tokio::test(start_paused = true)]
async fn d3_a_retry_of_a_cancelled_call_gets_what_was_charged_and_an_error_event() {
    let bench = Bench::new(|settings| settings.streams = Streams { linger: secs(1), ..Streams::default() });
    let body = body("sim:tokens=500,interval=100ms", true);
    bench.leave(KEY, &body, |text| events(text) >= 5).await;
    bench.gateway.closer.idle().await;
    let read = bench.post(KEY, &body).await;
    let error = read.error();
    assert_eq!((error["code"].as_str(), error["charged"].as_bool()), (Some("client_left"), Some(true)), "{}", read.body);
    assert!(!read.body.contains("[DONE]"));
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn d3_nobody_gets_more_of_an_answer_than_was_charged_by_leaving_early() {
    for extra in [KEY, ""] {
        let bench = Bench::new(|settings| settings.streams = Streams { linger: secs(5), ..Streams::default() });
        let body = body("sim:tokens=20,interval=100ms", true);
        bench.leave(extra, &body, |text| events(text) >= 5).await;
        // The upstream is done after two seconds; nobody comes back within the linger.
        bench.gateway.closer.idle().await;
        let charged = bench.calls().remove(0).record.charge.usage.output;
        assert!((2..10).contains(&charged), "{charged}");
        let read = bench.post(extra, &body).await;
        let anew = extra.is_empty();
        assert_eq!((read.body.contains("[DONE]"), bench.charges()), (anew, if anew { 2 } else { 1 }), "{}", read.body);
        bench.audited();
    }
}

#[tokio::test(start_paused = true)]
async fn d3_with_finish_the_answer_is_kept_for_whoever_comes_back_late() {
    let bench = Bench::new(|settings| settings.streams.client_gone = ClientGone::Finish);
    for stream in [true, false] {
        let body = body("sim:tokens=10,interval=100ms,first_byte=1s", stream);
        bench.give_up("", &body, Duration::from_millis(500)).await;
        bench.gateway.closer.idle().await;
        sleep(secs(300)).await;
        let read = bench.post("", &body).await;
        assert_eq!((read.status(), read.header("idempotent-replayed")), (200, Some("true")), "stream={stream}");
    }
    assert_eq!((bench.upstream_calls(), bench.charges()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn d3_who_comes_at_the_instant_the_linger_ends_joins_or_makes_a_call_of_its_own_and_never_gets_an_error() {
    for (stream, extra) in [(true, ""), (false, ""), (true, MARK), (false, MARK), (false, KEY), (true, KEY)] {
        let mut calls = Vec::new();
        for after in [9_998, 9_999, 10_000, 10_001, 10_002] {
            let bench = Bench::new(|_| {});
            let body = body("sim:tokens=4,first_byte=15s", stream);
            bench.give_up(if extra == KEY { KEY } else { "" }, &body, secs(1)).await;
            sleep(Duration::from_millis(after)).await;
            let read = bench.post(extra, &body).await;
            assert_eq!(read.status(), 200, "{after} ms, stream={stream}, {extra}: {}", read.body);
            bench.gateway.closer.idle().await;
            assert_eq!(bench.charges(), 1, "{after} ms, stream={stream}, {extra}");
            let left = bench.calls().into_iter().map(|call| call.record).find(|record| record.verdict == Verdict::ClientLeft);
            calls.push(bench.calls().len());
            if let Some(left) = left {
                assert_eq!((left.status, left.error_code.as_deref(), left.charge.charged), (499, Some("client_left"), Charged::No));
            }
            bench.audited();
        }
        assert!(calls.is_sorted() && calls[0] == 1 && calls[4] == 2, "{calls:?}");
    }
}
