//! From a run to its report: the checks with what was seen, the primary verdict with what to do, the notes beside it.

use std::time::Duration;

use jiff::tz::TimeZone;
use weir_core::{Lang, Level, Timestamp, Verdict, evidence::Moment, mask_foreign, verdict::Scenario};

use super::{
    Bilingual, Budget, Check, Note, Observed, Remedy, Report, RetryWords, SchemaName, Status, TIMELINE_MAX, Target, TimelinePoint, lines,
    look, record, words::slug,
};
use crate::{
    judge::{Found, Judgement, judge},
    probe::{Examined, ProbeId},
    trace::{Measures, Trace},
};

/// What a report needs and a run does not know.
#[derive(Debug, Clone)]
pub struct Making {
    pub now: Timestamp,
    pub zone: TimeZone,
    /// weir's version.
    pub version: &'static str,
    /// A warning fails the run too.
    pub is_strict: bool,
    /// For whom the record is made.
    pub audience: weir_core::Audience,
}

impl From<Level> for Status {
    fn from(level: Level) -> Self {
        match level {
            Level::Ok => Self::Ok,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Unknown => Self::Unknown,
            Level::Fail => Self::Fail,
        }
    }
}

impl Report {
    /// The report of a run, finished or not.
    #[must_use]
    pub fn of(run: &Examined, making: &Making) -> Self {
        let judgement = judge(&run.seen);
        let primary = judgement.primary.finding.verdict;
        let overall = Status::from(primary.level());
        let evidence = record::evidence(run, &judgement, making);
        Self {
            schema: SchemaName::V1,
            complete: run.is_complete,
            generated_at: Moment::of(making.now, &making.zone).map(|at| at.as_str().to_owned()).unwrap_or_default(),
            weir: making.version.to_owned(),
            target: target(run),
            budget: Budget {
                requests: run.cost.requests,
                max_output_tokens: run.cost.max_output_tokens,
                seconds: run.cost.seconds,
                used_requests: run.used_requests,
            },
            overall,
            exit_code: exit_code(run, overall, making.is_strict),
            primary,
            checks: checks(run, &judgement),
            notes: judgement.notes.iter().map(note).collect(),
            look_at: look::fields(run, primary, &making.zone),
            skipped: ProbeId::ALL.into_iter().filter(|id| !run.ran.iter().any(|ran| ran.probe == *id)).collect(),
            hints: hints(run, primary),
            evidence_id: run.id,
            evidence,
        }
    }
}

/// What the exit code of a report is.
fn exit_code(run: &Examined, overall: Status, is_strict: bool) -> u8 {
    match overall {
        _ if run.seen.is_interrupted => 130,
        Status::Fail => 1,
        Status::Unknown if run.seen.out_of_budget => 4,
        Status::Unknown => 3,
        Status::Warn if is_strict => 1,
        Status::Ok | Status::Info | Status::Warn => 0,
    }
}

fn target(run: &Examined) -> Target {
    Target {
        base_url_host: run.target.as_ref().map_or_else(|| "unknown".to_owned(), weir_client::Target::authority),
        model: run.model.clone().filter(|name| crate::probe::is_tame_model(name)).unwrap_or_else(|| "unknown".to_owned()),
        model_why: run.model_why.clone(),
        key_masked: masked(run),
        key_from: run.order.key_from.clone(),
    }
}

/// What may be shown of the key.
pub(super) fn masked(run: &Examined) -> String {
    let Some(key) = &run.order.key else { return "none".to_owned() };
    let own = weir_core::ApiKey::parse(key.expose()).ok().and_then(|key| key.kid());
    own.map_or_else(|| mask_foreign(key), |kid| kid.mask())
}

/// What one probe shows, judged by all that is known so far.
#[must_use]
pub fn check(run: &Examined, id: ProbeId) -> Check {
    let mut judgement = judge(&run.seen);
    // What a run has not seen yet is not missing while it goes on.
    let judged = std::iter::once(&mut judgement.primary).chain(&mut judgement.all);
    for found in judged.filter(|found| found.probe == ProbeId::P0 && found.finding.verdict == Verdict::EvidenceMissing) {
        found.finding.is_note = true;
    }
    check_of(run, &judgement, id)
}

fn checks(run: &Examined, judgement: &Judgement) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for ran in &run.ran {
        if !checks.iter().any(|check| check.id == ran.probe) {
            checks.push(check_of(run, judgement, ran.probe));
        }
    }
    // A verdict about the whole hangs on the last probe, so that it is found in the checks too.
    let primary = &judgement.primary;
    if primary.finding.verdict.level() != Level::Ok
        && !checks.iter().any(|check| check.code == Some(primary.finding.verdict))
        && let Some(check) = checks.iter_mut().rev().find(|check| check.code.is_none()).or(None)
    {
        dress(check, primary);
    }
    checks
}

fn check_of(run: &Examined, judgement: &Judgement, id: ProbeId) -> Check {
    let seen = lines::line(run, id);
    let trace = trace_of(run, id);
    let (began, took) = run.ran.iter().find(|ran| ran.probe == id).map_or_else(Default::default, |ran| (ran.began, ran.took));
    let mut check = Check {
        id,
        name: id.name().to_owned(),
        status: Status::Ok,
        code: None,
        confidence: None,
        summary: seen.clone(),
        seen,
        detail: None,
        observed: trace.map(observed).unwrap_or_default(),
        check_first: Vec::new(),
        do_not: Vec::new(),
        never: Vec::new(),
        retry: None,
        owner: None,
        remediation: Vec::new(),
        links: Vec::new(),
        began_ms: millis(began),
        duration_ms: millis(took),
        timeline: trace.filter(|trace| trace.stream().is_some()).map(timeline).unwrap_or_default(),
    };
    let own = [&judgement.primary].into_iter().chain(&judgement.all).filter(|found| found.probe == id);
    // Remarks that say nothing against the probe leave it as it is.
    let worst = own.filter(|found| found.finding.verdict.level() != Level::Ok && counts(found)).max_by_key(|found| {
        (!found.finding.is_note, Status::from(found.finding.verdict.level()), found.finding.verdict == judgement.primary.finding.verdict)
    });
    match worst {
        Some(found) => dress(&mut check, found),
        // What got no answer that shows anything is not well, and no fault of its own either.
        None if shows_nothing(run, id) => check.status = Status::Unknown,
        None => {}
    }
    check
}

/// Whether a probe was answered with nothing that it could look at.
fn shows_nothing(run: &Examined, id: ProbeId) -> bool {
    match id {
        ProbeId::P3 => run.seen.models.as_ref().is_some_and(|found| found.count == 0 && found.is_listed.is_none()),
        ProbeId::P5 | ProbeId::P6 => trace_of(run, id).is_some_and(|trace| trace.stream().is_none_or(|stream| stream.events == 0)),
        _ => false,
    }
}

/// Whether a finding is one about its probe, and not a remark beside it.
fn counts(found: &Found) -> bool {
    !found.finding.is_note || found.finding.verdict.level() == Level::Info
}

/// Puts a finding on a check.
fn dress(check: &mut Check, found: &Found) {
    let verdict = found.finding.verdict;
    let (zh, en) = (verdict.words(Lang::Zh), verdict.words(Lang::En));
    check.status = verdict.level().into();
    check.code = Some(verdict);
    check.confidence = Some(found.finding.confidence);
    check.summary = Bilingual::new(zh.title, en.title);
    check.detail = found.finding.detail.clone();
    check.check_first = en.check_first.iter().map(|step| slug(step)).collect();
    check.remediation = zh
        .check_first
        .iter()
        .zip(en.check_first)
        .map(|(zh, en)| Remedy { text: Bilingual::new(*zh, *en), commands: commands(en) })
        .collect();
    check.do_not = vec![slug(en.never)];
    check.never = vec![Bilingual::new(zh.never, en.never)];
    let retry = |scenario| verdict.retry(scenario).to_string();
    check.retry = Some(RetryWords {
        short_chat: retry(Scenario::ShortChat),
        batch: retry(Scenario::Batch),
        media_task: retry(Scenario::MediaTask),
        shared_key: retry(Scenario::SharedKey),
    });
    check.owner = Some(verdict.owner().label().to_owned());
    check.links = vec![format!("handbook/{verdict}")];
}

/// What stands between backticks.
fn commands(step: &str) -> Vec<String> {
    step.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn note(found: &Found) -> Note {
    let verdict = found.finding.verdict;
    Note {
        id: found.probe,
        status: verdict.level().into(),
        code: verdict,
        confidence: found.finding.confidence,
        summary: Bilingual::new(verdict.words(Lang::Zh).title, verdict.words(Lang::En).title),
        detail: found.finding.detail.clone(),
    }
}

/// The exchange of a probe.
pub(super) fn trace_of(run: &Examined, id: ProbeId) -> Option<&Trace> {
    let seen = &run.seen;
    match id {
        ProbeId::P3 => seen.models.as_ref().map(|models| &models.trace),
        ProbeId::P4 => seen.control.as_ref(),
        ProbeId::P5 => seen.stream.as_ref(),
        ProbeId::P6 => seen.gzip.as_ref(),
        ProbeId::P7 => seen.other_way.as_ref().map(|other| &other.trace),
        ProbeId::P11 => seen.burst.as_ref().and_then(|burst| burst.refused.as_ref()),
        ProbeId::P12 => seen.hold.as_ref(),
        ProbeId::P13 => seen.echo.as_ref(),
        _ => None,
    }
}

fn observed(trace: &Trace) -> Observed {
    let measures = Measures::of(trace);
    let stream = trace.stream();
    let word = |name: &str| {
        let value = trace.header(name)?;
        let tame = value.len() <= 96 && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        tame.then(|| value.to_owned())
    };
    Observed {
        status: trace.status,
        http: trace.version.map(|version| version.label().to_owned()),
        content_type: word("content-type"),
        content_encoding: word("content-encoding"),
        events: stream.map(|stream| stream.events),
        data_lines: stream.map(|stream| stream.data_lines),
        bytes: trace.status.map(|_| trace.arrivals.iter().map(|arrival| arrival.bytes).sum()),
        clusters: measures.as_ref().map(|measures| u32::try_from(measures.clusters.len()).unwrap_or(u32::MAX)),
        first_event_ms: measures.as_ref().map(|measures| millis(measures.first)),
        arrival_span_ms: measures.as_ref().map(|measures| millis(measures.span())),
        gap_max_ms: stream.map(|_| millis(crate::trace::gap_max(trace))),
        end_marker: stream.map(|stream| {
            let mark = match (stream.error.is_some(), stream.is_done, stream.finish_reason.is_some()) {
                (true, ..) => "error",
                (_, true, _) => "done",
                (_, _, true) => "finish",
                _ => "none",
            };
            mark.to_owned()
        }),
        finish_reason: stream
            .and_then(|stream| stream.finish_reason.clone())
            .or_else(|| trace.whole().and_then(|whole| whole.finish_reason.clone())),
        error_code: trace.error().and_then(|error| error.code.clone()).filter(|code| look::is_public(code)),
        first_byte_ms: trace.phases.first_byte.map(millis),
        total_ms: Some(millis(trace.total)),
        request_id: ["x-request-id", "request-id"].iter().find_map(|name| word(name)).filter(|id| look::is_public(id)),
    }
}

fn timeline(trace: &Trace) -> Vec<TimelinePoint> {
    let group = trace.arrivals.len().div_ceil(TIMELINE_MAX).max(1);
    let point = |reads: &[crate::trace::Arrival]| TimelinePoint {
        at_ms: reads.first().map_or(0, |read| millis(read.at)),
        bytes: u32::try_from(reads.iter().map(|read| read.bytes).sum::<u64>()).unwrap_or(u32::MAX),
        events: reads.iter().map(|read| read.events).sum(),
    };
    trace.arrivals.chunks(group).map(point).collect()
}

/// What to try next, where everything that was asked looks well and the person still complains.
fn hints(run: &Examined, primary: Verdict) -> Vec<Bilingual> {
    use super::both;
    use crate::judge::seen::Symptom;
    let mut hints = Vec::new();
    if primary == Verdict::FirstByteTimeout && !run.seen.bounds.is_own {
        hints.push(both!(
            "`--timeout 110` 会一直等到代理常见的时限(30、60、100 秒),看是谁先断开",
            "`--timeout 110` waits beyond the usual limits of proxies (30, 60, 100 s) and shows who gives up first"
        ));
    }
    if primary.level() > Level::Info {
        return hints;
    }
    if run.seen.no_time_for_gzip {
        hints.push(both!(
            "回答太慢,没有时间像浏览器那样带压缩再测:加 `--budget 90` 会测",
            "the answer was slow, so there was no time to ask with compression as browsers do: `--budget 90` has it"
        ));
    }
    match run.seen.symptom {
        Some(Symptom::Spinner) | None => {}
        Some(Symptom::Cut) => hints.push(both!(
            "短回答没有断:加 `--hold 120 --yes-spend` 看长回答在第几秒断开(会产生一次长请求的费用)",
            "a short answer was not cut: `--hold 120 --yes-spend` shows when a long one is (it costs one long answer)"
        )),
        Some(Symptom::RateLimit) => hints.push(both!(
            "现在没有 429:加 `--probe-429 10 --yes-spend` 逐个请求直到出现(会产生费用)",
            "there is no 429 now: `--probe-429 10 --yes-spend` asks one by one until there is (it costs those calls)"
        )),
        Some(Symptom::Timeout) => hints.push(both!(
            "短回答没有超时:用 `--timeout` 填客户端的超时再测,或加 `--hold 120 --yes-spend`",
            "a short answer did not time out: run with the client's own `--timeout`, or with `--hold 120 --yes-spend`"
        )),
        Some(Symptom::ChargedTwice) => hints.push(both!(
            "扣费要看记录:用 `--request-id` 逐个查那几次请求",
            "charges are in the records: look at each of those requests with `--request-id`"
        )),
    }
    hints
}

pub(super) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
