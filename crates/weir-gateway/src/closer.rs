//! Calls whose client left, and the count of all that run: shutdown waits here until the last is sealed.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::outlet::Call;

#[derive(Default)]
struct State {
    running: AtomicUsize,
    draining: AtomicBool,
    cutting: AtomicBool,
    disconnecting: AtomicBool,
    /// Draining or cutting began.
    changed: Notify,
    /// The last call ended.
    emptied: Notify,
}

/// Owns calls that outlive their connection.
#[derive(Clone, Default)]
pub(crate) struct Closer(Arc<State>);

/// Counts one call as running until it is dropped.
pub(crate) struct Running(Arc<State>);

impl Closer {
    /// Counts a call that begins.
    pub(crate) fn enter(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.0))
    }

    /// Takes over a call whose client left.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where a call gets a task of its own")]
    pub(crate) fn adopt(&self, call: Call) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let closer = self.clone();
            drop(runtime.spawn(async move { closer.poked(call).await }));
        }
    }

    /// Tells every call to come to an end.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Until the next of drain, cut and disconnect. To be made before their flags are read, so that none is missed.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.0.changed.notified()
    }

    /// The last call is sealed: connections that still wait for a next request are closed.
    pub(crate) fn disconnect(&self) {
        self.0.disconnecting.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn is_disconnecting(&self) -> bool {
        self.0.disconnecting.load(Ordering::Acquire)
    }

    /// The time to drain is over: every call that still runs is cut now, with words.
    pub(crate) fn cut(&self) {
        self.0.cutting.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn is_cutting(&self) -> bool {
        self.0.cutting.load(Ordering::Acquire)
    }

    /// Until every call that still runs is cut.
    pub(crate) async fn cuts(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.is_cutting() {
                return;
            }
            changed.await;
        }
    }

    /// Runs `work` and polls it again when the gateway begins to drain or to cut, so that it notices.
    pub(crate) async fn poked<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let changed = self.0.changed.notified();
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = changed => {}
            }
        }
    }

    /// Until no call runs.
    pub(crate) async fn idle(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.running() == 0 {
                return;
            }
            emptied.await;
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.0.running.load(Ordering::Acquire)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}
