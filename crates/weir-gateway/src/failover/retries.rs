//! Retries of one call: what is sent again, where, how late, and what is not.

use tokio::io::AsyncReadExt;
use weir_core::{Charged, Scenario, Side, Timeouts, Verdict};

use super::pair::{A, A_FIRST, B, Pair, attempts, rest};
use crate::promises::secs;

const ONLY_A: [u32; 2] = [1, 0];

fn quick(settings: &mut crate::Settings) {
    settings.timeouts = Timeouts { connect: secs(2), first_byte: secs(3), idle: secs(4), total: secs(60) };
}

/// Whatever befalls the first upstream before a byte of an answer has passed, its client gets the second one's answer.
#[tokio::test(start_paused = true)]
async fn a_dying_upstream_costs_a_client_that_has_got_nothing_nothing() {
    let faults = [
        ("refuses", "W-TMO-003"),
        ("hangs", "W-TMO-003"),
        ("mute", "W-TMO-004"),
        ("reset_after_accept", "W-TMO-009"),
        ("500", "W-UP-001"),
        ("503", "W-UP-002"),
        ("529", "W-UP-002"),
        ("502_html", "W-UP-001"),
        ("408", "W-TMO-002"),
        ("409", "W-REQ-001"),
        ("429", "W-RATE-005"),
        ("429_hint=20s", "W-RATE-005"),
        ("429_first_event", "W-RATE-005"),
        ("hidden_busy", "W-UP-002"),
        ("cut_bytes=1", "W-STREAM-005"),
    ];
    let of_streams = [
        ("error_first", "W-UP-001"),
        ("html_for_stream", "W-STREAM-003"),
        ("no_data", "W-STREAM-001"),
        ("no_data=30s", "W-TMO-005"),
        ("cut_after=0", "W-STREAM-005"),
        ("comments=1,cut_after=0", "W-STREAM-005"),
        ("gzip", "W-STREAM-003"),
    ];
    let both = faults.into_iter().flat_map(|(words, verdict)| [(words, verdict, true), (words, verdict, false)]);
    for (words, verdict, stream) in both.chain(of_streams.map(|(words, verdict)| (words, verdict, true))) {
        let pair = Pair::new(A_FIRST, quick);
        pair.set(A, words);
        let before = pair.balance();
        let (read, record) = pair.asked("m", stream, "").await;
        let case = format!("{words} stream={stream}: {} {}", read.head, read.body);
        assert_eq!((read.status(), record.verdict, record.ended_by), (200, Verdict::Ok, Side::Done), "{case}");
        assert!(read.body.ends_with(if stream { "data: [DONE]\n\n" } else { "}" }), "{case}");
        let tried: Vec<_> = attempts(&record).into_iter().map(|(channel, wait, _)| (channel, wait)).collect();
        assert_eq!(tried, [("a/main", 0), ("b/main", 0)], "{case}");
        assert_eq!(record.attempts[0].verdict.map(Verdict::code), Some(verdict), "{case}");
        assert_eq!((record.attempts[1].verdict, pair.seen(B)), (None, 1), "{case}");
        assert!(record.attempts[1].upstream_id.is_some() && record.attempts[1].at_ms >= record.attempts[0].ms, "{case}");
        assert_eq!((record.charge.charged, before - pair.balance()), (Charged::Yes, record.charge.amount.0), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waiting_cannot_mend_is_asked_once() {
    for words in ["400", "404", "413", "422", "context_length", "content_policy"] {
        for stream in [true, false] {
            let pair = Pair::new(A_FIRST, |_| {});
            pair.set(A, words);
            let (read, record) = pair.asked("m", stream, "x-weir-scenario: batch\r\n").await;
            assert_ne!(read.status(), 200, "{words}");
            assert_eq!((record.attempts.len(), pair.seen(A), pair.seen(B)), (1, 1, 0), "{words}");
            assert_eq!(record.charge.charged, Charged::No, "{words}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_one_credential_is_never_asked_again_on_it_and_another_serves_the_call() {
    for words in ["401", "402", "403", "429_daily", "429_balance", "503_no_upstream"] {
        let pair = Pair::new(A_FIRST, |_| {});
        pair.set(A, words);
        let (read, record) = pair.asked("m", true, "x-weir-scenario: batch\r\n").await;
        assert_eq!((read.status(), record.charge.charged), (200, Charged::Yes), "{words}");
        assert_eq!((record.attempts.len(), pair.seen(A), pair.seen(B)), (2, 1, 1), "{words}");
        pair.set(B, words);
        let (read, record) = pair.asked("n", true, "x-weir-scenario: batch\r\n").await;
        assert_ne!(read.status(), 200, "{words}");
        assert!(record.attempts.len() <= 2 && record.charge.charged == Charged::No, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn d2_what_never_left_is_sent_again_and_what_may_have_arrived_never_to_the_same_channel() {
    type Case = (&'static str, &'static str, [u32; 2], &'static [&'static str], Verdict);
    // How the upstream fails, the kind of use, whether there is a second one that fails alike; then the attempts.
    let table: [Case; 9] = [
        ("refuses", "short_chat", ONLY_A, &["a/main", "a/main", "a/main"], Verdict::UpstreamConnectTimeout),
        ("refuses", "media_task", ONLY_A, &["a/main", "a/main"], Verdict::UpstreamConnectTimeout),
        ("refuses", "media_task", A_FIRST, &["a/main", "b/main"], Verdict::UpstreamConnectTimeout),
        ("reset_after_accept", "short_chat", ONLY_A, &["a/main"], Verdict::OutcomeUnknown),
        ("reset_after_accept", "batch", A_FIRST, &["a/main", "b/main"], Verdict::OutcomeUnknown),
        ("reset_after_accept", "media_task", A_FIRST, &["a/main"], Verdict::OutcomeUnknown),
        ("mute", "short_chat", A_FIRST, &["a/main", "b/main"], Verdict::FirstByteTimeout),
        ("mute", "media_task", A_FIRST, &["a/main"], Verdict::FirstByteTimeout),
        ("503", "media_task", A_FIRST, &["a/main"], Verdict::UpstreamOverloaded),
    ];
    for (words, scenario, weights, channels, verdict) in table {
        let pair = Pair::new(weights, quick);
        pair.set(A, words);
        pair.set(B, words);
        let (read, record) = pair.asked("m", false, &format!("x-weir-scenario: {scenario}\r\n")).await;
        let tried: Vec<_> = record.attempts.iter().map(|attempt| attempt.channel.as_str()).collect();
        assert_eq!((tried.as_slice(), record.verdict), (channels, verdict), "{words} {scenario}");
        assert_eq!((record.scenario.label(), record.charge.charged), (scenario, Charged::No), "{words}");
        let stops = verdict == Verdict::OutcomeUnknown;
        assert_eq!(read.header("x-should-retry"), stops.then_some("false"), "{words} {scenario}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_channel_is_not_asked_again_although_the_other_cannot_be_reached() {
    let pair = Pair::new(A_FIRST, quick);
    pair.set(A, "mute");
    pair.set(B, "refuses");
    let (_, record) = pair.asked("m", true, "").await;
    assert_eq!(attempts(&record).iter().filter(|(channel, ..)| *channel == "a/main").count(), 1, "{:?}", record.attempts);
    assert_eq!(record.attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_follows_the_first_byte_of_an_answer() {
    for words in ["cut_after=1", "error_after=1", "cut_clean_after=1", "stall_after=1"] {
        let pair = Pair::new(A_FIRST, quick);
        pair.set(A, words);
        let (read, record) = pair.asked("m", true, "").await;
        assert_eq!((read.status(), record.attempts.len(), pair.seen(B)), (200, 1, 0), "{words}");
        assert!(!read.body.contains("[DONE]") && read.error()["verdict"].is_string(), "{words}: {}", read.body);
    }
}

#[tokio::test(start_paused = true)]
async fn r31_a_told_wait_is_obeyed_to_the_millisecond() {
    for words in ["429_ms_once=1500ms", "429_hint_once=2s", "429_body_once=1700ms"] {
        let told: u32 =
            words.split('=').nth(1).map(|span| if span == "2s" { 2000 } else { span.trim_end_matches("ms").parse().unwrap() }).unwrap();
        let pair = Pair::new(ONLY_A, |settings| settings.policies.short_chat.patience = secs(3));
        pair.set(A, words);
        let (read, record) = pair.asked("m", true, "").await;
        let [(_, 0, Some(429)), (_, wait, Some(200))] = attempts(&record)[..] else { panic!("{words}: {:?}", record.attempts) };
        assert!((told..=told + told / 10).contains(&wait), "{words}: waited {wait}");
        assert_eq!((read.status(), record.attempts[1].at_ms), (200, wait), "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn r34_the_third_429_says_when_to_come_back_and_until_then_nobody_is_asked() {
    let pair = Pair::new(ONLY_A, |_| {});
    pair.set(A, "429_ms=1200ms");
    let (read, record) = pair.asked("m", true, "").await;
    let waits: Vec<_> = attempts(&record).iter().map(|(_, wait, _)| *wait).collect();
    assert_eq!((read.status(), waits.len()), (429, 3));
    assert!(waits[1] >= 1_200 && waits[2] >= waits[1], "{waits:?}");
    assert_eq!((record.verdict, record.model.as_str()), (Verdict::UpstreamThrottled, "m"));
    let reset = pair.now().after(std::time::Duration::from_millis(1_200)).rfc3339();
    assert_eq!((read.error()["resetAt"].as_str(), read.header("retry-after-ms")), (Some(reset.as_str()), Some("1200")));
    rest(1_199).await;
    let (early, record) = pair.asked("m", false, "").await;
    assert_eq!((early.status(), early.error()["resetAt"].as_str(), early.header("retry-after-ms")), (429, Some(reset.as_str()), Some("1")));
    assert_eq!((record.verdict, record.attempts.len(), pair.seen(A)), (Verdict::UpstreamThrottled, 0, 3));
    assert_eq!(pair.chat("another", true, "").await.status(), 429, "another model is asked");
    assert!(pair.seen(A) > 3);
    pair.set(A, "ok");
    rest(1).await;
    assert_eq!(pair.chat("m", true, "").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_longer_told_wait_than_the_patience_goes_to_the_client_at_once_and_a_batch_waits_for_it() {
    let pair = Pair::new(ONLY_A, |_| {});
    pair.set(A, "429_hint_once=25s");
    let (read, record) = pair.asked("chat", true, "").await;
    assert_eq!((read.status(), read.header("retry-after"), record.timing.total), (429, Some("25"), 0));
    let (read, record) = pair.asked("batch", true, "x-weir-scenario: batch\r\n").await;
    assert_eq!((read.status(), record.verdict), (200, Verdict::Ok), "{}", read.body);
    // The stream was opened early, and heartbeats filled the wait; neither is a commit.
    assert_eq!(read.body.matches(": weir\n\n").count(), 1, "at 20 s: {}", read.body);
    assert!((25_000..=27_500).contains(&record.attempts[1].at_ms), "{:?}", record.attempts);
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_the_waits_grow_and_a_scenario_that_is_no_word_is_a_chat() {
    let pair = Pair::new(ONLY_A, |_| {});
    pair.set(A, "429");
    let (read, record) = pair.asked("m", false, "x-weir-scenario: nonsense\r\n").await;
    let waits: Vec<_> = attempts(&record).iter().map(|(_, wait, _)| *wait).collect();
    assert_eq!((read.status(), waits.len(), record.scenario), (429, 3, Scenario::ShortChat));
    assert!(waits[0] == 0 && waits[1] > 0 && waits[2] >= waits[1] && waits[2] <= 1_000, "{waits:?}");
    assert_eq!(read.error()["resetAt"], serde_json::Value::Null, "nobody told one");
}

#[tokio::test(start_paused = true)]
async fn no_retry_makes_an_answer_later_than_the_sdk_waits() {
    for words in ["mute", "503,first_byte=4s", "429_hint=9s"] {
        let pair = Pair::new(A_FIRST, |_| {});
        pair.set(A, words);
        pair.set(B, words);
        for stream in [true, false] {
            let headers = "x-stainless-read-timeout: 10\r\nx-weir-scenario: batch\r\n";
            let (read, record) = pair.asked(&format!("{words} {stream}"), stream, headers).await;
            assert!(read.status() >= 429 && record.timing.total <= 9_000, "{words} {stream}: {:?}", record.timing);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_announces_nothing_is_answered_within_what_its_policy_takes_it_to_wait() {
    for (stream, client, upstream, most) in
        [(true, 10, 600, 9_000), (false, 10, 600, 9_000), (false, 600, 20, 20_000), (true, 600, 20, 20_000)]
    {
        let pair = Pair::new(A_FIRST, |settings| {
            let policy = &mut settings.policies.short_chat;
            (policy.client_timeout, policy.upstream_timeout) = (secs(client), secs(upstream));
        });
        for words in ["mute", "hangs", "503,first_byte=8s"] {
            pair.set(A, words);
            pair.set(B, words);
            let (read, record) = pair.asked(words, stream, "").await;
            assert!(record.timing.total <= most && read.error()["verdict"].is_string(), "{words} {stream} {client}: {:?}", record.timing);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_or_a_stop_ends_the_wait_for_the_next_attempt() {
    let pair = Pair::new(ONLY_A, |_| {});
    pair.set(A, "429_hint=25s");
    let (near, connection) = pair.send("POST", "/v1/chat/completions", "x-weir-scenario: batch\r\n", &super::pair::chat("left", true));
    let leave = async {
        tokio::time::sleep(secs(5)).await;
        drop(near);
    };
    tokio::join!(leave, connection);
    pair.gateway.closer.idle().await;
    let record = pair.records().remove(0);
    assert_eq!((record.verdict, record.ended_by, record.timing.total), (Verdict::ClientLeft, Side::Client, 5_000));
    assert_eq!((pair.seen(A), record.charge.charged), (1, Charged::No));
    rest(60_000).await;
    let (mut near, connection) =
        pair.send("POST", "/v1/chat/completions", "x-weir-scenario: batch\r\n", &super::pair::chat("stopped", true));
    let stop = async {
        tokio::time::sleep(secs(5)).await;
        pair.gateway.drain(secs(3)).await;
    };
    let read = async {
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        text
    };
    let (text, (), ()) = tokio::join!(read, connection, stop);
    assert!(text.contains("W-GW-002") && pair.seen(A) == 2, "{text}");
}
