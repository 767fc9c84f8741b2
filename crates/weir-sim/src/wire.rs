//! One connection's bytes: reads with a bound, writes and waits that notice at once when the client leaves.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::connection::Connection;

/// What a client may send ahead while an answer runs; beyond it the simulator stops reading until the answer is done.
const AHEAD_MAX_BYTES: usize = 64 * 1024;

/// The client closed or reset the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

pub(crate) struct Wire<C> {
    io: C,
    /// Bytes read and not yet used.
    pub(crate) inbox: Vec<u8>,
    /// Bytes written since the connection began.
    pub(crate) written: u64,
}

impl<C: Connection> Wire<C> {
    pub(crate) fn new(io: C) -> Self {
        Self { io, inbox: Vec::new(), written: 0 }
    }

    /// Reads once into the inbox; 0 is the end of input.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        self.inbox.reserve(8 * 1024);
        self.io.read_buf(&mut self.inbox).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut left = bytes;
        while !left.is_empty() {
            let count = poll_fn(|cx| {
                if self.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Gone));
                }
                Pin::new(&mut self.io).poll_write(cx, left).map_err(|_| Gone)
            })
            .await?;
            if count == 0 {
                return Err(Gone);
            }
            self.written += count as u64;
            left = &left[count..];
        }
        self.io.flush().await.map_err(|_| Gone)
    }

    /// Waits, unless the client leaves first.
    pub(crate) async fn wait(&mut self, span: Duration) -> Result<(), Gone> {
        if span.is_zero() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.poll_gone(cx)) => Err(Gone),
            () = tokio::time::sleep(span) => Ok(()),
        }
    }

    /// Ready when the client has left. What it sends meanwhile is kept for the next request.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 1024];
        while self.inbox.len() < AHEAD_MAX_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.inbox.extend_from_slice(buffer.filled()),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    pub(crate) fn reset(self) {
        self.io.reset();
    }

    /// Closes politely. What the client is still sending is read for a moment, because a close with unread input becomes a reset
    /// that may overtake the answer.
    pub(crate) async fn close(mut self) {
        const LINGER: Duration = Duration::from_millis(200);
        const LINGER_MAX_READS: usize = 64;
        if self.io.shutdown().await.is_err() {
            return;
        }
        let drain = async {
            for _ in 0..LINGER_MAX_READS {
                self.inbox.clear();
                if !matches!(self.read().await, Ok(1..)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}
