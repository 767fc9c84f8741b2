//! One grammar for every way to write a moment or a wait in a header or field.

use std::time::Duration;

use jiff::{civil::DateTime, fmt::rfc2822, tz::TimeZone};
use weir_core::Timestamp;

/// The longest wait believed. Monthly quotas are the longest that vendors have.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// The largest bare number that is a wait in seconds; larger ones are moments, or nonsense.
const SECONDS: f64 = 1e6;

/// Reads a wait or a moment:
/// `6m0s`, `2m59.56s`, `46s`, `12ms`, `1 minute` (units ms, s, m, h, d); a bare number of seconds up to 10⁶, of Unix seconds
/// (10 digits) or Unix milliseconds (13 digits); RFC 3339; the three forms of an HTTP date.
/// Moments in the past are `now`. `None` for negative waits, waits beyond a year, and whatever else.
#[must_use]
pub fn told_moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim().trim_matches('"');
    let at = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        bare(text, now)?
    } else {
        span(text).map(|wait| now.after(wait)).or_else(|| Timestamp::from_rfc3339(text)).or_else(|| http_date(text))?
    };
    (at.since(now) <= LONGEST).then_some(at.max(now))
}

fn bare(text: &str, now: Timestamp) -> Option<Timestamp> {
    let whole = text.split('.').next()?;
    match whole.len() {
        10 => Some(Timestamp(whole.parse::<i64>().ok()?.checked_mul(1000)?)),
        13 => Some(Timestamp(whole.parse().ok()?)),
        _ => seconds(text, 1.0).map(|wait| now.after(wait)),
    }
}

/// A wait in milliseconds, fractions allowed.
pub(super) fn millis(text: &str) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(text.trim().parse::<f64>().ok()? / 1000.0).ok()?;
    (wait <= LONGEST).then(|| whole_millis(wait))
}

fn seconds(number: &str, unit_seconds: f64) -> Option<Duration> {
    let number = number.parse::<f64>().ok().filter(|number| *number <= SECONDS)?;
    Duration::try_from_secs_f64(number * unit_seconds).ok().map(whole_millis)
}

/// Rounded up: a wait must not be told too short.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// `(number unit)+`, with spaces, commas and "and" between.
pub(super) fn span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let after = after.trim_start();
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        sum = sum.checked_add(seconds(number, unit_seconds(unit)?)?)?;
        let after = after.trim_start_matches([' ', ',', '\t', '\n']);
        rest = after.strip_prefix("and ").unwrap_or(after).trim_start();
    }
    (!text.trim().is_empty() && sum <= LONGEST).then_some(sum)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// IMF-fixdate, and the two obsolete forms that RFC 9110 obliges readers to take.
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(at) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(Timestamp(at.as_millisecond()));
    }
    let civil = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(|form| DateTime::strptime(form, text).ok())?;
    Some(Timestamp(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()))
}
