//! One connection, opened phase by phase, that carries one exchange and is driven by the task that asks.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, timeout};

use super::seen::{BodyEnd, Fault, HttpVersion};
use crate::Io;

/// An answer's head may have this many bytes before it is refused.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 256;

type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

enum Asker {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection on which nothing was asked yet.
pub struct Link {
    send: Asker,
    driver: Driver,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    /// Begins to speak HTTP.
    ///
    /// # Errors
    /// The connection is gone already.
    pub async fn start(io: Box<dyn Io>, version: HttpVersion) -> Result<Self, Fault> {
        let io = TokioIo::new(io);
        if version == HttpVersion::Http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
            let (send, driver) = builder.handshake(io).await.map_err(|_| Fault::Unsent)?;
            return Ok(Self { send: Asker::Http2(send), driver: Box::pin(driver) });
        }
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES).max_headers(HEADERS_MAX);
        let (send, driver) = builder.handshake(io).await.map_err(|_| Fault::Unsent)?;
        Ok(Self { send: Asker::Http1(send), driver: Box::pin(driver) })
    }

    /// Asks once and waits for the head of the answer.
    ///
    /// # Errors
    /// Why there is no head; [`Fault::Silent`] after `first_byte`.
    pub async fn ask(mut self, request: Request<Full<Bytes>>, first_byte: Duration) -> Result<Answered, Fault> {
        let began = Instant::now();
        let mut driver = Some(self.driver);
        let answer = timeout(first_byte, async {
            match &mut self.send {
                Asker::Http1(send) => beside(&mut driver, send.try_send_request(request)).await.map(|told| told.map_err(unsent)),
                Asker::Http2(send) => {
                    // An HTTP/2 connection is ready once the driver has run.
                    match beside(&mut driver, send.ready()).await {
                        Some(Ok(())) => beside(&mut driver, send.try_send_request(request)).await.map(|told| told.map_err(unsent)),
                        _ => Some(Err(Fault::Unsent)),
                    }
                }
            }
        })
        .await
        .map_err(|_| Fault::Silent)?;
        let (head, body) = answer.ok_or(Fault::SentThenClosed)??.into_parts();
        let is_open_ended =
            head.version < Version::HTTP_2 && !head.headers.contains_key(CONTENT_LENGTH) && !head.headers.contains_key(TRANSFER_ENCODING);
        let framing = match (head.version, is_open_ended, head.headers.contains_key(TRANSFER_ENCODING)) {
            (Version::HTTP_2, ..) => Framing::Frames,
            (_, true, _) => Framing::Close,
            (_, _, true) => Framing::Chunks,
            _ => Framing::Length,
        };
        Ok(Answered { head, began, first_byte: began.elapsed(), body, driver, framing, _send: self.send })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunks,
    Close,
    Frames,
}

/// An answer whose head is here. Dropping it closes the connection.
pub struct Answered {
    pub head: http::response::Parts,
    /// From the request to the head.
    pub first_byte: Duration,
    began: Instant,
    body: Incoming,
    driver: Option<Driver>,
    framing: Framing,
    /// An HTTP/2 connection ends when nobody may ask any more.
    _send: Asker,
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answered").field("status", &self.head.status).finish_non_exhaustive()
    }
}

/// One read of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Bytes),
    End(BodyEnd),
}

impl Answered {
    #[must_use]
    pub fn version(&self) -> HttpVersion {
        match self.head.version {
            Version::HTTP_2 => HttpVersion::Http2,
            Version::HTTP_10 => HttpVersion::Http10,
            _ => HttpVersion::Http11,
        }
    }

    /// Since the request was sent.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What arrives next. Not to be asked again after the end.
    pub async fn piece(&mut self) -> Piece {
        let (body, driver) = (&mut self.body, &mut self.driver);
        let frame = std::future::poll_fn(|cx| {
            // What is there comes first; then the socket is asked, and what that brought.
            if let Poll::Ready(frame) = poll_data(body, cx) {
                return Poll::Ready(frame);
            }
            drive(driver, cx);
            poll_data(body, cx)
        })
        .await;
        match frame {
            Some(Ok(data)) => Piece::Bytes(data),
            Some(Err(error)) => Piece::End(self.broken(&error)),
            None if self.framing == Framing::Close => Piece::End(BodyEnd::Closed),
            None => Piece::End(BodyEnd::Clean),
        }
    }

    fn broken(&self, error: &hyper::Error) -> BodyEnd {
        if let Some(told) = cause::<h2::Error>(error) {
            return match told.reason() {
                _ if told.is_go_away() => BodyEnd::GoAway,
                Some(reason) if told.is_reset() => BodyEnd::StreamReset(reason.into()),
                _ => BodyEnd::Reset,
            };
        }
        match (cause::<io::Error>(error).map(io::Error::kind), self.framing) {
            (Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe), _) => BodyEnd::Reset,
            (_, Framing::Length) => BodyEnd::Short,
            (_, Framing::Chunks) => BodyEnd::ChunkUnfinished,
            (_, Framing::Close | Framing::Frames) => BodyEnd::Reset,
        }
    }
}

fn poll_data(body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(data))),
                // Trailers say nothing that a probe reads.
                Err(_) => {}
            },
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Lets the connection work. A driver that ended is gone.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(running) = driver
        && running.as_mut().poll(cx).is_ready()
    {
        *driver = None;
    }
}

/// Waits for `asked` while the connection works. `None`: the connection ended and told nothing.
async fn beside<F: Future>(driver: &mut Option<Driver>, asked: F) -> Option<F::Output> {
    let mut asked = std::pin::pin!(asked);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(told) = asked.as_mut().poll(cx) {
            return Poll::Ready(Some(told));
        }
        drive(driver, cx);
        match asked.as_mut().poll(cx) {
            Poll::Ready(told) => Poll::Ready(Some(told)),
            Poll::Pending if driver.is_none() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn unsent<T>(mut error: hyper::client::conn::TrySendError<T>) -> Fault {
    if error.take_message().is_some() {
        return Fault::Unsent;
    }
    let error = error.into_error();
    if error.is_parse_too_large() {
        return Fault::HeadTooLong;
    }
    if error.is_parse() || error.is_parse_status() {
        return Fault::NotHttp;
    }
    if let Some(told) = cause::<h2::Error>(&error) {
        // What is no HTTP/2 at all shows as a protocol error of our own making.
        return if told.is_library() && told.reason() == Some(h2::Reason::PROTOCOL_ERROR) { Fault::NotHttp } else { Fault::SentThenReset };
    }
    match cause::<io::Error>(&error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe) => Fault::SentThenReset,
        _ => Fault::SentThenClosed,
    }
}

/// The first cause of this kind.
fn cause<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source()).find_map(|cause| cause.downcast_ref())
}
