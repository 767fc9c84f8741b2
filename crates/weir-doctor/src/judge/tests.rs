//! The rules by table: what was seen, what it comes to. What the simulator cannot make is made here by hand.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_client::probe::{BodyEnd, Fault, HttpVersion, Issuer, Phases, TlsSeen};
use weir_core::{Charged, Dialect, TaskState, Timestamp, Verdict, evidence::Confidence};
use weir_wire::{Audience, headers};

use super::{
    Seen, answer, judge,
    seen::{Bounds, Lookup, Opening, Record, TaskSeen},
};
use crate::trace::{End, Reading, Trace};

const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"1 \"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const WHOLE: &str = r#"{"object":"chat.completion","choices":[{"message":{"content":"1 2"},"finish_reason":"stop"}]}"#;

/// One exchange of pieces at their times.
fn exchange(status: u16, head: &[(&str, &str)], pieces: &[(u64, &str)], end: BodyEnd, is_stream: bool) -> Trace {
    let mut reading = if is_stream { Reading::of_stream(Dialect::Chat) } else { Reading::of_whole() };
    for (at, piece) in pieces {
        reading.piece(Duration::from_millis(*at), piece.len(), piece.as_bytes());
    }
    let map: HeaderMap =
        head.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())).collect();
    let (arrivals, body) = reading.finish(status, &map, Timestamp(0), end == BodyEnd::Clean);
    Trace {
        phases: Phases { first_byte: Some(Duration::from_millis(1)), ..Phases::default() },
        tls: None,
        version: Some(HttpVersion::Http11),
        status: Some(status),
        headers: headers::kept(&map, Audience::Support).into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
        arrivals,
        body,
        end: End::Body(end),
        skew_s: None,
        total: Duration::from_millis(pieces.last().map_or(1, |(at, _)| *at)),
    }
}

fn streamed(pieces: &[(u64, &str)], end: BodyEnd) -> Trace {
    exchange(200, &[("content-type", "text/event-stream"), ("cache-control", "no-cache")], pieces, end, true)
}

fn whole(status: u16, body: &str) -> Trace {
    exchange(status, &[("content-type", "application/json")], &[(900, body)], BodyEnd::Clean, false)
}

fn well() -> Seen {
    let flowing: Vec<(u64, &str)> = (0..20).map(|n| (n * 40, EVENT)).chain([(800, STOP)]).collect();
    Seen { control: Some(whole(200, WHOLE)), stream: Some(streamed(&flowing, BodyEnd::Clean)), ..Seen::default() }
}

/// All events in one piece at the end.
fn stored() -> Seen {
    let burst = EVENT.repeat(20) + STOP;
    Seen { stream: Some(streamed(&[(900, &burst)], BodyEnd::Clean)), ..well() }
}

fn record() -> Record {
    Record {
        id: "wr_1".to_owned(),
        verdict: Some(Verdict::Ok),
        status: Some(200),
        charged: Some(Charged::Yes),
        ended_by: None,
        attempts: 1,
        requests: 1,
        first_event_ms: None,
        last_event_ms: None,
        total_ms: None,
        model: None,
        is_stream: None,
        early: 0,
        is_running: false,
        group: None,
        time: None,
        task: None,
        task_type: None,
    }
}

fn primary(seen: &Seen) -> (Verdict, Confidence) {
    let finding = judge(seen).primary.finding;
    (finding.verdict, finding.confidence)
}

#[test]
fn what_the_gateway_knows_makes_a_suspicion_certain_or_moves_it() {
    assert_eq!(primary(&well()), (Verdict::Ok, Confidence::Likely));
    assert_eq!(primary(&stored()), (Verdict::StreamBuffered, Confidence::Likely));
    let passed = |first, last| Record { first_event_ms: Some(first), last_event_ms: Some(last), ..record() };
    let behind = Seen { record: Some(passed(20, 880)), ..stored() };
    assert_eq!(primary(&behind), (Verdict::StreamBuffered, Confidence::Certain), "the gateway passed it on event by event");
    let before = judge(&Seen { record: Some(passed(878, 880)), ..stored() }).primary.finding;
    assert!(before.detail.unwrap().en.contains("between the gateway and the model"), "it came to the gateway in a burst");
    let echo = (1..=10).map(|n| format!("data: {{\"n\":{n}}}\n\n")).collect::<String>() + "data: [DONE]\n\n";
    let stored_echo = Seen { echo: Some(streamed(&[(1000, &echo)], BodyEnd::Clean)), ..stored() };
    assert_eq!(primary(&stored_echo), (Verdict::StreamBuffered, Confidence::Certain), "no model is behind the echo");
}

#[test]
fn an_error_event_of_weir_is_told_by_its_own_verdict() {
    let error = "data: {\"error\":{\"message\":\"idle\",\"code\":\"upstream_timeout_idle\",\"verdict\":\"W-TMO-005\"}}\n\n";
    let seen = Seen { stream: Some(streamed(&[(10, EVENT), (900, error)], BodyEnd::Clean)), ..well() };
    assert_eq!(primary(&seen), (Verdict::IdleTimeout, Confidence::Certain));
    assert!(judge(&seen).notes.iter().any(|note| note.finding.verdict == Verdict::ErrorInStream));
    let cut = error.replace("W-TMO-005", "W-STREAM-005");
    let seen = Seen { stream: Some(streamed(&[(10, EVENT), (900, &cut)], BodyEnd::Clean)), ..well() };
    assert_eq!(primary(&seen), (Verdict::StreamCut, Confidence::Certain), "the gateway saw how it broke; the event is how it told so");
    let gateway = whole(429, r#"{"error":{"code":"x","verdict":"W-RATE-004","scope":"key"}}"#);
    assert_eq!(primary(&Seen { control: Some(gateway), stream: None, ..well() }), (Verdict::ConcurrencySpent, Confidence::Certain));
}

#[test]
fn a_cut_at_a_round_time_names_the_likely_hop_as_a_guess() {
    for (seconds, hop) in [(30, "CloudFront"), (60, "nginx"), (100, "Cloudflare"), (120, "reverse"), (300, "load balancer")] {
        for off in [-1_000_i64, 0, 990] {
            let after = Duration::from_millis(u64::try_from(seconds * 1000 + off).unwrap());
            let finding = answer::of_fault(Fault::SentThenClosed, after);
            assert_eq!((finding.verdict, finding.confidence), (Verdict::ProxyCut, Confidence::Guess), "{after:?}");
            assert!(finding.detail.unwrap().en.contains(hop), "{seconds}");
        }
    }
    for odd in [5, 28, 45, 75, 103, 250] {
        assert_eq!(answer::of_fault(Fault::SentThenReset, Duration::from_secs(odd)).verdict, Verdict::OutcomeUnknown, "{odd}");
    }
}

#[test]
fn a_silence_before_a_break_is_a_gap_and_is_told() {
    let broken = |silent_s| Trace {
        total: Duration::from_millis(800) + Duration::from_secs(silent_s),
        ..streamed(&[(0, EVENT), (800, EVENT)], BodyEnd::ChunkUnfinished)
    };
    for (silent_s, gap_ms, words) in [(0, 800, "behind 2 data lines"), (5, 5_000, "5.0 s of silence")] {
        let trace = broken(silent_s);
        assert_eq!(crate::trace::gap_max(&trace).as_millis() / 10, gap_ms / 10);
        let finding = judge(&Seen { stream: Some(trace), ..well() }).primary.finding;
        assert!(finding.verdict == Verdict::StreamCut && finding.detail.clone().unwrap().en.contains(words), "{finding:?}");
    }
}

#[test]
fn the_layers_are_judged_from_the_bottom() {
    let private = TlsSeen { issuer: Issuer::Private, not_after: None, alpn: None };
    let intercepted = Some(Opening { tls: Some(private), ..Opening::default() });
    let seen =
        Seen { opened: intercepted.clone(), control: Some(whole(401, r#"{"error":{"code":"invalid_api_key"}}"#)), stream: None, ..well() };
    assert_eq!(primary(&seen).0, Verdict::TlsFailed, "a broken layer comes before what stands on it");
    assert_eq!(primary(&Seen { opened: intercepted.clone(), ..well() }).0, Verdict::Ok, "and is a remark where all works");
    assert!(judge(&Seen { opened: intercepted.clone(), ..well() }).notes.iter().any(|note| note.finding.verdict == Verdict::TlsFailed));
    let own = Seen { opened: intercepted, is_private_host: true, ..seen };
    assert_eq!(primary(&own).0, Verdict::KeyUnknown, "a company's own host has the company's own certificate");
}

#[test]
fn lookalikes_are_told_apart() {
    let html = "<html><head><title>403 Forbidden</title></head></html>";
    let page = |status| exchange(status, &[("content-type", "text/html")], &[(5, html)], BodyEnd::Clean, false);
    let coded = |status: u16, code: &str| whole(status, &format!(r#"{{"error":{{"message":"no","code":"{code}"}}}}"#));
    let table = [
        (page(401), Verdict::NotTheApi),
        (page(403), Verdict::NotTheApi),
        (page(404), Verdict::NotTheApi),
        (page(429), Verdict::MiddleBoxThrottled),
        (page(502), Verdict::ProxyCut),
        (page(504), Verdict::ProxyCut),
        (page(200), Verdict::NotTheApi),
        (page(302), Verdict::NotTheApi),
        (whole(404, r#"{"detail":"Not Found"}"#), Verdict::NotTheApi),
        (whole(404, r#"{"error":{"message":"Invalid URL (POST /v1/v1/chat)","code":"unknown_url"}}"#), Verdict::NotTheApi),
        (whole(429, r#"{"message":"Too Many Requests"}"#), Verdict::MiddleBoxThrottled),
        (whole(429, r#"{"error":{"message":"Rate limit","code":"rate_limit_exceeded"}}"#), Verdict::RateLimitedNoHint),
        (coded(429, "insufficient_quota"), Verdict::BalanceSpent),
        (coded(429, "credit_balance_too_low"), Verdict::BalanceSpent),
        (coded(429, "insufficient_balance"), Verdict::BalanceSpent),
        (coded(403, "key_expired"), Verdict::KeyDisabled),
        (whole(200, r#"{"error":{"message":"model does not exist","code":"model_not_found"}}"#), Verdict::ModelNotFound),
        (whole(500, r#"{"message":"系统繁忙"}"#), Verdict::StatusHidden),
        (whole(524, "error code: 524"), Verdict::ProxyCut),
    ];
    for (control, expected) in table {
        let what = format!("{:?} {:?}", control.status, control.body);
        assert_eq!(primary(&Seen { control: Some(control), stream: None, ..well() }).0, expected, "{what}");
    }
}

#[test]
fn a_record_says_who_takes_the_key_and_who_comes_too_early() {
    let refused = || Seen {
        control: Some(whole(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#)),
        stream: None,
        record: Some(record()),
        ..well()
    };
    let taken = Seen { other_share_pct: Some(80), ..refused() };
    assert!(judge(&taken).notes.iter().any(|note| note.finding.verdict == Verdict::SharedKeyTaken));
    let early = Seen { record: Some(Record { early: 3, ..record() }), ..refused() };
    assert_eq!(primary(&early), (Verdict::RetriedTooEarly, Confidence::Certain));
}

#[test]
fn a_past_call_is_told_by_its_record() {
    let of = |record: Record| primary(&Seen { lookup: Some(Lookup::Call(Box::new(record))), ..Seen::default() }).0;
    assert_eq!(of(record()), Verdict::Ok);
    assert_eq!(of(Record { requests: 2, ..record() }), Verdict::ReplayedOnce);
    assert_eq!(of(Record { is_running: true, charged: Some(Charged::Pending), verdict: None, ..record() }), Verdict::ChargePending);
    assert_eq!(of(Record { verdict: Some(Verdict::StreamCut), ..record() }), Verdict::StreamCut);
    assert_eq!(of(Record { verdict: Some(Verdict::ClientLeft), ..record() }), Verdict::ClientLeft);
    let left =
        judge(&Seen { lookup: Some(Lookup::Call(Box::new(Record { verdict: Some(Verdict::ClientLeft), ..record() }))), ..Seen::default() });
    assert!(left.notes.iter().any(|note| note.finding.verdict == Verdict::ProducedNotDelivered));
    let failed = |charged| TaskSeen { id: "video_1".to_owned(), state: TaskState::Failed, charged, verdict: None };
    for (charged, verdict) in [(Some(Charged::Yes), Verdict::TaskFailedCharged), (Some(Charged::No), Verdict::TaskFailedFree)] {
        assert_eq!(primary(&Seen { lookup: Some(Lookup::Task(failed(charged))), ..Seen::default() }).0, verdict);
    }
    assert_eq!(primary(&Seen { lookup: Some(Lookup::NoRecords { id: "x".to_owned() }), ..Seen::default() }).0, Verdict::EvidenceMissing);
}

#[test]
fn a_persons_own_timeout_is_theirs() {
    let silent = Trace { end: End::Never(Fault::Silent), status: None, ..whole(200, "") };
    let slow = |bounds| primary(&Seen { control: Some(silent.clone()), stream: None, bounds, ..well() }).0;
    assert_eq!(slow(Bounds::default()), Verdict::FirstByteTimeout);
    assert_eq!(slow(Bounds { is_own: true, ..Bounds::default() }), Verdict::ClientLeft);
}
