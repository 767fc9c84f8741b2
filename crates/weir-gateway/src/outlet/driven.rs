//! The connection's end of a call: polls it while it is here, and is the body of its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use super::{Call, Drive, Found, Outlet};
use crate::{
    closer::Closer,
    line::Line,
    reply::{HEARTBEAT, numbered},
};

/// The connection's end: drives the call, and is the body of its answer.
pub(crate) struct Driven {
    outlet: Outlet,
    closer: Closer,
    size: SizeHint,
    /// The number of the last event, where the client asked for `id:` lines.
    numbered: Option<u64>,
    /// The client got an answer of its own, and this is what is left of it.
    parted: Option<Option<Bytes>>,
}

impl Driven {
    /// Pairs a call with its client; `make` gets the call's end. `numbered`: the client's first event is the one after this.
    pub(crate) fn new(closer: Closer, numbered: Option<u64>, make: impl FnOnce(Outlet) -> Call) -> Self {
        let outlet = Outlet(Arc::default());
        let call = make(outlet.clone());
        *outlet.drive() = Drive::Here(call);
        Self { outlet, closer, size: SizeHint::default(), numbered, parted: None }
    }

    #[cfg(test)]
    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Its client's connection, for whoever repeats the request.
    pub(crate) fn on(self, line: &Line) -> Self {
        line.carry(&self.outlet);
        self.outlet.gap().line = Some(line.clone());
        self
    }

    /// Runs the call until it has a head, then becomes the body that follows it.
    pub(crate) async fn response(mut self) -> Response<Self> {
        let head = std::future::poll_fn(|cx| {
            self.outlet.gap().first.wait(cx);
            self.drive(cx);
            let mut gap = self.outlet.gap();
            if let Some((head, body)) = gap.parted.as_mut().and_then(|parted| parted.answer.take()) {
                self.size = SizeHint::with_exact(body.len() as u64);
                self.parted = Some(Some(body));
                return Poll::Ready(head);
            }
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
        if self.parted.is_some() {
            self.outlet.drive().leave(&self.closer);
            return head.map(|()| self);
        }
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
        self.outlet.run(cx);
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

/// The body ends before its end, and its connection must break.
#[derive(Debug, thiserror::Error)]
#[error("give a whole body: the upstream broke off")]
pub(crate) struct Incomplete;

impl Body for Driven {
    type Data = Bytes;
    type Error = Incomplete;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(body) = &mut self.parted {
            return Poll::Ready(body.take().map(|body| Ok(Frame::data(body))));
        }
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
            Found::End if self.outlet.gap().broken => Poll::Ready(Some(Err(Incomplete))),
            Found::End | Found::Lost => Poll::Ready(None),
            // It ended without saying so.
            Found::Nothing if matches!(*self.outlet.drive(), Drive::Over) => Poll::Ready(None),
            Found::Nothing => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        if let Some(body) = &self.parted {
            return body.is_none();
        }
        let gap = self.outlet.gap();
        let read = match (&gap.seats, &gap.kept) {
            (Some(_), Some(kept)) => gap.first.place == kept.len() && gap.outcome.is_some(),
            _ => gap.piece.is_none(),
        };
        gap.ended && read && !gap.broken
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

impl Drop for Driven {
    /// The client's end is gone. If the call is not, it goes on in the closer's care; nothing is written here.
    fn drop(&mut self) {
        if self.parted.is_some() {
            return;
        }
        let mut drive = self.outlet.drive();
        let mut gap = self.outlet.gap();
        gap.first_left();
        gap.trim();
        gap.wake_driver();
        drop(gap);
        drive.leave(&self.closer);
    }
}
