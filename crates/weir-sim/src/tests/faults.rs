//! Each fault on the wire.

use super::*;
use crate::{
    Ended,
    catalog::{CATALOG, Group, Term},
};

/// What a fault must look like; the body's text and whether its framing was complete come with the whole.
type Sight = fn(&Got) -> bool;

/// One line per word that bends a chat stream.
const STREAMS: &[(&str, Sight)] = &[
    ("sim:ok", |g| g.complete() && g.body_text().ends_with("data: [DONE]\n\n") && g.body_text().contains(r#""finish_reason":"stop""#)),
    ("sim:tokens=200", |g| g.data_lines() == 203),
    ("sim:reasoning=4", |g| g.body_text().matches("reasoning_content").count() == 4),
    ("sim:tools=2", |g| {
        g.body_text().contains(r#""finish_reason":"tool_calls""#) && g.body_text().matches(r#""type":"function""#).count() == 2
    }),
    ("sim:refusal", |g| g.body_text().contains(r#"{"refusal":""#)),
    ("sim:finish=length", |g| g.body_text().contains(r#""finish_reason":"length""#)),
    ("sim:finish=content_filter", |g| g.body_text().contains(r#""finish_reason":"content_filter""#)),
    ("sim:big=64", |g| g.body_text().lines().any(|line| line.len() > 64 * 1024)),
    ("sim:obfuscation", |g| g.body_text().contains("obfuscation")),
    ("sim:echo", |g| g.body_text().contains(r#"{"content":"Count "}"#) && g.body_text().contains(r#"{"content":" to 20"}"#)),
    ("sim:echo_error=event", |g| g.data_lines() == 4 && g.body_text().contains("Invalid value: 'Count from 1 to 20'")),
    ("sim:cut_after=5", |g| g.data_lines() == 5 && !g.complete()),
    ("sim:cut_fin_after=5", |g| g.data_lines() == 5 && !g.complete()),
    ("sim:cut_clean_after=5", |g| g.data_lines() == 5 && g.complete()),
    ("sim:cut_after=50", |g| g.data_lines() == 50 && !g.complete()),
    ("sim:no_done", |g| g.complete() && g.data_lines() == 25 && !g.body_text().contains("stop") && !g.body_text().contains("[DONE]")),
    ("sim:no_finish", |g| g.complete() && !g.body_text().contains("stop") && g.body_text().contains("[DONE]")),
    ("sim:finish_no_done", |g| g.complete() && g.body_text().contains("stop") && !g.body_text().contains("[DONE]")),
    ("sim:unterminated_done", |g| g.complete() && g.body_text().ends_with("\n\ndata: [DONE]\n")),
    ("sim:no_data", |g| {
        g.status() == 200 && g.complete() && g.body_text().is_empty() && g.header("content-type").unwrap().starts_with("text/event-stream")
    }),
    ("sim:error_first", |g| g.status() == 200 && g.body_text().starts_with(r#"data: {"error":{"#) && g.data_lines() == 1),
    ("sim:error_after=5", |g| g.data_lines() == 6 && g.body_text().trim_end().lines().last().unwrap().starts_with(r#"data: {"error":{"#)),
    ("sim:error_flat", |g| g.data_lines() == 4 && g.body_text().contains(r#"data: {"type":"error","code""#)),
    ("sim:error_with_choices", |g| g.body_text().contains(r#""code":"server_error"},"choices":[]}"#)),
    ("sim:error_field", |g| g.body_text().contains("\nerror: {") && g.body_text().ends_with("data: [DONE]\n\n")),
    ("sim:429_first_event", |g| g.status() == 200 && g.body_text().contains("rate_limit_exceeded")),
    ("sim:bad_json", |g| broken_events(g) == 1),
    ("sim:glued_lines", |g| g.body_text().contains("}data: {") && g.data_lines() == 26),
    ("sim:no_prefix", |g| g.data_lines() == 0 && g.body_text().starts_with("{\"id\"")),
    ("sim:no_blank_lines", |g| g.data_lines() == 27 && !g.body_text().contains("\n\n")),
    ("sim:empty_data", |g| g.body_text().contains("\n\ndata:\n\n")),
    ("sim:named_ping", |g| g.body_text().contains("\n\nevent: ping\n\n")),
    ("sim:retry_line", |g| g.body_text().contains("\n\nretry: 3000\n\n")),
    ("sim:ids", |g| g.body_text().starts_with("id: 1\ndata: ") && g.body_text().contains("\n\nid: 27\n")),
    ("sim:comments=2", |g| g.body_text().matches(": sim\n\n").count() == 14),
    ("sim:crlf", |g| g.body_text().ends_with("data: [DONE]\r\n\r\n")),
    ("sim:cr", |g| g.body_text().ends_with("data: [DONE]\r\r") && !g.body_text().contains('\n')),
    ("sim:bom", |g| g.body_text().starts_with("\u{feff}data: ")),
    ("sim:glued=4", |g| g.text().split("\r\n").any(|chunk| chunk.matches("data: ").count() == 4)),
    ("sim:split=7", |g| g.text().contains("\r\n7\r\ndata: {\r\n") && g.complete() && g.reads.len() > 500),
    ("sim:json_for_stream", |g| g.json()["object"] == "chat.completion"),
    ("sim:html_for_stream", |g| g.status() == 200 && g.header("content-type").unwrap().starts_with("text/html") && g.data_lines() == 0),
    ("sim:wrong_type=html", |g| g.header("content-type").unwrap().starts_with("text/html") && g.data_lines() == 27),
    ("sim:wrong_type", |g| g.header("content-type").unwrap() == "application/json" && g.data_lines() == 27),
    ("sim:no_anti_buffer_headers", |g| g.header("cache-control").is_none() && g.header("x-accel-buffering").is_none()),
    ("sim:gzip", |g| g.header("content-encoding").unwrap() == "gzip" && unzipped(&g.body().0).ends_with("data: [DONE]\n\n")),
    ("sim:gzip_buffered", |g| g.header("content-encoding").unwrap() == "gzip" && unzipped(&g.body().0).ends_with("data: [DONE]\n\n")),
    ("sim:cut_bytes=100", |g| g.body().0.len() == 100 && !g.complete()),
    ("sim:bad_chunk", |g| g.text().ends_with("\r\nzz\r\n") && g.data_lines() == 3),
    ("sim:short_body", |g| !g.complete()),
    ("sim:http10", |g| g.text().starts_with("HTTP/1.0 200") && g.header("transfer-encoding").is_none() && g.data_lines() == 27),
    ("sim:close", |g| g.header("connection").unwrap() == "close" && g.complete()),
    ("sim:huge_header", |g| g.head().len() > 64 * 1024),
    ("sim:reset_after_accept", |g| g.text().is_empty()),
    ("sim:reset_before_accept", |g| g.text().is_empty()),
    ("sim:date_skew=5m", |g| g.header("date").unwrap() == "Thu, 01 Jan 2026 00:05:00 GMT"),
];

fn broken_events(got: &Got) -> usize {
    let text = got.body_text();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    events.filter(|data| serde_json::from_str::<serde_json::Value>(data).is_err()).count()
}

/// Reads stored blocks only, which is what the simulator makes.
fn unzipped(bytes: &[u8]) -> String {
    let (mut left, mut out) = (&bytes[10..], Vec::new());
    loop {
        let size = usize::from(u16::from_le_bytes([left[1], left[2]]));
        out.extend_from_slice(&left[5..5 + size]);
        let last = left[0] == 1;
        left = &left[5 + size..];
        if last {
            assert_eq!(left[..4], crate::digest::crc32(0, &out).to_le_bytes());
            return String::from_utf8(out).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_stream_fault_shows_on_the_wire() {
    for (model, seen) in STREAMS {
        let got = ask(&sim(), model, true).await;
        assert!(seen(&got), "{model}: {}", got.text().chars().take(3000).collect::<String>());
    }
}

#[tokio::test(start_paused = true)]
async fn stream_faults_leave_the_control_request_alone() {
    for entry in CATALOG.iter().filter(|entry| entry.group == Group::Stream) {
        let got = ask(&sim(), &entry.model(), false).await;
        assert_eq!((got.status(), got.complete()), (200, true), "{}", entry.name);
        assert_eq!(got.json()["object"], "chat.completion", "{}", entry.name);
    }
}

#[tokio::test(start_paused = true)]
async fn each_word_of_the_table_is_seen_by_some_test() {
    let tested: Vec<String> =
        STREAMS.iter().map(|(model, _)| (*model).to_owned()).chain(REFUSALS.iter().map(|(model, ..)| (*model).to_owned())).collect();
    let elsewhere = [
        Term::NoUsage,
        Term::FailRate,
        Term::Flaky,
        Term::Rpm,
        Term::Interval,
        Term::Jitter,
        Term::FirstByte,
        Term::SlowHeaders,
        Term::Stall,
        Term::StallAfter,
        Term::Heartbeat,
        Term::Buffered,
        Term::Blocks,
        Term::OneLate,
        Term::TaskSlow,
        Term::TaskFailed,
        Term::TaskLostAnswer,
    ];
    for entry in CATALOG.iter().filter(|entry| !elsewhere.contains(&entry.term)) {
        let word = |model: &String| model[4..].split('=').next() == Some(entry.name);
        assert!(tested.iter().any(word), "{} has no test", entry.name);
    }
}

/// Model, status, and a text that the body must hold.
const REFUSALS: &[(&str, u16, &str)] = &[
    ("sim:400", 400, r#""param":"temperature""#),
    ("sim:context_length", 400, "context_length_exceeded"),
    ("sim:content_policy", 400, "content_filter"),
    ("sim:401", 401, "invalid_api_key"),
    ("sim:401_disabled", 401, "key_disabled"),
    ("sim:402", 402, "Insufficient Balance"),
    ("sim:403", 403, "unsupported_country_region_territory"),
    ("sim:403_group", 403, "group_model_denied"),
    ("sim:403_ip", 403, "ip_not_allowed"),
    ("sim:404", 404, "model_not_found"),
    ("sim:404_html", 404, "<center>nginx</center>"),
    ("sim:407", 407, "Proxy Authentication Required"),
    ("sim:408", 408, "request_timeout"),
    ("sim:409", 409, "conflict"),
    ("sim:413", 413, "request_too_large"),
    ("sim:422", 422, "unprocessable"),
    ("sim:425", 425, "too_early"),
    ("sim:429", 429, "rate_limit_exceeded"),
    ("sim:429_hint=7s", 429, "rate_limit_exceeded"),
    ("sim:429_ms=700ms", 429, "rate_limit_exceeded"),
    ("sim:429_date=7s", 429, "rate_limit_exceeded"),
    ("sim:429_body=7s", 429, r#""resetAt":"2026-01-01T00:00:07.000Z""#),
    ("sim:429_daily", 429, "key_daily_quota_exceeded"),
    ("sim:429_balance", 429, "insufficient_quota"),
    ("sim:429_concurrency", 429, "concurrency_limit"),
    ("sim:429_upstream", 429, r#""source":"upstream""#),
    ("sim:429_html", 429, "rate limited"),
    ("sim:slow_down", 429, "slow_down"),
    ("sim:500", 500, "server_error"),
    ("sim:502", 502, "bad_response_status_code"),
    ("sim:502_html", 502, "<html>"),
    ("sim:503", 503, "overloaded"),
    ("sim:503_no_upstream", 503, "无可用渠道"),
    ("sim:504", 504, "upstream_timeout_first_byte"),
    ("sim:504=connect", 504, "upstream_timeout_connect"),
    ("sim:529", 529, "Overloaded"),
    ("sim:status=418", 418, "error"),
    ("sim:proxy_504_html", 504, "504 Gateway Time-out"),
    ("sim:echo_error", 400, "Invalid value: 'Count from 1 to 20'. Authorization: "),
    ("sim:echo_error=401", 401, "someone@example.com"),
    ("sim:echo_error=500", 500, "planted-cookie"),
    ("sim:hidden_busy", 500, "系统繁忙"),
    ("sim:hidden_busy=200", 200, "系统繁忙"),
];

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_status_and_words_stream_or_not() {
    for (model, status, words) in REFUSALS {
        for stream in [false, true] {
            let got = ask(&sim(), model, stream).await;
            assert_eq!(got.status(), *status, "{model}");
            assert!(got.body_text().contains(words) && got.complete(), "{model}: {}", got.text());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r31_a_hint_comes_in_four_forms() {
    let hint = |model: &'static str| async move { ask(&sim(), model, false).await };
    assert_eq!(hint("sim:429_hint=7s").await.header("retry-after").unwrap(), "7");
    assert_eq!(hint("sim:429_ms=700ms").await.header("retry-after-ms").unwrap(), "700");
    assert_eq!(hint("sim:429_date=7s").await.header("retry-after").unwrap(), "Thu, 01 Jan 2026 00:00:07 GMT");
    let plain = hint("sim:429").await;
    assert!(plain.header("retry-after").is_none() && !plain.text().contains("resetAt") && !plain.text().contains("x-ratelimit"));
}

#[tokio::test(start_paused = true)]
async fn waits_are_where_the_scenario_puts_them() {
    let secs = Duration::from_secs;
    let first = |model: &'static str, stream| async move { ask(&sim(), model, stream).await.reads };
    assert_eq!(first("sim:first_byte=40s", false).await[0].0, secs(40));
    assert_eq!(first("sim:first_byte=40s", true).await[0].0, secs(40));
    let slow = first("sim:slow_headers=5s", false).await;
    assert_eq!((slow[0].1.as_slice(), slow[1].0), (&b"HTTP/1.1 200 OK\r\n"[..], secs(5)));
    let stalled = first("sim:stall=30s", true).await;
    assert_eq!((stalled[0].0, stalled.last().unwrap().0), (Duration::ZERO, secs(30)));
    assert_eq!(first("sim:stall_after=2", true).await.last().unwrap().0, secs(3600));
    let paced = first("sim:tokens=10,interval=100ms", true).await;
    assert_eq!((paced.len(), paced.last().unwrap().0), (11, secs(1)));
    assert_eq!(first("sim:tokens=10,interval=100ms", false).await[0].0, secs(1), "the control request is as slow in all");
    let jittered = first("sim:tokens=10,interval=100ms,jitter", true).await;
    let gaps: Vec<Duration> = jittered.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| (50..=151).contains(&gap.as_millis())) && gaps.iter().any(|gap| *gap != gaps[0]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_held_back_come_late_but_all() {
    let plain = ask(&sim(), "sim:tokens=100,interval=20ms", true).await;
    for model in ["buffered", "blocks=4096", "one_late", "glued=4"] {
        let got = ask(&sim(), &format!("sim:tokens=100,interval=20ms,{model}"), true).await;
        assert_eq!((got.data_lines(), got.complete()), (plain.data_lines(), true), "{model}");
        assert!(got.reads.len() <= plain.reads.len(), "{model}");
    }
    let buffered = ask(&sim(), "sim:tokens=100,interval=20ms,buffered", true).await;
    assert_eq!((buffered.reads.len(), buffered.reads[1].0), (2, Duration::from_secs(2)));
    let blocks = ask(&sim(), "sim:tokens=100,interval=20ms,blocks=4096", true).await;
    assert!(blocks.text().matches("\r\n1000\r\n").count() >= 5);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_fill_every_wait_behind_an_open_answer() {
    let got = ask(&sim(), "sim:first_byte=5s,stall=3s,heartbeat=1s", true).await;
    assert_eq!(got.body_text().matches(": heartbeat\n\n").count(), 4 + 2);
    assert_eq!((got.reads[0].0, got.complete()), (Duration::ZERO, true));
    assert_eq!(got.reads.last().unwrap().0, Duration::from_secs(8));
}

#[tokio::test(start_paused = true)]
async fn once_strikes_the_first_time_only() {
    let sim = sim();
    let statuses = [ask(&sim, "sim:503_once", false).await.status(), ask(&sim, "sim:503_once", false).await.status()];
    assert_eq!(statuses, [503, 200]);
    let cut = [ask(&sim, "sim:cut_after_once=5", true).await.complete(), ask(&sim, "sim:cut_after_once=5", true).await.complete()];
    assert_eq!(cut, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_be_reset_before_a_byte_is_read() {
    let sim = sim_with("sim:reset_before_accept_once");
    let (mut client, server) = duplex(1024);
    sim.serve_connection(server).await;
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!((sim.count(), ask(&sim, "sim:ok", false).await.status()), (0, 200));
}

#[tokio::test(start_paused = true)]
async fn faults_below_the_events_break_whole_answers_too() {
    assert!(!ask(&sim(), "sim:short_body", false).await.complete());
    assert!(ask(&sim(), "sim:bad_chunk", false).await.text().ends_with("zz\r\n"));
    assert_eq!(ask(&sim(), "sim:cut_bytes=10", false).await.body().0.len(), 10);
    let sim = sim();
    ask(&sim, "sim:reset_after_accept", false).await;
    let seen = sim.requests().pop().unwrap();
    assert_eq!((seen.ended, seen.status, seen.written_bytes), (Ended::Fault, 0, 0));
}
