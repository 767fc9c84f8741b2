//! Watches a stream pass: what it brought, what it cost, and whether it came to its own end. Never changes a byte.

mod shapes;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::value::RawValue;
use weir_core::{Dialect, StreamEnd, Usage};

pub(crate) use shapes::{Choices, Incomplete};
use shapes::{Chunk, MessageDelta, MessageStart, Typed};

use crate::{
    DeliveredEstimate, UpstreamError,
    json::Measured,
    sse::{FrameParts, without_bom},
    tokens::TextCount,
    usage,
};

/// What one frame is to the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// No event: comments, blank lines, or fields without data.
    Comment,
    /// An event without output: a role, a ping, a finish.
    Progress,
    /// An event with output, which adds to the estimate of what was delivered.
    Content,
    /// The chat chunk that has only `usage`. The gateway removes it if the client had not asked for it.
    UsageOnly,
    /// An error in the stream. It is no end marker, but nothing that follows repairs it.
    Error(Box<UpstreamError>),
    /// The family's own end, with an error inside: `response.failed`.
    Failed(Box<UpstreamError>),
    /// The family's own end: `[DONE]`, `response.completed`, `message_stop` and the like.
    Marker,
    /// Data that no client of the family can read: no JSON object, or empty.
    Malformed,
}

/// How the bytes of a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eof {
    /// By the rules of the transport. That proves nothing: some proxies make a clean end of a broken one.
    Clean,
    Cut,
}

/// Longest finish reason kept, in characters of `[a-z_]`.
const REASON_CHARS: usize = 32;
/// Longest upstream id kept, in characters of `[\w.:-]`.
const ID_CHARS: usize = 96;

/// Follows one stream of one family.
#[derive(Debug, Clone)]
pub struct StreamWatch {
    dialect: Dialect,
    is_first: bool,
    usage: Option<Usage>,
    delivered: TextCount,
    finish_reason: String,
    id: String,
    /// One bit per choice.
    seen: u128,
    finished: u128,
    marked: bool,
    /// The terminal event told what became of the answer; `[DONE]` does not.
    terminal: bool,
    failed: bool,
}

impl StreamWatch {
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            is_first: true,
            usage: None,
            delivered: TextCount::default(),
            finish_reason: String::new(),
            id: String::new(),
            seen: 0,
            finished: 0,
            marked: false,
            terminal: false,
            failed: false,
        }
    }

    /// Takes the next frame, as [`FrameSplitter`](crate::FrameSplitter) gives it.
    pub fn see(&mut self, frame: &[u8]) -> Seen {
        let frame = if std::mem::take(&mut self.is_first) { without_bom(frame) } else { frame };
        let parts = FrameParts::of(frame);
        if let Some(error) = parts.error {
            return self.error(error);
        }
        let Some(data) = parts.data else { return Seen::Comment };
        if data.starts_with(b"[DONE]") {
            return self.done();
        }
        if parts.event == b"error" {
            return self.error(&data);
        }
        let seen = match self.dialect {
            Dialect::Chat | Dialect::Completions | Dialect::Plain => self.see_chunk(&data),
            Dialect::Responses => self.see_response(&data, parts.event),
            Dialect::Messages => self.see_message(&data, parts.event),
            Dialect::Audio => self.see_audio(&data, parts.event),
            Dialect::Images => self.see_image(&data, parts.event),
        };
        seen.unwrap_or(Seen::Malformed)
    }

    /// What the upstream reported so far.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What passed so far, as an estimate; see [`crate::tokens`] for its rule. Reasoning, refusals, tool names and tool
    /// arguments count as text does; padding, ids and media do not.
    #[must_use]
    pub fn delivered(&self) -> DeliveredEstimate {
        self.delivered.into()
    }

    /// The last finish reason told, ≤ 32 characters of `[a-z_]`. For responses: the status, or why it is incomplete.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        (!self.finish_reason.is_empty()).then_some(self.finish_reason.as_str())
    }

    /// The answer's own id, ≤ 96 characters of `[\w.:-]`.
    #[must_use]
    pub fn upstream_response_id(&self) -> Option<&str> {
        (!self.id.is_empty()).then_some(self.id.as_str())
    }

    /// Every choice that was seen has finished, or the family's terminal event passed, and no error did. `[DONE]` alone does
    /// not prove it: some gateways write one when their upstream dies.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.failed && (self.terminal || self.has_finished())
    }

    /// How the stream ended, as far as its bytes tell. Timeouts and clients that leave are the caller's to name.
    #[must_use]
    pub fn end(&self, how: Eof) -> StreamEnd {
        match how {
            _ if self.failed => StreamEnd::UpstreamError,
            _ if self.marked => StreamEnd::Done,
            // Every client takes a broken connection for an error, whatever came before; a clean end after the finish for none.
            Eof::Cut => StreamEnd::UpstreamCut,
            Eof::Clean if self.has_finished() => StreamEnd::EofNoDone,
            Eof::Clean => StreamEnd::EofNoFinish,
        }
    }

    fn has_finished(&self) -> bool {
        self.seen != 0 && self.finished == self.seen
    }

    fn done(&mut self) -> Seen {
        match self.dialect {
            // Relays add it behind the typed families' own ends; alone it says nothing there.
            Dialect::Responses | Dialect::Messages => Seen::Progress,
            _ => {
                self.marked = true;
                Seen::Marker
            }
        }
    }

    fn error(&mut self, body: &[u8]) -> Seen {
        self.failed = true;
        // An error inside an accepted stream: its status was 200.
        Seen::Error(Box::new(UpstreamError::read(200, body)))
    }

    fn terminal(&mut self) -> Seen {
        self.marked = true;
        self.terminal = true;
        Seen::Marker
    }

    fn see_chunk(&mut self, data: &[u8]) -> Option<Seen> {
        let chunk: Chunk<'_> = read(data)?;
        if chunk.is_error() {
            return Some(self.error(data));
        }
        let told = chunk.told_usage();
        self.usage = usage::join(self.usage, told);
        self.keep_id(chunk.id.as_str());
        let choices = chunk.choices.unwrap_or_default();
        self.seen |= choices.seen;
        self.finished |= choices.finished;
        if choices.finished != 0 {
            self.keep_reason(choices.finish_reason.as_str());
        }
        Some(if choices.count == 0 && told.is_some() { Seen::UsageOnly } else { self.brought(choices.measured) })
    }

    fn see_response(&mut self, data: &[u8], event: &[u8]) -> Option<Seen> {
        let typed: Typed<'_> = read(data)?;
        let kind = kind_of(&typed, event);
        if let Some(response) = &typed.response {
            self.usage = usage::join(self.usage, response.usage.and_then(|told| told.read()));
            self.keep_id(response.id.as_str());
        }
        Some(match kind {
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                let reason =
                    typed.response.as_ref().and_then(|response| response.incomplete_details.as_ref()).map(|why| why.reason.as_str());
                self.keep_reason(reason.filter(|reason| !reason.is_empty()).unwrap_or(&kind["response.".len()..]));
                let marker = self.terminal();
                if kind != "response.failed" {
                    return Some(marker);
                }
                self.failed = true;
                Seen::Failed(Box::new(UpstreamError::read(200, data)))
            }
            "error" => self.error(data),
            "" if typed.error.is_some() => self.error(data),
            // Its deltas are base64.
            "response.audio.delta" => Seen::Content,
            kind if kind.ends_with(".delta") => self.brought(measure(typed.delta)),
            _ => Seen::Progress,
        })
    }

    fn see_message(&mut self, data: &[u8], event: &[u8]) -> Option<Seen> {
        let typed: Typed<'_> = read(data)?;
        Some(match kind_of(&typed, event) {
            "message_stop" => self.terminal(),
            "message_start" => {
                self.seen = 1;
                if let Some(MessageStart::Object(message)) = &typed.message {
                    self.usage = usage::join(self.usage, message.usage.and_then(|told| told.read()));
                    self.keep_id(message.id.as_str());
                }
                Seen::Progress
            }
            "message_delta" => {
                self.usage = usage::join(self.usage, typed.usage.and_then(|told| told.read()));
                let delta: MessageDelta<'_> = typed.delta.and_then(|delta| serde_json::from_str(delta.get()).ok()).unwrap_or_default();
                if !delta.stop_reason.as_str().is_empty() {
                    self.seen = 1;
                    self.finished = 1;
                    self.keep_reason(delta.stop_reason.as_str());
                }
                Seen::Progress
            }
            "content_block_start" => self.brought(typed.content_block.0),
            "content_block_delta" => self.brought(measure(typed.delta)),
            "error" => self.error(data),
            _ if typed.error.is_some() => self.error(data),
            _ => Seen::Progress,
        })
    }

    fn see_audio(&mut self, data: &[u8], event: &[u8]) -> Option<Seen> {
        let typed: Typed<'_> = read(data)?;
        self.usage = usage::join(self.usage, typed.usage.and_then(|told| told.read()));
        Some(match kind_of(&typed, event) {
            "speech.audio.done" | "transcript.text.done" => self.terminal(),
            "speech.audio.delta" => {
                self.delivered.bytes += typed.audio.as_str().len() as u64;
                Seen::Content
            }
            "transcript.text.delta" => self.brought(measure(typed.delta)),
            "error" => self.error(data),
            _ if typed.error.is_some() => self.error(data),
            _ => Seen::Progress,
        })
    }

    fn see_image(&mut self, data: &[u8], event: &[u8]) -> Option<Seen> {
        let typed: Typed<'_> = read(data)?;
        self.usage = usage::join(self.usage, typed.usage.and_then(|told| told.read()));
        Some(match kind_of(&typed, event) {
            "image_generation.completed" | "image_edit.completed" => {
                let made = self.usage.unwrap_or_default();
                self.usage = Some(Usage { images: made.images.saturating_add(1), ..made });
                self.terminal()
            }
            "image_generation.partial_image" | "image_edit.partial_image" => Seen::Content,
            "error" => self.error(data),
            _ if typed.error.is_some() => self.error(data),
            _ => Seen::Progress,
        })
    }

    fn brought(&mut self, measured: TextCount) -> Seen {
        self.delivered.add(measured);
        if measured.is_zero() { Seen::Progress } else { Seen::Content }
    }

    fn keep_id(&mut self, id: &str) {
        if self.id.is_empty() && !id.is_empty() {
            self.id = kept_id(id);
        }
    }

    fn keep_reason(&mut self, reason: &str) {
        if self.finish_reason != reason {
            self.finish_reason = kept_reason(reason);
        }
    }
}

/// Reads an object of any known shape; `None` for what is none. Arrays would pass for structs, so the first byte is asked.
fn read<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Option<T> {
    let is_object = data.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    // Text that is known to be text is read without a look at each string's bytes.
    let read = || std::str::from_utf8(data).map_or_else(|_| serde_json::from_slice(data), serde_json::from_str).ok();
    is_object.then(read).flatten()
}

/// The type of an event: the data tells it, or at least its `event` field.
fn kind_of<'t>(typed: &'t Typed<'_>, event: &'t [u8]) -> &'t str {
    match typed.kind.as_str() {
        "" => std::str::from_utf8(event).unwrap_or_default(),
        kind => kind,
    }
}

fn measure(value: Option<&RawValue>) -> TextCount {
    value.and_then(|value| serde_json::from_str::<Measured>(value.get()).ok()).unwrap_or_default().0
}

/// An id of the upstream as records may hold it: ≤ 96 characters of `[\w.:-]`, others dropped.
pub(crate) fn kept_id(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || "_.:-".contains(*c)).take(ID_CHARS).collect()
}

/// A finish reason as records may hold it: ≤ 32 characters of `[a-z_]`, others dropped.
pub(crate) fn kept_reason(reason: &str) -> String {
    let lower = reason.chars().map(|c| c.to_ascii_lowercase());
    lower.filter(|c| c.is_ascii_lowercase() || *c == '_').take(REASON_CHARS).collect()
}
