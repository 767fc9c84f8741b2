//! Reads an answer as it arrives: counts, ends and errors, never text. What was read is judged elsewhere.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use weir_core::{Dialect, Timestamp, Verdict};
use weir_wire::{
    FrameSplitter, Seen, StreamWatch, UpstreamError, limits,
    sse::{FrameParts, without_bom},
};

use super::{Arrival, Body, Shape, StreamBody, Whole};

/// Reads that are kept apart; further ones are added to the last.
pub const ARRIVALS_MAX: usize = 4096;
/// The most of a body that a probe reads, in bytes.
pub const BODY_BYTES: u64 = 8 << 20;
/// What is kept of a body to see whether it is an error, in bytes.
const KEPT_BYTES: usize = 64 * 1024;
/// The same for a list, in bytes: the longest known list of models has half a megabyte.
const LIST_BYTES: usize = 4 << 20;
/// Longest `param`, `scope` or finish reason that is kept, in characters.
const TOKEN_CHARS: usize = 64;

/// Takes the pieces of one body.
#[derive(Debug)]
pub struct Reading {
    arrivals: Vec<Arrival>,
    kept: Vec<u8>,
    room: usize,
    bytes: u64,
    stream: Option<StreamReading>,
}

#[derive(Debug)]
struct StreamReading {
    splitter: FrameSplitter,
    watch: StreamWatch,
    seen: StreamBody,
    lines: u32,
    frames: Vec<Bytes>,
}

impl Reading {
    /// An answer that comes in one piece.
    #[must_use]
    pub fn of_whole() -> Self {
        Self { arrivals: Vec::new(), kept: Vec::new(), room: KEPT_BYTES, bytes: 0, stream: None }
    }

    /// A list that is read as a whole, such as that of all models.
    #[must_use]
    pub fn of_list() -> Self {
        Self { room: LIST_BYTES, ..Self::of_whole() }
    }

    /// What was kept of the body, decompressed.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// An answer that should be an event stream.
    #[must_use]
    pub fn of_stream(dialect: Dialect) -> Self {
        let stream = StreamReading {
            splitter: FrameSplitter::new(usize::try_from(BODY_BYTES).unwrap_or(usize::MAX)),
            watch: StreamWatch::new(dialect),
            seen: StreamBody::default(),
            lines: 0,
            frames: Vec::new(),
        };
        Self { stream: Some(stream), ..Self::of_whole() }
    }

    /// One read: how many bytes came over the wire, and what they are once decompressed.
    pub fn piece(&mut self, at: Duration, wire_bytes: usize, plain: &[u8]) -> Arrival {
        self.bytes += plain.len() as u64;
        let room = self.room.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&plain[..plain.len().min(room)]);
        let mut arrival = Arrival { at, bytes: wire_bytes as u64, ..Arrival::default() };
        if let Some(stream) = &mut self.stream {
            stream.feed(plain, &mut arrival);
        }
        let is_full = self.arrivals.len() >= ARRIVALS_MAX;
        match self.arrivals.last_mut() {
            Some(last) if is_full => {
                last.bytes += arrival.bytes;
                last.events += arrival.events;
                last.comments += arrival.comments;
            }
            _ => self.arrivals.push(arrival),
        }
        arrival
    }

    /// Bytes read so far, decompressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The stream has told its own end: nothing that follows says more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.seen.is_done)
    }

    /// At the end. `is_whole`: the transport ended as its rules want it.
    #[must_use]
    pub fn finish(self, status: u16, headers: &HeaderMap, now: Timestamp, is_whole: bool) -> (Vec<Arrival>, Body) {
        let whole = || whole(status, headers, &self.kept, self.bytes, now);
        let says_stream = headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("text/event-stream"));
        let body = match self.stream {
            Some(stream) if status < 400 => {
                let read = stream.finish(is_whole, self.bytes);
                // JSON or a page in place of a stream is judged for what it is.
                if says_stream || read.events > 0 { Body::Stream(read) } else { Body::Whole(whole()) }
            }
            _ => Body::Whole(whole()),
        };
        (self.arrivals, body)
    }
}

impl StreamReading {
    fn feed(&mut self, plain: &[u8], arrival: &mut Arrival) {
        let mut frames = std::mem::take(&mut self.frames);
        // The limit is the most that a probe reads of a body, so no frame exceeds it before the whole does.
        let _ = self.splitter.feed(Bytes::copy_from_slice(plain), &mut frames);
        for frame in frames.drain(..) {
            self.frame(&frame, arrival);
        }
        self.frames = frames;
        arrival.ends_event = arrival.events > 0 && self.splitter.pending() == 0;
    }

    fn frame(&mut self, frame: &[u8], arrival: &mut Arrival) {
        let first_line = self.lines;
        let is_first = first_line == 0;
        let bare = if is_first { without_bom(frame) } else { frame };
        let mut stray = None;
        for line in lines(bare) {
            self.lines += 1;
            match line.first() {
                Some(b':') => {
                    arrival.comments += 1;
                    self.seen.comments += 1;
                }
                // No field of a stream begins with a brace: it is data that lost its name.
                Some(b'{') => stray = stray.or(Some(self.lines)),
                _ if is_data(line) => self.seen.data_lines += 1,
                _ => {}
            }
        }
        let parts = FrameParts::of(bare);
        let is_empty = parts.data.as_deref().is_some_and(|data| data.iter().all(u8::is_ascii_whitespace));
        if let Some(line) = stray {
            self.seen.malformed_line.get_or_insert(line);
        }
        // An empty `data:` is no data, and no fault.
        if is_empty && parts.error.is_none() {
            return;
        }
        let is_event = parts.data.is_some() || parts.error.is_some();
        match self.watch.see(frame) {
            Seen::Content => self.seen.content_events += 1,
            Seen::Error(error) | Seen::Failed(error) => {
                self.seen.error.get_or_insert(*error);
                let told: Option<Value> = parts.data.as_deref().and_then(|data| serde_json::from_slice(data).ok());
                let verdict = told.as_ref().and_then(|told| Verdict::from_code(told.pointer("/error/verdict")?.as_str()?));
                self.seen.verdict = self.seen.verdict.or(verdict);
            }
            Seen::Marker => self.seen.is_done = true,
            Seen::Malformed => {
                self.seen.malformed_line.get_or_insert(first_line + 1);
            }
            Seen::Comment | Seen::Progress | Seen::UsageOnly => {}
        }
        if is_event {
            self.seen.events += 1;
            arrival.events += 1;
        }
    }

    fn finish(mut self, is_whole: bool, bytes: u64) -> StreamBody {
        let rest = std::mem::replace(&mut self.splitter, FrameSplitter::new(0)).finish();
        let data_lines = lines(&rest).filter(|line| is_data(line)).count();
        if is_whole && data_lines > 1 {
            // Events without the blank lines between them: no client can tell where one ends.
            self.seen.malformed_line.get_or_insert(self.lines + 1);
            self.seen.data_lines += u32::try_from(data_lines).unwrap_or(u32::MAX);
        } else if data_lines == 1 || (is_whole && !rest.is_empty()) {
            // Some servers forget the blank line behind their last event; what was cut is no fault of its form.
            let known = self.seen.malformed_line;
            self.frame(&rest, &mut Arrival::default());
            // A line without its end was broken off, however politely the connection closed.
            if !is_whole || !rest.ends_with(b"\n") && !rest.ends_with(b"\r") {
                self.seen.malformed_line = known;
            }
        }
        self.seen.bytes = bytes;
        self.seen.finish_reason = self.watch.finish_reason().map(str::to_owned);
        self.seen.is_complete = self.watch.is_complete();
        self.seen.output_tokens = self.watch.usage().map(|usage| usage.output);
        self.seen
    }
}

fn is_data(line: &[u8]) -> bool {
    line.strip_prefix(b"data:").is_some_and(|rest| !rest.iter().all(u8::is_ascii_whitespace))
}

/// Lines that end at LF, CR LF or CR; blank ones count.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        let line = &rest[..end];
        let after = if rest[end..].starts_with(b"\r\n") { end + 2 } else { (end + 1).min(rest.len()) };
        rest = &rest[after..];
        Some(line)
    })
}

fn whole(status: u16, headers: &HeaderMap, kept: &[u8], bytes: u64, now: Timestamp) -> Whole {
    let text = String::from_utf8_lossy(kept);
    let text = text.trim_start_matches('\u{feff}').trim();
    let json: Option<Value> = serde_json::from_str(text).ok();
    let start: String = text.chars().take(256).collect::<String>().to_ascii_lowercase();
    let shape = if text.is_empty() {
        Shape::Empty
    } else if json.as_ref().is_some_and(|value| value.is_object() || value.is_array()) || start.starts_with('{') {
        Shape::Json
    } else if start.starts_with("<!doctype") || start.contains("<html") || start.contains("<head") || start.contains("<title") {
        Shape::Html
    } else {
        Shape::Text
    };
    let field = |path: &str| json.as_ref().and_then(|value| value.pointer(path));
    let is_answer = json.as_ref().is_some_and(is_answer);
    let has_error = json.as_ref().is_some_and(|value| value.get("error").is_some_and(|error| !error.is_null()));
    let is_error = status >= 400 || has_error || (!is_answer && matches!(shape, Shape::Json | Shape::Text) && status >= 200);
    let told = |name: &str| field(name).and_then(Value::as_str).and_then(tame);
    Whole {
        shape,
        bytes,
        error: is_error.then(|| UpstreamError::read(status, kept)),
        is_answer: is_answer && !has_error,
        finish_reason: ["/choices/0/finish_reason", "/stop_reason", "/incomplete_details/reason"].iter().find_map(|path| told(path)),
        output_tokens: ["/usage/completion_tokens", "/usage/output_tokens"].iter().find_map(|path| field(path)?.as_u64()),
        has_text: json.as_ref().is_some_and(has_text),
        param: told("/error/param"),
        verdict: told("/error/verdict").and_then(|code| Verdict::from_code(&code)),
        scope: told("/error/scope").or_else(|| told("/error/source")),
        reset_at_ms: (status >= 400).then(|| limits::told_wait(headers, Some(kept), now)).flatten().map(|at| at.0),
        has_error_object: has_error,
    }
}

/// What some API would answer with: not a phrase, and not an error.
fn is_answer(value: &Value) -> bool {
    ["choices", "content", "output", "data", "candidates", "object"].iter().any(|name| value.get(name).is_some_and(|told| !told.is_null()))
        || value.is_array()
}

/// Whether a whole answer holds any text or a call of a tool.
fn has_text(value: &Value) -> bool {
    let is_text = |path: &str| value.pointer(path).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    is_text("/choices/0/message/content")
        || is_text("/choices/0/message/refusal")
        || is_text("/content/0/text")
        || value.pointer("/choices/0/message/tool_calls").is_some_and(|calls| !calls.is_null())
        || value.pointer("/output").is_some_and(|output| !output.is_null())
}

/// A short machine word, or nothing.
fn tame(text: &str) -> Option<String> {
    let fits =
        !text.is_empty() && text.len() <= TOKEN_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-[]".contains(&byte));
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str], is_whole: bool) -> StreamBody {
        let mut reading = Reading::of_stream(Dialect::Chat);
        for (n, piece) in pieces.iter().enumerate() {
            reading.piece(Duration::from_millis(n as u64), piece.len(), piece.as_bytes());
        }
        let mut headers = HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static("text/event-stream"));
        match reading.finish(200, &headers, Timestamp(0), is_whole).1 {
            Body::Stream(stream) => stream,
            other => panic!("{other:?}"),
        }
    }

    const TEXT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"1\"},\"finish_reason\":null}]}\n\n";
    const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

    #[test]
    fn an_event_belongs_to_the_read_that_completed_it() {
        let mut reading = Reading::of_stream(Dialect::Chat);
        let (head, tail) = TEXT.split_at(20);
        assert_eq!(reading.piece(Duration::from_millis(1), head.len(), head.as_bytes()).events, 0);
        let both = format!("{tail}{STOP}: beat\n\n");
        let arrival = reading.piece(Duration::from_millis(9), both.len(), both.as_bytes());
        assert_eq!((arrival.events, arrival.comments), (2, 1));
    }

    #[test]
    fn a_good_stream_in_any_dress_is_good() {
        for stream in [format!("{TEXT}{STOP}data: [DONE]\n\n"), format!("\u{feff}{TEXT}: hi\n\ndata:\n\n{STOP}data: [DONE]")] {
            for stream in [stream.clone(), stream.replace('\n', "\r\n"), stream.replace('\n', "\r")] {
                let seen = read(&[&stream], true);
                assert_eq!((seen.events, seen.data_lines, seen.malformed_line, seen.is_done), (3, 3, None, true), "{stream:?}");
                assert!(seen.is_complete && seen.content_events == 1 && seen.finish_reason.as_deref() == Some("stop"));
            }
        }
    }

    #[test]
    fn the_first_line_that_no_client_can_read_is_told() {
        let table = [
            (format!("{TEXT}data: {{\"choices\":[{{\n\n{STOP}"), 3),
            (format!("{TEXT}{}", TEXT.replacen("data: ", "", 1)), 3),
            (TEXT.replace("\n\n", "\n").repeat(3), 1),
            (format!("data: {{}}data: {{}}\n\n{STOP}"), 1),
        ];
        for (stream, line) in table {
            assert_eq!(read(&[&stream], true).malformed_line, Some(line), "{stream:?}");
        }
        let half = &TEXT[..40];
        assert_eq!(read(&[TEXT, half], false).malformed_line, None, "what was cut is no fault of its form");
    }

    #[test]
    fn a_body_is_told_for_what_it_is() {
        let of = |status, text: &str| whole(status, &HeaderMap::new(), text.as_bytes(), text.len() as u64, Timestamp(0));
        assert_eq!(of(200, "<!DOCTYPE html><html></html>").shape, Shape::Html);
        assert_eq!(of(404, "").shape, Shape::Empty);
        let fine = of(200, r#"{"object":"chat.completion","choices":[{"finish_reason":"length"}],"usage":{"completion_tokens":64}}"#);
        assert_eq!((fine.is_answer, fine.error, fine.finish_reason.as_deref(), fine.output_tokens), (true, None, Some("length"), Some(64)));
        let busy = of(200, r#"{"success":false,"message":"系统繁忙"}"#);
        assert!(!busy.is_answer && busy.error.is_some() && !busy.has_error_object);
        let ours =
            of(429, r#"{"error":{"code":"rate_limit_exceeded","verdict":"W-RATE-001","scope":"key","resetAt":"1970-01-01T00:00:09Z"}}"#);
        assert_eq!((ours.verdict, ours.scope.as_deref(), ours.reset_at_ms), (Some(Verdict::RateLimited), Some("key"), Some(9_000)));
    }
}
