//! Secrets known by their shape: vendor keys, tokens, JSON web tokens, PEM blocks.
//!
//! A regex finds the fixed start of a shape; everything after it is walked by hand, once, so the time stays linear. The
//! boundary before a shape is ASCII: a Han character before `sk-` is no part of a word, a letter (`task-…`, `disk-…`) is.

use std::sync::LazyLock;

use memchr::memchr_iter;
use regex::bytes::Regex;

use super::engine::{Kind, Span};
use super::normalise::Shadow;
use super::triggers::begins_word;
use super::vendors::{RARE, SHAPES, Shape};

/// Between the parts of a folded key.
const MAX_GAP_BYTES: usize = 40;
/// A line that was folded is no longer than this, and begins with at most so many signs.
const MAX_LINE_BYTES: usize = 400;
const MAX_QUOTING_BYTES: usize = 16;

static STARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let starts: Vec<String> = SHAPES.iter().map(|s| regex::escape(s.start)).collect();
    Regex::new(&format!("(?-u)(?i:sk-)|{}|eyJ|-----BEGIN", starts.join("|"))).ok()
});

/// Whether the engine's own patterns stand; they are fixed, so a test settles it once.
pub(super) fn is_ready() -> bool {
    STARTS.is_some()
}

pub(super) fn find(shadow: &Shadow<'_>, out: &mut Vec<Span>) {
    find_in(shadow.bytes(), Border::Needed, out);
    zhipu(shadow.bytes(), out);
}

/// Whether a letter right before a shape makes it part of a word. In decoded bytes there are no words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Border {
    Needed,
    Free,
}

/// Shapes in plain bytes.
pub(super) fn find_in(bytes: &[u8], border: Border, out: &mut Vec<Span>) {
    let Some(starts) = STARTS.as_ref() else { return };
    let mut from = 0;
    while let Some(found) = starts.find_at(bytes, from) {
        from = found.end();
        let at = found.start();
        let (end, kind) = match found.as_bytes() {
            b"-----BEGIN" => (pem(bytes, at).ok_or(from), Kind::Key),
            start
                if border == Border::Needed
                    && at > 0
                    && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_' && start[0] != b's') =>
            {
                continue;
            }
            b"eyJ" => (web_token(bytes, at), Kind::Auth),
            _ => (key(bytes, at), Kind::Key),
        };
        match end {
            Ok(end) => {
                out.push(Span::new(at, end, kind));
                from = end;
            }
            // Never walk the same token twice: many false starts in one would cost its length squared.
            Err(seen) => from = from.max(seen),
        }
    }
}

/// The end of a vendor key that starts at `at`, or how far it was looked for.
fn key(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let is_start =
        |s: &&Shape| bytes[at..].len() >= s.start.len() && bytes[at..at + s.start.len()].eq_ignore_ascii_case(s.start.as_bytes());
    walk(bytes, at, SHAPES.iter().find(is_start).ok_or(at)?)
}

/// A rarer vendor's key whose start stands at `at`.
pub(super) fn find_rare(bytes: &[u8], at: usize, end: usize, out: &mut Vec<Span>) {
    let Some(shape) = RARE.iter().find(|s| s.start.as_bytes() == &bytes[at..end]) else { return };
    if begins_word(bytes, at)
        && let Ok(end) = walk(bytes, at, shape)
    {
        out.push(Span::new(at, end, Kind::Key));
    }
}

fn walk(bytes: &[u8], at: usize, shape: &Shape) -> Result<usize, usize> {
    let body = at + shape.start.len();
    let mut end = run(bytes, body, shape.extra);
    if is_own_mask(bytes, at, end) {
        return Err(end);
    }
    // A mask made of stars or dots that shows more than four characters is not a mask.
    let starred = masking(&bytes[end..]);
    if starred >= 3 {
        let tail = run(bytes, end + starred, b"-_");
        return if tail - end - starred + end - body > 4 { Ok(tail) } else { Err(tail) };
    }
    while end > body && matches!(bytes[end - 1], b'.' | b'~') {
        end -= 1;
    }
    let secret = &bytes[body..end];
    if !secret.is_empty() && secret.len() < shape.min {
        // Folded so early that its first line alone is no key.
        let whole = continued(bytes, end);
        return if whole > end { Ok(whole) } else { Err(end) };
    }
    if secret.len() < shape.min || shape.wordy && !looks_random(secret) {
        return Err(end);
    }
    // Whatever is glued to a key goes with it: it may be the next key.
    Ok(continued(bytes, run(bytes, end, b"-_")))
}

/// The stars, dots or ellipses in the middle of a mask, in bytes.
fn masking(bytes: &[u8]) -> usize {
    const SIGNS: [&str; 4] = ["*", "…", "•", "·"];
    let mut len = 0;
    while let Some(sign) = SIGNS.iter().find(|sign| bytes[len..].starts_with(sign.as_bytes())) {
        len += sign.len();
    }
    len
}

/// `sk-wr-<kid>` and `sk-wr-<kid>-…`: public by construction.
fn is_own_mask(bytes: &[u8], at: usize, end: usize) -> bool {
    let token = &bytes[at..end];
    let Some(rest) = token.strip_prefix(b"sk-wr-") else { return false };
    let kid = rest.strip_suffix(b"-").unwrap_or(rest);
    let masked = bytes[end..].starts_with("…".as_bytes()) || bytes[end..].starts_with(b"...") || bytes[end..].starts_with(b"***");
    let tail_is_free = !bytes.get(end + 3).is_some_and(u8::is_ascii_alphanumeric);
    rest.len() == 8
        || masked
            && tail_is_free
            && (1..=32).contains(&kid.len())
            && rest.ends_with(b"-")
            && kid.iter().filter(|b| **b == b'-').count() == 0
}

/// A key that goes on behind a line break or in the next string literal: `"sk-abc" + "def"`, or folded by a terminal.
pub(super) fn continued(bytes: &[u8], mut end: usize) -> usize {
    let quoting = quoting(bytes, end);
    for _ in 0..8 {
        let mut at = end;
        let quoted = bytes.get(at).is_some_and(|b| matches!(b, b'"' | b'\''));
        at += usize::from(quoted);
        let (next, glued) = gap(bytes, at, quoting);
        let gap = next - at;
        at = next;
        if quoted {
            if !bytes.get(at).is_some_and(|b| matches!(b, b'"' | b'\'')) {
                return end;
            }
            at += 1;
        }
        let next = run(bytes, at, b"-_");
        let part = &bytes[at..next];
        // The next line's own first word is not a key's tail: that is dense, and no `name:` or `name=`.
        let is_name = bytes.get(next).is_some_and(|b| matches!(b, b':' | b'=' | b'('));
        if !quoted && (gap == 0 || !glued) || part.len() < 8 || is_name || !is_dense(part) || is_known_id(part) || starts_time(part) {
            return end;
        }
        end = next;
    }
    end
}

/// The blanks, line breaks and signs from `at` on, and whether they glue what follows. A line break in a mail or a comment is followed
/// by what begins every line there; in a mail's own encoding `=` stands before it.
fn gap(bytes: &[u8], from: usize, quoting: &[u8]) -> (usize, bool) {
    let mut at = from;
    let mut glued = false;
    while at < from + MAX_GAP_BYTES {
        match bytes.get(at) {
            Some(b'\n') => {
                glued = true;
                at += 1;
                at += if quoting.is_empty() || !bytes[at..].starts_with(quoting) { 0 } else { quoting.len() };
            }
            Some(b'=') if bytes[at + 1..].starts_with(b"\n") || bytes[at + 1..].starts_with(b"\r\n") => at += 1,
            Some(b'+' | b'\\') => {
                glued = true;
                at += 1;
            }
            // The right side of a frame.
            Some(b'|') if !quoting.is_empty() && ends_line(bytes, at + 1) => at += 1,
            Some(0xe2) if !quoting.is_empty() && bytes[at..].starts_with("│".as_bytes()) && ends_line(bytes, at + 3) => at += 3,
            Some(b' ' | b'\t' | b'\r' | b'.') => at += 1,
            _ => break,
        }
    }
    (at, glued)
}

fn ends_line(bytes: &[u8], at: usize) -> bool {
    bytes[at..].iter().take(MAX_GAP_BYTES).find(|b| !matches!(b, b' ' | b'\t' | b'\r')).is_none_or(|b| *b == b'\n')
}

/// What the line of `at` begins with before its first letter: `> > `, `# `, `// `, a frame.
fn quoting(bytes: &[u8], at: usize) -> &[u8] {
    let before = &bytes[at.saturating_sub(MAX_LINE_BYTES)..at];
    let line = before.iter().rposition(|b| *b == b'\n').map_or(if before.len() == at { before } else { b"" }, |i| &before[i + 1..]);
    let signs = line.iter().take(MAX_QUOTING_BYTES).take_while(|b| b.is_ascii_punctuation() || matches!(b, b' ' | b'\t' | 0x80..)).count();
    let signs = &line[..signs];
    if signs.iter().all(u8::is_ascii_whitespace) { b"" } else { signs }
}

fn starts_time(part: &[u8]) -> bool {
    part.len() >= 8 && part[..4].iter().all(u8::is_ascii_digit) && part[4] == b'-'
}

fn run(bytes: &[u8], from: usize, extra: &[u8]) -> usize {
    from + bytes[from..].iter().take_while(|b| b.is_ascii_alphanumeric() || extra.contains(b)).count()
}

/// A digit, or capitals among small letters: plain words have neither.
pub(super) fn looks_random(token: &[u8]) -> bool {
    let digits = token.iter().any(u8::is_ascii_digit);
    let small = token.iter().any(u8::is_ascii_lowercase);
    digits || small && token.iter().skip(1).any(u8::is_ascii_uppercase)
}

/// Whether a bare token is dense enough to be a secret: letters and digits mixed often, not words with a number behind them.
pub(super) fn is_dense(token: &[u8]) -> bool {
    let letters = token.iter().filter(|b| b.is_ascii_alphabetic()).count();
    let digits = token.iter().filter(|b| b.is_ascii_digit()).count();
    let turns =
        token.windows(2).filter(|w| w[0].is_ascii_digit() != w[1].is_ascii_digit() && w.iter().all(u8::is_ascii_alphanumeric)).count();
    let cases = token.windows(2).filter(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase()).count();
    letters >= 3 && (digits >= 2 && turns >= 3 || digits >= 1 && cases >= 2 || cases >= 3)
}

/// Ids that support needs and that open nothing.
pub(super) fn is_known_id(token: &[u8]) -> bool {
    const STARTS: [&str; 40] = [
        "wr_",
        "WEV-",
        "W-",
        "req_",
        "req-",
        "chatcmpl-",
        "cmpl-",
        "resp_",
        "msg_",
        "task_",
        "task-",
        "run_",
        "thread_",
        "asst_",
        "batch_",
        "file-",
        "file_",
        "call_",
        "led_",
        "acc_",
        "k_",
        "fp_",
        "gen-",
        "video_",
        "img_",
        "job_",
        "job-",
        "cgt-",
        "rs_",
        "fc_",
        "ft-",
        "ftjob-",
        "evt_",
        "step_",
        "toolu_",
        "vs_",
        "trace-",
        "span-",
        "gpt-",
        "claude-",
    ];
    STARTS.iter().any(|s| token.starts_with(s.as_bytes()))
}

/// Three parts of base64url; the header and the claims go too, since they name people. Also without its signature.
fn web_token(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let end = run(bytes, at, b"-_.=");
    let dots = bytes[at..end].iter().filter(|b| **b == b'.').count();
    if end - at >= 20 && dots >= 1 { Ok(end - usize::from(bytes[end - 1] == b'.')) } else { Err(end) }
}

/// A private key block to its END line, or as far as base64 goes when that is missing.
fn pem(bytes: &[u8], at: usize) -> Option<usize> {
    let header_end = bytes[at..].iter().take(80).skip(10).position(|b| *b == b'-').map(|i| at + 10 + i)?;
    if !bytes[at..header_end].windows(7).any(|w| w == b"PRIVATE") {
        return None;
    }
    let mut end = header_end;
    while let Some(rest) = bytes.get(end..) {
        if rest.is_empty() {
            break;
        }
        if rest.starts_with(b"-----END") {
            let tail = rest[8..].iter().take(60).position(|b| *b == b'-').map_or(rest.len(), |i| 8 + i);
            return Some((end + tail + 5).min(bytes.len()));
        }
        let line = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |i| i + 1);
        // A one-line form has everything behind the header; look for the END inside the line.
        if let Some(i) = rest[..line].windows(8).position(|w| w == b"-----END") {
            end += i;
            continue;
        }
        let words = rest[..line].trim_ascii().iter().filter(|b| **b == b' ').count();
        if words > 2 && end > header_end {
            break;
        }
        end += line;
    }
    Some(end.min(bytes.len()))
}

/// `<32 hex>.<16 letters and digits>`, as one vendor writes its keys.
fn zhipu(bytes: &[u8], out: &mut Vec<Span>) {
    let mut from = 0;
    for dot in memchr_iter(b'.', bytes) {
        if dot < from.max(32)
            || !bytes[dot - 32..dot].iter().all(u8::is_ascii_hexdigit)
            || dot > 32 && bytes[dot - 33].is_ascii_alphanumeric()
        {
            continue;
        }
        let end = run(bytes, dot + 1, b"");
        if (12..=32).contains(&(end - dot - 1)) && looks_random(&bytes[dot + 1..end]) {
            out.push(Span::new(dot - 32, end, Kind::Key));
            from = end;
        }
    }
}
