//! The Rust side of the catalogue: the enum `Verdict` and its table of facts, formatted as rustfmt would.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::sentence;
use crate::{
    Outcome,
    catalogue::{Catalogue, Row, Words},
};

/// `verdict.rs`: the enum and `ALL`.
pub(crate) fn verdicts(root: &Path, catalogue: &Catalogue) -> Outcome<String> {
    let mut out = String::from(
        "//! What happened, as one closed list with stable codes. Generated from `catalog/verdicts.toml` by `cargo xtask gen`.\n\n\
         mod table;\n#[cfg(test)]\nmod tests;\nmod types;\n\n\
         use serde::{Deserialize, Serialize};\n\n\
         pub use self::types::{Api, Class, Example, Lang, Level, Owner, RetryWord, Scenario, Source, Words};\n\n\
         /// What happened. The code is stable; texts and advice are in the catalogue.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]\n\
         pub enum Verdict {\n",
    );
    for row in &catalogue.verdicts {
        writeln!(out, "/// {}.\n#[serde(rename = {:?})]\n{},", sentence(&row.en.cause), row.code, row.name)?;
    }
    let count = catalogue.verdicts.len();
    writeln!(out, "}}\n\nimpl Verdict {{\n/// Every verdict, in the catalogue's order.\npub const ALL: [Self; {count}] = [")?;
    for row in &catalogue.verdicts {
        writeln!(out, "Self::{},", row.name)?;
    }
    out.push_str("];\n}\n");
    formatted(root, &out)
}

/// `verdict/table.rs`: one row of facts per variant, in the enum's order.
pub(crate) fn table(root: &Path, catalogue: &Catalogue) -> Outcome<String> {
    let mut out = String::from(
        "//! What is known about every verdict, in the order of the enum. Generated from `catalog/verdicts.toml` by `cargo xtask gen`.\n\n\
         use super::{Api, Class, Example, Level, Owner, RetryWord, Source, Words, types::Facts};\n\n",
    );
    writeln!(out, "pub(super) static FACTS: [Facts; {}] = [", catalogue.verdicts.len())?;
    for row in &catalogue.verdicts {
        facts(&mut out, row)?;
    }
    out.push_str("];\n");
    formatted(root, &out)
}

fn facts(out: &mut String, row: &Row) -> Outcome {
    writeln!(
        out,
        "Facts {{ code: {:?}, class: Class::{}, level: Level::{}, owner: Owner::{},",
        row.code,
        sentence(&row.class),
        sentence(&row.level),
        sentence(&row.owner)
    )?;
    let retry: Vec<_> = row.retry.words().iter().filter_map(|word| retry_word(word)).collect();
    writeln!(out, "retry: [{}],", retry.join(", "))?;
    match &row.api {
        Some(api) => writeln!(
            out,
            "api: Some(Api {{ status: {}, code: {:?}, kind: {:?}, should_retry: {} }}),",
            api.status, api.code, api.kind, api.should_retry
        )?,
        None => out.push_str("api: None,\n"),
    }
    match (&row.scenario, &row.fixture) {
        (Some(model), _) => writeln!(out, "source: Source::Simulated({model:?}),")?,
        (None, state) => writeln!(out, "source: Source::Fixture({:?}),", state.as_deref().unwrap_or_default())?,
    }
    writeln!(out, "evidence: {:?},", row.evidence)?;
    words(out, "zh", &row.zh)?;
    words(out, "en", &row.en)?;
    out.push_str("},\n");
    Ok(())
}

fn words(out: &mut String, lang: &str, words: &Words) -> Outcome {
    writeln!(
        out,
        "{lang}: Words {{ title: {:?}, cause: {:?}, check: {:?}, never: {:?},",
        words.title, words.cause, words.check, words.never
    )?;
    writeln!(out, "observed: {:?}, check_first: &{:?},", words.observed, words.check_first)?;
    let example = &words.example;
    writeln!(out, "example: Example {{ field: {:?}, mistake: {:?}, next: {:?} }} }},", example.field, example.mistake, example.next)?;
    Ok(())
}

/// A retry word as the variant that means it; `None` if it is not one of the closed list.
pub(crate) fn retry_word(word: &str) -> Option<String> {
    let variant = match word {
        "fix" => "Fix",
        "hint+1" => "HintOnce",
        "slow" => "Slow",
        "ask" => "Ask",
        "unsent1" => "UnsentOnce",
        "split" => "Split",
        "hand" => "Hand",
        "by code" => "ByCode",
        "–" => "Nothing",
        _ => {
            let retries: u8 = word.strip_prefix("bo")?.parse().ok()?;
            return Some(format!("RetryWord::Backoff({retries})"));
        }
    };
    Some(format!("RetryWord::{variant}"))
}

/// What rustfmt makes of it.
pub(super) fn formatted(root: &Path, source: &str) -> Outcome<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("rustfmt: {error}"))?;
    if let Some(mut stdin) = rustfmt.stdin.take() {
        stdin.write_all(source.as_bytes())?;
    }
    let output = rustfmt.wait_with_output()?;
    if !output.status.success() {
        return Err("rustfmt refused the generated source".into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
