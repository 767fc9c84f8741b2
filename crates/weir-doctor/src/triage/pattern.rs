//! Patterns over pasted text: compiled once, linear in the text, the first group is what is wanted.

use std::sync::LazyLock;

use regex::Regex;

pub(super) type Pattern = LazyLock<Option<Regex>>;

/// A pattern of this module's own; one that does not compile is found by every test that uses it.
macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: crate::triage::pattern::Pattern = std::sync::LazyLock::new(|| regex::Regex::new($text).ok());
    };
}
pub(super) use pattern;

fn ready(pattern: &'static Pattern) -> Option<&'static Regex> {
    debug_assert!(pattern.is_some(), "a pattern does not compile");
    pattern.as_ref()
}

/// The first group that matched, of the first match.
pub(super) fn first<'t>(pattern: &'static Pattern, text: &'t str) -> Option<&'t str> {
    let found = ready(pattern)?.captures(text)?;
    found.iter().skip(1).flatten().next().or(found.get(0)).map(|part| part.as_str())
}

/// The first group of each of the first `most` matches.
pub(super) fn all<'t>(pattern: &'static Pattern, text: &'t str, most: usize) -> Vec<&'t str> {
    let Some(regex) = ready(pattern) else { return Vec::new() };
    let groups = regex.captures_iter(text).filter_map(|found| found.iter().skip(1).flatten().next().or(found.get(0)));
    groups.take(most).map(|part| part.as_str()).collect()
}

pub(super) fn is_in(pattern: &'static Pattern, text: &str) -> bool {
    ready(pattern).is_some_and(|regex| regex.is_match(text))
}

pub(super) fn count(pattern: &'static Pattern, text: &str, most: usize) -> usize {
    ready(pattern).map_or(0, |regex| regex.find_iter(text).take(most).count())
}
