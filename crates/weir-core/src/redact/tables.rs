//! Secrets in tables: the rows of an INSERT, and what stands in columns below a heading that names a secret.

use std::ops::Range;

use super::engine::{Kind, Span};
use super::judge::{is_marker, is_number_or_none, is_placeholder, is_plain_word};
use super::normalise::Shadow;
use super::shapes::{is_known_id, looks_random};
use super::triggers::{Trigger, trigger, window};
use super::words::{Claim, claim_of, claim_of_han};

pub(super) const TRIGGERS: [Trigger; 2] =
    [trigger(&["values"], rows), trigger(&["key", "token", "secret", "password", "passwd", "密钥", "秘钥", "令牌", "密码"], headed)];

/// The columns of an INSERT, and its rows.
const MAX_HEAD_BYTES: usize = 1024;
const MAX_ROWS_BYTES: usize = 8 * 1024;
/// A line of headings before and behind the word that names a secret.
const MAX_HEADING_BYTES: usize = 512;
/// Shorter strings are states and names.
const MIN_CELL_BYTES: usize = 12;
const MIN_PASSWORD_BYTES: usize = 6;
/// How often each byte below a heading is looked at.
const LOOKS: usize = 8;

/// `INSERT INTO channels (id, key) VALUES (1, '…'), (2, '…')`.
fn rows(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let (text, bytes) = (shadow.text(), shadow.bytes());
    let before = &bytes[at.saturating_sub(MAX_HEAD_BYTES)..at];
    let Some(open) = before.iter().rposition(|b| *b == b'(').filter(|_| before.trim_ascii_end().ends_with(b")")) else { return };
    let columns = String::from_utf8_lossy(&before[open..]).into_owned();
    let sign = |c: char| !c.is_alphanumeric() && c != '_';
    let claims: Vec<Option<Claim>> = columns.split(',').map(|name| claim_of(name.trim_matches(sign))).collect();
    if claims.iter().all(Option::is_none) {
        return;
    }
    let mut column = 0;
    let mut next = end;
    let last = bytes.len().min(end + MAX_ROWS_BYTES);
    while next < last {
        match bytes[next] {
            b';' => break,
            b'(' => column = 0,
            b',' => column += 1,
            quote @ (b'\'' | b'"') => {
                let close = string_end(bytes, next + 1, last, quote);
                let cell = next + 1..close;
                if let (Some(claim), Some(value)) = (claims.get(column).copied().flatten(), text.get(cell.clone()))
                    && let Some(kind) = hides(claim, value)
                {
                    out.push(Span::new(cell.start, cell.end, kind));
                }
                next = close;
            }
            _ => {}
        }
        next += 1;
    }
    if !shadow.walk(next.saturating_sub(end)) {
        out.push(Span::new(at, bytes.len(), Kind::Content));
    }
}

/// The quote that closes a string; two of them are one inside it.
fn string_end(bytes: &[u8], from: usize, last: usize, quote: u8) -> usize {
    let mut at = from;
    while at < last && (bytes[at] != quote || bytes.get(at + 1) == Some(&quote)) {
        at += if bytes[at] == quote { 2 } else { 1 };
    }
    at.min(last)
}

fn hides(claim: Claim, value: &str) -> Option<Kind> {
    if value.trim().is_empty() || is_placeholder(value) || is_marker(value) || value.starts_with("[REDACTED") {
        return None;
    }
    match claim {
        Claim::Strong(kind) => Some(kind),
        Claim::Person(kind) if !is_number_or_none(value) || value.len() >= MIN_PASSWORD_BYTES => Some(kind),
        Claim::Content | Claim::QuotedContent if value.contains(' ') || !value.is_ascii() || value.len() >= MIN_CELL_BYTES => {
            Some(Kind::Content)
        }
        Claim::Token | Claim::Key if value.len() >= MIN_CELL_BYTES && looks_random(value.as_bytes()) && !is_known_id(value.as_bytes()) => {
            Some(Kind::Key)
        }
        _ => None,
    }
}

/// `name,api_key,status` and the lines below; also with tabs, bars, or blanks between the columns.
fn headed(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    if !matches!(bytes.get(end), Some(b',' | b'\t' | b'|' | b' ' | b'\n' | b'\r' | b'"' | 0xe2)) {
        return;
    }
    let before = &bytes[at.saturating_sub(MAX_HEADING_BYTES)..at];
    let start = at - before.iter().rev().take_while(|b| **b != b'\n').count();
    let Some(line) = window(bytes, end, MAX_HEADING_BYTES).iter().position(|b| *b == b'\n').map(|i| start..end + i) else { return };
    // A line of headings has words in it and nothing else.
    if bytes[line.clone()].iter().any(|b| b.is_ascii_digit() || matches!(b, b'=' | b':' | b'{' | b'(' | b';' | b'[')) {
        return;
    }
    let Some(border) = border(&bytes[line.clone()]) else { return };
    let headings = cells(bytes, line.clone(), border);
    // `error code    invalid_api_key` is a name and its value, one of many below each other.
    if border == Border::Blanks && headings.len() < 3 {
        return;
    }
    let Some(column) = headings.iter().position(|cell| cell.contains(&at)) else { return };
    let claim = shadow.text().get(headings[column].clone()).and_then(|name| claim_of_han(name).or_else(|| claim_of(name)));
    let Some(claim @ (Claim::Strong(_) | Claim::Token | Claim::Key)) = claim else { return };
    let mut next = line.end + 1;
    let last = bytes.len().min(next + MAX_ROWS_BYTES);
    while next < last {
        let stop = bytes[next..last].iter().position(|b| *b == b'\n').map_or(last, |i| next + i);
        let row = cells(bytes, next..stop, border);
        if bytes[next..stop].trim_ascii().is_empty() || row.len() == 1 {
            break;
        }
        let is_heading = |i: usize| bytes.get(row[i].clone()) == bytes.get(headings[i].clone());
        if row.len() == headings.len() && is_heading(column) {
            return;
        }
        if row.len() == headings.len() {
            let value = shadow.text().get(row[column].clone()).unwrap_or_default();
            let is_strong = matches!(claim, Claim::Strong(_)) && value.len() >= MIN_PASSWORD_BYTES && looks_random(value.as_bytes());
            let kind = hides(claim, value).filter(|_| !matches!(claim, Claim::Strong(_)) || is_strong);
            if let Some(kind) = kind.filter(|_| !is_plain_word(value) && !is_known_id(value.as_bytes()) && !value.contains(' ')) {
                out.push(Span::new(row[column].start, row[column].end, kind));
            }
        }
        // Each byte of a row is looked at for its border, its cell and what it holds.
        if !shadow.walk((stop - next).saturating_mul(LOOKS)) {
            out.push(Span::new(next, bytes.len(), Kind::Content));
            return;
        }
        next = stop + 1;
    }
}

/// What parts the columns of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Border {
    Sign(u8),
    Frame,
    Blanks,
}

fn border(line: &[u8]) -> Option<Border> {
    if let Some(sign) = [b'\t', b'|', b','].into_iter().find(|sign| line.contains(sign)) {
        return Some(Border::Sign(sign));
    }
    if memchr::memmem::find(line, "│".as_bytes()).is_some() {
        return Some(Border::Frame);
    }
    memchr::memmem::find(line.trim_ascii(), b"  ").is_some().then_some(Border::Blanks)
}

/// The cells of a line, blanks and quotes left out.
fn cells(bytes: &[u8], line: Range<usize>, border: Border) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut at) = (line.start, line.start);
    let line_end = line.end;
    let mut quoted = false;
    while at < line_end {
        // A comma in quotes parts nothing.
        quoted ^= border == Border::Sign(b',') && bytes[at] == b'"';
        if quoted {
            at += 1;
            continue;
        }
        let len = match border {
            Border::Sign(sign) => usize::from(bytes[at] == sign),
            Border::Frame if bytes[at..line_end].starts_with("│".as_bytes()) => "│".len(),
            Border::Frame => 0,
            Border::Blanks => Some(bytes[at..line_end].iter().take_while(|b| **b == b' ').count()).filter(|n| *n > 1).unwrap_or(0),
        };
        if len > 0 && !(border == Border::Blanks && at == start) {
            found.push(trimmed(bytes, start..at));
        }
        start = if len > 0 { at + len } else { start };
        at += len.max(1);
    }
    if start < line_end || border != Border::Blanks {
        found.push(trimmed(bytes, start..line_end));
    }
    found
}

fn trimmed(bytes: &[u8], cell: Range<usize>) -> Range<usize> {
    let is_edge = |b: &&u8| matches!(**b, b' ' | b'\t' | b'\r' | b'"' | b'\'' | b'`' | b'*');
    let start = cell.start + bytes[cell.clone()].iter().take_while(is_edge).count();
    let tail = bytes[start..cell.end].iter().rev().take_while(is_edge).count();
    start..cell.end - tail
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Audience, Redactor};

    fn redacted(text: &str) -> String {
        Redactor::default().redact(text, Audience::Support).into_string()
    }

    #[test]
    fn r41_a_row_loses_what_its_columns_call_secret_and_nothing_else() {
        assert_eq!(
            redacted(
                "INSERT INTO c (id, name, key, model, made) VALUES (1, 'prod-2', '12345678aabbccdd', 'gpt-4o-mini-2024-07-18', '20250601100000'), (2, 'dev', 'ab12345678cdef', 'qwen2.5-72b-instruct', '');"
            ),
            "INSERT INTO c (id, name, key, model, made) VALUES (1, 'prod-2', '[REDACTED:key]', 'gpt-4o-mini-2024-07-18', '20250601100000'), (2, 'dev', '[REDACTED:key]', 'qwen2.5-72b-instruct', '');"
        );
        assert_eq!(
            redacted("INSERT INTO messages (role, content) VALUES ('user', 'it''s about, (well) Mr Brown');"),
            "INSERT INTO messages (role, content) VALUES ('user', '[REDACTED:content]');"
        );
    }

    #[test]
    fn r41_a_column_below_a_secret_s_name_is_hidden_whatever_parts_it() {
        for (before, behind) in [
            ("prod,", ",active"),
            ("prod\t", "\tactive"),
            ("| prod | ", " | active |"),
            ("prod    ", "  active"),
            ("│ prod │ ", " │ active │"),
        ] {
            let text = format!("{}\n{before}ab12345678cdef{behind}\n", format!("{before}api_key{behind}").replace("prod", "name"));
            let wanted = text.replace("ab12345678cdef", "[REDACTED:key]");
            assert_eq!(redacted(&text), wanted);
        }
        for harmless in [
            "name,primary_key,status\nprod,ab12345678cdef,active\n",
            "  error code    invalid_api_key\n  evidence      WEV-NY8A-VFHY-ZQ4P\n",
        ] {
            assert_eq!(redacted(harmless), harmless);
        }
    }
}
