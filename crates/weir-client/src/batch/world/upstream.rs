//! A made-up server: requests and tokens a minute, answers that take their time, faults of every kind, on the paused clock.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep};
use weir_core::Phase;

use crate::{
    Ask, AttemptError, Said, Sent, WireError,
    batch::{Asking, Line},
    client::{Dice, Lost, LostHow, Memory},
    rig::Seeded,
};

/// How a server tells its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// On each answer, as OpenAI does.
    Headers,
    /// In `Retry-After` of a refusal, in whole seconds.
    Hints,
    /// The same, and each answer has the headers of another limit, which is wide open, as some hops pass them on.
    Another,
    /// Not at all.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) rpm: u64,
    pub(super) tpm: u64,
    pub(super) tells: Tells,
    /// Of a thousand requests so many fail, in every way there is.
    pub(super) faults: u64,
    /// It answers a repeated name with the call that it made.
    pub(super) remembers: bool,
    /// Requests that it works on at once before each further one makes all slower.
    pub(super) at_ease: u64,
    /// It answers at once, and keeps a second's worth for bursts instead of a minute's.
    pub(super) swift: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { rpm: 6_000, tpm: 3_000_000, tells: Tells::Headers, faults: 0, remembers: false, at_ease: u64::MAX, swift: false }
    }
}

/// A bucket that fills evenly, in parts of which a request is sixty thousand.
struct Bucket {
    per_minute: u64,
    /// The most that it holds.
    whole: u64,
    level: u64,
    at: Duration,
}

impl Bucket {
    fn new(per_minute: u64, swift: bool) -> Self {
        let whole = per_minute * if swift { 1_000 } else { 60_000 };
        Self { per_minute, whole, level: whole, at: Duration::ZERO }
    }

    fn refill(&mut self, now: Duration) {
        let millis = u64::try_from((now - self.at).as_millis()).unwrap();
        self.level = (self.level + millis * self.per_minute).min(self.whole);
        self.at = now;
    }

    fn wait(&self, units: u64) -> Duration {
        Duration::from_millis((units * 60_000).saturating_sub(self.level).div_ceil(self.per_minute))
    }

    fn left(&self) -> u64 {
        self.level / 60_000
    }
}

/// What the server saw.
#[derive(Default, Clone)]
pub(super) struct Saw {
    /// Requests, those that never arrived not among them.
    pub(super) calls: u64,
    pub(super) refused: u64,
    pub(super) running: u64,
    pub(super) most_running: u64,
    /// How often each body was worked on.
    pub(super) made: HashMap<Bytes, u32>,
    /// When each body was refused with a told instant, and that instant, until it came again.
    pub(super) told: HashMap<Bytes, Duration>,
    /// Requests that came before their own told instant.
    pub(super) early: u64,
    /// Tokens that were worked on.
    pub(super) tokens: u64,
    pub(super) last: Duration,
}

struct State {
    requests: Bucket,
    tokens: Bucket,
    saw: Saw,
}

pub(super) struct Upstream {
    order: Order,
    began: Instant,
    dice: Seeded,
    state: Mutex<State>,
}

/// Tokens of the input and of the output of each request: OpenAI counts both before it begins.
pub(super) const INPUT: u64 = 100;
pub(super) const OUTPUT: u64 = 300;

impl Upstream {
    pub(super) fn new(order: Order, seed: u64) -> Self {
        let state =
            State { requests: Bucket::new(order.rpm, order.swift), tokens: Bucket::new(order.tpm, order.swift), saw: Saw::default() };
        Self { order, began: Instant::now(), dice: Seeded::new(seed), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn saw(&self) -> Saw {
        self.state().saw.clone()
    }

    fn headers(&self, state: &State) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.order.tells == Tells::Headers {
            for (what, bucket) in [("requests", &state.requests), ("tokens", &state.tokens)] {
                let reset = format!("{}ms", bucket.wait(bucket.per_minute).as_millis());
                for (field, value) in [("limit", bucket.per_minute.to_string()), ("remaining", bucket.left().to_string()), ("reset", reset)]
                {
                    let name = HeaderName::try_from(format!("x-ratelimit-{field}-{what}")).unwrap();
                    headers.insert(name, HeaderValue::try_from(value).unwrap());
                }
            }
        }
        if self.order.tells == Tells::Another {
            headers.insert("x-ratelimit-limit-requests", HeaderValue::from_static("10000"));
            headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("9999"));
        }
        headers
    }

    /// Whether the limits let it in; else the refusal.
    fn admit(&self, body: &Bytes) -> Result<HeaderMap, Said> {
        let now = self.began.elapsed();
        let mut state = self.state();
        state.saw.calls += 1;
        if state.saw.told.remove(body).is_some_and(|told| now < told) {
            state.saw.early += 1;
        }
        state.requests.refill(now);
        state.tokens.refill(now);
        let wait = state.requests.wait(1).max(state.tokens.wait(INPUT + OUTPUT));
        if !wait.is_zero() {
            return Err(self.refusal(&mut state, body, wait));
        }
        state.requests.level -= 60_000;
        state.tokens.level -= (INPUT + OUTPUT) * 60_000;
        Ok(self.headers(&state))
    }

    fn refusal(&self, state: &mut State, body: &Bytes, wait: Duration) -> Said {
        state.saw.refused += 1;
        let mut headers = if self.order.tells == Tells::Another { HeaderMap::new() } else { self.headers(state) };
        if self.order.tells != Tells::Nothing {
            let seconds = wait.as_millis().div_ceil(1_000);
            headers.insert("retry-after", HeaderValue::try_from(seconds.to_string()).unwrap());
            let at = self.began.elapsed() + Duration::from_secs(u64::try_from(seconds).unwrap());
            state.saw.told.insert(body.clone(), at);
        }
        let text = r#"{"error":{"message":"Rate limit reached for this model.","type":"requests","code":"rate_limit_exceeded"}}"#;
        Said::made(429, headers, Bytes::from_static(text.as_bytes()))
    }

    async fn answer(&self, body: &Bytes) -> Result<Said, Lost> {
        let roll = self.dice.roll();
        let fault = (roll % 1_000 < u128::from(self.order.faults)).then_some((roll >> 32) % 8);
        sleep(Duration::from_millis(if self.order.swift { 1 } else { 10 })).await;
        if fault == Some(0) {
            return Err(AttemptError::Connect(std::io::ErrorKind::ConnectionRefused).into());
        }
        let headers = match self.admit(body) {
            Ok(headers) => headers,
            Err(refusal) => return Ok(refusal),
        };
        let error = |status: u16, headers: HeaderMap| {
            let text = format!(r#"{{"error":{{"message":"trouble","type":"server_error","code":"c{status}"}}}}"#);
            Ok(Said::made(status, headers, text.into()))
        };
        let broken = |what: WireError| Err(Lost { what: LostHow::Attempt(what.into()), phase: Phase::Body, sent: Sent::Perhaps });
        match fault {
            Some(1) => return error(500, headers),
            Some(2) => return error(503, headers),
            Some(3) => return Ok(self.refusal(&mut self.state(), body, Duration::ZERO)),
            Some(4) => {
                let mut state = self.state();
                return Ok(self.refusal(&mut state, body, Duration::from_secs(2)));
            }
            _ => {}
        }
        let crowd = {
            let mut state = self.state();
            state.saw.running += 1;
            state.saw.most_running = state.saw.most_running.max(state.saw.running);
            (state.saw.running / self.order.at_ease).max(1)
        };
        let works = if self.order.swift { 1 } else { u64::try_from(600 + roll % 900).unwrap() };
        sleep(Duration::from_millis(works * crowd)).await;
        let mut state = self.state();
        state.saw.running -= 1;
        let fresh = !state.saw.made.contains_key(body);
        if fresh || !self.order.remembers {
            *state.saw.made.entry(body.clone()).or_default() += 1;
            state.saw.tokens += INPUT + OUTPUT;
        }
        state.saw.last = self.began.elapsed();
        drop(state);
        match fault {
            Some(5) => broken(WireError::Silent),
            Some(6) => broken(WireError::Cut),
            Some(7) => error(502, headers),
            _ => {
                let text = format!(
                    r#"{{"id":"c","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"yes"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{INPUT},"completion_tokens":{OUTPUT},"total_tokens":{}}}}}"#,
                    INPUT + OUTPUT
                );
                Ok(Said::made(200, headers, text.into()))
            }
        }
    }
}

impl Line for Upstream {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Asking<'a> {
        Box::pin(async move {
            if ask.path == "/weir/limits" {
                return Ok(Said::made(404, HeaderMap::new(), Bytes::from_static(br#"{"error":{"message":"unknown url"}}"#)));
            }
            self.answer(&ask.body).await
        })
    }

    fn memory(&self) -> Memory {
        if self.order.remembers { Memory::Remembers } else { Memory::Forgets }
    }
}
