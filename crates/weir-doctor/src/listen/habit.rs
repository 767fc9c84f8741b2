//! What a client does, from all that it sent: one habit for each client. Pure.

use serde::Serialize;

use super::{
    script::Script,
    seen::{Ended, KeyPlace, Seen},
};

/// Silence that is no pause between two events: a client that leaves after less was not waiting for anything.
const WAITING_MS: u64 = 1_000;
/// A client that takes nothing for so long is not reading.
pub(super) const NOT_READING_MS: u64 = 2_000;

/// What one client did. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Habit {
    /// As its user agent says, and its version; none if it says nothing that is a name.
    pub name: Option<String>,
    pub version: Option<String>,
    pub browser: bool,
    /// The numbers of its requests.
    pub requests: Vec<u32>,
    pub calls: u32,
    /// Calls with `stream: true`.
    pub streamed: u32,
    pub paths: Vec<&'static str>,
    pub http: Vec<&'static str>,
    pub accept_encoding: Vec<String>,
    pub key: KeyPlace,
    pub idempotency_key: bool,
    /// A second request on a connection; none if there was no second request.
    pub keeps_connections: Option<bool>,
    /// The read timeout that it announces.
    pub announced_timeout_s: Option<u32>,
    /// The shortest silence after which it left by itself, and in which request.
    pub gave_up: Option<At>,
    /// It left although heartbeats came.
    pub left_despite_heartbeats: Option<At>,
    /// It left while events were coming, before the end.
    pub left_midway: Option<At>,
    /// The longest that it took no byte although there was one.
    pub not_reading: Option<At>,
    /// Ends of streams that it left at the marker, and that it stayed for.
    pub left_at_marker: u32,
    pub stayed_to_end: u32,
    pub after_cut: Option<Again>,
    pub after_429: Option<Again>,
    pub after_503: Option<Again>,
    /// After it had left by itself.
    pub after_giving_up: Option<Again>,
    /// It took a stream without end marker for an end.
    pub after_no_done: Option<Again>,
}

/// A time, and the request that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct At {
    pub request: u32,
    pub ms: u64,
}

/// What came after a try that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Again {
    /// Further tries.
    pub tries: u32,
    /// The wait before each, where the try before had ended.
    pub waits_ms: Vec<u64>,
    /// Tries before the time that was told.
    pub early: u32,
    /// A wait was told.
    pub told: bool,
    /// The tries bear a count or an idempotency key that says that they belong together.
    pub marked: bool,
    pub requests: Vec<u32>,
}

/// Groups what was seen by client, in the order in which they came.
#[must_use]
pub fn habits(seen: &[Seen]) -> Vec<Habit> {
    let mut groups: Vec<Vec<&Seen>> = Vec::new();
    for one in seen.iter().filter(|one| one.method != "OPTIONS") {
        let same = |other: &&Seen| {
            (&other.client.name, &other.client.version, other.browser) == (&one.client.name, &one.client.version, one.browser)
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(same)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups.iter().filter_map(|group| habit(group)).collect()
}

fn habit(seen: &[&Seen]) -> Option<Habit> {
    let first = seen.first()?;
    let calls: Vec<&Seen> = seen.iter().copied().filter(|one| one.is_call()).collect();
    let count = |holds: fn(&Seen) -> bool| u32::try_from(calls.iter().filter(|one| holds(one)).count()).unwrap_or(u32::MAX);
    let left = |one: &&&Seen| one.ended == Ended::Left;
    let after = |failed: fn(&Seen) -> bool| again(&calls, failed);
    let mut accept_encoding: Vec<String> = Vec::new();
    for coding in seen.iter().flat_map(|one| &one.accept_encoding) {
        if !accept_encoding.contains(coding) {
            accept_encoding.push(coding.clone());
        }
    }
    Some(Habit {
        name: first.client.name.clone(),
        version: first.client.version.clone(),
        browser: first.browser,
        requests: seen.iter().map(|one| one.n).collect(),
        calls: count(|_| true),
        streamed: count(|one| one.stream == Some(true)),
        paths: distinct(seen.iter().map(|one| one.path)),
        http: distinct(seen.iter().map(|one| one.http)),
        accept_encoding,
        key: seen.iter().map(|one| one.key).find(|key| *key != KeyPlace::None).unwrap_or(KeyPlace::None),
        idempotency_key: calls.iter().any(|one| one.idempotency_key),
        keeps_connections: (seen.len() > 1).then(|| seen.iter().any(|one| one.nth_on_connection > 1)),
        announced_timeout_s: calls.iter().find_map(|one| one.client.read_timeout_s),
        gave_up: calls
            .iter()
            .filter(left)
            .filter(|one| one.silent_ms >= WAITING_MS)
            .map(|one| At { request: one.n, ms: one.silent_ms })
            .min_by_key(|at| at.ms),
        left_despite_heartbeats: calls.iter().filter(left).find(|one| one.heartbeats > 0).map(|one| At { request: one.n, ms: one.took_ms }),
        left_midway: calls
            .iter()
            .filter(left)
            .find(|one| one.events > 0 && one.heartbeats == 0 && one.silent_ms < WAITING_MS)
            .map(|one| At { request: one.n, ms: one.took_ms }),
        not_reading: calls
            .iter()
            .filter(|one| one.not_read_ms >= NOT_READING_MS)
            .map(|one| At { request: one.n, ms: one.not_read_ms })
            .max_by_key(|at| at.ms),
        left_at_marker: count(|one| one.ended == Ended::AtMarker),
        stayed_to_end: count(|one| one.ended == Ended::Whole && one.stream == Some(true) && one.script != Some(Script::NoDone)),
        after_cut: after(|one| one.ended == Ended::Cut),
        after_429: after(|one| one.status == Some(429)),
        after_503: after(|one| one.status == Some(503)),
        after_giving_up: after(|one| one.ended == Ended::Left && one.silent_ms >= WAITING_MS),
        after_no_done: after(|one| one.script == Some(Script::NoDone) && one.ended == Ended::Whole),
    })
}

/// The tries that followed tries which `failed` in one way; none if nothing failed so.
fn again(calls: &[&Seen], failed: fn(&Seen) -> bool) -> Option<Again> {
    let mut found: Option<Again> = None;
    for (at, one) in calls.iter().enumerate().filter(|(_, one)| failed(one)) {
        let again = found.get_or_insert_default();
        let next = calls[at + 1..].iter().find(|next| next.path == one.path && next.model == one.model && next.script == one.script);
        if let Some(next) = next.filter(|next| next.is_retry() && next.attempt > one.attempt) {
            again.tries += 1;
            again.waits_ms.extend(next.waited_ms);
            again.early += u32::from(next.is_early());
            again.told |= next.told_wait_ms.is_some();
            again.marked |= next.client.retry_header.is_some_and(|count| count > 0) || next.idempotency_key;
            again.requests.push(next.n);
        }
    }
    found
}

fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}
