//! Keys of vendors that nobody wrote down: tokens whose letters are drawn by lot, capitals, small letters and digits in any order. Words,
//! mangled names and ids of one case are not, and an id or a checksum that is called so stays.

use super::engine::{Kind, Span};
use super::shapes::{is_dense, is_known_id, looks_random};

/// Fewer letters and digits may be an id; more are a file.
const MIN_DRAWN: usize = 28;
const MAX_TOKEN_BYTES: usize = 512;
/// A secret in two or three parts, joined by dots.
const MIN_PARTED_BYTES: usize = 48;
const MIN_PART_BYTES: usize = 6;
/// As far before a token as the name stands that says what it is.
const MAX_NAME_BYTES: usize = 40;
/// As far before a part of an address as the address may begin.
const MAX_URL_BYTES: usize = 512;

const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128u8 {
        table[b as usize] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        b += 1;
    }
    table
};

pub(super) fn find(bytes: &[u8], out: &mut Vec<Span>) {
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|b| IS_TOKEN[usize::from(*b)]) {
        at += next;
        let len = bytes[at..].iter().position(|b| !IS_TOKEN[usize::from(*b)]).unwrap_or(bytes.len() - at);
        if (MIN_DRAWN..=MAX_TOKEN_BYTES).contains(&len) {
            token(bytes, at, at + len, out);
        }
        at += len;
    }
}

fn token(bytes: &[u8], start: usize, end: usize, out: &mut Vec<Span>) {
    let whole = &bytes[start..end];
    if !has_both_cases(whole) || is_known_id(whole) || whole.starts_with(b"sha") || is_part_of_base64(bytes, start, end) {
        return;
    }
    let parts = || whole.split(|b| *b == b'.').filter(|part| !part.is_empty());
    let parted = whole.len() >= MIN_PARTED_BYTES
        && matches!(parts().count(), 2 | 3)
        && parts().all(|part| part.len() >= MIN_PART_BYTES && looks_random(part) && !part.contains(&b'-'))
        && parts().filter(|part| is_dense(part)).count() >= 2;
    if !parted && !parts().any(is_drawn) || is_called_an_id(bytes, start) {
        return;
    }
    if parted || parts().all(|part| part.len() >= MIN_PART_BYTES && looks_random(part)) {
        out.push(Span::new(start, end, Kind::Key));
        return;
    }
    let mut at = start;
    for part in whole.split(|b| *b == b'.') {
        if is_drawn(part) && !is_known_id(part) {
            out.push(Span::new(at, at + part.len(), Kind::Key));
        }
        at += part.len() + 1;
    }
}

fn has_both_cases(token: &[u8]) -> bool {
    token.iter().any(u8::is_ascii_uppercase) && token.iter().any(u8::is_ascii_lowercase)
}

fn is_mixed(token: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| token.iter().filter(|b| is(b)).count();
    count(u8::is_ascii_uppercase) >= 3 && count(u8::is_ascii_lowercase) >= 3 && count(u8::is_ascii_digit) >= 2
}

/// Whether capitals, small letters and digits follow each other as by lot: in six of ten places the next is of another kind, in names in
/// three of ten.
fn is_drawn(token: &[u8]) -> bool {
    let class = |b: u8| (b.is_ascii_uppercase(), b.is_ascii_lowercase());
    let drawn = token.iter().filter(|b| b.is_ascii_alphanumeric()).count();
    let changes = token.windows(2).filter(|w| w.iter().all(u8::is_ascii_alphanumeric) && class(w[0]) != class(w[1])).count();
    drawn >= MIN_DRAWN && is_mixed(token) && changes * 100 >= drawn * 44
}

/// A checksum or a file in base64 goes on behind `+` and `/`. A path of an address does too, and may be a permission.
fn is_part_of_base64(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).map_or(b' ', |i| bytes[i]);
    let slash_is_path = || {
        let from = start.saturating_sub(MAX_URL_BYTES);
        let address = bytes[from..start].iter().rposition(|b| b.is_ascii_whitespace()).map_or(from, |i| from + i + 1);
        memchr::memmem::find(&bytes[address..start], b"://").is_some()
    };
    let behind = bytes.get(end).copied().unwrap_or(b' ');
    before == b'+' || before == b'/' && !slash_is_path() || behind == b'+' || behind == b'/' && !slash_is_path()
}

/// `request id: …`, `"digest":"…"`, `etag=…`, `流水号 …`.
fn is_called_an_id(bytes: &[u8], start: usize) -> bool {
    const ENDS: [&str; 21] = [
        "id",
        "ids",
        "hash",
        "digest",
        "checksum",
        "etag",
        "integrity",
        "sha256",
        "sha512",
        "md5",
        "h1",
        "ray",
        "trace",
        "fingerprint",
        "revision",
        "cursor",
        "编号",
        "单号",
        "流水号",
        "号",
        "标识",
    ];
    let before = &bytes[start.saturating_sub(MAX_NAME_BYTES)..start];
    let signs = before
        .iter()
        .rev()
        .take_while(|b| matches!(b, b' ' | b'\t' | b':' | b'=' | b'"' | b'\'' | b'`' | b'(' | b'[' | b'>' | b'#' | b'\\'))
        .count();
    let name = &before[..before.len() - signs];
    let is_border = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_lowercase());
    ENDS.iter().any(|end| {
        let head = name.len().checked_sub(end.len());
        head.is_some_and(|head| {
            let tail = &name[head..];
            // `requestId`, `request_id`, `uploadid`; not `valid`, `paid`, `grid`.
            tail.eq_ignore_ascii_case(end.as_bytes())
                && (!end.is_ascii()
                    || is_border(head.checked_sub(1).map(|i| &name[i]))
                    || tail.starts_with(b"I")
                    || name.ends_with(b"uploadid"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> bool {
        let mut out = Vec::new();
        find(text.as_bytes(), &mut out);
        !out.is_empty()
    }

    #[test]
    fn r41_a_token_drawn_by_lot_is_a_key_whatever_its_vendor() {
        for text in [
            "nobody_Rq7Zt2Lx12345678Yk9Wv4Nc3Bm8Hd",
            "MTIzNDU2Nzg5MDEyMzQ1Njc4.GxYzAb.Fd6hOvkMHkDiKwZl312345678hmLzUum5Eq",
            "https://hooks.example.com/in/aB3dE5fG7hJ912345678kL2mN4pQ6rS8",
            "patSjYh12345678rh.412345678b3a8b834589546de399f464fd164d85d62c2fa7",
        ] {
            assert!(hidden(text), "{text}");
        }
    }

    #[test]
    fn r41_what_only_looks_drawn_stays() {
        for text in [
            "request_id: aB3dE5fG7hJ912345678kL2mN4pQ6rS8",
            "(request id: 20250423020142736330894dLoIRrS6)",
            "流水号 aB3dE5fG7hJ912345678kL2mN4pQ6rS8",
            "sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1tvj5FvSg==",
            "h1:aB3dE5fG7hJ912345678kL2mN4pQ6rS8tU0vW1xY2z=",
            "_ZN4core3fmt9Formatter12debug_struct17h1234567890abcdefE",
            "UTF8JsonStreamReaderV2WithHttp2AndTls13SupportFactory",
            "DeepSeek-R1-Distill-Qwen-32B-Q4_K_M-GGUF-2025",
            "chatcmpl-aB3dE5fG7hJ912345678kL2mN4pQ6rS8",
        ] {
            assert!(!hidden(text), "{text}");
        }
    }
}
