//! What lies between a call and its readers: the piece for the first client, or what is kept for all of them.

use std::{
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

use super::{Gone, Outlet, Reached};
use crate::{
    joins::{
        Kept, Weight,
        seats::{Seat, Seats},
    },
    line::Line,
};

#[derive(Default)]
pub(super) struct Gap {
    pub(super) head: Option<Response<()>>,
    pub(super) piece: Option<Bytes>,
    /// The piece in the gap is the last of those that are kept.
    pub(super) counted: bool,
    /// No piece follows the one in the gap.
    pub(super) ended: bool,
    /// The body ends before its end.
    pub(super) broken: bool,
    pub(super) gone: bool,
    /// The answer as others may read it; `None` if it is not kept.
    pub(super) kept: Option<Box<Kept>>,
    /// Readers besides the first client, once there was one.
    pub(super) seats: Option<Box<Seats>>,
    /// How far the first client read, once there are others or it left.
    pub(super) first: Seat,
    /// Polls the call when it runs with the closer.
    pub(super) driver: Option<Waker>,
    /// The call waits for its readers.
    pub(super) blocked: bool,
    /// Somebody has got the whole answer.
    pub(super) delivered: bool,
    pub(super) outcome: Option<Outcome>,
    /// When the call began and ended, as far as others may repeat it.
    pub(super) since: Option<Instant>,
    pub(super) closed_at: Option<Instant>,
    /// The answer has a head.
    pub(super) begun: bool,
    /// Nobody came back within the linger: nobody joins any more, the upstream is being cancelled.
    pub(super) abandoned: bool,
    /// Somebody was told that the call goes on and can be joined.
    pub(super) promised: bool,
    /// The first client's connection.
    pub(super) line: Option<Line>,
    /// The connection of whoever came last to read it, too.
    pub(super) latest: Option<Line>,
    /// The connections of all who read were seen closed, though their tasks do not know that yet.
    pub(super) hung_up: bool,
    /// When the last of the answer was there to be taken.
    pub(super) ended_at: Option<Instant>,
    /// The whole answer left, and its client's connection broke before it was known to have arrived.
    pub(super) lost_at: Option<Instant>,
    /// Told once when that is seen.
    pub(super) on_loss: Option<Box<dyn FnOnce() + Send>>,
    /// The answer that this one repeats: what is lost of it is lost of that.
    pub(super) source: Option<Outlet>,
    /// What the first client was told before there was an answer.
    pub(super) parted: Option<Box<Parted>>,
}

/// So long after its connection broke an answer waits for whoever asks for it anew: longer than any SDK or tool pauses by itself.
const LOST: Duration = Duration::from_secs(60);
/// A client that gave up on a call waited at least as long; of younger calls only the latest is asked for its client.
const WAITED: Duration = Duration::from_millis(250);
/// Kernels acknowledge what they got much earlier.
pub(super) const ACKNOWLEDGED: Duration = Duration::from_secs(1);
/// More readers than this are not asked one by one: one of them is there.
const ASKED: usize = 16;

/// A first client's own answer, because it would not wait for the call's.
pub(super) struct Parted {
    pub(super) at: Instant,
    pub(super) status: u16,
    /// Until its connection takes it.
    pub(super) answer: Option<(Response<()>, Bytes)>,
}

/// How a call ended, for whoever asks for its answer afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) charged: bool,
    /// What is kept is all that there was of the answer, not cut because its client had left.
    pub(crate) complete: bool,
}

/// How a call's answer stands for others who want to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) kept: bool,
    /// Nobody reads it and nobody has got the whole of it.
    pub(crate) left: bool,
}

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Found {
    Piece(Bytes),
    /// Nothing, but the call says that it is well.
    Quiet,
    /// Nothing more will come.
    End,
    /// Nothing yet.
    Nothing,
    /// What it wanted to read is kept no more.
    Lost,
}

impl Gap {
    pub(super) fn attended(&self) -> bool {
        !self.gone || self.seats.as_ref().is_some_and(|seats| seats.any())
    }

    /// The answer left and did not arrive.
    pub(super) fn lost(&mut self) {
        self.lost_at = Some(Instant::now());
        if let Some(tell) = self.on_loss.take() {
            tell();
        }
    }

    /// Whether the answer left and did not arrive, as far as that is known.
    pub(super) fn is_lost(&self) -> bool {
        self.lost_at.is_some_and(|at| at.elapsed() < LOST)
    }

    /// Whether connections should be asked before its readers are taken for well.
    pub(super) fn is_doubtful(&self) -> bool {
        match (self.outcome, self.closed_at) {
            (Some(outcome), Some(at)) => outcome.complete && self.kept.is_some() && self.lost_at.is_none() && at.elapsed() < LOST,
            _ => self.attended() && !self.hung_up,
        }
    }

    /// Whether that may be worth a question of every call, and not of the latest only.
    pub(super) fn is_settled(&self) -> bool {
        match self.closed_at {
            Some(at) => at.elapsed() >= ACKNOWLEDGED,
            None => self.since.is_some_and(|since| since.elapsed() >= WAITED),
        }
    }

    /// The connections of all who read it now; `None` if they are too many to be asked, or one has none.
    pub(super) fn lines(&self) -> Option<Vec<Line>> {
        let first = (!self.gone).then_some(&self.line);
        let seats = self.seats.iter().flat_map(|seats| seats.lines());
        let lines: Option<Vec<_>> = first.into_iter().chain(seats).take(ASKED + 1).map(Clone::clone).collect();
        lines.filter(|lines| lines.len() <= ASKED)
    }

    /// No piece follows.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.ended_at = Some(Instant::now());
    }

    /// Whether the answer is no stream.
    pub(super) fn is_whole(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.whole().is_some())
    }

    /// Whether somebody may still read the answer from its first piece on.
    pub(super) fn is_open(&self) -> bool {
        let ended = self.outcome.is_some();
        (ended || !self.abandoned) && self.kept.as_ref().is_some_and(|kept| kept.is_from_the_first())
    }

    pub(super) fn keep(&mut self, piece: &[u8], weight: Weight) -> bool {
        let keeps = self.kept.as_mut().is_some_and(|kept| kept.push(piece, weight));
        if !keeps {
            self.kept = None;
        }
        keeps
    }

    /// Pieces that the first client took while it alone read.
    pub(super) fn taken_alone(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.len()) - usize::from(self.counted && self.piece.is_some())
    }

    /// Pieces that the furthest reader has read.
    pub(super) fn furthest(&self) -> usize {
        let alone = self.seats.is_none() && !self.gone;
        let first = if alone { self.taken_alone() } else { self.first.place };
        self.seats.as_ref().map_or(0, |seats| seats.furthest()).max(first)
    }

    pub(super) fn reached(&self) -> Option<Reached> {
        let kept = self.kept.as_ref().filter(|_| !self.attended())?;
        let place = self.furthest();
        let (weight, bytes) = kept.reached(place);
        Some(Reached { events: place as u64, bytes, weight, all: place == kept.len() })
    }

    /// What was kept after the first client had left.
    pub(super) fn first_misses(&self) -> bool {
        self.gone && self.kept.as_ref().is_some_and(|kept| kept.len() > self.first.place)
    }

    pub(super) fn first_left(&mut self) {
        self.gone = true;
        if self.seats.is_none() {
            self.first.place = self.taken_alone();
        }
        self.first.waker = None;
    }

    /// Gives up what was kept beyond its bound for those who waited, once they have it.
    pub(super) fn trim(&mut self) {
        if self.outcome.is_some() && !self.attended() && self.kept.as_ref().is_some_and(|kept| kept.is_too_long()) {
            self.kept = None;
        }
    }

    /// From now on everybody reads what is kept.
    pub(super) fn share(&mut self) -> &mut Seats {
        if self.seats.is_none() && !self.gone {
            self.first.place = self.taken_alone();
            self.piece = None;
            self.first.wake();
        }
        self.seats.get_or_insert_default()
    }

    /// A first client that reads alone polls the call itself and need not be woken.
    pub(super) fn wake_readers(&mut self) {
        if let Some(seats) = &mut self.seats {
            seats.wake();
            self.first.wake();
        }
    }

    pub(super) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Waits for readers, or for somebody to come back.
    pub(super) fn block(&mut self, cx: &Context<'_>) {
        self.blocked = true;
        self.attend(cx);
    }

    /// Who runs the call when it is not a connection that polls it anyway.
    pub(super) fn attend(&mut self, cx: &Context<'_>) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    /// A piece for all readers; `None` while the slowest of them leaves no room for it.
    pub(super) fn publish(&mut self, piece: &[u8], weight: Weight) -> Option<Result<(), Gone>> {
        let attended = self.attended();
        let slowest =
            self.seats.as_ref().and_then(|seats| seats.slowest()).into_iter().chain((!self.gone).then_some(self.first.place)).min();
        let Some(kept) = &mut self.kept else { return Some(Err(Gone)) };
        if !kept.push(piece, weight) {
            let Some(slowest) = slowest else {
                self.kept = None;
                return Some(Err(Gone));
            };
            kept.drop_before(slowest);
            if !kept.push(piece, weight) && !kept.push_alone(piece, weight) {
                return None;
            }
        }
        self.wake_readers();
        Some(if attended { Ok(()) } else { Err(Gone) })
    }

    /// The last of an answer, whether there is room for it or not.
    pub(super) fn append(&mut self, piece: &Bytes) -> Result<(), Gone> {
        self.ended = true;
        if self.seats.is_some() {
            let Some(kept) = &mut self.kept else { return Err(Gone) };
            kept.push_anyway(piece);
            self.wake_readers();
            return if self.attended() { Ok(()) } else { Err(Gone) };
        }
        let counted = self.keep(piece, Weight::default());
        if self.gone {
            return Err(Gone);
        }
        self.piece = Some(self.piece.take().map_or_else(|| piece.clone(), |before| [before, piece.clone()].concat().into()));
        self.counted = counted;
        Ok(())
    }

    /// What a reader at `place` finds; moves it on.
    pub(super) fn find(&mut self, place: usize) -> Found {
        let Some(kept) = &self.kept else { return Found::Lost };
        if let Some(piece) = kept.piece(place) {
            if self.blocked {
                self.blocked = false;
                self.wake_driver();
            }
            return Found::Piece(piece);
        }
        if !self.ended {
            return Found::Nothing;
        }
        self.lost_at = None;
        if !std::mem::replace(&mut self.delivered, true) {
            self.wake_driver();
        }
        // The end is told when the call is sealed: no kill comes between an answer that is whole and its charge.
        if self.outcome.is_some() { Found::End } else { Found::Nothing }
    }
}
