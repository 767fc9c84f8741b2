//! How weir tells what is left: the IETF's `RateLimit` fields, and OpenAI's `x-ratelimit-*`, which its SDKs' users read.

use std::{fmt::Write, time::Duration};

use http::{HeaderName, HeaderValue};
use weir_core::{LimitKind, LimitScope, Timestamp, limit::Standing};

/// Headers that tell how limits stand at `now`; `binding` is the limit that refused the call and when it opens for it.
///
/// - `RateLimit-Policy: "key-rpm";q=60;w=60` and `RateLimit: "key-rpm";r=12;t=31` name every limit. `t` is rounded up, so that who
///   waits for it does not come early. `qu="tokens"` and `qu="nano-units"` are not registered; `concurrent-requests` is.
/// - `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` have room for one limit each: the one with the smallest part left.
#[must_use]
pub fn limit_headers(
    standings: &[(LimitScope, Standing)],
    binding: Option<(LimitScope, LimitKind, Timestamp)>,
    now: Timestamp,
) -> Vec<(HeaderName, HeaderValue)> {
    if standings.is_empty() {
        return Vec::new();
    }
    let resets = |scope: LimitScope, standing: &Standing| match binding {
        Some((of, kind, at)) if of == scope && kind == standing.kind => at,
        _ => standing.resets,
    };
    let (mut policy, mut state) = (String::new(), String::new());
    for (scope, standing) in standings {
        let comma = if policy.is_empty() { "" } else { ", " };
        let name = name(*scope, standing.kind);
        let span = window_seconds(standing.kind).map(|window| format!(";w={window}")).unwrap_or_default();
        let unit = unit(standing.kind).map(|unit| format!(";qu=\"{unit}\"")).unwrap_or_default();
        let seconds = resets(*scope, standing).since(now).as_millis().div_ceil(1000);
        let _ = write!(policy, "{comma}\"{name}\";q={}{span}{unit}", standing.limit);
        let _ = write!(state, "{comma}\"{name}\";r={};t={seconds}", standing.remaining);
    }
    let mut headers = Vec::with_capacity(8);
    let mut add = |name: &'static str, value: &str| {
        headers.extend(HeaderValue::from_str(value).ok().map(|value| (HeaderName::from_static(name), value)));
    };
    add("ratelimit-policy", &policy);
    add("ratelimit", &state);
    for (kinds, names) in [(REQUESTS, REQUEST_HEADERS), (TOKENS, TOKEN_HEADERS)] {
        if let Some((scope, standing)) = tightest(standings, kinds) {
            add(names[0], &standing.limit.to_string());
            add(names[1], &standing.remaining.to_string());
            add(names[2], &go_duration(resets(*scope, standing).since(now)));
        }
    }
    headers
}

const REQUESTS: [LimitKind; 2] = [LimitKind::RequestsPerMinute, LimitKind::DailyRequests];
const TOKENS: [LimitKind; 2] = [LimitKind::TokensPerMinute, LimitKind::DailyTokens];
const REQUEST_HEADERS: [&str; 3] = ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKEN_HEADERS: [&str; 3] = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

/// The limit of which the smallest part is left.
fn tightest(standings: &[(LimitScope, Standing)], kinds: [LimitKind; 2]) -> Option<&(LimitScope, Standing)> {
    let of_kind = standings.iter().filter(|(_, standing)| kinds.contains(&standing.kind));
    of_kind.min_by(|(_, a), (_, b)| {
        let part = |one: &Standing, other: &Standing| u128::from(one.remaining) * u128::from(other.limit);
        part(a, b).cmp(&part(b, a))
    })
}

fn name(scope: LimitScope, kind: LimitKind) -> String {
    format!("{}-{}", scope.label(), kind.short())
}

fn window_seconds(kind: LimitKind) -> Option<u32> {
    match kind {
        LimitKind::RequestsPerMinute | LimitKind::TokensPerMinute => Some(60),
        LimitKind::DailyRequests | LimitKind::DailyTokens | LimitKind::DailyAmount => Some(86_400),
        LimitKind::Concurrency => None,
    }
}

fn unit(kind: LimitKind) -> Option<&'static str> {
    match kind {
        LimitKind::RequestsPerMinute | LimitKind::DailyRequests => None,
        LimitKind::TokensPerMinute | LimitKind::DailyTokens => Some("tokens"),
        LimitKind::DailyAmount => Some("nano-units"),
        LimitKind::Concurrency => Some("concurrent-requests"),
    }
}

/// A wait as OpenAI writes it: `12ms`, `1s`, `6m0s`, `1h2m3s`; below a minute with milliseconds.
#[must_use]
pub fn go_duration(wait: Duration) -> String {
    let millis = wait.as_millis();
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) if rest > 0 => format!("{rest}ms"),
        (0, 0, s) => format!("{s}{fraction}s"),
        (0, m, s) => format!("{m}m{s}{fraction}s"),
        (h, m, s) => format!("{h}h{m}m{s}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{told_moment, told_wait};

    const NOW: Timestamp = Timestamp(1_795_334_400_000);

    fn standing(kind: LimitKind, limit: u64, remaining: u64, resets_ms: i64) -> (LimitScope, Standing) {
        (LimitScope::Key, Standing { kind, limit, remaining, resets: Timestamp(NOW.0 + resets_ms) })
    }

    fn text(headers: &[(HeaderName, HeaderValue)]) -> String {
        headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect()
    }

    #[test]
    fn r29_headers_tell_every_limit_and_openai_s_the_tightest() {
        let standings = [
            standing(LimitKind::RequestsPerMinute, 60, 12, 31_001),
            standing(LimitKind::TokensPerMinute, 10_000, 9_000, 250),
            (
                LimitScope::Account,
                Standing { kind: LimitKind::DailyRequests, limit: 1_000, remaining: 3, resets: Timestamp(NOW.0 + 3_723_000) },
            ),
            standing(LimitKind::Concurrency, 4, 1, 0),
            standing(LimitKind::DailyAmount, 5, 5, 60_000),
        ];
        insta::assert_snapshot!(text(&limit_headers(&standings, None, NOW)), @r#"
        ratelimit-policy: "key-rpm";q=60;w=60, "key-tpm";q=10000;w=60;qu="tokens", "account-daily-requests";q=1000;w=86400, "key-concurrency";q=4;qu="concurrent-requests", "key-daily-amount";q=5;w=86400;qu="nano-units"
        ratelimit: "key-rpm";r=12;t=32, "key-tpm";r=9000;t=1, "account-daily-requests";r=3;t=3723, "key-concurrency";r=1;t=0, "key-daily-amount";r=5;t=60
        x-ratelimit-limit-requests: 1000
        x-ratelimit-remaining-requests: 3
        x-ratelimit-reset-requests: 1h2m3s
        x-ratelimit-limit-tokens: 10000
        x-ratelimit-remaining-tokens: 9000
        x-ratelimit-reset-tokens: 250ms
        "#);
        assert!(limit_headers(&[], None, NOW).is_empty());
    }

    #[test]
    fn r29_what_refused_a_call_tells_the_moment_that_the_body_tells() {
        let standings = [standing(LimitKind::TokensPerMinute, 100, 40, 60_000)];
        let binding = (LimitScope::Key, LimitKind::TokensPerMinute, Timestamp(NOW.0 + 7_400));
        let told = text(&limit_headers(&standings, Some(binding), NOW));
        assert!(told.contains("\"key-tpm\";r=40;t=8") && told.contains("x-ratelimit-reset-tokens: 7.4s"), "{told}");
    }

    proptest! {
        #[test]
        fn r31_what_weir_writes_weir_reads(wait_ms in 0_u64..200_000_000) {
            let wait = Duration::from_millis(wait_ms);
            prop_assert_eq!(told_moment(&go_duration(wait), NOW), Some(NOW.after(wait)));
            let standings = [standing(LimitKind::RequestsPerMinute, 1, 0, i64::try_from(wait_ms).unwrap())];
            let headers = limit_headers(&standings, None, NOW).into_iter().collect();
            let told = told_wait(&headers, None, NOW).unwrap();
            prop_assert!(told >= NOW.after(wait) && told.since(NOW.after(wait)) < Duration::from_secs(1));
        }
    }
}
