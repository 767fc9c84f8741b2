//! Looks for signs: what programs report of the way, what people say it was like, and the marks that proxies leave in their logs. The
//! signs are data (`catalog/symptoms.toml`); here is only how they are looked for.

use std::sync::LazyLock;

use regex::{RegexSet, RegexSetBuilder};
use weir_core::{Verdict, evidence::Confidence};

use super::{
    pattern::{all, pattern},
    table::{MARKS, REPORTS, SYMPTOMS},
};

/// A report or a sentence, as patterns over folded text.
pub(super) struct Sign {
    pub(super) verdict: Verdict,
    pub(super) words: &'static str,
    /// Has to hold too, wherever it stands; empty if nothing has to.
    pub(super) and: &'static str,
    /// Must not hold; empty if nothing is excluded.
    pub(super) unless: &'static str,
    pub(super) sure: Confidence,
    /// Nearly as likely.
    pub(super) also: Option<Verdict>,
}

/// What a proxy writes for how a call ended.
pub(super) struct Mark {
    pub(super) program: &'static str,
    pub(super) marks: &'static [&'static str],
    pub(super) verdict: Verdict,
    pub(super) sure: Confidence,
}

/// Longest text looked through for signs, in bytes: of a longer one the beginning and the end.
const LOOKED_AT: usize = 64 * 1024;

/// A text as signs are looked for in it: lower case, one line, straight quotes, half-width punctuation. However it was wrapped, quoted
/// or coloured when it was copied, it reads the same.
pub(super) struct Folded(String);

impl Folded {
    pub(super) fn of(text: &str) -> Self {
        let mut folded = String::with_capacity(text.len().min(LOOKED_AT));
        let (head, tail) = ends(text);
        for part in [head, tail] {
            for line in part.lines() {
                join(&mut folded, line.trim());
            }
        }
        Self(folded)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The beginning and the end of a text; the whole of a short one.
fn ends(text: &str) -> (&str, &str) {
    if text.len() <= LOOKED_AT {
        return (text, "");
    }
    let (head, tail) = (text.floor_char_boundary(LOOKED_AT / 2), text.ceil_char_boundary(text.len() - LOOKED_AT / 2));
    (&text[..head], &text[tail..])
}

/// One more line. Between two Han characters nothing stood where the line was broken.
fn join(folded: &mut String, line: &str) {
    let is_han = |c: Option<char>| c.is_some_and(|c| matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}'));
    let goes_on = folded.is_empty() || line.is_empty() || is_han(folded.chars().next_back()) && is_han(line.chars().next());
    if !goes_on {
        folded.push(' ');
    }
    let mut was_blank = folded.ends_with(' ');
    for c in line.chars().flat_map(char::to_lowercase) {
        let plain = match c {
            '“' | '”' | '「' | '」' | '『' | '』' => '"',
            '‘' | '’' => '\'',
            '\u{3000}' | '\u{a0}' => ' ',
            '、' => ',',
            // Full-width signs stand at a fixed distance from their half-width brothers.
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            c if c.is_whitespace() => ' ',
            c => c,
        };
        if plain != ' ' || !was_blank {
            folded.push(plain);
        }
        was_blank = plain == ' ';
    }
}

/// Patterns of one kind, each found in one pass.
struct Signs {
    signs: &'static [Sign],
    words: RegexSet,
    and: RegexSet,
    unless: RegexSet,
}

/// The most memory that a set of patterns may take, in bytes.
const PATTERN_BYTES: usize = 64 << 20;
/// The most memory that the states met while matching may take, in bytes.
const STATES_BYTES: usize = 16 << 20;

fn set(patterns: impl Iterator<Item = &'static str>) -> Option<RegexSet> {
    let patterns = patterns.map(|words| if words.is_empty() { "[^\\s\\S]" } else { words });
    RegexSetBuilder::new(patterns).size_limit(PATTERN_BYTES).dfa_size_limit(STATES_BYTES).build().ok()
}

impl Signs {
    fn of(signs: &'static [Sign]) -> Option<Self> {
        let words = set(signs.iter().map(|sign| sign.words))?;
        let and = set(signs.iter().map(|sign| sign.and))?;
        let unless = set(signs.iter().map(|sign| sign.unless))?;
        Some(Self { signs, words, and, unless })
    }

    /// All that hold, in the order of the catalogue.
    fn seen(&self, text: &Folded) -> Vec<&'static Sign> {
        let words = self.words.matches(text.as_str());
        if !words.matched_any() {
            return Vec::new();
        }
        let (and, unless) = (self.and.matches(text.as_str()), self.unless.matches(text.as_str()));
        let holds = |at: &usize| (self.signs[*at].and.is_empty() || and.matched(*at)) && !unless.matched(*at);
        words.into_iter().filter(holds).map(|at| &self.signs[at]).collect()
    }
}

static REPORTED: LazyLock<Option<Signs>> = LazyLock::new(|| Signs::of(&REPORTS));
static SAID: LazyLock<Option<Signs>> = LazyLock::new(|| Signs::of(&SYMPTOMS));

fn seen(signs: &'static LazyLock<Option<Signs>>, text: &Folded) -> Vec<&'static Sign> {
    debug_assert!(signs.is_some(), "a pattern does not compile");
    signs.as_ref().map(|signs| signs.seen(text)).unwrap_or_default()
}

/// What a program reports in a text, if it is about the way there and back.
pub(super) fn report(text: &Folded) -> Option<&'static Sign> {
    seen(&REPORTED, text).into_iter().next()
}

/// What the words of a person point to, the likelier first.
pub(super) fn told(text: &Folded) -> Vec<Verdict> {
    let mut found: Vec<Verdict> = Vec::new();
    for sign in seen(&SAID, text) {
        if !found.contains(&sign.verdict) {
            found.push(sign.verdict);
        }
    }
    found
}

pattern!(HAPROXY, r" (?:\d{3}|-1) \+?\d+ \S+ \S+ ([A-Za-z-]{2})[A-Za-z-]{2} ");
pattern!(HAPROXY_SAID, r"(?i:haproxy|termination|term(?:ination)?[_ ]?state)[^\n]{0,60}?\b([CScsPLRIDUK][RQCHDLT])(?:--|[A-Za-z-]{2})");
pattern!(ENVOY, r#"HTTP/[\d.]+" \d{1,3} ([A-Z]{2,5}(?:,[A-Z]{2,5})?) "#);
pattern!(ENVOY_SAID, r#"(?i:response[_ ]?flags?)["']?\s*[:=]?\s*["'`]?([A-Z]{2,5}(?:,[A-Z]{2,5})?)\b"#);

/// Lines whose marks are looked at.
const MARKED_LINES: usize = 2_000;

/// What the marks of proxies say, with how often.
pub(super) fn marks(text: &str) -> Vec<(&'static Mark, u32)> {
    let mut found: Vec<(&'static Mark, u32)> = Vec::new();
    for (program, pattern) in [("haproxy", &HAPROXY), ("haproxy", &HAPROXY_SAID), ("envoy", &ENVOY), ("envoy", &ENVOY_SAID)] {
        for mark in all(pattern, text, MARKED_LINES) {
            let known = MARKS.iter().find(|known| known.program == program && known.marks.contains(&mark));
            let Some(known) = known else { continue };
            match found.iter_mut().find(|(there, _)| there.verdict == known.verdict) {
                Some((_, times)) => *times = times.saturating_add(1),
                None => found.push((known, 1)),
            }
        }
    }
    found
}
