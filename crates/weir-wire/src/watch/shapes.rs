//! The shapes of streamed events, only as far as weir looks into them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    json::{Measured, Text},
    tokens::TextCount,
    usage::WireUsage,
};

/// A chunk of chat or text completions, or whatever came in its place.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Chunk<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) choices: Option<Vec<Choice<'a>>>,
    pub(crate) usage: Option<WireUsage>,
    /// Groq's place for the usage of a stream.
    x_groq: Option<Nested>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) object: Text<'a>,
    #[serde(borrow)]
    pub(crate) message: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Nested {
    usage: Option<WireUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Choice<'a> {
    pub(crate) index: Option<u32>,
    pub(crate) delta: Option<Delta>,
    /// Of whole answers, which some upstreams send as a single chunk.
    pub(crate) message: Option<Delta>,
    /// Of text completions.
    pub(crate) text: Measured,
    #[serde(borrow)]
    pub(crate) finish_reason: Text<'a>,
    /// Moonshot's place for the usage of a stream.
    usage: Option<WireUsage>,
}

/// What a choice brings. Reasoning goes by several names, and relays send the same text under two of them.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Delta {
    content: Measured,
    refusal: Measured,
    tool_calls: Measured,
    function_call: Measured,
    audio: Measured,
    reasoning_content: Measured,
    reasoning: Measured,
    reasoning_details: Measured,
    thinking: Measured,
}

impl Delta {
    pub(crate) fn measured(&self) -> TextCount {
        let names = [self.reasoning_content, self.reasoning, self.reasoning_details, self.thinking];
        let mut sum = names.into_iter().map(|Measured(count)| count).max_by_key(|count| count.bytes).unwrap_or_default();
        for Measured(count) in [self.content, self.refusal, self.tool_calls, self.function_call, self.audio] {
            sum.add(count);
        }
        sum
    }
}

impl Choice<'_> {
    pub(crate) fn measured(&self) -> TextCount {
        let mut sum = self.text.0;
        for delta in [&self.delta, &self.message].into_iter().flatten() {
            sum.add(delta.measured());
        }
        sum
    }
}

impl Chunk<'_> {
    pub(crate) fn told_usage(&self) -> Option<WireUsage> {
        let of_choice = || self.choices.as_ref()?.iter().find_map(|choice| choice.usage);
        self.usage.or_else(|| self.x_groq.as_ref()?.usage).or_else(of_choice)
    }

    /// An error in the place of a chunk: nested, or flat without choices.
    pub(crate) fn is_error(&self) -> bool {
        let is_flat = || self.choices.is_none() && (self.kind.as_str() == "error" || self.object.as_str() == "error" || self.has_message());
        self.error.is_some() || is_flat()
    }

    fn has_message(&self) -> bool {
        self.message.is_some_and(|message| message.get().starts_with('"'))
    }
}

/// A typed event of responses, messages or audio.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) delta: Option<&'a RawValue>,
    /// Responses: the answer so far.
    #[serde(borrow)]
    pub(crate) response: Option<Response<'a>>,
    /// Messages: the answer as it begins.
    #[serde(borrow)]
    pub(crate) message: Option<MessageStart<'a>>,
    /// Messages: a block as it begins, a tool's name among it.
    pub(crate) content_block: Measured,
    /// Speech: base64.
    #[serde(borrow)]
    pub(crate) audio: Text<'a>,
    pub(crate) usage: Option<WireUsage>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Response<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) status: Text<'a>,
    pub(crate) usage: Option<WireUsage>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) incomplete_details: Option<Incomplete<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Incomplete<'a> {
    #[serde(borrow)]
    pub(crate) reason: Text<'a>,
}

/// `message_start` has an object here; a flat error has its text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum MessageStart<'a> {
    Object(#[serde(borrow)] Started<'a>),
    Text(serde::de::IgnoredAny),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Started<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    pub(crate) usage: Option<WireUsage>,
}

/// `message_delta.delta` of messages.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MessageDelta<'a> {
    #[serde(borrow)]
    pub(crate) stop_reason: Text<'a>,
}
