//! One exchange of one probe, read into a trace. Every wait is bounded; nothing is asked twice.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use tokio::time::{Instant, timeout};
use weir_client::probe::{BodyEnd, Decoding, Fault, Limit, OpenLimits, Opened, Piece, Reach, Way};
use weir_core::{Clock, Dialect, Secret, Timestamp};
use weir_wire::{Audience, headers};

use super::{ProbeId, Progress, Watch};
use crate::trace::{BODY_BYTES, Body, End, Reading, Trace};

/// Opening a connection, phase by phase. Resolvers ask again 5 s after a question that was lost, and connections after 1 and 3 s: one lost
/// packet is no fault of a name.
pub(crate) const OPEN: OpenLimits =
    OpenLimits { dns: Duration::from_secs(6), connect: Duration::from_secs(5), proxy: Duration::from_secs(5), tls: Duration::from_secs(5) };
/// After its own end marker a stream has this long to end its body.
const AFTER_DONE: Duration = Duration::from_secs(2);

/// What every exchange of a run uses.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    pub reach: &'a dyn Reach,
    pub clock: &'a dyn Clock,
    pub watch: &'a dyn Watch,
}

impl std::fmt::Debug for Tools<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tools")
    }
}

/// How long the parts of one answer may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// Until the head, and then until the first event.
    pub(crate) first: Duration,
    pub(crate) gap: Duration,
    pub(crate) total: Duration,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) probe: ProbeId,
    pub(crate) way: &'a Way,
    pub(crate) method: Method,
    /// Below the base URL.
    pub(crate) path: String,
    pub(crate) body: Option<Bytes>,
    /// The family of the stream that is expected; `None` for an answer in one piece.
    pub(crate) stream: Option<Dialect>,
    pub(crate) is_list: bool,
    pub(crate) accepts_compressed: bool,
    pub(crate) waits: Waits,
}

/// An exchange and what was kept of its body, for lists and records.
pub(crate) struct Answer {
    pub(crate) trace: Trace,
    pub(crate) kept: Vec<u8>,
}

impl Tools<'_> {
    /// Opens a connection of its own, asks once and reads to the end.
    pub(crate) async fn ask(&self, ask: &Ask<'_>, key: Option<&Secret>) -> Answer {
        let began = Instant::now();
        let opened = ask.way.open(self.reach, &OPEN).await;
        let mut trace = blank(&opened);
        let link = match opened.link {
            Ok(link) => link,
            Err(fault) => return never(trace, fault, began.elapsed()),
        };
        let is_h2 = opened.tls.and_then(|tls| tls.alpn) == Some(weir_client::probe::HttpVersion::Http2)
            || ask.way.speak == weir_client::probe::Speak::Http2;
        let Some(request) = request(ask, key, is_h2) else { return never(trace, Fault::Unsent, began.elapsed()) };
        let sent = Instant::now();
        let mut answered = match link.ask(request, ask.waits.first).await {
            Ok(answered) => answered,
            Err(fault) => return never(trace, fault, sent.elapsed()),
        };
        let now = self.clock.now();
        trace.phases.first_byte = Some(answered.first_byte);
        trace.version = Some(answered.version());
        trace.status = Some(answered.head.status.as_u16());
        trace.headers = kept_headers(&answered.head.headers);
        trace.skew_s = skew(&answered.head.headers, now);
        let encoding = answered.head.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut reading = match ask.stream {
            Some(dialect) => Reading::of_stream(dialect),
            None if ask.is_list => Reading::of_list(),
            None => Reading::of_whole(),
        };
        let end = self.read(ask, &mut answered, &mut reading, Decoding::of(encoding.as_deref())).await;
        trace.total = answered.elapsed();
        trace.end = End::Body(end);
        let kept = reading.kept().to_vec();
        let is_whole = matches!(end, BodyEnd::Clean | BodyEnd::Closed);
        (trace.arrivals, trace.body) = reading.finish(answered.head.status.as_u16(), &answered.head.headers, now, is_whole);
        Answer { trace, kept }
    }

    async fn read(
        &self,
        ask: &Ask<'_>,
        answered: &mut weir_client::probe::Answered,
        reading: &mut Reading,
        mut decoding: Decoding,
    ) -> BodyEnd {
        let mut last = answered.elapsed();
        let mut has_event = false;
        loop {
            let (idle, kind) = if reading.is_done() {
                (AFTER_DONE, Limit::Gap)
            } else if has_event || ask.stream.is_none() {
                (ask.waits.gap, Limit::Gap)
            } else {
                (ask.waits.first, Limit::FirstByte)
            };
            let (left, kind) = match ask.waits.total.saturating_sub(answered.elapsed()) {
                left if left < idle.saturating_sub(answered.elapsed().saturating_sub(last)) => (left, Limit::Total),
                _ => (idle.saturating_sub(answered.elapsed().saturating_sub(last)), kind),
            };
            match timeout(left, answered.piece()).await {
                Err(_) => return BodyEnd::Limit(kind),
                Ok(Piece::End(end)) => return end,
                Ok(Piece::Bytes(bytes)) => {
                    let at = answered.elapsed();
                    let Ok(plain) = decoding.feed(&bytes) else { return BodyEnd::BadEncoding };
                    let arrival = reading.piece(at, bytes.len(), &plain);
                    // While nothing but comments came, the first event is still waited for.
                    if arrival.events > 0 || has_event || ask.stream.is_none() {
                        has_event |= arrival.events > 0;
                        last = at;
                    }
                    if ask.stream.is_some() {
                        self.watch.see(Progress::Arrived { probe: ask.probe, at, events: arrival.events, bytes: arrival.bytes });
                    }
                    if reading.bytes() > BODY_BYTES {
                        return BodyEnd::Limit(Limit::Bytes);
                    }
                }
            }
        }
    }
}

fn blank(opened: &Opened) -> Trace {
    Trace {
        phases: opened.phases,
        tls: opened.tls,
        version: None,
        status: None,
        headers: Vec::new(),
        arrivals: Vec::new(),
        body: Body::None,
        end: End::Never(Fault::Unsent),
        skew_s: None,
        total: Duration::ZERO,
    }
}

fn never(mut trace: Trace, fault: Fault, total: Duration) -> Answer {
    trace.end = End::Never(fault);
    trace.total = total;
    Answer { trace, kept: Vec::new() }
}

/// `None`: the key or the path cannot be sent. Both were looked at before.
fn request(ask: &Ask<'_>, key: Option<&Secret>, is_h2: bool) -> Option<Request<Full<Bytes>>> {
    let target = &ask.way.target;
    let path = format!("{}{}", target.path, ask.path);
    let scheme = if target.tls { "https" } else { "http" };
    let uri = if is_h2 || ask.way.is_absolute() { format!("{scheme}://{}{path}", target.authority()) } else { path };
    let mut request = Request::new(Full::new(ask.body.clone().unwrap_or_default()));
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = Uri::try_from(uri).ok()?;
    let headers = request.headers_mut();
    if !is_h2 {
        headers.insert(header::HOST, HeaderValue::from_str(&target.authority()).ok()?);
    }
    if let Some(key) = key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).ok()?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        if ask.stream == Some(Dialect::Messages) || ask.path.ends_with("/messages") || target.host.ends_with("anthropic.com") {
            let mut value = HeaderValue::from_str(key.expose()).ok()?;
            value.set_sensitive(true);
            headers.insert("x-api-key", value);
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
    }
    if let Some(login) = ask.way.login() {
        headers.insert(header::PROXY_AUTHORIZATION, login.clone());
    }
    let accept = if ask.stream.is_some() { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("weir-doctor/", env!("CARGO_PKG_VERSION"))));
    if ask.body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if ask.accepts_compressed {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
    }
    Some(request)
}

fn kept_headers(all: &HeaderMap) -> Vec<(String, String)> {
    headers::kept(all, Audience::Support).into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()
}

/// How far the server's `Date` is ahead, in seconds.
fn skew(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let there = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    Some(there.saturating_sub(now.0.div_euclid(1000)))
}
