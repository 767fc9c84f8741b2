//! What is kept of a request: tokens, counts and times. No key, no header, no prompt.

use serde::Serialize;
use weir_core::{ClientFacts, Route};

use super::script::Script;

/// One request as the server saw it. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// 1 for the first.
    pub n: u32,
    /// Since the server began to listen.
    pub at_ms: u64,
    pub method: &'static str,
    /// The route template; `unknown` for a path that no API has.
    pub path: &'static str,
    /// A path that becomes known when the base URL is written right: `/v1` is `missing` in it, or there `twice`.
    pub odd_path: Option<&'static str>,
    #[serde(skip)]
    pub route: Route,
    /// What was played; none for a list of models, a preflight or a refused request.
    pub script: Option<Script>,
    /// At most 64 characters, and only if it looks like a model's name.
    pub model: Option<String>,
    /// The flag as it was sent; none if it was left out.
    pub stream: Option<bool>,
    /// Asked for `stream_options.include_usage`.
    pub asked_usage: bool,
    pub client: ClientFacts,
    /// Sent by a page in a browser.
    pub browser: bool,
    /// Where its key came; never the key.
    pub key: KeyPlace,
    /// `HTTP/1.1`.
    pub http: &'static str,
    /// What it can unpack: `gzip`, `br`, …
    pub accept_encoding: Vec<String>,
    pub idempotency_key: bool,
    /// Which connection, and the how many-th request on it; a second one says that the client keeps connections open.
    pub connection: u32,
    pub nth_on_connection: u32,
    /// Which try of the same request this is; 1 for a new one.
    pub attempt: u32,
    /// Since the try before ended.
    pub waited_ms: Option<u64>,
    /// What the try before was told to wait, from its end.
    pub told_wait_ms: Option<u64>,
    /// None: no answer was begun.
    pub status: Option<u16>,
    pub events: u32,
    pub heartbeats: u32,
    pub bytes: u64,
    pub took_ms: u64,
    /// How long nothing had been sent when it ended.
    pub silent_ms: u64,
    /// The longest time that the client took no byte although there was one.
    pub not_read_ms: u64,
    pub ended: Ended,
}

/// Where a key was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    None,
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`.
    XApiKey,
    /// `api-key`.
    ApiKey,
    /// `Authorization` in another form.
    Other,
}

/// Who ended it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The server came to its end, and the client stayed for it.
    Whole,
    /// The client left once it had the end marker.
    AtMarker,
    /// The client left before the end.
    Left,
    /// The script cut it.
    Cut,
    /// The script refused it.
    Refused,
    /// The server was told to stop first.
    Stopped,
}

impl Seen {
    /// A request for an answer, not for a list of models or a browser's question whether it may ask.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.script.is_some()
    }

    /// Whether this is a further try of an earlier request: by the SDK's mark, or by what it sent.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.attempt > 1 || self.client.retry_header.is_some_and(|count| count > 0)
    }

    /// Came back before the time that it was told.
    #[must_use]
    pub fn is_early(&self) -> bool {
        matches!((self.waited_ms, self.told_wait_ms), (Some(waited), Some(told)) if waited < told)
    }
}
