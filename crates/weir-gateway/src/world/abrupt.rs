//! A client's connection as the gateway has it: one that can be reset, which a pipe alone cannot.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// The gateway's end of a pipe.
pub(super) struct Abrupt {
    pub(super) io: DuplexStream,
    /// The client's end goes with a reset instead of a close.
    pub(super) resets: Arc<AtomicBool>,
}

impl Abrupt {
    fn reset(&self) -> io::Result<()> {
        if self.resets.load(Ordering::Relaxed) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Abrupt {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let had = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let ended = buf.remaining() > 0 && buf.filled().len() == had;
        match read {
            Poll::Ready(Ok(())) if ended => Poll::Ready(self.reset()),
            read => read,
        }
    }
}

impl AsyncWrite for Abrupt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        match written {
            Poll::Ready(Err(error)) => Poll::Ready(self.reset().and(Err(error))),
            written => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
