//! A connection that notices how long its client takes nothing although there is something to take.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// How a client takes what is written to it.
#[derive(Debug)]
pub(super) struct Flow {
    began: Instant,
    /// When the write began that waits, in milliseconds since `began`, plus 1; 0 if none waits.
    waits: AtomicU64,
    longest_ms: AtomicU64,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), waits: AtomicU64::new(0), longest_ms: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// The longest wait so far, the one that lasts among them, in milliseconds.
    pub(super) fn longest_ms(&self) -> u64 {
        let waits = self.waits.load(Relaxed).checked_sub(1).map_or(0, |since| self.now().saturating_sub(since));
        self.longest_ms.load(Relaxed).max(waits)
    }

    /// A request begins: what the one before waited is not its own.
    pub(super) fn reset(&self) {
        self.longest_ms.store(0, Relaxed);
    }

    fn seen<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let _ = self.waits.compare_exchange(0, self.now() + 1, Relaxed, Relaxed);
        } else {
            let longest = self.longest_ms();
            self.longest_ms.store(longest, Relaxed);
            self.waits.store(0, Relaxed);
        }
        written
    }
}

/// A connection with its [`Flow`].
#[derive(Debug)]
pub(super) struct Watched<I> {
    pub(super) io: I,
    pub(super) flow: Arc<Flow>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.flow.seen(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.flow.seen(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
