//! Secrets inside runs of base64 or hex: a vendor's key wherever it begins, and a whole text in which a name claims a secret.

use super::engine::{Audience, Kind, Span};
use super::names;
use super::normalise::Shadow;
use super::shapes::{Border, find_in};

/// Base64 and hex runs shorter than this hold no whole key.
const MIN_ENCODED_BYTES: usize = 24;
/// Encoded runs are looked into up to this many bytes; a file in base64 is content, not a key.
const MAX_ENCODED_BYTES: usize = 16 * 1024;

/// Runs of base64 or hex that decode to something with a key in it.
pub(super) fn find(bytes: &[u8], out: &mut Vec<Span>) {
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|b| IS_BASE64[usize::from(*b)]) {
        at += next;
        let len = bytes[at..].iter().position(|b| !IS_BASE64[usize::from(*b)]).unwrap_or(bytes.len() - at);
        let token = &bytes[at..at + len];
        // `payload=…`: what stands before a sign that only ends base64 is a name.
        let digits = token.iter().rev().skip_while(|b| **b == b'=').take_while(|b| **b != b'=').count();
        let name = token.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1 - digits);
        if (MIN_ENCODED_BYTES..=MAX_ENCODED_BYTES).contains(&len) && (hides_key(token) || name > 0 && hides_key(&token[name..])) {
            out.push(Span::new(at, at + len, Kind::Key));
        }
        at += len;
    }
}

const IS_BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128u8 {
        table[b as usize] = b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'=');
        b += 1;
    }
    table
};

/// Whether decoded bytes hold a vendor's key or name a secret.
pub(super) fn is_secret_text(plain: &[u8]) -> bool {
    let mut spans = Vec::new();
    find_in(plain, Border::Free, &mut spans);
    !spans.is_empty() || names_a_secret(plain)
}

fn hides_key(token: &[u8]) -> bool {
    if token.len().is_multiple_of(2) && token.iter().all(u8::is_ascii_hexdigit) {
        let plain: Vec<u8> = token.chunks(2).map(|two| nibble(two[0]) << 4 | nibble(two[1])).collect();
        return is_secret_text(&plain);
    }
    // A key may start at any of four places inside a group of four.
    (0..4).any(|skip| is_secret_text(&decode_base64(token.get(skip..).unwrap_or_default())))
}

/// A text, not bytes, in which a name claims a secret: a file or a body in base64.
fn names_a_secret(plain: &[u8]) -> bool {
    let readable = |b: &u8| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t' | 0x80..);
    if !plain.iter().all(readable) || !plain.iter().any(|b| matches!(b, b':' | b'=')) {
        return false;
    }
    let Ok(text) = std::str::from_utf8(plain) else { return false };
    let mut spans = Vec::new();
    names::find(&Shadow::of(text), Audience::Support, &mut spans);
    spans.iter().any(|s| matches!(s.kind, Kind::Key | Kind::Auth | Kind::Cookie | Kind::Content))
}

fn nibble(b: u8) -> u8 {
    match b {
        b'0'..=b'9' => b - b'0',
        b'a'..=b'f' => b - b'a' + 10,
        _ => b.wrapping_sub(b'A').wrapping_add(10) & 15,
    }
}

fn decode_base64(token: &[u8]) -> Vec<u8> {
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::with_capacity(token.len() * 3 / 4));
    for b in token {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 255) as u8);
        }
    }
    out
}
