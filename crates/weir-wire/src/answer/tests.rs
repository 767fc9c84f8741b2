//! Laws of whole answers: what they tell, which of them are errors, and that their events tell the same.

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_core::{Dialect, Route, StreamEnd, Usage};

use super::{as_stream, read};
use crate::{Eof, FrameSplitter, Seen, StreamWatch, sse::event_data};

const CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
const COMPLETION: &str = r#"{"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"text":"hello","index":0,"logprobs":null,"finish_reason":"length"},{"text":"world","index":1,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
const RESPONSE: &str = r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]},{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_1","name":"f","arguments":"{}"}],"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":2,"total_tokens":11}}"#;
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"AAAA"},{"type":"text","text":"hello"},{"type":"tool_use","id":"t_1","name":"f","input":{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":2}}"#;

fn usage(input: u64, cached: u64, output: u64) -> Option<Usage> {
    Some(Usage { input, cached, output, ..Usage::default() })
}

#[test]
fn an_answer_tells_its_usage_its_end_and_its_id() {
    let table = [
        (Route::ChatCompletions, CHAT, usage(9, 0, 2), Some("tool_calls"), Some("chatcmpl-1"), 5 + 1 + 2),
        (Route::Completions, COMPLETION, usage(9, 0, 2), Some("stop"), Some("cmpl-1"), 10),
        (Route::Responses, RESPONSE, usage(9, 4, 2), Some("completed"), Some("resp_1"), 5 + 1 + 2),
        (Route::Messages, MESSAGE, usage(9, 0, 2), Some("tool_use"), Some("msg_1"), 2 + 5 + 1),
        (
            Route::Embeddings,
            r#"{"object":"list","data":[{"embedding":[0.1]}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            usage(8, 0, 0),
            None,
            None,
            0,
        ),
        (
            Route::Rerank,
            r#"{"id":"r","results":[{"index":0,"relevance_score":0.9}],"meta":{"tokens":{"input_tokens":5,"output_tokens":0}}}"#,
            usage(5, 0, 0),
            None,
            Some("r"),
            0,
        ),
        (Route::Moderations, r#"{"id":"modr-1","model":"m","results":[{"flagged":false}]}"#, None, None, Some("modr-1"), 0),
        (Route::AudioTranscriptions, r#"{"text":"hello"}"#, None, None, None, 5),
        (Route::AudioTranscriptions, "hello\n", None, None, None, 6),
        (Route::AudioSpeech, "ID3\u{0}", None, None, None, 0),
    ];
    for (route, body, used, finish, id, bytes) in table {
        let answer = read(route, body.as_bytes());
        assert_eq!((answer.usage, answer.finish_reason.as_deref(), answer.id.as_deref()), (used, finish, id), "{body}");
        assert_eq!(answer.error, None, "{body}");
        assert_eq!(answer.delivered.bytes, bytes, "{body}");
    }
    let timed = read(Route::AudioTranscriptions, br#"{"task":"transcribe","duration":8.47,"text":"hello"}"#);
    assert_eq!(timed.usage.unwrap().seconds, 9);
    let cut = read(
        Route::Responses,
        br#"{"object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}"#,
    );
    assert_eq!(cut.finish_reason.as_deref(), Some("max_output_tokens"));
}

#[test]
fn an_error_in_an_accepted_answer_is_an_error() {
    for body in [
        r#"{"error":{"message":"m"}}"#,
        r#"{"error":"m"}"#,
        r#"{"object":"error","message":"m"}"#,
        r#"{"type":"error","error":{"message":"m"}}"#,
        r#"{"code":500,"msg":"m","success":false}"#,
        r#"{"detail":"m"}"#,
        r#"{"base_resp":{"status_code":1008,"status_msg":"m"},"choices":null}"#,
        r#"{"object":"response","status":"failed","error":{"code":"c","message":"m"},"output":[]}"#,
        "<html><title>m</title></html>",
        "m",
    ] {
        let error = read(Route::ChatCompletions, body.as_bytes()).error.unwrap_or_else(|| panic!("{body}"));
        assert_eq!((error.message.expose(), error.status), ("m", 200), "{body}");
    }
    for body in ["", "[]", "{\"choices\":["] {
        assert!(read(Route::ChatCompletions, body.as_bytes()).error.is_some(), "{body}");
    }
    assert_eq!(read(Route::ChatCompletions, br#"{"choices":[],"error":null,"message":"hi","base_resp":{"status_code":0}}"#).error, None);
}

/// What watching the events of `body` tells, and their names or shapes.
fn streamed(dialect: Dialect, body: &str) -> (StreamWatch, Vec<Seen>, Vec<Value>) {
    let events = as_stream(dialect, body.as_bytes()).unwrap();
    let (mut watch, mut splitter, mut frames) = (StreamWatch::new(dialect), FrameSplitter::new(1 << 20), Vec::new());
    splitter.feed(events.concat().into(), &mut frames).unwrap();
    assert_eq!(frames, events, "each event is one frame");
    let seen = frames.iter().map(|frame| watch.see(frame)).collect();
    let data = frames.iter().filter_map(|frame| serde_json::from_slice(&event_data(frame).unwrap()).ok()).collect();
    (watch, seen, data)
}

#[test]
fn an_answer_as_events_tells_the_same() {
    for (dialect, route, body) in [
        (Dialect::Chat, Route::ChatCompletions, CHAT),
        (Dialect::Completions, Route::Completions, COMPLETION),
        (Dialect::Responses, Route::Responses, RESPONSE),
        (Dialect::Messages, Route::Messages, MESSAGE),
    ] {
        let (watch, seen, _) = streamed(dialect, body);
        let whole = read(route, body.as_bytes());
        assert_eq!(watch.usage(), whole.usage);
        assert_eq!(watch.finish_reason(), whole.finish_reason.as_deref());
        assert_eq!(watch.upstream_response_id(), whole.id.as_deref());
        assert_eq!(watch.end(Eof::Clean), StreamEnd::Done);
        assert!(watch.is_complete());
        assert_eq!(seen.last(), Some(&Seen::Marker));
        assert_eq!(seen.iter().filter(|seen| **seen == Seen::Marker).count(), 1);
        assert!(seen.contains(&Seen::Content));
        assert!(watch.delivered().bytes >= 7, "{dialect:?}");
    }
}

#[test]
fn a_chats_events_are_chunks_with_its_usage_apart() {
    let (_, seen, data) = streamed(Dialect::Chat, CHAT);
    assert_eq!(seen, [Seen::Content, Seen::Progress, Seen::UsageOnly, Seen::Marker]);
    assert!(data.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == "chatcmpl-1"));
    assert_eq!(data[0]["choices"][0]["delta"]["content"], "hello");
    assert_eq!(data[0]["choices"][0]["delta"]["tool_calls"][0]["index"], 0);
    assert_eq!(data[1]["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn typed_events_are_named_ordered_and_numbered() {
    let (_, _, data) = streamed(Dialect::Responses, RESPONSE);
    let names: Vec<&str> = data.iter().map(|event| event["type"].as_str().unwrap()).collect();
    insta::assert_snapshot!(names.join("\n"), @r##"
    response.created
    response.output_item.added
    response.content_part.added
    response.output_text.delta
    response.output_text.done
    response.content_part.done
    response.output_item.done
    response.output_item.added
    response.function_call_arguments.delta
    response.function_call_arguments.done
    response.output_item.done
    response.completed
    "##);
    assert!(data.iter().enumerate().all(|(n, event)| event["sequence_number"] == n));
    assert_eq!(data[0]["response"]["output"], json!([]));
    assert_eq!(data.last().unwrap()["response"], serde_json::from_str::<Value>(RESPONSE).unwrap());
    let (_, _, data) = streamed(Dialect::Messages, MESSAGE);
    let names: Vec<&str> = data.iter().map(|event| event["type"].as_str().unwrap()).collect();
    insta::assert_snapshot!(names.join("\n"), @r##"
    message_start
    content_block_start
    content_block_delta
    content_block_delta
    content_block_stop
    content_block_start
    content_block_delta
    content_block_stop
    content_block_start
    content_block_delta
    content_block_stop
    message_delta
    message_stop
    "##);
}

#[test]
fn what_is_no_complete_answer_is_no_stream() {
    for (dialect, body) in [
        (Dialect::Chat, r#"{"error":{"message":"m"}}"#),
        (Dialect::Chat, r#"{"choices":[]}"#),
        (Dialect::Chat, r#"{"choices":[{"index":0,"text":"x"}]}"#),
        (Dialect::Chat, "<html>"),
        (Dialect::Chat, ""),
        (Dialect::Chat, r#"{"choices":[{"message""#),
        (Dialect::Completions, CHAT),
        (Dialect::Responses, r#"{"object":"response","status":"queued"}"#),
        (Dialect::Responses, CHAT),
        (Dialect::Messages, RESPONSE),
        (Dialect::Audio, CHAT),
        (Dialect::Plain, CHAT),
    ] {
        assert_eq!(as_stream(dialect, body.as_bytes()), None, "{dialect:?} {body}");
    }
}

#[test]
fn a_failed_response_fails_as_a_stream_too() {
    let body = r#"{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"m"},"output":[]}"#;
    let (watch, seen, _) = streamed(Dialect::Responses, body);
    assert!(matches!(seen.last(), Some(Seen::Failed(error)) if error.message.expose() == "m"));
    assert_eq!(watch.end(Eof::Clean), StreamEnd::UpstreamError);
}

proptest! {
    #[test]
    fn any_text_survives_as_events(text: String, reason in prop::option::of("[a-z_]{1,12}")) {
        let body = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": text.clone()}, "finish_reason": reason}]}).to_string();
        let (watch, _, data) = streamed(Dialect::Chat, &body);
        prop_assert_eq!(data[0]["choices"][0]["delta"]["content"].as_str(), Some(text.as_str()));
        let whole = read(Route::ChatCompletions, body.as_bytes());
        prop_assert_eq!(watch.delivered(), whole.delivered);
        prop_assert_eq!(watch.finish_reason(), whole.finish_reason.as_deref());
        prop_assert_eq!(watch.is_complete(), reason.is_some(), "a finish that was not told is not made up");
    }

    #[test]
    fn no_body_makes_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200), json in r#"[{}\[\]",:a-z0-9\\]{0,80}"#) {
        for route in Route::ALL {
            let _ = read(route, &body);
            let _ = as_stream(route.dialect(), &body);
            let _ = read(route, json.as_bytes());
        }
    }

    #[test]
    fn no_field_of_a_wrong_kind_makes_a_reader_panic(
        field in prop::sample::select(vec!["choices", "content", "output", "usage", "object", "status", "error", "message", "id"]),
        value in prop::sample::select(vec!["null", "1", "\"x\"", "[]", "[null]", "[1]", "{}", "[{}]", "[{\"message\":{\"tool_calls\":[1]}}]", "[{\"content\":[{}]}]"]),
        base in prop::sample::select(vec![CHAT, COMPLETION, RESPONSE, MESSAGE]),
    ) {
        let mut answer: Value = serde_json::from_str(base).unwrap();
        answer[field] = serde_json::from_str(value).unwrap();
        let body = answer.to_string();
        for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Responses, Dialect::Messages] {
            let _ = as_stream(dialect, body.as_bytes());
        }
        let _ = read(Route::ChatCompletions, body.as_bytes());
    }
}
