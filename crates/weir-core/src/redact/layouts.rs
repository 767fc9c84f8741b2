//! Values whose names stand apart from them by the layout of a file: the parts of a form, the rows of a table in SQL, the elements of XML.

use super::engine::{Kind, Span};
use super::judge::{is_marker, is_number_or_none, is_placeholder};
use super::normalise::Shadow;
use super::shapes::{is_known_id, looks_random};
use super::triggers::{Trigger, trigger, window};
use super::words::{Claim, MAX_NAME_BYTES, claim_of};

pub(super) const TRIGGERS: [Trigger; 3] =
    [trigger(&["form-data;"], part), trigger(&["values"], row), trigger(&["</key>", "\">", "'>"], element)];

/// The headers of a part, the columns of a table.
const MAX_HEAD_BYTES: usize = 1024;
/// A row in SQL.
const MAX_ROW_BYTES: usize = 2048;
/// Shorter strings in a row are states and names.
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

/// `INSERT INTO channels (id, key) VALUES (1, '…')`: with a secret among the columns, no string that looks random may stay.
fn row(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let before = &bytes[at.saturating_sub(MAX_HEAD_BYTES)..at];
    let Some(open) = before.iter().rposition(|b| *b == b'(').filter(|_| before.trim_ascii_end().ends_with(b")")) else { return };
    let columns = String::from_utf8_lossy(&before[open..]).into_owned();
    let holds = columns
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|name| matches!(claim_of(name), Some(Claim::Strong(_) | Claim::Token | Claim::Key)));
    if !holds {
        return;
    }
    let row = window(bytes, end, MAX_ROW_BYTES);
    let row = &row[..row.iter().position(|b| matches!(b, b'\n' | b';')).unwrap_or(row.len())];
    let mut from = 0;
    while let Some(open) = row[from..].iter().position(|b| matches!(b, b'\'' | b'"')).map(|i| from + i + 1) {
        let len = row[open..].iter().position(|b| *b == row[open - 1]).unwrap_or(row.len() - open);
        let cell = &row[open..open + len];
        if len >= MIN_CELL_BYTES && looks_random(cell) && !is_known_id(cell) && !cell.contains(&b' ') && !cell.starts_with(b"[REDACTED") {
            out.push(Span::new(end + open, end + open + len, Kind::Key));
        }
        from = (open + len + 1).min(row.len());
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
    let value = window(bytes, start, MAX_ROW_BYTES);
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
