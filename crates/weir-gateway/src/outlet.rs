//! Where a call's answer leaves for its client: one head, then one piece at a time.
//!
//! The call and the connection share a task: the connection polls the call whenever it wants the next piece, so nothing is
//! queued, nobody is woken, and a slow reader slows the upstream. When the client hangs up, hyper drops the connection's
//! end; the call is then handed to the [`Closer`] and learns of it through [`Outlet::is_gone`].

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};

use crate::closer::Closer;

/// A call as a future that owns everything it needs.
pub(crate) type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Gap {
    head: Option<Response<()>>,
    piece: Option<Bytes>,
    /// No piece follows the one in the gap.
    ended: bool,
    gone: bool,
}

/// The call's end.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Mutex<Gap>>);

/// The client left: nothing can be sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Outlet {
    fn gap(&self) -> MutexGuard<'_, Gap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the head; to be called once, before any piece.
    pub(crate) fn head(&self, head: Response<()>) {
        self.gap().head = Some(head);
    }

    /// Sends a piece as soon as the client took the one before.
    pub(crate) async fn send(&self, piece: Bytes) -> Result<(), Gone> {
        self.taken().await?;
        self.gap().piece = Some(piece);
        Ok(())
    }

    /// Sends the whole of an answer and waits until the client's connection took it.
    pub(crate) async fn finish(&self, head: Response<()>, body: Bytes) -> Result<(), Gone> {
        {
            let mut gap = self.gap();
            gap.head = Some(head);
            gap.piece = (!body.is_empty()).then_some(body);
            gap.ended = true;
        }
        self.taken().await
    }

    /// Says that no piece follows and waits until the last one was taken.
    pub(crate) async fn end(&self) -> Result<(), Gone> {
        self.gap().ended = true;
        self.taken().await
    }

    /// Until the head and the last piece were taken. No waker is kept: the taker polls the call again right after it took.
    async fn taken(&self) -> Result<(), Gone> {
        std::future::poll_fn(|_| {
            let gap = self.gap();
            let taken = gap.head.is_none() && gap.piece.is_none();
            match (taken, gap.gone) {
                // The client took the last of it before it left: nothing is missing.
                (true, true) if gap.ended => Poll::Ready(Ok(())),
                (true, false) => Poll::Ready(Ok(())),
                (_, true) => Poll::Ready(Err(Gone)),
                (false, false) => Poll::Pending,
            }
        })
        .await
    }

    /// Whether the client left. Needs no waker: the closer polls the call anew when it takes it over.
    pub(crate) fn is_gone(&self) -> bool {
        self.gap().gone
    }
}

/// The connection's end: drives the call, and is the body of its answer.
pub(crate) struct Driven {
    call: Option<Call>,
    outlet: Outlet,
    closer: Closer,
    size: SizeHint,
}

impl Driven {
    /// Pairs a call with its client; `make` gets the call's end.
    pub(crate) fn new(closer: Closer, make: impl FnOnce(Outlet) -> Call) -> Self {
        let outlet = Outlet(Arc::default());
        let call = make(outlet.clone());
        Self { call: Some(call), outlet, closer, size: SizeHint::default() }
    }

    /// Runs the call until it has a head, then becomes the body that follows it.
    pub(crate) async fn response(mut self) -> Response<Self> {
        let head = std::future::poll_fn(|cx| {
            self.drive(cx);
            let mut gap = self.outlet.gap();
            let Some(head) = gap.head.take() else { return Poll::Pending };
            if gap.ended {
                self.size = SizeHint::with_exact(gap.piece.as_ref().map_or(0, |piece| piece.len() as u64));
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

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(call) = &mut self.call
            && call.as_mut().poll(cx).is_ready()
        {
            self.call = None;
        }
    }
}

impl Body for Driven {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // Taking a piece makes room for the next; an ended call must notice at once, hyper may not ask again.
        for _ in 0..2 {
            let (piece, ended) = {
                let mut gap = self.outlet.gap();
                (gap.piece.take(), gap.ended)
            };
            if let Some(piece) = piece {
                if ended {
                    self.drive(cx);
                }
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if ended || self.call.is_none() {
                self.drive(cx);
                return Poll::Ready(None);
            }
            self.drive(cx);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let gap = self.outlet.gap();
        gap.ended && gap.piece.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

impl Drop for Driven {
    /// The client's end is gone. If the call is not, it goes on in the closer's care; nothing is written here.
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.outlet.gap().gone = true;
            self.closer.adopt(call);
        }
    }
}
