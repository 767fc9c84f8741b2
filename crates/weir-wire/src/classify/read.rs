//! Reads an upstream's error from whatever body it came in.

use std::fmt;

use serde_json::Value;

use crate::sse::FrameParts;

/// Text of an upstream: at most 1,024 characters, unredacted, so Debug hides it and there is no Display.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UpstreamText(String);

impl UpstreamText {
    /// The raw text, for the redactor and nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for UpstreamText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// An error as an upstream told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    /// The HTTP status it came with; below 400 for errors inside an accepted answer or stream.
    pub status: u16,
    pub message: UpstreamText,
    /// `error.code`, as text, ≤ 64 characters of `[\w.:-]`; others are dropped.
    pub code: Option<String>,
    /// `error.type`, likewise.
    pub kind: Option<String>,
    /// What the rules look at, in lower case: the telling fields in quotes, or the raw text where no JSON parses.
    evidence: UpstreamText,
}

/// Longest message kept, in characters.
const MESSAGE_CHARS: usize = 1024;
/// Longest body looked at, in bytes; what tells an error apart stands at its beginning.
const BODY_BYTES: usize = 64 * 1024;
/// Longest evidence, in bytes.
const EVIDENCE_BYTES: usize = 16 * 1024;
/// How deep errors are wrapped in each other before weir stops to unwrap them.
const DEPTH: usize = 8;

/// Fields that tell what happened. Others may echo a prompt.
const TELLING: [&str; 21] = [
    "code",
    "description",
    "detail",
    "err",
    "error",
    "error_code",
    "error_description",
    "error_msg",
    "error_type",
    "errorcode",
    "kind",
    "message",
    "msg",
    "provider_code",
    "quotaid",
    "quotametric",
    "raw",
    "reason",
    "status",
    "status_msg",
    "type",
];

/// Where a message stands, the likelier first.
const MESSAGE_PATHS: [&[&str]; 15] = [
    &["error", "message"],
    &["message"],
    &["msg"],
    &["err"],
    &["error_msg"],
    &["detail"],
    &["header", "message"],
    &["response", "error", "message"],
    &["base_resp", "status_msg"],
    &["error", "msg"],
    &["errors", "0", "message"],
    &["detail", "0", "msg"],
    &["error_description"],
    &["title"],
    &["error"],
];

impl UpstreamError {
    /// Reads any body: the shapes of the families, of the gateways between, problem documents, pages, plain or cut text, and
    /// single events. A body without a word leaves only the status.
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> Self {
        let body = &body[..body.len().min(BODY_BYTES)];
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        let event = FrameParts::of(text.as_bytes());
        let inner = event.error.or(event.data.as_deref()).and_then(|inner| serde_json::from_slice(inner).ok());
        match inner.or_else(|| serde_json::from_str(text).ok()) {
            Some(value) => Self::of_json(status, &value),
            None => Self::of_text(status, text),
        }
    }

    fn of_json(status: u16, value: &Value) -> Self {
        let value = unwrap(value, DEPTH);
        let mut evidence = String::new();
        gather(&value, "error", DEPTH * 2, &mut evidence);
        let object = value.get("error").filter(|error| error.is_object()).or_else(|| value.pointer("/response/error")).unwrap_or(&value);
        Self {
            status,
            message: UpstreamText(message_of(&value).chars().take(MESSAGE_CHARS).collect()),
            code: token(object.get("code").or_else(|| value.pointer("/base_resp/status_code"))),
            kind: token(object.get("type").or_else(|| object.get("status"))),
            evidence: UpstreamText(evidence),
        }
    }

    fn of_text(status: u16, text: &str) -> Self {
        let mut evidence = text.to_lowercase();
        evidence.truncate(evidence.floor_char_boundary(EVIDENCE_BYTES));
        let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title.trim());
        let message = title.unwrap_or(text).chars().take(MESSAGE_CHARS).collect();
        Self { status, message: UpstreamText(message), code: None, kind: None, evidence: UpstreamText(evidence) }
    }

    /// The status that the rules go by: the error's own code where the answer was accepted before it failed.
    pub(crate) fn effective_status(&self) -> u16 {
        let told = || self.code.as_deref().and_then(|code| code.parse().ok()).filter(|code| (400..600).contains(code));
        if self.status < 400 { told().unwrap_or(self.status) } else { self.status }
    }

    pub(crate) fn evidence(&self) -> &str {
        &self.evidence.0
    }
}

/// Takes the first of a list, and reads JSON that was written into a string.
fn unwrap(value: &Value, depth: usize) -> Value {
    match value {
        Value::Array(items) if depth > 0 && items.first().is_some_and(Value::is_object) => unwrap(&items[0], depth - 1),
        Value::String(text) if depth > 0 && text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).map_or_else(|_| value.clone(), |inner| unwrap(&inner, depth - 1))
        }
        _ => value.clone(),
    }
}

/// Adds the telling fields of `value`, which stands under `name`, each in quotes on a line of its own.
fn gather(value: &Value, name: &str, depth: usize, evidence: &mut String) {
    if depth == 0 || evidence.len() > EVIDENCE_BYTES {
        return;
    }
    let is_telling = || TELLING.contains(&name.to_ascii_lowercase().as_str());
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                gather(field, name, depth - 1, evidence);
            }
        }
        Value::Array(items) => {
            for item in items {
                gather(item, name, depth - 1, evidence);
            }
        }
        Value::String(text) if is_telling() => match unwrap(value, DEPTH) {
            Value::String(_) => {
                evidence.push('"');
                evidence.push_str(&text.chars().take(MESSAGE_CHARS * 4).collect::<String>().to_lowercase());
                evidence.push_str("\"\n");
            }
            inner => gather(&inner, name, depth - 1, evidence),
        },
        Value::Number(number) if is_telling() => evidence.push_str(&format!("\"{number}\"\n")),
        _ => {}
    }
}

fn message_of(value: &Value) -> String {
    let at = |path: &&[&str]| {
        let found = path.iter().try_fold(value, |value, step| match value {
            Value::Array(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)),
            _ => value.get(step),
        });
        found.and_then(Value::as_str).filter(|text| !text.trim().is_empty())
    };
    let Some(text) = MESSAGE_PATHS.iter().find_map(at).or_else(|| value.as_str()) else { return String::new() };
    match unwrap(&Value::String(text.to_owned()), DEPTH) {
        Value::String(text) => text,
        inner => match message_of(&inner) {
            found if found.is_empty() => text.to_owned(),
            found => found,
        },
    }
}

/// A short machine word, or nothing: what is longer or has other characters is prose.
fn token(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is_token = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
    is_token.then_some(text)
}
