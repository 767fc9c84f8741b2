//! weir's own errors in the forms of the families: as a whole answer, and as the one event that ends a running stream.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use weir_core::{Charged, Dialect, RequestId, Route, Timestamp, Verdict};

/// Whose limit or fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Key,
    Account,
    Group,
    Gateway,
    Upstream,
}

/// One error, as every family tells it. Holds only text that may be shown: what came from an upstream is redacted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// `type` in OpenAI's form. Anthropic's form derives its own from the verdict.
    pub kind: Cow<'static, str>,
    pub code: Cow<'static, str>,
    pub param: Option<Cow<'static, str>>,
    pub verdict: Verdict,
    pub scope: Option<Scope>,
    /// When a retry may succeed.
    pub reset_at: Option<Timestamp>,
    /// The zone in which that is said; UTC without one.
    pub zone: Option<TimeZone>,
    /// The same as a wait; shown in whole milliseconds, rounded up.
    pub retry_after: Option<Duration>,
    pub charged: Charged,
    pub request_id: RequestId,
    /// Where to read more.
    pub docs: Cow<'static, str>,
}

impl ErrorBody {
    /// The body of an answer: OpenAI's form, or Anthropic's for `/v1/messages`. Everything is inside `error`, because SDKs drop
    /// the rest.
    #[must_use]
    pub fn to_json(&self, route: Route) -> Bytes {
        if route == Route::Messages { written(&self.as_message()) } else { written(&Enveloped { error: self.wire(&self.kind) }) }
    }

    /// The one event that ends a running stream in its family's form. Never `[DONE]`, never a finish reason; no `choices`,
    /// because one SDK drops errors that have them. `sequence_number` is the next one of a responses stream.
    #[must_use]
    pub fn to_event(&self, dialect: Dialect, sequence_number: u64) -> Bytes {
        match dialect {
            Dialect::Responses => event("response.failed", &self.as_failed_response(sequence_number)),
            Dialect::Messages => event("error", &self.as_message()),
            Dialect::Chat | Dialect::Completions | Dialect::Audio | Dialect::Images | Dialect::Plain => {
                frame("", &written(&Enveloped { error: self.wire(&self.kind) }))
            }
        }
    }

    fn wire<'a>(&'a self, kind: &'a str) -> Wire<'a> {
        Wire {
            message: &self.message,
            kind,
            param: self.param.as_deref(),
            code: &self.code,
            verdict: self.verdict,
            scope: self.scope,
            reset_at: self.reset_at.map(|at| self.zone.as_ref().map_or_else(|| at.rfc3339(), |zone| at.rfc3339_in(zone))),
            retry_after_ms: self.retry_after.map(|wait| u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)),
            charged: ChargedWord(self.charged),
            request_id: self.request_id,
            docs: &self.docs,
        }
    }

    fn as_message(&self) -> MessageError<'_> {
        MessageError { kind: "error", error: self.wire(anthropic_kind(self.verdict)), request_id: self.request_id }
    }

    fn as_failed_response(&self, sequence_number: u64) -> FailedResponse<'_> {
        FailedResponse {
            kind: "response.failed",
            sequence_number,
            response: Failed {
                id: self.request_id,
                object: "response",
                created_at: self.request_id.at().0 / 1000,
                status: "failed",
                error: Reason { code: &self.code, message: &self.message },
                incomplete_details: None,
                output: [],
                usage: None,
            },
            // OpenAI's SDKs raise only on an `error` at the top.
            error: self.wire(&self.kind),
        }
    }
}

/// The `error` object, in the order that people read it.
#[derive(Serialize)]
struct Wire<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(rename = "resetAt", skip_serializing_if = "Option::is_none")]
    reset_at: Option<String>,
    #[serde(rename = "retryAfterMs", skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    charged: ChargedWord,
    request_id: RequestId,
    docs: &'a str,
}

#[derive(Serialize)]
struct Enveloped<'a> {
    error: Wire<'a>,
}

#[derive(Serialize)]
struct MessageError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Wire<'a>,
    request_id: RequestId,
}

#[derive(Serialize)]
struct FailedResponse<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    response: Failed<'a>,
    error: Wire<'a>,
}

#[derive(Serialize)]
struct Failed<'a> {
    id: RequestId,
    object: &'static str,
    /// Unix seconds.
    created_at: i64,
    status: &'static str,
    error: Reason<'a>,
    incomplete_details: Option<()>,
    output: [(); 0],
    usage: Option<()>,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    message: &'a str,
}

/// `true` and `false` where it is known; a word where it is not, or not so simple.
struct ChargedWord(Charged);

impl Serialize for ChargedWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Charged::Yes => serializer.serialize_bool(true),
            Charged::No => serializer.serialize_bool(false),
            other => other.serialize(serializer),
        }
    }
}

/// Anthropic's closed list of error types.
fn anthropic_kind(verdict: Verdict) -> &'static str {
    use Verdict as V;
    match verdict {
        V::KeyMalformed | V::KeyUnknown | V::KeyDisabled => "authentication_error",
        V::SourceNotAllowed | V::GroupModelDenied => "permission_error",
        V::ModelNotFound => "not_found_error",
        V::BalanceSpent => "billing_error",
        V::RequestRejected | V::RequestTooLong | V::ContentRefused => "invalid_request_error",
        V::RateLimited
        | V::RateLimitedNoHint
        | V::QuotaSpent
        | V::ConcurrencySpent
        | V::UpstreamThrottled
        | V::RampTooFast
        | V::MiddleBoxThrottled
        | V::SharedKeyTaken
        | V::RetriedTooEarly => "rate_limit_error",
        V::UpstreamOverloaded | V::NoUpstream | V::GatewayFull | V::GatewayDraining => "overloaded_error",
        V::UpstreamConnectTimeout | V::FirstByteTimeout | V::IdleTimeout | V::TotalTimeout | V::RequestTooSlow => "timeout_error",
        _ => "api_error",
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    frame(&format!("event: {name}\n"), &written(data))
}

fn frame(head: &str, data: &[u8]) -> Bytes {
    [head.as_bytes(), b"data: ", data, b"\n\n"].concat().into()
}

/// These shapes have only string keys and finite numbers, so writing them cannot fail; should it, the error stays an error.
fn written(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .map_or_else(|_| Bytes::from_static(br#"{"error":{"message":"internal error","type":"internal"}}"#), Bytes::from)
}
