//! What a captured event stream shows: how many data lines, whether it came to an end of its own, whether an error is in it.

use super::pattern::{first, is_in, pattern};

/// A captured stream, counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) data_lines: u32,
    /// Comment lines that only keep it open.
    pub(super) heartbeats: u32,
    /// `data: [DONE]`, or the end of the other families.
    pub(super) has_end_marker: bool,
    pub(super) finish_reason: Option<String>,
    /// The data of the first error event.
    pub(super) error: Option<String>,
    /// Data lines that are neither JSON nor a marker.
    pub(super) broken_lines: u32,
}

pattern!(FINISH, r#""(?:finish_reason|stop_reason|finishReason)"\s*:\s*"(\w+)""#);
pattern!(ERROR, r#"^\s*\{\s*"(?:error"\s*:\s*[{"]|type"\s*:\s*"(?:error|response\.failed)")|"error"\s*:\s*\{\s*"(?:code|message|type)"#);

/// `None` if the text holds no line of a stream.
pub(super) fn captured(text: &str) -> Option<Captured> {
    let mut seen = Captured::default();
    let (mut any, mut in_error) = (false, false);
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("event:") {
            any = true;
            let name = name.trim();
            in_error = name == "error" || name == "response.failed";
            seen.has_end_marker |= matches!(name, "message_stop" | "response.completed" | "response.incomplete");
        } else if let Some(data) = line.strip_prefix("data:") {
            any = true;
            event(data.trim(), in_error, &mut seen);
            in_error = false;
        } else if any && line.starts_with(':') {
            seen.heartbeats = seen.heartbeats.saturating_add(1);
        } else if line.starts_with(": ") && line.to_ascii_lowercase().contains("processing") {
            any = true;
            seen.heartbeats = seen.heartbeats.saturating_add(1);
        }
    }
    any.then_some(seen)
}

fn event(data: &str, is_error: bool, seen: &mut Captured) {
    if data.is_empty() {
        return;
    }
    seen.data_lines = seen.data_lines.saturating_add(1);
    if data == "[DONE]" {
        seen.has_end_marker = true;
        return;
    }
    if let Some(reason) = first(&FINISH, data) {
        seen.finish_reason = Some(reason.to_owned());
    }
    if data.contains("\"response.completed\"") || data.contains("\"message_stop\"") {
        seen.has_end_marker = true;
    }
    if seen.error.is_none() && (is_error || is_in(&ERROR, data)) {
        seen.error = Some(data.to_owned());
    }
    let looks_whole = data.starts_with(['{', '[', '"']) || data.contains("[REDACTED:");
    if !looks_whole {
        seen.broken_lines = seen.broken_lines.saturating_add(1);
    }
}

impl Captured {
    /// `done`, `finish`, `none`, `error`.
    pub(super) fn end_marker(&self) -> &'static str {
        match () {
            () if self.error.is_some() => "error",
            () if self.has_end_marker => "done",
            () if self.finish_reason.is_some() => "finish",
            () => "none",
        }
    }

    pub(super) fn sentence(&self, is_zh: bool) -> String {
        let lines = self.data_lines;
        let (zh, en) = match self.end_marker() {
            "error" => ("里面有错误事件", "with an error event"),
            "done" => ("有结束标记", "with its end marker"),
            "finish" => ("有 finish_reason,没有结束标记", "with a finish_reason, without an end marker"),
            _ => ("没有结束标记", "without an end marker"),
        };
        if is_zh { format!("{lines} 行 data,{zh}") } else { format!("{lines} data lines, {en}") }
    }
}
