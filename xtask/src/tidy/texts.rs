//! What texts must not contain: synonyms of our words, places of one machine, keys that look alive, misnumbered tests.

use regex::Regex;

use super::Findings;
use crate::{
    Outcome,
    r#gen::requirements::{Finder, LAST},
    sources::Source,
    vocabulary::Vocabulary,
};

/// Fewer different characters than this are a pattern that somebody typed, not a key.
const KEY_LETTERS_MIN: usize = 12;
/// As many characters that follow each other, `01234567` or `abcdefgh`, come from a person: chance makes them once in 10¹².
const KEY_RUN_MIN: usize = 8;

pub(super) struct Rules {
    /// What people also say, and the word to say instead.
    banned: Vec<(String, String)>,
    places: Regex,
    keys: Regex,
    numbered: Finder,
}

impl Rules {
    pub(super) fn new(words: &Vocabulary) -> Outcome<Self> {
        let banned = words.banned().map(|(said, word)| (said.to_lowercase(), format!("{} / {}", word.zh, word.word))).collect();
        // In pieces, so that this file does not find itself.
        let places = [
            concat!("/wo", r"rk/[a-z.]"),
            concat!("/ro", r"ot/[a-z.]"),
            concat!("/ho", r"me/[a-z][a-z0-9_-]*/"),
            concat!("/Us", r"ers/[A-Za-z]+/"),
        ];
        let keys = [
            r"\bsk-(?:proj-|ant-[a-z0-9]+-|or-v1-)?([A-Za-z0-9_-]{32,})",
            r"\bAKIA([0-9A-Z]{16})\b",
            r"\bgh[pousr]_([A-Za-z0-9]{36})\b",
            r"\bAIza([A-Za-z0-9_-]{35})\b",
            r"\bxox[baprs]-([A-Za-z0-9-]{24,})",
        ];
        Ok(Self { banned, places: Regex::new(&places.join("|"))?, keys: Regex::new(&keys.join("|"))?, numbered: Finder::new()? })
    }

    pub(super) fn check(&self, source: &Source, text: &str, findings: &mut Findings) {
        if is_prose(&source.path) {
            self.synonyms(&source.path, text, findings);
        }
        if !is_corpus(&source.path) && !is_lock(&source.path) {
            for (line, at) in text.lines().zip(1..) {
                self.line(&format!("{}:{at}", source.path), line, findings);
            }
        }
        if source.is_code() && !source.path.starts_with("xtask/") {
            self.numbers(&source.path, text, findings);
        }
    }

    fn synonyms(&self, path: &str, text: &str, findings: &mut Findings) {
        for (line, at) in text.lines().zip(1..) {
            let lower = line.to_lowercase();
            for (said, word) in self.banned.iter().filter(|(said, _)| lower.contains(said.as_str())) {
                findings.fault(&format!("{path}:{at}"), format!("`{said}`: say {word}"));
            }
        }
    }

    fn line(&self, place: &str, line: &str, findings: &mut Findings) {
        if let Some(found) = self.places.find(line).filter(|_| !is_paste(place)) {
            findings.fault(place, format!("`{}` is a place of one machine", found.as_str()));
        }
        let alive = |found: regex::Captures<'_>| found.iter().skip(1).flatten().any(|secret| !is_invented(secret.as_str()));
        // weir's own invented keys have their own shape and check; what is looked for is other people's.
        if !line.contains("sk-wr-") && self.keys.captures_iter(line).any(alive) {
            findings.fault(place, "this looks like a live key: use one that is plainly invented");
        }
    }

    fn numbers(&self, path: &str, text: &str, findings: &mut Findings) {
        for test in self.numbered.find(text) {
            let well_formed =
                |digits: &String| !digits.starts_with('0') && digits.parse::<u16>().is_ok_and(|number| (1..=LAST).contains(&number));
            if test.numbers.is_empty() || !test.numbers.iter().all(well_formed) {
                findings.fault(path, format!("`{}`: a requirement's number is r1 to r{LAST}, then what holds", test.name));
            }
        }
    }
}

/// Read by people, and not the list that names the synonyms.
fn is_prose(path: &str) -> bool {
    let read = path.starts_with("handbook/") || path.starts_with("README") || path == "catalog/verdicts.toml";
    read && !path.ends_with("/vocabulary.md")
}

/// Holds planted secrets and paths on purpose.
/// What people paste has the folders of their machines in it; these people are invented.
fn is_paste(path: &str) -> bool {
    path.contains("/fixtures/pastes/")
}

fn is_corpus(path: &str) -> bool {
    path.contains("corpus") || path.contains("redact")
}

fn is_lock(path: &str) -> bool {
    path.ends_with(".lock") || path.ends_with("package-lock.json")
}

/// Whether a key is plainly no one's.
fn is_invented(secret: &str) -> bool {
    let follows = |run: &[u8]| run.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    letters(secret) < KEY_LETTERS_MIN || secret.as_bytes().windows(KEY_RUN_MIN).any(follows)
}

/// How many different characters a text has.
fn letters(text: &str) -> usize {
    let mut seen: Vec<_> = text.chars().collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn found(path: &str, text: &str) -> usize {
        let words: Vocabulary = toml::from_str(
            "not_words = []\nexit = []\nretry = {}\nscenario = {}\nowner = {}\nlevel = {}\nclass = {}\n\
             [[word]]\nword = \"Cut\"\nzh = \"中断\"\nmeaning = { zh = \"停\", en = \"stopped\" }\nbanned = [\"掉线\", \"Dropped stream\"]\n",
        )
        .unwrap();
        let mut findings = Findings::default();
        Rules::new(&words).unwrap().check(&Source { path: path.into(), full: PathBuf::new() }, text, &mut findings);
        findings.faults.len()
    }

    #[test]
    fn r68_a_synonym_is_found_in_what_people_read_and_nowhere_else() {
        assert_eq!(found("handbook/zh/a.md", "连接掉线了"), 1);
        assert_eq!(found("README.md", "a dropped stream"), 1);
        assert_eq!(found("handbook/zh/vocabulary.md", "掉线"), 0);
        assert_eq!(found("crates/a/src/a.rs", "// 掉线"), 0);
    }

    #[test]
    fn a_place_of_one_machine_is_found() {
        assert_eq!(found("a.md", concat!("see /wo", "rk/main")), 1);
        assert_eq!(found("a.md", "GET /v1/workflows and /workers"), 0);
    }

    #[test]
    fn a_key_that_looks_alive_is_found_and_an_invented_one_is_not() {
        let alive = format!("sk-{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6");
        assert_eq!(found("tests/a.json", &alive), 1);
        assert_eq!(found("tests/corpus.json", &alive), 0);
        assert_eq!(found("tests/a.json", &format!("sk-{}", "x".repeat(40))), 0);
        assert_eq!(found("tests/a.json", &format!("sk-proj-{}", "0123456789abcdef0123456789abcdef")), 0);
    }

    #[test]
    fn a_requirement_that_does_not_exist_is_found() {
        assert_eq!(found("crates/a/src/a.rs", "fn r79_x() {}"), 1);
        assert_eq!(found("crates/a/src/a.rs", "fn r07_x() {}"), 1);
        assert_eq!(found("crates/a/src/a.rs", "fn r7_x() {}"), 0);
    }
}
