//! A model name read as an order: `sim:tokens=200,interval=20ms,cut_after=50`.

use std::time::Duration;

use crate::{
    catalog::{Argument, CATALOG, Group, Term},
    digest,
};

const PREFIX: &str = "sim:";
/// More words than this in one name are a mistake, and the bound keeps look-ups short.
const WORDS_MAX: usize = 16;
/// Nothing simulated lasts longer than a day.
const SPAN_MAX: Duration = Duration::from_secs(86_400);
/// Between two events that are held back, unless the scenario says so itself.
const HELD_INTERVAL: Duration = Duration::from_millis(40);
/// How many near names an error lists.
const NEAR_MAX: usize = 3;

/// Why a model name is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    #[error("find a scenario word named `{name}`{}", near_text(.near))]
    Unknown { name: String, near: Vec<&'static str> },
    #[error("read the argument of `{name}`: want {want}")]
    Argument { name: String, want: String },
    #[error("read a scenario of more than {WORDS_MAX} words")]
    TooLong,
}

fn near_text(near: &[&'static str]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.iter().map(|n| format!("`sim:{n}`")).collect::<Vec<_>>().join(", "))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Nothing,
    Count(u64),
    Span(Duration),
    Choice(&'static str),
    Share(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Clause {
    term: Term,
    value: Value,
    once: bool,
}

/// What the simulator knows of a request when it decides which words strike.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Met {
    /// How often its body was seen before.
    pub(crate) before: u64,
    /// How long until `rpm` lets it through; `None` if it did.
    pub(crate) over: Option<Duration>,
}

/// What a model name asks for. An empty one is a good answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scenario(Vec<Clause>);

impl Scenario {
    /// Reads a model name. Names without `sim:` in front, such as `gpt-4o-mini`, ask for a good answer.
    ///
    /// # Errors
    /// An unknown word (with near names), an argument that does not fit, or more than 16 words.
    pub fn parse(model: &str) -> Result<Self, ScenarioError> {
        let Some(words) = model.strip_prefix(PREFIX) else { return Ok(Self::default()) };
        if words.split(',').count() > WORDS_MAX {
            return Err(ScenarioError::TooLong);
        }
        words.split(',').map(|word| Clause::parse(word.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Both orders together; where both name a word, the first counts.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(crate) fn without(mut self, term: Term) -> Self {
        self.0.retain(|clause| clause.term != term);
        self
    }

    /// Whether it depends on how often a body was seen.
    pub(crate) fn remembers(&self) -> bool {
        self.0.iter().any(|clause| clause.once || clause.term == Term::Flaky)
    }

    /// What is in force for one request: `_once` words are gone when its body was seen before, faults are gone when every word of
    /// chance spares it.
    pub(crate) fn strike(mut self, seed: u64, met: Met) -> Self {
        self.0.retain(|clause| !(clause.once && met.before > 0));
        if let Some(wait) = met.over {
            return self.over(wait);
        }
        let struck = [(Term::FailRate, seed), (Term::Flaky, digest::mix(seed, FLAKY_ROLL.wrapping_add(met.before)))]
            .into_iter()
            .filter_map(|(term, seed)| if let Some(Value::Share(rate)) = self.value(term) { Some((seed, rate)) } else { None })
            .find(|(seed, rate)| digest::share(*seed, FAIL_ROLL) < *rate);
        let left_to_chance = self.0.iter().any(|clause| clause.term.entry().group == Group::Chance);
        if let Some((seed, _)) = struck
            && !self.has_fault()
        {
            let pick = usize::try_from(digest::mix(seed, MIX_ROLL)).unwrap_or(0) % MIXED.len();
            self.0.push(Clause { term: MIXED[pick].0, value: MIXED[pick].1, once: false });
        } else if struck.is_none() && left_to_chance {
            self.0.retain(|clause| !clause.term.entry().is_fault());
        }
        self
    }

    /// More came than `rpm` lets through: the faults strike, a plain 429 if there are none, and a hint tells how long it really is.
    fn over(mut self, wait: Duration) -> Self {
        if !self.has_fault() {
            self.0.push(Clause { term: Term::S429, value: Value::Nothing, once: false });
        }
        for clause in &mut self.0 {
            if matches!(clause.term, Term::S429Hint | Term::S429Ms | Term::S429Date | Term::S429Body) {
                clause.value = Value::Span(wait);
            }
        }
        self
    }

    fn has_fault(&self) -> bool {
        self.0.iter().any(|clause| clause.term.entry().is_fault())
    }

    fn value(&self, term: Term) -> Option<Value> {
        self.0.iter().find(|clause| clause.term == term).map(|clause| clause.value)
    }

    pub(crate) fn has(&self, term: Term) -> bool {
        self.value(term).is_some()
    }

    pub(crate) fn count(&self, term: Term) -> Option<u64> {
        if let Some(Value::Count(count)) = self.value(term) { Some(count) } else { None }
    }

    pub(crate) fn span(&self, term: Term) -> Option<Duration> {
        if let Some(Value::Span(span)) = self.value(term) { Some(span) } else { None }
    }

    /// The time between two events. A hop that holds bytes back only shows behind a model that takes its time.
    pub(crate) fn interval(&self) -> Duration {
        let holds = [Term::Buffered, Term::GzipBuffered, Term::Blocks].into_iter().any(|term| self.has(term));
        self.span(Term::Interval).unwrap_or(if holds { HELD_INTERVAL } else { Duration::ZERO })
    }

    pub(crate) fn choice(&self, term: Term) -> Option<&'static str> {
        if let Some(Value::Choice(choice)) = self.value(term) { Some(choice) } else { None }
    }

    pub(crate) fn terms(&self) -> impl Iterator<Item = Term> + '_ {
        self.0.iter().map(|clause| clause.term)
    }
}

/// Positions of the rolls of chance, far from those that words are made of.
const FAIL_ROLL: u64 = 1 << 60;
const MIX_ROLL: u64 = FAIL_ROLL + 1;
const FLAKY_ROLL: u64 = FAIL_ROLL + 2;

/// What fails when a share of requests fails and nothing says how.
const MIXED: &[(Term, Value)] = &[
    (Term::S500, Value::Nothing),
    (Term::S503, Value::Nothing),
    (Term::S429, Value::Nothing),
    (Term::S429Hint, Value::Span(Duration::from_secs(1))),
    (Term::ResetAfterAccept, Value::Nothing),
];

impl Clause {
    fn parse(word: &str) -> Result<Self, ScenarioError> {
        let (name, argument) = word.split_once('=').map_or((word, None), |(name, argument)| (name.trim(), Some(argument.trim())));
        let (base, once) = name.strip_suffix("_once").map_or((name, false), |base| (base, true));
        let Some(entry) = CATALOG.iter().find(|entry| entry.name == base) else {
            return Err(ScenarioError::Unknown { name: name.chars().take(64).collect(), near: near(base) });
        };
        let value = read(entry.argument, argument).map_err(|want| ScenarioError::Argument { name: entry.name.to_owned(), want })?;
        Ok(Self { term: entry.term, value, once })
    }
}

fn read(kind: Argument, text: Option<&str>) -> Result<Value, String> {
    match (kind, text) {
        (Argument::None, None) => Ok(Value::Nothing),
        (Argument::None, Some(_)) => Err("no argument".to_owned()),
        (Argument::Count { default: Some(default), .. }, None) => Ok(Value::Count(default)),
        (Argument::Count { max, .. }, text) => {
            let count = text.and_then(|text| text.parse::<u64>().ok()).filter(|count| *count <= max);
            count.map(Value::Count).ok_or_else(|| format!("a number up to {max}"))
        }
        (Argument::Duration { default_ms: Some(default) }, None) => Ok(Value::Span(Duration::from_millis(default))),
        (Argument::Duration { .. }, text) => {
            text.and_then(span).map(Value::Span).ok_or_else(|| "a span such as `20ms`, `7s` or `2m`, at most a day".to_owned())
        }
        (Argument::Choice(choices), None) => Ok(Value::Choice(choices[0])),
        (Argument::Choice(choices), Some(text)) => choices
            .iter()
            .find(|choice| **choice == text)
            .map(|choice| Value::Choice(choice))
            .ok_or_else(|| format!("one of {}", choices.join(", "))),
        (Argument::Share, text) => {
            let share = text.and_then(|text| text.parse::<f64>().ok()).filter(|share| (0.0..=1.0).contains(share));
            share.map(Value::Share).ok_or_else(|| "a share between 0 and 1".to_owned())
        }
    }
}

/// `20ms`, `7s`, `1.5s`, `2m`, `1h`.
fn span(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?;
    Duration::try_from_secs_f64(number * seconds).ok().filter(|span| *span <= SPAN_MAX)
}

/// The names that a slip of the finger may have meant, nearest first.
fn near(name: &str) -> Vec<&'static str> {
    // Long garbage is near to nothing, and its distance would be dear.
    if name.len() > 32 {
        return Vec::new();
    }
    let mut found: Vec<(usize, &'static str)> = CATALOG
        .iter()
        .filter_map(|entry| {
            let shared = name.len() >= 3 && (entry.name.starts_with(name) || name.starts_with(entry.name));
            let distance = if shared { 1 } else { strsim::levenshtein(name, entry.name) };
            (distance <= (name.len() / 3).clamp(1, 3)).then_some((distance, entry.name))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().take(NEAR_MAX).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_the_table_parses_alone_and_once() {
        for entry in CATALOG {
            let scenario = Scenario::parse(&entry.model()).unwrap_or_else(|error| panic!("{}: {error}", entry.model()));
            assert!(scenario.has(entry.term));
            let once = entry.model().replacen(entry.name, &format!("{}_once", entry.name), 1);
            assert!(Scenario::parse(&once).unwrap().remembers(), "{once}");
        }
    }

    #[test]
    fn words_join_with_commas() {
        let scenario = Scenario::parse("sim:tokens=200, interval=20ms,cut_after=50").unwrap();
        assert_eq!(scenario.count(Term::Tokens), Some(200));
        assert_eq!(scenario.span(Term::Interval), Some(Duration::from_millis(20)));
        assert_eq!(scenario.count(Term::CutAfter), Some(50));
        assert_eq!(scenario.span(Term::Stall), None);
    }

    #[test]
    fn any_other_name_is_a_good_answer() {
        for name in ["gpt-4o-mini", "text-embedding-3-small", "claude-sonnet-4-5", ""] {
            assert_eq!(Scenario::parse(name), Ok(Scenario::default()));
        }
    }

    #[test]
    fn an_unknown_word_lists_near_names() {
        for (name, near) in
            [("sim:cut_aftr=5", "cut_after"), ("sim:429_hnt", "429_hint"), ("sim:first_bite=4s", "first_byte"), ("sim:no_dne", "no_done")]
        {
            let error = Scenario::parse(name).unwrap_err();
            assert!(matches!(&error, ScenarioError::Unknown { near: list, .. } if list.contains(&near)), "{name}: {error}");
        }
        assert_eq!(Scenario::parse("sim:zzzzzzzz").unwrap_err().to_string(), "find a scenario word named `zzzzzzzz`");
    }

    #[test]
    fn an_argument_out_of_bounds_is_refused() {
        for name in [
            "sim:ok=1",
            "sim:tokens",
            "sim:tokens=x",
            "sim:tokens=99999999999",
            "sim:interval=5",
            "sim:stall=48h",
            "sim:stall=-1s",
            "sim:stall=NaNs",
            "sim:fail_rate=2",
            "sim:wrong_type=xml",
        ] {
            assert!(matches!(Scenario::parse(name), Err(ScenarioError::Argument { .. })), "{name}");
        }
        assert_eq!(Scenario::parse(&format!("sim:{}", ["ok"; 17].join(","))), Err(ScenarioError::TooLong));
    }

    #[test]
    fn once_words_leave_when_the_body_was_seen() {
        let scenario = Scenario::parse("sim:tokens=3,503_once").unwrap();
        assert!(scenario.clone().strike(1, Met::default()).has(Term::S503));
        let again = scenario.strike(1, Met { before: 1, over: None });
        assert!(!again.has(Term::S503) && again.has(Term::Tokens));
    }

    #[test]
    fn a_fail_rate_spares_the_same_bodies_each_time() {
        let scenario = Scenario::parse("sim:fail_rate=0.2,503,tokens=4").unwrap();
        let struck = (0..1000).filter(|seed| scenario.clone().strike(*seed, Met::default()).has(Term::S503)).count();
        assert!((150..250).contains(&struck), "{struck}");
        let mixed = Scenario::parse("sim:fail_rate=1").unwrap();
        assert!((0..50).all(|seed| mixed.clone().strike(seed, Met::default()).terms().any(|term| term.entry().is_fault())));
    }

    #[test]
    fn a_flaky_upstream_draws_anew_for_each_retry_and_the_same_in_each_run() {
        let scenario = Scenario::parse("sim:flaky=0.3,503,tokens=4").unwrap();
        let struck = |seed, before| scenario.clone().strike(seed, Met { before, over: None }).has(Term::S503);
        let first: Vec<u64> = (0..1000).filter(|seed| struck(*seed, 0)).collect();
        assert!((250..350).contains(&first.len()), "{}", first.len());
        let again = first.iter().filter(|seed| struck(**seed, 1)).count();
        assert!((50..130).contains(&again), "a retry is struck as often as any request: {again} of {}", first.len());
        assert!(first.iter().all(|seed| struck(*seed, 0)));
        let plain = Scenario::parse("sim:flaky=1").unwrap().strike(3, Met::default());
        assert!(plain.has_fault() && !Scenario::parse("sim:flaky=0").unwrap().strike(3, Met::default()).has_fault());
    }

    #[test]
    fn beyond_the_rate_the_hint_is_the_true_wait() {
        let over = Met { before: 0, over: Some(Duration::from_millis(1_500)) };
        let hinted = Scenario::parse("sim:rpm=60,429_hint=7s").unwrap();
        assert_eq!(hinted.clone().strike(1, over).span(Term::S429Hint), Some(Duration::from_millis(1_500)));
        assert!(!hinted.strike(1, Met::default()).has(Term::S429Hint), "within the rate there is no fault");
        assert!(Scenario::parse("sim:rpm=60").unwrap().strike(1, over).has(Term::S429));
        assert!(!Scenario::parse("sim:rpm=60,503").unwrap().strike(1, over).has(Term::S429), "what is named strikes instead");
    }
}
