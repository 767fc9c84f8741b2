//! The catalogue as values: reads `catalog/*.toml`, the one source of codes, wording, vocabulary and requirements, and says what is wrong with it.

use std::{collections::BTreeSet, fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};

use crate::Outcome;

/// What fits on one line of a terminal beside its label.
pub(crate) const SLOT_CHARS: usize = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    #[serde(rename = "verdict")]
    pub(crate) verdicts: Vec<Row>,
}

/// One verdict as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) level: String,
    pub(crate) owner: String,
    pub(crate) evidence: String,
    pub(crate) retry: Retry,
    pub(crate) scenario: Option<String>,
    pub(crate) fixture: Option<String>,
    pub(crate) api: Option<Api>,
    pub(crate) zh: Words,
    pub(crate) en: Words,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    #[serde(rename = "S")]
    pub(crate) short_chat: String,
    #[serde(rename = "B")]
    pub(crate) batch: String,
    #[serde(rename = "V")]
    pub(crate) media_task: String,
    #[serde(rename = "K")]
    pub(crate) shared_key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    pub(crate) status: u16,
    pub(crate) code: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) should_retry: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) cause: String,
    pub(crate) check: String,
    pub(crate) never: String,
    pub(crate) observed: String,
    pub(crate) check_first: Vec<String>,
    pub(crate) example: Example,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Example {
    pub(crate) field: String,
    pub(crate) mistake: String,
    pub(crate) next: String,
}

impl Retry {
    pub(crate) fn words(&self) -> [&str; 4] {
        [&self.short_chat, &self.batch, &self.media_task, &self.shared_key]
    }
}

impl Row {
    /// Both languages with their folder names.
    pub(crate) fn languages(&self) -> [(&'static str, &Words); 2] {
        [("zh", &self.zh), ("en", &self.en)]
    }
}

/// Reads and parses one file of the catalogue; the error names it.
pub(crate) fn read<T: DeserializeOwned>(root: &Path, file: &str) -> Outcome<T> {
    let path = root.join("catalog").join(file);
    let text = fs::read_to_string(&path).map_err(|error| format!("catalog/{file}: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("catalog/{file}: {error}").into())
}

/// The verdicts, checked.
pub(crate) fn verdicts(root: &Path) -> Outcome<Catalogue> {
    let catalogue: Catalogue = read(root, "verdicts.toml")?;
    let faults = faults(&catalogue);
    if faults.is_empty() { Ok(catalogue) } else { Err(format!("catalog/verdicts.toml:\n  {}", faults.join("\n  ")).into()) }
}

/// Everything that is wrong with the rows, one line each.
pub(crate) fn faults(catalogue: &Catalogue) -> Vec<String> {
    let mut found = Vec::new();
    let (mut codes, mut names, mut api_codes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in &catalogue.verdicts {
        let mut fault = |text: String| found.push(format!("{}: {text}", row.code));
        if !codes.insert(&row.code) || !names.insert(&row.name) {
            fault("its code or name is used twice".into());
        }
        if row.api.as_ref().is_some_and(|api| !api_codes.insert(&api.code)) {
            fault("its api code is used twice".into());
        }
        if row.scenario.is_some() == row.fixture.is_some() {
            fault("needs either a scenario or a fixture".into());
        }
        if row.scenario.as_ref().is_some_and(|model| !model.starts_with("sim:")) {
            fault("a scenario is a model of the simulator, `sim:…`".into());
        }
        for word in row.retry.words() {
            if crate::r#gen::rust::retry_word(word).is_none() {
                fault(format!("`{word}` is not a retry word"));
            }
        }
        for (lang, words) in row.languages() {
            for (slot, text) in slots(words) {
                if text.trim().is_empty() || text.chars().count() > SLOT_CHARS {
                    fault(format!("{lang}.{slot} has {} characters, 1 to {SLOT_CHARS} fit", text.chars().count()));
                }
            }
            for (slot, text) in paragraphs(words) {
                if text.trim().is_empty() {
                    fault(format!("{lang}.{slot} is empty"));
                }
            }
            if words.check_first.is_empty() {
                fault(format!("{lang}.check_first has no step"));
            }
        }
        if row.zh.check_first.len() != row.en.check_first.len() {
            fault("both languages list the same steps".into());
        }
    }
    found
}

fn slots(words: &Words) -> [(&'static str, &str); 4] {
    [("title", &words.title), ("cause", &words.cause), ("check", &words.check), ("never", &words.never)]
}

fn paragraphs(words: &Words) -> [(&'static str, &str); 4] {
    let Example { field, mistake, next } = &words.example;
    [("observed", &words.observed), ("example.field", field), ("example.mistake", mistake), ("example.next", next)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::r#gen::rust;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn there() -> Catalogue {
        verdicts(root()).unwrap()
    }

    /// What is said about a catalogue after one change to its first row.
    fn after(change: impl FnOnce(&mut Row)) -> Vec<String> {
        let mut catalogue = there();
        change(&mut catalogue.verdicts[0]);
        faults(&catalogue)
    }

    #[test]
    fn the_catalogue_has_no_fault_and_an_incomplete_row_has_one() {
        assert_eq!(faults(&there()), Vec::<String>::new());
        assert_eq!(after(|row| row.zh.title.clear()), ["W-OK-001: zh.title has 0 characters, 1 to 60 fit"]);
        assert_eq!(after(|row| row.en.never = "x".repeat(61)), ["W-OK-001: en.never has 61 characters, 1 to 60 fit"]);
        assert_eq!(after(|row| row.scenario = None), ["W-OK-001: needs either a scenario or a fixture"]);
        assert_eq!(after(|row| row.retry.batch = "often".into()), ["W-OK-001: `often` is not a retry word"]);
        assert_eq!(after(|row| row.zh.check_first.truncate(1)), ["W-OK-001: both languages list the same steps"]);
        assert_eq!(after(|row| row.en.example.next.clear()), ["W-OK-001: en.example.next is empty"]);
        assert_eq!(after(|row| row.code = "W-NET-001".into()), ["W-NET-001: its code or name is used twice"]);
    }

    #[test]
    fn a_removed_row_makes_the_generated_enum_stale() {
        let mut catalogue = there();
        let enum_file = fs::read_to_string(root().join("crates/weir-core/src/verdict.rs")).unwrap();
        assert_eq!(rust::verdicts(root(), &catalogue).unwrap(), enum_file);
        catalogue.verdicts.remove(3);
        assert_ne!(rust::verdicts(root(), &catalogue).unwrap(), enum_file);
    }
}
