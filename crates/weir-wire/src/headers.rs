//! Which response headers may be kept, and what request headers tell about a client. Everything else is never stored.

use http::{HeaderMap, HeaderName, header};
use weir_core::ClientFacts;

/// Who may see a kept header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Public,
    Support,
}

/// Response headers that records may hold.
const PUBLIC: [&str; 15] = [
    "cache-control",
    "cf-ray",
    "content-encoding",
    "content-type",
    "date",
    "ratelimit",
    "ratelimit-policy",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "transfer-encoding",
    "x-accel-buffering",
    "x-amzn-requestid",
    "x-request-id",
    "x-should-retry",
];
/// Those whose rest of the name is open.
const PUBLIC_PREFIXES: [&str; 2] = ["x-ratelimit-", "x-weir-"];
/// Those that name machines.
const SUPPORT: [&str; 2] = ["server", "via"];

/// Longest value kept, in characters.
const VALUE_CHARS: usize = 128;
/// Most headers kept of one answer.
const HEADERS: usize = 64;
/// Longest token kept of a client, in characters.
const TOKEN_CHARS: usize = 64;

/// Whether a response header may be kept for `audience`.
#[must_use]
pub fn may_keep(name: &HeaderName, audience: Audience) -> bool {
    let name = name.as_str();
    let is_public = || PUBLIC.contains(&name) || PUBLIC_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    is_public() || (audience == Audience::Support && SUPPORT.contains(&name))
}

/// The response headers that may be kept, at most 64 with values of at most 128 characters. Values that are no visible text are
/// left out; the hosts in `via` are `private`. The caller redacts the values as any other text of an upstream.
#[must_use]
pub fn kept(headers: &HeaderMap, audience: Audience) -> Vec<(HeaderName, String)> {
    let allowed = headers.iter().filter(|(name, _)| may_keep(name, audience));
    let readable = allowed.filter_map(|(name, value)| Some((name.clone(), value.to_str().ok()?)));
    readable.map(|(name, value)| (name.clone(), shown(&name, value).chars().take(VALUE_CHARS).collect())).take(HEADERS).collect()
}

fn shown(name: &HeaderName, value: &str) -> String {
    if name != header::VIA {
        return value.to_owned();
    }
    // `1.1 host (comment), 2 other`: the protocol tells, the host must not.
    let hops = value.split(',').filter_map(|hop| hop.split_whitespace().next()).map(|protocol| match token(protocol) {
        Some(protocol) if protocol.len() <= 16 => format!("{protocol} private"),
        _ => "private".to_owned(),
    });
    hops.collect::<Vec<_>>().join(", ")
}

/// What request headers tell about their sender, as short tame tokens; the headers themselves are not kept.
#[must_use]
pub fn client_facts(headers: &HeaderMap) -> ClientFacts {
    // One walk instead of a look-up for each name: of a name that comes more than once the first value counts.
    let (mut told, mut via_proxy) = ([None; 6], false);
    for (name, value) in headers {
        let place = match name.as_str() {
            "user-agent" => 0,
            "x-stainless-package-version" => 1,
            "x-weir-caller" => 2,
            "x-stainless-retry-count" => 3,
            "x-stainless-read-timeout" => 4,
            "x-stainless-timeout" => 5,
            name => {
                via_proxy |= matches!(name, "via" | "forwarded" | "x-forwarded-for");
                continue;
            }
        };
        told[place].get_or_insert(value);
    }
    let [agents, version, caller, retry, read_timeout, timeout] =
        told.map(|value| value.and_then(|value| value.to_str().ok()).map(str::trim));
    let (name, own_version) = agents.map_or((None, None), agent);
    ClientFacts {
        name,
        version: own_version.or_else(|| version.and_then(token)),
        caller: caller.and_then(token),
        retry_header: retry.and_then(|count| count.parse().ok()),
        read_timeout_s: read_timeout.or(timeout).and_then(whole_seconds),
        via_proxy,
    }
}

/// Longest `Idempotency-Key`, in characters.
const KEY_CHARS: usize = 255;

/// The `Idempotency-Key` of a request: a quoted string as the standard has it, or the bare characters that most clients send.
///
/// # Errors
/// What is wrong with it, as the end of a sentence; never quotes it.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("came twice");
    }
    let text = value.to_str().map_err(|_| "has a character outside ASCII")?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest.strip_suffix('"').ok_or("has no closing quote")?)?,
        None => text.to_owned(),
    };
    match key.chars().count() {
        0 => Err("is empty"),
        1..=KEY_CHARS => Ok(Some(key)),
        _ => Err("is longer than 255 characters"),
    }
}

/// The characters between the quotes: only a quote and a backslash stand behind a backslash.
fn unquoted(text: &str) -> Result<String, &'static str> {
    let mut key = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.push(chars.next().filter(|c| matches!(c, '"' | '\\')).ok_or("has a backslash where none may stand")?),
            '"' => return Err("has a quote inside its quotes"),
            c => key.push(c),
        }
    }
    Ok(key)
}

/// Products that browsers and the applications built on them all claim to be.
const ENGINES: [&str; 8] = ["AppleWebKit", "Chrome", "Electron", "Gecko", "Mobile", "Mozilla", "Safari", "Version"];

/// Name and version of a user agent. Software that embeds an SDK puts itself first (`OpenAI/Python 1.2`, `Chatbox/1.9 …`);
/// browsers all begin with `Mozilla/5.0`, so the product that is not a mere engine is taken.
fn agent(text: &str) -> (Option<String>, Option<String>) {
    let mut products = text.split_whitespace();
    let Some(first) = products.next() else { return (None, None) };
    let (mut name, mut version) = product(first);
    match (name, version) {
        // The OpenAI and Anthropic SDKs: `OpenAI/Python 3.54.0`, `AsyncOpenAI/JS 6.49.0`.
        (_, Some(language)) if !language.starts_with(|c: char| c.is_ascii_digit()) => {
            name = first;
            version = products.next().filter(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        }
        ("Mozilla", _) => {
            let known = || text.split_whitespace().map(product).filter(|(name, version)| version.is_some() && !name.starts_with('('));
            let own = known().rfind(|(name, _)| !ENGINES.contains(name));
            let browser = || known().find(|(name, _)| *name == "Chrome").or_else(|| known().find(|(name, _)| *name == "Safari"));
            (name, version) = own.or_else(browser).unwrap_or((name, version));
        }
        _ => {}
    }
    (token(name), version.and_then(token))
}

fn product(word: &str) -> (&str, Option<&str>) {
    word.split_once('/').map_or((word, None), |(name, version)| (name, Some(version)))
}

/// At most 64 characters of `[\w.:@/+-]`, other characters are dropped.
fn token(text: &str) -> Option<String> {
    let kept: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || "_.:@/+-".contains(*c)).take(TOKEN_CHARS).collect();
    (!kept.is_empty()).then_some(kept)
}

/// Seconds, fractions rounded down: an answer must come before the client gives up. `None` for "no timeout".
fn whole_seconds(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    fraction.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok())?.filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn r25_only_listed_response_headers_are_kept() {
        let long = "x".repeat(500);
        let answer = headers(&[
            ("content-type", "text/event-stream"),
            ("x-ratelimit-reset-tokens", "7s"),
            ("x-weir-call", "wr_1"),
            ("set-cookie", "canary=1"),
            ("authorization", "canary"),
            ("x-api-key", "canary"),
            ("location", "https://canary"),
            ("server", "nginx"),
            ("via", "1.1 canary.internal:8080 (squid), HTTP/2 canary"),
            ("retry-after", &long),
        ]);
        let public = kept(&answer, Audience::Public);
        let names: Vec<&str> = public.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "x-ratelimit-reset-tokens", "x-weir-call", "retry-after"]);
        assert_eq!(public[3].1.len(), 128);
        let support = kept(&answer, Audience::Support);
        assert!(support.contains(&(header::VIA, "1.1 private, HTTP/2 private".to_owned())));
        assert!(support.contains(&(header::SERVER, "nginx".to_owned())));
        assert!(!format!("{support:?}").contains("canary"));
    }

    #[test]
    fn a_client_is_known_by_its_user_agent() {
        let table = [
            ("OpenAI/Python 3.54.0", Some("OpenAI/Python"), Some("3.54.0")),
            ("AsyncOpenAI/Python 3.54.0", Some("AsyncOpenAI/Python"), Some("3.54.0")),
            ("OpenAI/JS 6.49.0", Some("OpenAI/JS"), Some("6.49.0")),
            ("Anthropic/Python 2.12.0", Some("Anthropic/Python"), Some("2.12.0")),
            ("ai/6.0.326 ai-sdk/provider-utils/4.0.1 runtime/node.js/20", Some("ai"), Some("6.0.326")),
            ("curl/8.5.0", Some("curl"), Some("8.5.0")),
            ("python-requests/2.32", Some("python-requests"), Some("2.32")),
            ("Go-http-client/1.1", Some("Go-http-client"), Some("1.1")),
            ("node", Some("node"), None),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) CherryStudio/1.5.1 Chrome/134.0 Electron/35.0 Safari/537.36",
                Some("CherryStudio"),
                Some("1.5.1"),
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", Some("Firefox"), Some("128.0")),
            ("Mozilla/5.0 (Macintosh) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0 Safari/537.36", Some("Chrome"), Some("134.0")),
            ("<script>alert(1)</script>/1 \"x\"", Some("scriptalert1/script/1"), None),
            ("", None, None),
        ];
        for (text, name, version) in table {
            let facts = client_facts(&headers(&[("user-agent", text)]));
            assert_eq!((facts.name.as_deref(), facts.version.as_deref()), (name, version), "{text}");
        }
    }

    #[test]
    fn an_sdk_tells_its_retries_and_its_patience() {
        let facts = client_facts(&headers(&[
            ("x-stainless-retry-count", "2"),
            ("x-stainless-read-timeout", "600"),
            ("x-weir-caller", "build bot/7"),
        ]));
        assert_eq!(
            (facts.retry_header, facts.read_timeout_s, facts.caller.as_deref(), facts.via_proxy),
            (Some(2), Some(600), Some("buildbot/7"), false)
        );
        for (value, seconds) in [("30.9", Some(30)), ("0.5", None), ("NOT_GIVEN", None), ("-1", None), ("1e3", None), ("99999999999", None)]
        {
            assert_eq!(client_facts(&headers(&[("x-stainless-timeout", value)])).read_timeout_s, seconds, "{value}");
        }
        for proxy in ["via", "forwarded", "x-forwarded-for"] {
            assert!(client_facts(&headers(&[(proxy, "x")])).via_proxy);
        }
        assert!(client_facts(&HeaderMap::new()).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_kept_of_a_client_is_short_and_tame(value in "[ -~]{0,200}") {
            let facts = client_facts(&headers(&[("user-agent", &value), ("x-weir-caller", &value), ("x-stainless-timeout", &value)]));
            for token in [facts.name, facts.version, facts.caller].into_iter().flatten() {
                prop_assert!((1..=64).contains(&token.chars().count()));
                prop_assert!(!token.contains(['<', '"', '\'', ' ', '&', '\\']));
            }
        }
    }

    #[test]
    fn d3_an_idempotency_key_is_quoted_or_bare_and_never_guessed() {
        let key = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", value.parse().unwrap());
            }
            idempotency_key(&headers)
        };
        let long = "k".repeat(255);
        for (value, wanted) in [
            ("\"a b\"", "a b"),
            ("a-b_1", "a-b_1"),
            ("  bare ", "bare"),
            (r#""q\"b\\s""#, r#"q"b\s"#),
            ("\"\\\"\"", "\""),
            (long.as_str(), long.as_str()),
        ] {
            assert_eq!(key(&[value]), Ok(Some(wanted.to_owned())), "{value}");
        }
        assert_eq!(key(&[]), Ok(None));
        let too_long = "k".repeat(256);
        for faulty in [&["", ""][..1], &["\"\""], &["\""], &["\"a"], &["\"a\"b\""], &[r#""a\n""#], &[too_long.as_str()], &["a", "a"]] {
            assert!(key(faulty).is_err(), "{faulty:?}");
        }
    }
}
