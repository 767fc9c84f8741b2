//! Reads an upstream's error from whatever body it came in.

use std::fmt;

use serde_json::Value;
use weir_core::key::MAX_KEY_BYTES;

use super::{
    codes::{Codes, named, told_status},
    fields::{gather, message_of, plain, untold, unwrap},
    loose,
};
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
    /// What the rules look at, in lower case: the telling fields in quotes, or the raw text where no object is found.
    evidence: UpstreamText,
    codes: Codes,
    shape: Shape,
    /// The status that the text itself tells.
    told: Option<u16>,
    /// It begins like an object and ends before that does: what tells it apart may be missing.
    cut: bool,
}

/// What an error came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// An object with an error's fields: an API speaks.
    Object,
    Text,
    Page,
    Empty,
}

/// Longest message kept, in characters.
pub(super) const MESSAGE_CHARS: usize = 1024;
/// Longest body looked at, in bytes; what tells an error apart stands at its beginning.
const BODY_BYTES: usize = 64 * 1024;
/// Longest evidence, in bytes.
pub(super) const EVIDENCE_BYTES: usize = 16 * 1024;
/// How deep errors are wrapped in each other before weir stops to unwrap them.
pub(super) const DEPTH: usize = 8;

/// How much of what stands before an object is looked at, in bytes: there a library says its own name for the error.
const PREFIX_BYTES: usize = 600;

/// Keys by which an object is known for an error.
pub(super) const NAMES: [&str; 13] = [
    "error",
    "message",
    "code",
    "type",
    "detail",
    "msg",
    "errors",
    "error_msg",
    "error_message",
    "base_resp",
    "err",
    "fault",
    "error_code",
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
        if let Some(value) = inner.or_else(|| serde_json::from_str(text).ok()) {
            return Self::of_json(status, &value, "");
        }
        match loose::first_object(text, &NAMES) {
            Some((at, value)) if !is_page(&text[..at]) => {
                let from = text.ceil_char_boundary(at.saturating_sub(PREFIX_BYTES));
                let cut = serde_json::from_str::<Value>(&text[at..]).is_err_and(|error| error.is_eof());
                Self { cut, ..Self::of_json(status, &value, &text[from..at]) }
            }
            _ => Self::of_text(status, text),
        }
    }

    fn of_json(status: u16, value: &Value, before: &str) -> Self {
        let value = unwrap(value, DEPTH);
        let message = message_of(&value);
        // A gateway that wraps the page it was given.
        if is_page(&message) {
            return Self::of_text(status, &message);
        }
        let (mut evidence, mut codes) = (String::new(), Codes::default());
        if !before.trim().is_empty() {
            evidence.push_str(&before.to_lowercase());
            evidence.push('\n');
            evidence.push_str(&named(before));
        }
        gather(&value, "error", DEPTH * 2, &mut evidence, &mut codes);
        if evidence.is_empty() {
            untold(&value, &mut evidence);
        }
        if value.get("base_resp").is_some() {
            evidence.push_str("base_resp\n");
        }
        let object = value.get("error").filter(|error| error.is_object()).or_else(|| value.pointer("/response/error")).unwrap_or(&value);
        codes.of_words(&evidence);
        let told = codes.status().or_else(|| told_status(&evidence));
        let shape = match &value {
            Value::Object(fields) if fields.is_empty() => Shape::Empty,
            Value::Object(_) => Shape::Object,
            Value::Null => Shape::Empty,
            _ => Shape::Text,
        };
        Self {
            status,
            message: UpstreamText(bounded(&message).to_owned()),
            code: token(object.get("code").or_else(|| value.pointer("/base_resp/status_code"))),
            kind: token(object.get("type").or_else(|| object.get("status"))),
            evidence: UpstreamText(evidence),
            codes,
            shape,
            told,
            cut: false,
        }
    }

    fn of_text(status: u16, text: &str) -> Self {
        let mut evidence: String = text.to_lowercase().chars().map(plain).collect();
        evidence.truncate(evidence.floor_char_boundary(EVIDENCE_BYTES));
        let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title.trim());
        let message = bounded(title.unwrap_or(text)).to_owned();
        let shape = match evidence.trim() {
            "" => Shape::Empty,
            _ if is_page(&evidence) => Shape::Page,
            _ => Shape::Text,
        };
        let mut codes = Codes::default();
        if shape == Shape::Text {
            codes.of_words(&evidence);
        }
        let told = told_status(&evidence);
        if shape == Shape::Text
            && let names = named(text)
            && !names.is_empty()
        {
            evidence.push('\n');
            evidence.push_str(&names);
        }
        Self {
            status,
            message: UpstreamText(message),
            code: None,
            kind: None,
            evidence: UpstreamText(evidence),
            codes,
            shape,
            told,
            cut: false,
        }
    }

    /// The status that the rules go by: what the error itself tells where the answer was accepted before it failed, or where nobody
    /// knows the status any more. 0: unknown.
    #[must_use]
    pub fn effective_status(&self) -> u16 {
        if self.status < 400 { self.told.unwrap_or(self.status) } else { self.status }
    }

    /// It came as a page for people, not from an API.
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.shape == Shape::Page
    }

    /// It came as an object with an error's fields.
    pub(super) fn is_api(&self) -> bool {
        self.shape == Shape::Object
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shape == Shape::Empty
    }

    /// It has a machine word of its own, not only a number for the status.
    pub(super) fn has_code(&self) -> bool {
        self.codes.all().iter().any(|code| !matches!(code.parse::<i32>(), Ok(-999..=599)) && code != "error")
    }

    pub(super) fn codes(&self) -> &[String] {
        self.codes.all()
    }

    pub(crate) fn evidence(&self) -> &str {
        &self.evidence.0
    }
}

/// The beginning of a text, up to a blank: half a key at the cut would not be known for one. A text without blanks loses as much
/// as a key can be long.
fn bounded(text: &str) -> &str {
    let Some((end, _)) = text.char_indices().nth(MESSAGE_CHARS) else { return text };
    let tail = text.floor_char_boundary(end.saturating_sub(MAX_KEY_BYTES));
    let blank = text[tail..end].rfind(char::is_whitespace);
    text[..blank.map_or(tail, |at| tail + at)].trim_end()
}

/// Whether a text is a page for people, at once or right behind a few words.
fn is_page(text: &str) -> bool {
    let head = text[..text.floor_char_boundary(2048)].to_ascii_lowercase();
    ["<!doctype html", "<html", "<head>", "<title>", "<body", "<div "].iter().any(|tag| head.contains(tag))
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
