//! One stream and one whole answer of each family, as it looks.

use insta::assert_snapshot;

use super::*;

async fn body(path: &str, body: &str) -> String {
    exchange(&sim(), &post(path, body)).await.body_text()
}

#[tokio::test(start_paused = true)]
async fn chat_looks_like_chat() {
    let stream = r#"{"model":"sim:tokens=2,reasoning=1","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    assert_snapshot!(body("/v1/chat/completions", stream).await, @"");
    assert_snapshot!(body("/v1/chat/completions", r#"{"model":"sim:tokens=2,tools=1","messages":[]}"#).await, @"");
}

#[tokio::test(start_paused = true)]
async fn completions_look_like_completions() {
    assert_snapshot!(body("/v1/completions", r#"{"model":"sim:tokens=2","stream":true,"prompt":"p"}"#).await, @"");
}

#[tokio::test(start_paused = true)]
async fn responses_look_like_responses() {
    assert_snapshot!(body("/v1/responses", r#"{"model":"sim:tokens=2,reasoning=1","stream":true,"input":"p"}"#).await, @"");
}

#[tokio::test(start_paused = true)]
async fn messages_look_like_messages() {
    assert_snapshot!(body("/v1/messages", r#"{"model":"sim:tokens=2,reasoning=1,tools=1","stream":true,"max_tokens":99,"messages":[]}"#).await, @"");
    assert_snapshot!(body("/v1/messages", r#"{"model":"sim:529","max_tokens":99,"messages":[]}"#).await, @"");
}

#[tokio::test(start_paused = true)]
async fn media_look_like_media() {
    assert_snapshot!(body("/v1/audio/transcriptions", r#"{"model":"sim:tokens=2","stream":true}"#).await, @"");
    assert_snapshot!(body("/v1/images/generations", r#"{"model":"sim:ok","prompt":"p"}"#).await, @"");
    let speech = exchange(&sim(), &post("/v1/audio/speech", r#"{"model":"tts-1","input":"hello there, harbor","voice":"alloy"}"#)).await;
    assert_eq!((speech.header("content-type").unwrap().as_str(), speech.body().0.len() % 417), ("audio/mpeg", 0));
    let spoken = body("/v1/audio/speech", r#"{"model":"tts-1","input":"hi","voice":"alloy","stream_format":"sse"}"#).await;
    assert!(spoken.starts_with("event: speech.audio.delta\n") && spoken.contains("speech.audio.done"));
}

#[tokio::test(start_paused = true)]
async fn vectors_follow_their_request() {
    let asked = r#"{"model":"text-embedding-3-small","input":["a","b"],"dimensions":3}"#;
    assert_snapshot!(body("/v1/embeddings", asked).await, @"");
    let packed = exchange(&sim(), &post("/v1/embeddings", r#"{"model":"m","input":"a","encoding_format":"base64","dimensions":3}"#)).await;
    assert_eq!(packed.json()["data"][0]["embedding"].as_str().unwrap().len(), 16);
    assert_snapshot!(body("/v1/rerank", r#"{"model":"m","query":"q","documents":["a","b","c"],"top_n":2}"#).await, @"");
    assert_eq!(exchange(&sim(), &post("/v1/moderations", r#"{"model":"m","input":["a","b"]}"#)).await.json()["results"].as_array().unwrap().len(), 2);
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
        let ask = |stream: bool| post(path, &format!(r#"{{"model":"sim:tokens=80","messages":[],"input":"p","prompt":"p","stream":{stream}}}"#));
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
