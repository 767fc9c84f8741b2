//! Stage 4: events pass whole, unchanged and at once; what ends the stream is told truthfully.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weir_client::{Answer, WireError};
use weir_core::{Outcome, Price, Side, StreamEnd, StreamFacts, Timing, Verdict};
use weir_store::Hold;
use weir_wire::{Eof, FrameSplitter, Scope, Seam, Seen, StreamWatch, without_null_usage};

use crate::{
    Gateway,
    attempt::millis,
    attempts::{Attempts, Failed},
    joins::Weight,
    lanes::Lane,
    private::Private,
    refusal::Refusal,
    reply::Reply,
    settle::{self, Used, Work},
    vigil::{Limit, Vigil, Wake},
    whole,
};

/// How a stream went: what ended it, what the client got, what it used.
pub(crate) struct Relayed {
    /// What the client still has to be told; `None` if the stream came to its own end.
    pub(crate) failed: Option<Failed>,
    /// The client has got a byte of it: no other attempt may follow.
    pub(crate) committed: bool,
    pub(crate) verdict: Verdict,
    pub(crate) facts: StreamFacts,
    pub(crate) used: Used,
    pub(crate) timing: Timing,
    /// All had left, and what is kept is cut where they did.
    pub(crate) cut: bool,
}

/// What is left behind the last whole event of a complete stream: nothing, or an end marker whose blank line never came, as some servers send it.
fn is_nothing(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii();
    rest.is_empty() || rest.strip_prefix(b"data:").is_some_and(|marker| marker.trim_ascii() == b"[DONE]")
}

/// What one relay needs to know about its call.
pub(crate) struct Terms<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) attempts: &'a Attempts<'a>,
    pub(crate) lane: &'a Lane,
    pub(crate) asked: Private<'a>,
    pub(crate) hold: &'a Hold,
    pub(crate) price: Price,
    pub(crate) input: u64,
    /// weir asked for usage on the client's behalf: the chunk that brings it is not the client's, nor the `"usage":null` of the others.
    pub(crate) take_usage: bool,
    pub(crate) began: Instant,
    /// So long the client may hear nothing.
    pub(crate) heartbeat: Duration,
}

/// A stream on its way through.
struct Stream<'a, 'b> {
    terms: &'b Terms<'a>,
    reply: &'b mut Reply,
    watch: StreamWatch,
    splitter: FrameSplitter,
    frames: Vec<Bytes>,
    seam: Seam,
    /// Comments that came before the first event, while another attempt could still be made.
    early: Vec<Bytes>,
    early_bytes: usize,
    headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// What the client had got when it left: tokens and whether there was any output.
    left_with: Option<(u64, bool)>,
    any_output: bool,
    malformed: bool,
    timing: Timing,
    last_event: Option<Instant>,
}

/// Why reading stopped.
enum Stop {
    Eof(Eof),
    Limit(Limit),
    Oversize,
    /// The upstream said why itself.
    Told(Box<weir_wire::UpstreamError>),
}

/// After the family's own end marker an upstream may take this long to close before weir closes for it.
const AFTER_MARKER: Duration = Duration::from_millis(500);

/// Comments held back before the first event, in bytes; beyond that they pass, and the upstream is committed to.
const EARLY_BYTES: usize = 16 << 10;

/// Relays `answer`, whose first piece is `start`, until something ends it. Sends no last word: that depends on the charge.
pub(crate) async fn run(terms: &Terms<'_>, answer: &mut Answer, start: Bytes, vigil: &mut Vigil, reply: &mut Reply) -> Relayed {
    let headers = whole::passed(&std::mem::take(&mut answer.head.headers));
    let mut stream = Stream {
        watch: StreamWatch::new(reply.dialect()),
        splitter: FrameSplitter::new(terms.gateway.settings.limits.event_bytes),
        headers,
        terms,
        reply,
        frames: Vec::new(),
        seam: Seam::default(),
        early: Vec::new(),
        early_bytes: 0,
        left_with: None,
        any_output: false,
        malformed: false,
        timing: Timing::default(),
        last_event: None,
    };
    let stop = stream.read(answer, start, vigil).await;
    #[cfg(test)]
    if !matches!(stop, Stop::Eof(Eof::Clean)) {
        let rest = std::mem::replace(&mut stream.splitter, FrameSplitter::new(0)).finish();
        terms.gateway.sabotage.spoil(rest, stream.reply).await;
    }
    // Who comes back in time still gets it all.
    if matches!(stop, Stop::Eof(_) | Stop::Told(_)) && vigil.client_left() && stream.reply.outlet.is_kept() {
        vigil.returns().await;
    }
    stream.relayed(stop, vigil.client_left())
}

impl Stream<'_, '_> {
    async fn read(&mut self, answer: &mut Answer, start: Bytes, vigil: &mut Vigil) -> Stop {
        let mut next = Some(start);
        let mut marked_at: Option<Instant> = None;
        loop {
            if let Some(piece) = next.take() {
                vigil.heard();
                if self.splitter.feed(piece, &mut self.frames).is_err() {
                    return Stop::Oversize;
                }
                let mut frames = std::mem::take(&mut self.frames);
                for frame in frames.drain(..) {
                    match self.frame(frame, vigil).await {
                        Passed::On => {}
                        Passed::Marker => marked_at = Some(Instant::now()),
                        Passed::Stop(stop) => return stop,
                    }
                }
                self.frames = frames;
            }
            let quiet_at = marked_at.map_or_else(|| self.quiet_at(), |at| Some(at + AFTER_MARKER));
            let Some(wake) = vigil.listen(answer.chunk(), quiet_at).await else {
                self.back();
                continue;
            };
            match wake {
                Wake::Ready(Some(Ok(piece))) => next = Some(piece),
                Wake::Ready(None) => return Stop::Eof(Eof::Clean),
                Wake::Ready(Some(Err(WireError::Unsent | WireError::Silent | WireError::NotHttp | WireError::Cut))) => {
                    return Stop::Eof(Eof::Cut);
                }
                Wake::Limit(limit) => return Stop::Limit(limit),
                Wake::Quiet if marked_at.is_some() => return Stop::Eof(Eof::Clean),
                Wake::Quiet => {
                    if self.reply.heartbeat().is_err() {
                        self.leave();
                    }
                }
            }
        }
    }

    /// When the client should hear something. Before the stream is open, that is when it is opened early.
    fn quiet_at(&self) -> Option<Instant> {
        let open_early = self.terms.gateway.settings.streams.open_early;
        Some(if self.reply.is_open() { self.reply.last_write + self.terms.heartbeat } else { self.terms.began + open_early })
    }

    async fn frame(&mut self, frame: Bytes, vigil: &mut Vigil) -> Passed {
        let seen = self.watch.see(&frame);
        match seen {
            Seen::Comment if self.reply.events == 0 && self.early_bytes + frame.len() <= EARLY_BYTES => {
                self.early_bytes += frame.len();
                self.early.push(frame);
                return Passed::On;
            }
            Seen::UsageOnly if self.terms.take_usage => {
                self.seam.take_out(&frame);
                return Passed::On;
            }
            Seen::Error(error) => return Passed::Stop(Stop::Told(error)),
            // The family's own way to fail; with nothing before it, it is a refusal like any other.
            Seen::Failed(error) if self.reply.events == 0 => return Passed::Stop(Stop::Told(error)),
            Seen::Malformed => self.malformed = true,
            Seen::Content => self.any_output = true,
            _ => {}
        }
        let is_end = matches!(seen, Seen::Marker | Seen::Failed(_));
        if !self.reply.is_open() {
            self.reply.open(std::mem::take(&mut self.headers));
        }
        if self.reply.events == 0 {
            self.terms.attempts.said(self.terms.lane, Outcome::Good);
        }
        let mut early = std::mem::take(&mut self.early);
        let is_chunk = matches!(seen, Seen::Progress | Seen::Content);
        let frame = self.seam.close(frame);
        early.push(if self.terms.take_usage && is_chunk { without_null_usage(&frame) } else { frame });
        if let Some(limit) = self.pass(early, vigil).await {
            return Passed::Stop(Stop::Limit(limit));
        }
        if !matches!(seen, Seen::Comment) {
            self.time_event();
        }
        if is_end { Passed::Marker } else { Passed::On }
    }

    /// Hands frames to the client. A slow reader slows the upstream, but not beyond the call's total.
    async fn pass(&mut self, frames: Vec<Bytes>, vigil: &mut Vigil) -> Option<Limit> {
        if self.left_with.is_none() {
            let bytes = frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
            self.note(frames.len() as u64, bytes);
        }
        for frame in frames {
            if self.left_with.is_some() && !self.reply.outlet.is_kept() {
                return None;
            }
            let weight = Weight { tokens: self.watch.delivered().tokens, any: self.any_output };
            let whole = frame.clone();
            match vigil.patiently(self.reply.pass_weighed(frame, 1, weight)).await {
                Wake::Ready(Ok(())) => self.back(),
                Wake::Quiet => {}
                Wake::Ready(Err(_)) => self.leave(),
                // The family's own end came in time: it is not its reader's slowness that makes a stream incomplete.
                Wake::Limit(_) if self.watch.end(Eof::Clean) == StreamEnd::Done => {
                    let _ = self.reply.append(&whole);
                }
                Wake::Limit(limit) => return Some(limit),
            }
        }
        None
    }

    /// Notes what a crash would charge: what was delivered with the events that are about to be. Before they leave, since a reader on another
    /// thread may have them at once.
    fn note(&self, more: u64, bytes: u64) {
        let (amount, usage) = settle::so_far(&self.terms.price, self.terms.input, self.watch.delivered().tokens);
        self.terms.hold.progress(self.reply.events + more, self.reply.bytes + bytes, amount, usage);
    }

    /// Somebody came back, and reads from the first event.
    fn back(&mut self) {
        if self.left_with.take().is_some() {
            self.note(0, 0);
        }
    }

    /// Remembers what the client had when it left; what follows is not delivered.
    fn leave(&mut self) {
        if self.left_with.is_none() {
            self.left_with = Some((self.watch.delivered().tokens, self.any_output));
        }
    }

    fn delivered(&self) -> u64 {
        self.left_with.map_or_else(|| self.watch.delivered().tokens, |(tokens, _)| tokens)
    }

    fn time_event(&mut self) {
        let now = Instant::now();
        let at = millis(now - self.terms.began);
        if let Some(last) = self.last_event {
            let gap = millis(now - last);
            self.timing.gap_max = Some(self.timing.gap_max.map_or(gap, |max| max.max(gap)));
        } else {
            self.timing.first_event = Some(at);
        }
        self.timing.last_event = Some(at);
        self.last_event = Some(now);
    }

    /// Puts together what happened.
    fn relayed(mut self, stop: Stop, gone: bool) -> Relayed {
        // An upstream may leave out the last blank line; a whole last line is still an event to every client.
        let rest = std::mem::replace(&mut self.splitter, FrameSplitter::new(0)).finish();
        let (end, verdict, failed) = self.ending(stop, &rest);
        let complete = matches!(end, StreamEnd::Done | StreamEnd::EofNoDone);
        let finish = self.terms.gateway.settings.streams.client_gone == crate::ClientGone::Finish;
        let (events, bytes) = self.last_look(gone, complete, finish);
        let left = self.left_with.is_some();
        let work = match (complete, left) {
            (true, false) => Work::Complete,
            (true, true) if finish => Work::Finished,
            (_, true) => Work::ClientLeft,
            (false, false) if self.watch.is_complete() => Work::CutAtEnd,
            (false, false) => Work::Cut,
        };
        let any_output = self.left_with.map_or(self.any_output, |(_, any)| any);
        let (verdict, failed) = match (left, work) {
            (false, _) => (verdict, failed.map(|failed| Failed { refusal: failed.refusal.judged(verdict), ..failed })),
            // Nobody is there to be told; what was made is charged or was delivered in part.
            (true, _) if any_output || work == Work::Finished => (Verdict::ProducedNotDelivered, None),
            (true, _) => (Verdict::ClientLeft, None),
        };
        Relayed {
            used: Used { work, reported: self.watch.usage(), input: self.terms.input, delivered: self.delivered(), any_output },
            facts: StreamFacts {
                end: if left && !complete { StreamEnd::ClientGone } else { end },
                events,
                bytes,
                finish_reason: self.watch.finish_reason().map(|reason| self.terms.gateway.screen.token(reason)),
            },
            verdict,
            failed,
            committed: self.reply.events > 0,
            cut: left && work != Work::Finished,
            timing: self.timing,
        }
    }

    /// Whether all have left, and with how many events and bytes. What is not charged is not kept for anybody either.
    fn last_look(&mut self, gone: bool, complete: bool, finish: bool) -> (u64, u64) {
        let (all, outlet) = ((self.reply.events, self.reply.bytes), &self.reply.outlet);
        if !gone && self.left_with.is_none() {
            return all;
        }
        match if complete && finish { outlet.reached() } else { outlet.give_up() } {
            // They left with the last of it.
            Some(reached) if reached.all && complete => self.left_with = None,
            Some(reached) => {
                self.left_with = Some((reached.weight.tokens, reached.weight.any));
                return (reached.events, reached.bytes);
            }
            // Somebody is back.
            None if outlet.is_kept() => self.left_with = None,
            None => self.leave(),
        }
        all
    }

    fn ending(&self, stop: Stop, rest: &Bytes) -> (StreamEnd, Verdict, Option<Failed>) {
        let refuse = |end, failed: Failed| (end, failed.refusal.verdict, Some(failed));
        let upstream = |verdict| Failed::unanswered(Refusal::of(verdict).scope(Scope::Upstream).by(Side::Upstream));
        match stop {
            Stop::Eof(how) => {
                let end = self.watch.end(how);
                match end {
                    StreamEnd::Done | StreamEnd::EofNoDone if is_nothing(rest) => (end, self.verdict_of_whole(), None),
                    _ if how == Eof::Clean && self.reply.events == 0 && rest.is_empty() => {
                        refuse(StreamEnd::EofNoFinish, upstream(Verdict::StreamSilent))
                    }
                    _ if how == Eof::Clean => refuse(StreamEnd::EofNoFinish, upstream(Verdict::EndMarkerMissing)),
                    _ => refuse(StreamEnd::UpstreamCut, upstream(Verdict::StreamCut)),
                }
            }
            Stop::Limit(limit) => {
                let end = match limit {
                    Limit::Idle => StreamEnd::IdleTimeout,
                    Limit::Total => StreamEnd::TotalTimeout,
                    Limit::Linger => StreamEnd::ClientGone,
                    Limit::Draining => StreamEnd::Draining,
                };
                // The end marker may have passed already: then nothing is missing.
                if self.watch.is_complete() && self.watch.end(Eof::Clean) == StreamEnd::Done {
                    return (StreamEnd::Done, self.verdict_of_whole(), None);
                }
                refuse(end, whole::silent(limit))
            }
            Stop::Oversize => {
                let refusal = Refusal::of(Verdict::FramesMalformed).scope(Scope::Upstream).by(Side::Upstream);
                refuse(StreamEnd::Oversize, Failed::for_good(refusal.saying("an event exceeds its limit")))
            }
            Stop::Told(error) => {
                let failed = whole::refused_with(self.terms.gateway, &self.terms.lane.target.host, self.terms.asked, &error);
                let verdict = if self.reply.events > 0 { Verdict::ErrorInStream } else { failed.refusal.verdict };
                (StreamEnd::UpstreamError, verdict, Some(failed))
            }
        }
    }

    fn verdict_of_whole(&self) -> Verdict {
        match self.watch.finish_reason() {
            _ if self.malformed => Verdict::FramesMalformed,
            Some("length" | "content_filter" | "max_tokens" | "max_output_tokens") => Verdict::EndedByLimit,
            _ => Verdict::Ok,
        }
    }
}

/// What became of a frame.
enum Passed {
    On,
    /// It was the family's own end.
    Marker,
    Stop(Stop),
}
