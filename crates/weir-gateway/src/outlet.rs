//! Where a call's answer leaves for its client: one head, then one piece at a time.
//!
//! The call and the connection share a task: the connection polls the call whenever it wants the next piece, so nothing is
//! queued, nobody is woken, and a slow reader slows the upstream. When the client hangs up, hyper drops the connection's
//! end; the call is then handed to the [`Closer`] and learns of it through [`Outlet::is_gone`].
//!
//! A second reader changes that once and for all: the call moves to the closer, and every reader, the first client too, reads
//! what is kept of the answer (`joins/kept.rs`) at its own pace. Only when nothing more fits does the slowest reader slow the upstream.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::{
    closer::Closer,
    joins::{
        Kept, Weight,
        seats::{Seat, Seats},
    },
    reply::{HEARTBEAT, numbered},
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

#[derive(Default)]
struct Gap {
    head: Option<Response<()>>,
    piece: Option<Bytes>,
    /// The piece in the gap is the last of those that are kept.
    counted: bool,
    /// No piece follows the one in the gap.
    ended: bool,
    gone: bool,
    /// The answer as others may read it; `None` if it is not kept.
    kept: Option<Box<Kept>>,
    /// Readers besides the first client, once there was one.
    seats: Option<Box<Seats>>,
    /// How far the first client read, once there are others or it left.
    first: Seat,
    /// Polls the call when it runs with the closer.
    driver: Option<Waker>,
    /// The call waits for its readers.
    blocked: bool,
    /// Somebody has got the whole answer.
    delivered: bool,
    outcome: Option<Outcome>,
}

/// How a call ended, for whoever asks for its answer afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) charged: bool,
    /// What is kept is the answer to its own end.
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

#[derive(Default)]
struct Shared {
    gap: Mutex<Gap>,
    /// Locked while the call is polled, never while the gap is locked.
    call: Mutex<Drive>,
}

/// The call's end.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Shared>);

/// Nobody reads: what is sent is kept at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

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
    fn attended(&self) -> bool {
        !self.gone || self.seats.as_ref().is_some_and(|seats| seats.any())
    }

    fn keep(&mut self, piece: &[u8], weight: Weight) -> bool {
        let keeps = self.kept.as_mut().is_some_and(|kept| kept.push(piece, weight));
        if !keeps {
            self.kept = None;
        }
        keeps
    }

    /// Pieces that the first client took while it alone read.
    fn taken_alone(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.len()) - usize::from(self.counted && self.piece.is_some())
    }

    /// What was kept after the first client had left.
    fn first_misses(&self) -> bool {
        self.gone && self.kept.as_ref().is_some_and(|kept| kept.len() > self.first.place)
    }

    fn first_left(&mut self) {
        self.gone = true;
        if self.seats.is_none() {
            self.first.place = self.taken_alone();
        }
        self.first.waker = None;
    }

    /// Gives up what was kept beyond its bound for those who waited, once they have it.
    fn trim(&mut self) {
        if self.outcome.is_some() && !self.attended() && self.kept.as_ref().is_some_and(|kept| kept.is_too_long()) {
            self.kept = None;
        }
    }

    /// From now on everybody reads what is kept.
    fn share(&mut self) -> &mut Seats {
        if self.seats.is_none() && !self.gone {
            self.first.place = self.taken_alone();
            self.piece = None;
            self.first.wake();
        }
        self.seats.get_or_insert_default()
    }

    /// A first client that reads alone polls the call itself and need not be woken.
    fn wake_readers(&mut self) {
        if let Some(seats) = &mut self.seats {
            seats.wake();
            self.first.wake();
        }
    }

    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Waits for readers, or for somebody to come back.
    fn block(&mut self, cx: &Context<'_>) {
        self.blocked = true;
        self.attend(cx);
    }

    /// Who runs the call when it is not a connection that polls it anyway.
    fn attend(&mut self, cx: &Context<'_>) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    /// A piece for all readers; `None` while the slowest of them leaves no room for it.
    fn publish(&mut self, piece: &[u8], weight: Weight) -> Option<Result<(), Gone>> {
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

    /// What a reader at `place` finds; moves it on.
    fn find(&mut self, place: usize) -> Found {
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
        if !std::mem::replace(&mut self.delivered, true) {
            self.wake_driver();
        }
        Found::End
    }
}

impl Outlet {
    fn gap(&self) -> MutexGuard<'_, Gap> {
        self.0.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drive(&self) -> MutexGuard<'_, Drive> {
        self.0.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the answer is kept, so that others may read it.
    pub(crate) fn keep(&self, kept: Kept) {
        self.gap().kept = Some(Box::new(kept));
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
        gap.wake_readers();
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

    /// Sends a heartbeat: it is no part of the answer.
    pub(crate) async fn beat(&self) -> Result<(), Gone> {
        std::future::poll_fn(|_| {
            let mut gap = self.gap();
            match (gap.seats.is_some(), gap.attended()) {
                (_, false) => return Poll::Ready(Err(Gone)),
                (true, true) => {
                    gap.first.quiet = true;
                    if let Some(seats) = &mut gap.seats {
                        seats.quiet();
                    }
                    gap.wake_readers();
                }
                (false, true) if gap.head.is_some() || gap.piece.is_some() => return Poll::Pending,
                (false, true) => (gap.piece, gap.counted) = (Some(HEARTBEAT), false),
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends the whole of an answer and waits until a client's connection took it.
    pub(crate) async fn finish(&self, head: Response<()>, body: Bytes) -> Result<(), Gone> {
        {
            let mut gap = self.gap();
            gap.head = Some(head);
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
            gap.ended = true;
            gap.wake_readers();
        }
        self.delivered().await
    }

    /// Says that no piece follows and waits until the last one was taken.
    pub(crate) async fn end(&self) -> Result<(), Gone> {
        {
            let mut gap = self.gap();
            gap.ended = true;
            gap.wake_readers();
        }
        self.delivered().await
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

    /// How far the furthest reader came: pieces, their bytes and what they weigh, and whether that is all there is. `None` if nothing is kept.
    pub(crate) fn reached(&self) -> Option<(u64, u64, Weight, bool)> {
        let gap = self.gap();
        let kept = gap.kept.as_ref()?;
        let alone = gap.seats.is_none() && !gap.gone;
        let first = if alone { gap.taken_alone() } else { gap.first.place };
        let place = gap.seats.as_ref().map_or(0, |seats| seats.furthest()).max(first);
        let (weight, bytes) = kept.reached(place);
        Some((place as u64, bytes, weight, place == kept.len()))
    }

    /// How the answer stands for others.
    pub(crate) fn standing(&self) -> Standing {
        let gap = self.gap();
        Standing {
            outcome: gap.outcome,
            kept: gap.kept.as_ref().is_some_and(|kept| kept.is_from_the_first()),
            left: !gap.attended() && !gap.delivered,
        }
    }

    /// The call is over: what is kept stays for whoever asks for it.
    pub(crate) fn close(&self, outcome: Outcome) {
        let mut gap = self.gap();
        gap.ended = true;
        gap.outcome = Some(outcome);
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
    pub(crate) fn attach(&self, closer: &Closer) -> Option<Reader> {
        // Whoever polls the call now does so with this lock.
        let mut drive = self.drive();
        let mut gap = self.gap();
        let kept = gap.kept.as_ref().is_some_and(|kept| kept.is_from_the_first());
        if !kept || gap.outcome.is_some_and(|outcome| !outcome.charged) {
            return None;
        }
        let seat = gap.share().take(0)?;
        gap.wake_driver();
        let running = gap.outcome.is_none();
        drop(gap);
        match std::mem::replace(&mut *drive, Drive::Away) {
            Drive::Here(call) => closer.adopt(call),
            elsewhere => *drive = elsewhere,
        }
        Some(Reader { outlet: self.clone(), seat, running })
    }
}

/// Somebody who reads a call's answer besides its first client.
pub(crate) struct Reader {
    outlet: Outlet,
    seat: usize,
    /// The call had not ended when it came.
    pub(crate) running: bool,
}

impl Reader {
    /// The head, and the body where that is no stream; `None` if `own` client left before.
    pub(crate) async fn head(&self, own: &Outlet) -> Option<(StatusCode, HeaderMap, Option<Bytes>)> {
        std::future::poll_fn(|cx| {
            if own.is_gone() {
                return Poll::Ready(None);
            }
            let mut gap = self.outlet.gap();
            let ended = gap.ended;
            let Some(kept) = &gap.kept else { return Poll::Ready(None) };
            match kept.head() {
                // An answer that is no stream comes with its head.
                Some((status, headers)) if kept.whole().is_some() || kept.len() > 0 || ended || is_stream(&headers) => {
                    Poll::Ready(Some((status, headers, kept.whole().cloned())))
                }
                _ => {
                    if let Some(seats) = &mut gap.seats {
                        seats.wait(self.seat, cx);
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// What comes next; `None` if `own` client left.
    pub(crate) async fn next(&mut self, own: &Outlet) -> Option<Found> {
        std::future::poll_fn(|cx| {
            if own.is_gone() {
                return Poll::Ready(None);
            }
            let gap = &mut *self.outlet.gap();
            let Some(place) = gap.seats.as_ref().map(|seats| seats.place(self.seat)) else { return Poll::Ready(None) };
            let found = gap.find(place);
            let Some(seats) = &mut gap.seats else { return Poll::Ready(None) };
            match found {
                Found::Piece(_) => seats.advance(self.seat),
                Found::Nothing if seats.take_quiet(self.seat) => return Poll::Ready(Some(Found::Quiet)),
                Found::Nothing => {
                    seats.wait(self.seat, cx);
                    return Poll::Pending;
                }
                _ => {}
            }
            Poll::Ready(Some(found))
        })
        .await
    }

    /// Skips what its client has seen already.
    pub(crate) async fn skip(&mut self, events: u64, own: &Outlet) {
        let mut seen = 0;
        while seen < events
            && let Some(Found::Piece(piece)) = self.next_ready(own).await
        {
            seen += u64::from(crate::joins::is_event(&piece));
        }
    }

    async fn next_ready(&mut self, own: &Outlet) -> Option<Found> {
        loop {
            match self.next(own).await {
                Some(Found::Quiet) => {}
                found => return found,
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut gap = self.outlet.gap();
        if let Some(seats) = &mut gap.seats {
            seats.leave(self.seat);
        }
        gap.trim();
        // The last one to leave begins the linger; any may have been the slowest.
        gap.blocked = false;
        gap.wake_driver();
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The connection's end: drives the call, and is the body of its answer.
pub(crate) struct Driven {
    outlet: Outlet,
    closer: Closer,
    size: SizeHint,
    /// The number of the last event, where the client asked for `id:` lines.
    numbered: Option<u64>,
}

impl Driven {
    /// Pairs a call with its client; `make` gets the call's end. `numbered`: the client's first event is the one after this.
    pub(crate) fn new(closer: Closer, numbered: Option<u64>, make: impl FnOnce(Outlet) -> Call) -> Self {
        let outlet = Outlet(Arc::default());
        let call = make(outlet.clone());
        *outlet.drive() = Drive::Here(call);
        Self { outlet, closer, size: SizeHint::default(), numbered }
    }

    /// Runs the call until it has a head, then becomes the body that follows it.
    pub(crate) async fn response(mut self) -> Response<Self> {
        let head = std::future::poll_fn(|cx| {
            self.outlet.gap().first.wait(cx);
            self.drive(cx);
            let mut gap = self.outlet.gap();
            let Some(head) = gap.head.take() else { return Poll::Pending };
            let shared = gap.seats.is_some();
            match gap.kept.as_ref().and_then(|kept| kept.whole()) {
                Some(whole) if shared => self.size = SizeHint::with_exact(whole.len() as u64),
                _ if gap.ended && !shared => {
                    self.size = SizeHint::with_exact(gap.piece.as_ref().map_or(0, |piece| piece.len() as u64));
                }
                _ => {}
            }
            Poll::Ready(head)
        })
        .await;
        // An answer without a body is taken with its head: let the call see that before hyper drops this end.
        if self.outlet.gap().piece.is_none() {
            std::future::poll_fn(|cx| {
                self.drive(cx);
                Poll::Ready(())
            })
            .await;
        }
        head.map(|()| self)
    }

    /// Polls the call if it is here.
    fn drive(&self, cx: &mut Context<'_>) {
        let mut drive = self.outlet.drive();
        if let Drive::Here(call) = &mut *drive
            && call.as_mut().poll(cx).is_ready()
        {
            *drive = Drive::Over;
        }
    }

    /// Takes what there is for the client, and says whether the call must be polled for more.
    fn take(&self, cx: &Context<'_>) -> (Found, bool) {
        let gap = &mut *self.outlet.gap();
        gap.first.wait(cx);
        if gap.seats.is_none() {
            return match gap.piece.take() {
                Some(piece) => (Found::Piece(piece), gap.ended),
                None if gap.ended => (Found::End, true),
                None => (Found::Nothing, true),
            };
        }
        let found = gap.find(gap.first.place);
        match found {
            Found::Piece(_) => {
                gap.first.place += 1;
                // hyper may not ask for the end of a body whose length it knows.
                if gap.ended && gap.kept.as_ref().is_some_and(|kept| kept.len() == gap.first.place) {
                    gap.find(gap.first.place);
                }
            }
            Found::Nothing if std::mem::take(&mut gap.first.quiet) => return (Found::Quiet, false),
            _ => {}
        }
        (found, false)
    }
}

impl Body for Driven {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // Taking a piece makes room for the next; an ended call must notice at once, hyper may not ask again.
        let (mut found, mut drives) = self.take(cx);
        if drives && matches!(found, Found::Nothing) {
            self.drive(cx);
            (found, drives) = self.take(cx);
            drives &= !matches!(found, Found::Nothing);
        }
        if drives {
            self.drive(cx);
        }
        match found {
            Found::Piece(piece) => {
                let piece = match &mut self.numbered {
                    Some(last) => numbered(piece, last),
                    None => piece,
                };
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Found::Quiet => Poll::Ready(Some(Ok(Frame::data(HEARTBEAT)))),
            Found::End | Found::Lost => Poll::Ready(None),
            // It ended without saying so.
            Found::Nothing if matches!(*self.outlet.drive(), Drive::Over) => Poll::Ready(None),
            Found::Nothing => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        let gap = self.outlet.gap();
        let read = match (&gap.seats, &gap.kept) {
            (Some(_), Some(kept)) => gap.first.place == kept.len(),
            _ => gap.piece.is_none(),
        };
        gap.ended && read
    }

    fn size_hint(&self) -> SizeHint {
        self.size.clone()
    }
}

impl Drop for Driven {
    /// The client's end is gone. If the call is not, it goes on in the closer's care; nothing is written here.
    fn drop(&mut self) {
        let mut drive = self.outlet.drive();
        let mut gap = self.outlet.gap();
        gap.first_left();
        gap.trim();
        gap.wake_driver();
        drop(gap);
        match std::mem::replace(&mut *drive, Drive::Away) {
            Drive::Here(call) => self.closer.adopt(call),
            elsewhere => *drive = elsewhere,
        }
    }
}
