//! How long an upstream told us to wait, in whatever words: headers, fields of a body, prose; and how weir tells it.

mod left;
mod moment;
mod tell;
#[cfg(test)]
mod tests;

use std::{sync::LazyLock, time::Duration};

use http::HeaderMap;
use regex::Regex;
use serde_json::Value;
use weir_core::Timestamp;

pub use left::{Counted, Left, limits_left};
pub use moment::told_moment;
use moment::{LONGEST, millis, span};
pub use tell::{go_duration, limit_headers};

/// Longest body looked at, in bytes.
const BODY_BYTES: usize = 64 * 1024;
/// How deep hints are looked for.
const DEPTH: usize = 12;

/// When the upstream said that it may be asked again: the latest of all it told, never before `now`. `None` if it told nothing,
/// or nothing within a year. Meant for answers that refuse: resets on an answer that was given limit nobody.
#[must_use]
pub fn told_wait(headers: &HeaderMap, body: Option<&[u8]>, now: Timestamp) -> Option<Timestamp> {
    let of_headers = in_headers(headers, now);
    let of_body = body.and_then(|body| in_body(&body[..body.len().min(BODY_BYTES)], now));
    of_headers.max(of_body).map(|at| at.max(now))
}

fn in_headers(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let told = [
        text("retry-after-ms").and_then(millis).map(|wait| now.after(wait)),
        text("retry-after").and_then(|value| told_moment(value, now)),
        text("ratelimit").and_then(|items| in_ratelimit(items, now)),
    ];
    latest(told.into_iter().flatten().chain(resets(headers, now)))
}

/// Every `…ratelimit…reset…` header whose limit is used up, or keeps silent about that. The reset of a limit that has something left
/// binds nobody: it says when the last of it is back, often a few milliseconds, and is no hint when to come.
fn resets(headers: &HeaderMap, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    headers.iter().filter_map(move |(name, value)| {
        let name = name.as_str();
        if !(name.contains("ratelimit") && name.contains("reset")) {
            return None;
        }
        let left = headers.get(name.replace("reset", "remaining")).and_then(|left| left.to_str().ok()?.trim().parse::<f64>().ok());
        if left.is_some_and(|left| left > 0.0) {
            return None;
        }
        told_moment(value.to_str().ok()?, now)
    })
}

/// The IETF's field: `"burst";r=0;t=30, "daily";r=7;t=900`. Only what has nothing left binds.
fn in_ratelimit(items: &str, now: Timestamp) -> Option<Timestamp> {
    let spent = items.split(',').filter_map(|item| {
        let parameter = |name: &str| item.split(';').skip(1).find_map(|p| p.trim().strip_prefix(name)?.trim().parse::<u64>().ok());
        (parameter("r=")? == 0).then(|| parameter("t="))?.map(Duration::from_secs)
    });
    latest(spent.filter(|wait| *wait <= LONGEST).map(|wait| now.after(wait)))
}

fn in_body(body: &[u8], now: Timestamp) -> Option<Timestamp> {
    let fields = serde_json::from_slice::<Value>(body).ok().and_then(|value| in_fields(&value, DEPTH, now));
    fields.max(in_prose(&String::from_utf8_lossy(body), now))
}

fn in_fields(value: &Value, depth: usize, now: Timestamp) -> Option<Timestamp> {
    match value {
        _ if depth == 0 => None,
        Value::Array(items) => latest(items.iter().filter_map(|item| in_fields(item, depth - 1, now))),
        Value::Object(fields) => latest(fields.iter().filter_map(|(name, field)| match field {
            Value::String(text) => in_field(name, text, now),
            Value::Number(number) => in_field(name, &number.to_string(), now),
            nested => in_fields(nested, depth - 1, now),
        })),
        _ => None,
    }
}

fn in_field(name: &str, text: &str, now: Timestamp) -> Option<Timestamp> {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match name.as_str() {
        "retryafterms" => millis(text).map(|wait| now.after(wait)),
        "resetat" | "resetsat" | "resettime" | "retrydelay" | "retryafter" | "retryafterseconds" | "xratelimitreset" => {
            told_moment(text, now)
        }
        _ => None,
    }
}

/// `try again in 6m0s`, `retry after 86400 seconds`, `wait 3 minutes`.
static WAIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    const UNIT: &str = "ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d";
    Regex::new(&format!(
        r"(?i)\b(?:try again|retry|retrying|wait|available)\b(?:[a-z ]{{0,24}}\b(?:in|after|for|at least|about))?[ ~]*((?:\d+(?:\.\d+)?\s*(?:{UNIT})(?:[\s,]|and)*)+)(?-u:\b)"
    ))
    .ok()
});
/// `will reset at 2026-11-23T00:00:00+08:00`.
static RESET: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)\bresets? (?:at|on) ([0-9][0-9TZ:.+-]{9,40})").ok());
/// `Resets at 10:00 UTC`: the next such hour.
static HOUR: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)\bresets? at (\d{1,2}):(\d{2}) ?UTC").ok());
/// `60 秒后重试`.
static WAIT_ZH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(\d{1,9}) ?(毫秒|秒|分钟|小时|天)(?:之|以)?后").ok());
/// `将在 2026-11-23 00:00:00 重置`: the vendors that say so mean China's time.
static RESET_ZH: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"将在 ?(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2}) ?(?:重置|恢复|刷新)").ok());

fn in_prose(text: &str, now: Timestamp) -> Option<Timestamp> {
    let found = |pattern: &'static LazyLock<Option<Regex>>| pattern.as_ref().and_then(|pattern| pattern.captures(text));
    latest(
        [
            found(&WAIT).and_then(|said| Some(now.after(span(&said[1])?))),
            found(&RESET).and_then(|said| told_moment(said[1].trim_end_matches('.'), now)),
            found(&HOUR).and_then(|said| next_hour(said[1].parse().ok()?, said[2].parse().ok()?, now)),
            found(&WAIT_ZH).and_then(|said| chinese_wait(said[1].parse().ok()?, &said[2])).map(|wait| now.after(wait)),
            found(&RESET_ZH).and_then(|said| told_moment(&format!("{}T{}+08:00", &said[1], &said[2]), now)),
        ]
        .into_iter()
        .flatten(),
    )
}

fn chinese_wait(count: u64, unit: &str) -> Option<Duration> {
    let unit_ms = match unit {
        "毫秒" => 1,
        "秒" => 1_000,
        "分钟" => 60_000,
        "小时" => 3_600_000,
        _ => 86_400_000,
    };
    Some(Duration::from_millis(count.checked_mul(unit_ms)?)).filter(|wait| *wait <= LONGEST)
}

fn next_hour(hour: i64, minute: i64, now: Timestamp) -> Option<Timestamp> {
    const DAY_MS: i64 = 86_400_000;
    let of_day = (hour < 24 && minute < 60).then_some((hour * 60 + minute) * 60_000)?;
    let today = now.0.checked_sub(now.0.rem_euclid(DAY_MS))?.checked_add(of_day)?;
    Some(Timestamp(if today > now.0 { today } else { today.checked_add(DAY_MS)? }))
}

fn latest(moments: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    moments.max()
}
