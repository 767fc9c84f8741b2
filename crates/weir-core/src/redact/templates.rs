//! What people and models say, in the forms in which programs write it down for a model: `<|im_start|>user`, `[INST]`, `### Instruction:`.

use memchr::memmem;

use super::engine::{Kind, Span};
use super::normalise::Shadow;
use super::triggers::{Trigger, trigger, window};

/// From the sign that opens a turn to what is said: the speaker's name and a sign that closes it.
const MAX_SPEAKER_BYTES: usize = 48;

/// What opens a turn is the first sign looked for as its end, so that many turns are not each searched to the end of the text.
pub(super) const TRIGGERS: [Trigger; 7] = [
    trigger(&["<|im_start|>"], |shadow, _, end, out| turn(shadow, end, b"\n", &[b"<|im_start|>", b"<|im_end|>"], out)),
    trigger(&["<start_of_turn>"], |shadow, _, end, out| turn(shadow, end, b"\n", &[b"<start_of_turn>", b"<end_of_turn>"], out)),
    trigger(&["<|start_header_id|>"], |shadow, _, end, out| {
        turn(shadow, end, b"<|end_header_id|>", &[b"<|start_header_id|>", b"<|eot_id|>"], out);
    }),
    trigger(&["<|user|>", "<|assistant|>", "<|system|>", "<|human|>"], |shadow, _, end, out| said(shadow, end, &[b"<|"], out)),
    trigger(&["[inst]"], |shadow, _, end, out| said(shadow, end, &[b"[/INST]"], out)),
    trigger(&["<<sys>>"], |shadow, _, end, out| said(shadow, end, &[b"<</SYS>>"], out)),
    trigger(
        &["### instruction:", "### response:", "### input:", "### human:", "### assistant:", "### user:", "### system:"],
        |shadow, _, end, out| said(shadow, end, &[b"\n###"], out),
    ),
];

/// A turn whose speaker stands between the sign that opens it and `head`.
fn turn(shadow: &Shadow<'_>, at: usize, head: &[u8], ends: &[&[u8]], out: &mut Vec<Span>) {
    let begin = memmem::find(window(shadow.bytes(), at, MAX_SPEAKER_BYTES), head).map(|i| at + i + head.len());
    said(shadow, begin.unwrap_or(at), ends, out);
}

/// What is said from `at` on, to the first of `ends` or the end of the text.
fn said(shadow: &Shadow<'_>, at: usize, ends: &[&[u8]], out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let rest = &bytes[at..];
    let len = ends.iter().fold(rest.len(), |len, sign| memmem::find(&rest[..len], sign).unwrap_or(len));
    if !shadow.walk(len) {
        out.push(Span::new(at, bytes.len(), Kind::Content));
        return;
    }
    let text = &rest[..len];
    let start = at + text.len() - text.trim_ascii_start().len();
    let end = at + text.trim_ascii_end().len();
    if start < end && !text.trim_ascii().starts_with(b"[REDACTED:content]") {
        out.push(Span::new(start, end, Kind::Content));
    }
}
