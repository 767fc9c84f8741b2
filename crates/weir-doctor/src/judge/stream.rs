//! The rules of streams: what one trace shows, and what two of them show together.

use std::time::Duration;

use weir_client::probe::{BodyEnd, Limit};
use weir_core::{Verdict, evidence::Confidence};
use weir_wire::{Vendor, classify};

use super::{
    Finding,
    answer::{of_answer, of_end, of_fault, round_hop},
    arrival::{Arriving, arriving},
    seen::Bounds,
};
use crate::{
    report::{Bilingual, both},
    trace::{Body, End, Measures, Shape, StreamBody, Trace},
};

/// What one stream shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub findings: Vec<Finding>,
    pub arriving: Option<Arriving>,
    pub measures: Option<Measures>,
}

impl Judged {
    /// Nothing that breaks a client.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.is_note || finding.verdict.level() < weir_core::Level::Unknown)
    }

    /// Good, and in no blocks: what two ways are compared by.
    #[must_use]
    pub fn flows(&self) -> bool {
        self.is_good() && self.arriving != Some(Arriving::Blocks)
    }
}

/// Judges one stream. `control` is the same answer in one piece.
#[must_use]
pub fn judge(trace: &Trace, control: Option<&Trace>, vendor: Vendor, bounds: &Bounds) -> Judged {
    let measures = Measures::of(trace);
    let took = control.map(|trace| trace.total);
    let arriving = measures.as_ref().map(|measures| arriving(measures, took));
    let mut findings = match (&trace.body, trace.end) {
        (_, End::Never(fault)) => vec![of_fault(fault, trace.total)],
        (Body::Stream(stream), End::Body(end)) => of_stream(trace, stream, end, vendor, bounds, control),
        (_, End::Body(end)) => of_no_stream(trace, end, vendor),
    };
    match arriving {
        Some(Arriving::Buffered) => findings.push(Finding::likely(Verdict::StreamBuffered)),
        Some(Arriving::Blocks) => findings.push(Finding::likely(Verdict::PartlyBuffered)),
        // Beside a stream that is broken nobody asks whether it was buffered, too.
        Some(Arriving::TooShort) if findings.iter().all(|finding| finding.is_note || finding.verdict.level() < weir_core::Level::Fail) => {
            findings.push(Finding::likely(Verdict::EvidenceMissing).as_note().because(both!(
                "回答太短,看不出是否被缓冲;其余检查都算数",
                "the answer was too short to tell whether anything buffers; all other checks count"
            )))
        }
        Some(Arriving::Unclear) => findings.push(Finding::likely(Verdict::EvidenceMissing).as_note().because(both!(
            "内容都在最后才到达:可能是缓冲,也可能是模型先慢后快;用 --direct 换一条路对照",
            "everything came at the very end: a hop may buffer, or the model began late and was fast; compare with --direct"
        ))),
        Some(Arriving::TooShort | Arriving::Spread) | None => {}
    }
    findings.extend(of_headers(trace));
    Judged { findings, arriving, measures }
}

/// The stream request was answered with something else.
fn of_no_stream(trace: &Trace, end: BodyEnd, vendor: Vendor) -> Vec<Finding> {
    let status = trace.status.unwrap_or_default();
    if status >= 400 {
        return of_answer(trace, vendor).into_iter().collect();
    }
    let Some(whole) = trace.whole() else { return of_end(end, trace.total).into_iter().collect() };
    match whole.shape {
        _ if whole.is_answer => vec![Finding::certain(Verdict::NotAStream)],
        Shape::Html => vec![Finding::certain(Verdict::NotAStream)],
        Shape::Empty => {
            let silent = Finding::likely(Verdict::StreamSilent);
            let cut = of_end(end, trace.total).filter(|finding| finding.verdict == Verdict::ProxyCut);
            cut.into_iter().chain([silent]).collect()
        }
        _ => of_answer(trace, vendor).into_iter().chain([Finding::likely(Verdict::NotAStream)]).collect(),
    }
}

fn of_stream(trace: &Trace, stream: &StreamBody, end: BodyEnd, vendor: Vendor, bounds: &Bounds, control: Option<&Trace>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |finding: Finding| findings.push(finding);
    if !says_stream(trace) {
        add(Finding::certain(Verdict::NotAStream));
    }
    if let Some(error) = &stream.error {
        // weir names what happened; anybody else's words are a hint beside the fact that the stream broke off with an error.
        match stream.verdict {
            Some(verdict) => {
                add(Finding::certain(verdict));
                add(Finding::certain(Verdict::ErrorInStream).as_note());
            }
            None => {
                add(Finding::likely(classify::class(error, vendor).verdict(200, None)).as_note());
                add(Finding::certain(Verdict::ErrorInStream));
            }
        }
        return findings;
    }
    let has_data = stream.data_lines > 0 || stream.events > 0;
    // Heartbeats keep a connection alive and say nothing.
    let last = trace.arrivals.iter().rfind(|arrival| arrival.events > 0).map(|arrival| arrival.at);
    let silence = trace.total.saturating_sub(last.or(trace.phases.first_byte).unwrap_or_default());
    match end {
        // After its own end marker a stream owes nothing but the proper end of its body.
        BodyEnd::Limit(_) if stream.is_done => {}
        BodyEnd::Limit(Limit::Bytes) => {}
        BodyEnd::Limit(_) if !has_data => add(Finding::likely(Verdict::StreamSilent)),
        BodyEnd::Limit(Limit::Total) if silence < STILL => add(still_running(trace)),
        BodyEnd::Limit(Limit::Total) if silence < bounds.gap => add(halted(silence)),
        BodyEnd::Limit(_) => add(Finding::likely(Verdict::StreamStalled)),
        BodyEnd::BadEncoding => {
            add(Finding::certain(Verdict::FramesMalformed).because(both!("压缩的内容解不开", "what was compressed cannot be read")));
        }
        BodyEnd::Clean | BodyEnd::Closed if !has_data && stream.malformed_line.is_none() => add(Finding::certain(Verdict::StreamSilent)),
        BodyEnd::Clean | BodyEnd::Closed if !stream.is_done && stream.finish_reason.is_none() && stream.malformed_line.is_none() => {
            add(Finding::certain(Verdict::EndMarkerMissing));
        }
        BodyEnd::Clean | BodyEnd::Closed => {}
        _ => {
            if let Some(hop) = round_hop(trace.total) {
                add(Finding::guess(Verdict::ProxyCut).because(hop));
            }
            add(if has_data {
                Finding::certain(Verdict::StreamCut).because(broken_off(trace, stream))
            } else {
                Finding::likely(Verdict::StreamSilent)
            });
        }
    }
    if let Some(line) = stream.malformed_line {
        let bad = Finding::certain(Verdict::FramesMalformed);
        add(bad.because(both!("第一处坏行是第 {line} 行", "the first line that cannot be read is line {line}")));
    }
    findings.extend(of_finish(stream, bounds, control));
    findings
}

/// A silence this long before a break looks like somebody's time limit.
const SILENCE: Duration = Duration::from_secs(1);

/// When it broke, and what was there by then: the two things that whoever looks for the hop asks first.
fn broken_off(trace: &Trace, stream: &StreamBody) -> Bilingual {
    let tenths = |span: Duration| {
        let tenths = (span.as_millis() + 50) / 100;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    let (lines, seconds) = (stream.data_lines, tenths(trace.total));
    let silence = trace.total.saturating_sub(trace.arrivals.last().map_or(trace.total, |arrival| arrival.at));
    if silence >= SILENCE {
        let silence = tenths(silence);
        return both!(
            "请求发出 {seconds} 秒后断开,之前收到 {lines} 行 data,最后 {silence} 秒没有数据:找各跳里这么长的读超时",
            "it broke {seconds} s after the request, behind {lines} data lines and {silence} s of silence: look for a read timeout of that length at each hop"
        );
    }
    both!("请求发出 {seconds} 秒后断开,之前收到 {lines} 行 data", "it broke {seconds} s after the request, behind {lines} data lines")
}

/// A pause that streams make between two events when all is well.
const STILL: Duration = Duration::from_secs(6);

/// The time of the probe ended and not the answer's.
fn still_running(trace: &Trace) -> Finding {
    let seconds = trace.total.as_secs();
    Finding::likely(Verdict::EvidenceMissing)
        .as_note()
        .because(both!(
            "{seconds} 秒后仍在输出,诊断不再等待;长回答中途断开的,加 `--budget 120` 看到底",
            "it was still answering after {seconds} s, and the doctor waits no longer; where long answers break, `--budget 120` sees them to their end"
        ))
}

/// It was silent when the time ended, and not long enough to be called stalled.
fn halted(silence: Duration) -> Finding {
    let seconds = silence.as_secs();
    Finding::likely(Verdict::EvidenceMissing).because(both!(
        "时间用完时已经 {seconds} 秒没有新数据:加 `--budget 90` 再测,看它是停住还是变慢",
        "when the time was up nothing had come for {seconds} s: `--budget 90` shows whether it stopped or is slow"
    ))
}

fn of_finish(stream: &StreamBody, bounds: &Bounds, control: Option<&Trace>) -> Option<Finding> {
    let reason = stream.finish_reason.as_deref()?;
    if !matches!(reason, "length" | "max_tokens" | "content_filter" | "max_output_tokens") {
        return None;
    }
    let limit = bounds.max_tokens;
    // Streams rarely tell what they used; the same answer in one piece does, and an event brings a token or more.
    let used = stream.output_tokens.or_else(|| control?.whole()?.output_tokens).unwrap_or(0).max(u64::from(stream.content_events));
    let is_our_limit = reason != "content_filter" && used >= u64::from(limit);
    if stream.content_events == 0 && reason != "content_filter" {
        return Some(Finding::likely(Verdict::EvidenceMissing).because(both!(
            "模型没有输出可见内容就用完了 {limit} 个 token(推理模型常见):加 --max-tokens 256 再试",
            "the model spent its {limit} tokens without a visible word, as reasoning models do: try again with --max-tokens 256"
        )));
    }
    let finding = Finding::certain(Verdict::EndedByLimit);
    Some(if is_our_limit {
        finding.as_note().because(both!("这是诊断自己的上限:{limit} 个 token", "the limit is the doctor's own: {limit} tokens"))
    } else {
        finding
    })
}

/// Whether the head says that it is an event stream.
#[must_use]
pub fn says_stream(trace: &Trace) -> bool {
    trace.header("content-type").is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("text/event-stream"))
}

/// Headers that keep hops from storing. Whoever sends one of them has thought of it; weir always sends all.
fn of_headers(trace: &Trace) -> Option<Finding> {
    if trace.status.is_none_or(|status| status >= 400) || !says_stream(trace) {
        return None;
    }
    let cache = trace.header("cache-control").unwrap_or_default().to_ascii_lowercase();
    let has = |word: &str| cache.contains(word);
    let accel = trace.header("x-accel-buffering").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    let encoding = trace.header("content-encoding").filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    if let Some(encoding) = encoding {
        let encoding = if ["gzip", "br", "deflate", "zstd"].contains(&encoding) { encoding } else { "?" };
        return Some(Finding::likely(Verdict::AntiBufferingLost).because(both!(
            "事件流被压缩了(content-encoding: {encoding})",
            "the event stream is compressed (content-encoding: {encoding})"
        )));
    }
    if is_weir(trace) {
        let lost: Vec<&str> = [("no-cache", has("no-cache")), ("no-transform", has("no-transform")), ("x-accel-buffering: no", accel)]
            .iter()
            .filter(|(_, is_there)| !is_there)
            // A proxy in front that obeys it takes it out; only the others are for the client.
            .filter(|(name, _)| !name.starts_with("x-accel"))
            .map(|(name, _)| *name)
            .collect();
        let names = lost.join(", ");
        return (!lost.is_empty()).then(|| {
            Finding::certain(Verdict::AntiBufferingLost)
                .because(both!("weir 一定会发送 {names},中间有一跳把它去掉了", "weir always sends {names}; a hop on the way took it out"))
        });
    }
    (!has("no-cache") && !has("no-transform") && !has("no-store") && !accel).then(|| Finding::likely(Verdict::AntiBufferingLost))
}

/// Whether weir itself answered.
#[must_use]
pub fn is_weir(trace: &Trace) -> bool {
    ["x-weir-call", "x-request-id"].iter().any(|name| trace.header(name).is_some_and(|id| id.starts_with("wr_")))
}

/// What the plain and the compressed stream show together.
#[must_use]
pub fn compare_gzip(plain: &Judged, gzip: &Judged, gzip_trace: &Trace) -> Vec<Finding> {
    let is_compressed = gzip_trace.header("content-encoding").is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    let plain_flows = plain.arriving != Some(Arriving::Buffered);
    let stored = gzip.arriving == Some(Arriving::Buffered);
    let other = |findings: &[Finding]| findings.iter().filter(|f| f.verdict != Verdict::StreamBuffered).cloned().collect::<Vec<_>>();
    if stored && plain_flows && plain.arriving == Some(Arriving::Spread) {
        let confidence = Confidence::Likely;
        let mut findings = vec![Finding::new(Verdict::GzipBuffered, confidence)];
        findings.extend(other(&gzip.findings).into_iter().map(Finding::as_note));
        return findings;
    }
    let mut findings = gzip.findings.clone();
    if !is_compressed {
        // What the plain stream showed already is not told twice.
        findings.retain(|finding| !plain.findings.iter().any(|known| known.verdict == finding.verdict));
    }
    findings
}

/// How far the gateway's own times contradict that a hop behind it stored the stream: it passed the events on in one burst itself.
#[must_use]
pub fn gateway_passed_in_a_burst(first_ms: Option<u32>, last_ms: Option<u32>, total: Duration) -> Option<bool> {
    let span = Duration::from_millis(u64::from(last_ms?.saturating_sub(first_ms?)));
    Some(span < Duration::from_millis(50).max(total / 10))
}
