//! The record of one request while it lives. It is handed over when it is dropped, because that is how hyper says that a client left.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use weir_core::Redactor;

use super::{
    flow::Flow,
    seen::{Ended, Seen},
    tries::Tries,
};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: super::Settings,
    pub(super) began: Instant,
    pub(super) tries: Mutex<Tries>,
    pub(super) out: mpsc::Sender<Seen>,
    pub(super) numbers: AtomicU32,
    /// The server ends, so whoever is cut now was not the one who left.
    pub(super) stopping: AtomicBool,
    pub(super) redactor: Redactor,
    pub(super) digests: std::hash::RandomState,
}

impl Shared {
    /// And where the records come out.
    pub(super) fn new(settings: super::Settings) -> (Arc<Self>, mpsc::Receiver<Seen>) {
        // Room for every number that is ever given out: a record never waits and is never lost.
        let (out, ended) = mpsc::channel(super::REQUESTS_MAX as usize);
        let shared = Self {
            settings,
            began: Instant::now(),
            tries: Mutex::new(Tries::default()),
            out,
            numbers: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            redactor: Redactor::new([]),
            digests: std::hash::RandomState::new(),
        };
        (Arc::new(shared), ended)
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn tries(&self) -> std::sync::MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request under way.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) seen: Seen,
    pub(super) shared: Arc<Shared>,
    pub(super) flow: Arc<Flow>,
    pub(super) begun: Instant,
    pub(super) last_sent: Instant,
    pub(super) digest: Option<u64>,
    /// The wait that this answer tells.
    pub(super) told: Option<Duration>,
    /// What it is if it is dropped now.
    pub(super) so_far: Ended,
}

impl Record {
    /// Bytes of the answer were handed over.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.seen.bytes = self.seen.bytes.saturating_add(bytes as u64);
        self.last_sent = Instant::now();
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let left = matches!(self.so_far, Ended::Left);
        self.seen.ended = if left && self.shared.stopping.load(Relaxed) { Ended::Stopped } else { self.so_far };
        self.seen.took_ms = millis(self.begun.elapsed());
        self.seen.silent_ms = millis(self.last_sent.elapsed());
        self.seen.not_read_ms = self.flow.longest_ms();
        if let Some(digest) = self.digest {
            self.shared.tries().end(digest, self.shared.now(), self.seen.ended, self.told);
        }
        let _ = self.shared.out.try_send(self.seen.clone());
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
