//! What a request says of repeating another, and what follows from it.

use std::{sync::Arc, time::Duration};

use http::header;
use weir_core::{CallRecord, ClientFacts, How, Timestamp, Verdict};
use weir_store::{Hold, Keyed, Principal};
use weir_wire::{
    Scope,
    headers::idempotency_key,
    request::{canonical, without_boundary},
};

use super::{Entry, Joining, Place};
use crate::{
    Gateway,
    accept::{Arrival, Asked},
    outlet::Outlet,
    patience::Patience,
    refusal::Refusal,
};

/// What a request says, as keyed hashes that belong to its API key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) key: Option<[u8; 16]>,
    /// Path and body: what they mean under an idempotency key, every byte without one.
    pub(crate) request: [u8; 16],
    /// Its SDK says that it is a retry.
    pub(crate) marked: bool,
    /// How long after an equal call's end it is taken for a retry, where nothing says what it is. Zero: never.
    pub(crate) assumed: Duration,
}

impl Said {
    pub(crate) fn of(
        gateway: &Gateway,
        arrival: &Arrival,
        principal: &Principal,
        asked: &Asked,
        record: &CallRecord,
    ) -> Result<Self, Refusal> {
        let wrong = |fault: &str| {
            let refusal = Refusal::of(Verdict::RequestRejected).saying(format_args!("the header Idempotency-Key {fault}"));
            refusal.code(Some("idempotency_key_invalid"), None)
        };
        let key = idempotency_key(&arrival.head.headers).map_err(wrong)?;
        // What a remix is made of stands in its path alone.
        let path = if arrival.is_remix() { arrival.head.uri.path() } else { arrival.route.path() };
        let (kid, path) = (principal.kid.as_str().as_bytes(), path.as_bytes());
        let digest = |what: &[u8], parts: &[&[u8]]| gateway.books.digest(&[&[what, kid], parts].concat());
        let kind = arrival.head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // A form's boundary is drawn anew for each try.
        let form = kind.filter(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"));
        let request = match (form, &key) {
            (Some(kind), _) => digest(b"form", &[&[path], &*without_boundary(kind, &asked.body)].concat()),
            (None, Some(_)) => {
                let meaning = canonical(&asked.body);
                digest(b"meaning", &[path, meaning.as_deref().unwrap_or(&asked.body)])
            }
            (None, None) => digest(b"bytes", &[path, &asked.body]),
        };
        let marked = record.client.retry_header.is_some_and(|count| count > 0);
        let assumed = assumed(gateway, principal, &record.client);
        #[cfg(test)]
        if gateway.sabotage == crate::world::Sabotage::Forgetful {
            return Ok(Self { key: None, request: arrival.id.to_bytes(), marked, assumed });
        }
        Ok(Self { key: key.map(|key| digest(b"key", &[key.as_bytes()])), request, marked, assumed })
    }
}

/// What the operator assumes of this key's equal requests. An SDK that counts its tries has said that this is the first; LangChain for Node
/// retries around one that it has told not to, whose count stays 0.
fn assumed(gateway: &Gateway, principal: &Principal, client: &ClientFacts) -> Duration {
    let counted = client.retry_header.is_some() && !client.name.as_deref().is_some_and(|name| name.starts_with("langchainjs"));
    let settings = &gateway.settings;
    let of_group = principal.group.as_ref().and_then(|group| settings.group_retries.get(group)).copied();
    if counted { Duration::ZERO } else { of_group.unwrap_or(settings.replay.unmarked_retries) }
}

/// What a request goes on as.
pub(crate) enum Course {
    /// A call of its own.
    Own(Arc<Entry>),
    Joins(Joining),
}

/// Attempts to read a call that ends at that very moment.
const TRIES: u8 = 3;
/// What a key may be repeated within, in the durable part.
pub(crate) const KNOWN_MS: i64 = 24 * 60 * 60 * 1000;

/// Refuses a request whose idempotency key names a call that only the store still knows.
pub(crate) fn unless_charged(gateway: &Gateway, arrival: &Arrival, principal: &Principal, said: &Said) -> Result<(), Refusal> {
    if let Some(key) = &said.key
        && !gateway.joins.knows(key)
        && let Err(charged) = charged_before(gateway, principal, key, said, arrival.at)
        // Another request of this key may have come, ended and been written between the two looks: then its answer is here.
        && !gateway.joins.knows(key)
    {
        return Err(charged);
    }
    Ok(())
}

/// Stage 0b: whether a request belongs to an earlier call of its key. Before any limit: whoever repeats a call uses nothing.
pub(crate) fn belongs(
    gateway: &Gateway,
    arrival: &Arrival,
    principal: &Principal,
    said: Said,
    hold: &Hold,
    record: &mut CallRecord,
    outlet: &Outlet,
) -> Result<Course, Refusal> {
    for _ in 0..TRIES {
        let (earlier, how) = match gateway.joins.place(arrival.id, &principal.kid, said, outlet) {
            Place::New { entry, suspected } => {
                record.suspected_retry_of = suspected;
                if gateway.shelf.is_some() {
                    entry.seal(arrival);
                }
                if let Some(key) = said.key {
                    hold.keyed(Keyed { key, request: said.request });
                }
                return Ok(Course::Own(entry));
            }
            Place::Reads(earlier, how) => (earlier, how),
            Place::KeyReused(call) => return Err(reused(call)),
            Place::InProgress(call) => return Err(in_progress(call)),
            Place::ReplayGone(call) => return Err(gone(call)),
        };
        if let Some(joining) = join(gateway, arrival, &earlier, how, (&record.client, outlet)) {
            return Ok(Course::Joins(joining));
        }
    }
    Err(Refusal::of(Verdict::ReplayedOnce).status(409).code(Some("idempotency_in_progress"), Some("invalid_request_error")).again_soon())
}

fn join(gateway: &Gateway, arrival: &Arrival, earlier: &Arc<Entry>, how: How, (client, own): (&ClientFacts, &Outlet)) -> Option<Joining> {
    let reader = earlier.outlet.attach(&gateway.closer, own)?;
    gateway.joins.name(earlier, arrival.id);
    Some(Joining { entry: Arc::clone(earlier), how, reader, patience: Patience::of(client) })
}

/// Refuses what a call was charged for that only the store still knows.
fn charged_before(gateway: &Gateway, principal: &Principal, key: &[u8; 16], said: &Said, now: Timestamp) -> Result<(), Refusal> {
    let since = Timestamp(now.0.saturating_sub(KNOWN_MS));
    match gateway.books.keyed_call(&principal.kid, key, since) {
        Ok(None) => Ok(()),
        Ok(Some((call, request))) if request == said.request => Err(gone(call)),
        Ok(Some((call, _))) => Err(reused(call)),
        // Whether it was charged cannot be found out: asking again later is safe, a second call is not.
        Err(_) => Err(Refusal::of(Verdict::GatewayInternal).status(503)),
    }
}

pub(crate) fn reused(call: weir_core::RequestId) -> Refusal {
    let what = format_args!("this Idempotency-Key belongs to call {call}, which had another body: use a new key for a new request");
    Refusal::of(Verdict::RequestRejected).saying(what).status(422).code(Some("idempotency_key_reused"), None).never_retry()
}

fn in_progress(call: weir_core::RequestId) -> Refusal {
    let what = format!("call {call} is still running and too long to be joined; its record is at GET /v1/weir/calls/{call}");
    let refusal = Refusal::of(Verdict::ReplayedOnce).quoting(what.clone(), what).scope(Scope::Gateway);
    refusal.status(409).code(Some("idempotency_in_progress"), Some("invalid_request_error")).again_soon()
}

pub(crate) fn gone(call: weir_core::RequestId) -> Refusal {
    let what = format!(
        "call {call} was charged under this Idempotency-Key and its answer is no longer kept; it is not made a second time. Its record is at GET /v1/weir/calls/{call}; for a new answer use a new key"
    );
    let refusal = Refusal::of(Verdict::ReplayedOnce).quoting(what.clone(), what).scope(Scope::Gateway);
    refusal.status(409).code(Some("idempotency_replay_gone"), Some("invalid_request_error")).never_retry()
}
