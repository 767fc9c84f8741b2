//! Reads an upstream's error from whatever body it came in.

use std::fmt;

use serde_json::Value;
use weir_core::key::MAX_KEY_BYTES;

use super::{
    codes::{Codes, spelled, told_status},
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
const MESSAGE_CHARS: usize = 1024;
/// Longest body looked at, in bytes; what tells an error apart stands at its beginning.
const BODY_BYTES: usize = 64 * 1024;
/// Longest evidence, in bytes.
const EVIDENCE_BYTES: usize = 16 * 1024;
/// How deep errors are wrapped in each other before weir stops to unwrap them.
const DEPTH: usize = 8;

/// How much of what stands before an object is looked at, in bytes: there a library says its own name for the error.
const PREFIX_BYTES: usize = 600;

/// Fields whose values are machine words.
const CODED: [&str; 16] = [
    "code",
    "errcode",
    "error",
    "error_code",
    "error_type",
    "errorcode",
    "http_code",
    "kind",
    "name",
    "provider_code",
    "quotaid",
    "reason",
    "status",
    "status_code",
    "statuscode",
    "type",
];

/// Keys by which an object is known for an error.
const NAMES: [&str; 13] = [
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

/// Fields that tell what happened. Others may echo a prompt.
const TELLING: [&str; 29] = [
    "code",
    "description",
    "detail",
    "err",
    "error",
    "error_code",
    "error_description",
    "error_message",
    "error_msg",
    "error_type",
    "errorcode",
    "errordescription",
    "errormessage",
    "faultstring",
    "http_code",
    "kind",
    "message",
    "msg",
    "provider_code",
    "quotaid",
    "quotametric",
    "raw",
    "reason",
    "status",
    "status_code",
    "status_message",
    "status_msg",
    "title",
    "type",
];

/// Fields that may repeat what was asked.
const ECHOES: [&str; 7] = ["content", "input", "messages", "output", "prompt", "query", "text"];

/// Where a message stands, the likelier first.
const MESSAGE_PATHS: [&[&str]; 17] = [
    &["error", "message"],
    &["message"],
    &["msg"],
    &["err"],
    &["error_msg"],
    &["error_message"],
    &["detail"],
    &["header", "message"],
    &["response", "error", "message"],
    &["base_resp", "status_msg"],
    &["error", "msg"],
    &["error", "error_msg"],
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

/// A quote as every vendor would write it, so that rules need one: a quote inside a field is `'`, the quotes around it are `"`.
fn plain(c: char) -> char {
    match c {
        '`' | '´' | '‘' | '’' | '「' | '」' | '『' | '』' => '\'',
        '“' | '”' => '"',
        '\u{a0}' | '\u{3000}' => ' ',
        c => c,
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

/// Whether a text is a page for people, at once or right behind a few words.
fn is_page(text: &str) -> bool {
    let head = text[..text.floor_char_boundary(2048)].to_ascii_lowercase();
    ["<!doctype html", "<html", "<head>", "<title>"].iter().any(|tag| head.contains(tag))
}

/// Adds the telling fields of `value`, which stands under `name`, each in quotes on a line of its own, and its machine words.
fn gather(value: &Value, name: &str, depth: usize, evidence: &mut String, codes: &mut Codes) {
    if depth == 0 || evidence.len() > EVIDENCE_BYTES {
        return;
    }
    let lower = name.to_ascii_lowercase();
    let is_telling = || TELLING.contains(&lower.as_str());
    // One family of gateways tells the upstream's status as the parameter.
    if lower == "param" && value.as_str().is_some_and(|text| text.len() == 3 && text.parse::<u16>().is_ok()) {
        codes.push(value.as_str().unwrap_or_default());
    }
    if CODED.contains(&lower.as_str()) {
        match value {
            // What was only spelled out has no quotes: rules about a whole field must not take it for one.
            Value::String(text) => {
                codes.push(text);
                if let Some(words) = spelled(text) {
                    evidence.push_str(&format!("({words})\n"));
                }
            }
            Value::Number(number) => codes.push(&number.to_string()),
            _ => {}
        }
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                gather(field, name, depth - 1, evidence, codes);
            }
        }
        Value::Array(items) => {
            for item in items {
                gather(item, name, depth - 1, evidence, codes);
            }
        }
        Value::String(text) if is_telling() => match unwrap(value, DEPTH) {
            Value::String(_) => {
                evidence.push('"');
                evidence.extend(
                    text.chars().take(MESSAGE_CHARS * 4).flat_map(char::to_lowercase).map(|c| if c == '"' { '\'' } else { plain(c) }),
                );
                evidence.push_str("\"\n");
                // An error of another program, quoted in this one's words.
                if let Some((_, inner)) = loose::first_object(text, &NAMES) {
                    gather(&inner, name, depth.saturating_sub(4), evidence, codes);
                }
            }
            inner => gather(&inner, name, depth - 1, evidence, codes),
        },
        Value::Number(number) if is_telling() => evidence.push_str(&format!("\"{number}\"\n")),
        _ => {}
    }
}

/// The sentences of an object that names none of its fields as others do. A prompt that it echoes stands under one of `ECHOES`.
fn untold(value: &Value, evidence: &mut String) {
    let Value::Object(fields) = value else { return };
    for (_, text) in fields.iter().filter(|(name, _)| !ECHOES.contains(&name.to_ascii_lowercase().as_str())) {
        if let Some(text) = text.as_str() {
            evidence.push('"');
            evidence.extend(text.chars().take(MESSAGE_CHARS).flat_map(char::to_lowercase).map(plain));
            evidence.push_str("\"\n");
        }
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
