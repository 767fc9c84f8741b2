//! One attempt: connect, send, wait for the first byte. What follows is an [`Answer`] that is read piece by piece.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, body::Incoming};
use tokio::time::{Instant, timeout};
use weir_core::Phase;

use crate::{Dial, Pool, Target, WireError, wire::Wire};

/// How long the phases before the answer may take.
#[derive(Debug, Clone, Copy)]
pub struct AttemptLimits {
    pub connect: Duration,
    pub first_byte: Duration,
}

/// Whether anything of a failed attempt may have reached the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Provably nothing: another attempt is safe.
    No,
    /// Perhaps all of it: another attempt could answer or charge twice.
    Perhaps,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    #[error("connect within {limit:?}")]
    ConnectTimeout { limit: Duration },
    #[error("connect: {0}")]
    Connect(std::io::ErrorKind),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("get a first byte within {limit:?}")]
    FirstByteTimeout { limit: Duration },
}

impl AttemptError {
    #[must_use]
    pub fn sent(&self) -> Sent {
        match self {
            Self::ConnectTimeout { .. } | Self::Connect(_) | Self::Wire(WireError::Unsent) => Sent::No,
            Self::Wire(_) | Self::FirstByteTimeout { .. } => Sent::Perhaps,
        }
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::ConnectTimeout { .. } | Self::Connect(_) => Phase::Connect,
            Self::Wire(WireError::Unsent) => Phase::Send,
            Self::Wire(_) | Self::FirstByteTimeout { .. } => Phase::FirstByte,
        }
    }
}

/// An answer whose head is here and whose body is still coming. Dropping it closes the connection, which cancels the upstream.
pub struct Answer {
    pub head: http::response::Parts,
    /// When the connection stood (zero for a pooled one) and when the head came, since the attempt began.
    pub connected: Duration,
    pub first_byte: Duration,
    body: Incoming,
    wire: Option<Wire>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.head.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// Makes one attempt. Never sends twice: a pooled connection that died is reported as [`Sent::No`], and the caller decides.
    ///
    /// # Errors
    /// See [`AttemptError`]; `sent()` tells whether another attempt is safe.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has two places for the request, in every call")]
    pub fn get<'a>(
        dial: &'a dyn Dial,
        target: &'a Target,
        pool: &'a Arc<Pool>,
        request: Request<Full<Bytes>>,
        limits: AttemptLimits,
    ) -> impl Future<Output = Result<Self, AttemptError>> + Send + 'a {
        async move {
            let began = Instant::now();
            let (mut wire, rested_after) = match pool.take().await {
                Some(wire) => {
                    let framing = wire.framing();
                    (wire, Some(framing))
                }
                // Boxed: rare, and longer than the rest.
                None => (Box::pin(open(dial, target, limits.connect)).await?, None),
            };
            let connected = began.elapsed();
            let answered = timeout(limits.first_byte, wire.exchange(request))
                .await
                .map_err(|_| AttemptError::FirstByteTimeout { limit: limits.first_byte })?;
            if let (Err(WireError::Silent | WireError::Unsent), Some(framing)) = (&answered, rested_after) {
                pool.mistrust(framing);
            }
            let response = answered?;
            let (head, body) = response.into_parts();
            Ok(Self { head, connected, first_byte: began.elapsed(), body, wire: Some(wire), pool: Arc::clone(pool) })
        }
    }

    /// The next piece of the body, `None` at its proper end; after that the connection serves another attempt.
    ///
    /// # Errors
    /// The connection broke: the body is not complete.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, WireError>> {
        let wire = self.wire.as_mut()?;
        let piece = std::future::poll_fn(|cx| wire.poll_chunk(&mut self.body, cx)).await;
        match &piece {
            None => self.keep().await,
            Some(Err(_)) => self.wire = None,
            Some(Ok(_)) => {}
        }
        piece
    }

    /// Returns the connection to the pool if it can carry another exchange.
    async fn keep(&mut self) {
        let Some(mut wire) = self.wire.take() else { return };
        if wire.is_ready().await {
            self.pool.put(wire);
        }
    }
}

async fn open(dial: &dyn Dial, target: &Target, limit: Duration) -> Result<Wire, AttemptError> {
    let io = timeout(limit, dial.dial(target))
        .await
        .map_err(|_| AttemptError::ConnectTimeout { limit })?
        .map_err(|error| AttemptError::Connect(error.kind()))?;
    Ok(Wire::open(io).await?)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::{Dialing, Io};

    const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=5\r\n\r\nok";
    const STREAM: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    const LIMIT: Duration = Duration::from_secs(5);

    /// An upstream on in-memory connections: the far ends of those that stand, the newest last.
    #[derive(Default)]
    struct Upstream {
        ends: Mutex<Vec<DuplexStream>>,
        dialled: Mutex<u32>,
        pool: Arc<Pool>,
    }

    impl Dial for Upstream {
        fn dial<'a>(&'a self, _: &'a Target) -> Dialing<'a> {
            let (near, far) = duplex(4096);
            self.ends.lock().unwrap().push(far);
            *self.dialled.lock().unwrap() += 1;
            Box::pin(async { Ok(Box::new(near) as Box<dyn Io>) })
        }
    }

    impl Upstream {
        /// One call over the connection that the pool or a dial gives it, answered with `text`, or by closing if that is empty.
        /// Whether the far end then stays open is the caller's choice.
        async fn call(&self, text: &str) -> (Result<(), AttemptError>, Option<DuplexStream>) {
            let target = Target::parse("http://upstream.test").unwrap();
            let limits = AttemptLimits { connect: LIMIT, first_byte: LIMIT };
            let near = async {
                let request = Request::post("/").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
                let mut answer = Answer::get(self, &target, &self.pool, request, limits).await?;
                while let Some(piece) = answer.chunk().await {
                    piece?;
                }
                Ok(())
            };
            let far = async {
                let mut end = self.ends.lock().unwrap().pop().unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"{}") {
                    assert_ne!(end.read_buf(&mut asked).await.unwrap(), 0, "the request came over another connection");
                }
                end.write_all(text.as_bytes()).await.unwrap();
                (!text.is_empty()).then_some(end)
            };
            // A request that takes another connection would leave this end waiting.
            let (near, far) = tokio::join!(near, timeout(LIMIT * 2, far));
            (near, far.unwrap())
        }

        /// A call after which the upstream keeps the connection.
        async fn kept(&self, text: &str) {
            let (answer, end) = self.call(text).await;
            answer.unwrap();
            self.ends.lock().unwrap().extend(end);
        }

        fn dialled(&self) -> u32 {
            *self.dialled.lock().unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_proved_to_be_kept_is_used_at_once_from_then_on() {
        let upstream = Upstream::default();
        upstream.kept(WHOLE).await;
        tokio::time::advance(Duration::from_millis(60)).await;
        for _ in 0..5 {
            upstream.kept(WHOLE).await;
        }
        assert_eq!((upstream.dialled(), upstream.pool.idle()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_closes_a_moment_after_each_answer_never_loses_a_call() {
        let upstream = Upstream::default();
        for moment in [0, 1, 3, 60, 0, 2_000, 3, 3] {
            let (answer, end) = upstream.call(STREAM).await;
            answer.unwrap();
            // The next call may be sent while the door still closes: the connection must not be taken for it.
            let (next, _) = upstream.call(STREAM).await;
            next.unwrap();
            tokio::time::advance(Duration::from_millis(moment)).await;
            drop(end);
        }
        assert_eq!(upstream.dialled(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn a_promise_that_is_kept_after_whole_answers_says_nothing_about_streams() {
        let upstream = Upstream::default();
        upstream.kept(WHOLE).await;
        tokio::time::advance(Duration::from_millis(60)).await;
        upstream.kept(STREAM).await;
        assert_eq!(upstream.dialled(), 1);
        upstream.kept(WHOLE).await;
        assert_eq!(upstream.dialled(), 2, "a stream was its last answer, and it had no time to settle");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_met_a_closing_door_is_not_sent_again_and_costs_the_trust() {
        let upstream = Upstream::default();
        upstream.kept(WHOLE).await;
        tokio::time::advance(Duration::from_millis(60)).await;
        upstream.kept(WHOLE).await;
        let (lost, _) = upstream.call("").await;
        assert_eq!((lost.unwrap_err().sent(), upstream.dialled()), (Sent::Perhaps, 1));
        upstream.kept(WHOLE).await;
        tokio::time::advance(Duration::from_millis(60)).await;
        upstream.kept(WHOLE).await;
        assert_eq!(upstream.dialled(), 3, "what was enough to be trusted once is not enough again");
    }
}
