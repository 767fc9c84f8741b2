//! Personal data: mail addresses and ids that name a person or an account. Numbers and sums have files of their own.

use std::sync::LazyLock;

use memchr::memchr_iter;
use regex::bytes::Regex;

use super::engine::{Audience, Kind, Span};
use super::normalise::Shadow;
use super::triggers::{Rule, Trigger, at_place, trigger, window};

/// A mail address before and behind its `@`.
const MAX_LOCAL_BYTES: usize = 64;
const MAX_DOMAIN_BYTES: usize = 576;

const fn for_public(words: &'static [&'static str], rule: Rule) -> Trigger {
    Trigger { words, rule, audience: Some(Audience::Public) }
}

pub(super) const TRIGGERS: [Trigger; 5] = [
    trigger(&["iban", "aadhaar", "nhs number"], labelled),
    trigger(&["wxid_"], |shadow, start, end, out| id(shadow.bytes(), start, end, (5, 40), b"_-", out)),
    trigger(&["org-", "proj_", "user-"], |shadow, start, end, out| id(shadow.bytes(), start, end, (16, 64), b"", out)),
    for_public(&["acc_", "led_", "k_"], |shadow, start, end, out| id(shadow.bytes(), start, end, (2, 40), b"", out)),
    // A key's fingerprint of ours is in capitals; a model's, in small letters, names nobody.
    for_public(&["fp_"], |shadow, start, end, out| {
        if !window(shadow.bytes(), end, 10).iter().any(u8::is_ascii_lowercase) {
            id(shadow.bytes(), start, end, (2, 40), b"", out);
        }
    }),
];

/// Numbers in groups, which only their name makes personal.
static LABELLED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    at_place(
        r"(?i-u)(?:iban|aadhaar|nhs number)(?: ?(?:code|number|no\.?))?[ \t]{0,4}(?:[:=]|is)?[ \t]{0,4}(?P<v>[a-z]{2}[0-9]{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3}\b)?|[0-9]{3,4}(?:[ -]?[0-9]{3,4}){2,3})",
    )
});

fn labelled(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    let found = LABELLED.as_ref().and_then(|pattern| pattern.captures(window(shadow.bytes(), at, MAX_LOCAL_BYTES)));
    out.extend(found.and_then(|found| found.name("v")).map(|v| Span::new(at + v.start(), at + v.end(), Kind::Id)));
}

/// An id that stands alone: a start in small letters, then so many letters and digits.
fn id(bytes: &[u8], start: usize, body: usize, (min, max): (usize, usize), extra: &[u8], out: &mut Vec<Span>) {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || extra.contains(b);
    let len = bytes[body..].iter().take(max).take_while(|b| fits(b)).count();
    let before = start.checked_sub(1).map_or(b' ', |i| bytes[i]);
    let behind = bytes.get(body + len).copied().unwrap_or(b' ');
    let small = !bytes[start..body].iter().any(u8::is_ascii_uppercase);
    if len >= min && small && !is_word(before) && before != b'-' && !is_word(behind) {
        out.push(Span::new(start, body + len, Kind::Id));
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

static DOMAIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    at_place(
        r"(?i-u)(?:@| ?[\[(]at[\])] ?)[a-z0-9\xc3-\xc9](?:[a-z0-9\xc3-\xc9\x80-\xbf-]{0,62})(?:(?:\.| ?[\[(]dot[\])] ?)[a-z0-9\xc3-\xc9\x80-\xbf-]{1,63}){0,6}(?:\.| ?[\[(]dot[\])] ?)[a-z]{2,18}",
    )
});

/// Mail addresses, `lin [at] example.com` too; not the `password@host` of an address that is hidden already.
pub(super) fn find(shadow: &Shadow<'_>, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    let Some(domain) = DOMAIN.as_ref() else { return };
    let mut urls: Vec<Span> = out.iter().filter(|s| s.kind == Kind::Url).copied().collect();
    urls.sort_by_key(|s| s.start);
    let signs = memchr_iter(b'@', bytes).chain(memchr_iter(b']', bytes).chain(memchr_iter(b')', bytes)).filter_map(|at| spelt(bytes, at)));
    for sign in signs {
        let start = local(shadow.text(), sign);
        let Some(found) = domain.find(window(bytes, sign, MAX_DOMAIN_BYTES)).filter(|_| start < sign) else { continue };
        let end = sign + found.end();
        let is_taken = urls[..urls.partition_point(|u| u.start <= start)].last().is_some_and(|u| start < u.end);
        // `git@host:path` is an address of a repository.
        let is_repository = bytes[start..].starts_with(b"git@") && matches!(bytes.get(end), Some(b':' | b'/'));
        if !is_taken && !is_repository {
            out.push(Span::new(start, end, Kind::Email));
        }
    }
}

/// Where the name before the sign at `sign` begins. Letters with accents belong to it, Han characters do not.
fn local(text: &str, sign: usize) -> usize {
    let is_local = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '%' | '-' | '\u{c0}'..='\u{24f}');
    sign - text[..sign].chars().rev().take(MAX_LOCAL_BYTES).take_while(is_local).map(char::len_utf8).sum::<usize>()
}

/// Where ` [at] ` begins, blank included, whose bracket closes at `close`.
fn spelt(bytes: &[u8], close: usize) -> Option<usize> {
    let open = close.checked_sub(3)?;
    let is_it = bytes[open + 1..close].eq_ignore_ascii_case(b"at") && matches!(bytes[open], b'[' | b'(');
    is_it.then(|| open - usize::from(open > 0 && bytes[open - 1] == b' '))
}
