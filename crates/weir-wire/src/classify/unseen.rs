//! What the rules would get on vendors that nobody has seen: each vendor of the lists is sorted without what only its own errors
//! taught. A machine word, or one alternative of a pattern, that no other vendor's error has is not looked at, nor is a rule of that
//! vendor alone.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Captures, Regex, bytes::RegexSet};
use serde_json::Value;

use super::{
    Classified, UpstreamError, Vendor,
    accuracy::{Labelled, Mark, every, mark, told_in},
    classified,
    rules::{Found, looks, set, walk},
    table::RULES,
    verdict::told_of,
};

/// One alternative of a rule's pattern, or one of its machine words.
struct Atom {
    rule: usize,
    code: Option<&'static str>,
    words: String,
}

fn atoms() -> Vec<Atom> {
    let mut atoms = Vec::new();
    for (at, rule) in RULES.iter().enumerate() {
        atoms.extend(rule.codes.iter().map(|code| Atom { rule: at, code: Some(code), words: String::new() }));
        atoms.extend(alternatives(rule.words).into_iter().map(|words| Atom { rule: at, code: None, words }));
    }
    atoms
}

/// The alternatives of a pattern, each with its flags.
fn alternatives(words: &str) -> Vec<String> {
    let (flags, words) = words.strip_prefix("(?m)").map_or(("", words), |rest| ("(?m)", rest));
    let (mut depth, mut escaped, mut class, mut from) = (0_i32, false, false, 0);
    let mut found = Vec::new();
    for (at, c) in words.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth -= 1,
            '|' if !class && depth == 0 => {
                found.push(&words[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&words[from..]);
    found.into_iter().filter(|one| !one.is_empty()).map(|one| format!("{flags}{one}")).collect()
}

/// Every error with the atoms that it has.
struct Seen {
    case: Labelled,
    error: UpstreamError,
    has: BTreeSet<usize>,
}

/// Every alternative by itself, in the order of the atoms.
fn alone(atoms: &[Atom]) -> RegexSet {
    let words: Vec<&'static str> = atoms.iter().map(|atom| &*atom.words.clone().leak()).collect();
    set(words.into_iter()).unwrap()
}

fn seen(atoms: &[Atom], set: &RegexSet) -> Vec<Seen> {
    let read = |case: Labelled| {
        let error = UpstreamError::read(case.status, case.body.as_bytes());
        let mut has: BTreeSet<usize> = set.matches(error.evidence().as_bytes()).into_iter().collect();
        has.extend(
            atoms
                .iter()
                .enumerate()
                .filter(|(_, atom)| atom.code.is_some_and(|code| error.codes().iter().any(|seen| seen == code)))
                .map(|(at, _)| at),
        );
        Seen { case, error, has }
    };
    every().into_iter().map(read).collect()
}

/// Right, unsure and wrong, where each error is told by those who never saw its vendor.
pub(super) fn unseen() -> [u32; 3] {
    unseen_told().iter().fold([0; 3], |mut sum, (case, told)| {
        sum[mark(case, told) as usize] += 1;
        sum
    })
}

pub(super) fn unseen_told() -> Vec<(Labelled, Classified)> {
    let atoms = atoms();
    let set = alone(&atoms);
    let all = seen(&atoms, &set);
    // Of each atom: the one vendor that has it, where it is one.
    let only: Vec<Option<&str>> = (0..atoms.len())
        .map(|at| {
            let mut vendors: Vec<&str> = all.iter().filter(|one| one.has.contains(&at)).map(|one| &*one.case.vendor).collect();
            vendors.sort_unstable();
            vendors.dedup();
            (vendors.len() == 1).then(|| vendors[0])
        })
        .collect();
    let told = all.iter().map(|one| {
        let own = |at: usize| only[at] == Some(&*one.case.vendor);
        let sorted = looks(&one.error, |text| {
            let in_text = set.matches(text.as_bytes());
            walk(&one.error, Vendor::UNKNOWN, |rule, row| {
                let is_own = row.vendor == Some(&*one.case.vendor);
                let has = one.has.iter().map(|at| (*at, &atoms[*at])).filter(|(at, atom)| atom.rule == rule && !own(*at) && !is_own);
                let has: Vec<(usize, &Atom)> = has.collect();
                let words = has.iter().any(|(at, atom)| atom.code.is_none() && in_text.matched(*at));
                Found { code: has.iter().any(|(_, atom)| atom.code.is_some()), words, hearsay: false }
            })
        });
        told_in(&one.case, |around| told_of(&one.error, around, &sorted))
    });
    let told: Vec<Classified> = told.collect();
    all.into_iter().map(|one| one.case).zip(told).collect()
}

/// What differs from call to call.
struct Varying {
    numbers: Regex,
    models: Regex,
    quoted: Regex,
    ticked: Regex,
    messages: Regex,
}

impl Varying {
    fn new() -> Self {
        let models = r"(?i)(gpt-[\w.-]+|claude-[\w.-]+|gemini-[\w.-]+|glm-[\w.-]+|qwen[\w.-]*\d[\w.-]*|deepseek-(chat|reasoner|v[\w.-]+|r1[\w.-]*)|llama-?[\w.-]*\d[\w.-]*|grok-[\w.-]+|kimi-k[\w.-]+|doubao-[\w.-]+|mixtral-[\w.-]+)";
        Self {
            numbers: Regex::new(r"[0-9]{6,}").unwrap(),
            models: Regex::new(models).unwrap(),
            quoted: Regex::new(r"'([\w./:-]+)'").unwrap(),
            ticked: Regex::new(r"`([\w./:-]+)`").unwrap(),
            messages: Regex::new(r#"("(?:message|msg|detail|error_msg)":\s*")([^"\\]*)""#).unwrap(),
        }
    }

    /// The same error with other numbers, another model, other quotes, other letters.
    fn of(&self, body: &str) -> [(&'static str, String); 8] {
        // In a text that prints an object its own way, quotes are not only quotes.
        let is_json = serde_json::from_str::<Value>(body).is_ok();
        let quotes = |text: String| if is_json { text } else { body.to_owned() };
        let other = |found: &Captures| found[0].bytes().map(|digit| char::from(b'1' + (digit - b'0' + 4) % 9)).collect::<String>();
        // The machine words stay as they are.
        let capitals = |found: &Captures| format!("{}{}\"", &found[1], found[2].to_uppercase());
        [
            ("other long numbers", self.numbers.replace_all(body, other).into_owned()),
            ("another model", self.models.replace_all(body, "nebula-7-large").into_owned()),
            ("backticks for quotes", quotes(self.quoted.replace_all(body, "`$1`").into_owned())),
            ("straight quotes for backticks", quotes(self.ticked.replace_all(body, "'$1'").into_owned())),
            ("curly apostrophes", quotes(body.replace('\'', "’"))),
            ("capital letters", self.messages.replace_all(body, capitals).into_owned()),
            ("no full stop", body.replace(". ", " ").replace('。', "")),
            ("another request id", body.replace("request id: ", "request id: 9")),
        ]
    }
}

/// For each variation: how many errors it changed, and how many of these are told as something else.
pub(super) fn varied() -> BTreeMap<&'static str, [usize; 2]> {
    let (varying, mut counts) = (Varying::new(), BTreeMap::<&str, [usize; 2]>::new());
    for case in every() {
        for (name, body) in varying.of(&case.body).into_iter().filter(|(_, body)| *body != case.body) {
            let told = told_in(&case, |around| classified(&UpstreamError::read(case.status, body.as_bytes()), around));
            let slot = counts.entry(name).or_default();
            slot[0] += 1;
            if mark(&case, &told) != Mark::Right {
                slot[1] += 1;
            }
        }
    }
    counts
}

#[test]
fn vendors_that_nobody_has_seen_get_their_code_four_times_of_five_and_seldom_a_wrong_one_surely() {
    let [right, unsure, wrong] = unseen();
    let all = right + unsure + wrong;
    assert!(right * 100 >= all * 85 && wrong * 100 <= all * 4, "{right} right, {unsure} unsure, {wrong} wrong");
}

#[test]
fn what_differs_from_call_to_call_changes_no_verdict() {
    for (name, [all, changed]) in varied() {
        assert!(all >= 5 && changed * 100 <= all, "{name}: {changed} of {all}");
    }
}
