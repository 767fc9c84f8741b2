//! The pace of a server whose limit nothing tells, or whose headers tell another: what gets through is what it bears.

use std::time::Duration;

use weir_core::Timestamp;

use super::{Allowance, Throttle};

/// Answers of this many seconds say what the server lets through.
const MEASURED_S: i64 = 3;
/// A pace that was learned grows by this part each second, until the server refuses too many again.
const GROWS: u64 = 256;
/// One that was learned from fewer seconds is a guess, and grows by this part.
const GUESS_GROWS: u64 = 8;
/// Refused among answered requests, in millionths, from which on a guess is better than none.
pub(super) const GUESSED: u64 = 125_000;

/// Requests a minute, as they were measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learned {
    requests: Allowance,
    grown_at: Timestamp,
    /// It grows by one of so many parts each second.
    grows: u64,
}

impl Learned {
    fn new(limit: u64, grows: u64, now: Timestamp) -> Self {
        Self { requests: Allowance::even(limit, now), grown_at: now, grows }
    }

    pub(super) fn limit(&self) -> u64 {
        self.requests.limit()
    }

    pub(super) fn opens(&mut self, now: Timestamp) -> Timestamp {
        self.requests.opens(1, now)
    }

    pub(super) fn take(&mut self, now: Timestamp) {
        self.requests.take(1, now);
    }

    pub(super) fn grow(&mut self, now: Timestamp) {
        let seconds = now.since(self.grown_at).as_secs();
        if seconds > 0 {
            let step = self.limit().div_ceil(self.grows).saturating_mul(seconds);
            self.requests.set_limit(self.limit().saturating_add(step), now);
            self.grown_at = self.grown_at.after(Duration::from_secs(seconds));
        }
    }
}

impl Throttle {
    /// Counts an answer.
    pub(super) fn measure(&mut self, now: Timestamp) {
        let second = now.0.div_euclid(1_000);
        match self.answers.back_mut() {
            Some((at, count)) if *at == second => *count += 1,
            _ => self.answers.push_back((second, 1)),
        }
        while self.answers.front().is_some_and(|(at, _)| *at < second - MEASURED_S) {
            self.answers.pop_front();
        }
    }

    /// Whether what was told, if anything was, is far from used up: whoever is refused all the same meets a limit that nothing told.
    pub(super) fn has_room(&mut self, now: Timestamp) -> bool {
        [&mut self.requests, &mut self.tokens].into_iter().flatten().all(|allowance| allowance.is_half_full(now))
    }

    /// Where no told limit is the reason for refusals, what got through in the last seconds is what the server bears.
    pub(super) fn learn(&mut self, now: Timestamp) {
        if !self.has_room(now) {
            return;
        }
        let second = now.0.div_euclid(1_000);
        let span = self.answers.front().map_or(0, |(at, _)| second - at).min(MEASURED_S);
        let whole = self.answers.iter().filter(|(at, _)| (second - span..second).contains(at));
        let measured = (whole.map(|(_, count)| count).sum::<u64>() * 60).checked_div(span.unsigned_abs()).unwrap_or(0);
        let is_guess = span < MEASURED_S;
        // A moment says nothing, a second little.
        if measured == 0 || is_guess && self.refused < GUESSED {
            return;
        }
        let before = self.learned.map_or(u64::MAX, |learned| learned.limit());
        // The more were refused, the further it is above what the server bears.
        let part = 970_u64.saturating_sub(self.refused / 1_000).max(500);
        let limit = measured.min((u128::from(before) * u128::from(part) / 1_000).try_into().unwrap_or(u64::MAX)).max(1);
        self.learned = Some(Learned::new(limit, if is_guess { GUESS_GROWS } else { GROWS }, now));
    }
}
