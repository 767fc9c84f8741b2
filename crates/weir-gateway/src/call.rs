//! The life of one call, on one screen: accept, admit, reserve, attempt, relay, settle, seal.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;
use weir_client::Answer;
use weir_core::{CallRecord, Charged, Route, Side, Timeouts, Verdict};
use weir_store::Hold;
use weir_wire::{Scope, Seen, StreamWatch, answer as wire, request};

use crate::{
    Gateway,
    accept::{Arrival, Asked},
    admit::{self, Admitted},
    attempt::{self, Outgoing, millis},
    models,
    outlet::{Gone, Outlet},
    private::Private,
    refusal::Refusal,
    relay::{self, Terms},
    reply::{CLIENT_LEFT, Reply},
    settle::{self, Used, Work},
    vigil::{Vigil, Wake},
    whole,
};

/// Runs one call to its end, whatever happens to its connection. Every way out leads through `seal`.
pub(crate) async fn run(gateway: Arc<Gateway>, arrival: Arrival, outlet: Outlet) {
    let _running = gateway.closer.enter();
    let (id, route, began) = (arrival.id, arrival.route, arrival.began);
    let mut reply = Reply::new(outlet, id, route);
    let Ok(hold) = gateway.books.accept(id, route) else {
        let _ = reply.refuse(&Refusal::of(Verdict::GatewayFull), Charged::No).await;
        return;
    };
    let mut record = arrival.record();
    gateway.screen.sender(&mut record);
    let path = path(&gateway, arrival, &hold, &mut record, &mut reply);
    let refused = match unwound(std::pin::pin!(path)).await {
        Some(Ok(())) => None,
        Some(Err(refusal)) => Some(refusal),
        None => Some(Refusal::of(Verdict::GatewayInternal)),
    };
    if let Some(refusal) = refused {
        refusal.note(&mut record);
        let _ = reply.refuse(&refusal, record.charge.charged).await;
    }
    seal(&gateway, hold, record, &reply, began);
}

/// The path of a call that goes well; a refusal leaves it early. What is charged is in the record on every way out.
async fn path(gateway: &Gateway, mut arrival: Arrival, hold: &Hold, record: &mut CallRecord, reply: &mut Reply) -> Result<(), Refusal> {
    arrival.check_method(&gateway.screen)?;
    let principal = admit::principal(gateway, &arrival, record)?;
    let (route, began) = (arrival.route, arrival.began);
    if route == Route::Models {
        // Boxed: a rare path must not make room for itself in every call.
        return Box::pin(models::list(gateway, &arrival, &principal, record, reply)).await;
    }
    let asked = arrival.read(&gateway.settings.limits).await?;
    record.model = gateway.screen.model(&asked.peek.model);
    record.stream = asked.peek.stream;
    let timeouts = attempt::timeouts(gateway, route, record, &asked.peek.model);
    let admitted = admit::model(gateway, &principal, &asked.peek)?;
    let mut vigil = Vigil::new(reply.outlet.clone(), gateway.closer.clone(), began, &timeouts, &gateway.settings.streams);
    let most = admit::most(&admitted, &asked.peek)?;
    let wanted = admit::wanted(gateway, &principal, &asked.peek, most, record);
    let permit = admit::limits(gateway, &wanted, &mut vigil, reply, record, hold).await?;
    let charge = match admit::reserve(gateway, hold, &principal, &asked.peek, most.1, &record.model).await {
        Ok(charge) => charge,
        Err(refusal) => {
            permit.end(&admit::UNUSED);
            return Err(refusal);
        }
    };
    let talk = Talk { gateway, admitted: &admitted, asked: &asked, hold, began, timeouts };
    match talk.attempt(arrival.head, route, &mut vigil, record, reply).await {
        Err(refusal) => {
            record.charge = settle::released(charge);
            permit.end(&admit::used(record));
            Err(refusal)
        }
        Ok((mut answer, take_usage)) => {
            let used = talk.relay(&mut answer, take_usage, &mut vigil, record, reply).await;
            record.charge = settle::end(charge, &admitted.price, &used.used);
            permit.end(&admit::used(record));
            used.last_word(record, reply).await
        }
    }
}

/// What the stages after the reservation share.
struct Talk<'a> {
    gateway: &'a Gateway,
    admitted: &'a Admitted<'a>,
    asked: &'a Asked,
    hold: &'a Hold,
    began: Instant,
    timeouts: Timeouts,
}

/// What is charged, and what the client must still hear.
struct Ended {
    used: Used,
    refusal: Option<Refusal>,
    /// The stream is open and wants its end.
    open: bool,
}

impl Ended {
    async fn last_word(self, record: &mut CallRecord, reply: &mut Reply) -> Result<(), Refusal> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None if self.open => {
                if reply.end().await.is_err() {
                    record.ended_by = Side::Client;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Talk<'_> {
    async fn attempt(
        &self,
        head: http::request::Parts,
        route: Route,
        vigil: &mut Vigil,
        record: &mut CallRecord,
        reply: &mut Reply,
    ) -> Result<(Answer, bool), Refusal> {
        let lane = self.admitted.lane;
        let peek = &self.asked.peek;
        let body =
            if peek.stream && !peek.asked_usage { request::with_include_usage(&self.asked.body, peek) } else { self.asked.body.clone() };
        let take_usage = body != self.asked.body;
        let path = format!("{}{}", lane.target.path, route.path().trim_start_matches("/v1"));
        let outgoing = Outgoing::new(&head, route, path, lane, body)?;
        let answer = attempt::answer(self.gateway, &outgoing, &self.timeouts, vigil, reply, record).await?;
        record.timing.ttfb = Some(millis(self.began.elapsed()));
        Ok((answer, take_usage))
    }

    /// Passes the answer on in the form it came in, or as the error that it is.
    async fn relay(&self, answer: &mut Answer, take_usage: bool, vigil: &mut Vigil, record: &mut CallRecord, reply: &mut Reply) -> Ended {
        let status = answer.head.status;
        let streams = status.is_success() && (self.asked.peek.stream || content_type(answer).starts_with("text/event-stream"));
        if !streams {
            return self.whole(answer, Bytes::new(), vigil, record, reply).await;
        }
        let start = match self.start(answer, vigil).await {
            Ok(start) if start.is_empty() || looks_like_events(&start) => start,
            Ok(start) => return self.whole(answer, start, vigil, record, reply).await,
            Err(refusal) => return self.failed(refusal),
        };
        if answer.head.headers.get(http::header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return self
                .failed(Refusal::of(Verdict::NotAStream).by(Side::Upstream).saying("the upstream compressed its event stream, unasked"));
        }
        let terms = Terms {
            gateway: self.gateway,
            host: &self.admitted.lane.target.host,
            asked: Private::of(&self.asked.body),
            hold: self.hold,
            price: self.admitted.price,
            input: self.admitted.input,
            take_usage,
            began: self.began,
        };
        let relayed = relay::run(&terms, answer, start, vigil, reply).await;
        record.timing.first_event = relayed.timing.first_event;
        record.timing.last_event = relayed.timing.last_event;
        record.timing.gap_max = relayed.timing.gap_max;
        record.verdict = relayed.verdict;
        record.observed = Some(relayed.facts);
        record.ended_by =
            relayed.refusal.as_ref().map_or(if vigil.client_left() { Side::Client } else { Side::Done }, |refusal| refusal.ended_by);
        Ended { used: relayed.used, refusal: relayed.refusal, open: true }
    }

    /// The first piece of an answer whose content type says that it is no stream: the header may lie, the first bytes do not.
    async fn start(&self, answer: &mut Answer, vigil: &mut Vigil) -> Result<Bytes, Refusal> {
        if content_type(answer).starts_with("text/event-stream") {
            return Ok(Bytes::new());
        }
        match vigil.wait(answer.chunk(), None).await {
            Wake::Ready(Some(Ok(start))) => Ok(start),
            Wake::Limit(limit) => Err(attempt::limited(limit)),
            Wake::Ready(Some(Err(_))) => Err(whole::broke_off()),
            Wake::Ready(None) | Wake::Quiet => Err(Refusal::of(Verdict::StreamSilent).scope(Scope::Upstream).by(Side::Upstream)),
        }
    }

    /// An answer in one piece: an upstream's error, a whole answer, or a whole answer where a stream was asked for.
    async fn whole(&self, answer: &mut Answer, start: Bytes, vigil: &mut Vigil, record: &mut CallRecord, reply: &mut Reply) -> Ended {
        let (gateway, host, route) = (self.gateway, self.admitted.lane.target.host.as_str(), record.route);
        let private = Private::of(&self.asked.body);
        let body = match whole::collect(answer, start, vigil, gateway.settings.limits.answer_bytes).await {
            Ok(body) => body,
            Err(refusal) => return self.failed(refusal),
        };
        let status = answer.head.status;
        if !status.is_success() {
            return self.failed(whole::refused(gateway, host, private, status.as_u16(), &answer.head.headers, &body));
        }
        let json = !body.is_empty() && matches!(body[0], b'{' | b'[' | b' ' | b'\n');
        let read = if json { wire::read(route, &body) } else { wire::Answer::default() };
        if let Some(error) = &read.error {
            return self.failed(whole::refused_with(gateway, host, private, error));
        }
        if !json && (answers_json(route) || self.asked.peek.stream) {
            let refusal = if self.asked.peek.stream { not_a_stream() } else { Refusal::of(Verdict::UpstreamError).by(Side::Upstream) };
            return self.failed(refusal.saying("the upstream answered with something that is not JSON"));
        }
        let used = Used {
            work: Work::Complete,
            reported: read.usage,
            input: self.admitted.input,
            delivered: read.delivered.tokens,
            any_output: true,
        };
        let sent = if self.asked.peek.stream {
            let Some(frames) = wire::as_stream(reply.dialect(), &body) else { return self.failed(not_a_stream()) };
            self.as_stream(frames, answer, reply).await
        } else {
            reply.answer(whole::head(status, &answer.head.headers), body).await
        };
        self.handed(sent.is_ok(), used, record)
    }

    /// A stream was asked for and a whole answer came: the client gets the same answer as events.
    async fn as_stream(&self, frames: Vec<Bytes>, answer: &Answer, reply: &mut Reply) -> Result<(), Gone> {
        if !reply.is_open() {
            reply.open(whole::passed(&answer.head.headers));
        }
        let mut watch = StreamWatch::new(reply.dialect());
        for frame in frames {
            let hidden = watch.see(&frame) == Seen::UsageOnly && !self.asked.peek.asked_usage;
            if !hidden {
                reply.pass(frame, 1).await?;
            }
        }
        reply.end().await
    }

    /// The record and the charge of a whole answer, by whether the client took it.
    fn handed(&self, taken: bool, mut used: Used, record: &mut CallRecord) -> Ended {
        if taken {
            (record.verdict, record.ended_by) = (Verdict::Ok, Side::Done);
        } else {
            let finish = self.gateway.settings.streams.client_gone == crate::ClientGone::Finish;
            used.work = if finish { Work::Finished } else { Work::ClientLeft };
            (used.delivered, used.any_output) = (0, false);
            record.ended_by = Side::Client;
            record.verdict = if finish { Verdict::ProducedNotDelivered } else { Verdict::ClientLeft };
        }
        Ended { used, refusal: None, open: false }
    }

    fn failed(&self, refusal: Refusal) -> Ended {
        let used = Used { work: Work::Cut, reported: None, input: self.admitted.input, delivered: 0, any_output: false };
        Ended { used, refusal: Some(refusal), open: false }
    }
}

/// Ends the call: one row, with the charge in it. Nothing of the call happens after this.
fn seal(gateway: &Gateway, hold: Hold, mut record: CallRecord, reply: &Reply, began: Instant) {
    record.status = reply.status();
    if record.status == CLIENT_LEFT {
        // Whatever the upstream did afterwards, it was the client who ended this call.
        record.ended_by = Side::Client;
        if record.verdict != Verdict::ProducedNotDelivered {
            record.verdict = Verdict::ClientLeft;
        }
    }
    record.timing.total = millis(began.elapsed());
    #[cfg(test)]
    if gateway.sabotage == crate::world::Sabotage::DroppedRecord {
        return;
    }
    #[cfg(test)]
    if gateway.sabotage == crate::world::Sabotage::DoubleSettle {
        record.charge.amount = weir_core::Amount(record.charge.amount.0 * 2);
    }
    gateway.books.seal(hold, record);
}

/// Runs a future; `None` if it panicked. A broken invariant costs one call, and that call still gets its row.
/// Takes it pinned: an argument and its pin would both have a place in the call.
async fn unwound<F: Future>(mut work: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(move |cx| match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => std::task::Poll::Ready(None),
    })
    .await
}

fn not_a_stream() -> Refusal {
    Refusal::of(Verdict::NotAStream).by(Side::Upstream).scope(Scope::Upstream)
}

fn content_type(answer: &Answer) -> &str {
    answer.head.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

fn looks_like_events(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|field| start.starts_with(field))
}

/// Whether an answer of this route is JSON; speech is sound and transcripts may be plain text.
fn answers_json(route: Route) -> bool {
    !matches!(route, Route::AudioSpeech | Route::AudioTranscriptions | Route::AudioTranslations)
}
