//! One walk over the text for all rules that begin with a known word: an automaton finds the words, and a rule is asked only where
//! one of its own stands. Thirty patterns that each search the text alone take thirty walks.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::Regex;

use super::engine::{Audience, Span};
use super::normalise::Shadow;
use super::{commands, content, credential, layouts, personal, places, sums, tables, templates, urls, vendors};

/// Asked with the place of one of its words, start and end. What it finds may overlap: the engine joins spans.
pub(super) type Rule = fn(&Shadow<'_>, usize, usize, &mut Vec<Span>);

/// Words, in small letters, and the rule that begins with them.
pub(super) struct Trigger {
    pub(super) words: &'static [&'static str],
    pub(super) rule: Rule,
    pub(super) audience: Option<Audience>,
}

pub(super) const fn trigger(words: &'static [&'static str], rule: Rule) -> Trigger {
    Trigger { words, rule, audience: None }
}

const TRIGGERS: [&[Trigger]; 11] = [
    &credential::TRIGGERS,
    &content::TRIGGERS,
    &layouts::TRIGGERS,
    &places::TRIGGERS,
    &personal::TRIGGERS,
    &sums::TRIGGERS,
    &commands::TRIGGERS,
    &templates::TRIGGERS,
    &tables::TRIGGERS,
    &urls::TRIGGERS,
    &vendors::TRIGGERS,
];

/// The automaton over all words, and the trigger of each.
struct Words {
    automaton: AhoCorasick,
    owners: Vec<(usize, &'static Trigger)>,
}

static WORDS: LazyLock<Option<Words>> = LazyLock::new(|| {
    let all = || TRIGGERS.iter().flat_map(|some| some.iter()).enumerate().flat_map(|t| t.1.words.iter().map(move |word| (*word, t)));
    let automaton =
        AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(all().map(|(word, _)| word)).ok()?;
    Some(Words { automaton, owners: all().map(|(_, owner)| owner).collect() })
});

/// Whether the automaton stands; its words are fixed, so a test settles it once.
pub(super) fn is_ready() -> bool {
    WORDS.is_some()
}

pub(super) fn find(shadow: &Shadow<'_>, audience: Audience, out: &mut Vec<Span>) {
    let Some(words) = WORDS.as_ref() else { return };
    // A word inside what its own rule has hidden is a part of it; to look again would cost a long value its length squared.
    let mut hidden = vec![0; TRIGGERS.iter().map(|some| some.len()).sum()];
    for found in words.automaton.find_overlapping_iter(shadow.bytes()) {
        let (number, owner) = words.owners[found.pattern().as_usize()];
        if found.start() < hidden[number] || owner.audience.is_some_and(|whom| whom != audience) {
            continue;
        }
        let before = out.len();
        (owner.rule)(shadow, found.start(), found.end(), out);
        hidden[number] = out[before..].iter().map(|span| span.end).fold(hidden[number], usize::max);
    }
}

/// A pattern that is tried at one place only.
pub(super) fn at_place(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})")).ok()
}

/// At most `max` bytes from `at` on: what a pattern may look at there, so that many places cost no more than their number.
pub(super) fn window(bytes: &[u8], at: usize, max: usize) -> &[u8] {
    &bytes[at..bytes.len().min(at + max)]
}

/// Whether no letter, digit or `_` stands right before `at`.
pub(super) fn begins_word(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|i| !bytes[i].is_ascii_alphanumeric() && bytes[i] != b'_')
}
