//! Stage 4 for answers that are not streams: kept until they are complete, so that a broken one becomes an error and never half an answer.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use weir_client::Answer;
use weir_core::{Side, Timestamp, Verdict};
use weir_wire::{Scope, UpstreamClass, UpstreamError, Vendor, classify, limits::told_wait};

use crate::{
    Gateway, attempt,
    attempts::Failed,
    patterns,
    private::Private,
    refusal::Refusal,
    vigil::{Limit, Vigil, Wake},
};

/// Reads the rest of an answer behind `start`.
pub(crate) async fn collect(answer: &mut Answer, start: Bytes, vigil: &mut Vigil, limit: usize) -> Result<Bytes, Failed> {
    if !answer.head.status.is_success() {
        patterns::ready().await;
    }
    let mut whole = BytesMut::new();
    let mut first = Some(start).filter(|start| !start.is_empty());
    loop {
        vigil.heard();
        let piece = match vigil.wait(answer.chunk(), None).await {
            Wake::Ready(Some(Ok(piece))) => piece,
            Wake::Ready(None) => return Ok(first.unwrap_or_else(|| whole.freeze())),
            Wake::Ready(Some(Err(_))) => return Err(broke_off()),
            Wake::Limit(limit) => return Err(silent(limit)),
            Wake::Quiet => continue,
        };
        if whole.len() + first.as_ref().map_or(0, Bytes::len) + piece.len() > limit {
            return Err(too_long(limit));
        }
        match first.take() {
            None if whole.is_empty() => first = Some(piece),
            None => whole.extend_from_slice(&piece),
            Some(before) => {
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&piece);
            }
        }
    }
}

/// The upstream's connection broke in the middle of an answer of which the client has nothing yet.
pub(crate) fn broke_off() -> Failed {
    let refusal = Refusal::of(Verdict::StreamCut).scope(Scope::Upstream).by(Side::Upstream);
    Failed::unanswered(refusal.saying("the upstream broke off in the middle of its answer").status(502))
}

/// The answer exceeds its limit: another would, too.
pub(crate) fn too_long(limit: usize) -> Failed {
    let refusal = Refusal::of(Verdict::UpstreamError).scope(Scope::Upstream);
    Failed::for_good(refusal.saying(format_args!("the answer exceeds {limit} bytes")))
}

/// A limit fired while nothing of an answer was passed on: a silent upstream may be given up for another, the rest is the call's end.
pub(crate) fn silent(limit: Limit) -> Failed {
    let refusal = attempt::limited(limit);
    if limit == Limit::Idle { Failed::unanswered(refusal) } else { Failed::for_good(refusal) }
}

/// What an upstream's error means for the one who called: its own words where they concern the request, weir's where they
/// concern the operator's credential.
pub(crate) fn refused(gateway: &Gateway, host: &str, asked: Private<'_>, status: u16, headers: &HeaderMap, body: &[u8]) -> Failed {
    let now = gateway.clock.now();
    // Counters of a limit ride on every answer; they tell a wait only where one was asked for.
    let asks = status == 429 || headers.contains_key(header::RETRY_AFTER) || headers.contains_key("retry-after-ms");
    let wait = if asks { told_wait(headers, Some(body), now) } else { None };
    judged(gateway, host, asked, &UpstreamError::read(status, body), wait)
}

/// The same for an error that came inside a stream, or inside an answer that was none.
pub(crate) fn refused_with(gateway: &Gateway, host: &str, asked: Private<'_>, error: &UpstreamError) -> Failed {
    let is_rate = matches!(classify::class(error, Vendor::of_host(host)), UpstreamClass::RateLimit | UpstreamClass::DailyQuota);
    let said = error.message.expose().as_bytes();
    let wait = if is_rate { told_wait(&HeaderMap::new(), Some(said), gateway.clock.now()) } else { None };
    judged(gateway, host, asked, error, wait)
}

fn judged(gateway: &Gateway, host: &str, asked: Private<'_>, error: &UpstreamError, wait: Option<Timestamp>) -> Failed {
    let class = classify::class(error, Vendor::of_host(host));
    let refusal = said(gateway, class, asked, error).until(wait, gateway.clock.now());
    Failed { refusal, failure: class.failure(error.status, wait) }
}

/// The error in the words that the one who called may read.
fn said(gateway: &Gateway, class: UpstreamClass, asked: Private<'_>, error: &UpstreamError) -> Refusal {
    let refusal = Refusal::of(class.verdict_behind_gateway()).scope(Scope::Upstream).by(Side::Upstream);
    if class == UpstreamClass::DailyQuota {
        // No SDK waits until its day is over; each of its retries would only be refused again.
        return refusal.never_retry();
    }
    if is_the_operators(class) {
        return refusal;
    }
    // Its verdict is not weir's own refusal and has no code of its own.
    let refusal = if class == UpstreamClass::ContentFilter {
        refusal.status(400).code(Some("content_filter"), Some("invalid_request_error"))
    } else {
        refusal
    };
    let (screen, said) = (&gateway.screen, error.message.expose());
    let refusal = match (said.is_empty(), class.is_of_the_channel()) {
        (true, _) => refusal,
        (false, true) => return refusal.saying_privately(screen.text(said), screen.kept(said, asked)),
        (false, false) => refusal.quoting(screen.text(said), screen.kept(said, asked)),
    };
    if class.is_of_the_channel() {
        return refusal;
    }
    let token = |token: &Option<String>| token.as_deref().map(|token| screen.token(token));
    let refusal = refusal.code(token(&error.code).as_deref(), token(&error.kind).as_deref());
    // The time of a lock, or of an early request, passes: about these the SDKs' own rules are right.
    let refusal = if matches!(error.status, 409 | 425) { refusal.retry_as_usual() } else { refusal };
    // The upstream's own status is right about the request; about itself the catalogue's is.
    if (400..500).contains(&error.status) && error.status != 429 { refusal.status(error.status) } else { refusal }
}

/// Whether an error concerns the operator's credential: its words are not for the one who called.
fn is_the_operators(class: UpstreamClass) -> bool {
    use UpstreamClass::{Auth, Balance, DailyQuota, Group, RateLimit};
    matches!(class, Auth | Balance | Group | RateLimit | DailyQuota)
}

/// Headers of an upstream's answer that concern its content. All others are the operator's business or weir's own.
const PASSED: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LANGUAGE,
    HeaderName::from_static("openai-processing-ms"),
    HeaderName::from_static("openai-version"),
    HeaderName::from_static("openai-model"),
];

pub(crate) fn passed(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    PASSED.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

/// The head of an answer that goes on as it came.
pub(crate) fn head(status: StatusCode, headers: &HeaderMap) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    head.headers_mut().extend(passed(headers));
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promises::Bench;

    #[tokio::test(start_paused = true)]
    async fn every_error_of_an_upstream_has_a_code_of_its_own() {
        let bench = Bench::new(|_| {});
        for class in UpstreamClass::ALL {
            for body in [&b""[..], br#"{"error":{"message":"no"}}"#] {
                let refusal = said(&bench.gateway, class, Private::of(b""), &UpstreamError::read(0, body));
                assert!(refusal.code_word() != "gateway_error" && refusal.status >= 400, "{class:?}: {refusal:?}");
            }
        }
        for limit in [Limit::Idle, Limit::Total, Limit::Linger, Limit::Draining] {
            assert_ne!(attempt::limited(limit).code_word(), "gateway_error", "{limit:?}");
        }
        let filtered = bench.chat("sim:content_policy").await;
        assert_eq!((filtered.status(), filtered.error()["code"].as_str()), (400, Some("content_filter")));
    }
}
