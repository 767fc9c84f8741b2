//! How a record is made from the row of a call. Whatever is in doubt is left out and listed.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::field::{EvidenceId, Fact, Label, Moment, Text};
use super::limits::{caller, limits};
use super::record::{
    AttemptFacts, BatchFacts, CallerFacts, ChargeEvidence, Client, Confidence, EndMarkerSeen, Evidence, Level, Limits, NoStatus, Redaction,
    RequestFacts, Retry, Scenario, SchemaName, Source, Status, StreamObserved, Surface, TaskFacts, TimingFacts, VerdictFacts, ViaProxy,
};
use crate::redact::{Audience, RULESET, Redactor, is_private_host};
use crate::secret::KeyFingerprint;
use crate::{AttemptRecord, CallRecord, Charged, Phase, StreamEnd, Timestamp};

/// The whole record as JSON.
pub const MAX_EVIDENCE_BYTES: usize = 8 * 1024;
const MAX_ATTEMPTS: usize = 20;
const MAX_IDS: usize = 5;
const MAX_LEDGER_IDS: usize = 10;
const MAX_HEADERS: usize = 24;
/// What a record takes besides its free parts: names of fields, enums, numbers, labels in ASCII.
const FRAME_BYTES: usize = 3000;
const ATTEMPT_BYTES: usize = 200;

/// What the row of a call does not say.
#[derive(Debug)]
pub struct EvidenceContext<'a> {
    pub redactor: &'a Redactor,
    /// Name and version, such as `weir 0.1.0`.
    pub product: &'a str,
    pub source: Source,
    pub created_at: Timestamp,
    pub zone: TimeZone,
    pub level: Level,
    pub confidence: Confidence,
    /// The mask of the key, if it is not one of weir's own.
    pub key_masked: Option<&'a str>,
    pub key_fp: Option<KeyFingerprint>,
    pub surface: Option<Surface>,
    pub scenario: Option<Scenario>,
    /// `host[:port]` that the client called.
    pub base_url_host: Option<&'a str>,
    pub via_proxy_how: Option<&'a str>,
    pub task: Option<TaskFacts>,
    /// The first and last instant in which charges were looked for, and how many were found.
    pub charge_window: Option<(Timestamp, Timestamp)>,
    pub charge_count: Option<u16>,
    pub ledger_ids: &'a [String],
    pub limits: Option<Limits>,
    /// Response headers as they came; those outside the allow-list are left out here.
    pub response_headers: &'a [(String, String)],
    pub edge_ids: &'a [String],
    pub batch: Option<BatchFacts>,
    pub caller: Option<CallerFacts>,
    pub user_note: Option<&'a str>,
}

impl<'a> EvidenceContext<'a> {
    /// A context that knows only what every record needs.
    #[must_use]
    pub fn new(redactor: &'a Redactor, product: &'a str, source: Source, created_at: Timestamp, zone: TimeZone) -> Self {
        Self {
            redactor,
            product,
            source,
            created_at,
            zone,
            level: Level::Info,
            confidence: Confidence::Certain,
            key_masked: None,
            key_fp: None,
            surface: None,
            scenario: None,
            base_url_host: None,
            via_proxy_how: None,
            task: None,
            charge_window: None,
            charge_count: None,
            ledger_ids: &[],
            limits: None,
            response_headers: &[],
            edge_ids: &[],
            batch: None,
            caller: None,
            user_note: None,
        }
    }
}

/// Whether a response header may be kept for this audience; everything else is not stored at all.
#[must_use]
pub fn is_kept_header(name: &str, audience: Audience) -> bool {
    const KEPT: [&str; 15] = [
        "content-type",
        "content-encoding",
        "cache-control",
        "transfer-encoding",
        "x-accel-buffering",
        "date",
        "retry-after",
        "retry-after-ms",
        "ratelimit",
        "ratelimit-policy",
        "x-should-retry",
        "x-request-id",
        "request-id",
        "cf-ray",
        "x-amzn-requestid",
    ];
    let name = name.to_ascii_lowercase();
    let token = name.len() <= 48 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    token
        && (KEPT.contains(&name.as_str())
            || name.starts_with("x-ratelimit-")
            || name.starts_with("x-weir-")
            || audience == Audience::Support && matches!(name.as_str(), "server" | "via"))
}

/// Collects what had to be left out while fields are made.
pub(super) struct Maker<'a> {
    redactor: &'a Redactor,
    audience: Audience,
    zone: &'a TimeZone,
    redaction: Redaction,
}

impl Maker<'_> {
    pub(super) fn drop(&mut self, field: &str) {
        if self.redaction.dropped.len() < 40 && !self.redaction.dropped.iter().any(|d| d == field) {
            self.redaction.dropped.push(field.to_owned());
        }
    }

    pub(super) fn label<const MAX: usize>(&mut self, field: &str, text: Option<&str>) -> Option<Label<MAX>> {
        let text = text.filter(|t| !t.is_empty())?;
        let label = Label::new(text, self.redactor, self.audience);
        if label.is_none() {
            self.drop(field);
        }
        label
    }

    fn text<const MAX: usize>(&mut self, field: &str, text: Option<&str>) -> Option<Text<MAX>> {
        let redacted = self.redactor.redact(text?, self.audience);
        let replaced = redacted.replaced().clone();
        let text = Text::new(redacted, self.redactor, self.audience);
        if text.is_none() {
            self.drop(field);
            return None;
        }
        for (kind, count) in replaced {
            *self.redaction.replaced.entry(kind).or_default() += count;
        }
        text
    }

    /// For support a value or unknown; for the public nothing, and a note that there was something.
    pub(super) fn private<T>(&mut self, field: &str, value: Fact<T>) -> Fact<T> {
        if self.audience == Audience::Support {
            return value;
        }
        if value.known().is_some() {
            self.drop(field);
        }
        Fact::NotApplicable
    }

    pub(super) fn moment(&self, at: Timestamp) -> Option<Moment> {
        Moment::of(at, self.zone)
    }
}

impl Evidence {
    /// The record of a call for one audience. The same call has the same evidence id each time.
    #[must_use]
    pub fn of(record: &CallRecord, context: &EvidenceContext<'_>, audience: Audience) -> Option<Self> {
        let zone = context.zone.clone();
        let mut maker = Maker {
            redactor: context.redactor,
            audience,
            zone: &zone,
            redaction: Redaction { ruleset: RULESET.to_owned(), ..Redaction::default() },
        };
        let evidence = Self {
            schema: SchemaName::V1,
            evidence_id: EvidenceId::of_call(record.id),
            created_at: maker.moment(context.created_at)?,
            product: maker.label("product", Some(context.product))?,
            source: context.source,
            audience,
            verdict: verdict(&mut maker, record, context)?,
            account: account(&mut maker, record),
            key_masked: key_masked(&mut maker, record, context),
            key_fp: maker.private("key_fp", Fact::or_null(context.key_fp.clone())),
            key_id: key_id(&mut maker, record),
            client: client(&mut maker, record, context),
            request: request(&mut maker, record, context),
            status: Fact::Known(if (100..600).contains(&record.status) {
                Status::Code(record.status)
            } else {
                Status::Never(NoStatus::None)
            }),
            error_code: Fact::or_null(maker.label("error_code", record.error_code.as_deref())),
            error_text: Fact::or_null(maker.text("error_text", record.error_text.as_deref())),
            retry: retry(&mut maker, record),
            task: Fact::or_null(context.task.clone()),
            charge: charge(&mut maker, record, context),
            timing: Some(timing(record)),
            limits: limits(&mut maker, record, context),
            stream_obs: observed(&mut maker, record),
            response_headers: headers(&mut maker, context.response_headers),
            upstream_request_ids: upstream_ids(&mut maker, &record.attempts),
            edge_ids: context.edge_ids.iter().take(MAX_IDS).filter_map(|id| maker.label("edge_ids", Some(id))).collect(),
            batch: context.batch.clone(),
            caller: caller(&mut maker, record, context),
            user_note: note(&mut maker, context.user_note),
            redaction: Redaction::default(),
        };
        Some(evidence.within_bounds(maker))
    }

    /// Lets go of the longest and least needed until the record fits; the twelve fields of the first review always stay.
    fn within_bounds(mut self, mut maker: Maker<'_>) -> Self {
        if self.estimate() > MAX_EVIDENCE_BYTES {
            self.response_headers.clear();
            maker.drop("response_headers");
        }
        if self.estimate() > MAX_EVIDENCE_BYTES {
            self.retry.attempts.truncate(3);
            maker.drop("retry.attempts");
        }
        if self.estimate() > MAX_EVIDENCE_BYTES {
            self.user_note = None;
            maker.drop("user_note");
        }
        self.redaction = maker.redaction;
        self
    }

    /// An upper bound of the record's JSON, in bytes.
    fn estimate(&self) -> usize {
        let text = |t: &str| {
            t.chars().map(|c| if c.is_control() { 6 } else { c.len_utf8() + usize::from(matches!(c, '"' | '\\')) }).sum::<usize>()
        };
        let headers: usize = self.response_headers.iter().map(|(k, v)| k.len() + text(v.as_str()) + 6).sum();
        let ids: usize = self.upstream_request_ids.iter().chain(&self.edge_ids).map(|id| text(id.as_str()) + 3).sum();
        let model = self.request.model.known().map_or(0, |m| text(m.as_str()));
        FRAME_BYTES
            + headers
            + ids
            + model
            + self.retry.attempts.len() * ATTEMPT_BYTES
            + self.error_text.known().map_or(0, |t| text(t.as_str()))
            + self.user_note.as_ref().map_or(0, |t| text(t.as_str()))
    }
}

impl<T> From<Fact<T>> for Option<T> {
    fn from(fact: Fact<T>) -> Self {
        if let Fact::Known(value) = fact { Some(value) } else { None }
    }
}

fn verdict(maker: &mut Maker<'_>, record: &CallRecord, context: &EvidenceContext<'_>) -> Option<VerdictFacts> {
    let class = record.verdict.code().split('-').nth(1).unwrap_or("unknown").to_ascii_lowercase();
    Some(VerdictFacts {
        code: record.verdict,
        class: maker.label("verdict.class", Some(&class))?,
        level: context.level,
        confidence: context.confidence,
    })
}

fn account(maker: &mut Maker<'_>, record: &CallRecord) -> Fact<Label<32>> {
    if maker.audience == Audience::Public {
        if record.account.is_some() {
            maker.drop("account");
        }
        return Fact::NotApplicable;
    }
    Fact::or_unknown(maker.label("account", record.account.as_deref()))
}

fn key_masked(maker: &mut Maker<'_>, record: &CallRecord, context: &EvidenceContext<'_>) -> Fact<Label<80>> {
    let own = record.kid.as_ref().map(crate::KeyId::mask);
    Fact::or_unknown(maker.label("key_masked", context.key_masked.or(own.as_deref())))
}

fn key_id(maker: &mut Maker<'_>, record: &CallRecord) -> Fact<Label<40>> {
    let Some(kid) = &record.kid else { return Fact::NotApplicable };
    let label = Label::new(&format!("k_{kid}"), maker.redactor, Audience::Support);
    if label.is_none() {
        maker.drop("key_id");
    }
    maker.private("key_id", Fact::or_null(label))
}

fn client(maker: &mut Maker<'_>, record: &CallRecord, context: &EvidenceContext<'_>) -> Client {
    let seen = &record.client;
    Client {
        name: Fact::or_unknown(maker.label("client.name", seen.name.as_deref())),
        version: Fact::or_unknown(maker.label("client.version", seen.version.as_deref())),
        sdk: Fact::NotApplicable,
        retry_header: Fact::or_null(seen.retry_header),
        read_timeout_s: Fact::or_unknown(seen.read_timeout_s),
        surface: Fact::or_unknown(context.surface),
    }
}

fn request(maker: &mut Maker<'_>, record: &CallRecord, context: &EvidenceContext<'_>) -> RequestFacts {
    let time = maker.moment(record.at);
    let tz = time.as_ref().map(|t| t.offset().to_owned());
    let host = context.base_url_host.map(|host| if is_private_host(host) { "private" } else { host });
    let method = if record.route == crate::Route::Models { "GET" } else { "POST" };
    let how = maker.label("request.via_proxy_how", context.via_proxy_how);
    RequestFacts {
        id: Fact::or_unknown(maker.label("request.id", Some(&record.id.to_string()))),
        tz: Fact::or_unknown(maker.label("request.tz", tz.as_deref())),
        time: Fact::or_unknown(time),
        method: Fact::or_unknown(maker.label("request.method", Some(method))),
        path: Fact::or_unknown(maker.label("request.path", Some(record.route.path()))),
        model: Fact::or_unknown(maker.label("request.model", Some(&record.model))),
        stream: Fact::Known(record.stream),
        scenario: Fact::or_unknown(context.scenario),
        task_type: Fact::or_unknown(maker.label("request.task_type", Some(record.route.task_type()))),
        base_url_host: Fact::or_unknown(maker.label("request.base_url_host", host)),
        via_proxy: if how.is_some() || record.client.via_proxy { ViaProxy::Yes } else { ViaProxy::NotSeen },
        via_proxy_how: Fact::or_null(how),
    }
}

fn retry(maker: &mut Maker<'_>, record: &CallRecord) -> Retry {
    let retries = record.attempts.len().saturating_sub(1).max(record.client.retry_header.map_or(0, |n| n as usize));
    let mut channels: Vec<&str> = Vec::new();
    let mut attempts = Vec::new();
    let mut ended = 0;
    for attempt in record.attempts.iter().take(MAX_ATTEMPTS) {
        let place = channels.iter().position(|c| *c == attempt.channel).unwrap_or_else(|| {
            channels.push(&attempt.channel);
            channels.len() - 1
        });
        attempts.extend(attempt_facts(maker, record, attempt, ended, place));
        ended = attempt.at_ms.saturating_add(attempt.ms);
    }
    Retry { retried: Fact::Known(retries > 0), count: Fact::Known(u8::try_from(retries.min(99)).unwrap_or(99)), attempts }
}

fn attempt_facts(maker: &mut Maker<'_>, record: &CallRecord, attempt: &AttemptRecord, ended: u32, place: usize) -> Option<AttemptFacts> {
    let phase = match attempt.phase {
        Phase::Connect => "connect",
        Phase::Send => "send",
        Phase::FirstByte => "first_byte",
        Phase::Body => "body",
        Phase::Done => "done",
    };
    let upstream = format!("up{}", place + 1);
    let at = Timestamp(record.at.0.saturating_add(i64::from(attempt.at_ms)));
    Some(AttemptFacts {
        n: attempt.n,
        at: Fact::or_unknown(maker.moment(at)),
        phase: maker.label("retry.attempts.phase", Some(phase))?,
        status: Fact::or_null(attempt.status.map(Status::Code)),
        code: Fact::or_null(attempt.verdict.and_then(|v| maker.label("retry.attempts.code", Some(v.code())))),
        delay_ms: Fact::Known(attempt.at_ms.saturating_sub(ended)),
        ms: Fact::Known(attempt.ms),
        upstream: if maker.audience == Audience::Support { maker.label("retry.attempts.upstream", Some(&upstream)) } else { None },
    })
}

fn charge(maker: &mut Maker<'_>, record: &CallRecord, context: &EvidenceContext<'_>) -> ChargeEvidence {
    let window = context.charge_window.and_then(|(from, to)| Some([maker.moment(from)?, maker.moment(to)?]));
    let found = match record.charge.charged {
        Charged::Yes | Charged::Refunded => Some(1),
        Charged::No => Some(0),
        Charged::Pending | Charged::Unknown => None,
    };
    let ledger_ids = if maker.audience == Audience::Support {
        context.ledger_ids.iter().take(MAX_LEDGER_IDS).filter_map(|id| maker.label("charge.ledger_ids", Some(id))).collect()
    } else {
        Vec::new()
    };
    if ledger_ids.is_empty() && !context.ledger_ids.is_empty() {
        maker.drop("charge.ledger_ids");
    }
    ChargeEvidence {
        state: record.charge.charged,
        count: Fact::or_unknown(context.charge_count.or(found)),
        window: maker.private("charge.window", Fact::or_null(window)),
        ledger_ids,
    }
}

fn timing(record: &CallRecord) -> TimingFacts {
    let seen = record.timing;
    TimingFacts {
        dns: None,
        connect: seen.connect,
        tls: None,
        ttfb: seen.ttfb,
        first_event: seen.first_event,
        last_event: seen.last_event,
        gap_max: seen.gap_max,
        total: seen.total,
        ended_by: record.ended_by,
    }
}

fn observed(maker: &mut Maker<'_>, record: &CallRecord) -> Option<StreamObserved> {
    let seen = record.observed.as_ref()?;
    let end_marker = match seen.end {
        StreamEnd::Done => EndMarkerSeen::Done,
        StreamEnd::EofNoDone => EndMarkerSeen::Finish,
        StreamEnd::UpstreamError => EndMarkerSeen::Error,
        _ => EndMarkerSeen::None,
    };
    Some(StreamObserved {
        events: seen.events,
        data_lines: None,
        bytes: Some(seen.bytes),
        end_marker,
        finish_reason: Fact::or_null(maker.label("stream_obs.finish_reason", seen.finish_reason.as_deref())),
        clusters: None,
        arrival_span_ms: record.timing.last_event.zip(record.timing.first_event).map(|(last, first)| last.saturating_sub(first)),
        gzip: None,
    })
}

fn headers(maker: &mut Maker<'_>, headers: &[(String, String)]) -> BTreeMap<String, Text<128>> {
    let mut kept = BTreeMap::new();
    let audience = maker.audience;
    for (name, value) in headers.iter().filter(|(name, _)| is_kept_header(name, audience)).take(MAX_HEADERS) {
        let name = name.to_ascii_lowercase();
        // The host part of `via` names a machine inside somebody's network.
        let value = if name == "via" {
            value.split(' ').next().map(|version| format!("{version} private")).unwrap_or_default()
        } else {
            value.clone()
        };
        if let Some(text) = maker.text(&format!("response_headers.{name}"), Some(&value)) {
            kept.insert(name, text);
        }
    }
    kept
}

fn upstream_ids(maker: &mut Maker<'_>, attempts: &[AttemptRecord]) -> Vec<Label<96>> {
    attempts
        .iter()
        .filter_map(|a| a.upstream_id.as_deref())
        .take(MAX_IDS)
        .filter_map(|id| maker.label("upstream_request_ids", Some(id)))
        .collect()
}

fn note(maker: &mut Maker<'_>, note: Option<&str>) -> Option<Text<500>> {
    if maker.audience == Audience::Public {
        if note.is_some() {
            maker.drop("user_note");
        }
        return None;
    }
    maker.text("user_note", note)
}
