//! Limits on a whole gateway in simulated time: what a refused client is told is true to the millisecond, whatever the limit.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{task::JoinSet, time::advance};
use weir_core::{Charged, LimitKind, LimitScope, Limits, Timestamp, Verdict};

use crate::promises::{Bench, Read};

const ASKED: &str = r#"{"model":"sim:tokens=20","max_tokens":30,"messages":[{"role":"user","content":"hi"}]}"#;

impl Bench {
    async fn plain(&self) -> Read {
        self.send("POST", "/v1/chat/completions", "", ASKED).await
    }

    async fn by(&self, caller: &str) -> Read {
        self.send("POST", "/v1/chat/completions", &format!("x-weir-caller: {caller}\r\n"), ASKED).await
    }

    fn now(&self) -> Timestamp {
        self.gateway.clock.now()
    }
}

fn reset_at(read: &Read) -> Timestamp {
    Timestamp::from_rfc3339(read.error()["resetAt"].as_str().unwrap()).unwrap()
}

fn upstream_calls(bench: &Bench) -> usize {
    bench.sim.requests().len()
}

#[tokio::test(start_paused = true)]
async fn r29_a_429_says_when_and_who_waits_gets_in_and_not_a_millisecond_before() {
    // Input 11 to 12 tokens, output at most 30, of which 20 come: two such calls, and no third.
    let shanghai = Some("Asia/Shanghai".to_owned());
    let table = [
        (Limits { rpm: Some(2), ..Limits::default() }, "rate_limit_exceeded", "W-RATE-001"),
        (Limits { tpm: Some(80), ..Limits::default() }, "rate_limit_exceeded", "W-RATE-001"),
        (Limits { daily_requests: Some(2), zone: shanghai, ..Limits::default() }, "key_daily_quota_exceeded", "W-RATE-003"),
        (Limits { daily_tokens: Some(80), ..Limits::default() }, "key_daily_quota_exceeded", "W-RATE-003"),
        (Limits { daily_amount: Some(600), ..Limits::default() }, "key_daily_quota_exceeded", "W-RATE-003"),
    ];
    for (limits, code, verdict) in table {
        let bench = Bench::limited(false, limits.clone(), |_| {});
        for _ in 0..2 {
            assert_eq!(bench.plain().await.status(), 200, "{limits:?}");
            advance(Duration::from_millis(777)).await;
        }
        let refused = bench.plain().await;
        let error = refused.error();
        assert_eq!((refused.status(), error["code"].as_str(), error["verdict"].as_str()), (429, Some(code), Some(verdict)), "{error}");
        assert_eq!((error["scope"].as_str(), error["charged"].as_bool()), (Some("key"), Some(false)));
        let wait = reset_at(&refused).since(bench.now());
        agrees(&refused, wait);
        assert_eq!(refused.header("x-should-retry"), code.starts_with("key_daily").then_some("false"));
        let record = bench.record(refused.id());
        assert_eq!((record.limit.unwrap().scope, record.charge.charged, record.attempts.len()), (LimitScope::Key, Charged::No, 0));
        advance(wait - Duration::from_millis(1)).await;
        let early = bench.plain().await;
        assert_eq!(early.status(), 429, "{limits:?}: a millisecond early");
        assert_eq!(reset_at(&early), reset_at(&refused), "what was told stays true");
        advance(Duration::from_millis(1)).await;
        assert_eq!(bench.plain().await.status(), 200, "{limits:?}");
        assert_eq!(upstream_calls(&bench), 3);
    }
}

/// Every way in which a 429 tells its wait says the same, within the second that whole seconds cost.
fn agrees(refused: &Read, wait: Duration) {
    let millis = u64::try_from(wait.as_millis()).unwrap();
    assert_eq!(refused.header("retry-after-ms"), Some(&*millis.to_string()));
    assert_eq!(refused.header("retry-after"), Some(&*millis.div_ceil(1000).to_string()));
    assert_eq!(refused.error()["retryAfterMs"], millis);
    let fields = refused.header("ratelimit").unwrap();
    assert!(fields.contains(&format!(";t={}", millis.div_ceil(1000))), "{fields}");
    assert!(refused.header("ratelimit-policy").is_some());
}

#[tokio::test(start_paused = true)]
async fn r30_the_fourth_call_of_a_quota_of_three_is_refused_until_midnight_where_the_key_lives() {
    let limits = Limits { daily_requests: Some(3), zone: Some("Asia/Shanghai".to_owned()), ..Limits::default() };
    let bench = Bench::limited(false, limits, |_| {});
    for _ in 0..3 {
        assert_eq!(bench.plain().await.status(), 200);
    }
    let refused = bench.plain().await;
    assert_eq!(refused.error()["resetAt"], "2026-01-02T00:00:00+08:00");
    assert!(refused.error()["message"].as_str().unwrap().contains("will reset at 2026-01-02T00:00:00+08:00"));
    assert_eq!((refused.header("x-should-retry"), upstream_calls(&bench)), (Some("false"), 3));
    for _ in 0..50 {
        assert_eq!(bench.plain().await.status(), 429, "refusals cost nothing of the quota");
    }
}

#[tokio::test(start_paused = true)]
async fn r9_concurrency_is_refused_by_its_own_code_and_the_told_time_is_kept_by_waiting_for_a_place() {
    let bench = Arc::new(Bench::limited(false, Limits { concurrency: Some(1), ..Limits::default() }, |_| {}));
    let mut running = JoinSet::new();
    let slow = Arc::clone(&bench);
    running.spawn(async move { slow.chat("sim:tokens=10,interval=1s").await });
    advance(Duration::from_millis(50)).await;
    let refused = bench.plain().await;
    let error = refused.error();
    assert_eq!((error["code"].as_str(), error["verdict"].as_str()), (Some("concurrency_limit"), Some("W-RATE-004")));
    let wait = reset_at(&refused).since(bench.now());
    agrees(&refused, wait);
    advance(wait - Duration::from_millis(1)).await;
    assert_eq!(bench.plain().await.status(), 429, "the place is taken, and it is not yet time");
    advance(Duration::from_millis(1)).await;
    let admitted = bench.plain().await;
    assert_eq!(admitted.status(), 200, "it came when it was told to, and waited for its place");
    assert!(bench.record(admitted.id()).timing.queued.unwrap() > 5_000);
    assert_eq!(running.join_next().await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn thousands_at_once_never_exceed_a_limit_and_leak_none_of_it() {
    let limits = Limits { rpm: Some(500), concurrency: Some(40), daily_requests: Some(700), ..Limits::default() };
    let bench = Arc::new(Bench::limited(false, limits, |_| {}));
    let mut calls = JoinSet::new();
    for n in 0..2_000_u64 {
        let bench = Arc::clone(&bench);
        calls.spawn(async move {
            tokio::time::advance(Duration::from_millis(n % 3)).await;
            (n, bench.plain().await.status())
        });
    }
    let mut admitted = 0;
    while let Some(done) = calls.join_next().await {
        let (_, status) = done.unwrap();
        assert!(matches!(status, 200 | 429));
        admitted += usize::from(status == 200);
    }
    assert_eq!(admitted, upstream_calls(&bench));
    assert!(admitted <= 500, "{admitted} within one minute");
    // What the first minutes left of the day, the following ones may have: to the last unit, and not one more.
    let mut sum = admitted;
    for _ in 0..5 {
        advance(Duration::from_secs(60)).await;
        for _ in 0..300 {
            sum += usize::from(bench.plain().await.status() == 200);
        }
    }
    assert_eq!((sum, upstream_calls(&bench)), (700, 700));
}

#[tokio::test(start_paused = true)]
async fn a_kill_opens_no_limit() {
    let limits = Limits { rpm: Some(3), daily_requests: Some(4), ..Limits::default() };
    let mut bench = Bench::limited(false, limits, |_| {});
    for _ in 0..3 {
        assert_eq!(bench.plain().await.status(), 200);
        // The next process's dice begin anew; its ids must not.
        advance(Duration::from_millis(7)).await;
        bench = bench.killed(|_| {});
    }
    let refused = bench.plain().await;
    assert_eq!(refused.error()["code"], "rate_limit_exceeded");
    advance(reset_at(&refused).since(bench.now())).await;
    bench = bench.killed(|_| {});
    assert_eq!(bench.plain().await.status(), 200);
    bench = bench.killed(|_| {});
    advance(Duration::from_secs(120)).await;
    assert_eq!(bench.plain().await.error()["code"], "key_daily_quota_exceeded");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_opens_no_limit_and_closes_none() {
    for set_ms in [-86_400_000, -3_600_000, -900, 900, 3_600_000] {
        let limits = Limits { rpm: Some(2), daily_requests: Some(4), ..Limits::default() };
        let bench = Bench::limited(false, limits, |_| {});
        advance(Duration::from_secs(7_200)).await;
        for _ in 0..2 {
            assert_eq!(bench.plain().await.status(), 200);
        }
        bench.set_wall(set_ms);
        let refused = bench.plain().await;
        assert_eq!(refused.error()["code"], "rate_limit_exceeded", "set by {set_ms} ms");
        let wait = reset_at(&refused).since(bench.now());
        // A wall set forth by less than a second is taken for one that is being disciplined: the limits move with it.
        assert!(wait.abs_diff(Duration::from_secs(60)) <= Duration::from_secs(1), "told by the wall as it is now: {wait:?}");
        advance(wait).await;
        for _ in 0..2 {
            assert_eq!(bench.plain().await.status(), 200, "set by {set_ms} ms");
        }
        advance(Duration::from_secs(60)).await;
        assert_eq!(bench.plain().await.error()["code"], "key_daily_quota_exceeded", "set by {set_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_charged_costs_nothing_of_the_day_and_one_that_asked_no_upstream_nothing_at_all() {
    let bench = Bench::limited(false, Limits { rpm: Some(4), daily_requests: Some(1), ..Limits::default() }, |_| {});
    let failing = r#"{"model":"sim:500","max_tokens":30,"messages":[]}"#;
    assert_eq!(bench.send("POST", "/v1/chat/completions", "", failing).await.status(), 502);
    let dear = r#"{"model":"sim:ok","max_tokens":900000000000,"messages":[]}"#;
    let unpaid = bench.send("POST", "/v1/chat/completions", "", dear).await;
    assert_eq!(unpaid.status(), 402);
    let read = bench.plain().await;
    assert_eq!((read.status(), read.header("x-ratelimit-remaining-requests")), (200, Some("0")));
    let limits: Value = serde_json::from_str(&bench.send("GET", "/v1/weir/limits", "", "").await.body).unwrap();
    let left: Vec<_> = limits["limits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|limit| (limit["kind"].as_str().unwrap(), limit["remaining"].as_u64().unwrap()))
        .collect();
    assert_eq!(left, [("requests_per_minute", 2), ("daily_requests", 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_may_wait_a_little_instead_of_being_refused_and_those_who_wait_are_let_in_in_turn() {
    let bench = Arc::new(Bench::limited(false, Limits { concurrency: Some(1), ..Limits::default() }, |settings| {
        settings.limits.max_wait = Duration::from_secs(5);
    }));
    let mut calls = JoinSet::new();
    for n in 0..8_u64 {
        let bench = Arc::clone(&bench);
        calls.spawn(async move {
            tokio::time::advance(Duration::from_millis(1)).await;
            let read = bench.chat("sim:tokens=2,interval=500ms").await;
            (n, read.status(), bench.now())
        });
    }
    let mut done = Vec::new();
    while let Some(call) = calls.join_next().await {
        done.push(call.unwrap());
    }
    let mut admitted: Vec<_> = done.iter().filter(|(_, status, _)| *status == 200).collect();
    assert!((4..8).contains(&admitted.len()), "about five seconds' worth: {done:?}");
    admitted.sort_by_key(|(_, _, at)| *at);
    assert!(admitted.windows(2).all(|pair| pair[0].2 < pair[1].2), "one at a time");
    assert!(done.iter().any(|(_, status, _)| *status == 429), "the wait is bounded");
}

#[tokio::test(start_paused = true)]
async fn r37_callers_on_a_shared_key_are_told_apart_and_share_it_when_it_is_short() {
    let bench = Bench::limited(false, Limits { rpm: Some(10), ..Limits::default() }, |_| {});
    for _ in 0..10 {
        assert_eq!(bench.by("hog").await.status(), 200);
    }
    let refused = bench.by("small").await;
    assert_eq!(refused.error()["verdict"], "W-RATE-008");
    assert!(refused.error()["message"].as_str().unwrap().contains("100 % of the key's calls are of the caller hog"));
    assert_eq!(bench.record(refused.id()).verdict, Verdict::SharedKeyTaken);
    let limits: Value = serde_json::from_str(&bench.send("GET", "/v1/weir/limits", "", "").await.body).unwrap();
    assert_eq!((limits["callers"][0]["caller"].as_str(), limits["callers"][0]["share_percent"].as_u64()), (Some("hog"), Some(100)));
    advance(Duration::from_secs(30)).await;
    assert_eq!(bench.by("small").await.status(), 429);
    advance(Duration::from_secs(30)).await;
    // Everything is open again; one asks as often as it likes, and half is kept for the other, who lately got none.
    bench.by("small").await;
    let mut hog = 0;
    for _ in 0..10 {
        hog += usize::from(bench.by("hog").await.status() == 200);
    }
    let mut small = 1;
    for _ in 0..10 {
        small += usize::from(bench.by("small").await.status() == 200);
    }
    assert_eq!((hog, small), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_retries_before_the_told_time_is_told_so() {
    let bench = Bench::limited(false, Limits { rpm: Some(1), ..Limits::default() }, |_| {});
    bench.plain().await;
    let mut verdicts = Vec::new();
    for _ in 0..4 {
        let read = bench.plain().await;
        verdicts.push(read.error()["verdict"].as_str().unwrap().to_owned());
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(verdicts, ["W-RATE-001", "W-RATE-001", "W-RATE-001", "W-RATE-009"]);
    let record = bench.record(bench.plain().await.id());
    assert_eq!(record.limit.map(|limit| (limit.kind, limit.early)), Some((LimitKind::RequestsPerMinute, 4)));
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_whole_limit_is_told_that_it_never_fits() {
    let bench = Bench::limited(false, Limits { tpm: Some(20), ..Limits::default() }, |_| {});
    let refused = bench.plain().await;
    assert_eq!((refused.error()["verdict"].as_str(), refused.header("x-should-retry")), (Some("W-REQ-002"), Some("false")));
    assert!(refused.error().get("resetAt").is_none());
}

/// Two channels of one upstream; the first may be asked twice a minute.
fn two_channels(settings: &mut crate::Settings) {
    let channels = &mut settings.upstreams[0].channels;
    channels[0].limits = Limits { rpm: Some(2), ..Limits::default() };
    let other = crate::Channel { name: "other".to_owned(), limits: Limits::default(), ..channels[0].clone() };
    channels.push(other);
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_never_asked_more_than_it_may_be_and_the_rest_goes_elsewhere() {
    let bench = Bench::limited(false, Limits::default(), two_channels);
    let mut asked = [0; 2];
    for _ in 0..12 {
        let read = bench.plain().await;
        assert_eq!(read.status(), 200);
        asked[usize::from(bench.record(read.id()).attempts[0].channel == "sim/other")] += 1;
    }
    assert_eq!(asked, [2, 10]);
}

#[tokio::test(start_paused = true)]
async fn r29_a_channel_that_is_used_up_says_when_and_that_it_is_no_limit_of_the_key() {
    let bench = Bench::limited(false, Limits::default(), |settings| {
        settings.upstreams[0].channels[0].limits = Limits { rpm: Some(1), ..Limits::default() };
    });
    assert_eq!(bench.plain().await.status(), 200);
    let refused = bench.plain().await;
    let error = refused.error();
    assert_eq!((error["scope"].as_str(), error["verdict"].as_str()), (Some("upstream"), Some("W-RATE-005")));
    let wait = reset_at(&refused).since(bench.now());
    assert_eq!(wait, Duration::from_secs(60));
    advance(wait - Duration::from_millis(1)).await;
    assert_eq!(bench.plain().await.status(), 429);
    advance(Duration::from_millis(1)).await;
    assert_eq!((bench.plain().await.status(), upstream_calls(&bench)), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_gives_its_place_on_a_channel_back_however_it_ends() {
    let bench = Arc::new(Bench::limited(false, Limits::default(), |settings| {
        settings.upstreams[0].channels[0].limits = Limits { concurrency: Some(1), ..Limits::default() };
    }));
    for model in ["sim:ok", "sim:500", "sim:cut_after=2", "sim:reset_after_accept", "sim:429_hint=60s", "sim:ok"] {
        let status = bench.chat(model).await.status();
        assert_ne!(bench.plain().await.status(), 429, "after {model}, {status}");
    }
}
