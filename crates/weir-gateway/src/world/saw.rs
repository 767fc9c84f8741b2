//! What a client saw, in one short phrase that is computed from the bytes it got.

use serde_json::Value;

use super::client::Got;

/// weir's own comment line.
const HEARTBEAT: &str = ": weir";

/// The phrase.
pub(super) fn words(got: &Got, left: bool) -> String {
    let phrase = match (got.status, got.is_stream()) {
        (0, _) if left => return "nothing: it had left".to_owned(),
        (0, _) => return "nothing: the connection closed".to_owned(),
        (_, true) => Stream::of(&got.body).words(),
        (..300, false) if serde_json::from_slice::<Value>(&got.body).is_ok_and(|body| body.get("error").is_none()) => {
            "whole answer".to_owned()
        }
        (_, false) if error(got).is_some() => "error body".to_owned(),
        _ => "a body in no known form".to_owned(),
    };
    match (got.whole, left) {
        (true, _) => phrase,
        (false, true) => format!("{phrase}; it had left"),
        (false, false) => format!("{phrase}; broken off"),
    }
}

/// The error that a client was told: in the body, or in a stream's last event.
pub(super) fn error(got: &Got) -> Option<Value> {
    let told = if got.is_stream() {
        Stream::of(&got.body).errors.pop()?
    } else {
        serde_json::from_slice::<Value>(&got.body).ok()?["error"].take()
    };
    told.is_object().then_some(told)
}

/// A chat stream's events, counted; cut without the gateway's own splitter.
#[derive(Debug, Default)]
pub(super) struct Stream {
    heartbeats: bool,
    pub(super) events: usize,
    /// Events whose data is no JSON.
    unreadable: usize,
    finished: bool,
    pub(super) done: bool,
    pub(super) errors: Vec<Value>,
    /// Something came behind the error or the end marker.
    pub(super) spoke_on: bool,
}

impl Stream {
    pub(super) fn of(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).replace("\r\n", "\n").replace('\r', "\n");
        let mut stream = Self::default();
        for frame in text.split("\n\n").filter(|frame| !frame.trim().is_empty()) {
            stream.take(frame);
        }
        stream
    }

    fn take(&mut self, frame: &str) {
        let lines = frame.lines().filter_map(|line| line.trim_start_matches('\u{feff}').strip_prefix("data:"));
        let data = lines.map(str::trim).collect::<Vec<_>>().join("\n");
        if data.is_empty() {
            self.heartbeats |= frame.trim() == HEARTBEAT;
            return;
        }
        self.spoke_on |= self.done || !self.errors.is_empty();
        if data == "[DONE]" {
            self.done = true;
            return;
        }
        match serde_json::from_str::<Value>(&data) {
            Ok(mut event) if event["error"].is_object() => self.errors.push(event["error"].take()),
            Ok(event) => {
                self.events += 1;
                let choices = event["choices"].as_array();
                self.finished |= choices.is_some_and(|choices| choices.iter().any(|choice| choice["finish_reason"].is_string()));
            }
            Err(_) => {
                self.events += 1;
                self.unreadable += 1;
            }
        }
    }

    fn words(&self) -> String {
        let beats = if self.heartbeats { "heartbeats, " } else { "" };
        let count = match self.events {
            0 => String::new(),
            1 => "1 event".to_owned(),
            n => format!("{n} events"),
        };
        let count = if self.unreadable > 0 { format!("{count} ({} no JSON)", self.unreadable) } else { count };
        let end = match (self.errors.len(), self.done, self.finished) {
            (0, true, true) if self.unreadable == 0 => return format!("{beats}whole answer"),
            (0, true, true) => "[DONE]",
            (0, true, false) => "[DONE], finish_reason missing",
            (0, false, true) => "finished, [DONE] missing",
            (0, false, false) => "[DONE] missing",
            (1, false, _) if self.events > 0 => return format!("{beats}{count}, then one error event"),
            (1, false, _) => return format!("{beats}one error event"),
            _ => "errors and [DONE] mixed",
        };
        if count.is_empty() { format!("{beats}{end}") } else { format!("{beats}{count}, {end}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(body: &str) -> String {
        Stream::of(body.as_bytes()).words()
    }

    #[test]
    fn a_phrase_tells_whole_streams_from_those_that_only_look_so() {
        let chunk = "data: {\"choices\":[{\"delta\":{}}]}\n\n";
        let last = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";
        assert_eq!(saw(&format!("{chunk}{last}data: [DONE]\n\n")), "whole answer");
        assert_eq!(saw(&format!(": weir\n\n{chunk}{last}data: [DONE]\n\n")), "heartbeats, whole answer");
        assert_eq!(saw(&format!("{chunk}data: [DONE]\n\n")), "1 event, [DONE], finish_reason missing");
        assert_eq!(saw(&format!("{chunk}{chunk}{last}")), "3 events, finished, [DONE] missing");
        assert_eq!(saw(&format!("{chunk}data: {{\"error\":{{}}}}\n\n")), "1 event, then one error event");
        assert_eq!(saw("data: {\"error\":{}}\n\n"), "one error event");
        assert_eq!(saw(&format!("{chunk}data: {{\"error\":{{}}}}\n\ndata: [DONE]\n\n")), "1 event, errors and [DONE] mixed");
        assert_eq!(saw("data: {\n\n"), "1 event (1 no JSON), [DONE] missing");
    }
}
