//! The result as `weir.triage/1`: everything that the text for people says is in it, and the reverse.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use weir_core::{
    Charged, Lang, Verdict,
    evidence::Confidence,
    redact::Kind,
    verdict::{Class, Scenario, Words},
};

use super::{
    Material, Triage,
    pattern::{first, pattern},
};

/// The name of the form.
pub const SCHEMA: &str = "weir.triage/1";
const UNKNOWN: &str = "unknown";

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Both {
    pub zh: String,
    pub en: String,
}

/// One triage.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TriageView {
    /// `weir.triage/1`.
    pub schema: &'static str,
    pub evidence_id: String,
    pub read_as: Vec<Material>,
    pub verdict: VerdictView,
    pub check_first: Vec<String>,
    pub do_not: String,
    /// For each kind of use, in the closed words of the catalogue.
    pub retry: BTreeMap<&'static str, String>,
    /// The error of an upstream that was recognised.
    pub error: Option<ErrorView>,
    /// `unknown` where the text does not say.
    pub facts: FactsView,
    /// For a 429, item by item.
    pub limits: Option<LimitsView>,
    pub notes: Vec<NoteView>,
    pub missing: Vec<MissingView>,
    /// One question for everything that is missing; empty if nothing is.
    pub question: Both,
    pub hidden: HiddenView,
    pub exit_code: u8,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VerdictView {
    pub code: &'static str,
    pub class: &'static str,
    pub level: &'static str,
    pub owner: &'static str,
    pub confidence: Confidence,
    pub title: Both,
    pub cause: Both,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ErrorView {
    /// One of the thirteen classes of upstream errors; empty if only a status was seen.
    pub class: &'static str,
    /// Whose words it is in, if they say so.
    pub vendor: Option<&'static str>,
    /// The rule of the catalogue that recognised it.
    pub rule: &'static str,
}

/// The four things that a 429 may be about, each with what the text says of it or `unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LimitsView {
    pub rate: String,
    pub daily_quota: String,
    pub reset_at: String,
    pub concurrency: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NoteView {
    pub code: &'static str,
    pub confidence: Confidence,
    pub title: Both,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MissingView {
    /// The field of `weir.evidence/1`.
    pub field: &'static str,
    pub label: Both,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HiddenView {
    /// A whole key or another credential was in the text: it is hidden, and must be replaced.
    pub held_a_secret: bool,
    pub advice: Option<Both>,
    /// How often something of each kind was hidden.
    pub replaced: BTreeMap<Kind, u32>,
}

/// Each a text, so that `unknown` fits; lists are empty where nothing was found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FactsView {
    pub time: String,
    /// The zone that the text names for that time.
    pub zone: String,
    pub status: String,
    pub error_code: String,
    pub error_text: String,
    pub model: String,
    pub stream: String,
    pub client: String,
    pub client_version: String,
    pub sdk: String,
    pub base_url_host: String,
    pub method: String,
    pub path: String,
    /// `yes`, `not_seen`.
    pub via_proxy: &'static str,
    pub via_proxy_how: Option<&'static str>,
    pub request_ids: Vec<String>,
    pub edge_ids: Vec<String>,
    pub task_id: String,
    pub retries: String,
    pub read_timeout_s: String,
    pub took_ms: String,
    pub key_masked: String,
    /// What the text says; only a record can prove it.
    pub charged: String,
    pub scenario: &'static str,
    pub reset: String,
    /// `done`, `finish`, `none`, `error`.
    pub end_marker: String,
    pub data_lines: String,
    pub finish_reason: String,
    /// Seconds after which usual hops give up, where the call took as long: a guess at the hop, no more.
    pub round_seconds: Option<u32>,
}

pub(super) const ROTATE_ZH: &str = "已隐藏,请立即更换:原文里有完整的密钥或凭据。到控制台作废这把 Key,换一把新的;不要再把它发给任何人。";
pub(super) const ROTATE_EN: &str = "Hidden; replace it now: the text held a whole key or credential. Revoke that key in the console and issue a new one; do not send it to anybody again.";

impl Triage {
    /// The result for programs; lists of steps are in `lang`.
    #[must_use]
    pub fn view(&self, lang: Lang) -> TriageView {
        let (zh, en) = (self.verdict.words(Lang::Zh), self.verdict.words(Lang::En));
        let words: &Words = if lang == Lang::Zh { zh } else { en };
        let both = |zh: &str, en: &str| Both { zh: zh.to_owned(), en: en.to_owned() };
        TriageView {
            schema: SCHEMA,
            evidence_id: self.evidence_id.to_string(),
            read_as: self.materials.clone(),
            verdict: VerdictView {
                code: self.verdict.code(),
                class: self.verdict.class().label(),
                level: self.verdict.level().label(),
                owner: self.verdict.owner().label(),
                confidence: self.confidence,
                title: both(zh.title, en.title),
                cause: both(zh.cause, en.cause),
            },
            check_first: words.check_first.iter().map(|step| (*step).to_owned()).collect(),
            do_not: words.never.to_owned(),
            retry: Scenario::ALL.into_iter().map(|scenario| (scenario.label(), self.verdict.retry(scenario).to_string())).collect(),
            error: self.error.as_ref().map(|told| ErrorView { class: told.class, vendor: told.vendor, rule: told.rule }),
            facts: self.facts_view(),
            limits: self.limits(),
            notes: self
                .notes
                .iter()
                .map(|(verdict, confidence)| NoteView {
                    code: verdict.code(),
                    confidence: *confidence,
                    title: both(verdict.words(Lang::Zh).title, verdict.words(Lang::En).title),
                })
                .collect(),
            missing: self.missing.iter().map(|field| MissingView { field: field.field, label: both(field.zh, field.en) }).collect(),
            question: Both { zh: self.question(Lang::Zh), en: self.question(Lang::En) },
            hidden: HiddenView {
                held_a_secret: self.held_a_secret,
                advice: self.held_a_secret.then(|| both(ROTATE_ZH, ROTATE_EN)),
                replaced: self.replaced.clone(),
            },
            exit_code: self.outcome() as u8,
        }
    }

    /// What is known of the limits; nothing if it is not about one.
    pub(super) fn limits(&self) -> Option<LimitsView> {
        if self.verdict.class() != Class::Rate {
            return None;
        }
        let said = |is_it: bool| if is_it { "exceeded" } else { UNKNOWN }.to_owned();
        let told = self.facts.error_text.as_deref().and_then(told_limit);
        let is_rate = matches!(self.verdict, Verdict::RateLimited | Verdict::RateLimitedNoHint | Verdict::RampTooFast);
        let is_daily = self.verdict == Verdict::QuotaSpent;
        let of = |is_it: bool| told.clone().filter(|_| is_it).unwrap_or_else(|| said(is_it));
        Some(LimitsView {
            rate: of(is_rate),
            daily_quota: of(is_daily),
            reset_at: self.facts.reset.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            concurrency: of(self.verdict == Verdict::ConcurrencySpent),
        })
    }

    fn facts_view(&self) -> FactsView {
        let facts = &self.facts;
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        let number = |value: Option<u64>| value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string());
        let captured = facts.captured.as_ref();
        FactsView {
            time: facts.time.as_ref().map_or_else(|| UNKNOWN.to_owned(), |when| when.text.clone()),
            zone: text(&facts.time.as_ref().and_then(|when| when.zone.clone())),
            status: number(facts.status.map(u64::from)),
            error_code: text(&facts.error_code),
            error_text: text(&facts.error_text),
            model: text(&facts.model),
            stream: facts.stream.map_or_else(|| UNKNOWN.to_owned(), |stream| stream.to_string()),
            client: text(&facts.client.as_ref().map(|(name, _)| name.clone())),
            client_version: text(&facts.client.as_ref().and_then(|(_, version)| version.clone())),
            sdk: text(&facts.sdk),
            base_url_host: text(&self.shown_host()),
            method: text(&facts.method),
            path: text(&facts.path),
            via_proxy: if facts.proxy.is_some() { "yes" } else { "not_seen" },
            via_proxy_how: facts.proxy,
            request_ids: facts.request_ids.clone(),
            edge_ids: facts.edge_ids.clone(),
            task_id: text(&facts.task_id),
            retries: number(facts.retries.map(u64::from)),
            read_timeout_s: number(facts.read_timeout_s.map(u64::from)),
            took_ms: number(facts.took_ms),
            key_masked: text(&facts.key_masked),
            charged: match facts.charged {
                Some(Charged::Yes) => "yes",
                Some(Charged::No) => "no",
                _ => UNKNOWN,
            }
            .to_owned(),
            scenario: facts.scenario_label(),
            reset: text(&facts.reset),
            end_marker: captured.map_or_else(|| UNKNOWN.to_owned(), |seen| seen.end_marker().to_owned()),
            data_lines: number(captured.map(|seen| u64::from(seen.data_lines))),
            finish_reason: text(&captured.and_then(|seen| seen.finish_reason.clone())),
            round_seconds: self.round_seconds,
        }
    }
}

pattern!(
    TOLD_LIMIT,
    r"(?i)(limit:? ?~?[\d,]+[^.;\n]{0,60}?used:? ?~?[\d,]+|current:? ?[\d,]+, limit:? ?[\d,]+|\d+ ?(?:分钟|小时)内最多请求 ?\d+ ?次|(?:max|maximum)[^.;\n]{0,24}:? ?\d+)"
);

/// The numbers that an error gives for the limit.
fn told_limit(error: &str) -> Option<String> {
    first(&TOLD_LIMIT, error).map(|told| told.trim_end_matches([',', ' ']).to_owned())
}

/// The JSON Schema of `weir.triage/1`.
#[must_use]
pub fn triage_schema() -> schemars::Schema {
    schemars::schema_for!(TriageView)
}
