//! Recordings of a browser as the lines that curl would have shown, so that one reader reads both. What nobody may see is left out
//! here already: cookies and headers outside a short list. The result is redacted like any other text.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::Value;

use super::pattern::{is_in, pattern};

/// More calls of a recording are not looked at.
const ENTRIES: usize = 40;
/// Longest body taken over, in bytes.
const BODY_BYTES: usize = 256 * 1024;
/// Request headers that say who called.
const ASKED_WITH: [&str; 7] = [
    "user-agent",
    "x-stainless-retry-count",
    "x-stainless-read-timeout",
    "x-stainless-package-version",
    "x-stainless-lang",
    "accept",
    "via",
];

// "completion:" before what somebody wrote is a label; in a library's sentence about a completion it is not one.
pattern!(
    FALSE_LABEL,
    r#"(?i)\b(before\s+completion|(?:create|creating|get|getting|in|for|calling|call|with|stream|streaming) (?:a )?(?:chat )?completion): ?(error|an error|idle|stream|transport|tls|time|timed|context|post "|get "|unexpected|websocket|internal|rate|connection|http|our servers|the server|selected|peer|failed|read|dial|request|status|[45]\d\d\b)"#
);

pattern!(COLOUR, "\u{1b}\\[[0-9;]*[A-Za-z]");
pattern!(OF_CURL, r"(?m)^(?:> (?:GET|POST|PUT|HEAD|OPTIONS|DELETE) |< |\* )");

/// The text without what it got on its way: colours of a terminal, the marks of a quotation, fences around code.
pub(super) fn as_written(text: &str) -> Cow<'_, str> {
    let text = COLOUR.as_ref().map_or(Cow::Borrowed(text), |colour| colour.replace_all(text, ""));
    let is_quoted = |line: &str| line.trim().is_empty() || line.starts_with('>');
    if text.starts_with('>') && text.lines().all(is_quoted) && !is_in(&OF_CURL, &text) {
        let lines = text.lines().map(|line| line.trim_start_matches('>').strip_prefix(' ').unwrap_or(line.trim_start_matches('>')));
        return Cow::Owned(lines.collect::<Vec<_>>().join("\n"));
    }
    if text.lines().any(|line| line.starts_with("```")) {
        return Cow::Owned(text.lines().filter(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n"));
    }
    text
}

/// The text with sentences of libraries told apart from labels, so that the redactor hides nothing that is no content.
pub(super) fn without_false_labels(text: &str) -> Cow<'_, str> {
    FALSE_LABEL.as_ref().map_or(Cow::Borrowed(text), |label| label.replace_all(text, "$1 - $2"))
}

/// The lines of a recording in HTTP Archive form; `None` for any other text.
pub(super) fn of_recording(text: &str) -> Option<String> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if !start.starts_with('{') || !start[..start.floor_char_boundary(4096)].contains("\"log\"") {
        return None;
    }
    let value: Value = serde_json::from_str(start).ok()?;
    let entries = value.pointer("/log/entries")?.as_array()?;
    let mut out = String::new();
    for entry in worth_reading(entries) {
        lines(entry, &mut out);
    }
    Some(out)
}

/// Calls of an API before pages, pictures and scripts; at most [`ENTRIES`].
fn worth_reading(entries: &[Value]) -> Vec<&Value> {
    let is_call = |entry: &&Value| {
        let url = text_at(entry, "/request/url");
        text_at(entry, "/request/method") == "POST" || url.contains("/v1/") || url.contains("/chat/") || status(entry) >= 400
    };
    let calls: Vec<&Value> = entries.iter().filter(is_call).collect();
    let calls = if calls.is_empty() { entries.iter().collect() } else { calls };
    let skip = calls.len().saturating_sub(ENTRIES);
    calls.into_iter().skip(skip).collect()
}

fn text_at<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn status(entry: &Value) -> i64 {
    entry.pointer("/response/status").and_then(Value::as_i64).unwrap_or_default()
}

fn lines(entry: &Value, out: &mut String) {
    let url = text_at(entry, "/request/url");
    let (host, path) = split_url(url);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "> {} {path} HTTP\n> Host: {host}", text_at(entry, "/request/method"));
    let _ = writeln!(out, "* at {}", text_at(entry, "/startedDateTime"));
    for (name, value) in headers(entry, "/request/headers").filter(|(name, _)| ASKED_WITH.contains(&name.to_ascii_lowercase().as_str())) {
        let _ = writeln!(out, "> {name}: {value}");
    }
    let asked = text_at(entry, "/request/postData/text");
    let _ = writeln!(out, ">\n* sent {}", bounded(asked).replace('\n', " "));
    let code = status(entry);
    if code > 0 {
        let _ = writeln!(out, "< HTTP {code} {}", text_at(entry, "/response/statusText"));
        for (name, value) in headers(entry, "/response/headers").filter(|(name, _)| !name.eq_ignore_ascii_case("set-cookie")) {
            let _ = writeln!(out, "< {name}: {value}");
        }
        let _ = writeln!(out, "<\n{}", bounded(text_at(entry, "/response/content/text")));
    } else {
        let failed = text_at(entry, "/response/_error");
        let failed = if failed.is_empty() { text_at(entry, "/_failureText") } else { failed };
        let _ = writeln!(out, "* no answer {failed}");
    }
    if let Some(took) = entry.get("time").and_then(Value::as_f64) {
        let _ = writeln!(out, "* took {took:.0} ms\n* Connection left intact");
    }
}

fn headers<'v>(entry: &'v Value, path: &str) -> impl Iterator<Item = (&'v str, &'v str)> {
    let all = entry.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().take(80).filter_map(|header| Some((header.get("name")?.as_str()?, header.get("value")?.as_str()?)))
}

/// Host and path without the query, which may hold a key.
fn split_url(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let path = &rest[at..];
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    (&rest[..at], if path.is_empty() { "/" } else { path })
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(BODY_BYTES)]
}
