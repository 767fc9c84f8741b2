//! A whole answer as the events that a stream would have brought, for upstreams that ignore `stream: true`.
//!
//! Everything told comes from the answer. The end marker is no forgery: the whole answer is here.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use weir_core::Dialect;

/// The events of a complete answer, each a whole frame, the family's own end last. `None` if the body is no complete answer of
/// the family, or has an error: then it is to be answered as an error. A chat's usage is an event of its own, as when asked for.
#[must_use]
pub fn as_stream(dialect: Dialect, body: &[u8]) -> Option<Vec<Bytes>> {
    let Value::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
    if dialect != Dialect::Responses && answer.get("error").is_some_and(|error| !error.is_null()) {
        return None;
    }
    match dialect {
        Dialect::Chat => chat(&answer),
        Dialect::Completions => completions(&answer),
        Dialect::Responses => response(&answer),
        Dialect::Messages => message(answer),
        Dialect::Audio | Dialect::Images | Dialect::Plain => None,
    }
}

/// What every chunk repeats of the answer.
fn chunk_of(answer: &Map<String, Value>, object: &str, choices: Vec<Value>) -> Map<String, Value> {
    let kept = ["id", "created", "model", "service_tier", "system_fingerprint"];
    let mut chunk: Map<String, Value> = kept.iter().filter_map(|name| Some(((*name).to_owned(), answer.get(*name)?.clone()))).collect();
    chunk.insert("object".to_owned(), object.into());
    chunk.insert("choices".to_owned(), choices.into());
    chunk
}

fn chat(answer: &Map<String, Value>) -> Option<Vec<Bytes>> {
    const OBJECT: &str = "chat.completion.chunk";
    let choices = answer.get("choices")?.as_array().filter(|choices| !choices.is_empty())?;
    let mut events = Vec::new();
    for choice in choices {
        let mut delta = choice.get("message")?.as_object()?.clone();
        if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
            for (n, call) in calls.iter_mut().enumerate() {
                call.as_object_mut()?.entry("index").or_insert(n.into());
            }
        }
        let index = choice.get("index").unwrap_or(&Value::Null);
        let logprobs = choice.get("logprobs").unwrap_or(&Value::Null);
        let brought = json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": null});
        events.push(plain(&chunk_of(answer, OBJECT, vec![brought])));
        let finish = json!({"index": index, "delta": {}, "finish_reason": choice.get("finish_reason")});
        events.push(plain(&chunk_of(answer, OBJECT, vec![finish])));
    }
    end_chunks(answer, OBJECT, events)
}

fn completions(answer: &Map<String, Value>) -> Option<Vec<Bytes>> {
    const OBJECT: &str = "text_completion";
    let choices = answer.get("choices")?.as_array().filter(|choices| !choices.is_empty())?;
    let is_text = choices.iter().all(|choice| choice.get("text").is_some_and(Value::is_string));
    let events = choices.iter().map(|choice| plain(&chunk_of(answer, OBJECT, vec![choice.clone()]))).collect();
    is_text.then(|| end_chunks(answer, OBJECT, events)).flatten()
}

fn end_chunks(answer: &Map<String, Value>, object: &str, mut events: Vec<Bytes>) -> Option<Vec<Bytes>> {
    if let Some(usage) = answer.get("usage").filter(|usage| usage.is_object()) {
        let mut chunk = chunk_of(answer, object, Vec::new());
        chunk.insert("usage".to_owned(), usage.clone());
        events.push(plain(&chunk));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Some(events)
}

/// Numbers and names the events of a response.
struct Typed {
    events: Vec<Bytes>,
    is_numbered: bool,
}

impl Typed {
    fn push(&mut self, kind: &str, mut event: Value) {
        event["type"] = kind.into();
        if self.is_numbered {
            event["sequence_number"] = self.events.len().into();
        }
        self.events.push(format!("event: {kind}\ndata: {event}\n\n").into());
    }
}

fn response(answer: &Map<String, Value>) -> Option<Vec<Bytes>> {
    let is_response = answer.get("object").and_then(Value::as_str) == Some("response");
    let status = answer.get("status").and_then(Value::as_str)?.to_owned();
    // What is queued or in progress is not complete; the caller must ask for it again.
    if !is_response || !matches!(status.as_str(), "completed" | "incomplete" | "failed") {
        return None;
    }
    let output = answer.get("output").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut begun = answer.clone();
    for (name, value) in [("status", json!("in_progress")), ("output", json!([])), ("usage", Value::Null), ("error", Value::Null)] {
        begun.insert(name.to_owned(), value);
    }
    let mut typed = Typed { events: Vec::new(), is_numbered: true };
    typed.push("response.created", json!({ "response": begun }));
    for (at, item) in output.iter().enumerate() {
        output_item(&mut typed, at, item);
    }
    typed.push(&format!("response.{status}"), json!({ "response": answer }));
    Some(typed.events)
}

fn output_item(typed: &mut Typed, at: usize, item: &Value) {
    let id = item.get("id").unwrap_or(&Value::Null);
    let mut begun = item.clone();
    for (name, empty) in [("content", json!([])), ("arguments", json!("")), ("status", json!("in_progress"))] {
        if let Some(field) = begun.get_mut(name) {
            *field = empty;
        }
    }
    typed.push("response.output_item.added", json!({"output_index": at, "item": begun}));
    if let Some(arguments) = item.get("arguments").and_then(Value::as_str) {
        typed.push("response.function_call_arguments.delta", json!({"item_id": id, "output_index": at, "delta": arguments}));
        typed.push("response.function_call_arguments.done", json!({"item_id": id, "output_index": at, "arguments": arguments}));
    }
    for (n, part) in item.get("content").and_then(Value::as_array).into_iter().flatten().enumerate() {
        content_part(typed, &json!({"item_id": id, "output_index": at, "content_index": n}), part);
    }
    typed.push("response.output_item.done", json!({"output_index": at, "item": item}));
}

fn content_part(typed: &mut Typed, place: &Value, part: &Value) {
    let at = |more: &[(&str, Value)]| {
        let mut event = place.clone();
        for (name, value) in more {
            event[*name] = value.clone();
        }
        event
    };
    let (name, kind) = match part.get("type").and_then(Value::as_str) {
        Some("output_text") => ("text", "response.output_text"),
        Some("refusal") => ("refusal", "response.refusal"),
        Some("reasoning_text") => ("text", "response.reasoning_text"),
        _ => ("", ""),
    };
    let text = part.get(name).filter(|text| text.is_string());
    let mut begun = part.clone();
    if text.is_some() {
        begun[name] = json!("");
    }
    typed.push("response.content_part.added", at(&[("part", begun)]));
    if let Some(text) = text {
        typed.push(&format!("{kind}.delta"), at(&[("delta", text.clone())]));
        typed.push(&format!("{kind}.done"), at(&[(name, text.clone())]));
    }
    typed.push("response.content_part.done", at(&[("part", part.clone())]));
}

fn message(answer: Map<String, Value>) -> Option<Vec<Bytes>> {
    if answer.get("type").and_then(Value::as_str) != Some("message") {
        return None;
    }
    let blocks = answer.get("content")?.as_array()?.clone();
    let ended = json!({
        "delta": {"stop_reason": answer.get("stop_reason"), "stop_sequence": answer.get("stop_sequence")},
        "usage": answer.get("usage"),
    });
    let mut begun = answer;
    for (name, value) in [("content", json!([])), ("stop_reason", Value::Null), ("stop_sequence", Value::Null)] {
        begun.insert(name.to_owned(), value);
    }
    let mut typed = Typed { events: Vec::new(), is_numbered: false };
    typed.push("message_start", json!({ "message": begun }));
    for (at, block) in blocks.iter().enumerate() {
        content_block(&mut typed, at, block);
    }
    typed.push("message_delta", ended);
    typed.push("message_stop", json!({}));
    Some(typed.events)
}

fn content_block(typed: &mut Typed, at: usize, block: &Value) {
    let mut begun = block.clone();
    let mut deltas = Vec::new();
    for (name, kind, empty) in
        [("text", "text_delta", json!("")), ("thinking", "thinking_delta", json!("")), ("signature", "signature_delta", json!(""))]
    {
        if let Some(text) = block.get(name).filter(|text| text.is_string()) {
            deltas.push(json!({"type": kind, name: text}));
            begun[name] = empty;
        }
    }
    if let Some(input) = block.get("input").filter(|input| input.is_object()) {
        deltas.push(json!({"type": "input_json_delta", "partial_json": input.to_string()}));
        begun["input"] = json!({});
    }
    typed.push("content_block_start", json!({"index": at, "content_block": begun}));
    for delta in deltas {
        typed.push("content_block_delta", json!({"index": at, "delta": delta}));
    }
    typed.push("content_block_stop", json!({"index": at}));
}

fn plain(chunk: &Map<String, Value>) -> Bytes {
    let data = serde_json::to_string(chunk).unwrap_or_default();
    format!("data: {data}\n\n").into()
}
