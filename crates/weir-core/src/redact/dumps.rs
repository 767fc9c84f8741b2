//! Bytes as tools dump them, in hex, alone or beside their letters: what went over a wire, so prompts and headers, too broken up for any
//! other rule. The offsets stay, the bytes go. A few bytes that are no text stay too: they tell what kind of file something is.

use memchr::memchr_iter;

use super::encoded::is_secret_text;
use super::engine::{Kind, Span};

/// A line of a dump begins within so many blanks and shows so many bytes at least.
const MAX_INDENT_BYTES: usize = 8;
const MIN_SHOWN: usize = 8;
/// Longest line of any tool: 32 bytes in hex and in letters.
const MAX_LINE_BYTES: usize = 200;
/// More bytes than these that are no text may be a body that is only compressed.
const MAX_HARMLESS_BYTES: usize = 64;
/// Hex without offsets: as many pairs may hold a key, and so many are looked at.
const MIN_PAIRS: usize = 16;
const MAX_PAIRS: usize = 2048;

/// Lines of one dump.
#[derive(Default)]
struct Block {
    spans: Vec<Span>,
    shown: Vec<u8>,
    ends: usize,
}

impl Block {
    fn close(&mut self, out: &mut Vec<Span>) {
        let block = std::mem::take(self);
        if block.shown.len() > MAX_HARMLESS_BYTES || is_text(&block.shown) {
            out.extend(block.spans);
        }
    }
}

pub(super) fn find(bytes: &[u8], out: &mut Vec<Span>) {
    let mut block = Block::default();
    for start in std::iter::once(0).chain(memchr_iter(b'\n', bytes).map(|at| at + 1)) {
        let mut shown = Vec::new();
        let Some(span) = line(bytes, start, &mut shown) else { continue };
        if block.ends + 2 < start {
            block.close(out);
        }
        block.ends = span.end;
        block.spans.push(span);
        block.shown.append(&mut shown);
    }
    block.close(out);
    pairs(bytes, out);
}

/// `00000010  65 61 72 …  |ear…|`, `00000010: 6561 7265 …  ear…`, `\t0x0010:  6561 …`. Adds its bytes to `shown`.
fn line(bytes: &[u8], start: usize, shown: &mut Vec<u8>) -> Option<Span> {
    let mut at = start + bytes[start..].iter().take(MAX_INDENT_BYTES).take_while(|b| b.is_ascii_whitespace() && **b != b'\n').count();
    if bytes[at..].starts_with(b"0x") {
        at += 2;
    }
    let offset = hex(&bytes[at..], 9);
    let begin = at + offset + usize::from(bytes.get(at + offset) == Some(&b':'));
    if !(4..=8).contains(&offset) || bytes.get(begin) != Some(&b' ') {
        return None;
    }
    let mut end = begin;
    loop {
        let blanks = bytes[end..].iter().take(4).take_while(|b| matches!(b, b' ' | b'-')).count();
        let digits = hex(&bytes[end + blanks..], 9);
        if blanks == 0 || !matches!(digits, 2 | 4 | 8) {
            break;
        }
        shown.extend(bytes[end + blanks..end + blanks + digits].chunks(2).map(octet));
        end += blanks + digits;
    }
    if shown.len() < MIN_SHOWN {
        return None;
    }
    let rest = bytes[end..].iter().take(MAX_LINE_BYTES).take_while(|b| !matches!(b, b'\n' | b'\r')).count();
    Some(Span::new(begin + 1, end + rest, Kind::Content))
}

/// `73 6b 2d …`, `0x73, 0x6b, …`, `73:6b:2d:…`: pairs that spell a secret.
fn pairs(bytes: &[u8], out: &mut Vec<Span>) {
    let mut from = 0;
    for sign in memchr::memchr3_iter(b' ', b':', b',', bytes) {
        if sign < from.max(2) || hex(&bytes[sign - 2..], 3) != 2 || sign > 2 && bytes[sign - 3].is_ascii_hexdigit() {
            continue;
        }
        let start = sign - 2;
        let (end, shown) = spelt(bytes, start);
        from = end.max(sign + 1);
        if shown.len() >= MIN_PAIRS && is_text(&shown) && is_secret_text(&shown) {
            out.push(Span::new(start, end, Kind::Key));
        }
    }
}

/// Pairs from `at` on, however they are parted.
fn spelt(bytes: &[u8], start: usize) -> (usize, Vec<u8>) {
    let (mut at, mut end, mut shown) = (start, start, Vec::new());
    while shown.len() < MAX_PAIRS && hex(&bytes[at..], 3) == 2 {
        shown.push(octet(&bytes[at..at + 2]));
        end = at + 2;
        let parting = bytes[end..].iter().take(4).take_while(|b| matches!(b, b' ' | b':' | b',' | b'\n')).count();
        at = end + parting;
        at += if bytes[at..].starts_with(b"0x") { 2 } else { 0 };
        if parting == 0 {
            break;
        }
    }
    (end, shown)
}

/// Letters and signs for the most part, in any language.
fn is_text(shown: &[u8]) -> bool {
    let text = String::from_utf8_lossy(shown);
    let readable = text.chars().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER || matches!(c, '\n' | '\r' | '\t')).count();
    readable * 4 >= text.chars().count() * 3
}

fn octet(pair: &[u8]) -> u8 {
    pair.iter().fold(0, |sum, b| sum << 4 | char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0))
}

fn hex(bytes: &[u8], max: usize) -> usize {
    bytes.iter().take(max).take_while(|b| b.is_ascii_hexdigit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> bool {
        let mut out = Vec::new();
        find(text.as_bytes(), &mut out);
        !out.is_empty()
    }

    fn dump(bytes: &[u8]) -> String {
        bytes
            .chunks(16)
            .enumerate()
            .map(|(i, row)| format!("{:08x}  {}\n", i * 16, row.iter().map(|b| format!("{b:02x} ")).collect::<String>()))
            .collect()
    }

    #[test]
    fn r41_a_dump_of_text_or_of_a_long_body_is_hidden_and_a_few_bytes_that_are_none_stay() {
        assert!(hidden(&dump(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n")));
        assert!(hidden(&dump("今天天气怎么样，帮我写一首诗".as_bytes())));
        let unreadable: Vec<u8> = (0..200u8).map(|i| i.wrapping_mul(97) | 0x80).collect();
        assert!(hidden(&dump(&unreadable)));
        assert!(!hidden(&dump(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7])));
    }

    #[test]
    fn r41_pairs_of_hex_that_spell_a_key_are_hidden_and_a_fingerprint_stays() {
        let pairs = |sign: &str| "sk-12345678aBcDeFgHiJkLmNoPqRs".bytes().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(sign);
        for sign in [" ", ":", ", 0x"] {
            assert!(hidden(&format!("bytes: {}", pairs(sign))), "{sign}");
        }
        assert!(!hidden(
            "SHA256 Fingerprint=9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C:15:B0:F0:0A:08"
        ));
        assert!(!hidden("00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19"));
    }
}
