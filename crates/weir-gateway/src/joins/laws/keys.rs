//! What an `Idempotency-Key` promises.

use tokio::time::sleep;

use super::{CHAT, KEY, MARK, body};
use crate::promises::{Bench, secs};

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
