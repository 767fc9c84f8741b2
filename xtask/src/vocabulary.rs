//! The word list of `catalog/vocabulary.toml`: words of ours, what people say instead, and how labels read in both languages.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use crate::{
    Outcome,
    catalogue::{self, Catalogue},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vocabulary {
    pub(crate) not_words: Vec<String>,
    #[serde(rename = "word")]
    pub(crate) words: Vec<Word>,
    pub(crate) retry: Labels,
    pub(crate) scenario: Labels,
    pub(crate) owner: Labels,
    pub(crate) level: Labels,
    pub(crate) class: Labels,
    #[serde(rename = "exit")]
    pub(crate) exits: Vec<Exit>,
}

pub(crate) type Labels = BTreeMap<String, Pair>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Word {
    pub(crate) word: String,
    pub(crate) zh: String,
    pub(crate) meaning: Pair,
    #[serde(default)]
    pub(crate) banned: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exit {
    pub(crate) code: u8,
    pub(crate) zh: String,
    pub(crate) en: String,
}

/// One text in both languages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    pub(crate) zh: String,
    pub(crate) en: String,
}

/// The two languages a page is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    Zh,
    En,
}

impl Lang {
    pub(crate) const BOTH: [Self; 2] = [Self::Zh, Self::En];

    pub(crate) fn folder(self) -> &'static str {
        self.pick("zh", "en")
    }

    pub(crate) fn pick<'a, T: ?Sized>(self, zh: &'a T, en: &'a T) -> &'a T {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}

impl Pair {
    pub(crate) fn text(&self, lang: Lang) -> &str {
        lang.pick(&self.zh, &self.en)
    }
}

/// The word list.
pub(crate) fn read(root: &Path) -> Outcome<Vocabulary> {
    catalogue::read(root, "vocabulary.toml")
}

impl Vocabulary {
    /// Words that the catalogue uses and the list does not explain, one line each.
    pub(crate) fn faults(&self, catalogue: &Catalogue) -> Vec<String> {
        let mut found = Vec::new();
        for row in &catalogue.verdicts {
            let used = [("class", &row.class, &self.class), ("level", &row.level, &self.level), ("owner", &row.owner, &self.owner)];
            for (kind, word, labels) in used {
                if !labels.contains_key(word) {
                    found.push(format!("{}: {kind} `{word}` is not in the vocabulary", row.code));
                }
            }
            for word in row.retry.words() {
                if !self.retry.contains_key(word) {
                    found.push(format!("{}: retry word `{word}` is not in the vocabulary", row.code));
                }
            }
        }
        found
    }

    /// What people also say, with the word to say instead.
    pub(crate) fn banned(&self) -> impl Iterator<Item = (&str, &Word)> {
        self.words.iter().flat_map(|word| word.banned.iter().map(move |banned| (banned.as_str(), word)))
    }
}
