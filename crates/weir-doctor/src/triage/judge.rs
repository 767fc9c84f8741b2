//! From what the text shows to one verdict: every piece is judged by itself, then the order of the catalogue picks the first that is
//! more than a guess. Lookalikes are told apart as the doctor tells them apart.

use http::{HeaderMap, HeaderName, HeaderValue};
use weir_core::{
    Timestamp, Verdict,
    evidence::Confidence,
    verdict::{Class, Level},
};
use weir_wire::{
    classify::{Around, UpstreamError, classified},
    limits::told_wait,
};

use super::{
    exchange::Exchange,
    facts::Facts,
    pattern::{all, count, first, is_in, pattern},
    reading::{around_exchanges, by_symptoms, judged, of_marks, of_record, only_asks, reported, told},
    stream::{Captured, captured},
};

/// One thing that the text shows.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) confidence: Confidence,
    /// The upstream's error behind it.
    pub(super) error: Option<Told>,
    /// How often it is in the text.
    pub(super) times: u32,
    /// Which exchange it is of.
    pub(super) exchange: Option<usize>,
}

/// An error as it was told, redacted.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) class: &'static str,
    pub(super) vendor: Option<&'static str>,
    pub(super) rule: &'static str,
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    pub(super) message: String,
}

/// More findings than these are not kept apart.
const FINDINGS: usize = 64;

pattern!(OWN_VERDICT, r#"(?:"?verdict"?\s*[:=]\s*"?|\[|\b)(W-[A-Z]{2,6}-\d{3})\b"#);
pattern!(
    OWN_OUTPUT,
    r#"(?m)"?verdict"?\s*[:=]\s*\{?\s*"?(?:code"?\s*:\s*"?)?W-[A-Z]{2,6}-\d{3}|^\[W-[A-Z]{2,6}-\d{3}\]|x-weir-(?:call|verdict)|^W-[A-Z]{2,6}-\d{3}  "#
);
pattern!(ACCESS, r#""(?:GET|POST|PUT|DELETE|OPTIONS|HEAD) \S+ HTTP/[\d.]+" (\d{3})\b"#);
pattern!(GIN, r"\| +(\d{3}) \| +[\d.]+(?:µs|ms|s|m\d)");
pattern!(SDK_LINE, r#"HTTP Request: \w+ \S+ "HTTP/[\d.]+ (\d{3})"#);
pattern!(HAPROXY, r" (?:\d+|-1)(?:/(?:\d+|-1)){3,4}(?:/\+?\d+)? (\d{3}) \d+ - - ");
pattern!(CURL_EXIT, r"curl: \((\d{1,3})\)|(?s)\bcurl .*echo \$\?\s*\n\s*(\d{1,3})\b");

/// Everything the text shows, the best first.
pub(super) fn findings(text: &str, exchanges: &[Exchange], records: &[String], facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    if exchanges.is_empty() && only_asks(text) {
        return found;
    }
    own_verdicts(text, &mut found);
    own_codes(text, &mut found);
    let own: Vec<Verdict> =
        found.iter().filter(|finding| finding.confidence == Confidence::Certain).map(|finding| finding.verdict).collect();
    for (at, exchange) in exchanges.iter().enumerate() {
        of_exchange(exchange, at, now, &mut found);
    }
    curl_exit(text, exchanges, &mut found);
    if exchanges.iter().all(|exchange| exchange.body.is_empty())
        && let Some(seen) = &facts.captured
    {
        of_stream(seen, text, false, &mut found);
    }
    if exchanges.iter().all(|exchange| exchange.status == 0) {
        for record in records {
            of_record(record, now, &mut found);
        }
        access_lines(text, &mut found);
    } else if found.iter().all(|finding| finding.verdict == Verdict::Ok || finding.confidence == Confidence::Guess) {
        around_exchanges(text, &mut found);
    }
    of_marks(text, &mut found);
    // Where weir itself says what happened, its words are not judged as a stranger's once more; they only lend theirs.
    if let Some(first) = own.first() {
        let words = found.iter().find(|finding| !own.contains(&finding.verdict)).and_then(|finding| finding.error.clone());
        found.retain(|finding| own.contains(&finding.verdict) || finding.error.is_none());
        found
            .iter_mut()
            .filter(|finding| finding.verdict == *first && finding.error.is_none())
            .for_each(|finding| finding.error.clone_from(&words));
    }
    if !found.iter().any(|finding| finding.confidence != Confidence::Guess && finding.verdict != Verdict::Ok) {
        return by_symptoms(text, found, facts.status);
    }
    found.sort_by_key(rank);
    prefer_the_usual(&mut found);
    found
}

/// Surer before guesses, then the order in which layers are looked at.
pub(super) fn rank(finding: &Finding) -> (u8, u8) {
    let tier = match (finding.verdict, finding.confidence) {
        (Verdict::EvidenceMissing, _) => 3,
        (Verdict::Ok, _) => 2,
        (_, Confidence::Guess) => 1,
        _ => 0,
    };
    (tier, order(finding.verdict))
}

/// The order of the catalogue: the first broken layer explains the rest.
fn order(verdict: Verdict) -> u8 {
    match verdict.class() {
        Class::Local => 0,
        Class::Network => 1,
        Class::Auth => 2,
        Class::Model | Class::Group | Class::Balance | Class::Request => 3,
        Class::Rate => 4,
        Class::Gateway => 5,
        Class::Upstream => 6,
        Class::Task | Class::Charge => 7,
        Class::Timeout => 8,
        Class::Stream => 9,
        Class::Client => 10,
        Class::Ok => 11,
        Class::Probe => 12,
    }
}

/// A log tells of many calls: what happened over and over is what it is about.
fn prefer_the_usual(found: &mut [Finding]) {
    let Some(first) = found.first() else { return };
    let (tier, times) = (rank(first).0, first.times);
    let usual = found
        .iter()
        .enumerate()
        .filter(|(_, finding)| rank(finding).0 == tier)
        .max_by_key(|(at, finding)| (finding.times, usize::MAX - at));
    if let Some((at, finding)) = usual
        && finding.times >= times.saturating_mul(3).max(3)
    {
        found[..=at].rotate_right(1);
    }
}

pub(super) fn push(found: &mut Vec<Finding>, finding: Finding) {
    let Some(known) = found.iter_mut().find(|known| known.verdict == finding.verdict) else {
        if found.len() < FINDINGS {
            found.push(finding);
        }
        return;
    };
    known.times = known.times.saturating_add(finding.times);
    let is_surer = (finding.confidence as u8) < (known.confidence as u8);
    if is_surer {
        known.confidence = finding.confidence;
    }
    if is_surer || known.error.as_ref().is_none_or(|told| told.message.is_empty()) {
        known.error = finding.error.or(known.error.take());
        known.exchange = finding.exchange.or(known.exchange);
    }
}

/// What weir itself, or its doctor, has said already.
fn own_verdicts(text: &str, found: &mut Vec<Finding>) {
    let confidence = if is_in(&OWN_OUTPUT, text) { Confidence::Certain } else { Confidence::Likely };
    for verdict in all(&OWN_VERDICT, text, 200).into_iter().filter_map(Verdict::from_code) {
        push(found, Finding { verdict, confidence, error: None, times: 1, exchange: None });
    }
}

pattern!(OWN_CODE, r#"\b(upstream_[a-z_]{5,40})\b|"code"\s*:\s*"([a-z_]{5,40})""#);
/// Codes of weir that other gateways use as well: they are judged by what stands around them.
const COMMON: [&str; 11] = [
    "not_found",
    "invalid_api_key",
    "key_disabled",
    "model_not_found",
    "insufficient_balance",
    "invalid_request_error",
    "request_too_large",
    "rate_limit_exceeded",
    "upstream_error",
    "request_timeout",
    "internal",
];

/// What weir's own error codes say, where the verdict beside them was left out.
fn own_codes(text: &str, found: &mut Vec<Finding>) {
    for code in all(&OWN_CODE, text, 200).into_iter().filter(|code| !COMMON.contains(code)) {
        let own = Verdict::ALL.iter().find(|verdict| verdict.api().is_some_and(|api| api.code == code));
        if let Some(verdict) = own {
            push(found, Finding { verdict: *verdict, confidence: Confidence::Certain, error: None, times: 1, exchange: None });
        }
    }
}

fn of_exchange(exchange: &Exchange, at: usize, now: Timestamp, found: &mut Vec<Finding>) {
    if exchange.status == 0 {
        if !reported(&exchange.said, found) {
            let said = UpstreamError::read(0, exchange.said.as_bytes());
            judged(&said, &Around::default(), Some(at), found);
        }
        return;
    }
    let seen = captured(&exchange.body);
    if exchange.status < 400 {
        if let Some(seen) = &seen {
            let ended = exchange.said.contains("left intact") || exchange.said.contains("Closing") || exchange.said.contains("closed");
            of_stream(seen, &exchange.said, ended, found);
        } else if exchange.is_event_stream() {
            of_headers(exchange, at, found);
        } else {
            of_whole(exchange, at, now, found);
        }
        return;
    }
    let error = UpstreamError::read(exchange.status, exchange.body.as_bytes());
    let names: Vec<&str> = exchange.headers.iter().map(|(name, _)| name.as_str()).collect();
    let wait = told_wait(&map(&exchange.headers), Some(exchange.body.as_bytes()), now);
    let host = exchange.host.as_deref().and_then(|host| host.split(':').next());
    judged(&error, &Around { host, headers: &names, told_wait: wait.is_some() }, Some(at), found);
}

/// A stream whose answer shows headers only: it may have been silent, or whoever pasted left the rest out.
fn of_headers(exchange: &Exchange, at: usize, found: &mut Vec<Finding>) {
    if exchange.header("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        push(found, plain(Verdict::GzipBuffered, Confidence::Guess, at));
        push(found, plain(Verdict::AntiBufferingLost, Confidence::Guess, at));
        return;
    }
    let confidence = if exchange.said.is_empty() { Confidence::Guess } else { Confidence::Likely };
    push(found, plain(Verdict::StreamSilent, confidence, at));
}

/// An answer with a good status that is no stream.
fn of_whole(exchange: &Exchange, at: usize, now: Timestamp, found: &mut Vec<Finding>) {
    let body = exchange.body.trim();
    let kind = exchange.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let error = UpstreamError::read(exchange.status, body.as_bytes());
    let asked_stream = exchange.said.contains("\"stream\":true")
        || exchange.said.contains("\"stream\": true")
        || exchange.asked_header("accept").is_some_and(|accept| accept.contains("event-stream"));
    if error.is_page() {
        push(found, plain(Verdict::NotTheApi, Confidence::Likely, at));
    } else if body.contains("\"error\"") && !body.contains("\"choices\"")
        || body.contains("\"base_resp\"") && !body.contains("\"status_code\":0")
    {
        let wait = told_wait(&map(&exchange.headers), Some(body.as_bytes()), now);
        judged(&error, &Around { host: None, headers: &[], told_wait: wait.is_some() }, Some(at), found);
    } else if asked_stream && !kind.is_empty() && !kind.contains("event-stream") {
        push(found, plain(Verdict::NotAStream, Confidence::Likely, at));
    } else if exchange.status < 300 && !body.is_empty() {
        push(found, plain(Verdict::Ok, Confidence::Likely, at));
    }
}

fn plain(verdict: Verdict, confidence: Confidence, at: usize) -> Finding {
    Finding { verdict, confidence, error: None, times: 1, exchange: Some(at) }
}

/// `ended`: the text shows that the connection ended in order, so what is missing did not come.
fn of_stream(seen: &Captured, said: &str, ended: bool, found: &mut Vec<Finding>) {
    let mut tell = |verdict, confidence| push(found, Finding { verdict, confidence, error: None, times: 1, exchange: None });
    let is_cut = is_in(&CUT_SAID, said);
    if seen.broken_lines > 0 && seen.broken_lines * 2 >= seen.data_lines {
        tell(Verdict::FramesMalformed, Confidence::Likely);
    }
    if let Some(data) = &seen.error {
        let error = UpstreamError::read(200, data.as_bytes());
        let inner = classified(&error, &Around::default());
        let told = Some(told(&error, &inner));
        push(
            found,
            Finding { verdict: Verdict::ErrorInStream, confidence: Confidence::Certain, error: told.clone(), times: 1, exchange: None },
        );
        if inner.verdict != Verdict::EvidenceMissing {
            push(found, Finding { verdict: inner.verdict, confidence: Confidence::Guess, error: told, times: 1, exchange: None });
        }
        return;
    }
    match () {
        () if is_cut && seen.data_lines > 0 => tell(Verdict::StreamCut, Confidence::Likely),
        () if seen.data_lines == 0 => tell(Verdict::StreamSilent, Confidence::Likely),
        () if matches!(seen.finish_reason.as_deref(), Some("length" | "content_filter" | "max_tokens")) => {
            tell(Verdict::EndedByLimit, Confidence::Certain);
        }
        () if seen.has_end_marker || seen.finish_reason.is_some() => tell(Verdict::Ok, Confidence::Likely),
        () if ended => tell(Verdict::EndMarkerMissing, Confidence::Likely),
        // Who pastes may have cut it themselves.
        () => tell(Verdict::EndMarkerMissing, Confidence::Guess),
    }
}

pattern!(
    CUT_SAID,
    r"(?i)curl: \((?:18|56|92)\)|transfer closed|reset by peer|connection reset|not closed cleanly|incomplete|prematurely|unexpected eof|socket hang up|terminated|peer closed|econnreset"
);

pattern!(LOGIN_WANTED, r"(?i)\b407\b");

/// curl's own exit codes say what broke.
fn curl_exit(text: &str, exchanges: &[Exchange], found: &mut Vec<Finding>) {
    let Some(exit) = first(&CURL_EXIT, text).and_then(|digits| digits.parse::<u16>().ok()) else { return };
    let verdict = match exit {
        3 | 1 => Verdict::BaseUrlMalformed,
        5 => Verdict::LocalProxyOn,
        6 => Verdict::DnsFailed,
        7 => Verdict::ConnectFailed,
        35 | 51 | 53 | 58..=60 | 77 | 83 | 90 | 91 => Verdict::TlsFailed,
        // Before the request was sent it is the connection that timed out.
        28 if text.contains("Connection timed out") || text.contains("Failed to connect") || text.contains("Resolving timed out") => {
            Verdict::ConnectFailed
        }
        28 => Verdict::ClientLeft,
        97 => Verdict::LocalProxyOn,
        // A connection that broke: only what came before tells whether an answer had begun.
        55 | 56 if is_in(&LOGIN_WANTED, text) => Verdict::ProxyLoginNeeded,
        55 | 56 if !exchanges.iter().any(|exchange| exchange.status > 0) && !text.contains("data:") => {
            for verdict in [Verdict::OutcomeUnknown, Verdict::StreamCut] {
                push(found, Finding { verdict, confidence: Confidence::Guess, error: None, times: 1, exchange: None });
            }
            return;
        }
        18 | 55 | 56 | 92 | 95 => Verdict::StreamCut,
        52 => Verdict::OutcomeUnknown,
        _ => return,
    };
    push(found, Finding { verdict, confidence: Confidence::Certain, error: None, times: 1, exchange: None });
}

/// Lines of nginx, one-api and SDK logs that tell a status and nothing else.
fn access_lines(text: &str, found: &mut Vec<Finding>) {
    let statuses = all(&ACCESS, text, 2000)
        .into_iter()
        .chain(all(&GIN, text, 2000))
        .chain(all(&SDK_LINE, text, 2000))
        .chain(all(&HAPROXY, text, 2000));
    let has_body = found.iter().any(|finding| finding.error.as_ref().is_some_and(|told| !told.message.is_empty() && told.rule != "status"));
    let mut good = 0u32;
    for status in statuses.filter_map(|digits| digits.parse::<u16>().ok()) {
        let (verdict, confidence) = match status {
            200..=399 => {
                good = good.saturating_add(1);
                continue;
            }
            499 => (Verdict::ClientLeft, Confidence::Likely),
            502 | 504 => (Verdict::ProxyCut, Confidence::Likely),
            413 => (Verdict::RequestTooLong, Confidence::Likely),
            // What the upstream said beside the status decides; here is only the status.
            _ if has_body => continue,
            401 => (Verdict::KeyUnknown, Confidence::Guess),
            402 => (Verdict::BalanceSpent, Confidence::Guess),
            404 => (Verdict::NotTheApi, Confidence::Guess),
            429 => (Verdict::RateLimitedNoHint, Confidence::Guess),
            503 | 529 => (Verdict::UpstreamOverloaded, Confidence::Guess),
            500..=599 => (Verdict::UpstreamError, Confidence::Guess),
            _ => continue,
        };
        let told = Told { class: "", vendor: None, rule: "status", status: Some(status), code: None, message: String::new() };
        push(found, Finding { verdict, confidence, error: Some(told), times: 1, exchange: None });
    }
    if good > 0 && found.is_empty() {
        push(found, Finding { verdict: Verdict::Ok, confidence: Confidence::Guess, error: None, times: good, exchange: None });
    }
}

fn map(headers: &[(String, String)]) -> HeaderMap {
    let pairs = headers.iter().filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?)));
    pairs.collect()
}

/// Whether the program that the text is from came back before it was told to.
pub(super) fn came_back_early(text: &str, reset: Option<&str>) -> bool {
    let told = reset.and_then(|reset| reset.trim_end_matches(|c: char| c.is_alphabetic() || c == ' ').parse::<f64>().ok());
    told.is_some_and(|seconds| seconds >= 5.0) && count(&EARLY, text, 10) >= 3
}

pattern!(EARLY, r"(?i)retrying (?:request )?(?:to \S+ )?in [0-3](?:\.\d+)? ?s|retrying immediately|立即重试");

/// Whether a verdict says that something is wrong.
pub(super) fn is_a_fault(verdict: Verdict) -> bool {
    !matches!(verdict.level(), Level::Ok | Level::Unknown)
}
