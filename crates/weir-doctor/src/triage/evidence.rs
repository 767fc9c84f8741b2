//! The record of a triaged text: fields that passed the redactor, nothing else. What the text does not tell is `unknown`.

use std::collections::BTreeMap;

use weir_core::{
    Charged,
    evidence::{
        ChargeEvidence, Client, EndMarkerSeen, Evidence, Fact, Label, Level, LimitKind, Limits, Moment, Redaction, RequestFacts, Retry,
        SchemaName, Source, Status, StreamObserved, TaskFacts, TaskState, Text, VerdictFacts, ViaProxy, is_kept_header,
    },
    redact::{Audience, RULESET, is_private_host},
    verdict,
};

use super::{Setting, Triage};

/// Most headers kept.
const HEADERS: usize = 16;

impl Triage {
    /// The host that may be shown.
    pub(super) fn shown_host(&self) -> Option<String> {
        let host = self.facts.host.as_ref()?;
        Some(if is_private_host(host) { "private".to_owned() } else { host.clone() })
    }
}

struct Maker<'a> {
    setting: &'a Setting<'a>,
    dropped: Vec<String>,
}

impl Maker<'_> {
    fn label<const MAX: usize>(&mut self, field: &str, text: Option<&str>) -> Option<Label<MAX>> {
        let text = text.filter(|text| !text.is_empty())?;
        let label = Label::new(text, self.setting.redactor, self.setting.audience);
        if label.is_none() {
            self.dropped.push(field.to_owned());
        }
        label
    }

    fn text<const MAX: usize>(&mut self, field: &str, text: Option<&str>) -> Option<Text<MAX>> {
        let redacted = self.setting.redactor.redact(text?, self.setting.audience);
        let made = Text::new(redacted, self.setting.redactor, self.setting.audience);
        if made.is_none() {
            self.dropped.push(field.to_owned());
        }
        made
    }
}

/// `None` if a field that each record must have cannot be made.
pub(super) fn of(triage: &Triage, setting: &Setting<'_>) -> Option<Evidence> {
    let mut maker = Maker { setting, dropped: Vec::new() };
    let facts = &triage.facts;
    let (error_code, error_text) =
        (maker.label("error_code", facts.error_code.as_deref()), maker.text("error_text", facts.error_text.as_deref()));
    let mut evidence = Evidence {
        schema: SchemaName::V1,
        evidence_id: triage.evidence_id,
        created_at: Moment::of(setting.now, &setting.zone)?,
        product: maker.label("product", Some(setting.product))?,
        // Nothing was probed: it is what the caller's side saw, as the caller tells it.
        source: Source::Client,
        audience: setting.audience,
        verdict: VerdictFacts {
            code: triage.verdict,
            class: maker.label("verdict.class", Some(triage.verdict.class().label()))?,
            level: level(triage.verdict.level()),
            confidence: triage.confidence,
        },
        account: if setting.audience == Audience::Public { Fact::NotApplicable } else { Fact::UNKNOWN },
        key_masked: Fact::or_unknown(maker.label("key_masked", facts.key_masked.as_deref())),
        key_fp: Fact::NotApplicable,
        key_id: Fact::NotApplicable,
        client: client(&mut maker, triage),
        request: request(&mut maker, triage),
        status: facts.status.map_or(Fact::UNKNOWN, |status| Fact::Known(Status::Code(status))),
        error_code: Fact::or_unknown(error_code),
        error_text: Fact::or_unknown(error_text),
        retry: Retry {
            retried: Fact::or_unknown(facts.retries.map(|count| count > 0)),
            count: Fact::or_unknown(facts.retries.and_then(|count| u8::try_from(count.min(99)).ok())),
            attempts: Vec::new(),
        },
        task: Fact::or_null(task(&mut maker, triage)),
        charge: ChargeEvidence {
            // What a person says proves no charge; the record of the gateway does.
            state: Charged::Unknown,
            count: Fact::UNKNOWN,
            window: Fact::NotApplicable,
            ledger_ids: Vec::new(),
        },
        redaction: Redaction::default(),
        timing: None,
        limits: limits(triage),
        stream_obs: observed(&mut maker, triage),
        response_headers: headers(&mut maker, triage),
        upstream_request_ids: ids(&mut maker, "upstream_request_ids", facts.request_ids.iter().skip(1)),
        edge_ids: ids(&mut maker, "edge_ids", facts.edge_ids.iter()),
        batch: None,
        caller: None,
        user_note: None,
    };
    maker.dropped.truncate(40);
    evidence.redaction = Redaction { ruleset: RULESET.to_owned(), replaced: triage.replaced.clone(), dropped: maker.dropped };
    Some(evidence)
}

fn level(level: verdict::Level) -> Level {
    match level {
        verdict::Level::Ok => Level::Ok,
        verdict::Level::Info => Level::Info,
        verdict::Level::Warn | verdict::Level::Unknown => Level::Warn,
        verdict::Level::Fail => Level::Fail,
    }
}

fn client(maker: &mut Maker<'_>, triage: &Triage) -> Client {
    let facts = &triage.facts;
    let (name, version) = facts.client.clone().map_or((None, None), |(name, version)| (Some(name), version));
    Client {
        name: Fact::or_unknown(maker.label("client.name", name.as_deref())),
        version: Fact::or_unknown(maker.label("client.version", version.as_deref())),
        sdk: Fact::or_unknown(maker.label("client.sdk", facts.sdk.as_deref())),
        retry_header: Fact::NotApplicable,
        read_timeout_s: Fact::or_unknown(facts.read_timeout_s),
        surface: Fact::UNKNOWN,
    }
}

fn request(maker: &mut Maker<'_>, triage: &Triage) -> RequestFacts {
    let facts = &triage.facts;
    let time = facts.time.as_ref().and_then(|when| {
        let assumed = || {
            let civil: jiff::civil::DateTime = when.civil.parse().ok()?;
            let zoned = civil.to_zoned(maker.setting.zone.clone()).ok()?;
            Some(weir_core::Timestamp(zoned.timestamp().as_millisecond()))
        };
        Moment::of(super::facts::instant(Some(when)).or_else(assumed)?, &maker.setting.zone)
    });
    let zone = facts.time.as_ref().and_then(|when| when.zone.clone());
    RequestFacts {
        id: Fact::or_unknown(maker.label("request.id", facts.request_ids.first().map(String::as_str))),
        time: Fact::or_unknown(time),
        tz: Fact::or_unknown(maker.label("request.tz", zone.as_deref())),
        method: Fact::or_unknown(maker.label("request.method", facts.method.as_deref())),
        path: Fact::or_unknown(maker.label("request.path", facts.path.as_deref())),
        model: Fact::or_unknown(maker.label("request.model", facts.model.as_deref())),
        stream: Fact::or_unknown(facts.stream),
        scenario: Fact::or_unknown(facts.scenario),
        task_type: Fact::UNKNOWN,
        base_url_host: Fact::or_unknown(maker.label("request.base_url_host", triage.shown_host().as_deref())),
        via_proxy: if facts.proxy.is_some() { ViaProxy::Yes } else { ViaProxy::NotSeen },
        via_proxy_how: Fact::or_null(maker.label("request.via_proxy_how", facts.proxy)),
    }
}

fn task(maker: &mut Maker<'_>, triage: &Triage) -> Option<TaskFacts> {
    let id = maker.label("task.id", triage.facts.task_id.as_deref())?;
    Some(TaskFacts { id, submitted_at: Fact::UNKNOWN, state: TaskState::Unknown, charged: Charged::Unknown })
}

/// What a 429 said, as far as it is a number of seconds.
fn limits(triage: &Triage) -> Option<Limits> {
    if !triage.verdict.code().starts_with("W-RATE") {
        return None;
    }
    let kind = match triage.verdict {
        weir_core::Verdict::ConcurrencySpent => LimitKind::Concurrency,
        weir_core::Verdict::QuotaSpent => LimitKind::Daily,
        weir_core::Verdict::UpstreamThrottled => LimitKind::Upstream,
        weir_core::Verdict::RateLimited | weir_core::Verdict::RateLimitedNoHint => LimitKind::Rate,
        _ => LimitKind::Unknown,
    };
    let seconds = triage.facts.reset.as_deref().and_then(|told| told.trim_end_matches(['s', ' ']).parse::<f64>().ok());
    let retry_after_s = seconds.filter(|s| (0.0..1e7).contains(s)).map(f64::ceil);
    Some(Limits {
        kind,
        limit: Fact::UNKNOWN,
        remaining: Fact::UNKNOWN,
        used: Fact::UNKNOWN,
        reset_at: Fact::UNKNOWN,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie between 0 and ten million")]
        retry_after_s: Fact::or_unknown(retry_after_s.map(|seconds| seconds as u32)),
    })
}

fn observed(maker: &mut Maker<'_>, triage: &Triage) -> Option<StreamObserved> {
    let seen = triage.facts.captured.as_ref()?;
    let end_marker = match seen.end_marker() {
        "error" => EndMarkerSeen::Error,
        "done" => EndMarkerSeen::Done,
        "finish" => EndMarkerSeen::Finish,
        _ => EndMarkerSeen::None,
    };
    Some(StreamObserved {
        events: u64::from(seen.data_lines),
        data_lines: Some(u64::from(seen.data_lines)),
        bytes: None,
        end_marker,
        finish_reason: Fact::or_null(maker.label("stream_obs.finish_reason", seen.finish_reason.as_deref())),
        clusters: None,
        arrival_span_ms: None,
        gzip: None,
    })
}

fn headers(maker: &mut Maker<'_>, triage: &Triage) -> BTreeMap<String, Text<128>> {
    let audience = maker.setting.audience;
    let kept = triage.facts.headers.iter().filter(|(name, _)| is_kept_header(name, audience) && !name.eq_ignore_ascii_case("via"));
    let made: Vec<_> =
        kept.take(HEADERS).filter_map(|(name, value)| Some((name.to_ascii_lowercase(), maker.text(name, Some(value))?))).collect();
    made.into_iter().collect()
}

fn ids<'i>(maker: &mut Maker<'_>, field: &str, ids: impl Iterator<Item = &'i String>) -> Vec<Label<96>> {
    ids.take(5).filter_map(|id| maker.label(field, Some(id))).collect()
}
