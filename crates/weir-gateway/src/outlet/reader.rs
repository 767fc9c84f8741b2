//! Somebody who reads a call's answer besides its first client.

use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Found, Outlet};
use crate::joins::is_event;

/// Somebody who reads a call's answer besides its first client.
pub(crate) struct Reader {
    pub(super) outlet: Outlet,
    pub(super) seat: usize,
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
            seen += u64::from(is_event(&piece));
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
