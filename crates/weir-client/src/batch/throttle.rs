//! How many requests may run, and when the next may leave. Pure: time is an argument, what the server said comes in as values.
//!
//! Two things bound a run. The *window* is how many run at once: it grows gently while answers come, is halved at once when the server refuses
//! too many or grows slow, and comes back quickly to nearly where it was. The *allowances* are requests and tokens a minute, as told by
//! headers or by whoever started the run: with them the run is paced instead of being refused. A told wait stops everything.

use std::{collections::VecDeque, time::Duration};

use weir_core::Timestamp;
use weir_wire::limits::{Counted, Left};

use super::{
    allowance::{Allowance, PACED},
    latency::Latency,
};
use pace::{GUESSED, Learned};

/// Requests that run at once when nothing is known yet.
const FIRST: u64 = 4;
/// The window in thousandths, so that it can grow by less than one.
const ONE: u64 = 1_000;
/// What every answer adds while the window is below where it was before: half as many again in each round.
const REGAIN: u64 = ONE / 2;
/// Refused among answered requests, in millionths, from which on the window is halved.
const REFUSED: u64 = 50_000;
/// The same where headers tell the limit, so that the run is paced by that.
const REFUSED_PACED: u64 = 100_000;
/// The same for a server in trouble. Single failures are no sign of too much.
const TROUBLED: u64 = 250_000;
const MILLION: u64 = 1_000_000;
/// How many answers the shares look back on, at least and at most.
const LOOKS_BACK: (u64, u64) = (16, 64);

/// A told wait up to this is one row's matter where the pace is known and the refusal is not about all that the key sends.
const MOMENT: Duration = Duration::from_secs(5);

/// Bounds of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests at once, at most.
    pub ceiling: u32,
    /// Requests and tokens a minute; `None`: as the server tells.
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// One more may leave.
    Go,
    /// None before this.
    At(Timestamp, Why),
    /// As many run as may: one must end first.
    Full,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// The server told when to come back.
    Told,
    /// Requests a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
}

impl Why {
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// A request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Its place among all requests of the run.
    seq: u64,
    at: Timestamp,
    tokens: u64,
    /// Tokens of all requests up to this one.
    tokens_sent: u64,
}

/// How a request ended, as far as it says something about what the server bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was answered; `used`: tokens, if they were told.
    Answered { took: Duration, used: Option<u64> },
    /// Too much at once. `firm`: the refusal is about everything that is sent with this key, whatever else gets through.
    Refused { told: Option<Timestamp>, firm: bool },
    /// The server is in trouble, or silent.
    Troubled { told: Option<Timestamp> },
    /// It says nothing about the server: the request itself was wrong, or a job was looked at.
    Beside,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Timestamp,
    /// The last request that was refused so.
    seq: u64,
    firm: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Throttle {
    bounds: Bounds,
    window: u64,
    /// Below this the window grows quickly.
    known: u64,
    running: u32,
    /// The window was what the last refused admission lacked: only then is there reason to grow.
    is_narrow: bool,
    sent: u64,
    tokens_sent: u64,
    /// Refusals of requests up to this one have had their effect.
    cut_at: u64,
    refused: u64,
    troubled: u64,
    requests: Option<Allowance>,
    tokens: Option<Allowance>,
    /// The server's own bound on requests at once.
    told_running: Option<u64>,
    /// The latest request whose answer told the limits.
    told_by: u64,
    pause: Option<Pause>,
    latency: Latency,
    /// Answers of the last seconds.
    answers: VecDeque<(i64, u64)>,
    /// The pace that was measured when too many were refused and no told limit was the reason.
    learned: Option<Learned>,
}

impl Throttle {
    #[must_use]
    pub fn new(bounds: Bounds, now: Timestamp) -> Self {
        let own = |limit: Option<u64>| limit.map(|limit| Allowance::even(limit, now));
        Self {
            window: FIRST.min(u64::from(bounds.ceiling.max(1))) * ONE,
            known: u64::MAX,
            running: 0,
            is_narrow: false,
            sent: 0,
            tokens_sent: 0,
            cut_at: 0,
            refused: 0,
            troubled: 0,
            requests: own(bounds.requests),
            tokens: own(bounds.tokens),
            told_running: None,
            told_by: 0,
            pause: None,
            latency: Latency::default(),
            answers: VecDeque::new(),
            learned: None,
            bounds,
        }
    }

    /// Requests that may run at once just now.
    #[must_use]
    pub fn window(&self) -> u32 {
        let told = self.told_running.unwrap_or(u64::MAX);
        u32::try_from((self.window / ONE).clamp(1, told.max(1))).unwrap_or(u32::MAX).min(self.bounds.ceiling.max(1))
    }

    #[must_use]
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Until when nothing is sent because the server said so.
    #[must_use]
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.pause.map(|pause| pause.until).filter(|until| *until > now)
    }

    /// Requests and tokens a minute that the run goes by, where they are known.
    #[must_use]
    pub fn rates(&self) -> (Option<u64>, Option<u64>) {
        let told = self.requests.map(|allowance| allowance.limit());
        let learned = self.learned.map(|learned| learned.limit());
        (told.into_iter().chain(learned).min(), self.tokens.map(|allowance| allowance.limit()))
    }

    /// Whether a request of so many tokens may leave.
    pub fn admit(&mut self, tokens: u64, now: Timestamp) -> Admission {
        if let Some(until) = self.paused_until(now) {
            return Admission::At(until, Why::Told);
        }
        if self.running >= self.window() {
            self.is_narrow = true;
            return Admission::Full;
        }
        self.learned.iter_mut().for_each(|learned| learned.grow(now));
        let opens = |allowance: &mut Option<Allowance>, units| allowance.as_mut().map_or(now, |allowance| allowance.opens(units, now));
        let by_pace = self.learned.as_mut().map_or(now, |learned| learned.opens(now));
        let (by_requests, by_tokens) = (opens(&mut self.requests, 1).max(by_pace), opens(&mut self.tokens, tokens));
        match (by_requests.max(by_tokens), by_requests >= by_tokens) {
            (at, _) if at <= now => Admission::Go,
            (at, more) => {
                self.is_narrow = false;
                Admission::At(at, if more { Why::Requests } else { Why::Tokens })
            }
        }
    }

    /// A request leaves.
    pub fn begin(&mut self, tokens: u64, now: Timestamp) -> Ticket {
        self.running = self.running.saturating_add(1);
        self.sent += 1;
        self.tokens_sent = self.tokens_sent.saturating_add(tokens);
        self.requests.iter_mut().for_each(|allowance| allowance.take(1, now));
        self.learned.iter_mut().for_each(|learned| learned.take(now));
        self.tokens.iter_mut().for_each(|allowance| allowance.take(tokens, now));
        Ticket { seq: self.sent, at: now, tokens, tokens_sent: self.tokens_sent }
    }

    /// A request ended; `left` is what its answer told of the limits.
    pub fn end(&mut self, ticket: Ticket, how: Ended, left: &[Left], now: Timestamp) {
        self.running = self.running.saturating_sub(1);
        self.hear(ticket, left, now);
        // Where its own headers say that something is left, a refusal is not about the limit that they tell.
        let has_room = !left.is_empty() && left.iter().all(|left| left.remaining > 0);
        match how {
            Ended::Answered { took, used } => self.answered(ticket, took, used, left, now),
            Ended::Refused { told, firm } => {
                self.pause_until(ticket, told, firm, has_room, now);
                self.count(true, false);
                if self.refused > self.too_many() && ticket.seq > self.cut_at {
                    self.learn(now);
                    self.cut();
                } else if self.learned.is_none() && self.refused > GUESSED {
                    self.learn(now);
                }
            }
            Ended::Troubled { told } => {
                self.pause_until(ticket, told, false, has_room, now);
                self.count(false, true);
                // One fall for all that was on its way together.
                if self.troubled > TROUBLED && ticket.seq > self.cut_at {
                    self.cut();
                }
            }
            Ended::Beside => {}
        }
    }

    fn answered(&mut self, ticket: Ticket, took: Duration, used: Option<u64>, left: &[Left], now: Timestamp) {
        self.count(false, false);
        self.measure(now);
        // Somebody who asked after the refused one was let in: the refusal was not for all.
        if self.pause.is_some_and(|pause| !pause.firm && ticket.seq > pause.seq) {
            self.pause = None;
        }
        let tells_tokens = left.iter().any(|left| left.counted == Counted::Tokens);
        if let (Some(used), Some(tokens), false) = (used, &mut self.tokens, tells_tokens) {
            tokens.give_back(ticket.tokens.saturating_sub(used), now);
        }
        if self.latency.note(took, self.window()) && ticket.seq > self.cut_at {
            self.cut();
        } else if self.is_narrow {
            self.grow();
        }
    }

    /// Shares that forget: a small window looks back on fewer answers.
    fn count(&mut self, refused: bool, troubled: bool) {
        let span = (self.window / ONE * 4).clamp(LOOKS_BACK.0, LOOKS_BACK.1);
        let step = |share: u64, hit: bool| share - share / span + if hit { MILLION / span } else { 0 };
        self.refused = step(self.refused, refused);
        self.troubled = step(self.troubled, refused || troubled);
    }

    fn too_many(&self) -> u64 {
        if self.requests.is_some() && self.learned.is_none() { REFUSED_PACED } else { REFUSED }
    }

    fn cut(&mut self) {
        self.known = self.window * 9 / 10;
        self.window = (self.window / 2).max(ONE);
        self.cut_at = self.sent;
        self.refused /= 2;
        self.troubled /= 2;
    }

    fn grow(&mut self) {
        let step = if self.window < self.known { REGAIN } else { ONE * ONE / self.window };
        self.window = (self.window + step).min(u64::from(self.bounds.ceiling.max(1)) * ONE);
    }

    fn pause_until(&mut self, ticket: Ticket, told: Option<Timestamp>, firm: bool, has_room: bool, now: Timestamp) {
        let Some(told) = told.filter(|told| *told > now) else { return };
        // A run that goes at the measured pace already is not stopped by a moment's hint: the row that it was told to keeps it.
        let is_paced = self.learned.is_some() || has_room;
        if !firm && is_paced && told.since(now) <= MOMENT {
            return;
        }
        let before = self.pause.filter(|pause| pause.until > now);
        let until = before.map_or(told, |pause| pause.until.max(told));
        let seq = before.map_or(ticket.seq, |pause| pause.seq.max(ticket.seq));
        self.pause = Some(Pause { until, seq, firm: firm || before.is_some_and(|pause| pause.firm) });
    }

    /// Takes over what an answer tells of the limits, unless a later request's answer told already.
    fn hear(&mut self, ticket: Ticket, left: &[Left], now: Timestamp) {
        if left.is_empty() || ticket.seq < self.told_by {
            return;
        }
        self.told_by = ticket.seq;
        for told in left {
            if told.window.is_some_and(|window| window > PACED) {
                continue;
            }
            let (slot, own, sent) = match told.counted {
                Counted::Requests => (&mut self.requests, self.bounds.requests, self.sent - ticket.seq),
                Counted::Tokens => (&mut self.tokens, self.bounds.tokens, self.tokens_sent.saturating_sub(ticket.tokens_sent)),
                Counted::Running => {
                    self.told_running = Some(told.limit);
                    continue;
                }
            };
            // Whoever asked for less than the server allows gets less.
            if own.is_some_and(|own| own < told.limit) {
                continue;
            }
            slot.get_or_insert(Allowance::new(told.limit, told.remaining, now)).told(told.limit, told.remaining, sent, ticket.at, now);
        }
        // The limit that is told is the one that counts, unless it has room and there were refusals all the same.
        if !self.has_room(now) {
            self.learned = None;
        }
    }
}

#[cfg(test)]
mod laws;
mod pace;
