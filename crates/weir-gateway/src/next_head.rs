//! How long a connection waits for the head of its next request: from when its client has taken the last answer.
//!
//! hyper counts from when it has that answer in its buffer. A client that takes longer to read it than a head may take would lose the rest of it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Sleep, Timer};
use tokio::time::{Instant, sleep_until};

/// Whether a client takes what is written to it. Touched only when a write has to wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken(Arc<Mutex<Written>>);

#[derive(Debug, Clone, Copy, Default)]
enum Written {
    /// Nothing ever waited.
    #[default]
    AtOnce,
    /// A write waits for the client.
    Waits,
    /// The last write that had to wait went on then.
    WentOn(Instant),
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn waits(&self) {
        *self.lock() = Written::Waits;
    }

    pub(crate) fn goes_on(&self) {
        *self.lock() = Written::WentOn(Instant::now());
    }

    /// When the time for a next head is over, if not now.
    fn postponed(&self, span: Duration) -> Option<Instant> {
        let now = Instant::now();
        match *self.lock() {
            Written::AtOnce => None,
            Written::Waits => Some(now + span),
            Written::WentOn(at) => Some(at + span).filter(|until| *until > now),
        }
    }
}

/// hyper's clock for the heads of one connection.
#[derive(Debug, Clone)]
pub(crate) struct NextHead {
    taken: Taken,
    span: Duration,
}

impl NextHead {
    /// `span`: how long a head may take.
    pub(crate) fn new(taken: Taken, span: Duration) -> Self {
        Self { taken, span }
    }
}

impl Timer for NextHead {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Limit { of: self.clone(), sleep: Box::pin(sleep_until(Instant::now() + duration)) })
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Limit { of: self.clone(), sleep: Box::pin(sleep_until(deadline.into())) })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

struct Limit {
    of: NextHead,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Sleep for Limit {}

impl Future for Limit {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let Some(until) = self.of.taken.postponed(self.of.span) else { return Poll::Ready(()) };
            self.sleep.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(75);

    async fn waited(taken: &Taken) -> Duration {
        let began = Instant::now();
        NextHead::new(taken.clone(), SPAN).sleep(SPAN).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_a_next_head_begins_when_the_last_answer_was_taken() {
        assert_eq!(waited(&Taken::default()).await, SPAN, "nothing ever waited");
        let taken = Taken::default();
        taken.waits();
        let reads = async {
            tokio::time::sleep(SPAN * 2 + SPAN / 3).await;
            taken.goes_on();
        };
        let (waited, ()) = tokio::join!(waited(&taken), reads);
        assert_eq!(waited, SPAN * 3 + SPAN / 3);
    }
}
