//! `GET /v1/weir/limits`: what is left of every limit that concerns a key, when it resets, and who uses the key.

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use weir_core::{
    KeyId,
    limit::{CallerUse, Now},
};

use super::Standings;

/// The answer for one key. Times are in the key's zone.
pub(crate) fn limits_view(kid: &KeyId, standings: &Standings, callers: &[CallerUse], now: Now, zone: &TimeZone) -> Value {
    let limit = |(scope, standing): &(weir_core::LimitScope, weir_core::limit::Standing)| {
        json!({
            "scope": scope.label(),
            "kind": standing.kind.label(),
            "limit": standing.limit,
            "remaining": standing.remaining,
            "resetAt": standing.resets.rfc3339_in(zone),
            "resetsInMs": u64::try_from(standing.resets.since(now.wall).as_millis()).unwrap_or(u64::MAX),
        })
    };
    let sum: u64 = callers.iter().map(|used| used.recent).sum();
    let caller = |used: &CallerUse| {
        json!({
            "caller": used.caller,
            "calls_last_minute": used.recent,
            "running": used.running,
            "share_percent": (used.recent * 100).checked_div(sum).unwrap_or(0),
        })
    };
    json!({
        "object": "weir.limits",
        "key_id": kid,
        "key_masked": kid.mask(),
        "time": now.wall.rfc3339_in(zone),
        "limits": standings.iter().map(limit).collect::<Vec<_>>(),
        "callers": callers.iter().map(caller).collect::<Vec<_>>(),
    })
}
