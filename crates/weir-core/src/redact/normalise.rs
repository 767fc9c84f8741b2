//! The shadow: the text as a reader would understand it (escapes decoded, disguises removed), with a map back to the
//! original. Every search runs on the shadow; every replacement happens in the original.

use std::cell::Cell;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Escapes inside escapes are undone this often; JSON in JSON in a URL is three.
const ROUNDS: usize = 4;
/// Ends of values may be looked for over this many bytes, and this often over the whole text; a text that needs more is
/// built to need more.
const FREE_WALK_BYTES: usize = 4 << 20;
const WALKS: usize = 24;
/// A terminal title sequence longer than this is not one.
const MAX_OSC_BYTES: usize = 256;

/// A text to search, and where each of its bytes came from.
#[derive(Debug)]
pub(crate) struct Shadow<'a> {
    original: &'a str,
    /// One round of decoding after another, each over the text of the one before.
    rounds: Vec<Round>,
    /// Bytes walked in search of the ends of values.
    walked: Cell<usize>,
}

/// The most that may be walked by hand in a text of `bytes`, with one last walk to its end.
#[cfg(test)]
pub(crate) fn walk_bound(bytes: usize) -> usize {
    FREE_WALK_BYTES + bytes * (WALKS + 1)
}

/// What a round made of its text. Nearly all of a text is copied, so only the places where it was not are kept.
#[derive(Debug)]
struct Round {
    text: String,
    edits: Vec<Edit>,
    /// The edit that was asked for last: questions come in the order of the text.
    last: Cell<usize>,
}

/// `from` in the round's source became `len` bytes at `at`. Behind it the text is a copy up to the next edit.
#[derive(Debug, Clone, Copy)]
struct Edit {
    at: usize,
    len: usize,
    from: (usize, usize),
}

impl Round {
    /// The source of the byte at `at`.
    fn source(&self, at: usize) -> (usize, usize) {
        let is_it = |i: usize| self.edits.get(i).is_some_and(|e| e.at <= at) && self.edits.get(i + 1).is_none_or(|e| at < e.at);
        let mut i = self.last.get();
        if !is_it(i) {
            i += 1;
            if !is_it(i) {
                let Some(found) = self.edits.partition_point(|e| e.at <= at).checked_sub(1) else { return (at, at + 1) };
                i = found;
            }
            self.last.set(i);
        }
        let edit = self.edits[i];
        let behind = edit.at + edit.len;
        if at < behind {
            return edit.from;
        }
        let from = edit.from.1 + (at - behind);
        (from, from + 1)
    }
}

impl<'a> Shadow<'a> {
    pub(crate) fn of(original: &'a str) -> Self {
        let mut rounds: Vec<Round> = Vec::new();
        while rounds.len() < ROUNDS
            && let Some(next) = round(rounds.last().map_or(original, |r| r.text.as_str()))
        {
            rounds.push(next);
        }
        Self { original, rounds, walked: Cell::new(0) }
    }

    pub(crate) fn text(&self) -> &str {
        self.rounds.last().map_or(self.original, |r| &r.text)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.text().as_bytes()
    }

    /// Counts `bytes` walked; whether that is still in proportion to the text.
    pub(crate) fn walk(&self, bytes: usize) -> bool {
        self.walked.set(self.walked.get().saturating_add(bytes));
        self.walked.get() <= FREE_WALK_BYTES + self.text().len().saturating_mul(WALKS)
    }

    /// How many bytes were walked so far.
    #[cfg(test)]
    pub(crate) fn walked(&self) -> usize {
        self.walked.get()
    }

    /// Whether the shadow differs from the original.
    pub(crate) fn differs(&self) -> bool {
        !self.rounds.is_empty()
    }

    /// The original range behind a shadow range, widened to whole characters.
    pub(crate) fn source(&self, start: usize, end: usize) -> (usize, usize) {
        if start >= end {
            return (0, 0);
        }
        let (start, end) = self.rounds.iter().rev().fold((start, end), |(start, end), r| (r.source(start).0, r.source(end - 1).1));
        (self.original.floor_char_boundary(start), self.original.ceil_char_boundary(end))
    }

    /// Whether the sign at `at` was written full-width, as between Han characters.
    pub(crate) fn is_full_width(&self, at: usize) -> bool {
        let (start, end) = self.source(at, at + 1);
        self.original.as_bytes()[start..end].starts_with(&[0xef, 0xbc])
    }

    /// How many backslashes stood before the character at `at`; tells nested quotes apart.
    pub(crate) fn escapes(&self, at: usize) -> usize {
        if self.rounds.is_empty() {
            return 0;
        }
        let (start, end) = self.source(at, at + 1);
        self.original.as_bytes()[start..end].iter().filter(|b| **b == b'\\').count()
    }
}

/// One pass of decoding; none if there is nothing to decode.
fn round(text: &str) -> Option<Round> {
    let bytes = text.as_bytes();
    let (mut out, mut edits) = (String::new(), Vec::new());
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = remarkable(bytes, at) {
        let (len, step) = step(text, next);
        at = next + len;
        if matches!(step, Step::Keep) {
            continue;
        }
        if edits.is_empty() {
            out.reserve(text.len());
        }
        out.push_str(&text[copied..next]);
        copied = at;
        let start = out.len();
        match step {
            Step::Keep | Step::Drop => {}
            Step::One(c) => out.push(c),
            Step::Many(many) => out.push_str(&many),
        }
        edits.push(Edit { at: start, len: out.len() - start, from: (next, at) });
    }
    if edits.is_empty() {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(Round { text: out, edits, last: Cell::new(0) })
}

/// The next byte that may begin something to decode. Letters, digits, signs and the plane of Han characters never do.
fn remarkable(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(&b) = bytes.get(at) {
        at += match b {
            b'%' | b'\\' | b'&' => return Some(at),
            b'\n' | b'\r' | b'\t' | 0x20..0x7f => 1,
            // U+4000 to U+9FFF.
            0xe4..=0xe9 => 3,
            _ => return Some(at),
        };
    }
    None
}

enum Step {
    Keep,
    Drop,
    One(char),
    Many(String),
}

/// What stands at `at`: how many bytes, and what they mean.
fn step(text: &str, at: usize) -> (usize, Step) {
    let bytes = text.as_bytes();
    match bytes[at] {
        0x1b => (ansi(&bytes[at..]), Step::Drop),
        b'%' => percent(&bytes[at..]).map_or((1, Step::Keep), |(len, c)| (len, Step::One(c))),
        b'\\' => backslash(&bytes[at..]),
        b'&' => entity(&text[at..]).map_or((1, Step::Keep), |(len, c)| (len, Step::One(c))),
        b'\n' | b'\r' | b'\t' | 0x20..0x7f => (1, Step::Keep),
        0..0x20 | 0x7f => (1, Step::Drop),
        _ => {
            let c = text[at..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
            (c.len_utf8(), compatible(c))
        }
    }
}

fn compatible(c: char) -> Step {
    match c {
        // The ellipsis of a mask must not become three dots, and Han needs no folding.
        '…' | '\u{4e00}'..='\u{9fff}' => Step::Keep,
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).map_or(Step::Keep, Step::One),
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => Step::Drop,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e01ef}' | '\u{80}'..='\u{9f}' => Step::Drop,
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Step::One('-'),
        '“' | '”' | '„' | '«' | '»' => Step::One('"'),
        '‘' | '’' => Step::One('\''),
        _ if is_nfkc_quick(std::iter::once(c)) == IsNormalized::Yes => Step::Keep,
        _ => {
            let mut folded = std::iter::once(c).nfkc();
            match (folded.next(), folded.next()) {
                (Some(one), None) if one == c => Step::Keep,
                (Some(one), None) => Step::One(one),
                _ => Step::Many(std::iter::once(c).nfkc().collect()),
            }
        }
    }
}

/// The length of a terminal sequence: CSI, OSC, or ESC and one letter.
fn ansi(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        Some(b'[') => {
            bytes[2..].iter().position(|b| !(0x20..0x40).contains(b)).map_or(bytes.len(), |i| i + 2 + usize::from(bytes[i + 2].is_ascii()))
        }
        Some(b']') => {
            let window = &bytes[..bytes.len().min(MAX_OSC_BYTES)];
            window.iter().position(|b| *b == 7).map_or(1, |i| i + 1)
        }
        Some(b) if b.is_ascii() => 2,
        _ => 1,
    }
}

fn hex(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |sum, b| Some(sum << 4 | char::from(*b).to_digit(16)?))
}

/// `%XX`, or as many of them as make one character.
fn percent(bytes: &[u8]) -> Option<(usize, char)> {
    let octet = |i: usize| -> Option<u8> {
        let three = bytes.get(i * 3..i * 3 + 3)?;
        if three[0] != b'%' {
            return None;
        }
        u8::try_from(hex(&three[1..])?).ok()
    };
    let first = octet(0)?;
    let count = match first {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    let octets = (0..count).map(octet).collect::<Option<Vec<u8>>>()?;
    let c = std::str::from_utf8(&octets).ok()?.chars().next()?;
    Some((count * 3, c))
}

/// A run of backslashes and what it escapes: a quote, a slash, a line break, `\uXXXX`, `\u{…}`, `\xXX`.
fn backslash(bytes: &[u8]) -> (usize, Step) {
    let run = bytes.iter().take_while(|b| **b == b'\\').count();
    let rest = &bytes[run..];
    match rest.first() {
        Some(c @ (b'"' | b'\'' | b'/' | b'`' | b' ')) => (run + 1, Step::One(char::from(*c))),
        Some(b'n' | b'r') => (run + 1, Step::One('\n')),
        Some(b't') => (run + 1, Step::One('\t')),
        Some(b'x') => match rest.get(1..3).and_then(hex).and_then(char::from_u32) {
            Some(c) => (run + 3, Step::One(c)),
            None => (run, Step::Keep),
        },
        Some(b'u') => match unicode(rest) {
            Some((len, c)) => (run + len, Step::One(c)),
            None => (run, Step::Keep),
        },
        // A secret with a backslash in it is escaped as two.
        Some(_) if run > 1 => (run, Step::One('\\')),
        _ => (run, Step::Keep),
    }
}

fn unicode(rest: &[u8]) -> Option<(usize, char)> {
    if rest.get(1) == Some(&b'{') {
        let len = rest.iter().take(10).position(|b| *b == b'}')?;
        return Some((len + 1, char::from_u32(hex(&rest[2..len])?)?));
    }
    let high = hex(rest.get(1..5)?)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((5, char::from_u32(high)?));
    }
    let run = rest[5..].iter().take_while(|b| **b == b'\\').count();
    let low = rest.get(5 + run..10 + run).filter(|l| run > 0 && l[0] == b'u')?;
    let low = hex(&low[1..]).filter(|l| (0xdc00..0xe000).contains(l))?;
    Some((10 + run, char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?))
}

/// `&#65;`, `&#x41;` and the named five.
fn entity(text: &str) -> Option<(usize, char)> {
    let end = text.bytes().take(10).position(|b| b == b';')?;
    let name = &text[1..end];
    let c = match name {
        "quot" => '"',
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let digits = name.strip_prefix('#')?;
            let value = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(value)?
        }
    };
    Some((end + 1, c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn disguises_are_seen_through() {
        for (disguised, plain) in [
            ("ｓｋ－ａｂｃ", "sk-abc"),
            ("s\u{200b}k-\u{ad}abc", "sk-abc"),
            ("\x1b[31msk-\x1b[0mabc", "sk-abc"),
            (r"\u0073k-abc", "sk-abc"),
            (r"\\u0073k-abc", "sk-abc"),
            ("&#115;k&#x2d;abc&quot;", "sk-abc\""),
            ("%73%6B-abc", "sk-abc"),
            ("%2573k-abc", "sk-abc"),
            ("%E5%AF%86", "密"),
            (r#"{\"a\":\"b\"}"#, r#"{"a":"b"}"#),
            (r"\ud83d\ude00", "😀"),
            ("sk-…9aZk", "sk-…9aZk"),
            ("100% of 5%", "100% of 5%"),
        ] {
            assert_eq!(Shadow::of(disguised).text(), plain, "{disguised}");
        }
    }

    #[test]
    fn a_place_in_the_shadow_is_found_in_the_original() {
        let text = "密钥%73k-a\u{200b}bc.";
        let shadow = Shadow::of(text);
        let at = shadow.text().find("sk-abc").unwrap();
        let (start, end) = shadow.source(at, at + 6);
        assert_eq!(&text[start..end], "%73k-a\u{200b}bc");
    }

    proptest! {
        #[test]
        fn every_shadow_byte_has_a_source_on_character_borders(text in "\\PC*|[%\\\\u0-9a-f&#;x\"{}\u{1b}\\[]{0,40}") {
            let shadow = Shadow::of(&text);
            for (i, c) in shadow.text().char_indices() {
                let (start, end) = shadow.source(i, i + c.len_utf8());
                prop_assert!(text.get(start..end).is_some());
            }
        }
    }
}
