//! Follows every open task to its end, whether its client asks or not. What is due stands in the rows, so a start goes on where the last run ended.

use std::{pin::Pin, sync::Arc, task::Poll, time::Duration};

use tokio::time::{sleep, timeout};
use weir_core::{RequestId, TaskRecord};

use super::{blocking, look::look};
use crate::Gateway;

/// Tasks looked at side by side: an upstream that hangs holds its own looks for 15 s each, and must not hold everybody's.
const AT_ONCE: usize = 64;
/// The follower rests at most this long: a wall clock that was set must not make it sleep for ever.
const REST: Duration = Duration::from_secs(30);
/// The pause after the store could not be read or written.
const PAUSE: Duration = Duration::from_secs(1);

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Looks under way, by the calls of their tasks.
#[derive(Default)]
struct Looks(Vec<(RequestId, Running)>);

impl Looks {
    /// Until one of them is done; never while there is none.
    async fn one(&mut self) {
        std::future::poll_fn(|cx| {
            let before = self.0.len();
            self.0.retain_mut(|(_, look)| look.as_mut().poll(cx).is_pending());
            if self.0.len() < before { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Gateway {
    /// Looks at tasks when they are due, until the gateway drains. [`Gateway::serve`] runs it.
    pub async fn follow_tasks(self: Arc<Self>) {
        let mut looks = Looks::default();
        #[cfg(test)]
        if self.sabotage == crate::world::Sabotage::NeverLooks {
            std::future::pending::<()>().await;
        }
        loop {
            let (news, changed) = (self.task_news.notified(), self.closer.changed());
            if self.closer.is_draining() {
                // What is under way is given up: the next start looks again.
                return;
            }
            let rest = self.take_due(&mut looks).await;
            tokio::select! {
                biased;
                () = changed => {}
                () = looks.one() => {}
                _ = timeout(rest, news) => {}
            }
        }
    }

    /// Begins to look at what is due, as far as there is room; gives back how long nothing more will be.
    async fn take_due(self: &Arc<Self>, looks: &mut Looks) -> Duration {
        if looks.0.len() >= AT_ONCE {
            return REST;
        }
        // Those under way are due as well, and come first.
        let most = u32::try_from(AT_ONCE + looks.0.len()).unwrap_or(u32::MAX);
        let read = blocking(self, move |gateway| {
            let now = gateway.clock.now();
            let (due, next) = gateway.books.due_tasks(now, most).ok()?;
            Some((due, next.map_or(REST, |next| next.since(now).min(REST))))
        });
        let Some((due, rest)) = read.await.ok().flatten() else { return PAUSE };
        for task in due {
            if looks.0.len() < AT_ONCE && looks.0.iter().all(|(call, _)| *call != task.call) {
                looks.0.push((task.call, Box::pin(attend(Arc::clone(self), task))));
            }
        }
        // An instant that is less than a millisecond away would make this spin.
        rest.max(Duration::from_millis(1))
    }
}

/// One look; a pause where it could not be kept, since the task is due as before.
async fn attend(gateway: Arc<Gateway>, task: TaskRecord) {
    if !matches!(look(&gateway, task).await, Ok(Some(_))) {
        sleep(PAUSE).await;
    }
}
