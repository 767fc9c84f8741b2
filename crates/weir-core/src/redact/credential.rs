//! Credentials behind their names: headers with a scheme, passwords, keys and tokens, and what curl is given.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::engine::{Kind, Span};
use super::judge::{complains, han_value, is_dated_name, is_number_or_none, is_placeholder, is_plain_word, starts_han};
use super::names::{Name, text_of};
use super::normalise::Shadow;
use super::shapes::{continued, is_dense, is_known_id, looks_random};
use super::triggers::{Trigger, at_place, begins_word, trigger, window};
use super::value::{Form, Separator, Value, is_quote, line_end, read, skip_blanks};
use super::words::{Claim, claim_of};

const SCHEMES: &[&str] = &["bearer", "basic", "token", "apikey", "api-key", "negotiate", "key", "ntlm"];
const WHOLE_LINE_SCHEMES: &[&str] = &[
    "digest",
    "aws4-hmac-sha256",
    "signature",
    "hmac",
    "tc3-hmac-sha256",
    "oauth",
    "hmac-sha256",
    "acs3-hmac-sha256",
    "sdk-hmac-sha256",
    "bce-auth-v1",
    "q-sign-algorithm",
];

/// A literal in pieces has at most so many, each so long.
const MAX_LITERALS: usize = 8;
const MAX_LITERAL_BYTES: usize = 512;

type Range = std::ops::Range<usize>;

/// A value behind a sure name.
pub(super) fn secret(shadow: &Shadow<'_>, name: &Name, separator: Separator, at: usize, quoted: bool, kind: Kind) -> Option<Span> {
    let bytes = shadow.bytes();
    let line_value = matches!(kind, Kind::Cookie) || shadow.text()[name.start..name.end].to_ascii_lowercase().ends_with("authorization");
    let value = read(shadow, at)?;
    if line_value && value.form == Form::Bare && matches!(separator, Separator::Colon | Separator::Equals) && !quoted {
        return header(shadow, name, at, kind);
    }
    let text = text_of(shadow, &value);
    if value.form == Form::Object && !matches!(kind, Kind::Auth | Kind::Cookie | Kind::Key) {
        return None;
    }
    if text.len() > 1 && value.form == Form::Quoted && line_value && kind == Kind::Auth {
        return scheme_skipped(bytes, value.range.clone()).map(|r| Span::new(r.start, r.end, kind));
    }
    if is_placeholder(text)
        || value.form == Form::List && bytes[value.range.start] == b'(' && !is_literal_in_brackets(bytes, value.range.start, separator)
    {
        return None;
    }
    if separator == Separator::Pair && (value.form != Form::Quoted || claim_of(text).is_some() && !text.bytes().any(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let written = separator == Separator::Equals || quoted || value.form == Form::Quoted;
    let accepted = match separator {
        Separator::Blank if name.han => han_value(text, kind),
        Separator::Blank => {
            let dense = is_dense(text.as_bytes()) && text.len() >= 12;
            let placed = value.form == Form::Quoted && !text.contains(' ') && text.len() >= 6 || is_directive(shadow, name, &value);
            (dense || placed && looks_random(text.as_bytes()) && !is_dated_name(text)) && !is_known_id(text.as_bytes())
        }
        // Prose: "invalid api key: please check".
        _ if !written && !name.han => !is_plain_word(text),
        _ if name.han => !starts_han(text) || kind == Kind::Auth && !complains(text),
        _ => true,
    };
    let mut range = value.range.clone();
    if value.form == Form::Bare && bytes.get(range.end) == Some(&b' ') && SCHEMES.contains(&text.to_ascii_lowercase().as_str()) {
        range = header(shadow, name, at, kind).map(|s| s.start..s.end)?;
    } else if value.form == Form::Bare && shadow.text()[name.start..name.end].to_ascii_lowercase().ends_with("phrase") {
        range.end = line_end(shadow, range.start);
    }
    range.end = whole_end(bytes, &value, range.end);
    accepted.then(|| Span::new(range.start, range.end, kind))
}

/// `requirepass …` in a file, `set -gx API_KEY …` in a shell: the value is the last of its line, its name the first or a constant.
fn is_directive(shadow: &Shadow<'_>, name: &Name, value: &Value) -> bool {
    let bytes = shadow.bytes();
    let ends = window(bytes, value.range.end, MAX_LITERAL_BYTES)
        .iter()
        .find(|b| !matches!(b, b' ' | b'\t'))
        .is_none_or(|b| matches!(b, b'\n' | b'\r'));
    let word = &bytes[name.start..name.end];
    let is_constant = word.contains(&b'_') && !word.iter().any(u8::is_ascii_lowercase);
    let first = bytes[..name.start].iter().rev().take(MAX_LITERAL_BYTES).find(|b| !matches!(b, b' ' | b'\t')).is_none_or(|b| *b == b'\n');
    ends && (first || is_constant) && value.form == Form::Bare && value.range.len() >= 8
}

/// `api_key=("abc" "def")`: one literal in pieces, not the arguments of a call.
fn is_literal_in_brackets(bytes: &[u8], open: usize, separator: Separator) -> bool {
    separator == Separator::Equals && bytes.get(skip_blanks(bytes, open + 1, true)).is_some_and(|b| is_quote(*b))
}

/// The end of a value that goes on behind its line or its quote: `"abc" + "def"`, a line that was folded.
fn whole_end(bytes: &[u8], value: &Value, end: usize) -> usize {
    match value.form {
        Form::Quoted => next_literals(bytes, end),
        Form::Bare if bytes[..end].ends_with(b"=") || bytes[end..].starts_with(b"\\\n") => continued(bytes, end),
        _ => end,
    }
}

/// The end of the last string literal that is glued by `+` to the one that ends at `end`.
pub(super) fn next_literals(bytes: &[u8], mut end: usize) -> usize {
    for _ in 0..MAX_LITERALS {
        let plus = skip_blanks(bytes, end + 1, true);
        let open = skip_blanks(bytes, plus + 1, true);
        if !matches!(bytes.get(plus), Some(b'+' | b'.')) || bytes.get(open) != bytes.get(end) {
            return end;
        }
        let rest = window(bytes, open + 1, MAX_LITERAL_BYTES);
        let Some(len) = rest.iter().position(|b| *b == bytes[end] || *b == b'\n').filter(|len| rest[*len] != b'\n') else { return end };
        end = open + 1 + len;
    }
    end
}

/// The rest of a header: to the end of the line, or of the string that holds the header. A known scheme stays readable.
fn header(shadow: &Shadow<'_>, name: &Name, at: usize, kind: Kind) -> Option<Span> {
    let bytes = shadow.bytes();
    let line = line_end(shadow, at);
    let opener = name.start.checked_sub(1).map(|i| bytes[i]).filter(|b| is_quote(*b));
    let stop = match opener {
        None if whole_line(bytes, at) => line,
        Some(quote) => bytes[at..line].iter().position(|b| *b == quote).map_or(line, |i| at + i),
        None if kind == Kind::Auth => bytes[at..line].iter().position(|b| is_quote(*b)).map_or(line, |i| at + i),
        None => line,
    };
    let hidden = scheme_skipped(bytes, at..stop)?;
    // A mail's own encoding folds a long line behind `=`.
    let end = if bytes[..hidden.end].ends_with(b"=") { continued(bytes, hidden.end) } else { hidden.end };
    Some(Span::new(hidden.start, end, kind))
}

fn whole_line(bytes: &[u8], at: usize) -> bool {
    let word = bytes[at..].iter().take(32).take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    let scheme = String::from_utf8_lossy(&bytes[at..at + word]).to_ascii_lowercase();
    WHOLE_LINE_SCHEMES.contains(&scheme.as_str())
}

/// What is secret in a header's value: behind `Bearer` one token, behind `Digest` everything, else everything.
fn scheme_skipped(bytes: &[u8], value: Range) -> Option<Range> {
    let word = bytes[value.clone()].iter().take(32).take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
    let scheme = String::from_utf8_lossy(&bytes[value.start..value.start + word]).to_ascii_lowercase();
    let next = skip_blanks(bytes, value.start + word, false);
    if next > value.start + word && SCHEMES.contains(&scheme.as_str()) && next < value.end {
        let token = next..value.end.min(
            next + bytes[next..]
                .iter()
                .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b',' | b';' | b')' | b'}' | b'"' | b'\'' | b'\\'))
                .count(),
        );
        let token = if bytes[token.clone()].ends_with(b"]") && !bytes[token.clone()].starts_with(b"[") {
            token.start..token.end - 1
        } else {
            token
        };
        let text = std::str::from_utf8(&bytes[token.clone()]).unwrap_or("?");
        return (!is_placeholder(text)).then_some(token);
    }
    let mut end = value.end;
    if !whole_line(bytes, value.start) {
        // A log line goes on behind the header: `authorization: abc status=401`.
        end = log_goes_on(bytes, value.clone());
    }
    let text = std::str::from_utf8(&bytes[value.start..end]).unwrap_or("?").trim();
    let lone_scheme = SCHEMES.contains(&text.to_ascii_lowercase().as_str());
    let says_nothing = is_plain_word(text) && !text.contains('_');
    (!text.is_empty() && !is_placeholder(text) && !lone_scheme && !says_nothing).then_some(value.start..end)
}

fn log_goes_on(bytes: &[u8], value: Range) -> usize {
    let first = value.start + bytes[value.clone()].iter().take_while(|b| !b.is_ascii_whitespace()).count();
    let next = skip_blanks(bytes, first, false);
    let word = bytes[next.min(value.end)..value.end].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let ended_by_semicolon = first > value.start && matches!(bytes[first - 1], b';');
    if word > 0 && matches!(bytes.get(next + word), Some(b'=')) && !ended_by_semicolon { first } else { value.end }
}

/// `key` and `token`: the value itself must look like a secret, unless `token=` or `"token":` leave no doubt.
pub(super) fn weak(shadow: &Shadow<'_>, name: &Name, separator: Separator, at: usize, quoted: bool) -> Option<Span> {
    let value = read(shadow, at)?;
    let text = text_of(shadow, &value);
    if !matches!(value.form, Form::Quoted | Form::Bare)
        || is_placeholder(text)
        || is_known_id(text.as_bytes())
        || text.contains(' ')
        || !text.is_ascii()
    {
        return None;
    }
    let word = &shadow.text()[name.start..name.end];
    let in_query = name.start > 0 && matches!(shadow.bytes()[name.start - 1], b'?' | b'&') && separator == Separator::Equals;
    let written = separator == Separator::Equals || separator == Separator::Tag || quoted && separator == Separator::Colon;
    let dense = text.len() >= 12 && is_dense(text.as_bytes()) && !is_dated_name(text)
        || text.len() >= 20 && looks_random(text.as_bytes()) && !is_dated_name(text);
    let sure = match name.claim {
        Claim::Token => {
            written && !is_number_or_none(text) && !is_plain_word(text) && text.len() >= 4
                || separator == Separator::Colon && text.len() >= 8 && looks_random(text.as_bytes()) && !is_dated_name(text)
        }
        _ => {
            in_query && text.len() >= 6 && !is_plain_word(text)
                || word.contains("KEY") && separator == Separator::Equals && text.len() >= 8 && !is_plain_word(text)
                || separator == Separator::Colon
                    && !text.contains('_')
                    && text.len() >= 16
                    && looks_random(text.as_bytes())
                    && !is_dated_name(text)
        }
    };
    let whole = whole_end(shadow.bytes(), &value, value.range.end);
    let in_pieces = whole > value.range.end && written && text.len() >= 6 && looks_random(text.as_bytes());
    (sure || dense || in_pieces).then(|| Span::new(value.range.start, whole, Kind::Key))
}

pub(super) const TRIGGERS: [Trigger; 4] = [
    trigger(&["bearer", "basic"], scheme),
    trigger(&["-u", "--user", "--proxy-user"], |shadow, at, _, out| command(&USER, Kind::Auth, shadow, at, out)),
    trigger(&["-b", "--cookie"], |shadow, at, _, out| command(&COOKIE, Kind::Cookie, shadow, at, out)),
    trigger(&["sshpass", "mysql"], |shadow, at, _, out| command(&PASSWORD, Kind::Auth, shadow, at, out)),
];

/// Longer than anything a pattern here may look at.
const WINDOW_BYTES: usize = 4500;

static SCHEME: LazyLock<Option<Regex>> =
    LazyLock::new(|| at_place(r#"(?i-u)(?:bearer|basic)(?:[ \t]{1,8}|[ \t"'+{}%s,.:]{1,16}["'])[A-Za-z0-9._~+/=-]{8,4096}"#));

/// `Bearer …` and `Basic …` without a header's name before them.
fn scheme(shadow: &Shadow<'_>, at: usize, end: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    // A sentence's "basic" is over before any pattern is asked.
    let blank = bytes
        .get(end)
        .is_some_and(|b| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'+' | b'{' | b'}' | b'%' | b's' | b'S' | b',' | b'.' | b':'));
    if !blank || !begins_word(bytes, at) {
        return;
    }
    let Some(found) = SCHEME.as_ref().and_then(|s| s.find(window(bytes, at, WINDOW_BYTES))) else { return };
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'-');
    let text = &found.as_bytes()[found.len() - found.as_bytes().iter().rev().take_while(|b| is_digit(b)).count()..];
    let start = at + found.len() - text.len();
    let text = &text[..text.len() - text.iter().rev().take_while(|b| **b == b'.').count()];
    let placeholder = std::str::from_utf8(text).is_ok_and(is_placeholder);
    if looks_random(text) && !placeholder {
        out.push(Span::new(start, start + text.len(), Kind::Auth));
    }
}

static USER: LazyLock<Option<Regex>> =
    LazyLock::new(|| at_place(r#"(?-u)(?:-u|--user|--proxy-user|-U)[ =]?["']?([^\s"':]{1,128}:[^\s"']{1,256})"#));
static COOKIE: LazyLock<Option<Regex>> = LazyLock::new(|| at_place(r#"(?-u)(?:-b|--cookie)[ =]["']?([^\s"'=;]{1,128}=[^"'\n]{1,4096})"#));
static PASSWORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| at_place(r#"(?-u)(?:sshpass -p ?|mysql[^\n"']{0,80}? -p)["']?([^\s"']{3,128})"#));

/// `curl -u name:password`, `curl -b 'a=b'`, `sshpass -p …`: an option stands behind a blank or a quote.
fn command(pattern: &LazyLock<Option<Regex>>, kind: Kind, shadow: &Shadow<'_>, at: usize, out: &mut Vec<Span>) {
    let bytes = shadow.bytes();
    if at.checked_sub(1).is_some_and(|i| !bytes[i].is_ascii_whitespace() && !matches!(bytes[i], b'"' | b'\'')) {
        return;
    }
    let Some(value) = pattern.as_ref().and_then(|p| p.captures(window(bytes, at, WINDOW_BYTES))).and_then(|found| found.get(1)) else {
        return;
    };
    if !value.as_bytes().starts_with(b"[REDACTED") {
        out.push(Span::new(at + value.start(), at + value.end(), kind));
    }
}

/// A chat bot's `123456789:…`, whose `count` digits begin at `at`.
pub(super) fn bot_token(bytes: &[u8], at: usize, count: usize, out: &mut Vec<Span>) {
    let before = [&b"bot "[..], b"bot", b""].into_iter().find_map(|bot| bytes[..at].strip_suffix(bot));
    if before.and_then(<[u8]>::last).is_some_and(|b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'')) {
        return;
    }
    let body = at + count + 1;
    let len = bytes[body..].iter().take(51).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
    if (30..=50).contains(&len) {
        out.push(Span::new(at, body + len, Kind::Key));
    }
}
