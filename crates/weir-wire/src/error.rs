//! weir's own errors in the forms of the families.
use bytes::Bytes;
use std::{borrow::Cow, time::Duration};
use weir_core::{Charged, Dialect, RequestId, Route, Timestamp, Verdict};

/// Whose limit or fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Key,
    Account,
    Group,
    Gateway,
    Upstream,
}

#[derive(Debug, Clone)]
pub struct ErrorBody {
    pub message: Cow<'static, str>,
    /// `type` on the wire.
    pub kind: Cow<'static, str>,
    pub code: Cow<'static, str>,
    pub param: Option<Cow<'static, str>>,
    pub verdict: Verdict,
    pub scope: Option<Scope>,
    pub reset_at: Option<Timestamp>,
    pub retry_after: Option<Duration>,
    pub charged: Charged,
    pub request_id: RequestId,
    pub docs: Cow<'static, str>,
}

impl ErrorBody {
    pub fn to_json(&self, _route: Route) -> Bytes {
        Bytes::new()
    }
    pub fn to_event(&self, _dialect: Dialect, _sequence_number: u64) -> Bytes {
        Bytes::new()
    }
}
