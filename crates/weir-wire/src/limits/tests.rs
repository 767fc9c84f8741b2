//! Laws of waits: every vendor's words, the later one wins, the past is now, and nonsense is nothing.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use weir_core::Timestamp;

use super::{told_moment, told_wait};

/// 2026-11-22T08:00:00Z.
const NOW: Timestamp = Timestamp(1_795_334_400_000);

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

/// The wait in milliseconds.
fn wait(pairs: &[(&str, &str)], body: &str) -> Option<i64> {
    told_wait(&headers(pairs), Some(body.as_bytes()), NOW).map(|at| at.0 - NOW.0)
}

#[test]
fn a_moment_is_read_in_every_way_it_is_written() {
    let table: &[(&str, Option<i64>)] = &[
        ("12ms", Some(12)),
        ("1s", Some(1_000)),
        ("6m0s", Some(360_000)),
        ("2m59.56s", Some(179_560)),
        ("10h17m5.7s", Some(37_025_700)),
        ("1d", Some(86_400_000)),
        ("2 minutes and 3 seconds", Some(123_000)),
        ("0.1ms", Some(1)),
        ("37", Some(37_000)),
        ("37.5", Some(37_500)),
        ("0", Some(0)),
        ("1000000", Some(1_000_000_000)),
        ("1000001", None),
        ("1795334460", Some(60_000)),
        ("1795334460000", Some(60_000)),
        ("1795334400000", Some(0)),
        ("1600000000", Some(0)),
        ("9999999999", None),
        ("2026-11-22T08:01:00Z", Some(60_000)),
        ("2026-11-22T16:01:00.500+08:00", Some(60_500)),
        ("Sun, 22 Nov 2026 08:01:00 GMT", Some(60_000)),
        ("Sunday, 22-Nov-26 08:01:00 GMT", Some(60_000)),
        ("Sun Nov 22 08:01:00 2026", Some(60_000)),
        ("Sun, 22 Nov 2020 08:01:00 GMT", Some(0)),
        ("\"30s\"", Some(30_000)),
        ("-1", None),
        ("-5s", None),
        ("", None),
        (".", None),
        ("soon", None),
        ("5 apples", None),
        ("s", None),
        ("400d", None),
        ("99999999999999999999s", None),
        ("1e3", None),
        ("NaN", None),
    ];
    for (text, expected) in table {
        assert_eq!(told_moment(text, NOW).map(|at| at.0 - NOW.0), *expected, "{text}");
    }
}

#[test]
fn the_later_of_the_headers_wins() {
    let table: &[(Pairs, Option<i64>)] = &[
        (&[], None),
        (&[("retry-after", "7")], Some(7_000)),
        (&[("retry-after-ms", "1500.5")], Some(1_501)),
        (&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(2_000)),
        (&[("retry-after", "0")], Some(0)),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "Sun, 22 Nov 2026 08:00:05 GMT")], Some(5_000)),
        (&[("x-ratelimit-reset-requests", "6m0s"), ("x-ratelimit-remaining-requests", "0"), ("retry-after", "2")], Some(360_000)),
        (&[("x-ratelimit-reset-requests", "2m59.56s"), ("x-ratelimit-remaining-requests", "14370"), ("retry-after", "2")], Some(2_000)),
        (&[("x-ratelimit-reset-tokens", "7.66s"), ("x-ratelimit-remaining-tokens", "17997")], None),
        (&[("x-ratelimit-reset-requests", "6ms"), ("x-ratelimit-remaining-requests", "9999")], None),
        (&[("x-ratelimit-reset-tokens", "7.66s"), ("x-ratelimit-remaining-tokens", "0")], Some(7_660)),
        (&[("x-ratelimit-reset-tokens", "7.66s")], Some(7_660)),
        (&[("anthropic-ratelimit-requests-reset", "2026-11-22T08:00:30Z"), ("anthropic-ratelimit-requests-remaining", "0")], Some(30_000)),
        (&[("x-ratelimit-reset", "1795334430000")], Some(30_000)),
        (&[("ratelimit", "\"burst\";r=0;t=30, \"daily\";r=7;t=900")], Some(30_000)),
        (&[("ratelimit-reset", "12"), ("ratelimit-remaining", "0")], Some(12_000)),
        (&[("x-ratelimit-reset-requests", "-1"), ("x-ratelimit-reset-tokens", "0")], Some(0)),
        (&[("ratelimit", "\"x\";t=30;;=,;r=")], None),
    ];
    for (pairs, expected) in table {
        assert_eq!(wait(pairs, ""), *expected, "{pairs:?}");
    }
}

#[test]
fn a_body_tells_its_wait_in_fields_and_in_prose() {
    let table: &[(&str, Option<i64>)] = &[
        (r#"{"error":{"message":"Please try again in 6ms. Visit https://x"}}"#, Some(6)),
        (r#"{"error":{"message":"Please try again in 9m38.016s. Need more tokens?"}}"#, Some(578_016)),
        (r#"{"error":{"code":"429","message":"Rate limit is exceeded. Try again in 2 seconds."}}"#, Some(2_000)),
        ("Please retry after 86400 seconds. Please contact", Some(86_400_000)),
        ("request reached organization max RPM: 20, please try again after 1 seconds", Some(1_000)),
        ("Please wait 3600 seconds before retrying.", Some(3_600_000)),
        ("Please retry in 46.471s.", Some(46_471)),
        ("retry in 10h17m5.7s", Some(37_025_700)),
        ("wait for 1 hour, 2 minutes and 3 seconds", Some(3_723_000)),
        (r#"{"error":{"details":[{"@type":"RetryInfo","retryDelay":"46s"}]}}"#, Some(46_000)),
        (r#"{"error":{"resetAt":"2026-11-23T00:00:00+08:00","retryAfterMs":1}}"#, Some(28_800_000)),
        (r#"{"error":{"metadata":{"headers":{"X-RateLimit-Reset":"1795334460000"}}}}"#, Some(60_000)),
        (r#"{"error":{"retry_after":3.5}}"#, Some(3_500)),
        ("it will reset at 2026-11-22T08:00:09Z.", Some(9_000)),
        ("Free quota used. Resets at 10:00 UTC.", Some(7_200_000)),
        ("Resets at 07:30 UTC", Some(84_600_000)),
        ("您的限额将在 2026-11-22 16:01:00 重置", Some(60_000)),
        ("请在 30 秒后重试", Some(30_000)),
        ("please try again later", None),
        ("we retry 5 systems", None),
        ("Limit 6000, Used 5034", None),
        ("{\"error\":", None),
        ("", None),
    ];
    for (body, expected) in table {
        assert_eq!(wait(&[], body), *expected, "{body}");
    }
    assert_eq!(wait(&[("retry-after", "2")], "try again in 9s"), Some(9_000));
    assert_eq!(wait(&[("retry-after", "20")], "try again in 9s"), Some(20_000));
}

type Pairs = &'static [(&'static str, &'static str)];

/// What each vendor sends with a 429, as a whole: headers, body, and the wait in milliseconds.
const VENDORS: &[(&str, Pairs, &str, Option<i64>)] = &[
    (
        "OpenAI",
        &[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ],
        r#"{"error":{"message":"Rate limit reached … Please try again in 9.816s. Visit …","code":"rate_limit_exceeded"}}"#,
        Some(9_816),
    ),
    (
        "OpenAI without a hint",
        &[("x-ratelimit-remaining-requests", "59"), ("x-ratelimit-reset-requests", "6ms")],
        r#"{"error":{"message":"Rate limit reached for this model on requests per min (RPM): Limit 3, Used 3, Requested 1."}}"#,
        None,
    ),
    (
        "Azure",
        &[("retry-after", "2"), ("retry-after-ms", "1500"), ("x-ratelimit-remaining-requests", "12"), ("x-ratelimit-reset-requests", "-1")],
        r#"{"error":{"code":"429","message":"Rate limit is exceeded. Try again in 2 seconds."}}"#,
        Some(2_000),
    ),
    (
        "Groq",
        &[
            ("retry-after", "179"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "2m59.56s"),
            ("x-ratelimit-remaining-tokens", "17997"),
            ("x-ratelimit-reset-tokens", "7.66s"),
        ],
        r#"{"error":{"message":"… Please try again in 2m59.56s."}}"#,
        Some(179_560),
    ),
    (
        "Anthropic",
        &[
            ("retry-after", "13"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-22T08:00:13Z"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-11-22T08:00:59Z"),
        ],
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your rate limit"}}"#,
        Some(13_000),
    ),
    (
        "OpenRouter",
        &[("retry-after", "8")],
        r#"{"error":{"code":429,"metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1795334410000"}}}}"#,
        Some(10_000),
    ),
    (
        "Gemini",
        &[],
        r#"[{"error":{"code":429,"message":"Please retry in 46.471s.","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"46s"}]}}]"#,
        Some(46_471),
    ),
    ("Zhipu", &[], r#"{"error":{"code":"1308","message":"您的限额将在 2026-11-22 16:01:00 重置"}}"#, Some(60_000)),
    ("NanoGPT", &[], "Free quota used. Resets at 10:00 UTC.", Some(7_200_000)),
    ("a gateway", &[("ratelimit", "\"default\";r=0;t=30"), ("ratelimit-policy", "\"default\";q=100;w=60")], "", Some(30_000)),
    ("a gateway's date", &[("retry-after", "Sun, 22 Nov 2026 08:00:07 GMT")], "", Some(7_000)),
    (
        "a gateway's resetAt",
        &[("retry-after", "6")],
        r#"{"error":{"resetAt":"2026-11-22T16:00:07+08:00","retryAfterMs":6000}}"#,
        Some(7_000),
    ),
    ("one-api", &[], r#"{"error":{"message":"当前分组上游负载已饱和，请稍后再试","type":"one_api_error"}}"#, None),
];

#[test]
fn r31_the_429_of_every_vendor_is_understood() {
    for (vendor, pairs, body, expected) in VENDORS {
        assert_eq!(wait(pairs, body), *expected, "{vendor}");
    }
}

proptest! {
    #[test]
    fn a_written_wait_is_read_back(h in 0u64..200, m in 0u64..60, s in 0u64..60, ms in 0u64..1000) {
        let expected = i64::try_from(((h * 60 + m) * 60 + s) * 1000 + ms).unwrap();
        prop_assert_eq!(told_moment(&format!("{h}h{m}m{s}.{ms:03}s"), NOW).map(|at| at.0 - NOW.0), Some(expected));
        prop_assert_eq!(told_moment(&NOW.after(std::time::Duration::from_millis(u64::try_from(expected).unwrap())).rfc3339(), NOW).map(|at| at.0 - NOW.0), Some(expected));
    }

    #[test]
    fn no_words_make_the_reader_panic_or_look_back(value in "[ -~]{0,40}", body in ".{0,80}", now: i64) {
        let pairs = headers(&[("retry-after", value.trim()), ("x-ratelimit-reset-x", &value), ("ratelimit", &value), ("retry-after-ms", &value)]);
        if let Some(at) = told_wait(&pairs, Some(format!("try again in {body}").as_bytes()), Timestamp(now)) {
            prop_assert!(at >= Timestamp(now));
        }
        let _ = told_wait(&pairs, Some(format!("{{\"retry_after\":\"{value}\"}}").as_bytes()), Timestamp(now));
    }
}
