//! What is read out of a person's words beside a verdict: the seconds at which a hop usually gives up.

use super::pattern::pattern;

pattern!(
    ROUND,
    r"(?i)(?:每次|总是|都|刚好|正好|大概|约|always|exactly|every time|after|at).{0,16}\b(30|60|100|120|300) ?(?:秒|s\b|sec|seconds?).{0,12}(?:就|断|超时|failed|fails?|cut|drop|disconnect|error|504|time)?|(30|60|100|120|300) ?(?:秒|s|seconds?) ?(?:就|整|左右)?(?:断|超时|报错|失败|timeout|disconnect)"
);

/// Seconds at which a hop usually gives up, if the text names one of them.
pub(super) fn round_time(text: &str) -> Option<u32> {
    super::pattern::first(&ROUND, text).and_then(|digits| digits.parse().ok())
}
