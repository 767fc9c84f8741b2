//! Walks the rules of the catalogue: the first that holds decides, then the status does.

use std::sync::LazyLock;

use regex::{
    Regex,
    bytes::{RegexSet, RegexSetBuilder},
};
use weir_core::{Verdict, evidence::Confidence};

use super::{UpstreamClass, UpstreamError, Vendor, advice::without_advice, table::RULES};

/// What a vendor is known by.
pub(super) struct VendorRow {
    pub(super) name: &'static str,
    pub(super) hosts: &'static [&'static str],
    pub(super) headers: &'static [&'static str],
    pub(super) words: &'static str,
}

/// One rule of `catalog/errors.toml`, whose head says what each field means.
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) class: UpstreamClass,
    pub(super) verdict: Option<Verdict>,
    pub(super) vendor: Option<&'static str>,
    pub(super) statuses: &'static [u16],
    pub(super) codes: &'static [&'static str],
    pub(super) words: &'static str,
    pub(super) page: bool,
    pub(super) bare: bool,
    pub(super) over: bool,
    pub(super) broad: bool,
    /// Its pattern joins words of the lexicon.
    pub(super) joined: bool,
    pub(super) sure: Option<Confidence>,
}

/// Why an error was sorted as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sorted {
    pub(super) class: UpstreamClass,
    pub(super) verdict: Option<Verdict>,
    pub(super) confidence: Confidence,
    /// The id of the rule, or `status`.
    pub(super) why: &'static str,
    pub(super) vendor: Vendor,
}

/// `Limit 6000, … Requested 10338`: more than the whole limit can never succeed, whatever the error is called.
static ASKED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?s)limit[: ]+~?([\d,]+).*?requested[: ]+~?([\d,]+)").ok());

/// All patterns of the rules, looked for in one pass; compiled once, on the first error of the process. Linear in the text, which
/// is bounded.
static WORDS: LazyLock<Option<RegexSet>> = LazyLock::new(|| set(RULES.iter().map(|rule| rule.words)));

/// The most memory that a set of patterns may take, in bytes.
const PATTERN_BYTES: usize = 8 << 20;

/// The most memory that the states met while matching may take, in bytes, for each thread that sorts an error. With less they are
/// forgotten and found again all the time, which is several times slower.
const STATES_BYTES: usize = 6 << 20;

/// Patterns as one set, in the order given; an empty one matches nothing of use. `.` matches a line end. Over bytes, for there the
/// generated patterns say "any character" at a third of the cost.
pub(super) fn set(patterns: impl Iterator<Item = &'static str>) -> Option<RegexSet> {
    let patterns = patterns.map(|words| if words.is_empty() { "[^\\s\\S]" } else { words });
    RegexSetBuilder::new(patterns).dot_matches_new_line(true).size_limit(PATTERN_BYTES).dfa_size_limit(STATES_BYTES).build().ok()
}

/// Sorts an error of `vendor`, for whom only the class counts.
#[must_use]
pub fn class(error: &UpstreamError, vendor: Vendor) -> UpstreamClass {
    sort(error, vendor).class
}

/// Sorts an error: by `vendor` where that is known, else by the vendor that its own words give away.
pub(super) fn sort(error: &UpstreamError, vendor: Vendor) -> Sorted {
    let known = vendor;
    let vendor = known.or(Vendor::of_words(error.evidence()));
    looks(error, |text| {
        let said = WORDS.as_ref().map(|words| words.matches(text.as_bytes()));
        walk(error, vendor, |at, rule| Found {
            hearsay: rule.vendor.is_some() && known == Vendor::UNKNOWN,
            code: rule.codes.iter().any(|code| error.codes().iter().any(|seen| seen == code)),
            words: said.as_ref().is_some_and(|said| said.matched(at)),
        })
    })
}

/// Goes by what an error says; by what it advises only where it says nothing plain; by what it asks never.
pub(super) fn looks(error: &UpstreamError, sorted: impl Fn(&str) -> Sorted) -> Sorted {
    let Some((said, told)) = without_advice(error.evidence()).filter(|_| !error.is_page()) else {
        return sorted(error.evidence());
    };
    let first = sorted(&said);
    if first.confidence != Confidence::Guess || told == said {
        return first;
    }
    if first.why == "status" { Sorted { confidence: Confidence::Guess, ..sorted(&told) } } else { first }
}

/// What of a rule an error has.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) code: bool,
    pub(super) words: bool,
    /// It is a vendor's rule, and only the error's own words say that it is that vendor.
    pub(super) hearsay: bool,
}

/// The first rule that holds, where `found` tells what an error of `vendor` has of each.
pub(super) fn walk(error: &UpstreamError, vendor: Vendor, found: impl Fn(usize, &Rule) -> Found) -> Sorted {
    let status = error.effective_status();
    let plain = plain_status(status);
    let mut first: Option<(&Rule, Confidence)> = None;
    for (at, rule) in RULES.iter().enumerate() {
        let is_about = (rule.statuses.is_empty() || rule.statuses.contains(&status) || rule.statuses.contains(&plain))
            && rule.vendor.is_none_or(|name| vendor.name() == Some(name))
            && rule.page == error.is_page()
            && !(rule.bare && error.has_code());
        if !is_about || first.is_some() && rule.broad {
            continue;
        }
        let has = found(at, rule);
        let by_status = rule.codes.is_empty() && rule.words.is_empty() && !rule.over;
        let holds = has.code || has.words || rule.over && asks_more_than_the_limit(error.evidence());
        match first {
            Some((said, _)) if holds && said.class != rule.class => {
                first = Some((said, Confidence::Guess));
                break;
            }
            Some(_) => {}
            None if has.code && !rule.broad && !has.hearsay => {
                first = Some((rule, Confidence::Certain));
                break;
            }
            None if holds || by_status => {
                let says_little = rule.broad && (status == 0 || error.is_cut() || !has.words && rule.class.is_catch_all());
                let fits = by_status || has.code && !has.hearsay || rule.verdict.is_some() || rule.class.goes_with(plain);
                first = Some((rule, if fits && !says_little { Confidence::Likely } else { Confidence::Guess }));
                // A number that is one vendor's code only if it is that vendor speaks as little as words that others use.
                let is_hearsay = has.hearsay && has.code && !has.words;
                if !rule.joined && !is_hearsay {
                    break;
                }
            }
            None => {}
        }
    }
    let sorted = |rule: &Rule, found| Sorted {
        class: rule.class,
        verdict: rule.verdict,
        confidence: rule.sure.unwrap_or(found),
        why: rule.id,
        vendor,
    };
    first.map_or(
        Sorted { class: by_status(status), verdict: None, confidence: Confidence::Guess, why: "status", vendor },
        |(rule, found)| sorted(rule, found),
    )
}

/// The status that says as much as one on whose meaning vendors do not agree; others are themselves.
fn plain_status(status: u16) -> u16 {
    match status {
        400..=405 | 407..=410 | 413..=415 | 422 | 429 | 451 | 499 => status,
        400..=499 => 400,
        500..=504 | 520..=530 => status,
        500..=599 => 500,
        _ => status,
    }
}

fn by_status(status: u16) -> UpstreamClass {
    match status {
        401 | 403 => UpstreamClass::Auth,
        402 => UpstreamClass::Balance,
        404 => UpstreamClass::Model,
        413 => UpstreamClass::ContextLength,
        429 => UpstreamClass::RateLimit,
        503 | 529 => UpstreamClass::Overloaded,
        400..=499 => UpstreamClass::BadRequest,
        _ => UpstreamClass::Upstream,
    }
}

fn asks_more_than_the_limit(text: &str) -> bool {
    let number = |digits: &str| digits.replace(',', "").parse::<u64>().ok();
    let found = ASKED.as_ref().and_then(|asked| asked.captures(text));
    found.and_then(|found| Some(number(&found[2])? > number(&found[1])?)).unwrap_or(false)
}

#[cfg(test)]
pub(super) fn every_pattern_compiles() -> bool {
    ASKED.is_some() && WORDS.is_some()
}
