//! Where bytes are not yet requests. hyper answers an unreadable head with a bare status; here that answer gets its code.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_core::{RequestId, Route};

use crate::refusal::Refusal;

/// Whether an answer that begins now was made by weir (a request is being served) or by hyper.
#[derive(Clone, Default)]
pub(crate) struct Serving(Arc<AtomicBool>);

impl Serving {
    /// A request reached weir: from now on every answer on this connection is weir's, until [`Serving::done`].
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client's connection. Replaces the bare 4xx of an unreadable head by one with a body that says what to do.
pub(crate) struct Edge<I> {
    io: I,
    serving: Serving,
    id: RequestId,
    /// What replaces hyper's answer, and how much of it is out; and how many bytes of hyper's are swallowed for it.
    own: Option<(Vec<u8>, usize)>,
    swallow: usize,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Edge<I> {
    pub(crate) fn new(io: I, serving: Serving, id: RequestId) -> Self {
        Self { io, serving, id, own: None, swallow: 0 }
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, sent)) = &mut self.own {
            if *sent == bytes.len() {
                self.own = None;
                break;
            }
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &bytes[*sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *sent += n;
        }
        Poll::Ready(Ok(()))
    }
}

/// An answer of weir's outside any call, as bytes.
pub(crate) fn bytes_of(refusal: &Refusal, id: RequestId) -> Vec<u8> {
    let (head, body) = refusal.response(id, Route::Unknown);
    let status = head.status();
    let mut out = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("Error")).into_bytes();
    for (name, value) in head.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("x-request-id: {id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    out.extend_from_slice(&body);
    out
}

/// The status of an answer that hyper made itself: it has no body and closes.
fn hypers_own(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    std::str::from_utf8(status).ok()?.parse().ok().filter(|status| (400..500).contains(status))
}

fn refusal(status: u16) -> Refusal {
    use weir_core::Verdict;
    match status {
        414 | 431 => Refusal::of(Verdict::RequestTooLong).saying("the request's head is too long").status(status),
        _ => Refusal::of(Verdict::RequestRejected).saying("the request's head is not HTTP/1.1 as weir reads it").status(status),
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Edge<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Edge<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.serving.0.load(Ordering::Relaxed) {
            return Pin::new(&mut self.io).poll_write(cx, buf);
        }
        if self.swallow == 0
            && let Some(status) = hypers_own(buf)
        {
            self.own = Some((bytes_of(&refusal(status), self.id), 0));
            self.swallow = buf.len();
        }
        if self.swallow == 0 {
            return Pin::new(&mut self.io).poll_write(cx, buf);
        }
        ready!(self.poll_own(cx))?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.serving.0.load(Ordering::Relaxed) {
            return Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
