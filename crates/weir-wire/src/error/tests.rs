//! Laws of our own errors: their forms, that every client reads them, and that they end no stream as if it were whole.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use weir_core::{Charged, Dialect, RequestId, Route, StreamEnd, Timestamp, Verdict};

use super::*;
use crate::{Eof, FrameSplitter, Seen, StreamWatch, UpstreamError};

fn quota() -> ErrorBody {
    ErrorBody {
        message: "Daily quota of this key is used up; it will reset at 2026-11-22T16:00:00.000Z.".into(),
        kind: "key_daily_quota_exceeded".into(),
        code: "key_daily_quota_exceeded".into(),
        param: None,
        verdict: Verdict::QuotaSpent,
        scope: Some(Scope::Key),
        reset_at: Some(Timestamp(1_795_363_200_000)),
        zone: None,
        retry_after: Some(Duration::from_millis(13_230_000)),
        charged: Charged::No,
        request_id: RequestId::new(Timestamp(1_795_349_970_000), 7),
        docs: "https://weir.example/handbook/W-RATE-003".into(),
    }
}

fn cut() -> ErrorBody {
    ErrorBody {
        message: "The upstream broke off.\nNothing \"forged\".".into(),
        kind: "upstream_error".into(),
        code: "upstream_stream_interrupted".into(),
        param: Some("stream".into()),
        verdict: Verdict::StreamCut,
        scope: None,
        reset_at: None,
        zone: None,
        retry_after: None,
        charged: Charged::Pending,
        ..quota()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn r29_a_429_says_when() {
    insta::assert_snapshot!(text(&quota().to_json(Route::ChatCompletions)), @r##"{"error":{"message":"Daily quota of this key is used up; it will reset at 2026-11-22T16:00:00.000Z.","type":"key_daily_quota_exceeded","param":null,"code":"key_daily_quota_exceeded","verdict":"W-RATE-003","scope":"key","resetAt":"2026-11-22T16:00:00.000Z","retryAfterMs":13230000,"charged":false,"request_id":"wr_01m81k4z2g0000000000000007","docs":"https://weir.example/handbook/W-RATE-003"}}"##);
}

#[test]
fn messages_get_anthropics_form() {
    insta::assert_snapshot!(text(&quota().to_json(Route::Messages)), @r##"{"type":"error","error":{"message":"Daily quota of this key is used up; it will reset at 2026-11-22T16:00:00.000Z.","type":"rate_limit_error","param":null,"code":"key_daily_quota_exceeded","verdict":"W-RATE-003","scope":"key","resetAt":"2026-11-22T16:00:00.000Z","retryAfterMs":13230000,"charged":false,"request_id":"wr_01m81k4z2g0000000000000007","docs":"https://weir.example/handbook/W-RATE-003"},"request_id":"wr_01m81k4z2g0000000000000007"}"##);
}

#[test]
fn a_running_chat_ends_with_one_data_event_without_choices() {
    for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Audio] {
        assert_eq!(cut().to_event(dialect, 3), cut().to_event(Dialect::Plain, 9));
    }
    insta::assert_snapshot!(text(&cut().to_event(Dialect::Chat, 3)), @r##"data: {"error":{"message":"The upstream broke off.\nNothing \"forged\".","type":"upstream_error","param":"stream","code":"upstream_stream_interrupted","verdict":"W-STREAM-005","charged":"pending","request_id":"wr_01m81k4z2g0000000000000007","docs":"https://weir.example/handbook/W-RATE-003"}}"##);
}

#[test]
fn a_running_response_fails_in_its_own_form() {
    insta::assert_snapshot!(text(&cut().to_event(Dialect::Responses, 12)), @r##"
    event: response.failed
    data: {"type":"response.failed","sequence_number":12,"response":{"id":"wr_01m81k4z2g0000000000000007","object":"response","created_at":1795349970,"status":"failed","error":{"code":"upstream_stream_interrupted","message":"The upstream broke off.\nNothing \"forged\"."},"incomplete_details":null,"output":[],"usage":null},"error":{"message":"The upstream broke off.\nNothing \"forged\".","type":"upstream_error","param":"stream","code":"upstream_stream_interrupted","verdict":"W-STREAM-005","charged":"pending","request_id":"wr_01m81k4z2g0000000000000007","docs":"https://weir.example/handbook/W-RATE-003"}}
    "##);
}

#[test]
fn a_running_message_gets_an_error_event() {
    insta::assert_snapshot!(text(&cut().to_event(Dialect::Messages, 3)), @r##"
    event: error
    data: {"type":"error","error":{"message":"The upstream broke off.\nNothing \"forged\".","type":"api_error","param":"stream","code":"upstream_stream_interrupted","verdict":"W-STREAM-005","charged":"pending","request_id":"wr_01m81k4z2g0000000000000007","docs":"https://weir.example/handbook/W-RATE-003"},"request_id":"wr_01m81k4z2g0000000000000007"}
    "##);
}

#[test]
fn a_charge_is_a_bool_where_it_is_known() {
    for (charged, word) in [
        (Charged::Yes, "true"),
        (Charged::No, "false"),
        (Charged::Pending, "\"pending\""),
        (Charged::Refunded, "\"refunded\""),
        (Charged::Unknown, "\"unknown\""),
    ] {
        let json = ErrorBody { charged, ..quota() }.to_json(Route::Embeddings);
        assert!(text(&json).contains(&format!("\"charged\":{word},")), "{word}");
    }
}

#[test]
fn a_wait_is_never_told_too_short() {
    let json = ErrorBody { retry_after: Some(Duration::from_micros(1500)), ..quota() }.to_json(Route::Embeddings);
    assert!(text(&json).contains("\"retryAfterMs\":2,"));
}

#[test]
fn our_own_error_is_read_back_as_what_it_is() {
    for route in Route::ALL {
        let read = UpstreamError::read(429, &quota().to_json(route));
        assert_eq!((read.message.expose(), read.code.as_deref()), (&*quota().message, Some("key_daily_quota_exceeded")), "{route:?}");
    }
}

#[test]
fn our_own_event_ends_a_stream_as_an_error() {
    for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Responses, Dialect::Messages, Dialect::Audio] {
        let mut watch = StreamWatch::new(dialect);
        let seen = watch.see(&cut().to_event(dialect, 1));
        let (Seen::Error(error) | Seen::Failed(error)) = seen else { panic!("{dialect:?}: {seen:?}") };
        assert_eq!(error.message.expose(), &*cut().message);
        assert_eq!(watch.end(Eof::Clean), StreamEnd::UpstreamError);
        assert!(!watch.is_complete());
    }
}

proptest! {
    #[test]
    fn any_text_stays_inside_its_one_event(message: String, code: String) {
        let error = ErrorBody { message: message.clone().into(), code: code.into(), ..cut() };
        for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Messages] {
            let event = error.to_event(dialect, 0);
            let (mut splitter, mut frames) = (FrameSplitter::new(1 << 20), Vec::new());
            splitter.feed(event.clone(), &mut frames).unwrap();
            prop_assert_eq!(&frames, &[event]);
            prop_assert!(splitter.finish().is_empty());
            let data: Value = serde_json::from_slice(&crate::sse::event_data(&frames[0]).unwrap()).unwrap();
            prop_assert_eq!(data["error"]["message"].as_str(), Some(message.as_str()));
            prop_assert!(data.get("choices").is_none());
        }
    }
}
