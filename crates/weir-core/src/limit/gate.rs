//! One holder's limits at work: what fits now, what does not and from when on it does, what running calls hold.
//!
//! Everything is reserved on admission and corrected when the call ends, so no limit is exceeded by calls that run at once.

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use super::{Callers, Day, DayBook, LimitKind, Limits, Now, Spent, Window, zone};
use crate::Timestamp;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    pub caller: &'a str,
    /// Input tokens, which are certain, and output tokens, which are the most that may come.
    pub input: u64,
    pub output: u64,
    /// The client named no bound of its own: `output` may be cut to what is left.
    pub unbounded: bool,
    /// What the call may cost, in nano-units.
    pub amount: u64,
}

impl Ask<'_> {
    fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// What an admitted call holds of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// When it was admitted, by both clocks.
    pub at: Now,
    pub tokens: u64,
    pub amount: u64,
    /// The page of its day's book.
    page: u64,
}

/// What an ended call really used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// An upstream was asked: it counts against the rate.
    pub asked: bool,
    /// It was charged: it counts against the day.
    pub charged: bool,
    pub tokens: u64,
    pub amount: u64,
}

impl Used {
    /// What it takes of a day.
    fn spent(&self) -> Spent {
        if self.charged { Spent { requests: 1, tokens: self.tokens, amount: self.amount } } else { Spent::default() }
    }
}

/// Why a call does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    pub kind: LimitKind,
    pub limit: u64,
    pub opens: Opens,
}

/// When a limit opens for the call that it blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// At this steady instant, if nobody else comes.
    At(i64),
    /// With the next civil day.
    Tomorrow(Timestamp),
    /// Never: the call asks for more than the whole limit.
    Never,
    /// It came when it had been told to: its turn is next, as soon as a running call ends.
    Turn,
}

impl Opens {
    /// The steady instant, for comparing; the end of time for never.
    #[must_use]
    pub fn at(self, now: Now) -> i64 {
        match self {
            Self::Turn => now.steady,
            Self::At(at) => at,
            Self::Tomorrow(end) => now.steady_at(end),
            Self::Never => i64::MAX,
        }
    }
}

/// How one limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub kind: LimitKind,
    pub limit: u64,
    pub remaining: u64,
    /// When all of it is free again if nothing else comes; when some is, if nothing is left.
    pub resets: Timestamp,
}

/// Calls that were told when to come back and have not come yet; beyond, they are told but not expected.
const EXPECTED: usize = 1_024;
/// Who has not come by this long after the told time is not expected any more, in milliseconds.
const LATE_MS: i64 = 30_000;
/// Bounds of the wait that a refusal for concurrency tells, in milliseconds: how long calls take is known on average only.
const SHORTEST_MS: i64 = 1_000;
const LONGEST_MS: i64 = 20_000;
/// The least part of a minute's tokens that a call without a bound of its own reserves: a whole minute each would let one run at a time.
const PART_OF_MINUTE: u64 = 4;

/// The limits of one holder at work.
#[derive(Debug, Clone)]
pub struct Gate {
    requests: Window,
    tokens: Window,
    running: u64,
    book: DayBook,
    zone: TimeZone,
    zone_name: Option<String>,
    /// How long calls take on average, in milliseconds.
    usual_ms: i64,
    expected: VecDeque<i64>,
    pub callers: Callers,
}

impl Gate {
    /// A gate at `now`; `used` tells what was used since the start of a day, which this process may not have seen.
    pub fn new(limits: &Limits, now: Now, used: impl FnOnce(Day) -> Spent) -> Self {
        let zone = zone_of(limits);
        let day = Day::of(&zone, now.wall);
        Self {
            requests: Window::default(),
            tokens: Window::default(),
            running: 0,
            book: DayBook::new(day, used(day)),
            zone,
            zone_name: limits.zone.clone(),
            usual_ms: SHORTEST_MS,
            expected: VecDeque::new(),
            callers: Callers::default(),
        }
    }

    /// Counts a call that another process admitted at `at`: what it left behind limits this one.
    pub fn recall(&mut self, at: i64, tokens: u64) {
        self.requests.take(1, at);
        self.tokens.take(tokens, at);
    }

    /// Counts what another process admitted at `at` and has not ended, if that was on the day of this gate; to be [`Gate::correct`]ed at its end.
    pub fn resume(&mut self, at: Now, counted: &Used) -> Option<Held> {
        if !self.book.day().contains(at.wall) {
            return None;
        }
        let page = self.book.hold(counted.spent());
        Some(Held { at, tokens: counted.tokens, amount: counted.amount, page })
    }

    /// Brings the gate to `now` and to limits that may have changed.
    pub fn advance(&mut self, limits: &Limits, now: Now) {
        if self.zone_name != limits.zone {
            self.zone = zone_of(limits);
            self.zone_name.clone_from(&limits.zone);
            self.book.move_to(&self.zone, now.wall);
        }
        self.book.turn(&self.zone, now.wall);
        self.requests.advance(now.steady);
        self.tokens.advance(now.steady);
        while self.expected.front().is_some_and(|told| told + LATE_MS < now.steady) {
            self.expected.pop_front();
        }
    }

    /// The zone of its day.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// How many output tokens a call without a bound of its own would reserve here.
    #[must_use]
    pub fn output_for(&self, limits: &Limits, ask: &Ask<'_>) -> u64 {
        let minute = limits.tpm.map(|tpm| (tpm / PART_OF_MINUTE).max(1).saturating_sub(ask.input).max(1));
        let day = limits.daily_tokens.map(|most| most.saturating_sub(self.book.used().tokens).saturating_sub(ask.input).max(1));
        [minute, day].into_iter().flatten().fold(ask.output, u64::min)
    }

    /// Whether the call fits, the gate being at `now`.
    ///
    /// # Errors
    /// The limit that opens last, of all that block it.
    pub fn fits(&mut self, limits: &Limits, ask: &Ask<'_>, now: Now) -> Result<(), Blocked> {
        let mut blocked: Option<Blocked> = None;
        let mut also = |found: Option<Blocked>| {
            if let Some(found) = found
                && blocked.is_none_or(|known| known.opens.at(now) < found.opens.at(now))
            {
                blocked = Some(found);
            }
        };
        also(self.day_blocks(limits, ask));
        also(self.rate_blocks(limits, ask, now));
        also(self.concurrency_blocks(limits, ask, now));
        blocked.map_or(Ok(()), Err)
    }

    fn day_blocks(&self, limits: &Limits, ask: &Ask<'_>) -> Option<Blocked> {
        let used = self.book.used();
        let end = self.book.day().end;
        // Money that a call without a bound may cost is bounded by what is left, as its tokens are.
        let left = limits.daily_amount.map_or(0, |limit| limit.saturating_sub(used.amount));
        let amount = if ask.unbounded { ask.amount.min(left.max(1)) } else { ask.amount };
        [
            (LimitKind::DailyRequests, limits.daily_requests, used.requests, 1),
            (LimitKind::DailyTokens, limits.daily_tokens, used.tokens, ask.tokens()),
            (LimitKind::DailyAmount, limits.daily_amount, used.amount, amount),
        ]
        .into_iter()
        .find_map(|(kind, limit, used, asked)| {
            let limit = limit?;
            let opens = if asked > limit { Opens::Never } else { Opens::Tomorrow(end) };
            (used.saturating_add(asked) > limit && asked > 0).then_some(Blocked { kind, limit, opens })
        })
    }

    fn rate_blocks(&mut self, limits: &Limits, ask: &Ask<'_>, now: Now) -> Option<Blocked> {
        let blocks = |kind, limit, at: Option<i64>| match at {
            Some(at) if at <= now.steady => None,
            Some(at) => Some(Blocked { kind, limit, opens: Opens::At(at) }),
            None => Some(Blocked { kind, limit, opens: Opens::Never }),
        };
        let requests = limits.rpm.and_then(|rpm| {
            let kept = self.callers.rate_kept(ask.caller, rpm, now.steady);
            let open = rpm.saturating_sub(kept).max(rpm.min(1));
            blocks(LimitKind::RequestsPerMinute, rpm, self.requests.fits_at(open, 1, now.steady))
        });
        let tokens = limits.tpm.and_then(|tpm| blocks(LimitKind::TokensPerMinute, tpm, self.tokens.fits_at(tpm, ask.tokens(), now.steady)));
        match (requests, tokens) {
            (Some(a), Some(b)) => Some(if a.opens.at(now) < b.opens.at(now) { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    fn concurrency_blocks(&mut self, limits: &Limits, ask: &Ask<'_>, now: Now) -> Option<Blocked> {
        let limit = limits.concurrency?;
        let kept = self.callers.places_kept(ask.caller, limit, now.steady);
        if self.running < limit.saturating_sub(kept).max(limit.min(1)) {
            return None;
        }
        let due = self.expected.front().is_some_and(|told| *told <= now.steady);
        let opens = if due { Opens::Turn } else { Opens::At(self.next_turn(limit, now)) };
        Some(Blocked { kind: LimitKind::Concurrency, limit, opens })
    }

    /// When a refused call shall come back: those who were told before it come first, as many at a time as there are places.
    fn next_turn(&self, limit: u64, now: Now) -> i64 {
        let before = i64::try_from(self.expected.len() as u64 / limit.max(1)).unwrap_or(i64::MAX);
        let wait = self.usual_ms.saturating_mul(before.saturating_add(1)).clamp(SHORTEST_MS, LONGEST_MS);
        now.steady.saturating_add(wait).max(self.expected.back().copied().unwrap_or(0))
    }

    /// A call was told to come back for a place at `at`.
    pub fn expect(&mut self, at: i64) {
        if self.expected.len() < EXPECTED {
            self.expected.push_back(at);
        }
    }

    /// A call that had been told to come has come and waits in line.
    pub fn came(&mut self) {
        self.expected.pop_front();
    }

    /// Takes what [`Gate::fits`] found to fit.
    pub fn take(&mut self, limits: &Limits, ask: &Ask<'_>, now: Now) -> Held {
        let tokens = ask.tokens();
        let page = self.book.hold(Spent { requests: 1, tokens, amount: ask.amount });
        let held = Held { at: now, tokens, amount: ask.amount, page };
        // Where there is no limit there is nothing to count; a limit that appears begins with an empty window.
        if limits.rpm.is_some() {
            self.requests.take(1, now.steady)
        } else {
            self.requests.clear()
        }
        if limits.tpm.is_some() {
            self.tokens.take(held.tokens, now.steady)
        } else {
            self.tokens.clear()
        }
        self.callers.admitted(ask.caller, now.steady);
        self.running += 1;
        if self.expected.front().is_some_and(|told| *told <= now.steady) {
            self.expected.pop_front();
        }
        held
    }

    /// A call ended: what it really used takes the place of what it held.
    pub fn end(&mut self, caller: &str, held: &Held, used: &Used, now: Now) {
        self.running = self.running.saturating_sub(1);
        let at = held.at.steady;
        self.requests.correct(at, 1, u64::from(used.asked));
        self.tokens.correct(at, held.tokens, used.tokens);
        self.book.correct(held.page, Spent { requests: 1, tokens: held.tokens, amount: held.amount }, used.spent());
        self.callers.ended(caller, at, used.asked);
        if used.asked {
            let took = now.steady.saturating_sub(at).clamp(0, LONGEST_MS);
            self.usual_ms = (self.usual_ms * 7 + took) / 8;
        }
    }

    /// A call that had ended was still counted with what it might cost; now that is known.
    pub fn correct(&mut self, held: &Held, counted: &Used, used: &Used) {
        self.book.correct(held.page, counted.spent(), used.spent());
    }

    /// What its day has used and holds.
    #[must_use]
    pub fn book(&self) -> &DayBook {
        &self.book
    }

    /// Calls running now.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.running
    }

    /// How each limit that there is stands at `now`.
    pub fn standings(&self, limits: &Limits, now: Now) -> impl Iterator<Item = Standing> {
        let used = self.book.used();
        let end = self.book.day().end;
        let rate = |kind, limit: Option<u64>, window: &Window| {
            limit.map(|limit| {
                let remaining = limit.saturating_sub(window.sum());
                let at = if remaining == 0 { window.fits_at(limit, 1, now.steady) } else { Some(window.empty_at(now.steady)) };
                Standing { kind, limit, remaining, resets: now.wall_at(at.unwrap_or(now.steady)) }
            })
        };
        let day = |kind, limit: Option<u64>, used: u64| {
            limit.map(|limit| Standing { kind, limit, remaining: limit.saturating_sub(used), resets: end })
        };
        let places = limits.concurrency.map(|limit| Standing {
            kind: LimitKind::Concurrency,
            limit,
            remaining: limit.saturating_sub(self.running),
            resets: if self.running < limit { now.wall } else { now.wall_at(self.next_turn(limit, now)) },
        });
        [
            rate(LimitKind::RequestsPerMinute, limits.rpm, &self.requests),
            rate(LimitKind::TokensPerMinute, limits.tpm, &self.tokens),
            places,
            day(LimitKind::DailyRequests, limits.daily_requests, used.requests),
            day(LimitKind::DailyTokens, limits.daily_tokens, used.tokens),
            day(LimitKind::DailyAmount, limits.daily_amount, used.amount),
        ]
        .into_iter()
        .flatten()
    }
}

/// A zone that does not exist was refused where it was written; should one vanish, its day is UTC's.
fn zone_of(limits: &Limits) -> TimeZone {
    limits.zone.as_deref().and_then(zone).unwrap_or(TimeZone::UTC)
}
