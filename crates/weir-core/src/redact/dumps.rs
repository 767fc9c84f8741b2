//! Bytes as tools dump them, in hex and letters side by side: what went over a wire, so prompts and headers, too broken up for any
//! other rule. The offsets stay, the bytes go.

use memchr::memchr_iter;

use super::engine::{Kind, Span};

/// A line of a dump begins within so many blanks and shows so many bytes at least.
const MAX_INDENT_BYTES: usize = 8;
const MIN_SHOWN: usize = 8;
/// Longest line of any tool: 32 bytes in hex and in letters.
const MAX_LINE_BYTES: usize = 200;

pub(super) fn find(bytes: &[u8], out: &mut Vec<Span>) {
    line(bytes, 0, out);
    for at in memchr_iter(b'\n', bytes) {
        line(bytes, at + 1, out);
    }
}

/// `00000010  65 61 72 …  |ear…|`, `00000010: 6561 7265 …  ear…`, `\t0x0010:  6561 …`.
fn line(bytes: &[u8], start: usize, out: &mut Vec<Span>) {
    let mut at = start + bytes[start..].iter().take(MAX_INDENT_BYTES).take_while(|b| b.is_ascii_whitespace()).count();
    if bytes[at..].starts_with(b"0x") {
        at += 2;
    }
    let offset = hex(&bytes[at..], 9);
    let shown = at + offset + usize::from(bytes.get(at + offset) == Some(&b':'));
    if !(4..=8).contains(&offset) || bytes.get(shown) != Some(&b' ') {
        return;
    }
    let mut end = shown;
    let mut count = 0;
    loop {
        let blanks = bytes[end..].iter().take(4).take_while(|b| matches!(b, b' ' | b'-')).count();
        let digits = hex(&bytes[end + blanks..], 9);
        if blanks == 0 || !matches!(digits, 2 | 4 | 8) {
            break;
        }
        count += digits / 2;
        end += blanks + digits;
    }
    if count < MIN_SHOWN {
        return;
    }
    let rest = bytes[end..].iter().take(MAX_LINE_BYTES).take_while(|b| !matches!(b, b'\n' | b'\r')).count();
    out.push(Span::new(shown + 1, end + rest, Kind::Content));
}

fn hex(bytes: &[u8], max: usize) -> usize {
    bytes.iter().take(max).take_while(|b| b.is_ascii_hexdigit()).count()
}
