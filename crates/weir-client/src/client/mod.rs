//! Calls on top of attempts: who is asked, with which key, by which policy. One `Client` serves any number of calls side by side.

mod ask;
mod call;
mod events;
mod job;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};
use weir_core::{BudgetTerms, Clock, Phase, Policies, RequestId, RetryBudget, Secret};
use weir_wire::Vendor;

pub use ask::{Ask, Problem, Said};
pub use call::CallError;
pub use events::{Event, Events};
pub use job::{Job, JobError, Submitted};
pub(crate) use job::{look_path, look_wait, only, read as read_job};

use crate::{Answer, AttemptError, AttemptLimits, Dial, Pool, Sent, Target, WireError};

/// Where chance comes from: real dice in service, a seed in tests.
pub trait Dice: Send + Sync {
    /// 128 random bits.
    fn roll(&self) -> u128;
}

/// How long one attempt may take, and how much may come of it.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Until the connection stands.
    pub connect: Duration,
    /// From then until the head of the answer.
    pub first_byte: Duration,
    /// The silence borne between two pieces of an answer.
    pub idle: Duration,
    /// All of one attempt.
    pub total: Duration,
    /// The longest answer, in bytes; of a stream, the longest event.
    pub answer_bytes: usize,
}

impl Default for ClientLimits {
    /// What the OpenAI SDKs wait: 5 s to connect, 600 s in all. An answer with ten large pictures in base64 is 40 MiB.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(600),
            idle: Duration::from_secs(120),
            total: Duration::from_secs(600),
            answer_bytes: 64 << 20,
        }
    }
}

/// The outside world, as a client needs it. Tests put simulated ones in their place.
#[derive(Clone)]
pub struct Surroundings {
    pub dial: Arc<dyn Dial>,
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings")
    }
}

/// Whether a server answers a repeated `Idempotency-Key` with the call that it made, instead of making another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It has not answered yet.
    Unknown,
    /// It is weir.
    Remembers,
    /// Nothing says that it does.
    Forgets,
}

/// The key cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use the key: it holds characters that no header may hold")]
pub struct BadKey;

/// Asks one OpenAI-compatible server.
///
/// Nothing is sent twice unless that is safe: what provably never left, what the server refused, or, where the server is known to
/// remember idempotency keys, what bears one. Waits within a call never shrink; a told wait is kept to the millisecond.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use weir_client::{Ask, Client, Net, Surroundings, Target};
/// # use weir_core::{Clock, Secret, Timestamp};
/// # struct Wall; impl Clock for Wall { fn now(&self) -> Timestamp { Timestamp(1_795_334_400_000) } }
/// # struct Four; impl weir_client::Dice for Four { fn roll(&self) -> u128 { 4 } }
/// # async fn answered() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let base_url = format!("http://{}/v1", listener.local_addr()?);
/// # let sim = weir_sim::Sim::new(weir_sim::SimSettings::default());
/// # let server = async { sim.serve(listener, std::future::pending()).await; Ok(()) };
/// # let asked = async {
/// let surroundings = Surroundings { dial: Arc::new(Net::plain()), clock: Arc::new(Wall), dice: Arc::new(Four) };
/// let key = Secret::new("sk-12345678");
/// let client = Client::new(Target::parse(&base_url)?, Some(&key), surroundings)?;
/// let said = client.call(&Ask::post("/chat/completions", r#"{"model":"sim:tokens=3","messages":[]}"#)).await?;
/// assert_eq!(said.status, 200);
/// # Ok::<_, Box<dyn std::error::Error>>(()) };
/// # tokio::select! { done = server => done, done = asked => done }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(answered()).unwrap();
/// ```
pub struct Client {
    target: Target,
    authorization: Option<HeaderValue>,
    agent: HeaderValue,
    caller: Option<HeaderValue>,
    surroundings: Surroundings,
    pool: Arc<Pool>,
    policies: Policies,
    budget: Mutex<RetryBudget>,
    limits: ClientLimits,
    memory: AtomicU8,
    vendor: Vendor,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("target", &self.target).finish_non_exhaustive()
    }
}

/// An attempt of which no whole answer came.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Lost {
    pub what: LostHow,
    pub phase: Phase,
    pub sent: Sent,
}

/// How it was lost.
#[derive(Debug, thiserror::Error)]
pub enum LostHow {
    #[error("{0}")]
    Attempt(#[from] AttemptError),
    #[error("read the answer: nothing came for {0:?}")]
    Idle(Duration),
    #[error("get the whole answer within {0:?}")]
    Total(Duration),
    #[error("read the answer: it is longer than {0} bytes")]
    TooLong(usize),
    #[error("send the request: its address or a header cannot be sent")]
    Unsendable,
}

impl From<AttemptError> for Lost {
    fn from(error: AttemptError) -> Self {
        Self { phase: error.phase(), sent: error.sent(), what: error.into() }
    }
}

impl Lost {
    fn in_body(what: LostHow) -> Self {
        Self { what, phase: Phase::Body, sent: Sent::Perhaps }
    }
}

impl Client {
    /// A client for the server below `target`.
    ///
    /// # Errors
    /// The key holds characters that no header may hold.
    pub fn new(target: Target, key: Option<&Secret>, surroundings: Surroundings) -> Result<Self, BadKey> {
        let authorization = key.map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose().trim())).map_err(|_| BadKey)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let now = surroundings.clock.now();
        Ok(Self {
            vendor: Vendor::of_host(&target.host),
            authorization: authorization.transpose()?,
            agent: HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))),
            caller: None,
            target,
            surroundings,
            pool: Arc::default(),
            policies: Policies::default(),
            budget: Mutex::new(RetryBudget::new(BudgetTerms::default(), now)),
            limits: ClientLimits::default(),
            memory: AtomicU8::new(0),
        })
    }

    /// With other policies than the built-in ones.
    #[must_use]
    pub fn with_policies(self, policies: Policies) -> Self {
        Self { policies, ..self }
    }

    #[must_use]
    pub fn with_limits(self, limits: ClientLimits) -> Self {
        Self { limits, ..self }
    }

    /// What share of its calls may be retries; see [`RetryBudget`].
    #[must_use]
    pub fn with_budget(self, terms: BudgetTerms) -> Self {
        let budget = RetryBudget::new(terms, self.surroundings.clock.now());
        Self { budget: Mutex::new(budget), ..self }
    }

    /// The name that a gateway may count this caller by, as `x-weir-caller`; a name that no header may hold is left out.
    #[must_use]
    pub fn called_as(self, caller: &str) -> Self {
        Self { caller: HeaderValue::from_str(caller).ok(), ..self }
    }

    /// Whether the server remembers idempotency keys, as far as its answers have told.
    #[must_use]
    pub fn memory(&self) -> Memory {
        match self.memory.load(Ordering::Relaxed) {
            1 => Memory::Remembers,
            2 => Memory::Forgets,
            _ => Memory::Unknown,
        }
    }

    /// Asks the server for `GET /weir/limits`, which costs nothing: weir answers it, others say that there is no such page. What the answer
    /// says of the server is kept; the answer itself tells the key's limits.
    ///
    /// # Errors
    /// No answer came.
    pub async fn introduce(&self) -> Result<Said, Lost> {
        self.attempt(&Ask::get("/weir/limits")).await
    }

    fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        // A count that a panic left a little off is better than none.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One attempt, read to its end: whatever status it has, it is an answer.
    ///
    /// # Errors
    /// See [`Lost`]; its `sent` tells whether the server may have acted on it all the same.
    pub async fn attempt(&self, ask: &Ask) -> Result<Said, Lost> {
        let began = Instant::now();
        let limits = self.limits;
        let until = began + limits.total;
        let mut answer = self.open(ask).await?;
        let (connected, first_byte) = (answer.connected, answer.first_byte);
        let mut body = BytesMut::new();
        loop {
            let by = until.min(Instant::now() + limits.idle);
            let piece = timeout_at(by, answer.chunk())
                .await
                .map_err(|_| Lost::in_body(if by == until { LostHow::Total(limits.total) } else { LostHow::Idle(limits.idle) }))?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|error| Lost::in_body(AttemptError::Wire(error).into()))?;
            if body.len().saturating_add(piece.len()) > limits.answer_bytes {
                return Err(Lost::in_body(LostHow::TooLong(limits.answer_bytes)));
            }
            body.extend_from_slice(&piece);
        }
        let status = answer.head.status.as_u16();
        let headers = std::mem::take(&mut answer.head.headers);
        Ok(Said::new(status, headers, body.freeze(), [connected, first_byte, began.elapsed()], self.vendor))
    }

    /// Sends a request and waits for the head of its answer.
    async fn open(&self, ask: &Ask) -> Result<Answer, Lost> {
        let request = self.request(ask).ok_or(Lost { what: LostHow::Unsendable, phase: Phase::Connect, sent: Sent::No })?;
        let limits = AttemptLimits { connect: self.limits.connect, first_byte: self.limits.first_byte.min(self.limits.total) };
        let dial = self.surroundings.dial.as_ref();
        let mut opened = Answer::get(dial, &self.target, &self.pool, request, limits).await;
        // A rested connection that had closed meanwhile took nothing along; a fresh one is no second attempt.
        if let Err(AttemptError::Wire(WireError::Unsent)) = &opened
            && let Some(request) = self.request(ask)
        {
            opened = Answer::get(dial, &self.target, &self.pool, request, limits).await;
        }
        let answer = opened?;
        self.recognise(&answer.head.headers);
        Ok(answer)
    }

    /// Learns from an answer what the server is. weir gives every answer an id of its own form.
    fn recognise(&self, headers: &HeaderMap) {
        let id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let is_weir =
            id.is_some_and(|id| id.parse::<RequestId>().is_ok()) || headers.keys().any(|name| name.as_str().starts_with("x-weir-"));
        // An error page of a proxy in front of weir does not make it forget.
        if is_weir {
            self.memory.store(1, Ordering::Relaxed);
        } else {
            let _ = self.memory.compare_exchange(0, 2, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn request(&self, ask: &Ask) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = Uri::try_from(format!("{}{}", self.target.path, ask.path)).ok()?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(&self.target.authority()).ok()?);
        headers.insert(header::USER_AGENT, self.agent.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(caller) = &self.caller {
            headers.insert("x-weir-caller", caller.clone());
        }
        if ask.method == Method::POST {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert("x-weir-scenario", HeaderValue::from_static(ask.scenario.label()));
        }
        if let Some(key) = &ask.idempotency_key {
            headers.insert("idempotency-key", HeaderValue::from_str(key).ok()?);
        }
        if ask.respond_async {
            headers.insert("prefer", HeaderValue::from_static("respond-async"));
        }
        Some(request)
    }
}
