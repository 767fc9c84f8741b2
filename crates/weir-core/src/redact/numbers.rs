//! Numbers that name people and machines: telephones, identities, cards, addresses on the net. One walk finds where a number begins;
//! its first digits tell which patterns are worth trying there.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::credential::bot_token;
use super::engine::{Kind, Span};
use super::triggers::{at_place, begins_word, window};

/// Longer than any number looked for, with its separators.
const WINDOW_BYTES: usize = 64;
const MAX_IPV6_TAIL_BYTES: usize = 40;
/// Fewest digits of a card.
const CARD_DIGITS: usize = 13;

type Pattern = LazyLock<Option<Regex>>;

static MOBILE: Pattern = LazyLock::new(|| at_place(r"(?-u)(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:[0-9]{8}|[ -][0-9]{4}[ -][0-9]{4})"));
static LANDLINE: Pattern = LazyLock::new(|| at_place(r"(?-u)(?:\(0[0-9]{2,3}\) ?|0[0-9]{2,3}-)[1-9][0-9]{6,7}|400-[0-9]{3}-[0-9]{4}"));
static INTERNATIONAL: Pattern = LazyLock::new(|| {
    at_place(
        r"(?-u)\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,4}\)?){2,5}|\([2-9][0-9]{2}\) ?[0-9]{3}[-.][0-9]{4}|[2-9][0-9]{2}[-.][2-9][0-9]{2}[-.][0-9]{4}",
    )
});
static IDENTITY: Pattern = LazyLock::new(|| {
    at_place(
        r"(?-u)[1-9][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]|[0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{6}-[1-8][0-9]{6}|[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}",
    )
});
static CARD: Pattern = LazyLock::new(|| at_place(r"(?-u)[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}"));
static IPV4: Pattern =
    LazyLock::new(|| at_place(r"(?-u)(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"));

pub(super) fn find(bytes: &[u8], out: &mut Vec<Span>) {
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        at = match b {
            b'0'..=b'9' => {
                let count = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                digits(bytes, at, count, out);
                at + count
            }
            b'+' => {
                try_at(&INTERNATIONAL, bytes, at, Kind::Phone, is_international, out);
                try_at(&MOBILE, bytes, at, Kind::Phone, is_number, out);
                at + 1
            }
            b'(' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                try_at(&INTERNATIONAL, bytes, at, Kind::Phone, is_international, out);
                try_at(&LANDLINE, bytes, at, Kind::Phone, is_number, out);
                at + 1
            }
            b':' => ipv6(bytes, at, out),
            _ => at + 1,
        };
    }
}

/// A run of `count` digits at `at`.
fn digits(bytes: &[u8], at: usize, count: usize, out: &mut Vec<Span>) {
    let next = bytes.get(at + count).copied().unwrap_or(b' ');
    if next == b':' && (8..=10).contains(&count) {
        bot_token(bytes, at, count, out);
    }
    if !begins_word(bytes, at) {
        return;
    }
    let first = bytes[at];
    if count <= 3 && next == b'.' {
        try_at(&IPV4, bytes, at, Kind::Ip, is_ipv4, out);
    }
    if count >= 11 || matches!(count, 2..=5) && matches!(next, b' ' | b'-') {
        try_at(&MOBILE, bytes, at, Kind::Phone, is_number, out);
    }
    if matches!(count, 3 | 4) && next == b'-' {
        try_at(&LANDLINE, bytes, at, Kind::Phone, is_number, out);
    }
    if count == 3 && matches!(next, b'-' | b'.') {
        try_at(&INTERNATIONAL, bytes, at, Kind::Phone, is_international, out);
    }
    if count >= 17 || count == 3 && matches!(next, b'-' | b'.') || count == 6 && next == b'-' {
        try_at(&IDENTITY, bytes, at, Kind::Id, is_number, out);
    }
    if matches!(first, b'2'..=b'6') && count >= 4 && has_card_digits(bytes, at) {
        try_at(&CARD, bytes, at, Kind::Id, is_card, out);
    }
}

fn has_card_digits(bytes: &[u8], at: usize) -> bool {
    let run = window(bytes, at, WINDOW_BYTES).iter().take_while(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-'));
    run.filter(|b| b.is_ascii_digit()).nth(CARD_DIGITS - 1).is_some()
}

fn try_at(pattern: &Pattern, bytes: &[u8], at: usize, kind: Kind, fits: fn(&[u8], usize, usize) -> bool, out: &mut Vec<Span>) {
    let Some(found) = pattern.as_ref().and_then(|p| p.find(window(bytes, at, WINDOW_BYTES))) else { return };
    let end = at + found.end();
    if fits(bytes, at, end) {
        out.push(Span::new(at, end, kind));
    }
}

/// An address around the colon at `colon`, its first one; where to look on.
fn ipv6(bytes: &[u8], colon: usize, out: &mut Vec<Span>) -> usize {
    let hex = |window: &[u8]| window.iter().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
    let start = colon - bytes[..colon].iter().rev().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
    let second = colon + 1 + hex(&bytes[colon + 1..]);
    if bytes.get(second) != Some(&b':') {
        return colon + 1;
    }
    let tail = bytes[second + 1..].iter().take(MAX_IPV6_TAIL_BYTES).take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
    let end = second + 1 + tail.count();
    if is_ipv6(bytes, start, end) {
        out.push(Span::new(start, end, Kind::Ip));
        return end;
    }
    colon + 1
}

/// The bytes before and behind; a space where there is none.
fn around(bytes: &[u8], start: usize, end: usize) -> (u8, u8) {
    let before = start.checked_sub(1).map_or(b' ', |i| bytes[i]);
    (before, bytes.get(end).copied().unwrap_or(b' '))
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// Not a part of an id, a decimal fraction or a longer number.
fn is_number(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = around(bytes, start, end);
    let fraction = behind == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    !is_word(before) && !matches!(before, b'-' | b'.' | b'$' | b'#') && !is_word(behind) && behind != b'-' && !fraction
}

fn is_international(bytes: &[u8], start: usize, end: usize) -> bool {
    let digits = bytes[start..end].iter().filter(|b| b.is_ascii_digit()).count();
    let (before, behind) = around(bytes, start, end);
    let plus = bytes[start] == b'+';
    // `+08:00` is a zone, `1+2025` a sum, `2e+10` a number.
    (if plus { (9..=15).contains(&digits) } else { digits == 10 })
        && !is_word(before)
        && !matches!(before, b'-' | b'.')
        && !is_word(behind)
        && behind != b'-'
}

fn is_card(bytes: &[u8], start: usize, end: usize) -> bool {
    let digits: Vec<u32> = bytes[start..end].iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0')).collect();
    let lead = digits.iter().take(4).fold(0, |sum, d| sum * 10 + d);
    let issuer = match digits.len() {
        13 | 19 if lead / 1000 == 4 => true,
        14 => matches!(lead / 100, 30 | 36 | 38),
        15 => matches!(lead / 100, 34 | 37),
        16 => lead / 1000 == 4 || matches!(lead / 100, 51..=55 | 62 | 65 | 35) || lead == 6011 || (2221..=2720).contains(&lead),
        17..=19 => lead / 100 == 62,
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 1 {
                let twice = d * 2;
                twice / 10 + twice % 10
            } else {
                *d
            }
        })
        .sum();
    issuer && sum.is_multiple_of(10) && is_number(bytes, start, end)
}

/// Loopback tells nothing; `Chrome/120.0.0.0` and `v1.2.3.4` are versions.
fn is_ipv4(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = around(bytes, start, end);
    let text = &bytes[start..end];
    let longer = behind == b'.' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    let version =
        before == b'/' && start >= 2 && bytes[start - 2] != b'/' || bytes[start.saturating_sub(8)..start].eq_ignore_ascii_case(b"version ");
    !is_word(before)
        && !matches!(before, b'.' | b'-')
        && !is_word(behind)
        && !longer
        && !version
        && !text.starts_with(b"127.")
        && text != b"0.0.0.0"
}

/// Real addresses have digits and several groups; `std::de` and `10:31:02` have not.
fn is_ipv6(bytes: &[u8], start: usize, end: usize) -> bool {
    let (before, behind) = around(bytes, start, end);
    let text = std::str::from_utf8(&bytes[start..end]).unwrap_or_default().trim_end_matches(['.', ':']);
    if !text.contains("::") && text.bytes().filter(|b| *b == b':').count() < 6 {
        return false;
    }
    let groups = text.split(':').filter(|g| !g.is_empty()).count();
    let long =
        groups >= 4 || ["fe80", "fc", "fd", "20", "24", "26", "2a"].iter().any(|p| text.to_ascii_lowercase().starts_with(p)) && groups >= 2;
    !is_word(before)
        && before != b':'
        && !is_word(behind)
        && long
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.parse::<Ipv6Addr>().is_ok_and(|ip| !ip.is_loopback())
}
