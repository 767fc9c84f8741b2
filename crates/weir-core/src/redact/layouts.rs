//! Values whose names stand apart from them by the layout of a file: the parts of a form, the lines of a key, the elements of XML.

use super::engine::{Kind, Span};
use super::judge::{is_marker, is_number_or_none, is_placeholder};
use super::normalise::Shadow;
use super::shapes::looks_random;
use super::triggers::{Trigger, trigger, window};
use super::words::{Claim, MAX_NAME_BYTES, claim_of};

pub(super) const TRIGGERS: [Trigger; 3] =
    [trigger(&["form-data;"], part), trigger(&["private-lines:"], key_lines), trigger(&["</key>", "\">", "'>"], element)];

/// The headers of a part.
const MAX_HEAD_BYTES: usize = 1024;
/// The lines of a key.
const MAX_KEY_BYTES: usize = 8 * 1024;
/// An element.
const MAX_ELEMENT_BYTES: usize = 2048;
/// Shorter strings are states and names.
const MIN_CELL_BYTES: usize = 12;

/// `form-data; name="prompt"`, an empty line, and the value up to the next border.
fn part(shadow: &Shadow<'_>, _: usize, end: usize, out: &mut Vec<Span>) {
    let (text, bytes) = (shadow.text(), shadow.bytes());
    let head = window(bytes, end, MAX_HEAD_BYTES);
    let Some((len, gap)) =
        [&b"\r\n\r\n"[..], b"\n\n"].into_iter().filter_map(|gap| memchr::memmem::find(head, gap).map(|at| (at, gap.len()))).min()
    else {
        return;
    };
    let head = String::from_utf8_lossy(&head[..len]).into_owned();
    let name =
        head.split_once("name=").map(|(_, rest)| rest.trim_start_matches('"').split(['"', ';', '\r', '\n']).next().unwrap_or_default());
    let kind = match name.and_then(claim_of) {
        _ if head.contains("filename=") => Kind::Content,
        Some(Claim::Content | Claim::QuotedContent) => Kind::Content,
        Some(Claim::Strong(kind) | Claim::Person(kind)) => kind,
        Some(Claim::Token | Claim::Key) => Kind::Key,
        _ => return,
    };
    let start = end + len + gap;
    // The next part begins with its border, or, where that is missing, with its own head.
    let rest = &bytes[start..];
    let next =
        memchr::memmem::find_iter(rest, b"\n").find(|at| rest[at + 1..].starts_with(b"--") || rest[at + 1..].starts_with(b"Content-Disp"));
    let value = &text[start..start + next.unwrap_or(rest.len())];
    if !shadow.walk(value.len()) {
        out.push(Span::new(start, bytes.len(), Kind::Content));
        return;
    }
    let value = value.trim_end_matches(['\r', '\n']);
    if !value.is_empty() && !is_marker(value) && !is_placeholder(value) {
        out.push(Span::new(start, start + value.len(), kind));
    }
}

/// `Private-Lines: 8` and as many lines of a key, as one program keeps it.
fn key_lines(shadow: &Shadow<'_>, _: usize, end: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let Some(start) = window(bytes, end, MAX_HEAD_BYTES).iter().position(|b| *b == b'\n').map(|i| end + i + 1) else { return };
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b'\r' | b' ');
    let len = window(bytes, start, MAX_KEY_BYTES).iter().take_while(|b| is_digit(b)).count();
    // What stops the walk is the next line's name, so its line is not the key's.
    let len = bytes[start..start + len].iter().rposition(|b| *b == b'\n').unwrap_or(len);
    if len >= MIN_CELL_BYTES {
        out.push(Span::new(start, start + len, Kind::Key));
    }
}

/// `<string name="api_key">…</string>`, and `<key>APIKey</key><string>…</string>`.
fn element(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let (text, bytes) = (shadow.text(), shadow.bytes());
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let name = at - bytes[..at].iter().rev().take(MAX_NAME_BYTES).take_while(|b| is_name(b)).count();
    let mut start = end;
    if bytes[at] == b'<' {
        start += window(bytes, end, 32).iter().take_while(|b| b.is_ascii_whitespace()).count();
        if !bytes[start..].starts_with(b"<string>") {
            return;
        }
        start += b"<string>".len();
    } else if !bytes[..name].ends_with(b"name=\"") && !bytes[..name].ends_with(b"key=\"") && !bytes[..name].ends_with(b"name='") {
        return;
    }
    let value = window(bytes, start, MAX_ELEMENT_BYTES);
    let Some(value) = value.iter().position(|b| *b == b'<').and_then(|len| text.get(start..start + len)) else { return };
    let kind = match text.get(name..at).and_then(claim_of) {
        Some(Claim::Strong(kind)) => kind,
        Some(Claim::Token | Claim::Key) if looks_random(value.as_bytes()) && value.len() >= MIN_CELL_BYTES => Kind::Key,
        _ => return,
    };
    if !is_placeholder(value) && !is_marker(value) && !is_number_or_none(value) && !value.trim().is_empty() {
        out.push(Span::new(start, start + value.len(), kind));
    }
}
