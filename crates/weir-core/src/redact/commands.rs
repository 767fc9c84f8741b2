//! Passwords where a protocol, a query or a file has a place for them and no name beside it: `PASS …`, `IDENTIFIED BY '…'`, a line of
//! `/etc/shadow`; and a secret that is named only behind it.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::engine::{Kind, Span};
use super::judge::{is_marker, is_placeholder};
use super::normalise::Shadow;
use super::shapes::{is_known_id, looks_random};
use super::triggers::{Trigger, at_place, begins_word, trigger, window};

/// Longer than what any pattern here may look at.
const WINDOW_BYTES: usize = 600;
const MAX_SECRET_BYTES: usize = 512;
/// As short may a secret be that is named behind it.
const MIN_SECRET_BYTES: usize = 8;

type Pattern = LazyLock<Option<Regex>>;

pub(super) const TRIGGERS: [Trigger; 6] = [
    trigger(&["identified by", "identified with", "password '"], |shadow, at, _, out| value(&IDENTIFIED, shadow, at, out)),
    trigger(&["pass ", "auth ", "login ", "\"auth\""], |shadow, at, _, out| {
        if begins_word(shadow.bytes(), at) {
            value(&COMMAND, shadow, at, out);
        }
    }),
    // `Password:` as a mail server asks for it.
    trigger(&["334 ugfzc3dvcmq6"], |shadow, at, _, out| value(&ASKED, shadow, at, out)),
    trigger(
        &[
            "$1$",
            "$5$",
            "$6$",
            "$2a$",
            "$2b$",
            "$2y$",
            "$y$",
            "$7$",
            "$argon2",
            "$apr1$",
            "$pbkdf2",
            "$scrypt$",
            "{ssha",
            "sha256$",
            "scram-sha-256$",
        ],
        hashed,
    ),
    trigger(&["是我的", "就是我", "is my ", "is our ", "是密钥", "是密码"], named_behind),
    trigger(&["我叫", "我的名字是", "my name is "], |shadow, at, _, out| {
        let found = INTRODUCED.as_ref().and_then(|p| p.captures(window(shadow.bytes(), at, WINDOW_BYTES)));
        out.extend(found.and_then(|found| found.name("v")).map(|v| Span::new(at + v.start(), at + v.end(), Kind::Id)));
    }),
];

static IDENTIFIED: Pattern = LazyLock::new(|| {
    at_place(
        r#"(?i-u)(?:identified (?:by|with [a-z0-9_]{1,40} (?:by|as))|password)\s{1,4}(?:password\s{1,4})?["'](?P<v>[^"'\n]{1,256})["']"#,
    )
});
/// Commands in capitals, as clients write them: at a line's beginning, or behind a tag.
static COMMAND: Pattern = LazyLock::new(|| {
    at_place(concat!(
        r#"(?-u)(?:PASS (?P<p>[^\s"']{4,128})[ \t]*(?:\r?\n|$)|AUTH PLAIN (?P<b>[A-Za-z0-9+/=]{8,512})|LOGIN [^\s"']{1,64} "?(?P<l>[^\s"']{4,128})"#,
        r#"|"(?:AUTH|auth)"(?: "[^"\n]{1,64}")? "(?P<a>[^"\n]{4,256})"|AUTH (?P<r>[^\s"':]{8,128})[ \t]*(?:\r?\n|$))"#,
    ))
});
static ASKED: Pattern = LazyLock::new(|| at_place(r"(?i-u)334 ugfzc3dvcmq6[ \t]*\r?\n(?:[a-z]: ?|> ?|-> ?)?(?P<v>[a-z0-9+/=]{4,512})"));
static INTRODUCED: Pattern = LazyLock::new(|| {
    at_place(
        r"(?:我叫|我的名字是|(?i:my name is ))(?P<v>[\p{Han}·]{2,6}|\p{Lu}\p{Ll}{1,20}(?:[ -]\p{Lu}\p{Ll}{1,20}){0,2})(?:[^\p{Han}]|$)",
    )
});

/// Any named group is the secret.
fn value(pattern: &Pattern, shadow: &Shadow<'_>, at: usize, out: &mut Vec<Span>) {
    let here = window(shadow.bytes(), at, WINDOW_BYTES);
    let Some(found) = pattern.as_ref().filter(|p| p.is_match(here)).and_then(|p| p.captures(here)) else { return };
    let Some(secret) = found.iter().skip(1).flatten().next() else { return };
    let text = String::from_utf8_lossy(secret.as_bytes());
    let is_word = text.bytes().all(|b| b.is_ascii_lowercase());
    if !is_word && !is_placeholder(&text) && !is_marker(&text) && !text.starts_with("[REDACTED") {
        out.push(Span::new(at + secret.start(), at + secret.end(), Kind::Auth));
    }
}

/// `$6$salt$…`, `$2b$12$…`, `{SSHA}…`.
fn hashed(shadow: &Shadow<'_>, at: usize, _: usize, out: &mut Vec<Span>) {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'$' | b'.' | b'/' | b'+' | b'=' | b',' | b'-' | b'{' | b'}' | b'_');
    let len = window(shadow.bytes(), at, MAX_SECRET_BYTES).iter().take_while(|b| is_part(b)).count();
    let token = &shadow.bytes()[at..at + len];
    if len >= 24 && looks_random(token) {
        out.push(Span::new(at, at + len, Kind::Auth));
    }
}

/// `… 这个是我的 key`, `… is my password`.
fn named_behind(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    const NAMES: [&str; 9] = ["key", "api key", "apikey", "token", "password", "secret", "密钥", "密码", "令牌"];
    let (text, bytes) = (shadow.text(), shadow.bytes());
    let behind = text[end - if text[..end].ends_with("密钥") || text[..end].ends_with("密码") { 6 } else { 0 }..].trim_start();
    if !NAMES.iter().any(|name| behind.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name))) {
        return;
    }
    let is_part = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'`' | b',' | b';');
    let gap = bytes[..at].iter().rev().take(24).take_while(|b| !is_part(b)).count();
    let stop = at - gap;
    let start = stop - bytes[..stop].iter().rev().take(MAX_SECRET_BYTES).take_while(|b| is_part(b)).count();
    let token = &bytes[start..stop];
    if token.len() >= MIN_SECRET_BYTES
        && looks_random(token)
        && !is_known_id(token)
        && !token.starts_with(b"[REDACTED")
        && !token.contains(&b'/')
    {
        out.push(Span::new(start, stop, Kind::Key));
    }
}
