//! Names of files, modules and types: none that says that the noun has not been found yet.

use std::path::Path;

use regex::Regex;

use super::Findings;
use crate::{Outcome, vocabulary::Vocabulary};

/// What declares a name of ours. A `type` that is indented belongs to a trait, and its name to whoever wrote that.
const DECLARED: &str =
    r"(?m)^(?:\s*(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:struct|enum|union|trait|mod)|(?:pub(?:\([^)]*\))?\s+)?type)\s+(\w+)";

pub(super) struct Rules {
    not_words: Vec<String>,
    declared: Regex,
}

impl Rules {
    pub(super) fn new(words: &Vocabulary) -> Outcome<Self> {
        let declared = Regex::new(DECLARED)?;
        Ok(Self { not_words: words.not_words.clone(), declared })
    }

    /// Folders and the stem of the file, each split at its borders.
    pub(super) fn path(&self, path: &str, findings: &mut Findings) {
        if !matches!(Path::new(path).extension().and_then(|text| text.to_str()), Some("rs" | "py" | "js" | "mjs" | "ts")) {
            return;
        }
        let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
        if let Some(word) = stem.split('/').find_map(|part| self.not_word(part)) {
            findings.fault(path, format!("`{word}` is not a name: find the noun"));
        }
    }

    pub(super) fn types(&self, path: &str, text: &str, findings: &mut Findings) {
        for found in self.declared.captures_iter(text) {
            let name = &found[1];
            if let Some(word) = self.not_word(name) {
                findings.fault(path, format!("`{name}`: `{word}` is not a name, find the noun"));
            }
        }
    }

    fn not_word(&self, name: &str) -> Option<&str> {
        let parts = split(name);
        self.not_words.iter().find(|word| parts.contains(word)).map(String::as_str)
    }
}

/// The words of a name in snake, kebab or camel case, in lower case.
fn split(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if matches!(letter, '_' | '-' | '.') || letter.is_uppercase() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let not_words = ["manager", "data", "info", "util"].map(String::from).into();
        let declared = Regex::new(DECLARED).unwrap();
        Rules { not_words, declared }
    }

    #[test]
    fn a_name_is_judged_by_its_whole_words() {
        assert_eq!(split("StreamDataLine"), ["stream", "data", "line"]);
        assert_eq!(rules().not_word("data_lines"), Some("data"));
        assert_eq!(rules().not_word("Database"), None);
        assert_eq!(rules().not_word("KeyManager"), Some("manager"));
    }

    #[test]
    fn only_files_modules_and_types_are_names_here() {
        let mut findings = Findings::default();
        rules().types(
            "a.rs",
            "pub(crate) struct Store { pub data_lines: u32 }\n    type Data = Bytes;\nfn f(data: &str) { let info = \"data:\"; }",
            &mut findings,
        );
        rules().path("crates/a/src/data_lines.md", &mut findings);
        assert!(findings.faults.is_empty(), "{findings:?}");
        rules().types("a.rs", "mod util;\npub struct CallInfo;", &mut findings);
        rules().path("crates/a/src/data.rs", &mut findings);
        assert_eq!(findings.faults.len(), 3);
    }
}
