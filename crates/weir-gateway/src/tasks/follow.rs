//! Follows every open task to its end, whether its client asks or not. What is due stands in the rows, so a start goes on where the last run ended.

use std::{pin::Pin, sync::Arc, task::Poll, time::Duration};

use tokio::time::timeout;
use weir_core::TaskRecord;

use super::{blocking, look::look};
use crate::Gateway;

/// Tasks looked at side by side.
const AT_ONCE: u32 = 16;
/// How long the follower sleeps at most: a wall clock that was set must not make it sleep for ever.
const REST: Duration = Duration::from_secs(30);
/// The shortest pause between two rounds, and the pause after the store could not be read.
const PAUSE: Duration = Duration::from_millis(200);

impl Gateway {
    /// Looks at tasks when they are due, until the gateway drains. [`Gateway::serve`] runs it.
    pub async fn follow_tasks(self: Arc<Self>) {
        while !self.closer.is_draining() {
            let news = self.task_news.notified();
            let rest = Box::pin(Self::round(&self)).await.max(PAUSE);
            let changed = self.closer.changed();
            if self.closer.is_draining() {
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                _ = timeout(rest, news) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Looks at what is due now; gives back how long there is nothing to do.
    async fn round(self: &Arc<Self>) -> Duration {
        let read = blocking(self, |gateway| {
            let now = gateway.clock.now();
            let (due, next) = gateway.books.due_tasks(now, AT_ONCE).ok()?;
            Some((due, next.map_or(REST, |next| next.since(now).min(REST))))
        });
        let Some((due, rest)) = read.await.ok().flatten() else { return PAUSE };
        if due.is_empty() {
            return rest;
        }
        let mut looks: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = due.into_iter().map(|task| self.attend(task)).collect();
        std::future::poll_fn(|cx| {
            looks.retain_mut(|look| look.as_mut().poll(cx).is_pending());
            if looks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        PAUSE
    }

    /// One look, given up when the gateway drains: the next start looks again.
    fn attend(self: &Arc<Self>, task: TaskRecord) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let gateway = Arc::clone(self);
        Box::pin(async move {
            let changed = gateway.closer.changed();
            tokio::select! {
                biased;
                () = changed => {}
                _ = look(&gateway, task) => {}
            }
        })
    }
}
