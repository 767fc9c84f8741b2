//! What an upstream's error means.
use std::fmt;
use weir_core::{Timestamp, Verdict};

/// Text of an upstream, ≤ 1,024 characters, unredacted. Debug hides it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UpstreamText(String);
impl UpstreamText {
    /// The raw text, for the redactor only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for UpstreamText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[upstream text]")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    pub status: u16,
    pub message: UpstreamText,
    /// ≤ 64 characters of `[a-zA-Z0-9_.:-]`.
    pub code: Option<String>,
    /// `type`, same charset.
    pub kind: Option<String>,
}
impl UpstreamError {
    /// Reads any body shape; `None` for status < 400 and a body without an error.
    pub fn read(status: u16, _body: &[u8]) -> Self {
        Self { status, message: UpstreamText::default(), code: None, kind: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamClass {
    StreamCut,
    ContentFilter,
    ContextLength,
    RateLimit,
    DailyQuota,
    Auth,
    Balance,
    Group,
    Model,
    Overloaded,
    Timeout,
    BadRequest,
    Upstream,
}

impl UpstreamClass {
    /// The verdict for the one who called this upstream directly.
    pub fn verdict(self, _status: u16, _told_wait: Option<Timestamp>) -> Verdict {
        Verdict::UpstreamError
    }
    /// The verdict for a caller of the gateway: an upstream's key, balance or limit is never the caller's.
    pub fn verdict_behind_gateway(self, _status: u16) -> Verdict {
        Verdict::UpstreamError
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vendor {
    #[default]
    Unknown,
    DashScope,
    Gemini,
}
impl Vendor {
    pub fn of_host(_host: &str) -> Self {
        Self::Unknown
    }
}

pub fn class(_error: &UpstreamError, _vendor: Vendor) -> UpstreamClass {
    UpstreamClass::Upstream
}
