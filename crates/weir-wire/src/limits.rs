//! How long an upstream told us to wait.
use http::HeaderMap;
use weir_core::Timestamp;

/// The later of all waits told; never before `now`.
pub fn told_wait(_headers: &HeaderMap, _body: Option<&[u8]>, _now: Timestamp) -> Option<Timestamp> {
    None
}
