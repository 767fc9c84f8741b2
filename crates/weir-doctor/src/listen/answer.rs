//! The answers, in the form of each API family: numbered words, so that a person sees on the screen how far the answer came.

use bytes::Bytes;
use serde_json::{Value, json};
use weir_core::Dialect;

use super::script::{End, Pace};

/// The end of a chat stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// One answer in the making. Its parts are made when they are due: a large one is never held whole.
#[derive(Debug, Clone)]
pub(super) struct Family {
    pub(super) dialect: Dialect,
    /// Already tame: what the answer says it is.
    pub(super) model: String,
    /// Seconds since 1970.
    pub(super) created: i64,
    /// Makes ids differ.
    pub(super) n: u32,
    pub(super) usage: bool,
}

/// Whether a route gets an answer of its own form; all others are refused with words.
pub(super) fn speaks(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Chat | Dialect::Completions | Dialect::Responses | Dialect::Messages)
}

fn frame(name: Option<&str>, data: &Value) -> Bytes {
    name.map_or_else(|| format!("data: {data}\n\n"), |name| format!("event: {name}\ndata: {data}\n\n")).into()
}

/// The `i`-th word, from 1; padded to `chars`.
fn word(i: u32, chars: usize) -> String {
    let mut text = format!("{i} ");
    if let Some(room) = chars.checked_sub(text.len() + 1).filter(|_| chars > 0) {
        text.push_str(&"·".repeat(room / "·".len()));
        text.push('\n');
    }
    text
}

impl Family {
    /// How many pieces an answer of `pace` has.
    pub(super) fn pieces(&self, pace: &Pace) -> u32 {
        self.opening(0).1 + pace.events + if pace.end == End::Cut { 0 } else { self.closing(pace, 0).1 }
    }

    /// The place of the first word's piece.
    pub(super) fn first_word(&self) -> u32 {
        self.opening(0).1
    }

    /// The `at`-th piece, from 0: one whole event.
    pub(super) fn piece(&self, pace: &Pace, at: u32) -> Option<Bytes> {
        let first = self.first_word();
        match at {
            at if at < first => self.opening(at).0,
            at if at < first + pace.events => Some(self.delta(at - first + 1, pace.chars)),
            _ if pace.end == End::Cut => None,
            at => self.closing(pace, at - first - pace.events).0,
        }
    }

    fn id(&self) -> String {
        format!("doctor-{}", self.n)
    }

    fn chunk(&self, delta: &Value, finish: Option<&str>, usage: &Value) -> Value {
        if self.dialect == Dialect::Completions {
            let text = delta.get("content").cloned().unwrap_or_else(|| json!(""));
            let choices =
                if usage.is_null() { json!([{ "index": 0, "text": text, "logprobs": null, "finish_reason": finish }]) } else { json!([]) };
            return json!({ "id": self.id(), "object": "text_completion", "created": self.created, "model": self.model, "choices": choices, "usage": usage });
        }
        let choices = if usage.is_null() { json!([{ "index": 0, "delta": delta, "finish_reason": finish }]) } else { json!([]) };
        let mut chunk =
            json!({ "id": self.id(), "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices });
        if self.usage {
            chunk["usage"] = usage.clone();
        }
        chunk
    }

    /// The pieces before the first word, and their number.
    fn opening(&self, at: u32) -> (Option<Bytes>, u32) {
        match self.dialect {
            Dialect::Responses => {
                let events = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"];
                let piece = events.get(at as usize).map(|name| {
                    let more = match at {
                        0 | 1 => json!({ "response": self.response("in_progress", &[], &Value::Null) }),
                        2 => json!({ "output_index": 0, "item": self.item("in_progress", &[]) }),
                        _ => with(self.place(), &json!({ "part": part("") })),
                    };
                    frame(Some(name), &with(json!({ "type": name, "sequence_number": at }), &more))
                });
                (piece, 4)
            }
            Dialect::Messages => {
                let piece = match at {
                    0 => Some(frame(
                        Some("message_start"),
                        &json!({ "type": "message_start", "message": self.message(&[], &Value::Null, 1) }),
                    )),
                    1 => {
                        let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
                        Some(frame(Some("content_block_start"), &block))
                    }
                    _ => None,
                };
                (piece, 2)
            }
            Dialect::Chat => {
                let piece = (at == 0).then(|| frame(None, &self.chunk(&json!({ "role": "assistant", "content": "" }), None, &Value::Null)));
                (piece, 1)
            }
            _ => (None, 0),
        }
    }

    fn delta(&self, i: u32, chars: usize) -> Bytes {
        let text = word(i, chars);
        match self.dialect {
            Dialect::Responses => {
                let data = json!({ "type": "response.output_text.delta", "sequence_number": i + 3, "delta": text, "logprobs": [] });
                frame(Some("response.output_text.delta"), &with(data, &self.place()))
            }
            Dialect::Messages => {
                let data = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
                frame(Some("content_block_delta"), &data)
            }
            _ => frame(None, &self.chunk(&json!({ "content": text }), None, &Value::Null)),
        }
    }

    /// The pieces behind the last word, and their number.
    fn closing(&self, pace: &Pace, at: u32) -> (Option<Bytes>, u32) {
        let pieces = match self.dialect {
            Dialect::Responses => self.response_closing(pace),
            Dialect::Messages => self.message_closing(pace),
            _ => self.chat_closing(pace),
        };
        (pieces.get(at as usize).cloned(), u32::try_from(pieces.len()).unwrap_or(u32::MAX))
    }

    fn chat_closing(&self, pace: &Pace) -> Vec<Bytes> {
        if pace.end == End::Unmarked {
            return Vec::new();
        }
        let mut pieces = vec![frame(None, &self.chunk(&json!({}), Some("stop"), &Value::Null))];
        if self.usage {
            pieces.push(frame(None, &self.chunk(&json!({}), None, &tokens(pace.events))));
        }
        pieces.push(Bytes::from_static(DONE));
        pieces
    }

    fn response_closing(&self, pace: &Pace) -> Vec<Bytes> {
        let text = text(pace);
        let next = pace.events + 4;
        let mut pieces = Vec::new();
        let mut push = |name: &str, more: &Value| {
            let data = json!({ "type": name, "sequence_number": next + u32::try_from(pieces.len()).unwrap_or(0) });
            pieces.push(frame(Some(name), &with(data, more)));
        };
        push("response.output_text.done", &with(json!({ "text": text, "logprobs": [] }), &self.place()));
        push("response.content_part.done", &with(json!({ "part": part(&text) }), &self.place()));
        let item = self.item("completed", &[part(&text)]);
        push("response.output_item.done", &json!({ "output_index": 0, "item": item }));
        if pace.end == End::Marked {
            push("response.completed", &json!({ "response": self.response("completed", &[item], &response_tokens(pace.events)) }));
        }
        pieces
    }

    fn message_closing(&self, pace: &Pace) -> Vec<Bytes> {
        let mut pieces = vec![frame(Some("content_block_stop"), &json!({ "type": "content_block_stop", "index": 0 }))];
        if pace.end == End::Marked {
            let delta = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": pace.events } });
            pieces.push(frame(Some("message_delta"), &delta));
            pieces.push(frame(Some("message_stop"), &json!({ "type": "message_stop" })));
        }
        pieces
    }

    fn place(&self) -> Value {
        json!({ "item_id": format!("msg_{}", self.id()), "output_index": 0, "content_index": 0 })
    }

    fn item(&self, status: &str, content: &[Value]) -> Value {
        json!({ "id": format!("msg_{}", self.id()), "type": "message", "status": status, "role": "assistant", "content": content })
    }

    fn response(&self, status: &str, output: &[Value], usage: &Value) -> Value {
        json!({
            "id": format!("resp_{}", self.id()), "object": "response", "created_at": self.created, "status": status, "error": null,
            "incomplete_details": null, "instructions": null, "metadata": {}, "model": self.model, "output": output,
            "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage,
        })
    }

    fn message(&self, content: &[Value], stop: &Value, output: u32) -> Value {
        json!({
            "id": format!("msg_{}", self.id()), "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop, "stop_sequence": null, "usage": { "input_tokens": 9, "output_tokens": output },
        })
    }

    /// The whole answer in one body, for a request that asked for no stream.
    pub(super) fn whole(&self, pace: &Pace) -> Bytes {
        let text = text(pace);
        let answer = match self.dialect {
            Dialect::Responses => self.response("completed", &[self.item("completed", &[part(&text)])], &response_tokens(pace.events)),
            Dialect::Messages => self.message(&[json!({ "type": "text", "text": text })], &json!("end_turn"), pace.events),
            Dialect::Completions => json!({
                "id": self.id(), "object": "text_completion", "created": self.created, "model": self.model,
                "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": "stop" }], "usage": tokens(pace.events),
            }),
            _ => json!({
                "id": self.id(), "object": "chat.completion", "created": self.created, "model": self.model,
                "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }], "usage": tokens(pace.events),
            }),
        };
        answer.to_string().into()
    }
}

/// A refusal in the family's form.
pub(super) fn refusal(dialect: Dialect, code: &str, message: &str) -> Bytes {
    let error = if dialect == Dialect::Messages {
        json!({ "type": "error", "error": { "type": code, "message": message } })
    } else {
        json!({ "error": { "message": message, "type": code, "param": null, "code": code } })
    };
    error.to_string().into()
}

fn text(pace: &Pace) -> String {
    (1..=pace.events).map(|i| word(i, pace.chars)).collect()
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text })
}

fn tokens(output: u32) -> Value {
    json!({ "prompt_tokens": 9, "completion_tokens": output, "total_tokens": output.saturating_add(9) })
}

fn response_tokens(output: u32) -> Value {
    json!({
        "input_tokens": 9, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": output.saturating_add(9),
    })
}

/// An object with the fields of another put in.
fn with(mut object: Value, more: &Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut object, more) {
        fields.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    object
}

#[cfg(test)]
mod tests {
    use weir_wire::{StreamWatch, watch::Seen};

    use super::*;
    use crate::listen::script::{Plan, SILENCE, Script, plan};

    const STREAMED: [Dialect; 4] = [Dialect::Chat, Dialect::Completions, Dialect::Responses, Dialect::Messages];

    fn family(dialect: Dialect) -> Family {
        Family { dialect, model: "doctor-chat".to_owned(), created: 1_790_000_000, n: 1, usage: true }
    }

    /// What a strict reader of the family makes of the stream of a script's first try: the last event's meaning, and whether it was odd.
    fn read(dialect: Dialect, script: Script) -> (Vec<Seen>, bool) {
        let Plan::Answer(pace) = plan(script, 1, None, SILENCE) else { panic!("a stream") };
        let (family, mut watch) = (family(dialect), StreamWatch::new(dialect));
        let count = family.pieces(&pace);
        assert_eq!(family.piece(&pace, count), None);
        let seen: Vec<_> = (0..count).map(|at| watch.see(&family.piece(&pace, at).unwrap())).collect();
        (seen, watch.finish_reason().is_some())
    }

    #[test]
    fn a_stream_is_what_its_family_reads() {
        for dialect in STREAMED {
            let (seen, finished) = read(dialect, Script::Chat);
            assert_eq!(seen.last(), Some(&Seen::Marker), "{dialect:?}");
            assert!(
                finished && !seen.iter().any(|seen| matches!(seen, Seen::Malformed | Seen::Error(_) | Seen::Failed(_))),
                "{dialect:?} {seen:?}"
            );
            assert_eq!(seen.iter().filter(|seen| **seen == Seen::Content).count(), 24, "{dialect:?}");
        }
    }

    #[test]
    fn a_stream_without_end_marker_has_none() {
        for dialect in STREAMED {
            for script in [Script::NoDone, Script::Cut] {
                assert!(!read(dialect, script).0.contains(&Seen::Marker), "{dialect:?} {script:?}");
            }
        }
    }

    #[test]
    fn an_answer_in_one_piece_says_the_same_words() {
        let Plan::Answer(pace) = plan(Script::Chat, 1, None, SILENCE) else { panic!("an answer") };
        for dialect in STREAMED {
            let whole: Value = serde_json::from_slice(&family(dialect).whole(&pace)).unwrap();
            assert!(whole.to_string().contains("22 23 24"), "{whole}");
        }
    }
}
