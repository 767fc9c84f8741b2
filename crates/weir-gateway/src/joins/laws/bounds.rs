//! Resuming, and what bounds the answers that are kept.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};
use weir_core::{How, Limits, RequestId};

use super::{KEY, MARK, body, events, whole_chunks};
use crate::{
    Replay,
    promises::{Bench, secs},
};

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
