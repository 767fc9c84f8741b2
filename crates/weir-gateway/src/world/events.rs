//! The law of streams: a client gets a prefix of the upstream's whole events, then the end marker or one error event.
//!
//! Events are cut here anew, from whole answers and without the gateway's own splitter: who checks must not share the mistake.

use std::ops::Range;

use serde_json::Value;
use weir_core::{CallRecord, Charged, Route};

use super::run::Ran;

const HEARTBEAT: &[u8] = b": weir\n\n";

/// What the client should have got at most: the upstream's whole events without the usage that it did not ask for.
struct Expected {
    bytes: Vec<u8>,
    /// Where an event may end. A CR LF may be cut in two there: the LF alone means nothing.
    borders: Vec<usize>,
    /// Where an event ends that is the family's own end marker.
    markers: Vec<usize>,
    /// What stands behind the last blank line.
    rest: Vec<u8>,
    finished: bool,
}

impl Expected {
    fn of(call: &Ran) -> Self {
        let (frames, rest) = frames(&call.straight.body);
        let mut expected = Self { bytes: Vec::new(), borders: vec![0], markers: Vec::new(), rest, finished: false };
        for frame in frames {
            let mut text = String::from_utf8_lossy(&call.straight.body[frame]).into_owned();
            if call.asking.hides_usage() && is_usage_only(&text) {
                continue;
            }
            if call.asking.hides_usage() && json(&text).is_some() {
                text = text.replacen(r#","usage":null"#, "", 1);
            }
            expected.bytes.extend_from_slice(text.as_bytes());
            let end = expected.bytes.len();
            if text.ends_with("\r\n") {
                expected.borders.push(end - 1);
            }
            expected.borders.push(end);
            expected.finished |= finishes(&text);
            if is_marker(&text) {
                expected.markers.push(end);
                expected.markers.extend(text.ends_with("\r\n").then_some(end - 1));
            }
        }
        expected.finished |= finishes(&String::from_utf8_lossy(&expected.rest));
        if is_marker(&String::from_utf8_lossy(&expected.rest)) {
            let end = expected.bytes.len() + expected.rest.len();
            expected.markers.push(end);
        }
        expected
    }
}

/// Whole events, each with its blank line, and what stands behind the last.
fn frames(body: &[u8]) -> (Vec<Range<usize>>, Vec<u8>) {
    let (mut found, mut start, mut at, mut empty) = (Vec::new(), 0, 0, true);
    while at < body.len() {
        let length = match (body[at], body.get(at + 1)) {
            (b'\r', Some(b'\n')) => 2,
            (b'\r' | b'\n', _) => 1,
            _ => 0,
        };
        at += length.max(1);
        if length == 0 {
            empty = false;
            continue;
        }
        if std::mem::replace(&mut empty, true) {
            found.push(start..at);
            start = at;
        }
    }
    (found, body[start..].to_vec())
}

/// The data of an event, its lines joined.
fn data(frame: &str) -> String {
    let lines = frame.trim_start_matches('\u{feff}').split(['\n', '\r']);
    lines.filter_map(|line| line.strip_prefix("data:")).map(|line| line.strip_prefix(' ').unwrap_or(line)).collect()
}

fn json(frame: &str) -> Option<Value> {
    serde_json::from_str(&data(frame)).ok()
}

fn is_usage_only(frame: &str) -> bool {
    json(frame).is_some_and(|event| event["usage"].is_object() && event["choices"].as_array().is_some_and(Vec::is_empty))
}

/// A choice says why it ended; the marker may be missing then.
fn finishes(frame: &str) -> bool {
    frame.contains(r#""finish_reason":""#) || frame.contains(r#""stop_reason":""#)
}

fn is_marker(frame: &str) -> bool {
    let data = data(frame);
    let ends = ["response.completed", "response.incomplete", "response.failed", "message_stop"];
    data.trim() == "[DONE]" || ends.iter().any(|kind| data.contains(&format!(r#""type":"{kind}""#)))
}

/// The client's bytes without weir's heartbeats.
pub(super) fn without_heartbeats(body: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(body.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(body, HEARTBEAT) {
        if at == 0 || matches!(body[at - 1], b'\n' | b'\r') {
            kept.extend_from_slice(&body[from..at]);
            from = at + HEARTBEAT.len();
        }
    }
    kept.extend_from_slice(&body[from..]);
    kept
}

/// Checks what the client of a stream got against what the upstream said.
pub(super) fn law(call: &Ran, record: &CallRecord) -> Result<(), String> {
    let (got, left) = (&call.got, call.got.left);
    if !left && !got.whole {
        return Err("a stream just stopped".to_owned());
    }
    if call.straight.header("content-type") == Some("application/json") && json_text(&call.straight.body).is_some() {
        return remade(call, record);
    }
    let expected = Expected::of(call);
    let body = without_heartbeats(&got.body);
    let whole = [&expected.bytes[..], &expected.rest].concat();
    let common = body.iter().zip(&whole).take_while(|(got, sent)| got == sent).count();
    if common == body.len() && (left || natural_end(&expected, body.len(), call)) {
        return passed(record, body.len(), left);
    }
    let border = expected.borders.iter().rev().find(|border| **border <= common).copied().unwrap_or(0);
    let last = &body[border..];
    if last.is_empty() {
        return Err(format!("a stream just stopped after {border} bytes of {}", whole.len()));
    }
    if left && !last.ends_with(b"\n\n") {
        return Ok(());
    }
    error_event(call, record, &String::from_utf8_lossy(last))?;
    passed(record, border, left)
}

/// The end that the upstream itself gave: its marker, or its last byte after all choices finished.
fn natural_end(expected: &Expected, end: usize, call: &Ran) -> bool {
    let ended = end == expected.bytes.len() || end == expected.bytes.len() + expected.rest.len();
    expected.markers.contains(&end) || ended && expected.finished && call.straight.whole
}

/// The record counts what passed.
fn passed(record: &CallRecord, bytes: usize, left: bool) -> Result<(), String> {
    let observed = record.observed.as_ref().map_or(0, |observed| observed.bytes);
    if left || observed == bytes as u64 { Ok(()) } else { Err(format!("{bytes} bytes of events came, {observed} are recorded")) }
}

/// One error event, its family's, that says what the record says.
fn error_event(call: &Ran, record: &CallRecord, text: &str) -> Result<(), String> {
    let (events, rest) = frames(text.as_bytes());
    if events.iter().any(|event| is_marker(&text[event.clone()]) && !text[event.clone()].contains("response.failed")) {
        return Err(format!("an end marker was forged: {text:?}"));
    }
    let what = |fault: &str| Err(format!("a cut stream ends with {fault} instead of whole events and one error event: {text:?}"));
    if events.len() != 1 || !rest.is_empty() {
        return what("something else");
    }
    let Some(event) = json(text) else { return what("no JSON") };
    if event.get("choices").is_some() || event.get("usage").is_some() {
        return what("an answer");
    }
    let name = text.lines().find_map(|line| line.strip_prefix("event: "));
    let wanted = match call.asking.route {
        Route::Messages => Some("error"),
        Route::Responses => Some("response.failed"),
        _ => None,
    };
    if name != wanted {
        return what("an event of another family");
    }
    error(&event["error"], call, record)
}

/// The error object, in a stream or alone.
pub(super) fn error(error: &Value, call: &Ran, record: &CallRecord) -> Result<(), String> {
    let what = |fault: String| Err(format!("the error says {fault}: {error}"));
    if error["message"].as_str().is_none_or(str::is_empty) || error["code"].as_str().is_none_or(str::is_empty) || !error["type"].is_string()
    {
        return what("too little".to_owned());
    }
    if error["verdict"] != record.verdict.code() {
        return what(format!("another verdict than the record, {}", record.verdict.code()));
    }
    if error["request_id"].as_str() != call.got.header("x-request-id") {
        return what("another id than the head".to_owned());
    }
    let charged = match record.charge.charged {
        Charged::Yes => Value::Bool(true),
        Charged::No => Value::Bool(false),
        other => return what(format!("what the record calls {other:?}")),
    };
    if error["charged"] == charged { Ok(()) } else { what(format!("charged, the record {:?}", record.charge.charged)) }
}

fn json_text(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

/// A whole answer where a stream was asked for: events were made of it, with the end that it proves, or one error.
fn remade(call: &Ran, record: &CallRecord) -> Result<(), String> {
    let body = without_heartbeats(&call.got.body);
    let (events, rest) = frames(&body);
    let Some(last) = events.last().filter(|_| rest.is_empty()) else {
        return if call.got.left { Ok(()) } else { Err("a stream was made of an answer and just stopped".to_owned()) };
    };
    let last = String::from_utf8_lossy(&body[last.clone()]).into_owned();
    match () {
        () if call.got.left || is_marker(&last) && !last.contains("response.failed") => Ok(()),
        () => error_event(call, record, &last),
    }
}
