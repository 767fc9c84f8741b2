//! One line of a batch file: read strictly, so that what is wrong with it is known before anything is sent.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use weir_core::{Route, Usage};
use weir_wire::{request::peek, tasks};

/// Longest `custom_id`, in bytes.
pub(super) const CUSTOM_ID_BYTES: usize = 512;

/// One request of a batch.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, the first being 1. It is the row's number everywhere.
    pub number: u64,
    pub custom_id: String,
    pub route: Route,
    /// Behind the base URL.
    pub path: &'static str,
    pub body: Bytes,
    pub model: String,
    /// Input tokens, estimated.
    pub input: u64,
    /// The most output tokens that may come, if the row names them.
    pub output: Option<u64>,
    /// Pictures and seconds of video that it asks for.
    pub images: u64,
    pub seconds: u64,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("number", &self.number).field("route", &self.route).field("model", &self.model).finish_non_exhaustive()
    }
}

impl Row {
    /// Whether it makes something dear that must not be made twice.
    #[must_use]
    pub fn is_media(&self) -> bool {
        matches!(self.route, Route::ImageGenerations | Route::Videos | Route::VideoGenerations)
    }

    /// The most that it may use, as far as it says; `usual` output tokens where it names no bound.
    #[must_use]
    pub fn most(&self, usual: u64) -> Usage {
        let output = if self.is_media() { 0 } else { self.output.unwrap_or(usual) };
        Usage { input: self.input, cached: 0, output, images: self.images, seconds: self.seconds }
    }

    /// Tokens that count against a limit.
    #[must_use]
    pub fn tokens(&self, usual: u64) -> u64 {
        let most = self.most(usual);
        most.input.saturating_add(most.output)
    }
}

/// Why a line is no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRow {
    #[error("it is not a JSON object with custom_id, method, url and body")]
    NotJson,
    #[error("its custom_id is missing, empty, or longer than {CUSTOM_ID_BYTES} bytes")]
    CustomId,
    #[error("an earlier line has the same custom_id")]
    Repeated,
    #[error("its method is not POST")]
    Method,
    #[error("its url is none that a batch can ask: {}", names())]
    Url,
    #[error("it asks for a stream, which has no place in a file")]
    Stream,
    #[error("its body: {0}")]
    Body(String),
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
}

impl BadRow {
    /// The stable code, as the output file shows it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson => "row_not_json",
            Self::CustomId => "row_custom_id",
            Self::Repeated => "row_custom_id_repeated",
            Self::Method => "row_method",
            Self::Url => "row_url",
            Self::Stream => "row_stream",
            Self::Body(_) => "row_body",
            Self::TooLong(_) => "row_too_long",
        }
    }
}

/// What a batch can ask for.
pub const ROUTES: [Route; 10] = [
    Route::ChatCompletions,
    Route::Completions,
    Route::Responses,
    Route::Messages,
    Route::Embeddings,
    Route::Moderations,
    Route::Rerank,
    Route::ImageGenerations,
    Route::Videos,
    Route::VideoGenerations,
];

fn names() -> String {
    ROUTES.map(Route::path).join(", ")
}

#[derive(Deserialize)]
struct Written<'a> {
    custom_id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// Reads a line. A bad one still tells its `custom_id`, if it has one.
///
/// # Errors
/// What is wrong with it; never quotes its content.
pub(super) fn read(number: u64, line: &[u8]) -> Result<Row, (BadRow, Option<String>)> {
    let written: Written<'_> = serde_json::from_slice(line).map_err(|_| (BadRow::NotJson, None))?;
    let custom_id = written.custom_id.filter(|id| !id.is_empty() && id.len() <= CUSTOM_ID_BYTES).ok_or((BadRow::CustomId, None))?;
    let row = checked(number, &custom_id, written.method.as_deref(), written.url.as_deref(), written.body);
    row.map_err(|bad| (bad, Some(custom_id)))
}

fn checked(number: u64, custom_id: &str, method: Option<&str>, url: Option<&str>, body: Option<&RawValue>) -> Result<Row, BadRow> {
    if !method.is_some_and(|method| method.eq_ignore_ascii_case("POST")) {
        return Err(BadRow::Method);
    }
    let route = url.and_then(Route::of_path).filter(|route| ROUTES.contains(route)).ok_or(BadRow::Url)?;
    let body = Bytes::copy_from_slice(body.ok_or(BadRow::NotJson)?.get().as_bytes());
    let asked = peek(route, None, &body).map_err(|fault| BadRow::Body(fault.message))?;
    if asked.stream {
        return Err(BadRow::Stream);
    }
    let path = route.path().strip_prefix("/v1").ok_or(BadRow::Url)?;
    let mut row = Row {
        number,
        custom_id: custom_id.to_owned(),
        route,
        path,
        model: asked.model,
        input: asked.input_tokens,
        output: asked.max_output.map(|most| most.saturating_mul(u64::from(asked.choices))),
        images: 0,
        seconds: 0,
        body,
    };
    if matches!(route, Route::Embeddings | Route::Moderations | Route::Rerank) {
        row.output = Some(0);
    }
    if row.is_media() {
        let most = tasks::ask(&row.body).map_err(|fault| BadRow::Body(fault.message))?.most();
        let is_picture = route == Route::ImageGenerations;
        (row.images, row.seconds) = if is_picture { (most.images, 0) } else { (0, most.seconds) };
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(custom_id: &str, method: &str, url: &str, body: &str) -> String {
        format!(r#"{{"custom_id":{custom_id},"method":"{method}","url":"{url}","body":{body}}}"#)
    }

    const CHAT: &str = r#"{"model":"m","messages":[],"max_tokens":50,"n":2}"#;

    #[test]
    fn a_line_of_openai_s_form_is_a_row_and_its_body_stays_as_it_was() {
        let row = read(7, line(r#""a""#, "POST", "/v1/chat/completions", CHAT).as_bytes()).unwrap();
        assert_eq!((row.number, row.custom_id.as_str(), row.path, row.output), (7, "a", "/chat/completions", Some(100)));
        assert_eq!(row.body, CHAT);
        let picture = read(1, line(r#""p""#, "post", "/v1/images/generations", r#"{"model":"m","prompt":"x","n":3}"#).as_bytes()).unwrap();
        assert_eq!((picture.is_media(), picture.images, picture.most(9).output), (true, 3, 0));
        assert!(!format!("{row:?}").contains("messages"));
    }

    #[test]
    fn what_is_wrong_with_a_line_has_a_code_and_a_reason() {
        let table = [
            ("{".to_owned(), "row_not_json"),
            ("[]".to_owned(), "row_not_json"),
            (line("null", "POST", "/v1/chat/completions", CHAT), "row_custom_id"),
            (line("\"\"", "POST", "/v1/chat/completions", CHAT), "row_custom_id"),
            (line("\"a\"", "GET", "/v1/chat/completions", CHAT), "row_method"),
            (line("\"a\"", "POST", "/v1/models", CHAT), "row_url"),
            (line("\"a\"", "POST", "https://evil.test/v1/chat/completions", CHAT), "row_url"),
            (line("\"a\"", "POST", "/v1/chat/completions", r#"{"model":"m","stream":true}"#), "row_stream"),
            (line("\"a\"", "POST", "/v1/chat/completions", r#"{"messages":[]}"#), "row_body"),
            (line("\"a\"", "POST", "/v1/videos", r#"{"model":"m","seconds":"900"}"#), "row_body"),
        ];
        for (text, code) in table {
            let (bad, _) = read(1, text.as_bytes()).unwrap_err();
            assert_eq!(bad.code(), code, "{text}: {bad}");
        }
        let (_, id) = read(1, line("\"a\"", "GET", "/", "{}").as_bytes()).unwrap_err();
        assert_eq!(id.as_deref(), Some("a"));
    }
}
