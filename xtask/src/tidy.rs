//! Guards taste: what no compiler checks and every reader notices. One fault a line, each with its file.

mod names;
mod texts;

use std::{fs, path::Path};

use regex::Regex;

use crate::{
    Outcome, r#gen,
    sources::{self, Source},
    vocabulary,
};

/// Packages in the lock file. Dependencies are guests: raising the number is a decision that a review sees.
const LOCK_BUDGET: usize = 245;
/// A longer file is two things.
const LINES_MAX: usize = 800;
/// A longer file is noticed.
const LINES_NOTICED: usize = 400;
/// Nothing that a person reads or edits is larger.
const BYTES_MAX: u64 = 1 << 20;

/// Faults found so far, and remarks that do not fail.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    faults: Vec<String>,
    notices: Vec<String>,
}

impl Findings {
    pub(crate) fn fault(&mut self, place: &str, text: impl std::fmt::Display) {
        self.faults.push(format!("{place}: {text}"));
    }

    fn notice(&mut self, place: &str, text: impl std::fmt::Display) {
        self.notices.push(format!("{place}: {text}"));
    }
}

pub(crate) fn run(root: &Path) -> Outcome {
    let mut findings = Findings::default();
    let (sources, words) = (sources::all(root)?, vocabulary::read(root)?);
    let names = names::Rules::new(&words)?;
    let texts = texts::Rules::new(&words)?;
    let waivers = Regex::new(r"#!?\[(?s:[^\]]*?)\b(?:expect|allow)\((?s:.*?)\)\]")?;
    for source in &sources {
        size(source, &mut findings)?;
        names.path(&source.path, &mut findings);
        let Some(text) = source.text() else { continue };
        if source.extension() == "rs" {
            header(&source.path, &text, &mut findings);
            waived(&waivers, &source.path, &text, &mut findings);
            names.types(&source.path, &text, &mut findings);
        }
        length(source, &text, &mut findings);
        texts.check(source, &text, &mut findings);
    }
    lock(root, &mut findings)?;
    if let Err(error) = r#gen::check(root) {
        findings.faults.push(error.to_string());
    }
    report(&findings, sources.len())
}

fn report(findings: &Findings, files: usize) -> Outcome {
    for notice in &findings.notices {
        println!("notice: {notice}");
    }
    if findings.faults.is_empty() {
        println!("tidy: {files} files, nothing to mend");
        return Ok(());
    }
    Err(format!("tidy: {} to mend\n  {}", findings.faults.len(), findings.faults.join("\n  ")).into())
}

fn size(source: &Source, findings: &mut Findings) -> Outcome {
    let bytes = fs::metadata(&source.full)?.len();
    if bytes > BYTES_MAX {
        findings.fault(&source.path, format!("{bytes} bytes, {BYTES_MAX} are allowed"));
    }
    Ok(())
}

fn header(path: &str, text: &str, findings: &mut Findings) {
    if !text.starts_with("//! ") {
        findings.fault(path, "its first line says its purpose: `//! …`");
    }
}

fn waived(waivers: &Regex, path: &str, text: &str, findings: &mut Findings) {
    for found in waivers.find_iter(text).filter(|found| !found.as_str().contains("reason")) {
        let line = text[..found.start()].lines().count() + 1;
        findings.fault(&format!("{path}:{line}"), "a waived lint has a reason");
    }
}

fn length(source: &Source, text: &str, findings: &mut Findings) {
    let generated = text.lines().next().is_some_and(|line| line.contains("Generated from"));
    if !source.is_code() || generated {
        return;
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.fault(&source.path, format!("{lines} lines, {LINES_MAX} are allowed: it is two things"));
    } else if lines > LINES_NOTICED {
        findings.notice(&source.path, format!("{lines} lines"));
    }
}

fn lock(root: &Path, findings: &mut Findings) -> Outcome {
    let packages = fs::read_to_string(root.join("Cargo.lock"))?.matches("[[package]]").count();
    if packages > LOCK_BUDGET {
        findings.fault("Cargo.lock", format!("{packages} packages, the budget is {LOCK_BUDGET}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(check: impl FnOnce(&mut Findings)) -> Vec<String> {
        let mut findings = Findings::default();
        check(&mut findings);
        findings.faults
    }

    #[test]
    fn a_file_without_a_purpose_is_named() {
        assert_eq!(faults(|to| header("a.rs", "use std::fs;", to)), ["a.rs: its first line says its purpose: `//! …`"]);
        assert!(faults(|to| header("a.rs", "//! Reads.\n", to)).is_empty());
    }

    #[test]
    fn a_waived_lint_without_a_reason_is_named_with_its_line() {
        let waivers = Regex::new(r"#!?\[(?s:[^\]]*?)\b(?:expect|allow)\((?s:.*?)\)\]").unwrap();
        let bare = concat!("//! A.\n#", "[allow(dead_code)]\nfn a() {}");
        assert_eq!(faults(|to| waived(&waivers, "a.rs", bare, to)), ["a.rs:2: a waived lint has a reason"]);
        let said = concat!("#", "[expect(dead_code, reason = \"said\")]\nfn a() {}");
        assert!(faults(|to| waived(&waivers, "a.rs", said, to)).is_empty());
    }

    #[test]
    fn a_long_file_is_noticed_and_a_longer_one_is_a_fault_unless_it_is_generated() {
        let source = Source { path: "a.rs".into(), full: "a.rs".into() };
        let mut findings = Findings::default();
        length(&source, &"x\n".repeat(LINES_NOTICED + 1), &mut findings);
        assert_eq!((findings.notices.len(), findings.faults.len()), (1, 0));
        length(&source, &"x\n".repeat(LINES_MAX + 1), &mut findings);
        assert_eq!(findings.faults.len(), 1);
        length(&source, &format!("//! Generated from a list.\n{}", "x\n".repeat(LINES_MAX)), &mut findings);
        assert_eq!(findings.faults.len(), 1);
    }
}
