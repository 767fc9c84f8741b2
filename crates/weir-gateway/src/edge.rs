//! Where bytes are not yet requests. hyper answers an unreadable head with a bare status; here that answer gets its code.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Sleep, sleep, timeout},
};
use weir_core::{Charged, RequestId, Route, Verdict};

use crate::{line::Line, next_head::Taken, refusal::Refusal};

/// A connection that ends with an answer gets this long to take it: long enough for an upload that is under way on a slow line to notice.
const LAST_WORD: Duration = Duration::from_secs(2);

/// A client that takes no byte for this long, while there is one for it, is gone: its connection must not hold a call for ever.
/// As nginx has it; shorter would lose readers that are only slow.
const STALL: Duration = Duration::from_secs(60);

/// A client's connection. Replaces the bare 4xx of an unreadable head by one with a body that says what to do.
pub(crate) struct Edge<I> {
    io: I,
    id: RequestId,
    /// What replaces hyper's answer, and how much of it is out.
    own: Option<(Vec<u8>, usize)>,
    /// hyper gave up on this connection: what it writes is swallowed.
    replaced: bool,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
    taken: Taken,
    line: Line,
}

impl<I> Drop for Edge<I> {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Edge<I> {
    /// `id` names the answers that belong to no request; `line` is for whoever asks about this connection.
    pub(crate) fn new(io: I, id: RequestId, line: Line) -> Self {
        Self { io, id, own: None, replaced: false, stalled: None, taken: Taken::default(), line }
    }

    /// Whether its client takes what is written.
    pub(crate) fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// Whether an answer of hyper's was replaced: nothing else may be said.
    pub(crate) fn has_refused(&self) -> bool {
        self.replaced
    }

    /// Says why nothing was answered, as the last words of the connection.
    pub(crate) async fn refuse(&mut self, refusal: &Refusal) {
        let words = bytes_of(refusal, self.id);
        let _ = timeout(LAST_WORD, self.io.write_all(&words)).await;
    }

    /// Closes so that the last answer arrives: a close with unread bytes is a reset, which takes away what the client has not read yet.
    pub(crate) async fn close(mut self) {
        let closed = timeout(LAST_WORD, async {
            self.io.shutdown().await?;
            let mut scrap = vec![0; 16 << 10];
            while self.io.read(&mut scrap).await? > 0 {}
            io::Result::Ok(())
        });
        match closed.await {
            Ok(Ok(())) => self.line.hung_up(),
            Ok(Err(_)) => self.line.broke(),
            Err(_) => {}
        }
    }

    /// What a write of so many bytes came to; an error if the client has not taken a byte for too long.
    fn watched(&mut self, written: Poll<io::Result<usize>>, bytes: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() && self.stalled.take().is_some() {
            self.taken.goes_on();
        }
        self.line.wrote(if let Poll::Ready(Ok(taken)) = written { taken } else { 0 }, bytes);
        if let Poll::Ready(Err(_)) = written {
            self.line.broke();
        }
        if written.is_ready() {
            return written;
        }
        self.line.run(cx);
        let stalled = self.stalled.get_or_insert_with(|| {
            self.taken.waits();
            Box::pin(sleep(STALL))
        });
        ready!(stalled.as_mut().poll(cx));
        self.line.broke();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
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
    let (head, body) = refusal.response(id, Route::Unknown, Charged::No);
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

/// The status of an answer that hyper made itself: a bare 4xx without a body. weir's own all have a request id and a body.
fn hypers_own(bytes: &[u8]) -> Option<u16> {
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let (status, headers) = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "))?.split_once("\r\n")?;
    let bare = headers.split("\r\n").all(|line| line == "connection: close" || line == "content-length: 0" || line.starts_with("date: "));
    status.get(..3)?.parse().ok().filter(|status| bare && (400..500).contains(status))
}

fn length(bufs: &[io::IoSlice<'_>]) -> usize {
    bufs.iter().map(|buf| buf.len()).sum()
}

/// What hyper's statuses for an unreadable head mean here.
fn refusal(status: u16) -> Refusal {
    match status {
        414 | 431 => Refusal::of(Verdict::RequestTooLong).saying("the request's head is too long").status(status),
        _ => Refusal::of(Verdict::RequestRejected).saying("the request's head is not HTTP/1.1 as weir reads it").status(status),
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Edge<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let had = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        match &read {
            // hyper takes a reset between two requests for a close like any other.
            Poll::Ready(Err(_)) => self.line.broke(),
            Poll::Ready(Ok(())) if buf.filled().len() == had && buf.remaining() > 0 => self.line.hung_up(),
            _ => {}
        }
        read
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Edge<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.replaced
            && let Some(status) = hypers_own(buf)
        {
            self.own = Some((bytes_of(&refusal(status), self.id), 0));
            self.replaced = true;
        }
        if !self.replaced {
            let written = Pin::new(&mut self.io).poll_write(cx, buf);
            return self.watched(written, buf.len(), cx);
        }
        let said = self.poll_own(cx).map_ok(|()| buf.len());
        ready!(self.watched(said, buf.len(), cx))?;
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
        // hyper's own answer is one short head; an answer of weir's has a body behind it or is longer.
        match bufs {
            [one] => self.poll_write(cx, one),
            _ if self.replaced => Poll::Ready(Ok(length(bufs))),
            _ => {
                let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
                self.watched(written, length(bufs), cx)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    /// What a client reads after `written` went through an edge, in one write or a vectored one.
    async fn through(written: &[&[u8]]) -> String {
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let mut edge = Edge::new(server, RequestId::from_bytes([7; 16]), Line::default());
        for one in written {
            edge.write_all(one).await.unwrap();
        }
        edge.flush().await.unwrap();
        edge.shutdown().await.unwrap();
        drop(edge);
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        got
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_gone_and_one_that_takes_a_little_is_not() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut edge = Edge::new(server, RequestId::from_bytes([7; 16]), Line::default());
        let reads = async {
            for _ in 0..5 {
                tokio::time::sleep(STALL / 2).await;
                client.read_exact(&mut [0; 8]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(edge.write_all(&[b'x'; 100]), reads);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_bare_4xx_gets_its_code_and_a_body_as_long_as_it_says() {
        let dated = b"HTTP/1.0 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n";
        for (bare, status, code) in [(BARE, "400 ", "W-REQ-001"), (&dated[..], "431 ", "W-REQ-002")] {
            let got = through(&[bare]).await;
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")) && head.contains("connection: close"), "{got}");
            assert!(head.contains(&format!("content-length: {}", body.len())) && head.contains("x-request-id: wr_"), "{got}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((&body["error"]["verdict"], &body["error"]["charged"]), (&code.into(), &false.into()), "{body}");
        }
    }

    #[tokio::test]
    async fn what_hyper_writes_after_it_gave_up_is_swallowed() {
        assert_eq!(through(&[BARE, b"more"]).await, through(&[BARE]).await);
    }

    #[tokio::test]
    async fn an_answer_of_weirs_own_passes_untouched() {
        let refusal = bytes_of(&Refusal::of(Verdict::KeyUnknown), RequestId::from_bytes([1; 16]));
        let empty = b"HTTP/1.1 404 Not Found\r\nx-request-id: wr_1\r\ncontent-length: 0\r\n\r\n";
        let whole = [b"HTTP/1.1 200 OK\r\ncontent-length: 70\r\n\r\n", BARE].concat();
        let half = &BARE[..BARE.len() - 4];
        for own in [&refusal[..], empty, &whole, half, b"data: HTTP/1.1 400\n\n"] {
            assert_eq!(through(&[own]).await.as_bytes(), own);
        }
    }
}
