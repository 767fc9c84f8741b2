//! The table of how upstreams' errors are recognised, from `catalog/errors.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use serde::Deserialize;

use super::{rust::formatted, sentence};
use crate::{
    Outcome,
    catalogue::{self, Catalogue},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Errors {
    /// What many vendors say in many ways, by a name.
    lexicon: BTreeMap<String, String>,
    vendor: Vec<Vendor>,
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Vendor {
    name: String,
    hosts: Vec<String>,
    headers: Vec<String>,
    words: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    id: String,
    class: String,
    verdict: Option<String>,
    vendor: Option<String>,
    statuses: Vec<u16>,
    codes: Vec<String>,
    words: String,
    page: bool,
    bare: bool,
    over: bool,
    broad: bool,
    sure: Option<String>,
    source: String,
}

/// Reads and checks `catalog/errors.toml`.
pub(crate) fn read(root: &Path, verdicts: &Catalogue) -> Outcome<Errors> {
    let errors: Errors = catalogue::read(root, "errors.toml")?;
    let faults = faults(&errors, verdicts);
    if faults.is_empty() { Ok(errors) } else { Err(format!("catalog/errors.toml:\n  {}", faults.join("\n  ")).into()) }
}

fn faults(errors: &Errors, verdicts: &Catalogue) -> Vec<String> {
    let mut found = Vec::new();
    let names: BTreeSet<_> = errors.vendor.iter().map(|vendor| vendor.name.as_str()).collect();
    if names.len() != errors.vendor.len() || names.contains("") {
        found.push("each vendor has a name of its own".to_owned());
    }
    let mut ids = BTreeSet::new();
    for rule in &errors.rule {
        let mut fault = |what: &str| found.push(format!("rule {:?}: {what}", rule.id));
        if rule.id.is_empty() || !ids.insert(&rule.id) {
            fault("its id is missing or used twice");
        }
        if rule.source.is_empty() {
            fault("says no source");
        }
        if rule.vendor.as_deref().is_some_and(|vendor| !names.contains(vendor)) {
            fault("is about a vendor that is not listed");
        }
        if rule.verdict.as_ref().is_some_and(|code| !verdicts.verdicts.iter().any(|row| row.code == *code)) {
            fault("gives a verdict that is not in the catalogue");
        }
        if rule.codes.iter().any(|code| *code != code.to_lowercase()) {
            fault("a code is not in lower case, so nothing can equal it");
        }
        if rule.sure.as_deref().is_some_and(|sure| !["certain", "likely", "guess"].contains(&sure)) {
            fault("`sure` is certain, likely or guess");
        }
        if let Some(name) = names_in(&plain_of(&rule.words, &errors.lexicon)).next() {
            fault(&format!("{{{name}}} is not in the lexicon"));
        }
        if rule.codes.is_empty() && rule.words.is_empty() && rule.statuses.is_empty() {
            fault("has nothing to go by");
        }
    }
    found
}

/// `classify/table.rs`.
pub(crate) fn table(root: &Path, errors: &Errors, verdicts: &Catalogue) -> Outcome<String> {
    let mut out = String::from(
        "//! How upstreams' errors are recognised, in the order of looking. Generated from `catalog/errors.toml` by `cargo xtask gen`.\n\n\
         use weir_core::{Verdict, evidence::Confidence};\n\nuse super::{UpstreamClass, rules::{Rule, VendorRow}};\n\n",
    );
    writeln!(out, "pub(super) static VENDORS: [VendorRow; {}] = [", errors.vendor.len())?;
    for vendor in &errors.vendor {
        let Vendor { name, hosts, headers, .. } = vendor;
        let words = byte_pattern(&vendor.words, &errors.lexicon);
        writeln!(out, "VendorRow {{ name: {name:?}, hosts: &{hosts:?}, headers: &{headers:?}, words: r##\"{words}\"## }},")?;
    }
    writeln!(out, "];\n\npub(super) static RULES: [Rule; {}] = [", errors.rule.len())?;
    for rule in &errors.rule {
        let verdict = rule.verdict.as_ref().and_then(|code| verdicts.verdicts.iter().find(|row| row.code == *code));
        let verdict = verdict.map_or_else(|| "None".to_owned(), |row| format!("Some(Verdict::{})", row.name));
        let sure = rule.sure.as_deref().map_or_else(|| "None".to_owned(), |sure| format!("Some(Confidence::{})", sentence(sure)));
        let class: String = rule.class.split('_').map(sentence).collect();
        let Rule { id, vendor, statuses, codes, page, bare, over, broad, .. } = rule;
        let (words, joined) = (byte_pattern(&rule.words, &errors.lexicon), names_in(&rule.words).next().is_some());
        writeln!(
            out,
            "Rule {{ id: {id:?}, class: UpstreamClass::{class}, verdict: {verdict}, vendor: {vendor:?}, statuses: &{statuses:?}, \
             codes: &{codes:?}, words: r##\"{words}\"##, page: {page}, bare: {bare}, over: {over}, broad: {broad}, joined: {joined}, sure: {sure} }},"
        )?;
    }
    out.push_str("];\n");
    formatted(root, &out)
}

/// A pattern as the matcher of bytes takes it.
fn byte_pattern(words: &str, lexicon: &BTreeMap<String, String>) -> String {
    any_char_by_bytes(&pattern(words, lexicon))
}

/// A pattern as a matcher of text takes it.
pub(super) fn pattern(words: &str, lexicon: &BTreeMap<String, String>) -> String {
    plain_classes(&plain_of(words, lexicon))
}

/// A pattern with the lexicon's names replaced; an entry may name others, one level deep.
pub(super) fn plain_of(words: &str, lexicon: &BTreeMap<String, String>) -> String {
    let replaced = |text: String| lexicon.iter().fold(text, |text, (name, says)| text.replace(&format!("{{{name}}}"), says));
    replaced(replaced(words.to_owned()))
}

/// Names in braces; a count in braces begins with a digit.
pub(super) fn names_in(words: &str) -> impl Iterator<Item = &str> {
    let inside = words.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
    inside.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// Digits, letters and borders of ASCII only: the evidence is in lower case, and all of Unicode's make the set five times as dear.
fn plain_classes(words: &str) -> String {
    let words = words.replace(r"\d", "[0-9]").replace(r"\W", "[^a-z0-9_]").replace(r"\w", "[a-z0-9_]");
    words.replace(r"\s", r"[ \t\r\n]").replace(r"\b", r"(?-u:\b)")
}

/// "Any character" and "any but these" as a leading byte and the bytes that continue it: the same characters of UTF-8, at a third of
/// the cost of the ranges of Unicode. The matcher takes bytes.
fn any_char_by_bytes(words: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(words.len() * 2), words);
    while let Some(c) = rest.chars().next() {
        let class_end = || rest[2..].find(']').map(|at| at + 2);
        match c {
            '\\' => {
                let two = rest.chars().take(2).map(char::len_utf8).sum();
                out.push_str(&rest[..two]);
                rest = &rest[two..];
                continue;
            }
            '.' => out.push_str(r"(?-u:[^\x80-\xBF][\x80-\xBF]*)"),
            '[' if rest.starts_with("[^") && class_end().is_some_and(|end| rest[2..end].is_ascii()) => {
                let end = class_end().unwrap_or(rest.len());
                out.push_str(&format!(r"(?-u:[^{}\x80-\xBF][\x80-\xBF]*)", &rest[2..end]));
                rest = &rest[end + 1..];
                continue;
            }
            '[' => {
                let end = rest.find(']').unwrap_or(rest.len() - 1);
                out.push_str(&rest[..=end]);
                rest = &rest[end + 1..];
                continue;
            }
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_character_is_written_as_its_bytes_and_nothing_else_changes() {
        let any = r"(?-u:[^\x80-\xBF][\x80-\xBF]*)";
        let table = [
            ("a.b", format!("a{any}b")),
            (r"a\.b[.c]", r"a\.b[.c]".to_owned()),
            (r#"x[^" ]{0,4}y"#, r#"x(?-u:[^" \x80-\xBF][\x80-\xBF]*){0,4}y"#.to_owned()),
            ("余额[^，]不足", "余额[^，]不足".to_owned()),
        ];
        for (words, written) in table {
            assert_eq!(any_char_by_bytes(words), written);
        }
    }
}
