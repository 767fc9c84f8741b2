//! What people and models say, in the forms in which programs write it down for a model: `<|im_start|>user`, `[INST]`, `### Instruction:`.

use memchr::memmem;

use super::engine::{Kind, Span};
use super::normalise::Shadow;
use super::triggers::{Trigger, trigger, window};

/// From the sign that opens a turn to what is said: the speaker's name and a sign that closes it.
const MAX_SPEAKER_BYTES: usize = 48;

pub(super) const TRIGGERS: [Trigger; 4] = [
    trigger(&["<|im_start|>", "<start_of_turn>"], |shadow, _, end, out| {
        turn(shadow, end, &[b"\n"], &[b"<|im_end|>", b"<end_of_turn>", b"<|im_start|>"], out)
    }),
    trigger(&["<|start_header_id|>"], |shadow, _, end, out| {
        turn(shadow, end, &[b"<|end_header_id|>"], &[b"<|eot_id|>", b"<|start_header_id|>"], out)
    }),
    trigger(&["[inst]", "<|user|>", "<|assistant|>", "<|system|>", "<|human|>", "<<sys>>"], |shadow, _, end, out| {
        said(shadow, end, &[b"[/INST]", b"<|end", b"<|user|>", b"<|assistant|>", b"<</SYS>>"], out);
    }),
    trigger(
        &["### instruction:", "### response:", "### input:", "### human:", "### assistant:", "### user:", "### system:"],
        |shadow, _, end, out| said(shadow, end, &[b"\n###"], out),
    ),
];

/// A turn whose speaker stands between the sign that opens it and one of `heads`.
fn turn(shadow: &Shadow<'_>, at: usize, heads: &[&[u8]], ends: &[&[u8]], out: &mut Vec<Span>) {
    let head = window(shadow.bytes(), at, MAX_SPEAKER_BYTES);
    let begin = heads.iter().filter_map(|sign| memmem::find(head, sign).map(|i| at + i + sign.len())).min();
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
