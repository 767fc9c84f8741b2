//! Why a call gets an error instead of an answer: one form from which status, headers, body and record are made.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jiff::tz::TimeZone;
use weir_core::{CallRecord, Charged, RequestId, Route, Side, Timestamp, Verdict, verdict::Lang};
use weir_wire::{ErrorBody, Scope};

/// Long enough that most answers have ended, short enough for an SDK to wait.
const SOON: Duration = Duration::from_secs(2);

/// An error answer that is not yet sent.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) verdict: Verdict,
    pub(crate) status: u16,
    code: String,
    kind: String,
    /// What happened, for the one who called; safe to show.
    message: String,
    /// What a record keeps of it, where the one who called may read more: it may quote the request.
    kept: Option<String>,
    param: Option<&'static str>,
    scope: Option<Scope>,
    reset_at: Option<Timestamp>,
    zone: Option<TimeZone>,
    retry_after: Option<Duration>,
    should_retry: Option<bool>,
    /// The call that it is about, where that is not over.
    call: Option<RequestId>,
    pub(crate) ended_by: Side,
}

impl Refusal {
    /// A refusal as the catalogue words it.
    pub(crate) fn of(verdict: Verdict) -> Self {
        let api = verdict.api();
        let words = verdict.words(Lang::En);
        Self {
            verdict,
            status: api.map_or(500, |api| api.status),
            code: api.map_or("gateway_error", |api| api.code).to_owned(),
            kind: api.map_or("server_error", |api| api.kind).to_owned(),
            message: format!("{}; check first: {}; do not: {}", words.cause, words.check, words.never.trim_start_matches("don't ")),
            kept: None,
            param: None,
            scope: None,
            reset_at: None,
            zone: None,
            retry_after: None,
            // Only what waiting cannot mend says so; about the rest the SDK's own rules are right.
            should_retry: api.filter(|api| !api.should_retry).map(|_| false),
            call: None,
            ended_by: Side::Gateway,
        }
    }

    /// The same with a sentence of its own in front of the advice.
    pub(crate) fn saying(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}. {}", self.message);
        self
    }

    /// The same where the sentence quotes the request: the record keeps the one that does not.
    pub(crate) fn saying_privately(mut self, what: impl std::fmt::Display, kept: impl std::fmt::Display) -> Self {
        self.kept = Some(format!("{kept}. {}", self.message));
        self.saying(what)
    }

    /// Only this sentence: for what an upstream said in words of its own, and what a record keeps of it.
    pub(crate) fn quoting(mut self, what: String, kept: String) -> Self {
        self.message = what;
        self.kept = Some(kept);
        self
    }

    /// The same answer under another verdict.
    pub(crate) fn judged(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn code(mut self, code: Option<&str>, kind: Option<&str>) -> Self {
        if let Some(code) = code {
            code.clone_into(&mut self.code);
        }
        if let Some(kind) = kind {
            kind.clone_into(&mut self.kind);
        }
        self
    }

    pub(crate) fn code_word(&self) -> &str {
        &self.code
    }

    pub(crate) fn param(mut self, param: Option<&'static str>) -> Self {
        self.param = param;
        self
    }

    pub(crate) fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    pub(crate) fn by(mut self, side: Side) -> Self {
        self.ended_by = side;
        self
    }

    pub(crate) fn never_retry(mut self) -> Self {
        self.should_retry = Some(false);
        self
    }

    /// Whether to retry is left to the SDK's own rules.
    pub(crate) fn retry_as_usual(mut self) -> Self {
        self.should_retry = None;
        self
    }

    /// What it waits for is under way: SDKs are told to ask again.
    pub(crate) fn again_soon(mut self) -> Self {
        self.retry_after = Some(SOON);
        self.should_retry = Some(true);
        self
    }

    /// It is told while this call runs.
    pub(crate) fn about(mut self, call: RequestId) -> Self {
        self.call = Some(call);
        self
    }

    /// Waiting until `at` helps.
    pub(crate) fn until(mut self, at: Option<Timestamp>, now: Timestamp) -> Self {
        self.reset_at = at;
        self.retry_after = at.map(|at| at.since(now));
        self
    }

    /// Says times in this zone.
    pub(crate) fn in_zone(mut self, zone: TimeZone) -> Self {
        self.zone = Some(zone);
        self
    }

    /// The error object; `charged` is what the ledger will say.
    pub(crate) fn body(&self, id: RequestId, charged: Charged) -> ErrorBody {
        ErrorBody {
            message: format!("{} [{} {id}]", self.message, self.verdict.code()).into(),
            kind: self.kind.clone().into(),
            code: self.code.clone().into(),
            param: self.param.map(Into::into),
            verdict: self.verdict,
            scope: self.scope,
            reset_at: self.reset_at,
            zone: self.zone.clone(),
            retry_after: self.retry_after,
            charged,
            request_id: id,
            docs: format!("weir explain {}", self.verdict.code()).into(),
        }
    }

    /// Head and body of the answer; `charged` is what the ledger says so far.
    pub(crate) fn response(&self, id: RequestId, route: Route, charged: Charged) -> (Response<()>, Bytes) {
        let body = self.body(id, charged).to_json(route);
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = head.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
            headers.insert("retry-after-ms", HeaderValue::from(millis));
        }
        if let Some(should) = self.should_retry {
            headers.insert("x-should-retry", HeaderValue::from_static(if should { "true" } else { "false" }));
        }
        if let Some(call) = self.call.and_then(|call| HeaderValue::from_str(&call.to_string()).ok()) {
            headers.insert("x-weir-call", call);
        }
        if self.status == 405 {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
        }
        (head, body)
    }

    /// Writes what happened into the record.
    pub(crate) fn note(&self, record: &mut CallRecord) {
        record.verdict = self.verdict;
        record.ended_by = self.ended_by;
        record.error_code = Some(self.code.clone());
        record.error_text = Some(self.kept.as_ref().unwrap_or(&self.message).chars().take(1024).collect());
    }
}
