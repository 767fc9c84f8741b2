//! Makes every generated file from the catalogue, or checks that what is there equals what would be made.

mod errors;
mod pages;
pub(crate) mod requirements;
pub(crate) mod rust;
mod symptoms;
mod vocabulary;

use std::{fs, path::Path};

use crate::{
    Outcome, catalogue,
    vocabulary::{Lang, read},
};

/// A generated file: its path from the root, and what must be in it.
pub(crate) struct Made {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Everything that is generated.
pub(crate) fn all(root: &Path) -> Outcome<Vec<Made>> {
    let (verdicts, words) = (catalogue::verdicts(root)?, read(root)?);
    let faults = words.faults(&verdicts);
    if !faults.is_empty() {
        return Err(format!("catalog/vocabulary.toml:\n  {}", faults.join("\n  ")).into());
    }
    let errors = errors::read(root, &verdicts)?;
    let symptoms = symptoms::read(root, &verdicts)?;
    let mut made = vec![
        Made { path: "crates/weir-core/src/verdict.rs".into(), text: rust::verdicts(root, &verdicts)? },
        Made { path: "crates/weir-core/src/verdict/table.rs".into(), text: rust::table(root, &verdicts)? },
        Made { path: "crates/weir-wire/src/classify/table.rs".into(), text: errors::table(root, &errors, &verdicts)? },
        Made { path: "crates/weir-doctor/src/triage/table.rs".into(), text: symptoms::table(root, &symptoms, &verdicts)? },
        Made { path: "docs/requirements.md".into(), text: requirements::page(root)? },
    ];
    for lang in Lang::BOTH {
        made.push(Made { path: format!("handbook/{}/vocabulary.md", lang.folder()), text: vocabulary::page(lang, &words)? });
        made.push(Made { path: pages::path(lang, "index"), text: pages::index(lang, &verdicts, &words)? });
        for row in &verdicts.verdicts {
            made.push(Made { path: pages::path(lang, &row.code), text: pages::code(lang, row, &verdicts, &words)? });
        }
    }
    Ok(made)
}

/// Writes what differs.
pub(crate) fn write(root: &Path) -> Outcome {
    let (mut changed, made) = (0, all(root)?);
    for file in &made {
        let path = root.join(&file.path);
        if fs::read_to_string(&path).is_ok_and(|there| there == file.text) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, &file.text)?;
        println!("wrote {}", file.path);
        changed += 1;
    }
    println!("gen: {} files, {changed} written", made.len());
    Ok(())
}

/// Fails on every file that differs, naming it.
pub(crate) fn check(root: &Path) -> Outcome {
    let stale: Vec<_> = all(root)?
        .into_iter()
        .filter(|file| !fs::read_to_string(root.join(&file.path)).is_ok_and(|there| there == file.text))
        .map(|file| file.path)
        .collect();
    if stale.is_empty() { Ok(()) } else { Err(format!("not as generated, run `cargo xtask gen`:\n  {}", stale.join("\n  ")).into()) }
}

/// The first letter in upper case.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
