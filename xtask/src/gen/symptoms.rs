//! The table of what pasted texts say happened on the way, from `catalog/symptoms.toml`.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use serde::Deserialize;

use super::{
    errors::{names_in, pattern, plain_of},
    rust::formatted,
    sentence,
};
use crate::{
    Outcome,
    catalogue::{self, Catalogue},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Symptoms {
    lexicon: BTreeMap<String, String>,
    report: Vec<Sign>,
    symptom: Vec<Sign>,
    mark: Vec<Mark>,
}

/// A report of a program or a sentence of a person.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sign {
    verdict: String,
    words: String,
    and: String,
    unless: String,
    sure: Option<String>,
    also: Option<String>,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    program: String,
    marks: Vec<String>,
    verdict: String,
    #[serde(default)]
    sure: Option<String>,
}

/// Reads and checks `catalog/symptoms.toml`.
pub(crate) fn read(root: &Path, verdicts: &Catalogue) -> Outcome<Symptoms> {
    let symptoms: Symptoms = catalogue::read(root, "symptoms.toml")?;
    let faults = faults(&symptoms, verdicts);
    if faults.is_empty() { Ok(symptoms) } else { Err(format!("catalog/symptoms.toml:\n  {}", faults.join("\n  ")).into()) }
}

fn faults(symptoms: &Symptoms, verdicts: &Catalogue) -> Vec<String> {
    let mut found = Vec::new();
    let is_known = |code: &String| verdicts.verdicts.iter().any(|row| row.code == *code);
    let is_sure = |sure: &Option<String>| sure.as_deref().is_none_or(|sure| ["likely", "guess"].contains(&sure));
    for sign in symptoms.report.iter().chain(&symptoms.symptom) {
        let mut fault = |what: &str| found.push(format!("{} {:.40}: {what}", sign.verdict, sign.words));
        if !is_known(&sign.verdict) || sign.also.as_ref().is_some_and(|code| !is_known(code)) {
            fault("gives a verdict that is not in the catalogue");
        }
        if sign.words.is_empty() {
            fault("has nothing to go by");
        }
        if !is_sure(&sign.sure) {
            fault("`sure` is likely or guess");
        }
        for words in [&sign.words, &sign.and, &sign.unless] {
            if let Some(name) = names_in(&plain_of(words, &symptoms.lexicon)).next() {
                fault(&format!("{{{name}}} is not in the lexicon"));
            }
        }
    }
    found.extend(symptoms.report.iter().filter(|sign| sign.source.is_empty()).map(|sign| format!("{}: says no source", sign.verdict)));
    let odd = |sign: &&Sign| sign.sure.is_some() || sign.also.is_some();
    found.extend(symptoms.symptom.iter().filter(odd).map(|sign| format!("{}: a sentence is a guess and no more", sign.verdict)));
    let odd = |mark: &&Mark| !is_known(&mark.verdict) || !is_sure(&mark.sure) || mark.marks.is_empty();
    found.extend(symptoms.mark.iter().filter(odd).map(|mark| format!("{} {:?}: is not right", mark.program, mark.marks)));
    found
}

/// `triage/table.rs`.
pub(crate) fn table(root: &Path, symptoms: &Symptoms, verdicts: &Catalogue) -> Outcome<String> {
    let named = |code: &str| {
        let row = verdicts.verdicts.iter().find(|row| row.code == code);
        row.map_or_else(String::new, |row| format!("Verdict::{}", row.name))
    };
    let mut out = String::from(
        "//! What pasted texts say happened on the way, in the order of looking. Generated from `catalog/symptoms.toml` by `cargo xtask gen`.\n\n\
         use weir_core::{Verdict, evidence::Confidence};\n\nuse super::sign::{Mark, Sign};\n\n",
    );
    for (name, signs, usual) in [("REPORTS", &symptoms.report, "likely"), ("SYMPTOMS", &symptoms.symptom, "guess")] {
        writeln!(out, "pub(super) static {name}: [Sign; {}] = [", signs.len())?;
        for sign in signs {
            let words = [&sign.words, &sign.and, &sign.unless].map(|words| pattern(words, &symptoms.lexicon));
            let sure = sentence(sign.sure.as_deref().unwrap_or(usual));
            let also = sign.also.as_ref().map_or_else(|| "None".to_owned(), |code| format!("Some({})", named(code)));
            writeln!(
                out,
                "Sign {{ verdict: {}, words: r##\"{}\"##, and: r##\"{}\"##, unless: r##\"{}\"##, sure: Confidence::{sure}, also: {also} }},",
                named(&sign.verdict),
                words[0],
                words[1],
                words[2]
            )?;
        }
        out.push_str("];\n\n");
    }
    writeln!(out, "pub(super) static MARKS: [Mark; {}] = [", symptoms.mark.len())?;
    for Mark { program, marks, verdict, sure } in &symptoms.mark {
        let (verdict, sure) = (named(verdict), sentence(sure.as_deref().unwrap_or("likely")));
        writeln!(out, "Mark {{ program: {program:?}, marks: &{marks:?}, verdict: {verdict}, sure: Confidence::{sure} }},")?;
    }
    out.push_str("];\n");
    formatted(root, &out)
}
