//! One stream and one whole answer of each family, as it looks.

use insta::assert_snapshot;

use super::*;

async fn body(path: &str, body: &str) -> String {
    exchange(&sim(), &post(path, body)).await.body_text()
}

#[tokio::test(start_paused = true)]
async fn chat_looks_like_chat() {
    let stream = r#"{"model":"sim:tokens=2,reasoning=1","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    assert_snapshot!(body("/v1/chat/completions", stream).await, @r##"
    data: {"id":"chatcmpl-ZAhk3egc83XuBmYqNCNemd4rllajN","object":"chat.completion.chunk","created":1767297784,"model":"sim:tokens=2,reasoning=1","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-ZAhk3egc83XuBmYqNCNemd4rllajN","object":"chat.completion.chunk","created":1767297784,"model":"sim:tokens=2,reasoning=1","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"reasoning_content":"nobody"},"logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-ZAhk3egc83XuBmYqNCNemd4rllajN","object":"chat.completion.chunk","created":1767297784,"model":"sim:tokens=2,reasoning=1","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"content":"light"},"logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-ZAhk3egc83XuBmYqNCNemd4rllajN","object":"chat.completion.chunk","created":1767297784,"model":"sim:tokens=2,reasoning=1","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{"content":"."},"logprobs":null,"finish_reason":null}],"usage":null}

    data: {"id":"chatcmpl-ZAhk3egc83XuBmYqNCNemd4rllajN","object":"chat.completion.chunk","created":1767297784,"model":"sim:tokens=2,reasoning=1","service_tier":"default","system_fingerprint":"fp_sim","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}

    data: {"id":"chatcmpl-ZAhk3egc83XuBmYqNCNemd4rllajN","object":"chat.completion.chunk","created":1767297784,"model":"sim:tokens=2,reasoning=1","service_tier":"default","system_fingerprint":"fp_sim","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":3,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":1,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}

    data: [DONE]
    "##);
    assert_snapshot!(body("/v1/chat/completions", r#"{"model":"sim:tokens=2,tools=1","messages":[]}"#).await, @r##"{"id":"chatcmpl-MzAhnT0poSNQp1GvQv3EDleC8Vw2u","object":"chat.completion","created":1767229607,"model":"sim:tokens=2,tools=1","choices":[{"index":0,"message":{"role":"assistant","content":"只 A","refusal":null,"annotations":[],"tool_calls":[{"id":"call_MzAhnT0poSNQp1GvQv3EDleC","type":"function","function":{"name":"get_weather","arguments":"{\"location\":\"Osaka\",\"unit\":\"celsius\",\"days\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":20,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_sim"}"##);
}

#[tokio::test(start_paused = true)]
async fn completions_look_like_completions() {
    assert_snapshot!(body("/v1/completions", r#"{"model":"sim:tokens=2","stream":true,"prompt":"p"}"#).await, @r##"
    data: {"id":"cmpl-L2rZmUqHZDsGZfYBm5UzKJzg6qZZB","object":"text_completion","created":1767242918,"model":"sim:tokens=2","system_fingerprint":"fp_sim","choices":[{"text":"nets","index":0,"logprobs":null,"finish_reason":null}]}

    data: {"id":"cmpl-L2rZmUqHZDsGZfYBm5UzKJzg6qZZB","object":"text_completion","created":1767242918,"model":"sim:tokens=2","system_fingerprint":"fp_sim","choices":[{"text":"只","index":0,"logprobs":null,"finish_reason":null}]}

    data: {"id":"cmpl-L2rZmUqHZDsGZfYBm5UzKJzg6qZZB","object":"text_completion","created":1767242918,"model":"sim:tokens=2","system_fingerprint":"fp_sim","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}]}

    data: [DONE]
    "##);
}

#[tokio::test(start_paused = true)]
async fn responses_look_like_responses() {
    assert_snapshot!(body("/v1/responses", r#"{"model":"sim:tokens=2,reasoning=1","stream":true,"input":"p"}"#).await, @r##"
    event: response.created
    data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","object":"response","created_at":1767298548,"status":"in_progress","background":false,"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"metadata":{},"model":"sim:tokens=2,reasoning=1","output":[],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":true,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":null,"user":null}}

    event: response.in_progress
    data: {"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","object":"response","created_at":1767298548,"status":"in_progress","background":false,"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"metadata":{},"model":"sim:tokens=2,reasoning=1","output":[],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":true,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":null,"user":null}}

    event: response.output_item.added
    data: {"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"rs_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","type":"reasoning","summary":[]}}

    event: response.reasoning_summary_part.added
    data: {"type":"response.reasoning_summary_part.added","sequence_number":3,"item_id":"rs_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}

    event: response.reasoning_summary_text.delta
    data: {"type":"response.reasoning_summary_text.delta","sequence_number":4,"item_id":"rs_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":0,"summary_index":0,"delta":","}

    event: response.reasoning_summary_text.done
    data: {"type":"response.reasoning_summary_text.done","sequence_number":5,"item_id":"rs_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":0,"summary_index":0,"text":","}

    event: response.reasoning_summary_part.done
    data: {"type":"response.reasoning_summary_part.done","sequence_number":6,"item_id":"rs_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":","}}

    event: response.output_item.done
    data: {"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"id":"rs_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","type":"reasoning","summary":[{"type":"summary_text","text":","}]}}

    event: response.output_item.added
    data: {"type":"response.output_item.added","sequence_number":8,"output_index":1,"item":{"id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","type":"message","status":"in_progress","content":[],"role":"assistant"}}

    event: response.content_part.added
    data: {"type":"response.content_part.added","sequence_number":9,"item_id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":1,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}

    event: response.output_text.delta
    data: {"type":"response.output_text.delta","sequence_number":10,"item_id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":1,"content_index":0,"delta":"tide","logprobs":[]}

    event: response.output_text.delta
    data: {"type":"response.output_text.delta","sequence_number":11,"item_id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":1,"content_index":0,"delta":" creak","logprobs":[]}

    event: response.output_text.done
    data: {"type":"response.output_text.done","sequence_number":12,"item_id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":1,"content_index":0,"text":"tide creak","logprobs":[]}

    event: response.content_part.done
    data: {"type":"response.content_part.done","sequence_number":13,"item_id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","output_index":1,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"tide creak"}}

    event: response.output_item.done
    data: {"type":"response.output_item.done","sequence_number":14,"output_index":1,"item":{"id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"tide creak"}],"role":"assistant"}}

    event: response.completed
    data: {"type":"response.completed","sequence_number":15,"response":{"id":"resp_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","object":"response","created_at":1767298548,"status":"completed","background":false,"error":null,"incomplete_details":null,"instructions":null,"max_output_tokens":null,"metadata":{},"model":"sim:tokens=2,reasoning=1","output":[{"id":"rs_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","type":"reasoning","summary":[{"type":"summary_text","text":","}]},{"id":"msg_RsGBgBCRB8zIxYdBjdiqEhkULQACfLjaPuVSRhIoyBFDkSnu","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"tide creak"}],"role":"assistant"}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"service_tier":"default","store":true,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":4},"user":null}}
    "##);
}

#[tokio::test(start_paused = true)]
async fn messages_look_like_messages() {
    assert_snapshot!(body("/v1/messages", r#"{"model":"sim:tokens=2,reasoning=1,tools=1","stream":true,"max_tokens":99,"messages":[]}"#).await, @r##"
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_01pmKIzLd3DYoH1b5dNZkEcT","type":"message","role":"assistant","model":"sim:tokens=2,reasoning=1,tools=1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

    event: ping
    data: {"type":"ping"}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"港口"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"2AnlVJIOgh354cWUMUXXcxZswYejcZ9g4k9DQUwaetuIL6J92F8F2z4Bli8n9o57"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":0}

    event: content_block_start
    data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"one"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":" harbor"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":1}

    event: content_block_start
    data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_01pmKIzLd3DYoH1b5dNZkEcT","name":"get_weather","input":{}}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\""}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"loca"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"tion"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\":\"Oslo\","}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"u"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"nit\":"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"celsiu"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"s\",\"day"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"s\":1}"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":2}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":21}}

    event: message_stop
    data: {"type":"message_stop"}
    "##);
    assert_snapshot!(body("/v1/messages", r#"{"model":"sim:529","max_tokens":99,"messages":[]}"#).await, @r##"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011sim"}"##);
}

#[tokio::test(start_paused = true)]
async fn media_look_like_media() {
    assert_snapshot!(body("/v1/audio/transcriptions", r#"{"model":"sim:tokens=2","stream":true}"#).await, @r##"
    event: transcript.text.delta
    data: {"type":"transcript.text.delta","delta":"the"}

    event: transcript.text.delta
    data: {"type":"transcript.text.delta","delta":"nobody"}

    event: transcript.text.done
    data: {"type":"transcript.text.done","text":"thenobody","logprobs":null,"usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":2,"total_tokens":16}}
    "##);
    assert_snapshot!(body("/v1/images/generations", r#"{"model":"sim:ok","prompt":"p"}"#).await, @r##"{"created":1767274837,"background":"opaque","data":[{"b64_json":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAAD0lEQVR4AQEEAPv/AOcwrwPIAce0X8IdAAAAAElFTkSuQmCC"}],"output_format":"png","quality":"low","size":"1024x1024","usage":{"input_tokens":9,"input_tokens_details":{"text_tokens":9,"image_tokens":0},"output_tokens":272,"total_tokens":281}}"##);
    let speech = exchange(&sim(), &post("/v1/audio/speech", r#"{"model":"tts-1","input":"hello there, harbor","voice":"alloy"}"#)).await;
    assert_eq!((speech.header("content-type").unwrap().as_str(), speech.body().0.len() % 417), ("audio/mpeg", 0));
    let spoken = body("/v1/audio/speech", r#"{"model":"tts-1","input":"hi","voice":"alloy","stream_format":"sse"}"#).await;
    assert!(spoken.starts_with("event: speech.audio.delta\n") && spoken.contains("speech.audio.done"));
}

#[tokio::test(start_paused = true)]
async fn vectors_follow_their_request() {
    let asked = r#"{"model":"text-embedding-3-small","input":["a","b"],"dimensions":3}"#;
    assert_snapshot!(body("/v1/embeddings", asked).await, @r##"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[-0.80067462,0.58418226,0.13285813]},{"object":"embedding","index":1,"embedding":[0.26643631,0.57415432,0.77418250]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":2,"total_tokens":2}}"##);
    let packed = exchange(&sim(), &post("/v1/embeddings", r#"{"model":"m","input":"a","encoding_format":"base64","dimensions":3}"#)).await;
    assert_eq!(packed.json()["data"][0]["embedding"].as_str().unwrap().len(), 16);
    assert_snapshot!(body("/v1/rerank", r#"{"model":"m","query":"q","documents":["a","b","c"],"top_n":2}"#).await, @r##"{"id":"rerank-HILHODiDOIMefe3YtI0PPLeA","model":"m","results":[{"index":1,"relevance_score":0.877632},{"index":2,"relevance_score":0.165119}],"usage":{"prompt_tokens":4,"total_tokens":4}}"##);
    assert_eq!(
        exchange(&sim(), &post("/v1/moderations", r#"{"model":"m","input":["a","b"]}"#)).await.json()["results"].as_array().unwrap().len(),
        2
    );
}

/// Every event of every family must be JSON, and a stream's pieces must join to the whole answer's text.
#[tokio::test(start_paused = true)]
async fn pieces_join_to_the_whole() {
    let families = [
        ("/v1/chat/completions", "/choices/0/message/content", "/choices/0/delta/content"),
        ("/v1/completions", "/choices/0/text", "/choices/0/text"),
        ("/v1/responses", "/output/0/content/0/text", "/delta"),
        ("/v1/messages", "/content/0/text", "/delta/text"),
        ("/v1/audio/transcriptions", "/text", "/delta"),
    ];
    for (path, whole_at, piece_at) in families {
        let ask =
            |stream: bool| post(path, &format!(r#"{{"model":"sim:tokens=80","messages":[],"input":"p","prompt":"p","stream":{stream}}}"#));
        let whole = exchange(&sim(), &ask(false)).await.json();
        let stream = exchange(&sim(), &ask(true)).await.body_text();
        let mut joined = String::new();
        for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]") {
            let event: serde_json::Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{path}: {error}: {data}"));
            joined.push_str(event.pointer(piece_at).and_then(serde_json::Value::as_str).unwrap_or_default());
        }
        assert_eq!(whole.pointer(whole_at).and_then(serde_json::Value::as_str), Some(joined.as_str()), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_event_has_its_familys_form() {
    for (path, form) in [
        ("/v1/chat/completions", "data: {\"error\":{\"message\":"),
        ("/v1/responses", "event: error\ndata: {\"type\":\"error\",\"sequence_number\":"),
        ("/v1/messages", "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\""),
    ] {
        let got = body(path, r#"{"model":"sim:error_after=3","stream":true,"messages":[],"input":"p"}"#).await;
        assert!(got.contains(form), "{path}: {got}");
    }
}

#[tokio::test(start_paused = true)]
async fn choices_come_side_by_side() {
    let got = body("/v1/chat/completions", r#"{"model":"sim:tokens=3","n":2,"stream":true,"messages":[]}"#).await;
    assert_eq!((got.matches(r#""index":1"#).count(), got.matches(r#""finish_reason":"stop""#).count()), (5, 2));
    let whole = exchange(&sim(), &post("/v1/chat/completions", r#"{"model":"sim:tokens=30,no_usage","n":2,"messages":[]}"#)).await.json();
    assert_ne!(whole["choices"][0]["message"]["content"], whole["choices"][1]["message"]["content"]);
    assert!(whole.get("usage").is_none());
}
