//! Stage 3: one channel is asked; what was provably never sent is asked once more. Ends at the head of an answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Uri, header, request::Parts};
use http_body_util::Full;
use weir_client::{Answer, AttemptError, AttemptLimits, Sent, WireError};
use weir_core::{
    AttemptRecord, CallRecord, Phase, Route, Side, Timeouts, Verdict,
    retry::{Failure, RetryDecision, decide},
};
use weir_wire::Scope;

use crate::{
    Gateway,
    gateway::Lane,
    refusal::Refusal,
    reply::Reply,
    vigil::{Limit, Vigil, Wake},
};

/// What is sent upstream, as often as the policy allows.
pub(crate) struct Outgoing<'a> {
    arrival: &'a Parts,
    route: Route,
    uri: Uri,
    lane: &'a Lane,
    body: Bytes,
}

/// Hop-by-hop headers, credentials and what weir sets itself: everything else of a request passes.
const HELD_BACK: [HeaderName; 18] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::VIA,
    header::FORWARDED,
    // An upstream that may compress would have to be decompressed here: ask for the plain bytes.
    header::ACCEPT_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
];

impl<'a> Outgoing<'a> {
    pub(crate) fn new(arrival: &'a Parts, route: Route, path: String, lane: &'a Lane, body: Bytes) -> Result<Self, Refusal> {
        let uri = Uri::try_from(path).map_err(|_| broken())?;
        Ok(Self { arrival, route, uri, lane, body })
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Refusal> {
        let mut request = Request::new(Full::new(self.body.clone()));
        request.method_mut().clone_from(&self.arrival.method);
        request.uri_mut().clone_from(&self.uri);
        let headers = request.headers_mut();
        // Room for what is added: a map that grows hashes every name again.
        headers.reserve(self.arrival.headers.len() + 3);
        for (name, value) in &self.arrival.headers {
            if !HELD_BACK.contains(name) && !is_ours(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        headers.insert(header::HOST, self.lane.host.clone().ok_or_else(broken)?);
        if self.lane.channel.key.is_some() {
            let credential = self.lane.credential.as_ref().ok_or_else(broken)?;
            headers.insert(header::AUTHORIZATION, credential.bearer.clone());
            if self.route == Route::Messages {
                headers.insert("x-api-key", credential.bare.clone());
            }
        }
        Ok(request)
    }
}

fn broken() -> Refusal {
    Refusal::of(Verdict::GatewayInternal)
}

fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-weir-") || name.starts_with("x-forwarded-") || name == "x-real-ip"
}

/// Asks the upstream until there is an answer or a reason to stop. Opens a stream early if the answer takes long.
pub(crate) async fn answer(
    gateway: &Gateway,
    outgoing: &Outgoing<'_>,
    timeouts: &Timeouts,
    vigil: &mut Vigil,
    reply: &mut Reply,
    record: &mut CallRecord,
) -> Result<Answer, Refusal> {
    let lane = outgoing.lane;
    let limits = AttemptLimits { connect: timeouts.connect, first_byte: timeouts.first_byte };
    let mut open_at = record.stream.then(|| reply.last_write + gateway.settings.streams.open_early);
    for n in 1..=u8::MAX {
        let began = reply.last_write.elapsed();
        let mut asked = std::pin::pin!(Answer::get(gateway.dial.as_ref(), &lane.target, &lane.pool, outgoing.request()?, limits));
        let outcome = loop {
            match vigil.wait(asked.as_mut(), open_at).await {
                Wake::Ready(outcome) => break outcome,
                Wake::Limit(limit) => {
                    record.attempts.push(AttemptRecord {
                        n,
                        channel: lane.name.clone(),
                        phase: Phase::FirstByte,
                        ..AttemptRecord::default()
                    });
                    return Err(limited(limit));
                }
                // The client is told that it is being heard; a client that left meanwhile is the vigil's to notice.
                Wake::Quiet => {
                    let _ = reply.heartbeat().await;
                    open_at = Some(reply.last_write + gateway.settings.streams.heartbeat);
                }
            }
        };
        let mut attempt = AttemptRecord { n, channel: lane.name.clone(), at_ms: millis(began), ..AttemptRecord::default() };
        match outcome {
            Ok(answer) => {
                attempt.phase = Phase::Body;
                attempt.ms = millis(answer.first_byte);
                attempt.status = Some(answer.head.status.as_u16());
                attempt.upstream_id = upstream_id(&answer.head.headers).and_then(|id| gateway.screen.id(id));
                record.timing.connect = Some(millis(answer.connected));
                record.attempts.push(attempt);
                return Ok(answer);
            }
            Err(error) => {
                let refusal = failed(&error);
                attempt.phase = error.phase();
                attempt.verdict = Some(refusal.verdict);
                record.attempts.push(attempt);
                let seen = if error.sent() == Sent::No { Failure::Unsent } else { Failure::Sent };
                if vigil.client_left() || decide(seen, n) == RetryDecision::Stop {
                    return Err(refusal);
                }
            }
        }
    }
    Err(Refusal::of(Verdict::GatewayInternal))
}

/// What a failed attempt means for the one who called.
fn failed(error: &AttemptError) -> Refusal {
    let say =
        |verdict: Verdict| Refusal::of(verdict).scope(Scope::Upstream).by(Side::Upstream).saying(format_args!("weir failed to {error}"));
    match error {
        AttemptError::ConnectTimeout { .. } => say(Verdict::UpstreamConnectTimeout).by(Side::Gateway),
        AttemptError::Connect(_) | AttemptError::Wire(WireError::Unsent) => say(Verdict::UpstreamConnectTimeout),
        AttemptError::FirstByteTimeout { .. } => say(Verdict::FirstByteTimeout).by(Side::Gateway),
        AttemptError::Wire(WireError::NotHttp) => say(Verdict::UpstreamError),
        AttemptError::Wire(WireError::Silent | WireError::Cut) => say(Verdict::OutcomeUnknown).status(502).never_retry(),
    }
}

/// What a limit that fired means for the one who called.
pub(crate) fn limited(limit: Limit) -> Refusal {
    match limit {
        Limit::Idle => Refusal::of(Verdict::IdleTimeout).scope(Scope::Upstream),
        Limit::Total => Refusal::of(Verdict::TotalTimeout).scope(Scope::Upstream),
        Limit::Linger => Refusal::of(Verdict::ClientLeft).by(Side::Client),
        Limit::Draining => Refusal::of(Verdict::GatewayDraining).scope(Scope::Gateway),
    }
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

/// The limits of one call: the configured ones, tightened so that an SDK that announced when it gives up gets an answer before.
pub(crate) fn timeouts(gateway: &Gateway, route: Route, record: &CallRecord, model: &str) -> Timeouts {
    let mut timeouts = gateway.settings.timeouts_of(route, model);
    if let Some(announced) = record.client.read_timeout_s {
        // A tenth of the time, at most two seconds, is left for the answer's way back.
        let announced = Duration::from_secs(announced.into());
        let before = announced.saturating_sub((announced / 10).min(Duration::from_secs(2)));
        if !record.stream {
            timeouts.total = timeouts.total.min(before);
        }
        timeouts.first_byte = timeouts.first_byte.min(before);
    }
    timeouts
}
