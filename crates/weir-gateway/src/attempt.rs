//! Stage 3: one channel is asked once. Ends at the head of an answer; whether there is another attempt is decided in `attempts`.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header, request::Parts};
use http_body_util::Full;
use tokio::time::Instant;
use weir_client::{Answer, AttemptError, AttemptLimits, WireError};
use weir_core::{AttemptRecord, CallRecord, ClientFacts, Failure, Phase, RetryPolicy, Route, Scenario, Side, Timeouts, Verdict};
use weir_wire::Scope;

use crate::{
    Gateway, Streams,
    attempts::{Failed, Turn},
    lanes::{Lane, below_base},
    patience::{self, Patience, in_time},
    refusal::Refusal,
    reply::{self, Reply},
    talk::Live,
    vigil::{Limit, Wake},
};

/// What is sent upstream, to whichever channel.
pub(crate) struct Outgoing<'a> {
    arrival: &'a Parts,
    route: Route,
    /// Below the upstream's base.
    path: &'a str,
    body: Bytes,
    /// What this kind of upstream wants to be told beside that.
    headers: &'static [(&'static str, &'static str)],
}

/// Hop-by-hop headers, credentials and what weir sets itself: everything else of a request passes.
fn is_held_back(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "proxy-authorization"
            | "x-api-key"
            | "api-key"
            | "cookie"
            | "host"
            | "content-length"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "upgrade"
            | "expect"
            | "via"
            | "forwarded"
            // An upstream that may compress would have to be decompressed here: ask for the plain bytes.
            | "accept-encoding"
    )
}

impl<'a> Outgoing<'a> {
    /// `path` as the client asked for it, with its `/v1`.
    pub(crate) fn new(arrival: &'a Parts, route: Route, path: &'a str, body: Bytes) -> Self {
        Self { arrival, route, path: below_base(path), body, headers: &[] }
    }

    /// With these header lines, in lowercase.
    pub(crate) fn saying(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    pub(crate) fn request(&self, lane: &Lane) -> Result<Request<Full<Bytes>>, Refusal> {
        let mut request = Request::new(Full::new(self.body.clone()));
        request.method_mut().clone_from(&self.arrival.method);
        *request.uri_mut() = lane.uri(self.route, self.path).ok_or_else(broken)?;
        let headers = request.headers_mut();
        // Room for what is added: a map that grows hashes every name again.
        headers.reserve(self.arrival.headers.len() + 3);
        for (name, value) in &self.arrival.headers {
            if passes(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        for (name, value) in self.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(header::HOST, lane.host.clone().ok_or_else(broken)?);
        if lane.channel.key.is_some() {
            let credential = lane.credential.as_ref().ok_or_else(broken)?;
            headers.insert(header::AUTHORIZATION, credential.bearer.clone());
            if self.route == Route::Messages {
                headers.insert("x-api-key", credential.bare.clone());
            }
        }
        Ok(request)
    }
}

fn passes(name: &HeaderName) -> bool {
    !is_held_back(name) && !is_ours(name)
}

/// Keeps of a request's head what goes on, in memory of its own: a stream would hold the whole buffer of 8 KiB that the head was read into for as
/// long as it runs.
pub(crate) fn let_go(head: &mut Parts) {
    let passing: Vec<_> = std::mem::take(&mut head.headers).into_iter().collect();
    let mut values = BytesMut::with_capacity(passing.iter().map(|(_, value)| value.len()).sum());
    passing.iter().for_each(|(_, value)| values.extend_from_slice(value.as_bytes()));
    let mut values = values.freeze();
    let mut last = None;
    for (name, value) in passing {
        // Of several values of one name only the first comes with it.
        last = name.or(last);
        let copy = HeaderValue::from_maybe_shared(values.split_to(value.len()));
        if let (Some(name), Ok(mut copy)) = (last.as_ref().filter(|name| passes(name)), copy) {
            copy.set_sensitive(value.is_sensitive());
            head.headers.append(name.clone(), copy);
        }
    }
    head.uri = Uri::default();
}

fn broken() -> Refusal {
    Refusal::of(Verdict::GatewayInternal)
}

fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-weir-") || name.starts_with("x-forwarded-") || name == "x-real-ip"
}

/// Asks one channel once. Opens a stream early if the answer takes long. The record gets the attempt, whatever became of it.
pub(crate) async fn ask(
    gateway: &Gateway,
    outgoing: &Outgoing<'_>,
    turn: Turn<'_>,
    limits: &CallLimits,
    live: &mut Live<'_>,
) -> Result<Answer, Failed> {
    let lane = turn.lane;
    let began = Instant::now();
    let mut attempt = AttemptRecord {
        n: turn.n,
        at_ms: millis(began.saturating_duration_since(limits.began)),
        wait_ms: millis(turn.wait),
        channel: lane.name.clone(),
        ..AttemptRecord::default()
    };
    let request = outgoing.request(lane).map_err(Failed::for_good)?;
    let asked = Answer::get(gateway.dial.as_ref(), &lane.target, &lane.pool, request, limits.of_attempt(live.reply));
    let outcome = attended(std::pin::pin!(asked), &gateway.settings.streams, live).await;
    attempt.ms = millis(began.elapsed());
    let failed = match outcome {
        Ok(Ok(answer)) => {
            attempt.phase = Phase::Body;
            attempt.status = Some(answer.head.status.as_u16());
            attempt.upstream_id = upstream_id(&answer.head.headers).and_then(|id| gateway.screen.id(id));
            live.record.timing.connect = Some(millis(answer.connected));
            live.record.attempts.push(attempt);
            return Ok(answer);
        }
        Ok(Err(error)) => {
            attempt.phase = error.phase();
            failed(&error)
        }
        Err(limit) => {
            attempt.phase = Phase::FirstByte;
            Failed::for_good(limited(limit))
        }
    };
    attempt.verdict = Some(failed.refusal.verdict);
    live.record.attempts.push(attempt);
    Err(failed)
}

/// Waits for `work` while the client of a stream is kept company. Takes it pinned: an argument and its pin would both have a place in the call.
pub(crate) async fn attended<T>(mut work: Pin<&mut impl Future<Output = T>>, streams: &Streams, live: &mut Live<'_>) -> Result<T, Limit> {
    loop {
        let pause = if live.reply.is_open() { patience::heartbeat(streams, &live.record.client) } else { streams.open_early };
        let quiet_at = live.record.stream.then(|| live.reply.last_write + pause);
        match live.vigil.wait(work.as_mut(), quiet_at).await {
            Wake::Ready(done) => return Ok(done),
            Wake::Limit(limit) => return Err(limit),
            // The client is told that it is being heard; a client that left meanwhile is the vigil's to notice.
            Wake::Quiet => {
                let _ = live.reply.heartbeat();
            }
        }
    }
}

/// What a failed attempt means for the one who called, and for a next one.
pub(crate) fn failed(error: &AttemptError) -> Failed {
    let say =
        |verdict: Verdict| Refusal::of(verdict).scope(Scope::Upstream).by(Side::Upstream).saying(format_args!("weir failed to {error}"));
    let unsent = |refusal| Failed { refusal, failure: Failure::Unsent };
    match error {
        AttemptError::ConnectTimeout { .. } => unsent(say(Verdict::UpstreamConnectTimeout).by(Side::Gateway)),
        AttemptError::Connect(_) | AttemptError::Wire(WireError::Unsent) => unsent(say(Verdict::UpstreamConnectTimeout)),
        AttemptError::FirstByteTimeout { .. } => Failed::unanswered(say(Verdict::FirstByteTimeout).by(Side::Gateway)),
        AttemptError::Wire(WireError::NotHttp) => Failed::unanswered(say(Verdict::UpstreamError)),
        AttemptError::Wire(WireError::Silent | WireError::Cut) => {
            Failed::unanswered(say(Verdict::OutcomeUnknown).status(502).never_retry())
        }
    }
}

/// What a limit that fired means for the one who called.
pub(crate) fn limited(limit: Limit) -> Refusal {
    match limit {
        Limit::Idle => Refusal::of(Verdict::IdleTimeout).scope(Scope::Upstream),
        Limit::Total => Refusal::of(Verdict::TotalTimeout).scope(Scope::Upstream),
        // Nobody hears it.
        Limit::Linger => left(),
        Limit::Draining => Refusal::of(Verdict::GatewayDraining).scope(Scope::Gateway),
    }
}

/// The client left and did not come back.
pub(crate) fn left() -> Refusal {
    Refusal::of(Verdict::ClientLeft).by(Side::Client).status(reply::CLIENT_LEFT).code(Some("client_left"), Some("client_error"))
}

/// The upstream's own id of the request, if it has a safe form.
fn upstream_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id").or_else(|| headers.get("request-id"))?.to_str().ok()?;
    let safe = (1..=96).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
    safe.then(|| id.to_owned())
}

pub(crate) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// What ends a call that has got no byte is the wait for it, not the total that would end it a moment later.
const NAMED: Duration = Duration::from_millis(100);

/// How long everything of one call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    pub(crate) began: Instant,
    pub(crate) timeouts: Timeouts,
    /// When a client gives up that has not got a byte.
    answer_by: Instant,
    /// Its SDK said when, and others may join the call: the client is answered then, and the call goes on.
    pub(crate) patience: Option<Patience>,
}

/// What decides how long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallTerms<'a> {
    /// As configured for its route and model.
    pub(crate) timeouts: Timeouts,
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) client: &'a ClientFacts,
    pub(crate) stream: bool,
    pub(crate) began: Instant,
}

impl<'a> CallTerms<'a> {
    pub(crate) fn of(gateway: &Gateway, record: &'a CallRecord, model: &str, policy: &'a RetryPolicy, began: Instant) -> Self {
        let timeouts = gateway.settings.timeouts_of(record.route, model);
        Self { timeouts, policy, client: &record.client, stream: record.stream, began }
    }

    /// The configured limits within the policy's, tightened so that an SDK that announced when it gives up gets an answer before.
    pub(crate) fn limits(&self) -> CallLimits {
        let announced = self.client.read_timeout_s.map_or(self.policy.client_timeout, |seconds| Duration::from_secs(seconds.into()));
        self.within(announced)
    }

    /// The same for a call that others may join: what an SDK announced ends its client's wait, not the call.
    pub(crate) fn joinable(&self) -> CallLimits {
        match Patience::of(self.client) {
            None => self.limits(),
            patience => CallLimits { patience, ..self.within(Duration::MAX) },
        }
    }

    fn within(&self, client: Duration) -> CallLimits {
        let (mut timeouts, began) = (self.timeouts, self.began);
        let before = in_time(client);
        timeouts.total = timeouts.total.min(self.policy.upstream_timeout);
        let answer_by = began + before.min(timeouts.total);
        if !self.stream {
            // Not before the first byte's own limit has told its name.
            timeouts.total = timeouts.total.min(before.saturating_add(NAMED));
        }
        timeouts.first_byte = timeouts.first_byte.min(before);
        CallLimits { began, timeouts, answer_by, patience: None }
    }
}

impl CallLimits {
    /// When the client must have heard of an answer or an error. One that hears heartbeats waits as long as the call may last.
    pub(crate) fn answer_by(&self, reply: &Reply) -> Instant {
        if reply.is_open() { self.began + self.timeouts.total } else { self.answer_by }
    }

    /// When a wait for a next attempt must be over: a client that must be answered before hears of the failure instead.
    pub(crate) fn wait_until(&self, reply: &Reply) -> Instant {
        let answer_by = self.answer_by(reply);
        let waits = self.patience.filter(|_| !reply.is_open() && !reply.outlet.is_promised());
        waits.map_or(answer_by, |patience| answer_by.min(patience.until))
    }

    /// What is left of them for an attempt that begins now. Where the call's total ends it, that is told by its own name.
    fn of_attempt(&self, reply: &Reply) -> AttemptLimits {
        let (answer_by, total_at) = (self.answer_by(reply), self.began + self.timeouts.total);
        let left = if answer_by < total_at { answer_by.saturating_duration_since(Instant::now()) } else { Duration::MAX };
        AttemptLimits { connect: self.timeouts.connect.min(left), first_byte: self.timeouts.first_byte.min(left) }
    }
}

/// The kind of use, which picks the policy: what the caller says of a request, else whether its key is shared.
pub(crate) fn scenario(headers: &HeaderMap, shared: impl FnOnce() -> bool) -> Scenario {
    let said = headers.get("x-weir-scenario").and_then(|label| label.to_str().ok());
    said.and_then(Scenario::from_label).unwrap_or_else(|| if shared() { Scenario::SharedKey } else { Scenario::ShortChat })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_keeps_of_a_head_is_what_goes_on_and_in_its_order() {
        let request = Request::post("/v1/chat/completions?a=1")
            .header("authorization", "Bearer sk-wr-12345678")
            .header("x-twice", "a")
            .header("x-weir-caller", "b")
            .header("x-twice", "")
            .header("openai-beta", "c");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let passing: Vec<_> =
            head.headers.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
        let_go(&mut head);
        let kept: Vec<_> = head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        assert_eq!((kept.len(), kept), (3, passing));
    }
}
