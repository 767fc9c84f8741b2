//! What an answer tells of the limits that it counts against: how much there is, how much is left, and over which span.

use std::time::Duration;

use http::HeaderMap;
use weir_core::Timestamp;

use super::told_moment;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Requests,
    Tokens,
    /// Requests that run at once.
    Running,
}

/// One limit, as a server's headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub counted: Counted,
    pub limit: u64,
    pub remaining: u64,
    /// The span that it is counted over, where it is told or follows from the reset.
    pub window: Option<Duration>,
}

/// Most limits read of one answer.
const LIMITS: usize = 16;

/// The limits that the headers of an answer tell: the IETF's fields, OpenAI's `x-ratelimit-*`, Anthropic's `anthropic-ratelimit-*`.
/// A server that names its windows is believed; else they follow from how long the missing part takes to come back.
#[must_use]
pub fn limits_left(headers: &HeaderMap, now: Timestamp) -> Vec<Left> {
    let named = in_policy(headers);
    if !named.is_empty() {
        return named;
    }
    let openai = |what: &str, field: &str| format!("x-ratelimit-{field}-{what}");
    let anthropic = |what: &str, field: &str| format!("anthropic-ratelimit-{what}-{field}");
    let both = [(Counted::Requests, "requests"), (Counted::Tokens, "tokens")];
    let told = both.map(|(counted, what)| {
        pair(headers, counted, now, |field| openai(what, field)).or_else(|| pair(headers, counted, now, |field| anthropic(what, field)))
    });
    told.into_iter().flatten().collect()
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn pair(headers: &HeaderMap, counted: Counted, now: Timestamp, name: impl Fn(&str) -> String) -> Option<Left> {
    let text = |field: &str| headers.get(name(field)).and_then(|value| value.to_str().ok());
    let (limit, remaining) = (number(text("limit")?)?, number(text("remaining")?)?);
    let reset = text("reset").and_then(|reset| told_moment(reset, now)).map(|at| at.since(now));
    // What is missing comes back within the reset; the whole limit takes as much longer as it is larger.
    let missing = limit.saturating_sub(remaining);
    let window = reset.filter(|reset| !reset.is_zero() && missing > 0).map(|reset| {
        let whole = reset.as_millis().saturating_mul(u128::from(limit)) / u128::from(missing);
        Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX))
    });
    Some(Left { counted, limit, remaining, window })
}

/// `RateLimit-Policy: "key-rpm";q=60;w=60` with `RateLimit: "key-rpm";r=12;t=31`.
fn in_policy(headers: &HeaderMap) -> Vec<Left> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (policies, states) = (text("ratelimit-policy"), text("ratelimit"));
    let of = |text: &str| -> Vec<String> { text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect() };
    let parameter = |item: &str, name: &str| {
        item.split(';').skip(1).find_map(|part| part.trim().strip_prefix(name).map(|value| value.trim_matches('"').to_owned()))
    };
    let states = of(states);
    let read = |policy: &String| {
        let name = policy.split(';').next()?;
        let state = states.iter().find(|state| state.split(';').next() == Some(name))?;
        let counted = match parameter(policy, "qu=").as_deref() {
            None | Some("requests") => Counted::Requests,
            Some("tokens") => Counted::Tokens,
            Some("concurrent-requests") => Counted::Running,
            Some(_) => return None,
        };
        let window = parameter(policy, "w=").as_deref().and_then(number).map(Duration::from_secs);
        Some(Left { counted, limit: number(&parameter(policy, "q=")?)?, remaining: number(&parameter(state, "r=")?)?, window })
    };
    of(policies).iter().take(LIMITS).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_334_400_000);

    fn left(pairs: &[(&'static str, &str)]) -> Vec<Left> {
        let headers = pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
        limits_left(&headers, NOW)
    }

    fn of(counted: Counted, limit: u64, remaining: u64, window_s: Option<u64>) -> Left {
        Left { counted, limit, remaining, window: window_s.map(Duration::from_secs) }
    }

    #[test]
    fn a_limit_s_window_follows_from_how_long_the_missing_part_takes() {
        let openai = left(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6ms"),
        ]);
        assert_eq!(openai[0], of(Counted::Requests, 60, 59, Some(60)));
        assert_eq!((openai[1].limit, openai[1].window.map(|window| window.as_secs())), (150_000, Some(56)));
        // Groq's requests are a day's.
        let groq = left(&[
            ("x-ratelimit-limit-requests", "14400"),
            ("x-ratelimit-remaining-requests", "14370"),
            ("x-ratelimit-reset-requests", "2m59.56s"),
        ]);
        assert!(groq[0].window.is_some_and(|window| window.as_secs() > 86_000), "{groq:?}");
        assert_eq!(left(&[("x-ratelimit-limit-requests", "60")]), []);
        let full = left(&[("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "60")]);
        assert_eq!(full, [of(Counted::Requests, 60, 60, None)]);
    }

    #[test]
    fn what_weir_tells_and_anthropic_tells_is_read() {
        let weir = left(&[
            (
                "ratelimit-policy",
                r#""key-rpm";q=60;w=60, "key-tpm";q=10000;w=60;qu="tokens", "account-daily-requests";q=1000;w=86400, "key-concurrency";q=4;qu="concurrent-requests", "key-daily-amount";q=5;w=86400;qu="nano-units""#,
            ),
            ("ratelimit", r#""key-rpm";r=12;t=32, "key-tpm";r=9000;t=1, "account-daily-requests";r=3;t=3723, "key-concurrency";r=1;t=0"#),
            ("x-ratelimit-limit-requests", "1000"),
            ("x-ratelimit-remaining-requests", "3"),
        ]);
        let wanted = [
            of(Counted::Requests, 60, 12, Some(60)),
            of(Counted::Tokens, 10_000, 9_000, Some(60)),
            of(Counted::Requests, 1_000, 3, Some(86_400)),
            of(Counted::Running, 4, 1, None),
        ];
        assert_eq!(weir, wanted);
        let anthropic = left(&[
            ("anthropic-ratelimit-tokens-limit", "80000"),
            ("anthropic-ratelimit-tokens-remaining", "40000"),
            ("anthropic-ratelimit-tokens-reset", "2026-11-22T08:00:30Z"),
        ]);
        assert_eq!((anthropic[0].counted, anthropic[0].limit, anthropic[0].remaining), (Counted::Tokens, 80_000, 40_000));
    }
}
