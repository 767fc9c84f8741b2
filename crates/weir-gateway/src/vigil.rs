//! Waiting for an upstream while minding everything else: the limits, the client, silence that needs filling.
//!
//! One timer serves all deadlines. It is moved later only when it fires, so a stream that keeps talking never touches it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};
use weir_core::Timeouts;

use crate::{
    Streams,
    closer::Closer,
    outlet::Outlet,
    patience::{COMES_BACK, Parting},
    settings::ClientGone,
};

/// What ended a wait.
#[derive(Debug)]
pub(crate) enum Wake<T> {
    /// What was waited for.
    Ready(T),
    /// The client has heard nothing for long enough: send a heartbeat.
    Quiet,
    /// A limit fired: give the upstream up.
    Limit(Limit),
}

impl<T> Wake<T> {
    /// What was waited for, if it came.
    pub(crate) fn ready(self) -> Option<T> {
        match self {
            Self::Ready(done) => Some(done),
            Self::Quiet | Self::Limit(_) => None,
        }
    }
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Idle,
    Total,
    /// The client left and did not come back.
    Linger,
    /// The gateway is being stopped.
    Draining,
}

/// The deadlines of one call.
pub(crate) struct Vigil {
    outlet: Outlet,
    closer: Closer,
    sleep: Pin<Box<Sleep>>,
    total_at: Instant,
    idle: Duration,
    /// When the upstream last said anything; `None` while it need not.
    heard: Option<Instant>,
    linger: Option<Duration>,
    gone_at: Option<Instant>,
    /// What the first client is told when its own time is over; `None` once it was, or where it announced none.
    parting: Option<Parting>,
}

/// What a deadline means.
enum Due {
    Quiet,
    /// The client's own time is over: it is answered, and the call goes on.
    Parting,
    Limit(Limit),
}

impl Vigil {
    pub(crate) fn new(outlet: Outlet, closer: Closer, began: Instant, timeouts: &Timeouts, streams: &Streams) -> Self {
        let total_at = began + timeouts.total;
        Self {
            outlet,
            closer,
            sleep: Box::pin(sleep_until(total_at.min(Instant::now() + timeouts.idle))),
            total_at,
            idle: timeouts.idle,
            heard: None,
            linger: (streams.client_gone == ClientGone::Cancel).then_some(streams.linger),
            gone_at: None,
            parting: None,
        }
    }

    /// The first client is told so when its own time is over.
    pub(crate) fn parting(mut self, parting: Option<Parting>) -> Self {
        self.parting = parting;
        self
    }

    /// From now on the upstream must speak within the idle limit; called whenever it spoke.
    pub(crate) fn heard(&mut self) {
        self.heard = Some(Instant::now());
    }

    /// When whoever waits for the call must be told something.
    pub(crate) fn answer_by(&self) -> Instant {
        self.parting.map_or(self.total_at, |parting| parting.patience.until.min(self.total_at))
    }

    /// The upstream need not say anything until it is heard again.
    pub(crate) fn rest(&mut self) {
        self.heard = None;
    }

    /// When the client was found to have left.
    pub(crate) fn client_left(&self) -> bool {
        self.gone_at.is_some()
    }

    /// All have left, and nobody was told to come back.
    pub(crate) fn is_abandoned(&self) -> bool {
        (self.client_left() || self.outlet.is_gone()) && !self.outlet.is_promised()
    }

    /// Waits for `upstream`; `quiet_at` is when the client should hear a heartbeat.
    pub(crate) async fn wait<T>(&mut self, upstream: impl Future<Output = T>, quiet_at: Option<Instant>) -> Wake<T> {
        let mut upstream = std::pin::pin!(upstream);
        std::future::poll_fn(|cx| {
            loop {
                match self.poll(upstream.as_mut(), quiet_at, cx) {
                    Poll::Ready(Some(wake)) => return Poll::Ready(wake),
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// The same, but ends with `None` when all had left and somebody came back.
    pub(crate) async fn listen<T>(&mut self, upstream: impl Future<Output = T>, quiet_at: Option<Instant>) -> Option<Wake<T>> {
        let mut upstream = std::pin::pin!(upstream);
        std::future::poll_fn(|cx| self.poll(upstream.as_mut(), quiet_at, cx)).await
    }

    fn poll<T>(
        &mut self,
        upstream: Pin<&mut impl Future<Output = T>>,
        quiet_at: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Wake<T>>> {
        if let Poll::Ready(ready) = upstream.poll(cx) {
            return Poll::Ready(Some(Wake::Ready(ready)));
        }
        if self.look(cx) {
            return Poll::Ready(None);
        }
        if self.closer.is_cutting() {
            return Poll::Ready(Some(Wake::Limit(Limit::Draining)));
        }
        loop {
            let (at, due) = self.next_deadline(quiet_at);
            if self.sleep.deadline() > at {
                self.sleep.as_mut().reset(at);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match due {
                _ if Instant::now() < at => self.sleep.as_mut().reset(at),
                Due::Quiet => return Poll::Ready(Some(Wake::Quiet)),
                // Somebody may have come back since it was looked for.
                Due::Limit(Limit::Linger) if !self.outlet.abandon() => {
                    self.look(cx);
                    return Poll::Ready(None);
                }
                Due::Limit(limit) => return Poll::Ready(Some(Wake::Limit(limit))),
                Due::Parting => {
                    if let Some(parting) = self.parting.take() {
                        self.outlet.part(parting);
                    }
                    self.look(cx);
                    self.sleep.as_mut().reset(self.total_at);
                }
            }
        }
    }

    /// The linger begins when the last one leaves, and ends when somebody comes back; whether somebody just did.
    fn look(&mut self, cx: &Context<'_>) -> bool {
        let gone = self.outlet.poll_gone(cx);
        if gone {
            if self.gone_at.is_none() {
                self.gone_at = Some(Instant::now());
                let least = if self.outlet.is_promised() { COMES_BACK } else { Duration::ZERO };
                self.linger = self.linger.map(|linger| linger.max(least));
            }
            return false;
        }
        self.gone_at.take().is_some()
    }

    /// Waits as long as the linger allows for somebody to come back to an answer that is ready; whether somebody did.
    pub(crate) async fn returns(&mut self) -> bool {
        let Some(linger) = self.linger else { return false };
        std::future::poll_fn(|cx| {
            self.look(cx);
            // Whoever came may have taken it all and be gone again.
            let Some(gone_at) = self.gone_at.filter(|_| !self.outlet.is_delivered()) else { return Poll::Ready(true) };
            let at = self.total_at.min(gone_at + linger);
            if self.closer.is_cutting() || Instant::now() >= at {
                return Poll::Ready(false);
            }
            self.sleep.as_mut().reset(at);
            self.sleep.as_mut().poll(cx).map(|()| false)
        })
        .await
    }

    /// The earliest deadline and what it means.
    fn next_deadline(&self, quiet_at: Option<Instant>) -> (Instant, Due) {
        let mut next = (self.total_at, Due::Limit(Limit::Total));
        let mut sooner = |at: Option<Instant>, due| {
            if let Some(at) = at.filter(|at| *at < next.0) {
                next = (at, due);
            }
        };
        sooner(self.heard.map(|heard| heard + self.idle), Due::Limit(Limit::Idle));
        sooner(self.gone_at.zip(self.linger).map(|(gone, linger)| gone + linger), Due::Limit(Limit::Linger));
        sooner(self.parting.map(|parting| parting.patience.until), Due::Parting);
        sooner(quiet_at.filter(|_| self.gone_at.is_none()), Due::Quiet);
        next
    }
}

impl Vigil {
    /// Waits for the client to take a piece: the upstream is not to blame for this time, so only the total and a stop end it.
    pub(crate) async fn patiently<T>(&mut self, client: impl Future<Output = T>) -> Wake<T> {
        let heard = self.heard.take();
        let woken = self.wait(client, None).await;
        self.heard = heard.map(|_| Instant::now());
        woken
    }
}
