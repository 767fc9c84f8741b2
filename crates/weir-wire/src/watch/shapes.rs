//! The shapes of streamed events, only as far as weir looks into them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use weir_core::Usage;

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
    pub(crate) choices: Option<Choices<'a>>,
    usage: Option<Box<WireUsage>>,
    /// Groq's place for the usage of a stream.
    x_groq: Option<Box<Nested>>,
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
struct Choice<'a> {
    index: Option<u32>,
    delta: Option<Delta>,
    /// Of whole answers, which some upstreams send as a single chunk.
    message: Option<Delta>,
    /// Of text completions.
    text: Measured,
    #[serde(borrow)]
    finish_reason: Text<'a>,
    /// Moonshot's place for the usage of a stream.
    usage: Option<Box<WireUsage>>,
}

/// The choices of a chunk or an answer, folded as they are read: a chunk has one, and this runs for every event.
#[derive(Debug, Default)]
pub(crate) struct Choices<'a> {
    pub(crate) count: usize,
    /// One bit per choice that is there, and per choice that is finished.
    pub(crate) seen: u128,
    pub(crate) finished: u128,
    pub(crate) measured: TextCount,
    /// The last one told.
    pub(crate) finish_reason: Text<'a>,
    usage: Option<Box<WireUsage>>,
}

/// Choices that are told apart; the last place is shared by those beyond.
const PLACES: u32 = 128;

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fold;
        impl<'de> Visitor<'de> for Fold {
            type Value = Choices<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Choices<'de>, A::Error> {
                let mut choices = Choices::default();
                while let Some(choice) = items.next_element::<Choice<'de>>()? {
                    choices.add(choice);
                }
                Ok(choices)
            }
        }
        deserializer.deserialize_seq(Fold)
    }
}

impl<'a> Choices<'a> {
    fn add(&mut self, choice: Choice<'a>) {
        let place = 1 << choice.index.unwrap_or(0).min(PLACES - 1);
        self.count += 1;
        self.seen |= place;
        if !choice.finish_reason.as_str().is_empty() {
            self.finished |= place;
            self.finish_reason = choice.finish_reason;
        }
        for Delta(brought) in [choice.delta, choice.message].into_iter().flatten() {
            self.measured.add(brought);
        }
        self.measured.add(choice.text.0);
        self.usage = self.usage.take().or(choice.usage);
    }
}

/// What a choice brings, measured.
#[derive(Debug, Clone, Copy, Default)]
struct Delta(TextCount);

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fold;
        impl<'de> Visitor<'de> for Fold {
            type Value = Delta;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a delta or a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Delta, A::Error> {
                let mut brought = TextCount::default();
                // Reasoning goes by several names, and relays send the same text under two of them: the longest counts.
                let mut reasoning = TextCount::default();
                while let Some(name) = fields.next_key::<Text<'de>>()? {
                    match name.as_str() {
                        "content" | "refusal" | "tool_calls" | "function_call" | "audio" => brought.add(fields.next_value::<Measured>()?.0),
                        "reasoning_content" | "reasoning" | "reasoning_details" | "thinking" => {
                            let Measured(told) = fields.next_value()?;
                            reasoning = if told.bytes > reasoning.bytes { told } else { reasoning };
                        }
                        _ => {
                            fields.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                brought.add(reasoning);
                Ok(Delta(brought))
            }
        }
        deserializer.deserialize_map(Fold)
    }
}

impl Chunk<'_> {
    pub(crate) fn told_usage(&self) -> Option<Usage> {
        let of_groq = || self.x_groq.as_ref()?.usage.as_ref();
        let of_choice = || self.choices.as_ref()?.usage.as_deref();
        self.usage.as_deref().or_else(of_groq).or_else(of_choice)?.read()
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
    Text(IgnoredAny),
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
