//! Stages 3 and 4 of a call: attempt after attempt until one is answered or there is none left, and its answer to the client.
//!
//! The commit is the first byte of an answer that the client gets; heartbeats are none. Before it a failed attempt may be followed by
//! another, after it never.

use bytes::Bytes;
use http::request::Parts;
use weir_client::Answer;
use weir_core::{CallRecord, Outcome, RetryPolicy, Route, Side, StreamEnd, Verdict};
use weir_store::Hold;
use weir_wire::{Scope, Seen, StreamWatch, answer as wire, request};

use crate::{
    Gateway,
    accept::Asked,
    admit::Admitted,
    attempt::{self, CallLimits, Outgoing, millis},
    attempts::{Attempts, Failed, Turn},
    door::Need,
    outlet::Gone,
    patience,
    private::Private,
    refusal::Refusal,
    relay::{self, Terms},
    reply::Reply,
    settle::{Used, Work},
    vigil::{Vigil, Wake},
    whole,
};

/// What the stages after the reservation share.
pub(crate) struct Talk<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) admitted: &'a Admitted,
    pub(crate) asked: &'a Asked,
    pub(crate) hold: &'a Hold,
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) limits: CallLimits,
    pub(crate) need: Need,
}

/// What changes while a call runs.
pub(crate) struct Live<'a> {
    pub(crate) vigil: &'a mut Vigil,
    pub(crate) record: &'a mut CallRecord,
    pub(crate) reply: &'a mut Reply,
}

/// What is charged, and what the client must still hear.
pub(crate) struct Ended {
    pub(crate) used: Used,
    refusal: Option<Refusal>,
    /// The stream is open and wants its end.
    open: bool,
    /// The client left and the upstream was cancelled: who comes back must not take what is kept for the whole.
    cut: bool,
}

impl Ended {
    pub(crate) async fn last_word(self, record: &mut CallRecord, reply: &mut Reply) -> Result<(), Refusal> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None if self.cut => {
                let left = Refusal::of(record.verdict).by(Side::Client).code(Some("client_left"), Some("client_error"));
                let _ = reply.refuse(&left, record.charge.charged).await;
                Ok(())
            }
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
    /// Makes attempts until one is answered to its end, or there is none left to make.
    pub(crate) async fn run(&self, head: &Parts, mut live: Live<'_>) -> Ended {
        let (peek, route) = (&self.asked.peek, live.record.route);
        let body =
            if peek.stream && !peek.asked_usage { request::with_include_usage(&self.asked.body, peek) } else { self.asked.body.clone() };
        let take_usage = body != self.asked.body;
        let outgoing = Outgoing::new(head, route, route.path(), body);
        let mut attempts = Attempts::new(self.gateway, self.policy, Some(&peek.model), self.limits, Some(self.need));
        let mut turn = match attempts.first(live.record.client.retry_header) {
            Ok(turn) => turn,
            Err(refusal) => return self.refused(refusal),
        };
        loop {
            let failed = match self.attempt(&outgoing, turn, take_usage, &attempts, &mut live).await {
                Ok(ended) => {
                    attempts.used(ended.used.tokens());
                    return ended;
                }
                Err(failed) => failed,
            };
            turn = match attempts.next(turn, failed, &mut live).await {
                Ok(turn) => turn,
                Err(refusal) => return self.refused(refusal),
            };
        }
    }

    /// One attempt, with its answer relayed to the end. It fails only while the client has nothing of an answer.
    async fn attempt(
        &self,
        outgoing: &Outgoing<'_>,
        turn: Turn<'_>,
        take_usage: bool,
        attempts: &Attempts<'_>,
        live: &mut Live<'_>,
    ) -> Result<Ended, Failed> {
        live.record.observed = None;
        #[cfg(test)]
        if self.gateway.sabotage == crate::world::Sabotage::Hedges {
            let _ = attempt::ask(self.gateway, outgoing, turn, &self.limits, live).await;
            live.record.attempts.pop();
        }
        let mut answer = attempt::ask(self.gateway, outgoing, turn, &self.limits, live).await?;
        live.record.timing.ttfb = Some(millis(self.limits.began.elapsed()));
        let streams = answer.head.status.is_success() && (self.asked.peek.stream || content_type(&answer).starts_with("text/event-stream"));
        let start = if streams { self.start(&mut answer, live.vigil).await? } else { Bytes::new() };
        if !streams || !(start.is_empty() || looks_like_events(&start)) {
            let ended = self.whole(&mut answer, start, turn, live).await?;
            attempts.said(turn.lane, Outcome::Good);
            return Ok(ended);
        }
        if answer.head.headers.get(http::header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Failed::unanswered(not_a_stream().saying("the upstream compressed its event stream, unasked")));
        }
        let terms = Terms {
            gateway: self.gateway,
            attempts,
            lane: turn.lane,
            asked: Private::of(&self.asked.body),
            hold: self.hold,
            price: self.admitted.price,
            input: self.admitted.input,
            take_usage,
            began: self.limits.began,
            heartbeat: patience::heartbeat(&self.gateway.settings.streams, &live.record.client),
        };
        self.relay(&terms, &mut answer, start, live).await
    }

    /// Passes a stream on until something ends it.
    async fn relay(&self, terms: &Terms<'_>, answer: &mut Answer, start: Bytes, live: &mut Live<'_>) -> Result<Ended, Failed> {
        let relayed = relay::run(terms, answer, start, live.vigil, live.reply).await;
        let record = &mut *live.record;
        record.timing.first_event = relayed.timing.first_event;
        record.timing.last_event = relayed.timing.last_event;
        record.timing.gap_max = relayed.timing.gap_max;
        record.verdict = relayed.verdict;
        let end = relayed.facts.end;
        record.observed = Some(relayed.facts);
        let refusal = match (relayed.failed, relayed.committed) {
            (Some(failed), false) => return Err(failed),
            (failed, _) => failed.map(|failed| failed.refusal),
        };
        if matches!(end, StreamEnd::UpstreamCut | StreamEnd::EofNoFinish | StreamEnd::IdleTimeout) {
            terms.attempts.said(terms.lane, Outcome::Failed { told: None });
        }
        record.ended_by =
            refusal.as_ref().map_or(if live.vigil.client_left() { Side::Client } else { Side::Done }, |refusal| refusal.ended_by);
        Ok(Ended { used: relayed.used, refusal, open: true, cut: relayed.cut && live.reply.is_open() })
    }

    /// The first piece of an answer whose content type says that it is no stream: the header may lie, the first bytes do not.
    async fn start(&self, answer: &mut Answer, vigil: &mut Vigil) -> Result<Bytes, Failed> {
        if content_type(answer).starts_with("text/event-stream") {
            return Ok(Bytes::new());
        }
        match vigil.wait(answer.chunk(), None).await {
            Wake::Ready(Some(Ok(start))) => Ok(start),
            Wake::Limit(limit) => Err(whole::silent(limit)),
            Wake::Ready(Some(Err(_))) => Err(whole::broke_off()),
            Wake::Ready(None) | Wake::Quiet => {
                Err(Failed::unanswered(Refusal::of(Verdict::StreamSilent).scope(Scope::Upstream).by(Side::Upstream)))
            }
        }
    }

    /// An answer in one piece: an upstream's error, a whole answer, or a whole answer where a stream was asked for.
    async fn whole(&self, answer: &mut Answer, start: Bytes, turn: Turn<'_>, live: &mut Live<'_>) -> Result<Ended, Failed> {
        let (gateway, host, route) = (self.gateway, turn.lane.target.host.as_str(), live.record.route);
        let private = Private::of(&self.asked.body);
        let body = whole::collect(answer, start, live.vigil, gateway.settings.limits.answer_bytes).await?;
        let status = answer.head.status;
        if !status.is_success() {
            return Err(whole::refused(gateway, host, private, status.as_u16(), &answer.head.headers, &body));
        }
        let json = !body.is_empty() && matches!(body[0], b'{' | b'[' | b' ' | b'\n');
        let read = if json { wire::read(route, &body) } else { wire::Answer::default() };
        if let Some(error) = &read.error {
            return Err(whole::refused_with(gateway, host, private, error));
        }
        if !json && (answers_json(route) || self.asked.peek.stream) {
            let refusal = if self.asked.peek.stream { not_a_stream() } else { Refusal::of(Verdict::UpstreamError).by(Side::Upstream) };
            return Err(Failed::unanswered(refusal.saying("the upstream answered with something that is not JSON")));
        }
        let used = Used {
            work: Work::Complete,
            reported: read.usage,
            input: self.admitted.input,
            delivered: read.delivered.tokens,
            any_output: true,
        };
        let sent = if self.asked.peek.stream {
            let frames = wire::as_stream(live.reply.dialect(), &body).ok_or_else(|| Failed::unanswered(not_a_stream()))?;
            self.as_stream(frames, answer, live).await
        } else {
            // A client that has not taken it by the end of its time is left to its connection, which has it whole.
            let answered = live.reply.answer(whole::head(status, &answer.head.headers), body);
            live.vigil.patiently(answered).await.ready().unwrap_or(Ok(()))
        };
        let taken = sent.is_ok() || self.fetched(live).await;
        Ok(self.handed(taken, used, live.record))
    }

    /// Whether somebody came back within the linger and took the answer that is ready.
    async fn fetched(&self, live: &mut Live<'_>) -> bool {
        let finish = self.gateway.settings.streams.client_gone == crate::ClientGone::Finish;
        while live.reply.outlet.is_kept() && !finish {
            if live.vigil.returns().await {
                if live.reply.end().await.is_ok() {
                    return true;
                }
            } else if live.reply.outlet.give_up().is_some() {
                return false;
            }
        }
        false
    }

    /// A stream was asked for and a whole answer came: the client gets the same answer as events.
    async fn as_stream(&self, frames: Vec<Bytes>, answer: &Answer, live: &mut Live<'_>) -> Result<(), Gone> {
        let reply = &mut *live.reply;
        if !reply.is_open() {
            reply.open(whole::passed(&answer.head.headers));
        }
        let mut watch = StreamWatch::new(reply.dialect());
        let mut late = false;
        for frame in frames {
            if watch.see(&frame) == Seen::UsageOnly && !self.asked.peek.asked_usage {
                continue;
            }
            let passed = if late { None } else { live.vigil.patiently(reply.pass(frame.clone(), 1)).await.ready() };
            late = passed.is_none();
            let passed = passed.unwrap_or_else(|| reply.append(&frame));
            // A client that left may come back for what is kept.
            if passed.is_err() && !reply.outlet.is_kept() {
                return Err(Gone);
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
        Ended { used, refusal: None, open: false, cut: false }
    }

    fn refused(&self, refusal: Refusal) -> Ended {
        let used = Used { work: Work::Cut, reported: None, input: self.admitted.input, delivered: 0, any_output: false };
        Ended { used, refusal: Some(refusal), open: false, cut: false }
    }
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
