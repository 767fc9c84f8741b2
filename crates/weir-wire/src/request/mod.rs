//! What the gateway must know of a request before it asks an upstream, read without rewriting a byte.

mod body;
#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;
use weir_core::{Dialect, Route};

/// Why a request is refused before any upstream is asked: a 400 in the family's error form. Quotes nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestFault {
    /// A whole sentence, fit to be shown.
    pub message: String,
    /// The parameter at fault, if it is one.
    pub param: Option<&'static str>,
}

impl RequestFault {
    fn of(param: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param) }
    }
}

/// Longest model name, in bytes.
pub const MODEL_BYTES: usize = 256;
/// Most answers to one request (`n`, `best_of`).
pub const CHOICES: u32 = 128;
/// Most top-level fields of a request; the families know about forty.
pub const FIELDS: usize = 256;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// 1 to 256 bytes without control characters; empty only for routes without a body.
    pub model: String,
    pub stream: bool,
    /// The client itself asked for `stream_options.include_usage`.
    pub asked_usage: bool,
    /// Output tokens that one choice may have: the largest of `max_tokens`, `max_completion_tokens`, `max_output_tokens`.
    pub max_output: Option<u64>,
    /// Answers asked for: the larger of `n` and `best_of`, 1 to 128.
    pub choices: u32,
    /// Input tokens, estimated. Text counts by the rule of [`crate::tokens`], names of fields among it; a number (of a
    /// tokenised input) as one token; an image, a sound or a file as 1,024, however long its base64 is. Never an exact count.
    pub input_tokens: u64,
    /// What to put where, to ask for usage. `None`: it is asked for, or cannot be.
    splice: Option<Splice>,
}

/// One textual change to a body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Splice {
    at: Range<usize>,
    text: &'static str,
}

impl Peek {
    /// What a multipart form asks for, from the fields that the gateway found. `form_bytes` is the size of the whole form.
    ///
    /// # Errors
    /// When the model is missing or no name, `stream` is neither `true` nor `false`, or `n` is not 1 to 128.
    pub fn of_form(model: Option<&str>, stream: Option<&str>, n: Option<&str>, form_bytes: u64) -> Result<Self, RequestFault> {
        let stream = match stream.map(str::trim) {
            None | Some("" | "false" | "False") => false,
            Some("true" | "True") => true,
            Some(_) => return Err(RequestFault::of("stream", "`stream` must be true or false.")),
        };
        let mut peek = Self::without_body();
        peek.model = checked_model(model.ok_or_else(no_model)?)?;
        peek.stream = stream;
        if let Some(n) = n.map(str::trim).filter(|n| !n.is_empty()) {
            let read = n.parse().ok().filter(|n| (1..=CHOICES).contains(n));
            peek.choices = read.ok_or_else(|| RequestFault::of("n", format!("`n` must be a whole number from 1 to {CHOICES}.")))?;
        }
        // A form is a file and a few words; one token per KiB is near what an hour of speech makes.
        peek.input_tokens = form_bytes.div_ceil(1024);
        Ok(peek)
    }

    fn without_body() -> Self {
        Self { model: String::new(), stream: false, asked_usage: false, max_output: None, choices: 1, input_tokens: 0, splice: None }
    }
}

/// Reads what a request with a JSON body asks for. The body is read as JSON whatever its content type says, because `curl -d`
/// says `x-www-form-urlencoded`; a form is the caller's to read, see [`Peek::of_form`].
///
/// # Errors
/// When the body is no JSON object that every reader reads the same (duplicate fields, bad UTF-8, NaN, anything behind it,
/// nesting beyond 128), when the model is missing or no name, or when a field that weir goes by has the wrong kind of value.
pub fn peek(route: Route, content_type: Option<&str>, body: &Bytes) -> Result<Peek, RequestFault> {
    if matches!(route, Route::Models) {
        return Ok(Peek::without_body());
    }
    let essence = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return Err(RequestFault { message: "This endpoint takes a JSON body, not a form.".to_owned(), param: None });
    }
    let read = body::read(body)?;
    let model = checked_model(&read.model.ok_or_else(no_model)?)?;
    let may_ask = read.stream && matches!(route.dialect(), Dialect::Chat | Dialect::Completions);
    Ok(Peek {
        model,
        stream: read.stream,
        asked_usage: read.asked_usage,
        max_output: read.max_output,
        choices: read.choices.unwrap_or(1),
        input_tokens: read.input.tokens(),
        splice: if may_ask && !read.asked_usage { read.splice } else { None },
    })
}

/// The body with `stream_options.include_usage` true, spliced in as text: nothing else changes. The same body, not a copy, where
/// the client asked for it or the request cannot. `peek` must be of this `body`.
#[must_use]
pub fn with_include_usage(body: &Bytes, peek: &Peek) -> Bytes {
    let Some(Splice { at, text }) = &peek.splice else { return body.clone() };
    let (Some(head), Some(tail)) = (body.get(..at.start), body.get(at.end..)) else { return body.clone() };
    [head, text.as_bytes(), tail].concat().into()
}

/// What a JSON body means, as bytes: equal for bodies that differ in the order of their fields, in white space, and in the two fields that
/// change nothing of the answer itself. `None` if it is no JSON object.
#[must_use]
pub fn canonical(body: &[u8]) -> Option<Vec<u8>> {
    // A map of serde_json is sorted by name.
    let mut fields: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    for passing in ["stream_options", "user"] {
        fields.remove(passing);
    }
    serde_json::to_vec(&fields).ok()
}

/// The pieces of a form between its boundaries: equal for equal forms, whatever their boundaries are.
#[must_use]
pub fn without_boundary<'a>(content_type: &str, body: &'a [u8]) -> Vec<&'a [u8]> {
    let boundary = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else { return vec![body] };
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(body, boundary.as_bytes()) {
        pieces.push(&body[from..at]);
        from = at + boundary.len();
    }
    pieces.push(&body[from..]);
    pieces
}

fn no_model() -> RequestFault {
    RequestFault::of("model", "You must provide a `model` parameter.")
}

fn checked_model(model: &str) -> Result<String, RequestFault> {
    match model {
        _ if model.trim().is_empty() => Err(RequestFault::of("model", "`model` must not be empty.")),
        _ if model.len() > MODEL_BYTES => Err(RequestFault::of("model", format!("`model` must not exceed {MODEL_BYTES} bytes."))),
        _ if model.chars().any(char::is_control) => Err(RequestFault::of("model", "`model` must not contain control characters.")),
        _ => Ok(model.to_owned()),
    }
}
