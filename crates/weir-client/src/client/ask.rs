//! What is asked, and what a server said: a whole answer of any status, read without showing anything of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use weir_core::{Blame, Failure, RequestId, Route, Scenario, Timestamp, Usage};
use weir_wire::{UpstreamClass, UpstreamError, Vendor, answer, classify, limits::told_wait};

/// One request below the server's base URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Ask {
    pub method: Method,
    /// Behind the base URL, such as `/chat/completions`.
    pub path: String,
    /// JSON, byte for byte.
    pub body: Bytes,
    /// Which policy retries it.
    pub scenario: Scenario,
    /// A name for this call: where the server remembers it, sending it again makes no second call.
    pub idempotency_key: Option<String>,
    /// Ask for a job instead of waiting, where the server offers that.
    pub respond_async: bool,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Ask {
    /// A request with a JSON body, by the policy of a short chat.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body: body.into(),
            scenario: Scenario::ShortChat,
            idempotency_key: None,
            respond_async: false,
        }
    }

    /// A question that changes nothing.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, ..Self::post(path, Bytes::new()) }
    }

    /// Retried by another scenario's policy.
    #[must_use]
    pub fn of(self, scenario: Scenario) -> Self {
        Self { scenario, ..self }
    }

    /// Known by a name; see [`Ask::idempotency_key`].
    #[must_use]
    pub fn named(self, idempotency_key: impl Into<String>) -> Self {
        Self { idempotency_key: Some(idempotency_key.into()), ..self }
    }

    /// Which of the API's paths it is for.
    pub(crate) fn route(&self) -> Route {
        let path = self.path.split('?').next().unwrap_or_default();
        Route::of_path(&format!("/v1{path}")).unwrap_or(Route::Unknown)
    }
}

/// A whole answer. Debug shows its status and size only.
#[derive(Clone)]
pub struct Said {
    pub status: u16,
    pub body: Bytes,
    /// When the connection stood (zero for a pooled one), when the head came and when the body was whole, since the attempt began.
    pub connected: Duration,
    pub first_byte: Duration,
    pub total: Duration,
    headers: HeaderMap,
    vendor: Vendor,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Said").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub class: UpstreamClass,
    /// What the server said, unredacted and hidden from Debug.
    pub error: UpstreamError,
    /// When it may be asked again, as the server told.
    pub told: Option<Timestamp>,
    /// What follows from it for a next attempt.
    pub failure: Failure,
}

impl Said {
    pub(crate) fn new(status: u16, headers: HeaderMap, body: Bytes, [connected, first_byte, total]: [Duration; 3], vendor: Vendor) -> Self {
        Self { status, body, connected, first_byte, total, headers, vendor }
    }

    /// An answer without a connection behind it: for servers that tests make up.
    #[must_use]
    pub fn made(status: u16, headers: HeaderMap, body: Bytes) -> Self {
        Self::new(status, headers, body, [Duration::ZERO; 3], Vendor::UNKNOWN)
    }

    /// A response header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The response headers. Whoever stores some keeps to the allow-list of [`weir_wire::headers`].
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The server's id of the request, ≤ 96 characters of `[\w.:-]`.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        let tame = |id: &&str| !id.is_empty() && id.len() <= 96 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
        self.header("x-request-id").or_else(|| self.header("request-id")).filter(tame)
    }

    /// Whether weir itself gave this answer.
    #[must_use]
    pub fn is_of_weir(&self) -> bool {
        self.header("x-request-id").is_some_and(|id| id.parse::<RequestId>().is_ok())
    }

    /// What was used, as the server reported it.
    #[must_use]
    pub fn usage(&self, route: Route) -> Option<Usage> {
        (self.status < 300).then(|| answer::read(route, &self.body).usage).flatten()
    }

    /// What is wrong with it; `None` for a good answer. Errors that hide in a 200 are found, too.
    #[must_use]
    pub fn problem(&self, route: Route, now: Timestamp) -> Option<Problem> {
        let error = match self.status {
            202 => return None,
            200..=299 if matches!(route, Route::Models | Route::Unknown | Route::Videos | Route::VideoGenerations) => return None,
            200..=299 => answer::read(route, &self.body).error?,
            status => UpstreamError::read(status, &self.body),
        };
        let class = classify::class(&error, self.vendor);
        let is_rate = matches!(class, UpstreamClass::RateLimit | UpstreamClass::DailyQuota);
        // Counters of a limit ride on every answer; they tell a wait only where one was asked for.
        let asks =
            self.status == 429 || is_rate || self.headers.contains_key(header::RETRY_AFTER) || self.headers.contains_key("retry-after-ms");
        let told = if asks { told_wait(&self.headers, Some(&self.body), now) } else { None };
        let failure = match class.failure(error.status, told) {
            // The server knows better than its status that no retry mends this.
            Failure::Refused { status, blame: Blame::Upstream, .. } if self.header("x-should-retry") == Some("false") => {
                Failure::Refused { status, blame: Blame::Request, told }
            }
            failure => failure,
        };
        Some(Problem { class, error, told, failure })
    }
}
