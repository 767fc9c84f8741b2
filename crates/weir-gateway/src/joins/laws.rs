//! The laws of the same call again, on a whole gateway in simulated time: one upstream call, one charge, the same answer.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, DuplexStream},
    task::JoinSet,
    time::sleep,
};
use weir_core::{Charged, How, Limits, RequestId, Verdict};
use weir_store::StoredCall;

use crate::{
    ClientGone, Replay, Streams,
    promises::{Bench, Read, secs},
};

const CHAT: &str = "/v1/chat/completions";
const KEY: &str = "idempotency-key: \"order-12345678\"\r\n";
const MARK: &str = "x-stainless-retry-count: 1\r\n";

fn body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#)
}

impl Bench {
    async fn post(&self, extra: &str, body: &str) -> Read {
        self.send("POST", CHAT, extra, body).await
    }

    fn call(&self, id: RequestId) -> StoredCall {
        self.gateway.books().call(id).unwrap().unwrap()
    }

    fn calls(&self) -> Vec<StoredCall> {
        self.gateway.books().store().calls(&weir_store::CallFilter::default()).unwrap()
    }

    fn charges(&self) -> usize {
        self.calls().iter().map(|call| call.ledger.len()).sum()
    }

    fn upstream_calls(&self) -> usize {
        self.sim.requests().len()
    }

    fn audited(&self) {
        let report = self.gateway.books().audit().unwrap();
        assert!(report.ok, "{report:?}");
    }

    /// Asks, reads until `enough` says so of the body so far, and hangs up.
    async fn leave(&self, extra: &str, body: &str, enough: impl Fn(&str) -> bool) -> String {
        let (mut near, connection) = self.open("POST", CHAT, extra, "application/json", body);
        let read = async {
            let mut bytes = Vec::new();
            while !enough(&String::from_utf8_lossy(&bytes)) && near.read_buf(&mut bytes).await.unwrap() > 0 {}
            drop(near);
            String::from_utf8(bytes).unwrap()
        };
        tokio::join!(read, connection).0
    }

    /// Asks and gives up after a while without having read.
    async fn give_up(&self, extra: &str, body: &str, after: Duration) {
        let (near, connection): (DuplexStream, _) = self.open("POST", CHAT, extra, "application/json", body);
        let wait = async {
            sleep(after).await;
            drop(near);
        };
        tokio::join!(wait, connection);
    }
}

/// The chunks that a client got whole before it left.
fn whole_chunks(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n")
        && let Some(chunk) = usize::from_str_radix(size, 16).ok().and_then(|size| rest.get(..size + 2))
    {
        whole.push_str(&chunk[..chunk.len() - 2]);
        text = &rest[chunk.len()..];
    }
    whole
}

fn events(text: &str) -> usize {
    text.matches("data: ").count()
}

#[tokio::test(start_paused = true)]
async fn r18_a_thousand_requests_with_one_key_are_one_upstream_call_one_charge_and_a_thousand_equal_answers() {
    for stream in [true, false] {
        let bench = Arc::new(Bench::new(|_| {}));
        let body = body("sim:tokens=30,interval=50ms,first_byte=2s", stream);
        let mut asked = JoinSet::new();
        for n in 0..1_000_u64 {
            let (bench, body) = (Arc::clone(&bench), body.clone());
            asked.spawn(async move {
                sleep(Duration::from_millis(n * 3)).await;
                bench.post(KEY, &body).await
            });
        }
        let answers = asked.join_all().await;
        let first = &answers.iter().find(|read| read.header("x-weir-call").is_none()).unwrap();
        assert_eq!((first.status(), bench.upstream_calls(), bench.charges(), bench.calls().len()), (200, 1, 1, 1), "stream={stream}");
        assert!(first.body.contains(if stream { "data: [DONE]" } else { "\"usage\"" }), "{}", first.body);
        assert!(answers.iter().all(|read| read.body == first.body && read.status() == 200));
        let call = first.id().to_string();
        let joined: Vec<_> = answers.iter().filter(|read| read.header("x-weir-call") == Some(&*call)).collect();
        assert_eq!(joined.len(), 999);
        let stored = bench.call(joined[500].id());
        assert_eq!((stored.record.id, stored.requests.len()), (first.id(), 999));
        assert!(stored.requests.iter().all(|request| request.how == How::Key && request.status == 200));
        bench.audited();
    }
}

#[tokio::test(start_paused = true)]
async fn r18_three_posts_with_one_key_are_one_charge_and_two_replays() {
    for stream in [true, false] {
        let bench = Bench::new(|_| {});
        let first = bench.post(KEY, &body("sim:tokens=5", stream)).await;
        for _ in 0..2 {
            let again = bench.post(KEY, &body("sim:tokens=5", stream)).await;
            assert_eq!((again.status(), again.header("idempotent-replayed")), (200, Some("true")));
            assert_eq!(again.header("x-weir-call"), Some(&*first.id().to_string()));
            assert_ne!(again.id(), first.id());
            assert_eq!(again.body, first.body);
        }
        assert_eq!((bench.upstream_calls(), bench.charges(), bench.calls().len()), (1, 1, 1));
        let view = bench.send("GET", &format!("/v1/weir/calls/{}", first.id()), "", "").await;
        let view: serde_json::Value = serde_json::from_str(&view.body).unwrap();
        assert_eq!(view["requests"].as_array().unwrap().len(), 2);
        assert_eq!(view["requests"][0]["verdict"], "W-CHG-002");
        bench.audited();
    }
}

#[tokio::test(start_paused = true)]
async fn d3_the_same_key_with_another_body_is_refused_and_with_the_same_meaning_is_not() {
    let bench = Bench::new(|_| {});
    bench.post(KEY, r#"{"model":"sim:ok","messages":[],"user":"a"}"#).await;
    let other = bench.post(KEY, r#"{"model":"sim:ok","messages":[{"role":"user","content":"x"}]}"#).await;
    assert_eq!((other.status(), other.error()["code"].as_str()), (422, Some("idempotency_key_reused")));
    assert_eq!(other.header("x-should-retry"), Some("false"));
    let same = bench.post("idempotency-key: order-12345678\r\n", "{ \"messages\": [],  \"user\":\"b\", \"model\": \"sim:ok\" }").await;
    assert_eq!((same.status(), same.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn d3_a_key_that_is_none_is_a_400() {
    let bench = Bench::new(|_| {});
    for key in ["", "\"open", "\"a\"b\"", &"k".repeat(256)] {
        let read = bench.post(&format!("idempotency-key: {key}\r\n"), &body("sim:ok", false)).await;
        assert_eq!((read.status(), read.error()["code"].as_str()), (400, Some("idempotency_key_invalid")), "{key}");
    }
    assert_eq!(bench.upstream_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn d3_after_its_time_a_key_is_free_and_until_then_never_charged_again() {
    let bench = Bench::new(|_| {});
    let first = bench.post(KEY, &body("sim:ok", false)).await;
    sleep(secs(3_600)).await;
    let gone = bench.post(KEY, &body("sim:ok", false)).await;
    assert_eq!((gone.status(), gone.error()["code"].as_str()), (409, Some("idempotency_replay_gone")));
    assert!(gone.error()["message"].as_str().unwrap().contains(&first.id().to_string()));
    assert_eq!((gone.header("x-should-retry"), gone.error()["charged"].as_bool()), (Some("false"), Some(false)));
    let reused = bench.post(KEY, &body("sim:tokens=2", false)).await;
    assert_eq!(reused.status(), 422);
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
    sleep(secs(24 * 3_600)).await;
    let anew = bench.post(KEY, &body("sim:ok", false)).await;
    assert_eq!((anew.status(), bench.charges()), (200, 2));
    bench.audited();
}

#[tokio::test(start_paused = true)]
async fn d3_a_key_of_a_charged_call_is_known_after_kill_9() {
    let bench = Bench::new(|_| {});
    let first = bench.post(KEY, &body("sim:ok", true)).await;
    let bench = bench.killed(|_| {});
    let again = bench.post(KEY, &body("sim:ok", true)).await;
    assert_eq!((again.status(), again.error()["code"].as_str()), (409, Some("idempotency_replay_gone")));
    assert!(again.error()["message"].as_str().unwrap().contains(&first.id().to_string()));
    assert_eq!(bench.charges(), 1);
    bench.audited();
}

#[tokio::test(start_paused = true)]
async fn d3_a_key_whose_call_was_killed_after_output_is_known_and_one_before_output_is_free() {
    let bench = Bench::new(|_| {});
    let cut = bench.open("POST", CHAT, KEY, "application/json", &body("sim:tokens=500,interval=100ms", true));
    let other = "idempotency-key: order-87654321\r\n";
    let unheard = bench.open("POST", CHAT, other, "application/json", &body("sim:first_byte=50s", true));
    let ((near, connection), (far, waiting)) = (cut, unheard);
    {
        let mut connection = std::pin::pin!(connection);
        let mut waiting = std::pin::pin!(waiting);
        tokio::select! {
            () = &mut connection => panic!("it ended"),
            () = &mut waiting => panic!("it ended"),
            () = sleep(secs(5)) => {}
        }
        // The process dies: nobody hears of the connections again.
        std::mem::forget((near, far));
    }
    let bench = bench.killed(|_| {});
    let again = bench.post(KEY, &body("sim:tokens=500,interval=100ms", true)).await;
    assert_eq!((again.status(), again.error()["code"].as_str()), (409, Some("idempotency_replay_gone")));
    let anew = bench.post(other, &body("sim:first_byte=50s", true)).await;
    assert_eq!(anew.status(), 200);
    bench.audited();
}

#[tokio::test(start_paused = true)]
async fn d3_a_call_that_ended_without_a_charge_frees_its_key_and_its_body() {
    for extra in [KEY, ""] {
        let bench = Bench::new(|_| {});
        let failed = bench.post(extra, &body("sim:400", false)).await;
        assert_eq!(failed.status(), 400);
        let again = bench.post(&format!("{extra}{MARK}"), &body("sim:400", false)).await;
        assert_eq!((again.status(), again.header("x-weir-call"), bench.calls().len()), (400, None, 2));
    }
}

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
async fn d3_a_stream_cut_at_any_event_and_resumed_is_the_whole() {
    let bench = Bench::new(|_| {});
    let text = body("sim:tokens=12,interval=100ms,comments=1", true);
    let whole = bench.post("", &text).await.body;
    let count = events(&whole);
    for (cut, late) in (1..=count).flat_map(|cut| [(cut, false), (cut, true)]) {
        let bench = Bench::new(|_| {});
        let heard = bench.leave("x-weir-event-ids: 1\r\n", &text, |text| events(text) >= cut).await;
        let (head, chunks) = heard.split_once("\r\n\r\n").unwrap();
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned();
        let heard = whole_chunks(chunks);
        let last: u64 = heard.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().map_or(0, |id| id.parse().unwrap());
        if late {
            sleep(secs(5)).await;
        }
        let path = format!("/v1/weir/calls/{id}/stream?after={last}");
        let rest = bench.send("GET", &path, "x-weir-event-ids: 1\r\n", "").await;
        assert_eq!((rest.status(), rest.header("x-weir-call")), (200, Some(&*id)), "cut at {cut}");
        let data = |text: &str| text.lines().filter(|line| line.starts_with("data: ")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!([data(&heard), data(&rest.body)].concat(), data(&whole), "cut at {cut} late={late}");
        let ids: Vec<u64> = rest.body.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
        assert_eq!(ids, (last + 1..=count as u64).collect::<Vec<_>>(), "{}", rest.body);
        bench.gateway.closer.idle().await;
        assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
        assert_eq!(bench.call(rest.id()).requests[0].how, How::Resume);
    }
}

#[tokio::test(start_paused = true)]
async fn d3_what_cannot_be_resumed_says_why() {
    let bench = Bench::new(|_| {});
    let read = bench.post("", &body("sim:tokens=3", true)).await;
    sleep(secs(3_600)).await;
    let gone = bench.send("GET", &format!("/v1/weir/calls/{}/stream?after=1", read.id()), "", "").await;
    assert_eq!((gone.status(), gone.error()["code"].as_str()), (410, Some("replay_gone")));
    let unknown = bench.send("GET", "/v1/weir/calls/wr_00000000000000000000000000/stream", "", "").await;
    assert_eq!((unknown.status(), unknown.error()["code"].as_str()), (404, Some("call_not_found")));
}

#[tokio::test(start_paused = true)]
async fn d3_an_answer_that_outgrew_its_buffer_cannot_be_joined_and_is_not_made_twice() {
    let bench = Arc::new(Bench::new(|settings| settings.replay = Replay { answer_bytes: 2_000, ..Replay::default() }));
    let text = body("sim:tokens=100,interval=100ms", true);
    let mut first = JoinSet::new();
    first.spawn({
        let (bench, text) = (Arc::clone(&bench), text.clone());
        async move { bench.post(KEY, &text).await }
    });
    sleep(secs(8)).await;
    let busy = bench.post(KEY, &text).await;
    assert_eq!((busy.status(), busy.error()["code"].as_str()), (409, Some("idempotency_in_progress")));
    assert_eq!((busy.header("retry-after"), busy.header("x-should-retry")), (Some("2"), Some("true")));
    assert!(first.join_all().await[0].body.ends_with("data: [DONE]\n\n"));
    let gone = bench.post(KEY, &text).await;
    assert_eq!((gone.status(), gone.error()["code"].as_str()), (409, Some("idempotency_replay_gone")));
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn d3_readers_who_are_there_get_all_of_an_answer_that_outgrows_its_buffer() {
    let bench = Arc::new(Bench::new(|settings| settings.replay = Replay { answer_bytes: 2_000, ..Replay::default() }));
    let text = body("sim:tokens=100,interval=10ms", true);
    let mut asked = JoinSet::new();
    for _ in 0..5 {
        let (bench, text) = (Arc::clone(&bench), text.clone());
        asked.spawn(async move { bench.post(KEY, &text).await });
    }
    let answers = asked.join_all().await;
    assert!(answers.iter().all(|read| read.body == answers[0].body && read.body.ends_with("data: [DONE]\n\n")), "{}", answers[0].body);
    assert_eq!((bench.upstream_calls(), bench.charges()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn d3_a_client_that_repeats_its_own_running_call_is_not_refused_by_its_own_limits() {
    let limits = Limits { concurrency: Some(1), rpm: Some(1), ..Limits::default() };
    let bench = Arc::new(Bench::limited(false, limits, |_| {}));
    let text = body("sim:tokens=20,interval=100ms", true);
    let mut asked = JoinSet::new();
    for n in 0..3_u64 {
        let (bench, text) = (Arc::clone(&bench), text.clone());
        asked.spawn(async move {
            sleep(Duration::from_millis(n * 200)).await;
            bench.post(KEY, &text).await
        });
    }
    assert!(asked.join_all().await.iter().all(|read| read.status() == 200));
    assert_eq!(bench.upstream_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn d3_equal_calls_at_once_that_were_refused_are_retried_and_do_not_join_each_other() {
    let limits = Limits { concurrency: Some(1), ..Limits::default() };
    let bench = Arc::new(Bench::limited(false, limits, |_| {}));
    let text = body("sim:tokens=20,interval=100ms", true);
    let mut first = JoinSet::new();
    first.spawn({
        let (bench, text) = (Arc::clone(&bench), text.clone());
        async move { bench.post("", &text).await }
    });
    sleep(secs(1)).await;
    assert_eq!(bench.post("", &text).await.status(), 429);
    // Its retry is a second sample, not the first one's answer.
    let retried = bench.post(MARK, &text).await;
    assert_eq!((retried.status(), retried.header("x-weir-call")), (429, None));
    first.join_all().await;
    let retried = bench.post(MARK, &text).await;
    assert_eq!((retried.status(), retried.header("x-weir-call"), bench.upstream_calls()), (200, None, 2));
}

#[tokio::test(start_paused = true)]
async fn r41_a_replayed_answer_is_in_memory_only_and_not_longer_than_its_time() {
    let bench = Bench::new(|_| {});
    let text = r#"{"model":"sim:echo","messages":[{"role":"user","content":"the violet lantern hums over the seventh quay"}]}"#;
    let first = bench.post(KEY, text).await;
    let again = bench.post(KEY, text).await;
    assert!(first.body.contains("violet lantern") && again.body == first.body, "{}", first.body);
    assert!(bench.gateway.joins.bytes() > 0);
    for (name, bytes) in bench.files() {
        for canary in ["violet lantern", "seventh quay", "order-12345678"] {
            assert!(memchr::memmem::find(&bytes, canary.as_bytes()).is_none(), "{canary} is in {name}");
        }
    }
    sleep(secs(601)).await;
    bench.gateway.joins.expire();
    assert_eq!(bench.gateway.joins.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn d3_answers_are_bounded_all_together_and_the_oldest_go_first() {
    let bench = Bench::new(|settings| settings.replay = Replay { bytes: 64 << 10, ..Replay::default() });
    let mut ids = Vec::new();
    for n in 0..40 {
        let text = format!(r#"{{"model":"sim:tokens=30","stream":true,"messages":[{{"role":"user","content":"{n}"}}]}}"#);
        ids.push(bench.post("", &text).await.id());
        assert!(bench.gateway.joins.bytes() <= 64 << 10);
    }
    let resumed = |id: RequestId| format!("/v1/weir/calls/{id}/stream");
    assert_eq!(bench.send("GET", &resumed(ids[0]), "", "").await.status(), 410);
    assert_eq!(bench.send("GET", &resumed(ids[39]), "", "").await.status(), 200);
}

/// On two threads, in real time: whatever the interleaving of joining, leaving and ending, nobody waits for ever and everybody reads the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d3_readers_on_several_threads_read_the_same_and_nobody_waits_for_ever() {
    let bench = Arc::new(Bench::new(|settings| settings.streams.linger = secs(1)));
    for round in 0..30_u64 {
        let stream = round % 3 > 0;
        let text = format!(r#"{{"model":"sim:tokens=40","stream":{stream},"messages":[{{"role":"user","content":"{round}"}}]}}"#);
        let key = format!("idempotency-key: threads-12345678-{round}\r\n");
        let mut asked = JoinSet::new();
        for n in 0..24_usize {
            let (bench, text, key) = (Arc::clone(&bench), text.clone(), key.clone());
            asked.spawn(async move {
                if n % 4 == 3 {
                    bench.leave(&key, &text, |heard| events(heard) > n).await;
                    return None;
                }
                Some(bench.post(&key, &text).await)
            });
        }
        let answers: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        let other = answers.iter().find(|read| read.status() != 200 || read.body != answers[0].body);
        let ends = |read: &Read| format!("{} {} bytes …{}", read.head, read.body.len(), &read.body[read.body.len().saturating_sub(300)..]);
        assert!(other.is_none(), "round {round}: {}\n{}", ends(&answers[0]), other.map(ends).unwrap_or_default());
    }
    bench.gateway.closer.idle().await;
    assert!(bench.gateway.books().flush().await);
    assert_eq!((bench.upstream_calls(), bench.charges()), (30, 30));
    bench.audited();
}
