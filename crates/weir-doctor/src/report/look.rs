//! What to look at for each class of fault: streams by what arrived, 429s by their limits, timeouts hop by hop.

use std::{sync::LazyLock, time::Duration};

use jiff::tz::TimeZone;
use weir_core::{Audience, Class, Lang, Timestamp, Verdict, evidence::Moment, redact::Redactor};

use super::{Bilingual, Field, LookAt, lines, make::millis};
use crate::{
    judge::answer::round_hop,
    probe::Examined,
    trace::{Measures, Trace},
};

const UNKNOWN: &str = "unknown";

/// Whether a word from outside may be shown to anybody.
pub(crate) fn is_public(word: &str) -> bool {
    static ENGINE: LazyLock<Redactor> = LazyLock::new(Redactor::default);
    ENGINE.scan(word, Audience::Public).is_ok()
}

/// The groups of fields of a verdict's class; none for classes without.
pub(super) fn fields(run: &Examined, primary: Verdict, zone: &TimeZone) -> Vec<LookAt> {
    match primary.class() {
        Class::Stream => vec![group("stream_obs", observed(run)), group("headers", headers(run)), group("client", client(run))],
        Class::Rate => vec![group("limits", limits(run, zone)), group("attempts", attempts(run))],
        Class::Timeout => {
            vec![group("timing", timing(run)), group("hops", hops(run)), group("task", task(run)), group("charge", charge(run))]
        }
        _ => Vec::new(),
    }
}

fn group(name: &str, fields: Vec<Field>) -> LookAt {
    LookAt { group: name.to_owned(), fields }
}

fn field(name: &str, zh: &str, en: &str, value: Option<String>) -> Field {
    Field { field: name.to_owned(), label: Bilingual::new(zh, en), value: value.unwrap_or_else(|| UNKNOWN.to_owned()) }
}

/// The stream that the verdict is about.
fn judged(run: &Examined) -> Option<&Trace> {
    let seen = &run.seen;
    [seen.gzip.as_ref(), seen.stream.as_ref(), seen.hold.as_ref(), seen.control.as_ref()].into_iter().flatten().next()
}

fn observed(run: &Examined) -> Vec<Field> {
    let trace = judged(run);
    let stream = trace.and_then(Trace::stream);
    let measures = trace.and_then(Measures::of);
    let ms = |span: Duration| Some(format!("{} ms", millis(span)));
    vec![
        field("data_lines", "data 行", "data lines", stream.map(|stream| stream.data_lines.to_string())),
        field("first_event", "首个事件", "first event", measures.as_ref().and_then(|seen| ms(seen.first))),
        field("arrival_span_ms", "到达跨度", "arrival span", measures.as_ref().and_then(|seen| ms(seen.span()))),
        field("gap_max", "最长停顿", "longest gap", trace.and_then(|trace| ms(crate::trace::gap_max(trace)))),
        field(
            "end_marker",
            "结束标记",
            "end marker",
            stream.map(|stream| match (stream.is_done, &stream.finish_reason) {
                (true, _) => "[DONE]".to_owned(),
                (false, Some(reason)) => format!("finish_reason {reason}"),
                (false, None) => "none".to_owned(),
            }),
        ),
    ]
}

fn headers(run: &Examined) -> Vec<Field> {
    let shown = |name: &str| {
        let trace = judged(run)?;
        Some(trace.header(name).filter(|value| value.is_ascii() && is_public(value)).unwrap_or("none").to_owned())
    };
    ["content-type", "cache-control", "x-accel-buffering", "content-encoding"]
        .iter()
        .map(|name| field(name, name, name, shown(name)))
        .collect()
}

fn client(run: &Examined) -> Vec<Field> {
    let http = judged(run).and_then(|trace| trace.version).map(|version| version.label().to_owned());
    vec![
        field("name", "客户端", "client", Some(format!("weir doctor {}", env!("CARGO_PKG_VERSION")))),
        field("http", "HTTP 版本", "HTTP version", http),
        field("via_proxy", "经过代理", "via proxy", Some(via_proxy(run))),
    ]
}

/// `yes` with how it was told, or `not_seen`: nobody can know that there is none.
pub(super) fn via_proxy(run: &Examined) -> String {
    how_proxied(run).map_or_else(|| "not_seen".to_owned(), |how| format!("yes ({how})"))
}

/// How a proxy showed itself.
pub(super) fn how_proxied(run: &Examined) -> Option<String> {
    let seen = &run.seen;
    if let Some(name) = seen.local.proxy_from.as_ref().filter(|_| !seen.local.proxy_is_foreign) {
        return Some(name.clone());
    }
    let traces = [seen.models.as_ref().map(|models| &models.trace), seen.control.as_ref(), seen.stream.as_ref()];
    if traces.into_iter().flatten().any(|trace| trace.header("via").is_some()) {
        return Some("Via header".to_owned());
    }
    let is_private =
        seen.opened.as_ref().and_then(|opened| opened.tls).is_some_and(|tls| tls.issuer == weir_client::probe::Issuer::Private);
    (is_private && !seen.is_private_host).then(|| "private CA".to_owned())
}

/// The answer that said 429, or whatever was answered last.
fn refused(run: &Examined) -> Option<&Trace> {
    let seen = &run.seen;
    let all = [
        seen.burst.as_ref().and_then(|burst| burst.refused.as_ref()),
        seen.stream.as_ref(),
        seen.control.as_ref(),
        seen.models.as_ref().map(|m| &m.trace),
    ];
    all.into_iter().flatten().find(|trace| trace.status == Some(429)).or(seen.control.as_ref())
}

fn limits(run: &Examined, zone: &TimeZone) -> Vec<Field> {
    let trace = refused(run);
    let header = |names: &[&str]| {
        let trace = trace?;
        names.iter().find_map(|name| trace.header(name)).filter(|value| value.len() <= 64 && is_public(value)).map(str::to_owned)
    };
    let verdict = trace.and_then(|trace| crate::judge::answer::of_answer(trace, run.seen.vendor)).map(|finding| finding.verdict);
    let spent = |which: Verdict| (verdict == Some(which)).then(|| "used up".to_owned());
    let rate = match (
        header(&["x-ratelimit-limit-requests", "x-ratelimit-limit"]),
        header(&["x-ratelimit-remaining-requests", "x-ratelimit-remaining"]),
    ) {
        (Some(limit), Some(left)) => Some(format!("{left} of {limit} left")),
        (limit, _) => limit,
    };
    let rate =
        rate.or_else(|| verdict.filter(|v| matches!(v, Verdict::RateLimited | Verdict::RateLimitedNoHint)).map(|_| "used up".to_owned()));
    let reset = trace.and_then(Trace::whole).and_then(|whole| whole.reset_at_ms).and_then(|at| local(Timestamp(at), zone));
    vec![
        field("rate", "请求频率", "request rate", rate),
        field("daily", "每日配额", "daily quota", spent(Verdict::QuotaSpent)),
        field("reset_at", "resetAt", "resetAt", reset),
        field("concurrency", "并发", "concurrency", spent(Verdict::ConcurrencySpent)),
    ]
}

/// A time by the clock of whoever reads it.
fn local(at: Timestamp, zone: &TimeZone) -> Option<String> {
    Moment::of(at, zone).map(|at| at.as_str().to_owned())
}

fn attempts(run: &Examined) -> Vec<Field> {
    let gateway = run.seen.record.as_ref().map(|record| record.attempts.to_string());
    vec![
        field("requests", "诊断发出的请求", "calls the doctor made", Some(run.used_requests.to_string())),
        field("attempts", "网关的尝试", "attempts by the gateway", gateway),
    ]
}

fn timing(run: &Examined) -> Vec<Field> {
    let seen = &run.seen;
    let trace = seen.control.as_ref().or(seen.stream.as_ref());
    let opened = seen.opened.as_ref();
    let ms = |span: Option<Duration>| span.map(|span| format!("{} ms", millis(span)));
    vec![
        field("connect", "连接", "connect", ms(opened.and_then(|opened| opened.phases.connect))),
        field("first_byte", "首字节", "first byte", ms(trace.and_then(|trace| trace.phases.first_byte))),
        field("total", "总耗时", "total", ms(trace.map(|trace| trace.total))),
    ]
}

/// What each hop is known to have done: never one number for all.
fn hops(run: &Examined) -> Vec<Field> {
    let seen = &run.seen;
    let trace = seen.control.as_ref().or(seen.stream.as_ref());
    let waits = seen.bounds.first_byte_s();
    let proxy = trace.and_then(|trace| round_hop(trace.total)).map(|guess| guess.en);
    let gateway = seen.record.as_ref().and_then(|record| record.total_ms).map(|ms| format!("{ms} ms"));
    let upstream = seen.record.as_ref().and_then(|record| record.first_event_ms).map(|ms| format!("first event at {ms} ms"));
    vec![
        field("client", "客户端等待上限", "the client waits", Some(format!("{waits} s"))),
        field("proxy", "代理", "proxy", proxy),
        field("gateway", "网关", "gateway", gateway),
        field("upstream", "上游", "upstream", upstream),
    ]
}

fn task(run: &Examined) -> Vec<Field> {
    let seen = &run.seen;
    let kind = seen.record.as_ref().and_then(|record| record.task_type.clone()).unwrap_or_else(|| "chat".to_owned());
    vec![field("task_type", "任务类型", "kind of task", Some(kind))]
}

fn charge(run: &Examined) -> Vec<Field> {
    let charged = run.seen.record.as_ref().and_then(|record| record.charged);
    let value = charged.map(|charged| lines::charged(Some(charged), Lang::En).to_owned());
    vec![field("charged", "是否扣费", "charged", value)]
}

/// A group's name for people.
pub(super) fn label(group: &str, lang: Lang) -> &str {
    let (zh, en) = match group {
        "stream_obs" => ("流", "stream"),
        "headers" => ("响应头", "headers"),
        "client" => ("客户端", "client"),
        "limits" => ("限额", "limits"),
        "attempts" => ("尝试", "attempts"),
        "timing" => ("耗时", "timing"),
        "hops" => ("各跳", "hops"),
        "task" => ("任务", "task"),
        "charge" => ("扣费", "charge"),
        other => (other, other),
    };
    if lang == Lang::Zh { zh } else { en }
}

/// A value as a person reads it.
pub(super) fn shown(value: &str, lang: Lang) -> &str {
    match (value, lang) {
        ("unknown", Lang::Zh) => "未知",
        ("none", Lang::Zh) => "无",
        ("not_seen", Lang::Zh) => "未见",
        ("not_seen", Lang::En) => "not seen",
        ("used up", Lang::Zh) => "已用完",
        _ => value,
    }
}
