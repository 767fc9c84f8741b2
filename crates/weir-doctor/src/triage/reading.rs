//! Reads what no HTTP exchange shows: a record of a log, the lines of a traceback, the words of a person. A report of the way goes before
//! what its words would mean in an API's error; what an API itself said goes before what a person says it was like.

use http::HeaderMap;
use weir_core::{Timestamp, Verdict, evidence::Confidence, verdict::Class};
use weir_wire::{
    classify::{Around, Classified, UpstreamError, classified},
    limits::told_wait,
};

use super::{
    facts::code,
    gate,
    judge::{Finding, Told, push, rank},
    pattern::{first, is_in, pattern},
    sign::{self, Folded, Sign},
};

pattern!(
    BY_PROGRAM,
    r#"(?m)\w(?:Error|Exception|Failure)\b|\b(?:[Ee]rror|ERROR|ERR|FATAL|WARN)\b ?[:\](]|HTTP/\d|\{\s*\\?["']|^\[|level=|errno|curl: \(|\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:|\bE[A-Z]{5,}\b|^\s*(?:Caused by: )?[\w$]+(?:\.[\w$]+)+(?:: |\r?$)|\[cause\]: |cURL error \d|^[A-Z]\w+-[A-Z]\w+ : |\b[A-Z]+_[A-Z_]+\b|[Ee]rror code|API Error|request id[:：]|\b[45]\d\d (?:\{|[A-Z])|^\s*at |^goroutine|^Get "|^Post "|tls: |panic:|status(?: code)?[:= ]+\d{3}"#
);
// Who tells a story may name an error in it.
pattern!(
    NARRATED,
    r"(?i)\b(?:i|we|my|our|us)\b[^\n]{0,80}\b(?:the|is|was|get|got|see|in|on|and|to)\b|\b(?:started (?:seeing|getting|happening)|looks like|it seems|seems to|yesterday|last (?:night|week)|whenever|every time|go(?:es)? away|right after|anyone)\b|我|你们|咱|请问|为什么|为啥|昨天|今天|每次|老是|有时|好像|感觉|然后|但是"
);
pattern!(
    PRINTED,
    r#"^\s*(?:data:|event:|[<>*|] |["{}\[\]]|\$ |at |File "|\[?\d{4}[-/]\d\d|\[?\d\d:\d\d:\d\d|\[(?:INFO|ERR|ERROR|WARN|GIN|DEBUG|SYS)|(?:INFO|ERROR|WARN|DEBUG)\b)|\bcurl (?:-|http|.{0,60} -[HXdNs]\b)|^\s*-[HdX] "#
);
pattern!(SENTENCE, r"\p{Han}{4,}[^\n]{0,12}[,，。！？!?][^\n]{0,12}\p{Han}{3,}");
// A library's name for everything that it could not sort, and whose words come behind it.
pattern!(WRAPPER, r"(?:litellm\.(?:exceptions\.)?)?APIConnectionError: |\w{3,24}Exception - ");
// Names of an error's fields in quotes: an API speaks, and what it says of its own way is no report of this one.
pattern!(API_BODY, r#"\\?["'](?:error|message|detail|msg|error_msg|error_message)\\?["']\s*:\s*\\?["'{]"#);
// A program's log line has such fields as well, and these beside them.
pattern!(LOG_LINE, r#"["'](?:level|logger|severity|ts|lvl)["']\s*:"#);
pattern!(NOT_FOUND, r"(?i)\b(404)[ :,-]{1,3}(?:page )?not found\b");
pattern!(ABSENT, r"(?i)not found|not exist|unknown|no such");
pattern!(BRACES, r"[{}]");
pattern!(SDK_LINE, r#"HTTP Request: \w+ \S+ "HTTP/[\d.]+ (\d{3})"#);

/// Whether a text is of a person who tells of no fault, whatever its words.
pub(super) fn only_asks(text: &str) -> bool {
    !is_in(&BY_PROGRAM, text) && gate::tells_no_fault(&Folded::of(text))
}

/// A record is judged by what a program reported of the way, else by what an API said.
pub(super) fn of_record(record: &str, now: Timestamp, found: &mut Vec<Finding>) {
    if record.trim_start().starts_with("data:") || record.trim_start().starts_with("event:") {
        return;
    }
    let folded = Folded::of(record);
    let by_program = is_in(&BY_PROGRAM, record);
    if !by_program && gate::tells_no_fault(&folded) {
        return;
    }
    let (error, seen) = best(record, &folded, now);
    // What an API says of its own way is no report of this one; only where its words say nothing a report may be a hint.
    let is_api = is_in(&API_BODY, record) && !is_in(&LOG_LINE, record);
    let report = sign::report(&folded).filter(|_| !is_api || seen.verdict == Verdict::EvidenceMissing || seen.why == "status");
    let is_kept = seen.verdict != Verdict::EvidenceMissing
        && report
            .is_none_or(|_| seen.confidence == Confidence::Certain || !is_of_the_way(seen.verdict) && seen.confidence != Confidence::Guess);
    // Where the way only may have broken, what the words mean says more.
    let report =
        report.filter(|report| report.sure != Confidence::Guess || seen.verdict == Verdict::EvidenceMissing || is_of_the_way(seen.verdict));
    let is_kept = is_kept || seen.verdict != Verdict::EvidenceMissing && report.is_none();
    let from = found.len();
    if let Some(report) = report {
        of_report(report, Some(told(&error, &seen)), found);
    }
    if is_kept {
        push(
            found,
            Finding { verdict: seen.verdict, confidence: seen.confidence, error: Some(told(&error, &seen)), times: 1, exchange: None },
        );
    }
    // A person's sentence says what it was like, not what a program reported.
    if !by_program || is_api && report.is_some() || !is_api && is_in(&NARRATED, record) {
        for finding in found.iter_mut().skip(from) {
            finding.confidence = Confidence::Guess;
            finding.error.iter_mut().for_each(|told| told.message.clear());
        }
    }
}

/// What a report may say better: everything between the program and the API, and a fault without a reason.
fn is_of_the_way(verdict: Verdict) -> bool {
    let code = verdict.code();
    ["W-NET", "W-LOCAL", "W-TMO", "W-STREAM"].iter().any(|class| code.starts_with(class)) || verdict == Verdict::UpstreamError
}

fn of_report(report: &Sign, error: Option<Told>, found: &mut Vec<Finding>) {
    push(found, Finding { verdict: report.verdict, confidence: report.sure, error, times: 1, exchange: None });
    if let Some(verdict) = report.also {
        push(found, Finding { verdict, confidence: Confidence::Guess, error: None, times: 1, exchange: None });
    }
}

/// Whether a report is in a text, which is noted then.
pub(super) fn reported(text: &str, found: &mut Vec<Finding>) -> bool {
    let report = sign::report(&Folded::of(text));
    if let Some(report) = report {
        of_report(report, None, found);
    }
    report.is_some()
}

/// What stands around exchanges that show no fault.
pub(super) fn around_exchanges(text: &str, found: &mut Vec<Finding>) {
    if !is_in(&API_BODY, text) {
        reported(text, found);
    }
}

pattern!(MARKED_STATUS, r#" (\d{3}) \+?\d+ \S+ \S+ [A-Za-z-]{4} |HTTP/[\d.]+" (\d{3}) [A-Z]{2,5}"#);

/// The marks that proxies left in a log.
pub(super) fn of_marks(text: &str, found: &mut Vec<Finding>) {
    for (mark, times) in sign::marks(text) {
        // The mark says who ended the call; the status beside it was only judged by its number.
        found.retain(|finding| finding.error.as_ref().is_none_or(|told| told.rule != "status"));
        let status = first(&MARKED_STATUS, text).and_then(|digits| digits.parse().ok()).filter(|status| *status >= 400);
        let told = Told { class: "", vendor: None, rule: "mark", status, code: None, message: String::new() };
        push(found, Finding { verdict: mark.verdict, confidence: mark.sure, error: Some(told), times, exchange: None });
    }
}

/// The surest reading of a record: as it is, as one line, and without what only looks like an object of an API.
fn best(record: &str, folded: &Folded, now: Timestamp) -> (UpstreamError, Classified) {
    let read = |text: &str| {
        let error = UpstreamError::read(0, text.as_bytes());
        let wait = told_wait(&HeaderMap::new(), Some(text.as_bytes()), now);
        let seen = classified(&error, &Around { host: None, headers: &[], told_wait: wait.is_some() });
        (error, seen)
    };
    let mut best = read(record);
    // The reason behind a status is no word of the API: what else was not found is told elsewhere.
    if let Some(reason) = NOT_FOUND.as_ref()
        && reason.is_match(record)
    {
        let rest = reason.replace_all(record, "$1");
        if is_in(&ABSENT, &rest) {
            best = read(&rest);
        }
    }
    if is_of_the_way(best.1.verdict)
        && let Some(wrapper) = WRAPPER.as_ref()
        && wrapper.is_match(record)
    {
        let inner = read(&wrapper.replace_all(record, ""));
        if inner.1.verdict != Verdict::EvidenceMissing && !is_of_the_way(inner.1.verdict) {
            best = inner;
        }
    }
    let is_weak = |seen: &Classified| seen.verdict == Verdict::EvidenceMissing || seen.confidence == Confidence::Guess;
    if record.trim().contains('\n') {
        let flat = read(&record.lines().map(str::trim).collect::<Vec<_>>().join(" "));
        // When to come back may stand across the border of two lines.
        let says_when = (best.1.verdict, flat.1.verdict) == (Verdict::RateLimitedNoHint, Verdict::RateLimited);
        if says_when {
            best = flat;
        } else if is_weak(&best.1) {
            best = better(best, flat);
        }
    }
    if is_weak(&best.1)
        && !is_in(&API_BODY, record)
        && let Some(braces) = BRACES.as_ref()
        && braces.is_match(record)
    {
        best = better(best, read(&braces.replace_all(folded.as_str(), " ")));
    }
    best
}

fn better(one: (UpstreamError, Classified), other: (UpstreamError, Classified)) -> (UpstreamError, Classified) {
    let weight = |seen: &Classified| (seen.verdict == Verdict::EvidenceMissing, seen.confidence as u8, seen.why == "status");
    if weight(&other.1) < weight(&one.1) { other } else { one }
}

/// Only a status is told: its usual meaning, as a guess.
fn by_status(status: Option<u16>, found: &mut Vec<Finding>) {
    let Some(status) = status.filter(|status| *status >= 400) else { return };
    judged(&UpstreamError::read(status, b""), &Around::default(), None, found);
    found.iter_mut().for_each(|finding| finding.confidence = Confidence::Guess);
}

pattern!(
    TIMED_OUT,
    r"超时|time[ds]? ?out|响应(?:很|太|特别)慢|等(?:了)?(?:很久|半天|\d+ ?分钟)|长时间(?:无|没有?)(?:响应|反应)|no response|takes? (?:too long|forever)"
);

/// Nothing surer than a guess is there. What people say has an order of its own, and goes before what programs only hint at.
pub(super) fn by_symptoms(text: &str, mut found: Vec<Finding>, status: Option<u16>) -> Vec<Finding> {
    let folded = Folded::of(text);
    found.sort_by_key(rank);
    let guess = |verdict| Finding { verdict, confidence: Confidence::Guess, error: None, times: 1, exchange: None };
    let (mut hints, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(|finding| rank(finding).0 == 1);
    // What a program prints is a surer sign of the way than how a person felt it, and says nothing of tasks and charges.
    let report = sign::report(&folded).filter(|report| report.sure == Confidence::Likely && !is_in(&API_BODY, text));
    // In a story a read timeout is a setting as often as an event.
    let report = report.filter(|report| report.verdict != Verdict::ClientLeft || !is_in(&NARRATED, text));
    let mut order = sign::told(&Folded::of(&spoken(text)));
    // Who saw it stop in the middle knows that it had begun.
    let report = report.filter(|report| report.verdict != Verdict::OutcomeUnknown || !order.contains(&Verdict::StreamCut));
    if let Some(report) = report {
        order.retain(|verdict| *verdict != report.verdict);
        let is_early = |verdict: &Verdict| matches!(report.verdict.class(), Class::Local) || is_felt(*verdict);
        let at = order.iter().position(is_early).unwrap_or(order.len());
        order.insert(at, report.verdict);
    }
    let mut told: Vec<Finding> = Vec::new();
    for verdict in order {
        let known = hints.iter().position(|hint| hint.verdict == verdict);
        told.push(known.map_or_else(|| guess(verdict), |at| hints.remove(at)));
    }
    told.extend(hints);
    // "It timed out" says least of all: what a program only hints at goes before it.
    if told.is_empty() && is_in(&TIMED_OUT, folded.as_str()) {
        told.push(guess(Verdict::ProxyCut));
    }
    told.extend(rest);
    if told.iter().all(|finding| finding.verdict == Verdict::EvidenceMissing) {
        by_status(status, &mut told);
    }
    told
}

/// The lines of a person among those of programs; all lines if no person speaks.
fn spoken(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !is_in(&PRINTED, line)).collect();
    let spoken = lines.join("\n");
    if is_in(&NARRATED, &spoken) || is_in(&SENTENCE, &spoken) { spoken } else { text.to_owned() }
}

/// What a person can only feel: how it flowed, how long it took, that it failed.
fn is_felt(verdict: Verdict) -> bool {
    matches!(verdict.class(), Class::Stream | Class::Timeout | Class::Upstream | Class::Network) && verdict != Verdict::OutcomeUnknown
        || verdict == Verdict::ClientSpinner
}

pub(super) fn judged(error: &UpstreamError, around: &Around<'_>, exchange: Option<usize>, found: &mut Vec<Finding>) {
    let seen = classified(error, around);
    if seen.verdict == Verdict::EvidenceMissing {
        return;
    }
    let told = Some(told(error, &seen));
    push(found, Finding { verdict: seen.verdict, confidence: seen.confidence, error: told, times: 1, exchange });
}

pub(super) fn told(error: &UpstreamError, seen: &Classified) -> Told {
    // A line that a library writes for every answer has a status and no words of an error.
    let message = Some(error.message.expose()).filter(|text| !is_in(&SDK_LINE, text)).map(telling).unwrap_or_default();
    Told {
        class: seen.class.name(),
        vendor: seen.vendor.name(),
        rule: seen.why,
        status: Some(error.effective_status()).filter(|status| (100..600).contains(status)),
        code: error.code.clone().filter(|code| code.parse::<u16>().is_err()).or_else(|| error.kind.clone()).or_else(|| code(&message)),
        message,
    }
}

/// The lines that may tell something: one that held a prompt is code, or says nothing else.
fn telling(message: &str) -> String {
    if !message.contains(HIDDEN) {
        return message.to_owned();
    }
    let told: Vec<&str> = message.lines().filter(|line| !line.contains(HIDDEN)).collect();
    told.join("\n")
}

/// What stands where a prompt or an answer stood.
const HIDDEN: &str = "[REDACTED:content]";
