//! The run's record, `weir.evidence/1`: built by core's allow-list, with what only the doctor saw put into its typed fields.

use weir_client::probe::BodyEnd;
use weir_core::{
    CallRecord, ChargeFacts, Charged, ClientFacts, RequestId, Route, Secret, Side, StreamEnd, StreamFacts, Timing, Verdict,
    evidence::{
        Evidence, EvidenceContext, Fact, Gzip, Label, Level, LimitKind, Limits, MAX_EVIDENCE_BYTES, Moment, Source, Surface, TaskFacts,
    },
    redact::Redactor,
};

use super::{
    look,
    make::{Making, masked, millis},
};
use crate::{
    judge::{Judgement, seen::Lookup},
    probe::{Examined, ProbeId},
    trace::{End, Measures, Trace},
};

/// The engine that knows what this run must not tell.
#[must_use]
pub fn redactor(run: &Examined) -> Redactor {
    let login = |address: &Option<String>| {
        address.as_ref().and_then(|address| Some(address.rsplit_once('@')?.0.rsplit_once("://").map_or("", |(_, login)| login).to_owned()))
    };
    let prompts = crate::probe::PROMPTS.map(Secret::new);
    Redactor::new(
        run.order.key.iter().cloned().chain(prompts).chain(login(&run.order.via).filter(|login| !login.is_empty()).map(Secret::new)),
    )
}

/// The record of a run. `None`: it could not be proven free of secrets.
pub(super) fn evidence(run: &Examined, judgement: &Judgement, making: &Making) -> Option<Evidence> {
    let engine = redactor(run);
    let trace = trace(run, judgement.primary.probe);
    let call = call(run, judgement, trace, &engine);
    let mask = masked(run);
    let host = run.target.as_ref().map(weir_client::Target::authority);
    let headers: Vec<(String, String)> = trace.map(|trace| trace.headers.clone()).unwrap_or_default();
    let edges: Vec<String> = ["cf-ray", "x-amzn-requestid"].iter().filter_map(|name| trace?.header(name).map(str::to_owned)).collect();
    let product = format!("weir {}", making.version);
    let how = look::how_proxied(run);
    let context = EvidenceContext {
        level: level(judgement.primary.finding.verdict),
        confidence: judgement.primary.finding.confidence,
        key_masked: (mask != "none").then_some(mask.as_str()),
        surface: Some(Surface::Cli),
        scenario: Some(weir_core::evidence::Scenario::ShortChat),
        base_url_host: host.as_deref(),
        via_proxy_how: how.as_deref(),
        task: task(run, &engine, making),
        limits: limits(run, trace, judgement, making),
        response_headers: &headers,
        edge_ids: &edges,
        ..EvidenceContext::new(&engine, &product, Source::Doctor, making.now, making.zone.clone())
    };
    let mut evidence = Evidence::of(&call, &context, making.audience)?;
    evidence.evidence_id = run.id;
    complete(&mut evidence, run, trace, &engine, making);
    let json = serde_json::to_value(&evidence).ok()?;
    (json.to_string().len() <= MAX_EVIDENCE_BYTES && is_safe(&json, &engine, making.audience)).then_some(evidence)
}

/// Fields that hold sentences of the catalogue and nothing from outside: some of them show what a key must not look like.
/// A detail may name the person's own address, which is no secret to them.
const OUR_WORDS: [&str; 8] = ["summary", "detail", "remediation", "never", "check_first", "do_not", "hints", "label"];

/// Whether no text inside holds anything that the engine would hide. Each text is looked at for itself: side by side in JSON, a code
/// such as `invalid_api_key` and the text behind it look like a name and its secret.
#[must_use]
pub fn is_safe(json: &serde_json::Value, engine: &Redactor, audience: weir_core::Audience) -> bool {
    match json {
        serde_json::Value::String(text) => engine.scan(text, audience).is_ok(),
        serde_json::Value::Array(items) => items.iter().all(|item| is_safe(item, engine, audience)),
        serde_json::Value::Object(fields) => {
            fields.iter().all(|(name, field)| OUR_WORDS.contains(&name.as_str()) || is_safe(field, engine, audience))
        }
        _ => true,
    }
}

fn level(verdict: Verdict) -> Level {
    match verdict.level() {
        weir_core::Level::Ok => Level::Ok,
        weir_core::Level::Info => Level::Info,
        weir_core::Level::Warn | weir_core::Level::Unknown => Level::Warn,
        weir_core::Level::Fail => Level::Fail,
    }
}

/// The exchange that the verdict is about, else the last that says something.
fn trace(run: &Examined, probe: ProbeId) -> Option<&Trace> {
    let seen = &run.seen;
    super::make::trace_of(run, probe).or_else(|| {
        [seen.gzip.as_ref(), seen.stream.as_ref(), seen.control.as_ref(), seen.models.as_ref().map(|models| &models.trace)]
            .into_iter()
            .flatten()
            .next()
    })
}

fn call(run: &Examined, judgement: &Judgement, trace: Option<&Trace>, engine: &Redactor) -> CallRecord {
    let asked_at = run.asked_at.unwrap_or(run.began);
    let is_stream = trace.is_some_and(|trace| {
        [&run.seen.stream, &run.seen.gzip, &run.seen.hold].into_iter().flatten().any(|stream| std::ptr::eq(stream, trace))
    }) || matches!(judgement.primary.probe, ProbeId::P7);
    let is_models = run.seen.models.as_ref().is_some_and(|models| trace.is_some_and(|trace| std::ptr::eq(&raw const models.trace, trace)));
    let error = trace.and_then(Trace::error);
    CallRecord {
        id: RequestId::new(asked_at, 0),
        at: asked_at,
        route: match run.order.api {
            _ if is_models => Route::Models,
            crate::probe::Api::Chat => Route::ChatCompletions,
            crate::probe::Api::Responses => Route::Responses,
            crate::probe::Api::Messages => Route::Messages,
        },
        verdict: judgement.primary.finding.verdict,
        status: trace.and_then(|trace| trace.status).unwrap_or(0),
        ended_by: trace.map_or(Side::Done, ended_by),
        charge: ChargeFacts { charged: charged(run), ..ChargeFacts::default() },
        kid: run.order.key.as_ref().and_then(|key| weir_core::ApiKey::parse(key.expose()).ok()?.kid()),
        account: None,
        group: run.seen.record.as_ref().and_then(|record| record.group.clone()),
        model: run.model.clone().filter(|name| crate::probe::is_tame_model(name)).unwrap_or_default(),
        stream: is_stream,
        scenario: weir_core::Scenario::ShortChat,
        client: ClientFacts {
            name: Some("weir doctor".to_owned()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            read_timeout_s: u32::try_from(run.seen.bounds.first_byte_s()).ok(),
            ..ClientFacts::default()
        },
        suspected_retry_of: None,
        error_code: error.and_then(|error| error.code.clone().or_else(|| error.kind.clone())).map(|code| code.to_ascii_lowercase()),
        error_text: error
            .filter(|error| !error.message.is_empty())
            .map(|error| engine.redact(error.message.expose(), weir_core::Audience::Support).cut(1024).into_string()),
        limit: None,
        told: None,
        attempts: Vec::new(),
        timing: timing(trace),
        observed: trace.and_then(observed),
    }
}

fn ended_by(trace: &Trace) -> Side {
    match trace.end {
        End::Body(BodyEnd::Clean | BodyEnd::Closed) => Side::Done,
        End::Body(BodyEnd::Limit(_)) | End::Never(weir_client::probe::Fault::Silent) => Side::Client,
        _ => Side::Upstream,
    }
}

fn charged(run: &Examined) -> Charged {
    let seen = &run.seen;
    let looked = match &seen.lookup {
        Some(Lookup::Call(record)) => record.charged,
        Some(Lookup::Task(task)) => task.charged,
        _ => None,
    };
    seen.record.as_ref().and_then(|record| record.charged).or(looked).unwrap_or(if run.used_requests == 0 {
        Charged::No
    } else {
        Charged::Unknown
    })
}

fn timing(trace: Option<&Trace>) -> Timing {
    let Some(trace) = trace else { return Timing::default() };
    let measures = Measures::of(trace);
    Timing {
        queued: None,
        connect: trace.phases.connect.map(millis),
        ttfb: trace.phases.first_byte.map(millis),
        first_event: measures.as_ref().map(|seen| millis(seen.first)),
        last_event: measures.as_ref().map(|seen| millis(seen.last)),
        gap_max: measures.as_ref().map(|seen| millis(seen.gap_max)),
        total: millis(trace.total),
    }
}

fn observed(trace: &Trace) -> Option<StreamFacts> {
    let stream = trace.stream()?;
    let end = match trace.end {
        _ if stream.error.is_some() => StreamEnd::UpstreamError,
        End::Body(end) if end.is_cut() => StreamEnd::UpstreamCut,
        _ if stream.is_done => StreamEnd::Done,
        End::Body(BodyEnd::Limit(_)) => StreamEnd::IdleTimeout,
        _ if stream.finish_reason.is_some() => StreamEnd::EofNoDone,
        _ => StreamEnd::EofNoFinish,
    };
    Some(StreamFacts { end, events: u64::from(stream.events), bytes: stream.bytes, finish_reason: stream.finish_reason.clone() })
}

fn task(run: &Examined, engine: &Redactor, making: &Making) -> Option<TaskFacts> {
    let task = match run.seen.lookup.as_ref()? {
        Lookup::Task(task) => task,
        Lookup::Call(record) => record.task.as_ref()?,
        _ => return None,
    };
    use weir_core::{TaskState as Held, evidence::TaskState};
    Some(TaskFacts {
        id: Label::new(&task.id, engine, making.audience)?,
        submitted_at: Fact::UNKNOWN,
        state: match task.state {
            Held::Submitted => TaskState::Queued,
            Held::Running => TaskState::Running,
            Held::Succeeded => TaskState::Succeeded,
            Held::Failed => TaskState::Failed,
            Held::Cancelled => TaskState::Cancelled,
            Held::Unconfirmed | Held::Unknown => TaskState::Unknown,
        },
        charged: task.charged.unwrap_or(Charged::Unknown),
    })
}

fn limits(run: &Examined, trace: Option<&Trace>, judgement: &Judgement, making: &Making) -> Option<Limits> {
    let verdict = judgement.primary.finding.verdict;
    if verdict.class() != weir_core::Class::Rate {
        return None;
    }
    let told = trace.and_then(Trace::whole).and_then(|whole| whole.reset_at_ms).map(weir_core::Timestamp);
    let wait = told.map(|at| at.since(run.asked_at.unwrap_or(run.began)).as_millis().div_ceil(1000));
    Some(Limits {
        kind: match verdict {
            Verdict::QuotaSpent => LimitKind::Daily,
            Verdict::ConcurrencySpent => LimitKind::Concurrency,
            Verdict::UpstreamThrottled => LimitKind::Upstream,
            Verdict::RateLimited | Verdict::RampTooFast => LimitKind::Rate,
            _ => LimitKind::Unknown,
        },
        limit: Fact::UNKNOWN,
        remaining: Fact::UNKNOWN,
        used: Fact::UNKNOWN,
        reset_at: Fact::or_unknown(told.and_then(|at| Moment::of(at, &making.zone))),
        retry_after_s: Fact::or_unknown(wait.and_then(|wait| u32::try_from(wait).ok())),
    })
}

/// What the row of a call has no place for.
fn complete(evidence: &mut Evidence, run: &Examined, trace: Option<&Trace>, engine: &Redactor, making: &Making) {
    let id = trace.and_then(|trace| ["x-request-id", "request-id"].iter().find_map(|name| trace.header(name)));
    let looked = match &run.seen.lookup {
        Some(Lookup::Call(record)) => Some(record.id.as_str()),
        _ => None,
    };
    evidence.request.id = Fact::or_unknown(looked.or(id).and_then(|id| Label::new(id, engine, making.audience)));
    let foreign = id.filter(|id| !id.starts_with("wr_"));
    evidence.upstream_request_ids = foreign.and_then(|id| Label::new(id, engine, making.audience)).into_iter().collect();
    if let Some(timing) = &mut evidence.timing {
        timing.dns = run.seen.opened.as_ref().and_then(|opened| opened.phases.dns).map(millis);
        timing.tls = trace.and_then(|trace| trace.phases.tls).map(millis);
    }
    if let (Some(observed), Some(trace)) = (&mut evidence.stream_obs, trace) {
        observed.data_lines = trace.stream().map(|stream| u64::from(stream.data_lines));
        observed.clusters = Measures::of(trace).map(|seen| u32::try_from(seen.clusters.len()).unwrap_or(u32::MAX));
        if run.seen.gzip.is_some() {
            let differs = evidence.verdict.code == Verdict::GzipBuffered;
            observed.gzip = Some(if differs { Gzip::Differs } else { Gzip::Same });
        }
    }
}
