//! Reads what people paste: logs, tracebacks, HAR, curl output, prose. Redacts first, then finds facts, then judges.
//!
//! Pure: text, redactor, time and dice go in, a [`Triage`] comes out. Nothing of the original text is kept: whatever is in the result
//! was found in the redacted text, and the result as a whole is looked through once more before anyone may have it.

mod ask;
mod client;
mod evidence;
mod exchange;
mod facts;
mod gate;
mod judge;
mod material;
mod pattern;
mod reading;
mod records;
mod round;
mod sign;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod unfold;
mod view;
mod when;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::Value;
use weir_core::{
    ApiKey, Lang, Secret, Timestamp, Verdict,
    evidence::{Confidence, Evidence, EvidenceId},
    mask_foreign,
    redact::{Audience, Kind, Redactor},
};

pub use self::{
    ask::Missing,
    material::Material,
    view::{SCHEMA, TriageView, triage_schema},
};
use self::{
    exchange::Exchange,
    facts::Facts,
    judge::{Finding, Told},
};

/// The longest text that is read, in bytes.
pub const MAX_PASTE_BYTES: usize = 5 << 20;

/// What a triage needs beside the text.
#[derive(Debug)]
pub struct Setting<'a> {
    pub redactor: &'a Redactor,
    pub audience: Audience,
    pub now: Timestamp,
    /// In which zone a time is taken whose text names none, for the record only; it is asked for all the same.
    pub zone: TimeZone,
    /// 60 random bits for the record's id.
    pub dice: u64,
    /// Name and version, such as `weir 0.1.0`.
    pub product: &'a str,
}

/// Why a text was not judged, or its result not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TriageError {
    #[error("read a text of {bytes} bytes: at most {MAX_PASTE_BYTES}")]
    TooLong { bytes: usize },
    #[error("let the result leave: a last look found what may be a secret")]
    Unsafe,
}

/// How a triage ends, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing wrong was found.
    Fine = 0,
    /// A fault was recognised.
    Fault = 1,
    /// It could not be told.
    CannotTell = 3,
}

/// What was made of a text.
#[derive(Debug, Clone)]
pub struct Triage {
    pub verdict: Verdict,
    pub confidence: Confidence,
    /// Other verdicts that the text also points to.
    pub notes: Vec<(Verdict, Confidence)>,
    /// What the text is made of.
    pub materials: Vec<Material>,
    pub missing: Vec<Missing>,
    /// The text held a whole key or another credential, which is hidden now and must be replaced.
    pub held_a_secret: bool,
    pub replaced: BTreeMap<Kind, u32>,
    pub evidence_id: EvidenceId,
    facts: Facts,
    error: Option<Told>,
    /// Seconds at which hops usually give up, if the call took as long.
    round_seconds: Option<u32>,
    unreadable: Option<material::Unreadable>,
    /// A person asks and tells of no fault.
    only_asks: bool,
}

/// Seconds after which usual hops cut a silent call, within a second.
const ROUND_SECONDS: [u32; 5] = [30, 60, 100, 120, 300];
/// More notes are not told.
const NOTES: usize = 5;

/// Reads a text and judges it.
///
/// # Errors
/// The text is too long, or the result might hold a secret: then nothing may be shown.
pub fn triage(text: &str, setting: &Setting<'_>) -> Result<Triage, TriageError> {
    if text.len() > MAX_PASTE_BYTES {
        return Err(TriageError::TooLong { bytes: text.len() });
    }
    let text = unfold::as_written(text);
    let text = &*unfold::without_false_labels(&text);
    let unfolded = unfold::of_recording(text);
    let redacted = setting.redactor.redact(unfolded.as_deref().unwrap_or(text), setting.audience);
    let whole = if unfolded.is_some() { setting.redactor.redact(text, setting.audience) } else { redacted.clone() };
    let exchanges = exchange::read(redacted.as_str());
    let mask = mask(text);
    let mut facts = Facts::of(redacted.as_str(), &exchanges, None);
    facts.captured = stream::captured(redacted.as_str());
    let records = records::of(redacted.as_str());
    let found = judge::findings(redacted.as_str(), &exchanges, &records, &facts, setting.now);
    let materials = material::of(redacted.as_str(), unfolded.is_some(), &exchanges, &facts);
    let mut made = Triage::of(redacted.as_str(), &found, &exchanges, facts, setting);
    made.unreadable = material::Unreadable::of(text);
    made.only_asks = exchanges.is_empty() && made.unreadable.is_none() && reading::only_asks(redacted.as_str());
    made.materials = if made.unreadable.is_some() { Vec::new() } else { materials };
    if made.facts.key_masked.is_none() && mask.is_some() {
        made.facts.key_masked = mask;
        made.missing = ask::missing_of(&made.facts, made.verdict.class());
    }
    made.held_a_secret = whole.held_a_secret();
    made.replaced.clone_from(whole.replaced());
    made.looked_through(setting)?;
    Ok(made)
}

pattern::pattern!(KEY, r"\b((?:sk|gsk|xai|csk|pplx|nvapi|hf|r8)[-_][A-Za-z0-9_-]{20,256}|AIza[A-Za-z0-9_-]{30,60})");

/// The mask of the first whole key: what support may know of it. The key itself goes no further than this.
fn mask(text: &str) -> Option<String> {
    let key = pattern::first(&KEY, text)?;
    let own = ApiKey::parse(key).ok().and_then(|key| key.kid()).map(|kid| kid.mask());
    Some(own.unwrap_or_else(|| mask_foreign(&Secret::new(key))))
}

impl Triage {
    fn of(text: &str, found: &[Finding], exchanges: &[Exchange], facts: Facts, setting: &Setting<'_>) -> Self {
        let best = found.first();
        let main = best.and_then(|finding| finding.exchange).and_then(|at| exchanges.get(at));
        let mut facts = match main {
            Some(exchange) => Facts { captured: facts.captured, ..Facts::of(text, exchanges, Some(exchange)) },
            None => facts,
        };
        let error = best.and_then(|finding| finding.error.clone()).or_else(|| found.iter().find_map(|finding| finding.error.clone()));
        facts.told(error.as_ref());
        let own_status = best
            .filter(|finding| finding.confidence == Confidence::Certain && facts.has_own_id())
            .and_then(|finding| finding.verdict.api());
        facts.status = facts.status.or(own_status.map(|api| api.status));
        let (verdict, confidence) =
            best.map_or((Verdict::EvidenceMissing, Confidence::Guess), |finding| (finding.verdict, finding.confidence));
        let round_seconds = round::round_time(text).or_else(|| facts.took_ms.and_then(round));
        let mut notes: Vec<(Verdict, Confidence)> = found.iter().skip(1).map(|finding| (finding.verdict, finding.confidence)).collect();
        if verdict.code().starts_with("W-RATE") && judge::came_back_early(text, facts.reset.as_deref()) {
            notes.insert(0, (Verdict::RetriedTooEarly, Confidence::Likely));
        }
        if Facts::says_charged_twice(text)
            && !matches!(verdict, Verdict::RetriesCharged)
            && !notes.iter().any(|(v, _)| *v == Verdict::RetriesCharged)
        {
            notes.push((Verdict::RetriesCharged, Confidence::Guess));
        }
        notes.retain(|(verdict, _)| !matches!(verdict, Verdict::Ok | Verdict::EvidenceMissing));
        notes.truncate(NOTES);
        facts.of_verdict(verdict);
        let missing = ask::missing_of(&facts, verdict.class());
        let evidence_id = EvidenceId::from_dice(setting.dice);
        let (materials, replaced) = (Vec::new(), BTreeMap::new());
        Self {
            verdict,
            confidence,
            notes,
            materials,
            missing,
            held_a_secret: false,
            replaced,
            evidence_id,
            facts,
            error,
            round_seconds,
            unreadable: None,
            only_asks: false,
        }
    }

    /// How it ends.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.verdict {
            Verdict::EvidenceMissing => Outcome::CannotTell,
            verdict if judge::is_a_fault(verdict) && verdict != Verdict::Ok => Outcome::Fault,
            _ => Outcome::Fine,
        }
    }

    /// The ids that open a record of weir's.
    #[must_use]
    pub fn own_ids(&self) -> Vec<&str> {
        self.facts.request_ids.iter().map(String::as_str).filter(|id| id.starts_with("wr_")).collect()
    }

    /// What the record of this call says is surer than what the text does.
    pub fn correct_by_record(&mut self, verdict: Verdict) {
        if verdict == self.verdict {
            self.confidence = Confidence::Certain;
            return;
        }
        self.notes.insert(0, (self.verdict, self.confidence));
        self.notes.retain(|(noted, _)| *noted != verdict && *noted != Verdict::EvidenceMissing);
        self.notes.truncate(NOTES);
        (self.verdict, self.confidence) = (verdict, Confidence::Certain);
    }

    /// One question for everything that is missing; empty if nothing is.
    #[must_use]
    pub fn question(&self, lang: Lang) -> String {
        ask::question(&self.missing, self.only_asks, lang)
    }

    /// The record for support or for the public. `None` if it cannot be made safely.
    #[must_use]
    pub fn evidence(&self, setting: &Setting<'_>) -> Option<Evidence> {
        evidence::of(self, setting)
    }

    /// The last check before the result leaves. Words of an error that look suspicious now are left out: the verdict does not need them.
    fn looked_through(&mut self, setting: &Setting<'_>) -> Result<(), TriageError> {
        if self.is_safe(setting) {
            return Ok(());
        }
        self.error.iter_mut().for_each(|told| told.message.clear());
        self.facts.error_text = None;
        if self.is_safe(setting) { Ok(()) } else { Err(TriageError::Unsafe) }
    }

    /// Whether nothing that may be private is in anything that is said: each text by itself, since JSON writes a line's end as two
    /// letters, which would grow onto the word behind it.
    fn is_safe(&self, setting: &Setting<'_>) -> bool {
        let Ok(view) = serde_json::to_value(self.view(Lang::En)) else { return false };
        let mut said = vec![self.text(Lang::Zh), self.text(Lang::En)];
        texts(&view, &mut said);
        said.iter().all(|text| setting.redactor.scan(text, setting.audience).is_ok())
    }
}

/// All texts of a value, each with the name that it stands under; in a list, the list's.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, field)| named(name, field, found)),
        _ => {}
    }
}

fn named(name: &str, field: &Value, found: &mut Vec<String>) {
    match field {
        Value::String(text) => found.push(format!("{name}: {text}")),
        Value::Array(items) => items.iter().for_each(|item| named(name, item, found)),
        other => texts(other, found),
    }
}

fn round(took_ms: u64) -> Option<u32> {
    ROUND_SECONDS.into_iter().find(|seconds| took_ms.abs_diff(u64::from(*seconds) * 1000) <= 1000)
}
