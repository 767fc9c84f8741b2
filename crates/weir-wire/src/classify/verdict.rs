//! The verdict of an error for one who called the upstream directly: class, lookalikes, and how sure it is.

use weir_core::{Verdict, evidence::Confidence};

use super::{
    UpstreamClass, UpstreamError, Vendor,
    rules::{Sorted, sort},
};

/// What is known about an answer beside its status and body.
#[derive(Debug, Clone, Default)]
pub struct Around<'a> {
    /// The host that was called, without its port.
    pub host: Option<&'a str>,
    /// The names of the answer's headers, in any case. Empty: none are known.
    pub headers: &'a [&'a str],
    /// The answer said when to come back.
    pub told_wait: bool,
}

/// What an error means, how sure that is, whose it is, and which rule said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified {
    pub class: UpstreamClass,
    pub verdict: Verdict,
    pub confidence: Confidence,
    pub vendor: Vendor,
    /// The id of the rule of `catalog/errors.toml`, or `status`, or `nothing`.
    pub why: &'static str,
}

/// Headers that say that an API, not a box in between, made the answer.
const ID_HEADERS: [&str; 9] = [
    "x-request-id",
    "request-id",
    "x-weir-request-id",
    "apim-request-id",
    "x-oneapi-request-id",
    "x-amzn-requestid",
    "x-ds-trace-id",
    "msh-request-id",
    "x-generation-id",
];

/// Sorts an error for one who called directly. For a caller of the gateway there is [`UpstreamClass::verdict_behind_gateway`].
#[must_use]
pub fn classified(error: &UpstreamError, around: &Around<'_>) -> Classified {
    let known = around.host.map_or(Vendor::UNKNOWN, Vendor::of_host).or(Vendor::of_headers(around.headers.iter().copied()));
    told_of(error, around, &sort(error, known))
}

/// What a sorted error is told as.
pub(super) fn told_of(error: &UpstreamError, around: &Around<'_>, sorted: &Sorted) -> Classified {
    let (verdict, confidence, why) = told(error, around, sorted);
    Classified { class: sorted.class, verdict, confidence, vendor: sorted.vendor, why }
}

fn told(error: &UpstreamError, around: &Around<'_>, sorted: &Sorted) -> (Verdict, Confidence, &'static str) {
    let status = error.effective_status();
    let fell_back = sorted.why == "status";
    if status == 407 {
        return (Verdict::ProxyLoginNeeded, Confidence::Certain, "status");
    }
    if let Some(verdict) = sorted.verdict {
        return (verdict, sorted.confidence, sorted.why);
    }
    if fell_back && let Some((verdict, confidence)) = lookalike(error, around, status) {
        return (verdict, confidence, "status");
    }
    if fell_back && status < 400 {
        return (Verdict::EvidenceMissing, Confidence::Guess, "nothing");
    }
    let verdict = match sorted.class {
        // An answer that no API made comes from a hop that gave up waiting.
        UpstreamClass::Timeout if !error.is_api() => Verdict::ProxyCut,
        UpstreamClass::RateLimit if around.told_wait => Verdict::RateLimited,
        UpstreamClass::RateLimit => Verdict::RateLimitedNoHint,
        class => class.verdict(status, None),
    };
    // The status alone says enough where every vendor means the same by it.
    let confidence = match (fell_back, status) {
        (true, 402 | 413) if error.is_api() => Confidence::Likely,
        _ => sorted.confidence,
    };
    (verdict, confidence, sorted.why)
}

/// Statuses that mean something else where no API speaks.
fn lookalike(error: &UpstreamError, around: &Around<'_>, status: u16) -> Option<(Verdict, Confidence)> {
    let has_id = around.headers.iter().any(|name| ID_HEADERS.iter().any(|id| id.eq_ignore_ascii_case(name)));
    let no_api = error.is_page() || !error.is_api() && !error.is_empty();
    match status {
        429 if error.is_page() || !error.is_api() && !around.headers.is_empty() && !has_id => {
            Some((Verdict::MiddleBoxThrottled, Confidence::Likely))
        }
        404 | 405 if error.is_page() || error.is_empty() => Some((Verdict::NotTheApi, Confidence::Likely)),
        404 | 405 if no_api => Some((Verdict::NotTheApi, Confidence::Guess)),
        // A text that only tells the status shows no page.
        401 | 403 if no_api && error.status >= 400 => {
            Some((Verdict::NotTheApi, if error.is_page() { Confidence::Likely } else { Confidence::Guess }))
        }
        502 | 504 if !error.is_api() => Some((Verdict::ProxyCut, if error.status == 0 { Confidence::Guess } else { Confidence::Likely })),
        200..=399 if error.is_page() => Some((Verdict::NotTheApi, Confidence::Likely)),
        _ => None,
    }
}
