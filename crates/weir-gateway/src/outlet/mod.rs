//! Where a call's answer leaves for its client: one head, then one piece at a time.
//!
//! The call and the connection share a task: the connection polls the call whenever it wants the next piece, so nothing is
//! queued, nobody is woken, and a slow reader slows the upstream. When the client hangs up, hyper drops the connection's
//! end; the call is then handed to the [`Closer`] and learns of it through [`Outlet::is_gone`].
//!
//! A second reader changes that once and for all: the call moves to the closer, and every reader, the first client too, reads
//! what is kept of the answer (`joins/kept.rs`) at its own pace. Only when nothing more fits does the slowest reader slow the upstream.

mod arrived;
mod driven;
mod gap;
mod reader;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

use self::gap::{Gap, Parted};
pub(crate) use self::{
    driven::Driven,
    gap::{Found, Outcome, Standing},
    reader::Reader,
};
use crate::{
    closer::Closer,
    joins::{Kept, Weight},
    patience::Parting,
    reply::HEARTBEAT,
};

/// A call as a future that owns everything it needs.
pub(crate) type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the call's future is.
#[derive(Default)]
enum Drive {
    /// With the connection of its first client.
    Here(Call),
    /// With the closer.
    Away,
    #[default]
    Over,
}

impl Drive {
    /// From now on the call runs with the closer, if it still runs.
    fn leave(&mut self, closer: &Closer) {
        match std::mem::replace(self, Self::Away) {
            Self::Here(call) => closer.adopt(call),
            elsewhere => *self = elsewhere,
        }
    }
}

#[derive(Default)]
struct Shared {
    gap: Mutex<Gap>,
    /// Locked while the call is polled, never while the gap is locked.
    call: Mutex<Drive>,
}

/// How far the furthest reader of an answer came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) weight: Weight,
    /// That is all there is.
    pub(crate) all: bool,
}

/// The call's end.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Shared>);

/// Nobody reads: what is sent is kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Outlet {
    fn gap(&self) -> MutexGuard<'_, Gap> {
        self.0.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drive(&self) -> MutexGuard<'_, Drive> {
        self.0.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the answer is kept, so that others may read it.
    pub(crate) fn keep(&self, kept: Kept) {
        let mut gap = self.gap();
        gap.kept = Some(Box::new(kept));
        gap.since = Some(Instant::now());
    }

    /// Shows the head to others as it is without this request's own id.
    pub(crate) fn keep_head(&self, head: &Response<()>) {
        let mut gap = self.gap();
        if let Some(kept) = &mut gap.kept {
            kept.set_head(head);
            gap.wake_readers();
        }
    }

    /// Sends the head; to be called once, before any piece.
    pub(crate) fn head(&self, head: Response<()>) {
        let mut gap = self.gap();
        gap.head = Some(head);
        gap.begun = true;
        gap.wake_readers();
    }

    /// Answers the first client before the call does: it counts as left, and the call goes on. Not once the call's own answer has begun.
    pub(crate) fn part(&self, parting: Parting) {
        let mut gap = self.gap();
        if gap.begun || gap.gone {
            return;
        }
        let (head, body) = parting.answer();
        gap.promised = true;
        gap.parted = Some(Box::new(Parted { at: Instant::now(), status: head.status().as_u16(), answer: Some((head, body)) }));
        // Its connection may wait for others to run the call.
        gap.first.wake();
        gap.first_left();
    }

    /// Somebody is told that the call goes on and can be joined.
    pub(crate) fn promise(&self) {
        self.gap().promised = true;
    }

    /// Whether somebody was told so.
    pub(crate) fn is_promised(&self) -> bool {
        self.gap().promised
    }

    /// The status that the first client got before the call had an answer, and when.
    pub(crate) fn parted(&self) -> Option<(u16, Instant)> {
        self.gap().parted.as_ref().map(|parted| (parted.status, parted.at))
    }

    /// Sends a piece as soon as the client took the one before, or keeps it where there are other readers.
    pub(crate) async fn send(&self, piece: Bytes, weight: Weight) -> Result<(), Gone> {
        std::future::poll_fn(|cx| {
            let mut gap = self.gap();
            if gap.seats.is_some() {
                return match gap.publish(&piece, weight) {
                    Some(sent) => Poll::Ready(sent),
                    None => {
                        gap.block(cx);
                        Poll::Pending
                    }
                };
            }
            if gap.gone {
                gap.keep(&piece, weight);
                return Poll::Ready(Err(Gone));
            }
            if gap.head.is_some() || gap.piece.is_some() {
                return Poll::Pending;
            }
            gap.counted = gap.keep(&piece, weight);
            gap.piece = Some(piece.clone());
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends a heartbeat: it is no part of the answer. Whoever has not taken yet what was sent needs none, and is not waited for.
    pub(crate) fn beat(&self) -> Result<(), Gone> {
        let mut gap = self.gap();
        match (gap.seats.is_some(), gap.attended()) {
            (_, false) => return Err(Gone),
            (true, true) => {
                gap.first.quiet = true;
                if let Some(seats) = &mut gap.seats {
                    seats.quiet();
                }
                gap.wake_readers();
            }
            (false, true) if gap.piece.is_some() => {}
            (false, true) => (gap.piece, gap.counted) = (Some(HEARTBEAT), false),
        }
        Ok(())
    }

    /// Puts the last of an answer behind what its client has not taken yet: the connection hands it over by itself.
    pub(crate) fn append(&self, piece: &Bytes) -> Result<(), Gone> {
        self.gap().append(piece)
    }

    /// Polls the call if it is with its first client's connection, which cannot take a next piece at the moment.
    pub(crate) fn run(&self, cx: &mut Context<'_>) {
        let mut drive = self.drive();
        if let Drive::Here(call) = &mut *drive
            && call.as_mut().poll(cx).is_ready()
        {
            *drive = Drive::Over;
        }
    }

    /// Sends the whole of an answer and waits until a client's connection took it.
    pub(crate) async fn finish(&self, head: Response<()>, body: Bytes) -> Result<(), Gone> {
        {
            let mut gap = self.gap();
            (gap.head, gap.begun) = (Some(head), true);
            let keeps = gap.kept.as_mut().is_some_and(|kept| kept.push_whole(&body));
            let shared = gap.seats.is_some();
            match &mut gap.kept {
                // Those who wait for it must have it, however long it is.
                Some(kept) if !keeps && shared => kept.push_whole_anyway(&body),
                Some(_) if !keeps => gap.kept = None,
                _ => {}
            }
            if !shared {
                (gap.piece, gap.counted) = ((!body.is_empty()).then_some(body), keeps);
            }
            gap.end();
            gap.wake_readers();
        }
        self.delivered().await
    }

    /// Says that no piece follows and waits until the last one was taken.
    pub(crate) async fn end(&self) -> Result<(), Gone> {
        {
            let mut gap = self.gap();
            gap.end();
            gap.wake_readers();
        }
        self.delivered().await
    }

    /// Ends a body that is no stream and not complete: its client's connection breaks, so that nobody takes it for whole.
    pub(crate) fn break_off(&self) {
        let mut gap = self.gap();
        (gap.broken, gap.ended) = (true, true);
        gap.wake_readers();
    }

    /// Until the head and the last piece were taken by somebody. While a connection polls the call no waker is kept: it polls again
    /// right after it took.
    pub(crate) async fn delivered(&self) -> Result<(), Gone> {
        std::future::poll_fn(|cx| {
            let mut gap = self.gap();
            // A client that took the last of it before it left misses nothing.
            gap.delivered |= gap.seats.is_none() && gap.head.is_none() && gap.piece.is_none() && !gap.first_misses();
            match (gap.delivered, gap.attended()) {
                (true, _) => Poll::Ready(Ok(())),
                (false, false) => Poll::Ready(Err(Gone)),
                (false, true) => {
                    if gap.seats.is_some() {
                        gap.attend(cx);
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Whether nobody reads. The call is polled anew when that changes, if it runs with the closer.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> bool {
        let mut gap = self.gap();
        if gap.gone || gap.seats.is_some() {
            gap.attend(cx);
        }
        !gap.attended()
    }

    /// Nobody came back in time: from now on nobody does, until the call has ended. `false` if somebody reads all the same.
    pub(crate) fn abandon(&self) -> bool {
        let mut gap = self.gap();
        gap.abandoned = !gap.attended();
        gap.abandoned
    }

    /// Whether nobody reads.
    pub(crate) fn is_gone(&self) -> bool {
        !self.gap().attended()
    }

    /// Whether somebody has got the whole answer.
    pub(crate) fn is_delivered(&self) -> bool {
        self.gap().delivered
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.gap().kept.is_some()
    }

    /// How far the furthest reader came, if nobody reads any more and the answer is kept.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.gap().reached()
    }

    /// The same, and from now on nobody ever reads more than that: it is all that is charged.
    pub(crate) fn give_up(&self) -> Option<Reached> {
        let mut gap = self.gap();
        let reached = gap.reached()?;
        let kept = gap.kept.as_mut()?;
        if kept.whole().is_some() {
            gap.kept = None;
        } else {
            kept.cut_at(usize::try_from(reached.events).unwrap_or(usize::MAX));
        }
        Some(reached)
    }

    /// An answer that was kept elsewhere, of a call that has ended.
    pub(crate) fn restored(kept: Kept, outcome: Outcome, left: bool) -> Self {
        let outlet = Self(Arc::default());
        {
            let mut gap = outlet.gap();
            (gap.kept, gap.outcome) = (Some(Box::new(kept)), Some(outcome));
            (gap.gone, gap.ended, gap.delivered) = (true, true, !left);
        }
        outlet
    }

    /// What is kept, from the first piece on.
    pub(crate) fn with_kept<T>(&self, read: impl FnOnce(&Kept) -> T) -> Option<T> {
        let gap = self.gap();
        gap.kept.as_ref().filter(|kept| kept.is_from_the_first()).map(|kept| read(kept))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// `tell` is told once, if it turns out that the answer did not arrive.
    pub(crate) fn on_loss(&self, tell: Box<dyn FnOnce() + Send>) {
        self.gap().on_loss = Some(tell);
    }

    /// The call is over: what is kept stays for whoever asks for it.
    pub(crate) fn close(&self, outcome: Outcome) {
        let mut gap = self.gap();
        gap.ended = true;
        gap.outcome = Some(outcome);
        gap.closed_at = Some(Instant::now());
        gap.driver = None;
        if let Some(kept) = &mut gap.kept {
            kept.settle();
        }
        gap.trim();
        gap.wake_readers();
    }

    /// Gives up what is kept, unless somebody reads it.
    pub(crate) fn forget(&self) {
        let mut gap = self.gap();
        if gap.outcome.is_some() && !gap.attended() {
            gap.kept = None;
        }
    }

    /// A reader from the first piece on; `None` if that is not kept, or nobody more may read. The call goes on with the closer.
    /// `own`: where the reader's own answer leaves.
    pub(crate) fn attach(&self, closer: &Closer, own: &Self) -> Option<Reader> {
        let line = own.gap().line.clone();
        // Whoever polls the call now does so with this lock.
        let mut drive = self.drive();
        let mut gap = self.gap();
        if !gap.is_open() || gap.outcome.is_some_and(|outcome| !outcome.charged) {
            return None;
        }
        let seat = gap.share().take(0, line.clone())?;
        (gap.latest, gap.hung_up) = (line, false);
        gap.wake_driver();
        let running = gap.outcome.is_none();
        drop(gap);
        drive.leave(closer);
        Some(Reader { outlet: self.clone(), seat, running })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::joins::Joins;

    #[tokio::test]
    async fn d3_nobody_joins_a_call_that_was_given_up_and_none_is_given_up_that_somebody_reads() {
        let (closer, joins) = (Closer::default(), Joins::new(crate::Replay::default()));
        let driven = Driven::new(closer.clone(), None, |outlet| {
            joins.keep(&outlet);
            Box::pin(std::future::pending())
        });
        let (outlet, own) = (driven.outlet().clone(), Outlet(Arc::default()));
        assert!(!outlet.abandon(), "its first client reads");
        drop(driven);
        let reader = outlet.attach(&closer, &own).unwrap();
        assert!(!outlet.abandon(), "somebody came back");
        drop(reader);
        assert!(outlet.abandon());
        assert!(outlet.attach(&closer, &own).is_none() && !outlet.standing().kept, "it is being cancelled");
        outlet.close(Outcome { charged: true, complete: false });
        assert!(outlet.attach(&closer, &own).is_some(), "what was charged can be read");
    }
}
