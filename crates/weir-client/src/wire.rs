//! One HTTP/1.1 connection, driven by the task that uses it: no task of its own, so an idle connection costs no wake-up
//! and dropping it is the whole cancellation.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
    header::TRANSFER_ENCODING,
};
use hyper_util::rt::TokioIo;

use crate::Io;

type Driver = Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;

/// A connection that carries one exchange at a time.
pub(crate) struct Wire {
    send: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    closed: bool,
    framing: Framing,
}

/// How the body of the last answer told its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length, known at its beginning.
    Whole,
    /// By a last chunk.
    Stream,
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
        let (send, driver) = Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(io)).await.map_err(|_| WireError::Unsent)?;
        Ok(Self { send, driver: Box::pin(driver), closed: false, framing: Framing::Whole })
    }

    /// Lets the connection read and write what it can; remembers when it ended.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && self.driver.as_mut().poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Whether another exchange may begin. Asks the socket, so a peer that closed in the meantime is noticed before anything is sent.
    pub(crate) async fn is_ready(&mut self) -> bool {
        std::future::poll_fn(|_| {
            // Nobody waits for an idle connection: whoever takes it out of the pool asks again.
            self.drive(&mut beside());
            Poll::Ready(!self.closed && self.send.is_ready())
        })
        .await
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Hands a request over and waits for the head of its answer. No `async fn`: each of those would have a place for the request of its own
    /// in every call.
    pub(crate) fn exchange(&mut self, request: Request<Full<Bytes>>) -> impl Future<Output = Result<Response<Incoming>, WireError>> {
        // Unconstrained: a budget that ends here would be told to nobody, see `beside`.
        let answer = tokio::task::unconstrained(self.send.try_send_request(request));
        let (driver, closed, framing) = (&mut self.driver, &mut self.closed, &mut self.framing);
        async move {
            let mut answer = std::pin::pin!(answer);
            let answer = std::future::poll_fn(move |cx| {
                *closed = *closed || driver.as_mut().poll(cx).is_ready();
                match answer.as_mut().poll(&mut beside()) {
                    Poll::Ready(answer) => Poll::Ready(answer.map_err(|mut error| match error.take_message() {
                        Some(_) => WireError::Unsent,
                        None if error.error().is_parse() => WireError::NotHttp,
                        None => WireError::Silent,
                    })),
                    Poll::Pending if *closed => Poll::Ready(Err(WireError::Silent)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await?;
            *framing = if answer.headers().contains_key(TRANSFER_ENCODING) { Framing::Stream } else { Framing::Whole };
            Ok(answer)
        }
    }

    /// The next piece of the body; `None` at its proper end.
    pub(crate) fn poll_chunk(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, WireError>>> {
        // First what is there, then what the socket has, then what that brought.
        for round in 0..2 {
            loop {
                match Pin::new(&mut *body).poll_frame(&mut beside()) {
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

/// The context for what only the driver can bring on, and which is polled right after the driver: the driver has the task's waker. A second one
/// would have each answer and each piece wake the task that is just reading it.
fn beside() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
