//! How often the rules are right on errors of the world, counted on six lists: `errors.jsonl`, which they were written with, and
//! the others beside it, collected afterwards and measured before anything was changed for them.
//!
//! `docs/classification.md` is this count. It is made anew by `cargo xtask gen --simulated`.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use weir_core::{Timestamp, evidence::Confidence};

use super::{
    Around, Classified, UpstreamError, Vendor, classified,
    unseen::{unseen, varied},
};
use crate::limits::told_wait;

const KNOWN: &str = include_str!("../../fixtures/errors.jsonl");
const HELD_OUT: &str = include_str!("../../fixtures/errors-held-out.jsonl");
const THIRD: &str = include_str!("../../fixtures/errors-third.jsonl");
const FOURTH: &str = include_str!("../../fixtures/errors-fourth.jsonl");
/// Half of it was looked at first, the rest a round later: its line on the page flatters as the earlier ones do.
const FIFTH: &str = include_str!("../../fixtures/errors-fifth.jsonl");

/// Its odd lines were looked at afterwards, its even ones never.
const SIXTH: &str = include_str!("../../fixtures/errors-sixth.jsonl");

/// What the rules got on each held-out list the first time, before a rule was changed for it: right, guessed wrong and marked a guess,
/// wrong. Facts of that day; they are not computed.
const FIRST_SIGHT: [(&str, u32, u32, u32); 10] = include!("../../fixtures/first-sight.in");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Labelled {
    pub(super) vendor: String,
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
    pub(super) class: Option<String>,
    pub(super) expect: String,
    /// Other codes that are as fair.
    #[serde(default)]
    pub(super) accept: Vec<String>,
    pub(super) source: String,
}

pub(super) fn labelled(list: &str) -> Vec<Labelled> {
    list.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn known() -> Vec<Labelled> {
    labelled(KNOWN)
}

/// All lists, one behind the other.
pub(super) fn every() -> Vec<Labelled> {
    [KNOWN, HELD_OUT, THIRD, FOURTH].into_iter().flat_map(labelled).collect()
}

/// As a person who called directly would be told.
pub(super) fn seen(case: &Labelled, status: u16, body: &str) -> Classified {
    let error = UpstreamError::read(status, body.as_bytes());
    told_with(case, body, |around| classified(&error, around))
}

pub(super) fn told_in(case: &Labelled, told: impl FnOnce(&Around<'_>) -> Classified) -> Classified {
    told_with(case, &case.body, told)
}

/// With the headers of a case and the wait that they and the body tell.
fn told_with(case: &Labelled, body: &str, told: impl FnOnce(&Around<'_>) -> Classified) -> Classified {
    let headers: HeaderMap =
        case.headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())).collect();
    let names: Vec<&str> = case.headers.keys().map(String::as_str).collect();
    let wait = told_wait(&headers, Some(body.as_bytes()), Timestamp(1_760_000_000_000));
    told(&Around { host: None, headers: &names, told_wait: wait.is_some() })
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Right,
    /// Wrong, and marked a guess.
    Unsure,
    Wrong,
}

pub(super) fn mark(case: &Labelled, seen: &Classified) -> Mark {
    // Whether a wait was told changes the code, not what happened.
    let same_rate =
        matches!(case.expect.as_str(), "W-RATE-001" | "W-RATE-002") && matches!(seen.verdict.code(), "W-RATE-001" | "W-RATE-002");
    match seen.confidence {
        _ if seen.verdict.code() == case.expect || case.accept.iter().any(|code| code == seen.verdict.code()) || same_rate => Mark::Right,
        Confidence::Guess => Mark::Unsure,
        _ => Mark::Wrong,
    }
}

pub(super) fn misses(cases: &[Labelled]) -> Vec<String> {
    let told = |case: &Labelled| {
        let seen = seen(case, case.status, &case.body);
        (mark(case, &seen) != Mark::Right).then(|| {
            format!(
                "{} {} wants {}, got {} ({:?}, {}): {}",
                case.vendor,
                case.status,
                case.expect,
                seen.verdict.code(),
                seen.confidence,
                seen.why,
                case.body
            )
        })
    };
    cases.iter().filter_map(told).collect()
}

#[test]
fn the_lists_are_long_enough_and_name_their_sources() {
    let lists = [KNOWN, HELD_OUT, THIRD, FOURTH, FIFTH, SIXTH].map(labelled);
    assert!(lists[0].len() >= 200 && lists.iter().all(|list| list.len() >= 60));
    let all = every();
    assert!(all.iter().all(|case| !case.source.is_empty()));
    let mut bodies: Vec<_> = all.iter().map(|case| (&case.body, case.status)).collect();
    bodies.sort();
    let all = bodies.len();
    bodies.dedup();
    assert!(all - bodies.len() < 5, "{} are there twice", all - bodies.len());
}

#[test]
fn at_least_95_of_100_known_errors_get_their_code_and_at_most_2_a_wrong_one_surely() {
    for list in [KNOWN, HELD_OUT, THIRD, FOURTH, FIFTH].map(labelled) {
        let missed = misses(&list);

        let wrong = list.iter().filter(|case| mark(case, &seen(case, case.status, &case.body)) == Mark::Wrong).count();
        assert!(missed.len() * 20 <= list.len() && wrong * 50 <= list.len(), "{} of {}:\n{}", missed.len(), list.len(), missed.join("\n"));
    }
}

/// How an error reaches a person who did not see it on the wire.
pub(super) fn wrappings(case: &Labelled) -> Vec<(&'static str, u16, String)> {
    let (status, body) = (case.status, case.body.as_str());
    let cut: String = body.chars().take(200).collect();
    let python = serde_json::from_str::<serde_json::Value>(body).ok().map(|value| python(&value));
    let mut forms = vec![
        ("cut at 200 characters", status, cut),
        ("JSON inside a string", status, serde_json::json!({ "error": { "message": body, "code": status } }).to_string()),
        ("escaped once", 0, format!("{status} {}", serde_json::to_string(body).unwrap())),
        (
            "a gateway's own error around it",
            status,
            serde_json::json!({ "error": { "message": format!("{body} (request id: 20250423020142736330894dLoIRrS6)"), "type": "upstream_error" } })
                .to_string(),
        ),
        ("a log line", 0, format!("[ERR] 2025/10/17 - 14:23:43 | relay error (channel #63): status code {status}: {body}")),
    ];
    if let Some(python) = python {
        forms.push(("openai-python", 0, format!("openai.APIStatusError: Error code: {status} - {python}")));
        forms.push(("LiteLLM", 0, format!("litellm.APIError: APIError: OpenAIException - Error code: {status} - {python}. Received Model Group=chat\nAvailable Model Group Fallbacks=None")));
        forms.push((
            "JSON inside openai-node",
            0,
            format!("Error: {status} {body}\n    at APIError.generate (file:///app/node_modules/openai/error.mjs:41:20)"),
        ));
    }
    forms
}

/// As Python prints a value.
fn python(value: &serde_json::Value) -> String {
    use serde_json::Value as V;
    match value {
        V::Null => "None".to_owned(),
        V::Bool(true) => "True".to_owned(),
        V::Bool(false) => "False".to_owned(),
        V::Number(number) => number.to_string(),
        V::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{}\"", text.replace('\\', "\\\\").replace('\n', "\\n")),
        V::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")),
        V::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        V::Object(fields) => {
            format!("{{{}}}", fields.iter().map(|(key, value)| format!("'{key}': {}", python(value))).collect::<Vec<_>>().join(", "))
        }
    }
}

/// An error whose wrapping changes nothing about what it is: an object of an API that says its status.
pub(super) fn is_plain(case: &Labelled) -> bool {
    case.status >= 400
        && case.headers.is_empty()
        && case.body.starts_with('{')
        && serde_json::from_str::<serde_json::Value>(&case.body).is_ok()
}

/// For each wrapping: right, unsure, wrong.
fn wrapped() -> BTreeMap<&'static str, [u32; 3]> {
    let mut counts = BTreeMap::new();
    for case in every().iter().filter(|case| is_plain(case)) {
        for (name, status, body) in wrappings(case) {
            let seen = seen(case, status, &body);
            let slot: &mut [u32; 3] = counts.entry(name).or_default();
            slot[mark(case, &seen) as usize] += 1;
        }
    }
    counts
}

#[test]
fn a_wrapped_error_is_what_it_was() {
    for (name, [right, unsure, wrong]) in wrapped() {
        let all = right + unsure + wrong;
        assert!(all > 80 && right * 100 >= all * 93, "{name}: {right} right, {unsure} unsure, {wrong} wrong");
    }
}

#[test]
fn a_vendor_is_known_by_its_host_its_headers_and_its_words() {
    assert_eq!(Vendor::of_host("My-Res.openai.azure.com").name(), Some("azure"));
    assert_eq!(Vendor::of_host("openai.azure.com.evil.example"), Vendor::UNKNOWN);
    assert_eq!(Vendor::of_headers(["content-type", "CF-Ray"]).name(), Some("cloudflare"));
    assert_eq!(Vendor::of_headers(["cf-ray", "openai-version"]).name(), Some("openai"), "the edge is not the vendor");
    let error = UpstreamError::read(401, "{\"error\":{\"message\":\"无效的令牌\",\"type\":\"one_api_error\"}}".as_bytes());
    assert_eq!(classified(&error, &Around::default()).vendor.name(), Some("one-api"));
}

#[test]
fn what_the_docs_say_of_classification_was_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/classification.md");
    let page = page();
    #[expect(clippy::disallowed_methods, reason = "the chore that makes the pages says so in the environment")]
    if env::var("WEIR_WRITE_DOCS").is_ok() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/classification.md is not what is measured: `cargo xtask gen --simulated`");
}

fn page() -> String {
    let mut page = String::from(
        "# How well upstreams' errors are recognised\n\n\
         Made by `cargo xtask gen --simulated` from `crates/weir-wire/fixtures/errors*.jsonl`: error responses of the world, each with its source\n\
         and the verdict that a person would give to somebody who called that upstream directly. The rules are `catalog/errors.toml`.\n\n\
         *right*: the expected code. *unsure*: another one, told as a guess. *wrong*: another one, told as likely or certain.\n\n",
    );
    let lists = [
        ("known", "the list the rules were written with", known()),
        ("held out", "collected afterwards", labelled(HELD_OUT)),
        ("third", "collected after the rules were mended for the held-out list", labelled(THIRD)),
        ("fourth", "collected without a look at the rules or the other lists", labelled(FOURTH)),
        ("fifth", "the same, by somebody else; looked at by halves, in the end all of it", labelled(FIFTH)),
        ("sixth", "the same again, with forms that no earlier list had; its odd lines were looked at", labelled(SIXTH)),
    ];
    page.push_str("| list | errors | right | unsure | wrong |\n| --- | --- | --- | --- | --- |\n");
    for (name, what, list) in &lists {
        let [right, unsure, wrong] = count(list.iter());
        let _ = writeln!(page, "| {name}: {what} | {} | {right} | {unsure} | {wrong} |", list.len());
    }
    for (name, right, unsure, wrong) in FIRST_SIGHT {
        let _ = writeln!(page, "| {name} | {} | {right} | {unsure} | {wrong} |", right + unsure + wrong);
    }
    page.push_str(
        "\nThe lines \"first sight\" are what the rules got before anything was changed for that list; they are the honest estimate for errors \
         that nobody here has seen.\nAfterwards the rules were mended, so the lines above them flatter.\n\n",
    );
    let [right, unsure, wrong] = unseen();
    let _ = writeln!(
        page,
        "## Vendors that nobody has seen\n\n\
         The same errors, each sorted without what only its own vendor's errors taught: no rule of that vendor alone, and no machine word and no\n\
         alternative of a pattern that no other vendor's error has. Some general patterns were written with these errors in sight, so this flatters too.\n\n\
         | errors | right | unsure | wrong |\n| --- | --- | --- | --- |\n| {} | {right} | {unsure} | {wrong} |\n\n\
         Before there were patterns of concepts instead of sentences, it was 363 right, 87 unsure, 56 wrong of 506.\n",
        right + unsure + wrong
    );
    page.push_str("## By vendor\n\n| vendor | errors | right | unsure | wrong |\n| --- | --- | --- | --- | --- |\n");
    let mut vendors: BTreeMap<&str, Vec<&Labelled>> = BTreeMap::new();
    for case in lists.iter().flat_map(|(_, _, list)| list) {
        vendors.entry(&case.vendor).or_default().push(case);
    }
    for (vendor, cases) in vendors {
        let [right, unsure, wrong] = count(cases.iter().copied());
        let _ = writeln!(page, "| {vendor} | {} | {right} | {unsure} | {wrong} |", cases.len());
    }
    page.push_str(
        "\n## Wrapped\n\nThe errors of all lists that came as a JSON object with a status, as libraries, logs and gateways hand them on; where the status \
         stands only in\nthe text, it was taken from there.\n\n| wrapping | errors | right | unsure | wrong |\n| --- | --- | --- | --- | --- |\n",
    );
    for (name, [right, unsure, wrong]) in wrapped() {
        let _ = writeln!(page, "| {name} | {} | {right} | {unsure} | {wrong} |", right + unsure + wrong);
    }
    page.push_str("\n## Varied\n\nThe same errors with what differs from call to call.\n\n| what differs | errors | told as something else |\n| --- | --- | --- |\n");
    for (name, [all, changed]) in varied() {
        let _ = writeln!(page, "| {name} | {all} | {changed} |");
    }
    page
}

pub(super) fn count<'a>(cases: impl Iterator<Item = &'a Labelled>) -> [u32; 3] {
    cases.fold([0; 3], |mut sum, case| {
        sum[mark(case, &seen(case, case.status, &case.body)) as usize] += 1;
        sum
    })
}
