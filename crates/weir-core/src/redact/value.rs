//! Where a value begins and ends: quoted (with nested escapes), bracketed, a header's rest of line, or a bare token.

use std::ops::Range;

use super::normalise::Shadow;

/// Blanks between a name, its separator and its value; more is another thing.
const MAX_GAP_BYTES: usize = 200;
/// A string that holds a line break of its own is looked for its end this far behind it; JSON allows none at all.
const MAX_LOOSE_BYTES: usize = 4096;

/// What stands between a name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Colon,
    Equals,
    /// `--name value`, `name value`, `name is value`.
    Blank,
    /// `<name>value</name>`.
    Tag,
    /// `("name", "value")`, `{"name": "name", "value": "value"}`.
    Pair,
}

/// A value's place in the shadow, quotes excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) range: Range<usize>,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Quoted,
    List,
    Object,
    Bare,
}

/// Skips blanks (and line breaks if `lines`), at most [`MAX_GAP_BYTES`].
pub(super) fn skip_blanks(bytes: &[u8], at: usize, lines: bool) -> usize {
    let window = &bytes[at.min(bytes.len())..bytes.len().min(at + MAX_GAP_BYTES)];
    at + window.iter().take_while(|b| matches!(b, b' ' | b'\t') || lines && matches!(b, b'\n' | b'\r')).count()
}

pub(super) fn line_end(shadow: &Shadow<'_>, at: usize) -> usize {
    let bytes = shadow.bytes();
    let end = bytes[at..].iter().position(|b| matches!(b, b'\n' | b'\r')).map_or(bytes.len(), |i| at + i);
    shadow.walk(end - at);
    end
}

pub(super) fn is_quote(b: u8) -> bool {
    matches!(b, b'"' | b'\'' | b'`')
}

/// The value that begins at `at`, whatever its form.
pub(super) fn read(shadow: &Shadow<'_>, at: usize) -> Option<Value> {
    let bytes = shadow.bytes();
    let at = unwrap(bytes, at);
    let first = *bytes.get(at)?;
    match first {
        q if is_quote(q) => {
            // Python's and YAML's long strings.
            let long = bytes[at..].starts_with(&[q; 3]) && q != b'`';
            let start = if long { at + 3 } else { at + 1 };
            let end = if long { find_triple(bytes, start, q) } else { close(shadow, at) };
            Some(Value { range: start..end.unwrap_or_else(|| line_end(shadow, start)), form: Form::Quoted })
        }
        b'[' if bytes[at..].starts_with(b"[REDACTED:") => {
            Some(Value { range: at..bytes[at..].iter().position(|b| *b == b']').map_or(bytes.len(), |i| at + i + 1), form: Form::Bare })
        }
        b'[' | b'(' => Some(walked(shadow, at, balanced(shadow, at), Form::List)),
        b'{' if bytes.get(at + 1) != Some(&b'{') => Some(walked(shadow, at, balanced(shadow, at), Form::Object)),
        _ => Some(walked(shadow, at, before_han_sign(shadow, at, bare(bytes, at)), Form::Bare)),
    }
}

fn walked(shadow: &Shadow<'_>, start: usize, end: usize, form: Form) -> Value {
    shadow.walk(end - start);
    Value { range: start..end, form }
}

/// Steps over what languages put before a literal: `b'…'`, `Some("…")`, `SecretStr('…')`.
fn unwrap(bytes: &[u8], mut at: usize) -> usize {
    for _ in 0..3 {
        let word = bytes[at..].iter().take(24).take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b == b'.').count();
        let next = at + word;
        match bytes.get(next) {
            // `string(21) "…"`, as one language dumps its values.
            Some(b'(') if bytes[at..next] == *b"string" && bytes.get(next + 1).is_some_and(u8::is_ascii_digit) => {
                let digits = bytes[next + 1..].iter().take(9).take_while(|b| b.is_ascii_digit()).count();
                let close = next + 1 + digits;
                return if bytes[close..].starts_with(b") \"") { close + 2 } else { at };
            }
            Some(b'(') if word > 0 && bytes.get(next + 1).is_some_and(|b| is_quote(*b) || b.is_ascii_uppercase()) => at = next + 1,
            Some(q)
                if (1..=2).contains(&word)
                    && is_quote(*q)
                    && bytes[at..next].iter().all(|b| matches!(b, b'b' | b'r' | b'u' | b'f' | b'B' | b'R')) =>
            {
                return next;
            }
            Some(b'"' | b'\'') if word == 0 => return at,
            Some(b'$' | b'&' | b'@') if word == 0 && bytes.get(at + 1).is_some_and(|b| is_quote(*b)) => return at + 1,
            _ => return at,
        }
    }
    at
}

fn find_triple(bytes: &[u8], from: usize, q: u8) -> Option<usize> {
    bytes[from..].windows(3).position(|w| w == [q; 3]).map(|i| from + i).or(Some(bytes.len()))
}

/// The quote that closes the one at `open`. A string opened behind `n` backslashes ends at a quote behind as many, or
/// fewer: then the string around it has ended. Inside, an escaped backslash takes twice what an escape takes.
fn close(shadow: &Shadow<'_>, open: usize) -> Option<usize> {
    let bytes = shadow.bytes();
    let (quote, depth) = (bytes[open], shadow.escapes(open));
    let mut fallback = None;
    let mut stop = bytes.len();
    for at in open + 1..bytes.len() {
        if at >= stop || bytes[at] == b'\n' && fallback.is_some() {
            shadow.walk(at - open);
            return fallback;
        }
        if bytes[at] == b'\n' && stop == bytes.len() && shadow.escapes(at) == 0 {
            stop = at + MAX_LOOSE_BYTES;
        }
        if bytes[at] != quote {
            continue;
        }
        let n = shadow.escapes(at);
        if n <= depth || (n - depth).is_multiple_of(2 * (depth + 1)) {
            if ends_here(bytes, at + 1) {
                shadow.walk(at - open);
                return Some(at);
            }
            fallback = Some(at);
        }
    }
    shadow.walk(bytes.len() - open);
    fallback
}

/// Whether what follows a quote lets it be the end of a string: a comma, a bracket, an option, a next name. A letter right
/// behind it, or plain words, mean that the quote was part of the text.
fn ends_here(bytes: &[u8], at: usize) -> bool {
    let next = skip_blanks(bytes, at, false);
    match bytes.get(next) {
        None
        | Some(
            b',' | b'}' | b']' | b')' | b';' | b':' | b'\n' | b'\r' | b'<' | b'>' | b'&' | b'|' | b'=' | b'+' | b'-' | b'/' | b'\\' | b'"'
            | b'\'' | b'`',
        ) => true,
        Some(_) if next == at => !bytes[at].is_ascii_alphanumeric(),
        Some(_) => {
            let word = bytes[next..].iter().take(64).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
            word == 0 || matches!(bytes.get(next + word), Some(b'=' | b':')) || bytes[next..].starts_with(b"http")
        }
    }
}

/// The end of the list or object that opens at `open`; the end of the text if it never closes.
fn balanced(shadow: &Shadow<'_>, open: usize) -> usize {
    let bytes = shadow.bytes();
    let mut depth = 0usize;
    let mut at = open;
    while at < bytes.len() {
        match bytes[at] {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b'"' => at = string_end(shadow, at),
            b'\'' if opens_string(bytes, open, at) => at = string_end(shadow, at),
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn string_end(shadow: &Shadow<'_>, open: usize) -> usize {
    let bytes = shadow.bytes();
    let (quote, depth) = (bytes[open], shadow.escapes(open));
    (open + 1..bytes.len())
        .find(|&at| bytes[at] == quote && (shadow.escapes(at) <= depth || (shadow.escapes(at) - depth).is_multiple_of(2 * (depth + 1))))
        .unwrap_or(bytes.len())
}

/// An apostrophe is a quote only where a value or a name may begin.
fn opens_string(bytes: &[u8], from: usize, at: usize) -> bool {
    bytes[from..at].iter().rev().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| matches!(b, b'[' | b'{' | b'(' | b',' | b':'))
}

/// The end of a bare token. A comma, semicolon, ampersand or bracket ends it only where something else begins behind it:
/// passwords contain all of these.
fn bare(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    while let Some(&b) = bytes.get(end) {
        let next = bytes.get(end + 1);
        let ends = match b {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'`' | b'<' => true,
            b',' | b';' => next.is_none_or(|n| n.is_ascii_whitespace() || is_quote(*n) || *n >= 0x80) || starts_pair(bytes, end + 1),
            b'&' | b'?' | b'#' => starts_pair(bytes, end + 1),
            b')' | b']' | b'}' | b'>' => next.is_none_or(|n| !n.is_ascii_alphanumeric()),
            0xe3 => ["。", "、", "」", "』", "】", "》", "〉"].iter().any(|s| bytes[end..].starts_with(s.as_bytes())),
            0xe4..=0xe9 => end > at && bytes[end - 1].is_ascii(),
            _ => false,
        };
        if ends {
            break;
        }
        end += 1;
    }
    while end > at && matches!(bytes[end - 1], b'.' | b'!' | b'?' | b':') {
        end -= 1;
    }
    end
}

/// A full-width comma or stop ends a token that a person wrote down.
fn before_han_sign(shadow: &Shadow<'_>, start: usize, end: usize) -> usize {
    if !shadow.differs() {
        return end;
    }
    let is_sign = |at: &usize| matches!(shadow.bytes()[*at], b',' | b';' | b'!' | b'?' | b')') && shadow.is_full_width(*at);
    (start + 1..end).find(is_sign).unwrap_or(end)
}

/// Whether `name=` or `name:` stands at `at`.
fn starts_pair(bytes: &[u8], at: usize) -> bool {
    let word =
        bytes[at.min(bytes.len())..].iter().take(64).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
    word > 0 && matches!(bytes.get(at + word), Some(b'=' | b':'))
}
