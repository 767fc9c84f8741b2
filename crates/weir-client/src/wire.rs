//! One HTTP/1.1 connection, driven by the task that uses it: no task of its own, so an idle connection costs no wake-up
//! and dropping it is the whole cancellation.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;

use crate::Io;

type Driver = Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;

/// A connection that carries one exchange at a time.
pub(crate) struct Wire {
    send: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    closed: bool,
}

/// How an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No byte of the request left: sending it again is safe.
    #[error("send the request: the connection was already closed")]
    Unsent,
    /// The request left, wholly or in part, and no answer came.
    #[error("get an answer: the connection broke after the request was sent")]
    Silent,
    /// What came back is not HTTP.
    #[error("read the answer: it is not HTTP")]
    NotHttp,
    /// The answer began and broke off.
    #[error("read the answer: the connection broke in the body")]
    Cut,
}

/// An answer's head may have this many bytes before it is refused.
const HEAD_BYTES: usize = 64 * 1024;

impl Wire {
    pub(crate) async fn open(io: Box<dyn Io>) -> Result<Self, WireError> {
        let (send, driver) =
            Builder::new().max_buf_size(HEAD_BYTES).max_headers(256).handshake(TokioIo::new(io)).await.map_err(|_| WireError::Unsent)?;
        Ok(Self { send, driver: Box::pin(driver), closed: false })
    }

    /// Lets the connection read and write what it can; remembers when it ended.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && self.driver.as_mut().poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Whether another exchange may begin. Asks the socket, so a peer that closed in the meantime is noticed before anything is sent.
    pub(crate) async fn is_ready(&mut self) -> bool {
        std::future::poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(!self.closed && self.send.is_ready())
        })
        .await
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, WireError> {
        let mut answer = std::pin::pin!(self.send.try_send_request(request));
        let (driver, closed) = (&mut self.driver, &mut self.closed);
        std::future::poll_fn(move |cx| {
            loop {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                        Some(_) => WireError::Unsent,
                        None if error.error().is_parse() => WireError::NotHttp,
                        None => WireError::Silent,
                    }));
                }
                if *closed {
                    return Poll::Ready(Err(WireError::Silent));
                }
                // A finished driver has told the answer why: ask the answer once more.
                let _ = ready!(driver.as_mut().poll(cx));
                *closed = true;
            }
        })
        .await
    }

    /// The next piece of the body; `None` at its proper end.
    pub(crate) fn poll_chunk(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, WireError>>> {
        // First what is there, then what the socket has, then what that brought.
        for round in 0..2 {
            loop {
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => return Poll::Ready(Some(Ok(data))),
                        // Trailers say nothing that anybody reads.
                        Err(_) => {}
                    },
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(WireError::Cut))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => break,
                }
            }
            if round == 0 {
                self.drive(cx);
            }
        }
        Poll::Pending
    }
}
