//! `GET /v1/models` and `/v1/models/{id}`: what the upstreams list, without what this key may not use.

use std::{collections::HashSet, pin::Pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, response::Parts};
use serde_json::value::RawValue;
use tokio::time::timeout;
use weir_client::{Answer, AttemptLimits};
use weir_core::{AttemptRecord, CallRecord, Phase, Route, Scenario, Side, Verdict};
use weir_store::Principal;
use weir_wire::Scope;

use crate::{
    Gateway,
    accept::Arrival,
    admit,
    attempt::{self, CallLimits, CallTerms, Outgoing, limited, millis},
    attempts::{Attempts, Failed, Turn},
    lanes::Lane,
    private::Private,
    refusal::Refusal,
    reply::Reply,
    talk::Live,
    vigil::{Vigil, Wake},
    whole,
};

/// Where there are several upstreams, one that has not told its list by then is left out: the others' models are usable.
const LIST_WAIT: Duration = Duration::from_secs(5);

/// Asks the upstreams for their lists and joins them. A key that may use all of the list of a single upstream gets that upstream's own bytes.
pub(crate) async fn list(
    gateway: &Gateway,
    arrival: &Arrival,
    principal: &Principal,
    record: &mut CallRecord,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let path = arrival.head.uri.path();
    let one = path.strip_prefix("/v1/models/");
    if let Some(model) = one
        && !admit::may_use(gateway, principal, model)
    {
        return Err(Refusal::of(Verdict::GroupModelDenied).scope(Scope::Group).param(Some("model")));
    }
    let policy = gateway.settings.policies.of(Scenario::ShortChat);
    let limits = CallTerms::of(gateway, record, "", policy, arrival.began).limits();
    let mut vigil = Vigil::new(reply.outlet.clone(), gateway.closer.clone(), arrival.began, &limits.timeouts, &gateway.settings.streams);
    let outgoing = Outgoing::new(&arrival.head, Route::Models, path, Bytes::new());
    let firsts = firsts(gateway.lanes.all());
    let mut live = Live { vigil: &mut vigil, record, reply };
    let (head, body) = if one.is_some() || firsts.len() == 1 {
        let attempts = Attempts::new(gateway, policy, one, limits, None);
        asked(gateway, attempts, &outgoing, &limits, &mut live).await?
    } else {
        joined(gateway, &firsts, &outgoing, &limits, &mut live).await?
    };
    let body = if one.is_some() { body } else { allowed(&body, |model| admit::may_use(gateway, principal, model))? };
    let taken = live.reply.answer(head, body).await;
    let record = live.record;
    (record.verdict, record.ended_by) = if taken.is_ok() { (Verdict::Ok, Side::Done) } else { (Verdict::ClientLeft, Side::Client) };
    Ok(())
}

/// The first channel of each upstream.
fn firsts(lanes: &[Lane]) -> Vec<&Lane> {
    let mut known = HashSet::new();
    lanes.iter().filter(|lane| known.insert(lane.upstream)).collect()
}

/// The answer of one upstream, asked as often as the policy allows: to list costs nothing.
async fn asked(
    gateway: &Gateway,
    mut attempts: Attempts<'_>,
    outgoing: &Outgoing<'_>,
    limits: &CallLimits,
    live: &mut Live<'_>,
) -> Result<(Response<()>, Bytes), Refusal> {
    let mut turn = attempts.first(live.record.client.retry_header)?;
    loop {
        let failed = match once(gateway, outgoing, turn, limits, live).await {
            Ok(got) => return Ok(got),
            Err(failed) => failed,
        };
        turn = attempts.next(turn, failed, live).await?;
    }
}

async fn once(
    gateway: &Gateway,
    outgoing: &Outgoing<'_>,
    turn: Turn<'_>,
    limits: &CallLimits,
    live: &mut Live<'_>,
) -> Result<(Response<()>, Bytes), Failed> {
    let mut answer = attempt::ask(gateway, outgoing, turn, limits, live).await?;
    let body = whole::collect(&mut answer, Bytes::new(), live.vigil, gateway.settings.limits.answer_bytes).await?;
    passed(gateway, turn.lane, &answer.head, body)
}

fn passed(gateway: &Gateway, lane: &Lane, head: &Parts, body: Bytes) -> Result<(Response<()>, Bytes), Failed> {
    if head.status.is_success() {
        return Ok((whole::head(head.status, &head.headers), body));
    }
    Err(whole::refused(gateway, &lane.target.host, Private::of(b""), head.status.as_u16(), &head.headers, &body))
}

/// The lists of all upstreams as one, asked side by side. Those that fail are left out, unless all do.
async fn joined(
    gateway: &Gateway,
    lanes: &[&Lane],
    outgoing: &Outgoing<'_>,
    limits: &CallLimits,
    live: &mut Live<'_>,
) -> Result<(Response<()>, Bytes), Refusal> {
    let within = AttemptLimits { connect: limits.timeouts.connect.min(LIST_WAIT), first_byte: limits.timeouts.first_byte.min(LIST_WAIT) };
    let asked: Vec<Pin<Box<_>>> = lanes.iter().map(|lane| Box::pin(told(gateway, lane, outgoing, within))).collect();
    let told = match live.vigil.wait(all(asked), None).await {
        Wake::Ready(told) => told,
        Wake::Limit(limit) => {
            for (n, lane) in (1..).zip(lanes) {
                live.record.attempts.push(AttemptRecord {
                    n,
                    channel: lane.name.clone(),
                    phase: Phase::FirstByte,
                    ..AttemptRecord::default()
                });
            }
            return Err(limited(limit));
        }
        Wake::Quiet => return Err(Refusal::of(Verdict::GatewayInternal)),
    };
    let (mut lists, mut refused) = (Vec::new(), None);
    for (n, (mut attempt, told)) in (1..).zip(told) {
        attempt.n = n;
        match told {
            Ok(body) => lists.push(body),
            Err(failed) => {
                attempt.verdict = Some(failed.refusal.verdict);
                refused = refused.or(Some(failed.refusal));
            }
        }
        live.record.attempts.push(attempt);
    }
    match (merged(&lists), refused) {
        (Some(body), _) => Ok((whole::head(http::StatusCode::OK, &json_only()), body)),
        (None, refused) => Err(refused.unwrap_or_else(|| Refusal::of(Verdict::NoUpstream))),
    }
}

fn json_only() -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"))])
}

/// One upstream's list, or why there is none.
async fn told(gateway: &Gateway, lane: &Lane, outgoing: &Outgoing<'_>, within: AttemptLimits) -> (AttemptRecord, Result<Bytes, Failed>) {
    let mut attempt = AttemptRecord { channel: lane.name.clone(), ..AttemptRecord::default() };
    let began = tokio::time::Instant::now();
    let limit = gateway.settings.limits.answer_bytes;
    let asked = async {
        let request = outgoing.request(lane).map_err(Failed::for_good)?;
        let mut answer = match Answer::get(gateway.dial.as_ref(), &lane.target, &lane.pool, request, within).await {
            Ok(answer) => answer,
            Err(error) => {
                attempt.phase = error.phase();
                return Err(attempt::failed(&error));
            }
        };
        attempt.phase = Phase::Body;
        attempt.status = Some(answer.head.status.as_u16());
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await {
            let piece = piece.map_err(|_| whole::broke_off())?;
            if body.len() + piece.len() > limit {
                return Err(whole::too_long(limit));
            }
            body.extend_from_slice(&piece);
        }
        passed(gateway, lane, &answer.head, body.freeze()).map(|(_, body)| body)
    };
    let told = timeout(LIST_WAIT, asked).await;
    let told = told.unwrap_or_else(|_| Err(Failed::unanswered(Refusal::of(Verdict::FirstByteTimeout).scope(Scope::Upstream))));
    attempt.ms = millis(began.elapsed());
    (attempt, told)
}

/// Runs all futures on this task and gives back what each came to, in their order.
async fn all<F: Future>(mut work: Vec<Pin<Box<F>>>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = work.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (work, done) in work.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(output) = work.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Several lists as one: every model once, as the first upstream that has it describes it. `None` if none of them is a list.
fn merged(lists: &[Bytes]) -> Option<Bytes> {
    let mut known = HashSet::new();
    let mut entries: Option<Vec<&str>> = None;
    for list in lists {
        let Ok(list) = serde_json::from_slice::<List<'_>>(list) else { continue };
        let entries = entries.get_or_insert_default();
        for entry in list.data {
            if serde_json::from_str::<Model<'_>>(entry.get()).is_ok_and(|model| known.insert(model.id.into_owned())) {
                entries.push(entry.get());
            }
        }
    }
    entries.map(|entries| of_entries(&entries))
}

fn of_entries(entries: &[&str]) -> Bytes {
    Bytes::from(format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(",")))
}

#[derive(serde::Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// The list without models that may not be used; the same bytes if nothing is left out.
fn allowed(body: &Bytes, may_use: impl Fn(&str) -> bool) -> Result<Bytes, Refusal> {
    let broken = |_| Refusal::of(Verdict::UpstreamError).saying("the upstream's list of models is not one").by(Side::Upstream);
    let list: List<'_> = serde_json::from_slice(body).map_err(broken)?;
    let kept: Vec<&RawValue> = list
        .data
        .iter()
        .copied()
        .filter(|entry| serde_json::from_str::<Model<'_>>(entry.get()).is_ok_and(|model| may_use(&model.id)))
        .collect();
    if kept.len() == list.data.len() {
        return Ok(body.clone());
    }
    let entries: Vec<&str> = kept.iter().map(|entry| entry.get()).collect();
    Ok(of_entries(&entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_bytes_unless_something_is_left_out() {
        let body = Bytes::from_static(br#"{ "object":"list", "data":[{"id":"a","x":1}, {"id":"b"}] }"#);
        assert_eq!(allowed(&body, |_| true).unwrap(), body);
        assert_eq!(allowed(&body, |model| model == "a").unwrap(), r#"{"object":"list","data":[{"id":"a","x":1}]}"#);
    }

    #[test]
    fn lists_are_joined_and_the_first_upstream_that_has_a_model_describes_it() {
        let lists = [
            Bytes::from_static(br#"{"data":[{"id":"a","by":1},{"id":"b","by":1}]}"#),
            Bytes::from_static(b"<html>down</html>"),
            Bytes::from_static(br#"{"data":[{"id":"b","by":2},{"id":"c","by":2}]}"#),
        ];
        let joined = r#"{"object":"list","data":[{"id":"a","by":1},{"id":"b","by":1},{"id":"c","by":2}]}"#;
        assert_eq!(merged(&lists).unwrap(), joined);
        assert_eq!(merged(&lists[1..2]), None);
    }
}
