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
    pub async fn get(
        dial: &dyn Dial,
        target: &Target,
        pool: &Arc<Pool>,
        request: Request<Full<Bytes>>,
        limits: AttemptLimits,
    ) -> Result<Self, AttemptError> {
        let began = Instant::now();
        let mut wire = match pool.take().await {
            Some(wire) => wire,
            None => open(dial, target, limits.connect).await?,
        };
        let connected = began.elapsed();
        let response = timeout(limits.first_byte, wire.exchange(request))
            .await
            .map_err(|_| AttemptError::FirstByteTimeout { limit: limits.first_byte })??;
        let (head, body) = response.into_parts();
        Ok(Self { head, connected, first_byte: began.elapsed(), body, wire: Some(wire), pool: Arc::clone(pool) })
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
