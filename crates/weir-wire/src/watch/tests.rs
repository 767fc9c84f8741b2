//! Laws of watching: what each family's events are, when a stream is complete, what it used, and that nothing panics.

use proptest::prelude::*;
use weir_core::{Dialect, StreamEnd, Usage};

use super::{Eof, Seen, StreamWatch};

/// Watches frames written as `data` payloads, or as whole frames where they end with a blank line.
fn watch(dialect: Dialect, frames: &[&str]) -> (StreamWatch, Vec<String>) {
    let mut watch = StreamWatch::new(dialect);
    let seen = frames.iter().map(|frame| {
        let raw = if frame.ends_with("\n\n") { (*frame).to_owned() } else { format!("data: {frame}\n\n") };
        name(&watch.see(raw.as_bytes()))
    });
    let seen = seen.collect();
    (watch, seen)
}

fn name(seen: &Seen) -> String {
    match seen {
        Seen::Error(error) => format!("error:{}", error.message.expose()),
        Seen::Failed(error) => format!("failed:{}", error.message.expose()),
        plain => format!("{plain:?}").to_lowercase(),
    }
}

fn usage(input: u64, cached: u64, output: u64) -> Option<Usage> {
    Some(Usage { input, cached, output, ..Usage::default() })
}

const ROLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#;
const WORD: &str =
    r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"hello wo"},"finish_reason":null}],"obfuscation":"xxxxxxxxxxxx"}"#;
const STOP: &str = r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USED: &str = r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;

#[test]
fn a_chat_is_followed_from_role_to_done() {
    let (watch, seen) = watch(Dialect::Chat, &[ROLE, ": keep\n\n", WORD, WORD, STOP, USED, "[DONE]"]);
    assert_eq!(seen, ["progress", "comment", "content", "content", "progress", "usageonly", "marker"]);
    assert_eq!(watch.usage(), usage(9, 0, 2));
    assert_eq!((watch.delivered().bytes, watch.delivered().tokens), (16, 4));
    assert_eq!(watch.finish_reason(), Some("stop"));
    assert_eq!(watch.upstream_response_id(), Some("chatcmpl-1"));
    assert_eq!(watch.end(Eof::Clean), StreamEnd::Done);
    assert!(watch.is_complete());
}

#[test]
fn a_stream_without_its_marker_ends_as_its_transport_does() {
    let two = r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#;
    let stop_two = r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#;
    let error = r#"{"error":{"message":"m"}}"#;
    let table: &[(&[&str], StreamEnd, StreamEnd, bool)] = &[
        (&[], StreamEnd::EofNoFinish, StreamEnd::UpstreamCut, false),
        (&[ROLE, WORD], StreamEnd::EofNoFinish, StreamEnd::UpstreamCut, false),
        (&[ROLE, WORD, STOP], StreamEnd::EofNoDone, StreamEnd::UpstreamCut, true),
        (&[WORD, two, STOP], StreamEnd::EofNoFinish, StreamEnd::UpstreamCut, false),
        (&[WORD, two, STOP, stop_two], StreamEnd::EofNoDone, StreamEnd::UpstreamCut, true),
        (&[WORD, STOP, "[DONE]"], StreamEnd::Done, StreamEnd::Done, true),
        (&[WORD, "[DONE]"], StreamEnd::Done, StreamEnd::Done, false),
        (&[WORD, error], StreamEnd::UpstreamError, StreamEnd::UpstreamError, false),
        (&[WORD, error, "[DONE]"], StreamEnd::UpstreamError, StreamEnd::UpstreamError, false),
    ];
    for (frames, clean, cut, complete) in table {
        let (watch, _) = watch(Dialect::Chat, frames);
        assert_eq!((watch.end(Eof::Clean), watch.end(Eof::Cut), watch.is_complete()), (*clean, *cut, *complete), "{frames:?}");
    }
}

#[test]
fn every_form_of_error_in_a_chat_is_seen() {
    for frame in [
        r#"{"error":{"message":"m","code":429}}"#,
        r#"{"error":{"message":"m"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
        r#"{"error":"m"}"#,
        r#"{"type":"error","code":"c","message":"m"}"#,
        r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
        r#"{"code":30011,"message":"m","data":null}"#,
        "event: error\ndata: {\"message\":\"m\"}\n\n",
        "event: error\ndata: m\n\n",
        "error: {\"code\":400,\"message\":\"m\"}\n\n",
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}    }\n\n",
    ] {
        let (watch, seen) = watch(Dialect::Chat, &[WORD, frame]);
        assert_eq!(seen[1], "error:m", "{frame}");
        assert_eq!(watch.end(Eof::Clean), StreamEnd::UpstreamError);
    }
}

#[test]
fn what_is_no_error_is_not_taken_for_one() {
    for (frame, expected) in [
        (r#"{"error":null,"choices":[{"index":0,"delta":{"content":"x"}}]}"#, "content"),
        (r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#, "progress"),
        (r#"{"choices":[],"usage":null}"#, "progress"),
        (r#"{"message":{"role":"assistant"}}"#, "progress"),
        ("event: ping\ndata: {}\n\n", "progress"),
        ("event: ping\n\n", "comment"),
        ("retry: 3000\n\n", "comment"),
        ("\n\n", "comment"),
        ("[1]", "malformed"),
        ("", "malformed"),
        ("{\"choices\":[", "malformed"),
        ("<html>", "malformed"),
    ] {
        assert_eq!(watch(Dialect::Chat, &[frame]).1, [expected], "{frame}");
    }
}

#[test]
fn reasoning_tools_and_refusals_are_delivered_and_told_once() {
    for (delta, bytes) in [
        (r#"{"content":"abcd"}"#, 4),
        (r#"{"content":"\u6f22"}"#, 3),
        (r#"{"content":[{"type":"text","text":"abcd"}]}"#, 4),
        (r#"{"refusal":"abcd"}"#, 4),
        (r#"{"reasoning_content":"abcd","content":null}"#, 4),
        (r#"{"reasoning":"abcd","reasoning_details":[{"type":"reasoning.text","text":"abcd","format":"x","index":0}]}"#, 4),
        (r#"{"reasoning":"abcd","reasoning_content":"abcd"}"#, 4),
        (r#"{"tool_calls":[{"index":0,"id":"call_abc","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}"#, 8),
        (r#"{"function_call":{"name":"f","arguments":"{}"}}"#, 3),
        (r#"{"audio":{"id":"a","data":"AAAAAAAA","transcript":"abcd"}}"#, 4),
        (r#"{"role":"assistant"}"#, 0),
        ("null", 0),
    ] {
        let (watch, _) = watch(Dialect::Chat, &[&format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#)]);
        assert_eq!(watch.delivered().bytes, bytes, "{delta}");
    }
}

#[test]
fn a_usage_is_found_wherever_vendors_put_it() {
    for frame in [
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":9,"completion_tokens":2}}}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":9,"completion_tokens":2}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2},"timings":{"prompt_n":9}}"#,
    ] {
        let (watch, seen) = watch(Dialect::Chat, &[WORD, frame]);
        assert_eq!(watch.usage(), usage(9, 0, 2), "{frame}");
        assert_eq!(seen[1], "progress");
    }
    // Running totals: a report on every chunk, the last of them an empty one.
    let running =
        |n| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"x"}}}}],"usage":{{"prompt_tokens":9,"completion_tokens":{n}}}}}"#);
    assert_eq!(watch(Dialect::Chat, &[&running(1), &running(5), &running(0)]).0.usage(), usage(9, 0, 5));
}

#[test]
fn text_completions_are_followed_like_chats() {
    let frames = [
        r#"{"id":"cmpl-1","choices":[{"text":"abcd","index":0,"finish_reason":null}]}"#,
        r#"{"choices":[{"text":"","index":0,"finish_reason":"length"}]}"#,
        "[DONE]",
    ];
    let (watch, seen) = watch(Dialect::Completions, &frames);
    assert_eq!(seen, ["content", "progress", "marker"]);
    assert_eq!((watch.delivered().tokens, watch.finish_reason(), watch.is_complete()), (1, Some("length"), true));
}

#[test]
fn responses_end_with_an_event_of_their_own() {
    let created =
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","error":null,"usage":null}}"#;
    let delta = r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","delta":"abcd","obfuscation":"zzzz"}"#;
    let arguments = "event: response.function_call_arguments.delta\ndata: {\"delta\":\"{\\\"a\\\"\"}\n\n";
    let text_done = r#"{"type":"response.output_text.done","text":"abcd"}"#;
    let completed = r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[{"content":[{"text":"abcd"}]}],"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":2},"output_tokens":7,"total_tokens":12}}}"#;
    let (done, seen) = watch(Dialect::Responses, &[created, delta, arguments, text_done, completed]);
    assert_eq!(seen, ["progress", "content", "content", "progress", "marker"]);
    assert_eq!((done.usage(), done.delivered().bytes, done.finish_reason()), (usage(5, 2, 7), 8, Some("completed")));
    assert_eq!((done.end(Eof::Cut), done.upstream_response_id()), (StreamEnd::Done, Some("resp_1")));

    let incomplete = r#"{"type":"response.incomplete","response":{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}"#;
    let (watch_incomplete, seen) = watch(Dialect::Responses, &[created, incomplete]);
    assert_eq!(
        (seen[1].as_str(), watch_incomplete.finish_reason(), watch_incomplete.is_complete()),
        ("marker", Some("max_output_tokens"), true)
    );

    let (cut, seen) = watch(Dialect::Responses, &[created, delta, "[DONE]"]);
    assert_eq!((seen[2].as_str(), cut.end(Eof::Clean)), ("progress", StreamEnd::EofNoFinish));
}

#[test]
fn a_failed_response_is_its_familys_end_and_an_error() {
    let failed = r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_is_overloaded","message":"m"},"usage":{"input_tokens":5,"output_tokens":1}}}"#;
    let (watched, seen) = watch(Dialect::Responses, &[failed]);
    assert_eq!(seen, ["failed:m"]);
    assert_eq!((watched.end(Eof::Clean), watched.is_complete(), watched.usage()), (StreamEnd::UpstreamError, false, usage(5, 0, 1)));
    for flat in [r#"{"type":"error","code":"c","message":"m","param":null,"sequence_number":3}"#, r#"{"error":{"message":"m"}}"#] {
        assert_eq!(watch(Dialect::Responses, &[flat]).1, ["error:m"], "{flat}");
    }
}

#[test]
fn messages_join_the_usage_of_their_start_and_their_end() {
    let frames = [
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":100,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"abcd"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":"abcd"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"signature_delta","signature":"AAAA"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#,
    ];
    let (mut watched, seen) = watch(Dialect::Messages, &frames);
    assert_eq!(seen, ["progress", "progress", "progress", "content", "content", "content", "progress", "progress", "progress"]);
    assert_eq!((watched.usage(), watched.delivered().bytes, watched.finish_reason()), (usage(105, 100, 15), 13, Some("end_turn")));
    assert_eq!(watched.end(Eof::Clean), StreamEnd::EofNoDone);
    assert_eq!(watched.see(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), Seen::Marker);
    assert_eq!((watched.end(Eof::Cut), watched.upstream_response_id()), (StreamEnd::Done, Some("msg_1")));

    let (cut, seen) = watch(Dialect::Messages, &[frames[0], r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#]);
    assert_eq!((seen[1].as_str(), cut.end(Eof::Clean)), ("error:m", StreamEnd::UpstreamError));
    assert_eq!(watch(Dialect::Messages, &[frames[0]]).0.end(Eof::Clean), StreamEnd::EofNoFinish);
}

#[test]
fn speech_and_transcripts_end_with_events_of_their_own() {
    let speech = [
        r#"{"type":"speech.audio.delta","audio":"AAAA"}"#,
        r#"{"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}"#,
    ];
    let (watched, seen) = watch(Dialect::Audio, &speech);
    assert_eq!(seen, ["content", "marker"]);
    assert_eq!((watched.usage(), watched.delivered().bytes, watched.delivered().tokens), (usage(14, 0, 101), 4, 0));

    let transcript = [
        r#"{"type":"transcript.text.delta","delta":"abcd"}"#,
        r#"{"type":"transcript.text.done","text":"abcd","usage":{"type":"duration","seconds":8.2}}"#,
    ];
    let (watched, seen) = watch(Dialect::Audio, &transcript);
    assert_eq!(seen, ["content", "marker"]);
    assert_eq!((watched.usage().unwrap().seconds, watched.delivered().bytes), (9, 4));
    assert!(watched.is_complete());
}

#[test]
fn a_byte_order_mark_hides_no_first_event() {
    let mut watched = StreamWatch::new(Dialect::Chat);
    assert_eq!(watched.see(format!("\u{feff}data: {WORD}\n\n").as_bytes()), Seen::Content);
}

#[test]
fn what_is_kept_of_an_upstream_is_short_and_tame() {
    let chunk = format!(
        r#"{{"id":"a b\u0000<{}","choices":[{{"index":900,"delta":{{}},"finish_reason":"MAX_TOKENS 密sk-{}"}}]}}"#,
        "i".repeat(200),
        "x".repeat(50)
    );
    let (watched, _) = watch(Dialect::Chat, &[&chunk]);
    assert_eq!(watched.upstream_response_id().map(str::len), Some(96));
    assert_eq!(watched.finish_reason(), Some("max_tokensskxxxxxxxxxxxxxxxxxxxx"));
    assert!(watched.is_complete());
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::Chat, Dialect::Completions, Dialect::Responses, Dialect::Messages, Dialect::Audio, Dialect::Plain])
}

proptest! {
    #[test]
    fn no_frame_makes_a_watch_panic(dialect in any_dialect(), frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..4)) {
        let mut watched = StreamWatch::new(dialect);
        for frame in frames {
            let _ = watched.see(&frame);
            let _ = watched.see(&[b"data: {", &frame[..], b"}\n\n"].concat());
        }
        let _ = watched.end(Eof::Clean);
    }

    #[test]
    fn no_event_of_known_names_makes_a_watch_panic(
        dialect in any_dialect(),
        name in prop::sample::select(vec!["type", "choices", "delta", "usage", "error", "message", "response", "content_block", "audio", "id"]),
        value in prop::sample::select(vec!["null", "true", "-1", "1e99", "\"response.completed\"", "[]", "[null]", "{}", "[{}]", "{\"usage\":{}}", "{\"id\":[]}", "[[[[]]]]"]),
    ) {
        let _ = StreamWatch::new(dialect).see(format!("data: {{\"{name}\":{value}}}\n\n").as_bytes());
    }

    #[test]
    fn the_estimate_does_not_depend_on_how_a_text_is_cut(text in "[a-z密é ]{0,60}", at in any::<prop::sample::Index>()) {
        let chars: Vec<char> = text.chars().collect();
        let (a, b) = chars.split_at(at.index(chars.len() + 1));
        let event = |text: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
        let (a, b): (String, String) = (a.iter().collect(), b.iter().collect());
        let cut = watch(Dialect::Chat, &[&event(&a), &event(&b)]).0.delivered();
        prop_assert_eq!(cut, watch(Dialect::Chat, &[&event(&text)]).0.delivered());
    }
}
