//! Words that an answer is made of. Any word can be made alone from a seed and its place, so streams need no buffer.

use crate::digest::mix;

/// What a whole text may weigh, however many words were ordered.
const WHOLE_MAX_BYTES: usize = 64 << 20;

/// Pieces as tokenizers cut them: with their leading space, some punctuation, some Chinese, and letters that JSON must escape.
const PIECES: &[&str] = &[
    " the", " harbor", " wakes", " before", " dawn", ",", " and", " small", " boats", " leave", " one", " by", " one", ".", " A", " light",
    " on", " the", " pier", " blinks", " twice", "; ", "nobody", " counts", " them", ".", "\n\n", "Later", " the", " fog", " lifts",
    " slowly", " over", " \"Old", " Town\"", " —", " gulls", " follow", " nets", ",", " ropes", " creak", ".", " 港口", "醒来", "了", ",",
    "船", "一", "只", "只", "离开", "。", " People", " say", " it", " has", " always", " been", " so", ":", " tide", " in", " tide",
    " out", ".",
];

/// A text of `words` pieces; with `bulk` each piece is padded to about that many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prose {
    pub(crate) seed: u64,
    pub(crate) words: u64,
    pub(crate) bulk_bytes: usize,
}

impl Prose {
    pub(crate) fn piece(&self, at: u64) -> String {
        let mut text = word(self.seed, at).to_owned();
        let mut extra = 1 << 32;
        while text.len() < self.bulk_bytes {
            text.push_str(word(self.seed, at.wrapping_add(extra)));
            extra += 1 << 32;
        }
        if at == 0 { text.trim_start().to_owned() } else { text }
    }

    pub(crate) fn whole(&self) -> String {
        let mut text = String::new();
        for at in 0..self.words {
            if text.len() > WHOLE_MAX_BYTES {
                break;
            }
            text.push_str(&self.piece(at));
        }
        text
    }
}

fn word(seed: u64, at: u64) -> &'static str {
    let pick = mix(seed, at) % PIECES.len() as u64;
    PIECES[usize::try_from(pick).unwrap_or(0)]
}

/// A letters-only name for places in tool arguments.
pub(crate) fn place(seed: u64) -> &'static str {
    const PLACES: &[&str] = &["Shanghai", "Lisbon", "Oslo", "Quito", "Nairobi", "Osaka", "Tallinn", "Perth"];
    PLACES[usize::try_from(mix(seed, 3) % PLACES.len() as u64).unwrap_or(0)]
}

/// An identifier with this many letters and digits.
pub(crate) fn id(prefix: &str, seed: u64, length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letters =
        (0..length as u64).map(|at| char::from(LETTERS[usize::try_from(mix(seed, 1000 + at) % LETTERS.len() as u64).unwrap_or(0)]));
    prefix.chars().chain(letters).collect()
}

/// A JSON string with its quotes.
pub(crate) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
